"""How many tokens a request will take, guessed from its bytes before anything is sent. Pure.

A guess has to be cheap and need not be good, since what was really used replaces it. It holds a place in
the window meanwhile, so that a hundred requests at once do not all see the same room.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

TEXT_BYTES_A_TOKEN: Final = 4
MEDIUM_TOKENS: Final = 1_000
"""An image, a page or two, half a minute of sound: no vendor counts these by their bytes."""
MOST_ANSWER_TOKENS: Final = 4_096
"""Agents ask for 64,000 and use 500: holding all of it would leave no room to anybody else."""
USUAL_ANSWER_TOKENS: Final = 512

_LONG: Final = re.compile(rb'"[^"]{2048,}')
_SAMPLE_BYTES: Final = 256
_PACKED: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-\\"
"""Base64 of either alphabet, as JSON may escape it: slashes, line ends."""


class Estimate(NamedTuple):
    """In tokens."""

    prompt: int
    answer: int

    @property
    def total(self) -> int:
        return self.prompt + self.answer


def estimate_tokens(body: bytes, max_output_tokens: int | None) -> Estimate:
    """A token for every 4 bytes of JSON, and `MEDIUM_TOKENS` for every medium in it.

    A medium is a string of 2 KB or more that is base64 in its middle; a body that is no JSON at all, such as
    an upload, is one medium. `max_output_tokens` is what the client allows: None where it says nothing, 0
    for a call that makes no tokens.
    """
    answer = USUAL_ANSWER_TOKENS if max_output_tokens is None else min(max_output_tokens, MOST_ANSWER_TOKENS)
    return Estimate(_prompt(body), max(answer, 0))


def _prompt(body: bytes) -> int:
    if not body:
        return 0
    if not body[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
        return MEDIUM_TOKENS
    text_bytes, media = len(body), 0
    for found in _LONG.finditer(body):
        if _is_packed(body, found.start(), found.end()):
            text_bytes -= found.end() - found.start()
            media += 1
    return -(-text_bytes // TEXT_BYTES_A_TOKEN) + media * MEDIUM_TOKENS


def _is_packed(body: bytes, start: int, end: int) -> bool:
    at = (start + end - _SAMPLE_BYTES) // 2
    sample = body[at : at + _SAMPLE_BYTES]
    # text that is escaped sign by sign is made of the same signs
    return not sample.translate(None, _PACKED) and b"\\u" not in sample
