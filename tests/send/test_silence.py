"""Who wants to hear of silence is told of it; an upstream that stays silent is given up all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from llmitm.clock import SystemClock
from llmitm.errors import Failure, UpstreamFailed
from llmitm.exchange import Attempt, Dialect, HeldBody, UpstreamReply, UpstreamRequest
from llmitm.send.alarm import Timeouts
from llmitm.send.upstream import Upstream

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
SILENCE_S = 0.01


class Silent:
    """Answers with a head, then says what the test has it say."""

    async def __aenter__(self) -> Silent:
        self.connected = asyncio.Event()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self._writer = writer
        writer.write(HEAD)

    def say(self, piece: bytes) -> None:
        self._writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))


@pytest.fixture
async def silent() -> AsyncIterator[Silent]:
    async with Silent() as made:
        yield made


async def asked(silent: Silent, idle_s: float, silence_s: float | None) -> tuple[Upstream, UpstreamReply]:
    upstream = Upstream(Timeouts(idle_s=idle_s), SystemClock())
    attempt = Attempt(
        exchange_id="1",
        number=1,
        endpoint="e",
        provider="p",
        url=silent.url,
        dialect=Dialect.OPENAI_CHAT,
        silence_s=silence_s,
    )
    request = UpstreamRequest(method="POST", url=silent.url, headers=(), body=HeldBody(b""))
    return upstream, await upstream.send(attempt, request)


async def test_silence_is_told_again_and_again_and_no_piece_is_lost(silent: Silent) -> None:
    upstream, reply = await asked(silent, idle_s=5, silence_s=SILENCE_S)
    for said in (b"first", b"second", b""):
        assert [await reply.read(), await reply.read()] == [None, None]
        silent.say(said)
        while (piece := await reply.read()) is None:
            pass
        assert piece == said
    await reply.close()
    await upstream.close()


async def test_one_that_stays_silent_is_given_up_however_often_that_was_told(silent: Silent) -> None:
    upstream, reply = await asked(silent, idle_s=6.5 * SILENCE_S, silence_s=SILENCE_S)
    count = 0
    with pytest.raises(UpstreamFailed) as raised:
        while await reply.read() is None:
            count += 1
    assert raised.value.failure is Failure.IDLE_TIMEOUT
    assert 1 <= count <= 6
    await reply.close()
    await upstream.close()


async def test_who_does_not_ask_hears_of_no_silence(silent: Silent) -> None:
    upstream, reply = await asked(silent, idle_s=5 * SILENCE_S, silence_s=None)
    with pytest.raises(UpstreamFailed):
        await reply.read()
    await reply.close()
    await upstream.close()
