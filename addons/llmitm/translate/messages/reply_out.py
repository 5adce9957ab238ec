"""An Anthropic message, written. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmitm.translate import jsontext, seals
from llmitm.translate.messages.blocks import write_thinking
from llmitm.translate.messages.stops import write_stop
from llmitm.translate.messages.usage import write_usage
from llmitm.translate.neutral import (
    Citation,
    Hosted,
    Part,
    Reasoning,
    Refusal,
    Reply,
    Request,
    Sealed,
    Text,
    ToolCall,
)


def write_reply(reply: Reply, asked: Request) -> bytes:
    """The message that this client asked for: of the first choice, since this API has but one."""
    parts = reply.choices[0].parts if reply.choices else ()
    stop = reply.choices[0].stop if reply.choices else None
    body: dict[str, Any] = {
        "id": reply.id,
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": [block for part in parts for block in _blocks(part)],
        **write_stop(stop, has_refusal=any(isinstance(part, Refusal) for part in parts)),
        "usage": write_usage(reply.usage),
    }
    return jsontext.dumps(body)


def _blocks(part: Part) -> Iterator[dict[str, Any]]:
    match part:
        case Text() if part.text:
            yield text_block(part.text, part.citations)
            if part.sealed is not None:
                yield seal_block(part.sealed)
        case Text(sealed=sealed) if sealed is not None:
            yield seal_block(sealed)
        case Refusal() if part.text:
            yield text_block(part.text, ())
        case Reasoning():
            block = write_thinking(part, is_reply=True)
            if block is not None:
                yield block
        case ToolCall():
            if part.sealed is not None:
                yield seal_block(part.sealed)
            yield {
                "type": "tool_use",
                "id": part.id,
                "name": part.name,
                "input": jsontext.object_of(part.args),
            }
        case Hosted(text=str(text)) if text:
            yield text_block(text, ())


def text_block(text: str, citations: tuple[Citation, ...]) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "text", "text": text}
    own = [jsontext.Raw(one.raw) for one in citations if one.vendor == "anthropic" and one.raw]
    return block | ({"citations": own} if own else {})


def seal_block(sealed: Sealed) -> dict[str, Any]:
    """Another vendor's seal of a call or a text."""
    return {"type": "redacted_thinking", "data": seals.envelope(sealed)}
