"""Masking and then restoring gives the original, however a stream is cut, in all four dialects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmitm.exchange import Dialect
from llmitm.shape.cloak.cloak import Cloak, Uncloak
from llmitm.shape.cloak.words import Expression

WORDS = ("Acme", "acme corp", 'Bob "the" \\X', "quartz", "Müller", Expression(r"[a-z]+@[a-z]+\.com"))
CLOAK = Cloak.of(system_prompt=None, is_strict=False, words=WORDS, has_pseudonym=False, key=b"k" * 32)
SNIPPETS = st.sampled_from(
    [
        *(
            "Acme",
            "ACME",
            "aCMe cORP",
            'Bob "the" \\X',
            "quartz",
            "QUARTZ",
            "Müller",
            "MÜLLER",
            "eve@acme.com",
        ),
        *(
            "z",
            "zm",
            "zmask",
            "zmask_",
            "zmask_abc",
            "zmask_aaaaaaaaaa",
            "zmask_zmask_",
            "zmask_abcdefghi",
            "jazz",
            " ",
            "Z",
            "ZMASK_",
            "ZMASK_ABC",
            "ZMASK_AAAAAAAAAA",
            "Zmask_aaaaaaaaaa",
            "zMaSk_aaaaaaaaaa",
        ),
        *('"', "\\", "\n", "}", "é", "\U0001f600", "the ", "a"),
    ]
)
TEXTS = st.lists(SNIPPETS, max_size=12).map("".join)

type Piece = tuple[int, str]
"""Of which text, and what of it comes."""
type Events = Callable[[Sequence[Piece], int], Iterator[bytes]]
type Read = Callable[[Sequence[bytes], int], list[str]]


def masked(text: str) -> tuple[str, Uncloak]:
    body = orjson.dumps({"messages": [{"role": "user", "content": text}]})
    out, uncloak = CLOAK.out(body, Dialect.OPENAI_CHAT, None, is_generating=True)
    assert uncloak is not None
    return orjson.loads(out)["messages"][0]["content"], uncloak


def sse(data: Any, name: str | None = None, end: bytes = b"\n\n") -> bytes:
    head = b"" if name is None else b"event: " + name.encode() + end[: len(end) // 2]
    return head + b"data: " + (data if isinstance(data, bytes) else orjson.dumps(data)) + end


def data_of(events: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    for event in events:
        for line in event.splitlines():
            if line.startswith(b"data: {"):
                yield orjson.loads(line[6:])


def chat(pieces: Sequence[Piece], count: int) -> Iterator[bytes]:
    for which, text in pieces:
        yield sse({"id": "fizz", "choices": [{"index": which, "delta": {"content": text}}]})
    for which in range(count):
        yield sse({"id": "fizz", "choices": [{"index": which, "delta": {}, "finish_reason": "stop"}]})
    yield b"data: [DONE]\n\n"


def read_chat(events: Sequence[bytes], count: int) -> list[str]:
    texts = [""] * count
    for event in data_of(events):
        for choice in event["choices"]:
            texts[choice["index"]] += choice["delta"].get("content", "")
    return texts


def chat_calls(pieces: Sequence[Piece], count: int) -> Iterator[bytes]:
    for which, text in pieces:
        call = {"index": which, "function": {"arguments": text}}
        yield sse({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    yield sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    yield b"data: [DONE]\n\n"


def read_chat_calls(events: Sequence[bytes], count: int) -> list[str]:
    texts = [""] * count
    for event in data_of(events):
        for call in event["choices"][0]["delta"].get("tool_calls", ()):
            texts[call["index"]] += call["function"]["arguments"]
    return texts


def responses(pieces: Sequence[Piece], count: int) -> Iterator[bytes]:
    whole = [""] * count
    for at, (which, text) in enumerate(pieces):
        whole[which] += text
        event = {"type": "response.output_text.delta", "sequence_number": at, "item_id": f"msg_{which}z"}
        yield sse(event | {"output_index": which, "content_index": 0, "delta": text}, event["type"])  # type: ignore[arg-type]
    for which, text in enumerate(whole):
        event = {"type": "response.output_text.done", "item_id": f"msg_{which}z", "content_index": 0}
        yield sse(event | {"text": text}, event["type"])  # type: ignore[arg-type]
    yield sse({"type": "response.completed", "response": {"output": whole}}, "response.completed")


def read_responses(events: Sequence[bytes], count: int) -> list[str]:
    texts = [""] * count
    snapshots: list[list[str]] = [[], []]
    for event in data_of(events):
        if event["type"] == "response.output_text.delta":
            texts[event["output_index"]] += event["delta"]
        elif event["type"] == "response.output_text.done":
            snapshots[0].append(event["text"])
        else:
            snapshots[1] = event["response"]["output"]
    assert snapshots == [texts, texts]
    return texts


def messages(pieces: Sequence[Piece], count: int) -> Iterator[bytes]:
    yield sse({"type": "message_start", "message": {"id": "msg_z"}}, "message_start")
    for which in range(count):  # blocks follow one another
        start = {"type": "content_block_start", "index": which, "content_block": {"type": "text", "text": ""}}
        yield sse(start, "content_block_start")
        for whose, text in pieces:
            if whose == which:
                yield b'event: ping\ndata: {"type":"ping"}\n\n'
                delta = {"type": "text_delta", "text": text}
                event = {"type": "content_block_delta", "index": which, "delta": delta}
                yield sse(event, "content_block_delta")
        yield sse({"type": "content_block_stop", "index": which}, "content_block_stop")
    yield sse({"type": "message_stop"}, "message_stop")


def read_messages(events: Sequence[bytes], count: int) -> list[str]:
    texts = [""] * count
    for event in data_of(events):
        if event["type"] == "content_block_delta":
            texts[event["index"]] += event["delta"].get("text", event["delta"].get("partial_json", ""))
    return texts


def messages_calls(pieces: Sequence[Piece], count: int) -> Iterator[bytes]:
    for which, text in pieces:
        delta = {"type": "input_json_delta", "partial_json": text}
        yield sse({"type": "content_block_delta", "index": which, "delta": delta}, "content_block_delta")
    for which in range(count):
        yield sse({"type": "content_block_stop", "index": which}, "content_block_stop")


def gemini(pieces: Sequence[Piece], count: int) -> Iterator[bytes]:
    for which, text in pieces:
        content = {"role": "model", "parts": [{"text": text}]}
        yield sse({"candidates": [{"index": which, "content": content}]}, end=b"\r\n\r\n")
    for which in range(count):
        yield sse({"candidates": [{"index": which, "finishReason": "STOP"}]}, end=b"\r\n\r\n")


def read_gemini(events: Sequence[bytes], count: int) -> list[str]:
    texts = [""] * count
    for event in data_of(events):
        for candidate in event["candidates"]:
            for part in candidate.get("content", {}).get("parts", ()):
                texts[candidate["index"]] += part["text"]
    return texts


STREAMS: Mapping[str, tuple[Dialect, Events, Read]] = {
    "chat": (Dialect.OPENAI_CHAT, chat, read_chat),
    "responses": (Dialect.OPENAI_RESPONSES, responses, read_responses),
    "messages": (Dialect.ANTHROPIC_MESSAGES, messages, read_messages),
    "gemini": (Dialect.GEMINI, gemini, read_gemini),
}
CALLS: Mapping[str, tuple[Dialect, Events, Read]] = {
    "chat": (Dialect.OPENAI_CHAT, chat_calls, read_chat_calls),
    "messages": (Dialect.ANTHROPIC_MESSAGES, messages_calls, read_messages),
}


def cut[T: (str, bytes)](data: st.DataObject, whole: T) -> list[T]:
    most = min(len(whole), 40)
    places = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=most)))
    return [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)]


def shuffled(data: st.DataObject, texts: Sequence[str]) -> list[Piece]:
    """Pieces of all texts, those of each in order."""
    left = [cut(data, text) for text in texts]
    pieces: list[Piece] = []
    while waiting := [which for which, one in enumerate(left) if one]:
        which = data.draw(st.sampled_from(waiting))
        pieces.append((which, left[which].pop(0)))
    return pieces


def through(data: st.DataObject, uncloak: Uncloak, dialect: Dialect, whole: bytes) -> bytes:
    stream = Uncloak(
        dialect=dialect, words=uncloak.words, vocabulary=uncloak.vocabulary, restorer=uncloak.restorer
    ).stream()
    return b"".join([*(stream.feed(piece) for piece in cut(data, whole)), stream.finish()])


def events_of(whole: bytes) -> list[bytes]:
    return [one for one in whole.replace(b"\r\n", b"\n").split(b"\n\n") if one]


@pytest.mark.parametrize("name", STREAMS)
@settings(deadline=None)
@given(data=st.data(), texts=st.lists(TEXTS, min_size=1, max_size=3))
def test_a_masked_text_is_restored_from_any_stream(name: str, data: st.DataObject, texts: list[str]) -> None:
    dialect, write, read = STREAMS[name]
    seen, uncloak = masked("\x00".join(texts))
    pieces = shuffled(data, seen.split("\x00"))
    sent = list(write(pieces, len(texts)))
    got = events_of(through(data, uncloak, dialect, b"".join(sent)))
    assert read(got, len(texts)) == texts
    assert len(got) == len(sent), "no event is made up, and none is taken away"


@pytest.mark.parametrize("name", CALLS)
@settings(deadline=None)
@given(data=st.data(), values=st.lists(TEXTS, min_size=1, max_size=3))
def test_arguments_stay_json_whatever_words_they_hold(
    name: str, data: st.DataObject, values: list[str]
) -> None:
    dialect, write, read = CALLS[name]
    seen, uncloak = masked("\x00".join(values))
    arguments = [json.dumps({"x": value, "n": [value]}) for value in seen.split("\x00")]
    sent = b"".join(write(shuffled(data, arguments), len(values)))
    got = read(events_of(through(data, uncloak, dialect, sent)), len(values))
    assert [json.loads(one) for one in got] == [{"x": value, "n": [value]} for value in values]


@pytest.mark.parametrize("name", STREAMS)
@settings(deadline=None)
@given(data=st.data(), texts=st.lists(TEXTS, min_size=1, max_size=3))
def test_a_stream_without_marks_of_ours_passes_byte_for_byte(
    name: str, data: st.DataObject, texts: list[str]
) -> None:
    dialect, write, _ = STREAMS[name]
    _, uncloak = masked("nothing to hide")
    sent = b"".join(write(shuffled(data, texts), len(texts)))
    fresh = Cloak.of(system_prompt=None, is_strict=False, words=["Zebra"], has_pseudonym=False, key=b"o" * 32)
    _, uncloak = fresh.out(b"{}", dialect, None, is_generating=True)  # type: ignore[assignment]
    assert through(data, uncloak, dialect, sent) == sent


@settings(deadline=None)
@given(data=st.data(), text=TEXTS)
def test_a_json_array_over_time_is_restored(data: st.DataObject, text: str) -> None:
    seen, uncloak = masked(text)
    chunks = [
        orjson.dumps({"candidates": [{"content": {"parts": [{"text": piece}]}}]}) for piece in cut(data, seen)
    ]
    sent = b"[" + b"\n,\r\n".join(chunks) + b"]\n"
    stream = Uncloak(
        dialect=Dialect.GEMINI, words=uncloak.words, vocabulary=uncloak.vocabulary, restorer=uncloak.restorer
    ).elements()
    got = b"".join([*(stream.feed(piece) for piece in cut(data, sent)), stream.finish()])
    texts = [one["candidates"][0]["content"]["parts"][0]["text"] for one in orjson.loads(got)]
    assert "".join(texts) == text
    assert len(texts) == len(chunks)


@settings(deadline=None)
@given(data=st.data(), text=TEXTS)
def test_a_whole_answer_is_restored_however_it_comes(data: st.DataObject, text: str) -> None:
    seen, uncloak = masked(text)
    call = {"function": {"name": "find", "arguments": json.dumps({"x": seen})}}
    reply = {"choices": [{"message": {"content": seen, "tool_calls": [call]}}], "error": {"message": seen}}
    pieces = uncloak.pieces(is_json=True)
    got = b"".join([*(pieces.feed(one) for one in cut(data, orjson.dumps(reply))), pieces.finish()])
    read = orjson.loads(got)
    message = read["choices"][0]["message"]
    assert (message["content"], read["error"]["message"]) == (text, text)
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"x": text}


def test_what_waits_for_the_rest_of_a_mark_comes_when_the_stream_breaks_off() -> None:
    _, uncloak = masked("Acme")
    stream = uncloak.stream()
    event = sse({"choices": [{"index": 0, "delta": {"content": "a quiz zmas"}}]})
    assert stream.feed(event) == b""
    assert stream.finish() == event


def test_a_text_that_ends_like_a_mark_waits_for_its_end_and_no_longer() -> None:
    _, uncloak = masked("Acme")
    stream = uncloak.stream()
    first = sse({"choices": [{"index": 0, "delta": {"content": "a quiz"}}]})
    other = sse({"choices": [{"index": 1, "delta": {"content": "b"}}]})
    rest = sse({"choices": [{"index": 0, "delta": {"content": "!"}}]})
    assert stream.feed(first) == b""
    assert stream.feed(other) == b"", "events keep their order"
    assert stream.feed(rest) == first + other + rest
    assert stream.feed(other) == other


def test_data_of_an_event_that_goes_over_several_lines_is_joined() -> None:
    seen, uncloak = masked("Acme")
    stream = uncloak.stream()
    first = b'data: {"choices":\ndata: [{"index":0,"delta":{"content":"' + seen[:7].encode() + b'"}}]}\n\n'
    rest = sse({"choices": [{"index": 0, "delta": {"content": seen[7:]}}]})
    got = stream.feed(first) + stream.feed(rest) + stream.finish()
    assert read_chat(events_of(got), 1) == ["Acme"]


@pytest.mark.parametrize("name", STREAMS)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_a_mark_in_capitals_is_the_word_in_capitals(name: str, data: st.DataObject) -> None:
    dialect, write, read = STREAMS[name]
    seen, uncloak = masked("Acme\x00Müller")
    acme, mueller = seen.split("\x00")
    texts = [f"{acme.upper()}_KEY={mueller}", f"{mueller.capitalize()}: {mueller.upper()}, {acme}"]
    got = through(data, uncloak, dialect, b"".join(write(shuffled(data, texts), len(texts))))
    assert read(events_of(got), len(texts)) == ["ACME_KEY=Müller", "Müller: MÜLLER, Acme"]
