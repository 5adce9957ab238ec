"""Answers that break in the middle, and connections that are back in the pool before they are read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from llmitm.clock import SystemClock
from llmitm.errors import Failure, Refused, UpstreamFailed
from llmitm.exchange import Attempt, Dialect, HeldBody, UpstreamReply, UpstreamRequest
from llmitm.send.alarm import Timeouts
from llmitm.send.upstream import Upstream

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

type Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    made = Upstream(Timeouts(connect_s=1, first_byte_s=1, idle_s=1, exchange_s=3), SystemClock())
    yield made
    await made.close()


async def ask(upstream: Upstream, port: int, method: str = "GET") -> UpstreamReply:
    url = f"http://127.0.0.1:{port}/"
    made = Attempt(
        exchange_id="1", number=1, endpoint="e", provider="p", url=url, dialect=Dialect.OPENAI_CHAT
    )
    return await upstream.send(made, UpstreamRequest(method=method, url=url, headers=(), body=HeldBody(b"")))


async def started(serve: Serve) -> tuple[asyncio.Server, int]:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def test_a_body_with_broken_chunks_is_malformed_at_once(upstream: Upstream) -> None:
    """aiohttp alone leaves its reader waiting: it would be told of silence, a whole timeout later."""
    goes_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED + b"4\r\npart\r\n")
        await goes_on.wait()
        writer.write(b"no size\r\nrest")
        await reader.read()

    server, port = await started(serve)
    reply = await ask(upstream, port)
    assert await reply.read() == b"part"
    goes_on.set()
    with pytest.raises(UpstreamFailed) as caught:
        await reply.read()
    await reply.close()
    server.close()
    assert caught.value.failure is Failure.MALFORMED


async def test_closing_an_answer_that_was_not_read_to_its_end_harms_no_other(upstream: Upstream) -> None:
    """Its connection is back in the pool when its last byte has come, whoever still has to read it."""
    body = b"x" * 100_000
    goes_on = asyncio.Event()
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED + b"3\r\none\r\n")
        await goes_on.wait()
        writer.write(b"0\r\n\r\n")
        await reader.read()

    server, port = await started(serve)
    first = await ask(upstream, port)
    received = len(await first.read())
    while received < len(body):  # to its last byte, but not to its end
        received += len(await first.read())
    second = await ask(upstream, port)
    assert connections == 1
    assert await second.read() == b"one"
    await first.close()
    goes_on.set()
    assert await second.read() == b""
    await second.close()
    server.close()


@pytest.mark.parametrize("method", ["", "CONNECT", "GET X", "GET\r\n"])
async def test_what_is_no_method_of_a_request_is_refused(method: str, upstream: Upstream) -> None:
    with pytest.raises(Refused) as caught:
        await ask(upstream, 1, method)
    assert (caught.value.status, caught.value.code) == (400, "invalid_method")
