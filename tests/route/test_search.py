"""Which models will do, in which order, and whom each of them is asked of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from llmitm.config.routing import Routing
from llmitm.route.choice import Choice
from llmitm.route.search import chain, larger
from llmitm.route.verdict import Ending
from llmitm.state.memory import MemoryStore
from support.clocks import HandClock
from support.simulated import simulate
from support.trying import Stage, choice

ROUTING = Routing.model_validate(
    {
        "aliases": {
            "nick": "gpt-demo",
            "pool": [{"model": "one", "weight": 3}, {"model": "two"}],
            "open": "closed-model",
        },
        "fallbacks": {
            "gpt-demo": ["claude-demo", "pool"],
            "claude-demo": ["gpt-demo", "gemini-demo"],
            "nick": ["gemini-demo"],
        },
        "context_fallbacks": {"gpt-demo": ["gpt-long"], "claude-demo": ["gpt-long", "claude-long"]},
    }
)


async def chained(asked: Sequence[str], *, forbidden: Sequence[str] = ()) -> list[str]:
    store = MemoryStore(HandClock())
    return await chain(asked, ROUTING, store, lambda model: model not in forbidden)


@pytest.mark.parametrize(
    ("asked", "models"),
    [
        (["other"], ["other"]),
        (["other", "more", "other"], ["other", "more"]),
        # the operator's fallbacks come after all that the client named, and theirs are not followed
        (["gpt-demo"], ["gpt-demo", "claude-demo", "one", "two"]),
        (["gpt-demo", "other"], ["gpt-demo", "other", "claude-demo", "one", "two"]),
        (["gpt-demo", "claude-demo"], ["gpt-demo", "claude-demo", "one", "two", "gemini-demo"]),
        # a name for another model, a name for several
        (["nick"], ["gpt-demo", "gemini-demo"]),
        (["pool"], ["one", "two"]),
        (["two", "pool"], ["two", "one"]),
    ],
)
async def test_the_chain(asked: list[str], models: list[str]) -> None:
    assert await chained(asked) == models


@pytest.mark.parametrize(
    ("asked", "forbidden", "models"),
    [
        (["gpt-demo"], ["gpt-demo"], ["claude-demo", "one", "two"]),
        (["gpt-demo"], ["claude-demo", "pool"], ["gpt-demo"]),
        (["gpt-demo"], ["gpt-demo", "claude-demo", "pool"], []),
        (["nick"], ["nick"], ["gemini-demo"]),
        # who may ask for a name may ask for what it stands for
        (["open"], ["closed-model"], ["closed-model"]),
    ],
)
async def test_what_may_not_be_asked_for_is_no_fallback_either(
    asked: list[str], forbidden: list[str], models: list[str]
) -> None:
    assert await chained(asked, forbidden=forbidden) == models


async def test_a_pool_is_taken_in_turn_by_weight_and_the_others_stand_by() -> None:
    store = MemoryStore(HandClock())
    found = [await chain(["pool"], ROUTING, store, lambda model: True) for _ in range(40)]
    assert Counter(map(tuple, found)) == {("one", "two"): 30, ("two", "one"): 10}


@pytest.mark.parametrize(
    ("asked", "models"),
    [
        (["other"], []),
        (["gpt-demo"], ["gpt-long"]),
        (["gpt-demo", "claude-demo"], ["gpt-long", "claude-long"]),
    ],
)
def test_larger_models(asked: list[str], models: list[str]) -> None:
    assert larger(asked, ROUTING) == models


A, B = choice("a"), choice("b")


def test_each_is_found_once_in_the_order_that_the_strategy_says() -> None:
    async def main() -> None:
        seen: list[list[str]] = []

        async def order(found: Sequence[Choice[None]]) -> list[Choice[None]]:
            seen.append([one.name for one in found])
            return list(reversed(found))

        stage = Stage({"m": [A, B], "n": [B, A]})
        search = stage.search("m", "n", order=order)
        found = [one.choice.name async for one in _all(search)]
        assert found == ["p/b", "p/a"]
        assert seen == [["p/a", "p/b"], []]

    simulate(main())


async def _all(search: Any) -> Any:
    while (found := await search.next()) is not None:
        yield found


def test_those_that_rest_are_no_part_of_the_order() -> None:
    async def main() -> None:
        seen: list[list[str]] = []

        async def order(found: Sequence[Choice[None]]) -> list[Choice[None]]:
            seen.append([one.name for one in found])
            return list(found)

        stage = Stage([A, B])
        await stage.health.rest(A, Ending.SERVER)
        search = stage.search(order=order)
        assert [one.choice.name async for one in _all(search)] == ["p/b"]
        assert seen == [["p/b"]]

    simulate(main())


def test_only_those_that_know_a_name_are_kept() -> None:
    async def main() -> None:
        async def keep(found: Sequence[Choice[None]]) -> list[Choice[None]]:
            return [one for one in found if one is B]

        stage = Stage([A, B])
        assert [one.choice.name async for one in _all(stage.search(keep=keep))] == ["p/b"]

    simulate(main())


def test_who_comes_next_is_told_without_being_taken() -> None:
    async def main() -> None:
        stage = Stage({"m": [A], "n": [B]})
        search = stage.search("m", "unknown", "n")
        for name in ("p/a", "p/b"):
            for _ in range(3):
                upcoming = await search.upcoming()
                assert upcoming is not None and upcoming.name == name
            found = await search.next()
            assert found is not None and found.choice is upcoming
        assert await search.upcoming() is None
        assert await search.next() is None

    simulate(main())


@pytest.mark.parametrize(
    ("rests", "back_in_s"),
    [
        ({"a": ("server", 9), "b": ("server", 4)}, 4),
        ({"a": ("auth", None), "b": ("server", 4)}, 4),
        ({"a": ("auth", None), "b": ("auth", None)}, None),
        ({"a": ("auth", None)}, 0),
        ({}, 0),
    ],
)
def test_when_somebody_is_back(rests: dict[str, tuple[str, float | None]], back_in_s: float | None) -> None:
    async def main() -> None:
        stage = Stage([A, B])
        search = stage.search()
        await search.upcoming()
        for one in (A, B):
            if one.credential in rests:
                ending, rest_s = rests[one.credential]
                await stage.health.rest(one, Ending(ending), rest_s)
        assert await search.back_in_s() == back_in_s

    simulate(main())
