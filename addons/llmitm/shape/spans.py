"""Where the values of a JSON text stand in it, level by level, and edits that leave all else alone. Pure.

Positions are those of bytes. Only the levels that are asked for are read, in compiled code, so a long
body costs little where one small thing in it is looked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec

type Edit = tuple[int, int, bytes]
"""From where to where, and what stands there then."""

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY: Final = msgspec.json.Decoder(msgspec.Raw)
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_B: Final = rb"[ \t\n\r]*+"
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_MEMBER: Final = re.compile(_B + b",?+" + _B + b"(" + _STRING + b")" + _B + b":" + _B, re.DOTALL)
"""A name, and what stands before it and its value."""
_ELEMENT: Final = re.compile(_B + b",?+" + _B)
_PLAIN: Final = re.compile(b"(?:" + _STRING + b"|[-+.0-9A-Za-z]++)", re.DOTALL)
_NESTS: Final = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_BLANKS: Final = re.compile(_B)
_PLACE: Final = itemgetter(0, 1)


class NotJson(ValueError):
    """The text is no JSON."""


class Member(NamedTuple):
    """One member of an object."""

    name: str
    token: bytes
    """Its name as it is spelled."""
    name_start: int
    """Of its name's opening quote."""
    start: int
    """Of its value."""
    end: int
    """After its value."""


def value_of(text: bytes) -> tuple[int, int]:
    """From where to where the value of a whole JSON text stands, without the blanks around it.

    Raises:
        NotJson: nothing but blanks.
    """
    if text[:1] == b"{" and text[-1:] == b"}":
        return 0, len(text)
    start = _blanks(text, 3 if text.startswith(b"\xef\xbb\xbf") else 0)
    end = len(text.rstrip(b" \t\n\r"))
    if end <= start:
        raise NotJson("there is no value")
    return start, end


def is_valid(text: bytes) -> bool:
    """Whether it is JSON in UTF-8. False also for halves of surrogate pairs, and for great depth."""
    try:
        _ANY.decode(text)
        if not text.isascii():
            text.decode()  # which that does not look at in strings
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def opening(text: bytes, at: int, least: int = 0) -> int:
    """Where the string that has `at` within it opens, which is not before `least`."""
    while (at := text.rfind(b'"', least, at)) > least:
        before = at - 1
        while before >= least and text[before] == 0x5C:
            before -= 1
        if (at - before) % 2:
            break
    return max(at, least)


def members(text: bytes, start: int, end: int) -> list[Member]:
    """The members of the object that stands there, in order, doubled names included.

    Raises:
        NotJson: no object stands there.
    """
    values = opened(text, start, end)
    found = None if values is None else placed(text, start, end, values)
    return _members_slowly(text, start, end) if found is None else found


def opened(text: bytes, start: int, end: int) -> Mapping[str, msgspec.Raw] | None:
    """The members of the object that stands there; of a doubled one the last. None: it is none, or must be
    read by `members`, which tells."""
    try:
        return _OBJECT.decode(memoryview(text)[start:end])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def placed(text: bytes, start: int, end: int, values: Mapping[str, msgspec.Raw]) -> list[Member] | None:
    """Where those that were opened stand; None where a name is there twice."""
    found: list[Member] = []
    at = start + 1
    for name, raw in values.items():
        match = _MEMBER.match(text, at)
        if match is None:
            return None
        value_start = match.end()
        if not text.startswith(raw, value_start):
            return None
        at = value_start + len(memoryview(raw))
        found.append(Member(name, match[1], match.start(1), value_start, at))
    return found if _blanks(text, at) == end - 1 else None


def elements(text: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """From where to where the elements of the list that stands there stand.

    Raises:
        NotJson: no list stands there.
    """
    try:
        values = _LIST.decode(memoryview(text)[start:end])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _elements_slowly(text, start, end)
    found: list[tuple[int, int]] = []
    at = start + 1
    for raw in values:
        first = at + 1 if text.startswith(b",", at) else at
        if text[first] in b" \t\n\r,":
            match = _ELEMENT.match(text, first)
            first = match.end() if match else first
        at = first + len(memoryview(raw))
        found.append((first, at))
    return found


def _members_slowly(text: bytes, start: int, end: int) -> list[Member]:
    """As `members`, for what the quick way cannot read: doubled names, halves of surrogate pairs, depth."""
    found: list[Member] = []
    at = _first(text, start, end, b"{}")
    while at is not None:
        match = _MEMBER.match(text, at)
        if match is None or match.start(1) != at:
            raise NotJson("a name is due in an object")
        value_end = _end_of(text, match.end())
        found.append(Member(_name_of(match[1]), match[1], at, match.end(), value_end))
        at = _next(text, value_end, end, b"}")
    return found


def _elements_slowly(text: bytes, start: int, end: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    at = _first(text, start, end, b"[]")
    while at is not None:
        found.append((at, _end_of(text, at)))
        at = _next(text, found[-1][1], end, b"]")
    return found


def _first(text: bytes, start: int, end: int, signs: bytes) -> int | None:
    """Where the first thing between two brackets begins; None where there is nothing."""
    if text[start : start + 1] != signs[:1]:
        raise NotJson("no object or list stands there")
    at = _blanks(text, start + 1)
    return _next(text, at, end, signs[1:]) if text[at : at + 1] == signs[1:] else at


def _next(text: bytes, at: int, end: int, close: bytes) -> int | None:
    """Where the next thing begins, behind a value that ends there; None where the bracket closes."""
    at = _blanks(text, at)
    match text[at : at + 1]:
        case b",":
            return _blanks(text, at + 1)
        case sign if sign == close and at == end - 1:
            return None
        case _:
            raise NotJson("a comma or the end is due")


def _end_of(text: bytes, start: int) -> int:
    """The end of the value that begins there."""
    if (plain := _PLAIN.match(text, start)) is not None:
        return plain.end()
    depth = 0
    for match in _NESTS.finditer(text, start):
        sign = match[0]
        if depth == 0 and (match.start() != start or sign not in (b"{", b"[")):
            break
        depth += (sign in (b"{", b"[")) - (sign in (b"}", b"]"))
        if depth == 0:
            return match.end()
    raise NotJson("a value is due")


def _name_of(token: bytes) -> str:
    if b"\\" not in token:
        return token[1:-1].decode("utf-8", "surrogateescape")
    try:
        return str(json.loads(token))
    except ValueError as error:
        raise NotJson(str(error)) from None


def _blanks(text: bytes, at: int) -> int:
    match = _BLANKS.match(text, at)
    return match.end() if match else at


def locate(text: bytes, path: Sequence[str | int]) -> tuple[int, int]:
    """From where to where the value at a path stands; of a doubled member, the last one.

    Raises:
        NotJson, KeyError, IndexError: nothing stands there.
    """
    start, end = value_of(text)
    for step in path:
        if isinstance(step, int):
            start, end = elements(text, start, end)[step]
        else:
            named = {one.name: one for one in members(text, start, end)}[step]
            start, end = named.start, named.end
    return start, end


def edited(text: bytes, edits: Iterable[Edit]) -> bytes:
    """The text with edits made, which do not overlap."""
    parts: list[bytes] = []
    copied_to = 0
    for start, end, new in sorted(edits, key=_PLACE):
        parts += (text[copied_to:start], new)
        copied_to = end
    parts.append(text[copied_to:])
    return b"".join(parts)
