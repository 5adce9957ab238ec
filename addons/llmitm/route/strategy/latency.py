"""Whoever usually begins to answer soonest.

An account of which nothing is known yet goes first, so that something becomes known. What is under way
counts too: else all would run to the quickest until it is no longer that.
"""

from __future__ import annotations

from typing import Any

from llmitm.route.choice import Choice
from llmitm.route.strategy.facts import Facts


def score(choice: Choice[Any], at: int, facts: Facts) -> float:
    usual_s = facts.latency_s(choice)
    under_way = facts.in_flight(choice) / choice.weight
    return under_way * 1e-3 if usual_s is None else usual_s * (1 + under_way)
