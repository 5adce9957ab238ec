"""Replies on their way back: what they are called, what a client's dialect cannot hold, streams as wholes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.exchange import Dialect
from llmitm.translate import ids, stream
from llmitm.translate.backward import Backward
from llmitm.translate.fit.request import fit
from llmitm.translate.neutral import (
    Base64,
    Choice,
    Citation,
    End,
    ExtrasSeen,
    Failed,
    Hosted,
    Logprobs,
    Media,
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
    Reply,
    Request,
    Sealed,
    Settings,
    Start,
    Stop,
    StopSeen,
    Text,
    Tool,
    ToolCall,
    UpstreamError,
    UsageSeen,
)
from llmitm.translate.notes import Notes
from llmitm.translate.target import Target
from support.fitting import CHAT, GEMINI, MESSAGES, RESPONSES, asked, call, target, told

NOW_S = 1_790_000_123
SPARE = "spare"
FREE = Tool(name="sh", kind="custom")
INNER = Tool(name="f", namespace="n")
HOST: dict[str, Any] = {"vendor": "groq", "is_openai": False}


def way_back(client: Dialect, to: Target, *tools: Tool, **more: Any) -> tuple[Backward, Notes, Request]:
    request = asked(dialect=client, tools=tools, **more)
    notes = Notes()
    _, names = fit(request, to, Notes())
    return Backward(request, to, names, notes, now_s=NOW_S, spare_id=SPARE), notes, request


def reply_of(*parts: Part, stop: Stop | None = None, **more: Any) -> Reply:
    made = Choice(parts=parts, stop=stop or Stop(reason=Reason.STOP), **more)
    return Reply(id="msg_1", model="m", created=7, choices=(made,))


def both_ways(
    client: Dialect, to: Target, reply: Reply, *tools: Tool, **more: Any
) -> tuple[Reply, list[str]]:
    """The reply as the client reads it, told whole; and as a stream it is the same."""
    back, notes, _ = way_back(client, to, *tools, **more)
    made = back.reply(reply)
    back, said, _ = way_back(client, to, *tools, **more)
    collector = stream.Collector()
    for event in stream.simulate(reply):
        for one in back.event(event):
            collector.add(one)
    assert collector.reply() == made
    assert sorted(told(said.told)) == sorted(told(notes.told))
    return made, told(notes.told)


# ---- parts

SEAL = Sealed(vendor="anthropic", kind="thinking", data="sig")
OURS = replace(SEAL, scope="acc")
WORDLESS = Sealed(vendor="anthropic", kind="thinking", scope="acc")
CLAUDE, ASTRA = target(MESSAGES, scope="acc"), target(RESPONSES, scope="acc")
CODE = Hosted(vendor="google", type="code", raw="{}", phase="call", text="1+1")
ODD = Opaque(dialect=MESSAGES, type="x", raw="{}")
PNG = Media(kind="image", source=Base64("AAAA"), mime="image/png")
WAV = Media(kind="audio", source=Base64("AAAA"), mime="audio/wav")
BY_URL, BY_PLACE = (
    Citation(url="https://a.example", vendor="anthropic"),
    Citation(kind="document", vendor="anthropic"),
)
BROKEN = ["adjusted:invalid-arguments"]
HIDDEN = ["lost:hosted-activity"]


def shell(args: str, **more: Any) -> ToolCall:
    return call(name="sh", args=args, **more)


# the rule, the client, the upstream, a part, what becomes of it (None: nothing), what is told
PARTS: list[tuple[str, Dialect, Target, Part, Part | None, list[str]]] = [
    ("text is text", CHAT, CLAUDE, Text(text="a"), Text(text="a"), []),
    ("a refusal too", MESSAGES, ASTRA, Refusal(text="no"), Refusal(text="no"), []),
    (
        "a seal says whose account made it",
        CHAT,
        CLAUDE,
        Reasoning(summary=("a",), sealed=SEAL),
        Reasoning(summary=("a",), sealed=OURS),
        [],
    ),
    (
        "and whose API, whatever its dialect is called",
        CHAT,
        target(MESSAGES, vendor="deepseek"),
        Reasoning(text="a", sealed=SEAL),
        Reasoning(text="a", sealed=replace(SEAL, vendor="deepseek")),
        [],
    ),
    (
        "chat's hosts pass others' seals",
        MESSAGES,
        target(CHAT, vendor="openrouter"),
        Reasoning(text="a", sealed=SEAL),
        Reasoning(text="a", sealed=SEAL),
        [],
    ),
    ("a seal of a text", CHAT, CLAUDE, Text(text="a", sealed=SEAL), Text(text="a", sealed=OURS), []),
    (
        "Anthropic's clients send back what is sealed alone",
        MESSAGES,
        ASTRA,
        Reasoning(text="a"),
        Reasoning(text="a", sealed=replace(WORDLESS, vendor="openai")),
        [],
    ),
    (
        "also of an upstream without a name",
        MESSAGES,
        replace(ASTRA, vendor=""),
        Reasoning(text="a"),
        Reasoning(text="a", sealed=replace(WORDLESS, vendor="openai-responses")),
        [],
    ),
    ("others need none", CHAT, CLAUDE, Reasoning(text="a"), Reasoning(text="a"), []),
    ("a call keeps its id", CHAT, CLAUDE, call(), call(), []),
    ("one without gets one", CHAT, CLAUDE, call(""), call(ids.made_call_id("msg_1", 0, 0, "f")), []),
    (
        "one that its client cannot spell is hidden in another",
        MESSAGES,
        ASTRA,
        call("a:b"),
        call(ids.for_client(MESSAGES, "a:b")),
        [],
    ),
    (
        "a seal of a call says which",
        CHAT,
        CLAUDE,
        call(sealed=SEAL),
        call(sealed=replace(OURS, ref="call_1")),
        [],
    ),
    ("a tool is called what the client called it", CHAT, CLAUDE, call(name="n__f"), call(name="n__f"), []),
    (
        "with its namespace where there are some",
        RESPONSES,
        CLAUDE,
        call(name="n__f"),
        call(name="f", namespace="n"),
        [],
    ),
    ("unknown ones keep their name", CHAT, CLAUDE, call(name="other"), call(name="other"), []),
    ("and their namespace, in the name", CHAT, ASTRA, call(name="g", namespace="m"), call(name="m__g"), []),
    (
        "free text comes out of its object",
        RESPONSES,
        CLAUDE,
        shell('{"input": "l\\u00e9\\n"}'),
        shell("l\u00e9\n", kind="custom"),
        [],
    ),
    (
        "other members beside it are lost, and told",
        RESPONSES,
        CLAUDE,
        shell('{"input":"ls","cwd":"/"}'),
        shell("ls", kind="custom"),
        BROKEN,
    ),
    (
        "also before it",
        RESPONSES,
        CLAUDE,
        shell('{"cwd":"/","input":"ls"}'),
        shell("ls", kind="custom"),
        BROKEN,
    ),
    (
        "half a sign is none",
        RESPONSES,
        CLAUDE,
        shell('{"input":"a\\ud83d"}'),
        shell("a\ufffd", kind="custom"),
        [],
    ),
    (
        "what is no such object is the text",
        RESPONSES,
        CLAUDE,
        shell("ls"),
        shell("ls", kind="custom"),
        BROKEN,
    ),
    (
        "no text in it neither",
        RESPONSES,
        CLAUDE,
        shell('{"input":3}'),
        shell('{"input":3}', kind="custom"),
        BROKEN,
    ),
    ("nor a list", RESPONSES, CLAUDE, shell("[1]"), shell("[1]", kind="custom"), BROKEN),
    (
        "free text to a client without it is an object",
        MESSAGES,
        ASTRA,
        call(name="x", args='a "b"', kind="custom"),
        call(name="x", args='{"input":"a \\"b\\""}'),
        [],
    ),
    (
        "also empty",
        GEMINI,
        replace(ASTRA, model="x"),
        call(name="x", args="", kind="custom"),
        call(name="x", args='{"input":""}'),
        [],
    ),
    ("what a vendor's tool did can be read by some", CHAT, CLAUDE, CODE, CODE, ["adjusted:hosted-as-text"]),
    ("not by responses", RESPONSES, CLAUDE, CODE, None, HIDDEN),
    ("nor without words", CHAT, CLAUDE, replace(CODE, text=None), None, HIDDEN),
    ("unknown blocks are nobody's", CHAT, CLAUDE, ODD, None, HIDDEN),
    ("pictures to chat", CHAT, target(GEMINI), PNG, PNG, []),
    ("not to messages", MESSAGES, target(GEMINI), PNG, None, ["lost:output-media"]),
    ("no sounds", RESPONSES, target(GEMINI), WAV, None, ["lost:output-media"]),
    ("but to Gemini's", GEMINI, target(CHAT), WAV, WAV, []),
    (
        "sources with an address",
        CHAT,
        CLAUDE,
        Text(text="a", citations=(BY_URL,)),
        Text(text="a", citations=(BY_URL,)),
        [],
    ),
    (
        "those without are lost",
        CHAT,
        CLAUDE,
        Text(text="a", citations=(BY_URL, BY_PLACE)),
        Text(text="a", citations=(BY_URL, BY_PLACE)),
        ["lost:citations"],
    ),
    (
        "messages shows Anthropic's",
        MESSAGES,
        ASTRA,
        Text(text="a", citations=(BY_PLACE,)),
        Text(text="a", citations=(BY_PLACE,)),
        [],
    ),
    (
        "and nobody else's",
        MESSAGES,
        ASTRA,
        Text(text="a", citations=(replace(BY_URL, vendor="openai"),)),
        Text(text="a", citations=(replace(BY_URL, vendor="openai"),)),
        ["lost:citations"],
    ),
]


@pytest.mark.parametrize(
    ("client", "to", "part", "expected", "warned"), [row[1:] for row in PARTS], ids=[row[0] for row in PARTS]
)
def test_each_part(client: Dialect, to: Target, part: Part, expected: Part | None, warned: list[str]) -> None:
    made, said = both_ways(client, to, reply_of(part, Text(text="after")), FREE, INNER)
    wanted = (Text(text="after"),) if expected is None else (expected, Text(text="after"))
    assert made.choices[0].parts == wanted
    assert said == warned


def test_the_same_id_twice_in_a_reply_is_two() -> None:
    made, _ = both_ways(CHAT, CLAUDE, reply_of(call("x"), call("x"), call(""), call("")))
    first, second, *rest = (part.id for part in made.choices[0].parts if isinstance(part, ToolCall))
    assert (first, ids.from_client(first), ids.from_client(second)) == ("x", "x", "x")
    assert second != first
    assert rest == [ids.made_call_id("msg_1", 0, n, "f") for n in (2, 3)]


# ---- the whole


def test_names_of_a_reply_are_the_clients() -> None:
    made, _ = both_ways(CHAT, CLAUDE, reply_of(Text(text="a")))
    assert (made.id, made.model, made.created) == ("chatcmpl-1", "asked-for", 7)
    unnamed = replace(reply_of(Text(text="a")), id=None, created=None)
    made, _ = both_ways(MESSAGES, ASTRA, unnamed)
    assert (made.id, made.created) == (f"msg_{SPARE}", NOW_S)


def test_a_reply_of_nothing_has_a_choice_of_nothing() -> None:
    back, _, _ = way_back(CHAT, CLAUDE)
    assert back.reply(Reply(id="x", model="m", choices=())).choices == (Choice(),)
    assert back.reply(Reply(id="x", model="m", choices=(Choice(),))).choices == (Choice(),)


STOPS: list[tuple[str, Dialect, Target, Stop, Stop, list[str]]] = [
    ("a stop is one", CHAT, CLAUDE, Stop(reason=Reason.LENGTH), Stop(reason=Reason.LENGTH), []),
    (
        "a turn that waits is told",
        CHAT,
        CLAUDE,
        Stop(reason=Reason.PAUSE),
        Stop(reason=Reason.PAUSE),
        ["lost:paused-turn"],
    ),
    (
        "a broken call too",
        CHAT,
        CLAUDE,
        Stop(reason=Reason.MALFORMED_CALL),
        Stop(reason=Reason.MALFORMED_CALL),
        ["lost:malformed-call"],
    ),
    (
        "and an unknown end",
        CHAT,
        CLAUDE,
        Stop(reason=Reason.OTHER),
        Stop(reason=Reason.OTHER),
        ["lost:finish-reason"],
    ),
    (
        "a word that was asked for stopped it",
        MESSAGES,
        target(CHAT),
        Stop(reason=Reason.STOP_SEQUENCE, sequence="END"),
        Stop(reason=Reason.STOP_SEQUENCE, sequence="END"),
        [],
    ),
    (
        "a host's own word is none",
        MESSAGES,
        target(CHAT),
        Stop(reason=Reason.STOP_SEQUENCE, sequence="</s>"),
        Stop(reason=Reason.STOP),
        [],
    ),
    (
        "Anthropic tells only those that were",
        CHAT,
        CLAUDE,
        Stop(reason=Reason.STOP_SEQUENCE, sequence="</s>"),
        Stop(reason=Reason.STOP_SEQUENCE, sequence="</s>"),
        [],
    ),
]


@pytest.mark.parametrize(
    ("client", "to", "stop", "expected", "warned"), [row[1:] for row in STOPS], ids=[row[0] for row in STOPS]
)
def test_each_end(client: Dialect, to: Target, stop: Stop, expected: Stop, warned: list[str]) -> None:
    reply = reply_of(Text(text="a"), stop=stop)
    made, said = both_ways(client, to, reply, settings=Settings(stop=("END",)))
    assert (made.choices[0].stop, said) == (expected, warned)


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        (Stop(reason=Reason.MALFORMED_CALL), "malformed_function_call"),
        (Stop(reason=Reason.OTHER, raw="LANGUAGE"), "empty_reply"),
    ],
)
def test_a_reply_without_parts_that_should_have_some_is_an_error(stop: Stop, code: str) -> None:
    back, _, _ = way_back(CHAT, CLAUDE)
    with pytest.raises(UpstreamError) as caught:
        back.reply(reply_of(stop=stop))
    assert (caught.value.failure.status, caught.value.failure.code) == (502, code)
    assert (stop.raw or stop.reason) in caught.value.failure.message
    assert back.event(StopSeen(stop)) == [Failed(caught.value.failure)]


def test_an_empty_answer_is_an_answer() -> None:
    made, said = both_ways(CHAT, CLAUDE, reply_of(stop=Stop(reason=Reason.STOP)))
    assert (made.choices[0].parts, said) == ((), [])


def test_logprobs_are_lost_to_messages_alone() -> None:
    for client, warned in ((MESSAGES, ["lost:logprobs"]), (CHAT, [])):
        back, notes, _ = way_back(client, target(GEMINI))
        back.reply(reply_of(Text(text="a"), logprobs=({"token": "a"},)))
        back.event(Logprobs(({"token": "a"},)))
        assert told(notes.told) == warned


# ---- streams


def test_what_is_left_out_leaves_no_gap() -> None:
    back, _, _ = way_back(CHAT, CLAUDE)
    given: list[Any] = [
        PartStart(0, ODD),
        PartDelta(0, "text", "x"),
        PartMeta(0, "sealed", SEAL),
        PartStop(0),
        PartStart(1, Text(text="")),
        PartDelta(1, "text", "a"),
        PartMeta(1, "citations", (BY_PLACE,)),
        PartStop(1),
    ]
    assert [one for event in given for one in back.event(event)] == [
        PartStart(0, Text(text="")),
        PartDelta(0, "text", "a"),
        PartMeta(0, "citations", (BY_PLACE,)),
        PartStop(0),
    ]


def test_seals_that_come_late() -> None:
    back, _, _ = way_back(MESSAGES, ASTRA)
    assert back.event(PartStart(0, call("call_9"))) == [PartStart(0, call("call_9"))]
    sealed = replace(SEAL, vendor="openai", scope="acc", ref="call_9")
    assert back.event(PartMeta(0, "sealed", SEAL)) == [PartMeta(0, "sealed", sealed)]
    assert back.event(PartStop(0)) == [PartStop(0)]
    assert back.event(PartStart(1, Refusal(text=""))) == [PartStart(1, Refusal(text=""))]
    late = replace(SEAL, vendor="openai", scope="acc")
    assert back.event(PartMeta(1, "sealed", SEAL)) == [PartMeta(1, "sealed", late)]


@pytest.mark.parametrize("event", [Ping(), End(), ExtrasSeen({}), UsageSeen(usage=None)])  # type: ignore[arg-type]
def test_other_events_pass(event: Any) -> None:
    back, _, _ = way_back(CHAT, CLAUDE)
    assert back.event(event) == [event]


def test_a_stream_that_says_nothing_of_itself_gets_its_name() -> None:
    back, _, _ = way_back(CHAT, CLAUDE)
    assert back.event(Start(None, None)) == [Start(f"chatcmpl-{SPARE}", "asked-for", NOW_S)]


# ---- free text in pieces


def unwrapped_in(pieces: list[str]) -> tuple[str, list[str]]:
    back, notes, _ = way_back(RESPONSES, CLAUDE, FREE)
    events: list[Any] = [PartStart(0, shell(""))]
    events += [*(PartDelta(0, "args", piece) for piece in pieces), PartStop(0)]
    made = [one for event in events for one in back.event(event)]
    return "".join(one.text for one in made if isinstance(one, PartDelta)), told(notes.told)


@given(st.text(), st.data())
def test_free_text_comes_out_whole_of_any_cut(text: str, data: st.DataObject) -> None:
    for is_ascii in (True, False):
        args = json.dumps({"input": text}, ensure_ascii=is_ascii)
        cuts = sorted(data.draw(st.sets(st.integers(0, len(args)), max_size=6)))
        pieces = [args[a:b] for a, b in zip([0, *cuts], [*cuts, len(args)], strict=True)]
        assert unwrapped_in(pieces) == (text, [])


ODD_TEXTS = [
    ("an escape that is none stays as it is", ['{"input":"a\\d'], "a\\d", BROKEN),
    ("and so does all after one that has no end", ['{"input":"a\\uZ', 'Z"}'], 'a\\uZZ"}', BROKEN),
    ("half a pair before a whole one", ['{"input":"\\ud83d\\ud83d\\u', 'de00"}'], "\ufffd\U0001f600", []),
    ("half a pair before other signs", ['{"input":"\\ud83d\\n\\ud83d"}'], "\ufffd\n\ufffd", []),
    ("what only looks like half a pair", ['{"input":"\\\\ud83d', '\\ude00"}'], "\\ud83d\ufffd", []),
    ("what was cut is told so far", ['{"input":"ab', "c"], "abc", BROKEN),
    ("half a pair is none", ['{"input":"\\ud83d', 'x"}'], "\ufffdx", []),
    ("both halves are one", ['{"input":"\\ud83d', '\\ude00"}'], "\U0001f600", []),
    ("what follows is nothing", ['{"input":"a"', " }"], "a", []),
    ("or others", ['{"input":"a"', ',"b":1}'], "a", BROKEN),
]


@pytest.mark.parametrize(
    ("pieces", "text", "warned"), [row[1:] for row in ODD_TEXTS], ids=[row[0] for row in ODD_TEXTS]
)
def test_odd_texts(pieces: list[str], text: str, warned: list[str]) -> None:
    assert unwrapped_in(pieces) == (text, warned)


def test_arguments_of_a_stream_are_seen_by_clients_that_need_objects() -> None:
    for args, warned in (("{}", []), ("", []), ("[1]", BROKEN)):
        _, said = both_ways(GEMINI, target(CHAT), reply_of(call(args=args)))
        assert said == warned
