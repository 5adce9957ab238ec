"""Changes of a JSON document that leave every byte alone which they do not name. Pure.

A document is opened level by level, only where a path leads, and written by copying what stands between
the changes. Nothing is parsed and spelled anew: key order, numbers, escapes and blanks stay, and with them
the providers' prompt caches. Of a doubled member every one is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from llmitm.shape.paths import EVERY, Name, Path, Segment
from llmitm.shape.spans import Member, NotJson, elements, members, opened, placed, value_of

type Kind = Literal["default", "override", "filter"]
type _Row = tuple[int, int, int, bytes | None]
"""Where a member or element begins, where its value does, where that ends, and its new value: empty: it
stays; None: it is gone."""

_MOST_KNOWN: Final = 256
_ORDER: Final[tuple[Kind, ...]] = ("default", "override", "filter")

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
        named, unfit = self._members, list[tuple[Edit, Unfit]]()
        try:
            start, end = value_of(body)
            if named is not None and (values := opened(body, start, end)) is not None:
                there = frozenset(named.keys() & values.keys())
                outcome = self._outcomes.get(there) or self._outcome(named, there)
                unfit += outcome.unfit
                if not outcome.touches:
                    return _appended(body, outcome.added), unfit
                found = placed(body, start, end, values)
                if (
                    found is not None
                    and (made := self._rewritten(body, found, outcome.added, unfit)) is not None
                ):
                    return made, unfit
                unfit.clear()
            return self._slowly(body, start, end, unfit), unfit
        except (RecursionError, NotJson):
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
        self, body: bytes, found: Sequence[Member], added: bytes, unfit: list[tuple[Edit, Unfit]]
    ) -> bytes | None:
        """The same where names are spelled as they are; None where they are not."""
        rows: list[_Row] = []
        for one in found:
            if b"\\" in one.token:
                return None
            new: bytes | None = b""
            if (member := self._by_token.get(one.token)) is not None:
                new = member.present
                if member.is_deep:
                    new, missed = _remade(body[one.start : one.end], member.edits)
                    unfit += missed
            rows.append((one.name_start, one.start, one.end, new))
        return _rewritten(body, 0, len(body), rows, [added] if added else [])

    def _slowly(self, body: bytes, start: int, end: int, unfit: list[tuple[Edit, Unfit]]) -> bytes:
        if body[start : start + 1] != b"{":
            raise NotAnObject("the body is not a JSON object")
        root = _Node(body, start, end)
        has_changed = False
        for edit in self._every:
            changing = _Changing(edit)
            has_changed = changing.walk(root, 0) or has_changed
            unfit += ((edit, one) for one in changing.unfit)
        return b"".join((body[:start], _text(root), body[root.end :])) if has_changed else body


def edited(body: bytes, edits: Sequence[Edit]) -> tuple[bytes, list[tuple[Edit, Unfit]]]:
    """See `Edits.apply`."""
    return Edits(edits).apply(body)


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
        NotJson: the text is not valid JSON.
    """
    if source[start : start + 1] == b"{":
        return [
            _Item(one.name_start, one.start, one.end, one.name, _Node(source, one.start, one.end))
            for one in members(source, start, end)
        ]
    return [
        _Item(first, first, last, None, _Node(source, first, last))
        for first, last in elements(source, start, end)
    ]
