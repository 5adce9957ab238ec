"""Strings of JSON without their escapes, and where each byte of the text stood. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

import orjson

_NUMBERS: Final = rb"((?:\\u[0-9a-f]{4})++)"
_RUN: Final = re.compile(_NUMBERS + rb'|((?:\\["\\/bfnrt])++)', re.IGNORECASE)
"""Escapes that follow each other: in many languages all of a word is such."""
_RUN_OF_NUMBERS: Final = re.compile(_NUMBERS + rb"|(?!)()", re.IGNORECASE)
_NUMBER: Final = re.compile(rb"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})|\\u([0-9a-f]{4})", re.IGNORECASE)
_TELLING: Final = re.compile(rb"\\[u\\]")
_SHORT_ONES: Final = 2
"""The group of those that are no numbers."""
_SHORT: Final = bytes.maketrans(b"ntrbfNTRBF", b"\n\t\r\b\f" * 2)
_WIDTHS: Final = (
    ("\0", "\x7f", 1, 6),
    ("\x80", "\u07ff", 2, 6),
    ("\u0800", "\uffff", 3, 6),
    ("\U00010000", "\U0010ffff", 4, 12),
)
"""From which sign to which they have so many bytes in UTF-8, and by number."""
_AS_IT_IS: Final = (0, 1, 1)
_MUST: Final = re.compile(rb'["\\\x00-\x1f]')
_SHORTER: Final = {b"\n": b"\\n", b"\t": b"\\t", b"\r": b"\\r", b'"': b'\\"', b"\\": b"\\\\"}


def escapes(body: bytes) -> tuple[bool, bool]:
    """Whether a JSON text has escapes by number, and escaped backslashes."""
    if _TELLING.search(body) is None:
        return False, False
    return b"\\u" in body, b"\\\\" in body


def read(raw: bytes) -> bytes:
    """The text in UTF-8 of a JSON string, without its quotes."""
    try:
        return str(orjson.loads(b'"%b"' % raw)).encode()
    except orjson.JSONDecodeError:  # halves of surrogate pairs
        return Places(raw).text


class Places:
    """A text, and where its bytes stand in what it was read of."""

    __slots__ = ("_runs", "_texts", "has_escapes", "text")

    def __init__(self, raw: bytes, *, is_text: bool = False, until: int | None = None) -> None:
        """`raw` is a JSON string without its quotes, or a text of which only escapes by number are read.
        `until`: no place after this one of the text is asked for."""
        parts: list[bytes] = []
        texts, runs = [0], [_AS_IT_IS]  # where runs begin that stand as they are, and of escapes
        size = at = 0
        for match in (_RUN_OF_NUMBERS if is_text else _RUN).finditer(raw):
            start, end = match.span()
            parts.append(raw[at:start])
            size += start - at
            at = start
            if until is not None and size >= until:
                break
            if match.lastindex == _SHORT_ONES:
                every = [(raw[start + 1 : end : 2].translate(_SHORT), 1, 2)]
            else:
                every = _signs(match[0])
            for signs, of_text, of_raw in every:
                texts.append(size)
                runs.append((at, of_text, of_raw))
                parts.append(signs)
                size += len(signs)
                at += len(signs) // of_text * of_raw
            texts.append(size)
            runs.append((at, 1, 1))
        parts.append(raw[at:])
        self.text = b"".join(parts)
        self._texts, self._runs = texts, runs
        self.has_escapes = len(runs) > 1

    def raw(self, place: int) -> int:
        """Where what begins or ends at `place` of the text stands, which is not within an escape."""
        at = bisect_right(self._texts, place) - 1
        start, of_text, of_raw = self._runs[at]
        return start + (place - self._texts[at]) // of_text * of_raw


def _signs(run: bytes) -> list[tuple[bytes, int, int]]:
    """The signs of a run of numbers, in parts whose signs all have so many bytes in the text, and in JSON."""
    try:
        text = str(orjson.loads(b'"%b"' % run))
    except orjson.JSONDecodeError:  # halves of surrogate pairs
        text = ""
    if text:
        low, high = min(text), max(text)
        for first, last, of_text, of_raw in _WIDTHS:
            if first <= low and high <= last:
                return [(text.encode(), of_text, of_raw)]
    found = ((_sign(match), len(match[0])) for match in _NUMBER.finditer(run))
    return [(sign, len(sign), of_raw) for sign, of_raw in found]


def _sign(match: re.Match[bytes]) -> bytes:
    high, low, one = match[1], match[2], match[3]
    if high is not None:
        number = 0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00
        return chr(number).encode()
    return chr(int(one, 16)).encode("utf-8", "replace")


def escaped(text: bytes) -> bytes:
    """A text in UTF-8 as it stands within quotes."""
    return _MUST.sub(lambda match: _SHORTER.get(match[0]) or b"\\u%04x" % match[0][0], text)
