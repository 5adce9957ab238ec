"""Counters that several processes may share: limits, rotation, cooldowns.

One exchange touches several; they change together or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One counter's change. A counter that does not exist stands at 0."""

    key: str
    by: int = 1
    """0 only looks, and makes no counter."""
    limit: int | None = None
    """The batch is refused where this step would leave the counter above it, unless the step lowers the
    counter: what was taken can always be given back. None: no limit."""
    ttl_s: float | None = None
    """How long a counter that did not exist lives, in seconds from now; None: for ever. A counter that
    exists keeps its end, so that a window is as long as it was when it began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    values: tuple[int, ...]
    """The counters after each step of the batch; where it was refused, as they stand."""
    refused: int | None = None
    """Index of the first step over its limit; None: all were done."""


class Store(Protocol):
    async def apply(self, steps: Sequence[Step]) -> Outcome:
        """Does all steps in order, or none where one is over its limit. Atomic."""

    async def close(self) -> None: ...
