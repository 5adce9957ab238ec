"""Numbers that grow, one by each set of labels: cheap to add to, read as a whole when somebody asks. Pure.

All of it belongs to one thread, the event loop's. A family holds at most so many series: the next ones are
added to one whose labels are all `other`, so that sums stay true whatever clients send.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

MOST_SERIES: Final = 1_000
"""Of a counter."""
MOST_HISTOGRAMS: Final = 200
"""Each of them is some 17 series."""
OTHER: Final = "other"

type Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a histogram holds for one set of labels."""

    up_to: tuple[int, ...]
    """Of each bound how many were not above it; the last one is all."""
    sum: float


type Point = tuple[Labels, float | Distribution]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric as it stands now. The name has its unit in it, and no `_total`."""

    name: str
    help: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: Labels
    points: Sequence[Point]
    bounds: tuple[float, ...] = ()
    """Of a histogram, without the infinite one."""


class Counter:
    """Sums. What is told is `scale` times what was added."""

    __slots__ = ("_help", "_labels", "_most", "_name", "_scale", "_values")

    def __init__(
        self, name: str, help: str, labels: Labels = (), *, scale: float = 1, most: int = MOST_SERIES
    ) -> None:
        self._name = name
        self._help = help
        self._labels = labels
        self._scale = scale
        self._most = most
        self._values: dict[Labels, float] = {}

    def add(self, *labels: str, by: float = 1) -> None:
        values = self._values
        try:
            values[labels] += by
            return
        except KeyError:
            pass
        if len(values) < self._most:
            values[labels] = by
        else:
            others = (OTHER,) * len(labels)
            values[others] = values.get(others, 0) + by

    def total(self) -> float:
        """Of all labels."""
        return sum(self._values.values()) * self._scale

    def by(self, label: str) -> dict[str, float]:
        """The sums by one of the labels."""
        at = self._labels.index(label)
        found: dict[str, float] = {}
        for labels, value in self._values.items():
            name = str(labels[at])  # members of an enumeration are no keys for JSON
            found[name] = found.get(name, 0) + value
        return {name: value * self._scale for name, value in found.items()}

    def read(self) -> Family:
        scale = self._scale
        points = [(labels, value * scale) for labels, value in self._values.items()]
        return Family(self._name, self._help, "counter", self._labels, points)


class Histogram:
    """How many were not above each of `bounds` (ascending), and their sum."""

    __slots__ = ("_bounds", "_help", "_labels", "_most", "_name", "_values")

    def __init__(
        self,
        name: str,
        help: str,
        labels: Labels = (),
        *,
        bounds: tuple[float, ...],
        most: int = MOST_HISTOGRAMS,
    ) -> None:
        self._name = name
        self._help = help
        self._labels = labels
        self._bounds = bounds
        self._most = most
        self._values: dict[Labels, list[float]] = {}
        """Of each: one count a bound, one of what is above them all, the sum."""

    def add(self, *labels: str, value: float) -> None:
        cells = self._values.get(labels)
        if cells is None:
            if len(self._values) >= self._most:
                labels = (OTHER,) * len(labels)
            cells = self._values.setdefault(labels, [0] * (len(self._bounds) + 1) + [0.0])
        cells[bisect_left(self._bounds, value)] += 1
        cells[-1] += value

    def sum(self) -> float:
        """Of all that was added."""
        return sum(cells[-1] for cells in self._values.values())

    def count(self) -> int:
        return sum(int(sum(cells[:-1])) for cells in self._values.values())

    def read(self) -> Family:
        points = [
            (labels, Distribution(tuple(int(one) for one in accumulate(cells[:-1])), cells[-1]))
            for labels, cells in self._values.items()
        ]
        return Family(self._name, self._help, "histogram", self._labels, points, self._bounds)


def gauge(name: str, help: str, labels: Labels = (), points: Sequence[Point] = ()) -> Family:
    return Family(name, help, "gauge", labels, points)


def gauge_of(name: str, help: str, value: float) -> Family:
    """A gauge without labels."""
    return Family(name, help, "gauge", (), [((), value)])


__all__ = ["OTHER", "Counter", "Distribution", "Family", "Histogram", "Labels", "gauge", "gauge_of"]
