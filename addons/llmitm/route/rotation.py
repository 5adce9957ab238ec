"""Smooth weighted round-robin, as a cycle that can be laid out beforehand. Pure."""

from __future__ import annotations

from functools import lru_cache
from math import gcd


@lru_cache(maxsize=1024)
def cycle(weights: tuple[int, ...]) -> tuple[int, ...]:
    """One round of indexes in which each stands as often as its weight says, spread evenly.

    `(3, 1)` gives 0 0 1 0: the heavy one is never used in one burst. Weights are at least 1; their common
    divisor is taken out. The same counter on several machines gives the same order.
    """
    divisor = gcd(*weights)
    shares = [weight // divisor for weight in weights]
    total = sum(shares)
    standing = [0] * len(shares)
    order = []
    for _ in range(total):
        standing = [now + share for now, share in zip(standing, shares, strict=True)]
        chosen = max(range(len(shares)), key=lambda at: (standing[at], -at))
        standing[chosen] -= total
        order.append(chosen)
    return tuple(order)
