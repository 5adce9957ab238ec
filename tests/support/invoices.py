"""Invoices as files: what an API told, the sum that a person would write down for it, and what it comes to.

A line is `[provider |] model | API and what it told | sum | micro-dollars`; the first of them is the file's
name where it is left out. Words without a number are flags; `at`, `host` and `batch` are of the request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from llmitm.exchange import Usage
from llmitm.translate.chat.reply_in import read_reply as chat
from llmitm.translate.chat.usage import read_usage as counts_of_chat
from llmitm.translate.gemini.reply_in import read_reply as gemini
from llmitm.translate.messages.reply_in import read_reply as messages
from llmitm.translate.responses.reply_in import read_reply as responses

FOLDER: Final = Path(__file__).parents[1] / "record" / "invoices"
NOON: Final = "2026-11-15T12:30Z"

PLACES: Final[Mapping[str, Mapping[str, str]]] = {
    "chat": {
        "prompt": "usage.prompt_tokens",
        "completion": "usage.completion_tokens",
        "total": "usage.total_tokens",
        "cached": "usage.prompt_tokens_details.cached_tokens",
        "written": "usage.prompt_tokens_details.cache_write_tokens",
        "audio_in": "usage.prompt_tokens_details.audio_tokens",
        "image_in": "usage.prompt_tokens_details.image_tokens",
        "reasoning": "usage.completion_tokens_details.reasoning_tokens",
        "audio_out": "usage.completion_tokens_details.audio_tokens",
        "predicted": "usage.completion_tokens_details.accepted_prediction_tokens",
        "rejected": "usage.completion_tokens_details.rejected_prediction_tokens",
        "hit": "usage.prompt_cache_hit_tokens",
        "cached_top": "usage.cached_tokens",
        "cost": "usage.cost",
        "total_cost": "usage.cost.total_cost",
        "byok": "usage.cost_details.upstream_inference_cost",
        "ticks": "usage.cost_in_usd_ticks",
        "tier": "service_tier",
    },
    "embeddings": {"prompt": "usage.prompt_tokens"},
    "responses": {
        "input": "usage.input_tokens",
        "output": "usage.output_tokens",
        "cached": "usage.input_tokens_details.cached_tokens",
        "written": "usage.input_tokens_details.cache_write_tokens",
        "audio_in": "usage.input_tokens_details.audio_tokens",
        "image_in": "usage.input_tokens_details.image_tokens",
        "cached_audio": "usage.input_tokens_details.cached_tokens_details.audio_tokens",
        "cached_image": "usage.input_tokens_details.cached_tokens_details.image_tokens",
        "reasoning": "usage.output_tokens_details.reasoning_tokens",
        "audio_out": "usage.output_tokens_details.audio_tokens",
        "image_out": "usage.output_tokens_details.image_tokens",
        "tier": "service_tier",
    },
    "messages": {
        "input": "usage.input_tokens",
        "output": "usage.output_tokens",
        "read": "usage.cache_read_input_tokens",
        "written": "usage.cache_creation_input_tokens",
        "written_5m": "usage.cache_creation.ephemeral_5m_input_tokens",
        "written_1h": "usage.cache_creation.ephemeral_1h_input_tokens",
        "thinking": "usage.output_tokens_details.thinking_tokens",
        "searches": "usage.server_tool_use.web_search_requests",
        "fetches": "usage.server_tool_use.web_fetch_requests",
        "tier": "usage.service_tier",
        "speed": "usage.speed",
        "geo": "usage.inference_geo",
    },
    "gemini": {
        "prompt": "usageMetadata.promptTokenCount",
        "cached": "usageMetadata.cachedContentTokenCount",
        "tool": "usageMetadata.toolUsePromptTokenCount",
        "candidates": "usageMetadata.candidatesTokenCount",
        "thoughts": "usageMetadata.thoughtsTokenCount",
        "tier": "usageMetadata.serviceTier",
        "traffic": "usageMetadata.trafficType",
    },
}
"""By API: short words for the places where it tells things."""

_MEDIA: Final = {
    "audio_in": ("promptTokensDetails", "AUDIO"),
    "image_in": ("promptTokensDetails", "IMAGE"),
    "audio_out": ("candidatesTokensDetails", "AUDIO"),
    "image_out": ("candidatesTokensDetails", "IMAGE"),
    "cached_audio": ("cacheTokensDetails", "AUDIO"),
}
"""Where Gemini counts media."""


@dataclass(frozen=True, kw_only=True)
class Invoice:
    place: str
    provider: str
    model: str
    usage: Usage
    host: str | None
    at_s: float
    is_batch: bool
    sum: str
    usd_nano: Decimal


def invoices(name: str) -> Iterator[Invoice]:
    for number, line in enumerate((FOLDER / f"{name}.txt").read_text().splitlines(), 1):
        if line and not line.startswith("#"):
            *provider, model, told, formula, amount = line.split(" | ")
            api, *words = told.split()
            told_of = dict(word.partition("=")[::2] for word in words)
            at = datetime.fromisoformat(told_of.pop("at", NOON))
            yield Invoice(
                place=f"{name}:{number}",
                provider=provider[0] if provider else name,
                model=model,
                host=told_of.pop("host", None),
                is_batch=told_of.pop("batch", None) is not None,
                at_s=at.timestamp(),
                usage=usage_of(api, told_of, model),
                sum=formula,
                usd_nano=Decimal(amount) * 1000,
            )


def worked_out(formula: str) -> Decimal:
    """What a sum of decimals comes to, exactly."""
    if not re.fullmatch(r"[\d.+* ()]+", formula):
        raise ValueError(formula)
    value = eval(re.sub(r"[\d.]+", lambda found: f'Decimal("{found[0]}")', formula), {"Decimal": Decimal})
    assert isinstance(value, Decimal)
    return value


def usage_of(api: str, told: Mapping[str, str], model: str = "m") -> Usage:
    """What the gateway reads of a whole answer that tells these."""
    body: dict[str, Any] = {"model": "m", "id": "i"}
    for word, value in told.items():
        _put(body, api, word, value)
    found: Any
    match api:
        case "chat":
            body["model"] = model
            body["choices"] = [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]
            if "byok" in told:
                body["usage"]["is_byok"] = True
            found = chat(_bytes(body)).usage
        case "embeddings":
            found = counts_of_chat(body["usage"])
        case "responses":
            body |= {"status": "completed", "object": "response"}
            said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}
            body["output"] = [*body.get("output", ()), said]
            found = responses(_bytes(body)).usage
        case "messages":
            body |= {"type": "message", "content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn"}
            split = body["usage"].get("cache_creation")
            if split:
                body["usage"]["cache_creation_input_tokens"] = sum(split.values())
            found = messages(_bytes(body)).usage
        case "gemini":
            candidate = {"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}
            body["candidates"] = [candidate | body.pop("candidate", {})]
            found = gemini(_bytes(body)).usage
    assert isinstance(found, Usage), told
    return found


def _put(body: dict[str, Any], api: str, word: str, value: str) -> None:
    told: Any = float(value) if "." in value else int(value) if value.isdigit() else value
    if api == "gemini" and word in _MEDIA:
        name, modality = _MEDIA[word]
        details = body.setdefault("usageMetadata", {}).setdefault(name, [])
        details.append({"modality": modality, "tokenCount": told})
    elif api == "gemini" and word == "queries":
        body["candidate"] = {"groundingMetadata": {"webSearchQueries": [f"q{n}" for n in range(told)]}}
    elif api == "responses" and word in ("searches", "files"):
        kind = {"searches": "web_search_call", "files": "file_search_call"}[word]
        body["output"] = [*body.get("output", ()), *({"type": kind, "id": f"{kind}{n}"} for n in range(told))]
    else:
        *path, last = PLACES[api][word].split(".")
        at = body
        for step in path:
            at = at.setdefault(step, {})
        at[last] = told


def _bytes(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()
