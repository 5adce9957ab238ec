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
