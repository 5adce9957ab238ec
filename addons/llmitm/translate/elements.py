"""The elements of one JSON array, read from pieces of any size. Pure.

What stands before each element and the element itself join to exactly what was fed.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from llmitm.translate.sse import EVENT_LIMIT_BYTES, EventTooLong

_SIGNS: Final = re.compile(rb'["\[\]{}]')
_IN_STRING: Final = re.compile(rb'["\\]')
_QUOTE, _BACKSLASH = b'"\\'


class Element(NamedTuple):
    lead: bytes
    """What stands before it: the bracket that opens the array, commas and blanks."""
    raw: bytes


class ArrayReader:
    """Reads one array of objects, in time proportional to its length. Elements that are neither objects nor
    arrays are taken to be part of what stands before the next one."""

    __slots__ = ("_at", "_depth", "_held", "_is_in_string", "_limit_bytes", "_start")

    def __init__(self, limit_bytes: int = EVENT_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._held = bytearray()
        self._at = 0  # as far as it has been looked at; beyond the end where the next byte is escaped
        self._depth = 0
        self._start = 0
        self._is_in_string = False

    def feed(self, piece: bytes) -> list[Element]:
        """The elements that this piece completes.

        Raises:
            EventTooLong: an element is over the limit.
        """
        self._held += piece
        found: list[Element] = []
        while match := (_IN_STRING if self._is_in_string else _SIGNS).search(self._held, self._at):
            self._at = match.end()
            sign = self._held[match.start()]
            if sign == _BACKSLASH:
                self._at += 1
            elif sign == _QUOTE:
                self._is_in_string = not self._is_in_string
            elif sign in b"[{":
                self._depth += 1
                if self._depth == 2:
                    self._start = match.start()
            else:
                self._depth -= 1
                if self._depth == 1:
                    found.append(self._taken())
        self._at = max(self._at, len(self._held))
        if len(self._held) > self._limit_bytes:
            raise EventTooLong(self._limit_bytes)
        return found

    def _taken(self) -> Element:
        made = Element(bytes(self._held[: self._start]), bytes(self._held[self._start : self._at]))
        del self._held[: self._at]
        self._at = 0
        return made

    @property
    def is_within(self) -> bool:
        """Whether an element has begun whose end has not come."""
        return self._depth > 1

    def finish(self) -> bytes:
        """What is left at the end: the closing bracket, or an element that broke off."""
        left = bytes(self._held)
        self._held.clear()
        return left
