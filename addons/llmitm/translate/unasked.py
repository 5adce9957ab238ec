"""A chat stream is asked for its usage though the client did not; the chunk that tells it is kept back. Pure.

Every other byte passes. Providers put `"usage":null` into the other chunks then, which clients ignore.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import orjson

from llmitm.translate import peek

_SEAM: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_SEAM_BYTES: Final = 3
"""Of a seam, so many may have come before its last one."""
_MOST_BYTES: Final = 65_536
"""Counts take less."""
_ASKED: Final = b'{"include_usage":true}'


def asking(body: bytes) -> bytes | None:
    """The request with its usage asked for; None where it streams nothing, or asks for it already.

    The body is a JSON object.
    """
    seen = peek.peek(body)
    if seen is None or not seen.stream or seen.include_usage:
        return None
    span = peek.top_level(body).get("stream_options")
    options = body[span[0] : span[1]] if span is not None else b"null"
    if options == b"null":
        return peek.edit(body, {"stream_options": _ASKED})
    try:
        return peek.edit(body, {"stream_options": peek.edit(options, {"include_usage": b"true"})})
    except peek.NotAnObject:
        return None  # the provider says what is wrong with it


class Without:
    """Takes the chunk out of a stream, however that is cut into pieces."""

    __slots__ = ("_end", "_held", "_is_long", "_size_bytes")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size_bytes = 0
        self._end = b""
        """What may be the beginning of a seam."""
        self._is_long = False
        """The event that is under way is too long to be that chunk, and goes on as it comes."""

    def feed(self, piece: bytes) -> bytes:
        """What of the stream may go on: whole events."""
        end = self._end + piece
        self._end = end[-_SEAM_BYTES:]
        self._held.append(piece)
        self._size_bytes += len(piece)
        if not any(_seams(end)) and self._size_bytes <= _MOST_BYTES:
            return b""
        whole = b"".join(self._held)
        at = 0
        kept: list[bytes] = []
        for end_of_event in _seams(whole):
            event = whole[at:end_of_event]
            at = end_of_event
            if self._is_long or not _is_usage(event):
                kept.append(event)
            self._is_long = False
        left = whole[at:]
        if self._is_long or len(left) > _MOST_BYTES:
            self._is_long = True
            kept.append(left[:-_SEAM_BYTES])
            left = left[-_SEAM_BYTES:]
        self._held, self._size_bytes, self._end = [left], len(left), left[-_SEAM_BYTES:]
        return b"".join(kept)

    def finish(self) -> bytes:
        """What is left where the stream ends within an event."""
        left = b"".join(self._held)
        self._held.clear()
        return left


def _seams(text: bytes) -> Iterator[int]:
    """Where events end."""
    if b"\r" in text:
        yield from (seam.end() for seam in _SEAM.finditer(text))
        return
    at = 0
    while (at := text.find(b"\n\n", at) + 2) > 1:  # several times as fast
        yield at


def _is_usage(event: bytes) -> bool:
    if b'"usage"' not in event or b'"choices"' not in event:
        return False
    lines = [line.removeprefix(b"data:") for line in event.splitlines() if line.startswith(b"data:")]
    try:
        chunk = orjson.loads(b"\n".join(lines))
    except orjson.JSONDecodeError:
        return False
    return isinstance(chunk, dict) and chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)
