"""History that passes untouched, but for seals of other vendors that we put into envelopes. Pure.

A client whose earlier turns went to another vendor sends our envelopes back. Where its own vendor answers
now, they are cut out of the bytes, and every other byte stays: that vendor would refuse a signature that is
not its own. A summary of ours in the place of a packed conversation becomes a message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from llmitm.exchange import Dialect
from llmitm.translate import jsontext, peek, seals
from llmitm.translate.responses import packed

type _Span = tuple[int, int]

_MARKS: Final = (seals.PREFIX.encode(), b"Z3dzMS", packed.PREFIX.encode())


def without_envelopes(dialect: Dialect, body: bytes) -> bytes:
    """The same request without them; the very same bytes where there are none, or it is no JSON object."""
    if not any(mark in body for mark in _MARKS):
        return body
    try:
        top = peek.top_level(body)
    except peek.NotAnObject:
        return body
    cutter = _Cutter(body)
    match dialect:
        case Dialect.ANTHROPIC_MESSAGES if "messages" in top:
            cutter.turns(top["messages"], "content", _is_sealed_block)
        case Dialect.OPENAI_RESPONSES if "input" in top:
            cutter.elements(top["input"], _is_sealed_item)
            cutter.put(top["input"], packed.message_for)
        case Dialect.GEMINI if "contents" in top:
            cutter.turns(top["contents"], "parts", _is_sealed_thought)
            cutter.signatures(top["contents"])
    return cutter.done()


def _is_envelope(value: Any) -> bool:
    return isinstance(value, str) and seals.is_envelope(value)


def _is_sealed_block(block: Any) -> bool:
    match block:
        case {"type": "thinking", "signature": seal} | {"type": "redacted_thinking", "data": seal}:
            return _is_envelope(seal)
        case _:
            return False


def _is_sealed_item(item: Any) -> bool:
    return isinstance(item, dict) and _is_envelope(item.get("encrypted_content"))


def _signature_of(part: Any) -> str | None:
    """The member of a part that holds an envelope."""
    if isinstance(part, dict):
        for name in ("thoughtSignature", "thought_signature"):
            if isinstance(part.get(name), str) and seals.is_envelope_base64(part[name]):
                return name
    return None


def _is_sealed_thought(part: Any) -> bool:
    if _signature_of(part) is None:
        return False
    is_bare = part.get("text") == "" and not part.keys() & {"functionCall", "function_call"}
    return part.get("thought") is True or is_bare


class _Cutter:
    """Collects what is to go, and takes it out in one pass."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._text = body.decode("latin-1")  # one sign a byte: positions in it are positions in the body
        self._cuts: list[_Span] = []
        self._put: dict[_Span, bytes] = {}

    def _value(self, span: _Span) -> Any:
        return jsontext.loads_fast(self._body[span[0] : span[1]])

    def elements(self, span: _Span, is_doomed: Callable[[Any], bool]) -> bool:
        """Takes those elements out; tells whether none is left. What is no list stays."""
        spans = peek.elements(self._text, span[0])
        return self._cut(spans, [is_doomed(self._value(one)) for one in spans])

    def _cut(self, elements: list[_Span], doomed: list[bool]) -> bool:
        """Each with the comma before it; the first ones with the comma after them."""
        if not any(doomed):
            return False
        kept = [at for at, is_gone in enumerate(doomed) if not is_gone]
        if not kept:
            self._cuts.append((elements[0][0], elements[-1][1]))
            return True
        if kept[0]:
            self._cuts.append((elements[0][0], elements[kept[0]][0]))
        for at in range(kept[0] + 1, len(elements)):
            if doomed[at]:
                self._cuts.append((elements[at - 1][1], elements[at][1]))
        return False

    def put(self, span: _Span, make: Callable[[Any], bytes | None]) -> None:
        """Puts others in the place of those elements for which one is made."""
        for one in peek.elements(self._text, span[0]):
            if (made := make(self._value(one))) is not None:
                self._put[one] = made

    def turns(self, span: _Span, name: str, is_doomed: Callable[[Any], bool]) -> None:
        """The same within each turn; a turn of which nothing is left goes whole."""
        turns = peek.elements(self._text, span[0])
        empty: list[bool] = []
        for turn in turns:
            held = len(self._cuts)
            place = peek.members_at(self._text, turn[0]).get(name)
            is_empty = place is not None and self.elements(place, is_doomed)
            if is_empty:
                del self._cuts[held:]
            empty.append(is_empty)
        self._cut(turns, empty)

    def signatures(self, span: _Span) -> None:
        """Takes the signature alone from parts that hold more."""
        for turn in peek.elements(self._text, span[0]):
            place = peek.members_at(self._text, turn[0]).get("parts")
            for part in peek.elements(self._text, place[0]) if place is not None else ():
                value = self._value(part)
                name = _signature_of(value)
                if name is not None and not _is_sealed_thought(value):
                    self._member(part, name)

    def _member(self, span: _Span, name: str) -> None:
        members = peek.member_spans(self._text, span[0])
        self._cut([place for _, place in members], [key == name for key, _ in members])

    def done(self) -> bytes:
        parts: list[bytes] = []
        at = 0
        for start, end in sorted((*self._cuts, *self._put)):
            parts += (self._body[at:start], self._put.get((start, end), b""))
            at = end
        parts.append(self._body[at:])
        return b"".join(parts)
