"""Laws of the translation, on generated replies and on every golden stream."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llmitm.exchange import Dialect, Usage
from llmitm.translate import jsontext, models, pair
from llmitm.translate.dialects import CODECS
from llmitm.translate.neutral import (
    Base64,
    Choice,
    Citation,
    Media,
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
from llmitm.translate.sse import SseReader
from llmitm.translate.stream import Collector, simulate
from llmitm.translate.target import Target
from support import golden

CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI
PAIRS = [
    pytest.param(upstream, client, id=f"{upstream}>{client}")
    for upstream in Dialect
    for client in Dialect
    if upstream is not client
]
STREAMS = [case for case in golden.load() if case.kind == "stream"]
SAME_EACH_TIME = settings(database=None, derandomize=True)

# ---- replies

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=30)
names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,20}", fullmatch=True)
counts = st.integers(0, 10**6)
arguments = st.dictionaries(
    st.text("abc", min_size=1, max_size=3), st.one_of(st.none(), st.booleans(), counts, words), max_size=3
).map(jsontext.text_of)
seals = st.builds(
    Sealed,
    vendor=st.sampled_from(["anthropic", "openai", "google"]),
    kind=st.sampled_from(["thinking", "encrypted", "part"]),
    data=st.text("abcd", min_size=1),
)
citations = st.builds(Citation, url=words, title=words, start=counts, end=counts, raw=st.just("{}"))
calls = st.builds(ToolCall, id=st.from_regex(r"call_[a-z0-9]{6}", fullmatch=True), name=names, args=arguments)
plain_parts = st.one_of(st.builds(Text, text=words), calls)
rich_parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(
        Text, text=words, citations=st.lists(citations, max_size=2).map(tuple), sealed=st.none() | seals
    ),
    st.builds(Refusal, text=words),
    st.builds(Reasoning, text=words, sealed=st.none() | seals),
    st.builds(Reasoning, summary=st.lists(words, max_size=3).map(tuple), sealed=st.none() | seals),
    st.builds(replace, calls, sealed=st.none() | seals),
    st.just(Media(kind="image", source=Base64("AAAA"), mime="image/png")),
)
usages = st.builds(
    lambda fresh, read, output, thought: Usage(
        input_tokens=fresh + read,
        output_tokens=output + thought,
        cache_read_tokens=read,
        reasoning_tokens=thought,
    ),
    counts, counts, counts, counts,
)  # fmt: skip
stops = st.builds(Stop, reason=st.sampled_from(list(Reason)), raw=words)


@st.composite
def rich_replies(draw: st.DrawFn) -> Reply:
    """Whatever the neutral form can say."""
    choices = tuple(
        Choice(
            index=index,
            parts=tuple(draw(st.lists(rich_parts, max_size=4))),
            stop=draw(stops),
            logprobs=draw(st.sampled_from([(), ({"token": "a", "logprob": -0.5},)])),
        )
        for index in range(draw(st.integers(1, 3)))
    )
    return Reply(
        id=draw(st.none() | words),
        model=draw(st.none() | words),
        created=draw(st.none() | counts),
        choices=choices,
        usage=draw(st.none() | usages),
        service_tier=draw(st.none() | words),
        extras=draw(st.sampled_from([{}, {"search_entry_point": {"a": 1}}])),
    )


@st.composite
def plain_replies(draw: st.DrawFn) -> Reply:
    """What every dialect can say: one text, then calls."""
    parts: tuple[Part, ...] = tuple(draw(st.lists(st.builds(Text, text=words), max_size=1)))
    some = tuple(
        draw(st.lists(calls, min_size=0 if parts else 1, max_size=3, unique_by=lambda call: call.id))
    )
    reason = Reason.TOOL_CALLS if some else draw(st.sampled_from([Reason.STOP, Reason.LENGTH]))
    choice = Choice(parts=parts + some, stop=Stop(reason=reason))
    return Reply(id="x_1", model="m", created=7, choices=(choice,), usage=draw(usages))


def said(reply: Reply) -> dict[str, Any]:
    """What of a reply reaches its reader, whatever the dialect: no seals, no words of one vendor alone."""
    usage = reply.usage or Usage()
    return {
        "choices": [
            (choice.index, [_said(part) for part in choice.parts], choice.stop and choice.stop.reason)
            for choice in reply.choices
        ],
        "usage": (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens or 0),
    }


def in_order(client: Dialect, reply: Reply) -> dict[str, Any]:
    """The same, where a stream was late with a seal: that alone says nothing. A whole chat message has no
    order between reasoning, text and calls; Gemini's pieces of a text may be parts of their own."""
    told = said(reply)
    told["choices"] = [(index, _ordered(client, parts), reason) for index, parts, reason in told["choices"]]
    return told


def _ordered(client: Dialect, parts: list[Any]) -> list[Any]:
    made: list[Any] = []
    thought = "".join(part[1] for part in parts if part[0] == "Reasoning") if client is CHAT else ""
    for part in parts:
        if part in (("Reasoning", ""), ("Text", "")) or (client is CHAT and part[0] == "Reasoning"):
            continue
        if client is GEMINI and part[0] == "Text" and made and made[-1][0] == "Text":
            part = ("Text", made.pop()[1] + part[1])
        made.append(part)
    return ["".join(thought.split()), *made]


def _said(part: Part) -> Any:
    match part:
        case Text(text=text) | Refusal(text=text):
            return type(part).__name__, text
        case ToolCall():
            return part.id, part.name, _value(part.args)
        case Reasoning():
            return "Reasoning", part.readable
        case Media():
            return part.kind, part.source, part.mime
        case _:
            return type(part).__name__


def _value(args: str) -> Any:
    try:
        return orjson.loads(args)
    except orjson.JSONDecodeError:
        return args


def asked_by(dialect: Dialect) -> Request:
    asked = golden.ASKED[dialect]
    if dialect is GEMINI:
        return pair.read_request(dialect, jsontext.dumps(asked), model="m", is_stream=True)
    return pair.read_request(dialect, jsontext.dumps(asked | {"stream": True}))


def upstream(dialect: Dialect) -> Target:
    facts = golden.TARGETS[dialect]
    return Target(dialect=dialect, row=models.find(facts["model"], dialect), **facts)


def collected(dialect: Dialect, pieces: Iterable[bytes]) -> Collector:
    """A stream as its reader takes it."""
    sse, reader, collector = SseReader(), CODECS[dialect].reader(), Collector()
    events = [event for piece in pieces for event in sse.feed(piece)] + sse.finish()
    for event in events:
        for one in reader.read(event):
            collector.add(one)
    for one in reader.finish():
        collector.add(one)
    return collector


def written(dialect: Dialect, reply: Reply) -> bytes:
    writer = CODECS[dialect].writer(asked_by(dialect))
    return b"".join(map(writer.write, simulate(reply)))


def _has_one_thought(choice: Choice) -> bool:
    thoughts = [part for part in choice.parts if isinstance(part, Reasoning)]
    return not thoughts or (len(thoughts) == 1 and len(thoughts[0].summary) < 2)


def loosely(dialect: Dialect, reply: Reply) -> dict[str, Any]:
    """Without the borders of texts in a row, which mean nothing. A message of chat has one place for each
    kind of part, so it cannot say which came first."""
    told = said(reply)
    choices = []
    for index, parts, reason in told["choices"]:
        if dialect is CHAT:
            parts = sorted(parts, key=lambda one: str(one) if one[0] not in _TEXTS else one[0])
        joined: list[Any] = []
        for one in parts:
            if joined and one[0] in _TEXTS and joined[-1][0] == one[0]:
                joined[-1] = (one[0], joined[-1][1] + one[1])
            else:
                joined.append(one)
        choices.append((index, joined, reason))
    return told | {"choices": choices}


_TEXTS = ("Text", "Refusal", "Reasoning")


def normal(reply: Reply) -> Reply:
    """As it is after a stream: an empty text of reasoning says as much as none."""

    def part(one: Part) -> Part:
        return replace(one, text=one.text or None) if isinstance(one, Reasoning) else one

    choices = tuple(
        replace(choice, parts=tuple(map(part, choice.parts))) for choice in reply.choices if choice
    )
    return replace(reply, choices=choices)


@SAME_EACH_TIME
@given(rich_replies())
def test_what_is_simulated_is_collected_again(reply: Reply) -> None:
    collector = Collector()
    for event in simulate(reply):
        collector.add(event)
    assert collector.failure is None
    assert normal(collector.reply()) == normal(reply)


@pytest.mark.parametrize("dialect", list(Dialect))
@SAME_EACH_TIME
@given(reply=plain_replies())
def test_what_is_written_is_read_again(dialect: Dialect, reply: Reply) -> None:
    body = CODECS[dialect].write_reply(reply, asked_by(dialect))
    assert said(CODECS[dialect].read_reply(body)) == said(reply)


@pytest.mark.parametrize("dialect", list(Dialect))
@SAME_EACH_TIME
@given(reply=plain_replies(), cut=st.integers(1, 50))
def test_a_stream_says_the_same_as_a_whole_reply(dialect: Dialect, reply: Reply, cut: int) -> None:
    text = written(dialect, reply)
    collector = collected(dialect, (text[at : at + cut] for at in range(0, len(text), cut)))
    assert collector.failure is None
    assert said(collector.reply()) == said(reply)


@pytest.mark.parametrize("dialect", list(Dialect))
@SAME_EACH_TIME
@given(reply=rich_replies())
def test_any_reply_can_be_written_and_read(dialect: Dialect, reply: Reply) -> None:
    """Dialects may say less of it, but the whole and the stream say the same."""
    if dialect is CHAT:  # it has one place for all reasoning
        assume(all(_has_one_thought(choice) for choice in reply.choices))
    body = CODECS[dialect].write_reply(reply, asked_by(dialect))
    collector = collected(dialect, [written(dialect, reply)])
    try:
        whole = CODECS[dialect].read_reply(body)
    except UpstreamError:
        return
    assert collector.failure is None
    assert loosely(dialect, collector.reply()) == loosely(dialect, whole)


@pytest.mark.parametrize(("source", "client"), PAIRS)
@SAME_EACH_TIME
@given(reply=plain_replies())
def test_a_reply_is_the_same_in_every_pair(source: Dialect, client: Dialect, reply: Reply) -> None:
    made = pair.Translation(asked_by(client), upstream(source))
    whole = CODECS[client].read_reply(made.reply(CODECS[source].write_reply(reply, asked_by(source))))
    stream = made.stream()
    text = stream.feed(written(source, reply)) + stream.finish()
    assert stream.failure is None
    assert said(whole) == said(collected(client, [text]).reply())
    ids = {call.id: n for n, call in enumerate(whole.choices[0].parts) if isinstance(call, ToolCall)}
    assert len(ids) == sum(isinstance(part, ToolCall) for part in reply.choices[0].parts)
    assert _without_ids(whole) == _without_ids(reply)


def _without_ids(reply: Reply) -> dict[str, Any]:
    choice = reply.choices[0]
    parts = tuple(replace(one, id="") if isinstance(one, ToolCall) else one for one in choice.parts)
    return said(replace(reply, choices=(replace(choice, parts=parts),)))


# ---- golden streams


def cut_at_random(text: bytes, rng: random.Random) -> list[bytes]:
    cuts = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(1, 40)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@pytest.mark.parametrize(("source", "client"), PAIRS)
def test_any_split_of_any_stream_gives_the_same_bytes(source: Dialect, client: Dialect) -> None:
    rng = random.Random(7)
    cases = [case for case in STREAMS if case.dialect is source]
    assert cases
    for case in cases:
        given = case.given
        whole = golden.fed(case, client, [given])
        for pieces in ([bytes([one]) for one in given], *(cut_at_random(given, rng) for _ in "abc")):
            assert golden.fed(case, client, pieces) == whole, case.name


@pytest.mark.parametrize(("source", "client"), PAIRS)
def test_a_stream_says_the_same_added_up_before_or_after(source: Dialect, client: Dialect) -> None:
    for case in (case for case in STREAMS if case.dialect is source):
        stream = pair.Translation(asked_by(client), upstream(source)).stream()
        text = stream.feed(case.given) + stream.finish()
        failure = stream.failure
        before = pair.Translation(asked_by(client), upstream(source)).collector()
        before.feed(case.given)
        if failure is not None:
            with pytest.raises(UpstreamError) as raised:
                before.finish()
            assert raised.value.failure == failure, case.name
            continue
        after = collected(client, [text])
        assert after.failure is None, case.name
        whole = CODECS[client].read_reply(before.finish())
        assert in_order(client, after.reply()) == in_order(client, whole), case.name
