"""Counters change together or not at all, end in time, and do not grow without bound."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.clock import SystemClock
from llmitm.state.memory import MemoryStore
from llmitm.state.store import Count, Outcome, Step, Store


class HandClock(SystemClock):
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at_s = 1000.0

    def tick_s(self) -> float:
        return self.at_s


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(clock: HandClock) -> MemoryStore:
    return MemoryStore(clock)


async def value(store: Store, key: str) -> int:
    return (await store.apply([Count(key=key, by=0)])).values[0]


async def test_a_batch_counts_every_step(store: MemoryStore) -> None:
    steps = [Count(key="a"), Count(key="b", by=5), Count(key="a", by=2)]
    assert await store.apply(steps) == Outcome(values=(1, 5, 3), ends_s=(None,) * 3)
    assert await store.apply(steps) == Outcome(values=(4, 10, 6), ends_s=(None,) * 3)


async def test_a_step_over_its_limit_refuses_the_whole_batch(store: MemoryStore) -> None:
    await store.apply([Count(key="a"), Count(key="b", by=3)])
    steps = [Count(key="a"), Count(key="b", limit=3), Count(key="c", limit=0)]
    assert await store.apply(steps) == Outcome(values=(1, 3, 0), refused=1, ends_s=(None,) * 3)
    assert [await value(store, key) for key in "abc"] == [1, 3, 0]


async def test_a_limit_may_be_reached_but_not_passed(store: MemoryStore) -> None:
    outcomes = [(await store.apply([Count(key="a", limit=2)])).refused for _ in range(3)]
    assert outcomes == [None, None, 0]


async def test_one_batch_may_not_pass_a_limit_in_two_steps(store: MemoryStore) -> None:
    assert (await store.apply([Count(key="a", by=2, limit=3), Count(key="a", by=2, limit=3)])).refused == 1
    assert await value(store, "a") == 0


async def test_what_was_taken_can_be_given_back_above_the_limit(store: MemoryStore) -> None:
    """A limit that was lowered by a reload must not hold slots for ever."""
    await store.apply([Count(key="a", by=5)])
    assert await store.apply([Count(key="a", by=-1, limit=2)]) == Outcome(values=(4,), ends_s=(None,))


async def test_a_counter_ends_when_its_time_is_over(store: MemoryStore, clock: HandClock) -> None:
    await store.apply([Count(key="a", by=7, ttl_s=60)])
    clock.at_s += 59.9
    assert await value(store, "a") == 7
    clock.at_s += 0.1
    assert await value(store, "a") == 0
    assert len(store) == 0


async def test_the_end_of_a_counter_is_that_of_its_beginning(store: MemoryStore, clock: HandClock) -> None:
    """Else a client that keeps asking would never see its window end."""
    await store.apply([Count(key="a", ttl_s=60)])
    clock.at_s += 50
    await store.apply([Count(key="a", ttl_s=60)])
    clock.at_s += 10
    assert (await store.apply([Count(key="a", ttl_s=60)])).values == (1,)
    clock.at_s += 59
    assert await value(store, "a") == 1


async def test_a_window_that_was_given_back_to_nothing_keeps_its_end(
    store: MemoryStore, clock: HandClock
) -> None:
    await store.apply([Count(key="a", ttl_s=60)])
    await store.apply([Count(key="a", by=-1)])
    clock.at_s += 30
    await store.apply([Count(key="a", ttl_s=60)])
    clock.at_s += 30
    assert await value(store, "a") == 0


async def test_counters_without_an_end_go_when_they_are_back_at_nothing(store: MemoryStore) -> None:
    for number in range(100):
        await store.apply([Count(key=f"in-flight:{number}")])
        await store.apply([Count(key=f"in-flight:{number}", by=-1)])
    assert len(store) == 0


async def test_looking_makes_no_counter(store: MemoryStore, clock: HandClock) -> None:
    assert (await store.apply([Count(key="a", by=0, ttl_s=1)])).values == (0,)
    assert len(store) == 0
    await store.apply([Count(key="a", by=0, ttl_s=1), Count(key="a", ttl_s=60)])
    clock.at_s += 30
    assert await value(store, "a") == 1


async def test_counters_that_nobody_asks_for_again_go_all_the_same(
    store: MemoryStore, clock: HandClock
) -> None:
    for number in range(1000):
        clock.at_s += 1
        await store.apply([Count(key=f"client-made:{number}", ttl_s=10)])
        assert len(store) <= 10


async def test_beyond_the_bound_those_go_that_would_be_over_soonest(clock: HandClock) -> None:
    store = MemoryStore(clock, most_counters=3)
    await store.apply([Count(key="for ever")])
    for key, ttl_s in (("long", 900.0), ("short", 5.0), ("middle", 60.0)):
        await store.apply([Count(key=key, ttl_s=ttl_s)])
    assert len(store) == 3
    assert [await value(store, key) for key in ("for ever", "long", "short", "middle")] == [1, 1, 0, 1]


async def test_closing_forgets(store: MemoryStore) -> None:
    await store.apply([Count(key="a")])
    await store.close()
    assert len(store) == 0


STEPS = st.lists(
    st.builds(
        Count,
        key=st.sampled_from("abc"),
        by=st.integers(-2, 3),
        limit=st.none() | st.integers(0, 4),
        ttl_s=st.none() | st.sampled_from([1.0, 3.0]),
    ),
    max_size=4,
)


@given(st.lists(st.tuples(STEPS, st.sampled_from([0.0, 0.5, 2.0])), max_size=12))
def test_any_history_is_that_of_a_plain_model(history: list[tuple[list[Step], float]]) -> None:
    async def run() -> None:
        clock = HandClock()
        store = MemoryStore(clock)
        model: dict[str, tuple[int, float]] = {}
        for steps, pause_s in history:
            clock.at_s += pause_s
            model = {key: kept for key, kept in model.items() if kept[1] > clock.at_s}
            after, refused = dict(model), None
            for at, step in enumerate(steps):
                assert isinstance(step, Count)
                if step.by == 0 and step.key not in after:
                    continue
                lives_s = float("inf") if step.ttl_s is None else step.ttl_s
                now, until_s = after.get(step.key, (0, clock.at_s + lives_s))
                if step.limit is not None and step.by >= 0 and now + step.by > step.limit:
                    refused = at
                    break
                after[step.key] = (now + step.by, until_s)
            if refused is None:
                model = {k: kept for k, kept in after.items() if kept[0] != 0 or kept[1] != float("inf")}
            outcome = await store.apply(steps)
            assert outcome.refused == refused
            for key in "abc":
                assert await value(store, key) == model.get(key, (0, 0.0))[0]

    asyncio.run(run())
