"""What an operation of the admin API is, and what its handler is given and gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from pydantic import BaseModel

if TYPE_CHECKING:
    from llmitm.admin.desk import Desk
    from llmitm.control import Control
    from llmitm.world import World

BASE: Final = "/api/dashboard"
"""What all paths of the API begin with, but `/admin/...` and `/ws/dashboard`."""


class Role(IntEnum):
    """Each may do all that the one before it may."""

    VIEWER = 1
    """Sees everything but secrets."""
    OPERATOR = 2
    """Rests and revives, tests credentials, sends requests."""
    ADMIN = 3
    """Changes the configuration."""

    @classmethod
    def of(cls, name: str) -> Role:
        return cls[name.upper()]

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Somebody who has logged in."""

    name: str
    role: Role
    session: str
    """Of this login."""
    expires_s: float
    """When the token that was shown is over, in seconds since the epoch."""
    is_by_cookie: bool
    """Whether a browser sent the token of its own accord."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request to the admin API, checked."""

    desk: Desk
    who: Who | None
    """None where the operation asks for no login."""
    body: Any
    """As `Route.takes` reads it; None where it is None."""
    query: Any
    """As `Route.query` reads it; the parameters as they stand where it is None."""
    path: Mapping[str, str]
    """The variable parts of the path."""
    http: web.Request
    """For the few that need more: headers, bodies as they come, WebSockets."""

    @property
    def world(self) -> World:
        return self.desk.world

    @property
    def control(self) -> Control:
        return self.desk.control

    @property
    def by(self) -> str:
        """Who it is, for what is written down."""
        return self.who.name if self.who is not None else "anonymous"

    async def is_still_in(self) -> bool:
        """Whether the login that this came with still stands, for what goes on for long."""
        return self.who is not None and await self.desk.doorman.stands(self.who)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer that is more than 200 and a body."""

    status: int = 200
    body: BaseModel | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    media: str = "application/json"
    """Of a body of bytes."""


type Handler = Callable[[Asked], Awaitable[BaseModel | Answer | web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    """Whole, with `{name}` for its variable parts; `{name:.*}` takes slashes, too."""
    handler: Handler
    """Raises `Refused` for what is not done; LookupError counts as 404, ConfigError as 422."""
    role: Role | None
    """The least that is needed; None: no login."""
    takes: type[BaseModel] | None = None
    """What its JSON body is read as. None: the body is not read."""
    gives: type[BaseModel] | None = None
    """None: no JSON of a known shape."""
    errors: tuple[int, ...] = ()
    """Statuses beside 200, and those that any operation may answer with."""
    query: type[BaseModel] | None = None
    status: int = 200
    """When all is well."""
    is_free: bool = False
    """Whether it answers with any status and any content, as somebody else gives it."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers that it looks at, with what they say, such as If-Match."""

    @property
    def needs_body(self) -> bool:
        """Whether a request without a body is none: one that changes says what, if only `{}`."""
        if self.takes is None:
            return False
        return self.method == "PATCH" or any(one.is_required() for one in self.takes.model_fields.values())
