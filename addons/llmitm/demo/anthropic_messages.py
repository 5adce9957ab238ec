"""The demonstration provider's Anthropic Messages, with the version rules that trip gateways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmitm.demo.answers import Answer, Call, Fields, Reply, answer_to, seal, split_words, sse, stream, whole
from llmitm.demo.ask import Ask, bad

MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-4-5")
VERSIONS = ("2023-06-01", "2026-10-21")
_SAMPLING = ("temperature", "top_p", "top_k")
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def headers(seed: str) -> Fields:
    return (
        ("request-id", f"req_demo{seed[:24]}"),
        ("anthropic-organization-id", "00000000-0000-4000-8000-000000000000"),
        ("anthropic-ratelimit-requests-limit", "4000"),
        ("anthropic-ratelimit-requests-remaining", "3999"),
        ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:01Z"),
    )


def error(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    kind = _KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    inner = {"type": kind, "message": message, "details": {"error_code": code} if code else None}
    return {"type": "error", "error": inner, "request_id": "req_demo"}


def error_event(status: int, message: str) -> bytes:
    return sse(error(status, message), "error")


def check(data: dict[str, Any], version: str | None) -> None:
    """What this API asks for beyond the messages.

    Raises:
        Refused: 400, no known version, a thread, no `max_tokens`, or sampling fields that it dropped.
    """
    if version not in VERSIONS:
        raise bad("anthropic-version: header is required" if not version else "anthropic-version: unknown")
    if "thread" in data:
        raise bad("thread: This request cannot be threaded.", "thread_unsupported_request")
    if "max_tokens" not in data:
        raise bad("max_tokens: Field required")
    for name in _SAMPLING:
        # refused by this version even at the default value
        if version == "2026-10-21" and name in data:
            raise bad(f"{name}: Extra inputs are not permitted")


def reply(ask: Ask) -> Reply:
    answer = answer_to(ask)
    if ask.stream:
        return stream(_events(ask, answer), headers=headers(ask.seed))
    return whole(_message(ask, answer, done=True), headers=headers(ask.seed))


def _block(ask: Ask, call: Call, *, done: bool) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": f"toolu_{ask.seed[:22]}{call.number:02}",
        "name": call.name,
        "input": call.arguments if done else {},
        "caller": {"type": "direct"},
    }


def _usage(ask: Ask, output_words: int) -> dict[str, Any]:
    return {
        "input_tokens": ask.input_words,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output_words,
        "service_tier": "standard",
        "inference_geo": "global",
    }


def _message(ask: Ask, answer: Answer, *, done: bool) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if done and answer.thought:
        content.append({"type": "thinking", "thinking": answer.thought, "signature": seal(ask)})
    if done and answer.calls:
        content += [_block(ask, call, done=True) for call in answer.calls]
    elif done:
        content.append({"type": "text", "text": answer.text, "citations": None})
    return {
        "id": f"msg_{ask.seed[:24]}",
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": content,
        "stop_reason": _stop_reason(answer) if done else None,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": _usage(ask, answer.output_words if done else 1),
    }


def _stop_reason(answer: Answer) -> str:
    return "tool_use" if answer.calls else "end_turn"


def _events(ask: Ask, answer: Answer) -> Iterator[bytes]:
    for event in _plain_events(ask, answer):
        yield sse(event, event["type"])


def _plain_events(ask: Ask, answer: Answer) -> Iterator[dict[str, Any]]:
    yield {"type": "message_start", "message": _message(ask, answer, done=False)}
    first = 0
    if answer.thought:
        thought = {"type": "thinking", "thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in split_words(answer.thought)]
        deltas.append({"type": "signature_delta", "signature": seal(ask)})
        yield from _block_events(0, thought, deltas)
        first = 1
    if answer.calls:
        for call in answer.calls:
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *call.pieces]]
            yield from _block_events(first + call.number, _block(ask, call, done=False), deltas)
    else:
        deltas = [{"type": "text_delta", "text": piece} for piece in split_words(answer.text)]
        yield from _block_events(first, {"type": "text", "text": "", "citations": None}, deltas)
    ending = {"stop_reason": _stop_reason(answer), "stop_sequence": None, "stop_details": None}
    usage = {
        "input_tokens": ask.input_words,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": answer.output_words,
    }
    yield {"type": "message_delta", "delta": ending, "usage": usage}
    yield {"type": "message_stop"}


def _block_events(
    index: int, block: dict[str, Any], deltas: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    yield {"type": "content_block_start", "index": index, "content_block": block}
    if index == 0:
        yield {"type": "ping"}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


COUNTED = frozenset(
    {
        *("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"),
        *("cache_control", "context_management", "mcp_servers", "speed", "betas"),
    }
)


def count(ask: Ask, data: dict[str, Any]) -> Reply:
    """Members that have nothing to do with the input are refused, as by the API itself."""
    if unknown := sorted(data.keys() - COUNTED):
        raise bad(f"{unknown[0]}: Extra inputs are not permitted")
    return whole({"input_tokens": ask.input_words}, headers=headers(ask.seed))


def models(name: str | None) -> Reply:
    def entry(model: str) -> dict[str, Any]:
        return {
            "type": "model",
            "id": model,
            "display_name": model.replace("-", " ").title(),
            "created_at": "2026-01-01T00:00:00Z",
            "lifecycle": "active",
            "max_input_tokens": 1_000_000,
            "max_tokens": 128_000,
        }

    if name:
        return whole(entry(name))
    page = {"data": [entry(model) for model in MODELS], "has_more": False}
    return whole({**page, "first_id": MODELS[0], "last_id": MODELS[-1]})
