"""Streams past the operator's functions, for every cut of their bytes, and what is no event of theirs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmitm.clock import SystemClock
from llmitm.errors import Failure, Refused, UpstreamFailed
from llmitm.exchange import Dialect, ResponseHead
from llmitm.route import calls
from llmitm.route.plan import Asked
from llmitm.shape.hooks import modules
from llmitm.translate.elements import ArrayReader
from llmitm.trip.answered import answered
from llmitm.trip.deltas import Array, Events, Shown
from llmitm.trip.hooked import Hooked

CHAT, MESSAGES, GEMINI = Dialect.OPENAI_CHAT, Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI
PATHS = {
    CHAT: b"/v1/chat/completions",
    MESSAGES: b"/v1/messages",
    GEMINI: b"/v1beta/models/m:streamGenerateContent",
}
SILENT = "async def on_delta(delta): return None\n"
MARKS = "def on_delta(delta):\n    delta.body['n'] = 1\n    return delta\n"
TWICE = "def on_delta(delta): return [delta, delta]\n"
NEVER = "def on_delta(delta): return []\n"
RENAMES = "def on_delta(delta):\n    delta.body['type'] = 'ping'\n    return delta\n"
STREAM = (
    b'\xef\xbb\xbf: keepalive\n\nid: 7\nretry: 9\ndata: {"a" : 1.50,\ndata: "b":"\xc3\xa9"}\n\n'
    b'event: ping\ndata: {"type":"ping"}\n\ndata:{"c":[]}\r\n\r\n: x\ndata: {}\n\n\n\ndata: [DONE]\n\n'
)
ARRAY = b' [ {"a":"]}\\"\\\\", "b":[1,{"c":"["}]}\r\n, {"d":1.50},\n{} ]\n'


def hooked(folder: Path, source: str, dialect: Dialect) -> Hooked:
    (folder / "rules.py").write_text(source)
    asked = Asked(id="id-1", endpoint="all", rest=PATHS[dialect], dialect=dialect, drop_headers=frozenset())

    class World:
        clock = SystemClock()

    made: Any = World()
    return Hooked(
        modules=modules.joined([modules.load(folder / "rules.py")]),
        world=made,
        id="id-1",
        asked=asked,
        call=calls.find(asked.rest),
        key=None,
        limit_bytes=1_000,
        has_attempts=False,
    )


async def passed(folder: Path, source: str, dialect: Dialect, *pieces: bytes) -> bytes:
    made = hooked(folder, source, dialect)
    shown = Shown(made, made.modules.on_delta, dialect, None)
    going = Array(shown) if dialect is GEMINI else Events(shown)
    return b"".join([*[await going.feed(piece) for piece in pieces], await going.finish()])


@pytest.mark.parametrize(("dialect", "stream"), [(CHAT, STREAM), (GEMINI, ARRAY)])
@pytest.mark.parametrize("source", [SILENT, MARKS, TWICE, NEVER])
async def test_however_a_stream_is_cut_the_same_comes_out(
    tmp_path: Path, source: str, dialect: Dialect, stream: bytes
) -> None:
    whole = await passed(tmp_path, source, dialect, stream)
    assert (whole == stream) is (source is SILENT)
    for at in range(1, len(stream)):
        assert await passed(tmp_path, source, dialect, stream[:at], stream[at:]) == whole
    bytes_alone = [stream[at : at + 1] for at in range(len(stream))]
    assert await passed(tmp_path, source, dialect, *bytes_alone) == whole
    for at in range(len(stream)):  # broken off anywhere, nothing is lost or made up
        broken = await passed(tmp_path, source, dialect, stream[:at])
        assert source is not SILENT or broken == stream[:at]


async def test_what_is_changed_keeps_its_other_lines_and_what_is_not_shown_stays(tmp_path: Path) -> None:
    assert (
        await passed(tmp_path, MARKS, CHAT, STREAM)
        == (
            '\ufeff: keepalive\n\nid: 7\nretry: 9\ndata: {"a":1.5,"b":"é","n":1}\n\n'
            'event: ping\ndata: {"type":"ping"}\n\ndata: {"c":[],"n":1}\r\n\r\ndata: {"n":1}\n\n'
            "\n\ndata: [DONE]\n\n"
        ).encode()
    )


async def test_an_events_name_follows_its_type_where_the_dialect_says_it_twice(tmp_path: Path) -> None:
    stream = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert await passed(tmp_path, RENAMES, MESSAGES, stream) == b'event: ping\ndata: {"type":"ping"}\n\n'
    assert (await passed(tmp_path, RENAMES, CHAT, stream)).startswith(b"event: message_stop\n")


async def test_an_array_stays_an_array(tmp_path: Path) -> None:
    assert orjson.loads(await passed(tmp_path, TWICE, GEMINI, ARRAY)) == [
        one for one in orjson.loads(ARRAY) for _ in range(2)
    ]
    assert orjson.loads(await passed(tmp_path, NEVER, GEMINI, ARRAY)) == []


@pytest.mark.parametrize("tail", [b"data: {", b'data: {"c"', b"data: nonsense\n\n"])
async def test_what_could_not_be_shown_does_not_pass_where_a_function_is_fail_closed(
    tmp_path: Path, tail: bytes
) -> None:
    assert await passed(tmp_path, SILENT, CHAT, b"data: {}\n\n", tail) == b"data: {}\n\n" + tail
    closed = SILENT + "FAIL = 'closed'\n"
    if tail.endswith(b"\n\n"):
        with pytest.raises(Refused):
            await passed(tmp_path, closed, CHAT, b"data: {}\n\n", tail)
    else:
        assert await passed(tmp_path, closed, CHAT, b"data: {}\n\n", tail) == b"data: {}\n\n"


@pytest.mark.parametrize("value", [b"[]", b" [ ] ", b"", b"[", b"nothing", b"[1, 2]", b'{"a":[{}]}'])
def test_what_is_no_array_of_objects_is_left_over_whole(value: bytes) -> None:
    reader = ArrayReader()
    found = [part for at in range(len(value)) for one in reader.feed(value[at : at + 1]) for part in one]
    assert b"".join((*found, reader.finish())) == value


# ---- around whole answers

HEAD = ResponseHead(status=200, headers=((b"content-type", b"application/json"), (b"content-length", b"9")))
ADDS = "def on_reply(reply):\n    reply.body['n'] = 1\n    return reply\n"


async def told(folder: Path, source: str, head: ResponseHead, *pieces: bytes | Exception) -> list[Any]:
    """The steps; the last one is the error where the answer broke off."""

    async def steps() -> AsyncGenerator[ResponseHead | bytes]:
        yield head
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    found: list[Any] = []
    try:
        async for step in answered(hooked(folder, source, CHAT), steps()):
            found.append(step)
    except UpstreamFailed as error:
        found.append(error)
    return found


async def test_an_answer_keeps_every_byte_that_was_not_changed(tmp_path: Path) -> None:
    (head,) = await told(tmp_path, ADDS, HEAD, b'{ "a" :1.', b'50, "b":[ ] }')
    assert head.whole == b'{ "a" :1.50, "b":[ ],"n":1 }'
    assert head.header(b"content-length") is None


async def test_signs_of_life_pass_before_an_answer_is_there(tmp_path: Path) -> None:
    head, *rest = await told(tmp_path, ADDS, HEAD, b" ", b"", b" ", b'{"a":1}')
    assert (head.status, head.whole, head.header(b"content-length")) == (200, None, None)
    assert rest == [b" ", b" ", b'{"a":1,"n":1}']


async def test_an_answer_that_is_too_long_to_be_seen_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        await told(tmp_path, ADDS, HEAD, b'"' + b"x" * 1_000, b'"')
    assert (caught.value.status, caught.value.code) == (502, "hook_failed")


@pytest.mark.parametrize("kind", [b"audio/mpeg", b"text/html", b""])
async def test_what_is_no_json_passes_as_it_is(tmp_path: Path, kind: bytes) -> None:
    head = ResponseHead(status=200, headers=((b"content-type", kind),))
    assert await told(tmp_path, ADDS, head, b"{}", b"x") == [head, b"{}", b"x"]


async def test_a_stream_that_breaks_off_says_so_after_what_came(tmp_path: Path) -> None:
    head = ResponseHead(status=200, headers=((b"content-type", b"text/event-stream"),))
    cut = UpstreamFailed(Failure.RESET)
    source = """
def on_delta(delta):
    delta.body["n"] = 1
    return delta
def on_reply(reply):
    import pathlib
    pathlib.Path(__file__).with_name("seen").write_text(f"{reply.is_cut} {reply.body['choices']}")
"""
    chunk = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
    assert await told(tmp_path, source, head, chunk, b"data: {", cut) == [
        head,
        chunk[:-3] + b',"n":1}\n\n',
        b"data: {",
        cut,
    ]
    seen = (tmp_path / "seen").read_text()
    assert seen.startswith("True") and "'content': 'hi'" in seen
