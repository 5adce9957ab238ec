"""Streams of events in which words stand again for their marks, wherever a stream cuts a mark. Pure.

Events pass as they are unless a mark is in them. An event whose text ends in what may be the beginning of
a mark waits until the next piece of that text, or its end, shows what it is; those after it wait behind
it. No event is made up and none is taken away: where a mark was cut in two, its word stands in the first
of the pieces and the others lack its rest.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from llmitm.exchange import Dialect
from llmitm.shape.cloak.deltas import READERS, Channel, Closed, Delta
from llmitm.shape.cloak.escapes import escaped
from llmitm.shape.cloak.marks import BEGINNING, MARK, PARTIAL
from llmitm.shape.cloak.restoring import Restorer
from llmitm.shape.cloak.spans import Edit, edited, locate

_SEAM: Final = re.compile(rb"(?:\r\n|\n|\r)(?:\r\n|\n|\r)")
_SUSPECT: Final = re.compile(PARTIAL.encode() + rb'"')
"""The end of a string that may be the beginning of a mark."""
_PARTIAL: Final = re.compile(PARTIAL.encode() + rb"\Z")
_DATA: Final = re.compile(rb"^data:[ ]?([^\r\n]*)", re.MULTILINE)
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
        edits: list[Edit] = []
        for slot in self.slots:
            if slot.is_split:
                start, end = locate(self.data, slot.delta.path)
                text = slot.done + slot.waiting
                edits.append((self.start + start, self.start + end, b'"' + escaped(text) + b'"'))
        return restorer.json(edited(self.raw, edits) if edits else self.raw)


class Stream:
    """Restores one stream."""

    __slots__ = ("_buffer", "_open", "_read", "_restorer", "_waiting")

    def __init__(self, dialect: Dialect, restorer: Restorer) -> None:
        self._read = READERS[dialect]
        self._restorer = restorer
        self._buffer = b""
        self._waiting: deque[_Event] = deque()
        self._open: dict[Channel, list[_Slot]] = {}

    def feed(self, piece: bytes) -> bytes:
        """What of the stream can go on: whole events."""
        whole = self._buffer + piece if self._buffer else piece
        if not self._waiting and whole.endswith((b"\n\n", b"\r\n\r\n")):
            if BEGINNING not in whole and _SUSPECT.search(whole) is None:
                self._buffer = b""
                return whole
        out: list[bytes] = []
        at = 0
        for seam in _SEAM.finditer(whole):
            if seam.end() == len(whole) and whole.endswith(b"\r"):
                break  # an LF may follow that belongs to it
            self._take(whole[at : seam.end()], out)
            at = seam.end()
        self._buffer = whole[at:]
        if len(self._buffer) > _MOST_BYTES:
            self._flush(out)
            out.append(self._buffer)
            self._buffer = b""
        return b"".join(out)

    def finish(self) -> bytes:
        """What waits where the stream ends, or breaks off."""
        out: list[bytes] = []
        if self._buffer:
            self._take(self._buffer, out)
            self._buffer = b""
        self._flush(out)
        return b"".join(out)

    def _flush(self, out: list[bytes]) -> None:
        self._open.clear()
        while self._waiting:
            out.append(self._waiting.popleft().bytes(self._restorer))

    def _take(self, raw: bytes, out: list[bytes]) -> None:
        """One event."""
        if not self._open and _SUSPECT.search(raw) is None:
            out.append(self._restorer.json(raw))
            return
        event = _read_event(raw)
        seen = self._seen(event.data)
        for one in seen:
            if isinstance(one, Closed):
                self._close(one.channel)
            else:
                self._join(one, event)
        self._waiting.append(event)
        while self._waiting and not any(slot.waiting for slot in self._waiting[0].slots):
            out.append(self._waiting.popleft().bytes(self._restorer))

    def _seen(self, data: bytes) -> list[Delta | Closed]:
        try:
            event: Any = orjson.loads(data)
        except orjson.JSONDecodeError:
            return [Closed(())] if data == b"[DONE]" else []
        return list(self._read(event)) if isinstance(event, dict) else []

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


def _read_event(raw: bytes) -> _Event:
    lines = list(_DATA.finditer(raw))
    if len(lines) == 1:
        return _Event(raw, lines[0][1], lines[0].start(1))
    if not lines:
        return _Event(raw, b"", 0)
    data = b" ".join(line[1] for line in lines)  # JSON may be broken between its parts only
    start = lines[0].start()
    tail = raw[lines[-1].end() :]
    return _Event(raw[:start] + b"data: " + data + tail, data, start + 6)


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


