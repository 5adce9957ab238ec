"""A reply of OpenAI's responses, read. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmitm.exchange import Dialect
from llmitm.translate import jsontext, openai_parts
from llmitm.translate.neutral import (
    Base64,
    Choice,
    Hosted,
    Media,
    Opaque,
    Part,
    Refusal,
    Reply,
    Text,
    ToolCall,
    UpstreamError,
)
from llmitm.translate.reading import seconds_if, text_if
from llmitm.translate.responses import facts, parts


def read_reply(body: bytes) -> Reply:
    """Raises `UpstreamError` where it is an error, a failed or cancelled response, or no JSON object."""
    try:
        response = jsontext.loads_fast(body)
    except ValueError:
        raise UpstreamError(facts.unreadable()) from None
    if isinstance(response, dict) and isinstance(response.get("response"), dict):
        response = response["response"]
    if not isinstance(response, dict):
        raise UpstreamError(facts.unreadable())
    if (failure := facts.failure_in(response)) is not None:
        raise UpstreamError(failure)
    return _reply(response)


def _reply(response: dict[str, Any]) -> Reply:
    found: list[Part] = []
    logprobs: list[Any] = []
    output = response.get("output")
    for item in output if isinstance(output, list) else ():
        if isinstance(item, dict):
            found += read_item(item)
            logprobs += item_logprobs(item)
    stop = facts.stop_of(response, found)
    if (failure := facts.empty_failure(stop, found)) is not None:
        raise UpstreamError(failure)
    return Reply(
        id=text_if(response.get("id")),
        model=text_if(response.get("model")),
        created=seconds_if(response.get("created_at")),
        choices=(Choice(parts=tuple(found), stop=stop, logprobs=tuple(logprobs)),),
        usage=facts.read_usage(response),
        service_tier=text_if(response.get("service_tier")),
    )


def read_item(item: dict[str, Any]) -> Iterator[Part]:
    """What an item of the output says; nothing where it is empty."""
    match item.get("type"):
        case "message":
            yield from _message(item)
        case "reasoning":
            if (made := parts.read_reasoning(item)) is not None:
                yield made
        case "function_call" | "custom_tool_call":
            yield read_call(item)
        case str():
            yield read_other(item)


def _message(item: dict[str, Any]) -> Iterator[Part]:
    content = item.get("content")
    for part in content if isinstance(content, list) else ():
        match part:
            case {"type": "output_text", "text": str(text)} if text:
                yield Text(text=text, citations=facts.read_annotations(part.get("annotations")))
            case {"type": "refusal", "refusal": str(text)} if text:
                yield Refusal(text=text)


def item_logprobs(item: dict[str, Any]) -> tuple[Any, ...]:
    content = item.get("content") if item.get("type") == "message" else None
    found: list[Any] = []
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict):
            found += facts.read_logprobs(part.get("logprobs"))
    return tuple(found)


def read_call(item: dict[str, Any]) -> ToolCall:
    is_custom = item.get("type") == "custom_tool_call"
    return ToolCall(
        id=text_if(item.get("call_id")) or "",
        name=text_if(item.get("name")) or "",
        args=openai_parts.args_of(item.get("input" if is_custom else "arguments")),
        kind="custom" if is_custom else "function",
        namespace=text_if(item.get("namespace")),
    )


def read_other(item: dict[str, Any]) -> Part:
    """A picture that was made, the work of a hosted tool, or what only this API understands."""
    kind = text_if(item.get("type")) or ""
    result = item.get("result")
    if kind == "image_generation_call" and isinstance(result, str) and result:
        form = text_if(item.get("output_format")) or "png"
        return Media(kind="image", source=Base64(result), mime=_IMAGE_MIME.get(form, f"image/{form}"))
    raw = jsontext.text_of(item)
    if not parts.is_hosted(kind):
        return Opaque(dialect=Dialect.OPENAI_RESPONSES, type=kind, raw=raw)
    phase: Any = "result" if parts.is_result(kind) else "call"
    return Hosted(vendor="openai", type=kind, raw=raw, phase=phase)


_IMAGE_MIME = {"jpg": "image/jpeg", "svg": "image/svg+xml"}
