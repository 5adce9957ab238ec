"""Signs of life for a client that waits, around everything that may take its time.

The first of them spends the status line: what fails after it is told in the body.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from llmitm.clock import Clock
from llmitm.config.schema import Streaming
from llmitm.exchange import Dialect, ResponseHead
from llmitm.send.heartbeat import with_heartbeat

type Steps = AsyncGenerator[ResponseHead | bytes]

_COMMENT: Final = b": keepalive\n\n"
_PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
_BLANK: Final = b" "
_COMMENTED: Final = frozenset({Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES, Dialect.ANTHROPIC_MESSAGES})
"""Gemini's SDK reads every line of a stream as data: its clients get none there."""
_WITHIN: Final[Mapping[Dialect, bytes]] = {Dialect.ANTHROPIC_MESSAGES: _PING}
"""What a stream that has begun says in place of a comment. A ping stands within a message only."""
_TYPES: Final = {True: b"text/event-stream; charset=utf-8", False: b"application/json"}


@dataclass(slots=True, kw_only=True)
class Beating:
    """The steps of an exchange with heartbeats between them."""

    dialect: Dialect
    is_events: bool
    """Whether the client waits for an event stream; else for a JSON body."""
    streaming: Streaming
    clock: Clock
    is_spent: bool = False
    """A heartbeat went out before the answer: the client has been told 200."""
    _head: ResponseHead | None = None

    async def steps(self, steps: Steps) -> Steps:
        """Raises what `steps` raises."""
        interval_s, after_s = self._times_s()
        if interval_s <= 0:
            async with aclosing(steps):
                async for step in steps:
                    yield step
            return
        pieces = with_heartbeat(
            self._pieces(steps), interval_s=interval_s, after_s=after_s, beat=self._beat, clock=self.clock
        )
        has_begun = False
        try:
            async for piece in pieces:
                if not has_begun:
                    has_begun = True
                    self.is_spent = self._head is None
                    yield self._head or self._spare_head()
                if piece:
                    yield piece
        finally:
            await pieces.aclose()

    def _times_s(self) -> tuple[float, float]:
        if not self.is_events:
            return self.streaming.non_stream_keepalive_s, self.streaming.non_stream_keepalive_s
        if self.dialect not in _COMMENTED:
            return 0, 0
        return self.streaming.heartbeat_s, self.streaming.heartbeat_after_s

    def _beat(self) -> bytes:
        if not self.is_events:
            return _BLANK
        return _COMMENT if self._head is None else _WITHIN.get(self.dialect, _COMMENT)

    async def _pieces(self, steps: Steps) -> AsyncIterator[bytes]:
        async with aclosing(steps):
            async for step in steps:
                if isinstance(step, bytes):
                    yield step
                    continue
                self._head = step
                yield step.whole or b"" if self.is_spent else b""

    def _spare_head(self) -> ResponseHead:
        headers = ((b"content-type", _TYPES[self.is_events]), (b"cache-control", b"no-cache"))
        return ResponseHead(status=200, reason=b"OK", headers=headers)
