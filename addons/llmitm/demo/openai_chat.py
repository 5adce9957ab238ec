"""The demonstration provider's OpenAI Chat Completions, and the small endpoints beside it."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from llmitm.demo.answers import (
    CREATED_S,
    DONE,
    Answer,
    Call,
    Fields,
    Reply,
    answer_to,
    split_words,
    sse,
    stream,
    whole,
)
from llmitm.demo.ask import Ask, bad

MODELS = ("gpt-6-sol", "gpt-6-luna", "text-embedding-3-small")
_KINDS: dict[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", "invalid_value"),
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "credit_balance_exhausted"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("requests", "rate_limit_exceeded"),
    503: ("service_unavailable_error", "server_is_overloaded"),
    529: ("service_unavailable_error", "server_is_overloaded"),
}


def headers(seed: str) -> Fields:
    return (
        ("x-request-id", f"req_demo{seed[:24]}"),
        ("openai-processing-ms", "7"),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-reset-requests", "6ms"),
    )


def error(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """The body of an error; `code` overrides what goes with the status."""
    kind, usual = _KINDS.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    return {"error": {"message": message, "type": kind, "param": None, "code": code or usual}}


def error_event(status: int, message: str) -> bytes:
    """An error in the middle of a stream; nothing follows it."""
    return sse(error(status, message))


def reply(ask: Ask) -> Reply:
    answer = answer_to(ask)
    if ask.stream:
        return stream(_events(ask, answer), headers=headers(ask.seed))
    choices = [
        {
            "index": index,
            "message": {
                "role": "assistant",
                "content": None if answer.calls else answer.choice_text(index),
                "refusal": None,
                "annotations": [],
                **({"reasoning_content": answer.thought} if answer.thought else {}),
                **({"tool_calls": [_call(ask, call) for call in answer.calls]} if answer.calls else {}),
            },
            "logprobs": None,
            "finish_reason": "tool_calls" if answer.calls else "stop",
        }
        for index in range(ask.choices)
    ]
    head = _frame(ask, "chat.completion")
    return whole({**head, "choices": choices, "usage": _usage(ask, answer)}, headers=headers(ask.seed))


def _frame(ask: Ask, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{ask.seed[:29]}",
        "object": kind,
        "created": CREATED_S,
        "model": ask.model,
        "service_tier": "default",
        "system_fingerprint": "fp_demo",
    }


_FORMS = {False: ("function", "arguments"), True: ("custom", "input")}


def _call(ask: Ask, call: Call, *, arguments: str | None = None) -> dict[str, Any]:
    kind, member = _FORMS[call.is_custom]
    inner = {"name": call.name, member: call.text if arguments is None else arguments}
    return {"id": f"call_{ask.seed[:22]}{call.number:02}", "type": kind, kind: inner}


def _usage(ask: Ask, answer: Answer) -> dict[str, Any]:
    output = answer.output_words * ask.choices
    return {
        "prompt_tokens": ask.input_words,
        "completion_tokens": output,
        "total_tokens": ask.input_words + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.thought_words,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _events(ask: Ask, answer: Answer) -> Iterator[bytes]:
    frame = _frame(ask, "chat.completion.chunk")
    usage = {"usage": None} if ask.include_usage else {}

    def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse({**frame, "choices": [choice], **usage})

    for index in range(ask.choices):
        opening = {"role": "assistant", "content": None if answer.calls else "", "refusal": None}
        yield chunk(index, opening)
    # choices interleave, as they do on the real wire
    for deltas in zip_longest(*(_deltas(ask, answer, index) for index in range(ask.choices))):
        for index, delta in enumerate(deltas):
            if delta is not None:
                yield chunk(index, delta)
    for index in range(ask.choices):
        yield chunk(index, {}, "tool_calls" if answer.calls else "stop")
    if ask.include_usage:
        yield sse({**frame, "choices": [], "usage": _usage(ask, answer)})
    yield DONE


def _deltas(ask: Ask, answer: Answer, index: int) -> list[dict[str, Any]]:
    """One choice's deltas, between the one that opens it and the one that ends it."""
    deltas: list[dict[str, Any]] = [
        {"reasoning_content": piece} for piece in (split_words(answer.thought) if answer.thought else ())
    ]
    if not answer.calls:
        return deltas + [{"content": piece} for piece in split_words(answer.choice_text(index))]
    for call in answer.calls:
        deltas.append({"tool_calls": [{"index": call.number, **_call(ask, call, arguments="")}]})
        kind, member = _FORMS[call.is_custom]
        for piece in call.pieces:
            deltas.append({"tool_calls": [{"index": call.number, kind: {member: piece}}]})
    return deltas


def completion(ask: Ask) -> Reply:
    """The old text completions."""
    answer = answer_to(ask)
    frame = {**_frame(ask, "text_completion"), "id": f"cmpl-{ask.seed[:29]}"}

    def choices(text: str, finish: str | None) -> dict[str, Any]:
        return {"choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish}]}

    if not ask.stream:
        body = {**frame, **choices(answer.text, "stop"), "usage": _usage(ask, answer)}
        return whole(body, headers=headers(ask.seed))
    events = [sse({**frame, **choices(piece, None)}) for piece in split_words(answer.text)]
    events.append(sse({**frame, **choices("", "stop")}))
    if ask.include_usage:
        events.append(sse({**frame, "choices": [], "usage": _usage(ask, answer)}))
    return stream([*events, DONE], headers=headers(ask.seed))


EMBEDDED_SIZE = 8


def embeddings(data: dict[str, Any]) -> Reply:
    """Vectors made from a hash of each input: `EMBEDDED_SIZE` numbers, or `dimensions`."""
    given = data.get("input")
    inputs = [given] if isinstance(given, str) else given
    if isinstance(inputs, list) and inputs and all(isinstance(token, int) for token in inputs):
        inputs = [inputs]
    if not isinstance(inputs, list) or not inputs:
        raise bad("'input' must be a string or a list that is not empty.", "missing_required_parameter")
    size = data.get("dimensions") or EMBEDDED_SIZE
    words = sum(len(one.split()) if isinstance(one, str) else len(one) for one in inputs)
    vectors = []
    for index, one in enumerate(inputs):
        vector = vector_of(str(one), size)
        embedding: object = vector
        if data.get("encoding_format") == "base64":
            embedding = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        vectors.append({"object": "embedding", "index": index, "embedding": embedding})
    usage = {"prompt_tokens": words, "total_tokens": words}
    body = {"object": "list", "data": vectors, "model": data.get("model"), "usage": usage}
    return whole(body, headers=headers(hashlib.sha256(str(inputs).encode()).hexdigest()))


def vector_of(text: str, size: int) -> list[float]:
    """Numbers between -1 and 1 that float32 holds exactly."""
    digest = hashlib.shake_128(text.encode()).digest(size)
    return [(byte - 128) / 128 for byte in digest]


def models(name: str | None) -> Reply:
    def entry(model: str) -> dict[str, Any]:
        return {
            "id": model,
            "object": "model",
            "created": CREATED_S,
            "owned_by": "demo",
            "shutdown_date": None,
        }

    return whole(entry(name) if name else {"object": "list", "data": [entry(model) for model in MODELS]})
