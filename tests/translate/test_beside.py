"""Answers that pass untouched, read beside: their tokens, and whether they were whole."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from llmitm.exchange import Dialect, Usage
from llmitm.translate.beside import WHOLE_LIMIT_BYTES, Beside
from llmitm.translate.dialects import CODECS
from support import golden
from support.fitting import CHAT, GEMINI, MESSAGES, RESPONSES

DEEP = b"[" * 400 + b"]" * 400


def event(**members: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(members.get("type", "")).encode(), orjson.dumps(members))


START = event(type="message_start", message={"usage": {"input_tokens": 3, "output_tokens": 1}})
TEXT = event(type="content_block_start", index=0, content_block={"type": "text", "text": "a"})
DELTA = event(type="message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5})
STOP = event(type="message_stop")
ERROR = event(type="error", error={"type": "overloaded_error", "message": "busy"})
CHUNK = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
ENDED = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'

# the rule, the dialect, the pieces; tokens in and out, the code of the failure, whether it ended too early
STREAMS: list[tuple[str, Dialect, list[bytes], tuple[int | None, int | None] | None, str | None, bool]] = [
    ("a whole stream", MESSAGES, [START + TEXT, DELTA + STOP], (3, 5), None, False),
    (
        "cut anywhere",
        MESSAGES,
        [(START + TEXT + DELTA + STOP)[n : n + 1] for n in range(600)],
        (3, 5),
        None,
        False,
    ),
    ("one that ends too early", MESSAGES, [START + TEXT], (3, 1), "upstream_truncated", True),
    ("one that tells of an error", MESSAGES, [START + ERROR], (3, 1), None, False),
    ("the first error counts", MESSAGES, [START + ERROR + ERROR], (3, 1), None, False),
    (
        "an error as its last word, without an end of its line",
        MESSAGES,
        [START + ERROR.rstrip()],
        (3, 1),
        None,
        False,
    ),
    ("a stream without counts", CHAT, [CHUNK, ENDED, b"data: [DONE]\n\n"], None, None, False),
    ("which ends too early", CHAT, [CHUNK], None, "upstream_truncated", True),
    ("what is no JSON", CHAT, [CHUNK + b"data: {\n\n"], None, "malformed_stream", False),
    ("an event without an end is not read", CHAT, [b"data: " + b"x" * 34_000_000, CHUNK], None, None, False),
    ("nor is one that is the last", CHAT, [CHUNK + b"data: " + b"x" * 34_000_000], None, None, False),
]


@pytest.mark.parametrize(
    ("dialect", "pieces", "tokens", "code", "is_early"),
    [row[1:] for row in STREAMS],
    ids=[row[0] for row in STREAMS],
)
def test_streams(
    dialect: Dialect,
    pieces: list[bytes],
    tokens: tuple[int | None, int | None] | None,
    code: str | None,
    is_early: bool,
) -> None:
    beside = Beside(dialect, is_events=True)
    for piece in pieces:
        beside.feed(piece)
    assert beside.finish() == is_early
    usage = beside.usage
    assert (usage and (usage.input_tokens, usage.output_tokens)) == tokens
    assert (beside.failure.code if beside.failure else None) == code
    if any(ERROR.rstrip() in piece for piece in pieces):
        assert beside.failure is not None and beside.failure.status == 529


BODY = b'{"choices":[{"message":{"content":"a"}}],"usage":{"prompt_tokens":3,"completion_tokens":5}}'
WHOLES: list[tuple[str, Dialect, list[bytes], tuple[int, int] | None, bool]] = [
    ("an answer", CHAT, [BODY], (3, 5), False),
    ("in pieces", CHAT, [BODY[:20], BODY[20:]], (3, 5), False),
    ("an error in an answer", RESPONSES, [b'{"error":{"message":"no"}}'], None, True),
    ("what is no JSON is an error too", GEMINI, [b"{"], None, True),
    (
        "what is nested too deep is not read",
        MESSAGES,
        [b'{"content":[{"type":"text","text":"a","citations":[{"a":%b}]}]}' % DEEP],
        None,
        False,
    ),
    ("nor what is too long", CHAT, [BODY, b" " * WHOLE_LIMIT_BYTES, b"{"], None, False),
]


@pytest.mark.parametrize(
    ("dialect", "pieces", "tokens", "has_failed"), [row[1:] for row in WHOLES], ids=[row[0] for row in WHOLES]
)
def test_whole_answers(
    dialect: Dialect, pieces: list[bytes], tokens: tuple[int, int] | None, has_failed: bool
) -> None:
    beside = Beside(dialect, is_events=False)
    for piece in pieces:
        beside.feed(piece)
    assert not beside.finish()
    assert (beside.usage and (beside.usage.input_tokens, beside.usage.output_tokens)) == tokens
    assert (beside.failure is not None) == has_failed


def test_what_was_counted_of_a_broken_stream_is_no_total() -> None:
    beside = Beside(MESSAGES, is_events=True)
    beside.broken_off()
    assert beside.usage is None
    beside.feed(START + TEXT)
    beside.broken_off()
    assert beside.usage is not None and not beside.usage.is_final


def test_what_is_nested_too_deep_ends_the_reading_alone() -> None:
    cited = {"type": "citations_delta", "citation": orjson.Fragment(b'{"a":' + DEEP + b"}")}
    beside = Beside(MESSAGES, is_events=True)
    beside.feed(START + TEXT)
    beside.feed(event(type="content_block_delta", index=0, delta=cited))
    beside.feed(DELTA + STOP)
    assert not beside.finish()
    last = Beside(MESSAGES, is_events=True)
    last.feed(START + TEXT + event(type="content_block_delta", index=0, delta=cited).rstrip())
    assert not last.finish()


BEGINNINGS = [
    ("a start is nothing yet", [START], False),
    ("nor is a sign of life", [START, b": ping\n\n", event(type="ping")], False),
    ("words are something", [START, TEXT], True),
    ("so is an end", [START, DELTA], True),
    ("an error is none", [START, ERROR], False),
    ("what cannot be read may be", [b"data: " + b"x" * 34_000_000], True),
]


@pytest.mark.parametrize(
    ("pieces", "has_begun"), [row[1:] for row in BEGINNINGS], ids=[row[0] for row in BEGINNINGS]
)
def test_whether_a_stream_has_begun(pieces: list[bytes], has_begun: bool) -> None:
    beside = Beside(MESSAGES, is_events=True)
    for piece in pieces:
        beside.feed(piece)
    assert beside.has_begun == has_begun


STREAMED = [case for case in golden.load() if case.kind == "stream"]


@pytest.mark.parametrize("case", STREAMED, ids=[case.name for case in STREAMED])
def test_what_is_passed_over_would_have_told_nothing(case: golden.Case) -> None:
    """A reader that is given its codec reads every event."""
    some = Beside(case.dialect, is_events=True)
    every = Beside(case.dialect, is_events=True, codec=CODECS[case.dialect])
    for event in case.given.split(b"\n\n"):
        for one in (some, every):
            one.feed(event + b"\n\n")
    assert some.finish() == every.finish()
    for name in ("usage", "failure", "answered", "reply_id", "has_begun"):
        assert getattr(some, name) == getattr(every, name)


SAYS_NOTHING = (
    b'{"candidates":[{"finishReason":"OTHER","index":0}],'
    b'"usageMetadata":{"promptTokenCount":11,"totalTokenCount":11}}'
)


def test_what_says_nothing_was_paid_for_all_the_same() -> None:
    beside = Beside(GEMINI, is_events=False)
    beside.feed(SAYS_NOTHING)
    beside.finish()
    assert beside.failure is not None
    assert beside.usage is not None and beside.usage.input_tokens == 11


def test_a_response_that_failed_has_used_what_it_says() -> None:
    beside = Beside(Dialect.OPENAI_RESPONSES, is_events=False)
    counts = {"input_tokens": 3, "output_tokens": 2}
    error = {"code": "server_error", "message": "no"}
    told = {"object": "response", "status": "failed", "output": [], "error": error, "usage": counts}
    beside.feed(orjson.dumps(told))
    beside.finish()
    assert beside.failure is not None and beside.failure.code == "server_error"
    assert beside.usage == Usage(input_tokens=3, output_tokens=2)
