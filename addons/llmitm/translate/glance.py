"""Reads no more of an answer than its tokens, the model that gave them, and whether it came to its end. Pure.

For answers that pass as they are and need not be understood: of a stream only events that hold counts, errors
or its end are looked at, which are few. What it cannot read is nobody's business: it never raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson

from llmitm.exchange import Dialect, Usage
from llmitm.translate import failures, stream
from llmitm.translate.beside import WHOLE_LIMIT_BYTES, Beside
from llmitm.translate.chat import usage as chat
from llmitm.translate.inflate import Broken, Inflate, inflater
from llmitm.translate.messages import usage as messages
from llmitm.translate.neutral import Failure
from llmitm.translate.responses import facts as responses

_COUNTS: Final = re.compile(rb'"usage(?:Metadata)?"\s*:\s*\{|"message_stop"')
_WORDS: Final[Mapping[Dialect, tuple[bytes, ...]]] = {
    Dialect.OPENAI_CHAT: (b'"error"', b'eason":"', b'eason": "', b"[DONE]"),
    Dialect.ANTHROPIC_MESSAGES: (b'"error"', b'"message_delta"'),
    Dialect.OPENAI_RESPONSES: (
        *(b'"error"', b'"response.completed', b'"response.incomplete'),
        *(b'"response.failed', b'"response.cancelled'),
    ),
    Dialect.GEMINI: (b'"error"', b'eason":"', b'eason": "'),
}
"""What else tells of an error or an end. One pattern of all would take five times as long."""
_DONE: Final = (b"data: [DONE]", b"data:[DONE]")
_GEMINIS: Final = ("usageMetadata", "modelVersion", "promptFeedback", "error")
_UNTOLD: Final = Usage()
_DATA: Final = re.compile(rb"(?m)^data:[ ]?(.*?)\r?$")
_ENDS: Final = re.compile(rb"\r?\n\r?\n")


class Glance:
    """Looks at one good answer, piece by piece."""

    __slots__ = (
        "_beside",
        "_dialect",
        "_held",
        "_inflate",
        "_is_blind",
        "_is_events",
        "_has_begun",
        "_has_end",
        "_words",
        "answered",
        "failure",
        "usage",
    )

    def __init__(self, dialect: Dialect, *, is_events: bool, encoding: bytes | None = None) -> None:
        self._dialect = dialect
        self._words = _WORDS[dialect]
        self._is_events = is_events
        self._inflate: Inflate | None = None
        self._is_blind = False
        self._beside = Beside(dialect, is_events=True)
        self._held = bytearray()
        """The whole answer, or the event that has not come to its end."""
        self._has_begun = False
        self._has_end = False
        """It said that it is over, whatever is missing."""
        self.usage: Usage | None = None
        self.answered: str | None = None
        self.failure: Failure | None = None
        """The error that it told of, or that it came to no end. Known when it is over."""
        try:
            self._inflate = inflater(encoding)
        except LookupError:
            self._is_blind = True

    @property
    def left_bytes(self) -> int:
        """How much is read at the end."""
        return len(self._held)

    def feed(self, piece: bytes) -> None:
        if self._is_blind or not piece:
            return
        portions: Iterable[bytes] = (piece,) if self._inflate is None else self._inflate(piece)
        size_bytes = 0
        try:
            for portion in portions:
                self._take(portion)
                size_bytes += len(portion)
                if self._is_blind or size_bytes > WHOLE_LIMIT_BYTES:  # no answer is packed so well
                    return self._give_up()
        except Broken:
            self._give_up()

    def _take(self, portion: bytes) -> None:
        seen_bytes = len(self._held)
        self._held += portion
        if self._is_events:
            self._look(max(0, seen_bytes - 2))
        self._is_blind = len(self._held) > WHOLE_LIMIT_BYTES

    def _give_up(self) -> None:
        """It cannot be read further."""
        self._is_blind = True
        self._held.clear()

    def finish(self, *, is_whole: bool = True) -> None:
        """No more comes. Where the answer broke off, what was counted is not all."""
        if self._is_events:
            self._held += b"\n\n"
            self._look(0)
            self._finish_events(is_whole=is_whole and not self._is_blind)
        elif is_whole and self._held and not self._is_blind:
            self._read_whole()

    def _finish_events(self, *, is_whole: bool) -> None:
        beside = self._beside
        has_spoken = beside.has_begun or beside.answered is not None or beside.usage is not None
        told = beside.failure
        if told == stream.malformed().error and not has_spoken:  # nothing of this dialect
            told = None
        is_cut = beside.finish() and beside.failure is not None and beside.failure.code == stream.TRUNCATED
        is_cut = is_cut and not self._has_end
        if told is None and is_cut and is_whole and has_spoken:
            told = beside.failure
        if is_cut or not is_whole:
            beside.broken_off()
        self.usage, self.answered, self.failure = beside.usage, beside.answered, told

    def _look(self, start: int) -> None:
        """At events that end behind `start`: no others do."""
        held = self._held
        end = max(held.rfind(b"\n\n", start) + 2, held.rfind(b"\n\r\n", start) + 3)
        if end < 3:
            return
        come, self._held = bytes(held[:end]), held[end:]
        if self._has_begun and not self._tells(come):
            return
        for event in _ENDS.split(come):
            if event.endswith(_DONE):
                self._has_end = True
            if self._tells(event) or (not self._has_begun and b"data:" in event):
                self._has_begun = True  # the first one names the model
                self._beside.feed(_lean(event) if self._dialect is Dialect.GEMINI else event + b"\n\n")

    def _tells(self, come: bytes) -> bool:
        is_telling = _COUNTS.search(come) is not None
        for word in self._words:  # a generator would take twice as long
            is_telling = is_telling or word in come
        return is_telling

    def _read_whole(self) -> None:
        try:
            told = orjson.loads(self._held)
        except orjson.JSONDecodeError:
            return
        if self._dialect is Dialect.GEMINI:
            for chunk in told if isinstance(told, list) else (told,):  # some streams are no events
                self._beside.feed(_without_content(chunk))
            self.failure = self._beside.failure
            self._beside.finish()
            self.usage, self.answered = self._beside.usage, self._beside.answered
        elif isinstance(told, dict):
            self.failure = _failure_in(told, self._dialect)
            usage = _READ[self._dialect](told)
            self.usage = None if usage == _UNTOLD else usage
            model = told.get("model")
            self.answered = model if isinstance(model, str) else None


def _lean(event: bytes) -> bytes:
    """Every chunk of Gemini's has counts: what it says is not read with them."""
    try:
        return _without_content(orjson.loads(b"".join(_DATA.findall(event))))
    except orjson.JSONDecodeError:
        return b""


def _without_content(chunk: Any) -> bytes:
    if not isinstance(chunk, dict):
        return b""
    lean = {name: chunk[name] for name in _GEMINIS if name in chunk}
    candidates = chunk.get("candidates")
    lean["candidates"] = [
        {name: one[name] for name in ("index", "finishReason", "groundingMetadata") if name in one}
        for one in (candidates if isinstance(candidates, list) else ())
        if isinstance(one, dict)
    ]
    return b"data: %b\n\n" % orjson.dumps(lean)


def _failure_in(told: dict[str, Any], dialect: Dialect) -> Failure | None:
    if dialect is Dialect.OPENAI_RESPONSES and told.get("status") in ("failed", "cancelled"):
        return responses.failure_in(told)
    return failures.failure_of(told, 200) if told.get("error") else None


def _of_chat(told: dict[str, Any]) -> Usage | None:
    groq = told.get("x_groq")
    counts = told.get("usage") or (groq.get("usage") if isinstance(groq, dict) else None)
    return chat.read_usage(counts, told.get("service_tier"), told.get("model"))


_READ: Final[Mapping[Dialect, Callable[[dict[str, Any]], Usage | None]]] = {
    Dialect.OPENAI_CHAT: _of_chat,
    Dialect.OPENAI_RESPONSES: responses.read_usage,
    Dialect.ANTHROPIC_MESSAGES: lambda told: messages.read_usage(told.get("usage")),
}
