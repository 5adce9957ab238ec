"""Beats come in silence only, never within an event, and nothing outlives the stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from llmitm.clock import SystemClock
from llmitm.send.heartbeat import with_heartbeat

BEAT = b": heartbeat\n\n"


class HandClock(SystemClock):
    """Time passes only in `pass_s`."""

    def __init__(self) -> None:
        self.at_s = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def tick_s(self) -> float:
        return self.at_s

    async def sleep(self, duration_s: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.at_s + duration_s, future))
        await future

    async def pass_s(self, duration_s: float) -> None:
        """Wakes sleepers in their order, each at its own moment."""
        end_s = self.at_s + duration_s
        while True:
            await turns()
            self._sleepers = [one for one in self._sleepers if not one[1].done()]
            due = min((one for one in self._sleepers), key=lambda one: one[0], default=None)
            if due is None or due[0] > end_s:
                break
            self.at_s = max(self.at_s, due[0])
            due[1].set_result(None)
        self.at_s = end_s


async def turns() -> None:
    """Lets every task run until all of them wait."""
    for _ in range(20):
        await asyncio.sleep(0)


class Source:
    """Pieces that come when the test says so."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.taken = 0
        self.is_closed = False
        self.tasks: set[asyncio.Task[object] | None] = set()

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            while True:
                self.tasks.add(asyncio.current_task())
                piece = await self.queue.get()
                if piece is None:
                    return
                if isinstance(piece, Exception):
                    raise piece
                self.taken += 1
                yield piece
        finally:
            await asyncio.sleep(0)  # closing may have to wait
            self.is_closed = True


class Reader:
    """Reads on and notes what came."""

    def __init__(self, steps: AsyncIterator[bytes]) -> None:
        self.got: list[bytes] = []
        self._steps = steps
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for piece in self._steps:
            self.got.append(piece)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def source() -> Source:
    return Source()


def beating(
    source: Source, clock: HandClock, interval_s: float = 15, after_s: float = 30
) -> AsyncGenerator[bytes, None]:
    return with_heartbeat(
        source.pieces(), interval_s=interval_s, after_s=after_s, beat=lambda: BEAT, clock=clock
    )


async def finish(source: Source, reader: Reader) -> None:
    source.queue.put_nowait(None)
    await reader.task
    assert source.is_closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_beats_come_after_a_while_and_then_at_intervals(source: Source, clock: HandClock) -> None:
    reader = Reader(beating(source, clock))
    counts = []
    for _ in range(8):
        await clock.pass_s(10)
        counts.append(len(reader.got))
    assert counts == [0, 0, 1, 1, 2, 3, 3, 4]  # at 30, 45, 60, 75
    assert set(reader.got) == {BEAT}
    await finish(source, reader)


async def test_a_piece_puts_the_next_beat_off(source: Source, clock: HandClock) -> None:
    reader = Reader(beating(source, clock))
    source.queue.put_nowait(b"data: a\n\n")
    for _ in range(5):
        await clock.pass_s(14)
        source.queue.put_nowait(b"data: b\n\n")
        await turns()
    assert reader.got == [b"data: a\n\n"] + [b"data: b\n\n"] * 5
    await clock.pass_s(15)
    assert reader.got[-1] == BEAT
    await finish(source, reader)


async def test_after_the_first_piece_silence_is_measured_by_the_interval(
    source: Source, clock: HandClock
) -> None:
    """The wait before a stream begins is longer, since a beat there spends the status line."""
    reader = Reader(beating(source, clock))
    await clock.pass_s(1)
    source.queue.put_nowait(b"data: a\n\n")
    await clock.pass_s(14.9)
    assert BEAT not in reader.got
    await clock.pass_s(0.2)
    assert reader.got[-1] == BEAT
    await finish(source, reader)


@pytest.mark.parametrize("seam", [b"\n\n", b"\r\n\r\n", b"\r\r"])
@pytest.mark.parametrize("cut", [1, 3, 9, 10])
async def test_no_beat_comes_within_an_event(source: Source, clock: HandClock, seam: bytes, cut: int) -> None:
    event = b"data: abc" + seam
    reader = Reader(beating(source, clock))
    source.queue.put_nowait(event[:cut])
    await clock.pass_s(100)
    assert BEAT not in reader.got
    source.queue.put_nowait(event[cut:])
    await clock.pass_s(16)
    assert b"".join(reader.got) == event + BEAT
    await finish(source, reader)


async def test_no_piece_is_lost_or_moved(source: Source, clock: HandClock) -> None:
    reader = Reader(beating(source, clock, interval_s=1, after_s=1))
    sent = [b"data: %d\n\n" % number for number in range(200)]
    for number, piece in enumerate(sent):
        source.queue.put_nowait(piece)
        if number % 7 == 0:
            await clock.pass_s(1)
        elif number % 3 == 0:
            await turns()
    await finish(source, reader)
    assert [piece for piece in reader.got if piece != BEAT] == sent
    assert BEAT in reader.got


async def test_a_slow_reader_finds_no_pile_of_beats(source: Source, clock: HandClock) -> None:
    steps = beating(source, clock)
    first = asyncio.ensure_future(anext(steps))
    await clock.pass_s(30)
    assert await first == BEAT
    await clock.pass_s(300)
    second = asyncio.ensure_future(anext(steps))
    await clock.pass_s(14)
    assert not second.done()
    await clock.pass_s(1)
    assert await second == BEAT
    await steps.aclose()


async def test_a_slow_reader_holds_the_source_back(source: Source, clock: HandClock) -> None:
    steps = beating(source, clock)
    for number in range(10):
        source.queue.put_nowait(b"data: %d\n\n" % number)
    assert await anext(steps) == b"data: 0\n\n"
    await turns()
    assert source.taken <= 2
    await steps.aclose()


@pytest.mark.parametrize("interval_s", [0, 15])
async def test_closing_closes_the_source_and_leaves_no_task(
    source: Source, clock: HandClock, interval_s: float
) -> None:
    steps = beating(source, clock, interval_s=interval_s)
    source.queue.put_nowait(b"data: a\n\n")
    assert await anext(steps) == b"data: a\n\n"
    await steps.aclose()
    assert source.is_closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("interval_s", [0, 15])
async def test_cancelling_closes_the_source_and_leaves_no_task(
    source: Source, clock: HandClock, interval_s: float
) -> None:
    reader = Reader(beating(source, clock, interval_s=interval_s))
    await turns()
    reader.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader.task
    assert source.is_closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("interval_s", [0, 15])
async def test_an_error_of_the_source_is_raised_after_its_last_piece(
    source: Source, clock: HandClock, interval_s: float
) -> None:
    source.queue.put_nowait(b"data: a\n\n")
    source.queue.put_nowait(ConnectionResetError("broke"))
    reader = Reader(beating(source, clock, interval_s=interval_s))
    with pytest.raises(ConnectionResetError, match="broke"):
        await reader.task
    assert reader.got == [b"data: a\n\n"]
    assert source.is_closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_interval_0_is_off(source: Source, clock: HandClock) -> None:
    reader = Reader(beating(source, clock, interval_s=0, after_s=1))
    await clock.pass_s(1000)
    assert reader.got == []
    await finish(source, reader)


async def test_the_source_is_read_in_one_task(source: Source, clock: HandClock) -> None:
    """Its timeouts and cancel scopes may reach from piece to piece."""
    for _ in range(3):
        source.queue.put_nowait(b"data: a\n\n")
    reader = Reader(beating(source, clock))
    await finish(source, reader)
    assert len(source.tasks) == 1


async def test_a_source_that_is_no_generator_is_read_too(clock: HandClock) -> None:
    class Plain:
        def __init__(self) -> None:
            self.left = [b"a", b"b"]

        def __aiter__(self) -> Plain:
            return self

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop(0)

    steps = with_heartbeat(Plain(), interval_s=1, after_s=1, beat=lambda: BEAT, clock=clock)
    assert [piece async for piece in steps] == [b"a", b"b"]


async def test_a_piece_costs_little() -> None:
    """It stands on the data path of every stream."""

    async def many() -> AsyncIterator[bytes]:
        for _ in range(20_000):
            yield b"data: a\n\n"

    started_s = time.process_time()
    steps = with_heartbeat(many(), interval_s=15, after_s=30, beat=lambda: BEAT, clock=SystemClock())
    assert sum([1 async for _ in steps]) == 20_000
    assert (time.process_time() - started_s) / 20_000 < 0.0002
