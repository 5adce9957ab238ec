"""How many tries beyond the first there may be, so that trouble upstream is not multiplied."""

from __future__ import annotations

from collections import deque
from typing import Final

from llmitm.clock import Clock

WINDOW_S: Final = 10
AT_LEAST: Final = 50
"""Tries within the window that are always allowed: a share of few requests says nothing."""


class RetryBudget:
    """Within any 10 seconds, further tries are at most `ratio` of the requests that came, or 50.

    Time is cut into seconds. A second is looked at until all of it is older than the window, so that no 10
    seconds ever hold more.
    """

    __slots__ = ("_clock", "_slices", "ratio")

    def __init__(self, clock: Clock, ratio: float) -> None:
        self._clock = clock
        self.ratio = ratio
        self._slices: deque[list[int]] = deque()
        """One a second: the second, requests, further tries."""

    def _slice(self) -> list[int]:
        now = int(self._clock.tick_s())
        if not self._slices or self._slices[-1][0] != now:
            self._slices.append([now, 0, 0])
        while self._slices[0][0] < now - WINDOW_S:
            self._slices.popleft()
        return self._slices[-1]

    def began(self) -> None:
        """A request came in."""
        self._slice()[1] += 1

    def has_room(self) -> bool:
        """Whether there might be one more try now."""
        return self.left() > 0

    def left(self) -> int:
        """How many more tries there may be now."""
        self._slice()
        requests = sum(one[1] for one in self._slices)
        tries = sum(one[2] for one in self._slices)
        return max(0, max(AT_LEAST, int(self.ratio * requests)) - tries)

    def take(self) -> bool:
        """Whether there may be one more try; it is counted then."""
        if not self.has_room():
            return False
        self._slice()[2] += 1
        return True
