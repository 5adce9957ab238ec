"""What the operator's configuration changes of an attempt, on its way out and back.

The joint of what `shape/` knows with the ways of `routed.py`. An attempt that nothing changes has no
`Shaping`, so what is not configured costs a look at None.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from llmitm.config.schema import Config, ProviderOptions
from llmitm.exchange import Attempt, ClientRequest, Headers, ResponseHead, UpstreamRequest
from llmitm.route.calls import Call
from llmitm.route.plan import Asked
from llmitm.translate.notes import Notes

type Steps = AsyncGenerator[ResponseHead | bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What rules may ask of an attempt before it is planned."""

    request: ClientRequest
    asked: Asked
    call: Call | None
    """None: a path that names no call of a model."""
    provider: str
    options: ProviderOptions | None
    """Of the credential, its provider's where it says nothing itself; None: the client's own key."""
    asked_model: str | None
    """As the client names it; None where that is not known."""
    model: str | None
    """As the provider spells it; None where that is not known."""
    auth_key: str | None
    """Name of the client's key."""
    is_strict: bool = False
    """Whether what would be told in a warning refuses the request."""


@dataclass(slots=True, kw_only=True)
class Shaping:
    """Made once for an attempt. `before`, `after` and `back` are called in this order, each at most once."""

    about: About
    config: Config
    notes: Notes
    """Told to the client, in `x-llmitm-warnings`."""

    def before(self, body: bytes) -> bytes:
        """The request in the client's dialect, before anything is made of it."""
        return body

    def after(self, sending: UpstreamRequest, attempt: Attempt) -> UpstreamRequest:
        """The request in the provider's dialect, `attempt.dialect`, as it would be sent."""
        return sending

    def back(self, steps: Steps) -> Steps:
        """The answer in the provider's dialect, before it is translated back or passed on."""
        return steps


def is_configured(config: Config, options: ProviderOptions | None) -> bool:
    """Whether anything may change an attempt with these options."""
    return False


def told(shaping: Shaping | None) -> Headers:
    """What the client of an answer that is passed on as it is learns of what was changed."""
    warnings = shaping.notes.header() if shaping is not None else None
    return () if warnings is None else ((b"x-llmitm-warnings", warnings),)
