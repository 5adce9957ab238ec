"""Streams of responses: read however hosts order them, written as the SDK adds them up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from llmitm.exchange import Dialect, Usage
from llmitm.translate import seals
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
    Part,
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
from llmitm.translate.responses.reply_in import read_reply
from llmitm.translate.responses.reply_out import write_reply
from llmitm.translate.responses.stream_in import StreamReader
from llmitm.translate.responses.stream_out import StreamWriter
from llmitm.translate.sse import Event, SseReader
from llmitm.translate.stream import Collector, simulate

ASKED = Request(model="mine", turns=(), dialect=Dialect.OPENAI_RESPONSES)
SDK: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
OWN = Sealed(vendor="openai", kind="encrypted", data="enc", item_id="rs_1")
SIGNED = Sealed(vendor="anthropic", kind="thinking", data="sig")


# ---- read


def event(kind: str, **members: Any) -> Event:
    name = f"response.{kind}"
    return Event(name=name, data=json.dumps({"type": name, **members}).encode())


def response(*output: Any, **members: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "model": "gpt-x",
        "created_at": 5,
        "status": "completed",
        "output": list(output),
        **members,
    }


def call(call_id: str, args: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{call_id}",
        "call_id": call_id,
        "name": "f",
        "arguments": args,
    }


def message(*texts: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"type": "message", "id": "msg", "role": "assistant", "content": content}


def text(delta: str, output_index: int = 0, content_index: int = 0, **more: Any) -> Event:
    return event(
        "output_text.delta", output_index=output_index, content_index=content_index, delta=delta, **more
    )


CREATED = event("created", response=response(status="in_progress"))
COMPLETED = event("completed", response=response())


def read(*events: Event) -> list[StreamEvent]:
    reader = StreamReader()
    found = [made for one in events for made in reader.read(one)] + reader.finish()
    return [one for one in found if not isinstance(one, Ping)]


def collected(*events: Event) -> Reply:
    collector = Collector()
    for one in read(*events):
        collector.add(one)
    assert collector.failure is None
    return collector.reply()


def parts(*events: Event) -> tuple[Part, ...]:
    return collected(CREATED, *events).choices[0].parts


def test_a_text_in_its_order() -> None:
    counts = {"input_tokens": 3, "output_tokens": 2}
    assert read(
        CREATED,
        event("in_progress", response=response()),
        event("output_item.added", output_index=0, item=message()),
        text("he"),
        text("llo"),
        event("output_text.done", output_index=0, content_index=0, text="hello"),
        event("output_item.done", output_index=0, item=message("hello")),
        event("completed", response=response(message("hello"), usage=counts, service_tier="default")),
        text("late"),
    ) == [
        Start("resp_1", "gpt-x", 5),
        PartStart(0, Text(text="")),
        PartDelta(0, "text", "he"),
        PartDelta(0, "text", "llo"),
        PartStop(0),
        ExtrasSeen({}, "default"),
        UsageSeen(Usage(input_tokens=3, output_tokens=2)),
        StopSeen(Stop(reason=Reason.STOP, raw="completed")),
        End(),
    ]


def test_a_delta_is_told_at_once() -> None:
    reader = StreamReader()
    reader.read(CREATED)
    assert reader.read(text("a"))[-1] == PartDelta(0, "text", "a")
    assert reader.read(text("b")) == [PartDelta(0, "text", "b")]


def test_ids_of_items_may_change_and_say_nothing() -> None:
    made = parts(
        text("a", item_id="x"), text("b", item_id="y"), event("completed", response=response(message("ab")))
    )
    assert made == (Text(text="ab"),)


def test_calls_that_interleave_are_put_in_order() -> None:
    def delta(place: int, args: str) -> Event:
        return event("function_call_arguments.delta", output_index=place, delta=args)

    made = read(
        CREATED,
        event("output_item.added", output_index=0, item=call("a", "")),
        event("output_item.added", output_index=1, item=call("b", "")),
        delta(0, '{"x'),
        delta(1, '{"y'),
        delta(0, '":1}'),
        delta(1, '":2}'),
        event("output_item.done", output_index=1, item=call("b", '{"y":2}')),
        event("output_item.done", output_index=0, item=call("a", '{"x":1}')),
        COMPLETED,
    )
    assert made[1:-1] == [
        PartStart(0, ToolCall(id="a", name="f", args="")),
        PartDelta(0, "args", '{"x'),
        PartDelta(0, "args", '":1}'),
        PartStop(0),
        PartStart(1, ToolCall(id="b", name="f", args="")),
        PartDelta(1, "args", '{"y'),
        PartDelta(1, "args", '":2}'),
        PartStop(1),
        StopSeen(Stop(reason=Reason.TOOL_CALLS, raw="completed")),
    ]


def test_arguments_without_deltas_come_with_the_items_end() -> None:
    item = call("a", '{"x":1}')
    added = event("output_item.added", output_index=0, item=item)
    done = event("output_item.done", output_index=0, item=item)
    assert parts(added, done, COMPLETED) == (ToolCall(id="a", name="f", args='{"x":1}'),)


def test_a_done_text_that_is_longer_adds_its_rest_and_another_one_nothing() -> None:
    def done(whole: str) -> Event:
        return event("output_text.done", output_index=0, content_index=0, text=whole)

    assert parts(text("he"), done("hello"), COMPLETED) == (Text(text="hello"),)
    assert parts(text("he"), done("HELLO"), COMPLETED) == (Text(text="he"),)


def test_what_only_the_last_event_tells() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "enc"}
    whole = event("completed", response=response(thought, message("hi"), call("a", "{}")))
    assert read(whole)[0] == Start("resp_1", "gpt-x", 5)
    assert (
        collected(whole).choices
        == read_reply(json.dumps(json.loads(whole.data or b"")["response"]).encode()).choices
    )


def test_indexes_of_contents_may_differ_from_their_places() -> None:
    done = event("output_item.done", output_index=0, item=message("hi"))
    assert parts(text("hi", content_index=1), done, COMPLETED) == (Text(text="hi"),)


def test_indexes_of_items_may_differ_from_their_places() -> None:
    assert parts(text("hi", output_index=3), event("completed", response=response(message("hi")))) == (
        Text(text="hi"),
    )


def test_reasoning_with_its_seal() -> None:
    def about(kind: str, **more: Any) -> Event:
        return event(kind, output_index=0, **more)

    item: dict[str, Any] = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "why"}, {"type": "summary_text", "text": "so"}],
        "encrypted_content": "enc",
    }
    made = parts(
        about("output_item.added", item={**item, "summary": [], "encrypted_content": "half"}),
        about("reasoning_summary_part.added", summary_index=0, part={"type": "summary_text", "text": ""}),
        about("reasoning_summary_text.delta", summary_index=0, delta="wh"),
        about("reasoning_summary_text.delta", summary_index=0, delta="y"),
        about("reasoning_summary_text.done", summary_index=1, text="so"),
        about("output_item.done", item=item),
        COMPLETED,
    )
    assert made == (Reasoning(summary=("why", "so"), sealed=OWN),)


def test_reasoning_in_full() -> None:
    made = parts(
        event("reasoning_text.delta", output_index=0, content_index=0, delta="a"),
        event("reasoning_text.delta", output_index=0, content_index=1, delta="b"),
        event("output_item.done", output_index=0, item={"type": "reasoning", "id": "r"}),
        COMPLETED,
    )
    assert made == (Reasoning(text="a\n\nb"),)


def test_reasoning_that_nobody_can_read_is_no_part() -> None:
    item: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": None}
    added = event("output_item.added", output_index=0, item=item)
    done = event("output_item.done", output_index=0, item=item)
    assert parts(added, done, text("x", output_index=1), COMPLETED) == (Text(text="x"),)


def test_citations_are_told_once() -> None:
    note = {"type": "url_citation", "start_index": 0, "end_index": 1, "title": "T", "url": "u"}
    part = {"type": "output_text", "text": "x", "annotations": [note, {**note, "url": "v"}]}
    made = parts(
        text("x"),
        event("output_text.annotation.added", output_index=0, content_index=0, annotation=note),
        event("content_part.done", output_index=0, content_index=0, part=part),
        event("output_item.done", output_index=0, item={**message(), "content": [part]}),
        COMPLETED,
    )
    assert isinstance(made[0], Text)
    assert [citation.url for citation in made[0].citations] == ["u", "v"]


def test_tokens_are_told_once() -> None:
    token = {"token": "x", "bytes": [120], "logprob": -1, "top_logprobs": []}
    done = event("output_text.done", output_index=0, content_index=0, text="x", logprobs=[token])
    assert collected(text("x", logprobs=[token]), done, COMPLETED).choices[0].logprobs == (token,)
    assert collected(text("x", logprobs=[]), done, COMPLETED).choices[0].logprobs == (token,)


def test_hosted_work_and_pictures_come_whole() -> None:
    search = {"type": "web_search_call", "id": "w", "status": "completed"}
    picture = {"type": "image_generation_call", "id": "i", "result": "aGk="}
    made = parts(
        event("output_item.added", output_index=0, item=search),
        event("web_search_call.searching", output_index=0, item_id="w"),
        event("output_item.done", output_index=0, item=search),
        event("output_item.done", output_index=1, item=picture),
        COMPLETED,
    )
    raw = '{"type":"web_search_call","id":"w","status":"completed"}'
    assert made == (
        Hosted(vendor="openai", type="web_search_call", raw=raw, phase="call"),
        Media(kind="image", source=Base64("aGk="), mime="image/png"),
    )


def test_a_call_whose_head_has_no_name_waits_for_its_end() -> None:
    made = parts(
        event("output_item.added", output_index=0, item={"type": "function_call"}),
        event("function_call_arguments.delta", output_index=0, delta="{"),
        event("output_item.done", output_index=0, item=call("a", "{}")),
        event("output_item.added", output_index=1, item={"type": "function_call"}),
        COMPLETED,
    )
    assert made == (ToolCall(id="a", name="f", args="{}"),)


def test_a_call_whose_item_never_ends_is_what_came() -> None:
    made = parts(
        event("output_item.added", output_index=0, item=call("a", "")),
        event("function_call_arguments.delta", output_index=0, delta=1),
        event("function_call_arguments.delta", output_index=0, delta="{}"),
        event("function_call_arguments.hologram", output_index=0),
        COMPLETED,
    )
    assert made == (ToolCall(id="a", name="f", args="{}"),)


def test_parts_of_no_kind_are_none() -> None:
    part = {"type": "hologram"}
    made = parts(
        text("a"),
        event("content_part.done", output_index=0, content_index=0, part=part),
        event(
            "output_item.done",
            output_index=0,
            item={**message("a"), "content": [part, *message("a")["content"]]},
        ),
        event("completed", response=response(1, {"type": 2}, message("a"))),
    )
    assert made == (Text(text="a"),)


def test_an_incomplete_response_is_a_proper_end() -> None:
    details = {"reason": "max_output_tokens"}
    made = read(
        CREATED,
        text("x"),
        event("incomplete", response=response(status="incomplete", incomplete_details=details)),
    )
    assert made[-2:] == [StopSeen(Stop(reason=Reason.LENGTH, raw="max_output_tokens")), End()]


@pytest.mark.parametrize(
    ("last", "status", "code"),
    [
        (
            event(
                "failed", response=response(status="failed", error={"code": "server_error", "message": "m"})
            ),
            500,
            "server_error",
        ),
        (
            event(
                "failed",
                response=response(status="failed", error={"code": "rate_limit_exceeded", "message": "m"}),
            ),
            429,
            "rate_limit_exceeded",
        ),
        (
            Event(data=b'{"type":"error","code":"server_error","message":"m","param":null}'),
            500,
            "server_error",
        ),
        (Event(data=b'{"type":"error","error":{"type":"rate_limit_error","message":"m"}}'), 429, None),
        (Event(name="error", data=b'{"code":"slow_down","message":"m"}'), 503, "slow_down"),
        (Event(data=b'{"error":{"message":"m","type":"invalid_request_error"}}'), 400, None),
    ],
)
def test_errors_within_a_stream(last: Event, status: int, code: str | None) -> None:
    made = read(CREATED, text("x"), last, COMPLETED)[-1]
    assert isinstance(made, Failed)
    assert (made.error.status, made.error.code, made.error.message) == (status, code, "m")


def test_a_failed_response_still_tells_what_it_cost() -> None:
    failed = response(
        status="failed",
        error={"code": "server_error", "message": "m"},
        usage={"input_tokens": 9, "output_tokens": 0},
    )
    assert UsageSeen(Usage(input_tokens=9, output_tokens=0)) in read(
        CREATED, event("failed", response=failed)
    )


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ([CREATED, text("x")], "upstream_truncated"),
        ([], "upstream_truncated"),
        ([CREATED, Event(data=b"{")], "malformed_stream"),
        ([CREATED, event("incomplete", response=response(status="incomplete"))], "empty_reply"),
    ],
)
def test_streams_that_break(events: list[Event], code: str) -> None:
    made = read(*events)
    assert isinstance(made[-1], Failed) and made[-1].error.code == code
    assert sum(isinstance(one, Failed) for one in made) == 1


def test_what_is_no_event_is_no_harm() -> None:
    reader = StreamReader()
    assert reader.read(Event(comment=b"keepalive")) == [Ping()]
    assert reader.read(Event(data=b"[DONE]")) == []
    assert reader.read(Event(data=b"[1]")) == []
    assert reader.read(event("new.kind", anything=1)) == [Ping()]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
ITEM = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "reasoning", "function_call", "custom_tool_call", "x_call"]) | JSON},
    optional={
        name: JSON
        for name in ("id", "content", "summary", "arguments", "name", "call_id", "encrypted_content")
    },
)
KINDS = (
    "created",
    "output_item.added",
    "output_item.done",
    "content_part.done",
    "output_text.delta",
    "output_text.done",
    "output_text.annotation.added",
    "refusal.delta",
    "reasoning_summary_text.delta",
    "reasoning_text.delta",
    "function_call_arguments.delta",
    "function_call_arguments.done",
    "completed",
    "incomplete",
    "failed",
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from([f"response.{kind}" for kind in KINDS]) | JSON},
            optional={
                "item": ITEM | JSON,
                "response": st.fixed_dictionaries(
                    {}, optional={"output": st.lists(ITEM, max_size=2), "status": JSON}
                )
                | JSON,
                "output_index": st.integers(0, 2) | JSON,
                **{
                    name: JSON
                    for name in (
                        "content_index",
                        "summary_index",
                        "delta",
                        "text",
                        "part",
                        "annotation",
                        "error",
                    )
                },
            },
        ),
        max_size=8,
    )
)
def test_whatever_comes_makes_a_lawful_neutral_stream(told: list[dict[str, Any]]) -> None:
    made = read(*(Event(data=json.dumps(one).encode()) for one in told))
    assert isinstance(made[-1], End | Failed)
    open_part: int | None = None
    count = 0
    for one in made:
        match one:
            case PartStart(index=index):
                assert open_part is None and index == count
                open_part, count = index, count + 1
            case PartDelta(index=index, text=delta):
                assert index == open_part and delta
            case PartMeta(index=index):
                assert index == open_part
            case PartStop(index=index):
                assert index == open_part
                open_part = None
            case StopSeen() | End():
                assert open_part is None


# ---- written


def written(events: list[StreamEvent], asked: Request = ASKED) -> list[dict[str, Any]]:
    """The events as the SDK sees them; each lawful by itself and in its number."""
    writer = StreamWriter(asked)
    reader = SseReader()
    found: list[dict[str, Any]] = []
    for block in reader.feed(b"".join(writer.write(one) for one in events)):
        if block.data is not None:
            data = json.loads(block.data)
            assert (data["type"], data["sequence_number"]) == (block.name, len(found))
            SDK.validate_python(data)
            found.append(data)
    return found


def whole(*parts: Part, reason: Reason = Reason.STOP, **more: Any) -> Reply:
    choice = Choice(parts=parts, stop=Stop(reason=reason), logprobs=more.pop("logprobs", ()))
    return Reply(id="resp_a", model="mine", created=7, choices=(choice,), **more)


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [one["type"].removeprefix("response.") for one in events]


def test_the_order_of_a_texts_events() -> None:
    events = written(simulate(whole(Text(text="hi"))))
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert (events[0]["response"]["status"], events[0]["response"]["output"]) == ("in_progress", [])
    assert events[2]["item"] == {**events[7]["item"], "status": "in_progress", "content": []}
    assert (events[4]["delta"], events[4]["logprobs"]) == ("hi", [])


def test_the_order_of_a_calls_events() -> None:
    events = written(simulate(whole(ToolCall(id="c", name="f", args='{"a":1}'), reason=Reason.TOOL_CALLS)))
    assert kinds(events)[2:] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert (events[2]["item"]["arguments"], events[4]["arguments"]) == ("", '{"a":1}')


def test_the_order_of_reasonings_events() -> None:
    events = written(simulate(whole(Reasoning(summary=("a", "b"), sealed=SIGNED))))
    part = [
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
    ]
    assert kinds(events)[2:] == ["output_item.added", *part, *part, "output_item.done", "completed"]
    assert "encrypted_content" not in events[2]["item"]
    assert seals.opened(events[-2]["item"]["encrypted_content"]) == SIGNED


def test_a_delta_gives_an_event_at_once() -> None:
    writer = StreamWriter(ASKED)
    for one in (Start("resp_a", "mine", 1), PartStart(0, Text(text=""))):
        writer.write(one)
    assert b"output_text.delta" in writer.write(PartDelta(0, "text", "a"))
    assert writer.write(PartStop(0)) == b""
    assert b"reasoning_summary_text.delta" in writer.write(PartStart(1, Reasoning())) + writer.write(
        PartDelta(1, "summary", "b")
    )


def test_a_call_that_is_whole_is_over_at_once() -> None:
    writer = StreamWriter(ASKED)
    for one in (Start("resp_a", "mine", 1), PartStart(0, ToolCall(id="c", name="f", args=""))):
        writer.write(one)
    writer.write(PartDelta(0, "args", "{}"))
    assert b"response.output_item.done" in writer.write(PartStop(0))


def test_tokens_that_come_after_their_text_stand_with_it() -> None:
    token = {"token": "hi", "bytes": [104, 105], "logprob": -1.0, "top_logprobs": []}
    events = written(simulate(whole(Text(text="hi"), logprobs=(token,))))
    done = next(one for one in events if one["type"] == "response.output_text.done")
    assert done["logprobs"] == [token]
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == [token]
    assert Logprobs((token,)) in read(*_blocks(simulate(whole(Text(text="hi"), logprobs=(token,)))))


def _blocks(events: list[StreamEvent]) -> list[Event]:
    writer = StreamWriter(ASKED)
    return SseReader().feed(b"".join(writer.write(one) for one in events))


def test_pings_and_other_choices_are_no_events() -> None:
    writer = StreamWriter(ASKED)
    writer.write(Start("resp_a", "mine", 1))
    assert writer.write(Ping()) == b": keepalive\n\n"
    assert writer.write(PartStart(0, Text(text="x"), 1)) == b""


@pytest.mark.parametrize(("status", "code"), [(429, "rate_limit_exceeded"), (502, "server_error")])
def test_a_stream_that_breaks_ends_with_a_failed_response(status: int, code: str) -> None:
    events: list[StreamEvent] = [
        Start("resp_a", "mine", 1),
        PartStart(0, ToolCall(id="c", name="f", args="{}")),
        PartStop(0),
        PartStart(1, Text(text="")),
        PartDelta(1, "text", "hal"),
        UsageSeen(Usage(input_tokens=4)),
        Failed(Failure(status=status, message="m")),
        End(),
    ]
    last = written(events)[-1]
    assert last["type"] == "response.failed"
    assert (last["response"]["status"], last["response"]["error"]) == (
        "failed",
        {"code": code, "message": "m"},
    )
    assert [item["status"] for item in last["response"]["output"]] == ["completed", "incomplete"]
    assert last["response"]["usage"]["input_tokens"] == 4


@pytest.mark.parametrize(
    ("events", "kinds"),
    [
        ([PartStart(0, Reasoning())], []),
        ([PartStart(0, Reasoning()), PartDelta(0, "summary", "a")], ["reasoning"]),
        ([PartStart(0, ToolCall(id="c", name="f", args="")), PartDelta(0, "args", "{")], ["function_call"]),
    ],
)
def test_what_a_break_leaves_open_is_told(events: list[StreamEvent], kinds: list[str]) -> None:
    last = written([Start("resp_a", "mine", 1), *events, Failed(Failure(status=502, message="m"))])[-1]
    assert [item["type"] for item in last["response"]["output"]] == kinds


def test_a_stream_that_fails_before_it_began_is_still_whole() -> None:
    assert kinds(written([Failed(Failure(status=500, message="m"))])) == ["created", "in_progress", "failed"]


WORDS = st.text(st.characters(categories=["L", "Zs", "Po"]), max_size=6)
SEALS = st.none() | st.sampled_from([SIGNED, Sealed(vendor="google", kind="part", data="g")])
PARTS = st.one_of(
    st.builds(lambda text, sealed: Text(text=text, sealed=sealed), WORDS, SEALS),
    st.builds(lambda text: Text(text=text, citations=(Citation(url="u", title="t"),)), WORDS.filter(bool)),
    st.builds(lambda text: Refusal(text=text), WORDS),
    st.builds(
        lambda text, summary, sealed: Reasoning(text=text or None, summary=summary, sealed=sealed),
        WORDS,
        st.lists(WORDS.filter(bool), max_size=2).map(tuple),
        SEALS,
    ),
    st.builds(
        lambda args, kind, sealed: ToolCall(id="c", name="f", args=args, kind=kind, sealed=sealed),
        st.sampled_from(["{}", '{"a":1}', '{"a', ""]),
        st.sampled_from(["function", "custom"]),
        SEALS,
    ),
    st.just(Media(kind="image", source=Base64("aGk="), mime="image/png")),
    st.just(Hosted(vendor="google", type="executableCode", raw="{}", phase="call", text="1")),
)


@given(
    st.lists(PARTS, max_size=6), st.sampled_from(list(Reason)), st.sampled_from([None, Usage(input_tokens=1)])
)
def test_the_last_object_of_a_stream_is_the_reply_itself(
    found: list[Part], reason: Reason, usage: Usage | None
) -> None:
    reply = whole(*found, reason=reason, usage=usage, service_tier="default")
    events = written(simulate(reply))
    assert events[-1]["response"] == json.loads(write_reply(reply, ASKED))
    done = [one["item"] for one in events if one["type"] == "response.output_item.done"]
    assert done == events[-1]["response"]["output"]
    added = [one for one in events if one["type"] == "response.output_item.added"]
    assert [one["output_index"] for one in added] == list(range(len(done)))
    assert [one["item"]["id"] for one in added] == [item["id"] for item in done]
    _texts_equal_their_deltas(events)


def _texts_equal_their_deltas(events: list[dict[str, Any]]) -> None:
    came: dict[tuple[Any, ...], str] = {}
    for one in events:
        stem, _, ending = one["type"].rpartition(".")
        key = (stem, one.get("item_id"), one.get("content_index"), one.get("summary_index"))
        if ending == "delta":
            came[key] = came.get(key, "") + one["delta"]
        elif ending == "done" and stem.removeprefix("response.") in DONE:
            assert came.get(key, "") == one[DONE[stem.removeprefix("response.")]]


DONE = {
    "output_text": "text",
    "refusal": "refusal",
    "reasoning_text": "text",
    "reasoning_summary_text": "text",
    "function_call_arguments": "arguments",
    "custom_tool_call_input": "input",
}


@given(st.lists(PARTS, max_size=6))
def test_what_is_written_reads_the_same_streamed_or_whole(found: list[Part]) -> None:
    reply = whole(*found)
    body = write_reply(reply, ASKED)
    assert collected(*_blocks(simulate(reply))).choices[:1] == (
        read_reply(body).choices
        if json.loads(body)["output"]
        else (Choice(stop=Stop(reason=Reason.STOP, raw="completed")),)
    )


@pytest.mark.parametrize("part", [Text(text=""), Reasoning()])
def test_deltas_that_follow_one_another_are_one_part(part: Part) -> None:
    deltas = [PartDelta(0, "text", "a"), PartDelta(0, "text", "b")]
    told = written([PartStart(0, part), *deltas, PartStop(0), End()])
    assert kinds(told).count("content_part.added") == 1
    assert told[-1]["response"]["output"][0]["content"][0]["text"] == "ab"


def test_tokens_may_come_before_their_text() -> None:
    token = {"token": "a", "bytes": [97], "logprob": -1.0, "top_logprobs": []}
    events: list[StreamEvent] = [
        PartStart(0, Text(text="")),
        Logprobs((token,)),
        PartDelta(0, "text", "a"),
        PartStop(0),
        End(),
    ]
    (item,) = written(events)[-1]["response"]["output"]
    assert item["content"][0]["logprobs"] == [token]


def test_citations_may_come_before_their_text() -> None:
    cited = PartMeta(0, "citations", (Citation(url="u", title="t"),))
    end: list[StreamEvent] = [PartStop(0), StopSeen(Stop(reason=Reason.STOP)), End()]
    head: list[StreamEvent] = [Start("resp_a", "mine", 1), PartStart(0, Text(text=""))]
    early = written([*head, cited, PartDelta(0, "text", "hi"), *end])
    late = written([*head, PartDelta(0, "text", "hi"), cited, *end])
    assert early[-1] == late[-1]
    assert early[-1]["response"]["output"][0]["content"][0]["annotations"][0]["end_index"] == 2


def test_a_reply_without_an_id_has_the_same_one_streamed_or_whole() -> None:
    reply = Reply(id=None, model="mine", created=1, choices=whole(Text(text="x")).choices)
    assert written(simulate(reply))[-1]["response"] == json.loads(write_reply(reply, ASKED))


def test_hosted_work_that_is_left_open_holds_nothing_back() -> None:
    listing = {"type": "mcp_list_tools", "id": "l"}
    reader = StreamReader()
    reader.read(CREATED)
    reader.read(event("output_item.added", output_index=0, item=listing))
    reader.read(event("output_item.added", output_index=1, item=message()))
    assert reader.read(text("at once", 1))[-1] == PartDelta(0, "text", "at once")
