"""How often each of several has its turn. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

MOST: Final = 10_000


def whole(amounts: Sequence[float]) -> list[int]:
    """Whole numbers from 1 in the same proportion, as small as they can be."""
    exact = [Fraction(str(amount)) for amount in amounts]
    scale = math.lcm(*(one.denominator for one in exact))
    scaled = [int(one * scale) for one in exact]
    shared = math.gcd(*scaled) or 1
    turns = [one // shared for one in scaled]
    most = max(turns)
    if most > MOST:
        turns = [round(one * MOST / most) for one in turns]
    return [max(one, 1) for one in turns]
