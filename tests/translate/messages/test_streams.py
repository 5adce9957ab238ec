"""Anthropic's streams are read event by event, and written so that its clients can follow."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from llmitm.exchange import Dialect, Usage
from llmitm.translate import seals
from llmitm.translate.messages.stream_in import StreamReader
from llmitm.translate.messages.stream_out import StreamWriter
from llmitm.translate.messages.usage import Counted
from llmitm.translate.neutral import (
    Citation,
    End,
    ExtrasSeen,
    Failed,
    Failure,
    Hosted,
    Logprobs,
    Opaque,
    Part,
    PartDelta,
    PartMeta,
    PartStart,
    PartStop,
    Ping,
    Reason,
    Reasoning,
    Refusal,
    Request,
    Sealed,
    Start,
    Stop,
    StopSeen,
    StreamEvent,
    Text,
    ToolCall,
    UsageSeen,
)
from llmitm.translate.sse import Event, SseReader

ASKED = Request(model="m", turns=(), dialect=Dialect.ANTHROPIC_MESSAGES)
OWN = Sealed(vendor="anthropic", kind="thinking", data="s")
REDACTED = Sealed(vendor="anthropic", kind="redacted", data="s")
OPENAI = Sealed(vendor="openai", kind="encrypted", data="x", item_id="rs_1")
BARE = Sealed(vendor="host", kind="part")
CITED = {"type": "char_location"}
CITATION = Citation(kind="document", vendor="anthropic", raw='{"type":"char_location"}')
CLOSE = {"type": "content_block_stop", "index": 0}
ENDED = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
OVER = {"type": "message_stop"}
END = [StopSeen(Stop(reason=Reason.STOP, raw="end_turn")), End()]


def opening(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": 0, "content_block": {"type": kind, **members}}


def delta(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": kind, **members}}


def events_of(data: bytes | None, comment: bytes | None = None) -> list[StreamEvent]:
    return StreamReader().read(Event(data=data, comment=comment))


def read(*told: Any) -> list[StreamEvent]:
    reader = StreamReader()
    events = [event for one in told for event in reader.read(Event(data=json.dumps(one).encode()))]
    return events + reader.finish()


def test_a_stream_s_head_tells_what_is_known_by_then() -> None:
    message = {"id": "a", "model": "m", "usage": {"input_tokens": 3, "service_tier": "standard"}}
    told = read({"type": "message_start", "message": message}, ENDED, OVER, ENDED)
    assert told == [Start("a", "m", None, Usage(input_tokens=3), "default"), *END]


BLOCKS: dict[str, tuple[list[Any], list[StreamEvent]]] = {
    "text that begins in its head": (
        [opening("text", text="a"), delta("text_delta", text="b"), CLOSE],
        [
            PartStart(0, Text(text="")),
            PartDelta(0, "text", "a"),
            PartDelta(0, "text", "b"),
            PartStop(0),
        ],
    ),
    "a source before any text": (
        [opening("text", text=""), delta("citations_delta", citation=CITED), CLOSE],
        [PartStart(0, Text(text="")), PartMeta(0, "citations", (CITATION,)), PartStop(0)],
    ),
    "a source after its text": (
        [opening("text"), delta("text_delta", text="a"), delta("citations_delta", citation=CITED), CLOSE],
        [
            PartStart(0, Text(text="")),
            PartDelta(0, "text", "a"),
            PartMeta(0, "citations", (CITATION,)),
            PartStop(0),
        ],
    ),
    "thinking": (
        [
            opening("thinking", thinking="a", signature=""),
            delta("thinking_delta", thinking="b"),
            delta("signature_delta", signature="s"),
            delta("text_delta", text="no text"),
            CLOSE,
        ],
        [
            PartStart(0, Reasoning()),
            PartDelta(0, "summary", "a"),
            PartDelta(0, "summary", "b"),
            PartMeta(0, "sealed", OWN),
            PartStop(0),
        ],
    ),
    "redacted thinking": (
        [opening("redacted_thinking", data="s"), CLOSE],
        [PartStart(0, Reasoning(sealed=REDACTED)), PartStop(0)],
    ),
    "a call in pieces": (
        [
            opening("tool_use", id="a", name="f", input={}),
            delta("input_json_delta", partial_json=""),
            delta("input_json_delta", partial_json='{"x":1}'),
            delta("signature_delta", signature="of no reasoning"),
            CLOSE,
        ],
        [PartStart(0, ToolCall(id="a", name="f", args="")), PartDelta(0, "args", '{"x":1}'), PartStop(0)],
    ),
    "a call that came whole in its head": (
        [opening("tool_use", id="a", name="f", input={"x": 1.0}), CLOSE],
        [PartStart(0, ToolCall(id="a", name="f", args="")), PartDelta(0, "args", '{"x":1.0}'), PartStop(0)],
    ),
    "a call whose arguments were no object": (
        [opening("tool_use", id="a", name="f", input={"_invalid_json": "{"}), CLOSE],
        [PartStart(0, ToolCall(id="a", name="f", args="")), PartDelta(0, "args", "{"), PartStop(0)],
    ),
    "a call without arguments": (
        [opening("tool_use", id="a", name="f"), CLOSE],
        [PartStart(0, ToolCall(id="a", name="f", args="")), PartDelta(0, "args", "{}"), PartStop(0)],
    ),
    "what a hosted tool found": (
        [opening("web_search_tool_result"), delta("citations_delta", citation=CITED), CLOSE],
        [
            PartStart(
                0,
                Hosted(
                    vendor="anthropic",
                    type="web_search_tool_result",
                    raw='{"type":"web_search_tool_result"}',
                    phase="result",
                ),
            ),
            PartStop(0),
        ],
    ),
    "a block of no type": (
        [opening("")],
        [
            PartStart(0, Opaque(dialect=Dialect.ANTHROPIC_MESSAGES, type="", raw='{"type":""}')),
            PartStop(0),
        ],
    ),
    "what belongs to no block": (
        [
            {"type": "content_block_start", "content_block": 1},
            delta("text_delta", text="a"),
            {"type": "content_block_delta", "delta": 1},
            {"type": "hologram"},
            [],
        ],
        [],
    ),
    "what a block does not know": ([opening("text", text=""), delta("hologram")], []),
}


@pytest.mark.parametrize(("told", "events"), BLOCKS.values(), ids=BLOCKS)
def test_blocks_are_parts(told: list[Any], events: list[StreamEvent]) -> None:
    assert read(*told, ENDED, OVER)[:-2] == events


def test_an_open_block_ends_with_the_message_and_its_last_event_may_be_missing() -> None:
    assert read(opening("text", text="a"), ENDED)[-3:] == [PartStop(0), *END]


def test_a_call_decides_why_a_message_ended() -> None:
    (stop, _) = read(opening("tool_use", id="a", name="f"), CLOSE, ENDED, ENDED)[-2:]
    assert stop == StopSeen(Stop(reason=Reason.TOOL_CALLS, raw="end_turn"))


def test_counts_add_up_over_the_stream_and_zeros_at_the_end_change_nothing() -> None:
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}}
    counts = {"input_tokens": 0, "output_tokens": 5}
    deltas = [
        {"type": "message_delta", "delta": None, "usage": counts},
        {"type": "message_delta", "usage": {"service_tier": "priority"}},
    ]
    usage = Usage(input_tokens=3, output_tokens=5)
    told = [UsageSeen(usage), UsageSeen(replace(usage, tier="priority")), ExtrasSeen({}, "priority")]
    assert read(start, *deltas, ENDED)[1:4] == told


def test_counts_of_the_start_alone_are_not_all() -> None:
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}}
    usage = Usage(input_tokens=3, output_tokens=1)
    told = [one.usage for one in read(start, ENDED, {"type": "message_stop"}) if isinstance(one, UsageSeen)]
    assert told == [replace(usage, is_final=False)]


@pytest.mark.parametrize(
    ("first", "then", "written", "long"),
    [
        ({"cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 5}}, {}, 9, 5),
        (
            {"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 5}},
            {"cache_creation_input_tokens": 0, "cache_creation": {"ephemeral_1h_input_tokens": 0}},
            9,
            5,
        ),
        ({"cache_creation": {"ephemeral_5m_input_tokens": 4}}, {"cache_creation": None}, 4, None),
        ({"cache_creation": {}}, {}, None, None),
    ],
)
def test_what_was_written_to_the_cache_is_known_by_its_parts(
    first: dict[str, Any], then: dict[str, Any], written: int | None, long: int | None
) -> None:
    counted = Counted()
    counted.add({"input_tokens": 3, **first})
    usage = counted.add({"output_tokens": 2, **then})
    assert (usage.cache_write_tokens, usage.cache_write_1h_tokens) == (written, long)
    assert usage.input_tokens == 3 + (written or 0)


SINGLE: dict[str, tuple[bytes | None, bytes | None, list[StreamEvent]]] = {
    "a comment": (None, b"hi", [Ping()]),
    "nothing": (None, None, []),
    "an empty line": (b" ", None, []),
    "a terminator of another API": (b"[DONE]", None, []),
    "a ping": (b'{"type":"ping"}', None, [Ping()]),
}


@pytest.mark.parametrize(("data", "comment", "events"), SINGLE.values(), ids=SINGLE)
def test_signs_of_life(data: bytes | None, comment: bytes | None, events: list[StreamEvent]) -> None:
    assert events_of(data, comment) == events


FAILURES: dict[str, tuple[bytes, int, str | None]] = {
    "no JSON": (b"{", 502, "malformed_stream"),
    "an error": (b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}', 529, None),
    "an error of no type": (b'{"error":{"message":"m"}}', 502, None),
    "an error that says nothing": (b'{"type":"error"}', 502, "malformed_stream"),
}


@pytest.mark.parametrize(("data", "status", "code"), FAILURES.values(), ids=FAILURES)
def test_failures_end_the_stream(data: bytes, status: int, code: str | None) -> None:
    reader = StreamReader()
    (failed,) = reader.read(Event(data=data))
    assert isinstance(failed, Failed)
    assert (failed.error.status, failed.error.code) == (status, code)
    assert reader.read(Event(data=json.dumps(ENDED).encode())) == reader.finish() == []


def test_a_stream_without_a_reason_to_stop_is_cut() -> None:
    (failed,) = read(OVER)
    assert isinstance(failed, Failed) and failed.error.code == "upstream_truncated"


# ---- written


def told(*events: StreamEvent) -> list[Any]:
    writer, reader = StreamWriter(ASKED), SseReader()
    body = b"".join(writer.write(event) for event in events)
    return [json.loads(event.data or b"") for event in (*reader.feed(body), *reader.finish())]


def whole(kind: str, **members: Any) -> list[Any]:
    return [opening(kind, **members), CLOSE]


THINKING = opening("thinking", thinking="", signature="")
WRITTEN: dict[str, tuple[Part, list[StreamEvent], list[Any]]] = {
    "text with its source": (
        Text(text=""),
        [PartDelta(0, "text", "a"), PartMeta(0, "citations", (CITATION, Citation(url="u")))],
        [
            opening("text", text=""),
            delta("text_delta", text="a"),
            delta("citations_delta", citation=CITED),
            CLOSE,
        ],
    ),
    "text without a word": (Text(text=""), [], []),
    "a refusal": (
        Refusal(text=""),
        [PartDelta(0, "text", "no")],
        [opening("text", text=""), delta("text_delta", text="no"), CLOSE],
    ),
    "a seal of no text": (
        Text(text="", sealed=OPENAI),
        [],
        whole("redacted_thinking", data=seals.envelope(OPENAI)),
    ),
    "reasoning in two summaries": (
        Reasoning(),
        [PartDelta(0, "summary", "a"), PartDelta(0, "summary", "b", 1), PartMeta(0, "sealed", OWN)],
        [
            THINKING,
            delta("thinking_delta", thinking="a"),
            delta("thinking_delta", thinking="\n\nb"),
            delta("signature_delta", signature="s"),
            CLOSE,
        ],
    ),
    "reasoning that nobody sealed": (
        Reasoning(),
        [PartDelta(0, "text", "a")],
        [THINKING, delta("thinking_delta", thinking="a"), CLOSE],
    ),
    "reasoning of another vendor": (
        Reasoning(),
        [PartDelta(0, "text", "a"), PartMeta(0, "sealed", OPENAI)],
        [
            THINKING,
            delta("thinking_delta", thinking="a"),
            delta("signature_delta", signature=seals.envelope(OPENAI)),
            CLOSE,
        ],
    ),
    "Anthropic's seal of what nobody reads": (
        Reasoning(sealed=OWN),
        [],
        [THINKING, delta("signature_delta", signature="s"), CLOSE],
    ),
    "Anthropic's redacted reasoning": (
        Reasoning(sealed=REDACTED),
        [],
        whole("redacted_thinking", data="s"),
    ),
    "another vendor's seal of what nobody reads": (
        Reasoning(sealed=OPENAI),
        [],
        whole("redacted_thinking", data=seals.envelope(OPENAI)),
    ),
    "nothing of a host's": (Reasoning(sealed=BARE), [], []),
    "a call": (
        ToolCall(id="a", name="f", args=""),
        [PartDelta(0, "args", "{}")],
        [
            opening("tool_use", id="a", name="f", input={}),
            delta("input_json_delta", partial_json="{}"),
            CLOSE,
        ],
    ),
    "what a hosted tool printed": (
        Hosted(vendor="google", type="codeExecutionResult", raw="{}", phase="result", text="a"),
        [],
        [opening("text", text=""), delta("text_delta", text="a"), CLOSE],
    ),
    "a hosted tool's silence": (Hosted(vendor="google", type="toolCall", raw="{}", phase="call"), [], []),
}


@pytest.mark.parametrize(("part", "events", "expected"), WRITTEN.values(), ids=WRITTEN)
def test_a_part_is_blocks(part: Part, events: list[StreamEvent], expected: list[Any]) -> None:
    assert told(PartStart(0, part), *events, PartStop(0)) == expected


def test_a_seal_stands_before_its_call_and_one_that_comes_late_after_it() -> None:
    before = told(PartStart(0, ToolCall(id="a", name="f", args="", sealed=OPENAI)), PartStop(0))
    after = told(
        PartStart(0, ToolCall(id="a", name="f", args="")), PartMeta(0, "sealed", OPENAI), PartStop(0)
    )
    kinds = [
        [one["content_block"]["type"] for one in made if one["type"] == "content_block_start"]
        for made in (before, after)
    ]
    assert kinds == [["redacted_thinking", "tool_use"], ["tool_use", "redacted_thinking"]]
    assert [one["index"] for one in after] == [0, 0, 1, 1]


def test_a_message_from_its_head_to_its_end() -> None:
    made = told(
        Ping(),
        Start("a", "m", None, Usage(input_tokens=3)),
        Ping(),
        Logprobs(({"token": "a"},)),
        PartStart(0, Text(text=""), 1),
        UsageSeen(Usage(input_tokens=3, output_tokens=5)),
        StopSeen(Stop(reason=Reason.LENGTH)),
        End(),
    )
    assert [one["type"] for one in made] == ["message_start", "ping", "message_delta", "message_stop"]
    assert made[0]["message"]["usage"] == {"input_tokens": 3, "output_tokens": 0}
    assert (made[2]["delta"]["stop_reason"], made[2]["usage"]["output_tokens"]) == ("max_tokens", 5)


def test_a_failure_is_the_last_event() -> None:
    (made,) = told(Failed(Failure(status=529, kind="overloaded", message="m")))
    assert made == {"type": "error", "error": {"type": "overloaded_error", "message": "m"}}
