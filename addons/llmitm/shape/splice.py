"""Changes of a JSON document that leave every byte alone which they do not name. Pure.

A document is opened level by level, only where a path leads, and written by copying what stands between
the changes. Nothing is parsed and spelled anew: key order, numbers, escapes and blanks stay, and with them
the providers' prompt caches. Of a doubled member every one is changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec
import orjson

from llmitm.shape.paths import EVERY, Name, Path, Segment

type Kind = Literal["default", "override", "filter"]
type _Row = tuple[int, int, int, bytes | None]
"""Where a member or element begins, where its value does, where that ends, and its new value: empty: it
stays; None: it is gone."""

_MOST_KNOWN: Final = 256
_ORDER: Final[tuple[Kind, ...]] = ("default", "override", "filter")

_B: Final = rb"[ \t\n\r]*+"
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PLAIN: Final = b"(" + _STRING + b"|[-+.0-9A-Za-z]++)"
_MEMBER: Final = re.compile(
    _B + b"(" + _STRING + b")" + _B + b":" + _B + b"(?:" + _PLAIN + _B + b"([,}]))?", re.DOTALL
)
"""A name, and where its value is no object or array, that and what comes after it."""
_ELEMENT: Final = re.compile(_B + b"()(?:" + _PLAIN + _B + rb"([,\]]))?", re.DOTALL)
_BLANKS: Final = re.compile(_B)
_AFTER: Final = re.compile(_B + rb"([,}\]])")
_NESTS: Final = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])
_KINDS: Final = {
    b"{": "an object",
    b"[": "an array",
    b'"': "a string",
    b"n": "null",
    b"t": "true",
    b"f": "false",
}


class NotAnObject(ValueError):
    """The document is not a JSON object."""


class _Broken(ValueError):
    """The text is not valid JSON."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change. `text` is the new value as JSON; a `filter` has none."""

    kind: Kind
    path: Path
    text: bytes = b""
    place: str = ""
    """Where the operator wrote it."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """Where an edit found something that it does not fit."""

    at: str
    """The part of its path that leads there."""
    why: str
    """What stands there; never its content."""


@dataclass(slots=True, eq=False)
class _Node:
    """A value: a slice of some text, opened where a path led into it."""

    source: bytes
    start: int
    end: int
    items: list[_Item] | None = None
    """Those that are left of an opened object or array, in order, and after them those that were added."""
    stood: list[_Item] = field(default_factory=list)
    """Those that stood in the text."""

    @property
    def kind(self) -> str:
        return _KINDS.get(self.source[self.start : self.start + 1], "a number")

    def opened(self) -> list[_Item]:
        """The members or elements; the value must be an object or an array."""
        if self.items is None:
            self.stood = _items(self.source, self.start, self.end)
            self.items = list(self.stood)
        return self.items


@dataclass(slots=True, eq=False)
class _Item:
    """A member with its name, or an element without one."""

    start: int
    """Of the name's opening quote, or of the element; -1: it was added."""
    value_start: int
    end: int
    name: str | None
    node: _Node
    """What it is now."""
    has_changed: bool = False
    """It has another node than in the text, or something within it changed."""
    token: bytes = b""
    """Its name as JSON, where it was added."""
    is_gone: bool = False


@dataclass(slots=True)
class _Member:
    """What the edits that begin with one name make of it."""

    token: bytes
    """The name as JSON."""
    edits: list[Edit] = field(default_factory=list)
    absent: bytes | None = None
    """The new value where there is no such member; None: there will be none."""
    present: bytes | None = b""
    """The new value where there is one; empty: it stays; None: it is gone."""
    is_deep: bool = False
    """It depends on what is there: `present` says nothing."""

    def settle(self) -> list[tuple[Edit, Unfit]]:
        """Works out all but what depends on what is there. Returns what does not fit where there is none."""
        self.is_deep = any(len(edit.path.segments) > 1 for edit in self.edits)
        self.absent, unfit = _remade(None, self.edits)
        for edit in self.edits:
            if edit.kind != "default":
                self.present = edit.text if edit.kind == "override" else None
        return unfit


def _remade(text: bytes | None, edits: Sequence[Edit]) -> tuple[bytes | None, list[tuple[Edit, Unfit]]]:
    """The value of a member, None where there is none, after edits that begin with its name."""
    unfit: list[tuple[Edit, Unfit]] = []
    for edit in edits:
        changing = _Changing(edit)
        if text is None:
            text = None if edit.kind == "filter" else changing.made(1)
        elif len(edit.path.segments) > 1:
            item = _Item(0, 0, 0, None, _whole(text))
            if changing.go_on(item, 0):
                text = _text(item.node)
        elif edit.kind != "default":
            text = edit.text if edit.kind == "override" else None
        unfit += ((edit, one) for one in changing.unfit)
    return text, unfit


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What edits come to where certain names are there."""

    added: bytes
    """Members that come behind the last one, with commas between them."""
    unfit: tuple[tuple[Edit, Unfit], ...]
    """Of the names that are not there."""
    touches: bool
    """Whether any of those that are there may change."""


class Edits:
    """Edits in the order in which they are made, each of which sees what those before it left."""

    __slots__ = ("_by_token", "_every", "_members", "_outcomes", "_unfit")

    def __init__(self, every: Sequence[Edit]) -> None:
        self._every = tuple(every)
        self._members: dict[str, _Member] | None = {}
        """By name, in the order in which they would be added; None: all goes the longer way."""
        self._unfit: dict[str, list[tuple[Edit, Unfit]]] = {}
        self._by_token: dict[bytes, _Member] = {}
        self._outcomes: dict[frozenset[str], _Outcome] = {}
        kinds = [_ORDER.index(edit.kind) for edit in every]
        names = [edit.path.segments[0] for edit in every]
        if kinds != sorted(kinds):
            self._members = None
            return
        for name, edit in zip(names, every, strict=True):
            if not isinstance(name, Name) or b"\\" in name.token:
                self._members = None
                return
            self._members.setdefault(name.text, _Member(name.token)).edits.append(edit)
        for text, member in self._members.items():
            if unfit := member.settle():
                self._unfit[text] = unfit
        self._members = dict(sorted(self._members.items(), key=lambda one: self._place(one[1])))
        self._by_token = {one.token: one for one in self._members.values()}

    def _place(self, member: _Member) -> int:
        """Of the first edit that would add it."""
        adding = (
            edit for edit in member.edits if edit.kind != "filter" and _Changing(edit).made(1) is not None
        )
        first = next(adding, None)
        return len(self._every) if first is None else self._every.index(first)

    def __iter__(self) -> Iterator[Edit]:
        return iter(self._every)

    def __bool__(self) -> bool:
        return bool(self._every)

    def apply(self, body: bytes) -> tuple[bytes, list[tuple[Edit, Unfit]]]:
        """The document after the edits, and what did not fit. It must be valid JSON: not all that is wrong
        with it is noticed here.

        Raises:
            NotAnObject: it is not a JSON object.
        """
        members, unfit = self._members, list[tuple[Edit, Unfit]]()
        try:
            if members is not None and (names := _names(body)) is not None:
                there = frozenset(members.keys() & names)
                outcome = self._outcomes.get(there) or self._outcome(members, there)
                unfit += outcome.unfit
                if not outcome.touches:
                    return _appended(body, outcome.added), unfit
                if (made := self._rewritten(body, names, outcome.added, unfit)) is not None:
                    return made, unfit
                unfit.clear()
            return self._slowly(body, unfit), unfit
        except (RecursionError, _Broken):
            raise NotAnObject("the body is not valid JSON") from None

    def _outcome(self, members: dict[str, _Member], there: frozenset[str]) -> _Outcome:
        away = [name for name in members if name not in there]
        made = _Outcome(
            b",".join(
                one.token + b":" + one.absent for name in away if (one := members[name]).absent is not None
            ),
            tuple(one for name in away for one in self._unfit.get(name, ())),
            any(members[name].is_deep or members[name].present != b"" for name in there),
        )
        if len(self._outcomes) < _MOST_KNOWN:
            self._outcomes[there] = made
        return made

    def _rewritten(
        self, body: bytes, names: Collection[str], added: bytes, unfit: list[tuple[Edit, Unfit]]
    ) -> bytes | None:
        """The same where names stand once and as they are; None where they do not."""
        found = _scan(body, _after_blanks(body, 0), len(body))
        if len(found) > len(names):
            return None
        rows: list[_Row] = []
        for token, start, value_start, end in found:
            if b"\\" in token:
                return None
            new: bytes | None = b""
            if (member := self._by_token.get(token)) is not None:
                new = member.present
                if member.is_deep:
                    new, missed = _remade(body[value_start:end], member.edits)
                    unfit += missed
            rows.append((start, value_start, end, new))
        return _rewritten(body, 0, len(body), rows, [added] if added else [])

    def _slowly(self, body: bytes, unfit: list[tuple[Edit, Unfit]]) -> bytes:
        start = _after_blanks(body, 0)
        if body[start : start + 1] != b"{":
            raise NotAnObject("the body is not a JSON object")
        root = _Node(body, start, len(body.rstrip(b" \t\n\r")))
        has_changed = False
        for edit in self._every:
            changing = _Changing(edit)
            has_changed = changing.walk(root, 0) or has_changed
            unfit += ((edit, one) for one in changing.unfit)
        return b"".join((body[:start], _text(root), body[root.end :])) if has_changed else body


def edited(body: bytes, edits: Sequence[Edit]) -> tuple[bytes, list[tuple[Edit, Unfit]]]:
    """See `Edits.apply`."""
    return Edits(edits).apply(body)


def _names(body: bytes) -> Collection[str] | None:
    """The names of an object's members; None where they are not read this way.

    Raises:
        NotAnObject: it is valid JSON, and no object.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None  # halves of surrogate pairs and deep nesting, too
    if not isinstance(found, dict):
        raise NotAnObject("the body is not a JSON object")
    return found.keys()


def _appended(body: bytes, added: bytes) -> bytes:
    """The object with members behind its last one."""
    if not added:
        return body
    close = body.rindex(b"}")
    head = body[:close].rstrip(b" \t\n\r")
    if head.endswith(b"{"):
        return b"".join((body[:close], added, body[close:]))
    return b"".join((head, b",", added, body[len(head) :]))


@dataclass(slots=True)
class _Changing:
    """One edit under way. Its methods say whether anything changed."""

    edit: Edit
    unfit: list[Unfit] = field(default_factory=list)

    def walk(self, node: _Node, depth: int) -> bool:
        """Follows the path from its segment `depth` on, which is looked for in `node`."""
        kind = node.source[node.start : node.start + 1]
        if kind not in (b"{", b"["):
            return self._misses(depth, f"is {node.kind}, no object or array")
        segment = self.edit.path.segments[depth]
        found = self._found(node, segment, is_object=kind == b"{", depth=depth)
        if found is None:
            return False
        if depth + 1 == len(self.edit.path.segments):
            return self._change(node, segment, found)
        if not found:
            return isinstance(segment, Name) and self._add(node, segment, depth)
        has_changed = False
        for item in found:
            if self.go_on(item, depth):
                item.has_changed = has_changed = True
        return has_changed

    def _found(self, node: _Node, segment: Segment, *, is_object: bool, depth: int) -> list[_Item] | None:
        """What the segment names; None where it fits nothing that could be there."""
        items = node.opened()
        if segment is EVERY:
            return list(items)
        assert isinstance(segment, Name)
        if is_object:
            return [item for item in items if item.name == segment.text]
        if segment.index is None:
            self._misses(depth, f"is an array: a whole number or * is due after it, not {segment.text}")
            return None
        if not -len(items) <= segment.index < len(items):
            self._misses(depth, f"has {len(items)} elements, so there is none at {segment.index}")
            return None
        return [items[segment.index]]

    def _change(self, node: _Node, segment: Segment, found: list[_Item]) -> bool:
        """At the end of the path."""
        items = node.opened()
        match self.edit.kind:
            case "filter":
                for item in found:
                    item.is_gone = True
                node.items = [item for item in items if not item.is_gone]
                return bool(found)
            case "default" if found or segment is EVERY:
                return False
            case _ if found:
                for item in found:
                    item.node, item.has_changed = _whole(self.edit.text), True
                return True
            case _:
                return isinstance(segment, Name) and self._put(items, segment, self.edit.text)

    def go_on(self, item: _Item, depth: int) -> bool:
        node = item.node
        if self.edit.kind == "override" and node.source[node.start : node.start + 1] == b"n":
            made = self.made(depth + 1)  # null is as good as nothing
            if made is None:
                return False
            item.node = _whole(made)
            return True
        return self.walk(node, depth + 1)

    def _add(self, node: _Node, segment: Name, depth: int) -> bool:
        """The objects that are missing on the way."""
        if self.edit.kind == "filter":
            return False
        made = self.made(depth + 1)
        return made is not None and self._put(node.opened(), segment, made)

    def made(self, depth: int) -> bytes | None:
        """What the rest of the path is, with the value at its end; None where it cannot be made up."""
        made = self.edit.text
        for segment in reversed(self.edit.path.segments[depth:]):
            if not isinstance(segment, Name):
                return None  # there are no elements: nothing is asked of them
            if segment.index is not None:
                self._misses(depth, "is not there, and no array is made up")
                return None
            made = b"{" + segment.token + b":" + made + b"}"
        return made

    def _put(self, items: list[_Item], segment: Name, text: bytes) -> bool:
        items.append(_Item(-1, -1, -1, segment.text, _whole(text), has_changed=True, token=segment.token))
        return True

    def _misses(self, depth: int, why: str) -> bool:
        if self.edit.kind != "filter":  # what is not there needs no taking out
            self.unfit.append(Unfit(self.edit.path.upto(depth), why))
        return False


def _whole(text: bytes) -> _Node:
    return _Node(text, 0, len(text))


def _text(node: _Node) -> bytes:
    """The value as it is now."""
    if node.items is None:
        return node.source[node.start : node.end]
    rows: list[_Row] = []
    for item in node.stood:
        new = None if item.is_gone else _text(item.node) if item.has_changed else b""
        rows.append((item.start, item.value_start, item.end, new))
    added = [item.token + b":" + _text(item.node) for item in node.items if item.start < 0]
    return _rewritten(node.source, node.start, node.end, rows, added)


def _rewritten(source: bytes, start: int, end: int, rows: Sequence[_Row], added: Sequence[bytes]) -> bytes:
    """The slice of `source`, with the members or elements of the value in it rewritten, and others added."""
    parts: list[bytes] = []
    copied_to = start
    kept = [at for at, row in enumerate(rows) if row[3] is not None]
    last = kept[-1] if kept else -1
    for at, (item_start, value_start, value_end, new) in enumerate(rows[: last + 1]):
        if new is None:
            parts.append(source[copied_to:item_start])
            copied_to = rows[at + 1][0]  # with the comma and blanks after it
        elif new:
            parts += (source[copied_to:value_start], new)
            copied_to = value_end
    if last + 1 < len(rows):  # those at the end, with the comma and blanks before them
        parts.append(source[copied_to : rows[last][2] if kept else rows[0][0]])
        copied_to = rows[-1][2]
    if added:
        behind = rows[-1][2] if rows else source.rindex(b"}", start, end)
        parts += (source[copied_to:behind], b",".join([b""] * bool(kept) + [*added]))
        copied_to = behind
    if not parts:
        return source[start:end]
    parts.append(source[copied_to:end])
    return b"".join(parts)


def _items(source: bytes, start: int, end: int) -> list[_Item]:
    """The members of an object or the elements of an array, as they stand.

    Raises:
        _Broken: the text is not valid JSON.
    """
    is_object = source[start : start + 1] == b"{"
    return [
        _Item(
            first,
            value_start,
            value_end,
            _name_of(token) if is_object else None,
            _Node(source, value_start, value_end),
        )
        for token, first, value_start, value_end in _scan(source, start, end)
    ]


def _scan(source: bytes, start: int, end: int) -> list[tuple[bytes, int, int, int]]:
    """Names as they are spelled (empty in arrays), where each member or element begins, where its value does,
    and where that ends. The object or array begins at `start` and ends by `end`.

    Raises:
        _Broken: the text is not valid JSON.
    """
    is_object = source[start : start + 1] == b"{"
    close, matched = (b"}", _MEMBER.match) if is_object else (b"]", _ELEMENT.match)
    found: list[tuple[bytes, int, int, int]] = []
    at = start + 1
    first = _after_blanks(source, at)
    if source[first : first + 1] == close:
        return found
    nested: _Nested | None = None
    after = b","
    while after == b",":
        match = matched(source, at)
        if match is None:
            raise _Broken
        token = match[1]
        value_start, value_end = match.span(2)
        if value_end >= 0:
            after, at = match[3], match.end()
        else:
            nested = nested or _Nested(source, start, end)
            value_start = match.end()
            value_end = nested.end_of(value_start, _name_of(token) if is_object else len(found))
            after, at = _after(source, value_end)
        found.append((token, match.start(1), value_start, value_end))
    if after != close:
        raise _Broken
    return found


class _Nested:
    """Where the objects and arrays of one level end, found without a look into them."""

    __slots__ = ("_raws", "_source")

    def __init__(self, source: bytes, start: int, end: int) -> None:
        self._source = source
        decoder = _OBJECT if source[start : start + 1] == b"{" else _ARRAY
        self._raws: Any = None  # texts by name or place
        try:
            self._raws = decoder.decode(memoryview(source)[start:end])
        except (msgspec.DecodeError, RecursionError):
            pass  # it knows no halves of surrogate pairs: they are gone through one by one

    def end_of(self, start: int, name: str | int) -> int:
        """The end of the value that begins at `start`.

        Raises:
            _Broken: the text is not valid JSON.
        """
        try:
            raw = bytes(self._raws[name])
        except (TypeError, LookupError):
            raw = b""
        if raw and self._source.startswith(raw, start):  # of a doubled member it has the last one alone
            return start + len(raw)
        depth = 0
        for match in _NESTS.finditer(self._source, start):
            sign = match[0]
            if depth == 0 and (match.start() != start or sign not in (b"{", b"[")):
                break
            depth += (sign in (b"{", b"[")) - (sign in (b"}", b"]"))
            if depth == 0:
                return match.end()
        raise _Broken


def _name_of(token: bytes) -> str:
    if b"\\" not in token:
        return token[1:-1].decode("utf-8", "surrogateescape")
    try:
        name = json.loads(token)
    except ValueError:
        raise _Broken from None
    assert isinstance(name, str)
    return name


def _after(source: bytes, at: int) -> tuple[bytes, int]:
    """The comma or bracket after a value, and where it ends."""
    match = _AFTER.match(source, at)
    if match is None:
        raise _Broken
    return match[1], match.end()


def _after_blanks(source: bytes, at: int) -> int:
    match = _BLANKS.match(source, at)
    return match.end() if match else at
