"""Counters of one process."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final

from llmitm.clock import Clock
from llmitm.state.store import Count, Outcome, Step

MOST_COUNTERS: Final = 200_000
"""About 40 MB."""

_NONE: Final = (0, None)


class MemoryStore:
    """A `Store` in a dictionary. Atomic because nothing in it awaits.

    Counters go when their time is over, or, where they have none, when they are back at 0. Beyond
    `most_counters`, those go first whose time would be over soonest; those without an end never do, since
    their names come from the configuration and not from clients.
    """

    __slots__ = ("_clock", "_counters", "_ends", "_most_counters")

    def __init__(self, clock: Clock, most_counters: int = MOST_COUNTERS) -> None:
        self._clock = clock
        self._most_counters = most_counters
        self._counters: dict[str, tuple[int, float | None]] = {}
        """Value, and the tick at which it is over."""
        self._ends: list[tuple[float, str]] = []
        """A heap. Entries that the counter's own end no longer equals are stale."""

    def __len__(self) -> int:
        """Counters held."""
        return len(self._counters)

    async def apply(self, steps: Sequence[Step]) -> Outcome:
        now_s = self._clock.tick_s()
        self._evict_over(now_s)
        changed: dict[str, tuple[int, float | None]] = {}
        values: list[int] = []
        for at, step in enumerate(steps):
            assert isinstance(step, Count)
            known = changed.get(step.key) or self._counters.get(step.key)
            value, until_s = known or _NONE
            value += step.by
            if step.limit is not None and value > step.limit and step.by >= 0:
                standing = (self._counters.get(one.key, _NONE) for one in steps)
                return Outcome(values=tuple(value for value, _ in standing), refused=at)
            values.append(value)
            if known is None:
                if step.by == 0:
                    continue
                until_s = None if step.ttl_s is None else now_s + step.ttl_s
            changed[step.key] = (value, until_s)
        self._keep(changed)
        return Outcome(values=tuple(values))

    def _keep(self, changed: dict[str, tuple[int, float | None]]) -> None:
        for key, (value, until_s) in changed.items():
            if value == 0 and until_s is None:
                self._counters.pop(key, None)
                continue
            if until_s is not None and key not in self._counters:
                heapq.heappush(self._ends, (until_s, key))
            self._counters[key] = (value, until_s)
        while len(self._counters) > self._most_counters and self._ends:
            self._drop(*heapq.heappop(self._ends))

    def _evict_over(self, now_s: float) -> None:
        while self._ends and self._ends[0][0] <= now_s:
            self._drop(*heapq.heappop(self._ends))

    def _drop(self, until_s: float, key: str) -> None:
        if self._counters.get(key, _NONE)[1] == until_s:
            del self._counters[key]

    async def close(self) -> None:
        self._counters.clear()
        self._ends.clear()
