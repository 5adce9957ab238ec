"""What gateways give out that cannot reach what they share, and whose places are free when one has died."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from llmitm.state.alone import Crowd, Policy, Seen, WhileAway, share, share_of_sum, share_of_window
from llmitm.state.memory import MemoryStore
from llmitm.state.shared import AGAIN_S, BEAT_S, GATEWAYS, LEASE_S, SharedStore
from llmitm.state.store import Count, Lease, Mark, Step, Store, StoreUnavailable, Window
from support.clocks import HandClock
from support.redis_server import RedisServer
from support.stores import Away, redis_store

REQUEST = Window(key="rpm", limit=300)
PLACE = Lease(key="places", holder="", limit=9, ttl_s=600)
LOOK = Lease(key="places", holder="", is_over=True)
SUM = Count(key="spent", limit=100, is_lasting=True)


class Gateways:
    """Some stores over one that they share, each with a way to it that can be cut."""

    def __init__(self, clock: HandClock, count: int, policy: Policy = "share") -> None:
        self.clock = clock
        self.kept = MemoryStore(clock)
        self.ways = [Away(clock, self.kept) for _ in range(count)]
        self.stores = [
            SharedStore(way, clock, name="there", while_away=WhileAway(policy=policy)) for way in self.ways
        ]

    async def beat(self, *numbers: int) -> None:
        for number in numbers or range(len(self.stores)):
            await self.stores[number].beat()

    async def live(self, seconds: float, *numbers: int) -> None:
        """Time passes, with their beats."""
        until_s = self.clock.at_s + seconds
        while self.clock.at_s < until_s:
            self.clock.at_s += BEAT_S
            await self.beat(*numbers)

    async def cut(self, *numbers: int) -> None:
        for number in numbers:
            self.ways[number].is_away = True
            await self.stores[number].apply([Mark(key="m")])
            assert self.stores[number].is_local

    async def mend(self, *numbers: int) -> None:
        self.clock.at_s += AGAIN_S
        for number in numbers:
            self.ways[number].is_away = False
            await self.stores[number].try_again()
            assert not self.stores[number].is_local


async def passed(store: SharedStore, step: Step, times: int) -> int:
    """How many of so many are let in; places are of one holder each."""
    count = 0
    for number in range(times):
        one = replace(step, holder=f"{id(store)} {number}") if isinstance(step, Lease) else step
        count += (await store.apply([one])).refused is None
    return count


async def held(store: Store) -> int:
    return (await store.apply([LOOK])).values[0]


@pytest.fixture
async def three(clock: HandClock) -> Gateways:
    made = Gateways(clock, 3)
    await made.beat()
    await made.beat()
    return made


@pytest.mark.parametrize(
    ("limit", "parts", "mine"), [(300, 3, 100), (8, 3, 2), (2, 3, 1), (1, 9, 1), (0, 3, 0), (-1, 3, -1)]
)
def test_a_share_is_rounded_down_but_not_to_nothing(limit: int, parts: int, mine: int) -> None:
    assert share(limit, parts) == mine


@pytest.mark.parametrize(
    ("limit", "seen", "mine"), [(100, 40, 60), (100, 0, 33), (100, 100, 100), (100, 120, 100), (0, 0, 0)]
)
def test_of_a_sum_what_is_left_is_shared(limit: int, seen: int, mine: int) -> None:
    assert share_of_sum(limit, seen, 3) == mine


@pytest.mark.parametrize(
    ("limit", "seen", "mine"),
    [
        (400, None, 100),
        (400, Seen(0, 0), 100),
        (400, Seen(400, 100), 100),
        (400, Seen(400, 0), 0),
        (400, Seen(500, 30), 30),
        (400, Seen(400, 400), 100),
        (400, Seen(200, 0), 50),
        (400, Seen(200, 30), 80),
        (3, Seen(1, 0), 1),
        (0, Seen(0, 0), 0),
    ],
)
def test_of_a_window_what_was_left_is_shared(limit: int, seen: Seen | None, mine: int) -> None:
    assert share_of_window(limit, 4, seen) == mine


def test_the_most_of_the_last_counts_are_there() -> None:
    crowd = Crowd()
    assert crowd.most == 0
    for count in (3, 1, 1, 1, 1, 1):
        crowd.note(count)
    assert crowd.most == 3
    crowd.note(1)
    assert crowd.most == 1


async def test_one_that_is_cut_off_gives_out_its_share(three: Gateways) -> None:
    """At most the limit and a share of it, in any minute."""
    await three.cut(1)
    assert [await passed(store, REQUEST, 400) for store in three.stores] == [300, 100, 0]
    outcome = await three.stores[1].apply([REQUEST, Mark(key="m")])
    assert (outcome.refused, outcome.limits) == (0, (100, None))
    assert (await three.stores[0].apply([REQUEST])).limits == ()


async def test_what_it_gave_out_before_is_of_its_share(three: Gateways, clock: HandClock) -> None:
    assert await passed(three.stores[1], REQUEST, 60) == 60
    assert await passed(three.stores[1], replace(REQUEST, by=-1, age_s=0.0), 10) == 10
    await three.cut(1)
    assert await passed(three.stores[1], REQUEST, 400) == 50
    clock.at_s += 61
    assert await passed(three.stores[1], REQUEST, 400) == 100


async def test_what_others_had_of_a_full_window_is_not_given_out_again(
    three: Gateways, clock: HandClock
) -> None:
    """Not while it may still be in the window; and each goes on with what it had itself."""
    assert await passed(three.stores[0], REQUEST, 290) == 290
    assert await passed(three.stores[1], REQUEST, 400) == 10
    assert await passed(three.stores[2], REQUEST, 1) == 0
    await three.cut(0, 1, 2)
    assert [await passed(store, REQUEST, 400) for store in three.stores] == [0, 0, 0]
    clock.at_s += 60
    assert [await passed(store, REQUEST, 400) for store in three.stores] == [0, 0, 0]
    clock.at_s += 1
    assert [await passed(store, REQUEST, 400) for store in three.stores] == [100, 100, 100]


async def test_all_that_are_cut_off_together_give_out_no_more_than_the_limit(three: Gateways) -> None:
    for store in three.stores:
        assert await passed(store, REQUEST, 70) == 70
    await three.cut(0, 1, 2)
    assert [await passed(store, REQUEST, 400) for store in three.stores] == [30, 30, 30]


async def test_of_what_is_left_of_a_budget_each_has_a_share(three: Gateways) -> None:
    await three.stores[0].apply([replace(SUM, by=40)])
    for store in three.stores[1:]:
        await store.apply([replace(SUM, by=0)])
    await three.cut(0, 1, 2)
    assert [await passed(store, SUM, 100) for store in three.stores] == [20, 20, 20]
    await three.mend(0, 1, 2)
    assert (await three.kept.apply([replace(SUM, by=0, limit=None)])).values == (100,)


async def test_places_that_are_held_are_of_the_share(three: Gateways) -> None:
    assert await passed(three.stores[1], PLACE, 2) == 2
    await three.cut(1)
    more = [replace(PLACE, holder=f"more {number}") for number in range(4)]
    assert [(await three.stores[1].apply([one])).refused for one in more] == [None, 0, 0, 0]
    assert await passed(three.stores[0], PLACE, 20) == 7
    await three.mend(1)
    assert await held(three.kept) == 10
    await three.stores[1].apply([replace(more[0], is_over=True)])
    assert await held(three.kept) == 9


async def test_by_configuration_each_has_all_of_it(clock: HandClock) -> None:
    gateways = Gateways(clock, 3, "count")
    await gateways.beat()
    await gateways.cut(0, 1)
    assert [await passed(store, REQUEST, 400) for store in gateways.stores] == [300, 300, 300]


async def test_by_configuration_nothing_is_done_that_cannot_be_counted(clock: HandClock) -> None:
    gateways = Gateways(clock, 2, "refuse")
    store = gateways.stores[0]
    mine = replace(PLACE, holder="mine")
    await store.apply([mine, replace(SUM, by=40)])
    gateways.ways[0].is_away = True
    limited: list[Sequence[Step]] = [[REQUEST], [Mark(key="m"), SUM], [replace(PLACE, holder="x")]]
    for steps in [*limited, *limited]:
        with pytest.raises(StoreUnavailable, match="there is away|no answer within"):
            await store.apply(steps)
    free: list[Step] = [
        Count(key="rotation"),
        Mark(key="rest", value=1),
        replace(REQUEST, by=-1),
        replace(REQUEST, by=9, limit=None),
        replace(SUM, by=-30),
        mine,
        replace(mine, is_over=True),
    ]
    for step in free:
        assert (await store.apply([step])).refused is None
    await gateways.mend(0)
    assert (await gateways.kept.apply([LOOK, replace(SUM, by=0)])).values == (0, 10)


async def test_who_was_never_there_counts_as_configured(clock: HandClock) -> None:
    """It may start while the store is away, and knows of no others."""
    for policy, most in (
        (WhileAway(), 300),
        (WhileAway(gateways=3), 100),
        (WhileAway(policy="count", gateways=3), 300),
    ):
        way = Away(clock)
        way.is_away = True
        store = SharedStore(way, clock, name="there", while_away=policy)
        assert await passed(store, REQUEST, 400) == most


async def test_gateways_are_counted_while_they_live(three: Gateways, clock: HandClock) -> None:
    assert [store.gateways for store in three.stores] == [3, 3, 3]
    await three.live(LEASE_S, 0, 1)
    assert [store.gateways for store in three.stores] == [3, 3, 3]  # it may be late
    await three.live(LEASE_S, 0, 1)
    assert [store.gateways for store in three.stores] == [2, 2, 3]
    await three.beat(2)
    await three.beat(0, 1)
    assert [store.gateways for store in three.stores] == [3, 3, 3]


async def test_one_that_stops_leaves_at_once(clock: HandClock) -> None:
    gateways = Gateways(clock, 2)
    for store in gateways.stores:
        store.start()
    for _ in range(20):
        await asyncio.sleep(0)
    look = Lease(key=GATEWAYS, holder="", is_over=True)
    assert (await gateways.kept.apply([look])).values == (2,)
    await gateways.stores[0].close()
    assert (await gateways.kept.apply([look])).values == (1,)
    gateways.ways[1].is_away = True
    await gateways.stores[1].close()


async def test_others_that_are_late_after_an_empty_start_are_not_forgotten(three: Gateways) -> None:
    three.kept = MemoryStore(three.clock)
    for way in three.ways:
        way.kept = three.kept
    await three.beat(0)
    assert three.stores[0].gateways == 3


async def test_places_of_one_that_died_are_free_within_half_a_minute(three: Gateways) -> None:
    for store in three.stores:
        assert await passed(store, PLACE, 3) == 3
    await three.live(LEASE_S - BEAT_S, 0, 1)
    assert await held(three.kept) == 9
    await three.live(BEAT_S, 0, 1)
    assert LEASE_S <= 30
    assert await held(three.kept) == 6
    await three.live(600 - LEASE_S - BEAT_S, 0, 1)
    assert await held(three.kept) == 6  # for as long as they may last
    await three.live(BEAT_S, 0, 1)
    assert await held(three.kept) == 0


async def test_places_outlive_beats_that_are_late(three: Gateways, clock: HandClock) -> None:
    assert await passed(three.stores[0], PLACE, 9) == 9
    for _ in range(5):
        clock.at_s += LEASE_S - 1
        await three.beat(0)
        assert await passed(three.stores[1], PLACE, 1) == 0


async def test_many_places_are_renewed_a_few_at_a_time(three: Gateways) -> None:
    many = [replace(PLACE, holder=f"{number}", limit=None) for number in range(1001)]
    await three.stores[0].apply(many)
    way = three.ways[0]
    way.asked = 0
    await three.live(LEASE_S * 2, 0)
    assert await held(three.kept) == 1001
    assert way.asked == 12 * (1 + 6)


async def test_places_are_there_again_where_they_were_lost(three: Gateways) -> None:
    assert await passed(three.stores[0], PLACE, 4) == 4
    three.ways[0].kept = MemoryStore(three.clock)
    await three.beat(0)
    assert await held(three.ways[0].kept) == 4


@pytest.mark.parametrize("is_first", [True, False], ids=["renewed first", "given back first"])
async def test_a_place_that_is_given_back_while_it_is_renewed_is_free(
    three: Gateways, clock: HandClock, is_first: bool
) -> None:
    mine = replace(PLACE, holder="mine")
    back = replace(mine, is_over=True)
    way, store = three.ways[0], three.stores[0]
    await store.apply([mine])
    presence, renewal, giving_back = gates = [asyncio.Event() for _ in range(3)]
    way.asked, way.hold = 0, presence
    renewing = asyncio.create_task(store.beat())
    await way.until(1)
    way.hold = renewal
    presence.set()
    await way.until(2)
    way.hold = giving_back
    giving = asyncio.create_task(store.apply([back]))
    await way.until(3)
    way.hold = None
    for gate in gates if is_first else gates[::-1]:
        gate.set()
        for _ in range(9):
            await asyncio.sleep(0)
    await asyncio.gather(renewing, giving)
    assert await held(three.kept) == 0


async def test_a_place_that_is_being_given_back_is_not_renewed(three: Gateways) -> None:
    """However long that takes, and whatever is done first there."""
    mine = replace(PLACE, holder="mine")
    way, store = three.ways[0], three.stores[0]
    await store.apply([mine])
    way.hold = asyncio.Event()
    giving = asyncio.create_task(store.apply([replace(mine, is_over=True)]))
    await asyncio.sleep(0)
    gate, way.hold = way.hold, None
    await three.kept.apply([replace(mine, is_over=True)])  # as if it were done, and not yet answered
    await store.beat()
    assert await held(three.kept) == 0
    gate.set()
    await giving


async def test_places_of_one_that_died_on_a_real_server(shared_server: RedisServer, clock: HandClock) -> None:
    shared_server.flush()
    asked = [redis_store(shared_server, clock) for _ in range(2)]
    stores = [SharedStore(one, clock, name="redis") for one in asked]
    for store in stores:
        assert await passed(store, PLACE, 5) == (5 if store is stores[0] else 4)
        await store.beat()
    await stores[0].beat()
    assert stores[0].gateways == 2
    for _ in range(6):
        clock.at_s += BEAT_S
        await stores[0].beat()
    assert await held(asked[0]) == 5
    assert await passed(stores[0], replace(PLACE, key="more"), 9) == 9
    for store in stores:
        await store.close()
