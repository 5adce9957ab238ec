"""Where the values of a JSON text stand in it, level by level, and edits that leave all else alone. Pure.

Positions are those of bytes. Only the levels that are asked for are read, in compiled code, so a long
body costs little where one small thing in it is looked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

type Edit = tuple[int, int, bytes]
"""From where to where, and what stands there then."""

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_NAME: Final = re.compile(rb'[ \t\n\r]*+("(?:[^"\\]|\\.)*+")[ \t\n\r]*+:[ \t\n\r]*+', re.DOTALL)
_BLANKS: Final = re.compile(rb"[ \t\n\r]*+")
_AFTER: Final = re.compile(rb"[ \t\n\r]*+[,\]}]")
_scanner: Final = json.JSONDecoder(parse_int=str, parse_float=str, strict=False)


class NotJson(ValueError):
    """The text is no JSON."""


class Member(NamedTuple):
    """One member of an object."""

    name: str
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
    start = _blanks(text, 3 if text.startswith(b"\xef\xbb\xbf") else 0)
    end = len(text.rstrip(b" \t\n\r"))
    if end <= start:
        raise NotJson("there is no value")
    return start, end


def members(text: bytes, start: int, end: int) -> list[Member]:
    """The members of the object that stands there, in order, doubled names included.

    Raises:
        NotJson: no object stands there.
    """
    try:
        values = _OBJECT.decode(memoryview(text)[start:end])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _members_slowly(text, start, end)
    found: list[Member] = []
    at = start + 1
    for name, raw in values.items():
        match = _NAME.match(text, at)
        if match is None:
            return _members_slowly(text, start, end)
        value_start = match.end()
        held = memoryview(raw)
        value_end = value_start + held.nbytes
        if text[value_start:value_end] != held:
            return _members_slowly(text, start, end)  # a name is there twice
        found.append(Member(name, match.start(1), value_start, value_end))
        after = _AFTER.match(text, value_end)
        if after is None:
            return _members_slowly(text, start, end)
        at = after.end()
    if found and at != end:
        return _members_slowly(text, start, end)
    return found


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
        at = _blanks(text, at)
        value_end = at + memoryview(raw).nbytes
        found.append((at, value_end))
        after = _AFTER.match(text, value_end)
        if after is None:
            raise NotJson("a list without its end")
        at = after.end()
    return found


def _members_slowly(text: bytes, start: int, end: int) -> list[Member]:
    """As `members`, for what the quick way cannot read: doubled names, halves of surrogate pairs."""
    signs = text.decode("latin-1")  # one sign a byte
    found: list[Member] = []
    try:
        if signs[start] != "{":
            raise NotJson("no object stands there")
        at = _blanks(text, start + 1)
        while signs[at] != "}":
            name, name_end = _scanner.raw_decode(signs, at)
            value_start = _blanks(text, _blanks(text, name_end) + 1)
            _, value_end = _scanner.raw_decode(signs, value_start)
            found.append(
                Member(
                    name.encode("latin-1", "replace").decode("utf-8", "replace"), at, value_start, value_end
                )
            )
            at = _next(text, value_end)
        if at != end - 1:
            raise NotJson("more than an object stands there")
    except (ValueError, IndexError, AttributeError, RecursionError) as error:
        raise NotJson(f"no object stands there: {error}") from None
    return found


def _elements_slowly(text: bytes, start: int, end: int) -> list[tuple[int, int]]:
    signs = text.decode("latin-1")
    found: list[tuple[int, int]] = []
    try:
        if signs[start] != "[":
            raise NotJson("no list stands there")
        at = _blanks(text, start + 1)
        while signs[at] != "]":
            _, value_end = _scanner.raw_decode(signs, at)
            found.append((at, value_end))
            at = _next(text, value_end)
        if at != end - 1:
            raise NotJson("more than a list stands there")
    except (ValueError, IndexError, RecursionError) as error:
        raise NotJson(f"no list stands there: {error}") from None
    return found


def _next(text: bytes, at: int) -> int:
    """Where the next element begins, or the end of what holds it stands."""
    at = _blanks(text, at)
    return _blanks(text, at + 1) if text[at : at + 1] == b"," else at


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
    for start, end, new in sorted(edits, key=lambda one: (one[0], one[1])):
        parts += (text[copied_to:start], new)
        copied_to = end
    parts.append(text[copied_to:])
    return b"".join(parts)
