"""One exchange between a client of one dialect and an upstream of another. Pure.

    request bytes -> read -> fit -> write -> upstream's bytes
    client's bytes <- write <- name <- read <- reply bytes, or stream

What the upstream calls by other names (tools, ids of calls) is called by the client's on its way back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from llmitm.errors import Refused
from llmitm.exchange import Dialect, Usage
from llmitm.translate import jsontext, stream
from llmitm.translate.backward import Backward
from llmitm.translate.blame import place_of
from llmitm.translate.dialects import CODECS, Codec
from llmitm.translate.fit.request import fit
from llmitm.translate.ids import hashed
from llmitm.translate.neutral import (
    ExtrasSeen,
    Failed,
    Failure,
    PartStart,
    Ping,
    Reply,
    Request,
    Start,
    StopSeen,
    StreamEvent,
    UpstreamError,
    UsageSeen,
)
from llmitm.translate.notes import Notes
from llmitm.translate.sse import Event, EventTooLong, SseReader
from llmitm.translate.target import Target

_TOO_DEEP: Final = Failure(
    status=502,
    kind="bad_gateway",
    code="malformed_reply",
    message="The provider's answer is nested too deep.",
)


@contextmanager
def _deep_as_error() -> Iterator[None]:
    try:
        yield
    except RecursionError:
        raise UpstreamError(_TOO_DEEP) from None


def read_request(
    dialect: Dialect,
    body: bytes,
    *,
    model: str | None = None,
    is_stream: bool | None = None,
    is_json_array: bool = False,
) -> Request:
    """What a client asks for.

    `model`, `is_stream` and `is_json_array` are what a Gemini client's path and query say; None elsewhere.

    Raises:
        Refused: 400, it cannot be read as a request of this dialect.
    """
    try:
        asked = CODECS[dialect].read_request(
            body, model=model, is_stream=is_stream, is_json_array=is_json_array
        )
        halves = jsontext.places_of_halves(body)
    except RecursionError:
        raise Refused(400, "invalid_request", "The request body is nested too deep.") from None
    if not halves:
        return asked
    return replace(asked, adjusted=(*asked.adjusted, *(("surrogate", at) for at in halves)))


class Translation:
    """One request on its way to one upstream, and the way back. One instance an attempt.

    `body` is what the upstream is sent. `notes` grows while replies are translated.
    """

    def __init__(
        self,
        asked: Request,
        target: Target,
        *,
        now_s: int = 0,
        reply_id: str = "",
        client: Codec | None = None,
    ) -> None:
        """`now_s` and `reply_id` stand in for what an upstream does not tell: when, and the reply's id.
        `client` writes the answer, where that is not the client's dialect as it is.

        Raises:
            Refused: 400, the request cannot be said to this upstream.
        """
        self.client = client or CODECS[asked.dialect]
        self.asked = asked
        self.target = target
        self.notes = Notes()
        try:
            fitted, self._names = fit(asked, target, self.notes)
            self.body: bytes = CODECS[target.dialect].write_request(fitted, target)
        except RecursionError:
            raise Refused(400, "invalid_request", "The request body is nested too deep.") from None
        if target.is_strict:
            self.notes.refuse_strictly()
        self._now_s = now_s
        self._reply_id = reply_id or hashed(self.body.decode(), 32)
        self.answered: str | None = None
        """The model as the upstream names it, once it has."""
        self.answer_id: str | None = None
        """As the upstream calls it."""
        self.finishes: tuple[str, ...] = ()
        """Why each choice ended, as far as they have."""
        self.usage: Usage | None = None

    def blamed(self, failure: Failure) -> Failure:
        """An upstream's error with the client's own place for what it complains of, if that is known."""
        return replace(failure, param=place_of(failure.param, self.target.dialect, self.asked))

    def backward(self) -> Backward:
        return Backward(
            self.asked,
            self.target,
            self._names,
            self.notes,
            now_s=self._now_s,
            spare_id=self._reply_id,
        )

    def read(self, body: bytes) -> Reply:
        """The upstream's whole answer in the client's names.

        Raises:
            UpstreamError: it is no reply.
        """
        codec = CODECS[self.target.dialect]
        try:
            with _deep_as_error():
                read = codec.read_reply(body)
        except UpstreamError:
            self.usage = stream.counted(codec.reader(), body)
            raise
        self.usage, self.answered, self.answer_id = read.usage, read.model, read.id
        self.finishes = tuple(one.stop.word for one in read.choices if one.stop is not None)
        return self.backward().reply(read)

    def reply(self, body: bytes) -> bytes:
        """A whole answer with status 200 in the client's dialect.

        Raises:
            UpstreamError: it is no reply.
        """
        read = self.read(body)
        with _deep_as_error():
            return self.client.write_reply(read, self.asked)

    def stream(self) -> StreamTranslation:
        """For an answer that comes as a stream and goes on as one."""
        return StreamTranslation(self)

    def collector(self) -> Collected:
        """For an answer that comes as a stream, while the client waits for one whole."""
        return Collected(self)

    def simulated(self, body: bytes) -> bytes:
        """A whole answer as the stream that the client asked for.

        Raises:
            UpstreamError: it is no reply.
        """
        writer = self.client.writer(self.asked)
        events = stream.simulate(self.read(body))
        with _deep_as_error():
            return b"".join(writer.write(event) for event in events)


class _Reading:
    """A reader whose stream has one beginning: some hosts leave it out, or tell it twice."""

    __slots__ = ("_has_begun", "_reader")

    def __init__(self, reader: stream.Reader) -> None:
        self._reader = reader
        self._has_begun = False

    def read(self, event: Event) -> list[StreamEvent]:
        return self._begun(self._reader.read(event))

    def finish(self) -> list[StreamEvent]:
        return self._begun(self._reader.finish())

    def _begun(self, events: list[StreamEvent]) -> list[StreamEvent]:
        if self._has_begun:
            return [event for event in events if not isinstance(event, Start)]
        for place, event in enumerate(events):
            if isinstance(event, Start | PartStart | StopSeen):
                self._has_begun = True
                start = [] if isinstance(event, Start) else [Start(None, None)]
                return [*events[:place], *start, event, *self._begun(events[place + 1 :])]
        return events


class StreamTranslation:
    """The upstream's stream in, the client's stream out, for any cut of the bytes."""

    __slots__ = (
        "_backward",
        "_held",
        "_is_over",
        "_reader",
        "_sse",
        "_translation",
        "_writer",
        "failure",
        "has_begun",
        "usage",
    )

    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self._sse = SseReader()
        self._reader = _Reading(CODECS[translation.target.dialect].reader())
        self._backward = translation.backward()
        self._writer = translation.client.writer(translation.asked)
        self._held: list[bytes] = []
        self._is_over = False
        self.has_begun = False
        """Whether the upstream has said anything meaningful: before that a failure can still have a
        status, and nothing is written."""
        self.failure: Failure | None = None
        """Why the stream failed, else None. Where `has_begun` is False nothing was written of it."""
        self.usage: Usage | None = None

    @property
    def held_bytes(self) -> int:
        """Of an event that has not come to its end."""
        return self._sse.held_bytes

    def feed(self, piece: bytes) -> bytes:
        """The client's bytes that this piece makes; empty where none."""
        if self._is_over:
            return b""
        try:
            return self._events(self._sse.feed(piece))
        except EventTooLong:
            return self._told(stream.malformed())

    def finish(self) -> bytes:
        """The body has ended; what is left to say. Sets `failure` where it ended too early."""
        if self._is_over:
            return b""
        try:
            out = self._events(self._sse.finish())
        except EventTooLong:
            return self._told(stream.malformed())
        out += self._all(self._end())
        self._is_over = True
        return out

    def _end(self) -> Iterator[StreamEvent]:
        yield from self._reader.finish()

    def fail(self, failure: Failure) -> bytes:
        """The connection broke: how this client is told, within its stream."""
        return self._told(Failed(failure))

    def _events(self, events: list[Event]) -> bytes:
        return self._all(made for event in events for made in self._reader.read(event))

    def _all(self, events: Iterator[StreamEvent]) -> bytes:
        out: list[bytes] = []
        try:
            out += (self._told(event) for event in events)
        except RecursionError:
            out.append(self._told(Failed(_TOO_DEEP)))
        return b"".join(out)

    def _told(self, event: StreamEvent) -> bytes:
        """What the client's writer makes of one event; held back until there is something to tell."""
        if self._is_over:
            return b""
        if isinstance(event, Start):
            self._translation.answered, self._translation.answer_id = event.model, event.id
        elif isinstance(event, StopSeen):
            self._translation.finishes += (event.stop.word,)
        made = b""
        for one in self._backward.event(event):
            match one:
                case Failed():
                    return made + self._failed(one)
                case UsageSeen() | Start() if one.usage is not None:
                    self.usage = self._translation.usage = one.usage
                case Ping() if not self.has_begun:
                    continue
            try:
                made += self._writer.write(one)
            except UpstreamError as error:  # what came is no answer to what was asked
                return made + self._failed(Failed(error.failure))
        if self.has_begun:
            return made
        if made:
            self._held.append(made)
        if isinstance(event, Start | UsageSeen | ExtrasSeen | Ping):
            return b""
        self.has_begun = True
        made = b"".join(self._held)
        self._held.clear()
        return made

    def _failed(self, event: Failed) -> bytes:
        self.failure = event.error
        self._is_over = True
        if self.usage is not None:
            self.usage = self._translation.usage = replace(self.usage, is_final=False)
        told = Failed(self._translation.blamed(event.error))
        return self._writer.write(told) if self.has_begun else b""


class Collected:
    """A stream that is added up."""

    __slots__ = ("_backward", "_collector", "_reader", "_sse", "_translation")

    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self._sse = SseReader()
        self._reader = _Reading(CODECS[translation.target.dialect].reader())
        self._backward = translation.backward()
        self._collector = stream.Collector()

    @property
    def usage(self) -> Usage | None:
        usage = self._collector.usage
        if usage is None or self._collector.failure is None:
            return usage
        return replace(usage, is_final=False)

    @property
    def held_bytes(self) -> int:
        """Of an event that has not come to its end."""
        return self._sse.held_bytes

    def feed(self, piece: bytes) -> None:
        if self._collector.failure is None:
            self._add(self._sse.feed, piece)

    def _add(self, read: Callable[..., list[Event]], *piece: bytes) -> None:
        def events() -> Iterator[StreamEvent]:
            for event in read(*piece):
                yield from self._reader.read(event)

        self._tell(events())

    def _tell(self, events: Iterator[StreamEvent]) -> None:
        try:
            for made in events:
                if self._collector.failure is None:
                    for one in self._backward.event(made):
                        self._collector.add(one)
        except EventTooLong:
            self._collector.add(stream.malformed())
        except RecursionError:
            self._collector.add(Failed(_TOO_DEEP))

    def _end(self) -> Iterator[StreamEvent]:
        yield from self._reader.finish()

    def finish(self) -> bytes:
        """The whole reply in the client's dialect.

        Raises:
            UpstreamError: the stream broke off, or told of an error.
        """
        self._add(self._sse.finish)
        self._tell(self._end())
        self._translation.usage = self.usage
        if self._collector.failure is not None:
            raise UpstreamError(self._collector.failure)
        reply, asked = self._collector.reply(), self._translation.asked
        self._translation.answered, self._translation.answer_id = reply.model, reply.id
        self._translation.finishes = tuple(one.stop.word for one in reply.choices if one.stop is not None)
        with _deep_as_error():
            return self._translation.client.write_reply(reply, asked)


__all__ = ["Collected", "Failure", "StreamTranslation", "Translation", "UpstreamError", "read_request"]
