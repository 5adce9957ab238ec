"""Whoever usually begins to answer soonest.

An account of which nothing is known goes first, so that something becomes known; one request finds that
out, and others meanwhile take it for a slow one. What is under way counts too: else all would run to the
quickest until it is no longer that.
"""

from __future__ import annotations

from typing import Any, Final

from llmitm.route.choice import Choice
from llmitm.route.strategy.facts import Facts

_GUESS_S: Final = 2.0
"""Of an account that is being tried out."""


def score(choice: Choice[Any], at: int, facts: Facts) -> float:
    usual_s = facts.latency_s(choice)
    under_way = facts.in_flight(choice) / choice.weight
    return under_way * _GUESS_S if usual_s is None else usual_s * (1 + under_way)
