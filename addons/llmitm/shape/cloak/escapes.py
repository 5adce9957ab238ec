"""Strings of JSON without their escapes, and where each byte of the text stood. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

import orjson

_NUMBERED: Final = rb"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})|\\u([0-9a-f]{4})"
_ESCAPE: Final = re.compile(_NUMBERED + rb'|\\(["\\/bfnrt])', re.IGNORECASE)
_LETTER: Final = re.compile(_NUMBERED + rb"|(?!)()", re.IGNORECASE)
_TELLING: Final = re.compile(rb"\\[u\\]")
_SHORT: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}
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

    __slots__ = ("_raws", "_texts", "has_escapes", "text")

    def __init__(self, raw: bytes, *, is_text: bool = False, until: int | None = None) -> None:
        """`raw` is a JSON string without its quotes, or a text of which only escapes by number are read.
        `until`: no place after this one of the text is asked for."""
        parts: list[bytes] = []
        texts, raws = [0], [0]  # where runs begin that stand as they are, and escapes
        size = at = 0
        for match in (_LETTER if is_text else _ESCAPE).finditer(raw):
            start = match.start()
            parts.append(raw[at:start])
            size += start - at
            if until is not None and size >= until:
                at = start
                break
            texts.append(size)
            raws.append(start)
            sign = _sign(match)
            parts.append(sign)
            size += len(sign)
            at = match.end()
            texts.append(size)
            raws.append(at)
        parts.append(raw[at:])
        self.text = b"".join(parts)
        self._texts, self._raws = texts, raws
        self.has_escapes = len(raws) > 1

    def raw(self, place: int) -> int:
        """Where what begins or ends at `place` of the text stands, which is not within an escape."""
        at = bisect_right(self._texts, place) - 1
        return self._raws[at] + place - self._texts[at]


def _sign(match: re.Match[bytes]) -> bytes:
    high, low, one = match[1], match[2], match[3]
    if high is not None:
        number = 0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00
        return chr(number).encode()
    if one is not None:
        return chr(int(one, 16)).encode("utf-8", "replace")
    return _SHORT.get(match[4], match[4])


def escaped(text: bytes) -> bytes:
    """A text in UTF-8 as it stands within quotes."""
    return _MUST.sub(lambda match: _SHORTER.get(match[0]) or b"\\u%04x" % match[0][0], text)
