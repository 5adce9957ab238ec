"""What bodies hold, for those who asked for it: the beginning of each, and how much there was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Final

from llmitm.exchange import Body, Headers, ResponseHead, UpstreamRequest

KEPT_BYTES: Final = 65_536
"""Of a body; what is longer is cut."""


class Seen:
    """So much of a body as has come by."""

    __slots__ = ("_held", "_most_bytes", "size_bytes")

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._held = bytearray()
        self.size_bytes = 0

    def add(self, piece: bytes) -> None:
        self.size_bytes += len(piece)
        if (left := self._most_bytes - len(self._held)) > 0:
            self._held += piece[:left]

    @property
    def kept_bytes(self) -> int:
        return len(self._held)

    @property
    def is_cut(self) -> bool:
        return self.size_bytes > len(self._held)

    def content(self) -> bytes:
        return bytes(self._held)


class Watched:
    """A client's body of which somebody sees what comes by."""

    __slots__ = ("_body", "_has_come", "_seen")

    def __init__(self, body: Body, seen: Seen) -> None:
        self._body = body
        self._seen = seen
        self._has_come = False
        self._take(body.held)

    @property
    def held(self) -> bytes | None:
        return self._body.held

    @property
    def length(self) -> int | None:
        return self._body.length

    async def pieces(self) -> AsyncIterator[bytes]:
        if self._has_come:  # read before, and held
            async for piece in self._body.pieces():
                yield piece
            return
        async for piece in self._body.pieces():
            self._seen.add(piece)
            yield piece

    async def whole(self, limit_bytes: int) -> bytes:
        body = await self._body.whole(limit_bytes)
        self._take(body)
        return body

    def _take(self, body: bytes | None) -> None:
        if body is not None and not self._has_come:
            self._has_come = True
            self._seen.add(body)


@dataclass(slots=True)
class Leg:
    """What one attempt sent, without the gateway's credentials, and what came back, as it came."""

    method: str
    url: str
    headers: Headers
    sent: Seen = field(default_factory=Seen)
    status: int | None = None
    """None: no answer came."""
    answered: Headers = ()
    said: Seen = field(default_factory=Seen)

    @classmethod
    def of(cls, request: UpstreamRequest) -> tuple[Leg, UpstreamRequest]:
        """The leg, and the request with a body that is seen as it goes."""
        leg = cls(request.method, request.url, request.headers)
        if request.is_upgrade:  # what goes by then are a session's messages
            return leg, request
        return leg, replace(request, body=Watched(request.body, leg.sent))

    def came(self, head: ResponseHead) -> None:
        self.status, self.answered = head.status, head.headers
        if head.whole is not None:
            self.said.add(head.whole)

    @property
    def kept_bytes(self) -> int:
        return self.sent.kept_bytes + self.said.kept_bytes
