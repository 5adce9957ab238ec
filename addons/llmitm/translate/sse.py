"""Server-sent events, read from pieces of any size and written in one block. Pure.

However the bytes are cut (within a character, between CR and LF), the events are the same. Their `raw`
bytes join to exactly what was fed, so that a reader may look at a stream that passes through untouched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from llmitm.errors import Failure, UpstreamFailed

EVENT_LIMIT_BYTES: Final = 33_554_432
EVENT_LIMIT_LINES: Final = 100_000
"""Short lines take many times their bytes."""
_LINE_END: Final = re.compile(rb"\r\n?|\n")
_BOM: Final = b"\xef\xbb\xbf"


class EventTooLong(UpstreamFailed):
    """An event of the upstream does not end within the limit."""

    def __init__(self, limit_bytes: int) -> None:
        most = f"{limit_bytes} bytes or {EVENT_LIMIT_LINES} lines"
        super().__init__(Failure.MALFORMED, f"an event of the stream is longer than {most}")
        self.limit_bytes = limit_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One block of a stream. `id` and `retry` lines are in `raw` only."""

    data: bytes | None = None
    """The data lines, joined by LF; None: the block has none."""
    name: str | None = None
    """Of its `event` line; None: the block has none."""
    comment: bytes | None = None
    """The comment lines, joined by LF; None: the block has none."""
    raw: bytes = b""
    """As it stood on the wire, with the blank lines around it."""
    is_complete: bool = True
    """False: the stream ended before the blank line that ends the block."""


class SseReader:
    """Reads one stream, in time proportional to its length."""

    __slots__ = (
        "_after_cr",
        "_block",
        "_closes",
        "_comments",
        "_data",
        "_events",
        "_failed",
        "_had_bare_cr",
        "_has_lines",
        "_is_first_line",
        "_limit_bytes",
        "_line",
        "_name",
        "_size_bytes",
    )

    def __init__(self, limit_bytes: int = EVENT_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._events: list[Event] = []
        self._line: list[bytes] = []  # pieces of a line whose end has not come
        self._after_cr = False  # the last byte was a CR: an LF after it is part of the same line end
        self._had_bare_cr = False  # the line before ended with a CR alone
        self._is_first_line = True
        self._failed = False
        self._begin()

    def _begin(self) -> None:
        self._block: list[bytes] = []
        self._size_bytes = 0
        self._has_lines = False
        self._closes = False
        self._name: str | None = None
        self._data: list[bytes] = []
        self._comments: list[bytes] = []

    @property
    def held_bytes(self) -> int:
        """Of an event that has not come to its end."""
        return self._size_bytes

    def feed(self, piece: bytes) -> list[Event]:
        """The events that this piece completes.

        Raises:
            EventTooLong: an event is over the limit. Those before it are returned first; the next call
                raises.
        """
        if piece and not self._failed:
            if self._is_between and piece[-2:] == b"\n\n" and b"\r" not in piece:
                self._read_blocks(piece)
            else:
                self._read(piece)
        return self._taken()

    @property
    def _is_between(self) -> bool:
        """Whether nothing is held of a block that has begun."""
        return not (self._block or self._line or self._after_cr or self._had_bare_cr or self._is_first_line)

    def _read_blocks(self, piece: bytes) -> None:
        """What most pieces are: whole blocks, of a data line and perhaps a name before it."""
        for block in piece[:-2].split(b"\n\n"):
            name, _, data = block.rpartition(b"\n")
            is_plain = data[:5] == b"data:" and (not name or (name[:6] == b"event:" and b"\n" not in name))
            if not is_plain or len(block) + 2 > self._limit_bytes or not self._is_between:
                self._read(block + b"\n\n")
                continue
            self._events.append(
                Event(
                    data=data[6:] if data[5:6] == b" " else data[5:],
                    name=_value(name).decode("utf-8", "replace") if name else None,
                    raw=block + b"\n\n",
                )
            )

    def finish(self) -> list[Event]:
        """What is left at the end of the stream: at most one event, complete or not.

        Raises:
            EventTooLong: as `feed`.
        """
        if not self._failed:
            if self._closes:
                self._dispatch()
            if self._line:
                line = b"".join(self._line)
                self._line.clear()
                self._end_line(line, b"", 0)
            if self._block:
                self._dispatch(is_complete=not self._has_lines)
        return self._taken()

    def _taken(self) -> list[Event]:
        if self._failed and not self._events:
            raise EventTooLong(self._limit_bytes)
        events, self._events = self._events, []
        return events

    def _read(self, piece: bytes) -> None:
        at = 0
        if self._after_cr:
            self._after_cr = False
            self._had_bare_cr = piece[0] != 0x0A
            if not self._had_bare_cr:
                self._keep(b"\n", 1)
                at = 1
            if self._closes:
                self._dispatch()
        while not self._failed and (match := _LINE_END.search(piece, at)):
            line, end, start, at = piece[at : match.start()], match[0], at, match.end()
            if self._line:
                line = b"".join((*self._line, line))
                self._line.clear()
            self._after_cr = end == b"\r" and at == len(piece)
            self._end_line(line, end, at - start)
        if at < len(piece) and not self._failed:
            self._line.append(piece[at:])
            self._count(len(piece) - at)

    def _end_line(self, line: bytes, end: bytes, new_bytes: int) -> None:
        """Takes a line; `new_bytes` of it and of its end have not been counted yet."""
        text = line
        if self._is_first_line:
            self._is_first_line = False
            text = line.removeprefix(_BOM)
        if text:
            self._keep(line + end, new_bytes)
            self._take_field(text)
        elif not self._has_lines:
            self._keep(line + end, new_bytes)
        elif self._had_bare_cr:
            # CR CR ends a block at once: whoever ends lines so may send nothing more for long. An LF
            # after it, in this piece or the next, is told apart from neither and begins the next block.
            self._keep(line + end[:1], 1)
            self._dispatch()
            if end == b"\r\n":
                self._keep(b"\n", 1)
        else:
            self._keep(line + end, new_bytes)
            if self._after_cr:
                self._closes = True
            else:
                self._dispatch()
        self._had_bare_cr = end == b"\r" and not self._after_cr

    def _take_field(self, line: bytes) -> None:
        self._has_lines = True
        match line[: line.find(b":")] if b":" in line else line:
            case b"data":
                self._data.append(_value(line))
            case b"event":
                self._name = _value(line).decode("utf-8", "replace")
            case b"":
                self._comments.append(_value(line))

    def _keep(self, raw: bytes, new_bytes: int) -> None:
        self._block.append(raw)
        self._count(new_bytes)

    def _count(self, new_bytes: int) -> None:
        self._size_bytes += new_bytes
        if self._size_bytes > self._limit_bytes or len(self._block) > EVENT_LIMIT_LINES:
            self._failed = True
            self._line.clear()
            self._begin()

    def _dispatch(self, *, is_complete: bool = True) -> None:
        if self._failed:
            return
        self._events.append(
            Event(
                data=b"\n".join(self._data) if self._data else None,
                name=self._name,
                comment=b"\n".join(self._comments) if self._comments else None,
                raw=b"".join(self._block),
                is_complete=is_complete,
            )
        )
        self._begin()


def _value(line: bytes) -> bytes:
    colon = line.find(b":")  # long lines are copied once
    if colon < 0:
        return b""
    return line[colon + 2 :] if line[colon + 1 : colon + 2] == b" " else line[colon + 1 :]


def write(event: Event) -> bytes:
    """The event as one block, whatever `raw` says: `event:`, then comments, then `data:` lines.

    A CR in its data cannot be written: every line end becomes an LF.

    Raises:
        ValueError: the name has a line end.
    """
    lines: list[bytes] = []
    if event.name is not None:
        name = event.name.encode()
        if _LINE_END.search(name):
            raise ValueError("the name of an event is one line")
        lines.append(b"event: " + name)
    if event.comment is not None:
        lines += (b": " + line for line in _LINE_END.split(event.comment))
    if event.data is not None:
        lines += (b"data: " + line for line in _LINE_END.split(event.data))
    return b"\n".join(lines) + b"\n\n"
