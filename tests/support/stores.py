"""Stores of counters, as tests want them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from llmitm.secret import Secret
from llmitm.state.kinds import in_us
from llmitm.state.memory import MemoryStore
from llmitm.state.place import Place
from llmitm.state.redis import RedisStore
from llmitm.state.store import Outcome, Step, Store, StoreBegunAnew, StoreUnavailable
from support.clocks import HandClock
from support.redis_server import RedisServer


def redis_store(server: RedisServer, clock: HandClock | None = None, timeout_s: float = 5) -> RedisStore:
    """On the server's own time without a clock. The patience is for slow machines."""
    now_us = None if clock is None else (lambda: in_us(clock.tick_s()))
    return RedisStore(Place.of(Secret(server.url)), timeout_s=timeout_s, now_us=now_us)


class Away:
    """A shared store that can be sent away. `loses`: it does the steps, and its answer is lost."""

    def __init__(self, clock: HandClock, kept: Store | None = None) -> None:
        """`kept`: what several of these reach."""
        self.kept: Store = MemoryStore(clock) if kept is None else kept
        self.is_away = False
        self.loses = False
        self.asked = 0
        self.is_closed = False
        self.hold: asyncio.Event | None = None
        self.answers: int | None = None
        """So many, and then it is away."""
        self.lost_from: int | None = None
        """From which answer on they are lost."""
        self._known = self.kept

    async def apply(self, steps: Sequence[Step]) -> Outcome:
        self.asked += 1
        if self.hold is not None:
            await self.hold.wait()
        loses = self.loses or (self.lost_from is not None and self.asked >= self.lost_from)
        if loses:
            await self.kept.apply(steps)
        if self.answers is not None:
            self.answers -= 1
            self.is_away = self.answers < 0
        if self.is_away or loses:
            raise StoreUnavailable("redis://there:6379/0 gives no answer within 250 ms")
        if self._known is not self.kept:
            self._known = self.kept
            raise StoreBegunAnew("redis://there:6379/0 has begun anew, with nothing")
        return await self.kept.apply(steps)

    async def until(self, asked: int) -> None:
        """So many times."""
        while self.asked < asked:
            await asyncio.sleep(0)

    async def close(self) -> None:
        self.is_closed = True
