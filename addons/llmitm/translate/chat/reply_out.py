"""A chat completion, written. Pure."""

from __future__ import annotations

from typing import Any, Final

from llmitm.translate import jsontext
from llmitm.translate.chat import details
from llmitm.translate.chat.parts import write_call, write_image
from llmitm.translate.chat.stops import write_stop
from llmitm.translate.chat.usage import write_usage
from llmitm.translate.neutral import (
    Choice,
    Citation,
    Hosted,
    Media,
    Part,
    Reasoning,
    Refusal,
    Reply,
    Request,
    Text,
    ToolCall,
)

TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
"""The words that clients of this API know; hosts have others."""


def write_reply(reply: Reply, asked: Request) -> bytes:
    """The completion that this client asked for."""
    body: dict[str, Any] = {
        "id": reply.id,
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.model,
        "choices": [_choice(choice, asked) for choice in reply.choices],
    }
    if reply.service_tier in TIERS:
        body["service_tier"] = reply.service_tier
    if reply.usage is not None:
        body["usage"] = write_usage(reply.usage)
    if reply.extras:
        body["extras"] = {"google": dict(reply.extras)}
    return jsontext.dumps(body)


def _choice(choice: Choice, asked: Request) -> dict[str, Any]:
    stop = choice.stop
    logprobs = {"content": list(choice.logprobs), "refusal": None} if choice.logprobs else None
    message = _message(choice, asked)
    if stop is not None and stop.explanation and "refusal" not in message:
        message["refusal"] = stop.explanation
    return {
        "index": choice.index,
        "message": message,
        "logprobs": logprobs,
        "finish_reason": write_stop(stop, is_legacy=asked.is_legacy_functions),
    }


def _message(choice: Choice, asked: Request) -> dict[str, Any]:
    text, citations = text_of(choice.parts)
    calls = [part for part in choice.parts if isinstance(part, ToolCall)]
    refusal = "".join(part.text for part in choice.parts if isinstance(part, Refusal))
    message: dict[str, Any] = {"role": "assistant", "content": text}
    is_blocked = choice.stop is not None and write_stop(choice.stop) == "content_filter"
    if not text and (calls or refusal or is_blocked):
        message["content"] = None
    reasoning = [part for part in choice.parts if isinstance(part, Reasoning)]
    if readable := "\n\n".join(part.readable for part in reasoning if part.readable):
        message["reasoning_content"] = readable
    if entries := [entry for n, part in enumerate(choice.parts) for entry in entries_of(part, n)]:
        message["reasoning_details"] = entries
    if refusal:
        message["refusal"] = refusal
    if citations:
        message["annotations"] = [write_citation(citation) for citation in citations]
    if images := [write_image(part) for part in choice.parts if isinstance(part, Media)]:
        message["images"] = images
    if calls and asked.is_legacy_functions:
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].args}
    elif calls:
        message["tool_calls"] = [write_call(call) for call in calls]
    return message


def text_of(parts: tuple[Part, ...]) -> tuple[str, list[Citation]]:
    """The whole visible text, and its citations with offsets in the whole."""
    texts: list[str] = []
    citations: list[Citation] = []
    at = 0
    for part in parts:
        text = part.text if isinstance(part, Text | Hosted) else None
        if isinstance(part, Text):
            citations += (shifted(one, at, len(part.text)) for one in part.citations if one.url)
        if text:
            texts.append(text)
            at += len(text)
    return "".join(texts), citations


def shifted(citation: Citation, at: int, length: int) -> Citation:
    """The citation with offsets in the whole text, of a part that begins at `at`."""
    start = 0 if citation.start is None else citation.start
    end = length if citation.end is None else citation.end
    return Citation(url=citation.url, title=citation.title, start=at + start, end=at + end)


def write_citation(citation: Citation) -> dict[str, Any]:
    body = {
        "start_index": citation.start,
        "end_index": citation.end,
        "title": citation.title or "",
        "url": citation.url,
    }
    return {"type": "url_citation", "url_citation": body}


def entries_of(part: Part, index: int) -> list[dict[str, Any]]:
    """The `reasoning_details` of a part: of sealed reasoning, and of Google's seals on calls and texts."""
    match part:
        case Reasoning():
            return details.write(part, index)
        case ToolCall(sealed=sealed) if sealed is not None:
            return details.write_call_seal(sealed, part.id, index)
        case Text(sealed=sealed) if sealed is not None:
            return details.write_call_seal(sealed, None, index)
        case _:
            return []
