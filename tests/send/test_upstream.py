"""One attempt over the wire: real sockets, real proxies, real TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmitm.cli.certs import make_pair
from llmitm.clock import SystemClock
from llmitm.demo.provider import Provider
from llmitm.errors import ClientGone, Failure, Refused, UpstreamFailed
from llmitm.exchange import Attempt, Body, Dialect, Headers, HeldBody, UpstreamRequest
from llmitm.identity import Identity
from llmitm.secret import Secret
from llmitm.send.alarm import Timeouts
from llmitm.send.headers import forwardable_request, forwardable_response
from llmitm.send.upstream import Upstream
from support.proxies import TestProxy

QUICK = Timeouts(connect_s=1, first_byte_s=0.3, idle_s=0.3, exchange_s=5)


def attempt(url: str, proxy: str | None = None, **options: object) -> Attempt:
    return Attempt(
        exchange_id="1",
        number=1,
        endpoint="e",
        provider="p",
        url=url,
        dialect=Dialect.OPENAI_CHAT,
        proxy_url=Secret(proxy) if proxy else None,
        **options,  # type: ignore[arg-type]
    )


def request(
    url: str, body: Body | None = None, headers: Headers = (), method: str = "POST"
) -> UpstreamRequest:
    return UpstreamRequest(method=method, url=url, headers=headers, body=body or HeldBody(b"{}"))


async def whole(upstream: Upstream, made: Attempt, asked: UpstreamRequest) -> tuple[int, bytes]:
    reply = await upstream.send(made, asked)
    try:
        if reply.head.whole is not None:
            return reply.head.status, reply.head.whole
        body = b""
        while piece := await reply.read():
            body += piece
        return reply.head.status, body
    finally:
        await reply.close()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    made = Upstream(QUICK, SystemClock())
    yield made
    await made.close()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as running:
        yield running


@pytest.mark.parametrize("kind", ["http", "socks5", "socks5h"])
@pytest.mark.parametrize("user", [None, "user name"])
@pytest.mark.parametrize("is_tls", [False, True])
async def test_outbound_proxies(kind: str, user: str | None, is_tls: bool, tmp_path: Path) -> None:
    authority = tmp_path / "c"
    cert, key = make_pair(("localhost", "127.0.0.1"), 2, datetime.now(UTC))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    async with (
        TestProxy(kind.removesuffix("h"), user=user, password="p@ss:word") as proxy,
        Provider() as provider,
    ):
        if is_tls:
            authority.write_bytes(cert)
            (tmp_path / "k").write_bytes(key)
            server.load_cert_chain(authority, tmp_path / "k")
            await provider.close()
            await provider.start(ssl=server)
        url = provider.url.replace("127.0.0.1", "localhost") + "/echo/x"
        credentials = "" if user is None else "user%20name:p%40ss%3Aword@"
        sender, identity = Upstream(QUICK, SystemClock()), Identity.of(authority, None) if is_tls else None
        try:
            made = attempt(url, f"{kind}://{credentials}127.0.0.1:{proxy.port}", identity=identity)
            status, _ = await whole(sender, made, request(url))
            assert status == 200
            assert len(proxy.seen) == 1
            assert provider.count == 1
            names = {name.lower() for name, _ in provider.requests[0].headers}
            assert not any(name.startswith(b"proxy-") for name in names)
            direct, _ = await whole(sender, attempt(url, identity=identity), request(url))
            assert direct == 200 and len(proxy.seen) == 1
        finally:
            await sender.close()


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_a_proxy_that_refuses_is_told_as_such_without_its_password(
    kind: str, upstream: Upstream, provider: Provider
) -> None:
    async with TestProxy(kind, user="right", password="right") as proxy:
        url = provider.url + "/echo"
        made = attempt(url, f"{kind}://wrong:canary-password@127.0.0.1:{proxy.port}")
        with pytest.raises(UpstreamFailed) as caught:
            await whole(upstream, made, request(url))
        assert caught.value.failure is Failure.PROXY
        assert "canary" not in str(caught.value)
    assert provider.count == 0


async def test_a_proxy_that_is_not_there(upstream: Upstream, provider: Provider) -> None:
    url = provider.url + "/echo"
    for kind in ("http", "socks5"):
        with pytest.raises(UpstreamFailed) as caught:
            await upstream.send(attempt(url, f"{kind}://127.0.0.1:1"), request(url))
        assert caught.value.failure is Failure.PROXY


async def test_an_untrusted_certificate_never_sees_the_key(upstream: Upstream, tmp_path: Path) -> None:
    cert, key = make_pair(("localhost",), 2, datetime.now(UTC))
    (tmp_path / "c").write_bytes(cert)
    (tmp_path / "k").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c", tmp_path / "k")
    provider = await Provider().start(ssl=context)
    try:
        with pytest.raises(UpstreamFailed) as caught:
            await upstream.send(attempt(provider.url), request(provider.url))
        assert caught.value.failure is Failure.TLS
        assert provider.count == 0
    finally:
        await provider.close()


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        ("reset", Failure.RESET),
        ("stall", Failure.FIRST_BYTE_TIMEOUT),
        ("malformed-http", Failure.MALFORMED),
        ("big-headers:200000", Failure.MALFORMED),
    ],
)
async def test_failures_before_the_head(
    upstream: Upstream, provider: Provider, fault: str, failure: Failure
) -> None:
    url = f"{provider.url}/v1/models?x-demo-fault={fault}"
    with pytest.raises(UpstreamFailed) as caught:
        await upstream.send(attempt(url), request(url, method="GET"))
    assert caught.value.failure is failure


async def test_a_host_that_refuses_and_one_that_is_unknown(upstream: Upstream) -> None:
    for url, failure in (
        ("http://127.0.0.1:1/", Failure.REFUSED),
        ("http://nowhere.invalid/", Failure.DNS),
    ):
        with pytest.raises(UpstreamFailed) as caught:
            await upstream.send(attempt(url), request(url))
        assert caught.value.failure is failure


async def test_silence_between_pieces_is_told(upstream: Upstream, provider: Provider) -> None:
    url = f"{provider.url}/sse?n=5&interval_ms=1&x-demo-fault=stall-stream:2"
    reply = await upstream.send(attempt(url), request(url, method="GET"))
    with pytest.raises(UpstreamFailed) as caught:
        while await reply.read():
            pass
    await reply.close()
    assert caught.value.failure is Failure.IDLE_TIMEOUT


async def test_the_whole_exchange_has_a_deadline(provider: Provider) -> None:
    sender = Upstream(Timeouts(exchange_s=0.3), SystemClock())
    url = f"{provider.url}/sse?n=1000&interval_ms=10"
    reply = await sender.send(attempt(url), request(url, method="GET"))
    with pytest.raises(UpstreamFailed) as caught:
        while await reply.read():
            pass
    await reply.close()
    await sender.close()
    assert caught.value.failure is Failure.EXCHANGE_TIMEOUT


async def test_a_connection_that_went_stale_is_replaced_once(upstream: Upstream) -> None:
    """The server closes an idle connection just as the next request is written to it."""
    served = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        served += 1
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await reader.readuntil(b"\r\n\r\n")  # the second request on this connection: no answer, a close
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    for _ in range(2):
        status, body = await whole(upstream, attempt(url), request(url))
        assert (status, body) == (200, b"ok")
    assert served == 2
    server.close()


async def test_credentials_are_put_on_last_and_replace(upstream: Upstream, provider: Provider) -> None:
    url = provider.url + "/echo"
    made = attempt(url, credential_headers=((b"authorization", Secret("Bearer ours")),))
    headers = ((b"Authorization", b"Bearer theirs"), (b"x-a", b"1"))
    await whole(upstream, made, request(url, headers=headers))
    got = provider.requests[0]
    assert [value for name, value in got.headers if name.lower() == b"authorization"] == [b"Bearer ours"]


async def test_an_upload_that_its_client_leaves_is_told_as_that(
    upstream: Upstream, provider: Provider
) -> None:
    class Leaving:
        held = None
        length = 1000

        async def pieces(self) -> AsyncIterator[bytes]:
            yield b"x"
            raise ClientGone

        async def whole(self, limit_bytes: int) -> bytes:
            raise AssertionError

    url = provider.url + "/echo"
    with pytest.raises(ClientGone):
        await upstream.send(attempt(url), request(url, body=Leaving()))


@pytest.mark.parametrize("value", [b"\xff", b"a\x00b"])
async def test_header_bytes_that_cannot_be_sent(upstream: Upstream, value: bytes) -> None:
    with pytest.raises(Refused) as caught:
        await upstream.send(attempt("http://x/"), request("http://x/", headers=((b"X-Odd", value),)))
    assert caught.value.status == 400 and "X-Odd" in str(caught.value)


def test_hop_by_hop_headers_stay() -> None:
    headers = (
        (b"Host", b"x"),
        (b"Connection", b"close, X-Named"),
        (b"X-Named", b"1"),
        (b"X-Kept", b"2"),
        (b"TE", b"trailers"),
        (b"Upgrade", b"h2c"),
        (b"X-Dropped", b"3"),
        (b"Proxy-Authorization", b"4"),
    )
    assert forwardable_request(headers, frozenset({b"x-dropped"})) == ((b"X-Kept", b"2"),)
    answer = ((b"Transfer-Encoding", b"chunked"), (b"Keep-Alive", b"1"), (b"Content-Length", b"2"))
    answer += ((b"X-Llmitm-Id", b"of a gateway behind this one"),)
    assert forwardable_response(answer) == ((b"Content-Length", b"2"),)
