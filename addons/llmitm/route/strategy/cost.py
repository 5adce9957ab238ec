"""Whoever is cheapest. Unknown prices come last: they are not free."""

from __future__ import annotations

from typing import Any

from llmitm.route.choice import Choice
from llmitm.route.strategy.facts import Facts


def score(choice: Choice[Any], at: int, facts: Facts) -> float:
    price = facts.usd_per_mtok(choice)
    return float("inf") if price is None else price
