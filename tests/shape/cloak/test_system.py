"""The operator's system text in every dialect: before the client's or in its place, in its form."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from llmitm.exchange import Dialect
from llmitm.shape.cloak.system import with_system

CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI
HOUR: Final = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
BREAK: Final = {"prompt_cache_breakpoint": {"mode": "explicit"}}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def turn(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


USER = turn("user", "hi")
BOTH: list[tuple[Dialect, Any, Any, Any]] = [
    (CHAT, {"messages": [USER]}, {"messages": [turn("system", "OURS"), USER]}, ...),
    (CHAT, {"messages": []}, {"messages": [turn("system", "OURS")]}, ...),
    (
        CHAT,
        {"messages": [turn("developer", "theirs"), USER]},
        {"messages": [turn("developer", "OURS\n\ntheirs"), USER]},
        {"messages": [turn("developer", "OURS"), USER]},
    ),
    (
        CHAT,
        {"messages": [turn("system", [text("a", **BREAK), text("b")]), USER, turn("system", "more")]},
        {
            "messages": [
                turn("system", [text("OURS"), text("a", **BREAK), text("b")]),
                USER,
                turn("system", "more"),
            ]
        },
        {"messages": [turn("system", [text("OURS", **BREAK)]), USER]},
    ),
    (CHAT, {"prompt": "a plain one"}, {"prompt": "a plain one"}, ...),
    (RESPONSES, {"input": "hi"}, {"input": "hi", "instructions": "OURS"}, ...),
    (RESPONSES, {"instructions": None}, {"instructions": "OURS"}, ...),
    (RESPONSES, {"instructions": "theirs"}, {"instructions": "OURS\n\ntheirs"}, {"instructions": "OURS"}),
    (
        RESPONSES,
        {"input": [turn("developer", "theirs"), USER]},
        {"input": [turn("developer", "theirs"), USER], "instructions": "OURS"},
        {"input": [USER], "instructions": "OURS"},
    ),
    (MESSAGES, {"messages": [USER]}, {"messages": [USER], "system": "OURS"}, ...),
    (MESSAGES, {"system": ""}, {"system": "OURS"}, ...),
    (MESSAGES, {"system": []}, {"system": "OURS"}, ...),
    (MESSAGES, {"system": 'a "b"'}, {"system": 'OURS\n\na "b"'}, {"system": "OURS"}),
    (
        MESSAGES,
        {"system": [text("a", **HOUR), text("b")], "messages": [USER, turn("system", "c")]},
        {"system": [text("OURS"), text("a", **HOUR), text("b")], "messages": [USER, turn("system", "c")]},
        {"system": [text("OURS", **HOUR)], "messages": [USER]},
    ),
    (GEMINI, {"contents": []}, {"contents": [], "systemInstruction": {"parts": [{"text": "OURS"}]}}, ...),
    (
        GEMINI,
        {"systemInstruction": {"role": "user", "parts": [{"text": "theirs"}]}},
        {"systemInstruction": {"role": "user", "parts": [{"text": "OURS"}, {"text": "theirs"}]}},
        {"systemInstruction": {"parts": [{"text": "OURS"}]}},
    ),
    (
        GEMINI,
        {"system_instruction": "theirs"},
        {"system_instruction": {"parts": [{"text": "OURS"}, {"text": "theirs"}]}},
        {"system_instruction": {"parts": [{"text": "OURS"}]}},
    ),
]


@pytest.mark.parametrize(("dialect", "asked", "before", "instead"), BOTH)
def test_the_text_stands_before_what_is_there_or_in_its_place(
    dialect: Dialect, asked: Any, before: Any, instead: Any
) -> None:
    body = orjson.dumps(asked)
    assert orjson.loads(with_system(body, dialect, "OURS", is_replaced=False)) == before
    expected = before if instead is ... else instead
    assert orjson.loads(with_system(body, dialect, "OURS", is_replaced=True)) == expected


@pytest.mark.parametrize("is_replaced", [False, True])
def test_there_are_never_more_cache_markers_than_the_client_set(is_replaced: bool) -> None:
    """Four is the most that the API takes."""
    blocks = [text(str(number), **HOUR) for number in range(4)]
    out = with_system(orjson.dumps({"system": blocks}), MESSAGES, "OURS", is_replaced=is_replaced)
    assert out.count(b"cache_control") == (1 if is_replaced else 4)


def test_every_other_byte_stays() -> None:
    body = rb'{ "n" : 1.0, "system" : [ {"type":"text", "text":"\u00e9"} ] , "messages": [] }'
    ours = b'{"type":"text","text":"OURS"},'
    place = body.index(b'{"type"')
    expected = body[:place] + ours + body[place:]
    assert with_system(body, MESSAGES, "OURS", is_replaced=False) == expected
