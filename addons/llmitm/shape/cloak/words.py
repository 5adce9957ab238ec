"""The words that no provider is to read: what is wrong with them, and where they stand in a text. Pure.

They are matched without regard to case, each spelling for itself; of those that overlap the first one
wins, of those that begin together the longest. The engine is RE2, whose time is proportional to the text
whatever the expression, so no word of the operator's can make a request take for ever. It has no
look-around and no backreferences.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from llmitm.shape.cloak.marks import BEGINNING, PATTERN

_ESCAPABLE: Final = re.compile(r'["\\/\x00-\x1f]')
"""What JSON may spell with a backslash and one sign."""
_ANCHOR: Final = re.compile(r"\\[AzBb]|(?<![\[\\])\^|\$|\\x|\\p|\\C")
"""Expressions that see where a string begins, or may: none is looked for in a body before it is read."""
_LONG: Final = 10_000
_MOST_MEMORY_BYTES: Final = 67_108_864
"""Of a long expression and what it learns of texts: thousands of words take more than RE2 allows by itself,
and would be looked for a hundred times as slowly."""
_POSITIONS: Final = frozenset(
    {b"logprobs", b"Logprobs", b"web_search", b"file_search", b"google_search", b"googleSearch"}
    | {b"GoogleSearch", b'"citations"'}
)
"""Of requests whose answers tell of places in texts, or of the parts that those were made of."""
_BACKSLASHES: Final = re.compile(rb"\\(?:u[0-9a-fA-F]{4}\\)*+")
_NUMBERS: Final = re.compile(rb"(?:\\u[0-9a-fA-F]{4})++")
_ESCAPE: Final = re.compile(rb"\\.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Expression:
    """A word that is given as a regular expression, in RE2's syntax."""

    regex: str


type Word = str | Expression


def problem(word: Word) -> str | None:
    """What is wrong with a word; None where nothing is."""
    if isinstance(word, Expression):
        return _problem(word.regex)
    bare = word.strip()
    if not bare:
        return "must not be empty"
    if len(bare) == 1:
        return f"{bare!r} is a single letter, which nearly every text holds; use a longer word"
    return None


def repeated(words: Sequence[Word]) -> Iterator[tuple[int, int]]:
    """Which words are the same as which before them."""
    seen: dict[str, int] = {}
    for at, word in enumerate(words):
        text = word.regex if isinstance(word, Expression) else word.strip().casefold()
        first = seen.setdefault(text, at)
        if first != at:
            yield at, first


def stands_in_marks(word: Word) -> bool:
    """Whether every mark holds the word: its beginning is that of all marks."""
    if isinstance(word, Expression):
        return _compiled(word.regex).search(BEGINNING) is not None
    return word.strip().casefold() in BEGINNING.decode()


def _problem(regex: str) -> str | None:
    if not regex:
        return "must not be empty"
    try:
        made = _compiled(regex)
    except ValueError as error:
        return f"is no regular expression in RE2's syntax, which has no look-around: {error}"
    if made.search(b"") is not None:
        return "matches the empty text, so it would match everywhere"
    return None


def _compiled(pattern: str) -> Any:
    """Raises ValueError, with RE2's words."""
    import re2

    options = re2.Options()
    options.case_sensitive = False
    options.longest_match = True
    options.never_capture = True
    options.log_errors = False
    if len(pattern) > _LONG:
        options.max_mem = _MOST_MEMORY_BYTES
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        told = error.args[0] if error.args else b""
        raise ValueError(told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)) from None


class Look(NamedTuple):
    """What was found in a body."""

    spans: list[tuple[int, int]]
    has_positions: bool
    """See `tells_positions`."""


def tells_positions(body: bytes) -> bool:
    """Whether the answer to a request may tell of places in texts, or of the parts these were made of."""
    return any(one in body for one in _POSITIONS)


class Words:
    """The words of one cloak, compiled. They are without problems."""

    __slots__ = ("_is_plain", "_pattern", "_with_positions", "is_anchored")

    def __init__(self, words: Sequence[Word]) -> None:
        # what looks like a mark is a word itself, or the two could not be told apart in the answer
        parts = [PATTERN]
        self._is_plain = True
        """Whether JSON spells all of them as they are, but for numbered escapes."""
        self.is_anchored = False
        for word in words:
            if isinstance(word, Expression):
                parts.append(f"(?:{word.regex})")
                self._is_plain = False
                self.is_anchored = self.is_anchored or _ANCHOR.search(word.regex) is not None
                continue
            spellings = {unicodedata.normalize(form, word.strip()) for form in ("NFC", "NFD")}
            parts += sorted(_quoted(one) for one in spellings)
            if _ESCAPABLE.search(word):
                self._is_plain = False
        self._pattern = _compiled("|".join(parts))
        positions = [one.decode() for one in _POSITIONS]
        is_one_named = any(one.casefold() in str(word).casefold() for one in positions for word in words)
        # a body is gone through once for both
        parts += sorted(f"(?-i:{_quoted(one)})" for one in positions)
        self._with_positions = None if is_one_named else _compiled("|".join(parts))

    def spans(self, text: bytes) -> list[tuple[int, int]]:
        """Where words stand in a text in UTF-8, in order, none of them overlapping."""
        return _spans(self._pattern, text)

    def exact(self, body: bytes) -> Look | None:
        """Where in a JSON text without numbered escapes words stand, in strings, or in what is no string. Of
        texts that are escaped twice it tells only that there is one. None: its strings must be read."""
        if not self._is_plain:
            return None
        found, has_positions = self._looked(body)
        for start, _ in found:
            if body.startswith(b"\\", start - 1):  # the word's first letter may be that of an escape
                return Look(self.spans(_ESCAPE.sub(b"\0\0", body)), has_positions)
        return Look(found, has_positions)

    def _looked(self, body: bytes) -> Look:
        if self._with_positions is not None:
            found = _spans(self._with_positions, body)
            if _POSITIONS.isdisjoint([body[start:end] for start, end in found]):
                return Look(found, has_positions=False)
        return Look(self.spans(body), has_positions=tells_positions(body))

    def suspects(self, body: bytes) -> list[tuple[int, int]] | None:
        """Where in a JSON text words may stand, escapes that may hide one included, in order of their
        beginnings; None: anywhere."""
        if self.is_anchored:
            return None
        found = self.spans(body)
        hint = _NUMBERS if self._is_plain else _BACKSLASHES
        found += (match.span() for match in hint.finditer(body))
        return sorted(found)


def _spans(pattern: Any, text: bytes) -> list[tuple[int, int]]:
    return [span for match in pattern.finditer(text) if (span := match.span())[1] > span[0]]


def _quoted(word: str) -> str:
    return "".join(sign if sign.isalnum() or sign in " _" else f"\\x{{{ord(sign):x}}}" for sign in word)
