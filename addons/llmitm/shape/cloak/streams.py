"""Streams of events in which words stand again for their marks, wherever a stream cuts a mark. Pure.

Events pass as they are unless a mark is in them. An event whose text ends in what may be the beginning of
a mark waits until the next piece of that text, or its end, shows what it is; those after it wait behind
it. No event is made up and none is taken away: where a mark was cut in two, its word stands in the first
of the pieces and the others lack its rest.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from llmitm.exchange import Dialect
from llmitm.shape.cloak.deltas import READERS, Channel, Closed, Delta
from llmitm.shape.cloak.escapes import escaped
from llmitm.shape.cloak.marks import MARK, PARTIALS, may_hold
from llmitm.shape.cloak.restoring import Restorer
from llmitm.shape.cloak.thoughts import Thoughts
from llmitm.shape.spans import locate

_SEAM: Final = re.compile(rb"(?:\r\n|\n|\r)(?:\r\n|\n|\r)")
_SUSPECTS: Final = tuple(re.compile(f'{one}"'.encode()) for one in PARTIALS)
"""The ends of strings that may be beginnings of marks: one expression for both is ten times as slow."""
_PARTIAL: Final = re.compile(f"(?:{'|'.join(PARTIALS)})\\Z".encode())
_DATA: Final = re.compile(rb"^data:[ ]?([^\r\n]*)", re.MULTILINE)
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}"]', re.DOTALL)
_SEAM_BYTES: Final = 4
"""Of a seam at most."""
_MOST_BYTES: Final = 33_554_432
"""What has no end within so many bytes is no event, and passes as it is."""


@dataclass(slots=True, eq=False)
class _Slot:
    """A piece of a text that waits."""

    delta: Delta
    is_split: bool = False
    """Whether it is not what it was: a mark was replaced in it."""
    done: bytes = b""
    waiting: bytes = b""
    """Its end, which may be a part of a mark."""


@dataclass(slots=True, eq=False)
class _Event:
    """An event that waits. Its `raw` has no complete mark left but in the texts of its slots."""

    raw: bytes
    data: bytes
    start: int
    """Where its data stands in it."""
    slots: list[_Slot] = field(default_factory=list)

    def bytes(self, restorer: Restorer) -> bytes:
        parts: list[bytes] = []
        copied_to = 0
        for slot in self.slots:
            if slot.is_split:
                start, end = (self.start + place for place in _place(self.data, slot.delta))
                parts += (
                    restorer.json(self.raw[copied_to:start]),
                    b'"',
                    escaped(slot.done + slot.waiting),
                    b'"',
                )
                copied_to = end
        return b"".join((*parts, restorer.json(self.raw[copied_to:])))


def _is_suspect(raw: bytes) -> bool:
    return any([one.search(raw) is not None for one in _SUSPECTS])


def _place(data: bytes, delta: Delta) -> tuple[int, int]:
    """From where to where the text of a delta stands."""
    if b"\\" not in data:  # so it is spelled as it is
        token = b'"%b"' % delta.text.encode("utf-8", "replace")
        if data.count(token) == 1:
            start = data.index(token)
            return start, start + len(token)
    return locate(data, delta.path)


class Stream:
    """Restores one stream."""

    __slots__ = ("_held", "_held_end", "_open", "_read", "_restorer", "_thoughts", "_waiting", "held_bytes")

    def __init__(self, dialect: Dialect, restorer: Restorer, thoughts: Thoughts | None = None) -> None:
        """`thoughts` are told of what is signed."""
        self._read = READERS[dialect]
        self._thoughts = thoughts if dialect is Dialect.ANTHROPIC_MESSAGES else None
        self._restorer = restorer
        self._held: list[bytes] = []
        """Pieces of an event that has not come to its end."""
        self.held_bytes = 0
        self._held_end = b""
        """What may be the beginning of a seam."""
        self._waiting: deque[_Event] = deque()
        self._open: dict[Channel, list[_Slot]] = {}

    def feed(self, piece: bytes) -> bytes:
        """What of the stream can go on: whole events."""
        if self._held and self.held_bytes <= _MOST_BYTES and not self._may_end(piece):
            self._hold(piece)
            return b""
        whole = b"".join((*self._held, piece)) if self._held else piece
        self._let_go()
        if not self._waiting and whole.endswith((b"\n\n", b"\r\n\r\n")):
            is_clear = b"z" not in whole and b"Z" not in whole  # most are
            if (is_clear or not (may_hold(whole) or _is_suspect(whole))) and not self._is_thought(whole):
                return whole
        out: list[bytes] = []
        at = 0
        for end in self._ends(whole):
            self._take(whole[at:end], out)
            at = end
        left = whole[at:]
        if len(left) > _MOST_BYTES:
            self._flush(out)
            out.append(left)
        elif left:
            self._hold(left)
        return b"".join(out)

    def _hold(self, piece: bytes) -> None:
        self._held.append(piece)
        self.held_bytes += len(piece)
        self._held_end = (self._held_end + piece[-_SEAM_BYTES:])[-_SEAM_BYTES:]

    def _let_go(self) -> None:
        self._held.clear()
        self.held_bytes, self._held_end = 0, b""

    def _may_end(self, piece: bytes) -> bool:
        """Whether the event that is held may have its end there."""
        return _SEAM.search(self._held_end + piece) is not None

    def _ends(self, whole: bytes) -> Iterator[int]:
        """Where events end."""
        for seam in _SEAM.finditer(whole):
            if seam.end() == len(whole) and whole.endswith(b"\r"):
                return  # an LF may follow that belongs to it
            yield seam.end()

    def finish(self) -> bytes:
        """What waits where the stream ends, or breaks off."""
        out: list[bytes] = []
        if self._held:
            self._take(b"".join(self._held), out)
            self._let_go()
        self._flush(out)
        return b"".join(out)

    def _flush(self, out: list[bytes]) -> None:
        self._open.clear()
        while self._waiting:
            out.append(self._waiting.popleft().bytes(self._restorer))

    def _take(self, raw: bytes, out: list[bytes]) -> None:
        """One event."""
        is_thought = self._is_thought(raw)
        if not self._open and not is_thought and not _is_suspect(raw):
            out.append(self._restorer.json(raw))
            return
        event = self._event(raw)
        read = self._parsed(event.data)
        if is_thought and self._thoughts is not None and read is not None:
            self._thoughts.event(read)
        for one in self._seen(event.data, read):
            if isinstance(one, Closed):
                self._close(one.channel)
            else:
                self._join(one, event)
        self._waiting.append(event)
        while self._waiting and not any(slot.waiting for slot in self._waiting[0].slots):
            out.append(self._waiting.popleft().bytes(self._restorer))

    def _event(self, raw: bytes) -> _Event:
        lines = list(_DATA.finditer(raw))
        if len(lines) == 1:
            return _Event(raw, lines[0][1], lines[0].start(1))
        if not lines:
            return _Event(raw, b"", 0)
        data = b" ".join(line[1] for line in lines)  # JSON may be broken between its parts only
        start = lines[0].start()
        return _Event(raw[:start] + b"data: " + data + raw[lines[-1].end() :], data, start + 6)

    def _is_thought(self, raw: bytes) -> bool:
        return self._thoughts is not None and (b'"thinking' in raw or b'"signature' in raw)

    def _parsed(self, data: bytes) -> dict[str, Any] | None:
        try:
            event: Any = orjson.loads(data)
        except orjson.JSONDecodeError:
            return None
        return event if isinstance(event, dict) else None

    def _seen(self, data: bytes, event: dict[str, Any] | None) -> list[Delta | Closed]:
        if event is None:
            return [Closed(())] if data.strip() == b"[DONE]" else []
        return list(self._read(event))

    def _join(self, delta: Delta, event: _Event) -> None:
        """Takes a piece of a text, behind those of it that wait."""
        text = delta.text.encode("utf-8", "replace")
        slots = self._open.pop(delta.channel, None)
        if slots is None:
            if _PARTIAL.search(text) is None:
                return  # whole marks in it are replaced in the bytes
            slots = []
        if not text:
            self._open[delta.channel] = slots
            return
        slot = _Slot(delta, waiting=text)
        event.slots.append(slot)
        slots = _settle([*slots, slot], self._restorer)
        if slots:
            self._open[delta.channel] = slots

    def _close(self, channel: Channel) -> None:
        """The texts that begin so are over: what waits of them is no mark."""
        for one in [one for one in self._open if one[: len(channel)] == channel]:
            for slot in self._open.pop(one):
                slot.done, slot.waiting = slot.done + slot.waiting, b""


class Elements(Stream):
    """Restores a stream that is one JSON array, an element for an event."""

    __slots__ = ("_at", "_depth")

    def __init__(self, dialect: Dialect, restorer: Restorer, thoughts: Thoughts | None = None) -> None:
        super().__init__(dialect, restorer, thoughts)
        self._at = self._depth = 0

    def _may_end(self, piece: bytes) -> bool:
        return b"}" in piece

    def _ends(self, whole: bytes) -> Iterator[int]:
        taken = 0
        while token := _TOKEN.search(whole, self._at):
            sign = token[0]
            if sign == b'"':
                break  # of a string whose end has not come
            self._at = token.end()
            self._depth += (sign == b"{") - (sign == b"}")
            if sign == b"}" and self._depth == 0:
                taken = self._at
                yield taken
        else:
            self._at = len(whole)
        self._at -= taken

    def _event(self, raw: bytes) -> _Event:
        start = max(raw.find(b"{"), 0)
        return _Event(raw, raw[start:], start)


def _settle(slots: list[_Slot], restorer: Restorer) -> list[_Slot]:
    """Replaces the marks that are complete; returns the pieces whose ends still wait."""
    joined = b"".join(slot.waiting for slot in slots)
    partial = _PARTIAL.search(joined)
    cut = partial.start() if partial is not None else len(joined)
    words = [
        (match.start(), match.end(), word)
        for match in MARK.finditer(joined)
        if (word := restorer.word(match[0])) is not None
    ]
    left: list[_Slot] = []
    at = 0
    for slot in slots:
        start, end = at, at + len(slot.waiting)
        at = end
        settled, is_changed = _within(joined, start, min(end, cut), words, slot.delta.is_json)
        slot.done += settled
        slot.is_split = slot.is_split or is_changed
        slot.waiting = joined[max(start, cut) : end]
        if slot.waiting:
            left.append(slot)
    return left


def _within(
    joined: bytes, start: int, end: int, words: list[tuple[int, int, bytes]], is_json: bool
) -> tuple[bytes, bool]:
    """What stands between two places once words stand for their marks, each where its mark began."""
    parts: list[bytes] = []
    is_changed = False
    at = start
    for first, last, word in words:
        if last <= start or first >= end:
            continue
        is_changed = True
        if first >= start:
            parts += (joined[at:first], escaped(word) if is_json else word)
        at = min(last, end)
    parts.append(joined[at:end])
    return b"".join(parts), is_changed
