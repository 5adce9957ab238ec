"""What the parts of both of OpenAI's dialects say alike, whatever each calls them. Pure."""

from __future__ import annotations

from typing import Any, Final

from llmitm.translate import jsontext, media
from llmitm.translate.neutral import Base64, Cache, Media, Output, Sealed, Url
from llmitm.translate.reading import a_text, an_object, bool_if, invalid, text_if

_TTLS: Final = frozenset({"30m", "12h"})
_THOUGHT_MARK: Final = "__thought__"
"""Other gateways put Google's signature behind it, into the id of a call."""


def read_mark(part: dict[str, Any], name: str = "prompt_cache_breakpoint") -> Cache | None:
    mark = part.get(name)
    return Cache(ttl=text_if(mark.get("ttl"))) if isinstance(mark, dict) else None


def write_mark(cache: Cache | None) -> dict[str, Any]:
    """The member that marks a part; none where it is not marked."""
    if cache is None:
        return {}
    ttl = {"ttl": cache.ttl} if cache.ttl in _TTLS else {}
    return {"prompt_cache_breakpoint": {"mode": "explicit", **ttl}}


def read_image(url: str, detail: str | None, cache: Cache | None, at: str, place: str) -> Media:
    """`at` is the part's place, `place` that of its URL."""
    if not is_data(url):
        return Media(kind="image", source=Url(url), detail=detail, cache=cache, at=at)
    mime, data = media.read_data_url(url, place)
    mime = mime or media.sniffed(data)
    if mime is None:
        raise invalid(place, "the kind of image is neither said nor seen in its first bytes")
    return Media(kind="image", source=data, mime=mime, detail=detail, cache=cache, at=at)


def read_audio(part: dict[str, Any], cache: Cache | None, at: str) -> Media:
    at_audio = f"{at}.input_audio"
    audio = an_object(part.get("input_audio"), at_audio)
    data = media.clean_base64(a_text(audio.get("data"), f"{at_audio}.data"), f"{at_audio}.data")
    mime = media.audio_mime(text_if(audio.get("format")) or "wav")
    return Media(kind="audio", source=data, mime=mime, cache=cache, at=at)


def write_audio(mime: str | None, data: Base64) -> dict[str, Any]:
    """The part; fitting has left only kinds that have a word here."""
    form = media.audio_format(mime or "") or "wav"
    return {"type": "input_audio", "input_audio": {"data": data.data, "format": form}}


def read_file(text: str, name: str | None, at: str) -> tuple[Base64, str]:
    """A file's data, given as a data URL or bare, and its kind: as it says, as it looks, as it is named."""
    said, data = media.read_data_url(text, at) if is_data(text) else (None, media.clean_base64(text, at))
    return data, said or media.sniffed(data) or media.mime_of_url(name or "") or "application/pdf"


def is_data(url: str) -> bool:
    return url[:5].lower() == "data:"


def read_output(form: dict[str, Any], at: str) -> Output:
    """The form of the answer, as responses spell it."""
    match form.get("type"):
        case "text":
            return Output(form="text", at=at)
        case "json_object":
            return Output(form="json", at=at)
        case "json_schema":
            return Output(
                form="schema",
                name=text_if(form.get("name")),
                schema=form.get("schema"),
                strict=bool_if(form.get("strict")),
                description=text_if(form.get("description")),
                at=at,
            )
        case _:
            raise invalid(f"{at}.type", "expected text, json_object or json_schema")


def args_of(value: Any) -> str:
    """Arguments of a call, which some hosts give as an object."""
    match value:
        case None:
            return ""
        case str():
            return value
        case _:
            return jsontext.text_of(value)


def seal_in(text: str, call_id: str) -> Sealed | None:
    """Google's seal of a call, where a client keeps it in an id."""
    data = text.partition(_THOUGHT_MARK)[2]
    return Sealed(vendor="google", kind="part", data=data, ref=call_id) if data else None
