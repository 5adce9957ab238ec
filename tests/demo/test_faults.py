"""Each fault is, on the wire, what its name says."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from llmitm.clock import SystemClock
from llmitm.demo.faults import Fault, Kind, parse
from llmitm.demo.provider import Provider
from support.provider import Wired, chat, request, wired

PATH = "/v1/chat/completions"
STREAM = chat("one two", stream=True)


class HandClock(SystemClock):
    """Sleeps not at all, and notes for how long it should have."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    async def sleep(self, duration_s: float) -> None:
        self.slept_s.append(duration_s)
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest_asyncio.fixture
async def timed(clock: HandClock) -> AsyncIterator[Provider]:
    async with Provider(clock=clock) as running:
        yield running


async def faulty(provider: Provider, fault: str, data: object = STREAM, path: str = PATH) -> Wired:
    return await wired(provider.port, request(path, data, headers=[("x-demo-fault", fault)]))


def chunks(body: bytes) -> tuple[list[bytes], bytes]:
    """The complete chunks of a body, and what is left after them (empty: it did not end properly)."""
    found: list[bytes] = []
    while (end := body.find(b"\r\n")) != -1:
        size = int(body[:end], 16)
        if size == 0:
            return found, body
        if len(body) < end + 2 + size + 2:
            break
        found.append(body[end + 2 : end + 2 + size])
        body = body[end + 2 + size + 2 :]
    return found, b""


async def test_without_a_fault_a_stream_is_one_chunk_an_event(provider: Provider) -> None:
    answer = await faulty(provider, "none")
    events, end = chunks(answer.body)
    assert end == b"0\r\n\r\n"
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in events)
    assert events[-1] == b"data: [DONE]\n\n"
    assert not answer.was_reset


@pytest.mark.parametrize(("fault", "was_reset"), [("reset", True), ("close", False)])
async def test_no_byte_comes(provider: Provider, fault: str, was_reset: bool) -> None:
    answer = await faulty(provider, fault)
    assert (answer.data, answer.was_reset) == (b"", was_reset)


async def test_a_reset_within_the_headers(provider: Provider) -> None:
    answer = await faulty(provider, "reset-headers")
    assert answer.data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" not in answer.data
    assert answer.was_reset


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_a_reset_after_so_many_events(provider: Provider, count: int) -> None:
    answer = await faulty(provider, f"reset-body:{count}")
    events, end = chunks(answer.body)
    assert (len(events), end, answer.was_reset) == (count, b"", True)


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_a_stream_cut_off_cleanly(provider: Provider, count: int) -> None:
    answer = await faulty(provider, f"truncate:{count}")
    events, end = chunks(answer.body)
    assert (len(events), end, answer.was_reset) == (count, b"", False)


@pytest.mark.parametrize("fault", ["truncate", "early-end"])
async def test_only_the_terminator_is_missing(provider: Provider, fault: str) -> None:
    whole, _ = chunks((await faulty(provider, "none")).body)
    events, end = chunks((await faulty(provider, fault)).body)
    assert events == whole[:-1]
    assert end == (b"" if fault == "truncate" else b"0\r\n\r\n")


@pytest.mark.parametrize(("fault", "was_reset"), [("truncate:10", False), ("reset-body:10", True)])
async def test_a_body_that_is_no_stream_breaks_off_by_bytes(
    provider: Provider, fault: str, was_reset: bool
) -> None:
    answer = await faulty(provider, fault, chat())
    assert b"content-length: " in answer.head
    assert (len(answer.body), answer.was_reset) == (10, was_reset)


async def test_an_early_end_of_json_is_whole_for_http(provider: Provider) -> None:
    answer = await faulty(provider, "early-end:10", chat())
    assert b"content-length: 10\r\n" in answer.head
    assert len(answer.body) == 10


@pytest.mark.parametrize(
    ("fault", "sign"), [("stall", b""), ("stall-headers", b"HTTP/1.1"), ("stall-stream:2", b'"content"')]
)
async def test_silence_lasts_until_the_client_goes(provider: Provider, fault: str, sign: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    writer.write(request(PATH, STREAM, headers=[("x-demo-fault", fault)]))
    received = await provider.received(1)
    if fault.startswith("stall-stream"):
        await reader.readuntil(b'"content":"The ')
    elif sign:
        assert await reader.readexactly(len(sign)) == sign
    assert not received.gone.is_set()
    writer.close()
    async with asyncio.timeout(5):
        await received.gone.wait()
        await received.ended.wait()
    assert received.closed_early


async def test_closing_ends_what_is_stalled_and_blames_no_client(provider: Provider) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    writer.write(request(PATH, STREAM, headers=[("x-demo-fault", "stall")]))
    received = await provider.received(1)
    async with asyncio.timeout(2):
        await provider.close()
    assert received.ended.is_set()
    assert not received.gone.is_set()
    writer.close()


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_an_event_with_broken_json_among_good_ones(provider: Provider, number: int) -> None:
    good, _ = chunks((await faulty(provider, "none")).body)
    events, end = chunks((await faulty(provider, f"malformed-sse:{number}")).body)
    assert end
    assert len(events) == len(good)
    assert [at for at, event in enumerate(events) if event != good[at]] == [number]
    with pytest.raises(json.JSONDecodeError):
        json.loads(events[number].removeprefix(b"data: "))


async def test_an_event_that_is_not_utf8(provider: Provider) -> None:
    events, _ = chunks((await faulty(provider, "invalid-utf8")).body)
    events[0].decode()
    with pytest.raises(UnicodeDecodeError):
        events[1].decode()
    assert "choices" in json.loads(events[1].removeprefix(b"data: ").decode("utf-8", "replace"))


async def test_garbage_in_place_of_http(provider: Provider) -> None:
    answer = await faulty(provider, "malformed-http")
    assert not answer.data.startswith(b"HTTP/")
    async with httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(f"{provider.url}/v1/models", headers={"x-demo-fault": "malformed-http"})


@pytest.mark.parametrize("after", [0, 2])
async def test_an_error_event_is_the_last_one(provider: Provider, after: int) -> None:
    events, end = chunks((await faulty(provider, f"error-event:{after}")).body)
    assert end == b"0\r\n\r\n"
    assert len(events) == after + 1
    assert "error" in json.loads(events[-1].removeprefix(b"data: "))


async def test_slowness_and_pace_wait_as_long_as_told(timed: Provider, clock: HandClock) -> None:
    await faulty(timed, "slow:90000")
    assert clock.slept_s == [90.0]
    clock.slept_s.clear()
    events, _ = chunks((await faulty(timed, "pace:250")).body)
    assert clock.slept_s == [0.25] * len(events)


async def test_a_compressed_stream_can_be_read_event_by_event(provider: Provider) -> None:
    plain, _ = chunks((await faulty(provider, "none")).body)
    answer = await faulty(provider, "gzip")
    assert b"content-encoding: gzip" in answer.head
    packed, _ = chunks(answer.body)
    unpacker = zlib.decompressobj(wbits=31)
    assert [unpacker.decompress(chunk) for chunk in packed[: len(plain)]] == plain
    assert unpacker.decompress(b"".join(packed[len(plain) :])) == b"" and unpacker.eof


async def test_a_compressed_answer_announces_its_length(provider: Provider) -> None:
    answer = await faulty(provider, "gzip", chat())
    assert f"content-length: {len(answer.body)}".encode() in answer.head
    assert b"choices" in gzip.decompress(answer.body)


@pytest.mark.parametrize("data", [STREAM, chat()])
async def test_trailers_follow_the_body(provider: Provider, data: object) -> None:
    answer = await faulty(provider, "trailers", data)
    assert b"trailer: x-demo-trailer\r\n" in answer.head
    _, end = chunks(answer.body)
    assert end == b"0\r\nx-demo-trailer: the end\r\n\r\n"


async def test_a_body_may_end_with_the_connection(provider: Provider) -> None:
    answer = await faulty(provider, "close-delimited")
    assert b"content-length" not in answer.head and b"transfer-encoding" not in answer.head
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_early_hints_come_first(provider: Provider) -> None:
    answer = await faulty(provider, "early-hints")
    assert answer.data.startswith(b"HTTP/1.1 103 Early Hints\r\n")
    assert b"\r\n\r\nHTTP/1.1 200 OK\r\n" in answer.data


async def test_a_redirect_points_elsewhere(provider: Provider) -> None:
    answer = await faulty(provider, "redirect")
    assert answer.status == 302
    assert f"location: {provider.url}/echo/redirected\r\n".encode() in answer.head
    answer = await faulty(provider, "redirect:http://other.test/x?y=1")
    assert b"location: http://other.test/x?y=1\r\n" in answer.head


async def test_one_big_header(provider: Provider) -> None:
    answer = await faulty(provider, "big-headers:100000")
    assert b"x-demo-big: " + b"b" * 100_000 + b"\r\n" in answer.head + b"\r\n"


async def test_json_where_a_stream_was_asked_for(provider: Provider) -> None:
    answer = await faulty(provider, "json-instead-of-sse")
    assert b"content-type: application/json\r\n" in answer.head
    assert "message" in json.loads(answer.body)["choices"][0]


async def test_the_wait_of_a_429_can_be_any_text_or_none(provider: Provider) -> None:
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    for fault, expected in [
        ("status:429", b"retry-after: 1\r\n"),
        (f"status:429;retry-after={date}", f"retry-after: {date}\r\n".encode()),
        ("status:429;retry-after=;retry-after-ms=1500", b"retry-after-ms: 1500\r\n"),
    ]:
        answer = await faulty(provider, fault)
        assert answer.status == 429
        assert expected in answer.head + b"\r\n"
        assert answer.head.count(b"retry-after") == 1
        assert json.loads(answer.body)["error"]["code"] == "rate_limit_exceeded"
    answer = await faulty(provider, "status:429:insufficient_quota")
    assert json.loads(answer.body)["error"]["code"] == "insufficient_quota"


async def test_scripted_faults_are_taken_one_a_generation(provider: Provider) -> None:
    provider.script(["status:500", None, "truncate:1"])
    statuses = [(await wired(provider.port, request(PATH, chat()))).status for _ in range(2)]
    assert statuses == [500, 200]
    models = await wired(provider.port, request("/v1/models"))
    assert models.status == 200
    cut = await wired(provider.port, request(PATH, STREAM))
    assert len(chunks(cut.body)[0]) == 1
    after = await wired(provider.port, request(PATH, STREAM))
    assert chunks(after.body)[1]


async def test_a_fault_may_stand_in_the_query(provider: Provider) -> None:
    answer = await wired(provider.port, request(f"{PATH}?x-demo-fault=status:529", chat()))
    assert answer.status == 529


async def test_a_fault_written_wrongly_is_400_and_says_what_there_is(provider: Provider) -> None:
    answer = await faulty(provider, "explode")
    assert answer.status == 400
    assert b"'explode'" in answer.body and b"reset-body" in answer.body


@pytest.mark.parametrize("fault", ["reset-body:1000", "truncate:1000"])
async def test_bytes_break_off_by_bytes(provider: Provider, fault: str) -> None:
    answer = await wired(provider.port, request("/bytes?n=5000&chunk=300", headers=[("x-demo-fault", fault)]))
    assert len(answer.body) == 1000
    assert answer.was_reset is fault.startswith("reset")


GOOD = [
    ("reset", {Kind.RESET: Fault(kind=Kind.RESET)}, ()),
    ("truncate", {Kind.TRUNCATE: Fault(kind=Kind.TRUNCATE)}, ()),
    ("truncate:2", {Kind.TRUNCATE: Fault(kind=Kind.TRUNCATE, number=2)}, ()),
    ("status:429:slow_down", {Kind.STATUS: Fault(kind=Kind.STATUS, number=429, text="slow_down")}, ()),
    (
        "slow:5 | cf:2005;X-A=b c;x-d=",
        {
            Kind.SLOW: Fault(kind=Kind.SLOW, number=5),
            Kind.CLOUDFLARE: Fault(kind=Kind.CLOUDFLARE, number=2005),
        },
        (("x-a", "b c"), ("x-d", "")),
    ),
]


@pytest.mark.parametrize(("spec", "by_kind", "headers"), GOOD)
def test_faults_are_read(spec: str, by_kind: dict[Kind, Fault], headers: tuple[tuple[str, str], ...]) -> None:
    faults = parse(spec)
    assert faults.by_kind == by_kind
    assert faults.headers == headers


@pytest.mark.parametrize(
    "spec", ["", "nothing", "status", "status:", "status:x", "slow:-1", "truncate:x", "reset:1", "none;x"]
)
def test_what_is_no_fault_is_refused(spec: str, provider: Provider) -> None:
    with pytest.raises(ValueError, match=r"no such fault|not a number|takes no value|header=text"):
        parse(spec)
    with pytest.raises(ValueError, match=r"."):
        provider.script([spec])
