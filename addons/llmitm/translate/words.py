"""Text in small runs, as a model would stream it. Pure.

A run is a word with the blanks before it; scripts that are written without blanks are cut every few
signs. What a reader sees as one sign (a letter and its accents, a flag, a family) is never cut.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MOST_RUNS: Final = 4096
"""A longer text comes in longer runs: the events of a stream must not outgrow their text a hundredfold."""

# Thai to Myanmar, Khmer; CJK with kana, Yi and full-width forms; emoji and the ideographs beyond.
_NO_BLANKS: Final = (
    "\u0e00-\u109f\u1780-\u17ff\u2e80-\ua4cf\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U0001f000-\U0003ffff"
)
_RUN: Final = re.compile(
    rf"\s*+[^\s{_NO_BLANKS}]++|\s*+(?:[\U0001f1e6-\U0001f1ff]{{2}}|[{_NO_BLANKS}]){{1,6}}|\s++"
)

_JOINER: Final = "\u200d"
_CLINGS: Final = re.compile(
    "[\u200c\u200d\u0e33\u0eb3\uff9e\uff9f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\u1160-\u11ff\ud7b0-\ud7ff]"
)
"""Signs that belong to the one before them, beside those that Unicode calls marks."""


def words(text: str, most: int = MOST_RUNS) -> list[str]:
    """The text in at most `most` runs that join to exactly the text."""
    ends = [match.end() for match in _RUN.finditer(text)]
    ends = [at for at in ends[:-1] if _may_cut(text[at - 1], text[at])] + ends[-1:]
    if len(ends) > most:
        step = -(-len(ends) // most)
        ends = ends[step - 1 : -1 : step] + ends[-1:]
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _may_cut(before: str, after: str) -> bool:
    return not (
        before == _JOINER or _CLINGS.match(after) is not None or unicodedata.category(after).startswith("M")
    )
