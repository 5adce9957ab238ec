"""Streams of chat are read chunk by chunk, whatever the host's habits, and written as OpenAI's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmitm.exchange import Dialect, Usage
from llmitm.translate.chat.stream_in import StreamReader
from llmitm.translate.chat.stream_out import StreamWriter
from llmitm.translate.neutral import (
    Base64,
    Citation,
    End,
    ExtrasSeen,
    Failed,
    Failure,
    Hosted,
    Logprobs,
    Media,
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

ASKED = Request(model="m", turns=(), dialect=Dialect.OPENAI_CHAT)
LEGACY = Request(model="m", turns=(), dialect=Dialect.OPENAI_CHAT, is_legacy_functions=True)
COUNTED = Request(model="m", turns=(), dialect=Dialect.OPENAI_CHAT, want_usage=True)
CLAUDE = Sealed(vendor="anthropic", kind="thinking", data="seal")
REDACTED = Sealed(vendor="anthropic", kind="redacted", data="blob")
GOOGLE = Sealed(vendor="google", kind="part", data="c2ln")
OWN = Sealed(vendor="openai", kind="encrypted", data="x", item_id="rs_1")
TOKEN = {"token": "a", "logprob": -1.0}
STOPPED = {"index": 0, "delta": {}, "finish_reason": "stop"}
DONE = b"[DONE]"
END = [StopSeen(Stop(reason=Reason.STOP, raw="stop")), End()]


def data(*choices: Any, **more: Any) -> bytes:
    return json.dumps({"id": "a", "choices": list(choices), **more}).encode()


def read(*told: bytes) -> list[StreamEvent]:
    reader = StreamReader()
    events = [event for one in told for event in reader.read(Event(data=one))]
    return events + reader.finish()


def made(*deltas: dict[str, Any]) -> list[StreamEvent]:
    """The events of one choice, without those of its head and its end."""
    told = read(*(data({"index": 0, "delta": delta}) for delta in deltas), data(STOPPED), DONE)
    assert told[0] == Start("a", None) and isinstance(told[-2], StopSeen) and told[-1] == End()
    return told[1:-2]


def calls(*fragments: Any) -> dict[str, Any]:
    return {"tool_calls": list(fragments)}


def fragment(args: str = "", **more: Any) -> dict[str, Any]:
    named = {"name": more.pop("name")} if "name" in more else {}
    return {**more, "function": {**named, "arguments": args}}


def text(index: int, *pieces: str) -> list[StreamEvent]:
    return [
        PartStart(index, Text(text="")),
        *(PartDelta(index, "text", one) for one in pieces),
        PartStop(index),
    ]


def call(index: int, call_id: str, *pieces: str) -> list[StreamEvent]:
    head = ToolCall(id=call_id, name="f", args="")
    return [PartStart(index, head), *(PartDelta(index, "args", one) for one in pieces), PartStop(index)]


def detail(kind: str, form: str = "google-gemini-v1", **members: Any) -> dict[str, Any]:
    return {"reasoning_details": [{"type": f"reasoning.{kind}", "format": form, **members}]}


CLAUDES = "anthropic-claude-v1"
ADDRESS = {"type": "url_citation", "url_citation": {"url": "u"}}
READ: dict[str, tuple[list[dict[str, Any]], list[StreamEvent]]] = {
    "text": ([{"role": "assistant", "content": ""}, {"content": "a"}, {"content": "b"}], text(0, "a", "b")),
    "a refusal": (
        [{"refusal": "no"}],
        [PartStart(0, Refusal(text="")), PartDelta(0, "text", "no"), PartStop(0)],
    ),
    "reasoning, then text": (
        [{"reasoning": "hm", "reasoning_content": ""}, {"content": "a"}],
        [PartStart(0, Reasoning()), PartDelta(0, "text", "hm"), PartStop(0), *text(1, "a")],
    ),
    "a source of the text": (
        [{"content": "a"}, {"annotations": [ADDRESS]}],
        [
            PartStart(0, Text(text="")),
            PartDelta(0, "text", "a"),
            PartMeta(0, "citations", (Citation(url="u"),)),
            PartStop(0),
        ],
    ),
    "a source of no text": ([{"annotations": [ADDRESS]}], []),
    "calls that interleave": (
        [
            calls(fragment("{", index=0, id="k", name="f"), fragment("{", index=1, id="l", name="f"), 1),
            calls(fragment("}", index=1)),
            calls(fragment("}", index=0)),
        ],
        [*call(0, "k", "{", "}"), *call(1, "l", "{", "}")],
    ),
    "text between the pieces of a call": (
        [
            calls(fragment("{", index=0, id="k", name="f")),
            {"content": "a"},
            {"content": "b", "annotations": [ADDRESS]},
            calls(fragment("}", index=0)),
        ],
        [
            *call(0, "k", "{", "}"),
            PartStart(1, Text(text="")),
            PartDelta(1, "text", "a"),
            PartDelta(1, "text", "b"),
            PartMeta(1, "citations", (Citation(url="u"),)),
            PartStop(1),
        ],
    ),
    "a call that comes again when others have begun": (
        [
            calls(fragment("{}", index=0, id="k", name="f")),
            calls(fragment("{}", index=1, id="l", name="f")),
            calls(fragment("{}", index=0, id="k", name="f")),
        ],
        [*call(0, "k", "{}"), *call(1, "l", "{}")],
    ),
    "calls without numbers": (
        [
            calls(fragment("{", id="k", name="f")),
            calls(fragment("}", id="k")),
            calls(fragment("{}", id="l", name="f")),
            calls(fragment("{}", name="f")),
        ],
        [*call(0, "k", "{", "}"), *call(1, "l", "{}"), *call(2, "", "{}")],
    ),
    "one number for calls with ids of their own": (
        [calls(fragment("{}", index=0, id="k", name="f")), calls(fragment("{}", index=0, id="l", name="f"))],
        [*call(0, "k", "{}"), *call(1, "l", "{}")],
    ),
    "a call whose seal comes late": (
        [
            calls(fragment("{", index=0, id="k", name="f")),
            calls(fragment("}", index=0, extra_content={"google": {"thought_signature": "c2ln"}})),
        ],
        [
            PartStart(0, ToolCall(id="k", name="f", args="")),
            PartDelta(0, "args", "{"),
            PartDelta(0, "args", "}"),
            PartMeta(0, "sealed", Sealed(vendor="google", kind="part", data="c2ln", ref="")),
            PartStop(0),
        ],
    ),
    "a call without a name": (
        [calls(fragment(index=0, id="k"))],
        [PartStart(0, ToolCall(id="k", name="", args="")), PartStop(0)],
    ),
    "a picture": (
        [{"content": "a"}, {"images": [{"image_url": {"url": "data:image/png;base64,AAAA"}}]}],
        [
            *text(0, "a"),
            PartStart(1, Media(kind="image", source=Base64("AAAA"), mime="image/png")),
            PartStop(1),
        ],
    ),
    "details of reasoning": (
        [
            detail("text", CLAUDES, text="h"),
            detail("text", CLAUDES, text="m"),
            detail("text", CLAUDES, signature="seal"),
            detail("text", CLAUDES, signature="seal"),
            detail("encrypted", CLAUDES, data="blob"),
        ],
        [
            PartStart(0, Reasoning()),
            PartDelta(0, "text", "h"),
            PartDelta(0, "text", "m"),
            PartMeta(0, "sealed", CLAUDE),
            PartStop(0),
            PartStart(1, Reasoning(sealed=REDACTED)),
            PartStop(1),
        ],
    ),
    "details that say again what was said": (
        [
            {"reasoning_content": "hm", **detail("text", CLAUDES, text="hm")},
            detail("summary", "openai-responses-v1", summary="hm"),
            detail("hologram"),
        ],
        [PartStart(0, Reasoning()), PartDelta(0, "text", "hm"), PartStop(0)],
    ),
    "a summary and its seal": (
        [
            detail("summary", "openai-responses-v1", summary="hm"),
            detail("encrypted", "openai-responses-v1", data="x", id="rs_1"),
        ],
        [
            PartStart(0, Reasoning()),
            PartDelta(0, "text", "hm"),
            PartMeta(0, "sealed", OWN),
            PartStop(0),
        ],
    ),
    "a seal of reasoning that waits for its turn": (
        [
            calls(fragment("{", index=0, id="k", name="f")),
            {"reasoning": "hm"},
            detail("text", CLAUDES, signature="seal"),
            calls(fragment("}", index=0)),
        ],
        [
            *call(0, "k", "{", "}"),
            PartStart(1, Reasoning(sealed=CLAUDE)),
            PartDelta(1, "text", "hm"),
            PartStop(1),
        ],
    ),
    "an empty seal": ([detail("encrypted", data="")], []),
    "Google's seal of a call": (
        [calls(fragment("{}", index=0, id="k", name="f")), detail("encrypted", data="c2ln", id="k")],
        [
            PartStart(0, ToolCall(id="k", name="f", args="")),
            PartDelta(0, "args", "{}"),
            PartMeta(0, "sealed", Sealed(vendor="google", kind="part", data="c2ln", ref="k")),
            PartStop(0),
        ],
    ),
    "Google's seal of a call that waits for its turn": (
        [
            calls(fragment("{", index=0, id="k", name="f"), fragment("{}", index=1, id="l", name="f")),
            detail("encrypted", data="c2ln", id="l"),
            calls(fragment("}", index=0)),
        ],
        [
            *call(0, "k", "{", "}"),
            PartStart(1, ToolCall(id="l", name="f", args="")),
            PartDelta(1, "args", "{}"),
            PartMeta(1, "sealed", Sealed(vendor="google", kind="part", data="c2ln", ref="l")),
            PartStop(1),
        ],
    ),
    "Google's seal without an id, of a text": (
        [{"content": "a"}, detail("encrypted", data="c2ln")],
        [
            PartStart(0, Text(text="")),
            PartDelta(0, "text", "a"),
            PartMeta(0, "sealed", GOOGLE),
            PartStop(0),
        ],
    ),
    "Google's seal without an id, of a call": (
        [calls(fragment("{}", index=0, id="k", name="f")), detail("encrypted", data="c2ln")],
        [
            PartStart(0, ToolCall(id="k", name="f", args="")),
            PartDelta(0, "args", "{}"),
            PartMeta(0, "sealed", GOOGLE),
            PartStop(0),
        ],
    ),
    "Google's seal of nothing": (
        [detail("encrypted", data="c2ln")],
        [PartStart(0, Text(text="", sealed=GOOGLE)), PartStop(0)],
    ),
}


@pytest.mark.parametrize(("deltas", "events"), READ.values(), ids=READ)
def test_deltas_are_parts(deltas: list[dict[str, Any]], events: list[StreamEvent]) -> None:
    assert made(*deltas) == events


def test_what_comes_after_the_reason_to_stop_still_counts_and_after_the_end_nothing_does() -> None:
    late = data({"index": 0, "delta": {"content": "a"}})
    assert read(data(STOPPED), late, data(STOPPED), DONE, late) == [
        Start("a", None),
        END[0],
        *text(0, "a"),
        END[1],
    ]


def test_one_chunk_may_hold_the_whole_and_choices_may_have_no_number() -> None:
    whole = {"message": {"content": "a"}, "finish_reason": "stop", "logprobs": {"content": [TOKEN]}}
    told = read(data(1, whole), data({"index": 1}), DONE)
    assert told == [
        Start("a", None),
        PartStart(0, Text(text=""), 1),
        PartDelta(0, "text", "a", 0, 1),
        Logprobs((TOKEN,), 1),
        PartStop(0, 1),
        StopSeen(Stop(reason=Reason.STOP, raw="stop"), 1),
        End(),
    ]


def test_a_time_that_is_none() -> None:
    assert read(b'{"id":"a","created":1e999}')[0] == Start("a", None, None)


def test_counts_and_the_tier_are_told_once_they_are_known() -> None:
    told = read(
        data(service_tier="flex", x_groq={"usage": {"prompt_tokens": 1}}),
        data(STOPPED, service_tier="flex", usage={"prompt_tokens": 0, "completion_tokens": 2}),
        data(usage={}),
        DONE,
    )
    assert [event for event in told if isinstance(event, ExtrasSeen | UsageSeen)] == [
        ExtrasSeen({}, "flex"),
        UsageSeen(Usage(input_tokens=1, tier="flex")),
        UsageSeen(Usage(input_tokens=1, output_tokens=2, tier="flex")),
    ]


SINGLE: dict[str, tuple[Event, list[StreamEvent]]] = {
    "a comment": (Event(comment=b"hi"), [Ping()]),
    "nothing": (Event(), []),
    "an empty line": (Event(data=b" "), []),
    "no object": (Event(data=b"[1]"), []),
    "a chunk of nothing": (Event(data=b'{"object":"x"}'), []),
}


@pytest.mark.parametrize(("event", "events"), SINGLE.values(), ids=SINGLE)
def test_signs_of_life(event: Event, events: list[StreamEvent]) -> None:
    assert StreamReader().read(event) == events


FAILURES: dict[str, tuple[list[bytes], int, str | None]] = {
    "no JSON": ([b"{"], 502, "malformed_stream"),
    "an error": ([b'{"error":{"message":"m","code":429}}'], 429, None),
    "an error that says nothing": ([b'{"error":true}'], 502, "malformed_stream"),
    "the end before a reason to stop": ([data({"delta": {"content": "a"}})], 502, "upstream_truncated"),
    "no chunk at all": ([DONE], 502, "upstream_truncated"),
    "no choice at all": ([data(), DONE], 502, "empty_reply"),
}


@pytest.mark.parametrize(("told", "status", "code"), FAILURES.values(), ids=FAILURES)
def test_streams_that_fail(told: list[bytes], status: int, code: str | None) -> None:
    failed = read(*told, data(STOPPED) if code == "malformed_stream" else b"")[-1]
    assert isinstance(failed, Failed)
    assert (failed.error.status, failed.error.code) == (status, code)


# ---- written


def chunks(*events: StreamEvent, asked: Request = ASKED) -> list[Any]:
    writer, reader = StreamWriter(asked), SseReader()
    body = b"".join(writer.write(event) for event in events)
    found = (*reader.feed(body), *reader.finish())
    return [json.loads(event.data) for event in found if event.data not in (None, DONE)]


def deltas(*events: StreamEvent, asked: Request = ASKED) -> list[dict[str, Any]]:
    """Those of one choice, without the first, which tells the role."""
    first, *rest = (one["choices"][0]["delta"] for one in chunks(*events, asked=asked))
    assert first == {"role": "assistant", "content": ""}
    return rest


def address(start: int, end: int, index: int, url: str) -> dict[str, Any]:
    body = {"start_index": start, "end_index": end, "title": "", "url": url}
    return {"index": index, "type": "url_citation", "url_citation": body}


ENTRY = {"type": "reasoning.encrypted", "data": "c2ln", "format": "google-gemini-v1"}
WRITTEN: dict[str, tuple[Part, list[StreamEvent], list[dict[str, Any]]]] = {
    "text with its sources": (
        Text(text=""),
        [
            PartDelta(0, "text", "ab"),
            PartMeta(0, "citations", (Citation(url="u", start=1), Citation(kind="document"))),
        ],
        [{"content": "ab"}, {"annotations": [address(1, 2, 0, "u")]}],
    ),
    "text with a source that has no address": (
        Text(text="", citations=(Citation(kind="document"),)),
        [PartDelta(0, "text", "a")],
        [{"content": "a"}],
    ),
    "text with Google's seal": (
        Text(text="", sealed=GOOGLE),
        [PartDelta(0, "text", "a")],
        [{"content": "a"}, {"reasoning_details": [{**ENTRY, "index": 0}]}],
    ),
    "a refusal": (Refusal(text=""), [PartDelta(0, "text", "no")], [{"refusal": "no"}]),
    "reasoning in two summaries": (
        Reasoning(),
        [PartDelta(0, "summary", "a"), PartDelta(0, "summary", "b", 1), PartMeta(0, "sealed", CLAUDE)],
        [
            {"reasoning_content": "a"},
            {"reasoning_content": "\n\nb"},
            {
                "reasoning_details": [
                    {
                        "type": "reasoning.text",
                        "text": "a\n\nb",
                        "signature": "seal",
                        "format": CLAUDES,
                        "index": 0,
                    }
                ]
            },
        ],
    ),
    "a call with Google's seal": (
        ToolCall(id="k", name="f", args="", sealed=GOOGLE),
        [PartDelta(0, "args", "{}")],
        [
            {
                "tool_calls": [
                    {
                        "index": 0,
                        "id": "k",
                        "type": "function",
                        "function": {"name": "f", "arguments": ""},
                        "extra_content": {"google": {"thought_signature": "c2ln"}},
                    }
                ]
            },
            {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
            {"reasoning_details": [{**ENTRY, "id": "k", "index": 0}]},
        ],
    ),
    "a custom call": (
        ToolCall(id="k", name="f", args="", kind="custom"),
        [PartDelta(0, "args", "x")],
        [
            {"tool_calls": [{"index": 0, "id": "k", "type": "custom", "custom": {"name": "f", "input": ""}}]},
            {"tool_calls": [{"index": 0, "custom": {"input": "x"}}]},
        ],
    ),
    "a picture": (
        Media(kind="image", source=Base64("AAAA"), mime="image/png"),
        [],
        [{"images": [{"index": 0, "type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}],
    ),
    "what a hosted tool printed": (
        Hosted(vendor="google", type="x", raw="{}", phase="result", text="a"),
        [],
        [{"content": "a"}],
    ),
    "a hosted tool's silence": (Hosted(vendor="google", type="x", raw="{}", phase="call"), [], []),
}


@pytest.mark.parametrize(("part", "events", "expected"), WRITTEN.values(), ids=WRITTEN)
def test_a_part_is_deltas(part: Part, events: list[StreamEvent], expected: list[dict[str, Any]]) -> None:
    assert deltas(PartStart(0, part), *events, PartStop(0)) == expected


def test_sources_count_in_the_whole_text_and_go_on_counting() -> None:
    source = PartMeta(0, "citations", (Citation(url="u"),))
    told = deltas(
        *(PartStart(0, Text(text="")), PartDelta(0, "text", "ab"), source, PartStop(0)),
        *(PartStart(1, Hosted(vendor="google", type="x", raw="{}", phase="result", text="c")), PartStop(1)),
        *(PartStart(2, Text(text="")), PartDelta(2, "text", "de"), source, PartStop(2)),
    )
    assert [one["annotations"] for one in told if "annotations" in one] == [
        [address(0, 2, 0, "u")],
        [address(3, 5, 1, "u")],
    ]


def test_reasoning_of_two_parts_is_told_apart() -> None:
    told = deltas(
        *(PartStart(0, Reasoning()), PartDelta(0, "text", "a"), PartStop(0)),
        *(PartStart(1, Reasoning()), PartDelta(1, "text", "b"), PartStop(1)),
    )
    assert told == [{"reasoning_content": "a"}, {"reasoning_content": "\n\nb"}]


def test_a_client_of_the_old_functions_is_told_of_one_call() -> None:
    heads = [PartStart(n, ToolCall(id=name, name=name, args="")) for n, name in enumerate("fg")]
    told = [event for n in (0, 1) for event in (heads[n], PartDelta(n, "args", "{}"), PartStop(n))]
    assert deltas(*told, asked=LEGACY) == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
    ]


EXPLAINED = StopSeen(Stop(reason=Reason.REFUSAL, explanation="e"))
REFUSING: dict[str, tuple[list[StreamEvent], list[dict[str, Any]]]] = {
    "in the provider's words": ([EXPLAINED], [{"refusal": "e"}, {}]),
    "in the model's words": (
        [PartStart(0, Refusal(text="")), PartDelta(0, "text", "no"), PartStop(0), EXPLAINED],
        [{"refusal": "no"}, {}],
    ),
}


@pytest.mark.parametrize(("events", "expected"), REFUSING.values(), ids=REFUSING)
def test_a_refusal_is_told_once(events: list[StreamEvent], expected: list[dict[str, Any]]) -> None:
    assert deltas(*events) == expected


def test_every_chunk_has_the_head_and_the_last_ones_what_is_known_late() -> None:
    first, tokens, stop, counts = chunks(
        Start("a", "m", 7, None, "flex"),
        Ping(),
        Logprobs((TOKEN,)),
        UsageSeen(Usage(input_tokens=1)),
        ExtrasSeen({"search_entry_point": {}}),
        StopSeen(Stop(reason=Reason.LENGTH)),
        End(),
        asked=COUNTED,
    )
    head = {"id": "a", "object": "chat.completion.chunk", "created": 7, "model": "m", "service_tier": "flex"}
    for one in (first, tokens, stop, counts):
        assert one.items() >= head.items()
    assert tokens["choices"][0]["logprobs"] == {"content": [TOKEN], "refusal": None}
    assert stop["choices"][0]["finish_reason"] == "length"
    assert stop["extras"] == {"google": {"search_entry_point": {}}}
    assert (stop["usage"], counts["choices"]) == (None, [])
    assert counts["usage"] == {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1}


def test_signs_of_life_are_comments_and_the_end_has_a_word() -> None:
    writer = StreamWriter(ASKED)
    assert writer.write(Ping()) == b": keepalive\n\n"
    assert writer.write(End()) == b"data: [DONE]\n\n"


def test_a_failure_is_the_last_event() -> None:
    (told,) = chunks(Failed(Failure(status=502, kind="bad_gateway", message="m")))
    assert told["error"]["message"] == "m"
