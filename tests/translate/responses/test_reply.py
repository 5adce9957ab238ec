"""Replies of responses are read whole, and written as the client's SDK expects them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response

from llmitm.exchange import Dialect, Usage
from llmitm.translate import ids, seals
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
    Stop,
    Text,
    ToolCall,
    UpstreamError,
)
from llmitm.translate.responses.reply_in import read_reply
from llmitm.translate.responses.reply_out import write_reply

ASKED = Request(model="mine", turns=(), dialect=Dialect.OPENAI_RESPONSES)
SIGNED = Sealed(vendor="anthropic", kind="thinking", data="sig")
OWN = Sealed(vendor="openai", kind="encrypted", data="enc", item_id="rs_1")
GOOGLE = Sealed(vendor="google", kind="part", data="g", ref="c1")


def body(*output: Any, **members: Any) -> bytes:
    head = {"id": "resp_1", "object": "response", "created_at": 5.0, "model": "gpt-x", "status": "completed"}
    return json.dumps({**head, "output": list(output), **members}).encode()


def message(*content: Any) -> dict[str, Any]:
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": list(content),
    }


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], **more}


def read(*output: Any, **members: Any) -> Choice:
    return read_reply(body(*output, **members)).choices[0]


def written(
    *parts: Part, reason: Reason = Reason.STOP, asked: Request = ASKED, **more: Any
) -> dict[str, Any]:
    choice = Choice(parts=parts, stop=Stop(reason=reason), logprobs=more.pop("logprobs", ()))
    made = json.loads(
        write_reply(Reply(id="resp_a", model="mine", created=7, choices=(choice,), **more), asked)
    )
    Response.model_validate(made)
    assert isinstance(made, dict)
    return made


def test_what_every_item_says() -> None:
    citation = {"type": "url_citation", "start_index": 0, "end_index": 2, "title": "T", "url": "https://h"}
    choice = read(
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "why"}],
            "encrypted_content": "enc",
        },
        {"type": "reasoning", "id": "rs_2", "summary": []},
        message(
            said("ok", annotations=[citation]), said(""), said("!"), {"type": "refusal", "refusal": "no"}
        ),
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'},
        {
            "type": "custom_tool_call",
            "id": "x",
            "call_id": "c2",
            "name": "p",
            "input": "raw",
            "namespace": "n",
        },
        {"type": "web_search_call", "id": "w"},
        {"type": "image_generation_call", "id": "i", "result": "aGk=", "output_format": "webp"},
        {"type": "compaction", "encrypted_content": "z"},
        "what?",
    )
    assert choice.parts == (
        Reasoning(summary=("why",), sealed=OWN),
        Text(
            text="ok",
            citations=(
                Citation(
                    url="https://h",
                    title="T",
                    start=0,
                    end=2,
                    vendor="openai",
                    raw=json.dumps(citation, separators=(",", ":")),
                ),
            ),
        ),
        Text(text="!"),
        Refusal(text="no"),
        ToolCall(id="c1", name="f", args='{"a": 1}'),
        ToolCall(id="c2", name="p", args="raw", kind="custom", namespace="n"),
        Hosted(
            vendor="openai", type="web_search_call", raw='{"type":"web_search_call","id":"w"}', phase="call"
        ),
        Media(kind="image", source=Base64("aGk="), mime="image/webp"),
        Opaque(
            dialect=Dialect.OPENAI_RESPONSES,
            type="compaction",
            raw='{"type":"compaction","encrypted_content":"z"}',
        ),
    )
    assert choice.stop == Stop(reason=Reason.TOOL_CALLS, raw="completed")


@pytest.mark.parametrize("content", [None, [], ["a"], [{"type": "x"}], [{"type": "output_text", "text": 1}]])
def test_a_message_that_says_nothing(content: object) -> None:
    assert read({"type": "message", "content": content}).parts == ()


@pytest.mark.parametrize("annotations", [None, [1]])
def test_annotations_that_tell_nothing(annotations: object) -> None:
    assert read(message(said("a", annotations=annotations))).parts == (Text(text="a"),)


def test_a_reply_may_come_within_its_last_event() -> None:
    whole = json.loads(body(message(said("a"))))
    wrapped = {"type": "response.completed", "response": whole}
    assert read_reply(json.dumps(wrapped).encode()).choices[0].parts == (Text(text="a"),)


def test_the_head_of_a_reply_and_its_counts() -> None:
    counts = {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 17,
    }
    searched = {"web_search": {"num_requests": 2}}
    reply = read_reply(body(usage=counts, service_tier="flex", tool_usage=searched))
    assert (reply.id, reply.model, reply.created, reply.service_tier) == ("resp_1", "gpt-x", 5, "flex")
    assert reply.usage == Usage(
        input_tokens=10,
        output_tokens=7,
        cache_read_tokens=4,
        cache_write_tokens=1,
        reasoning_tokens=3,
        server_tools=(("web_search_requests", 2),),
        tier="flex",
    )


def test_a_cache_that_is_counted_beside_the_input_is_part_of_it() -> None:
    counts = {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 40}, "output_tokens": 1}
    usage = read_reply(body(usage=counts)).usage
    assert usage is not None and usage.input_tokens == 50


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, Reason.STOP),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, Reason.LENGTH),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, Reason.FILTER),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, Reason.OTHER),
        ({"status": "incomplete", "incomplete_details": None}, Reason.OTHER),
    ],
)
def test_how_it_ended(members: dict[str, Any], reason: Reason) -> None:
    stop = read(message(said("x")), **members).stop
    assert stop is not None and stop.reason is reason


def test_calls_that_were_cut_end_by_length() -> None:
    item = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a'}
    stop = read(item, status="incomplete", incomplete_details={"reason": "max_output_tokens"}).stop
    assert stop is not None and stop.reason is Reason.LENGTH


def test_tokens_are_read_as_chat_has_them() -> None:
    token = {"token": "é", "logprob": -0.5, "top_logprobs": [{"token": "é", "logprob": -0.5}]}
    spelled = {"token": "é", "bytes": [195, 169], "logprob": -0.5}
    assert read(message(said("é", logprobs=[token]))).logprobs == ({**spelled, "top_logprobs": [spelled]},)


def test_keys_in_the_message_of_a_failed_response_are_masked() -> None:
    with pytest.raises(UpstreamError) as caught:
        read_reply(body(status="failed", error={"code": "server_error", "message": "of sk-abcdef0123456789"}))
    assert caught.value.failure.message == "of ***"


@pytest.mark.parametrize(
    ("broken", "status", "code"),
    [
        (b"<html>", 502, "malformed_reply"),
        (b"[]", 502, "malformed_reply"),
        (b"{}", 502, "malformed_reply"),
        (body(status="failed", error={"code": "server_error", "message": "m"}), 500, "server_error"),
        (
            body(status="failed", error={"code": "rate_limit_exceeded", "message": "m"}),
            429,
            "rate_limit_exceeded",
        ),
        (
            body(status="failed", error={"code": "image_parse_error", "message": "m"}),
            400,
            "image_parse_error",
        ),
        (body(status="cancelled"), 502, "upstream_cancelled"),
        (body(status="incomplete", incomplete_details={"reason": "steered"}), 502, "empty_reply"),
        (b'{"error":{"message":"m","type":"invalid_request_error","code":null}}', 400, None),
        (b'{"error":{"message":"m","code":503}}', 503, None),
        (b'{"error":"m"}', 502, None),
        (b'{"detail":"m"}', 502, None),
        (b'{"code":429,"message":"m"}', 429, None),
        (body(status="failed", error=None), 502, "upstream_error"),
        (body(status="failed", error={"code": "slow_down", "message": "m"}), 503, "slow_down"),
    ],
)
def test_what_is_no_reply(broken: bytes, status: int, code: str | None) -> None:
    with pytest.raises(UpstreamError) as caught:
        read_reply(broken)
    assert (caught.value.failure.status, caught.value.failure.code) == (status, code)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=6,
)
ITEM = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "reasoning", "function_call", "image_generation_call", "x"]) | JSON},
    optional={name: JSON for name in ("id", "content", "summary", "arguments", "name", "call_id", "result")},
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "output": st.lists(ITEM | JSON, max_size=3) | JSON,
            **{name: JSON for name in ("id", "status", "error", "usage", "incomplete_details", "created_at")},
        },
    )
)
def test_anything_else_is_read_or_an_error_of_the_upstream(made: dict[str, Any]) -> None:
    try:
        read_reply(json.dumps(made).encode())
    except UpstreamError as error:
        assert 400 <= error.failure.status < 600


# ---- written


def test_the_least_reply_has_every_member() -> None:
    made = written()
    assert made == {
        "id": "resp_a",
        "object": "response",
        "created_at": 7,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": "mine",
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": {
            "input_tokens": 0,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 0,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 0,
        },
        "metadata": {},
    }


def test_the_clients_own_members_are_repeated() -> None:
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}]
    echo = {
        "tools": tools,
        "instructions": "Be brief.",
        "text": {"verbosity": "low"},
        "reasoning": {"effort": "low"},
        "truncation": "auto",
        "user": "u",
    }
    made = written(asked=Request(model="mine", turns=(), echo=echo), service_tier="priority")
    assert (made["tools"], made["instructions"], made["user"]) == (tools, "Be brief.", "u")
    assert made["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert made["reasoning"] == {"effort": "low", "summary": None}
    assert (made["truncation"], made["service_tier"]) == ("disabled", "priority")


def test_items_in_order_with_ids_of_their_place() -> None:
    made = written(
        Reasoning(summary=("why", "so")),
        Text(text="a"),
        Text(text="b"),
        ToolCall(id="c1", name="f", args='{"x":1}'),
        ToolCall(id="c2", name="p", args="raw", kind="custom", namespace="n"),
        Text(text="c"),
        Refusal(text="no"),
        reason=Reason.TOOL_CALLS,
    )["output"]
    text = {"type": "output_text", "annotations": [], "logprobs": []}
    assert made == [
        {
            "id": ids.item_id("rs_", "resp_a", 0),
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "why"}, {"type": "summary_text", "text": "so"}],
        },
        {
            "id": ids.item_id("msg_", "resp_a", 1),
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{**text, "text": "a"}, {**text, "text": "b"}],
        },
        {
            "id": ids.item_id("fc_", "resp_a", 2),
            "type": "function_call",
            "status": "completed",
            "call_id": "c1",
            "name": "f",
            "arguments": '{"x":1}',
        },
        {
            "id": ids.item_id("ctc_", "resp_a", 3),
            "type": "custom_tool_call",
            "status": "completed",
            "call_id": "c2",
            "name": "p",
            "namespace": "n",
            "input": "raw",
        },
        {
            "id": ids.item_id("msg_", "resp_a", 4),
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{**text, "text": "c"}, {"type": "refusal", "refusal": "no"}],
        },
    ]


def test_own_seals_go_as_they_are_and_foreign_ones_in_envelopes() -> None:
    own, signed, redacted = written(
        Reasoning(summary=("why",), sealed=OWN),
        Reasoning(text="full", sealed=SIGNED),
        Reasoning(sealed=SIGNED),
    )["output"]
    assert (own["id"], own["encrypted_content"]) == ("rs_1", "enc")
    assert signed["content"] == [{"type": "reasoning_text", "text": "full"}]
    assert (signed["summary"], seals.opened(signed["encrypted_content"])) == ([], SIGNED)
    assert redacted["id"] == "rs_" + ids.hashed(redacted["encrypted_content"], 32)


def test_an_own_seal_without_its_id_is_not_put_under_another() -> None:
    sealed = Sealed(vendor="openai", kind="encrypted", data="enc")
    (item,) = written(Reasoning(summary=("why",), sealed=sealed))["output"]
    assert seals.opened(item["encrypted_content"]) == sealed


def test_a_seal_of_no_text_and_one_of_a_call_are_items_by_themselves() -> None:
    call = ToolCall(id="c", name="f", args="{}", sealed=OWN)
    first, text, second, _ = written(Text(text="", sealed=GOOGLE), Text(text="a"), call)["output"]
    assert seals.opened(first["encrypted_content"]) == GOOGLE
    assert text["type"] == "message"
    assert (second["id"], second["encrypted_content"]) == ("rs_1", "enc")


def test_a_refusal_is_a_part_of_its_own() -> None:
    (item,) = written(Text(text="a"), Refusal(text="no"))["output"]
    assert item["content"][1] == {"type": "refusal", "refusal": "no"}


def test_an_empty_summary_is_none() -> None:
    (item,) = written(Reasoning(summary=("a", "")))["output"]
    assert [part["text"] for part in item["summary"]] == ["a"]


def test_seals_of_calls_stand_before_and_those_of_texts_behind() -> None:
    text_seal = Sealed(vendor="google", kind="part", data="t")
    output = written(
        Text(text="a", sealed=text_seal),
        Text(text="b"),
        ToolCall(id="c1", name="f", args="{}", sealed=GOOGLE),
    )["output"]
    assert [item["type"] for item in output] == [
        "message",
        "reasoning",
        "message",
        "reasoning",
        "function_call",
    ]
    assert seals.opened(output[1]["encrypted_content"]) == text_seal
    assert seals.opened(output[3]["encrypted_content"]) == GOOGLE


def test_pictures_are_items_and_other_work_of_hosted_tools_divides_nothing() -> None:
    code = Hosted(vendor="google", type="executableCode", raw="{}", phase="call", text="1+1")
    image = Media(kind="image", source=Base64("aGk="), mime="image/png")
    text, picture = written(Text(text="a"), code, Text(text="b"), image)["output"]
    assert [part["text"] for part in text["content"]] == ["a", "b"]
    assert (picture["type"], picture["status"], picture["result"]) == (
        "image_generation_call",
        "completed",
        "aGk=",
    )


def test_own_work_of_hosted_tools_goes_as_it_is() -> None:
    raw = '{"type":"web_search_call","id":"w","status":"completed","action":{"type":"search","query":"q"}}'
    hosted = Hosted(vendor="openai", type="web_search_call", raw=raw, phase="call")
    _, item, _ = written(Text(text="a"), hosted, Text(text="b"))["output"]
    assert item == json.loads(raw)


def test_citations_cover_the_text_where_they_say_no_range() -> None:
    citations = (
        Citation(url="https://h", title="T"),
        Citation(kind="document", title="D"),
        Citation(url="u", start=1, end=2),
    )
    (item,) = written(Text(text="héllo", citations=citations))["output"]
    assert item["content"][0]["annotations"] == [
        {"type": "url_citation", "start_index": 0, "end_index": 5, "title": "T", "url": "https://h"},
        {"type": "url_citation", "start_index": 1, "end_index": 2, "title": "", "url": "u"},
    ]


def test_tokens_stand_with_the_text_they_spell() -> None:
    def token(text: str) -> dict[str, Any]:
        return {"token": text, "bytes": list(text.encode()), "logprob": -1.0, "top_logprobs": []}

    tokens = (token("he"), token("llo"), token("you"))
    (item,) = written(Text(text="hello"), Text(text="you"), logprobs=tokens)["output"]
    assert [part["logprobs"] for part in item["content"]] == [list(tokens[:2]), [tokens[2]]]


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        (Reason.STOP, "completed", None),
        (Reason.STOP_SEQUENCE, "completed", None),
        (Reason.TOOL_CALLS, "completed", None),
        (Reason.PAUSE, "completed", None),
        (Reason.MALFORMED_CALL, "completed", None),
        (Reason.LENGTH, "incomplete", {"reason": "max_output_tokens"}),
        (Reason.CONTEXT, "incomplete", {"reason": "max_output_tokens"}),
        (Reason.FILTER, "incomplete", {"reason": "content_filter"}),
        (Reason.REFUSAL, "incomplete", {"reason": "content_filter"}),
        (Reason.RECITATION, "incomplete", {"reason": "content_filter"}),
        (Reason.OTHER, "incomplete", {}),
    ],
)
def test_ends(reason: Reason, status: str, details: object) -> None:
    made = written(Text(text="x"), reason=reason)
    assert (made["status"], made["incomplete_details"]) == (status, details)


@pytest.mark.parametrize(
    ("part", "status"),
    [
        (Text(text="x"), "incomplete"),
        (ToolCall(id="c", name="f", args='{"a'), "incomplete"),
        (ToolCall(id="c", name="f", args='{"a":1}'), "completed"),
    ],
)
def test_what_the_limit_cut_is_incomplete(part: Part, status: str) -> None:
    whole, cut = written(ToolCall(id="b", name="f", args="{}"), part, reason=Reason.LENGTH)["output"]
    assert (whole["status"], cut["status"]) == ("completed", status)


def test_counts_are_whole() -> None:
    usage = Usage(input_tokens=10, output_tokens=5, cache_read_tokens=4, reasoning_tokens=2)
    assert written(usage=usage)["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    }


def test_what_google_wants_shown_is_kept() -> None:
    extras = {"search_entry_point": {"renderedContent": "<b>"}}
    assert written(Text(text="x"), extras=extras)["extras"] == {"google": extras}
