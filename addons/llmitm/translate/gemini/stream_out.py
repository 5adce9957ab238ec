"""A stream as Gemini writes it. Pure.

    data: {"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"Hi"}]}}],...}

No event names, no comments, no mark at the end; the last chunk has the reasons to stop and the counts.
For clients that did not ask for events, the chunks are the entries of one JSON array.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmitm.exchange import Dialect, Usage
from llmitm.translate import jsontext
from llmitm.translate.failures import gemini_error_event, status_for, write_error
from llmitm.translate.gemini.grounding import Supports
from llmitm.translate.gemini.parts import is_to_lend, signature, write_part
from llmitm.translate.gemini.reply_out import candidate
from llmitm.translate.gemini.stops import blocked_prompt, is_block, write_stop
from llmitm.translate.gemini.usage import write_usage
from llmitm.translate.neutral import (
    Citation,
    End,
    ExtrasSeen,
    Failed,
    Failure,
    Logprobs,
    Part,
    PartDelta,
    PartMeta,
    PartStart,
    PartStop,
    Reasoning,
    Refusal,
    Request,
    Sealed,
    Start,
    Stop,
    StopSeen,
    StreamEvent,
    Text,
    ToolCall,
    UsageSeen,
)


class StreamWriter:
    """Writes one stream; see `stream.Writer`."""

    __slots__ = ("_choices", "_entry_point", "_has_written", "_head", "_is_array", "_usage")

    def __init__(self, asked: Request) -> None:
        self._is_array = asked.is_json_array
        self._choices: dict[int, _Choice] = {}
        self._head: dict[str, Any] = {}
        self._usage: Usage | None = None
        self._entry_point: Any = None
        self._has_written = False

    def write(self, event: StreamEvent) -> bytes:
        match event:
            case PartDelta():
                return self._parts(event.choice, self._choice(event.choice).delta(event))
            case PartStart():
                return self._parts(event.choice, self._choice(event.choice).start(event.part))
            case PartMeta():
                return self._parts(event.choice, self._choice(event.choice).meta(event))
            case PartStop():
                return self._parts(event.choice, self._choice(event.choice).close())
            case Start():
                head = {"modelVersion": event.model, "responseId": event.id}
                self._head = {name: value for name, value in head.items() if value is not None}
            case UsageSeen():
                self._usage = event.usage
            case Logprobs():
                self._choice(event.choice).logprobs += event.tokens
            case ExtrasSeen():
                self._entry_point = event.extras.get("search_entry_point", self._entry_point)
            case StopSeen():
                choice = self._choice(event.choice)
                choice.stop = event.stop
                return self._parts(event.choice, choice.unlent())
            case Failed():
                return self._fail(event.error)
            case End():
                return self._end()
            case _:  # nothing here says that the upstream lives
                pass
        return b""

    def _choice(self, index: int) -> _Choice:
        return self._choices.get(index) or self._choices.setdefault(index, _Choice())

    def _parts(self, index: int, parts: list[Any]) -> bytes:
        if not parts:
            return b""
        return self._chunk(jsontext.dumps({"candidates": [candidate(index, parts)], **self._head}))

    def _chunk(self, text: bytes, *, is_last: bool = False) -> bytes:
        if not self._is_array:
            # arguments keep their spelling, but a line break within them would end the event
            return b"data: " + text.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n\n"
        before = b",\n" if self._has_written else b"["
        self._has_written = True
        return before + text + (b"]" if is_last else b"")

    def _end(self) -> bytes:
        states = sorted(self._choices.items()) or [(0, _Choice())]
        body: dict[str, Any] = {}
        first = states[0][1].stop
        if is_block(first) and not any(state.has_parts for _, state in states):
            body["promptFeedback"] = blocked_prompt(first)
        else:
            body["candidates"] = [self._last(index, state) for index, state in states]
        if self._usage is not None and (usage := write_usage(self._usage)):
            body["usageMetadata"] = usage
        return self._chunk(jsontext.dumps(body | self._head), is_last=True)

    def _last(self, index: int, state: _Choice) -> dict[str, Any]:
        return candidate(
            index,
            [],
            finish=write_stop(state.stop, has_refusal=state.has_refusal),
            logprobs=state.logprobs,
            grounding=state.supports.metadata(None if index else self._entry_point),
        )

    def _fail(self, failure: Failure) -> bytes:
        status = status_for(Dialect.GEMINI, failure.status)
        text = write_error(Dialect.GEMINI, status, failure.code or "", failure.message, "")
        return self._chunk(text, is_last=True) if self._is_array else gemini_error_event(text)


class _Choice:
    """One candidate, as far as it is written."""

    __slots__ = (
        "_before",
        "_citations",
        "_field",
        "_lent",
        "_part",
        "_pieces",
        "_seal",
        "_sub",
        "has_parts",
        "has_refusal",
        "logprobs",
        "stop",
        "supports",
    )

    def __init__(self) -> None:
        self.has_parts = False
        self.has_refusal = False
        self.logprobs: tuple[Any, ...] = ()
        self.stop: Stop | None = None
        self.supports = Supports()
        self._before = 0  # bytes of text in parts that are closed
        self._lent: Sealed | None = None  # waits for the text or call that shall carry it
        self._open(None)

    def _open(self, part: Part | None) -> None:
        self._part = part
        self._seal: Sealed | None = None
        self._citations: tuple[Citation, ...] = ()
        self._pieces: list[str] = []
        self._field = ""  # of reasoning: the full text or the summary, whichever came first
        self._sub = 0

    def start(self, part: Part) -> list[Any]:
        self._open(part)
        match part:
            case Text() | Refusal():
                self.has_refusal = self.has_refusal or isinstance(part, Refusal)
                if isinstance(part, Text):
                    self._seal, self._citations = part.sealed, part.citations
                return self._said(part.text)
            case Reasoning():
                self._seal = part.sealed
                return [*self.unlent(), *self._said(part.readable, is_thought=True)]
            case ToolCall():
                self._pieces.append(part.args)
                return [] if part.sealed is None else self.unlent()
            case _:
                told = write_part(part)
                self.has_parts = self.has_parts or told is not None
                return [] if told is None else [*self.unlent(), told]

    def unlent(self) -> list[Any]:
        """A seal that waits in vain, as a part of its own."""
        sealed, self._lent = self._lent, None
        if sealed is None:
            return []
        self.has_parts = True
        return [{"text": "", "thought": True} | signature(sealed)]

    def delta(self, event: PartDelta) -> list[Any]:
        match self._part:
            case ToolCall():
                self._pieces.append(event.text)
                return []
            case Reasoning():
                if self._field not in ("", event.field):
                    return []
                gap = "\n\n" if self._field and event.sub != self._sub else ""
                self._field, self._sub = event.field, event.sub
                return self._said(gap + event.text, is_thought=True)
            case _:
                return self._said(event.text)

    def _said(self, text: str, *, is_thought: bool = False) -> list[Any]:
        if not text:
            return []
        self.has_parts = True
        if is_thought:
            return [{"text": text, "thought": True}]
        self._pieces.append(text)
        if isinstance(self._part, Refusal):
            return [*self.unlent(), {"text": text}]
        sealed, self._lent = self._lent, None
        return [{"text": text} | signature(sealed)]

    def meta(self, event: PartMeta) -> list[Any]:
        if event.key == "citations":
            self._citations += tuple(event.value)
        elif self._part is not None:
            self._seal = event.value
        else:  # the part is closed already: its seal follows it
            return [{"text": ""} | signature(event.value)]
        return []

    def close(self) -> list[Any]:
        """What is known of a part only at its end: a call, a seal."""
        part, seal = self._part, self._seal
        said = "".join(self._pieces)
        told: list[Any] = []
        match part:
            case ToolCall():
                own = seal or part.sealed
                told = [] if own is None else self.unlent()
                told.append(write_part(replace(part, args=said, sealed=own or self._lent)))
                self._lent = None
            case Reasoning() if seal is not None:
                if not self._field and is_to_lend(replace(part, sealed=seal)):
                    self._lent = seal
                else:
                    told = [{"text": "", "thought": True} | signature(seal)]
            case Text():
                self.supports.add(said, self._citations, before=self._before)
                told = [] if seal is None else [{"text": ""} | signature(seal)]
        if isinstance(part, Text | Refusal):
            self._before += len(said.encode("utf-8", "replace"))
        self.has_parts = self.has_parts or bool(told)
        self._open(None)
        return told
