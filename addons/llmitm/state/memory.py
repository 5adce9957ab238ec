"""Counters of one process."""

from __future__ import annotations

from collections.abc import Sequence

from llmitm.clock import Clock
from llmitm.state.store import Outcome, Step

SWEEP_EVERY = 4096


class MemoryStore:
    """A `Store` in a dictionary. Atomic because nothing in it awaits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counters: dict[str, tuple[int, float | None]] = {}
        self._batches = 0

    async def apply(self, steps: Sequence[Step]) -> Outcome:
        now_s = self._clock.tick_s()
        self._batches += 1
        if self._batches % SWEEP_EVERY == 0:
            self._sweep(now_s)
        risen: dict[str, tuple[int, float | None]] = {}
        values: list[int] = []
        for at, step in enumerate(steps):
            value, until_s = risen.get(step.key) or self._counters.get(step.key, (0, None))
            if until_s is not None and until_s <= now_s:
                value, until_s = 0, None
            if value == 0 and until_s is None and step.ttl_s is not None:
                until_s = now_s + step.ttl_s
            value += step.by
            if step.limit is not None and value > step.limit:
                return Outcome(values=tuple(self._value(one.key, now_s) for one in steps), refused=at)
            risen[step.key] = (value, until_s)
            values.append(value)
        self._counters |= risen
        return Outcome(values=tuple(values))

    def _value(self, key: str, now_s: float) -> int:
        value, until_s = self._counters.get(key, (0, None))
        return 0 if until_s is not None and until_s <= now_s else value

    def _sweep(self, now_s: float) -> None:
        over = [
            key for key, (_, until_s) in self._counters.items() if until_s is not None and until_s <= now_s
        ]
        for key in over:
            del self._counters[key]

    async def close(self) -> None:
        self._counters.clear()
