"""The body of a client's request on its way into a journey."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from llmitm.errors import Refused, too_large

AHEAD_BYTES: Final = 262_144
"""How much of an upload waits here before the client is made to wait."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client may say nothing while it is waited for, and how long a body may take that must be
    there whole before anything is sent."""

    idle_s: float
    whole_s: float


class Upload:
    """The body of a client's request: an `exchange.Body` that the layer feeds."""

    def __init__(self, length: int | None, held: bytes | None, patience: Patience | None = None) -> None:
        """No `patience`: what comes is no body of a request, and may come whenever it likes."""
        self.held = held
        self.length = length
        self._patience = patience
        self._ends_s: float | None = None
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._ended = held is not None
        self._error: BaseException | None = None
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.taken_bytes = 0
        """How much the journey took since the last credit."""
        self.on_taken: Any = None

    @property
    def is_over(self) -> bool:
        return self._ended

    def put(self, data: bytes) -> None:
        if self._error is None:
            self._queue.append(data)
            self._queued_bytes += len(data)
            if self._queued_bytes > AHEAD_BYTES:
                self._room.clear()
            self._arrived.set()

    def end(self) -> None:
        self._ended = True
        self._arrived.set()

    def fail(self, error: BaseException) -> None:
        """Nobody reads on: what waits is thrown away, and what comes too."""
        self._error = error
        self._queue.clear()
        self._room.set()
        self._arrived.set()

    async def drain(self) -> None:
        """mitmproxy awaits this before it reads on from the client: the back-pressure."""
        await self._room.wait()

    async def pieces(self) -> AsyncIterator[bytes]:
        if self.held is not None:
            if self.held:
                yield self.held
            return
        while True:
            while self._queue:
                piece = self._queue.popleft()
                self._queued_bytes -= len(piece)
                if self._queued_bytes <= AHEAD_BYTES:
                    self._room.set()
                if self.on_taken is not None:
                    await self.on_taken(len(piece), not self._queue)
                yield piece
            if self._error is not None:
                raise self._error
            if self._ended:
                return
            self._arrived.clear()
            await self._more()

    async def _more(self) -> None:
        if self._patience is None:
            await self._arrived.wait()
            return
        left_s = self._patience.idle_s
        if self._ends_s is not None:
            left_s = min(left_s, self._ends_s - asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(left_s):
                await self._arrived.wait()
        except TimeoutError:
            raise Refused(408, "request_timeout", "The request's body did not come in time.") from None

    async def whole(self, limit_bytes: int) -> bytes:
        if self.held is None:
            if self.length is not None and self.length > limit_bytes:
                raise too_large(limit_bytes)
            if self._patience is not None:
                self._ends_s = asyncio.get_running_loop().time() + self._patience.whole_s
            collected = bytearray()
            async for piece in self.pieces():
                collected += piece
                if len(collected) > limit_bytes:
                    raise too_large(limit_bytes)
            self.held = bytes(collected)
        elif len(self.held) > limit_bytes:
            raise too_large(limit_bytes)
        return self.held
