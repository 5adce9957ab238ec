"""The same over HTTP/2: heads that are none, and frames that only keep the gateway busy."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import hpack
import httpx
import orjson
import pytest
from h2.errors import ErrorCodes

from llmitm.cli.certs import write_pair
from support.backstage import Backstage
from support.gateway import Gateway

MINE = "https://app.example"
LATE_S = 20.0
"""Of a busy machine."""
type Pairs = list[tuple[bytes, bytes]]


@pytest.fixture(scope="module")
def gateway(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("flooded")
    write_pair(folder, ("127.0.0.1",), 5, force=False)
    text = (
        f'[server]\nport = 0\ntls_cert = "cert.pem"\ntls_key = "key.pem"\nhttp2 = true\n'
        f'cors_origins = ["{MINE}"]\n[endpoints.dev]\ntarget_base = "{provider.url}"\n'
    )
    with Gateway(text, folder, host="serve") as running:
        yield running


class Client:
    """A client that checks nothing of what it sends."""

    def __init__(self, gateway: Gateway) -> None:
        context = ssl.create_default_context(cafile=str(gateway.folder / "cert.pem"))
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", gateway.port), timeout=LATE_S)
        self.socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.h2.initiate_connection()
        self.events: list[h2.events.Event] = []

    def ask(self, headers: Pairs, body: bytes | None = None) -> None:
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, headers, end_stream=body is None)
        if body is not None:
            self.h2.send_data(stream_id, body, end_stream=True)
        self.flush()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def until[T: h2.events.Event](self, *kinds: type[T]) -> T | None:
        """The first event of these kinds that comes; None: the connection ended without one."""
        while True:
            for number, event in enumerate(self.events):
                if isinstance(event, kinds):
                    del self.events[: number + 1]
                    return event
            try:
                if not (data := self.socket.recv(65_536)):
                    return None
            except (ConnectionError, ssl.SSLError):
                return None
            self.events += self.h2.receive_data(data)


@pytest.fixture
def attacker(gateway: Gateway, provider: Backstage) -> Iterator[Client]:
    provider.forget()
    made = Client(gateway)
    yield made
    made.socket.close()


def head(more: Pairs | None = None, **changed: bytes) -> Pairs:
    pseudo = {"method": b"GET", "path": b"/dev/echo", "scheme": b"https", "authority": b"x"} | changed
    return [(f":{name}".encode(), value) for name, value in pseudo.items()] + (more or [])


@pytest.mark.parametrize(
    "headers",
    [
        head(path=b""),
        head(path=b"*"),
        head(path=b"dev/echo"),
        head(path=b"https://x/dev/echo"),
        head(path=b"/dev/a b"),
        head(path=b"/dev/a\0"),
        head(path=b"/dev/a\r\nX: y"),
        head(path=b"/dev/../x"),
        head(method=b""),
        head(method=b"GET /x"),
        head(method=b"GET /x HTTP/1.1\r\nX: y\r\n\r\nGET"),
        head(method=b"G\xffT"),
        head(method=b"CONNECT"),
        head([(b":protocol", b"websocket")], method=b"CONNECT"),
        head(scheme=b"ftp"),
        head(scheme=b"ht\r\ntp"),
        head(authority=b"x\r\ny"),
        head(authority=b"user@x"),
        head([(b"host", b"y")]),
        head([(b":authority", b"y")]),
        head([(b":path", b"/dev/y")]),
        head([(b":other", b"y")]),
        head([(b"x-a", b"b\r\nX-B: c")]),
        head([(b"x-a", b"b\nX-B: c")]),
        head([(b"x-a", b"b\0c")]),
        head([(b"x-a", b" b")]),
        head([(b"x-a\r\nx-b", b"c")]),
        head([(b"x:a", b"b")]),
        head([(b"x a", b"b")]),
        head([(b"X-A", b"b")]),
        head([(b"", b"b")]),
        head([(b"transfer-encoding", b"chunked")]),
        head([(b"connection", b"close")]),
        head([(b"upgrade", b"websocket")]),
        head([(b"te", b"gzip")]),
        head([(b"content-length", b"4")]),
        head([(b"content-length", b"3"), (b"content-length", b"4")]),
        head([(b"content-length", b"+3")]),
        head([(b"content-length", b"9" * 30)]),
        head([(b"x-a", b"a" * 70_000)]),
    ],
)
def test_heads_that_are_none_reach_nobody(attacker: Client, provider: Backstage, headers: Pairs) -> None:
    attacker.ask(headers, b"abc")
    told = attacker.until(h2.events.ResponseReceived, h2.events.ConnectionTerminated)
    if isinstance(told, h2.events.ResponseReceived):
        assert dict(told.headers or ())[b":status"] in (b"400", b"413")
    assert provider.new == 0


def test_what_is_refused_is_told_in_the_dialect_and_to_the_page(attacker: Client) -> None:
    attacker.ask(head([(b"origin", MINE.encode())], path=b"/dev/v1/messages", scheme=b"ftp"))
    told = attacker.until(h2.events.ResponseReceived)
    assert told is not None
    headers = dict(told.headers or ())
    assert headers[b":status"] == b"400" and headers[b"access-control-allow-origin"] == MINE.encode()
    data = attacker.until(h2.events.DataReceived)
    assert data is not None and orjson.loads(data.data or b"")["type"] == "error"


def frame(kind: int, flags: int = 0, stream_id: int = 0, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content))[1:] + bytes([kind, flags]) + struct.pack(">I", stream_id) + content


def taken_back(stream_id: int) -> bytes:
    content = hpack.Encoder().encode(head(path=b"/health"))
    return frame(1, 5, stream_id, content) + frame(3, 0, stream_id, struct.pack(">I", 8))


@pytest.mark.parametrize(
    "flood",
    [
        lambda number: taken_back(2 * number + 1),
        lambda number: frame(4),
        lambda number: frame(6, content=b"12345678"),
        lambda number: frame(2, stream_id=2 * number + 1, content=b"\0\0\0\0\1"),
        lambda number: frame(0x77, content=b"abc"),
    ],
    ids=["streams taken back", "settings", "pings", "priorities", "unknown frames"],
)
def test_frames_that_carry_nothing_end_the_connection(
    gateway: Gateway, attacker: Client, flood: Callable[[int], bytes]
) -> None:
    attacker.flush()
    try:
        for number in range(0, 20_000, 100):
            attacker.socket.sendall(b"".join(flood(one) for one in range(number, number + 100)))
    except (ConnectionError, ssl.SSLError):
        pass
    ended = attacker.until(h2.events.ConnectionTerminated)
    # what the gateway said last may be lost where it closed while more was on its way
    assert ended is None or ended.error_code == ErrorCodes.ENHANCE_YOUR_CALM
    with httpx.Client(verify=str(gateway.folder / "cert.pem"), timeout=LATE_S) as other:
        assert other.get(f"{gateway.url}/health").status_code == 200


def test_empty_pieces_of_a_body_end_it_too(attacker: Client) -> None:
    stream_id = attacker.h2.get_next_available_stream_id()
    attacker.h2.send_headers(stream_id, head(method=b"POST"))
    attacker.flush()
    try:
        for _ in range(50):
            attacker.socket.sendall(frame(0, 0, stream_id) * 100)
    except (ConnectionError, ssl.SSLError):
        pass
    ended = attacker.until(h2.events.ConnectionTerminated)
    assert ended is None or ended.error_code == ErrorCodes.ENHANCE_YOUR_CALM


def test_as_many_streams_as_there_may_be_can_be_taken_back_at_once(attacker: Client) -> None:
    stream_ids = []
    for _ in range(200):
        stream_ids.append(attacker.h2.get_next_available_stream_id())
        attacker.h2.send_headers(stream_ids[-1], head(path=b"/dev/v1/models?x-demo-fault=stall"), True)
    for stream_id in stream_ids:
        attacker.h2.reset_stream(stream_id, 8)
    attacker.ask(head(path=b"/health"))
    told = attacker.until(h2.events.ResponseReceived)
    assert told is not None and dict(told.headers or ())[b":status"] == b"200"


def test_nothing_broke(gateway: Gateway) -> None:
    """Last in this file: after all of the above."""
    output = gateway.output()
    for word in ("has crashed", "Traceback", "not in the ledger", "does not take"):
        assert word not in output
