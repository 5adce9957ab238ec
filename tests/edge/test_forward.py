"""Forward endpoints through a real mitmdump, over real sockets."""

from __future__ import annotations

import gzip
import hashlib
import socket
import time
from collections.abc import Iterator

import anthropic
import httpx
import openai
import pytest

from support.backstage import Backstage
from support.gateway import Gateway

CHAT = {"model": "gpt-demo", "messages": [{"role": "user", "content": "grüß dich\n\n  日本"}]}


def raw(gateway: Gateway, data: bytes, *, timeout_s: float = 5.0) -> bytes:
    """What comes back on one connection until the gateway closes it."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=timeout_s) as connection:
        connection.sendall(data)
        collected = b""
        while piece := connection.recv(65_536):
            collected += piece
        return collected


def test_method_path_query_headers_and_body_arrive_as_sent(gateway: Gateway, provider: Backstage) -> None:
    provider.forget()
    body = b'{"b": 1.50,\n  "a" : "\\u00e9"}'
    head = (
        b"X-Zulu: one\r\nx-alpha: two\r\nX-Zulu: three\r\naccept-ENCODING: br\r\nUser-Agent: mine/1\r\n"
        b"Connection: close, x-drop-me\r\nX-Drop-Me: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
        b"X-Llmitm-Key: own\r\nContent-Type: application/json\r\n"
        b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    )
    answer = raw(gateway, b"PROPFIND /dev/echo//a/%2Fb/?x=1&&y=%20&x=2 HTTP/1.1\r\nHost: gw\r\n" + head)
    assert answer.startswith(b"HTTP/1.1 200")
    got = provider.received()
    assert provider.new == 1
    assert got.method == "PROPFIND"
    assert got.target == "/echo//a/%2Fb/?x=1&&y=%20&x=2"
    assert got.body == body
    assert [(name, value) for name, value in got.headers if name != b"Host"] == [
        (b"X-Zulu", b"one"),
        (b"x-alpha", b"two"),
        (b"X-Zulu", b"three"),
        (b"accept-ENCODING", b"br"),
        (b"User-Agent", b"mine/1"),
        (b"Content-Type", b"application/json"),
        (b"Content-Length", str(len(body)).encode()),
    ]


@pytest.mark.parametrize(
    ("path", "arrives"),
    [
        ("/dev/v1/messages", "/v1/messages"),
        ("/dev/echo", "/echo"),
        ("/dev/v1beta/models/x:countTokens", "/v1beta/models/x:countTokens"),
        ("/v1base/v1/chat/completions", "/v1/chat/completions"),
        ("/v1base/chat/completions?a=b", "/v1/chat/completions?a=b"),
        ("/v1base/v1", "/v1"),
        ("/dev/", "/"),
        ("/dev", "/"),
        ("/dev/v1/a//b/", "/v1/a//b/"),
    ],
)
def test_paths(client: httpx.Client, provider: Backstage, path: str, arrives: str) -> None:
    client.get(path)
    assert provider.received().target == arrives


@pytest.mark.parametrize("path", ["/dev/../x", "/dev/a/%2e%2E/b", "/dev/..%2fx", "/dev/a/.."])
def test_a_path_that_climbs_is_refused(gateway: Gateway, provider: Backstage, path: str) -> None:
    provider.forget()
    answer = raw(gateway, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400")
    assert provider.new == 0


def test_an_unknown_endpoint_is_a_404_in_json_and_reaches_nobody(
    client: httpx.Client, provider: Backstage
) -> None:
    answer = client.post("/nope/v1/messages", json={})
    assert answer.status_code == 404
    assert answer.json()["type"] == "error"
    assert "/dev/" in answer.json()["error"]["message"]
    assert answer.headers["x-request-id"].startswith("llmitm-")
    assert provider.new == 0


def test_a_stream_arrives_live(client: httpx.Client) -> None:
    moments = []
    with client.stream("GET", "/dev/sse?n=4&interval_ms=150") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        started_s = time.monotonic()
        for _ in answer.iter_raw():
            moments.append(time.monotonic() - started_s)
    assert len(moments) >= 4
    assert moments[-1] - moments[0] > 0.3


def test_a_streamed_answer_is_the_same_bytes(client: httpx.Client, provider: Backstage) -> None:
    direct = httpx.get(f"{provider.url}/bytes?n=3000000&chunk=7001").content
    through = client.get("/dev/bytes?n=3000000&chunk=7001").content
    assert hashlib.sha256(through).digest() == hashlib.sha256(direct).digest()


def test_a_compressed_answer_passes_untouched(client: httpx.Client) -> None:
    with client.stream(
        "POST", "/dev/v1/chat/completions", json=CHAT, headers={"x-demo-fault": "gzip"}
    ) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert b"gr\xc3\xbc\xc3\x9f" in gzip.decompress(packed)


def test_a_redirect_is_passed_on_and_not_followed(client: httpx.Client, provider: Backstage) -> None:
    answer = client.post("/dev/v1/chat/completions", json=CHAT, headers={"x-demo-fault": "redirect"})
    assert answer.status_code == 302
    assert "location" in answer.headers
    assert provider.new == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429, 500, 503, 529])
def test_every_status_is_passed_on_with_its_body(
    client: httpx.Client, provider: Backstage, status: int
) -> None:
    fault = {"x-demo-fault": f"status:{status}"}
    direct = httpx.post(f"{provider.url}/v1/messages", json=CHAT, headers=fault)
    provider.forget()
    through = client.post("/dev/v1/messages", json=CHAT, headers=fault)
    assert through.status_code == status
    assert through.json()["error"]["type"] == direct.json()["error"]["type"]
    assert through.headers.get("retry-after") == direct.headers.get("retry-after")
    assert provider.new == 1


def test_a_head_request_keeps_its_length(client: httpx.Client) -> None:
    answer = client.head("/dev/bytes?n=1234")
    assert answer.status_code == 200
    assert answer.content == b""


def test_uploads_are_streamed(client: httpx.Client, provider: Backstage) -> None:
    """The first half arrives before the second is sent: nothing waits for the end of a body."""
    piece = b"x" * 700_000
    sent_second = []

    def body() -> Iterator[bytes]:
        yield piece
        provider.received()  # its head is at the provider while half of it is still here
        sent_second.append(True)
        yield piece

    answer = client.put("/dev/echo/up", content=body())
    assert answer.json()["body_bytes"] == 1_400_000
    assert sent_second


def test_a_200_mb_upload_grows_memory_by_less_than_32_mb(gateway: Gateway, client: httpx.Client) -> None:
    client.put("/dev/echo/warm", content=b"x" * 2_000_000)
    before = gateway.rss_bytes()
    peak = 0
    piece = b"y" * 1_000_000

    def body() -> Iterator[bytes]:
        nonlocal peak
        for _ in range(200):
            yield piece
            peak = max(peak, gateway.rss_bytes())

    answer = client.put("/dev/echo/up", content=body(), timeout=60)
    assert answer.json()["body_bytes"] == 200_000_000
    assert peak - before < 32_000_000


def test_a_200_mb_download_to_a_slow_reader_grows_memory_by_less_than_32_mb(
    gateway: Gateway, provider: Backstage
) -> None:
    before = gateway.rss_bytes()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        connection.sendall(
            b"GET /dev/bytes?n=200000000&chunk=65536 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        got = len(connection.recv(1000))
        peak = 0
        while piece := connection.recv(1_000_000):
            got += len(piece)
            if got % 7 == 0:
                peak = max(peak, gateway.rss_bytes())
    assert got > 200_000_000
    assert peak - before < 32_000_000


@pytest.mark.parametrize("stream", [False, True])
def test_the_openai_sdk(gateway: Gateway, stream: bool) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/dev/v1", api_key="sk-of-the-client", max_retries=0) as sdk:
        if stream:
            text = "".join(
                chunk.choices[0].delta.content or ""
                for chunk in sdk.chat.completions.create(**CHAT, stream=True)  # type: ignore[call-overload]
                if chunk.choices
            )
        else:
            text = sdk.chat.completions.create(**CHAT).choices[0].message.content  # type: ignore[call-overload]
        assert "grüß dich\n\n  日本" in text
        answer = sdk.responses.create(model="gpt-demo", input="hello")
        assert "hello" in answer.output_text
        with pytest.raises(openai.RateLimitError) as caught:
            sdk.chat.completions.create(  # type: ignore[call-overload]
                **CHAT, extra_headers={"x-demo-fault": "status:429"}
            )
        assert caught.value.status_code == 429


@pytest.mark.parametrize("stream", [False, True])
def test_the_anthropic_sdk(gateway: Gateway, stream: bool) -> None:
    with anthropic.Anthropic(base_url=f"{gateway.url}/dev", api_key="sk-ant-client", max_retries=0) as sdk:
        if stream:
            with sdk.messages.stream(**CHAT, max_tokens=99) as events:  # type: ignore[arg-type]
                text = "".join(events.text_stream)
        else:
            text = sdk.messages.create(**CHAT, max_tokens=99).content[0].text  # type: ignore[call-overload]
        assert "grüß dich\n\n  日本" in text
        with pytest.raises(anthropic.NotFoundError):
            sdk.messages.create(  # type: ignore[call-overload]
                **CHAT, max_tokens=9, extra_headers={"x-demo-fault": "status:404"}
            )


def test_the_clients_credentials_reach_the_provider_and_no_output(
    gateway: Gateway, client: httpx.Client, provider: Backstage
) -> None:
    client.post(
        "/dev/v1/chat/completions?key=AIzaQueryCanary123456",
        json=CHAT,
        headers={
            "authorization": "Bearer canary-authorization-1234",
            "x-api-key": "canary-x-api-key-1234",
            "cookie": "session=canary-cookie-1234",
        },
    )
    got = provider.received()
    assert got.header(b"authorization") == b"Bearer canary-authorization-1234"
    assert got.header(b"x-api-key") == b"canary-x-api-key-1234"
    assert got.header(b"cookie") == b"session=canary-cookie-1234"
    assert "key=AIzaQueryCanary123456" in got.target
    client.get("/health")
    output = gateway.output()
    assert "/v1/chat/completions" in output
    assert "canary" not in output.lower()


def test_a_client_that_leaves_cancels_the_upstream_call(gateway: Gateway, provider: Backstage) -> None:
    provider.forget()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
        connection.sendall(b"GET /dev/sse?n=1000&interval_ms=20 HTTP/1.1\r\nhost: x\r\n\r\n")
        connection.recv(1000)
        got = provider.received()
    assert provider.wait_gone(got) < 1.0


def test_a_client_that_leaves_before_the_answer_cancels_too(gateway: Gateway, provider: Backstage) -> None:
    provider.forget()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
        connection.sendall(b"GET /dev/v1/models?x-demo-fault=stall HTTP/1.1\r\nhost: x\r\n\r\n")
        got = provider.received()
    assert provider.wait_gone(got) < 1.0


def test_health_needs_nothing_and_leaves_no_line(gateway: Gateway, client: httpx.Client) -> None:
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert '"path":"/health"' not in gateway.output()


def test_a_knock_at_the_door_is_answered_and_leaves_no_line(gateway: Gateway, client: httpx.Client) -> None:
    for path in ("/", "/api/hello"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
    assert client.get("/").status_code == 404, "which says what endpoints there are"
    for path in ("/", "/api/hello"):
        assert f'"method":"HEAD","path":"{path}"' not in gateway.output()


def test_one_line_a_request(gateway: Gateway, client: httpx.Client) -> None:
    client.get("/dev/echo/one-line-marker")
    found = gateway.wait_for(r'\{[^\n]*"path":"/dev/echo/one-line-marker"[^\n]*\}')
    for name in ("id", "endpoint", "status", "attempts", "first_byte_ms", "total_ms", "response_bytes"):
        assert f'"{name}":' in found[0]
