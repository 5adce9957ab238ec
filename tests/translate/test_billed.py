"""What answers tell beside their tokens that decides what they cost: tiers, places, searches, amounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmitm.exchange import Usage
from llmitm.translate.billed import reported_usd_nano, special_tier
from llmitm.translate.chat.usage import read_usage as chat
from llmitm.translate.gemini.grounding import searches_in
from llmitm.translate.gemini.usage import read_usage as gemini
from llmitm.translate.messages.usage import read_usage as messages
from llmitm.translate.responses.facts import read_usage as responses

TIERS: dict[str, tuple[Any, str | None]] = {
    "none": (None, None),
    "standard": ("standard", None),
    "default": ("default", None),
    "groq's standard": ("on_demand", None),
    "an empty word": ("", None),
    "gemini's spelling": ("PRIORITY", "priority"),
    "a batch": ("batch", "batch"),
    "no word": (3, None),
    "a book": ("x" * 10_000, "x" * 32),
    "a key": ("sk-12345", "unknown"),
    "a tier of two words": ("data_zone-flex", "data_zone-flex"),
}


@pytest.mark.parametrize(("word", "tier"), TIERS.values(), ids=TIERS)
def test_standard_tiers_are_none(word: Any, tier: str | None) -> None:
    assert special_tier(word) == tier


TOLD: dict[str, tuple[dict[str, Any], int | None]] = {
    "nothing": ({}, None),
    "US dollars": ({"cost": 0.001605}, 1_605_000),
    "nothing to pay": ({"cost": 0}, 0),
    "half a nano-dollar goes to the even one": ({"cost": 0.0000000025}, 2),
    "in parts": ({"cost": {"request_cost": 0.005, "total_cost": 0.00503}}, 5_030_000),
    "parts without their sum": ({"cost": {"request_cost": 0.005}}, None),
    "ticks of a ten-billionth": ({"cost_in_usd_ticks": 709_500}, 70_950),
    "half a tick": ({"cost_in_usd_ticks": 25}, 2),
    "ticks before dollars": ({"cost_in_usd_ticks": 10, "cost": 5}, 1),
    "an own key elsewhere": (
        {"cost": 0.0001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.002}},
        2_100_000,
    ),
    "no own key": (
        {"cost": 0.002, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.002}},
        2_000_000,
    ),
    "an own key whose cost nobody tells": ({"cost": 0.1, "is_byok": True}, 100_000_000),
    "a text": ({"cost": "0.1"}, None),
    "truth": ({"cost": True}, None),
    "less than nothing": ({"cost": -1}, None),
    "no number": ({"cost": float("nan")}, None),
    "more than there is": ({"cost": 1e300}, None),
    "ticks below nothing": ({"cost_in_usd_ticks": -1}, None),
}


@pytest.mark.parametrize(("counts", "nano"), TOLD.values(), ids=TOLD)
def test_amounts_that_hosts_tell(counts: dict[str, Any], nano: int | None) -> None:
    assert reported_usd_nano(counts) == nano


READ: dict[str, tuple[Usage | None, dict[str, Any]]] = {
    "chat: images made, searches of the host": (
        chat(
            {
                "prompt_tokens": 1,
                "completion_tokens": 9,
                "completion_tokens_details": {"image_tokens": 8},
                "server_tool_use_details": {"web_search_requests": 2},
                "cost": 0.5,
            },
            "flex",
        ),
        {
            "image_out_tokens": 8,
            "server_tools": (("web_search_requests", 2),),
            "tier": "flex",
            "reported_usd_nano": 500_000_000,
        },
    ),
    "responses: what of the cache was audio": (
        responses(
            {
                "usage": {
                    "input_tokens": 9,
                    "input_tokens_details": {
                        "cached_tokens": 5,
                        "cached_tokens_details": {"audio_tokens": 3, "image_tokens": 1},
                    },
                },
                "service_tier": "priority",
            }
        ),
        {"cached_audio_tokens": 3, "cached_image_tokens": 1, "tier": "priority"},
    ),
    "responses: of a search's actions one is a search": (
        responses(
            {
                "usage": {"input_tokens": 9},
                "output": [
                    {"type": "web_search_call", "action": {"type": "search"}},
                    {"type": "web_search_call", "action": {"type": "open_page"}},
                    {"type": "web_search_call"},
                    {"type": "file_search_call"},
                    {"type": "message"},
                    None,
                ],
            }
        ),
        {"server_tools": (("web_search_requests", 2), ("file_search_requests", 1))},
    ),
    "responses: the API's own count of searches": (
        responses(
            {
                "usage": {"input_tokens": 9},
                "output": [{"type": "web_search_call"}],
                "tool_usage": {"web_search": {"num_requests": 3}},
            }
        ),
        {"server_tools": (("web_search_requests", 3),)},
    ),
    "messages: a place and a speed that cost more": (
        messages({"input_tokens": 1, "inference_geo": "us", "speed": "fast", "service_tier": "standard"}),
        {"geo": "us", "tier": "fast"},
    ),
    "messages: a place that does not": (
        messages({"input_tokens": 1, "inference_geo": "global", "speed": "standard"}),
        {"geo": None, "tier": None},
    ),
    "gemini: media of the cache and of the answer": (
        gemini(
            {
                "promptTokenCount": 9,
                "candidatesTokenCount": 9,
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 8}],
                "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}],
                "serviceTier": "flex",
            }
        ),
        {"image_out_tokens": 8, "cached_audio_tokens": 3, "tier": "flex"},
    ),
    "gemini on vertex: bought beforehand": (
        gemini({"promptTokenCount": 9, "trafficType": "PROVISIONED_THROUGHPUT"}),
        {"tier": "provisioned"},
    ),
    "gemini on vertex: as usual": (
        gemini({"promptTokenCount": 9, "trafficType": "ON_DEMAND"}),
        {"tier": None},
    ),
}


@pytest.mark.parametrize(("usage", "expected"), READ.values(), ids=READ)
def test_what_is_read_of_each_api(usage: Usage | None, expected: dict[str, Any]) -> None:
    assert {name: getattr(usage, name) for name in expected} == expected


SEARCHED: dict[str, tuple[Any, int]] = {
    "two, and one that asked for nothing": ({"webSearchQueries": ["a", "", "b"]}, 2),
    "none": ({}, 0),
    "no list": ({"webSearchQueries": "a"}, 0),
    "no object": (None, 0),
}


@pytest.mark.parametrize(("told", "searches"), SEARCHED.values(), ids=SEARCHED)
def test_searches_of_gemini(told: Any, searches: int) -> None:
    assert searches_in(told) == searches


@pytest.mark.parametrize("count", [-1, -(10**9), 10**12 + 1, 2**63, 1.5, True, "9", None, [9]])
@pytest.mark.parametrize("read", [chat, responses, messages])
def test_what_nobody_can_have_counted_is_unknown(read: Callable[..., Usage | None], count: Any) -> None:
    counts = dict.fromkeys(("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"), count)
    found = read({"usage": counts} if read is responses else counts)
    assert found is None or (found.input_tokens, found.output_tokens) == (None, None)


@pytest.mark.parametrize("count", [-1, "-1", 10**13, str(10**13), "9" * 30, 1.5, True, None])
def test_nor_gemini(count: Any) -> None:
    found = gemini({"promptTokenCount": count, "candidatesTokenCount": count, "totalTokenCount": 7})
    assert found is not None
    assert (found.input_tokens, found.output_tokens) == (None, None)
