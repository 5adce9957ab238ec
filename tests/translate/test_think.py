"""Reasoning between tags at the beginning of texts becomes reasoning, however a stream cuts it."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.translate import think
from llmitm.translate.sse import SseReader

CASES = [
    ("<think>a b</think>c d", "a b", "c d"),
    ("<think>\na\n</think>\n\nc", "a\n", "c"),
    (" \n<think>a</think>c", "a", "c"),
    ("<think></think>c", "", "c"),
    ("<think>\n\n</think>\n\nc", "", "c"),
    ("<think>a</think>", "a", ""),
    ("<think>never ends</thin", "never ends</thin", ""),
    ("<think>", "", ""),
    ("<think>a</think>b<think>c</think>d", "a", "b<think>c</think>d"),
    ("<think>a <b> </ </thinking </think>c", "a <b> </ </thinking ", "c"),
    ("<think><think>a</think>b</think>", "<think>a", "b</think>"),
    ("<think>a<</think>b", "a<", "b"),
    ("<think>a</</think>b", "a</", "b"),
    ("x <think>a</think>", "", "x <think>a</think>"),
    ("<thinking>a</thinking>", "", "<thinking>a</thinking>"),
    ("<Think>a</Think>", "", "<Think>a</Think>"),
    ("<th", "", "<th"),
    ("  ", "", "  "),
    ("", "", ""),
    ("</think>a", "", "</think>a"),
    (" " * 65 + "<think>a</think>b", "", " " * 65 + "<think>a</think>b"),
]


def fed(pieces: list[str]) -> tuple[str, str]:
    splitter = think.Splitter()
    every = [splitter.feed(piece) for piece in pieces] + [splitter.finish()]
    assert splitter.is_over
    return "".join(said for said, _ in every), "".join(text for _, text in every)


@pytest.mark.parametrize(("text", "said", "rest"), CASES)
def test_every_split_gives_the_same(text: str, said: str, rest: str) -> None:
    assert think.split(text) == (said, rest)
    assert fed(list(text)) == (said, rest)
    for first, last in itertools.combinations_with_replacement(range(len(text) + 1), 2):
        assert fed([text[:first], text[first:last], text[last:]]) == (said, rest)


TEXTS = st.lists(st.sampled_from(["<think>", "</think>", "<", "</", "th", "ink>", " ", "\n", "a", "🦀"])).map(
    "".join
)


@given(TEXTS, st.lists(st.integers(0, 60)))
def test_cuts_change_nothing_and_nothing_but_tags_and_blanks_is_lost(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    said, rest = fed([text[start:end] for start, end in itertools.pairwise(places)])
    assert (said, rest) == think.split(text)
    if not text.lstrip().startswith("<think>"):
        assert (said, rest) == ("", text)
    else:
        inner = text.lstrip().removeprefix("<think>")
        assert "".join((said + rest).split()) == "".join(inner.replace("</think>", "", 1).split())


@given(TEXTS, st.integers(0, 60))
def test_no_more_is_held_than_a_tag(text: str, cut: int) -> None:
    splitter = think.Splitter()
    said, rest = splitter.feed(text[:cut])
    held = text[:cut].lstrip()
    if not said and not rest and splitter.is_undecided:
        assert len(held) < len("<think>")


# ---- whole completions


def completion(*messages: dict[str, Any]) -> dict[str, Any]:
    choices = [
        {"index": at, "message": one, "finish_reason": "stop", "logprobs": None}
        for at, one in enumerate(messages)
    ]
    return {"id": "1", "object": "chat.completion", "choices": choices, "usage": {"total_tokens": 3}}


def test_a_whole_completion() -> None:
    told = completion(
        {"role": "assistant", "content": "<think>a</think>b"},
        {"role": "assistant", "content": "plain <think>"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "assistant", "content": "<think>\n</think>\nb"},
        {"role": "assistant", "content": "<think>a</think>b", "reasoning_content": "mine"},
        {"role": "assistant", "content": [{"type": "text", "text": "<think>a</think>b"}]},
    )
    made = orjson.loads(think.reply(orjson.dumps(told)))
    assert made == told | {"choices": made["choices"]}
    messages = [one["message"] for one in made["choices"]]
    assert messages[0] == {"role": "assistant", "content": "b", "reasoning_content": "a"}
    assert messages[3] == {"role": "assistant", "content": "b"}
    for at in (1, 2, 4, 5):
        assert messages[at] == told["choices"][at]["message"]


@pytest.mark.parametrize(
    "body", [b"", b"<think>", b'{"choices": "<think>"}', b"[1]", b'{"choices": [1, {"message": "<think>"}]}']
)
def test_what_is_no_completion_stays_as_it_is(body: bytes) -> None:
    assert think.reply(body) == body


def test_untouched_completions_keep_every_byte_and_escapes_are_read() -> None:
    plain = b'{ "choices" : [ {"message":{"content":"a <think>b</think>"}} ], "n" : 1.0 }'
    assert think.reply(plain) is plain
    made = orjson.loads(
        think.reply(rb'{"choices":[{"message":{"content":"\u003cthink\u003ea\u003c/think\u003eb"}}]}')
    )
    assert made["choices"][0]["message"] == {"content": "b", "reasoning_content": "a"}


# ---- streams


def chunk(delta: Any, index: int = 0, **more: Any) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": None} | more
    return b"data: " + orjson.dumps({"id": "1", "model": "m", "choices": [choice]}) + b"\n\n"


DONE = b"data: [DONE]\n\n"
END = chunk({}, finish_reason="stop")


def streamed(raw: bytes, size: int = 1_000_000) -> bytes:
    stream = think.Stream()
    pieces = [stream.feed(raw[at : at + size]) for at in range(0, len(raw), size)]
    return b"".join(pieces) + stream.finish()


def told(raw: bytes) -> dict[int, tuple[str, str]]:
    """Reasoning and text of each choice."""
    reader, found = SseReader(), dict[int, tuple[str, str]]()
    for event in [*reader.feed(raw), *reader.finish()]:
        if event.data is None or event.data == b"[DONE]":
            continue
        for one in orjson.loads(event.data)["choices"]:
            said, text = found.get(one["index"], ("", ""))
            delta = one["delta"]
            found[one["index"]] = (
                said + delta.get("reasoning_content", ""),
                text + (delta.get("content") or ""),
            )
    return found


@pytest.mark.parametrize("size", [1, 7, 64, 1_000_000])
@pytest.mark.parametrize(("text", "said", "rest"), CASES)
def test_streams(text: str, said: str, rest: str, size: int) -> None:
    raw = chunk({"role": "assistant", "content": ""})
    raw += b"".join(chunk({"content": sign}) for sign in text) + END + DONE
    assert told(streamed(raw, size)) == {0: (said, rest)}


@pytest.mark.parametrize("end", [END + DONE, DONE, b"", END])
def test_what_is_held_comes_before_the_end_however_that_is_told(end: bytes) -> None:
    assert told(streamed(chunk({"content": "<thi"}) + end)) == {0: ("", "<thi")}
    made = streamed(chunk({"content": "<think>a</th"}) + end)
    assert told(made) == {0: ("a</th", "")}
    assert made.endswith(DONE) or DONE not in end
    assert b'"id":"1","model":"m"' in made


def test_choices_are_told_apart() -> None:
    raw = chunk({"content": "<thi"}, 1) + chunk({"content": "plain"}) + chunk({"content": "nk>a</think>b"}, 1)
    assert told(streamed(raw + DONE)) == {0: ("", "plain"), 1: ("a", "b")}


def test_what_is_not_changed_keeps_every_byte() -> None:
    raw = b": ping\r\n\r\n" + b'data:  {"choices" : [ {"delta" : {"content":"a"}} ], "n":1.0}\n\n'
    raw += b"event: x\ndata: {}\n\n" + b"data: no json, choices\n\n" + chunk({"content": "<think>"}) + DONE
    assert streamed(raw) == raw
    within = chunk({"content": "<think>a</think>b"})
    behind = b'id: 7\ndata: {"choices":[{"index":0,"delta":{"content":" <think> "}}]}\n\n'
    assert streamed(within + behind).endswith(behind)


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "own", "content": None},
        {"tool_calls": [{"index": 0, "function": {"name": "f"}}]},
        {"content": [{"type": "text", "text": "a"}]},
    ],
)
def test_a_host_that_says_something_else_first_is_left_alone(delta: dict[str, Any]) -> None:
    raw = (
        chunk({"role": "assistant", "content": ""})
        + chunk(delta)
        + chunk({"content": "<think>a</think>"})
        + END
    )
    assert streamed(raw) == raw


def test_calls_within_thoughts_do_not_end_them() -> None:
    call = chunk({"tool_calls": [{"index": 0, "function": {"name": "f"}}]})
    raw = chunk({"content": "<think>a"}) + call + chunk({"content": "b</think>c"}) + END
    made = streamed(raw)
    assert call in made and told(made) == {0: ("ab", "c")}
