"""Clients that take their time with the heads of requests: they are told 408, and hold no connection."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from llmitm.cli.certs import write_pair
from support.backstage import Backstage
from support.gateway import Gateway

HEADER_S = 0.5
LATE_S = 10.0
"""Of a busy machine."""
WHOLE = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(scope="module", params=["serve", "mitmdump"])
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("heads")
    has_tls = request.param == "mitmdump"
    tls = ""
    if has_tls:
        write_pair(folder, ("127.0.0.1",), 5, force=False)
        tls = 'tls_cert = "cert.pem"\ntls_key = "key.pem"\nhttp2 = true\n'
    with Backstage() as provider:
        text = f"[server]\nport = 0\n{tls}[timeouts]\nheader_s = {HEADER_S}\n"
        text += f'[endpoints.dev]\ntarget_base = "{provider.url}"\n'
        with Gateway(text, folder, host=request.param) as running:
            yield running


def plain(gateway: Gateway) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", gateway.port))
    connection.settimeout(LATE_S)
    return connection


def opened(gateway: Gateway, protocol: str = "http/1.1") -> socket.socket:
    if not gateway.url.startswith("https"):
        return plain(gateway)
    context = ssl.create_default_context(cafile=str(gateway.folder / "cert.pem"))
    context.check_hostname = False
    context.set_alpn_protocols([protocol])
    return context.wrap_socket(plain(gateway))


def rest(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    got = b""
    try:
        while piece := connection.recv(65_536):
            got += piece
    except ConnectionResetError:
        pass
    return got


def check_answered(connection: socket.socket) -> None:
    connection.sendall(WHOLE)
    got = b""
    while not got.endswith(b"}"):
        piece = connection.recv(65_536)
        assert piece
        got += piece
    assert got.startswith(b"HTTP/1.1 200 ")


def trickled(connection: socket.socket, path: str = "/dev/v1/messages") -> bytes:
    """A head that never ends, and what is said of it."""
    connection.sendall(f"POST {path} HTTP/1.1\r\nhost: x\r\n".encode())
    connection.settimeout(HEADER_S / 6)
    since_s, got = time.monotonic(), b""
    while time.monotonic() - since_s < LATE_S:
        try:
            piece = connection.recv(65_536)
        except TimeoutError:
            connection.sendall(b"x-slow: 1\r\n")
            continue
        except ConnectionResetError:
            break
        got += piece
        if not piece:
            break
    assert HEADER_S * 0.9 <= time.monotonic() - since_s < LATE_S
    return got


def check_told(got: bytes) -> None:
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ") and b"connection: close" in head
    assert orjson.loads(body)["type"] == "error"  # the path's dialect is Anthropic's


def test_a_head_that_never_ends_is_told_408(gateway: Gateway) -> None:
    with opened(gateway) as connection:
        check_told(trickled(connection))


def test_who_says_nothing_is_told_nothing(gateway: Gateway) -> None:
    with opened(gateway) as connection:
        assert rest(connection) == b""
    with plain(gateway) as connection:  # where there is TLS: not even a handshake
        assert rest(connection) == b""


def test_blank_lines_are_no_head(gateway: Gateway) -> None:
    with opened(gateway) as connection:
        connection.sendall(b"\r\n\r\n")
        assert rest(connection) == b""


def test_a_connection_may_rest_between_requests_but_not_within_the_next(gateway: Gateway) -> None:
    with opened(gateway) as connection:
        check_answered(connection)
        time.sleep(HEADER_S * 1.5)  # nothing is waited for: that it lasts is what is tried
        check_answered(connection)
        check_told(trickled(connection))


def test_a_body_may_take_longer(gateway: Gateway) -> None:
    with opened(gateway) as connection:
        connection.sendall(
            b"POST /dev/echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\na"
        )
        time.sleep(HEADER_S * 1.5)
        connection.sendall(b"b")
        assert rest(connection).startswith(b"HTTP/1.1 200 ")


def test_the_same_over_http2(gateway: Gateway) -> None:
    if not gateway.url.startswith("https"):
        pytest.skip("HTTP/2 needs TLS")
    with opened(gateway, "h2") as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        assert b"HTTP/1.1" not in rest(connection)
