"""The shared store while it answers, else counters of this process: told once, and nobody waits twice."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from llmitm.state.memory import MemoryStore
from llmitm.state.shared import AGAIN_S, SOON_S, STEADY_S, SharedStore
from llmitm.state.store import Count, Lease, Mark, Step, Window
from support.clocks import HandClock
from support.stores import Away

TOOK = Lease(key="l", holder="me", limit=1)
BACK = Lease(key="l", holder="me", is_over=True)
LOOK = Lease(key="l", holder="", is_over=True)


@pytest.fixture
def shared(clock: HandClock) -> Away:
    return Away(clock)


@pytest.fixture
def store(shared: Away, clock: HandClock) -> SharedStore:
    return SharedStore(shared, clock, name="redis://there:6379/0")


async def ask(store: SharedStore | MemoryStore, *steps: Step) -> tuple[int, ...]:
    return (await store.apply(steps)).values


async def back(store: SharedStore, shared: Away, clock: HandClock) -> None:
    """The shared store answers again, and it is noticed."""
    shared.is_away = shared.loses = False
    clock.at_s += AGAIN_S
    await store.try_again()
    assert not store.is_local


async def test_while_it_answers_all_is_there(store: SharedStore, shared: Away) -> None:
    assert await ask(store, Count(key="a"), TOOK) == (1, 1)
    assert await ask(shared.kept, Count(key="a", by=0), LOOK) == (1, 1)
    assert (await store.apply([Count(key="a", limit=1)])).refused == 0
    assert not store.is_local


async def test_while_it_does_not_limits_hold_locally(store: SharedStore, shared: Away) -> None:
    shared.is_away = True
    outcomes = [(await store.apply([Window(key="w", limit=2)])).refused for _ in range(4)]
    assert outcomes == [None, None, 0, 0]
    assert store.is_local


async def test_nobody_waits_for_a_store_that_is_known_to_be_away(
    store: SharedStore, shared: Away, clock: HandClock
) -> None:
    shared.is_away = True
    for _ in range(100):
        await store.apply([Count(key="a")])
    assert shared.asked == 1
    shared.hold = asyncio.Event()
    clock.at_s += AGAIN_S
    for _ in range(100):  # none of these waits for the one that asks
        await store.apply([Count(key="a")])
        await asyncio.sleep(0)
    assert shared.asked == 2
    shared.hold.set()
    await store.close()


async def test_it_is_asked_again_by_itself(store: SharedStore, shared: Away, clock: HandClock) -> None:
    assert AGAIN_S < 4.5
    shared.is_away = True
    await store.apply([Count(key="a")])
    for _ in range(5):
        clock.at_s += AGAIN_S
        await store.apply([Count(key="a")])
        await asyncio.sleep(0)
    assert shared.asked == 6
    shared.is_away = False
    clock.at_s += AGAIN_S
    await store.apply([Count(key="a")])
    for _ in range(10):
        await asyncio.sleep(0)
    assert not store.is_local
    assert await ask(store, Count(key="a")) == (1,)  # local counts are not carried over


async def test_after_a_long_presence_it_is_asked_again_sooner_the_first_time(
    store: SharedStore, shared: Away, clock: HandClock
) -> None:
    """Else one that is slow for a moment would not be asked for seconds; but not each time."""

    async def asked_within(seconds: float) -> bool:
        shared.asked = 0
        clock.at_s += seconds
        await store.apply([Count(key="a")])
        for _ in range(10):
            await asyncio.sleep(0)
        return shared.asked > 0

    for pause_s, wait_s in ((STEADY_S, SOON_S), (STEADY_S - 0.1, AGAIN_S), (STEADY_S, SOON_S)):
        clock.at_s += pause_s
        shared.is_away = True
        await asyncio.gather(*(store.apply([Count(key="a")]) for _ in range(20)))
        assert not await asked_within(wait_s - 0.01)
        assert await asked_within(0.02)
        assert not await asked_within(AGAIN_S - 0.01)
        shared.is_away = False
        assert await asked_within(0.02)
        assert not store.is_local


async def test_each_absence_is_told_once_and_its_end_too(
    store: SharedStore, shared: Away, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "llmitm")
    for _ in range(2):
        shared.is_away = True
        await asyncio.gather(*(store.apply([Count(key="a")]) for _ in range(20)))
        clock.at_s += AGAIN_S
        await store.try_again()
        await back(store, shared, clock)
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    away = "state: redis://there:6379/0 gives no answer within 250 ms; limits, rotation and rests are local"
    again = "state: redis://there:6379/0 is used again after 4.0 s; changes told: 0"
    assert told == [("WARNING", away + " to this process for now"), ("INFO", again)] * 2


async def test_places_are_given_back_where_they_were_taken(
    store: SharedStore, shared: Away, clock: HandClock
) -> None:
    there, here = Lease(key="l", holder="there"), Lease(key="l", holder="here")
    await store.apply([there])
    shared.is_away = True
    assert await ask(store, here) == (2,)
    await back(store, shared, clock)
    assert await ask(shared.kept, LOOK) == (2,)
    await store.apply([Lease(key="l", holder="here", is_over=True)])
    shared.is_away = True
    assert await ask(store, LOOK) == (1,)
    await back(store, shared, clock)
    await store.apply([Lease(key="l", holder="there", is_over=True)])
    assert await ask(shared.kept, LOOK) == (0,)


async def test_a_place_that_was_given_back_meanwhile_is_free_when_it_is_back(
    store: SharedStore, shared: Away, clock: HandClock
) -> None:
    await store.apply([TOOK, Lease(key="other", holder="x")])
    shared.is_away = True
    await store.apply([BACK])
    await back(store, shared, clock)
    assert await ask(shared.kept, LOOK, Lease(key="other", holder="", is_over=True)) == (0, 1)


async def test_a_place_of_which_nobody_knows_is_not_held_twice(
    store: SharedStore, shared: Away, clock: HandClock
) -> None:
    shared.loses = True
    assert await ask(store, TOOK) == (1,)
    assert await ask(shared.kept, LOOK) == (1,)
    await store.apply([BACK])
    await back(store, shared, clock)
    assert await ask(shared.kept, LOOK) == (0,)


@pytest.mark.parametrize(
    ("before", "meanwhile", "after", "value", "ends_s"),
    [
        ([], [Mark(key="m", value=3)], 0, 3, None),
        ([], [Mark(key="m", value=3, ttl_s=60)], 0, 3, 58),
        ([], [Mark(key="m", value=3, ttl_s=60)], 30, 3, 28),
        ([], [Mark(key="m", value=3, ttl_s=60)], 60, 0, None),
        ([], [Mark(key="m", value=3, ttl_s=60), Mark(key="m", is_over=True)], 0, 0, None),
        ([Mark(key="m", value=3)], [Mark(key="m", is_over=True)], 0, 0, None),
        ([Mark(key="m", value=3)], [Mark(key="m", is_over=True), Mark(key="m", value=4, ttl_s=9)], 0, 4, 7),
        ([Mark(key="m", value=3)], [Mark(key="m", value=4, ttl_s=9)], 0, 3, None),
        ([Mark(key="m", value=3)], [Mark(key="m")], 0, 3, None),
    ],
)
async def test_marks_that_changed_meanwhile_are_carried_over(
    store: SharedStore,
    shared: Away,
    clock: HandClock,
    before: list[Step],
    meanwhile: list[Step],
    after: float,
    value: int,
    ends_s: float | None,
) -> None:
    await store.apply(before)
    shared.is_away = True
    for step in meanwhile:
        await store.apply([step])
    clock.at_s += after
    await back(store, shared, clock)
    outcome = await shared.kept.apply([Mark(key="m")])
    assert (outcome.values, outcome.ends_s) == ((value,), (pytest.approx(ends_s) if ends_s else None,))


async def test_marks_that_were_seen_still_stand(store: SharedStore, shared: Away, clock: HandClock) -> None:
    """A key that was revoked stays so, and a credential rests, whoever said it."""
    await shared.kept.apply([Mark(key="revoked", value=1), Mark(key="rest", value=2, ttl_s=30)])
    await shared.kept.apply([Mark(key="revived", value=1)])
    looks = [Mark(key=key) for key in ("revoked", "rest", "revived", "new")]
    await store.apply(looks)
    await shared.kept.apply([Mark(key="revived", is_over=True), Mark(key="new", value=5)])
    await store.apply(looks[2:])
    shared.is_away = True
    assert await ask(store, *looks) == (1, 2, 0, 5)
    clock.at_s += 30
    assert await ask(store, *looks) == (1, 0, 0, 5)


SUM = Count(key="s", ttl_s=600, is_lasting=True)
SEEN = replace(SUM, by=0)


async def test_sums_go_on_from_what_was_seen_of_them(
    store: SharedStore, shared: Away, clock: HandClock
) -> None:
    """What other processes added too; and no limit is forgotten while the store is away."""
    await store.apply([replace(SUM, by=30)])
    await shared.kept.apply([replace(SUM, by=60)])
    await store.apply([replace(SUM, by=5)])
    shared.is_away = True
    outcome = await store.apply([replace(SUM, by=10, limit=100)])
    assert (outcome.refused, outcome.values) == (0, (95,))
    assert await ask(store, replace(SUM, by=4, limit=100)) == (99,)
    clock.at_s += 600
    assert await ask(store, SEEN) == (0,)


@pytest.mark.parametrize(
    ("meanwhile", "total"),
    [((), 50), ((7,), 57), ((7, 8, -3), 62), ((-20,), 30), ((-20, 5), 35)],
)
async def test_what_was_added_to_sums_meanwhile_is_told(
    store: SharedStore, shared: Away, clock: HandClock, meanwhile: tuple[int, ...], total: int
) -> None:
    await store.apply([replace(SUM, by=50)])
    shared.is_away = True
    await store.apply([TOOK])  # it is known to be away from now on
    for by in meanwhile:
        await store.apply([replace(SUM, by=by)])
    await shared.kept.apply([replace(SUM, by=100)])
    await back(store, shared, clock)
    assert await ask(store, SEEN) == (total + 100,)


@pytest.mark.parametrize(("by", "total"), [(7, 64), (-7, 43)])
async def test_of_a_batch_of_which_nobody_knows_rather_too_much_is_counted(
    store: SharedStore, shared: Away, clock: HandClock, by: int, total: int
) -> None:
    await store.apply([replace(SUM, by=50)])
    shared.loses = True
    assert await ask(store, replace(SUM, by=by)) == (50 + by,)
    await back(store, shared, clock)
    assert await ask(shared.kept, SEEN) == (total,)


async def test_sums_go_on_where_the_store_came_back_empty(
    store: SharedStore, shared: Away, clock: HandClock
) -> None:
    """Whoever comes first says what they were; what each has added meanwhile is told beside it."""
    other = SharedStore(shared, clock, name="redis://there:6379/0")
    await store.apply([replace(SUM, by=50), replace(SUM, key="over", by=1, ttl_s=1)])
    await other.apply([SEEN])
    shared.is_away = True
    await store.apply([replace(SUM, by=5)])
    await other.apply([LOOK])
    await other.apply([replace(SUM, by=-7)])
    shared.kept = MemoryStore(clock)
    await back(store, shared, clock)
    assert await ask(store, SEEN) == (55,)
    await back(other, shared, clock)
    outcome = await other.apply([SEEN, Count(key="over", by=0)])
    assert (outcome.values, outcome.ends_s) == ((48, 0), (pytest.approx(596), None))


async def test_a_refused_batch_adds_nothing_to_sums(
    store: SharedStore, shared: Away, clock: HandClock
) -> None:
    shared.is_away = True
    await store.apply([replace(SUM, by=9, limit=8)])
    await store.apply([replace(SUM, by=9), Count(key="a", limit=0)])
    await back(store, shared, clock)
    assert await ask(shared.kept, SEEN) == (0,)


@pytest.mark.parametrize("answers", range(1, 8))
async def test_what_is_not_told_is_still_owed(
    store: SharedStore, shared: Away, clock: HandClock, answers: int
) -> None:
    """It goes away again after some answers, while it is told, and is then told the rest."""
    places = [Lease(key=f"{number}", holder="x") for number in range(500)]
    back_again = [replace(place, is_over=True) for place in places]
    await store.apply([*places, Mark(key="revived", value=1)])
    shared.is_away = True
    await store.apply([*back_again, Mark(key="revived", is_over=True)])
    await store.apply([Mark(key=f"{number}", value=number) for number in range(1, 500)])
    shared.is_away, shared.answers = False, answers
    clock.at_s += AGAIN_S
    await store.try_again()
    shared.answers = None
    shared.is_away = True
    await store.apply([Mark(key="revived", value=2, ttl_s=60), Mark(key="late", value=1)])
    await back(store, shared, clock)
    assert set(await ask(shared.kept, *(replace(LOOK, key=place.key) for place in places))) == {0}
    marks = [Mark(key=f"{number}") for number in range(1, 500)]
    assert await ask(shared.kept, *marks) == tuple(range(1, 500))
    outcome = await shared.kept.apply([Mark(key="revived"), Mark(key="late")])
    assert (outcome.values, outcome.ends_s) == ((2, 1), (58, None))


@pytest.mark.parametrize("is_heard", [True, False])
async def test_what_changes_while_it_is_told_is_told_as_well(
    store: SharedStore, shared: Away, clock: HandClock, is_heard: bool
) -> None:
    await store.apply([TOOK, Mark(key="revived", value=1)])
    shared.is_away = True
    await store.apply([Mark(key="early", value=1), Mark(key="revived", is_over=True)])
    clock.at_s += AGAIN_S
    shared.is_away, shared.asked = False, 0
    asked, told = asyncio.Event(), asyncio.Event()
    shared.hold = asked
    telling = asyncio.create_task(store.try_again())
    while shared.asked < 1:
        await asyncio.sleep(0)
    shared.hold = told
    asked.set()
    while shared.asked < 2:
        await asyncio.sleep(0)
    await store.apply([Mark(key="late", value=1), Mark(key="revived", value=2, ttl_s=60), BACK])
    shared.hold, shared.is_away = None, not is_heard
    told.set()
    await telling
    if not is_heard:
        await back(store, shared, clock)
    looks = [Mark(key="early"), Mark(key="late"), Mark(key="revived"), LOOK]
    assert await ask(shared.kept, *looks) == (1, 1, 2, 0)


async def test_a_refused_batch_owes_nothing(store: SharedStore, shared: Away, clock: HandClock) -> None:
    await store.apply([TOOK])
    shared.is_away = True
    await store.apply([Count(key="x")])
    await store.apply([BACK, Mark(key="m", value=1), Count(key="a", limit=0)])
    await back(store, shared, clock)
    assert await ask(shared.kept, LOOK, Mark(key="m")) == (1, 0)


async def test_closing_closes_both(store: SharedStore, shared: Away) -> None:
    await store.close()
    assert shared.is_closed
