"""What strategies may look at. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmitm.route.choice import Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    in_flight: Callable[[Choice[Any]], int] = lambda choice: 0
    """Attempts under way."""
    latency_s: Callable[[Choice[Any]], float | None] = lambda choice: None
    """Usual time to the first byte."""
    usd_per_mtok: Callable[[Choice[Any]], float | None] = lambda choice: None
    """What a million tokens cost about; None: unknown."""
    conversation: str = ""
    """The same for all turns of a conversation; empty where it cannot be told."""
