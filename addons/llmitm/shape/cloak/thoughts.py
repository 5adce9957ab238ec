"""Thoughts that a provider signed: their text must come back to it as it was. Pure.

What was signed is the text with marks. The client has it with words, and masking gives the marks again: all
but always. Where the model wrote a word by itself, or a mark that is none, it would not; that text is kept
by its signature, and put back when it returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmitm.shape.cloak.marks import Vocabulary
from llmitm.shape.cloak.masking import masked_text
from llmitm.shape.cloak.restoring import Restorer
from llmitm.shape.cloak.words import Words


class Thoughts:
    """Those of one answer of the Messages API."""

    __slots__ = ("_restorer", "_signatures", "_texts", "_vocabulary", "_words")

    def __init__(self, words: Words, vocabulary: Vocabulary, restorer: Restorer) -> None:
        self._words, self._vocabulary, self._restorer = words, vocabulary, restorer
        self._texts: dict[object, str] = {}
        self._signatures: dict[object, str] = {}

    def event(self, event: Mapping[str, Any]) -> None:
        """One event of a stream, as the provider sent it."""
        index = event.get("index")
        block = event.get("content_block") or event.get("delta")
        if not isinstance(block, dict):
            return
        if isinstance(text := block.get("thinking"), str):
            self._texts[index] = self._texts.get(index, "") + text
        if isinstance(signature := block.get("signature"), str) and signature:
            self._signatures[index] = self._signatures.get(index, "") + signature
            self._signed(self._signatures[index], self._texts.get(index, ""))

    def reply(self, reply: Mapping[str, Any]) -> None:
        """A whole reply, as the provider sent it."""
        content = reply.get("content")
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict) and block.get("type") == "thinking":
                if isinstance(block.get("signature"), str) and isinstance(block.get("thinking"), str):
                    self._signed(block["signature"], block["thinking"])

    def _signed(self, signature: str, thinking: str) -> None:
        text = thinking.encode("utf-8", "replace")
        if masked_text(self._restorer.text(text), self._words, self._vocabulary, {}) != text:
            self._vocabulary.keep_sealed(signature, text)
