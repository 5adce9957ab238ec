"""What gateways counted by themselves is told to the server that they share, once, whatever it kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from llmitm.state.alone import WhileAway
from llmitm.state.shared import AGAIN_S, SharedStore
from llmitm.state.store import Count, Mark, Step, Window
from support.clocks import HandClock
from support.redis_server import RedisServer
from support.stores import Away, redis_store

LIMIT = 60
SUM_KEY = "spent"
LOOK_BACK_S = 61


def request(by: int = 1, limit: int | None = LIMIT, age_s: float | None = None) -> Window:
    return Window(key="rpm", by=by, limit=limit, age_s=age_s)


def spent(by: int, limit: int | None = None) -> Count:
    return Count(key=SUM_KEY, by=by, limit=limit, ttl_s=86_400, is_lasting=True)


LOOKS: tuple[Step, ...] = (request(0, None), spent(0))


class Two:
    """Gateways on one server, each with a way to it that can be cut."""

    def __init__(self, server: RedisServer, clock: HandClock) -> None:
        self.server = server
        self.clock = clock
        self.ways = [Away(clock, redis_store(server, clock)) for _ in range(2)]
        self.one, self.other = self.stores = [
            SharedStore(way, clock, name="redis", while_away=WhileAway(gateways=2)) for way in self.ways
        ]

    async def there(self) -> tuple[int, ...]:
        """What the server says of the window and of the sum, in whatever life it is."""
        judge = redis_store(self.server, self.clock)
        try:
            return (await judge.apply(LOOKS)).values
        finally:
            await judge.close()

    async def close(self) -> None:
        for store in self.stores:
            await store.close()
        for way in self.ways:
            await way.kept.close()

    async def passed(self, store: SharedStore, times: int = 2 * LIMIT) -> int:
        return sum([(await store.apply([request(), spent(1)])).refused is None for _ in range(times)])

    async def cut(self, *numbers: int) -> None:
        for number in numbers:
            self.ways[number].is_away = True
            await self.stores[number].apply([Mark(key="m")])
            assert self.stores[number].is_local

    async def mend(self, *numbers: int) -> None:
        self.clock.at_s += AGAIN_S
        for number in numbers:
            way = self.ways[number]
            way.is_away, way.lost_from = False, None
            await self.stores[number].try_again()
            assert not self.stores[number].is_local


@pytest.fixture
async def two(shared_server: RedisServer, clock: HandClock) -> AsyncIterator[Two]:
    shared_server.flush()
    made = Two(shared_server, clock)
    for store in made.stores:
        await store.apply(LOOKS)
    yield made
    await made.close()


async def test_who_was_cut_off_tells_what_it_gave_out(two: Two) -> None:
    await two.cut(0)
    assert await two.passed(two.one) == LIMIT // 2
    assert await two.passed(two.other) == LIMIT
    await two.mend(0)
    assert await two.there() == (LIMIT * 3 // 2, LIMIT * 3 // 2)
    assert [await two.passed(store) for store in two.stores] == [0, 0]
    two.clock.at_s += LOOK_BACK_S
    assert await two.passed(two.one) + await two.passed(two.other) == LIMIT


async def test_it_leaves_the_window_as_if_it_had_been_counted_there(two: Two) -> None:
    await two.cut(0)
    for _ in range(3):
        assert await two.passed(two.one, 10) == 10
        two.clock.at_s += 15
    await two.mend(0)
    left = []
    for _ in range(4):
        left.append((await two.there())[0])
        two.clock.at_s += 15
    assert left == [30, 20, 10, 0]


async def test_what_is_settled_meanwhile_is_told_too(two: Two) -> None:
    """Of what was counted there before, and here since; a guess of each was too high."""
    await two.one.apply([request(20), spent(20)])
    two.clock.at_s += 10
    await two.other.apply([request(7)])
    await two.cut(0)
    two.clock.at_s += 10
    await two.one.apply([request(5), spent(5)])
    await two.one.apply([request(-15, age_s=20), spent(-15)])
    await two.one.apply([request(-4, age_s=0), spent(-4)])
    await two.mend(0)
    assert await two.there() == (13, 6)
    two.clock.at_s += 39  # what was counted first is over, and none of the rest was taken for it
    assert (await two.there())[0] == 8


@pytest.mark.parametrize("lost", range(1, 6))
async def test_however_often_it_is_told_it_counts_once(two: Two, lost: int) -> None:
    """The server does as it is told, and its answers are lost from one of them on, again and again."""
    await two.cut(0)
    await two.one.apply([request(9), spent(9)])
    counted = 9
    two.ways[0].is_away = False
    for _ in range(3):
        two.ways[0].lost_from = two.ways[0].asked + lost
        two.clock.at_s += AGAIN_S
        await two.one.try_again()
        if two.one.is_local:
            await two.one.apply([request(2), spent(2)])
            counted += 2
    await two.mend(0)
    assert await two.there() == (counted, counted)


@pytest.mark.parametrize("is_restarted", [False, True], ids=["emptied", "begun anew"])
async def test_of_a_server_that_was_emptied_each_tells_all_it_has(
    server: RedisServer, clock: HandClock, is_restarted: bool
) -> None:
    two = Two(server, clock)
    for store in two.stores:
        assert await two.passed(store, 10) == 10
    await two.one.apply(LOOKS)
    await two.cut(0, 1)
    assert await two.passed(two.one, 5) == 5
    if is_restarted:
        server.kill()
        server.start()
    else:
        server.flush()
    await two.mend(0)
    assert await two.there() == (15, 25)
    await two.mend(1)
    assert await two.there() == (25, 25)
    await two.close()


async def test_a_server_that_is_emptied_while_all_reach_it(two: Two) -> None:
    """Nothing failed, so nobody was away: the first who asks sees it."""
    for store in two.stores:
        assert await two.passed(store, 20) == 20
    await two.one.apply(LOOKS)
    two.server.flush()
    for store in two.stores:
        await store.beat()
        assert not store.is_local
    assert await two.there() == (40, 40)
    two.server.flush()
    assert (await two.one.apply([request(), spent(1)])).refused is None
    await two.mend(0)
    await two.other.beat()
    assert await two.there() == (41, 41)
    assert await two.passed(two.one) + await two.passed(two.other) == LIMIT - 41


async def test_marks_that_were_seen_stand_again_where_they_were_lost(two: Two) -> None:
    """A key that was revoked does not come back with a server that has lost its data."""
    looks = [Mark(key="revoked"), Mark(key="rests"), Mark(key="revived")]
    await two.other.apply([Mark(key="revoked", value=1), Mark(key="rests", value=2, ttl_s=30)])
    await two.other.apply([Mark(key="revived", value=3)])
    await two.one.apply(looks)
    await two.one.apply([Mark(key="revived", is_over=True)])
    two.server.flush()
    two.clock.at_s += 10
    await two.one.beat()
    judge = redis_store(two.server, two.clock)
    outcome = await judge.apply(looks)
    assert (outcome.values, outcome.ends_s) == ((1, 2, 0), (None, pytest.approx(20), None))
    await judge.close()


async def test_what_arrives_late_is_given_back_all_the_same(two: Two) -> None:
    """Of the last request before a pause: there is nothing newer that it could be taken from."""
    two.clock.at_s = 2_000.9
    await two.one.apply([request(10)])
    way = two.ways[0]
    way.asked, way.hold = 0, asyncio.Event()
    giving = asyncio.create_task(two.one.apply([request(-7, age_s=0.0)]))
    await way.until(1)
    two.clock.at_s += 0.3
    way.hold.set()
    await giving
    assert (await two.there())[0] == 3
