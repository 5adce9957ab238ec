"""A stream of chat completion chunks, written. Pure."""

from __future__ import annotations

from typing import Any, Final

from llmitm.translate import jsontext
from llmitm.translate.chat import details
from llmitm.translate.chat.parts import write_call, write_image
from llmitm.translate.chat.reply_out import TIERS, shifted, write_citation
from llmitm.translate.chat.stops import write_stop
from llmitm.translate.chat.usage import write_usage
from llmitm.translate.failures import write_failure_event
from llmitm.translate.neutral import (
    ExtrasSeen,
    Failed,
    Hosted,
    Logprobs,
    Media,
    Part,
    PartDelta,
    PartMeta,
    PartStart,
    PartStop,
    Ping,
    Reasoning,
    Refusal,
    Request,
    Sealed,
    Start,
    StopSeen,
    StreamEvent,
    Text,
    ToolCall,
    UsageSeen,
)

KEEPALIVE: Final = b": keepalive\n\n"
DONE: Final = b"data: [DONE]\n\n"


class StreamWriter:
    """Writes one stream; see `stream.Writer`."""

    __slots__ = ("_asked", "_choices", "_extras", "_head", "_tier", "_usage")

    def __init__(self, asked: Request) -> None:
        self._asked = asked
        self._choices: dict[int, _Choice] = {}
        self._head: dict[str, Any] = {}
        self._extras: dict[str, Any] = {}
        self._tier: str | None = None
        self._usage: Any = None

    def write(self, event: StreamEvent) -> bytes:
        match event:
            case PartDelta():
                choice = self._choices[event.choice]
                return self._chunk(event.choice, choice.delta(event))
            case PartStart():
                return self._start_part(event)
            case PartMeta():
                self._choices[event.choice].meta(event)
                return b""
            case PartStop():
                return b"".join(
                    self._chunk(event.choice, delta) for delta in self._choices[event.choice].close()
                )
            case Start():
                self._head = {
                    "id": event.id,
                    "object": "chat.completion.chunk",
                    "created": event.created,
                    "model": event.model,
                }
                self._tier = event.service_tier
                return b""
            case Logprobs():
                tokens = {"content": list(event.tokens), "refusal": None}
                return self._begun(event.choice) + self._chunk(event.choice, {}, logprobs=tokens)
            case UsageSeen():
                self._usage = event.usage
                return b""
            case ExtrasSeen():
                self._extras.update(event.extras)
                self._tier = event.service_tier or self._tier
                return b""
            case StopSeen():
                return self._stop(event)
            case Failed():
                return write_failure_event(self._asked.dialect, event.error, "")
            case Ping():
                return KEEPALIVE
            case _:
                return self._end()

    def _chunk(self, index: int, delta: dict[str, Any] | None, *, logprobs: Any = None) -> bytes:
        if delta is None:
            return b""
        choice: dict[str, Any] = {"index": index, "delta": delta}
        if logprobs is not None:
            choice["logprobs"] = logprobs
        choice["finish_reason"] = None
        return self._event([choice])

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        chunk = {**self._head, "choices": choices}
        if self._tier in TIERS:
            chunk["service_tier"] = self._tier
        if self._asked.want_usage:
            chunk["usage"] = None
        return b"data: " + jsontext.dumps({**chunk, **more}) + b"\n\n"

    def _begun(self, index: int) -> bytes:
        """The first chunk of a choice, once."""
        if index in self._choices:
            return b""
        self._choices[index] = _Choice(is_legacy=self._asked.is_legacy_functions)
        return self._chunk(index, {"role": "assistant", "content": ""})

    def _start_part(self, event: PartStart) -> bytes:
        begun = self._begun(event.choice)
        return begun + self._chunk(event.choice, self._choices[event.choice].open(event.part, event.index))

    def _stop(self, event: StopSeen) -> bytes:
        begun = self._begun(event.choice)
        stop = event.stop
        has_refused = self._choices[event.choice].has_refused
        is_told = stop.explanation and not has_refused
        told = self._chunk(event.choice, {"refusal": stop.explanation}) if is_told else b""
        word = write_stop(stop, is_legacy=self._asked.is_legacy_functions)
        more = {"extras": {"google": self._extras}} if self._extras else {}
        choice = {"index": event.choice, "delta": {}, "finish_reason": word}
        return begun + told + self._event([choice], **more)

    def _end(self) -> bytes:
        if self._asked.want_usage and self._usage is not None:
            return self._event([], usage=write_usage(self._usage)) + DONE
        return DONE


class _Choice:
    """What is open in one choice, and the order of its calls."""

    __slots__ = (
        "_calls",
        "_citations",
        "_cited",
        "_images",
        "_index",
        "_is_legacy",
        "_length",
        "_part",
        "_readable",
        "_sealed",
        "_start",
        "_sub",
        "_summaries",
        "has_refused",
    )

    def __init__(self, *, is_legacy: bool) -> None:
        self._is_legacy = is_legacy
        self._calls = 0
        self._cited = 0
        self._images = 0
        self._index = 0
        self._part: Part | None = None
        self._sealed: Sealed | None = None
        self._citations: tuple[Any, ...] = ()
        self._length = 0
        self._start = 0
        self._sub = 0
        self._readable = False
        self._summaries: list[list[str]] = []
        self.has_refused = False

    def open(self, part: Part, index: int) -> dict[str, Any] | None:
        self._part, self._index, self._start, self._sub = part, index, self._length, 0
        self._sealed, self._citations, self._summaries = None, (), []
        match part:
            case ToolCall():
                self._calls += 1
                self._sealed = part.sealed
                return self._call_head(part)
            case Text():
                self._sealed, self._citations = part.sealed, part.citations
            case Reasoning():
                self._sealed = part.sealed
            case Media():
                self._images += 1
                return {"images": [{"index": self._images - 1, **write_image(part)}]}
            case Hosted(text=str(text)):
                self._length += len(text)
                return {"content": text}
        return None

    def _call_head(self, call: ToolCall) -> dict[str, Any] | None:
        if self._is_legacy:
            return self._legacy({"name": call.name, "arguments": ""})
        return {"tool_calls": [{"index": self._calls - 1, **write_call(call)}]}

    def _legacy(self, told: dict[str, Any]) -> dict[str, Any] | None:
        """A client of the old functions knows one call: others are not told."""
        return {"function_call": told} if self._calls == 1 else None

    def delta(self, event: PartDelta) -> dict[str, Any] | None:
        text = event.text
        match self._part:
            case Text():
                self._length += len(text)
                return {"content": text}
            case Refusal():
                self.has_refused = True
                return {"refusal": text}
            case ToolCall(kind=kind):
                if self._is_legacy:
                    return self._legacy({"arguments": text})
                body = {"custom": {"input": text}} if kind == "custom" else {"function": {"arguments": text}}
                return {"tool_calls": [{"index": self._calls - 1, **body}]}
            case _:
                return {"reasoning_content": self._reasoned(event)}

    def _reasoned(self, event: PartDelta) -> str:
        """Runs of reasoning are joined as they are in a whole reply: an empty line between summaries."""
        self._summaries += ([] for _ in range(event.sub + 1 - len(self._summaries)))
        self._summaries[event.sub].append(event.text)
        seam = ""
        if event.sub != self._sub or self._readable:
            seam = "\n\n"
        self._sub, self._readable = event.sub, False
        return seam + event.text

    def meta(self, event: PartMeta) -> None:
        if event.key == "sealed":
            self._sealed = event.value
        else:
            self._citations = (*self._citations, *event.value)

    def close(self) -> list[dict[str, Any]]:
        """What is known of a part only at its end: citations and seals."""
        part, made = self._part, list[dict[str, Any]]()
        length = self._length - self._start
        if told := [shifted(one, self._start, length) for one in self._citations if one.url]:
            # the official client adds lists up by index
            at = self._cited
            self._cited += len(told)
            notes = [{"index": at + n, **write_citation(one)} for n, one in enumerate(told)]
            made.append({"annotations": notes})
        entries: list[dict[str, Any]] = []
        match part:
            case Reasoning():
                summary = tuple("".join(runs) for runs in self._summaries)
                self._readable = bool(summary)
                entries = details.write(Reasoning(summary=summary, sealed=self._sealed), self._index)
            case ToolCall() if self._sealed is not None:
                entries = details.write_call_seal(self._sealed, part.id, self._index)
            case Text() if self._sealed is not None:
                entries = details.write_call_seal(self._sealed, None, self._index)
        if entries:
            made.append({"reasoning_details": entries})
        self._part = None
        return made
