"""Gemini's token counts, read and written. Pure.

Its output count leaves out what was thought; its input count leaves out what hosted tools fed back.
Counts of zero are left out of the JSON.
"""

from __future__ import annotations

from typing import Any, Final

from llmitm.exchange import Usage
from llmitm.translate.billed import special_tier
from llmitm.translate.reading import counted

TIERS: Final = {"STANDARD": "default", "FLEX": "flex", "PRIORITY": "priority"}
"""Gemini's words for tiers by the neutral ones."""
_TRAFFIC: Final = {
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_PRIORITY": "priority",
    "PROVISIONED_THROUGHPUT": "provisioned",
}
"""Vertex's words for them; what is provisioned was paid for beforehand."""
_SIDES: Final = (
    "promptTokenCount",
    "toolUsePromptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
)


def _count(value: Any) -> int | None:
    """An int64 may be written as a string."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    return counted(value)


def _by_modality(details: Any, modality: str) -> int | None:
    if not isinstance(details, list):
        return None
    for one in details:
        if isinstance(one, dict) and one.get("modality") == modality:
            return _count(one.get("tokenCount"))
    return None


def read_usage(told: dict[str, Any]) -> Usage | None:
    """None where there are no counts. A cache that is counted beside the input is added to it."""
    prompt, fed_back = _count(told.get("promptTokenCount")), _count(told.get("toolUsePromptTokenCount"))
    visible, thought = _count(told.get("candidatesTokenCount")), _count(told.get("thoughtsTokenCount"))
    total, cached = _count(told.get("totalTokenCount")), _count(told.get("cachedContentTokenCount"))
    into = None if prompt is None and fed_back is None else (prompt or 0) + (fed_back or 0)
    out = None if visible is None and thought is None else (visible or 0) + (thought or 0)
    if into is None and out is None and total is None:
        return None
    if out is None and into is not None and total is not None:
        out = max(0, total - into)
    if cached is not None and into is not None and cached > into:
        into += cached
    return Usage(
        input_tokens=into,
        output_tokens=out,
        cache_read_tokens=cached,
        tool_prompt_tokens=fed_back,
        reasoning_tokens=thought,
        audio_in_tokens=_by_modality(told.get("promptTokensDetails"), "AUDIO"),
        audio_out_tokens=_by_modality(told.get("candidatesTokensDetails"), "AUDIO"),
        image_in_tokens=_by_modality(told.get("promptTokensDetails"), "IMAGE"),
        image_out_tokens=_by_modality(told.get("candidatesTokensDetails"), "IMAGE"),
        cached_audio_tokens=_by_modality(told.get("cacheTokensDetails"), "AUDIO"),
        cached_image_tokens=_by_modality(told.get("cacheTokensDetails"), "IMAGE"),
        tier=_paid_tier(told),
    )


def adds_up(told: dict[str, Any]) -> bool:
    """Whether these counts are all there are: their total is their sum."""
    total = _count(told.get("totalTokenCount"))
    return bool(total) and total == sum(_count(told.get(name)) or 0 for name in _SIDES)


def write_usage(usage: Usage) -> dict[str, int]:
    """`usageMetadata`: what is unknown is left out."""
    into, out, thought = usage.input_tokens, usage.output_tokens, usage.reasoning_tokens
    if out is not None and thought is not None:
        thought = min(thought, out)  # hosts whose sums do not add up: the whole is what is paid
    counts = {
        "promptTokenCount": None if into is None else max(0, into - (usage.tool_prompt_tokens or 0)),
        "cachedContentTokenCount": usage.cache_read_tokens or None,
        "candidatesTokenCount": None if out is None else out - (thought or 0),
        "toolUsePromptTokenCount": usage.tool_prompt_tokens or None,
        "thoughtsTokenCount": thought or None,
        "totalTokenCount": None if into is None and out is None else (into or 0) + (out or 0),
    }
    return {name: count for name, count in counts.items() if count is not None}


def _paid_tier(told: dict[str, Any]) -> str | None:
    traffic = told.get("trafficType")
    known = _TRAFFIC.get(traffic) if isinstance(traffic, str) else None
    return special_tier(told.get("serviceTier")) or known


def read_tier(told: dict[str, Any]) -> str | None:
    """The tier that served the request, as the counts name it."""
    word = told.get("serviceTier")
    return TIERS.get(word.upper()) if isinstance(word, str) else None
