"""A stream of chat completion chunks, read. Pure.

Hosts interleave the fragments of parallel calls and put text between them, but in the neutral stream one
part is open at a time. So each choice has a queue: what stands at its head is passed on as it comes, what
comes for others waits until the head is complete.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

from llmitm.translate import jsontext, stream
from llmitm.translate.chat import details
from llmitm.translate.chat.parts import read_call
from llmitm.translate.chat.reply_in import NO_CHOICE, beside, is_call, read_content, reasoning_of, tokens_of
from llmitm.translate.chat.reply_in import citations as citations_of
from llmitm.translate.chat.stops import read_stop
from llmitm.translate.chat.usage import read_usage
from llmitm.translate.failures import failure_of
from llmitm.translate.neutral import (
    End,
    ExtrasSeen,
    Failed,
    Logprobs,
    PartDelta,
    PartMeta,
    PartStart,
    PartStop,
    Ping,
    Reasoning,
    Refusal,
    Sealed,
    Start,
    StopSeen,
    StreamEvent,
    Text,
    ToolCall,
    UsageSeen,
)
from llmitm.translate.reading import seconds_if, text_if
from llmitm.translate.sse import Event


class StreamReader:
    """Reads one stream; see `stream.Reader`."""

    __slots__ = ("_choices", "_has_ended", "_has_failed", "_has_started", "_tier", "_usage")

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._usage: Any = None
        self._tier: str | None = None
        self._has_started = False
        self._has_ended = False
        self._has_failed = False

    def read(self, event: Event) -> list[StreamEvent]:
        if self._has_ended or self._has_failed:
            return []
        if event.data is None:
            return [Ping()] if event.comment is not None else []
        data = event.data.strip()
        if data == b"[DONE]":
            self._has_ended = True
            return []
        try:
            chunk = stream.parsed(event) if data else {}
        except ValueError:
            return self._fail(stream.malformed())
        if not chunk:
            return []
        if chunk.get("error"):
            failed = failure_of(chunk, 200)
            return self._fail(Failed(failed) if failed else stream.malformed())
        out: list[StreamEvent] = []
        self._chunk(chunk, out)
        return out

    def _fail(self, failed: Failed) -> list[StreamEvent]:
        self._has_failed = True
        return [failed]

    def _chunk(self, chunk: dict[str, Any], out: list[StreamEvent]) -> None:
        choices = chunk.get("choices")
        if not self._has_started and (choices or chunk.get("id")):
            self._has_started = True
            out.append(
                Start(
                    text_if(chunk.get("id")) or None,
                    text_if(chunk.get("model")),
                    seconds_if(chunk.get("created")),
                )
            )
        for place, made in enumerate(choices) if isinstance(choices, list) else ():
            if isinstance(made, dict):
                index = made.get("index")
                if type(index) is not int or index < 0:
                    index = place
                choice = self._choices.get(index)
                if choice is None:
                    choice = self._choices[index] = _Choice(index)
                choice.read(made, out)
        tier = chunk.get("service_tier")
        if isinstance(tier, str) and tier != self._tier:
            self._tier = tier
            out.append(ExtrasSeen({}, tier))
        counts = chunk.get("usage")
        if counts is None and isinstance(chunk.get("x_groq"), dict):
            counts = chunk["x_groq"].get("usage")
        if counts is not None and (usage := read_usage(counts, self._tier, chunk.get("model"))) is not None:
            self._usage = stream.merged(self._usage, usage)
            out.append(UsageSeen(self._usage))

    def finish(self) -> list[StreamEvent]:
        if self._has_failed:
            return []
        out: list[StreamEvent] = []
        is_told = self._has_ended and any(one.is_over or one.has_parts for one in self._choices.values())
        for choice in self._choices.values():
            choice.finish(out, is_told=is_told)
        is_whole = all(choice.is_over for choice in self._choices.values())
        if not self._choices and self._has_started and self._has_ended:
            return [Failed(NO_CHOICE)]
        if not self._choices or not is_whole:
            return [*out, stream.truncated()]
        out.append(End())
        return out


class _Item:
    """A part on its way: what came for it and was not passed on yet."""

    __slots__ = ("is_open", "key", "last_id", "metas", "part", "seen", "waiting")

    def __init__(self, part: Any, key: int | None = None) -> None:
        self.part = part
        self.key = key
        """Of a call: the index that the host gives it."""
        self.last_id = part.id if isinstance(part, ToolCall) else None
        self.waiting: list[tuple[Any, str]] = []
        self.metas: list[tuple[Any, Any]] = []
        self.seen: list[str] = []
        """Of a call: its arguments so far."""
        self.is_open = False

    @property
    def is_nameless(self) -> bool:
        """A call whose name is still to come, before its arguments."""
        return isinstance(self.part, ToolCall) and not (self.part.name or self.seen)

    @property
    def is_complete(self) -> bool:
        """Text is, as soon as something else comes; a call, when its arguments are a whole value."""
        if not isinstance(self.part, ToolCall):
            return True
        text = "".join(self.seen)
        self.seen = [text]
        return self.part.kind == "custom" or (text.rstrip().endswith("}") and jsontext.is_object(text))


def _begins_anew(item: _Item, read: ToolCall) -> bool:
    """Whether a fragment at the index of a known call is of another: hosts count all of them 0."""
    if read.id and item.last_id:
        return read.id != item.last_id
    has_news = bool(read.name) and (bool(read.args) or read.name != item.part.name)
    return has_news and not read.id and bool(item.seen) and item.is_complete


class _Choice:
    __slots__ = ("_by_key", "_calls", "_has_said", "_index", "_is_blank", "_next", "_queue", "is_over")

    def __init__(self, index: int) -> None:
        self._index = index
        self._queue: deque[_Item] = deque()
        self._next = 0
        self._by_key: dict[int, _Item] = {}
        self._calls = 0
        self._has_said = False
        """Reasoning comes as text: what the details repeat of it is not counted twice."""
        self._is_blank = False
        """A finish reason came, but it is an empty word."""
        self.is_over = False

    @property
    def has_parts(self) -> bool:
        return self._next > 0

    def read(self, made: dict[str, Any], out: list[StreamEvent]) -> None:
        delta = made.get("delta")
        if isinstance(delta, dict):
            self._delta(delta, out)
        elif isinstance(message := made.get("message"), dict):
            self._delta(message, out)  # hosts that send the whole in one chunk
        if tokens := tokens_of(made):
            out.append(Logprobs(tokens, self._index))
        word = made.get("finish_reason")
        if word == "":
            self._is_blank = True
        elif isinstance(word, str) and not self.is_over:
            sequence = made.get("stop_reason")
            self._stop(word, sequence if isinstance(sequence, str) else None, out)

    def _stop(self, word: str, sequence: str | None, out: list[StreamEvent]) -> None:
        self._drain(out)
        self.is_over = True
        stop = read_stop(word, has_calls=self._calls > 0, sequence=sequence)
        out.append(StopSeen(stop, self._index))

    def finish(self, out: list[StreamEvent], *, is_told: bool) -> None:
        """`is_told`: the stream said that it is over, though this choice did not: hosts forget the reason."""
        if self.is_over:
            self._drain(out)  # of hosts that went on after the reason
        elif self._is_blank or is_told:
            self._stop("stop", None, out)

    def _delta(self, delta: dict[str, Any], out: list[StreamEvent]) -> None:
        entries = delta.get("reasoning_details")
        if said := reasoning_of(delta):
            self._has_said = True
            self._text(Reasoning, "text", said, out)
        if isinstance(entries, list):
            self._details(entries, out)
        content = delta.get("content")
        if isinstance(content, str):
            self._text(Text, "text", content, out)
        elif content is not None:
            self._content(content, out)
        refusal = delta.get("refusal")
        if isinstance(refusal, str):
            self._text(Refusal, "text", refusal, out)
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self._call(call, out)
        legacy = delta.get("function_call")
        if isinstance(legacy, dict) and is_call(legacy):
            self._call({"index": 0, "function": legacy}, out)
        if delta.get("annotations"):
            self._meta(Text, "citations", citations_of(delta["annotations"]), out)
        for part in beside(delta):
            self._push(_Item(part), out)

    def _content(self, content: Any, out: list[StreamEvent]) -> None:
        for part in read_content(content):
            match part:
                case Text() | Refusal():
                    self._text(type(part), "text", part.text, out)
                    if isinstance(part, Text) and part.citations:
                        self._meta(Text, "citations", part.citations, out)
                case Reasoning():
                    self._text(Reasoning, "text", part.readable, out)
                case _:
                    self._push(_Item(part), out)

    # ---- the queue

    def _text(self, kind: type[Any], field: Any, text: str, out: list[StreamEvent]) -> None:
        """More of the last part where it is of this kind, unless a seal has ended it."""
        if not text:
            return
        last = self._queue[-1] if self._queue else None
        if last is not None and type(last.part) is kind and getattr(last.part, "sealed", None) is None:
            if last.is_open:
                out.append(PartDelta(self._next - 1, field, text, 0, self._index))
            else:
                last.waiting.append((field, text))
            return
        item = _Item(kind() if kind is Reasoning else kind(text=""))
        item.waiting.append((field, text))
        self._push(item, out)

    def _push(self, item: _Item, out: list[StreamEvent]) -> None:
        self._queue.append(item)
        self._advance(out)

    def _advance(self, out: list[StreamEvent]) -> None:
        """Passes on what can be, of a queue that is not empty."""
        queue = self._queue
        while True:
            head = queue[0]
            if head.is_nameless and len(queue) == 1:
                return
            self._flush(head, out)
            if len(queue) == 1 or not head.is_complete:
                return
            self._close(out)

    def _flush(self, item: _Item, out: list[StreamEvent]) -> None:
        if not item.is_open:
            item.is_open = True
            out.append(PartStart(self._next, item.part, self._index))
            self._next += 1
        index = self._next - 1
        for field, text in item.waiting:
            out.append(PartDelta(index, field, text, 0, self._index))
        for key, value in item.metas:
            out.append(PartMeta(index, key, value, self._index))
        item.waiting.clear()
        item.metas.clear()

    def _close(self, out: list[StreamEvent]) -> None:
        self._queue.popleft()
        out.append(PartStop(self._next - 1, self._index))

    def _drain(self, out: list[StreamEvent]) -> None:
        while self._queue:
            self._flush(self._queue[0], out)
            self._close(out)

    def _meta(self, kind: type[Any], key: Any, value: Any, out: list[StreamEvent]) -> None:
        item = next((one for one in reversed(self._queue) if type(one.part) is kind), None)
        if item is not None:
            item.metas.append((key, value))
            if item.is_open:
                self._flush(item, out)

    # ---- calls

    def _call(self, fragment: dict[str, Any], out: list[StreamEvent]) -> None:
        read = read_call(fragment, "")
        index = fragment.get("index")
        item = self._found(index, read)
        if item is None:
            self._calls += 1
            item = _Item(replace(read, args=""), index if type(index) is int and index >= 0 else None)
            if item.key is not None:
                self._by_key[item.key] = item
            if read.args:
                item.waiting.append(("args", read.args))
                item.seen.append(read.args)
            self._push(item, out)
            return
        if item not in self._queue:
            return  # complete: hosts that repeat it whole at the end
        if not item.is_open:
            named = replace(item.part, id=item.part.id or read.id, name=item.part.name or read.name)
            item.part, item.last_id = named, named.id
        if read.sealed is not None and item.part.sealed is None:
            item.metas.append(("sealed", read.sealed))
        if read.args and not (read.id and item.seen and "".join(item.seen) == read.args):
            item.waiting.append(("args", read.args))
            item.seen.append(read.args)
        if item.is_open or item is self._queue[0]:
            self._advance(out)

    def _found(self, index: Any, read: ToolCall) -> _Item | None:
        """The call that a fragment belongs to; None: it begins one."""
        if type(index) is int and index >= 0:
            item = self._by_key.get(index)
            return None if item is not None and _begins_anew(item, read) else item
        last = next((one for one in reversed(self._queue) if isinstance(one.part, ToolCall)), None)
        if (
            last is None
            or (read.id and read.id != last.last_id)
            or (read.name and not read.id and last.is_complete)
        ):
            return None
        return last

    # ---- sealed reasoning

    def _details(self, entries: list[Any], out: list[StreamEvent]) -> None:
        for entry in entries:
            match entry:
                case {"type": "reasoning.text", **rest}:
                    text, signature = rest.get("text"), rest.get("signature")
                    if isinstance(text, str) and text and not self._has_said:
                        self._text(Reasoning, "text", text, out)
                    if isinstance(signature, str) and signature:
                        vendor = details.vendor_of(entry)
                        self._seal(Sealed(vendor=vendor, kind="thinking", data=signature), out)
                case {"type": "reasoning.summary", "summary": str(text)} if text and not self._has_said:
                    self._text(Reasoning, "text", text, out)
                case {"type": "reasoning.encrypted", "data": str()}:
                    self._encrypted(entry, out)

    def _encrypted(self, entry: dict[str, Any], out: list[StreamEvent]) -> None:
        calls = {item.last_id: item for item in self._queue if isinstance(item.part, ToolCall)}
        found = details.read([entry], (key for key in calls if key))
        for call_id, sealed in found.calls.items():
            calls[call_id].metas.append(("sealed", sealed))
            if calls[call_id].is_open:
                self._flush(calls[call_id], out)
        for sealed in (part.sealed for part in found.parts if part.sealed is not None):
            self._seal(sealed, out)
        if found.loose is not None:
            if any(isinstance(item.part, Text) for item in self._queue):
                self._meta(Text, "sealed", found.loose, out)
            elif calls:
                self._meta(ToolCall, "sealed", found.loose, out)
            else:
                self._push(_Item(Text(text="", sealed=found.loose)), out)

    def _seal(self, sealed: Sealed, out: list[StreamEvent]) -> None:
        """Of the reasoning that just came, or, where that has one, of some that cannot be read."""
        last = self._queue[-1] if self._queue else None
        reasoning = last.part if last is not None and isinstance(last.part, Reasoning) else None
        if last is None or reasoning is None or sealed.kind == "redacted" or reasoning.sealed is not None:
            if reasoning is None or reasoning.sealed != sealed:
                self._push(_Item(Reasoning(sealed=sealed)), out)
            return
        last.part = replace(reasoning, sealed=sealed)
        if last.is_open:
            last.metas.append(("sealed", sealed))
            self._flush(last, out)


__all__ = ["StreamReader"]
