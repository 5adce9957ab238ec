"""What exchanges take of budgets: guessed by the price of who may be asked, settled by what attempts told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from llmitm.accept.budgets import NANO, Charge, Spent
from llmitm.accept.estimate import estimate_tokens
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import ClientRequest, Dialect, HeldBody, Noted, Unwatched, Usage
from llmitm.record.ledger.spent import Sum, Untold
from llmitm.route.plan import Asked
from llmitm.spending import Spending
from llmitm.state.shared import SharedStore
from llmitm.trip import routed
from llmitm.world import World, build
from support.clocks import HandClock
from support.ledgers import entry_of, noted_of
from support.stores import Away

CONFIG: dict[str, Any] = {
    "model_prices": {
        "dear": {"input": 10, "output": 100},
        "cheap": {"input": 1, "output": 2},
        "gateway/dear": {"input": 20, "output": 200},
        "free": {"input": 0, "output": 0},
    },
    "endpoints": {
        "all": {"kind": "gateway"},
        "passing": {"provider": "main", "target_base": "http://127.0.0.1:1"},
        "theirs": {"target_base": "http://127.0.0.1:1"},
        "cf": {"kind": "cloudflare"},
    },
    "gateways": [{"account_id": "a", "gateway_id": "g"}],
    "providers": {
        name: {
            "base_url": "http://127.0.0.1:1",
            "format": "openai-chat",
            "models": [{"id": one} for one in models],
        }
        for name, models in {"main": ("dear", "free", "odd"), "side": ("cheap", "odd")}.items()
    },
    "routing": {"aliases": {"pool": [{"model": "cheap"}, {"model": "dear"}]}},
    "budget": {"usd": 1, "tokens": 1000},
}
BODY = orjson.dumps({"model": "dear", "max_tokens": 50, "messages": [{"role": "user", "content": "x" * 326}]})
"""100 tokens, and 50 of answer."""


class QuickClock(HandClock):
    """Pauses are over at once, and counted."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    async def sleep(self, duration_s: float) -> None:  # type: ignore[override]
        self.pauses.append(duration_s)
        await asyncio.sleep(0)


def world_of(**changes: Any) -> World:
    return build(Config.model_validate({**CONFIG, **changes}), clock=QuickClock())


def spending_of(world: World) -> Spending:
    assert world.spending is not None
    return world.spending


def trip_of(
    world: World, endpoint: str = "all", *, key: str | None = None, model: str | None = None
) -> routed.Trip:
    rest = b"/v1/chat/completions"
    request = ClientRequest(
        id="x-1", method="POST", target=rest, headers=(), body=HeldBody(BODY), client="127.0.0.1"
    )
    return routed.Trip(
        request=request,
        asked=Asked(
            id="x-1",
            endpoint=endpoint,
            rest=rest,
            dialect=Dialect.OPENAI_CHAT,
            drop_headers=frozenset(),
            model=model,
        ),
        endpoint=world.config.endpoints[endpoint],
        config=world.config,
        world=world,
        watch=Unwatched(),
        kept=entry_of(1, auth_key=key, attempts=[]),
    )


async def charge_of(world: World, *models: str, endpoint: str = "all", **trip: Any) -> Charge | None:
    most = 50 if models else None
    return await spending_of(world).charge(trip_of(world, endpoint, **trip), models, BODY, most)


# -- before


@pytest.mark.parametrize(
    ("endpoint", "models", "usd_nano"),
    [
        ("all", ("dear",), 100 * 10_000 + 50 * 100_000),
        ("all", ("cheap",), 100 * 1_000 + 50 * 2_000),
        ("all", ("cheap", "dear"), 100 * 1_000 + 50 * 2_000),
        ("all", ("pool",), 100 * 10_000 + 50 * 100_000),
        ("all", ("free",), 0),
        ("all", ("nobody-has-it",), 0),
        ("passing", (), 100 * 10_000 + 50 * 100_000),
    ],
)
async def test_the_dearest_that_may_be_asked_first_is_what_is_guessed(
    endpoint: str, models: tuple[str, ...], usd_nano: int
) -> None:
    charge = await charge_of(world_of(), *models, endpoint=endpoint)
    assert charge is not None
    assert charge.whole == Spent(tokens=150, usd_nano=usd_nano)
    assert charge.prompt.tokens == 100


async def test_what_goes_through_cloudflare_has_the_price_of_its_provider() -> None:
    charge = await charge_of(world_of(), "gateway/dear", endpoint="cf", model="gateway/dear")
    assert charge is not None and charge.whole.usd_nano == 100 * 20_000 + 50 * 200_000


@pytest.mark.parametrize(
    ("budget", "endpoint", "key"),
    [({}, "all", None), ({"usd": 1}, "theirs", None), ({"per_key_usd": 1}, "all", None)],
)
async def test_no_budget_holds_where_none_is_set_or_the_client_pays(
    budget: dict[str, Any], endpoint: str, key: str | None
) -> None:
    assert await charge_of(world_of(budget=budget), "dear", endpoint=endpoint, key=key) is None


async def test_what_has_no_price_is_named_once_and_passes(caplog: pytest.LogCaptureFixture) -> None:
    world = world_of()
    with caplog.at_level(logging.WARNING, "llmitm"):
        charges = [await charge_of(world, "odd") for _ in range(3)]
    assert [one and one.whole for one in charges] == [Spent(tokens=150, usd_nano=0)] * 3
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2 and all("nobody knows what 'odd' costs at" in one for one in said)


async def test_what_has_no_price_is_refused_where_that_is_wanted() -> None:
    world = world_of(budget={"usd": 1, "unknown_price": "refuse"})
    with pytest.raises(Refused, match="'odd' costs at main.*\\[model_prices\\]") as caught:
        await charge_of(world, "odd")
    assert (caught.value.status, caught.value.code) == (403, "price_unknown")
    assert await charge_of(world, "dear") is not None


async def test_tokens_need_no_price() -> None:
    charge = await charge_of(world_of(budget={"tokens": 9, "unknown_price": "refuse"}), "odd")
    assert charge is not None and charge.whole.tokens == 150


# -- after

TOLD = Usage(input_tokens=10, output_tokens=3)
GUESS = Spent(tokens=150, usd_nano=6_000_000)
"""Of a whole attempt."""


def sent(number: int = 1, **known: Any) -> Noted:
    return noted_of(number, **{"model": "dear", "answered": None, "request_bytes": 400, **known})


@pytest.mark.parametrize(
    ("attempts", "tokens", "usd_nano", "is_guess"),
    [
        ([], 0, 0, False),
        ([{"usage": TOLD}], 13, 400_000, False),
        ([{"usage": TOLD}, {"usage": TOLD, "ending": "server", "status": 500}], 26, 800_000, False),
        # nobody told
        ([{"usage": None}], GUESS.tokens, GUESS.usd_nano, True),
        ([{"usage": None, "ending": "truncated"}, {"usage": TOLD}], 163, 6_400_000, True),
        ([{"usage": None, "ending": "dropped", "status": None}], GUESS.tokens, GUESS.usd_nano, True),
        ([{"usage": Usage()}], GUESS.tokens, GUESS.usd_nano, True),
        # told in part: a cut stream, or half of the record
        ([{"usage": Usage(input_tokens=10, output_tokens=3, is_final=False)}], 60, 5_100_000, True),
        ([{"usage": Usage(input_tokens=10, output_tokens=70, is_final=False)}], 80, 7_100_000, True),
        ([{"usage": Usage(input_tokens=10)}], 60, 5_100_000, True),
        ([{"usage": Usage(output_tokens=3)}], 103, 1_300_000, True),
        # nobody worked for it
        ([{"usage": None, "status": 429, "ending": "rate_limit"}], 0, 0, False),
        ([{"usage": None, "status": None, "ending": "network"}], 0, 0, False),
        ([{"usage": None, "request_bytes": None}], 0, 0, False),
        # its price is not known, though it was when it was guessed
        ([{"usage": TOLD, "model": "odd"}], 13, GUESS.usd_nano, True),
    ],
)
async def test_all_attempts_count_by_what_they_told(
    attempts: list[dict[str, Any]], tokens: int, usd_nano: int, is_guess: bool
) -> None:
    world = world_of()
    charge = await charge_of(world, "dear")
    assert charge is not None
    noted = [sent(number, **one) for number, one in enumerate(attempts, 1)]
    spent = spending_of(world).spent(entry_of(1, attempts=noted), charge)
    assert spent == Spent(tokens=tokens, usd_nano=usd_nano)
    assert world.metrics.counted.guessed.total() == is_guess


async def test_calls_that_make_no_tokens_cost_nothing_where_nobody_told() -> None:
    world = world_of()
    spending = spending_of(world)
    charge = await spending.charge(trip_of(world), ("dear",), BODY, 0)
    assert charge is not None
    assert spending.spent(entry_of(1, attempts=[sent(usage=None)]), charge) == Spent(tokens=0, usd_nano=0)


# -- at the start


class Ledger:
    """Tells what was spent, once it may; `failing` is raised so many times before."""

    def __init__(self, *sums: Sum, untold: Sequence[Untold] = (), failing: int = 0) -> None:
        self.sums, self.untold, self.failing = sums, untold, failing
        self.asked: list[float] = []
        self.may = asyncio.Event()
        self.may.set()

    async def read(self, since_s: float, until_s: float) -> tuple[Sequence[Sum], Sequence[Untold]]:
        self.asked.append(since_s)
        await self.may.wait()
        if self.failing:
            self.failing -= 1
            raise OSError("no route to the database")
        return self.sums, self.untold


KEYS = [{"name": "a", "key": "k-a", "budget_usd": {"daily": 1, "total": 9}}, {"name": "b", "key": "k-b"}]
SUMS = (
    Sum(auth_key="a", tokens=5, usd_nano=NANO // 4),
    Sum(auth_key="b", tokens=7, usd_nano=NANO // 2),
    Sum(auth_key=None, tokens=1, usd_nano=1),
)


def opened(ledger: Ledger, **changes: Any) -> World:
    world = world_of(**{"budget": {"tokens": 1000}, "auth_keys": KEYS, **changes})
    spending_of(world).read = ledger.read
    return world


async def standing(world: World) -> dict[str, int]:
    found = await spending_of(world).standing()
    return {f"{one.unit} {one.name} {one.period}": value for one, value in found}


async def test_what_was_spent_before_is_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger(*SUMS)
    world = opened(ledger)
    with caplog.at_level(logging.INFO, "llmitm"):
        for _ in range(3):
            spending_of(world).start()
            await charge_of(world, "dear", key="a")
    assert await standing(world) == {
        "tokens all monthly": 13,
        "usd key:a daily": NANO // 4,
        "usd key:a total": NANO // 4,
    }
    begun = [1_788_220_800.0, 1_789_948_800.0, 0.0]  # of the month, of the day, of all time
    assert sorted(ledger.asked) == sorted(begun)
    assert [record.getMessage() for record in caplog.records if "budgets" in record.getMessage()] == [
        "budgets: 3 read from the ledger, 3 of them used already"
    ]


async def test_streams_that_told_nothing_are_guessed() -> None:
    silent = Untold(
        auth_key="a", provider="main", host="127.0.0.1", model="dear", count=2, request_bytes=1_000
    )
    world = opened(Ledger(untold=[silent]))
    await charge_of(world, "dear", key="a")
    assert (await standing(world))["usd key:a daily"] == 2 * (125 * 10_000 + 512 * 100_000)
    assert (await standing(world))["tokens all monthly"] == 2 * (125 + 512)


async def test_exchanges_wait_until_it_is_read() -> None:
    ledger = Ledger(*SUMS)
    ledger.may.clear()
    world = opened(ledger)
    waiting = asyncio.create_task(charge_of(world, "dear", key="a"))
    while not ledger.asked:
        await asyncio.sleep(0)
    assert not waiting.done()
    ledger.may.set()
    assert await waiting is not None


async def test_while_it_cannot_be_read_nobody_passes_and_then_all(caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger(*SUMS, failing=4)
    world = opened(ledger)
    assert await charge_of(world, "dear", key="a") is not None
    assert isinstance(world.clock, QuickClock)
    assert world.clock.pauses == [0.5, 1.0, 2.0, 5.0]
    assert (await standing(world))["usd key:a daily"] == NANO // 4
    assert sum("cannot be read from the ledger" in one.getMessage() for one in caplog.records) == 1


async def test_who_waits_too_long_is_refused() -> None:
    ledger = Ledger()
    ledger.may.clear()
    world = opened(ledger)
    spending_of(world).wait_s = 0
    with pytest.raises(Refused) as caught:
        await charge_of(world, "dear", key="a")
    assert (caught.value.status, caught.value.code) == (503, "budget_unknown")
    assert (b"retry-after", b"5") in caught.value.headers
    await spending_of(world).close()


async def test_a_budget_that_comes_later_is_read_then_and_the_others_are_not_read_again() -> None:
    ledger = Ledger(*SUMS)
    world = opened(ledger)
    await charge_of(world, "dear", key="a")
    ledger.asked.clear()
    more = {**CONFIG, "budget": {"tokens": 2000, "usd": 5}, "auth_keys": KEYS}
    world.follow(Config.model_validate(more))
    charge = await charge_of(world, "dear", key="a")
    assert charge is not None and len(charge.budgets) == 4
    assert len(ledger.asked) == 1
    assert await standing(world) == {
        "usd all monthly": NANO * 3 // 4 + 1,
        "tokens all monthly": 13,
        "usd key:a daily": NANO // 4,
        "usd key:a total": NANO // 4,
    }


async def test_what_was_spent_while_a_budget_was_not_set_counts_when_it_is_again() -> None:
    ledger = Ledger(*SUMS)
    world = opened(ledger)
    before = await charge_of(world, "dear", key="a")
    assert before is not None
    await world.store.apply(list(before.steps()))
    world.follow(Config.model_validate({**CONFIG, "budget": {}, "auth_keys": KEYS}))
    ledger.sums = (Sum(auth_key="a", tokens=500, usd_nano=NANO // 3),)
    world.follow(Config.model_validate({**CONFIG, "budget": {"tokens": 1000}, "auth_keys": KEYS}))
    assert await charge_of(world, "dear", key="a") is not None
    assert await standing(world) == {
        "tokens all monthly": 500,
        "usd key:a daily": NANO // 4 + before.whole.usd_nano,
        "usd key:a total": NANO // 4 + before.whole.usd_nano,
    }


# -- where counters outlive the process


def sharing(way: Away, ledger: Ledger) -> Spending:
    """A gateway that starts on a store which others share."""
    world = world_of(budget={"tokens": 1000}, auth_keys=KEYS)
    store = SharedStore(way, world.clock, name="there")
    made = Spending(world.config, world.clock, store, world.prices, world.price)
    made.read, made.outliving = ledger.read, store
    return made


async def started(*gateways: Spending) -> list[int]:
    """When all have read: tokens of all, dollars of a key in its day, and for good."""
    for one in gateways:
        one.start()
    while not all(one._opening is None or one._opening.done() for one in gateways):
        await asyncio.sleep(0)
    return [value for _, value in await gateways[0].standing()]


async def test_a_shared_store_that_lost_what_was_spent_is_told_by_the_ledger_once() -> None:
    way = Away(HandClock())
    ledgers = [Ledger(*SUMS) for _ in range(3)]
    told = [13, NANO // 4, NANO // 4]
    assert await started(*(sharing(way, one) for one in ledgers)) == told
    assert await started(sharing(way, Ledger(*SUMS))) == told
    more = Sum(auth_key="a", tokens=0, usd_nano=NANO)
    assert await started(sharing(way, Ledger(*SUMS, more))) == [13, NANO * 5 // 4, NANO * 5 // 4]
    assert await started(sharing(way, Ledger(*SUMS))) == [13, NANO * 5 // 4, NANO * 5 // 4]


async def test_nobody_waits_for_the_ledger_where_a_shared_store_counts() -> None:
    ledger = Ledger(*SUMS, failing=2)
    ledger.may.clear()
    made = sharing(Away(HandClock()), ledger)
    trip = trip_of(world_of(budget={"tokens": 1000}, auth_keys=KEYS), key="a")
    assert await made.charge(trip, ("dear",), BODY, 50) is not None and made.is_known
    ledger.may.set()
    assert await started(made) == [13, NANO // 4, NANO // 4]


async def test_a_shared_store_that_is_away_is_told_when_it_is_back() -> None:
    """What it held counts then, and is not added to."""
    clock = HandClock()
    way = Away(clock)
    assert (await started(sharing(way, Ledger(*SUMS))))[0] == 13
    way.is_away = True
    late = sharing(way, Ledger(*SUMS, Sum(auth_key="b", tokens=1, usd_nano=0)))
    late.start()
    store = late.outliving
    assert isinstance(store, SharedStore)
    for _ in range(99):
        await asyncio.sleep(0)
    assert store.is_local and late._opening is not None and not late._opening.done()
    way.is_away = False
    await store.try_again()
    assert (await started(late))[0] == 14


def test_the_guess_is_that_of_the_limits() -> None:
    assert estimate_tokens(BODY, 50) == (100, 50)
