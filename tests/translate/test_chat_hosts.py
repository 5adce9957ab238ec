"""Chat hosts spell answers in their own ways; each is read the same, whole or streamed."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from llmitm.translate.chat.reply_in import read_reply
from llmitm.translate.chat.stream_in import StreamReader
from llmitm.translate.neutral import Choice, Part, Text
from llmitm.translate.sse import SseReader
from llmitm.translate.stream import Collector

SPELLINGS: dict[str, tuple[dict[str, Any], list[Part]]] = {
    "the old call, empty": (
        {"content": "4", "function_call": {"name": "", "arguments": ""}, "refusal": "", "tool_calls": None},
        [Text(text="4")],
    ),
}


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
