"""What is counted of an answer of which nothing else is read."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import brotli
import orjson
import pytest
import zstandard

from llmitm.exchange import Dialect, Usage
from llmitm.translate.beside import Beside
from llmitm.translate.glance import Glance
from support.corpus import ABSENT, CORPUS, reply_of, sampled, stream_of


def data(*events: Any) -> bytes:
    return b"".join(b"data: %b\r\n\r\n" % orjson.dumps(event) for event in events)


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "m", "choices": [{"index": 0, "delta": {"content": "x"}}], "usage": None, **more}


COUNTS = {"prompt_tokens": 3, "completion_tokens": 2}
CHAT = data(chat(), chat(), chat(choices=[], usage=COUNTS)) + b"data: [DONE]\n\n"
MESSAGES = data(
    {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)
RESPONSES = data(
    {"type": "response.created", "response": {"model": "m", "usage": None}},
    {"type": "response.output_text.delta", "delta": 'the "usage": {'},
    {
        "type": "response.completed",
        "response": {"model": "m", "usage": {"input_tokens": 3, "output_tokens": 2}},
    },
)
GEMINI = data(
    {"modelVersion": "m", "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}},
    {"modelVersion": "m", "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}},
)
STREAMS = {
    Dialect.OPENAI_CHAT: CHAT,
    Dialect.ANTHROPIC_MESSAGES: MESSAGES,
    Dialect.OPENAI_RESPONSES: RESPONSES,
    Dialect.GEMINI: GEMINI,
}


@pytest.mark.parametrize("piece_bytes", [1, 7, 1_000_000])
@pytest.mark.parametrize("dialect", Dialect)
def test_streams_are_counted_however_they_are_cut(dialect: Dialect, piece_bytes: int) -> None:
    content, glance = STREAMS[dialect], Glance(dialect, is_events=True)
    for at in range(0, len(content), piece_bytes):
        glance.feed(content[at : at + piece_bytes])
    glance.finish()
    assert glance.usage is not None and glance.answered == "m"
    assert (glance.usage.input_tokens, glance.usage.output_tokens) == (3, 2)
    assert glance.usage.is_final


def test_of_a_stream_that_broke_off_counts_are_not_final() -> None:
    glance = Glance(Dialect.ANTHROPIC_MESSAGES, is_events=True)
    glance.feed(MESSAGES[:150])
    glance.finish(is_whole=False)
    assert glance.usage is not None
    assert (glance.usage.input_tokens, glance.usage.is_final) == (3, False)


FAILED = {"error": {"message": "no", "type": "server_error"}}
ENDED: dict[str, tuple[Dialect, Any, str | None, bool]] = {
    "chat": (Dialect.OPENAI_CHAT, CHAT, None, True),
    "chat whose reason is missing": (
        Dialect.OPENAI_CHAT,
        data(chat(usage=COUNTS)) + b"data: [DONE]\n\n",
        None,
        True,
    ),
    "chat that tells of an error": (
        Dialect.OPENAI_CHAT,
        data(chat(usage=COUNTS), FAILED),
        "bad_gateway",
        False,
    ),
    "chat that ends too early": (Dialect.OPENAI_CHAT, data(chat(), chat()), "upstream_truncated", False),
    "chat that speaks of errors": (
        Dialect.OPENAI_CHAT,
        data(chat(said='{"error": {"message": "x"}}'), chat(choices=[], usage=COUNTS)) + b"data: [DONE]\n\n",
        None,
        True,
    ),
    "nothing of chat": (Dialect.OPENAI_CHAT, b"data: plain words\n\n", None, True),
    "nothing of messages": (Dialect.ANTHROPIC_MESSAGES, data({"jsonrpc": "2.0", "id": 1}), None, True),
    "messages": (Dialect.ANTHROPIC_MESSAGES, MESSAGES, None, True),
    "messages that tell of an error": (
        Dialect.ANTHROPIC_MESSAGES,
        MESSAGES[:150].rpartition(b"data")[0]
        + data({"type": "error", "error": {"type": "overloaded_error", "message": "no"}}),
        "overloaded",
        False,
    ),
    "messages that end too early": (
        Dialect.ANTHROPIC_MESSAGES,
        MESSAGES.partition(b'data: {"type":"message_delta"')[0],
        "upstream_truncated",
        False,
    ),
    "responses": (Dialect.OPENAI_RESPONSES, RESPONSES, None, True),
    "responses that failed": (
        Dialect.OPENAI_RESPONSES,
        RESPONSES.replace(b"response.completed", b"response.failed").replace(
            b'"usage":{"in', b'"status":"failed","error":{"code":"server_error","message":"no"},"usage":{"in'
        ),
        "server_error",
        True,
    ),
    "responses that end too early": (
        Dialect.OPENAI_RESPONSES,
        RESPONSES.partition(b'data: {"type":"response.completed"')[0],
        "upstream_truncated",
        False,
    ),
    "gemini": (
        Dialect.GEMINI,
        GEMINI + data({"candidates": [{"finishReason": "STOP"}], "modelVersion": "m"}),
        None,
        True,
    ),
    "gemini that blocks": (
        Dialect.GEMINI,
        data({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}),
        None,
        True,
    ),
    "gemini that tells of an error": (
        Dialect.GEMINI,
        GEMINI + data({"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}),
        "overloaded",
        False,
    ),
    "gemini that ends too early": (
        Dialect.GEMINI,
        data({"candidates": [{"index": 0}], "usageMetadata": {"promptTokenCount": 3}}),
        "upstream_truncated",
        False,
    ),
}


@pytest.mark.parametrize(("dialect", "content", "word", "is_final"), ENDED.values(), ids=ENDED)
def test_errors_and_early_ends_are_seen(
    dialect: Dialect, content: bytes, word: str | None, is_final: bool
) -> None:
    glance = Glance(dialect, is_events=True)
    glance.feed(content)
    glance.finish()
    failure = glance.failure
    assert (failure and (failure.code or failure.kind)) == word
    assert glance.usage is None or glance.usage.is_final is is_final


WHOLES: dict[str, tuple[Dialect, Any, bool]] = {
    "an answer": (Dialect.OPENAI_CHAT, {"choices": [], "error": None, "usage": COUNTS}, False),
    "an error": (Dialect.OPENAI_CHAT, FAILED, True),
    "a response": (Dialect.OPENAI_RESPONSES, {"status": "completed", "error": None, "output": []}, False),
    "a response that failed": (
        Dialect.OPENAI_RESPONSES,
        {"status": "failed", "error": {"code": "server_error", "message": "no"}},
        True,
    ),
    "a message": (Dialect.ANTHROPIC_MESSAGES, {"type": "message", "content": []}, False),
    "no message": (Dialect.ANTHROPIC_MESSAGES, {"type": "error", **FAILED}, True),
    "candidates": (Dialect.GEMINI, {"candidates": [{"finishReason": "STOP"}]}, False),
    "no candidates": (Dialect.GEMINI, [{"error": {"code": 503, "message": "no"}}], True),
}


@pytest.mark.parametrize(("dialect", "told", "is_failure"), WHOLES.values(), ids=WHOLES)
def test_errors_with_a_good_status_are_seen(dialect: Dialect, told: Any, is_failure: bool) -> None:
    glance = Glance(dialect, is_events=False)
    glance.feed(orjson.dumps(told))
    glance.finish()
    assert (glance.failure is not None) is is_failure


CODINGS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "identity": bytes,
    "": bytes,
}
WHOLE = orjson.dumps({"model": "m", "choices": [], "usage": COUNTS})


@pytest.mark.parametrize("coding", CODINGS)
def test_what_is_compressed_is_counted(coding: str) -> None:
    glance = Glance(Dialect.OPENAI_CHAT, is_events=False, encoding=coding.encode())
    content = CODINGS[coding](WHOLE)
    glance.feed(content[:9])
    glance.feed(content[9:])
    glance.finish()
    assert glance.usage == Usage(input_tokens=3, output_tokens=2)


BROKEN = {
    "no JSON": (b"{", b""),
    "no object": (b"[1, 2]", b""),
    "counts that are none": (b'{"usage": {"prompt_tokens": "many"}, "model": 3}', b""),
    "a coding that nobody knows": (WHOLE, b"snappy"),
    "a coding that it has not": (WHOLE, b"gzip"),
    "nothing": (b"", b"br"),
    "bytes": (b"\xff\xfe\x00", b""),
}


@pytest.mark.parametrize(("content", "encoding"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("is_events", [True, False])
def test_what_cannot_be_read_is_not_counted(
    content: bytes, encoding: bytes, dialect: Dialect, is_events: bool
) -> None:
    glance = Glance(dialect, is_events=is_events, encoding=encoding)
    glance.feed(content)
    glance.finish()
    assert glance.usage is None


@pytest.mark.skipif(not CORPUS.exists(), reason=ABSENT)
@pytest.mark.parametrize("dialect", Dialect)
def test_recorded_answers_are_counted_as_by_who_reads_all_of_them(dialect: Dialect) -> None:
    count = 0
    for record in sampled(dialect, 5):
        stream, reply = stream_of(record), reply_of(record)
        if (content := stream or reply) is None:
            continue
        beside = Beside(dialect, is_events=stream is not None)
        glance = Glance(dialect, is_events=stream is not None)
        for one in (beside, glance):
            one.feed(content)
            one.finish()
        if beside.usage is not None:
            assert (glance.usage, glance.answered) == (beside.usage, beside.answered), record["id"]
            assert (glance.failure is None) == (beside.failure is None), record["id"]
            count += 1
    assert count > 20
