"""Token counts of Anthropic messages, where the input excludes the cache. Pure."""

from __future__ import annotations

from typing import Any

from llmitm.exchange import Usage
from llmitm.translate.billed import special_tier
from llmitm.translate.reading import count_in


def read_usage(counts: Any) -> Usage | None:
    """None where there are none. In a stream only some may be told: see `Counted`."""
    return Counted().add(counts) if isinstance(counts, dict) else None


class Counted:
    """Adds up what the events of one stream tell: counts are cumulative and replace one another."""

    __slots__ = ("_geo", "_known", "_speed", "_tier")

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._tier: Any = None
        self._speed: Any = None
        self._geo: Any = None

    def add(self, counts: dict[str, Any]) -> Usage:
        """What is known after these counts. A later 0 never replaces a known count of the input side."""
        split = counts.get("cache_creation")
        short, long = (count_in(split, f"ephemeral_{lasts}_input_tokens") for lasts in ("5m", "1h"))
        written = count_in(counts, "cache_creation_input_tokens")
        if written is None and (short is not None or long is not None):
            written = (short or 0) + (long or 0)
        for name, value in (
            ("input_tokens", count_in(counts, "input_tokens")),
            ("cache_read_input_tokens", count_in(counts, "cache_read_input_tokens")),
            ("cache_creation_input_tokens", written),
            ("1h", long),
        ):
            if value or (value == 0 and name not in self._known):
                self._known[name] = value
        for name, place in (
            ("output_tokens", counts),
            ("thinking_tokens", counts.get("output_tokens_details")),
        ):
            value = count_in(place, name)
            if value is not None:
                self._known[name] = value
        for name in ("web_search_requests", "web_fetch_requests"):
            value = count_in(counts.get("server_tool_use"), name)
            if value:
                self._known[name] = value
        self._tier = counts.get("service_tier") or self._tier
        self._speed = counts.get("speed") or self._speed
        self._geo = counts.get("inference_geo") or self._geo
        known = self._known
        sides = (
            known.get("input_tokens"),
            known.get("cache_read_input_tokens"),
            known.get("cache_creation_input_tokens"),
        )
        tools = ("web_search_requests", "web_fetch_requests")
        return Usage(
            input_tokens=None if sides == (None, None, None) else sum(one or 0 for one in sides),
            output_tokens=known.get("output_tokens"),
            cache_read_tokens=sides[1],
            cache_write_tokens=sides[2],
            cache_write_1h_tokens=known.get("1h"),
            reasoning_tokens=known.get("thinking_tokens"),
            server_tools=tuple((name, known[name]) for name in tools if name in known),
            tier="fast" if self._speed == "fast" else special_tier(self._tier),
            geo="us" if self._geo == "us" else None,
        )


def write_usage(usage: Usage | None) -> dict[str, Any]:
    """All that is known; zeros for what the type requires."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    read, made = usage.cache_read_tokens, usage.cache_write_tokens
    counts: dict[str, Any] = {"input_tokens": max(0, (usage.input_tokens or 0) - (read or 0) - (made or 0))}
    if made is not None:
        counts["cache_creation_input_tokens"] = made
        long = usage.cache_write_1h_tokens
        if long is not None:
            split = {"ephemeral_5m_input_tokens": max(0, made - long), "ephemeral_1h_input_tokens": long}
            counts["cache_creation"] = split
    if read is not None:
        counts["cache_read_input_tokens"] = read
    counts["output_tokens"] = usage.output_tokens or 0
    if usage.reasoning_tokens is not None:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return counts
