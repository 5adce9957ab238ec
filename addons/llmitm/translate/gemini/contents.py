"""The turns of a client's request, read. Pure.

A signature of Google's stays on its part. One of another vendor comes in an envelope: reasoning of its own
then stands before the part that carried it. Calls without ids get one from their place, and a result
without an id answers the first call of its name that is still open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

from llmitm.exchange import Dialect
from llmitm.translate import ids, jsontext, media, seals
from llmitm.translate.gemini.members import Node, items_of, text_of, word_of
from llmitm.translate.gemini.parts import MODIFIERS, VENDOR, read_inline
from llmitm.translate.gemini.stream_in import hosted_text
from llmitm.translate.neutral import (
    FileId,
    Hosted,
    Media,
    Opaque,
    Part,
    Reasoning,
    Role,
    Sealed,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Url,
)
from llmitm.translate.reading import invalid

_ROLES: Final = {
    "": Role.USER,
    "USER": Role.USER,
    "FUNCTION": Role.USER,
    "TOOL": Role.USER,
    "MODEL": Role.ASSISTANT,
}
_NO_SEALS: Final = frozenset(
    {
        "skip_thought_signature_validator",
        "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=",
        "context_engineering_is_the_way_to_go",
        "Y29udGV4dF9lbmdpbmVlcmluZ19pc190aGVfd2F5X3RvX2dv",
    }
)
"""What clients write for a signature that they have not."""
_DATA: Final = (
    "functionCall",
    "functionResponse",
    "inlineData",
    "fileData",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
)
_BESIDE_DATA: Final = MODIFIERS | {"thought", "thoughtSignature"}
_DETAILS: Final = {"MEDIA_RESOLUTION_LOW": "low", "MEDIA_RESOLUTION_HIGH": "high"}
_ANSWERED: Final = ("", "", False)
_FILES_HOST: Final = "https://generativelanguage.googleapis.com/"


def _by_speaker(turn: Turn) -> Iterator[Turn]:
    """Results of functions are the user's side, in whosever content they stand."""
    if turn.role is Role.USER or not any(isinstance(part, ToolResult) for part in turn.parts):
        yield turn
        return
    for is_result, parts in groupby(turn.parts, key=lambda part: isinstance(part, ToolResult)):
        yield replace(turn, role=Role.USER if is_result else turn.role, parts=tuple(parts))


class Contents:
    """Reads the contents of one request, in order."""

    __slots__ = ("_had_model", "_model_turns", "_open_calls", "_slices")

    def __init__(self, slices: jsontext.Slices) -> None:
        self._slices = slices
        self._model_turns = 0
        self._had_model = False
        self._open_calls: list[tuple[str, str, bool]] = []

    def system(self, node: Node | None) -> tuple[Turn, ...]:
        """The system instruction: a content, a part, a string, or a list of these."""
        if node is None:
            return ()
        contents = [one.get("parts") or one for one in (node.get("parts") or node).items()]
        parts = [part for content in contents for one in content.items() for part in self._any(one)]
        return (Turn(role=Role.SYSTEM, parts=tuple(parts), at=node.at),) if parts else ()

    def turns(self, node: Node | None) -> tuple[Turn, ...]:
        if node is None:
            raise invalid("contents", "expected a list of contents")
        return tuple(turn for one in node.items() for turn in _by_speaker(self._turn(one)))

    def _turn(self, node: Node) -> Turn:
        if isinstance(node.value, str):
            return Turn(role=Role.USER, parts=(Text(text=node.value, at=node.at),), at=node.at)
        node.object()
        role = _ROLES.get(word_of(node.get("role")))
        if role is None:
            raise invalid(f"{node.at}.role", "expected user or model")
        if role is Role.ASSISTANT:
            self._begin_model_turn()
        else:
            self._had_model = False
        read = [part for one in items_of(node.get("parts")) for part in self._any(one)]
        return Turn(role=role, parts=tuple(_joined(read, role)), at=node.at)

    def _begin_model_turn(self) -> None:
        if not self._had_model:
            self._open_calls.clear()
        self._had_model = True
        self._model_turns += 1

    def _any(self, node: Node) -> list[Part]:
        if isinstance(node.value, str):
            return [Text(text=node.value, at=node.at)]
        node.object()
        return self._part(node)

    def _part(self, node: Node) -> list[Part]:
        """The part, and reasoning before it where it carries another vendor's seal."""
        told = node.get("thoughtSignature")
        sealed = _seal(told.value if told is not None else None)
        is_foreign = sealed is not None and sealed.vendor != VENDOR
        name = next((one for one in _DATA if node.get(one) is not None), "text")
        thought = node.get("thought")
        if thought is not None and thought.value is True and name == "text":
            return _thought(node, sealed)
        part = self._data(name, node, None if is_foreign else sealed)
        if sealed is None or not is_foreign:
            return [part]
        before = Reasoning(sealed=sealed, at=node.at)
        return [before] if part == Text(text="") else [before, part]

    def _data(self, name: str, node: Node, sealed: Sealed | None) -> Part:
        data = node.get(name)
        match name:
            case "text":
                return self._text(node, data, sealed)
            case "functionCall" if data is not None:
                return self._call(data, sealed)
            case "functionResponse" if data is not None:
                return self._result(data)
            case "inlineData" | "fileData" if data is not None:
                return self._media(name, data, node, sealed)
            case _:
                told = data.object() if data is not None else {}
                return Hosted(
                    vendor=VENDOR,
                    type=name,
                    raw=self._raw(node),
                    phase="call" if name in ("executableCode", "toolCall") else "result",
                    text=hosted_text(name, told),
                    at=node.at,
                )

    def _text(self, node: Node, said: Node | None, sealed: Sealed | None) -> Part:
        others = [name for name, _ in node.members() if name not in _BESIDE_DATA]
        if said is None and others:
            return Opaque(dialect=Dialect.GEMINI, type=others[0], raw=self._raw(node), at=node.at)
        return Text(text=text_of(said) or "", sealed=sealed, at=node.at)

    def _raw(self, node: Node) -> str:
        """The value as the client spelled it, without an envelope of ours."""
        told = node.get("thoughtSignature")
        if told is not None and isinstance(told.value, str) and seals.is_envelope_base64(told.value):
            return jsontext.text_of(
                {name: value for name, value in node.value.items() if name != told.path[-1]}
            )
        return self._slices.at(*node.path)

    def _call(self, node: Node, sealed: Sealed | None) -> ToolCall:
        node.object()
        name = text_of(node.get("name"))
        if not name:
            raise invalid(f"{node.at}.name", "expected the name of a function")
        told = text_of(node.get("id"))
        ordinal = len(self._open_calls)
        call_id = told or ids.gemini_call_id(self._model_turns - 1, ordinal, name)
        self._open_calls.append((call_id, name, not told))
        args = node.get("args")
        return ToolCall(id=call_id, name=name, args=self._args(args), sealed=sealed, at=node.at)

    def _args(self, node: Node | None) -> str:
        if node is None:
            return "{}"
        text = jsontext.unwrapped(node.value)
        return self._raw(node) if text is None else text

    def _result(self, node: Node) -> ToolResult:
        node.object()
        name, told = text_of(node.get("name")), text_of(node.get("id"))
        call_id, known = self._answered(told, name)
        held = tuple(self._held(one) for one in items_of(node.get("parts")))
        response = node.get("response")
        text, is_error = _plain_result(None if response is None else response.value)
        raw = None if response is None or text is not None else self._raw(response)
        said = () if text is None else (Text(text=text, at=node.at),)
        return ToolResult(
            call_id=call_id,
            name=name or known,
            parts=(*said, *(part for part in held if raw is None or isinstance(part, Media))),
            is_error=is_error,
            raw=raw,
            at=node.at,
        )

    def _held(self, node: Node) -> Part:
        """A part within a result: media, or text."""
        node.object()
        for name in ("inlineData", "fileData"):
            if (data := node.get(name)) is not None:
                return self._media(name, data, node, None)
        return self._text(node, node.get("text"), None)

    def _answered(self, told: str | None, name: str | None) -> tuple[str, str | None]:
        """Id and name of the call that is answered: by id, else the first open one of the name."""
        for n, (call_id, called, _) in enumerate(self._open_calls):
            if call_id == told if told else called == name:
                self._open_calls[n] = _ANSWERED
                return call_id, called
        for n, (call_id, called, had_none) in enumerate(self._open_calls):
            if called == name and had_none:
                self._open_calls[n] = _ANSWERED
                return call_id, called
        return told or "", name

    def _media(self, name: str, data: Node, node: Node, sealed: Sealed | None) -> Media:
        told = data.object()
        shown = text_of(data.get("displayName"))
        mime = text_of(data.get("mimeType"))
        extra, detail = self._beside(node)
        whole = Media(kind="document", source=Url(""), filename=shown, detail=detail, extra=extra, at=node.at)
        if name == "inlineData":
            source, mime = read_inline(told, data.at)
            return replace(whole, kind=media.kind_of(mime or ""), source=source, mime=mime, sealed=sealed)
        uri = text_of(data.get("fileUri")) or ""
        is_own = uri.startswith((_FILES_HOST, "files/"))
        mime = media.usual_mime(mime) if mime else media.mime_of_url(uri)
        is_film = mime is None and "youtu" in uri
        return replace(
            whole,
            kind="video" if is_film else media.kind_of(mime or ""),
            source=FileId(VENDOR, uri) if is_own else Url(uri),
            mime=mime,
            sealed=sealed,
        )

    def _beside(self, node: Node) -> tuple[str | None, str | None]:
        """Members that stand beside the data, as JSON, and the detail that they ask for."""
        extra = {name: jsontext.Raw(self._raw(one)) for name, one in node.members() if name in MODIFIERS}
        level = node.get("mediaResolution")
        inner = level.get("level") if level is not None else None
        detail = _DETAILS.get(word_of(inner) or word_of(level))
        if detail is not None:
            del extra["mediaResolution"]
        return (jsontext.text_of(extra) if extra else None), detail


def _seal(data: Any) -> Sealed | None:
    """Whose seal it is. A damaged envelope is nobody's."""
    if not isinstance(data, str) or not data or data in _NO_SEALS:
        return None
    if seals.is_envelope_base64(data) or seals.is_envelope(data):
        return seals.opened(data)
    return Sealed(vendor=VENDOR, kind="part", data=data)


def _thought(node: Node, sealed: Sealed | None) -> list[Part]:
    text = text_of(node.get("text")) or ""
    if sealed is not None and sealed.data is None:  # a host's own reasoning, told in full
        return [Reasoning(text=text or None, sealed=sealed, at=node.at)]
    if not text and sealed is None:
        return []
    return [Reasoning(summary=(text,) if text else (), sealed=sealed, at=node.at)]


def _joined(parts: list[Part], role: Role) -> list[Part]:
    """Clients keep the pieces of a stream as parts of their own: what follows one another unsealed is one."""
    if role is not Role.ASSISTANT:
        return parts
    made: list[Part] = []
    for part in parts:
        before = made[-1] if made else None
        match before, part:
            case Text(sealed=None), Text():
                made[-1] = replace(part, text=before.text + part.text, at=before.at)
            case Reasoning(sealed=None), Reasoning(sealed=sealed) if _continues(sealed, part):
                summary = "".join((*before.summary, *part.summary))
                made[-1] = replace(part, summary=(summary,), at=before.at)
                if sealed is not None and sealed.data is None:
                    made[-1] = replace(part, text=summary + (part.text or ""), summary=(), at=before.at)
            case _:
                made.append(part)
    return made


def _continues(sealed: Sealed | None, part: Reasoning) -> bool:
    """A seal without text of its own ends the thought before it; redacted thoughts stand alone."""
    return sealed is None or sealed.kind != "redacted"


def _plain_result(value: Any) -> tuple[str | None, bool]:
    """The text of a result that is nothing but text, and whether it tells of an error."""
    match value:
        case {"output": str(text), **others} if not others:
            return text, False
        case {"error": str(text), **others} if not others:
            return text, True
        case str(text):
            return text, False
    return None, False
