"""Pairs as a whole: what no dialect is to blame for."""

from __future__ import annotations

import orjson
import pytest

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate.beside import Beside
from llmitm.translate.neutral import Failure, Request, UpstreamError
from llmitm.translate.pair import Translation, read_request
from llmitm.translate.target import Target

DEEP = b"[" * 400 + b"]" * 400


def asked(*, stream: bool = False, **more: object) -> Request:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": stream, **more}
    return read_request(Dialect.OPENAI_CHAT, orjson.dumps(body))


def to_messages(request: Request, **more: object) -> Translation:
    target = Target(dialect=Dialect.ANTHROPIC_MESSAGES, model="claude", vendor="anthropic", **more)  # type: ignore[arg-type]
    return Translation(request, target)


def event(name: str, **members: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps({"type": name, **members}))


START = event("message_start", message={"id": "msg_1", "usage": {"input_tokens": 3, "output_tokens": 1}})
TEXT = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
DELTA = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "hi"})
STOP = event("content_block_stop", index=0)
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}) + event(
    "message_stop"
)
ERROR = event("error", error={"type": "overloaded_error", "message": "busy"})


def test_nothing_is_written_before_the_upstream_has_said_anything() -> None:
    stream = to_messages(asked(stream=True)).stream()
    assert stream.feed(START + event("ping") + TEXT) == b""
    assert not stream.has_begun
    out = stream.feed(DELTA)
    assert stream.has_begun
    assert b'"role":"assistant"' in out and b'"content":"hi"' in out
    assert stream.feed(event("ping")) == b": keepalive\n\n"
    assert (stream.feed(STOP + END) + stream.finish()).endswith(b"data: [DONE]\n\n")
    assert (stream.failure, stream.feed(DELTA), stream.finish()) == (None, b"", b"")


def test_a_failure_before_that_is_told_by_its_status_alone() -> None:
    stream = to_messages(asked(stream=True)).stream()
    assert stream.feed(START + ERROR) + stream.feed(DELTA) + stream.finish() == b""
    assert stream.failure is not None
    assert (stream.failure.status, stream.failure.kind, stream.has_begun) == (529, "overloaded", False)


def test_a_failure_after_it_is_an_event_and_what_was_counted_is_no_total() -> None:
    translation = to_messages(asked(stream=True))
    stream = translation.stream()
    stream.feed(START + TEXT + DELTA)
    out = stream.feed(ERROR)
    assert out.startswith(b'data: {"error":') and b"[DONE]" not in out
    assert translation.usage is not None
    assert (translation.usage.input_tokens, translation.usage.is_final) == (3, False)


@pytest.mark.parametrize("how", ["cut", "broken", "connection"])
def test_a_stream_that_ends_too_early_says_so(how: str) -> None:
    stream = to_messages(asked(stream=True)).stream()
    stream.feed(START + TEXT + DELTA)
    if how == "connection":
        out = stream.fail(Failure(status=504, message="The provider fell silent."))
    else:
        out = stream.feed(b"data: {\n\n" if how == "broken" else b"") + stream.finish()
    assert b'"error"' in out
    codes = {"cut": "upstream_truncated", "broken": "malformed_stream", "connection": None}
    assert stream.failure is not None and stream.failure.code == codes[how]


def test_an_event_without_end_is_a_failure() -> None:
    piece = b"data: " + b"x" * 34_000_000
    stream = to_messages(asked(stream=True)).stream()
    assert stream.feed(piece) == b""
    assert stream.failure is not None and stream.failure.code == "malformed_stream"
    stream = to_messages(asked(stream=True)).stream()
    assert stream.feed(b"data: {}\n\n" + piece) == b""
    assert stream.finish() == b"" and stream.failure is not None


def test_collecting_gives_the_reply_or_its_error() -> None:
    collected = to_messages(asked()).collector()
    collected.feed(START + TEXT + DELTA)
    collected.feed(STOP + END)
    whole = orjson.loads(collected.finish())
    assert whole["choices"][0]["message"]["content"] == "hi"
    assert collected.usage is not None and collected.usage.output_tokens == 2
    collected = to_messages(asked()).collector()
    collected.feed(START + ERROR + DELTA)
    with pytest.raises(UpstreamError) as caught:
        collected.finish()
    assert caught.value.failure.status == 529
    assert collected.usage is not None
    assert (collected.usage.input_tokens, collected.usage.is_final) == (3, False)


def test_a_whole_answer_becomes_the_stream_that_was_asked_for() -> None:
    body = {"id": "msg_1", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"}
    out = to_messages(asked(stream=True)).simulated(orjson.dumps(body))
    assert out.count(b'"content":"hi"') == 1 and out.endswith(b"data: [DONE]\n\n")


def test_what_is_nested_too_deep_is_refused_or_a_broken_answer() -> None:
    with pytest.raises(Refused):
        read_request(Dialect.OPENAI_CHAT, b"[" * 100_000)
    with pytest.raises(Refused) as caught:
        to_messages(asked(temperature=orjson.Fragment(DEEP)))
    assert caught.value.status == 400
    body = b'{"content":[{"type":"text","text":"x","citations":[{"a":' + DEEP + b"}]}]}"
    with pytest.raises(UpstreamError) as failed:
        to_messages(asked()).reply(body)
    assert failed.value.failure.code == "malformed_reply"
    cited = {"type": "citations_delta", "citation": orjson.Fragment(b'{"a":' + DEEP + b"}")}
    stream = to_messages(asked(stream=True)).stream()
    stream.feed(START + TEXT + event("content_block_delta", index=0, delta=cited))
    assert stream.failure is not None and stream.failure.code == "malformed_reply"


CITED = event(
    "content_block_delta",
    index=0,
    delta={"type": "citations_delta", "citation": orjson.Fragment(b'{"a":' + DEEP + b"}")},
)
DEEP_TOKEN = b'{"token":"a","logprob":0,"top_logprobs":' + DEEP + b"}"
DEEP_ANSWER = b'{"choices":[{"message":{"content":"a"},"logprobs":{"content":[%b]}}]}' % DEEP_TOKEN


def test_what_is_nested_too_deep_is_an_error_however_it_is_read() -> None:
    collected = to_messages(asked()).collector()
    collected.feed(START + TEXT + CITED + DELTA)
    with pytest.raises(UpstreamError) as failed:
        collected.finish()
    assert failed.value.failure.code == "malformed_reply"
    waiting = read_request(Dialect.OPENAI_RESPONSES, b'{"model":"m","input":"x"}')
    made = Translation(waiting, Target(dialect=Dialect.OPENAI_CHAT, model="m"))
    for read in (made.reply, made.simulated):
        with pytest.raises(UpstreamError) as failed:
            read(DEEP_ANSWER)
        assert failed.value.failure.code == "malformed_reply"
    collected = made.collector()
    collected.feed(b"data: " + DEEP_ANSWER.replace(b'"message"', b'"delta"') + b"\n\n")
    collected.feed(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n')
    with pytest.raises(UpstreamError) as failed:
        collected.finish()
    assert failed.value.failure.code == "malformed_reply"


def test_an_event_without_end_is_a_failure_also_where_it_is_added_up() -> None:
    piece = b"data: " + b"x" * 34_000_000
    collected = to_messages(asked()).collector()
    collected.feed(START + TEXT + DELTA)
    collected.feed(piece)
    collected.feed(STOP + END)
    with pytest.raises(UpstreamError) as failed:
        collected.finish()
    assert failed.value.failure.code == "malformed_stream"


def test_schemas_of_any_depth_are_read_or_refused() -> None:
    schema = b'{"items":' * 3_000 + b"{}" + b"}" * 3_000
    tools = b'[{"functionDeclarations":[{"name":"f","parameters":%b}]}]' % schema
    body = b'{"contents":[{"parts":[{"text":"x"}]}],"tools":%b}' % tools
    with pytest.raises(Refused) as caught:
        read_request(Dialect.GEMINI, body, model="m", is_stream=False)
    assert caught.value.status == 400


def test_nothing_follows_a_failure() -> None:
    stream = to_messages(asked(stream=True)).stream()
    out = stream.feed(START + TEXT + DELTA + ERROR + DELTA + STOP + END)
    assert out.count(b'"content":"hi"') == 1 and out.count(b'"error"') == 1
    to_gemini = Translation(asked(), Target(dialect=Dialect.GEMINI, model="m"))
    broken = {
        "candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}],
        "usageMetadata": {"promptTokenCount": 3},
    }
    whole, pieces = to_gemini.collector(), to_gemini.stream()
    said = b"data: " + orjson.dumps(broken) + b"\n\n"
    whole.feed(said)
    with pytest.raises(UpstreamError) as failed:
        whole.finish()
    assert failed.value.failure.code == "malformed_function_call"
    assert pieces.feed(said + said) + pieces.finish() == b""
    assert pieces.failure == failed.value.failure
    assert pieces.fail(Failure(status=504, message="gone")) == b""
    assert pieces.failure == failed.value.failure


def test_strictness_refuses_what_would_be_lost() -> None:
    assert to_messages(asked(seed=3)).notes.header() == b'"lost:seed";at="seed"'
    with pytest.raises(Refused) as caught:
        to_messages(asked(seed=3), is_strict=True)
    assert (caught.value.code, caught.value.param) == ("unsupported_by_target", "seed")


def test_depth_that_shows_at_the_end_alone_is_an_error_too() -> None:
    support = b'{"segment":{"endIndex":1},"groundingChunkIndices":[0],"x":' + DEEP + b"}"
    grounding = b'{"groundingChunks":[{"web":{"uri":"https://a"}}],"groundingSupports":[' + support + b"]}"
    text = (
        b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]},"groundingMetadata":%b}]}\n\n' % grounding
    )
    made = Translation(asked(stream=True), Target(dialect=Dialect.GEMINI, model="m"))
    going = made.stream()
    going.feed(text)
    going.finish()
    assert going.failure is not None
    collected = made.collector()
    collected.feed(text)
    with pytest.raises(UpstreamError):
        collected.finish()
    beside = Beside(Dialect.GEMINI, is_events=True)
    beside.feed(text)
    beside.finish()  # it never raises
