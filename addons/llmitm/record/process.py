"""How this process is: how late its event loop wakes, how much memory it has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from llmitm.clock import Clock
from llmitm.record.recent import Durations
from llmitm.record.series import Family, Histogram, gauge_of

PERIOD_S: Final = 1.0
_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class LoopLag:
    """How late the event loop wakes somebody who slept for a second: everybody waits so long then."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._late = Histogram(
            "llmitm_event_loop_lag_seconds",
            "How late the event loop woke a task that slept for a second.",
            bounds=_BOUNDS_S,
        )
        self._recent = Durations(window_s=60, slices=6)

    async def watch(self) -> None:
        """Measures for ever."""
        clock = self._clock
        while True:
            due_s = clock.tick_s() + PERIOD_S
            await clock.sleep(PERIOD_S)
            now_s = clock.tick_s()
            late_s = max(0.0, now_s - due_s)
            self._late.add(value=late_s)
            self._recent.add(late_s, now_s)

    def worst_s(self) -> float | None:
        """Of the last minute; None: nothing was measured."""
        return self._recent.read(self._clock.tick_s()).most_s

    def read(self) -> Iterator[Family]:
        yield self._late.read()
        yield gauge_of(
            "llmitm_event_loop_lag_worst_seconds",
            "The latest wake-up of the event loop within the last minute.",
            self.worst_s() or 0.0,
        )


def memory_bytes() -> int | None:
    """Resident memory of this process; None where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_bytes().split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
