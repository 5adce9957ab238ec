"""Answers in which words stand again for their marks. Pure; every byte but those of the marks stays.

A mark is plain ASCII and stands in JSON as it is, so where one is complete it is replaced in the bytes,
whatever the field: text, arguments, snapshots, citations, messages of errors. Only a mark that a stream
cuts in two needs its events read (see streams.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from llmitm.shape.cloak.escapes import escaped
from llmitm.shape.cloak.marks import MARK, MARK_BYTES, PARTIALS, Vocabulary, in_case_of, may_hold
from llmitm.shape.spans import opening

_PARTIAL_AT_END: Final = re.compile(f"(?:{'|'.join(PARTIALS)})\\Z".encode())
_MEMBER: Final = re.compile(rb'"((?:[^"\\]|\\.)*+)"[ \t\n\r]*+:[ \t\n\r]*+\Z')
_NAME_BYTES: Final = 64
_ARGUMENTS: Final = frozenset({b"arguments", b"partial_json"})
"""Members whose strings are JSON themselves, whole or in pieces."""
_ARGUMENT_EVENTS: Final = (b"function_call_arguments.delta", b"mcp_call_arguments.delta")
WHOLE_BYTES: Final = 33_554_432
"""More of an answer is not held: words in its arguments that JSON spells otherwise may be spelled wrongly."""
_TEXTS: Final = frozenset({b"content", b"text", b"delta", b"output_text"})


@dataclass(slots=True, kw_only=True, eq=False)
class Restorer:
    """What marks of one answer stand for."""

    used: Mapping[bytes, bytes]
    """Those of its request."""
    vocabulary: Vocabulary
    """Those of requests before, which an upstream may keep."""
    is_json: bool = False
    """Whether the text that was asked for is JSON itself."""

    def word(self, mark: bytes) -> bytes | None:
        """The word in UTF-8; None where the mark is none of ours."""
        found = self._exact(mark)
        if found is not None or mark.islower():
            return found
        found = self._exact(mark.lower())
        return None if found is None else in_case_of(mark, found)

    def _exact(self, mark: bytes) -> bytes | None:
        return self.used.get(mark) or self.vocabulary.word(mark)

    def text(self, text: bytes) -> bytes:
        """A text, which is no JSON."""
        if not may_hold(text):
            return text
        return MARK.sub(lambda match: self.word(match[0]) or match[0], text)

    def json(self, body: bytes) -> bytes:
        """Strings of a JSON text, or of an event that holds one."""
        if not may_hold(body):
            return body
        return MARK.sub(self._of(body), body)

    def _of(self, body: bytes) -> Callable[[re.Match[bytes]], bytes]:
        def word(match: re.Match[bytes]) -> bytes:
            found = self.word(match[0])
            if found is None:
                return match[0]
            once = escaped(found)
            if once is found or not self._is_nested(body, match.start()):
                return once
            return escaped(once)

        return word

    def _is_nested(self, body: bytes, at: int) -> bool:
        """Whether what stands there, within a string, is JSON within JSON."""
        start = opening(body, at)
        member = _MEMBER.search(body, max(0, start - _NAME_BYTES), start)
        name = member[1] if member is not None else b""
        if name in _ARGUMENTS:
            return True
        if name == b"delta" and any(one in body for one in _ARGUMENT_EVENTS):
            return True
        return self.is_json and name in _TEXTS


class Pieces:
    """Restores a body that comes in pieces and is no stream of events, whatever its form."""

    __slots__ = ("_held", "_is_whole", "_restore")

    def __init__(self, restore: Callable[[bytes], bytes], *, is_whole: bool = False) -> None:
        """`is_whole`: how a word is spelled depends on what stands far before it."""
        self._restore = restore
        self._is_whole = is_whole
        self._held = bytearray()

    @property
    def held_bytes(self) -> int:
        return len(self._held)

    def feed(self, piece: bytes) -> bytes:
        if not self._held and not self._is_whole and not (b"z" in piece or b"Z" in piece):
            return piece
        self._held += piece
        if self._is_whole and len(self._held) <= WHOLE_BYTES:
            return b""
        cut = len(self._held)
        if partial := _PARTIAL_AT_END.search(self._held, max(0, cut - MARK_BYTES)):
            cut = partial.start()
        whole = bytes(self._held[:cut])
        del self._held[:cut]
        return self._restore(whole)

    def finish(self) -> bytes:
        if not self._held:
            return b""
        held = bytes(self._held)
        self._held.clear()
        return self._restore(held)
