"""What answers tell beside their tokens that decides what they cost. Pure."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from llmitm.translate.reading import count_if

STANDARD: Final = frozenset({"", "default", "standard", "auto", "on_demand", "standard_only"})
"""What tiers are called that cost what the price list says."""
_WORD: Final = re.compile(r"[a-z][a-z_ -]*")
_NANO: Final = Decimal(10**9)
_MOST_USD: Final = 10**9


def special_tier(word: Any) -> str | None:
    """In small letters, no longer than a word; None for a standard one, or none. What is no word of letters
    is `unknown`: upstreams may say anything, keys too."""
    low = word[:32].lower() if isinstance(word, str) else ""
    if low in STANDARD:
        return None
    return low if _WORD.fullmatch(low) else "unknown"


def reported_usd_nano(counts: dict[str, Any]) -> int | None:
    """What hosts say that an answer cost: `cost` in US dollars, whole or in parts, to which OpenRouter adds
    what it spent of the account's own key elsewhere; or xAI's ticks. None where they say nothing."""
    ticks = count_if(counts.get("cost_in_usd_ticks"))
    if ticks is not None:
        return _nano(Decimal(ticks).scaleb(-10)) if 0 <= ticks < 10**20 else None
    cost = counts.get("cost")
    usd = _usd(cost.get("total_cost") if isinstance(cost, dict) else cost)
    if usd is None:
        return None
    details = counts.get("cost_details")
    if counts.get("is_byok") is True and isinstance(details, dict):
        usd += _usd(details.get("upstream_inference_cost")) or 0
    return _nano(usd)


def _usd(value: Any) -> Decimal | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < _MOST_USD:
        return None
    return Decimal(repr(float(value)))


def _nano(usd: Decimal) -> int:
    return int((usd * _NANO).to_integral_value(ROUND_HALF_EVEN))
