"""What a module of your own may define, and the values that it is given.

A file that `[hooks] modules` names may define `on_request` and `on_reply`, plain functions or `async` ones.
Each is given a value and gives one back, changed with `dataclasses.replace`; None leaves it as it was.

    def on_request(request: Request) -> Request | Reply | None
    def on_reply(reply: Reply) -> Reply | None

`FAIL = "closed"` or `"open"` says what becomes of an exchange where one of the module's functions fails:
refused, or carried on as if the function were not there. Where it is not said, `on_request` is closed and
`on_reply` is open. `TIME_LIMIT_S` (5) is how long an `async` function may take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client asked for in a call of a model."""

    endpoint: str
    dialect: str
    """That the client speaks: openai-chat, openai-responses, anthropic-messages or gemini."""
    path: str
    """Within the endpoint, such as `v1/chat/completions`. Changing it changes nothing."""
    key: str | None
    """Name of the client's key; None where nobody is asked for one. Changing it changes nothing."""
    headers: Mapping[str, str]
    """Names in lower case; those that hold keys and cookies are not among them, and stay as they are."""
    body: dict[str, Any]
    """In the client's dialect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer, in the client's dialect. Streams and errors are none."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: dict[str, Any]


class Refuse(Exception):
    """Raised by a function: the client is told so, in its own dialect. It counts as no failure."""

    def __init__(self, status: int, message: str, code: str = "refused_by_hook") -> None:
        super().__init__(status, message, code)
        self.status = status
        self.message = message
        self.code = code
