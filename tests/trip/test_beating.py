"""Heartbeats between the steps of an exchange: when they come, and what they say."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator

import pytest

from llmitm.config.times import Streaming
from llmitm.exchange import Dialect, ResponseHead
from llmitm.trip.beating import Beating, silence_s
from support.clocks import HandClock

HEAD = ResponseHead(status=200, headers=((b"content-type", b"text/event-stream"),))
EVENT = b"data: {}\n\n"
COMMENT, PING = b": keepalive\n\n", b'event: ping\ndata: {"type":"ping"}\n\n'
type Said = bytes | float
"""A piece, an empty one included, or seconds that pass."""


async def beaten(
    clock: HandClock, said: list[Said], dialect: Dialect = Dialect.OPENAI_CHAT, *, is_events: bool = True
) -> list[ResponseHead | bytes]:
    streaming = Streaming(heartbeat_s=15, heartbeat_after_s=30)

    async def steps() -> AsyncGenerator[ResponseHead | bytes]:
        yield HEAD
        for one in said:
            if isinstance(one, bytes):
                yield one
            else:
                clock.at_s += one

    beating = Beating(dialect=dialect, is_events=is_events, streaming=streaming, clock=clock)
    return [step async for step in beating.steps(steps())]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([EVENT, 15, b"", EVENT], [EVENT, COMMENT, EVENT]),
        ([EVENT, 15, b"", 14, b"", 1, b""], [EVENT, COMMENT, COMMENT]),
        ([EVENT, 14.9, b"", EVENT], [EVENT, EVENT]),
        ([EVENT, 10, b"", 10, b"", EVENT], [EVENT, COMMENT, EVENT]),  # what came had nothing for the client
        ([EVENT, 10, EVENT, 10, b""], [EVENT, EVENT]),
        ([15, b"", EVENT], [COMMENT, EVENT]),
        ([b"data: {", 100, b"", b"}\n\n", 15, b""], [b"data: {", b"}\n\n", COMMENT]),
        ([b"data: {}", b"\n", b"\n", 15, b""], [b"data: {}", b"\n", b"\n", COMMENT]),
        ([b"data: {}\r\n", b"\r\n", 15, b""], [b"data: {}\r\n", b"\r\n", COMMENT]),
    ],
)
async def test_a_stream_that_has_begun(said: list[Said], told: list[bytes]) -> None:
    assert await beaten(HandClock(), said) == [HEAD, *told]


async def test_within_a_message_of_anthropic_a_beat_is_a_ping() -> None:
    said: list[Said] = [EVENT, 15, b""]
    assert await beaten(HandClock(), said, Dialect.ANTHROPIC_MESSAGES) == [HEAD, EVENT, PING]


@pytest.mark.parametrize(("dialect", "is_events"), [(Dialect.GEMINI, True), (Dialect.OPENAI_CHAT, False)])
async def test_where_there_are_none_silence_leaves_nothing(dialect: Dialect, is_events: bool) -> None:
    assert await beaten(HandClock(), [b"a", 99, b"", b"b"], dialect, is_events=is_events) == [
        HEAD,
        b"a",
        b"b",
    ]


@pytest.mark.parametrize(
    ("dialect", "heartbeat_s", "wanted_s"),
    [(Dialect.OPENAI_CHAT, 15, 15), (Dialect.OPENAI_CHAT, 0, None), (Dialect.GEMINI, 15, None)],
)
def test_silence_is_asked_for_where_it_is_told(
    dialect: Dialect, heartbeat_s: float, wanted_s: float | None
) -> None:
    assert silence_s(Streaming(heartbeat_s=heartbeat_s), dialect) == wanted_s


async def test_an_early_end_ends_the_attempts() -> None:
    is_over = asyncio.Event()

    async def steps() -> AsyncGenerator[ResponseHead | bytes]:
        try:
            yield HEAD
            yield EVENT
        finally:
            is_over.set()

    beating = Beating(
        dialect=Dialect.OPENAI_CHAT, is_events=True, streaming=Streaming(), clock=HandClock()
    ).steps(steps())
    assert [await anext(beating), await anext(beating)] == [HEAD, EVENT]
    await beating.aclose()
    assert is_over.is_set()


async def test_what_failed_while_the_client_left_is_no_error_of_nobodys(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fails = asyncio.Event()

    async def steps() -> AsyncGenerator[ResponseHead | bytes]:
        await fails.wait()
        raise ValueError("fault")
        yield b""

    class Ready(HandClock):
        async def sleep(self, duration_s: float) -> None:
            await asyncio.sleep(0)

    streaming = Streaming(heartbeat_s=15, heartbeat_after_s=30)
    beating = Beating(dialect=Dialect.OPENAI_CHAT, is_events=True, streaming=streaming, clock=Ready())
    told = beating.steps(steps())
    assert isinstance(await anext(told), ResponseHead)
    fails.set()
    for _ in range(5):
        await asyncio.sleep(0)
    await told.aclose()
    del told, beating
    gc.collect()
    assert "never retrieved" not in caplog.text
