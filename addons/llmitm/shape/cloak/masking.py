"""A request in which marks stand for words. Pure; every byte but those of the words stays.

Every string is gone through but those that are known to be no content: enumerations, names of tools and
functions, ids, keys of objects, base64, addresses that the provider is to fetch, signed and encrypted
reasoning. What is not known is content. Within arguments, results and schemas of tools only keys are none.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Final, NamedTuple

import orjson

from llmitm.shape.cloak.content import EXAMPLES, FREE, SCHEMAS, SPEAKERS, is_always_content, is_content
from llmitm.shape.cloak.escapes import Places, escaped, escapes, read
from llmitm.shape.cloak.marks import Vocabulary
from llmitm.shape.cloak.words import Look, Words, tells_positions
from llmitm.shape.spans import (
    Edit,
    Member,
    NotJson,
    edited,
    elements,
    is_valid,
    members,
    opening,
    value_of,
)

_MOST_DEPTH: Final = 200
_MOST_NESTED: Final = 4
"""Texts in texts that are looked into."""
_TOLD_BY_OTHERS: Final = frozenset({"thinking", "name", "data"})
"""Members of which others beside them tell whether they are content."""
_TEXTS: Final = tuple(
    before + name + after
    for name in (b'"content"', b'"text"')
    for before, after in ((b"{", b":"), (b",", b":"), (b"{", b": "), (b", ", b": "))
)
_NAMED: Final = re.compile(rb'[{,\s]"(\w+)"[ \t\n\r]*+:[ \t\n\r]*+\Z', re.ASCII)
_NAME_BYTES: Final = 64
_COLON: Final = re.compile(rb"(?: |\\[nrt])*+:")
"""Behind a key of JSON that is a string itself."""
_QUOTE: Final = 0x22
_REST: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_BLANK: Final = re.compile(rb"\\.", re.DOTALL)
_SIGNED: Final = re.compile(rb'"signature"')


class TooDeep(ValueError):
    """The request is nested deeper than anything that is gone through."""


class Masked(NamedTuple):
    """A request on its way out."""

    body: bytes
    has_positions: bool = False
    """Whether something was masked and the answer may tell of places in texts."""


def masked(body: bytes, words: Words, vocabulary: Vocabulary, used: dict[bytes, bytes]) -> Masked:
    """The request, a JSON text, with marks for words. `used` is given the marks and their words.

    Raises:
        NotJson: it is no JSON.
        TooDeep: it is nested too deep.
    """
    is_numbered, is_nested = escapes(body)
    look = None if is_numbered else words.exact(body)
    exact = None if look is None else look.spans
    suspects = words.suspects(body) if exact is None else exact
    is_signed = vocabulary.has_sealed and b'"signature"' in body
    is_known_valid = is_valid(body)
    if not is_known_valid:
        _check(body)
    if suspects == [] and not is_signed:
        return Masked(body)
    edits: list[Edit] = []
    if exact and not is_signed and is_known_valid:
        suspects = exact = _put_at_once(body, exact, edits, vocabulary, used, is_nested=is_nested)
        if not exact:
            return _made(body, edits, look)
    if suspects is not None and is_signed:
        suspects = sorted([*suspects, *(match.span() for match in _SIGNED.finditer(body))])
    start, end = value_of(body)
    walk = _Walk(body, words, vocabulary, used, suspects, exact)
    walk.value(start, end, "", is_free=False, is_schema=False, depth=0)
    edits += walk.edits
    return _made(body, edits, look) if edits else Masked(body)


def _made(body: bytes, edits: list[Edit], look: Look | None) -> Masked:
    has_positions = tells_positions(body) if look is None else look.has_positions
    return Masked(edited(body, edits), has_positions)


def _check(body: bytes) -> None:
    """Of a text that is not known to be valid: words may hide in what is compressed or in another charset."""
    try:
        json.loads(body.decode("utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise NotJson(str(error)) from None
    except RecursionError:
        raise TooDeep("nested too deep") from None


def _put_at_once(
    body: bytes,
    exact: list[tuple[int, int]],
    edits: list[Edit],
    vocabulary: Vocabulary,
    used: dict[bytes, bytes],
    *,
    is_nested: bool,
) -> list[tuple[int, int]]:
    """Masks words in strings whose members' names alone tell that they are content; returns the others.

    The body is valid JSON. What stands between quotes is escaped in strings, so a name that is followed by a
    colon and a quote is that of a member, and the quote opens its value.
    """
    left: list[tuple[int, int]] = []
    string: _String | None = None
    last = 0
    for span in exact:
        start, end = span
        quote = opening(body, start, last)
        if string is None or body[quote] == _QUOTE:  # else it stands in the string of the last one
            string = _String(body, quote, is_nested=is_nested)
        last = end
        if string.is_content(start, end):
            word = body[start:end]
            mark = vocabulary.mark(word)
            used[mark] = word
            edits.append((start, end, mark))
        else:
            left.append(span)
    return left


class _String:
    """A string of a JSON text, asked in order whether the words in it are content. Many may stand in one."""

    __slots__ = ("_at", "_body", "_closing", "_end", "_is_content", "_is_json", "_quotes")

    def __init__(self, body: bytes, quote: int, *, is_nested: bool) -> None:
        """`quote`: where it opens. `is_nested`: backslashes are escaped somewhere."""
        self._body = body
        self._is_json, self._is_content = False, True
        if not body.endswith(_TEXTS, 0, quote):
            named = _NAMED.search(body, max(0, quote - _NAME_BYTES), quote)
            self._is_json = named is not None and named[1] == b"arguments"
            self._is_content = named is not None and is_always_content(named[1].decode())
        self._end = -1
        """Of its closing quote, where that is asked for."""
        if self._is_json or is_nested:
            rest = _REST.match(body, quote + 1)
            self._end = rest.end() if rest else quote + 1
            if is_nested and body.find(b"\\\\", quote, self._end) >= 0:
                self._is_json = self._is_content = False
        self._at = quote
        self._quotes = 0
        """Escaped ones up to there."""
        self._closing = -1
        """The next of them; -1: not looked for yet."""

    def is_content(self, start: int, end: int) -> bool:
        """Whether a word is content, whatever is around the string that holds it."""
        if not self._is_json:
            return self._is_content
        self._quotes += self._body.count(b'\\"', self._at, start)
        self._at = start
        if self._quotes % 2 == 0:
            return False  # if that is JSON, it is no string
        if self._closing < end:
            found = self._body.find(b'\\"', end, self._end)
            self._closing = found if found >= 0 else self._end
        return self._closing == self._end or _COLON.match(self._body, self._closing + 2) is None


def masked_text(text: bytes, words: Words, vocabulary: Vocabulary, used: dict[bytes, bytes]) -> bytes:
    """A text in UTF-8 with marks for words."""
    edits: list[Edit] = []
    for start, end in words.spans(text):
        edits.append((start, end, _mark(text[start:end], vocabulary, used)))
    return edited(text, edits) if edits else text


def _mark(word: bytes, vocabulary: Vocabulary, used: dict[bytes, bytes]) -> bytes:
    mark = vocabulary.mark(word)
    used[mark] = word
    return mark


def _told(text: bytes, words: Words) -> Iterator[tuple[int, int, bytes]]:
    """Where words stand in a text, also where that is JSON, as what tools answer often is, or has signs by
    their numbers.

    A word is what is meant, unless it cannot stand in JSON as it is: then it is as it is spelled, since JSON
    must come of it again where its mark is copied.
    """
    found = [(first, last, text[first:last]) for first, last in words.spans(text)]
    is_json = _is_json(text)
    levels: list[Places] = []
    while len(levels) < _MOST_NESTED and (is_json or b"\\u" in text):
        level = Places(levels[-1].text if levels else text, is_text=not is_json)
        if not level.has_escapes:
            break
        levels.append(level)
        for begins, ends in words.spans(level.text):
            word = level.text[begins:ends]
            for places in reversed(levels):
                begins, ends = places.raw(begins), places.raw(ends)
            found.append((begins, ends, word if escaped(word) == word else text[begins:ends]))
    at = 0
    for first, last, word in sorted(found, key=lambda one: (one[0], -one[1])):
        if first >= at:
            yield first, last, word
            at = last


def _is_json(text: bytes) -> bool:
    if text.lstrip()[:1] not in (b"{", b"["):
        return False
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


class _Walk:
    """One JSON text that is gone through. `edits` are in its own positions."""

    __slots__ = ("_body", "_ends", "_exact", "_starts", "_used", "_vocabulary", "_words", "edits")

    def __init__(
        self,
        body: bytes,
        words: Words,
        vocabulary: Vocabulary,
        used: dict[bytes, bytes],
        suspects: list[tuple[int, int]] | None,
        exact: list[tuple[int, int]] | None = None,
    ) -> None:
        """`exact`: see `Words.exact`."""
        self._body, self._words, self._vocabulary, self._used = body, words, vocabulary, used
        self._exact = exact
        self._starts = None if suspects is None else [start for start, _ in suspects]
        # the furthest end of all that begin no later
        self._ends = list(accumulate((end for _, end in suspects or ()), max))
        self.edits: list[Edit] = []

    def _is_suspect(self, start: int, end: int) -> bool:
        if self._starts is None:
            return True
        before = bisect_left(self._starts, end)
        return before > 0 and self._ends[before - 1] > start

    def value(self, start: int, end: int, name: str, *, is_free: bool, is_schema: bool, depth: int) -> None:
        """Goes through the value that stands there, which is that of a member `name`, or within it."""
        if depth > _MOST_DEPTH:
            raise TooDeep("nested too deep")
        match self._body[start]:
            case 0x22:  # a quote
                if is_free or is_content(name, is_schema=is_schema):
                    self._string(start + 1, end - 1, is_json=name == "arguments" and not is_free)
            case 0x7B:
                is_free = is_free or name in (EXAMPLES if is_schema else FREE)
                is_schema = is_schema or name in SCHEMAS
                self._object(start, end, is_free=is_free, is_schema=is_schema, depth=depth)
            case 0x5B:
                if name != "input":  # which is a list of items
                    is_free = is_free or name in (EXAMPLES if is_schema else FREE)
                for first, last in elements(self._body, start, end):
                    if self._is_suspect(first, last):
                        own = name if self._body[first] == 0x22 else ""
                        self.value(first, last, own, is_free=is_free, is_schema=is_schema, depth=depth + 1)

    def _object(self, start: int, end: int, *, is_free: bool, is_schema: bool, depth: int) -> None:
        found = members(self._body, start, end)
        for one in found:
            if not self._is_suspect(one.start, one.end):
                continue
            name = one.name
            if not is_free and not is_schema and name in _TOLD_BY_OTHERS:
                named = {one.name: one for one in found}
                if name == "thinking":
                    if "signature" in named and self._as_signed(one, named["signature"]):
                        continue
                elif self._is_content_here(name, named):
                    name = "text"
            self.value(one.start, one.end, name, is_free=is_free, is_schema=is_schema, depth=depth + 1)

    def _is_content_here(self, name: str, named: Mapping[str, Member]) -> bool:
        """Names of those who speak, and documents that are plain text."""
        told = named.get("role" if name == "name" else "type")
        text = self._body[told.start : told.end] if told is not None else b""
        return text in SPEAKERS if name == "name" else text == b'"text"'

    def _as_signed(self, thinking: Member, signature: Member) -> bool:
        """Puts back the text that was signed, where it is kept because masking would not make it."""
        try:
            signed = self._vocabulary.sealed(str(orjson.loads(self._body[signature.start : signature.end])))
        except orjson.JSONDecodeError:
            return False
        if signed is None:
            return False
        self.edits.append((thinking.start, thinking.end, orjson.dumps(signed.decode("utf-8", "replace"))))
        return True

    def _string(self, start: int, end: int, *, is_json: bool) -> None:
        """Goes through a string, whose quotes stand around it."""
        if self._exact is not None and self._body.find(b"\\\\", start, end) < 0:
            if not is_json or not self._document_in_place(start, end):
                self._put_exact(start, end)
            return
        raw = self._body[start:end]
        if b"\\" not in raw and not is_json:
            for first, last in self._words.spans(raw):
                self._put(start + first, start + last, raw[first:last])
            return
        text = read(raw)
        if is_json and self._document(text, raw, start):
            return
        if b"\\" in text:
            spans = list(_told(text, self._words))
        else:
            spans = [(first, last, text[first:last]) for first, last in self._words.spans(text)]
        if spans:
            places = Places(raw, until=spans[-1][1])
            for first, last, word in spans:
                self._put(start + places.raw(first), start + places.raw(last), word)

    def _put(self, start: int, end: int, word: bytes) -> None:
        self.edits.append((start, end, _mark(word, self._vocabulary, self._used)))

    def _put_exact(self, start: int, end: int) -> None:
        for first, last in self._exact_within(start, end):
            self._put(first, last, self._body[first:last])

    def _exact_within(self, start: int, end: int) -> list[tuple[int, int]]:
        exact = self._exact or []
        return exact[bisect_left(exact, (start, 0)) : bisect_left(exact, (end, 0))]

    def _document_in_place(self, start: int, end: int) -> bool:
        """As `_document`, of a string whose text has no escapes: its positions are those of the body."""
        raw = self._body[start:end]
        if not _is_json(read(raw)):
            return False
        text = raw.replace(b'\\"', b' "')
        if b"\\" in text:
            text = _BLANK.sub(b"  ", text)
        exact = [(first - start, last - start) for first, last in self._exact_within(start, end)]
        walk = _Walk(text, self._words, self._vocabulary, self._used, exact, exact)
        walk.value(*value_of(text), "", is_free=True, is_schema=False, depth=0)
        self.edits += ((start + first, start + last, new) for first, last, new in walk.edits)
        return True

    def _document(self, text: bytes, raw: bytes, start: int) -> bool:
        """Goes through a JSON text within a string; False where it is none."""
        try:
            first, last = value_of(text)
            if text[first] not in b"{[":
                return False
            orjson.loads(text[first:last])
            suspects = self._words.suspects(text)
            walk = _Walk(text, self._words, self._vocabulary, self._used, suspects)
            walk.value(first, last, "", is_free=True, is_schema=False, depth=0)
        except (NotJson, orjson.JSONDecodeError):
            return False
        if walk.edits:
            places = Places(raw)
            self.edits += (
                (start + places.raw(one_start), start + places.raw(one_end), new)
                for one_start, one_end, new in walk.edits
            )
        return True
