"""Usage is asked for without the client's knowing."""

from __future__ import annotations

import time

import pytest

from llmitm.translate.unasked import Without, asking

ASKED: dict[str, tuple[bytes, bytes | None]] = {
    "a stream": (
        b'{"stream":true, "n": 1.0}',
        b'{"stream":true, "n": 1.0,"stream_options":{"include_usage":true}}',
    ),
    "other options stay": (
        b'{"stream":true,"stream_options":{ "include_obfuscation" : false}}',
        b'{"stream":true,"stream_options":{ "include_obfuscation" : false,"include_usage":true}}',
    ),
    "a refusal of it is not seen": (
        b'{"stream":true,"stream_options":{"include_usage":false}}',
        b'{"stream":true,"stream_options":{"include_usage":true}}',
    ),
    "options that are null": (
        b'{"stream":true,"stream_options":null}',
        b'{"stream":true,"stream_options":{"include_usage":true}}',
    ),
    "asked for already": (b'{"stream":true,"stream_options":{"include_usage":true}}', None),
    "no stream": (b'{"stream":false}', None),
    "nonsense is the provider's to refuse": (b'{"stream":true,"stream_options":7}', None),
}


@pytest.mark.parametrize(("body", "made"), ASKED.values(), ids=ASKED)
def test_usage_is_asked_for(body: bytes, made: bytes | None) -> None:
    assert asking(body) == made


FIRST = b'data: {"choices":[{"delta":{"content":"\\n\\n"}}],"usage":null}'
TOLD = b'data: {"choices":[],"usage":{"prompt_tokens":1}}'
DONE = b"data: [DONE]"
OTHERS = [
    b'data: {"choices":[],"prompt_filter_results":[]}',
    b'data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}',
    b'data: "usage" "choices"',
    b": keepalive",
]


@pytest.mark.parametrize("seam", [b"\n\n", b"\r\n\r\n", b"\r\r"])
@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_the_chunk_alone_is_kept_back_for_any_cut(seam: bytes, size: int) -> None:
    events = [FIRST, *OTHERS, TOLD, DONE]
    stream = b"".join(event + seam for event in events)
    without = Without()
    seen = b"".join(without.feed(stream[at : at + size]) for at in range(0, len(stream), size))
    assert seen + without.finish() == stream.replace(TOLD + seam, b"")


def test_a_long_event_takes_time_in_proportion() -> None:
    without, piece = Without(), b"x" * 1_000
    began_s = time.process_time()
    seen = b"".join([without.feed(piece) for _ in range(20_000)])
    assert len(piece) * 20_000 - len(seen) < 100_000
    seen += without.feed(b"\n") + without.feed(b"\n" + TOLD + b"\n\n" + DONE)
    assert seen + without.finish() == piece * 20_000 + b"\n\n" + DONE
    assert time.process_time() - began_s < 2


def test_what_ends_within_an_event_is_not_lost() -> None:
    without = Without()
    assert without.feed(FIRST + b"\n\ndata: {") == FIRST + b"\n\n"
    assert without.finish() == b"data: {"
