"""What a reader learns of recordings that the vendor's own client stumbles over: from the JSON itself.

Hosts leave out indexes and deltas, number their enumerations, or change an id midway; the answer is there
all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from llmitm.exchange import Dialect
from support.normal.form import Form
from support.normal.partial import joined
from support.normal.replies import form_of

_GEMINI_WORDS: Final = ("", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "LANGUAGE", "BLOCKLIST")


def reply_unaided(dialect: Dialect, body: bytes) -> Form:
    reply = orjson.loads(body)
    if dialect is Dialect.GEMINI:
        _spell(reply)
    if dialect is Dialect.OPENAI_CHAT:
        for choice in reply["choices"]:
            message = choice["message"]
            if isinstance(message.get("content"), dict):  # JSON that was asked for
                message["content"] = orjson.dumps(message["content"]).decode()
    return form_of(dialect, reply)


def stream_unaided(dialect: Dialect, body: bytes) -> Form | None:
    """None: it does not end."""
    events = [event for event in _events(body) if isinstance(event, dict)]
    match dialect:
        case Dialect.OPENAI_CHAT:
            whole = _chat(events)
        case Dialect.OPENAI_RESPONSES:
            whole = _responses(events)
        case Dialect.GEMINI:
            whole = _gemini(events)
        case _:
            return None
    return form_of(dialect, whole) if whole else None


def _events(body: bytes) -> Iterator[Any]:
    for line in body.splitlines():
        name, _, data = line.partition(b":")
        if name == b"data" and data.strip() not in (b"", b"[DONE]"):
            yield orjson.loads(data)


# ---- chat


def _chat(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"content": "", "refusal": "", "reasoning_content": "", "tool_calls": []}
    whole: dict[str, Any] = {"choices": [{"message": message}]}
    for chunk in chunks:
        whole["usage"] = chunk.get("usage") or whole.get("usage")
        for choice in chunk.get("choices") or []:
            if not choice.get("index"):
                whole["choices"][0]["finish_reason"] = choice.get("finish_reason") or whole["choices"][0].get(
                    "finish_reason"
                )
                _chat_delta(choice.get("delta") or {}, message)
    return whole


def _chat_delta(delta: dict[str, Any], message: dict[str, Any]) -> None:
    message["content"] += delta.get("content") or ""
    message["refusal"] += delta.get("refusal") or ""
    details = "".join(
        one.get("text") or one.get("summary") or "" for one in delta.get("reasoning_details") or []
    )
    message["reasoning_content"] += delta.get("reasoning_content") or delta.get("reasoning") or details
    calls = message["tool_calls"]
    for call in delta.get("tool_calls") or []:
        function = call.get("function") or {}
        place = call.get("index")
        if function.get("name") and (place is None or place >= len(calls)):
            calls.append({"id": call.get("id"), "function": {"name": function["name"], "arguments": ""}})
        calls[-1 if place is None else place]["function"]["arguments"] += function.get("arguments") or ""


# ---- responses


def _responses(events: list[dict[str, Any]]) -> dict[str, Any] | None:
    ends = ("response.completed", "response.incomplete")
    final = next((event["response"] for event in events if event.get("type") in ends), None)
    if final is None:
        return None
    done = [event["item"] for event in events if event.get("type") == "response.output_item.done"]
    return final if final.get("output") else {**final, "output": done}


# ---- gemini


def _gemini(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    first: dict[str, Any] = {}
    parts: list[dict[str, Any]] = []
    for chunk in chunks:
        _spell(chunk)
        whole |= {name: chunk[name] for name in ("usageMetadata", "promptFeedback") if name in chunk}
        for candidate in chunk.get("candidates") or []:
            if not candidate.get("index"):
                parts += (candidate.get("content") or {}).get("parts") or []
                first |= candidate
    if first:
        whole["candidates"] = [first | {"content": {"parts": joined(parts)}}]
    return whole


def _spell(reply: dict[str, Any]) -> None:
    """Google's servers number enumerations for clients that ask for it."""
    for candidate in reply.get("candidates") or []:
        if isinstance(candidate.get("finishReason"), int):
            candidate["finishReason"] = _GEMINI_WORDS[candidate["finishReason"]]
