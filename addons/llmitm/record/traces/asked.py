"""The parameters of a request, as a span tells of them. Pure; what cannot be read is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from llmitm.exchange import Dialect
from llmitm.record.traces.spans import Value

_MOST: Final = 2**63
_MOST_STOPS: Final = 16
_STOP_CHARACTERS: Final = 100
_WORD_CHARACTERS: Final = 64
_GEMINI: Final = "generationConfig"

type _Way = tuple[str, ...]


def _whole(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _WORD_CHARACTERS else None


def _words(value: Any) -> tuple[str, ...] | None:
    found = (value,) if isinstance(value, str) else value
    if not isinstance(found, list | tuple):
        return None
    return tuple(one[:_STOP_CHARACTERS] for one in found[:_MOST_STOPS] if isinstance(one, str)) or None


def _choices(value: Any) -> int | None:
    count = _whole(value)
    return None if count == 1 else count


def _form(value: Any) -> str | None:
    """Of `json_object`, `json_schema` and `application/json`: `json`."""
    return None if not isinstance(value, str) else "json" if "json" in value else "text"


_CHAT: Final[Mapping[_Way, tuple[str, Callable[[Any], Value | None]]]] = {
    ("max_tokens",): ("gen_ai.request.max_tokens", _whole),
    ("max_completion_tokens",): ("gen_ai.request.max_tokens", _whole),
    ("temperature",): ("gen_ai.request.temperature", _number),
    ("top_p",): ("gen_ai.request.top_p", _number),
    ("frequency_penalty",): ("gen_ai.request.frequency_penalty", _number),
    ("presence_penalty",): ("gen_ai.request.presence_penalty", _number),
    ("seed",): ("gen_ai.request.seed", _whole),
    ("stop",): ("gen_ai.request.stop_sequences", _words),
    ("n",): ("gen_ai.request.choice.count", _choices),
    ("stream",): ("gen_ai.request.stream", _truth),
    ("reasoning_effort",): ("gen_ai.request.reasoning.level", _word),
    ("encoding_format",): ("gen_ai.request.encoding_formats", _words),
    ("dimensions",): ("gen_ai.embeddings.dimension.count", _whole),
    ("service_tier",): ("openai.request.service_tier", _word),
    ("response_format", "type"): ("gen_ai.output.type", _form),
}
_RESPONSES: Final[Mapping[_Way, tuple[str, Callable[[Any], Value | None]]]] = {
    ("max_output_tokens",): ("gen_ai.request.max_tokens", _whole),
    ("temperature",): ("gen_ai.request.temperature", _number),
    ("top_p",): ("gen_ai.request.top_p", _number),
    ("stream",): ("gen_ai.request.stream", _truth),
    ("reasoning", "effort"): ("gen_ai.request.reasoning.level", _word),
    ("service_tier",): ("openai.request.service_tier", _word),
    ("text", "format", "type"): ("gen_ai.output.type", _form),
}
_MESSAGES: Final[Mapping[_Way, tuple[str, Callable[[Any], Value | None]]]] = {
    ("max_tokens",): ("gen_ai.request.max_tokens", _whole),
    ("temperature",): ("gen_ai.request.temperature", _number),
    ("top_p",): ("gen_ai.request.top_p", _number),
    ("top_k",): ("gen_ai.request.top_k", _whole),
    ("stop_sequences",): ("gen_ai.request.stop_sequences", _words),
    ("stream",): ("gen_ai.request.stream", _truth),
    ("output_config", "effort"): ("gen_ai.request.reasoning.level", _word),
}
_OF_GEMINI: Final[Mapping[_Way, tuple[str, Callable[[Any], Value | None]]]] = {
    (_GEMINI, "maxOutputTokens"): ("gen_ai.request.max_tokens", _whole),
    (_GEMINI, "temperature"): ("gen_ai.request.temperature", _number),
    (_GEMINI, "topP"): ("gen_ai.request.top_p", _number),
    (_GEMINI, "topK"): ("gen_ai.request.top_k", _whole),
    (_GEMINI, "frequencyPenalty"): ("gen_ai.request.frequency_penalty", _number),
    (_GEMINI, "presencePenalty"): ("gen_ai.request.presence_penalty", _number),
    (_GEMINI, "seed"): ("gen_ai.request.seed", _whole),
    (_GEMINI, "stopSequences"): ("gen_ai.request.stop_sequences", _words),
    (_GEMINI, "candidateCount"): ("gen_ai.request.choice.count", _choices),
    (_GEMINI, "thinkingConfig", "thinkingLevel"): ("gen_ai.request.reasoning.level", _word),
    (_GEMINI, "responseMimeType"): ("gen_ai.output.type", _form),
}
_TABLES: Final = {
    Dialect.OPENAI_CHAT: _CHAT,
    Dialect.OPENAI_RESPONSES: _RESPONSES,
    Dialect.ANTHROPIC_MESSAGES: _MESSAGES,
    Dialect.GEMINI: _OF_GEMINI,
}


def parameters(body: bytes, dialect: Dialect) -> dict[str, Value]:
    """By attribute, what a request in this dialect asks for."""
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    found: dict[str, Value] = {}
    for way, (name, read) in _TABLES[dialect].items():
        value = asked
        for key in way:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None and (told := read(value)) is not None:
            found[name] = told
    return found
