"""Places in a JSON document as operators write them. Pure.

Names between dots: `metadata.team`. On an array a whole number is a place in it, from the end where it is
negative: `messages.-1.content`. `*` stands for every element of an array, or every member of an object.
A backslash takes its meaning from a dot, a star or a backslash: `a\\.b`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from llmitm.shape.values import text_of

_INDEX: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,8})\Z")
_PART: Final = re.compile(r"(?:[^.\\]|\\.)*", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


class Every(Enum):
    """The one value that stands for `*`."""

    EVERY = "*"


EVERY: Final = Every.EVERY


@dataclass(frozen=True, slots=True)
class Name:
    """A member's name; on an array, a place in it where the name is a whole number."""

    text: str
    token: bytes
    """As JSON."""
    index: int | None


type Segment = Name | Every


@dataclass(frozen=True, slots=True)
class Path:
    """At least one segment."""

    text: str
    """As it was written."""
    segments: tuple[Segment, ...]
    parts: tuple[str, ...]
    """The segments as they were written."""

    def upto(self, depth: int) -> str:
        """The first `depth` segments, as they were written."""
        return ".".join(self.parts[:depth])


def parse(text: str) -> Path:
    """Reads a path.

    Raises:
        ValueError: it names no field; the text says why.
    """
    parts: list[str] = []
    at = 0
    while True:
        match = _PART.match(text, at)
        assert match is not None, "it matches the empty text"
        parts.append(match[0])
        at = match.end()
        if at == len(text):
            break
        if text[at] == "\\":
            raise ValueError("ends in a backslash; a backslash itself is written \\\\")
        at += 1
    if any(not part for part in parts):
        raise ValueError(
            "names no field: between its dots there must be names, and a dot of a name is written \\."
        )
    return Path(text, tuple(_segment(part) for part in parts), tuple(parts))


def _segment(part: str) -> Segment:
    if part == "*":
        return EVERY
    for match in _ESCAPED.finditer(part):
        if match[1] not in ".*\\":
            raise ValueError(f"a backslash before {match[1]!r} means nothing; only . * and \\ are escaped")
    name = _ESCAPED.sub(r"\1", part)
    return Name(name, text_of(name), int(part) if _INDEX.match(part) else None)
