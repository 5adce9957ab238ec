"""Beats come while something is waited for, at their times, and leave nothing behind."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from llmitm.clock import SystemClock
from llmitm.send.heartbeat import beats_until


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

    @property
    def waiting(self) -> int:
        return sum(not future.done() for _, future in self._sleepers)

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


class Reader:
    """Counts beats, and waits after each one for as long as it is told to."""

    def __init__(self, work: asyncio.Future[object], clock: HandClock, *, is_slow: bool = False) -> None:
        self.beats: list[float] = []
        self.goes_on = asyncio.Event()
        if not is_slow:
            self.goes_on.set()
        self._clock = clock
        self._source = beats_until(work, interval_s=15, after_s=30, clock=clock)
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async with aclosing(self._source):
            async for _ in self._source:
                self.beats.append(self._clock.at_s)
                await self.goes_on.wait()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def work() -> asyncio.Future[object]:
    return asyncio.get_running_loop().create_future()


async def test_the_first_comes_after_a_while_and_later_ones_at_intervals(
    work: asyncio.Future[object], clock: HandClock
) -> None:
    reader = Reader(work, clock)
    await clock.pass_s(29.9)
    assert reader.beats == []
    await clock.pass_s(35.1)
    assert reader.beats == [30, 45, 60]
    work.set_result(None)
    await reader.task
    assert reader.beats == [30, 45, 60]


async def test_what_is_done_before_the_first_is_told_at_once(
    work: asyncio.Future[object], clock: HandClock
) -> None:
    reader = Reader(work, clock)
    await turns()
    work.set_result(None)
    await reader.task
    assert (reader.beats, clock.at_s) == ([], 0)


async def test_what_is_done_already_waits_for_nothing(work: asyncio.Future[object], clock: HandClock) -> None:
    work.set_result(None)
    await Reader(work, clock).task
    assert clock.waiting == 0


async def test_a_slow_reader_finds_no_pile_of_beats(work: asyncio.Future[object], clock: HandClock) -> None:
    reader = Reader(work, clock, is_slow=True)
    await clock.pass_s(100)
    assert reader.beats == [30]
    reader.goes_on.set()
    await clock.pass_s(20)
    assert reader.beats == [30, 115]
    work.set_result(None)
    await reader.task


@pytest.mark.parametrize("how", ["error", "cancelled"])
async def test_what_it_ends_in_is_not_looked_at(
    work: asyncio.Future[object], clock: HandClock, how: str
) -> None:
    reader = Reader(work, clock)
    await turns()
    if how == "error":
        work.set_exception(ValueError("fault"))
    else:
        work.cancel()
    await reader.task
    if how == "error":
        assert isinstance(work.exception(), ValueError)


@pytest.mark.parametrize("after_s", [0, 40])
async def test_closing_leaves_the_work_and_no_task(
    work: asyncio.Future[object], clock: HandClock, after_s: float
) -> None:
    reader = Reader(work, clock)
    await clock.pass_s(after_s)
    reader.task.cancel()
    await asyncio.gather(reader.task, return_exceptions=True)
    await turns()
    assert not work.done()
    assert asyncio.all_tasks() == {asyncio.current_task()}
