"""Content blocks of Anthropic messages, read and written. Pure."""

from __future__ import annotations

from typing import Any, Final, Literal

from llmitm.exchange import Dialect
from llmitm.translate import jsontext, media, seals
from llmitm.translate.neutral import (
    Base64,
    Cache,
    Citation,
    FileId,
    Hosted,
    Media,
    Opaque,
    Part,
    Parts,
    PlainText,
    Reasoning,
    Refusal,
    Sealed,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Url,
)
from llmitm.translate.reading import a_text, an_object, invalid, text_if

_HOSTED_CALLS: Final = frozenset({"server_tool_use", "mcp_tool_use"})


def cache_of(block: dict[str, Any]) -> Cache | None:
    mark = block.get("cache_control")
    return Cache(ttl=text_if(mark.get("ttl"))) if isinstance(mark, dict) else None


def read_blocks(content: Any, at: str, slices: jsontext.Slices, *place: str | int) -> list[Part]:
    """A message's `content`; `place` is where it stands in the document of `slices`."""
    match content:
        case None:
            return []
        case str():
            return [Text(text=content, at=at)]
        case list():
            return [
                read_block(an_object(one, f"{at}[{n}]"), f"{at}[{n}]", slices, *place, n)
                for n, one in enumerate(content)
            ]
        case _:
            raise invalid(at, "expected a string or a list of blocks")


def read_block(block: dict[str, Any], at: str, slices: jsontext.Slices, *place: str | int) -> Part:
    cache = cache_of(block)
    match block.get("type"):
        case "text":
            text = a_text(block.get("text"), f"{at}.text")
            return Text(text=text, citations=read_citations(block.get("citations")), cache=cache, at=at)
        case "tool_use":
            wrapped = jsontext.unwrapped(block.get("input"))
            has_args = block.get("input") is not None
            args = slices.at(*place, "input") if has_args else "{}"
            return ToolCall(
                id=text_if(block.get("id")) or "",
                name=text_if(block.get("name")) or "",
                args=args if wrapped is None else wrapped,
                cache=cache,
                at=at,
            )
        case "tool_result":
            return ToolResult(
                call_id=text_if(block.get("tool_use_id")) or "",
                parts=tuple(read_blocks(block.get("content"), f"{at}.content", slices, *place, "content")),
                is_error=block.get("is_error") is True,
                cache=cache,
                at=at,
            )
        case "thinking" | "redacted_thinking":
            return read_thinking(block, at)
        case "image" | "document" | "search_result":
            return _media(block, cache, at)
        case kind:
            return read_other(text_if(kind) or "", at, slices, *place)


def read_other(kind: str, at: str, slices: jsontext.Slices, *place: str | int) -> Part:
    """What the vendor's own tools did, or a block that only this dialect knows."""
    raw = slices.at(*place)
    if kind in _HOSTED_CALLS:
        return Hosted(vendor="anthropic", type=kind, raw=raw, phase="call", at=at)
    if kind.endswith("_tool_result") or kind == "mcp_tool_listing":
        return Hosted(vendor="anthropic", type=kind, raw=raw, phase="result", at=at)
    return Opaque(dialect=Dialect.ANTHROPIC_MESSAGES, type=kind, raw=raw, at=at)


def read_thinking(block: dict[str, Any], at: str) -> Reasoning:
    """A thinking block, whose signature may be an envelope of ours around another vendor's seal."""
    text = text_if(block.get("thinking")) or ""
    signature = text_if(block.get("signature" if block.get("type") == "thinking" else "data"))
    sealed: Sealed | None = None
    if signature and seals.is_envelope(signature):
        sealed = seals.opened(signature)
    elif signature:
        kind: Literal["thinking", "redacted"] = "thinking"
        if block.get("type") == "redacted_thinking":
            kind = "redacted"
        sealed = Sealed(vendor="anthropic", kind=kind, data=signature)
    return Reasoning(summary=(text,) if text else (), sealed=sealed, at=at)


def _media(block: dict[str, Any], cache: Cache | None, at: str) -> Media:
    source, mime = _source(block, at)
    citations = block.get("citations")
    kind: Literal["image", "document", "search_result"] = "document"
    if block["type"] in ("image", "search_result"):
        kind = block["type"]
    title = text_if(block.get("title"))
    return Media(
        kind=kind,
        source=source,
        mime=mime,
        filename=title if kind == "document" else None,
        title=title,
        context=text_if(block.get("context")) or (text_if(block.get("source"))),
        has_citations=citations.get("enabled") is True if isinstance(citations, dict) else None,
        extra=jsontext.text_of(block) if kind == "search_result" else None,
        cache=cache,
        at=at,
    )


def _source(block: dict[str, Any], at: str) -> tuple[Source, str | None]:
    if block["type"] == "search_result":
        return Parts(_texts(block.get("content"), f"{at}.content")), None
    match block.get("source"):
        case {"type": "base64", "data": str(data), **rest}:
            source = media.clean_base64(data, f"{at}.source.data")
            mime = text_if(rest.get("media_type")) or media.sniffed(source)
            return source, "image/jpeg" if mime == "image/jpg" else mime
        case {"type": "url", "url": str(url)}:
            return Url(url), "application/pdf" if block["type"] == "document" else None
        case {"type": "file", "file_id": str(file_id)}:
            return FileId("anthropic", file_id), None
        case {"type": "text", "data": str(text)}:
            return PlainText(text), "text/plain"
        case {"type": "content", "content": content}:
            return Parts(_texts(content, f"{at}.source.content")), None
        case _:
            raise invalid(f"{at}.source", "expected a source of type base64, url, file, text or content")


def _texts(content: Any, at: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(text=content, at=at),)
    blocks = content if isinstance(content, list) else []
    return tuple(
        Text(text=block["text"], at=f"{at}[{n}]")
        for n, block in enumerate(blocks)
        if isinstance(block, dict) and isinstance(block.get("text"), str)
    )


def read_citations(value: Any) -> tuple[Citation, ...]:
    """Citations of a text block, which hold for the whole of it."""
    every = value if isinstance(value, list) else []
    return tuple(read_citation(one) for one in every if isinstance(one, dict))


def read_citation(one: dict[str, Any]) -> Citation:
    is_url = one.get("type") == "web_search_result_location"
    return Citation(
        kind="url" if is_url else "document",
        url=text_if(one.get("url")) if is_url else None,
        title=text_if(one.get("title")),
        vendor="anthropic",
        raw=jsontext.text_of(one),
    )


# ---- written


def write_cache(cache: Cache | None) -> dict[str, Any]:
    if cache is None:
        return {}
    ttl = {"ttl": cache.ttl} if cache.ttl in ("5m", "1h") else {}
    return {"cache_control": {"type": "ephemeral", **ttl}}


def write_thinking(part: Reasoning, *, is_reply: bool) -> dict[str, Any] | None:
    """The block of a reasoning part; None where there is neither text nor seal.

    `is_reply`: to a client, whose own vendor's seal stands bare and another's in an envelope.
    """
    sealed, text = part.sealed, part.readable
    if sealed is None:
        return {"type": "thinking", "thinking": text, "signature": ""} if text and is_reply else None
    if sealed.vendor == "anthropic" and sealed.data is not None:
        if sealed.kind == "redacted":
            return {"type": "redacted_thinking", "data": sealed.data}
        return {"type": "thinking", "thinking": text, "signature": sealed.data}
    if not text and sealed.data is None:
        return None
    if text:
        return {"type": "thinking", "thinking": text, "signature": seals.envelope(sealed)}
    return {"type": "redacted_thinking", "data": seals.envelope(sealed)}


def write_media(part: Media) -> dict[str, Any]:
    """An image or document block of a request."""
    if part.kind == "search_result" and part.extra is not None:
        return dict(jsontext.loads(part.extra))
    block: dict[str, Any] = {"type": part.kind, "source": _write_source(part.source, part.mime)}
    if part.kind == "document":
        title = part.title or part.filename
        block |= {"title": title} if title else {}
        block |= {"context": part.context} if part.context else {}
        block |= {"citations": {"enabled": True}} if part.has_citations else {}
    return block | write_cache(part.cache)


def _write_source(source: Source, mime: str | None) -> dict[str, Any]:
    match source:
        case Base64(data):
            return {"type": "base64", "media_type": mime or "application/octet-stream", "data": data}
        case Url(url):
            return {"type": "url", "url": url}
        case FileId(_, file_id):
            return {"type": "file", "file_id": file_id}
        case PlainText(text):
            return {"type": "text", "media_type": "text/plain", "data": text}
        case _:
            blocks = [{"type": "text", "text": one.text} for one in source.parts if isinstance(one, Text)]
            return {"type": "content", "content": blocks}


def write_parts(parts: tuple[Part, ...]) -> list[Any]:
    """Blocks of a request's message."""
    made: list[Any] = []
    for part in parts:
        match part:
            case Text():
                made.append({"type": "text", "text": part.text, **write_cache(part.cache)})
            case Refusal():
                made.append({"type": "text", "text": part.text})
            case Media():
                made.append(write_media(part))
            case Reasoning():
                block = write_thinking(part, is_reply=False)
                if block is not None:
                    made.append(block)
            case ToolCall():
                made.append(
                    {
                        "type": "tool_use",
                        "id": part.id,
                        "name": part.name,
                        "input": jsontext.object_of(part.args),
                        **write_cache(part.cache),
                    }
                )
            case ToolResult():
                made.append(_write_result(part))
            case _:
                made.append(jsontext.Raw(part.raw))
    return made


def _write_result(part: ToolResult) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": part.call_id}
    content = write_parts(part.parts)
    if part.raw is not None:
        content.insert(0, {"type": "text", "text": part.raw})
    if content:
        block["content"] = content
    if part.is_error:
        block["is_error"] = True
    return block | write_cache(part.cache)
