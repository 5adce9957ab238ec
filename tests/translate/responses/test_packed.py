"""A conversation packed by another vendor than OpenAI: the item that a client keeps, and its return."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate import models
from llmitm.translate.cut import without_envelopes
from llmitm.translate.neutral import UpstreamError
from llmitm.translate.pair import Translation, read_request
from llmitm.translate.responses import packed
from llmitm.translate.target import Target

RESPONSES = Dialect.OPENAI_RESPONSES
CHAT = Target(
    dialect=Dialect.OPENAI_CHAT,
    model="gpt-4.1",
    row=models.find("gpt-4.1", Dialect.OPENAI_CHAT),
    vendor="openai",
)
SUMMARY = "The user wants 東京 \U0001f388 counted.\n"


def asked(**members: Any) -> Translation:
    items = [{"role": "user", "content": "Count."}, {"type": "compaction_trigger"}]
    body = {"model": "m", "input": items, "text": {"format": {"type": "json_object"}}, **members}
    return Translation(read_request(RESPONSES, orjson.dumps(body)), CHAT)


def answer(text: str, finish: str = "stop") -> bytes:
    message = {"role": "assistant", "content": text, "reasoning_content": "I think."}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return orjson.dumps({"id": "chatcmpl-1", "model": "gpt-4.1", "choices": [choice]})


def events(told: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in told.splitlines() if line.startswith(b"data: ")]


def test_the_reply_is_one_item() -> None:
    reply = orjson.loads(asked().reply(answer(SUMMARY)))
    (item,) = reply["output"]
    assert (reply["status"], item["type"], item["id"][:4]) == ("completed", "compaction", "cmp_")
    assert (packed.given(item["encrypted_content"]) or "").endswith(SUMMARY)


def test_a_stream_ends_in_one_item() -> None:
    told = events(asked(stream=True).simulated(answer(SUMMARY)))
    kinds = [one["type"] for one in told]
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        "response.completed",
    ]
    assert [one["sequence_number"] for one in told] == list(range(5))
    assert told[-1]["response"]["output"] == [told[-2]["item"]]
    assert (packed.given(told[-2]["item"]["encrypted_content"]) or "").endswith(SUMMARY)


def test_a_summary_that_was_cut_is_not_called_complete() -> None:
    told = events(asked(stream=True).simulated(answer(SUMMARY, "length")))
    assert told[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_no_summary_is_a_failure() -> None:
    with pytest.raises(UpstreamError, match="wrote none"):
        asked().reply(answer(" \n"))
    with pytest.raises(UpstreamError, match="wrote none"):
        asked(stream=True).simulated(answer(" \n"))


def test_a_stream_without_a_summary_has_failed() -> None:
    going = asked(stream=True).stream()
    chunk = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": " "}}]}
    ended = {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    counted = {**chunk, "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    sent = b"".join(b"data: %b\n\n" % orjson.dumps(one) for one in (chunk, ended, counted))
    told = events(going.feed(sent + b"data: [DONE]\n\n") + going.finish())
    assert told[-1]["type"] == "response.failed"
    assert "wrote none" in told[-1]["response"]["error"]["message"]
    assert going.failure is not None and "wrote none" in going.failure.message
    assert going.usage is not None and going.usage.input_tokens == 3


def test_the_model_answers_with_text_alone() -> None:
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]
    body = orjson.loads(asked(tools=tools, tool_choice="required").body)
    assert body["tool_choice"] == "none"
    assert "response_format" not in body
    assert body["messages"][-1] == {"role": "user", "content": packed.ASKED}


def test_only_the_last_item_can_ask_for_it() -> None:
    items = [{"type": "compaction_trigger"}, {"role": "user", "content": "Go on."}]
    with pytest.raises(Refused, match=r"input\[0\].*last item"):
        asked(input=items)


@pytest.mark.parametrize("encrypted", ["gAAAAAB", "gwc1.?", "gwc1.a", "gwc1._w", None, 7])
def test_what_others_packed_is_refused(encrypted: Any) -> None:
    items = [{"type": "compaction", "encrypted_content": encrypted}, {"role": "user", "content": "Go on."}]
    with pytest.raises(Refused, match=r"input\[0\]"):
        asked(input=items)


def test_openai_itself_is_sent_words_in_its_place() -> None:
    sealed = packed.pack(SUMMARY)
    body = (
        '{ "input": [{"role":"user","content":"a"} , {"type":"compaction","encrypted_content":"%s"},'
        '{"type":"compaction","encrypted_content":"gAAAAAB"} ], "n": 1.50}'
    )
    made = without_envelopes(RESPONSES, (body % sealed).encode())
    assert made.startswith(b'{ "input": [{"role":"user","content":"a"} , {')
    assert made.endswith(b'},{"type":"compaction","encrypted_content":"gAAAAAB"} ], "n": 1.50}')
    message = orjson.loads(made)["input"][1]
    assert message == {"type": "message", "role": "user", "content": packed.given(sealed)}
