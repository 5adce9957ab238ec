"""What a process and its children hold, looked at now and then, and what becomes of that over hours."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Final

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sample:
    at_s: float
    own_bytes: int
    """Of memory that is there, the process alone."""
    children_bytes: int
    descriptors: int


def sample(pid: int, at_s: float) -> Sample:
    """Raises `OSError` where the process is gone."""
    children = _children(pid)
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Sample(at_s, rss_bytes(pid), sum(map(rss_bytes, children)), descriptors)


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


@dataclass(frozen=True, slots=True)
class Slope:
    """A line through values over time."""

    a_s: float
    """What is added in a second."""
    error_a_s: float
    """The slope's standard error, as if each value were a measurement of its own."""

    @property
    def sure_a_s(self) -> float:
        """What it is at least, but for one case in forty."""
        return self.a_s - 2 * self.error_a_s


def slope(points: Sequence[tuple[float, float]]) -> Slope:
    """Least squares through (seconds, value); zero for fewer than three points."""
    count = len(points)
    if count < 3:
        return Slope(0.0, 0.0)
    middle_s = sum(at_s for at_s, _ in points) / count
    middle = sum(value for _, value in points) / count
    spread = sum((at_s - middle_s) ** 2 for at_s, _ in points)
    a_s = sum((at_s - middle_s) * (value - middle) for at_s, value in points) / spread
    left = sum((value - middle - a_s * (at_s - middle_s)) ** 2 for at_s, value in points)
    return Slope(a_s, sqrt(left / (count - 2) / spread))
