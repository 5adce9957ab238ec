"""What breaks, and what the client is told: through a real mitmdump, over real sockets."""

from __future__ import annotations

import socket
import time

import anthropic
import httpx
import openai
import pytest

from support.backstage import Backstage
from support.gateway import Gateway

CHAT = {"model": "gpt-demo", "messages": [{"role": "user", "content": "one two three four"}]}
STREAM = {**CHAT, "stream": True}


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("reset", 502, "reset"),
        ("close", 502, "reset"),
        ("reset-headers", 502, "reset"),
        ("malformed-http", 502, "malformed"),
        ("stall", 504, "first_byte_timeout"),
        ("stall-headers", 504, "first_byte_timeout"),
    ],
)
def test_no_answer_from_the_provider(
    client: httpx.Client, provider: Backstage, fault: str, status: int, code: str
) -> None:
    answer = client.post("/dev/v1/chat/completions", json=CHAT, headers={"x-demo-fault": fault})
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    # a pooled connection that closes before a byte of an answer is tried once more, on a fresh one
    assert provider.new <= 2
    assert client.post("/dev/v1/chat/completions", json=CHAT).status_code == 200


def test_a_provider_that_refuses_the_connection(client: httpx.Client) -> None:
    answer = client.post("/refusing/v1/messages", json=CHAT)
    assert answer.status_code == 502
    assert answer.json()["error"]["type"] == "api_error"
    assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize("fault", ["reset-body:2", "truncate:2", "stall-stream:2"])
def test_a_stream_that_breaks_tells_so_and_never_ends_cleanly(client: httpx.Client, fault: str) -> None:
    body = b""
    with (
        pytest.raises(httpx.RemoteProtocolError),
        client.stream(
            "POST", "/dev/v1/chat/completions", json=STREAM, headers={"x-demo-fault": fault}
        ) as answer,
    ):
        assert answer.status_code == 200
        for piece in answer.iter_raw():
            body += piece
    last = body.rstrip().rpartition(b"\n\n")[2]
    assert b'"error"' in last
    assert b"[DONE]" not in body


def test_sdks_raise_on_a_stream_that_breaks(gateway: Gateway) -> None:
    fault = {"x-demo-fault": "truncate:3"}
    with (
        openai.OpenAI(base_url=f"{gateway.url}/dev/v1", api_key="sk-x", max_retries=0) as sdk,
        pytest.raises(openai.APIError),
    ):
        for _ in sdk.chat.completions.create(**STREAM, extra_headers=fault):  # type: ignore[call-overload]
            pass
    with (
        anthropic.Anthropic(base_url=f"{gateway.url}/dev", api_key="x", max_retries=0) as claude,
        pytest.raises(anthropic.APIError),
    ):
        for _ in claude.messages.create(**STREAM, max_tokens=9, extra_headers=fault):  # type: ignore[call-overload]
            pass


@pytest.mark.parametrize("fault", ["malformed-sse:1", "invalid-utf8:1", "early-end:2", "error-event:1"])
def test_what_a_provider_says_wrong_passes_byte_for_byte(
    client: httpx.Client, provider: Backstage, fault: str
) -> None:
    headers = {"x-demo-fault": fault}
    direct = httpx.post(
        f"{provider.url}/v1/chat/completions",
        json=STREAM,
        headers=headers,
    ).content
    assert client.post("/dev/v1/chat/completions", json=STREAM, headers=headers).content == direct


@pytest.mark.parametrize("fault", ["early-hints", "trailers", "close-delimited", "big-headers:60000"])
def test_oddities_of_http_are_no_failures(client: httpx.Client, fault: str) -> None:
    answer = client.post("/dev/v1/chat/completions", json=CHAT, headers={"x-demo-fault": fault})
    assert answer.status_code == 200
    assert "one two three four" in answer.json()["choices"][0]["message"]["content"]


def test_huge_headers_of_a_provider_are_a_502(client: httpx.Client) -> None:
    answer = client.post(
        "/dev/v1/chat/completions", json=CHAT, headers={"x-demo-fault": "big-headers:1000000"}
    )
    assert answer.status_code == 502


def exchange(gateway: Gateway, data: bytes, *, end: bool = False) -> bytes:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
        connection.sendall(data)
        if end:
            connection.shutdown(socket.SHUT_WR)
        collected = b""
        try:
            while piece := connection.recv(65_536):
                collected += piece
        except TimeoutError:
            raise AssertionError(f"the connection was left open after {collected!r}") from None
        return collected


HEAD = b"POST /dev/v1/messages HTTP/1.1\r\nHost: x\r\n"


def test_header_bytes_that_are_not_utf_8_are_refused_by_name(gateway: Gateway, provider: Backstage) -> None:
    provider.forget()
    answer = exchange(gateway, HEAD + b"X-Odd: \xff\xfe\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"X-Odd" in answer
    assert provider.new == 0


def test_half_a_request_reaches_nobody_and_leaves_no_trace_of_its_header(
    gateway: Gateway, provider: Backstage
) -> None:
    provider.forget()
    exchange(gateway, b"POST /dev/v1/messages HTTP/1.1\r\nAuthorization: Bearer canary-half", end=True)
    exchange(gateway, HEAD + b"Content-Length: 100\r\n\r\n{", end=True)
    assert provider.new == 0
    assert "canary-half" not in gateway.output()


def test_request_trailers_are_dropped_and_the_connection_lives_on(
    gateway: Gateway, provider: Backstage
) -> None:
    provider.forget()
    first = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Trailer: 1\r\n\r\n"
    second = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
        connection.sendall(first)
        collected = connection.recv(65_536)
        connection.sendall(second)
        while piece := connection.recv(65_536):
            collected += piece
    assert collected.count(b"HTTP/1.1 ") == 2
    assert b'"status":"ok"' in collected
    assert provider.new == 1


def test_a_body_that_must_be_held_and_is_too_large_is_a_413_at_once(
    gateway: Gateway, provider: Backstage
) -> None:
    provider.forget()
    started_s = time.monotonic()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
        connection.sendall(
            b"POST /cf/v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n{"
        )
        answer = b""
        while b"}" not in answer:
            answer += connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"body_limit_mb" in answer
    assert time.monotonic() - started_s < 1
    assert provider.new == 0


def test_endless_pipelining_is_cut(gateway: Gateway) -> None:
    before = gateway.rss_bytes()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
        connection.sendall(b"GET /dev/v1/models?x-demo-fault=stall HTTP/1.1\r\nHost: x\r\n\r\n")
        junk = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 3000
        with pytest.raises(OSError):
            for _ in range(2000):
                connection.sendall(junk)
    assert gateway.rss_bytes() - before < 20_000_000


def test_early_answers_and_resets_leave_no_descriptor_behind(gateway: Gateway) -> None:
    from pathlib import Path

    descriptors = Path(f"/proc/{gateway.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
            connection.sendall(
                b"POST /cf/v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n"
                + b"x" * 100_000
            )
            connection.recv(1000)
    deadline_s = time.monotonic() + 5
    while len(list(descriptors.iterdir())) > before + 5 and time.monotonic() < deadline_s:
        httpx.get(f"{gateway.url}/health")
    assert len(list(descriptors.iterdir())) <= before + 5


def test_nothing_crashed(gateway: Gateway) -> None:
    """Last in this file: after all of the above."""
    output = gateway.output()
    assert "has crashed" not in output
    assert "Traceback" not in output
