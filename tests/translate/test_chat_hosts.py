"""Chat hosts spell answers in their own ways; each is read the same, whole or streamed."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from llmitm.exchange import Dialect
from llmitm.translate.chat.reply_in import read_reply
from llmitm.translate.chat.reply_out import write_reply
from llmitm.translate.chat.request_in import read_request
from llmitm.translate.chat.stream_in import StreamReader
from llmitm.translate.chat.stream_out import StreamWriter
from llmitm.translate.neutral import (
    Base64,
    Choice,
    Citation,
    Hosted,
    Media,
    Opaque,
    Part,
    Reason,
    Reasoning,
    Refusal,
    Reply,
    Request,
    Sealed,
    Text,
    ToolCall,
    Url,
)
from llmitm.translate.sse import SseReader
from llmitm.translate.stream import Collector, simulate

ENCRYPTED = {"type": "reasoning.encrypted", "id": "rs_1", "format": "xai-responses-v1", "index": 0}
SPELLINGS: dict[str, tuple[dict[str, Any], list[Part]]] = {
    "the old call, empty": (
        {"content": "4", "function_call": {"name": "", "arguments": ""}, "refusal": "", "tool_calls": None},
        [Text(text="4")],
    ),
    "reasoning under the second name": (
        {"content": "a", "reasoning_content": "", "reasoning": "why"},
        [Reasoning(text="why"), Text(text="a")],
    ),
    "thinking among the content": (
        {
            "content": [
                {
                    "type": "thinking",
                    "thinking": [{"type": "text", "text": "w"}, {"type": "text", "text": "hy"}],
                },
                {"type": "text", "text": "a"},
                "b",
                {"type": "text", "text": None},
            ]
        },
        [Reasoning(text="why"), Text(text="ab")],
    ),
    "a refusal among the content": (
        {"content": [{"type": "refusal", "refusal": "No."}]},
        [Refusal(text="No.")],
    ),
    "an image among the content": (
        {"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
        [Media(kind="image", source=Base64("AAAA"), mime="image/png")],
    ),
    "a part that nobody knows": (
        {"content": [{"type": "novelty", "a": 1}]},
        [Opaque(dialect=Dialect.OPENAI_CHAT, type="novelty", raw='{"type":"novelty","a":1}')],
    ),
    "a source that is a number": (
        {"content": [{"type": "text", "text": "a"}, {"type": "reference", "reference_ids": [1]}]},
        [Text(text="a", citations=(Citation(kind="document"),))],
    ),
    "an annotation that is no address": (
        {"content": "a", "annotations": [{"type": "file", "file": {"hash": "x"}}]},
        [Text(text="a", citations=(Citation(kind="document"),))],
    ),
    "JSON as an object": ({"content": {"b": 1, "a": [True]}}, [Text(text='{"b":1,"a":[true]}')]),
    "a host's own tools": (
        {"content": "a", "executed_tools": [{"index": 0}]},
        [Text(text="a"), Hosted(vendor="host", type="executed_tools", raw='[{"index":0}]', phase="result")],
    ),
    "two seals of one id": (
        {"content": "a", "reasoning_details": [{**ENCRYPTED, "data": "x"}, {**ENCRYPTED, "data": "y"}]},
        [
            Reasoning(sealed=Sealed(vendor="xai", kind="encrypted", data="x", item_id="rs_1")),
            Reasoning(sealed=Sealed(vendor="xai", kind="encrypted", data="y", item_id="rs_1")),
            Text(text="a"),
        ],
    ),
    "audio without sound": ({"content": "a", "audio": {"data": "", "id": ""}}, [Text(text="a")]),
    "arguments as an object": (
        {"content": None, "tool_calls": [{"id": "k", "function": {"name": "f", "arguments": {"a": 1}}}]},
        [ToolCall(id="k", name="f", args='{"a":1}')],
    ),
    "arguments that are nothing": (
        {"content": "", "tool_calls": [{"id": "k", "function": {"name": "f", "arguments": None}}]},
        [ToolCall(id="k", name="f", args="")],
    ),
}


def fragment(index: int | None, **call: Any) -> dict[str, Any]:
    told = {"index": index} if index is not None else {}
    function = {name: call.pop(name) for name in ("name", "arguments") if name in call}
    return {"tool_calls": [{**told, **call, "function": function}]}


FRAGMENTS: dict[str, tuple[list[dict[str, Any]], list[Part]]] = {
    "the name after the id": (
        [fragment(0, id="k"), fragment(0, name="f"), fragment(0, arguments="{}")],
        [ToolCall(id="k", name="f", args="{}")],
    ),
    "the id after the name": (
        [fragment(0, name=""), fragment(0, id="k", name="f", arguments="{}")],
        [ToolCall(id="k", name="f", args="{}")],
    ),
    "all at 0, without ids": (
        [fragment(0, name="f", arguments='{"a":1}'), fragment(0, name="f", arguments='{"a":2}')],
        [ToolCall(id="", name="f", args='{"a":1}'), ToolCall(id="", name="f", args='{"a":2}')],
    ),
    "the name in each": (
        [fragment(0, name="f", arguments="{"), fragment(0, name="f", arguments="}"), fragment(0, name="f")],
        [ToolCall(id="", name="f", args="{}")],
    ),
    "whole again at the end": (
        [
            fragment(0, id="k", name="f", arguments="{"),
            fragment(0, arguments="}"),
            fragment(0, id="k", name="f", arguments="{}"),
        ],
        [ToolCall(id="k", name="f", args="{}")],
    ),
    "the old call": (
        [{"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": "{}"}}],
        [ToolCall(id="", name="f", args="{}")],
    ),
}


@pytest.mark.parametrize(("deltas", "expected"), FRAGMENTS.values(), ids=FRAGMENTS)
def test_fragments_of_calls_are_put_together(deltas: list[dict[str, Any]], expected: list[Part]) -> None:
    assert list(streamed(*deltas, finish="tool_calls").parts) == expected


@pytest.mark.parametrize("word", ["stop", "", None])
def test_a_stream_that_says_it_is_over_has_ended_with_what_it_said(word: str | None) -> None:
    stops = (streamed({"content": "a"}, finish=word).stop, streamed(fragment(0, name="f"), finish=word).stop)
    assert [stop and stop.reason for stop in stops] == [Reason.STOP, Reason.TOOL_CALLS]


def whole(message: dict[str, Any], finish: str | None = "stop") -> Choice:
    body = {"id": "c1", "choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    return read_reply(orjson.dumps(body)).choices[0]


def streamed(*deltas: dict[str, Any], finish: str | None = "stop") -> Choice:
    choices = [{"index": 0, "delta": delta} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    body = b"".join(b"data: %s\n\n" % orjson.dumps({"id": "c1", "choices": [one]}) for one in choices)
    events, reader, collector = SseReader(), StreamReader(), Collector()
    for event in (*events.feed(body + b"data: [DONE]\n\n"), *events.finish()):
        for made in reader.read(event):
            collector.add(made)
    for made in reader.finish():
        collector.add(made)
    assert collector.failure is None
    return collector.reply().choices[0]


@pytest.mark.parametrize(("message", "expected"), SPELLINGS.values(), ids=SPELLINGS)
def test_a_host_s_message_is_read(message: dict[str, Any], expected: list[Part]) -> None:
    assert list(whole(message).parts) == expected
    assert list(streamed(message).parts) == expected


def test_a_document_by_its_address_is_no_base64() -> None:
    file = {"type": "file", "file": {"file_data": "https://a.example/b.pdf", "filename": "b.pdf"}}
    body = {"model": "m", "messages": [{"role": "user", "content": [file]}]}
    (turn,) = read_request(orjson.dumps(body)).turns
    assert turn.parts == (
        Media(
            kind="document", source=Url("https://a.example/b.pdf"), mime="application/pdf", filename="b.pdf"
        ),
    )


@pytest.mark.parametrize(("tier", "told"), [("flex", "flex"), ("provisioned", None), (None, None)])
def test_a_tier_that_this_api_has_not_is_not_told(tier: str | None, told: str | None) -> None:
    asked = Request(model="m", turns=(), dialect=Dialect.OPENAI_CHAT)
    reply = Reply(
        id="c1", model="m", created=0, choices=(Choice(parts=(Text(text="a"),)),), service_tier=tier
    )
    assert orjson.loads(write_reply(reply, asked)).get("service_tier") == told
    writer = StreamWriter(asked)
    stream = b"".join(writer.write(event) for event in simulate(reply))
    assert (b"service_tier" in stream) is (told is not None)
