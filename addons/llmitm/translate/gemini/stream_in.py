"""Gemini's answers, read: a chunk of a stream and a whole answer have one shape. Pure.

    {"candidates":[{"content":{"parts":[...]},"finishReason":"STOP","index":0}],"usageMetadata":{...}}

Each chunk holds new parts only; its counts are all so far. Chunks have no marks of begin and end: texts
that follow one another are one part, and the body's end ends the answer. A reason to stop may come early,
with content after it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from llmitm.errors import Refused
from llmitm.exchange import Dialect, Usage
from llmitm.translate import jsontext, media, stream
from llmitm.translate.failures import failure_of
from llmitm.translate.gemini.grounding import Grounding, searches_in
from llmitm.translate.gemini.partial import PartialArgs
from llmitm.translate.gemini.parts import VENDOR, read_inline
from llmitm.translate.gemini.stops import finish_word, read_stop
from llmitm.translate.gemini.tokens import read_tokens
from llmitm.translate.gemini.usage import adds_up, read_tier, read_usage
from llmitm.translate.neutral import (
    Citation,
    End,
    ExtrasSeen,
    Failed,
    Failure,
    Hosted,
    Logprobs,
    Media,
    Opaque,
    Ping,
    Reason,
    Reasoning,
    Sealed,
    Start,
    Stop,
    StopSeen,
    StreamEvent,
    Text,
    ToolCall,
    Url,
    UsageSeen,
)
from llmitm.translate.sse import Event

_HOSTED: Final = {
    "executableCode": "call",
    "codeExecutionResult": "result",
    "toolCall": "call",
    "toolResponse": "result",
}
_NO_ANSWER: Final = (Reason.MALFORMED_CALL, Reason.OTHER)
"""A reply that ended so, and holds nothing, is none."""
_BESIDE_DATA: Final = frozenset({"thought", "thoughtSignature"})
_OUTPUT: Final = frozenset({"candidatesTokenCount", "thoughtsTokenCount"})


class Chunks:
    """Takes chunks of one answer, gives neutral events."""

    __slots__ = (
        "_blocked",
        "_candidates",
        "_counts",
        "_entry_point",
        "_has_begun",
        "_searches",
        "_tier",
        "is_over",
        "usage",
    )

    def __init__(self) -> None:
        self._candidates: dict[int, _Candidate] = {}
        self._blocked: str | None = None
        self._counts: dict[str, Any] = {}
        self._entry_point: Any = None
        self._has_begun = False
        self._searches: dict[int, int] = {}
        """By candidate."""
        self._tier: str | None = None
        self.usage: Usage | None = None
        self.is_over = False
        """An error came: nothing counts any more."""

    def take(
        self, chunk: dict[str, Any], text: jsontext.Slices, place: tuple[int, ...] = ()
    ) -> list[StreamEvent]:
        """`text` is the document that the chunk stands in, at `place`."""
        out: list[StreamEvent] = []
        if chunk.get("error"):
            return self.fail(failure_of(chunk, 200) or _failure("error", "The provider told of an error."))
        counts = chunk.get("usageMetadata")
        if isinstance(counts, dict):
            if adds_up(counts):  # of what it leaves out there was none
                self._counts = {name: count for name, count in self._counts.items() if name not in _OUTPUT}
            self._counts.update((name, count) for name, count in counts.items() if count is not None)
        self.usage = stream.merged(self.usage, read_usage(self._counts))
        tier = read_tier(self._counts)
        if not self._has_begun:
            self._has_begun = True
            out.append(_start(chunk, self.usage, tier))
        elif tier is not None and tier != self._tier:
            out.append(ExtrasSeen({}, tier))
        self._tier = tier or self._tier
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict) and (feedback.get("blockReason") or feedback.get("blockReasonMessage")):
            self._blocked = str(feedback.get("blockReason") or "BLOCK_REASON_UNSPECIFIED")
        self._take_candidates(chunk.get("candidates"), text, place, out)
        if self._searches and self.usage is not None:
            searched = (("web_search_requests", sum(self._searches.values())),)
            self.usage = replace(self.usage, server_tools=searched)
        return out

    def _take_candidates(
        self, candidates: Any, text: jsontext.Slices, place: tuple[int, ...], out: list[StreamEvent]
    ) -> None:
        for n, candidate in enumerate(candidates if isinstance(candidates, list) else ()):
            if not isinstance(candidate, dict):
                continue
            index = candidate.get("index")
            index = index if type(index) is int and index >= 0 else n
            state = self._candidates.get(index) or self._candidates.setdefault(index, _Candidate(index))
            state.take(candidate, _Place(text, (*place, "candidates", n, "content", "parts")), out)
            told = candidate.get("groundingMetadata")
            if searches := searches_in(told):
                self._searches[index] = searches
            entry_point = told.get("searchEntryPoint") if isinstance(told, dict) else None
            if isinstance(entry_point, dict) and self._entry_point is None:
                self._entry_point = entry_point
                out.append(ExtrasSeen({"search_entry_point": entry_point}))

    def fail(self, failure: Failure) -> list[StreamEvent]:
        self.is_over = True
        seen: list[StreamEvent] = [] if self.usage is None else [UsageSeen(self.usage)]
        return [*seen, Failed(failure)]

    def unread(self) -> list[StreamEvent]:
        """What came cannot be read. Behind an answer that has come to its end it says nothing."""
        states = self._candidates.values()
        has_ended = bool(states) and all(state.word is not None for state in states)
        return [] if has_ended else self.fail(stream.malformed().error)

    def finish(self, *, is_whole: bool) -> list[StreamEvent]:
        """`is_whole`: one answer that came in one piece cannot have been cut."""
        states = [state for _, state in sorted(self._candidates.items())]
        if not self._has_begun or (not is_whole and any(state.word is None for state in states)):
            return self.fail(stream.truncated().error)
        stops = {state.index: state.stop() for state in states}
        if not states and self._blocked is not None:
            stops[0] = Stop(reason=Reason.FILTER, raw=self._blocked)
        elif all(state.parts.index < 0 and stops[state.index].reason in _NO_ANSWER for state in states):
            return self.fail(_nothing(next(iter(stops.values()), None)))
        out: list[StreamEvent] = []
        for state in states:
            state.finish(out)
        if self.usage is not None:
            out.append(UsageSeen(self.usage))
        out += (StopSeen(stop, index) for index, stop in stops.items())
        out.append(End())
        return out


def _start(chunk: dict[str, Any], usage: Usage | None, tier: str | None) -> Start:
    reply_id, model = chunk.get("responseId"), chunk.get("modelVersion")
    return Start(
        reply_id if isinstance(reply_id, str) and reply_id else None,
        model if isinstance(model, str) and model else None,
        None,
        None if usage is None else replace(usage, output_tokens=None, reasoning_tokens=None),
        tier,
    )


def _nothing(stop: Stop | None) -> Failure:
    if stop is not None and stop.reason is Reason.MALFORMED_CALL:
        return _failure("malformed_function_call", "The provider's model made a call that is malformed.")
    return _failure("empty_reply", "The provider sent an answer without content.")


def _failure(code: str, message: str) -> Failure:
    return Failure(status=502, kind="bad_gateway", code=code, message=message)


class _Place:
    """Where the parts of a candidate stand in the document."""

    __slots__ = ("_path", "_text")

    def __init__(self, text: jsontext.Slices, path: tuple[str | int, ...]) -> None:
        self._text = text
        self._path = path

    def slice(self, *path: str | int) -> str:
        """The value as it stands there."""
        return self._text.at(*self._path, *path)


class _Candidate:
    """One candidate, as far as it has come."""

    __slots__ = (
        "_grounding",
        "_has_calls",
        "_is_sealed",
        "_message",
        "_partial",
        "_pieces",
        "index",
        "parts",
        "word",
    )

    def __init__(self, index: int) -> None:
        self.index = index
        self.parts = stream.Parts(index)
        self.word: str | None = None
        self._message: Any = None
        self._has_calls = False
        self._is_sealed = False
        self._pieces: list[str] = []
        self._partial: PartialArgs | None = None
        self._grounding = Grounding()

    def stop(self) -> Stop:
        return read_stop(self.word, has_calls=self._has_calls, message=self._message)

    def take(self, candidate: dict[str, Any], place: _Place, out: list[StreamEvent]) -> None:
        self.word = finish_word(candidate.get("finishReason")) or self.word
        self._message = candidate.get("finishMessage") or self._message
        self._grounding.take(candidate)
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for n, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, dict):
                self._part(part, n, place, out)
        if tokens := read_tokens(candidate.get("logprobsResult")):
            out.append(Logprobs(tokens, self.index))

    def finish(self, out: list[StreamEvent]) -> None:
        """The answer is over: the last text takes the sources that have no place in any."""
        if self.parts.kind is Text:
            self._cite(out)
            if unplaced := self._grounding.unplaced():
                self.parts.meta("citations", unplaced, out)
        self.close(out)
        if self._grounding.unplaced():  # a citation without an address tells that there were any
            self.parts.open(Text(text=""), out)
            self.parts.meta("citations", (Citation(kind="document", vendor=VENDOR),), out)
            self.parts.close(out)

    def _cite(self, out: list[StreamEvent]) -> None:
        if cited := self._grounding.citations("".join(self._pieces)):
            self.parts.meta("citations", cited, out)

    def close(self, out: list[StreamEvent]) -> None:
        """Ends the open part: a text learns of its sources, a call gets what its pieces make."""
        if self._partial is not None:
            self.parts.args(self._partial.text(), out)
            self._partial = None
        if self.parts.kind is Text:
            self._cite(out)
        self.parts.close(out)
        self._pieces.clear()
        self._is_sealed = False

    def _part(self, part: dict[str, Any], n: int, place: _Place, out: list[StreamEvent]) -> None:
        sealed = _seal(part.get("thoughtSignature"))
        match part:
            case {"functionCall": dict() as call}:
                self._call(call, sealed, n, place, out)
            case {"inlineData": dict() as data} if not part.get("thought"):
                self._whole(_inline(data, sealed), out)
            case {"fileData": dict() as data} if not part.get("thought"):
                self._whole(_file(data, sealed), out)
            case _ if hosted := next((name for name in _HOSTED if isinstance(part.get(name), dict)), None):
                self._whole(_hosted(hosted, part, place.slice(n)), out)
            case _ if "text" not in part and (others := [name for name in part if name not in _BESIDE_DATA]):
                raw = place.slice(n)
                self._whole(Opaque(dialect=Dialect.GEMINI, type=others[0], raw=raw), out)
            case _:
                self._text(part, sealed, out)

    def _whole(self, part: Media | Hosted | Opaque, out: list[StreamEvent]) -> None:
        self.close(out)
        self.parts.open(part, out)
        self.parts.close(out)

    def _call(
        self, call: dict[str, Any], sealed: Sealed | None, n: int, place: _Place, out: list[StreamEvent]
    ) -> None:
        """A call comes whole, so it ends at once; or in pieces, of which the first has the name."""
        if self._partial is None and not call:
            return
        if self._partial is None or call.get("name") is not None:
            self.close(out)
            self.parts.open(self._open_call(call, sealed), out)
            self._partial = PartialArgs() if call.get("willContinue") or call.get("partialArgs") else None
        if self._partial is None:
            args = call.get("args")
            self.parts.args("{}" if args is None else place.slice(n, "functionCall", "args"), out)
        else:
            self._partial.add(call.get("partialArgs"))
        if call.get("willContinue") is not True:
            self.close(out)

    def _open_call(self, call: dict[str, Any], sealed: Sealed | None) -> ToolCall:
        call_id, name = call.get("id"), call.get("name")
        self._has_calls = True
        return ToolCall(
            id=call_id if isinstance(call_id, str) else "",
            name=name if isinstance(name, str) else "",
            args="",
            sealed=sealed,
        )

    def _text(self, part: dict[str, Any], sealed: Sealed | None, out: list[StreamEvent]) -> None:
        """More of the open part, or a new one: a part that is signed is joined with none after it."""
        said = part.get("text")
        text = said if isinstance(said, str) else ""
        is_thought = part.get("thought") is True
        if not text and sealed is None:
            return
        kind: type[Text | Reasoning] = Reasoning if is_thought else Text
        is_own = sealed is not None and text and not is_thought
        if self.parts.kind is not kind or self._is_sealed or is_own:
            self.close(out)
            self.parts.open(Reasoning() if is_thought else Text(text=""), out)
        if is_thought:
            self.parts.summary(text, out)
        else:
            self.parts.text(text, out)
            self._pieces.append(text)
        if sealed is not None:
            self.parts.meta("sealed", sealed, out)
            self._is_sealed = True


def _seal(data: Any) -> Sealed | None:
    return Sealed(vendor=VENDOR, kind="part", data=data) if isinstance(data, str) and data else None


def _inline(told: dict[str, Any], sealed: Sealed | None) -> Media | Opaque:
    try:
        source, mime = read_inline(told, "inlineData")
    except Refused:
        raw = jsontext.text_of({"inlineData": told})
        return Opaque(dialect=Dialect.GEMINI, type="inlineData", raw=raw)
    name = told.get("displayName")
    return Media(
        kind=media.kind_of(mime or ""),
        source=source,
        mime=mime,
        filename=name if isinstance(name, str) else None,
        sealed=sealed,
    )


def _file(told: dict[str, Any], sealed: Sealed | None) -> Media | Opaque:
    uri, mime = told.get("fileUri"), told.get("mimeType")
    if not isinstance(uri, str):
        raw = jsontext.text_of({"fileData": told})
        return Opaque(dialect=Dialect.GEMINI, type="fileData", raw=raw)
    mime = mime if isinstance(mime, str) and mime else media.mime_of_url(uri)
    return Media(kind=media.kind_of(mime or ""), source=Url(uri), mime=mime, sealed=sealed)


def _hosted(name: str, part: dict[str, Any], raw: str) -> Hosted:
    return Hosted(
        vendor=VENDOR,
        type=name,
        raw=raw,
        phase="call" if _HOSTED[name] == "call" else "result",
        text=hosted_text(name, part[name]),
    )


def hosted_text(name: str, told: dict[str, Any]) -> str | None:
    """Code and what it printed, for readers who know no such parts: fenced blocks on lines of their own."""
    match name:
        case "executableCode":
            said, language = told.get("code"), str(told.get("language") or "").lower()
        case "codeExecutionResult":
            said, language = told.get("output"), ""
        case _:
            return None
    text = said if isinstance(said, str) else ""
    fence = "```" if "```" not in text else "````"
    return f"\n{fence}{language}\n{text.removesuffix('\n')}\n{fence}\n"


def _bare(raw: bytes) -> bytes:
    """JSON without `data:` before it: some errors come so, and all that was not asked for as events."""
    text = raw.strip()
    return text if text.startswith((b"{", b"[")) else b""


class StreamReader:
    """Reads one stream; see `stream.Reader`."""

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks = Chunks()

    def read(self, event: Event) -> list[StreamEvent]:
        if self._chunks.is_over:
            return []
        data = (_bare(event.raw) if event.data is None else event.data).strip()
        if data in (b"", b"[DONE]"):
            return [Ping()] if event.comment is not None else []
        try:
            chunk = jsontext.loads_fast(data)
        except ValueError:
            # what was cut off is no mistake of the sender's: the end will tell
            return self._chunks.unread() if event.is_complete else []
        out: list[StreamEvent] = []
        text = jsontext.Slices(data)
        for n, one in enumerate(chunk if isinstance(chunk, list) else [chunk]):
            if isinstance(one, dict) and not self._chunks.is_over:
                out += self._chunks.take(one, text, (n,) if isinstance(chunk, list) else ())
        return out

    def finish(self) -> list[StreamEvent]:
        return [] if self._chunks.is_over else self._chunks.finish(is_whole=False)
