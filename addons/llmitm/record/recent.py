"""What came within the last minutes: how often, and how it is spread. Bounded, whatever comes. Pure.

Time is cut into slices. What is told is of the full slices that the window reaches and of the one that
has begun, so it covers the window and a slice at most beyond it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, log
from typing import Final

_GROWTH: Final = log(1.02)
"""Neighbouring cells differ by 2 %: what is told is within 1 % of the value that stands there."""
_LEAST_S: Final = 0.000_01
_MOST_S: Final = 100_000.0
"""Beyond these the outermost cells count: with them there are 1,164."""


@dataclass(frozen=True, slots=True)
class Spread:
    """What so many values were like."""

    count: int
    at_s: tuple[float | None, ...]
    """One a percentile that was asked for; None: there are no values."""
    most_s: float | None
    """The largest, exactly."""


class Durations:
    """Percentiles of the durations of the last minutes."""

    __slots__ = ("_kept", "_slice_s", "_slices")

    def __init__(self, window_s: float = 300, slices: int = 5) -> None:
        self._slice_s = window_s / slices
        self._kept = slices
        self._slices: deque[tuple[int, dict[int, int], list[float]]] = deque()
        """Of each slice: its number, how many fell into each cell, and the largest."""

    def add(self, duration_s: float, now_s: float) -> None:
        _, cells, most = self._slice(now_s)
        cell = ceil(log(min(max(duration_s, _LEAST_S), _MOST_S)) / _GROWTH)
        cells[cell] = cells.get(cell, 0) + 1
        if duration_s > most[0]:
            most[0] = duration_s

    def read(self, now_s: float, percentiles: Sequence[float] = (0.5, 0.9, 0.99)) -> Spread:
        """`percentiles` are shares of one, ascending. Each is the value that so many are not above."""
        self._slice(now_s)
        cells: dict[int, int] = {}
        for _, some, _ in self._slices:
            for cell, count in some.items():
                cells[cell] = cells.get(cell, 0) + count
        total = sum(cells.values())
        if not total:
            return Spread(0, (None,) * len(percentiles), None)
        found: list[float | None] = []
        seen, ordered = 0, iter(sorted(cells.items()))
        cell = 0
        for share in percentiles:
            while seen < max(1, ceil(share * total)):
                cell, count = next(ordered)
                seen += count
            found.append(exp((cell - 0.5) * _GROWTH))
        return Spread(total, tuple(found), max(most[0] for _, _, most in self._slices))

    def _slice(self, now_s: float) -> tuple[int, dict[int, int], list[float]]:
        number = int(now_s // self._slice_s)
        while self._slices and self._slices[0][0] < number - self._kept:
            self._slices.popleft()
        if not self._slices or self._slices[-1][0] != number:
            self._slices.append((number, {}, [0.0]))
        return self._slices[-1]


class Rate:
    """How many came within the last minute."""

    __slots__ = ("_slices",)

    def __init__(self) -> None:
        self._slices: deque[list[int]] = deque()
        """One a second: the second, and how many."""

    def add(self, now_s: float) -> None:
        self._slice(now_s)[1] += 1

    def read(self, now_s: float) -> int:
        self._slice(now_s)
        return sum(count for _, count in self._slices)

    def _slice(self, now_s: float) -> list[int]:
        second = int(now_s)
        while self._slices and self._slices[0][0] <= second - 60:
            self._slices.popleft()
        if not self._slices or self._slices[-1][0] != second:
            self._slices.append([second, 0])
        return self._slices[-1]
