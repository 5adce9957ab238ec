"""What a module of your own may define, and the values that it is given.

A file that `[hooks] modules` names may define any of these, as plain functions or as `async` ones. Each is
given a value and gives one back, changed with `dataclasses.replace`; None leaves it as it was.

    def on_request(request: Request) -> Request | Reply | None
    def on_attempt(attempt: Attempt) -> Attempt | None
    def on_delta(delta: Delta) -> Delta | list[Delta] | None
    def on_reply(reply: Reply) -> Reply | None

`FAIL = "closed"` or `"open"` says what becomes of an exchange where one of the module's functions fails:
refused, or carried on as if the function were not there. Where it is not said, `on_request` and `on_attempt`
are closed, and `on_delta` and `on_reply` open. `TIME_LIMIT_S` (5) is how long an `async` function may take.

All values of one exchange have the same `notes`, an empty dictionary at first: what one function puts there,
the others find.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client asked for in a call of a model. Only `model`, `headers` and `body` can be changed."""

    id: str = ""
    """Of the exchange, as the client is told it."""
    endpoint: str
    dialect: str
    """That the client speaks: openai-chat, openai-responses, anthropic-messages or gemini."""
    path: str
    """Within the endpoint, such as `v1/chat/completions`."""
    key: str | None
    """Name of the client's key; None where nobody is asked for one."""
    model: str | None = None
    """As body or path name it. Where it is changed it wins over what the body says."""
    headers: Mapping[str, str]
    """Names in lower case; those that hold keys and cookies are not among them, and stay as they are."""
    body: dict[str, Any]
    """In the client's dialect."""
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What one provider is about to be sent, in its dialect. Only `headers` and `body` can be changed."""

    id: str
    endpoint: str
    key: str | None
    number: int
    """1 for the first of an exchange; those that were skipped count."""
    provider: str
    credential: str | None
    """Its name, never the key; None where it is the client's own key that goes on."""
    model: str | None
    """As the provider spells it; None where that is not known."""
    dialect: str
    """That the provider is spoken to in."""
    method: str
    url: str
    """Without its query."""
    headers: Mapping[str, str]
    """As of a request. None of those that hold keys is among them, and none can be set."""
    body: dict[str, Any] | None
    """None where it is no JSON object, or not at hand: forms, files, live sessions, requests without one."""
    notes: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """One event of a stream, in the client's dialect. Only `body` can be changed."""

    id: str
    endpoint: str
    key: str | None
    dialect: str
    name: str | None
    """Of its `event:` line; None where it has none. It follows the body's `type` where that is changed."""
    body: dict[str, Any]
    notes: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer or an error, in the client's dialect, or what a stream has told, once it is over. Only
    `status`, `headers` and `body` can be changed, and of a stream nothing."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: dict[str, Any]
    is_stream: bool = False
    """Whether the client has got it already, event by event."""
    is_cut: bool = False
    """Of a stream: it broke off, or told of an error."""
    id: str = ""
    endpoint: str = ""
    key: str | None = None
    dialect: str = ""
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def saying(cls, request: Request, text: str) -> Reply:
        """An answer with this text in the client's dialect, for `on_request` to give in the model's place.
        A client that asked for a stream gets it as one."""
        from llmitm.trip.canned import reply_saying

        return cls(body=reply_saying(request.dialect, request.model or "", request.id, text))


class Refuse(Exception):
    """Raised by a function: the client is told so, in its own dialect. It counts as no failure."""

    def __init__(self, status: int, message: str, code: str = "refused_by_hook") -> None:
        super().__init__(status, message, code)
        self.status = status
        self.message = message
        self.code = code


class Skip(Exception):
    """Raised by `on_attempt`: this credential is not asked, and the next one is tried. The reason is for the
    log. It counts as no failure, of the function's or of the provider's."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
