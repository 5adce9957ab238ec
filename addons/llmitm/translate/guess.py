"""How many tokens a request has, for models whose provider does not count them. Pure.

A guess from the bytes of its texts, by their classes: fitted to OpenAI's o200k vocabulary, where it is off
by a twentieth as a rule and a quarter at worst. Other vendors' models have a factor each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from llmitm.translate import jsontext
from llmitm.translate.neutral import (
    Hosted,
    HostedTool,
    Media,
    Opaque,
    Part,
    Parts,
    PlainText,
    Reasoning,
    Refusal,
    Request,
    Text,
    ToolCall,
    ToolResult,
)

MEDIUM_TOKENS: Final = 1_500
_LONG: Final = re.compile(rb"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/=]{20,}+")
"""Ids, hashes, base64: nothing that a vocabulary knows."""
_LONG_WEIGHT: Final = 0.61
_WORD_WEIGHT: Final = 0.29
_DIGITS: Final = bytes(range(0x30, 0x3A))
_LETTERS: Final = bytes((*range(0x41, 0x5B), *range(0x61, 0x7B)))
_PUNCTUATION: Final = bytes(one for one in range(0x21, 0x7F) if one not in _DIGITS and one not in _LETTERS)
_WEIGHTS: Final = (
    (_LETTERS, 0.17),
    (_DIGITS, 0.60),
    (_PUNCTUATION, 0.46),
    (b"\n", 1.4),
    (bytes(range(0xC2, 0xCE)), 0.79),
    (bytes(range(0xCE, 0xD4)), 0.25),
    (bytes(range(0xD4, 0xE0)), 0.27),
    (bytes(range(0xE0, 0xE3)), 0.30),
    (b"\xe3", 0.79),
    (bytes(range(0xE4, 0xEA)), 0.78),
    (bytes(range(0xEA, 0xEE)), 0.70),
    (b"\xee\xef", 0.39),
    (bytes(range(0xF0, 0xF5)), 2.0),
)
"""Tokens a byte; signs beyond ASCII count by their first byte: Latin, Greek and Cyrillic, Arabic and Hebrew,
Indic, kana, Chinese, Korean, wide forms, and those beyond."""
_OTHER_CLASS: Final = 0xFF
_CLASS_OF: Final = bytes(
    next((number for number, (signs, _) in enumerate(_WEIGHTS) if one in signs), _OTHER_CLASS)
    for one in range(256)
)
"""By byte, its place among the weights."""


@dataclass(frozen=True, slots=True)
class _Family:
    """What models of one family have in common."""

    glob: str
    factor: float
    """Tokens of their vocabulary for one of o200k's."""
    request: int = 3
    """Tokens that their hosts put before every request."""
    tools: int = 0
    """And before those with tools."""
    turn: int = 4
    """And around every turn."""
    reads_schema: bool = True
    """Whether an answer's schema is counted as input."""


_FAMILIES: Final = (
    _Family("gpt-oss*", 1.0, request=65),
    _Family("gpt-*", 1.0),
    _Family("o[1-9]*", 1.0),
    _Family("text-embedding-*", 1.0, request=0),
    _Family("deepseek*", 1.10, tools=200),
    _Family("*mistral*", 1.25),
    _Family("*mixtral*", 1.25),
    _Family("*stral-*", 1.25),
    _Family("claude-3-5*", 1.15, tools=320),
    _Family("claude-3*", 1.15, tools=500),
    _Family("claude-*-4", 1.15, tools=500),
    _Family("claude-*-4-20*", 1.15, tools=500),
    _Family("claude-*-4[-.][1-6]*", 1.15, tools=500),
    _Family("claude-*-4[-.]*", 1.50, tools=500),
    _Family("claude*", 1.50, tools=380),
    _Family("gemini*", 1.05, request=0, turn=0, reads_schema=False),
    _Family("grok*", 1.05, request=190),
)
"""The first that fits; Anthropic's newer models have another vocabulary. What hosts put before a request is
the median of what they counted beyond the text."""
_OTHERS: Final = _Family("*", 1.20)


def guess(asked: Request, model: str) -> int:
    """Tokens of the whole request, as this model would count them."""
    family = _family(model)
    texts = list(_texts(asked))
    if family.reads_schema and asked.output is not None and asked.output.schema is not None:
        texts.append(jsontext.text_of(asked.output.schema))
    media = sum(_media(part) for turn in asked.turns for part in turn.parts)
    known = tokens_of("\n".join(texts), model)
    before = family.request + (family.tools if asked.tools else 0)
    return known + media * MEDIUM_TOKENS + len(asked.turns) * family.turn + before


def tokens_of(text: str, model: str) -> int:
    """Tokens of a text; at least one where there is any."""
    data = text.encode("utf-8", "replace")
    bare, runs = _LONG.subn(b" ", data)
    count = len(data.split()) * _WORD_WEIGHT
    # each run has become one blank
    count += (len(data) - len(bare) + runs) * _LONG_WEIGHT
    classes = bare.translate(_CLASS_OF)
    for number, (_, weight) in enumerate(_WEIGHTS):
        count += classes.count(number) * weight
    return max(round(count * _family(model).factor), 1) if data else 0


@lru_cache(1_000)
def _family(model: str) -> _Family:
    low = model.lower().rpartition("/")[2]
    return next((one for one in _FAMILIES if fnmatchcase(low, one.glob)), _OTHERS)


def _texts(asked: Request) -> Iterator[str]:
    for turn in asked.turns:
        yield from _said(turn.parts)
    for tool in asked.tools:
        if isinstance(tool, HostedTool):
            yield tool.raw
            continue
        yield tool.name
        if tool.description:
            yield tool.description
        if tool.schema is not None:
            yield jsontext.text_of(tool.schema)


def _said(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        match part:
            case Text() | Refusal():
                yield part.text
            case Reasoning():
                yield part.readable
            case ToolCall():
                yield part.name
                yield part.args
            case ToolResult():
                yield part.raw or ""
                yield from _said(part.parts)
            case Hosted() | Opaque():
                yield part.raw
            case Media(source=PlainText(text=text)):
                yield text
            case Media(source=Parts(parts=inner)):
                yield from _said(inner)


def _media(part: Part) -> int:
    match part:
        case Media(source=PlainText()):
            return 0
        case Media(source=Parts(parts=inner)) | ToolResult(parts=inner):
            return sum(map(_media, inner))
        case Media():
            return 1
        case _:
            return 0
