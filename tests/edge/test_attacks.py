"""Clients that mean no good, or whose HTTP is their own: what the door does, through each host.

Whatever comes: no request but those that were let in reaches a provider, nobody is kept waiting, and who is
refused is told so in their dialect, pages of browsers too.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from support.backstage import Backstage
from support.gateway import Gateway

MINE = "https://app.example"
KEY = "sk-proxy-laptop"
CONFIG = f"""
[server]
port = 0
body_limit_mb = 1
cors_origins = ["{MINE}"]
[timeouts]
idle_s = 0.5
[endpoints.dev]
target_base = "{{url}}"
[endpoints.own]
target_base = "{{url}}"
provider = "openai"
[endpoints.all]
kind = "gateway"
[providers.openai]
base_url = "{{url}}/v1"
api_keys = ["sk-of-the-provider"]
[[auth_keys]]
name = "laptop"
key = "{KEY}"
"""
LATE_S = 10.0
"""Of a busy machine."""


@pytest.fixture(scope="module", params=["serve", "mitmdump"])
def gateway(
    request: pytest.FixtureRequest, provider: Backstage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("attacked")
    with Gateway(CONFIG.format(url=provider.url), folder, host=request.param) as running:
        yield running


def answered(gateway: Gateway, data: bytes) -> bytes:
    """What comes back until the gateway closes the connection."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=LATE_S) as connection:
        got = b""
        try:
            connection.sendall(data)
            while piece := connection.recv(65_536):
                got += piece
        except (ConnectionResetError, BrokenPipeError):
            pass
        return got


def named(answer: bytes) -> bytes | None:
    """The page that may read it."""
    lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    found = [line.partition(b": ")[2] for line in lines if line.startswith(b"access-control-allow-origin")]
    return found[0] if found else None


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (b"X A: malformed\r\n\r\n", 400),
        (b"X-A: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"".join(b"X-%d: a\r\n" % number for number in range(250)) + b"\r\n", 431),
        (b"Transfer-Encoding: gzip\r\n\r\n", 501),
    ],
)
def test_pages_can_read_why_the_door_refused_them(gateway: Gateway, more: bytes, status: int) -> None:
    for origin, read_by in ((MINE, MINE.encode()), ("https://evil.example", None)):
        head = f"POST /dev/v1/messages HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\n".encode()
        answer = answered(gateway, head + more)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "error"  # Anthropic's dialect
        assert named(answer) == read_by and b"vary: Origin" in answer


KEYS = f"Authorization: Bearer {KEY}\r\nX-Llmitm-Key: {KEY}\r\n".encode()
POST = b"POST /dev/v1/messages HTTP/1.1\r\nHost: x\r\n" + KEYS
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /dev/smuggled HTTP/1.1\r\nHost: x\r\n" + KEYS + b"\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        # two lengths, and lengths that are none
        (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
        (POST + b"Content-Length: 3\r\ncontent-length: 3\r\n\r\nabc", 400),
        (POST + b"Content-Length: 3, 3\r\n\r\nabc", 400),
        (POST + b"Content-Length: +3\r\n\r\nabc", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Content-Length: 0x3\r\n\r\nabc", 400),
        (POST + b"Content-Length: 1_0\r\n\r\n0123456789", 400),
        (POST + b"Content-Length: 03\r\n\r\nabc", 400),
        (POST + b"Content-Length: \xc2\xb3\r\n\r\nabc", 400),
        (POST + b"Content-Length:\r\n\r\n", 400),
        # transfer codings
        (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        (POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        # chunks
        (CHUNKED + b"2;\nxx\r\nab\r\n0\r\n\r\n", 400),
        (CHUNKED + b"2\nab\n0\n\n", 400),
        (CHUNKED + b"2\r\nabXX0\r\n\r\n", 400),
        (CHUNKED + b"0x2\r\nab\r\n0\r\n\r\n", 400),
        (CHUNKED + b"-2\r\nab\r\n0\r\n\r\n", 400),
        (CHUNKED + b" 2\r\nab\r\n0\r\n\r\n", 400),
        (CHUNKED + b"000000000000000000000000002\r\nab\r\n0\r\n\r\n", 400),
        (CHUNKED + b"2\r\nab\r\n0\r\n no trailer\r\n\r\n", 400),
        # lines
        (POST.replace(b"\r\n", b"\n") + b"\n", 400),
        (POST + b"X-A: a\nX-B: b\r\n\r\n", 400),
        (POST + b"X-A: a\rContent-Length: 3\r\n\r\n", 400),
        (POST + b"X-A: a\r\r\n\r\n", 400),
        (POST + b"X-A: a\r\n folded\r\n\r\n", 400),
        (POST + b"X-A: a\x00b\r\n\r\n", 400),
        (POST + b"X A: a\r\n\r\n", 400),
        (POST + b": a\r\n\r\n", 400),
        (POST + b"no field\r\n\r\n", 400),
        (b"\n" + POST + b"\r\n", 400),
        (POST + b"X-A: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (POST + b"".join(b"X-%d: a\r\n" % number for number in range(250)) + b"\r\n", 431),
        # the first line
        (b"PO\x00ST /dev/v1/messages HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST /dev/v1/messages HTTP/1.9\r\nHost: x\r\n\r\n", 400),
        (b"POST /dev/v1/messages HTTP/2.0\r\nHost: x\r\n\r\n", 400),
        (b"POST /dev/v1/messages\r\n\r\n", 400),
        (b"POST  /dev/v1/messages HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST\t/dev/v1/messages\tHTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST /dev/v1/messages HTTP/1.1 \r\nHost: x\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"garbage\r\n\r\n", 400),
        # hosts and targets
        (b"POST /dev/v1/messages HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),
        (POST + b"Host: y\r\nContent-Length: 0\r\n\r\n", 400),
        (b"GET http://x/dev/v1/messages HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET ?x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"CONNECT /dev/v1/messages HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_and_nothing_behind_it_is_read(
    gateway: Gateway, provider: Backstage, data: bytes, status: int
) -> None:
    provider.forget()
    answer = answered(gateway, data + NEXT)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"content-type: application/json" in head and b"connection: close" in head
    assert b"mitmproxy" not in answer.lower() and answer.count(b"HTTP/1.1 ") == 1
    told = orjson.loads(body)
    is_anthropics = b"/dev/v1/messages" in data.partition(b"HTTP")[0] and not data.startswith(b"\n")
    assert told["type"] == "error" if is_anthropics else told["error"]["code"]
    # a body that streams may be on its way when the fault in it comes
    assert not any(b"smuggled" in request.target.encode() for request in list(provider.provider.requests))
    assert provider.new == 0 or data.startswith(CHUNKED)


CLOSE = b"HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + KEYS


@pytest.mark.parametrize(
    ("line", "status", "arrives"),
    [
        (b"GET //dev/x", 400, None),
        (b"GET /dev%2fx", 404, None),
        (b"GET /%64ev/x", 404, None),
        (b"GET /d\xc3\xa4v/x", 404, None),
        (b"GET /./dev/x", 404, None),
        (b"GET /@example.com/dev/x", 404, None),
        (b"GET /dev@example.com/x", 404, None),
        (b"GET /dev/../own/x", 400, None),
        (b"GET /dev/..%2fx", 400, None),
        (b"GET /dev/%2E./x", 400, None),
        (b"GET /dev/..%5Cx", 400, None),
        (b"GET /dev/..\\x", 400, None),
        (b"GET /dev/a\x00b", 400, None),
        (b"GET /dev/a#b", 400, None),
        (b"GET *", 400, None),
        (b"OPTIONS *", 400, None),
        (b"TRACE /own/echo", 405, None),
        (b"TRACE /dev/echo", 200, "/echo"),
        (b"GET /own//example.com/echo", 404, "//example.com/echo"),
        (b"GET /dev/echo/%00", 200, "/echo/%00"),
        (b"GET /dev/echo/%0d%0aX:1", 200, "/echo/%0d%0aX:1"),
        (b"GET /dev/echo/%252e%252e/x", 200, "/echo/%252e%252e/x"),
        (b"GET /dev/echo/\xc3\xa4\xff", 200, "/echo/%C3%A4%FF"),
        (b"GET /dev/echo/%zz%", 200, "/echo/%zz%"),
        (b"PUT /all/v1/chat/completions", 405, None),
        (b"PUT /all/v1/messages", 405, None),
    ],
)
def test_targets(
    gateway: Gateway, provider: Backstage, line: bytes, status: int, arrives: str | None
) -> None:
    provider.forget()
    answer = answered(gateway, line + b" " + CLOSE + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert provider.new == (arrives is not None)
    if arrives is not None:
        assert provider.received().target == arrives
    if line.startswith(b"PUT"):
        assert b"\r\nallow: POST" in answer and b"POST" in answer.partition(b"\r\n\r\n")[2]


def test_a_length_that_nothing_has_is_refused_and_written_down(gateway: Gateway, provider: Backstage) -> None:
    provider.forget()
    for path in (b"/dev/x", b"/own/x", b"/all/v1/messages"):
        head = b"POST " + path + b" " + CLOSE + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n"
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=LATE_S) as connection:
            connection.sendall(head)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")
    assert provider.new == 0


SHAKE = {
    b"Upgrade": b"websocket",
    b"Connection": b"keep-alive, Upgrade",
    b"Sec-WebSocket-Version": b"13",
    b"Sec-WebSocket-Key": b"dGhlIHNhbXBsZSBub25jZQ==",
    b"Authorization": f"Bearer {KEY}".encode(),
}


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({b"Authorization": None}, 401),
        ({b"Authorization": b"Bearer sk-proxy-other"}, 401),
        ({b"Authorization": b"Basic OnNrLXByb3h5LWxhcHRvcA=="}, 401),
        ({b"Authorization": None, b"Cookie": f"key={KEY}".encode()}, 401),
        ({b"Connection": b"close"}, 400),
        ({b"Sec-WebSocket-Key": None}, 400),
        ({b"Sec-WebSocket-Key": b"short"}, 400),
        ({b"Sec-WebSocket-Version": b"8"}, 426),
    ],
)
def test_handshakes_that_are_none_reach_nobody(
    gateway: Gateway, provider: Backstage, changed: dict[bytes, bytes | None], status: int
) -> None:
    provider.forget()
    head = b"GET /all/v1/realtime?model=gpt-realtime HTTP/1.1\r\nHost: x\r\n"
    fields = [name + b": " + value for name, value in (SHAKE | changed).items() if value is not None]
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=LATE_S) as connection:
        connection.sendall(head + b"\r\n".join(fields) + b"\r\n\r\n")
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    told = orjson.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]
    assert "***" not in told, "the filter of secrets reads what we say ourselves"
    assert provider.new == 0


@pytest.mark.parametrize(
    ("path", "length"),
    [
        (b"/all/v1/messages", b"Content-Length: 1000000"),
        (b"/all/v1/messages", b"Transfer-Encoding: chunked"),
        (b"/own/v1/messages", b"Content-Length: 1000000"),
        (b"/dev/v1/messages", b"Content-Length: 5000000"),
    ],
)
def test_a_body_that_stops_on_its_way_is_told_408(gateway: Gateway, path: bytes, length: bytes) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=LATE_S) as connection:
        connection.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + KEYS + length + b"\r\n\r\n")
        connection.sendall(b"5\r\n{    \r\n")
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 408 ") and b'"type":"error"' in answer


def test_a_stranger_is_refused_before_the_body(gateway: Gateway, provider: Backstage) -> None:
    provider.forget()
    head = b"POST /all/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=LATE_S) as connection:
        connection.sendall(head + b" " * 300_000)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")
    assert provider.new == 0


def test_nothing_broke(gateway: Gateway) -> None:
    """Last in this file: after all of the above."""
    output = gateway.output()
    for word in ("has crashed", "Traceback", "not in the ledger", "does not take"):
        assert word not in output
