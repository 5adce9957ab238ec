"""`reasoning_details`: sealed reasoning as chat carries it, in the shapes that OpenRouter made common. Pure.

An entry is a text with a signature, a summary, or encrypted data; entries with one `id` belong together,
and an encrypted entry of Google's whose `id` is that of a tool call is the seal of that call.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from llmitm.translate.neutral import Reasoning, Sealed
from llmitm.translate.reading import text_if

FORMATS: Final = {
    "anthropic": "anthropic-claude-v1",
    "openai": "openai-responses-v1",
    "google": "google-gemini-v1",
}
_VENDORS: Final = {
    "anthropic-claude-v1": "anthropic",
    "openai-responses-v1": "openai",
    "azure-openai-responses-v1": "openai",
    "xai-responses-v1": "xai",
    "google-gemini-v1": "google",
}


def vendor_of(entry: dict[str, Any]) -> str:
    """Whose seal an entry holds; the format itself where it is not one that is known."""
    form = text_if(entry.get("format")) or ""
    return _VENDORS.get(form, form or "unknown")


@dataclass(slots=True)
class Read:
    """What a message's entries say."""

    parts: list[Reasoning] = field(default_factory=list)
    calls: dict[str, Sealed] = field(default_factory=dict)
    """Seals of tool calls, by the id of the call."""
    loose: Sealed | None = None
    """Google's seal of a text."""

    @property
    def is_readable(self) -> bool:
        return any(part.readable for part in self.parts)


def read(entries: Any, call_ids: Iterable[str]) -> Read:
    """The entries of one message in order. What is no entry is left out."""
    made = Read()
    known = set(call_ids)
    by_id: dict[str, int] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            _take(made, entry, known, by_id)
    return made


def _take(made: Read, entry: dict[str, Any], call_ids: set[str], by_id: dict[str, int]) -> None:
    vendor, entry_id = vendor_of(entry), text_if(entry.get("id"))
    match entry.get("type"):
        case "reasoning.text":
            text, signature = text_if(entry.get("text")) or "", text_if(entry.get("signature"))
            sealed = Sealed(vendor=vendor, kind="thinking", data=signature) if signature else None
            if text or sealed:
                made.parts.append(Reasoning(summary=(text,) if text else (), sealed=sealed))
        case "reasoning.summary":
            summary = text_if(entry.get("summary"))
            if not summary:
                return
            place = by_id.get(entry_id) if entry_id else None
            if place is None:
                place = len(made.parts)
                made.parts.append(Reasoning())
                if entry_id:
                    by_id[entry_id] = place
            made.parts[place] = replace(made.parts[place], summary=(*made.parts[place].summary, summary))
        case "reasoning.encrypted" if data := text_if(entry.get("data")):
            if vendor != "google":
                _take_encrypted(made, vendor, data, entry_id, by_id)
            elif entry_id is not None and entry_id in call_ids:
                made.calls[entry_id] = Sealed(vendor=vendor, kind="part", data=data, ref=entry_id)
            else:
                made.loose = Sealed(vendor=vendor, kind="part", data=data)


def _take_encrypted(made: Read, vendor: str, data: str, entry_id: str | None, by_id: dict[str, int]) -> None:
    kind: Literal["redacted", "encrypted"] = "redacted" if vendor == "anthropic" else "encrypted"
    sealed = Sealed(vendor=vendor, kind=kind, data=data, item_id=entry_id)
    place = by_id.get(entry_id) if entry_id else None
    if place is not None and made.parts[place].sealed is None:
        made.parts[place] = replace(made.parts[place], sealed=sealed)
        return
    made.parts.append(Reasoning(sealed=sealed))
    if entry_id:
        by_id[entry_id] = len(made.parts) - 1


def write(part: Reasoning, index: int) -> list[dict[str, Any]]:
    """The entries of a reasoning part that is sealed; none where it is not."""
    sealed = part.sealed
    if sealed is None or sealed.data is None:
        return []
    form = FORMATS.get(sealed.vendor, sealed.vendor)
    tail = {"format": form, "index": index}
    match sealed.kind:
        case "thinking":
            text = part.readable
            return [{"type": "reasoning.text", "text": text, "signature": sealed.data, **tail}]
        case "part":
            return [{"type": "reasoning.encrypted", "data": sealed.data, **tail}]
        case _:
            named = {"id": sealed.item_id} if sealed.item_id else {}
            entries: list[dict[str, Any]] = [
                {"type": "reasoning.summary", "summary": text, **named, **tail} for text in part.summary
            ]
            return [*entries, {"type": "reasoning.encrypted", "data": sealed.data, **named, **tail}]


def write_call_seal(sealed: Sealed, call_id: str | None, index: int) -> list[dict[str, Any]]:
    """The entry of Google's seal on a call; on a text where there is no call."""
    if sealed.data is None:
        return []
    named = {"id": call_id} if call_id else {}
    form = FORMATS.get(sealed.vendor, sealed.vendor)
    return [{"type": "reasoning.encrypted", "data": sealed.data, **named, "format": form, "index": index}]
