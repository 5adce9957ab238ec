"""What readers and writers of all dialects share: parts in order, counts, and streams added up."""

from __future__ import annotations

from typing import Any

import pytest

from llmitm.exchange import Usage
from llmitm.translate.neutral import (
    Base64,
    Choice,
    Citation,
    End,
    ExtrasSeen,
    Failed,
    Failure,
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
    Sealed,
    Start,
    Stop,
    StopSeen,
    StreamEvent,
    Text,
    ToolCall,
    UsageSeen,
)
from llmitm.translate.stream import Collector, Parts, merged, simulate

SEAL = Sealed(vendor="anthropic", kind="thinking", data="sig")
URL = Citation(url="https://a.example")
PLACE = Citation(kind="document", title="t")
STOP = Stop(reason=Reason.STOP)


def test_parts_follow_one_another() -> None:
    parts, out = Parts(choice=2), list[StreamEvent]()
    parts.summary("w", out)
    parts.summary("", out)
    parts.summary("hy", out)
    parts.text("a", out)
    parts.text("", out)
    parts.text("b", out)
    parts.open(ToolCall(id="1", name="f", args=""), out)
    parts.args("{}", out)
    parts.args("", out)
    parts.meta("sealed", SEAL, out)
    parts.close(out)
    parts.close(out)
    assert out == [
        PartStart(0, Reasoning(), 2),
        PartDelta(0, "summary", "w", 0, 2),
        PartDelta(0, "summary", "hy", 0, 2),
        PartStop(0, 2),
        PartStart(1, Text(text=""), 2),
        PartDelta(1, "text", "a", 0, 2),
        PartDelta(1, "text", "b", 0, 2),
        PartStop(1, 2),
        PartStart(2, ToolCall(id="1", name="f", args=""), 2),
        PartDelta(2, "args", "{}", 0, 2),
        PartMeta(2, "sealed", SEAL, 2),
        PartStop(2, 2),
    ]


def test_nothing_opens_no_part() -> None:
    parts, out = Parts(), list[StreamEvent]()
    parts.text("", out)
    parts.summary("", out)
    assert (out, parts.index, parts.kind) == ([], -1, None)


COUNTS = [
    ("the first is what is known", None, Usage(input_tokens=1), Usage(input_tokens=1)),
    ("nothing changes nothing", Usage(input_tokens=1), None, Usage(input_tokens=1)),
    ("later counts replace", Usage(output_tokens=1), Usage(output_tokens=5), Usage(output_tokens=5)),
    (
        "what they do not say stays",
        Usage(input_tokens=3),
        Usage(output_tokens=5),
        Usage(input_tokens=3, output_tokens=5),
    ),
    ("an input of zero is none", Usage(input_tokens=3), Usage(input_tokens=0), Usage(input_tokens=3)),
    ("unless it was unknown", Usage(), Usage(input_tokens=0), Usage(input_tokens=0)),
    ("an output of zero is one", Usage(output_tokens=3), Usage(output_tokens=0), Usage(output_tokens=0)),
    (
        "uses of tools stay",
        Usage(server_tools=(("a", 1),)),
        Usage(output_tokens=1),
        Usage(output_tokens=1, server_tools=(("a", 1),)),
    ),
]


@pytest.mark.parametrize(
    ("known", "more", "expected"), [row[1:] for row in COUNTS], ids=[row[0] for row in COUNTS]
)
def test_counts_are_merged(known: Usage | None, more: Usage | None, expected: Usage) -> None:
    assert merged(known, more) == expected


def collected(*events: Any) -> Collector:
    collector = Collector()
    for event in events:
        collector.add(event)
    return collector


# the rule, an empty part, what is said of it, the part in the end
METAS: list[tuple[str, Part, list[PartMeta], Part]] = [
    ("a seal of reasoning", Reasoning(), [PartMeta(0, "sealed", SEAL)], Reasoning(sealed=SEAL)),
    (
        "the last seal counts",
        Text(text=""),
        [PartMeta(0, "sealed", None), PartMeta(0, "sealed", SEAL)],
        Text(text="", sealed=SEAL),
    ),
    (
        "sources add up",
        Text(text=""),
        [PartMeta(0, "citations", (URL,)), PartMeta(0, "citations", (PLACE,))],
        Text(text="", citations=(URL, PLACE)),
    ),
    (
        "a refusal has neither",
        Refusal(text=""),
        [PartMeta(0, "sealed", SEAL), PartMeta(0, "citations", (URL,))],
        Refusal(text=""),
    ),
    ("reasoning has no sources", Reasoning(), [PartMeta(0, "citations", (URL,))], Reasoning()),
]


@pytest.mark.parametrize(
    ("part", "metas", "expected"), [row[1:] for row in METAS], ids=[row[0] for row in METAS]
)
def test_what_belongs_to_a_part(part: Part, metas: list[PartMeta], expected: Part) -> None:
    made = collected(Start("i", "m"), PartStart(0, part), *metas, PartStop(0), StopSeen(STOP), End()).reply()
    assert made.choices == (Choice(parts=(expected,), stop=STOP),)


def test_choices_are_told_apart_and_stand_in_order() -> None:
    made = collected(
        Start("i", "m"),
        PartStart(0, Text(text=""), 1),
        PartStart(0, Text(text=""), 0),
        PartDelta(0, "text", "b", 0, 1),
        PartDelta(0, "text", "a", 0, 0),
        Ping(),
        Logprobs(({"token": "b"},), 1),
        StopSeen(STOP, 2),
    ).reply()
    assert made.choices == (
        Choice(index=0, parts=(Text(text="a"),)),
        Choice(index=1, parts=(Text(text="b"),), logprobs=({"token": "b"},)),
        Choice(index=2, stop=STOP),
    )


def test_what_a_stream_says_of_itself() -> None:
    made = collected(
        Start("i", "m", 7, Usage(input_tokens=1), "default"),
        ExtrasSeen({"a": 1}),
        ExtrasSeen({"b": 2}, "flex"),
        UsageSeen(Usage(input_tokens=1, output_tokens=2)),
    ).reply()
    assert (made.id, made.model, made.created, made.service_tier) == ("i", "m", 7, "flex")
    assert (made.usage, made.extras) == (Usage(input_tokens=1, output_tokens=2), {"a": 1, "b": 2})


def test_a_failure_is_kept() -> None:
    failure = Failure(status=502, message="gone")
    assert collected(Start("i", "m"), Failed(failure)).failure == failure


WHOLE = [
    Text(text="a", citations=(URL,), sealed=SEAL),
    Text(text=""),
    Refusal(text="no"),
    Reasoning(text="why", summary=("a", "b"), sealed=SEAL),
    Reasoning(text="", summary=("", "b")),
    Reasoning(),
    ToolCall(id="1", name="f", args="{}", sealed=SEAL),
    ToolCall(id="1", name="f", args=""),
    Media(kind="image", source=Base64("AAAA")),
]


@pytest.mark.parametrize("part", WHOLE)
def test_a_simulated_stream_adds_up_to_its_reply(part: Part) -> None:
    for more in ({}, {"usage": Usage(input_tokens=1), "extras": {"a": 1}, "service_tier": "flex"}):
        choices = (
            Choice(parts=(part, part), stop=STOP, logprobs=({"token": "a"},)),
            Choice(index=1, parts=(part,)),
        )
        reply = Reply(id="i", model="m", created=7, choices=choices, **more)  # type: ignore[arg-type]
        events = simulate(reply)
        assert collected(*events).reply() == reply
        assert events[-1] == End()
