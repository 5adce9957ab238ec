"""Content parts and items of responses that requests and replies share, read and written. Pure."""

from __future__ import annotations

import base64
from typing import Any, Final

from llmitm.exchange import Dialect
from llmitm.translate import jsontext, media, openai_parts, seals
from llmitm.translate.neutral import (
    Base64,
    Cache,
    FileId,
    Media,
    Opaque,
    Part,
    PlainText,
    Reasoning,
    Refusal,
    Sealed,
    Source,
    Text,
    Url,
)
from llmitm.translate.reading import a_text, an_object, invalid, text_if

_HOSTED_ENDS: Final = ("_call", "_call_output", "_list_tools", "_approval_request", "_approval_response")
_HOSTED_TYPES: Final = frozenset({"tool_search_output", "program", "program_output"})


def is_hosted(item_type: str) -> bool:
    """Whether an item tells what a tool did that the vendor defines or runs."""
    return item_type in _HOSTED_TYPES or item_type.endswith(_HOSTED_ENDS)


def is_result(item_type: str) -> bool:
    return item_type.endswith(("_output", "_response", "_list_tools"))


# ---- read


def read_parts(content: Any, at: str) -> list[Part]:
    """A message's `content` or a result's `output`: a string, a list of parts, or nothing."""
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
    cache = openai_parts.read_mark(part)
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            return Text(text=a_text(part.get("text"), f"{at}.text"), cache=cache, at=at)
        case "refusal":
            return Refusal(text=a_text(part.get("refusal"), f"{at}.refusal"), at=at)
        case "input_image":
            return _image(part, cache, at)
        case "input_file":
            return _file(part, cache, at)
        case "input_audio":
            return openai_parts.read_audio(part, cache, at)
        case kind:
            raw = jsontext.text_of(part)
            return Opaque(dialect=Dialect.OPENAI_RESPONSES, type=text_if(kind) or "", raw=raw, at=at)


def _image(part: dict[str, Any], cache: Cache | None, at: str) -> Media:
    detail = text_if(part.get("detail"))
    url = part.get("image_url")
    if isinstance(url, dict):
        url = url.get("url")
    if url is None and isinstance(part.get("file_id"), str):
        source: Source = FileId("openai", part["file_id"])
        return Media(kind="image", source=source, detail=detail, cache=cache, at=at)
    place = f"{at}.image_url"
    return openai_parts.read_image(a_text(url, place), detail, cache, at, place)


def _file(part: dict[str, Any], cache: Cache | None, at: str) -> Media:
    name, detail = text_if(part.get("filename")), text_if(part.get("detail"))
    source: Source
    mime: str | None = None
    if (text := text_if(part.get("file_data"))) is not None:
        source, mime = openai_parts.read_file(text, name, f"{at}.file_data")
    elif isinstance(part.get("file_url"), str):
        source = Url(part["file_url"])
        mime = media.mime_of_url(part["file_url"]) or media.mime_of_url(name or "")
    elif isinstance(part.get("file_id"), str):
        source = FileId("openai", part["file_id"])
    else:
        raise invalid(at, "expected file_data, file_url or file_id")
    kind = media.kind_of(mime) if mime else "document"
    return Media(kind=kind, source=source, mime=mime, filename=name, detail=detail, cache=cache, at=at)


def texts_of(entries: Any) -> tuple[str, ...]:
    """The texts of a list of parts such as a summary, without empty ones."""
    if not isinstance(entries, list):
        return ()
    found = (text_if(one.get("text")) for one in entries if isinstance(one, dict))
    return tuple(text for text in found if text)


def read_reasoning(item: dict[str, Any], at: str = "") -> Reasoning | None:
    """A reasoning item; None where nothing in it can be read, here or by its maker."""
    sealed = read_seal(item)
    summary, content = texts_of(item.get("summary")), texts_of(item.get("content"))
    if sealed is None and not summary and not content:
        return None
    text = "\n\n".join(content) if content else None
    return Reasoning(text=text, summary=summary, sealed=sealed, at=at)


def read_seal(item: dict[str, Any]) -> Sealed | None:
    data = text_if(item.get("encrypted_content"))
    if not data:
        return None
    if seals.is_envelope(data):
        return seals.opened(data)
    return Sealed(vendor="openai", kind="encrypted", data=data, item_id=text_if(item.get("id")))


# ---- write


def write_part(part: Text | Media) -> dict[str, Any]:
    """A part of a user's or system's message, or of a tool's result."""
    mark = openai_parts.write_mark(part.cache)
    match part:
        case Text():
            return {"type": "input_text", "text": part.text, **mark}
        case Media(kind="image"):
            return {"type": "input_image", "detail": part.detail or "auto", **_image_source(part), **mark}
        case Media(kind="audio", source=Base64() as data):
            return openai_parts.write_audio(part.mime, data) | mark
        case _:
            detail = {"detail": part.detail} if part.detail else {}
            return {"type": "input_file", **_file_source(part), **detail, **mark}


def _image_source(part: Media) -> dict[str, str]:
    match part.source:
        case Base64() as data:
            return {"image_url": media.data_url(part.mime or "image/png", data)}
        case Url(url):
            return {"image_url": url}
        case FileId(id=file_id):
            return {"file_id": file_id}
        case other:
            raise _unfit(part, other)


def _file_source(part: Media) -> dict[str, str]:
    name = part.filename or part.title
    named = {"filename": name} if name else {}
    match part.source:
        case Base64() as data:
            mime = part.mime or "application/pdf"
            if not name and mime == "application/pdf":
                named = {"filename": "document.pdf"}
            return {"file_data": media.data_url(mime, data), **named}
        case PlainText(text):
            url = media.data_url(part.mime or "text/plain", Base64(base64.b64encode(text.encode()).decode()))
            return {"file_data": url, "filename": name or "document.txt"}
        case Url(url):
            return {"file_url": url, **named}
        case FileId(id=file_id):
            return {"file_id": file_id}
        case other:
            raise _unfit(part, other)


def _unfit(part: Media, source: object) -> AssertionError:
    return AssertionError(f"fit leaves no {part.kind} made of {type(source).__name__}")


def summary_parts(summary: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"type": "summary_text", "text": text} for text in summary]
