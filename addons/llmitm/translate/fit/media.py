"""Images, documents, audio and video, as each API takes them. Pure: nothing is ever fetched.

What a target cannot take is lost with a warning: no text is put in its place.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Final

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate.media import mime_of_url
from llmitm.translate.neutral import Base64, FileId, Media, Part, Parts, PlainText, Text, Url
from llmitm.translate.notes import Notes
from llmitm.translate.target import Target

PDF: Final = "application/pdf"
_AUDIO: Final = frozenset(
    {"audio/wav", "audio/mp3", "audio/mpeg", "audio/x-wav", "audio/wave", "audio/vnd.wave"}
)
_FILE_VENDOR: Final = {
    Dialect.OPENAI_CHAT: "openai",
    Dialect.OPENAI_RESPONSES: "openai",
    Dialect.ANTHROPIC_MESSAGES: "anthropic",
    Dialect.GEMINI: "google",
}
_READS_TEXT: Final = frozenset({Dialect.OPENAI_CHAT, Dialect.ANTHROPIC_MESSAGES})
"""They have a place for documents that are text, but none for such a file."""
_DETAIL_GEMINI: Final = {"original": "high"}


def fit_media(part: Media, target: Target, notes: Notes) -> tuple[Part, ...]:
    """The part as the target takes it: itself, others in its place, or none.

    Raises:
        Refused: 400, where the route refuses losses of media.
    """
    if part.mime == "image/jpg":
        notes.note("image-mime", part.at)
        part = replace(part, mime="image/jpeg")
    if part.mime == "text/plain" and isinstance(part.source, Base64) and target.dialect in _READS_TEXT:
        text = base64.b64decode(part.source.data).decode("utf-8", "replace")
        part = replace(part, source=PlainText(text))
    match part.source:
        case FileId(vendor, _):
            has_place = target.dialect is not Dialect.OPENAI_CHAT or part.kind == "document"
            if has_place and vendor == _FILE_VENDOR[target.dialect] == target.vendor:
                return (part,)
            return _lost(part, target, notes, "file_id_not_portable")
        case PlainText() | Parts():
            return _textual(part, target, notes)
    match target.dialect:
        case Dialect.OPENAI_CHAT:
            return _for_chat(part, target, notes)
        case Dialect.OPENAI_RESPONSES:
            return _for_responses(part, target, notes)
        case Dialect.ANTHROPIC_MESSAGES:
            return _for_messages(part, target, notes)
        case _:
            return _for_gemini(part, notes)


def _lost(part: Media, target: Target, notes: Notes, code: str = "unsupported_content") -> tuple[Part, ...]:
    if "media" in target.refuse:
        raise Refused(
            400, code, f"{part.at}: this model's provider cannot take this {part.kind}.", param=part.at
        )
    notes.lost("media", part.at)
    return ()


def _textual(part: Media, target: Target, notes: Notes) -> tuple[Part, ...]:
    """Documents that are text, and search results."""
    if target.dialect is Dialect.ANTHROPIC_MESSAGES:
        return (part,)
    if part.has_citations:
        notes.lost("citations", part.at)
    if part.context:
        notes.note("document-context", part.at)
    source = part.source
    if isinstance(source, Parts):
        notes.adjusted("document-as-text", part.at)
        return tuple(one for one in source.parts if isinstance(one, Text))
    assert isinstance(source, PlainText)
    if target.dialect is Dialect.OPENAI_CHAT:
        notes.adjusted("document-as-text", part.at)
        return (Text(text=source.text, cache=part.cache, at=part.at),)
    data = Base64(base64.b64encode(source.text.encode()).decode())
    return (replace(part, source=data, mime="text/plain"),)


def _for_chat(part: Media, target: Target, notes: Notes) -> tuple[Part, ...]:
    match part.kind, part.source:
        case "image", _:
            return (part,)
        case "document", Base64():
            return (_named(part, notes),)
        case "audio", Base64() if part.mime in _AUDIO:
            return (part,)
        case _:
            return _lost(part, target, notes)


def _for_responses(part: Media, target: Target, notes: Notes) -> tuple[Part, ...]:
    match part.kind:
        case "image":
            return (replace(part, detail=part.detail or "auto"),)
        case "document":
            return (_named(part, notes),) if isinstance(part.source, Base64) else (part,)
        case "audio" if target.row.takes_audio and isinstance(part.source, Base64) and part.mime in _AUDIO:
            return (part,)
        case _:
            return _lost(part, target, notes)


def _for_messages(part: Media, target: Target, notes: Notes) -> tuple[Part, ...]:
    if part.detail is not None:
        notes.note("detail", part.at)
        part = replace(part, detail=None)
    match part.kind, part.source:
        case "image", Base64():
            return (part,)
        case "image" | "document", Url(url) if url.startswith("https://"):
            is_pdf = part.kind == "image" or (part.mime or mime_of_url(url) or PDF) == PDF
            return (part,) if is_pdf else _lost(part, target, notes)
        case "document", Base64() if part.mime == PDF:
            return (part,)
        case _:
            return _lost(part, target, notes)


def _for_gemini(part: Media, notes: Notes) -> tuple[Part, ...]:
    if part.detail == "original":
        notes.adjusted("detail", part.at, "original", "high")
    detail = _DETAIL_GEMINI.get(part.detail or "", part.detail)
    mime = part.mime
    if isinstance(part.source, Url) and mime is None:
        mime = mime_of_url(part.source.url)
        if mime is None:
            mime = "image/jpeg" if part.kind == "image" else PDF
            notes.adjusted("image-mime" if part.kind == "image" else "document-mime", part.at)
    return (replace(part, detail=None if detail == "auto" else detail, mime=mime),)


def _named(part: Media, notes: Notes) -> Media:
    if part.filename:
        return part
    notes.note("filename", part.at)
    suffix = "pdf" if part.mime == PDF else (part.mime or "").partition("/")[2].partition(";")[0]
    return replace(part, filename="document." + ("txt" if suffix == "plain" else suffix or "pdf"))
