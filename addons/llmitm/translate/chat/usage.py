"""Token counts of chat, read and written. Pure."""

from __future__ import annotations

from typing import Any, Final

from llmitm.exchange import Usage
from llmitm.translate.billed import reported_usd_nano, special_tier
from llmitm.translate.reading import count_in

TOOLS: Final = ("web_search_requests", "web_fetch_requests")
"""What OpenRouter counts of the tools that it runs."""


def read_usage(counts: Any, tier: Any = None, model: Any = None) -> Usage | None:
    """None where there are none; `tier` and `model` are what stands beside them.

    Repairs are made on what the numbers themselves say: of hosts that count reasoning beside the output, and
    of hosts that count the cache beside the input. Gemini's own host says only in the total what was thought.
    """
    if not isinstance(counts, dict):
        return None
    into, out = count_in(counts, "prompt_tokens"), count_in(counts, "completion_tokens")
    if into is None and out is None:
        return None
    read, made = counts.get("prompt_tokens_details"), counts.get("completion_tokens_details")
    reasoning = count_in(made, "reasoning_tokens")
    total = count_in(counts, "total_tokens")
    if reasoning and into is not None and out is not None and total == into + out + reasoning:
        out += reasoning
    elif reasoning is None and into is not None and out is not None and total is not None:
        if total > into + out and isinstance(model, str) and "gemini" in model.lower():
            reasoning, out = total - into - out, total - into
    cached = count_in(read, "cached_tokens")
    if cached is None:
        cached = count_in(counts, "prompt_cache_hit_tokens")
    if cached is None:
        cached = count_in(counts, "cached_tokens")
    if cached is not None and into is not None and cached > into:
        into += cached
    tools = counts.get("server_tool_use_details")
    return Usage(
        input_tokens=into,
        output_tokens=out,
        cache_read_tokens=cached,
        cache_write_tokens=count_in(read, "cache_write_tokens"),
        reasoning_tokens=reasoning,
        audio_in_tokens=count_in(read, "audio_tokens"),
        audio_out_tokens=count_in(made, "audio_tokens"),
        image_in_tokens=count_in(read, "image_tokens"),
        image_out_tokens=count_in(made, "image_tokens"),
        predicted_ok_tokens=count_in(made, "accepted_prediction_tokens"),
        predicted_rejected_tokens=count_in(made, "rejected_prediction_tokens"),
        server_tools=tuple((tool, used) for tool in TOOLS if (used := count_in(tools, tool))),
        tier=special_tier(tier),
        reported_usd_nano=reported_usd_nano(counts),
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    """Of the details, those that are known."""
    into, out = usage.input_tokens or 0, usage.output_tokens or 0
    counts: dict[str, Any] = {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}
    read = {
        "cached_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "audio_tokens": usage.audio_in_tokens,
        "image_tokens": usage.image_in_tokens,
    }
    made = {
        "reasoning_tokens": usage.reasoning_tokens,
        "audio_tokens": usage.audio_out_tokens,
        "accepted_prediction_tokens": usage.predicted_ok_tokens,
        "rejected_prediction_tokens": usage.predicted_rejected_tokens,
    }
    for name, counted in (("prompt_tokens_details", read), ("completion_tokens_details", made)):
        known = {key: value for key, value in counted.items() if value is not None}
        if known:
            counts[name] = known
    return counts
