"""Smooth weighted round-robin, as a cycle that can be laid out beforehand. Pure."""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import Final

LONGEST: Final = 4096
"""A cycle is no longer than this, unless there are more to choose from."""


@lru_cache(maxsize=1024)
def cycle(weights: tuple[int, ...]) -> tuple[int, ...]:
    """One round of indexes in which each stands as often as its weight says, spread evenly.

    `(3, 1)` gives 0 0 1 0: the heavy one is never used in one burst. What has weight 0 is not in it. The
    same counter on several machines gives the same order. Where the weights, their common divisor taken
    out, add up to more than `LONGEST`, they are rounded to fit, none of them to nothing.

    Raises:
        ValueError: there is nothing to choose from, or a weight is negative.
    """
    if min(weights, default=0) < 0 or not any(weights):
        raise ValueError("weights are at least 0, and one of them is more")
    shares = _shares(weights)
    total = sum(shares)
    standing = [0] * len(shares)
    order = []
    for _ in range(total):
        standing = [now + share for now, share in zip(standing, shares, strict=True)]
        chosen = max(range(len(shares)), key=lambda at: (standing[at], -at))
        standing[chosen] -= total
        order.append(chosen)
    return tuple(order)


def pick(weights: tuple[int, ...], number: int) -> int:
    """The index whose turn it is the `number`th time, counted from 0, round after round.

    Raises:
        ValueError: as `cycle`.
    """
    order = cycle(weights)
    return order[number % len(order)]


def _shares(weights: tuple[int, ...]) -> list[int]:
    divisor = gcd(*weights)
    shares = [weight // divisor for weight in weights]
    total = sum(shares)
    if total <= LONGEST:
        return shares
    return [max(1, share * LONGEST // total) if share else 0 for share in shares]
