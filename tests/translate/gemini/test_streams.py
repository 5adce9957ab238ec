"""Gemini's streams are read chunk by chunk, and written so that each chunk stands alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from google.genai import types

from llmitm.exchange import Dialect, Usage
from llmitm.translate import seals
from llmitm.translate.failures import gemini_error_event
from llmitm.translate.gemini.reply_in import read_reply
from llmitm.translate.gemini.stream_in import StreamReader
from llmitm.translate.gemini.stream_out import StreamWriter
from llmitm.translate.neutral import (
    Base64,
    Choice,
    Citation,
    End,
    ExtrasSeen,
    Failed,
    Failure,
    Hosted,
    Logprobs,
    Media,
    PartDelta,
    PartMeta,
    PartStart,
    PartStop,
    Ping,
    Reason,
    Reasoning,
    Refusal,
    Reply,
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
from llmitm.translate.stream import Collector, simulate

ASKED = Request(model="m", turns=(), dialect=Dialect.GEMINI)
OWN = Sealed(vendor="google", kind="part", data="c2lnbmVk")
CLAUDE = Sealed(vendor="anthropic", kind="thinking", data="seal")


def chunk(*parts: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    return {"candidates": [candidate | ({"finishReason": finish} if finish else {})], **more}


def read(chunks: Iterable[Any]) -> list[StreamEvent]:
    reader = StreamReader()
    events = [event for one in chunks for event in reader.read(Event(data=json.dumps(one).encode()))]
    return events + reader.finish()


def collected(events: Iterable[StreamEvent]) -> Collector:
    collector = Collector()
    for event in events:
        collector.add(event)
    return collector


def written(events: Iterable[StreamEvent], asked: Request = ASKED) -> bytes:
    writer = StreamWriter(asked)
    return b"".join(writer.write(event) for event in events)


def chunks_of(stream: bytes) -> list[Any]:
    reader = SseReader()
    return [json.loads(event.data or b"") for event in reader.feed(stream) + reader.finish()]


def test_one_stream_event_by_event() -> None:
    events = read(
        [
            chunk({"text": "Th", "thought": True}, responseId="r1", modelVersion="m1"),
            chunk({"text": "ink", "thought": True}, {"text": "Hel"}),
            chunk({"text": "lo"}, {"text": "", "thoughtSignature": "c2lnbmVk"}),
            chunk({"functionCall": {"id": "k1", "name": "f", "args": {"a": 1}}}),
            chunk({"text": ""}, finish="STOP", usageMetadata={"promptTokenCount": 1, "totalTokenCount": 3}),
        ]
    )
    assert events == [
        Start("r1", "m1"),
        PartStart(0, Reasoning()),
        PartDelta(0, "summary", "Th"),
        PartDelta(0, "summary", "ink"),
        PartStop(0),
        PartStart(1, Text(text="")),
        PartDelta(1, "text", "Hel"),
        PartDelta(1, "text", "lo"),
        PartMeta(1, "sealed", OWN),
        PartStop(1),
        PartStart(2, ToolCall(id="k1", name="f", args="")),
        PartDelta(2, "args", '{"a":1}'),
        PartStop(2),
        UsageSeen(Usage(input_tokens=1, output_tokens=2)),
        StopSeen(Stop(reason=Reason.TOOL_CALLS, raw="STOP")),
        End(),
    ]


def test_reading_goes_on_after_an_early_reason_to_stop() -> None:
    events = read([chunk({"text": ""}, finish="STOP"), chunk({"text": "late"}), chunk(finish="MAX_TOKENS")])
    (choice,) = collected(events).reply().choices
    assert choice == Choice(parts=(Text(text="late"),), stop=Stop(reason=Reason.LENGTH, raw="MAX_TOKENS"))


def test_counts_are_those_of_all_chunks() -> None:
    counts: list[dict[str, Any]] = [
        {"promptTokenCount": 9, "thoughtsTokenCount": 30},
        {"promptTokenCount": 9, "candidatesTokenCount": 4},
    ]
    events = read(
        [chunk({"text": "a"}, usageMetadata=counts[0]), chunk(finish="STOP", usageMetadata=counts[1])]
    )
    assert isinstance(events[0], Start)
    assert events[0].usage == Usage(input_tokens=9)
    assert collected(events).usage == Usage(input_tokens=9, output_tokens=34, reasoning_tokens=30)


FAILURES: list[tuple[list[Any], str | None, int]] = [
    ([], "upstream_truncated", 502),
    ([chunk({"text": "a"})], "upstream_truncated", 502),
    ([chunk(finish="MALFORMED_FUNCTION_CALL")], "malformed_function_call", 502),
    ([chunk(finish="OTHER")], "empty_reply", 502),
    ([{"usageMetadata": {}}], "empty_reply", 502),
]


@pytest.mark.parametrize(("chunks", "code", "status"), FAILURES)
def test_streams_that_fail(chunks: list[Any], code: str, status: int) -> None:
    failure = collected(read(chunks)).failure
    assert failure is not None and (failure.code, failure.status) == (code, status)


def test_an_error_ends_the_stream() -> None:
    error = {"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}}
    events = read([chunk({"text": "a"}), error, chunk({"text": "b"}, finish="STOP")])
    last = events[-1]
    assert isinstance(last, Failed) and (last.error.status, last.error.message) == (503, "Overloaded.")
    assert PartDelta(0, "text", "b") not in events


def test_odd_events() -> None:
    reader = StreamReader()
    assert reader.read(Event(comment=b"here")) == [Ping()]
    assert reader.read(Event(data=b"[DONE]")) == []
    assert reader.read(Event(data=b'{"candi', is_complete=False)) == []
    (failed,) = reader.read(Event(data=b"{"))
    assert isinstance(failed, Failed) and failed.error.code == "malformed_stream"
    assert reader.finish() == []


def test_what_cannot_be_read_behind_the_end_says_nothing() -> None:
    reader = StreamReader()
    reader.read(Event(data=json.dumps(chunk({"text": "a"}, finish="STOP")).encode()))
    assert reader.read(Event(data=b"{broken")) == []
    assert isinstance(reader.finish()[-1], End)


def test_arguments_that_come_in_pieces() -> None:
    def pieces(*args: dict[str, Any], **more: Any) -> dict[str, Any]:
        return chunk({"functionCall": {"partialArgs": list(args), **more}})

    events = read(
        [
            chunk({"functionCall": {"name": "f", "willContinue": True}, "thoughtSignature": "c2lnbmVk"}),
            pieces({"jsonPath": "$.city", "stringValue": "Os", "willContinue": True}, willContinue=True),
            pieces({"jsonPath": "$.city", "stringValue": "lo"}, willContinue=True),
            pieces(
                {"jsonPath": "$.days[0].n", "numberValue": 1.5},
                {"jsonPath": "$.days[1]", "nullValue": "NULL_VALUE"},
                {"jsonPath": "$.days[0].m", "numberValue": 2},
                {"jsonPath": "$['__proto__']", "boolValue": True},
                {"jsonPath": "$.far[999999]", "boolValue": True},
                {"jsonPath": "$[0]", "boolValue": True},
                {"jsonPath": "$.days.n[1]", "boolValue": True},
                {"stringValue": "nowhere"},
                willContinue=True,
            ),
            chunk({"functionCall": {}}),
            chunk({"functionCall": {"name": "g"}}, finish="STOP"),
        ]
    )
    args = '{"city":"Oslo","days":[{"n":1.5,"m":2},null],"__proto__":true,"far":[]}'
    assert collected(events).reply().choices[0].parts == (
        ToolCall(id="", name="f", args=args, sealed=OWN),
        ToolCall(id="", name="g", args="{}"),
    )


WHOLE = Reply(
    id="r1",
    model="m1",
    choices=(
        Choice(
            index=0,
            parts=(
                Reasoning(summary=("I think",), sealed=CLAUDE),
                Media(kind="image", source=Base64("AAAA"), mime="image/png"),
                ToolCall(id="k1", name="f", args='{"n":18446744073709551615}', sealed=OWN),
                ToolCall(id="k2", name="g", args='{"broken'),
                Text(text="Søren walks", citations=(Citation(url="https://a.example", start=6, end=11),)),
            ),
            stop=Stop(reason=Reason.TOOL_CALLS),
        ),
        Choice(index=1, parts=(Refusal(text="No."),), stop=Stop(reason=Reason.LENGTH)),
    ),
    usage=Usage(input_tokens=3, output_tokens=4),
    extras={"search_entry_point": {"renderedContent": "<b>"}},
)


def test_a_written_stream_lets_text_pass_and_holds_what_must_be_whole() -> None:
    writer = StreamWriter(ASKED)
    assert writer.write(Start("r1", "m1")) == b""
    assert writer.write(PartStart(0, Text(text=""))) == b""
    assert writer.write(PartDelta(0, "text", "Hi")) == (
        b'data: {"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"Hi"}]}}],'
        b'"modelVersion":"m1","responseId":"r1"}\n\n'
    )
    assert writer.write(PartStop(0)) == b""
    assert writer.write(Ping()) == b""
    assert writer.write(PartStart(1, ToolCall(id="k1", name="f", args=""))) == b""
    assert writer.write(PartDelta(1, "args", '{"a":')) == b""
    assert writer.write(PartDelta(1, "args", "1.50}")) == b""
    assert b'[{"functionCall":{"id":"k1","name":"f","args":{"a":1.50}}}]' in writer.write(PartStop(1))
    assert writer.write(StopSeen(Stop(reason=Reason.TOOL_CALLS))) == b""
    assert writer.write(UsageSeen(Usage(input_tokens=1, output_tokens=2))) == b""
    assert writer.write(End()) == (
        b'data: {"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":""}]},'
        b'"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2,'
        b'"totalTokenCount":3},"modelVersion":"m1","responseId":"r1"}\n\n'
    )


def test_seals_follow_what_they_seal() -> None:
    events: list[StreamEvent] = [
        PartStart(0, Reasoning()),
        PartDelta(0, "summary", "a"),
        PartDelta(0, "summary", "b", 1),
        PartMeta(0, "sealed", CLAUDE),
        PartStop(0),
        PartStart(1, Text(text="")),
        PartDelta(1, "text", "c"),
        PartMeta(1, "sealed", OWN),
        PartStop(1),
    ]
    parts = [one["candidates"][0]["content"]["parts"][0] for one in chunks_of(written(events))]
    assert parts == [
        {"text": "a", "thought": True},
        {"text": "\n\nb", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": seals.envelope_base64(CLAUDE)},
        {"text": "c"},
        {"text": "", "thoughtSignature": "c2lnbmVk"},
    ]


OPENAI = Sealed(vendor="openai", kind="encrypted", data="closed", item_id="rs_1")
LENT = {"thoughtSignature": seals.envelope_base64(OPENAI)}
ALONE = {"text": "", "thought": True, **LENT}
CALL = {"functionCall": {"id": "k1", "name": "f", "args": {}}}
FOLLOWED: dict[str, tuple[list[StreamEvent], list[Any]]] = {
    "text": (
        [PartStart(1, Text(text="")), PartDelta(1, "text", "a"), PartDelta(1, "text", "b"), PartStop(1)],
        [{"text": "a", **LENT}, {"text": "b"}],
    ),
    "text whose own seal comes later": (
        [PartStart(1, Text(text="a")), PartMeta(1, "sealed", OWN), PartStop(1)],
        [{"text": "a", **LENT}, {"text": "", "thoughtSignature": "c2lnbmVk"}],
    ),
    "a call": (
        [PartStart(1, ToolCall(id="k1", name="f", args="")), PartStop(1)],
        [CALL | LENT],
    ),
    "a signed call": (
        [PartStart(1, ToolCall(id="k1", name="f", args="")), PartMeta(1, "sealed", OWN), PartStop(1)],
        [ALONE, CALL | {"thoughtSignature": "c2lnbmVk"}],
    ),
    "a refusal": ([PartStart(1, Refusal(text="no")), PartStop(1)], [ALONE, {"text": "no"}]),
    "a picture": (
        [PartStart(1, Media(kind="image", source=Base64("AAAA"), mime="image/png")), PartStop(1)],
        [ALONE, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}],
    ),
    "what Gemini has not": (
        [PartStart(1, Hosted(vendor="openai", type="x", raw="{}", phase="call")), PartStop(1)],
        [ALONE],
    ),
    "more reasoning": (
        [PartStart(1, Reasoning()), PartDelta(1, "text", "a"), PartDelta(1, "summary", "b"), PartStop(1)],
        [ALONE, {"text": "a", "thought": True}],
    ),
}


@pytest.mark.parametrize(("events", "expected"), FOLLOWED.values(), ids=FOLLOWED)
def test_a_seal_that_nobody_reads_is_lent_to_what_follows(
    events: list[StreamEvent], expected: list[Any]
) -> None:
    before: list[StreamEvent] = [PartStart(0, Reasoning()), PartMeta(0, "sealed", OPENAI), PartStop(0)]
    stop = StopSeen(Stop(reason=Reason.STOP))
    told = chunks_of(written([*before, *events, stop]))
    assert [part for one in told for part in one["candidates"][0]["content"]["parts"]] == expected


def test_a_seal_after_its_part_follows_it() -> None:
    (one,) = chunks_of(written([PartMeta(0, "sealed", OWN)]))
    assert one["candidates"][0]["content"]["parts"] == [{"text": "", "thoughtSignature": "c2lnbmVk"}]


def test_a_tier_that_changes_is_told_again() -> None:
    tiers = [
        chunk({"text": "a"}, usageMetadata={"serviceTier": tier}) for tier in ("FLEX", "FLEX", "PRIORITY")
    ]
    told = [event for event in read([*tiers, chunk(finish="STOP")]) if isinstance(event, Start | ExtrasSeen)]
    assert told == [Start(None, None, None, None, "flex"), ExtrasSeen({}, "priority")]


def test_a_line_break_within_arguments_ends_no_event() -> None:
    call = ToolCall(id="k", name="f", args='{\r\n  "a": 1.0,\n  "b": "x\\n"\n}')
    reply = Reply(id=None, model=None, choices=(Choice(parts=(call,), stop=Stop(reason=Reason.STOP)),))
    writer = StreamWriter(ASKED)
    told = b"".join(writer.write(event) for event in simulate(reply))
    lines = [line for line in told.splitlines() if line]
    assert all(line.startswith(b"data: ") for line in lines)
    (part,) = json.loads(lines[0][6:])["candidates"][0]["content"]["parts"]
    assert part["functionCall"]["args"] == {"a": 1.0, "b": "x\n"} and b"1.0" in lines[0]


def test_an_array_holds_chunks_alone() -> None:
    events = StreamReader().read(Event(data=json.dumps([1, chunk({"text": "a"})]).encode()))
    assert PartDelta(0, "text", "a") in events


def test_tokens_come_with_the_last_chunk() -> None:
    token = {"token": "a", "logprob": -1.0, "top_logprobs": []}
    events: list[StreamEvent] = [PartStart(0, Text(text="a")), Logprobs((token,)), PartStop(0), Ping(), End()]
    told = chunks_of(written(events))
    tokens = told[-1]["candidates"][0]["logprobsResult"]["chosenCandidates"]
    assert tokens == [{"token": "a", "logProbability": -1.0}]


def test_every_chunk_is_one_of_googles_and_the_last_has_the_facts() -> None:
    chunks = chunks_of(written(simulate(WHOLE)))
    for one in chunks:
        types.GenerateContentResponse.model_validate(one)
    finished = [[one.get("finishReason") for one in told["candidates"]] for told in chunks]
    assert finished == [[None]] * (len(chunks) - 1) + [["STOP", "MAX_TOKENS"]]
    assert [("usageMetadata" in one) for one in chunks] == [False] * (len(chunks) - 1) + [True]


@pytest.mark.parametrize("is_json_array", [False, True])
def test_there_and_back(is_json_array: bool) -> None:
    stream = written(simulate(WHOLE), replace(ASKED, is_json_array=is_json_array))
    back = read_reply(stream) if is_json_array else collected(read(chunks_of(stream))).reply()
    first, second = back.choices
    assert first.parts == (
        Reasoning(summary=("I think",), sealed=Sealed(vendor="google", kind="part", data=ENVELOPE)),
        Media(kind="image", source=Base64("AAAA"), mime="image/png"),
        ToolCall(id="k1", name="f", args='{"n":18446744073709551615}', sealed=OWN),
        ToolCall(id="k2", name="g", args='{"_invalid_json":"{\\"broken"}'),
        Text(
            text="Søren walks",
            citations=(Citation(url="https://a.example", start=6, end=11, vendor="google"),),
        ),
    )
    assert second.parts == (Text(text="No."),)
    assert (back.id, back.model, back.usage, back.extras) == ("r1", "m1", WHOLE.usage, WHOLE.extras)


ENVELOPE = seals.envelope_base64(CLAUDE)


def test_the_array_form_is_one_json_document() -> None:
    stream = written(simulate(WHOLE), replace(ASKED, is_json_array=True))
    assert stream.startswith(b'[{"candidates"') and stream.endswith(b"}]") and b"},\n{" in stream
    assert json.loads(stream) == chunks_of(written(simulate(WHOLE)))


@pytest.mark.parametrize("is_json_array", [False, True])
def test_failures_are_told_within_the_stream(is_json_array: bool) -> None:
    failed = Failed(Failure(status=429, message="Too much.", code="rate_limit"))
    start, text = Start("r1", "m1"), PartStart(0, Text(text=""))
    events: list[StreamEvent] = [start, text, PartDelta(0, "text", "a"), failed]
    error = b'{"error":{"code":429,"message":"Too much.","status":"RESOURCE_EXHAUSTED"}}'
    stream = written(events, replace(ASKED, is_json_array=is_json_array))
    assert stream.endswith(b",\n" + error + b"]" if is_json_array else gemini_error_event(error))
    if is_json_array:
        assert written([failed], replace(ASKED, is_json_array=True)) == b"[" + error + b"]"


def test_a_filter_that_left_nothing_is_a_blocked_prompt() -> None:
    (last,) = chunks_of(written([Start("r1", None), StopSeen(Stop(reason=Reason.FILTER)), End()]))
    assert last == {"promptFeedback": {"blockReason": "OTHER"}, "responseId": "r1"}


def test_an_empty_answer_has_an_empty_text() -> None:
    (last,) = chunks_of(written([Start(None, None), StopSeen(Stop(reason=Reason.STOP)), End()]))
    assert last["candidates"][0]["content"]["parts"] == [{"text": ""}]


def test_counts_that_add_up_stand_for_all_before_them() -> None:
    counts: list[dict[str, Any]] = [
        {"promptTokenCount": 9, "candidatesTokenCount": 21, "totalTokenCount": 65},
        {"promptTokenCount": 87, "thoughtsTokenCount": 78, "totalTokenCount": 165},
    ]
    events = read(
        [chunk({"text": "a"}, usageMetadata=counts[0]), chunk(finish="STOP", usageMetadata=counts[1])]
    )
    assert collected(events).usage == Usage(input_tokens=87, output_tokens=78, reasoning_tokens=78)
