"""What the stream readers and writers of all dialects share. Pure.

A reader takes server-sent events of its dialect, one at a time, and gives neutral events; a writer takes
neutral events and gives bytes of its dialect. Neither holds anything back that the target could have now.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, Protocol

from llmitm.exchange import Usage
from llmitm.translate import jsontext
from llmitm.translate.neutral import (
    Choice,
    End,
    ExtrasSeen,
    Failed,
    Failure,
    Logprobs,
    Media,
    Part,
    PartDelta,
    PartMeta,
    PartStart,
    PartStop,
    Reasoning,
    Refusal,
    Reply,
    Start,
    Stop,
    StopSeen,
    StreamEvent,
    Text,
    ToolCall,
    UsageSeen,
)
from llmitm.translate.sse import Event

TRUNCATED: Final = "upstream_truncated"
"""Code of the failure of a stream without an end."""


class Reader(Protocol):
    """Reads one stream of its dialect."""

    def read(self, event: Event) -> list[StreamEvent]:
        """The neutral events that this event of the upstream makes. Never raises; see `Failed`."""

    def finish(self) -> list[StreamEvent]:
        """The body has ended: `End`, or `Failed` where it ended too early."""


class Writer(Protocol):
    """Writes one stream of its dialect."""

    def write(self, event: StreamEvent) -> bytes:
        """The bytes to send now; often none."""


def truncated() -> Failed:
    return Failed(
        Failure(
            status=502,
            kind="bad_gateway",
            code=TRUNCATED,
            message="The provider's stream ended before its answer was complete; try your request again.",
        )
    )


def malformed() -> Failed:
    return Failed(
        Failure(
            status=502,
            kind="bad_gateway",
            code="malformed_stream",
            message="The provider sent an event that is not valid JSON.",
        )
    )


def parsed(event: Event) -> dict[str, Any] | None:
    """The event's data as an object; None where it is none.

    Raises:
        ValueError: it is not JSON.
    """
    value = jsontext.loads_fast(event.data or b"")
    return value if isinstance(value, dict) else None


def counted(reader: Reader, body: bytes) -> Usage | None:
    """The tokens of a whole answer that is no reply: what says nothing was paid for all the same."""
    found: Usage | None = None
    try:
        for event in reader.read(Event(data=body)):
            if isinstance(event, UsageSeen | Start) and event.usage is not None:
                found = event.usage
    except RecursionError:
        pass
    return found


def merged(known: Usage | None, more: Usage | None) -> Usage | None:
    """Counts are cumulative: later ones replace earlier ones, field by field.

    A later 0 or nothing never replaces a known count of the input side: some hosts send zeros at the end.
    """
    if known is None or more is None:
        return more if known is None else known
    changes: dict[str, Any] = {}
    for name in Usage.__slots__:
        value, had = getattr(more, name), getattr(known, name)
        is_input = name not in ("output_tokens", "reasoning_tokens", "audio_out_tokens", "image_out_tokens")
        if value is None or value == () or (is_input and not value and had):
            continue
        changes[name] = value
    return replace(known, **changes)


class Parts:
    """The part that is open in one choice of a stream, for readers: numbers parts, closes one before it
    opens the next."""

    __slots__ = ("choice", "index", "kind")

    def __init__(self, choice: int = 0) -> None:
        self.choice = choice
        self.index = -1
        self.kind: type[Part] | None = None
        """Of the open part; None: none is open."""

    def open(self, part: Part, out: list[StreamEvent]) -> int:
        self.close(out)
        self.index += 1
        self.kind = type(part)
        out.append(PartStart(self.index, part, self.choice))
        return self.index

    def close(self, out: list[StreamEvent]) -> None:
        if self.kind is not None:
            out.append(PartStop(self.index, self.choice))
            self.kind = None

    def text(self, text: str, out: list[StreamEvent]) -> None:
        """More of a text part; opens one where another kind is open. Nothing where it is empty."""
        if text:
            if self.kind is not Text:
                self.open(Text(text=""), out)
            out.append(PartDelta(self.index, "text", text, 0, self.choice))

    def summary(self, text: str, out: list[StreamEvent]) -> None:
        """More of a summary of reasoning."""
        if text:
            if self.kind is not Reasoning:
                self.open(Reasoning(), out)
            out.append(PartDelta(self.index, "summary", text, 0, self.choice))

    def args(self, text: str, out: list[StreamEvent]) -> None:
        """More of the arguments of the open call."""
        if text:
            out.append(PartDelta(self.index, "args", text, 0, self.choice))

    def meta(self, key: Any, value: Any, out: list[StreamEvent]) -> None:
        out.append(PartMeta(self.index, key, value, self.choice))


class Collector:
    """Adds the events of one stream up to a reply."""

    __slots__ = ("_choices", "_extras", "_service_tier", "_start", "failure", "usage")

    def __init__(self) -> None:
        self._start = Start(None, None)
        self._choices: dict[int, _Choice] = {}
        self._extras: dict[str, Any] = {}
        self._service_tier: str | None = None
        self.usage: Usage | None = None
        self.failure: Failure | None = None

    def add(self, event: StreamEvent) -> None:
        match event:
            case PartDelta():
                self._choices[event.choice].delta(event)
            case PartStart():
                self._choices.setdefault(event.choice, _Choice()).open(event.part)
            case PartMeta():
                self._choices[event.choice].meta(event)
            case Start():
                self._start = event
                self.usage = event.usage
                self._service_tier = event.service_tier
            case UsageSeen():
                self.usage = event.usage
            case StopSeen():
                self._choices.setdefault(event.choice, _Choice()).stop = event.stop
            case Logprobs():
                self._choices.setdefault(event.choice, _Choice()).logprobs.extend(event.tokens)
            case ExtrasSeen():
                self._extras.update(event.extras)
                self._service_tier = event.service_tier or self._service_tier
            case Failed():
                self.failure = event.error

    def reply(self) -> Reply:
        return Reply(
            id=self._start.id,
            model=self._start.model,
            created=self._start.created,
            choices=tuple(made.whole(index) for index, made in sorted(self._choices.items())),
            usage=self.usage,
            service_tier=self._service_tier,
            extras=self._extras,
        )


class _Choice:
    """One choice, as far as it has come. Texts are kept in pieces: joining them one by one is quadratic."""

    __slots__ = ("_parts", "_texts", "logprobs", "stop")

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._texts: list[dict[tuple[str, int], list[str]]] = []
        self.stop: Stop | None = None
        self.logprobs: list[Any] = []

    def open(self, part: Part) -> None:
        self._parts.append(part)
        self._texts.append({})

    def delta(self, event: PartDelta) -> None:
        self._texts[event.index].setdefault((event.field, event.sub), []).append(event.text)

    def meta(self, event: PartMeta) -> None:
        part = self._parts[event.index]
        match event.key, part:
            case "sealed", Text() | Reasoning() | ToolCall() | Media():
                self._parts[event.index] = replace(part, sealed=event.value)
            case "citations", Text():
                self._parts[event.index] = replace(part, citations=(*part.citations, *event.value))

    def whole(self, index: int) -> Choice:
        parts: list[Part] = []
        for part, texts in zip(self._parts, self._texts, strict=True):
            whole = {key: "".join(runs) for key, runs in texts.items()}
            match part:
                case Text() | Refusal():
                    part = replace(part, text=part.text + whole.get(("text", 0), ""))
                case ToolCall():
                    part = replace(part, args=part.args + whole.get(("args", 0), ""))
                case Reasoning():
                    text = whole.get(("text", 0))
                    most = max((sub for field, sub in whole if field == "summary"), default=-1)
                    summary = tuple(whole.get(("summary", sub), "") for sub in range(most + 1))
                    part = replace(
                        part,
                        text=(part.text or "") + text if text is not None else part.text,
                        summary=part.summary + summary,
                    )
            parts.append(part)
        return Choice(index=index, parts=tuple(parts), stop=self.stop, logprobs=tuple(self.logprobs))


def simulate(reply: Reply) -> list[StreamEvent]:
    """The reply as a stream would have brought it. Collecting the events gives the reply again."""
    out: list[StreamEvent] = [Start(reply.id, reply.model, reply.created, None, reply.service_tier)]
    if reply.extras:
        out.append(ExtrasSeen(reply.extras))
    for choice in reply.choices:
        for index, part in enumerate(choice.parts):
            out += _simulated(index, part, choice.index)
        if choice.logprobs:
            out.append(Logprobs(choice.logprobs, choice.index))
    if reply.usage is not None:
        out.append(UsageSeen(reply.usage))
    out += (StopSeen(choice.stop, choice.index) for choice in reply.choices if choice.stop is not None)
    out.append(End())
    return out


def _simulated(index: int, part: Part, choice: int) -> list[StreamEvent]:
    """A part's head, its text in one delta, and what belongs to it."""
    deltas: list[StreamEvent] = []
    head = part
    match part:
        case Text() | Refusal() if part.text:
            head = replace(part, text="")
            deltas.append(PartDelta(index, "text", part.text, 0, choice))
        case ToolCall() if part.args:
            head = replace(part, args="")
            deltas.append(PartDelta(index, "args", part.args, 0, choice))
        case Reasoning():
            head = replace(part, text=None if part.text else part.text, summary=())
            if part.text:
                deltas.append(PartDelta(index, "text", part.text, 0, choice))
            for sub, text in enumerate(part.summary):
                deltas.append(PartDelta(index, "summary", text, sub, choice))
    if isinstance(head, Text) and head.citations:
        deltas.append(PartMeta(index, "citations", head.citations, choice))
        head = replace(head, citations=())
    if isinstance(head, Text | Reasoning) and head.sealed is not None:
        deltas.append(PartMeta(index, "sealed", head.sealed, choice))
        head = replace(head, sealed=None)
    return [PartStart(index, head, choice), *deltas, PartStop(index, choice)]
