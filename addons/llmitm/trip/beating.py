"""Signs of life for a client that waits, around everything that may take its time.

The first of them spends the status line: what fails after it is told in the body. Once an event stream has
begun, whoever reads the upstream tells of its silence with empty pieces, so that a piece costs nothing here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from llmitm.clock import Clock
from llmitm.config.times import Streaming
from llmitm.exchange import Dialect, ResponseHead
from llmitm.send.heartbeat import beats_until

type Steps = AsyncGenerator[ResponseHead | bytes]

_COMMENT: Final = b": keepalive\n\n"
_PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
_BLANK: Final = b" "
_COMMENTED: Final = frozenset({Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES, Dialect.ANTHROPIC_MESSAGES})
"""Gemini's SDK reads every line of a stream as data: its clients get none there."""
_WITHIN: Final[Mapping[Dialect, bytes]] = {Dialect.ANTHROPIC_MESSAGES: _PING}
"""What a stream that has begun says in place of a comment. A ping stands within a message only."""
_TYPES: Final = {True: b"text/event-stream; charset=utf-8", False: b"application/json"}
_SEAMS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")


def times_s(streaming: Streaming, dialect: Dialect, *, is_events: bool) -> tuple[float, float]:
    """Seconds between heartbeats, 0: there are none; and before the first of an answer that has not begun."""
    if not is_events:
        return streaming.non_stream_keepalive_s, streaming.non_stream_keepalive_s
    if dialect not in _COMMENTED:
        return 0, 0
    return streaming.heartbeat_s, streaming.heartbeat_after_s


def silence_s(streaming: Streaming, dialect: Dialect) -> float | None:
    """For attempts whose answer is told as an event stream: see `Attempt.silence_s`."""
    return times_s(streaming, dialect, is_events=True)[0] or None


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
        """Without the empty pieces. Raises what `steps` raises."""
        interval_s, after_s = times_s(self.streaming, self.dialect, is_events=self.is_events)
        async with aclosing(steps):
            if interval_s > 0:
                async with aclosing(self._begun(steps, interval_s, after_s)) as begun:
                    async for step in begun:
                        yield step
            if interval_s > 0 and self.is_events:
                async for step in self._going(steps, interval_s):
                    yield step
            else:
                async for step in steps:
                    if step:
                        yield step

    async def _begun(self, steps: Steps, interval_s: float, after_s: float) -> Steps:
        """Heartbeats, and the first step."""

        async def first() -> ResponseHead | bytes:
            return await anext(steps)

        work = asyncio.ensure_future(first())
        beats = beats_until(work, interval_s=interval_s, after_s=after_s, clock=self.clock)
        try:
            async with aclosing(beats):
                async for _ in beats:
                    if not self.is_spent:
                        self.is_spent = True
                        yield self._spare_head()
                    yield self._beat()
        finally:
            if not work.done():
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
            elif not work.cancelled():
                work.exception()  # looked at, also where the client left before it was told
        head = work.result()
        assert isinstance(head, ResponseHead)
        self._head = head
        if not self.is_spent:
            yield head
        elif head.whole:
            yield head.whole

    async def _going(self, steps: Steps, interval_s: float) -> Steps:
        """What follows the head, and heartbeats between whole events."""
        clock = self.clock
        last_s = clock.tick_s()
        tail = _SEAMS[0]
        async for step in steps:
            if step:
                assert isinstance(step, bytes)
                tail = step if len(step) >= 4 else (tail + step)[-4:]
                yield step
                last_s = clock.tick_s()
            elif clock.tick_s() - last_s >= interval_s and tail.endswith(_SEAMS):
                yield self._beat()
                last_s = clock.tick_s()

    def _beat(self) -> bytes:
        if not self.is_events:
            return _BLANK
        return _COMMENT if self._head is None else _WITHIN.get(self.dialect, _COMMENT)

    def _spare_head(self) -> ResponseHead:
        headers = ((b"content-type", _TYPES[self.is_events]), (b"cache-control", b"no-cache"))
        return ResponseHead(status=200, reason=b"OK", headers=headers)
