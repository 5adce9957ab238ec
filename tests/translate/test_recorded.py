"""Recorded replies, requests and streams keep what they hold when they are reshaped, edited and read.

The recordings are no part of the project: they are looked for at ../shared/corpus or $LLMITM_CORPUS.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmitm.translate.peek import unstream
from llmitm.translate.reshape import NotACompletion, collect_chat, simulate_chat
from llmitm.translate.sse import SseReader

CORPUS = Path(os.environ.get("LLMITM_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))

pytestmark = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="no recordings: neither ../shared/corpus nor $LLMITM_CORPUS"
)


def records(wire: str) -> Iterator[dict[str, Any]]:
    with (CORPUS / f"{wire}.jsonl").open("rb") as lines:
        yield from map(orjson.loads, lines)


def expected(reply: dict[str, Any]) -> dict[str, Any]:
    """The reply with what every stream has: an object's name, indexes of choices. A call's own index is
    told by its place; a `delta` beside a message has none in a stream."""
    choices = []
    for at, choice in enumerate(reply["choices"]):
        kept = {name: value for name, value in choice.items() if name != "delta"}
        message = dict(choice["message"])
        if message.get("tool_calls"):
            message["tool_calls"] = [
                {name: value for name, value in call.items() if name != "index"}
                for call in message["tool_calls"]
            ]
        choices.append({"index": at, "finish_reason": None, **kept, "message": message})
    return {**reply, "object": "chat.completion", "choices": choices}


def test_recorded_completions_are_the_same_after_a_simulated_stream() -> None:
    compared = 0
    for record in records("openai-chat"):
        reply = record.get("response")
        if not isinstance(reply, dict):
            continue
        try:
            events = simulate_chat(orjson.dumps(reply), include_usage=True)
        except NotACompletion:
            assert record["status"] != 200 or not any("message" in one for one in reply.get("choices") or ())
            continue
        collected = collect_chat(events)
        assert collected == expected(reply), record["id"]
        compared += 1
    assert compared > 500


def test_recorded_requests_are_the_same_but_for_streaming() -> None:
    for record in records("openai-chat"):
        request = record["request"]
        if isinstance(request, dict):
            plain = {name: value for name, value in request.items() if name != "stream_options"}
            assert orjson.loads(unstream(orjson.dumps(request))) == {**plain, "stream": False}


@pytest.mark.parametrize("wire", ["openai-chat", "openai-responses", "anthropic-messages", "gemini"])
def test_recorded_streams_are_read_the_same_however_they_are_cut(wire: str) -> None:
    for record in records(wire):
        if not record.get("sse"):
            continue
        stream = record["sse"].encode()
        whole = SseReader()
        events = whole.feed(stream) + whole.finish()
        assert b"".join(event.raw for event in events) == stream
        for size in (1, 97) if len(stream) < 2_000 else (97,):
            reader = SseReader()
            cut = [
                event for at in range(0, len(stream), size) for event in reader.feed(stream[at : at + size])
            ]
            assert cut + reader.finish() == events
