"""Marks: what stands for a word at the provider, and the words that they stand for. Pure.

A mark is made of the word's spelling and a key of the client's, so a conversation has the same marks in
every turn, after a restart too, and no client's marks tell anything of another's. It is plain ASCII and
may stand in a name, in JSON at any depth, and in an address as it is. Where a model writes one in capitals,
or begins a sentence with it, so is its word.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from llmitm.shape.cloak.escapes import escaped

BEGINNING: Final = b"zmask_"
"""Few texts have a z, and fewer one at the end of a piece: so little has to be held back."""
_LETTERS: Final = 10
PATTERN: Final = "zmask_[a-y2-8]{10}"
"""Without a z after its first letter: whatever stands before a mark, the two are no other mark."""
MARK: Final = re.compile(rb"[zZ]mask_[a-y2-8]{10}|ZMASK_[A-Y2-8]{10}")
"""In small letters, as we make it, with a capital letter first, or in capitals."""
MARK_BYTES: Final = len(BEGINNING) + _LETTERS
_SMALL: Final = r"m(?:a(?:s(?:k(?:_[a-y2-8]{0,9})?)?)?)?"
PARTIALS: Final = (rf"z(?:{_SMALL})?", rf"Z(?:{_SMALL}|{_SMALL.upper()})?")
"""A mark that is not complete, at the end of what has come."""
MOST_WORDS: Final = 20_000
MOST_SEALED: Final = 2_000


def may_hold(text: bytes) -> bool:
    """Whether a text may hold a whole mark; a quick look."""
    return b"mask_" in text or b"MASK_" in text


def in_case_of(mark: bytes, word: bytes) -> bytes:
    """The word, where its mark came with a capital letter first, or in capitals."""
    text = word.decode()
    return (text[:1].upper() + text[1:] if mark[1:].islower() else text.upper()).encode()


class Vocabulary:
    """The words of one client that were masked, and their marks. It forgets the oldest."""

    __slots__ = ("_by_mark", "_by_word", "_key", "_most_words", "_sealed", "has_escapes")

    def __init__(self, key: bytes, most_words: int = MOST_WORDS) -> None:
        """`key` has at most 64 bytes."""
        self._key = key
        self._most_words = most_words
        self._by_word: OrderedDict[bytes, bytes] = OrderedDict()
        self._by_mark: dict[bytes, bytes] = {}
        self._sealed: OrderedDict[bytes, bytes] = OrderedDict()
        self.has_escapes = False
        """Whether there is a word that JSON spells otherwise."""

    def know(self, words: Iterable[str]) -> None:
        """Words that an answer may hold although no request has named them here."""
        for word in words:
            for spelling in dict.fromkeys((word, word.lower(), word.upper(), word.title())):
                self.mark(spelling.encode())

    def mark(self, word: bytes) -> bytes:
        """What stands for this spelling, which is UTF-8."""
        known = self._by_word.pop(word, None)
        if known is not None:
            # the latest one now, each step whole in itself: long texts are masked in a thread
            self._by_word[word] = known
            return known
        mark = self._made(word)
        self.has_escapes = self.has_escapes or escaped(word) != word
        self._by_word[word], self._by_mark[mark] = mark, word
        if len(self._by_word) > self._most_words:
            _, gone = self._by_word.popitem(last=False)
            self._by_mark.pop(gone, None)
        return mark

    def _made(self, word: bytes) -> bytes:
        for again in range(100):
            digest = hashlib.blake2b(word + b"\0" * again, key=self._key, digest_size=10).digest()
            mark = BEGINNING + base64.b32encode(digest)[:_LETTERS].lower().replace(b"z", b"8")
            if self._by_mark.get(mark, word) == word:
                return mark
        raise RuntimeError("no mark is left")  # fifty bits a hundred times over

    def word(self, mark: bytes) -> bytes | None:
        """The spelling that a mark stands for; None where it is none of ours."""
        return self._by_mark.get(mark)

    def keep_sealed(self, signature: str, text: bytes) -> None:
        """The text that a provider signed, where masking what it becomes would not give it again."""
        digest = hashlib.blake2b(signature.encode("utf-8", "replace"), digest_size=16).digest()
        self._sealed[digest] = text
        self._sealed.move_to_end(digest)
        if len(self._sealed) > MOST_SEALED:
            self._sealed.popitem(last=False)

    @property
    def has_sealed(self) -> bool:
        return bool(self._sealed)

    def sealed(self, signature: str) -> bytes | None:
        if not self._sealed:
            return None
        return self._sealed.get(
            hashlib.blake2b(signature.encode("utf-8", "replace"), digest_size=16).digest()
        )
