"""Chat completions are read, and written for chat's clients."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmitm.exchange import Dialect, Usage
from llmitm.translate.chat.reply_in import read_reply
from llmitm.translate.chat.reply_out import write_reply
from llmitm.translate.neutral import (
    Base64,
    Choice,
    Citation,
    Hosted,
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
    Url,
)

ASKED = Request(model="m", turns=(), dialect=Dialect.OPENAI_CHAT)
LEGACY = Request(model="m", turns=(), dialect=Dialect.OPENAI_CHAT, is_legacy_functions=True)
CLAUDE = Sealed(vendor="anthropic", kind="thinking", data="seal")
GOOGLE = Sealed(vendor="google", kind="part", data="c2ln")
OWN = Sealed(vendor="openai", kind="encrypted", data="x", item_id="rs_1")
BARE = Sealed(vendor="host", kind="part")
CITED = {"url": "u", "title": "t", "start_index": 0, "end_index": 1}
ENCRYPTED = {"type": "reasoning.encrypted", "data": "c2ln", "format": "google-gemini-v1"}
SIGNED = {"type": "reasoning.text", "text": "hm", "signature": "seal", "format": "anthropic-claude-v1"}
TOKEN = {"token": "a", "logprob": -1.0}


def call(call_id: str = "k") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def read(*choices: Any, **more: Any) -> Reply:
    return read_reply(json.dumps({"id": "a", "choices": list(choices), **more}).encode())


def parts(**message: Any) -> tuple[Part, ...]:
    return read({"message": message}).choices[0].parts


READ: dict[str, tuple[dict[str, Any], tuple[Part, ...]]] = {
    "no message": ({}, ()),
    "an address": (
        {"content": "a", "annotations": [{"type": "url_citation", "url_citation": CITED}, 1, {"type": 1}]},
        (Text(text="a", citations=(Citation(url="u", title="t", start=0, end=1),)),),
    ),
    "an address without a place": (
        {"content": "a", "annotations": [{"type": "url_citation", "url_citation": {"url": "u"}}]},
        (Text(text="a", citations=(Citation(url="u"),)),),
    ),
    "a picture whose kind is seen": (
        {"images": [{"image_url": {"url": "data:;base64,iVBORw0KGgo="}}]},
        (Media(kind="image", source=Base64("iVBORw0KGgo="), mime="image/png"),),
    ),
    "a picture's address, and what is none": (
        {"images": [{"image_url": {"url": "https://h/a"}}, {"image_url": 1}]},
        (Media(kind="image", source=Url("https://h/a")),),
    ),
    "sound": ({"audio": {"data": "AAAA"}}, (Media(kind="audio", source=Base64("AAAA")),)),
    "thinking in runs": (
        {"content": [{"type": "thinking", "thinking": [{"text": "h"}, {"text": "m"}, {"text": 1}, 2]}, "a"]},
        (Reasoning(text="hm"), Text(text="a")),
    ),
    "thinking in one": ({"content": [{"type": "thinking", "thinking": "hm"}]}, (Reasoning(text="hm"),)),
    "a part of no type": ({"content": [{"type": "text"}, 1]}, ()),
    "reasoning that comes twice": (
        {"reasoning": "hm", "reasoning_details": [SIGNED]},
        (Reasoning(text="hm", sealed=CLAUDE),),
    ),
    "reasoning of which the details hide the words": (
        {"reasoning": "hm", "reasoning_details": [{**SIGNED, "text": ""}]},
        (Reasoning(text="hm"), Reasoning(sealed=CLAUDE)),
    ),
    "Google's seal of a text": (
        {"content": "a", "reasoning_details": [ENCRYPTED]},
        (Text(text="a", sealed=GOOGLE),),
    ),
    "Google's seal of nothing": ({"reasoning_details": [ENCRYPTED]}, (Text(text="", sealed=GOOGLE),)),
    "Google's seal of a call": (
        {"tool_calls": [call()], "reasoning_details": [{**ENCRYPTED, "id": "k"}]},
        (
            ToolCall(
                id="k",
                name="f",
                args="{}",
                sealed=Sealed(vendor="google", kind="part", data="c2ln", ref="k"),
            ),
        ),
    ),
    "Google's seal without an id: the first call's": (
        {"tool_calls": [call(), call("l")], "reasoning_details": [ENCRYPTED]},
        (
            ToolCall(id="k", name="f", args="{}", sealed=GOOGLE),
            ToolCall(id="l", name="f", args="{}"),
        ),
    ),
    "Google's seal of a call that has one": (
        {
            "tool_calls": [{**call(), "extra_content": {"google": {"thought_signature": "b3du"}}}],
            "reasoning_details": [ENCRYPTED],
        },
        (
            ToolCall(
                id="k",
                name="f",
                args="{}",
                sealed=Sealed(vendor="google", kind="part", data="b3du", ref="k"),
            ),
        ),
    ),
    "the old call": (
        {"function_call": {"name": "f", "arguments": "{}"}},
        (ToolCall(id="", name="f", args="{}"),),
    ),
}


@pytest.mark.parametrize(("message", "expected"), READ.values(), ids=READ)
def test_a_message_is_parts(message: dict[str, Any], expected: tuple[Part, ...]) -> None:
    assert parts(**message) == expected


STOPS: dict[str, tuple[dict[str, Any], Stop]] = {
    "the end": ({"finish_reason": "stop"}, Stop(reason=Reason.STOP, raw="stop")),
    "the end, after a call": (
        {"finish_reason": "stop", "message": {"tool_calls": [call()]}},
        Stop(reason=Reason.TOOL_CALLS, raw="stop"),
    ),
    "a stop sequence": (
        {"finish_reason": "stop", "stop_reason": "x"},
        Stop(reason=Reason.STOP_SEQUENCE, sequence="x", raw="stop"),
    ),
    "a stop token": ({"finish_reason": "stop", "stop_reason": 7}, Stop(reason=Reason.STOP, raw="stop")),
    "an unknown word": ({"finish_reason": "novelty"}, Stop(reason=Reason.STOP, raw="novelty")),
    "the limit": ({"finish_reason": "length"}, Stop(reason=Reason.LENGTH, raw="length")),
}


@pytest.mark.parametrize(("choice", "stop"), STOPS.values(), ids=STOPS)
def test_why_it_ended(choice: dict[str, Any], stop: Stop) -> None:
    assert read(choice).choices[0].stop == stop


def test_choices_stand_in_their_order_and_by_their_place_where_two_have_one_number() -> None:
    said = [{"message": {"content": word}} for word in "ab"]
    assert [choice.index for choice in read({"index": 1, **said[0]}, {"index": 0, **said[1]}).choices] == [
        0,
        1,
    ]
    same = read({"index": 0, **said[0]}, {"index": 0, **said[1]}, 1).choices
    assert [(choice.index, choice.parts) for choice in same] == [
        (0, (Text(text="a"),)),
        (1, (Text(text="b"),)),
    ]


def test_tokens() -> None:
    assert read({"message": {}, "logprobs": {"content": [TOKEN, 1]}}).choices[0].logprobs == (TOKEN,)


COUNTS: dict[str, tuple[dict[str, Any], Usage | None]] = {
    "none": ({"usage": {}}, None),
    "Groq's": ({"x_groq": {"usage": {"prompt_tokens": 1}}}, Usage(input_tokens=1)),
    "reasoning beside the output": (
        {
            "usage": {
                "prompt_tokens": 1,
                "completion_tokens": 2,
                "total_tokens": 6,
                "completion_tokens_details": {"reasoning_tokens": 3},
            }
        },
        Usage(input_tokens=1, output_tokens=5, reasoning_tokens=3),
    ),
    "a cache within the input": (
        {"usage": {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 1}, "cached_tokens": 2}},
        Usage(input_tokens=9, cache_read_tokens=1),
    ),
    "a cache beside the input": (
        {"usage": {"prompt_tokens": 1, "prompt_cache_hit_tokens": 9}},
        Usage(input_tokens=10, cache_read_tokens=9),
    ),
    "a cache under its third name": (
        {"usage": {"prompt_tokens": 9, "cached_tokens": 1}},
        Usage(input_tokens=9, cache_read_tokens=1),
    ),
    "counts that are no numbers": ({"usage": {"prompt_tokens": True, "completion_tokens": "2"}}, None),
}


@pytest.mark.parametrize(("members", "usage"), COUNTS.values(), ids=COUNTS)
def test_counts(members: dict[str, Any], usage: Usage | None) -> None:
    assert read({"message": {}}, **members).usage == usage


def test_the_head() -> None:
    made = read({"message": {}}, id="", model="m", created=7.9, service_tier="flex")
    assert (made.id, made.model, made.created, made.service_tier) == (None, "m", 7, "flex")
    assert read({"message": {}}, created="now").created is None
    assert read_reply(b'{"choices":[{}],"created":1e999}').created is None


BROKEN: dict[str, tuple[bytes, int, str | None]] = {
    "no JSON": (b"<html>", 502, "malformed_reply"),
    "no object": (b"1", 502, "malformed_reply"),
    "no choices": (b"{}", 502, "malformed_reply"),
    "an error instead of choices": (b'{"error":{"message":"m","code":429}}', 429, None),
    "an error beside no choices": (b'{"choices":[],"error":{"message":"m","code":503}}', 503, None),
    "an empty list": (b'{"choices":[]}', 502, "empty_reply"),
}


@pytest.mark.parametrize(("told", "status", "code"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_reply(told: bytes, status: int, code: str | None) -> None:
    with pytest.raises(UpstreamError) as caught:
        read_reply(told)
    assert (caught.value.failure.status, caught.value.failure.code) == (status, code)


# ---- written


def written(*choices: Choice, asked: Request = ASKED, **members: Any) -> dict[str, Any]:
    made = json.loads(write_reply(Reply(id="a", model="m", created=7, choices=choices, **members), asked))
    assert isinstance(made, dict)
    return made


def message(*said: Part, stop: Stop | None = None, asked: Request = ASKED) -> dict[str, Any]:
    made = written(Choice(parts=said, stop=stop), asked=asked)["choices"][0]["message"]
    assert isinstance(made, dict) and made.pop("role") == "assistant"
    return made


REFUSED = Stop(reason=Reason.REFUSAL, explanation="e")
WRITTEN: dict[str, tuple[tuple[Part, ...], Stop | None, dict[str, Any]]] = {
    "texts are one, and their sources count in it": (
        (
            Text(text="ab"),
            Hosted(vendor="google", type="x", raw="{}", phase="result", text="c"),
            Text(text="de", citations=(Citation(url="u", start=1, end=2), Citation(url="v"), Citation())),
            Text(text=""),
        ),
        None,
        {
            "content": "abcde",
            "annotations": [
                {
                    "type": "url_citation",
                    "url_citation": {"start_index": 4, "end_index": 5, "title": "", "url": "u"},
                },
                {
                    "type": "url_citation",
                    "url_citation": {"start_index": 3, "end_index": 5, "title": "", "url": "v"},
                },
            ],
        },
    ),
    "a refusal": ((Refusal(text="no"),), None, {"content": None, "refusal": "no"}),
    "a filter's words": ((), REFUSED, {"content": None, "refusal": "e"}),
    "a filter's words beside a refusal": ((Refusal(text="no"),), REFUSED, {"content": None, "refusal": "no"}),
    "nothing": ((), None, {"content": ""}),
    "reasoning with another vendor's seal": (
        (Reasoning(summary=("a", "b"), sealed=CLAUDE), Reasoning(text="c"), Reasoning(sealed=BARE)),
        None,
        {
            "content": "",
            "reasoning_content": "a\n\nb\n\nc",
            "reasoning_details": [
                {
                    "type": "reasoning.text",
                    "text": "a\n\nb",
                    "signature": "seal",
                    "format": "anthropic-claude-v1",
                    "index": 0,
                }
            ],
        },
    ),
    "reasoning of OpenAI's": (
        (Reasoning(summary=("a",), sealed=OWN),),
        None,
        {
            "content": "",
            "reasoning_content": "a",
            "reasoning_details": [
                {
                    "type": "reasoning.summary",
                    "summary": "a",
                    "id": "rs_1",
                    "format": "openai-responses-v1",
                    "index": 0,
                },
                {
                    "type": "reasoning.encrypted",
                    "data": "x",
                    "id": "rs_1",
                    "format": "openai-responses-v1",
                    "index": 0,
                },
            ],
        },
    ),
    "Google's seals": (
        (
            Text(text="a", sealed=GOOGLE),
            ToolCall(id="k", name="f", args="{}", sealed=GOOGLE),
            ToolCall(id="l", name="f", args="{}", sealed=BARE),
        ),
        None,
        {
            "content": "a",
            "reasoning_details": [
                {**ENCRYPTED, "index": 0},
                {**ENCRYPTED, "id": "k", "index": 1},
            ],
            "tool_calls": [
                {**call(), "extra_content": {"google": {"thought_signature": "c2ln"}}},
                call("l"),
            ],
        },
    ),
    "pictures": (
        (Media(kind="image", source=Base64("AAAA")), Media(kind="image", source=Url("u"))),
        None,
        {
            "content": "",
            "images": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "image_url", "image_url": {"url": "u"}},
            ],
        },
    ),
}


@pytest.mark.parametrize(("said", "stop", "expected"), WRITTEN.values(), ids=WRITTEN)
def test_parts_are_a_message(said: tuple[Part, ...], stop: Stop | None, expected: dict[str, Any]) -> None:
    assert message(*said, stop=stop) == expected


def test_a_client_of_the_old_functions_is_told_of_one_call() -> None:
    calls = (ToolCall(id="k", name="f", args="{}"), ToolCall(id="l", name="g", args="{}"))
    assert message(*calls, asked=LEGACY) == {
        "content": None,
        "function_call": {"name": "f", "arguments": "{}"},
    }


ENDS: dict[str, tuple[Stop | None, Request, str]] = {
    "nobody says why": (None, ASKED, "stop"),
    "calls": (Stop(reason=Reason.TOOL_CALLS), ASKED, "tool_calls"),
    "calls of the old kind": (Stop(reason=Reason.TOOL_CALLS), LEGACY, "function_call"),
    "the context": (Stop(reason=Reason.CONTEXT), ASKED, "length"),
    "a pause": (Stop(reason=Reason.PAUSE), ASKED, "stop"),
}


@pytest.mark.parametrize(("stop", "asked", "word"), ENDS.values(), ids=ENDS)
def test_words_for_the_end(stop: Stop | None, asked: Request, word: str) -> None:
    assert written(Choice(stop=stop), asked=asked)["choices"][0]["finish_reason"] == word


def test_everything_else_that_is_known_is_told() -> None:
    made = written(
        Choice(logprobs=(TOKEN,)),
        service_tier="flex",
        usage=Usage(input_tokens=3, output_tokens=4, cache_read_tokens=1, reasoning_tokens=2),
        extras={"search_entry_point": {}},
    )
    assert made["choices"][0]["logprobs"] == {"content": [TOKEN], "refusal": None}
    assert (made["service_tier"], made["extras"]) == ("flex", {"google": {"search_entry_point": {}}})
    assert made["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
