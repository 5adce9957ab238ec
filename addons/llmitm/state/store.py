"""Counters that several processes may share: limits, rotation, cooldowns.

One exchange touches several; they change together or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One counter's change."""

    key: str
    by: int = 1
    limit: int | None = None
    """The batch is refused where the counter would rise above it; None: no limit."""
    ttl_s: float | None = None
    """How long a counter that did not exist lives; None: for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    values: tuple[int, ...]
    """The counters after the batch, in its order; where it was refused, as they stand."""
    refused: int | None = None
    """Index of the first step over its limit; None: all were done."""


class Store(Protocol):
    async def apply(self, steps: Sequence[Step]) -> Outcome:
        """Does all steps, or none where one is over its limit. Atomic."""

    async def close(self) -> None: ...
