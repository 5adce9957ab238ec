"""An event loop whose time is not the world's: it jumps to the next moment at which something is due."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Coroutine
from typing import Any

from llmitm.clock import SystemClock

BEGAN_S = 1_000.0


class _Selector(selectors.DefaultSelector):
    """Never waits."""

    loop: SimulatedLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everything waits, and nothing will ever happen")
        self.loop.at_s += max(timeout, 0.0)
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """For code that opens no connections."""

    def __init__(self) -> None:
        self.at_s = BEGAN_S
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.at_s


class SimulatedClock(SystemClock):
    """The time of such a loop. `chance` is what is drawn; None draws from a seeded generator."""

    def __init__(self, chance: float | None = None, seed: int = 1) -> None:
        self.drawn = chance
        self._random = random.Random(seed)
        self.slept_s: list[float] = []

    def tick_s(self) -> float:
        return asyncio.get_running_loop().time()

    def now_s(self) -> float:
        return 1_790_000_000.0 + self.tick_s()

    async def sleep(self, duration_s: float) -> None:
        self.slept_s.append(duration_s)
        await asyncio.sleep(duration_s)

    def chance(self) -> float:
        return self._random.random() if self.drawn is None else self.drawn


def simulate[T](main: Coroutine[Any, Any, T]) -> T:
    """Runs it to its end in no time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(main)
