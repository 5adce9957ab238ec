"""Reads an answer that passes untouched: for its tokens, and for whether a stream of it was whole. Pure.

What it cannot read is nobody's business but the client's: it never raises, and never holds a byte back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from llmitm.exchange import Dialect, Usage
from llmitm.translate import stream
from llmitm.translate.dialects import CODECS, Codec
from llmitm.translate.neutral import (
    ExtrasSeen,
    Failed,
    Failure,
    Ping,
    Start,
    StopSeen,
    StreamEvent,
    UpstreamError,
    UsageSeen,
)
from llmitm.translate.sse import Event, EventTooLong, SseReader

WHOLE_LIMIT_BYTES: Final = 8_388_608
"""A whole answer that is longer is not read: its tokens stay unknown."""


type _What = tuple[Any, ...] | None


def _chat(told: dict[str, Any]) -> _What:
    match told.get("choices"):
        case [{"delta": dict(delta)} as choice]:
            if told.get("usage") is None and choice.get("finish_reason") is None:
                if "error" not in told and "x_groq" not in told:
                    return choice.get("index"), not delta.get("content")
    return None


def _messages(told: dict[str, Any]) -> _What:
    return ("delta",) if told.get("type") == "content_block_delta" else None


def _responses(told: dict[str, Any]) -> _What:
    kind = told.get("type")
    return (kind,) if isinstance(kind, str) and kind.endswith(".delta") else None


def _going_on(about: Callable[[dict[str, Any]], _What]) -> Callable[[Event], _What]:
    def more(event: Event) -> _What:
        try:
            told = stream.parsed(event) if event.data else None
        except ValueError:
            return None
        return about(told) if told else None

    return more


def _never(event: Event) -> _What:
    return None


_MORE: Final[Mapping[Dialect, Callable[[Event], _What]]] = {
    Dialect.OPENAI_CHAT: _going_on(_chat),
    Dialect.OPENAI_RESPONSES: _going_on(_responses),
    Dialect.ANTHROPIC_MESSAGES: _going_on(_messages),
}
"""What an event of a stream only says more of; None where there may be something else in it. Of two in a row
that say more of the same, the second need not be read: most of a stream is such."""


class Beside:
    """Looks at one good answer, piece by piece."""

    __slots__ = (
        "_codec",
        "_held",
        "_going_on",
        "_is_blind",
        "_more",
        "_reader",
        "_size_bytes",
        "_sse",
        "answered",
        "failure",
        "finishes",
        "has_begun",
        "reply_id",
        "usage",
    )

    def __init__(self, dialect: Dialect, *, is_events: bool, codec: Codec | None = None) -> None:
        self._codec = codec or CODECS[dialect]
        self._more = _never if codec is not None else _MORE.get(dialect, _never)
        self._going_on: _What = None
        """What the event before this one said more of."""
        self._sse = SseReader() if is_events else None
        self._reader = self._codec.reader()
        self._held: list[bytes] = []
        self._size_bytes = 0
        self._is_blind = False
        self.usage: Usage | None = None
        self.failure: Failure | None = None
        """What the upstream told of within its answer."""
        self.has_begun = False
        """Whether a stream has said anything meaningful, or cannot be read."""
        self.answered: str | None = None
        """The model as the answer names it."""
        self.reply_id = ""
        """Empty where it was not told, or not read yet."""
        self.finishes: tuple[str, ...] = ()
        """Why each choice ended, as far as they have."""

    @property
    def event_bytes(self) -> int:
        """Of an event that has not come to its end."""
        return 0 if self._sse is None else self._sse.held_bytes

    @property
    def left_bytes(self) -> int:
        """How much is read at the end."""
        return self._size_bytes or self.event_bytes

    def feed(self, piece: bytes) -> None:
        if self._is_blind:
            return
        if self._sse is None:
            self._held.append(piece)
            self._size_bytes += len(piece)
            self._is_blind = self._size_bytes > WHOLE_LIMIT_BYTES
            return
        self._read(self._sse.feed, piece)

    def finish(self) -> bool:
        """The body has ended. Returns whether it ended too early, without a word of the upstream's."""
        if self._is_blind:
            return False
        if self._sse is None:
            self._read_whole()
            return False
        self._read(self._sse.finish)
        if self._is_blind or self.failure is not None:
            return False
        try:
            self._take(self._reader.finish())
        except RecursionError:
            return False
        return self.failure is not None

    @property
    def is_blind(self) -> bool:
        """Whether it cannot be read any further."""
        return self._is_blind

    def give_up(self) -> None:
        """The rest of the answer is not read."""
        self._is_blind = self.has_begun = True
        self._held.clear()

    def broken_off(self) -> None:
        """The body will have no end: what was counted is not all."""
        if self.usage is not None:
            self.usage = replace(self.usage, is_final=False)

    def _read(self, read: Callable[..., list[Event]], *piece: bytes) -> None:
        try:
            for event in read(*piece):
                if self.has_begun:
                    more = self._more(event)
                    if more is not None and more == self._going_on:
                        continue
                    self._going_on = more
                had = self.failure
                self._take(self._reader.read(event))
                if self.failure is not had and b'"usage' not in (event.data or b""):
                    self.broken_off()  # what was counted before an error is not all
        except (EventTooLong, RecursionError):
            self._is_blind = self.has_begun = True

    def _take(self, events: list[StreamEvent]) -> None:
        for event in events:
            match event:
                case UsageSeen():
                    self.usage = event.usage
                case Failed():
                    self.failure = self.failure or event.error
                case Start():
                    self.usage = event.usage
                    self.reply_id, self.answered = event.id or "", event.model
                case ExtrasSeen() | Ping():
                    pass
                case _:
                    self.has_begun = True
                    if type(event) is StopSeen:
                        self.finishes += (event.stop.word,)

    def _read_whole(self) -> None:
        try:
            reply = self._codec.read_reply(b"".join(self._held))
            self.usage, self.reply_id, self.answered = reply.usage, reply.id or "", reply.model
            self.finishes = tuple(one.stop.word for one in reply.choices if one.stop is not None)
        except UpstreamError as error:
            self.failure = error.failure
            self.usage = stream.counted(self._codec.reader(), b"".join(self._held))
        except RecursionError:
            pass
