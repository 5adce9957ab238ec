"""Parts of a content, written: the same for requests and for replies. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, TypeGuard

from llmitm.exchange import Dialect
from llmitm.translate import jsontext, media, seals
from llmitm.translate.neutral import (
    Base64,
    FileId,
    Hosted,
    Media,
    Opaque,
    Part,
    PlainText,
    Reasoning,
    Refusal,
    Sealed,
    Text,
    ToolCall,
    Url,
)

VENDOR: Final = "google"
RESOLUTIONS: Final = {
    "low": "MEDIA_RESOLUTION_LOW",
    "high": "MEDIA_RESOLUTION_HIGH",
    "original": "MEDIA_RESOLUTION_HIGH",
}
MODIFIERS: Final = frozenset(
    {
        "partMetadata",
        "mediaResolution",
        "videoMetadata",
        "mediaProcessing",
        "documentMetadata",
        "spreadsheetMetadata",
        "audioMetadata",
        "speechMetadata",
    }
)
"""Members that stand beside a part's data."""
_UNKNOWN_MIMES: Final = {"image": "image/jpeg", "audio": "audio/wav", "video": "video/mp4"}
"""Gemini wants a mime; where nothing tells it, the most usual one of the kind."""


def write_part(part: Part, *, has_ids: bool = True) -> dict[str, Any] | jsontext.Raw | None:
    """The part as JSON; None where Gemini has no such part.

    `has_ids` False: calls are told without ids.
    """
    match part:
        case Text():
            return {"text": part.text} | signature(part.sealed)
        case Refusal():
            return {"text": part.text}
        case Reasoning():
            return {"text": part.readable, "thought": True} | signature(part.sealed)
        case ToolCall():
            return write_call(part, has_ids=has_ids)
        case Media():
            return write_media(part)
        case Hosted(vendor=vendor) if vendor == VENDOR:
            return jsontext.Raw(part.raw)
        case Hosted(text=str(text)):
            return {"text": text}
        case Opaque(dialect=Dialect.GEMINI):
            return jsontext.Raw(part.raw)
        case _:
            return None


def is_to_lend(part: Part) -> TypeGuard[Reasoning]:
    """Encrypted reasoning with nothing to read: its seal stands on the text or call that follows it, since
    clients may drop thoughts but not those."""
    sealed = part.sealed if isinstance(part, Reasoning) and not part.readable else None
    return sealed is not None and sealed.kind == "encrypted"


def lent(parts: Iterable[Part]) -> Iterator[Part]:
    """The parts of a reply with such seals on the parts that follow; one that cannot be lent stays."""
    waiting: Reasoning | None = None
    for part in parts:
        if waiting is not None and isinstance(part, Text | ToolCall) and part.sealed is None:
            part, waiting = replace(part, sealed=waiting.sealed), None
        if waiting is not None:
            yield waiting
            waiting = None
        if is_to_lend(part):
            waiting = part
        else:
            yield part
    if waiting is not None:
        yield waiting


def signature(sealed: Sealed | None) -> dict[str, str]:
    """The member that carries a seal: Google's own as it is, any other in its envelope."""
    if sealed is None:
        return {}
    if sealed.vendor == VENDOR:
        return {} if sealed.data is None else {"thoughtSignature": sealed.data}
    return {"thoughtSignature": seals.envelope_base64(sealed)}


def write_call(call: ToolCall, *, has_ids: bool = True) -> dict[str, Any]:
    told: dict[str, Any] = {"id": call.id} if has_ids and call.id else {}
    args = {"input": call.args} if call.kind == "custom" else jsontext.object_of(call.args)
    return {"functionCall": told | {"name": call.name, "args": args}} | signature(call.sealed)


def write_media(part: Media) -> dict[str, Any]:
    told = _source(part)
    if part.extra:
        beside = jsontext.Slices(part.extra.encode())
        names = (name for name in jsontext.loads(part.extra) if name in MODIFIERS)
        told |= {name: jsontext.Raw(beside.at(name)) for name in names}
    if part.detail in RESOLUTIONS:
        told["mediaResolution"] = {"level": RESOLUTIONS[part.detail]}
    return told | signature(part.sealed)


def _source(part: Media) -> dict[str, Any]:
    match part.source:
        case Base64() as data:
            mime = part.mime or media.sniffed(data) or _usual_mime(part)
            return {"inlineData": {"mimeType": mime, "data": data.data}}
        case PlainText(text):
            encoded = base64.b64encode(text.encode("utf-8", "replace")).decode()
            return {"inlineData": {"mimeType": part.mime or "text/plain", "data": encoded}}
        case Url(url) | FileId(id=url):
            mime = part.mime or media.mime_of_url(url) or _usual_mime(part)
            return {"fileData": {"fileUri": url, "mimeType": mime}}
        case whole:
            return {"text": "\n".join(one.text for one in whole.parts if isinstance(one, Text))}


def _usual_mime(part: Media) -> str:
    return _UNKNOWN_MIMES.get(part.kind, "application/pdf")


def read_inline(told: dict[str, Any], at: str) -> tuple[Base64 | PlainText, str | None]:
    """Data and mime of `inlineData`; what is plain text is text.

    Raises:
        Refused: 400 `invalid_base64`.
    """
    data, mime = told.get("data"), told.get("mimeType") or told.get("mime_type")
    whole = media.clean_base64(data if isinstance(data, str) else "", f"{at}.data")
    mime = media.usual_mime(mime) if isinstance(mime, str) and mime else media.sniffed(whole)
    if mime == "text/plain":
        try:
            return PlainText(binascii.a2b_base64(whole.data).decode()), mime
        except ValueError:
            pass
    return whole, mime
