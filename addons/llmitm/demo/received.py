"""What arrived at the demonstration provider."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import orjson


@dataclass(slots=True, kw_only=True, eq=False)
class Received:
    """One request as it stood on the wire, filled in while it is read and answered."""

    method: str
    target: str
    """Path and query as sent."""
    headers: list[tuple[bytes, bytes]] = field(repr=False)
    """In the order and case of the wire."""
    peer: str
    """`host:port` of the connection it came on: equal for requests that shared one."""
    began_s: float
    """When its head had come, in the provider's clock's ticks."""
    body: bytes = field(default=b"", repr=False)
    """As sent, not decoded. Of an upload to /echo only the beginning."""
    body_bytes: int = 0
    body_sha256: str = ""
    """Only for /echo."""
    read_s: float | None = None
    """When its body had come whole; None if it never did."""
    ended_s: float | None = None
    """When the provider was done with it."""
    gone: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set when the peer left before its request or its answer was complete."""
    ended: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set when the provider is done with it, whatever happened."""

    @property
    def closed_early(self) -> bool:
        return self.gone.is_set()

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The last value of each name, decoded."""
        text = self.target.partition("?")[2]
        return {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}

    def header(self, name: bytes) -> bytes | None:
        """The first value of `name` (lower case), or None."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return None

    def text(self, name: bytes) -> str:
        """The same as text, empty where the header is absent."""
        return (self.header(name) or b"").decode("latin-1")

    def json(self) -> Any:
        """The body's JSON value."""
        return orjson.loads(self.body)
