"""Time and chance, passed in so that tests drive both by hand."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Protocol


class Clock(Protocol):
    def now_s(self) -> float:
        """Seconds since the epoch: for what people read."""

    def tick_s(self) -> float:
        """Monotonic seconds: for durations and deadlines."""

    async def sleep(self, duration_s: float) -> None: ...

    def chance(self) -> float:
        """A number in [0, 1)."""


class SystemClock:
    now_s = staticmethod(time.time)
    tick_s = staticmethod(time.perf_counter)
    sleep = staticmethod(asyncio.sleep)
    chance = staticmethod(random.random)
