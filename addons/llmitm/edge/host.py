"""What the HTTP layer asks of the addon that put it there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from mitmproxy import http

from llmitm.edge import masks
from llmitm.edge.refusals import Pages
from llmitm.edge.upload import Patience
from llmitm.exchange import ClientRequest, ResponseHead
from llmitm.secret import Redactor


class Host(Pages, Protocol):
    hold_limit_bytes: int

    @property
    def redactor(self) -> Redactor | None:
        """What flows are masked with; None where nobody sees them."""

    @property
    def patience(self) -> Patience:
        """How long is waited for bodies of requests."""

    def carry(
        self, request: ClientRequest, client_flow: http.HTTPFlow
    ) -> AsyncIterator[ResponseHead | bytes]:
        """Runs the journey."""

    def next_id(self) -> str:
        """An id for a new exchange."""

    def stream_response(self, client_flow: http.HTTPFlow, response: http.Response) -> Any:
        """What `response.stream` shall be: False holds the answer back for whoever intercepts it."""

    def vault_of(self, client_flow: http.HTTPFlow) -> masks.Vault | None:
        """The vault of a flow that is replayed, while it is known."""

    def keep_vault(self, client_flow: http.HTTPFlow, vault: masks.Vault) -> None: ...
