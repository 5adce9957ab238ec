"""The first in the configuration that can; the others only while it rests."""

from __future__ import annotations

from typing import Any

from llmitm.route.choice import Choice
from llmitm.route.strategy.facts import Facts


def score(choice: Choice[Any], at: int, facts: Facts) -> float:
    return at
