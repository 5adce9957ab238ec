"""Who is asked first: each strategy's shares, and what it does when somebody rests, comes or goes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from llmitm.config.routing import Routing
from llmitm.route.choice import Choice
from llmitm.route.strategy import SCORES, ordered
from llmitm.route.strategy.facts import Facts
from llmitm.state.memory import MemoryStore
from support.clocks import HandClock
from support.trying import choice

A, B, C = (choice(name, weight=weight) for name, weight in (("a", 3), ("b", 2), ("c", 1)))
EQUAL = [choice(name) for name in "abc"]


class Chooser:
    """Exchanges one after another, each of which looks for somebody to ask first."""

    def __init__(self, strategy: str = "round-robin", **facts: Any) -> None:
        self.strategy, self.facts = strategy, Facts(**facts)
        self.store = MemoryStore(HandClock())

    async def order(self, choices: Sequence[Choice[None]], **facts: Any) -> list[str | None]:
        facts_now = Facts(**facts) if facts else self.facts
        return [one.credential for one in await ordered(choices, facts_now, self.strategy, self.store)]

    async def firsts(self, choices: Sequence[Choice[None]], count: int) -> list[str | None]:
        return [(await self.order(choices))[0] for _ in range(count)]


def test_every_name_of_the_configuration_is_a_strategy() -> None:
    for name in SCORES:
        assert Routing.model_validate({"strategy": name}).strategy == name
    with pytest.raises(ValueError, match="strategy"):
        Routing.model_validate({"strategy": "random"})


@pytest.mark.parametrize("strategy", sorted(SCORES))
async def test_each_orders_all_of_them(strategy: str) -> None:
    chooser = Chooser(strategy, conversation="x")
    for some in ([], [A], [A, B, C]):
        assert sorted(await chooser.order(some), key=str) == [one.credential for one in some]


# ---- round-robin


async def test_weights_are_kept_exactly_over_a_cycle_and_smoothly_within_it() -> None:
    found = await Chooser().firsts([A, B, C], 60)
    for at in range(0, 60, 6):
        assert Counter(found[at : at + 6]) == {"a": 3, "b": 2, "c": 1}
    assert "".join(map(str, found[:6])) in "abacba" * 2


async def test_also_while_one_of_them_rests_and_after_it() -> None:
    chooser = Chooser()
    await chooser.firsts([A, B, C], 4)
    assert Counter(await chooser.firsts([A, B], 50)) == {"a": 30, "b": 20}
    assert Counter(await chooser.firsts([A, C], 40)) == {"a": 30, "c": 10}
    assert Counter(await chooser.firsts([A, B, C], 60)) == {"a": 30, "b": 20, "c": 10}


async def test_models_that_are_asked_for_in_turn_do_not_split_the_accounts_between_them() -> None:
    chooser = Chooser()
    large = [choice(name, model="large") for name in "ab"]
    small = [choice(name, model="small") for name in "ab"]
    found = [(await chooser.order(some))[0] for _ in range(20) for some in (large, small)]
    assert Counter(found[::2]) == Counter(found[1::2]) == {"a": 10, "b": 10}


async def test_nor_do_sets_of_which_one_rests_in_turn() -> None:
    chooser = Chooser()
    found = [(await chooser.order(some))[0] for _ in range(60) for some in (EQUAL, EQUAL[:2])]
    assert Counter(found[::2]) == {"a": 20, "b": 20, "c": 20}
    assert Counter(found[1::2]) == {"a": 30, "b": 30}


async def test_sets_that_come_and_go_do_not_all_begin_with_the_same_account() -> None:
    every = [choice(f"c{number}") for number in range(12)]
    chooser = Chooser()
    sets = [[one for at, one in enumerate(every) if mask >> at & 1] for mask in range(1, 2**12)]
    firsts = Counter([(await chooser.order(one))[0] for one in sets])
    assert max(firsts.values()) < 1.3 * min(firsts.values())


async def test_counters_of_names_that_clients_made_up_go_in_time() -> None:
    clock = HandClock()
    store = MemoryStore(clock)
    for number in range(100):
        await ordered([choice(name, model=f"m{number}") for name in "ab"], Facts(), "round-robin", store)
    assert len(store) == 100
    clock.at_s += 86_401
    await ordered(EQUAL, Facts(), "round-robin", store)
    assert len(store) == 1


# ---- fill-first


async def test_the_first_that_can_takes_all() -> None:
    chooser = Chooser("fill-first")
    assert [await chooser.order([A, B, C]) for _ in range(9)] == [["a", "b", "c"]] * 9
    assert await chooser.firsts([B, C], 9) == ["b"] * 9


# ---- least-in-flight


async def test_the_fewest_under_way_for_its_weight() -> None:
    under_way: Counter[str | None] = Counter()
    chooser = Chooser("least-in-flight", in_flight=lambda one: under_way[one.credential])
    for count in range(1, 61):
        under_way[(await chooser.order([A, B, C]))[0]] += 1
        for one in (A, B, C):
            assert abs(under_way[one.credential] - count * one.weight / 6) <= 1
    # one that is slow to end is left alone until the others have caught up
    under_way.update(b=30)
    assert "b" not in await chooser.firsts([A, B, C], 10)


async def test_who_is_equal_takes_turns() -> None:
    assert Counter(await Chooser("least-in-flight").firsts([A, B, C], 60)) == {"a": 30, "b": 20, "c": 10}


# ---- latency


@pytest.mark.parametrize(
    ("known", "under_way", "first"),
    [
        ({"a": 0.3, "b": 0.1, "c": 0.2}, {}, "b"),
        ({"a": 0.3, "b": 0.1, "c": 0.2}, {"b": 3}, "c"),
        # nobody knows how quick it is: one request finds out
        ({"a": 0.3, "b": 0.1}, {}, "c"),
        ({"a": 0.3, "b": 0.1}, {"c": 1}, "b"),
        ({"a": 0.3, "b": 0.1}, {"c": 1, "b": 40}, "a"),
        # nor of anybody: spread
        ({}, {"a": 1, "b": 2}, "c"),
        ({}, {"a": 1, "b": 2, "c": 2}, "a"),
    ],
)
async def test_the_quickest_first(known: dict[str, float], under_way: dict[str, int], first: str) -> None:
    chooser = Chooser(
        "latency",
        latency_s=lambda one: known.get(one.credential or ""),
        in_flight=lambda one: under_way.get(one.credential or "", 0),
    )
    assert await chooser.firsts(EQUAL, 3) == [first] * 3


# ---- cost


async def test_the_cheapest_first_and_the_unknown_last() -> None:
    usd = {"a": 3.0, "c": 0.0}
    chooser = Chooser("cost", usd_per_mtok=lambda one: usd.get(one.credential or ""))
    assert [await chooser.order(EQUAL) for _ in range(4)] == [["c", "a", "b"]] * 4
    usd.update(a=1.0, b=1.0, c=1.0)
    assert Counter(await chooser.firsts([A, B, C], 60)) == {"a": 30, "b": 20, "c": 10}


# ---- sticky

COUNT = 6_000


async def homes(choices: Sequence[Choice[None]], count: int = COUNT) -> list[str | None]:
    chooser = Chooser("sticky")
    return [(await chooser.order(choices, conversation=f"c{number}"))[0] for number in range(count)]


async def test_a_conversation_stays_whatever_else_happens() -> None:
    chooser = Chooser("sticky")
    for conversation in ("x", "y", "z"):
        orders = [await chooser.order([A, B, C], conversation=conversation) for _ in range(20)]
        assert orders == orders[:1] * 20
        # while its own account rests, it goes to the same other one each time, and comes back
        home, second = orders[0][:2]
        without = [one for one in (A, B, C) if one.credential != home]
        found = [(await chooser.order(without, conversation=conversation))[0] for _ in range(5)]
        assert found == [second] * 5


async def test_conversations_are_shared_by_weight() -> None:
    found = Counter(await homes([A, B, C]))
    for one in (A, B, C):
        share = one.weight / 6
        assert abs(found[one.credential] - COUNT * share) < 3 * math.sqrt(COUNT * share * (1 - share))


async def test_an_account_that_comes_or_goes_moves_its_own_share_alone() -> None:
    with_c, without_c = await homes(EQUAL), await homes(EQUAL[:2])
    moved = [one for one, other in zip(with_c, without_c, strict=True) if one != other]
    assert set(moved) == {"c"}
    assert abs(len(moved) - COUNT / 3) < 3 * math.sqrt(COUNT * 2 / 9)


async def test_a_heavier_account_draws_conversations_to_itself_alone() -> None:
    heavier = [EQUAL[0], EQUAL[1], choice("c", weight=3)]
    pairs = set(zip(await homes(EQUAL), await homes(heavier), strict=True))
    assert pairs == {("a", "a"), ("b", "b"), ("c", "c"), ("a", "c"), ("b", "c")}


async def test_without_a_conversation_it_takes_turns() -> None:
    assert Counter(await Chooser("sticky").firsts([A, B, C], 60)) == {"a": 30, "b": 20, "c": 10}
