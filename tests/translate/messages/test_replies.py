"""Anthropic's messages are read, and written for its clients."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmitm.exchange import Dialect, Usage
from llmitm.translate import seals
from llmitm.translate.messages.reply_in import read_reply
from llmitm.translate.messages.reply_out import write_reply
from llmitm.translate.neutral import (
    Choice,
    Citation,
    Hosted,
    Part,
    Reason,
    Reasoning,
    Refusal,
    Reply,
    Request,
    Sealed,
    Stop,
    Text,
    ToolCall,
    UpstreamError,
)

ASKED = Request(model="m", turns=(), dialect=Dialect.ANTHROPIC_MESSAGES)
OWN = Sealed(vendor="anthropic", kind="thinking", data="s")
REDACTED = Sealed(vendor="anthropic", kind="redacted", data="s")
OPENAI = Sealed(vendor="openai", kind="encrypted", data="x", item_id="rs_1")
BARE = Sealed(vendor="host", kind="part")
CITED = {"type": "web_search_result_location", "url": "u", "title": "t"}
QUOTED = {"type": "char_location", "document_title": "d"}


def body(*content: Any, **more: Any) -> bytes:
    return json.dumps({"content": list(content), "stop_reason": "end_turn", **more}).encode()


def citation(told: dict[str, Any], **more: Any) -> Citation:
    raw = json.dumps(told, separators=(",", ":"))
    return Citation(**{"kind": "document", "vendor": "anthropic", "raw": raw, **more})


READ: dict[str, tuple[list[Any], tuple[Part, ...]]] = {
    "empty text and what is no block are nothing": ([{"type": "text", "text": ""}, "a", 1], ()),
    "text with its sources": (
        [{"type": "text", "text": "a", "citations": [CITED, QUOTED, 1]}],
        (
            Text(
                text="a",
                citations=(citation(CITED, kind="url", url="u", title="t"), citation(QUOTED)),
            ),
        ),
    ),
    "a source of an empty text": (
        [{"type": "text", "text": "", "citations": [QUOTED]}],
        (Text(text="", citations=(citation(QUOTED),)),),
    ),
    "thinking without a seal": (
        [{"type": "thinking", "thinking": "hm", "signature": ""}],
        (Reasoning(summary=("hm",)),),
    ),
    "a call": (
        [{"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}],
        (ToolCall(id="a", name="f", args='{"x":1}'),),
    ),
}


@pytest.mark.parametrize(("content", "parts"), READ.values(), ids=READ)
def test_blocks_are_parts(content: list[Any], parts: tuple[Part, ...]) -> None:
    assert read_reply(body(*content)).choices[0].parts == parts


STOPS: dict[str, tuple[dict[str, Any], list[Any], Stop]] = {
    "the end": ({}, [], Stop(reason=Reason.STOP, raw="end_turn")),
    "the end, after a call": (
        {},
        [{"type": "tool_use", "id": "a", "name": "f", "input": {}}],
        Stop(reason=Reason.TOOL_CALLS, raw="end_turn"),
    ),
    "an unknown word": ({"stop_reason": "x"}, [], Stop(reason=Reason.STOP, raw="x")),
    "a refusal": (
        {"stop_reason": "refusal", "stop_details": {"category": "c", "explanation": "e"}},
        [],
        Stop(reason=Reason.REFUSAL, category="c", explanation="e", raw="refusal"),
    ),
}


@pytest.mark.parametrize(("members", "content", "stop"), STOPS.values(), ids=STOPS)
def test_why_it_ended(members: dict[str, Any], content: list[Any], stop: Stop) -> None:
    assert read_reply(body(*content, **members)).choices[0].stop == stop


def test_counts_include_the_cache_and_what_hosted_tools_did() -> None:
    counts = {
        "input_tokens": 1,
        "cache_read_input_tokens": 2,
        "cache_creation_input_tokens": 3,
        "cache_creation": {"ephemeral_1h_input_tokens": 3},
        "output_tokens": 4,
        "output_tokens_details": {"thinking_tokens": 1},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
        "service_tier": "priority",
    }
    read = read_reply(body(id="a", model="m", usage=counts))
    assert (read.id, read.model, read.service_tier) == ("a", "m", "priority")
    assert read.usage == Usage(
        input_tokens=6,
        output_tokens=4,
        cache_read_tokens=2,
        cache_write_tokens=3,
        cache_write_1h_tokens=3,
        reasoning_tokens=1,
        server_tools=(("web_search_requests", 2),),
        tier="priority",
    )


BROKEN: dict[str, tuple[bytes, int, str | None]] = {
    "no JSON": (b"<html>", 502, "malformed_reply"),
    "no object": (b"[]", 502, "malformed_reply"),
    "no content": (b"{}", 502, "malformed_reply"),
    "a block that cannot be read": (
        body({"type": "image", "source": {"type": "base64", "data": "?"}}),
        502,
        "malformed_reply",
    ),
    "an error": (b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}', 529, None),
}


@pytest.mark.parametrize(("told", "status", "code"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_reply(told: bytes, status: int, code: str | None) -> None:
    with pytest.raises(UpstreamError) as caught:
        read_reply(told)
    assert (caught.value.failure.status, caught.value.failure.code) == (status, code)


def written(*choices: Choice, **members: Any) -> dict[str, Any]:
    made = json.loads(write_reply(Reply(id="a", model="m", choices=choices, **members), ASKED))
    assert isinstance(made, dict)
    return made


WRITTEN: dict[str, tuple[Part, list[dict[str, Any]]]] = {
    "text with sources of its own": (
        Text(text="a", citations=(citation(CITED), Citation(url="v"))),
        [{"type": "text", "text": "a", "citations": [CITED]}],
    ),
    "text with a seal": (
        Text(text="a", sealed=OPENAI),
        [{"type": "text", "text": "a"}, {"type": "redacted_thinking", "data": seals.envelope(OPENAI)}],
    ),
    "a seal of no text": (
        Text(text="", sealed=OPENAI),
        [{"type": "redacted_thinking", "data": seals.envelope(OPENAI)}],
    ),
    "empty text": (Text(text=""), []),
    "a refusal": (Refusal(text="no"), [{"type": "text", "text": "no"}]),
    "reasoning that nobody sealed": (
        Reasoning(text="hm"),
        [{"type": "thinking", "thinking": "hm", "signature": ""}],
    ),
    "reasoning of Anthropic's own": (
        Reasoning(summary=("hm",), sealed=OWN),
        [{"type": "thinking", "thinking": "hm", "signature": "s"}],
    ),
    "redacted reasoning of Anthropic's own": (
        Reasoning(sealed=REDACTED),
        [{"type": "redacted_thinking", "data": "s"}],
    ),
    "reasoning of another vendor": (
        Reasoning(summary=("a", "b"), sealed=OPENAI),
        [{"type": "thinking", "thinking": "a\n\nb", "signature": seals.envelope(OPENAI)}],
    ),
    "reasoning of another vendor, unreadable": (
        Reasoning(sealed=OPENAI),
        [{"type": "redacted_thinking", "data": seals.envelope(OPENAI)}],
    ),
    "nothing of a host's": (Reasoning(sealed=BARE), []),
    "a call": (
        ToolCall(id="a", name="f", args=""),
        [{"type": "tool_use", "id": "a", "name": "f", "input": {}}],
    ),
    "a call with a seal": (
        ToolCall(id="a", name="f", args='{"x":1}', sealed=OPENAI),
        [
            {"type": "redacted_thinking", "data": seals.envelope(OPENAI)},
            {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        ],
    ),
    "what a hosted tool printed": (
        Hosted(vendor="google", type="codeExecutionResult", raw="{}", phase="result", text="a"),
        [{"type": "text", "text": "a"}],
    ),
    "a hosted tool's silence": (Hosted(vendor="google", type="toolCall", raw="{}", phase="call"), []),
}


@pytest.mark.parametrize(("part", "blocks"), WRITTEN.values(), ids=WRITTEN)
def test_a_part_is_blocks(part: Part, blocks: list[dict[str, Any]]) -> None:
    assert written(Choice(parts=(part,)))["content"] == blocks


ENDS: dict[str, tuple[Stop | None, tuple[Part, ...], dict[str, Any]]] = {
    "nobody says why": (None, (), {"stop_reason": "end_turn", "stop_sequence": None}),
    "a stop sequence": (
        Stop(reason=Reason.STOP_SEQUENCE, sequence="x"),
        (),
        {"stop_reason": "stop_sequence", "stop_sequence": "x"},
    ),
    "a filter": (
        Stop(reason=Reason.FILTER, explanation="e"),
        (),
        {
            "stop_reason": "refusal",
            "stop_sequence": None,
            "stop_details": {"type": "refusal", "category": None, "explanation": "e"},
        },
    ),
    "a refusal in words": (
        None,
        (Refusal(text="no"),),
        {
            "stop_reason": "refusal",
            "stop_sequence": None,
            "stop_details": {"type": "refusal", "category": None, "explanation": None},
        },
    ),
}


@pytest.mark.parametrize(("stop", "parts", "expected"), ENDS.values(), ids=ENDS)
def test_why_it_ended_is_told(stop: Stop | None, parts: tuple[Part, ...], expected: dict[str, Any]) -> None:
    made = written(Choice(parts=parts, stop=stop))
    assert {name: value for name, value in made.items() if name.startswith("stop_")} == expected


COUNTS: dict[str, tuple[Usage | None, dict[str, Any]]] = {
    "nothing is known": (None, {"input_tokens": 0, "output_tokens": 0}),
    "the cache stands beside the input": (
        Usage(
            input_tokens=9,
            output_tokens=4,
            cache_read_tokens=2,
            cache_write_tokens=3,
            cache_write_1h_tokens=1,
            reasoning_tokens=1,
        ),
        {
            "input_tokens": 4,
            "cache_creation_input_tokens": 3,
            "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 1},
            "cache_read_input_tokens": 2,
            "output_tokens": 4,
            "output_tokens_details": {"thinking_tokens": 1},
        },
    ),
    "what was written without saying for how long": (
        Usage(input_tokens=9, cache_write_tokens=3),
        {"input_tokens": 6, "cache_creation_input_tokens": 3, "output_tokens": 0},
    ),
}


@pytest.mark.parametrize(("usage", "expected"), COUNTS.values(), ids=COUNTS)
def test_counts_are_told(usage: Usage | None, expected: dict[str, Any]) -> None:
    assert written(usage=usage)["usage"] == expected
