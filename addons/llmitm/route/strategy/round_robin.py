"""In turn, as often as each one's weight says, spread evenly: the rotation alone."""

from __future__ import annotations

from typing import Any

from llmitm.route.choice import Choice
from llmitm.route.strategy.facts import Facts


def score(choice: Choice[Any], at: int, facts: Facts) -> float:
    return 0
