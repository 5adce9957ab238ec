"""A completion made into a stream is the same completion."""

from __future__ import annotations

import time
import unicodedata
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from llmitm.translate.reshape import DONE, NotACompletion, collect_chat, simulate_chat
from llmitm.translate.words import words

CALL: dict[str, Any] = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look", "arguments": '{"where": "übér"}'},
}
TEXT = "def f():\n\treturn 1   # grüß dich\n\n  日本語のテキスト 👨‍👩‍👧 \n"


def reply(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-demo",
        "choices": [
            {"index": at, "message": message, "finish_reason": "stop"} for at, message in enumerate(messages)
        ],
        **more,
    }


def chunks(events: list[bytes]) -> list[dict[str, Any]]:
    return [orjson.loads(event.removeprefix(b"data: ")) for event in events[:-1]]


def deltas(events: list[bytes]) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in chunks(events) for choice in chunk["choices"]]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
CALLS = st.fixed_dictionaries(
    {"id": st.uuids().map(str)},
    optional={
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": st.text(max_size=5), "arguments": st.text(max_size=80)}),
        "custom": st.fixed_dictionaries({"name": st.text(max_size=5), "input": st.text(max_size=80)}),
        "extra_content": JSON,
    },
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | st.text() | st.lists(JSON, max_size=2)},
    optional={
        "refusal": st.none() | st.text(max_size=20),
        "reasoning_content": st.none() | st.text(max_size=20),
        "reasoning": st.text(max_size=20),
        "reasoning_details": st.lists(JSON, max_size=2),
        "annotations": st.lists(JSON, max_size=2),
        "audio": st.dictionaries(st.sampled_from(["id", "data", "transcript"]), st.text(max_size=9)),
        "tool_calls": st.none() | st.lists(CALLS, max_size=3, unique_by=lambda call: str(call["id"])),
        "function_call": st.none()
        | st.fixed_dictionaries({"name": st.text(max_size=5), "arguments": st.text(max_size=60)}),
        "x_vendor": JSON,
    },
)
TOKENS = st.none() | st.lists(
    st.fixed_dictionaries({"token": st.text(max_size=3), "logprob": st.floats(-9, 0)})
)
CHOICES = st.fixed_dictionaries(
    {"message": MESSAGES, "finish_reason": st.none() | st.sampled_from(["stop", "tool_calls", "length"])},
    optional={
        "logprobs": st.none() | st.fixed_dictionaries({"content": TOKENS, "refusal": TOKENS}),
        "content_filter_results": JSON,
    },
)


@st.composite
def replies(draw: st.DrawFn) -> dict[str, Any]:
    whole = draw(
        st.fixed_dictionaries(
            {"id": st.text(max_size=9), "created": st.integers(0, 2**40), "model": st.text(max_size=9)},
            optional={
                "system_fingerprint": st.none() | st.text(max_size=5),
                "service_tier": st.none() | st.text(max_size=5),
                "usage": st.dictionaries(st.text(max_size=5), st.integers(0, 99), min_size=1),
                "x_groq": JSON,
                "moderation": JSON,
            },
        )
    )
    choices = draw(st.lists(CHOICES, max_size=3))
    return {
        **whole,
        "object": "chat.completion",
        "choices": [{"index": at, **choice} for at, choice in enumerate(choices)],
    }


@given(replies())
def test_collecting_a_simulated_stream_gives_the_completion_back(whole: dict[str, Any]) -> None:
    assert collect_chat(simulate_chat(orjson.dumps(whole), include_usage=True)) == whole


@settings(max_examples=25, deadline=None)
@given(replies())
def test_only_usage_is_left_out_where_it_was_not_asked_for(whole: dict[str, Any]) -> None:
    events = simulate_chat(orjson.dumps(whole), include_usage=False)
    assert collect_chat(events) == {name: value for name, value in whole.items() if name != "usage"}
    assert all("usage" not in chunk for chunk in chunks(events))


def test_the_order_is_role_texts_calls_finish_usage_done() -> None:
    message = {"role": "assistant", "content": "a b", "reasoning_content": "hm", "tool_calls": [CALL]}
    whole = reply(message, usage={"total_tokens": 3}, system_fingerprint="fp", service_tier="default")
    events = simulate_chat(orjson.dumps(whole), include_usage=True)
    assert events[-1] == DONE == b"data: [DONE]\n\n"
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}, "index": 0}
    assert deltas(events) == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm"},
        {"content": "a"},
        {"content": " b"},
        {"tool_calls": [call]},
        {"tool_calls": [{"function": {"arguments": '{"where": "übér"}'}, "index": 0}]},
        {},
    ]
    *others, finish, usage = chunks(events)
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in others)
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert (usage["choices"], usage["usage"]) == ([], {"total_tokens": 3})
    assert all(chunk["usage"] is None for chunk in (*others, finish))
    for chunk in chunks(events):
        assert {name: chunk[name] for name in ("id", "created", "model", "system_fingerprint")} == {
            name: whole[name] for name in ("id", "created", "model", "system_fingerprint")
        }
        assert chunk["object"] == "chat.completion.chunk"


def test_white_space_is_kept_to_the_byte() -> None:
    events = simulate_chat(orjson.dumps(reply({"role": "assistant", "content": TEXT})), include_usage=False)
    texts = [delta["content"] for delta in deltas(events) if "content" in delta]
    assert "".join(texts) == TEXT
    assert len(texts) > 10


def test_a_finish_reason_is_copied_and_never_made_up() -> None:
    for reason in ("length", "content_filter", None):
        whole = reply({"role": "assistant", "content": "a"})
        whole["choices"][0]["finish_reason"] = reason
        *_, last = chunks(simulate_chat(orjson.dumps(whole), include_usage=False))
        assert last["choices"][0]["finish_reason"] == reason


def test_choices_that_share_an_index_are_not_mixed() -> None:
    whole = reply({"role": "assistant", "content": "one"}, {"role": "assistant", "content": "two"})
    for choice in whole["choices"]:
        choice["index"] = 0
    collected = collect_chat(simulate_chat(orjson.dumps(whole), include_usage=False))
    assert [choice["message"]["content"] for choice in collected["choices"]] == ["one", "two"]


def test_the_official_client_collects_the_same() -> None:
    message = {
        "role": "assistant",
        "content": TEXT,
        "refusal": None,
        "tool_calls": [CALL, {**CALL, "id": "2"}],
    }
    logprobs = {
        "content": [{"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": []}],
        "refusal": None,
    }
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    whole = reply(message, {"role": "assistant", "content": "other"}, usage=usage)
    whole["choices"][0] |= {"logprobs": logprobs, "finish_reason": "tool_calls"}
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks(simulate_chat(orjson.dumps(whole), include_usage=True)):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    got = state.get_final_completion().model_dump()
    assert got["usage"]["total_tokens"] == 3
    first, second = got["choices"]
    assert (first["finish_reason"], first["message"]["content"]) == ("tool_calls", TEXT)
    assert first["logprobs"]["content"][0]["token"] == "a"
    assert [call["id"] for call in first["message"]["tool_calls"]] == ["call_1", "2"]
    names = {call["function"]["arguments"] for call in first["message"]["tool_calls"]}
    assert names == {CALL["function"]["arguments"]}
    assert second["message"]["content"] == "other"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'"text"',
        b'{"error":{"message":"no"}}',
        b'{"error":{"message":"no"},"choices":[]}',
        b'{"data":[]}',
        b'{"choices":null}',
        b'{"choices":{}}',
        b'{"choices":[1]}',
        b'{"choices":[{"text":"of the completions API"}]}',
        b'{"choices":[{"message":null}]}',
    ],
)
def test_what_is_no_completion_is_told_by_a_typed_error(body: bytes) -> None:
    with pytest.raises(NotACompletion):
        simulate_chat(body, include_usage=True)


def test_collecting_joins_the_logprobs_and_lists_of_a_live_stream() -> None:
    def block(choice: dict[str, Any]) -> bytes:
        return b"data: " + orjson.dumps({"id": "x", "choices": [{"index": 0, **choice}]})

    collected = collect_chat(
        [
            block({"delta": {"role": "assistant", "content": ""}, "logprobs": None}),
            b": keepalive",
            block({"delta": {"content": "a", "reasoning_details": [1]}, "logprobs": {"content": ["A"]}}),
            block({"delta": {"content": "b", "reasoning_details": [2]}, "logprobs": {"content": ["B"]}}),
            block({"delta": {}, "finish_reason": "stop"}),
            b"data: [DONE]",
        ]
    )
    (choice,) = collected["choices"]
    assert choice["message"] == {"role": "assistant", "content": "ab", "reasoning_details": [1, 2]}
    assert choice["logprobs"] == {"content": ["A", "B"]}
    assert choice["finish_reason"] == "stop"


def test_nothing_never_replaces_what_was_said() -> None:
    def block(delta: dict[str, Any]) -> bytes:
        return b"data: " + orjson.dumps({"id": "x", "choices": [{"index": 0, "delta": delta}]})

    named = {"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}
    unnamed = {"index": 0, "id": None, "function": {"name": None, "arguments": "{}"}}
    collected = collect_chat(
        [
            block({"role": "assistant", "refusal": None, "tool_calls": [named]}),
            block({"role": None, "refusal": None, "tool_calls": [unnamed]}),
            b"data: [DONE]",
        ]
    )
    message = collected["choices"][0]["message"]
    assert (message["role"], message["refusal"]) == ("assistant", None)
    assert message["tool_calls"] == [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]


@pytest.mark.parametrize(
    "indexes",
    [(0, 0, 0, 0), (0, 0, 1, 1), (None, None, None, None), (-1, -1, -1, -1)],
    ids=["all 0", "counted", "none", "-1"],
)
def test_calls_are_told_apart_however_a_host_numbers_them(indexes: tuple[int | None, ...]) -> None:
    parts: list[dict[str, Any]] = [
        {"id": "a", "function": {"name": "f", "arguments": "1"}},
        {"function": {"arguments": "2"}},
        {"id": "b", "function": {"name": "g", "arguments": "3"}},
        {"id": "b", "function": {"arguments": "4"}},
    ]
    blocks = []
    for index, part in zip(indexes, parts, strict=True):
        call = part if index is None else {"index": index, **part}
        blocks.append(b"data: " + orjson.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}))
    calls = collect_chat(blocks)["choices"][0]["message"]["tool_calls"]
    assert [(call["id"], call["function"]) for call in calls] == [
        ("a", {"name": "f", "arguments": "12"}),
        ("b", {"name": "g", "arguments": "34"}),
    ]


@pytest.mark.parametrize("block", [b"data: {", b"data: 1", b'data: {"choices":[1,null]}', b"nonsense", b""])
def test_what_is_no_chunk_is_left_out(block: bytes) -> None:
    good = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}'
    assert collect_chat([block, good])["choices"][0]["message"] == {"content": "a"}


@given(st.text(), st.integers(1, 9))
def test_words_join_to_the_text_and_are_no_more_than_asked(text: str, most: int) -> None:
    assert "".join(words(text)) == text
    few = words(text, most)
    assert "".join(few) == text and len(few) <= most and all(few)


SIGNS = [
    "e\u0301",
    "か\u3099",
    "👍🏽",
    "👨\u200d👩\u200d👧\u200d👦",
    "🇩🇪",
    "❤\ufe0f",
    "ก็",
    "น้ำ",
    "한",
    "本",
    "字",
]


@given(st.lists(st.sampled_from([*SIGNS, " ", "a"])))
def test_no_word_begins_within_what_is_read_as_one_sign(parts: list[str]) -> None:
    text = "".join(parts)
    starts, at = {0}, 0
    for part in parts:
        at += len(part)
        starts.add(at)
    at = 0
    for word in words(text):
        assert at in starts
        assert not unicodedata.category(word[0]).startswith("M")
        at += len(word)


@pytest.mark.parametrize("text", ["日本語のテキストは空白なしで書かれる", "ภาษาไทยเขียนโดยไม่เว้นวรรค"])
def test_scripts_without_blanks_come_in_small_runs(text: str) -> None:
    runs = words(text)
    assert len(runs) >= 3 and max(map(len, runs)) <= 10


@pytest.mark.parametrize("sign", ["a ", " ", "本", "\U0001f1e9", "か\u3099", "\u0301"])
def test_words_take_linear_time(sign: str) -> None:
    def spent_s(count: int) -> float:
        started_s = time.process_time()
        words(sign * count)
        return time.process_time() - started_s

    short_s = max(min(spent_s(5_000) for _ in range(3)), 0.0005)
    assert min(spent_s(40_000) for _ in range(3)) < short_s * 32  # 8 if linear, 64 if quadratic


def test_a_long_text_does_not_become_a_hundred_times_as_many_bytes() -> None:
    whole = orjson.dumps(reply({"role": "assistant", "content": "a " * 500_000}))
    assert sum(map(len, simulate_chat(whole, include_usage=False))) < 3 * len(whole)
