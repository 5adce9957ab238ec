"""A connection that switches to WebSocket: over TLS, through proxies, and to its end."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from llmitm.cli.certs import write_pair
from llmitm.clock import SystemClock
from llmitm.errors import Failure, UpstreamFailed
from llmitm.exchange import Attempt, Dialect, UpstreamReply, UpstreamRequest
from llmitm.identity import Identity
from llmitm.secret import Secret
from llmitm.send.alarm import Timeouts
from llmitm.send.frames import Frames, Message, masked
from llmitm.send.upstream import Upstream
from support.clocks import HandClock
from support.proxies import TestProxy

HANDSHAKE = (
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Connection", b"keep-alive"),
)
HELLO = b"\x81\x85\x01\x02\x03\x04" + masked(b"hello", b"\x01\x02\x03\x04")
QUICK = Timeouts(connect_s=5, first_byte_s=1, idle_s=0.2, exchange_s=0.2)


class Said:
    """What the client says, as it is told to."""

    held = None
    length = None

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def pieces(self) -> AsyncIterator[bytes]:
        while (piece := await self.queue.get()) is not None:
            yield piece

    async def whole(self, limit_bytes: int) -> bytes:
        raise AssertionError("nobody waits for the end of a session")


async def switched(
    sender: Upstream, url: str, body: Said, proxy: str = "", identity: Identity | None = None
) -> UpstreamReply:
    attempt = Attempt(
        exchange_id="x",
        number=1,
        endpoint="e",
        provider="p",
        url=url,
        dialect=Dialect.OPENAI_CHAT,
        credential_headers=((b"authorization", Secret("Bearer ours")),),
        credential_query=((b"api_key", Secret("a&b")),),
        proxy_url=Secret(proxy) if proxy else None,
        identity=identity,
    )
    request = UpstreamRequest(method="GET", url=url, headers=HANDSHAKE, body=body, is_upgrade=True)
    return await sender.send(attempt, request)


async def read(reply: UpstreamReply, frames: Frames) -> Message:
    while True:
        piece = await reply.read()
        assert piece
        if messages := frames.feed(piece):
            return messages[0]


@pytest.mark.parametrize("kind", ["", "http", "socks5"])
async def test_a_session_over_tls_and_through_a_proxy(tmp_path: Path, kind: str) -> None:
    write_pair(tmp_path, ("localhost", "127.0.0.1"), 1, force=False)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    seen: list[ServerConnection] = []
    over = asyncio.Event()

    async def session(connection: ServerConnection) -> None:
        seen.append(connection)
        try:
            async for message in connection:
                await connection.send(message)
        finally:
            over.set()

    sender, identity = Upstream(QUICK, SystemClock()), Identity.of(tmp_path / "cert.pem", None)
    async with TestProxy(kind or "http") as proxy, serve(session, "127.0.0.1", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        said, frames = Said(), Frames()
        way = f"{kind}://127.0.0.1:{proxy.port}" if kind else ""
        reply = await switched(sender, f"https://127.0.0.1:{port}/v1/realtime?model=a", said, way, identity)
        assert reply.head.status == 101
        assert reply.head.header(b"upgrade") == b"websocket"
        assert reply.head.header(b"sec-websocket-accept") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        said.queue.put_nowait(HELLO)
        assert (await read(reply, frames)).content == b"hello"
        await reply.close()
        await asyncio.wait_for(over.wait(), 5)
    await sender.close()
    request = seen[0].request
    assert request is not None
    assert request.path == "/v1/realtime?model=a&api_key=a%26b"
    assert request.headers["authorization"] == "Bearer ours"
    assert request.headers.get_all("connection") == ["Upgrade"]
    assert (seen[0].close_code, bool(proxy.seen)) == (1001, bool(kind))


async def answering(answer: bytes) -> tuple[asyncio.Server, str]:
    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
async def test_another_protocol_is_no_answer(answer: bytes) -> None:
    server, url = await answering(answer)
    sender = Upstream(QUICK, SystemClock())
    with pytest.raises(UpstreamFailed) as failed:
        await switched(sender, url, Said())
    assert failed.value.failure in (Failure.MALFORMED, Failure.FIRST_BYTE_TIMEOUT)
    server.close()
    await sender.close()


async def test_a_refusal_is_an_answer_like_any_other() -> None:
    server, url = await answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    sender = Upstream(QUICK, SystemClock())
    reply = await switched(sender, url, Said())
    assert (reply.head.status, reply.head.whole) == (403, b"no")
    await reply.close()
    server.close()
    await sender.close()


async def test_what_comes_with_the_handshake_is_not_lost_and_nobody_is_waited_for() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    server, url = await answering(head + b"\x81\x05early")
    sender, said, frames = Upstream(QUICK, HandClock()), Said(), Frames()
    reply = await switched(sender, url, said)
    assert (await read(reply, frames)).content == b"early"
    said.queue.put_nowait(None)  # all is said, and the upstream does not close
    async with asyncio.timeout(3):
        assert await reply.read() == b""
    await reply.close()
    server.close()
    await sender.close()


async def test_an_upstream_that_is_not_read_is_made_to_wait() -> None:
    sent: list[int] = []

    async def session(connection: ServerConnection) -> None:
        try:
            while True:
                await connection.send(b"x" * 65_536)
                sent.append(65_536)
        except ConnectionClosed:
            pass

    sender = Upstream(QUICK, SystemClock())
    async with serve(session, "127.0.0.1", 0, close_timeout=1) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        reply = await switched(sender, url, Said())
        held = -1
        async with asyncio.timeout(10):
            while held != len(sent):  # until nothing more is taken
                held = len(sent)
                await asyncio.sleep(0.1)
        assert sum(sent) < 32_000_000
        for _ in range(20):
            assert await reply.read()
        assert len(sent) >= held
        await reply.close()
    await sender.close()
