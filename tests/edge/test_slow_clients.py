"""A client that stops reading holds the provider back: the gateway keeps nothing for it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from support.flood import Flood
from support.gateway import Gateway

CONFIG = """
[server]
port = 0
[streaming]
heartbeat_s = 0.2
heartbeat_after_s = 0.2
[endpoints.all]
kind = "gateway"
[providers.flooding]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-flooding"]
"""
SIZE_BYTES = 50_000_000
ON_THE_WAY_BYTES = 16_000_000
"""What sockets and buffers between provider and client may hold."""
GROWTH_BYTES = 32_000_000
MESSAGES = [{"role": "user", "content": "hello"}]


class Asked(NamedTuple):
    """A stream as one dialect asks for it, and how its end is told."""

    path: str
    body: dict[str, Any]
    end: bytes = b""
    """Empty where the end tells the whole text, or of places in it: then that much is kept, by right."""


ASKED = {
    "untouched": Asked(
        "/all/v1/chat/completions", {"model": "m", "stream": True, "messages": MESSAGES}, b"data: [DONE]"
    ),
    "messages": Asked(
        "/all/v1/messages",
        {"model": "m", "stream": True, "max_tokens": 99, "messages": MESSAGES},
        b'"type":"message_stop"',
    ),
    "gemini": Asked(
        "/all/v1beta/models/m:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]},
    ),
    "responses": Asked(
        "/all/v1/responses",
        {"model": "m", "stream": True, "input": "hello", "store": False},
    ),
}


class Running(NamedTuple):
    gateway: Gateway
    flood: Flood


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("slow")
    with (
        Flood(SIZE_BYTES) as flood,
        Gateway(CONFIG.format(url=flood.url), folder, host="serve") as gateway,
    ):
        yield Running(gateway, flood)


def asking(gateway: Gateway, asked: Asked) -> socket.socket:
    body = orjson.dumps(asked.body)
    head = (
        f"POST {asked.path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection = socket.socket()
    connection.settimeout(20)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    connection.connect(("127.0.0.1", gateway.port))
    connection.sendall(head.encode() + body)
    return connection


def until_held_back(running: Running) -> int:
    """Waits until the provider gets no further. Returns the largest memory seen."""
    until_s = time.monotonic() + 20
    sent, since_s, peak = -1, time.monotonic(), 0
    while time.monotonic() - since_s < 0.7:  # longer than heartbeats take
        assert time.monotonic() < until_s
        if running.flood.sent_bytes != sent:
            sent, since_s = running.flood.sent_bytes, time.monotonic()
        peak = max(peak, running.gateway.rss_bytes())
        time.sleep(0.01)
    return peak


@pytest.mark.parametrize("dialect", ASKED)
def test_a_client_that_stops_reading_holds_the_provider_back(running: Running, dialect: str) -> None:
    gateway, flood = running
    asked = ASKED[dialect]
    before = gateway.rss_bytes()
    with asking(gateway, asked) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        peak = until_held_back(running)
        assert 0 < flood.sent_bytes < ON_THE_WAY_BYTES
        assert peak - before < GROWTH_BYTES
        if not asked.end:
            return
        got, tail = 0, b""
        while piece := connection.recv(1_000_000):
            got += len(piece)
            tail = (tail + piece)[-10_000:]
            peak = max(peak, gateway.rss_bytes())
    assert asked.end in tail
    assert got > SIZE_BYTES * 0.9
    assert peak - before < GROWTH_BYTES


def test_clients_that_leave_while_they_hold_the_provider_back_let_go_of_it(running: Running) -> None:
    gateway, flood = running
    before = gateway.rss_bytes()
    for _ in range(4):
        for asked in ASKED.values():
            with asking(gateway, asked) as connection:
                assert connection.recv(1000)
            assert flood.gone.wait(10)
    assert gateway.rss_bytes() - before < GROWTH_BYTES
