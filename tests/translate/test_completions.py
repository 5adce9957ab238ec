"""The old text completions: requests as chats, chats as completions, and several prompts in one request."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate import completions
from llmitm.translate.completions import CODEC, Joined, OfCompletions
from llmitm.translate.neutral import Request, Settings, Text
from llmitm.translate.pair import Translation
from llmitm.translate.target import Target

CHAT = Target(dialect=Dialect.OPENAI_CHAT, model="up", vendor="somebody")
MESSAGES = Target(dialect=Dialect.ANTHROPIC_MESSAGES, model="up", vendor="anthropic")


def read(**asked: Any) -> Request:
    return completions.read_request(orjson.dumps({"model": "m", "prompt": "Once upon", **asked}))


# ---- requests


@pytest.mark.parametrize("prompt", ["Once upon", ["Once upon"]])
def test_a_prompt_is_what_a_user_says(prompt: Any) -> None:
    (turn,) = read(prompt=prompt).turns
    assert (turn.role, turn.parts, turn.at) == ("user", (Text(text="Once upon"),), "prompt")


@pytest.mark.parametrize(
    ("asked", "settings"),
    [
        ({}, Settings()),
        ({"max_tokens": 16, "temperature": 0.5}, Settings(max_tokens=16, temperature=0.5)),
        ({"top_p": 1, "seed": 7, "n": 2}, Settings(top_p=1, seed=7, n=2)),
        ({"presence_penalty": 1, "frequency_penalty": -1}, Settings(presence=1, frequency=-1)),
        ({"stop": "."}, Settings(stop=(".",))),
        ({"stop": [".", "!"]}, Settings(stop=(".", "!"))),
        ({"logprobs": 3}, Settings(logprobs=True, top_logprobs=3)),
        ({"logprobs": 0}, Settings(logprobs=True)),
        ({"logprobs": None, "best_of": 1, "echo": False}, Settings()),
    ],
)
def test_settings(asked: dict[str, Any], settings: Settings) -> None:
    read_ = read(**asked)
    assert (read_.settings, read_.lost, read_.refused) == (settings, (), ())


@pytest.mark.parametrize(
    ("asked", "lost"),
    [
        ({"best_of": 3}, ("best_of", "best_of")),
        ({"best_of": 3, "n": 2}, ("best_of", "best_of")),
        ({"logit_bias": {"1": 2}}, ("logit_bias", "logit_bias")),
        ({"echo": True, "logprobs": 1}, ("prompt-logprobs", "echo")),
        ({"guided_regex": "a*"}, ("unknown-field", "guided_regex")),
    ],
)
def test_what_is_left_out_is_named(asked: dict[str, Any], lost: tuple[str, str]) -> None:
    assert read(**asked).lost == (lost,)


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2], [3]]}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"suffix": "the end"}, "suffix"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": 3}, "stop"),
    ],
)
def test_what_no_chat_can_do_is_refused(asked: dict[str, Any], param: str) -> None:
    with pytest.raises(Refused) as caught:
        Translation(read(**asked), CHAT, client=CODEC)
    assert (caught.value.status, caught.value.param) == (400, param)


# ---- answers


def test_a_whole_answer() -> None:
    logged = [
        {"token": " a", "logprob": -0.5, "top_logprobs": [{"token": " a", "logprob": -0.5}]},
        {"token": " time", "logprob": -1, "top_logprobs": [{"token": " day", "logprob": -0.75}]},
    ]
    chat = {
        "id": "chatcmpl-7",
        "object": "chat.completion",
        "created": 12,
        "model": "up",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": " a time", "reasoning_content": "Hm."},
                "logprobs": {"content": logged},
                "finish_reason": "length",
            },
            {"index": 1, "message": {"role": "assistant", "content": " x"}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6},
    }
    made = Translation(read(echo=True, logprobs=1, n=2), CHAT, client=CODEC)
    assert orjson.loads(made.reply(orjson.dumps(chat))) == {
        "id": "cmpl-7",
        "object": "text_completion",
        "created": 12,
        "model": "m",
        "choices": [
            {
                "text": "Once upon a time",
                "index": 0,
                "logprobs": {
                    "tokens": [" a", " time"],
                    "token_logprobs": [-0.5, -1],
                    "top_logprobs": [{" a": -0.5}, {" day": -0.75}],
                    "text_offset": [9, 11],
                },
                "finish_reason": "length",
            },
            {"text": "Once upon x", "index": 1, "logprobs": None, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6},
    }


STREAM = b"".join(
    b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps({"type": name, **more}))
    for name, more in (
        ("message_start", {"message": {"id": "msg_7", "model": "up", "usage": {"input_tokens": 2}}}),
        ("content_block_start", {"index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
        ("content_block_delta", {"index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}}),
        ("content_block_stop", {"index": 0}),
        ("content_block_start", {"index": 1, "content_block": {"type": "text", "text": ""}}),
        ("content_block_delta", {"index": 1, "delta": {"type": "text_delta", "text": " a"}}),
        ("content_block_delta", {"index": 1, "delta": {"type": "text_delta", "text": " time"}}),
        ("content_block_stop", {"index": 1}),
        ("message_delta", {"delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 5}}),
        ("message_stop", {}),
    )
)


def chunk(choices: list[Any], **more: Any) -> bytes:
    head = {"id": "cmpl-7", "object": "text_completion", "created": 5, "model": "m"}
    return b"data: " + orjson.dumps({**head, "choices": choices, **more}) + b"\n\n"


def said(text: str, finish: str | None = None) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}


@pytest.mark.parametrize("size", [1, 7, 64, len(STREAM)])
@pytest.mark.parametrize("echo", [False, True])
def test_a_stream_cut_anywhere(echo: bool, size: int) -> None:
    asked = read(echo=echo, stream=True, stream_options={"include_usage": True})
    going = Translation(asked, MESSAGES, client=CODEC, now_s=5).stream()
    made = b"".join(going.feed(STREAM[at : at + size]) for at in range(0, len(STREAM), size)) + going.finish()
    usage = {"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7}
    texts = ["Once upon", " a", " time"] if echo else [" a", " time"]
    assert made == b"".join(
        (
            *(chunk([said(text)], usage=None) for text in texts),
            chunk([said("", "length")], usage=None),
            chunk([], usage=usage),
            b"data: [DONE]\n\n",
        )
    )


def test_a_whole_answer_as_the_stream_that_was_asked_for() -> None:
    reply = {"id": "msg_7", "type": "message", "role": "assistant", "model": "up", "stop_reason": "end_turn"}
    body = orjson.dumps(reply | {"content": [{"type": "text", "text": " a"}], "usage": {}})
    made = Translation(read(stream=True), MESSAGES, client=CODEC, now_s=5).simulated(body)
    assert made == chunk([said(" a")]) + chunk([said("", "stop")]) + b"data: [DONE]\n\n"


# ---- answers that pass


def passing(*events: Any, is_events: bool = True) -> OfCompletions:
    beside = OfCompletions(Dialect.OPENAI_CHAT, is_events=is_events)
    for event in events:
        data = event if isinstance(event, bytes) else orjson.dumps(event)
        beside.feed(b"data: %s\n\n" % data if is_events else data)
    beside.finish()
    return beside


COMPLETION = {"id": "cmpl-1", "object": "text_completion", "model": "up", "created": 1}
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def test_tokens_of_a_completion_that_passes() -> None:
    whole = passing({**COMPLETION, "choices": [said("a", "stop")], "usage": USAGE}, is_events=False)
    streamed = passing(
        {**COMPLETION, "choices": [said("a")]},
        {**COMPLETION, "choices": [said("", "stop")]},
        {**COMPLETION, "choices": [], "usage": USAGE},
        b"[DONE]",
    )
    for beside in (whole, streamed):
        assert beside.usage is not None and beside.failure is None
        assert (beside.usage.input_tokens, beside.usage.output_tokens, beside.answered) == (3, 4, "up")


@pytest.mark.parametrize(
    ("events", "code"),
    [
        (({**COMPLETION, "choices": [said("a")]},), "upstream_truncated"),
        (({"error": {"message": "no", "code": "server_error"}},), "server_error"),
        ((b"{",), "malformed_stream"),
    ],
)
def test_a_completion_that_fails(events: tuple[Any, ...], code: str) -> None:
    failure = passing(*events).failure
    assert failure is not None and failure.code == code


# ---- several prompts


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("one", ["one"]),
        (["one"], [["one"]]),
        (["one", "two"], ["one", "two"]),
        ([1, 2], [[1, 2]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
    ],
)
def test_each_prompt_is_asked_for_by_itself(prompt: Any, prompts: list[Any]) -> None:
    bodies = completions.split(orjson.dumps({"model": "m", "prompt": prompt, "n": 2}))
    assert [orjson.loads(body) for body in bodies] == [
        {"model": "m", "prompt": one, "n": 2} for one in prompts
    ]


def test_whole_answers_become_one() -> None:
    joined = Joined(2)
    for at in range(2):
        choices = [said(f"{at}a", "stop"), said(f"{at}b", "stop") | {"index": 1}]
        joined.add(at, orjson.dumps({**COMPLETION, "id": f"cmpl-{at}", "choices": choices, "usage": USAGE}))
    told = orjson.loads(joined.whole())
    assert told["id"] == "cmpl-0"
    assert [(one["index"], one["text"]) for one in told["choices"]] == [
        (0, "0a"),
        (1, "0b"),
        (2, "1a"),
        (3, "1b"),
    ]
    assert told["usage"] == {"prompt_tokens": 6, "completion_tokens": 8, "total_tokens": 14}


@pytest.mark.parametrize("size", [1, 10, 1000])
def test_streams_become_one(size: int) -> None:
    joined = Joined(1)
    made = b""
    for at in range(2):
        stream = chunk([said(f" {at}")], id=f"cmpl-{at}") + b": keepalive\n\n" + chunk([said("", "stop")])
        stream += chunk([], usage=USAGE) + b"data: [DONE]\n\n"
        made += b"".join(joined.feed(at, stream[n : n + size]) for n in range(0, len(stream), size))
        made += joined.next(at)
    made += joined.finish()
    assert made.count(b"[DONE]") == 1 and made.endswith(b"data: [DONE]\n\n")
    assert made.count(b": keepalive\n\n") == 2
    events = [orjson.loads(line[6:]) for line in made.split(b"\n\n") if line.startswith(b"data: {")]
    assert {one["id"] for one in events} == {"cmpl-0"}
    assert [(one["index"], one["text"]) for event in events for one in event["choices"]] == [
        (0, " 0"),
        (0, ""),
        (1, " 1"),
        (1, ""),
    ]
    assert [event["usage"]["total_tokens"] for event in events if event.get("usage")] == [14]
