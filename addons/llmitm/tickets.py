"""An operator's own requests take the data port like anybody's: with a ticket in the place of a key.

Who has logged in at the dashboard never sees the ticket. The gateway makes it, sends the request with it to
its own port, and forgets it when it was shown once or the request is over. It counts only from this machine,
and none is outstanding but for the moment of such a request.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from llmitm.exchange import ClientRequest

HEADER: Final = b"x-llmitm-ticket"


@dataclass(slots=True, kw_only=True)
class Ticket:
    client: str
    """Address of the operator."""
    replay_of: str | None = None
    """Id of the exchange that is played again; None: of none."""
    exchange_id: str | None = None
    """Of the exchange that it became; None: it was not shown yet."""
    shown: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it was."""


class Tickets:
    """Those that are outstanding. False where there is none."""

    __slots__ = ("_out",)

    def __init__(self) -> None:
        self._out: dict[bytes, Ticket] = {}

    def __bool__(self) -> bool:
        return bool(self._out)

    @contextmanager
    def issued(self, ticket: Ticket) -> Iterator[str]:
        """What has to be shown, as the value of the header; worthless afterwards."""
        word = secrets.token_urlsafe(32)
        digest = _digest(word.encode())
        self._out[digest] = ticket
        try:
            yield word
        finally:
            self._out.pop(digest, None)

    def known(self, request: ClientRequest, *, is_local: bool) -> ClientRequest:
        """The request as the operator's, where it shows a ticket; as it is where it shows none that counts.
        `is_local`: it comes from this machine."""
        word = request.header(HEADER)
        if word is None or not is_local:
            return request
        ticket = self._out.pop(_digest(word), None)
        if ticket is None:
            return request
        ticket.exchange_id = request.id
        ticket.shown.set()
        return replace(
            request,
            headers=tuple(pair for pair in request.headers if pair[0].lower() != HEADER),
            client=ticket.client,
            is_operators=True,
            replay_of=ticket.replay_of,
        )


def _digest(word: bytes) -> bytes:
    return hashlib.sha256(word).digest()
