"""Content parts and tool calls of chat messages. Pure."""

from __future__ import annotations

from typing import Any, Literal

from llmitm.exchange import Dialect
from llmitm.translate import jsontext, media, openai_parts
from llmitm.translate.neutral import (
    Base64,
    Cache,
    FileId,
    Media,
    Opaque,
    Part,
    Refusal,
    Sealed,
    Text,
    ToolCall,
    Url,
)
from llmitm.translate.reading import a_text, an_object, invalid, text_if


def cache_of(part: dict[str, Any]) -> Cache | None:
    """OpenAI's own mark, or the one of Anthropic's that chat clients of Claude use."""
    return openai_parts.read_mark(part, "cache_control") or openai_parts.read_mark(part)


def read_parts(content: Any, at: str) -> list[Part]:
    """A message's `content`: a string, a list of parts, or nothing."""
    match content:
        case None:
            return []
        case str():
            return [Text(text=content, at=at)]
        case list():
            return [_part(one, f"{at}[{n}]") for n, one in enumerate(content)]
        case _:
            raise invalid(at, "expected a string or a list of parts")


def _part(value: Any, at: str) -> Part:
    if isinstance(value, str):
        return Text(text=value, at=at)
    part = an_object(value, at)
    cache = cache_of(part)
    match part.get("type"):
        case "text" | "input_text" | "output_text":
            return Text(text=a_text(part.get("text"), f"{at}.text"), cache=cache, at=at)
        case "refusal":
            return Refusal(text=a_text(part.get("refusal"), f"{at}.refusal"), at=at)
        case "image_url":
            return _image(part.get("image_url"), cache, at)
        case "input_audio":
            return openai_parts.read_audio(part, cache, at)
        case "file":
            return _file(an_object(part.get("file"), f"{at}.file"), cache, at)
        case "video_url" | "document_url" as kind:  # hosts' own
            return _by_url(part, kind, cache, at)
        case kind:
            return Opaque(
                dialect=Dialect.OPENAI_CHAT, type=text_if(kind) or "", raw=jsontext.text_of(part), at=at
            )


def _image(value: Any, cache: Cache | None, at: str) -> Media:
    image = {"url": value} if isinstance(value, str) else an_object(value, f"{at}.image_url")
    url = a_text(image.get("url"), f"{at}.image_url.url")
    return openai_parts.read_image(url, text_if(image.get("detail")), cache, at, f"{at}.image_url.url")


def _by_url(part: dict[str, Any], name: str, cache: Cache | None, at: str) -> Media:
    value = part.get(name)
    url = a_text(value.get("url") if isinstance(value, dict) else value, f"{at}.{name}")
    shape: Literal["video", "document"] = "video" if name == "video_url" else "document"
    filename = text_if(part.get("document_name"))
    if not openai_parts.is_data(url):
        mime = media.mime_of_url(url) or ("video/mp4" if shape == "video" else "application/pdf")
        return Media(kind=shape, source=Url(url), mime=mime, filename=filename, cache=cache, at=at)
    read, data = media.read_data_url(url, f"{at}.{name}")
    mime = read or media.sniffed(data) or "application/pdf"
    return Media(kind=shape, source=data, mime=mime, filename=filename, cache=cache, at=at)


def _file(file: dict[str, Any], cache: Cache | None, at: str) -> Media:
    filename = text_if(file.get("filename"))
    if isinstance(file.get("file_id"), str) and not file.get("file_data"):
        source = FileId("openai", file["file_id"])
        return Media(kind="document", source=source, filename=filename, cache=cache, at=at)
    text = a_text(file.get("file_data"), f"{at}.file.file_data")
    if text[:8].lower().startswith(("https://", "http://")):  # hosts that fetch documents themselves
        mime = media.mime_of_url(text) or "application/pdf"
        kind = media.kind_of(mime)
        return Media(kind=kind, source=Url(text), mime=mime, filename=filename, cache=cache, at=at)
    data, mime = openai_parts.read_file(text, filename, f"{at}.file.file_data")
    return Media(kind=media.kind_of(mime), source=data, mime=mime, filename=filename, cache=cache, at=at)


def write_part(part: Text | Media, *, has_marks: bool) -> dict[str, Any]:
    """A part of a user's message. `has_marks`: the upstream takes cache breakpoints."""
    mark = openai_parts.write_mark(part.cache if has_marks else None)
    if isinstance(part, Text):
        return {"type": "text", "text": part.text, **mark}
    if part.kind == "audio" and isinstance(part.source, Base64):
        return openai_parts.write_audio(part.mime, part.source) | mark
    if part.kind == "image":
        return write_image(part) | mark
    if isinstance(part.source, FileId):
        return {"type": "file", "file": {"file_id": part.source.id}, **mark}
    named = {"filename": part.filename} if part.filename else {}
    return {"type": "file", "file": {"file_data": _data_url(part), **named}, **mark}


def write_image(part: Media) -> dict[str, Any]:
    """A picture, of a user's message or made by a model."""
    url = part.source.url if isinstance(part.source, Url) else _data_url(part)
    detail = {"detail": part.detail} if part.detail else {}
    return {"type": "image_url", "image_url": {"url": url, **detail}}


def _data_url(part: Media) -> str:
    assert isinstance(part.source, Base64), "fit leaves only what chat can hold"
    usual = "image/png" if part.kind == "image" else "application/octet-stream"
    return media.data_url(part.mime or usual, part.source)


# ---- tool calls


def read_call(call: dict[str, Any], at: str) -> ToolCall:
    """One entry of `tool_calls`."""
    call_id = text_if(call.get("id")) or ""
    is_custom = call.get("type") == "custom" or ("custom" in call and "function" not in call)
    body = call.get("custom" if is_custom else "function")
    body = body if isinstance(body, dict) else {}
    return ToolCall(
        id=call_id,
        name=text_if(body.get("name")) or "",
        args=openai_parts.args_of(body.get("input" if is_custom else "arguments")),
        kind="custom" if is_custom else "function",
        sealed=_call_seal(call, call_id),
        at=at,
    )


def _call_seal(call: dict[str, Any], call_id: str) -> Sealed | None:
    """Google's seal of a call, in the places where clients keep it."""
    match call:
        case (
            {"extra_content": {"google": {"thought_signature": str(data)}}}
            | {"provider_specific_fields": {"thought_signature": str(data)}}
            | {"function": {"provider_specific_fields": {"thought_signature": str(data)}}}
        ) if data:
            return Sealed(vendor="google", kind="part", data=data, ref=call_id)
        case _:
            return openai_parts.seal_in(call_id, call_id)


def write_call(call: ToolCall) -> dict[str, Any]:
    """An entry of `tool_calls` as requests and replies have it."""
    extra: dict[str, Any] = {}
    if call.sealed is not None and call.sealed.vendor == "google" and call.sealed.data:
        extra = {"extra_content": {"google": {"thought_signature": call.sealed.data}}}
    if call.kind == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.args}, **extra}
    function = {"name": call.name, "arguments": call.args}
    return {"id": call.id, "type": "function", "function": function, **extra}
