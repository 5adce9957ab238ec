"""Whoever has the fewest attempts under way for its weight."""

from __future__ import annotations

from typing import Any

from llmitm.route.choice import Choice
from llmitm.route.strategy.facts import Facts


def score(choice: Choice[Any], at: int, facts: Facts) -> float:
    return facts.in_flight(choice) / choice.weight
