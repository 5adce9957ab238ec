"""What is kept in memory does not grow without bound."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llmitm.state.memory import MemoryStore
from llmitm.state.store import Count, Lease, Mark, Step, Store, Window
from support.clocks import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(clock: HandClock) -> MemoryStore:
    return MemoryStore(clock)


async def value(store: Store, key: str) -> int:
    return (await store.apply([Count(key=key, by=0)])).values[0]


@pytest.mark.parametrize(
    "empties",
    [
        [Count(key="a"), Count(key="a", by=-1)],
        [Count(key="a", by=0, ttl_s=1)],
        [Count(key="a", limit=0)],
        [Window(key="a", by=3), Window(key="a", by=-3)],
        [Window(key="a", by=0)],
        [Window(key="a", limit=0)],
        [Lease(key="a", holder="x"), Lease(key="a", holder="x", is_over=True)],
        [Lease(key="a", holder="x", is_over=True)],
        [Mark(key="a", value=1), Mark(key="a", is_over=True)],
        [Mark(key="a")],
    ],
)
async def test_what_is_empty_is_not_kept(store: MemoryStore, empties: list[Step]) -> None:
    await store.apply(empties)
    assert len(store) == 0
    for step in empties:
        await store.apply([step])
    assert len(store) == 0


async def test_what_is_refused_leaves_nothing(store: MemoryStore) -> None:
    steps = [Window(key="a"), Lease(key="a", holder="x"), Mark(key="a", value=1), Count(key="a", limit=0)]
    assert (await store.apply(steps)).refused == 3
    assert len(store) == 0


@pytest.mark.parametrize(
    "step",
    [
        Count(key="client-made:{}", ttl_s=10),
        Window(key="client-made:{}", window_s=9.8),
        Lease(key="client-made:{}", holder="x", ttl_s=10),
        Mark(key="client-made:{}", value=1, ttl_s=10),
    ],
)
async def test_counters_that_nobody_asks_for_again_go_all_the_same(
    store: MemoryStore, clock: HandClock, step: Step
) -> None:
    for number in range(1000):
        clock.at_s += 1
        await store.apply([replace(step, key=step.key.format(number))])
        assert len(store) <= 11


async def test_a_window_that_is_used_all_the_time_is_kept_and_then_goes(
    store: MemoryStore, clock: HandClock
) -> None:
    for _ in range(300):
        clock.at_s += 1
        await store.apply([Window(key="w")])
    assert (await store.apply([Window(key="w")])).values == (62,)
    clock.at_s += 61
    await store.apply([])
    assert len(store) == 0


async def test_places_that_come_and_go_leave_nothing(store: MemoryStore) -> None:
    """A place is noted with its end, long after it was given back: these notes must not pile up."""
    await store.apply([Lease(key="l", holder="the first that ends", ttl_s=1)])
    for number in range(5000):
        await store.apply([Lease(key="l", holder=f"{number}")])
        if number >= 10:
            await store.apply([Lease(key="l", holder=f"{number - 10}", is_over=True)])
    places = store._leases.kept["l"]  # nothing else tells
    assert len(places._until_us) == 11
    assert len(places._ends) < 100


async def test_counters_that_come_and_go_leave_nothing(store: MemoryStore) -> None:
    for number in range(5000):
        await store.apply([Window(key=f"{number}"), Lease(key=f"{number}", holder="x")])
        await store.apply([Window(key=f"{number}", by=-1), Lease(key=f"{number}", holder="x", is_over=True)])
    assert len(store) == 0
    assert all(len(book._ends) < 100 for book in store._books)


async def test_a_mark_that_is_made_shorter_goes_sooner(store: MemoryStore, clock: HandClock) -> None:
    await store.apply([Mark(key="m", value=1, ttl_s=1000)])
    await store.apply([Mark(key="m", is_over=True), Mark(key="m", value=1, ttl_s=5)])
    clock.at_s += 5
    await store.apply([])
    assert len(store) == 0


async def test_beyond_the_bound_those_go_that_would_be_over_soonest(clock: HandClock) -> None:
    store = MemoryStore(clock, most_counters=3)
    await store.apply([Count(key="for ever")])
    for key, ttl_s in (("long", 900.0), ("short", 5.0), ("middle", 60.0)):
        await store.apply([Count(key=key, ttl_s=ttl_s)])
    assert len(store) == 3
    assert [await value(store, key) for key in ("for ever", "long", "short", "middle")] == [1, 1, 0, 1]


async def test_marks_that_clients_make_push_out_no_limits(clock: HandClock) -> None:
    store = MemoryStore(clock, most_counters=10)
    await store.apply([Window(key="rpm", by=7), Lease(key="places", holder="x", ttl_s=1)])
    for number in range(1000):
        await store.apply([Mark(key=f"{number}", value=1, ttl_s=3600)])
    assert len(store) == 12
    looks = [Window(key="rpm", by=0), Lease(key="places", holder="", is_over=True)]
    assert (await store.apply(looks)).values == (7, 1)


async def test_closing_forgets(store: MemoryStore) -> None:
    await store.apply([Count(key="a"), Window(key="a"), Lease(key="a", holder="x"), Mark(key="a", value=1)])
    await store.close()
    assert len(store) == 0
