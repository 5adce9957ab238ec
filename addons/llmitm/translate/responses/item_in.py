"""Items of a response as its stream brings them: each gathers what is said of it. Pure.

An item gives neutral events whose part index is open: the reader of the stream numbers them when the item's
turn has come, for items may interleave and neutral parts may not. Deltas feed; a text that is told whole
afterwards only adds what no delta brought.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

from llmitm.translate.neutral import (
    Logprobs,
    PartDelta,
    PartMeta,
    PartStart,
    PartStop,
    Reasoning,
    Refusal,
    StreamEvent,
    Text,
    ToolCall,
)
from llmitm.translate.reading import text_if
from llmitm.translate.responses import facts, parts, reply_in

UNNUMBERED: Final = -1
_JOINT: Final = "\n\n"


class Item:
    """One item; this plain kind is one that is told whole, at its end."""

    __slots__ = ("events", "id", "is_done", "type")

    def __init__(self, kind: str, item_id: str | None) -> None:
        self.type = kind
        self.id = item_id
        self.events: list[StreamEvent] = []
        """Those that have not been taken yet."""
        self.is_done = False

    @property
    def is_silent(self) -> bool:
        """It tells nothing before its end."""
        return type(self) is Item

    def added(self, item: dict[str, Any]) -> None:
        """The item's head."""

    def take(self, kind: str, data: dict[str, Any]) -> None:
        """An event about the item, its type without `response.`."""

    def done(self, item: dict[str, Any] | None) -> None:
        """The item is over; None: and nothing whole is known of it."""
        if not self.is_done:
            self.is_done = True
            self.finish(item)

    def finish(self, item: dict[str, Any] | None) -> None:
        for part in reply_in.read_item(item or {}):
            self.events += (PartStart(UNNUMBERED, part), PartStop(UNNUMBERED))

    def start(self, part: Text | Refusal | Reasoning | ToolCall) -> None:
        self.events.append(PartStart(UNNUMBERED, part))

    def delta(self, field: Literal["text", "summary", "args"], text: str, sub: int = 0) -> None:
        self.events.append(PartDelta(UNNUMBERED, field, text, sub))

    def meta(self, key: Literal["sealed", "citations"], value: Any) -> None:
        self.events.append(PartMeta(UNNUMBERED, key, value))

    def stop(self) -> None:
        self.events.append(PartStop(UNNUMBERED))


def _rest(came: list[str], whole: str) -> str:
    """What of a whole text no delta brought; nothing where the deltas said otherwise."""
    joined = "".join(came)
    return whole[len(joined) :] if whole.startswith(joined) else ""


def _matched[T](came: list[int], told: Sequence[T]) -> Iterator[tuple[int, T]]:
    """What the whole item tells, by the indexes of what came: some hosts count otherwise in their events."""
    fresh = max(came, default=-1) + 1
    for number, one in enumerate(told):
        yield came[number] if number < len(came) else fresh + number, one


def _has_text(part: Any) -> bool:
    match part:
        case {"type": "output_text", "text": str(text)} | {"type": "refusal", "refusal": str(text)}:
            return bool(text)
        case _:
            return False


class Message(Item):
    __slots__ = ("_cited", "_has_logprobs", "_open", "_texts")

    def __init__(self, kind: str, item_id: str | None) -> None:
        super().__init__(kind, item_id)
        self._open: int | None = None
        self._texts: dict[int, list[str]] = {}
        self._cited: dict[int, int] = {}
        self._has_logprobs: set[int] = set()

    def take(self, kind: str, data: dict[str, Any]) -> None:
        place = _place(data, "content_index")
        match kind:
            case "output_text.delta":
                self._logprobs(place, data)
                self._more(place, Text, data.get("delta"))
            case "refusal.delta":
                self._more(place, Refusal, data.get("delta"))
            case "output_text.done":
                self._whole(place, {**data, "type": "output_text"})
            case "refusal.done":
                self._whole(place, {**data, "type": "refusal"})
            case "content_part.done" if isinstance(data.get("part"), dict):
                self._whole(place, data["part"])
            case "output_text.annotation.added":
                self._cite(place, [data.get("annotation")])

    def finish(self, item: dict[str, Any] | None) -> None:
        content = item.get("content") if item else None
        told = [part for part in content if _has_text(part)] if isinstance(content, list) else []
        for place, part in _matched(list(self._texts), told):
            self._whole(place, part)
        self._close()

    def _more(self, place: int, kind: type[Text] | type[Refusal], text: Any) -> None:
        if not isinstance(text, str) or not text:
            return
        if self._open != place:
            self._close()
            self._open = place
            self.start(kind(text=""))
        self._texts.setdefault(place, []).append(text)
        self.delta("text", text)

    def _whole(self, place: int, part: dict[str, Any]) -> None:
        if place in self._texts and place != self._open:
            return
        came = self._texts.get(place, [])
        if part.get("type") == "refusal":
            self._more(place, Refusal, _rest(came, text_if(part.get("refusal")) or ""))
        elif part.get("type") == "output_text":
            if place not in self._has_logprobs:
                self._logprobs(place, part)
            self._more(place, Text, _rest(came, text_if(part.get("text")) or ""))
            cited = part.get("annotations")
            if isinstance(cited, list):
                self._cite(place, cited[self._cited.get(place, 0) :])

    def _cite(self, place: int, annotations: list[Any]) -> None:
        made = facts.read_annotations(annotations)
        if made and place == self._open:
            self._cited[place] = self._cited.get(place, 0) + len(annotations)
            self.meta("citations", made)

    def _logprobs(self, place: int, data: dict[str, Any]) -> None:
        tokens = facts.read_logprobs(data.get("logprobs"))
        if tokens:
            self._has_logprobs.add(place)
            self.events.append(Logprobs(tokens))

    def _close(self) -> None:
        if self._open is not None:
            self._open = None
            self.stop()


class Thought(Item):
    """A reasoning item. It becomes a part as soon as anything of it can be read, or with its seal."""

    __slots__ = ("_has_started", "_summary", "_text", "_text_place")

    def __init__(self, kind: str, item_id: str | None) -> None:
        super().__init__(kind, item_id)
        self._has_started = False
        self._summary: dict[int, list[str]] = {}
        self._text: dict[int, list[str]] = {}
        self._text_place = 0

    def take(self, kind: str, data: dict[str, Any]) -> None:
        match kind:
            case "reasoning_summary_text.delta":
                self._summarised(_place(data, "summary_index"), data.get("delta"))
            case "reasoning_summary_text.done":
                place = _place(data, "summary_index")
                self._summarised(place, _rest(self._summary.get(place, []), text_if(data.get("text")) or ""))
            case "reasoning_text.delta":
                self._more(_place(data, "content_index"), data.get("delta"))
            case "reasoning_text.done":
                place = _place(data, "content_index")
                self._more(place, _rest(self._text.get(place, []), text_if(data.get("text")) or ""))

    def finish(self, item: dict[str, Any] | None) -> None:
        for name, came, more in (
            ("content", self._text, self._more),
            ("summary", self._summary, self._summarised),
        ):
            for place, text in _matched(list(came), parts.texts_of((item or {}).get(name))):
                more(place, _rest(came.get(place, []), text))
        if (sealed := parts.read_seal(item or {})) is not None:
            self._start()
            self.meta("sealed", sealed)
        if self._has_started:
            self.stop()

    def _start(self) -> None:
        if not self._has_started:
            self._has_started = True
            self.start(Reasoning())

    def _summarised(self, place: int, text: Any) -> None:
        if isinstance(text, str) and text:
            self._start()
            self._summary.setdefault(place, []).append(text)
            self.delta("summary", text, list(self._summary).index(place))

    def _more(self, place: int, text: Any) -> None:
        if not isinstance(text, str) or not text or (self._text and place < self._text_place):
            return
        self._start()
        if self._text and place != self._text_place:
            self.delta("text", _JOINT)
        self._text_place = place
        self._text.setdefault(place, []).append(text)
        self.delta("text", text)


class Call(Item):
    """A call of the client's tool, of either kind. Without a name it waits for its end."""

    __slots__ = ("_args", "_has_started")

    def __init__(self, kind: str, item_id: str | None) -> None:
        super().__init__(kind, item_id)
        self._has_started = False
        self._args: list[str] = []

    def added(self, item: dict[str, Any]) -> None:
        call = reply_in.read_call({**item, "arguments": "", "input": ""})
        if call.name and call.id and not self._has_started:
            self._start(call)

    def take(self, kind: str, data: dict[str, Any]) -> None:
        match kind:
            case "function_call_arguments.delta" | "custom_tool_call_input.delta":
                self._more(data.get("delta"))
            case "function_call_arguments.done":
                self._more(_rest(self._args, text_if(data.get("arguments")) or ""))
            case "custom_tool_call_input.done":
                self._more(_rest(self._args, text_if(data.get("input")) or ""))

    def finish(self, item: dict[str, Any] | None) -> None:
        if item is not None:
            call = reply_in.read_call(item)
            if not self._has_started:
                self._start(
                    ToolCall(id=call.id, name=call.name, args="", kind=call.kind, namespace=call.namespace)
                )
            self._more(_rest(self._args, call.args))
        if self._has_started:
            self.stop()

    def _start(self, call: ToolCall) -> None:
        self._has_started = True
        self.start(call)
        for text in self._args:
            self.delta("args", text)

    def _more(self, text: Any) -> None:
        if isinstance(text, str) and text:
            self._args.append(text)
            if self._has_started:
                self.delta("args", text)


def _place(data: dict[str, Any], name: str) -> int:
    value = data.get(name)
    return value if isinstance(value, int) else 0


_KINDS: Final[dict[str, type[Item]]] = {
    "message": Message,
    "reasoning": Thought,
    "function_call": Call,
    "custom_tool_call": Call,
}
_SAID_BY: Final = (
    ("output_text.", "message"),
    ("refusal.", "message"),
    ("content_part.", "message"),
    ("reasoning_", "reasoning"),
    ("function_call_", "function_call"),
    ("custom_tool_call_", "custom_tool_call"),
)


def made(kind: str, item_id: str | None) -> Item:
    return _KINDS.get(kind, Item)(kind, item_id)


def kind_by_event(event: str) -> str | None:
    """Which type of item an event is about, for streams that do not announce their items."""
    return next((kind for beginning, kind in _SAID_BY if event.startswith(beginning)), None)
