"""The output of a response as it grows: neutral parts in, items and their events out. Pure.

A whole reply and a stream are written by the same steps, so that a stream's last object is what a whole
reply would have been. At most one item is open; adjacent texts share a message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from llmitm.exchange import Dialect
from llmitm.translate import ids, jsontext, seals
from llmitm.translate.neutral import (
    Base64,
    Citation,
    Hosted,
    Media,
    Opaque,
    Part,
    PartDelta,
    PartMeta,
    Reason,
    Reasoning,
    Refusal,
    Sealed,
    Stop,
    Text,
    ToolCall,
)
from llmitm.translate.responses import facts

type Told = tuple[str, dict[str, Any]]
"""An event's type without `response.`, and its members."""
_CUT: Final = (Reason.LENGTH, Reason.CONTEXT)
_TEXT: Final = ("output_text", "text")
_REFUSAL: Final = ("refusal", "refusal")
_ARGS: Final = ("function_call", "fc_", "arguments", "function_call_arguments")
_INPUT: Final = ("custom_tool_call", "ctc_", "input", "custom_tool_call_input")


@dataclass(slots=True)
class _Content:
    """The part of a message that is open."""

    place: int
    words: tuple[str, str]
    """Its type, and the member that holds its text."""
    text: list[str] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)

    def whole(self) -> tuple[dict[str, Any], str]:
        kind, member = self.words
        text = "".join(self.text)
        part: dict[str, Any] = {"type": kind, member: text}
        if kind == "output_text":
            cited = (facts.write_annotation(one, text) for one in self.citations)
            part |= {"annotations": [one for one in cited if one is not None], "logprobs": self.logprobs}
        return part, text


@dataclass(slots=True)
class _Message:
    id: str
    done: list[dict[str, Any]] = field(default_factory=list)
    """Its parts that are over."""
    content: _Content | None = None

    def item(self, status: str) -> dict[str, Any]:
        open_part = [self.content.whole()[0]] if self.content is not None else []
        content = [*self.done, *open_part]
        return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content}


@dataclass(slots=True)
class _Thought:
    sealed: Sealed | None
    id: str = ""
    """Empty until it is announced: an item of nothing but a seal takes its id from that."""
    summary: list[list[str]] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    is_ended: bool = False

    def item(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "id": self.id,
            "type": "reasoning",
            "summary": [_summary_part("".join(text)) for text in self.summary],
        }
        if self.text:
            made["content"] = [{"type": "reasoning_text", "text": "".join(self.text)}]
        if (data := self.encrypted()) is not None:
            made["encrypted_content"] = data
        return made

    def encrypted(self) -> str | None:
        """OpenAI's own as it is, but only under the id that it was made with: OpenAI compares them."""
        sealed = self.sealed
        if sealed is None:
            return None
        if _is_own(sealed) and sealed.item_id == self.id:
            return sealed.data
        return seals.envelope(sealed)


@dataclass(slots=True)
class _Call:
    id: str
    call: ToolCall
    args: list[str] = field(default_factory=list)
    is_over: bool = False

    @property
    def words(self) -> tuple[str, str, str, str]:
        return _INPUT if self.call.kind == "custom" else _ARGS

    def item(self, status: str) -> dict[str, Any]:
        kind, _, member, _ = self.words
        space = {"namespace": self.call.namespace} if self.call.namespace else {}
        head = {"id": self.id, "type": kind, "status": status, "call_id": self.call.id}
        return {**head, "name": self.call.name, **space, member: "".join(self.args)}


def _is_own(sealed: Sealed) -> bool:
    return sealed.vendor == "openai" and sealed.kind == "encrypted" and sealed.data is not None


def _summary_part(text: str) -> dict[str, str]:
    return {"type": "summary_text", "text": text}


class Output:
    """One response's `output`. Each step gives the events that tell of it."""

    def __init__(self, reply: str) -> None:
        self._reply = reply
        self._open: _Message | _Thought | _Call | None = None
        self._part: Part | None = None  # the neutral part that is open
        self._waiting: list[Any] = []  # logprobs that came before their text
        self._cited: list[Citation] = []  # and citations
        self._sealed: Sealed | None = None  # of the open text
        self.items: list[Any] = []
        """Those that are over."""

    def so_far(self) -> list[Any]:
        """The items, the open one as far as it has come."""
        match self._open:
            case _Message() | _Call() as item:
                return [*self.items, item.item("incomplete")]
            case _Thought(id=str(name)) as item if name:
                return [*self.items, item.item()]
            case _:
                return self.items

    # ---- steps

    def start(self, part: Part) -> list[Told]:
        """A part begins; what its head holds already is told with it."""
        told: list[Told] = []
        match part:
            case Text():
                self._settle(told)
                self._part, self._sealed = part, part.sealed
                self._say(_TEXT, part.text, told)
                self._cite(part.citations)
            case Refusal():
                self._settle(told)
                self._part = part
                self._say(_REFUSAL, part.text, told)
            case Reasoning():
                self._close(told)
                self._part, self._open = part, _Thought(part.sealed)
                self._think(part.text or "", told)
                for place, text in enumerate(part.summary):
                    self._summarise(text, place, told)
            case ToolCall():
                self._close(told)
                self._call(part, told)
            case _:
                self._part = part
                self._whole(part, told)
        return told

    def delta(self, event: PartDelta) -> list[Told]:
        told: list[Told] = []
        match self._part, event.field:
            case Text(), "text":
                self._say(_TEXT, event.text, told)
            case Refusal(), "text":
                self._say(_REFUSAL, event.text, told)
            case Reasoning(), "text":
                self._think(event.text, told)
            case Reasoning(), _:
                self._summarise(event.text, event.sub, told)
            case _:
                self._argue(event.text, told)
        return told

    def meta(self, event: PartMeta) -> list[Told]:
        if event.key == "citations":
            self._cite(event.value)
        elif isinstance(self._open, _Thought):
            self._open.sealed = event.value
        else:
            self._sealed = event.value
        return []

    def logprobs(self, tokens: tuple[Any, ...]) -> list[Told]:
        match self._open:
            case _Message(content=_Content(words=("output_text", _)) as content):
                content.logprobs += tokens
            case _:
                self._waiting += tokens
        return []

    def stop(self) -> list[Told]:
        """The part is over. A text stays open: another, or its logprobs, may follow."""
        told: list[Told] = []
        match self._part, self._open:
            case Reasoning(), _Thought():
                self._close(told)
            case ToolCall(), _Call() as item:
                item.is_over = True
                args = "".join(item.args)
                self._tell(told, f"{item.words[3]}.done", item.id, {item.words[2]: args})
                if item.call.kind == "function" and jsontext.is_object(args):
                    self._close(told)
        return told

    def finish(self, stop: Stop | None) -> list[Told]:
        """The reply is over; an item that its end cut is incomplete."""
        told: list[Told] = []
        is_cut = stop is not None and stop.reason in _CUT
        self._close(told, "incomplete" if is_cut else "completed")
        return told

    # ---- messages

    def _say(self, words: tuple[str, str], text: str, told: list[Told]) -> None:
        if not text:
            return
        message = self._message(told)
        content = message.content
        if content is None:
            content = message.content = _Content(len(message.done), words)
            if words is _TEXT:
                content.logprobs, self._waiting = self._waiting, []
                content.citations, self._cited = self._cited, []
            part = _Content(0, words).whole()[0]
            self._tell(told, "content_part.added", message.id, {"content_index": content.place, "part": part})
        content.text.append(text)
        members = {"content_index": content.place, "delta": text}
        if words is _TEXT:
            members["logprobs"] = []
        self._tell(told, f"{words[0]}.delta", message.id, members)

    def _message(self, told: list[Told]) -> _Message:
        if not isinstance(self._open, _Message):
            self._open = _Message(self._name("msg_"))
            self._added(told, {**self._open.item("in_progress"), "content": []})
        return self._open

    def _cite(self, citations: tuple[Citation, ...]) -> None:
        content = self._open.content if isinstance(self._open, _Message) else None
        cited = self._cited if content is None else content.citations
        cited += citations

    def _settle(self, told: list[Told]) -> None:
        """The text or refusal is over for good. A sealed one ends its message, and its seal follows."""
        self._cited = []
        match self._open:
            case _Message(content=_Content() as content) as message:
                self._end_content(message, content, told)
            case _Thought() | _Call():
                self._close(told)
                return
        sealed, self._sealed = self._sealed, None
        if sealed is not None:
            self._end_message("completed", told)
            self._carry(sealed, told)

    def _end_content(self, message: _Message, content: _Content, told: list[Told]) -> None:
        part, text = content.whole()
        place = {"content_index": content.place}
        for number, annotation in enumerate(part.get("annotations", ())):
            members = {**place, "annotation_index": number, "annotation": annotation}
            self._tell(told, "output_text.annotation.added", message.id, members)
        kind, member = content.words
        more = {"logprobs": content.logprobs} if kind == "output_text" else {}
        self._tell(told, f"{kind}.done", message.id, {**place, member: text, **more})
        self._tell(told, "content_part.done", message.id, {**place, "part": part})
        message.done.append(part)
        message.content = None

    def _end_message(self, status: str, told: list[Told]) -> None:
        if isinstance(self._open, _Message):
            self._done(told, self._open.item(status))

    # ---- reasoning

    def _thought(self, told: list[Told]) -> _Thought:
        item = self._open
        assert isinstance(item, _Thought)
        if not item.id:
            named = item.sealed.item_id if item.sealed is not None and _is_own(item.sealed) else None
            item.id = named or self._name("rs_")
            self._added(told, {"id": item.id, "type": "reasoning", "summary": []})
        return item

    def _think(self, text: str, told: list[Told]) -> None:
        if text:
            item = self._thought(told)
            self._end_summary(item, told)
            if not item.text:
                part = {"type": "reasoning_text", "text": ""}
                self._tell(told, "content_part.added", item.id, {"content_index": 0, "part": part})
            item.text.append(text)
            self._tell(told, "reasoning_text.delta", item.id, {"content_index": 0, "delta": text})

    def _summarise(self, text: str, place: int, told: list[Told]) -> None:
        if not text:
            return
        item = self._thought(told)
        while len(item.summary) <= place:
            self._end_summary(item, told)
            number = len(item.summary)
            item.summary.append([])
            item.is_ended = False
            members = {"summary_index": number, "part": _summary_part("")}
            self._tell(told, "reasoning_summary_part.added", item.id, members)
        item.summary[place].append(text)
        members = {"summary_index": place, "delta": text}
        self._tell(told, "reasoning_summary_text.delta", item.id, members)

    def _end_summary(self, item: _Thought, told: list[Told]) -> None:
        if item.summary and not item.is_ended:
            item.is_ended = True
            place, text = {"summary_index": len(item.summary) - 1}, "".join(item.summary[-1])
            self._tell(told, "reasoning_summary_text.done", item.id, {**place, "text": text})
            part = _summary_part(text)
            self._tell(told, "reasoning_summary_part.done", item.id, {**place, "part": part})

    def _end_thought(self, item: _Thought, told: list[Told]) -> None:
        if not item.id:
            self._open = None
            if item.sealed is not None:
                self._carry(item.sealed, told)
            return
        self._end_summary(item, told)
        if item.text:
            text = "".join(item.text)
            self._tell(told, "reasoning_text.done", item.id, {"content_index": 0, "text": text})
            part = {"type": "reasoning_text", "text": text}
            self._tell(told, "content_part.done", item.id, {"content_index": 0, "part": part})
        self._done(told, item.item())

    def _carry(self, sealed: Sealed, told: list[Told]) -> None:
        """An item that is nothing but a seal."""
        if _is_own(sealed) and sealed.item_id:
            name = sealed.item_id
        else:
            name = "rs_" + ids.hashed(seals.envelope(sealed), 32)
        self._added(told, {"id": name, "type": "reasoning", "summary": []})
        self._done(told, _Thought(sealed, name).item())

    # ---- calls, and what comes whole

    def _call(self, part: ToolCall, told: list[Told]) -> None:
        if part.sealed is not None:
            self._carry(part.sealed, told)
        item = _Call("", part)
        item.id = self._name(item.words[1])
        self._part, self._open = part, item
        self._added(told, item.item("in_progress"))
        self._argue(part.args, told)

    def _argue(self, text: str, told: list[Told]) -> None:
        item = self._open
        if text and isinstance(item, _Call):
            item.args.append(text)
            self._tell(told, f"{item.words[3]}.delta", item.id, {"delta": text})

    def _whole(self, part: Part, told: list[Told]) -> None:
        """What this API has no item for is left out, and divides nothing."""
        item: Any
        match part:
            case Media(kind="image", source=Base64(data)):
                self._close(told)
                item = {"id": self._name("ig_"), "type": "image_generation_call", "status": "completed"}
                item["result"] = data
                self._added(told, {**item, "status": "in_progress", "result": None})
            case Hosted(vendor="openai") | Opaque(dialect=Dialect.OPENAI_RESPONSES):
                self._close(told)
                item = jsontext.Raw(part.raw)
                self._added(told, item)
            case _:
                return
        self._done(told, item)

    # ---- events

    def _name(self, prefix: str) -> str:
        return ids.item_id(prefix, self._reply, len(self.items))

    def _tell(self, told: list[Told], kind: str, name: str, members: dict[str, Any]) -> None:
        told.append((kind, {"item_id": name, "output_index": len(self.items), **members}))

    def _added(self, told: list[Told], item: Any) -> None:
        told.append(("output_item.added", {"output_index": len(self.items), "item": item}))

    def _done(self, told: list[Told], item: Any) -> None:
        told.append(("output_item.done", {"output_index": len(self.items), "item": item}))
        self.items.append(item)
        self._open = None

    def _close(self, told: list[Told], status: str = "completed") -> None:
        """Ends what is open; `status` is for an item that is the last one."""
        match self._open:
            case _Thought() as item:
                self._end_thought(item, told)
            case _Call() as call:
                is_whole = call.call.kind == "function" and jsontext.is_object("".join(call.args))
                self._done(told, call.item("completed" if is_whole else status))
            case _Message(content=content) as message:
                if content is not None:
                    self._end_content(message, content, told)
                self._end_message(status, told)
        sealed, self._sealed = self._sealed, None
        if sealed is not None:
            self._carry(sealed, told)
