"""What may be spent in a period: counted with the limits, refused plainly, settled with what was taken."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.accept.budgets import NANO, NOTHING, Budget, Charge, Spent, read, usd
from llmitm.accept.estimate import Estimate
from llmitm.accept.limits import Asked, Ticket, admit
from llmitm.config.schema import Config
from llmitm.errors import Limited
from llmitm.exchange import Dialect
from llmitm.state.memory import MemoryStore
from llmitm.state.store import Store
from llmitm.translate.failures import write_error
from support.clocks import HandClock
from support.redis_server import BINARY, NO_BINARY, RedisServer
from support.stores import redis_store

NOON_S = datetime.fromisoformat("2026-11-21T12:00:00+00:00").timestamp()
DAY_S = 86_400.0


def config(budget: dict[str, Any] | None = None, keys: list[dict[str, Any]] | None = None) -> Config:
    made = [{"key": f"key-of-{key['name']}", **key} for key in keys or []]
    return Config.model_validate({"budget": budget or {}, "auth_keys": made})


def charge_of(
    config: Config, now_s: float, *, key: str | None, prompt: Spent, answer: Spent = NOTHING
) -> Charge | None:
    mine = read(config).of(key)
    if not mine:
        return None
    whole = Spent(tokens=prompt.tokens + answer.tokens, usd_nano=prompt.usd_nano + answer.usd_nano)
    estimate = Estimate(prompt.tokens, answer.tokens)
    return Charge(budgets=mine, at_s=now_s, estimate=estimate, prompt=prompt, whole=whole)


class Gate:
    """One configuration, one store, one clock, and a new exchange for each call."""

    def __init__(
        self, budget: dict[str, Any] | None = None, keys: list[dict[str, Any]] | None = None
    ) -> None:
        self.clock = HandClock(now_s=NOON_S)
        self.store: Store = MemoryStore(self.clock)
        self.config = config(budget, keys)
        self.count = 0

    async def admit(
        self,
        tokens: int = 0,
        usd_nano: int = 0,
        *,
        key: str | None = None,
        answer: Spent = NOTHING,
        dialect: Dialect = Dialect.OPENAI_CHAT,
    ) -> Ticket:
        self.count += 1
        now_s = self.clock.now_s()
        charge = charge_of(
            self.config, now_s, key=key, prompt=Spent(tokens=tokens, usd_nano=usd_nano), answer=answer
        )
        asked = Asked(exchange_id=f"x-{self.count}", auth_key=key, dialect=dialect)
        return await admit(asked, self.config, self.store, self.clock, charge=charge)

    async def refusal(self, *amounts: int, **changes: Any) -> Limited:
        with pytest.raises(Limited) as caught:
            await self.admit(*amounts, **changes)
        return caught.value

    async def spent(self, *, key: str | None = None) -> dict[str, int]:
        """By unit, whose and period."""
        found = {}
        for budget in read(self.config).of(key):
            outcome = await self.store.apply([budget.add(0, self.clock.now_s())])
            found[f"{budget.unit} {budget.name} {budget.period}"] = outcome.values[0]
        return found


def told(error: Limited) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in error.headers}


# -- what the configuration says


@pytest.mark.parametrize(
    ("budget", "key", "mine"),
    [
        ({}, {}, []),
        ({"usd": 5}, {}, ["usd all monthly 5000000000"]),
        ({"usd": 0.5, "period": "daily"}, {}, ["usd all daily 500000000"]),
        ({"usd": 0}, {}, ["usd all monthly 0"]),
        ({"tokens": {"daily": 7, "total": 9}}, {}, ["tokens all daily 7", "tokens all total 9"]),
        ({}, {"budget_usd": 0.000000001}, ["usd key:mine monthly 1"]),
        ({}, {"budget_tokens": 3, "budget_period": "weekly"}, ["tokens key:mine weekly 3"]),
        (
            {"tokens": 9, "per_key_usd": 2, "per_key_tokens": 5, "period": "daily"},
            {"budget_usd": {"weekly": 1}},
            ["tokens all daily 9", "usd key:mine weekly 1000000000", "tokens key:mine daily 5"],
        ),
    ],
)
def test_which_budgets_hold_for_a_key(budget: dict[str, Any], key: dict[str, Any], mine: list[str]) -> None:
    found = read(config(budget, [{"name": "mine", **key}, {"name": "other", "budget_usd": 1}]))
    assert [f"{one.unit} {one.name} {one.period} {one.most}" for one in found.of("mine")] == mine
    assert found.of(None) == tuple(one for one in found.of("mine") if one.name == "all")


@pytest.mark.parametrize(
    ("usd_nano", "text"),
    [
        (0, "$0.00"),
        (20 * NANO, "$20.00"),
        (12_345_600_000_000, "$12,345.60"),
        (1_234_567, "$0.001235"),
        (100_000, "$0.0001"),
        (4_995_100_000, "$4.9951"),
        (12_300, "$0.000012"),
    ],
)
def test_an_amount_in_words(usd_nano: int, text: str) -> None:
    assert usd(usd_nano) == text


# -- refusals


async def test_a_refusal_says_what_is_spent_of_what_and_when_it_renews() -> None:
    gate = Gate({}, [{"name": "laptop", "budget_usd": {"monthly": 20, "daily": 5}}])
    await gate.admit(usd_nano=4_990_000_000, key="laptop")
    error = await gate.refusal(0, 20_000_000, key="laptop")
    assert (error.status, error.code, error.limit, error.kind) == (
        429,
        "budget_exceeded",
        "key:laptop",
        "budget_usd",
    )
    assert str(error) == (
        "The key laptop may spend $5.00 a day, and $4.99 of that is spent or held by requests under way; "
        "this request may take $0.02. The budget renews at 2026-11-22T00:00:00Z."
    )
    assert told(error) == {
        "retry-after": str(12 * 3600),
        "x-should-retry": "false",
        "x-llmitm-budget-limit-usd": "5.000000",
        "x-llmitm-budget-remaining-usd": "0.010000",
        "x-llmitm-budget-reset-usd": "2026-11-22T00:00:00Z",
    }


async def test_a_budget_that_never_renews_says_who_can_raise_it() -> None:
    gate = Gate({"tokens": 100, "period": "total"})
    await gate.admit(100)
    error = await gate.refusal(1)
    assert str(error) == (
        "All clients together may spend 100 tokens, and 100 tokens of that are spent or held by requests "
        "under way. It does not renew: have tokens in [budget] raised."
    )
    assert "retry-after" not in told(error)


async def test_a_prompt_above_a_whole_budget_is_refused_for_good() -> None:
    gate = Gate({}, [{"name": "laptop", "budget_tokens": 1_000}])
    error = await gate.refusal(1_001, key="laptop")
    assert "about 1,001 tokens: it can never pass" in str(error) and "[[auth_keys]]" in str(error)
    assert told(error) == {"x-should-retry": "false"}
    assert await gate.spent(key="laptop") == {"tokens key:laptop monthly": 0}


async def test_the_guess_of_an_answer_never_makes_an_exchange_impossible() -> None:
    gate = Gate({"usd": 1})
    await gate.admit(0, NANO // 10, answer=Spent(tokens=0, usd_nano=5 * NANO))
    assert await gate.spent() == {"usd all monthly": NANO}


async def test_under_a_budget_of_nothing_only_what_is_free_passes() -> None:
    gate = Gate({"usd": 0})
    await gate.admit(500, 0)
    assert "$0.00 a month" in str(await gate.refusal(1, 1))


async def test_what_is_refused_costs_nothing_of_any_budget_or_limit() -> None:
    gate = Gate({"tokens": 1_000, "usd": 1}, [{"name": "laptop", "budget_tokens": 10, "rpm": 5}])
    error = await gate.refusal(10, 2 * NANO, key="laptop")
    assert error.limit == "all"
    await gate.admit(10, NANO, key="laptop")
    await gate.refusal(1, 0, key="laptop")
    assert await gate.spent(key="laptop") == {
        "usd all monthly": NANO,
        "tokens all monthly": 10,
        "tokens key:laptop monthly": 10,
    }
    headers = dict((await gate.admit(key="laptop")).headers())
    assert headers[b"x-ratelimit-remaining-requests"] == b"3"


@pytest.mark.parametrize(
    ("dialect", "words"),
    [
        (Dialect.OPENAI_CHAT, {"type": "insufficient_quota", "code": "budget_exceeded", "param": None}),
        (Dialect.OPENAI_RESPONSES, {"type": "insufficient_quota", "code": "budget_exceeded", "param": None}),
        (Dialect.ANTHROPIC_MESSAGES, {"type": "billing_error"}),
        (Dialect.GEMINI, {"code": 429, "status": "RESOURCE_EXHAUSTED"}),
    ],
)
def test_each_dialect_has_words_for_it(dialect: Dialect, words: dict[str, Any]) -> None:
    body = orjson.loads(write_error(dialect, 429, "budget_exceeded", "Spent.", "x-1"))
    assert body["error"] == {**words, "message": "Spent."}


async def test_clients_are_told_what_the_tightest_budget_leaves() -> None:
    gate = Gate({"tokens": {"daily": 100, "weekly": 50}}, [{"name": "laptop", "budget_usd": 2}])
    headers = dict((await gate.admit(30, NANO // 2, key="laptop")).headers())
    assert headers == {
        b"x-llmitm-budget-limit-tokens": b"50",
        b"x-llmitm-budget-remaining-tokens": b"20",
        b"x-llmitm-budget-reset-tokens": b"2026-11-23T00:00:00Z",
        b"x-llmitm-budget-limit-usd": b"2.000000",
        b"x-llmitm-budget-remaining-usd": b"1.500000",
        b"x-llmitm-budget-reset-usd": b"2026-12-01T00:00:00Z",
    }


# -- settling


@pytest.mark.parametrize("taken", [0, 40, 70, 300])
async def test_what_was_taken_replaces_the_guess_in_every_budget(taken: int) -> None:
    gate = Gate({"tokens": {"daily": 1_000, "monthly": 2_000}}, [{"name": "k", "budget_tokens": 500}])
    async with await gate.admit(50, key="k", answer=Spent(tokens=20, usd_nano=0)) as ticket:
        assert set((await gate.spent(key="k")).values()) == {70}
        ticket.spend(Spent(tokens=taken, usd_nano=9))
    await ticket.release()
    assert set((await gate.spent(key="k")).values()) == {taken}


async def test_where_nothing_is_told_the_guess_stays() -> None:
    gate = Gate({"tokens": 100})
    async with await gate.admit(50):
        pass
    assert await gate.spent() == {"tokens all monthly": 50}


async def test_what_was_taken_above_a_budget_is_counted_too() -> None:
    gate = Gate({"tokens": 100})
    async with await gate.admit(50) as ticket:
        ticket.spend(Spent(tokens=900, usd_nano=0))
    assert await gate.spent() == {"tokens all monthly": 900}
    assert "900 tokens of that are spent" in str(await gate.refusal(1))


async def test_a_new_period_begins_at_nothing_and_ends_no_exchange() -> None:
    """What began in the old one is settled there, however late it ends."""
    gate = Gate({"tokens": {"daily": 100}})
    late = await gate.admit(80)
    gate.clock.at_s += DAY_S / 2 - 1
    await gate.refusal(30)
    gate.clock.at_s += 1
    await gate.admit(30)
    late.spend(Spent(tokens=90, usd_nano=0))
    await late.release()
    assert await gate.spent() == {"tokens all daily": 30}
    gate.clock.at_s -= 1
    assert await gate.spent() == {"tokens all daily": 90}


async def test_counters_of_old_periods_go() -> None:
    gate = Gate({"tokens": {"daily": 100}})
    store = MemoryStore(gate.clock)
    gate.store = store
    for _ in range(10):
        await gate.admit(1)
        gate.clock.at_s += DAY_S
    assert len(store) <= 2


async def test_a_changed_budget_counts_at_once_and_keeps_what_was_spent() -> None:
    gate = Gate({"tokens": 100})
    await gate.admit(90)
    gate.config = config({"tokens": 200})
    await gate.admit(90)
    gate.config = config({"tokens": 100})
    assert "180 tokens" in str(await gate.refusal(1))


async def test_an_exchange_that_is_settled_after_its_budget_was_lowered_gives_back_what_it_took() -> None:
    gate = Gate({"tokens": 1_000})
    ticket = await gate.admit(500)
    gate.config = config({"tokens": 10})
    ticket.spend(Spent(tokens=5, usd_nano=0))
    await ticket.release()
    assert await gate.spent() == {"tokens all monthly": 5}


# -- many at once


@pytest.fixture(params=["memory", "redis"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Store, Store]]:
    """Of two gateways, with the same counters."""
    clock = HandClock(now_s=NOON_S)
    if request.param == "memory":
        shared = MemoryStore(clock)
        yield shared, shared
        return
    if BINARY is None:
        pytest.skip(NO_BINARY)
    server = RedisServer(tmp_path)
    server.start()
    both = redis_store(server, clock), redis_store(server, clock)
    yield both
    for one in both:
        await one.close()
    server.kill()


async def test_a_hundred_at_once_never_pass_a_budget_by_more_than_their_guesses_were_wrong(
    stores: tuple[Store, Store],
) -> None:
    """And where the guesses were too high, all of the budget is given out in the end."""
    chance = random.Random(5)
    gates = [Gate({"usd": 1}), Gate({"usd": 1})]
    for gate, store in zip(gates, stores, strict=True):
        gate.store = store
    guess, most = NANO // 50, NANO
    taken, wrong, refused = [], 0, 0

    async def client(number: int) -> None:
        nonlocal wrong, refused
        try:
            async with await gates[number % 2].admit(0, guess) as ticket:
                for _ in range(chance.randrange(5)):
                    await asyncio.sleep(0)
                truth = chance.randrange(2 * guess)
                wrong += max(truth - guess, 0)
                taken.append(truth)
                ticket.spend(Spent(tokens=0, usd_nano=truth))
        except Limited:
            refused += 1

    await asyncio.gather(*(client(number) for number in range(100)))
    while not refused or sum(taken) < most - guess:
        before = len(taken)
        await client(before)
        if len(taken) == before:
            break
    assert refused
    assert most - guess < sum(taken) <= most + wrong
    assert (await gates[0].spent()).popitem()[1] == sum(taken)


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), st.integers(0, 6), st.integers(0, 4)),
        st.tuples(st.just("settle"), st.integers(0, 9), st.integers(0, 9)),
        st.tuples(st.just("release"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("pass"), st.sampled_from([1, 11, 13, 24]), st.just(0)),
        st.tuples(st.just("change"), st.integers(0, 20), st.just(0)),
    ),
    max_size=30,
)


@given(ACTS)
def test_any_history_is_that_of_a_plain_sum(acts: list[tuple[str, int, int]]) -> None:
    """Each day has what was begun in it: what it took, or what is guessed as long as that is not known."""

    async def run() -> None:
        gate = Gate({"tokens": {"daily": 10}})
        taken: list[int] = []
        days: list[int] = []
        tickets: list[tuple[Ticket, int | None]] = []
        released: set[int] = set()
        most, hours = 10, 12
        for act, first, second in acts:
            match act:
                case "admit":
                    held = min(first + second, max(first, most))
                    spent = sum(one for one, day in zip(taken, days, strict=True) if day == hours // 24)
                    answer = Spent(tokens=second, usd_nano=0)
                    if spent + held > most or (first > most > 0):
                        await gate.refusal(first, answer=answer)
                        continue
                    tickets.append((await gate.admit(first, answer=answer), None))
                    taken.append(held)
                    days.append(hours // 24)
                case "settle" if first < len(tickets):
                    tickets[first] = tickets[first][0], second
                    tickets[first][0].spend(Spent(tokens=second, usd_nano=0))
                case "release" if first < len(tickets):
                    ticket, told = tickets[first]
                    if first not in released and told is not None:
                        taken[first] = told
                    released.add(first)
                    await ticket.release()
                case "pass":
                    hours += first
                    gate.clock.at_s += 3600 * first
                case "change":
                    most = first
                    gate.config = config({"tokens": {"daily": most}})
            there = (await gate.spent())["tokens all daily"]
            assert there == sum(one for one, day in zip(taken, days, strict=True) if day == hours // 24)

    asyncio.run(run())


def test_a_counters_name_comes_from_the_configuration_alone() -> None:
    budget = Budget(
        name="key:x",
        whose="",
        place="",
        unit="usd",
        period="weekly",
        timezone="UTC",
        most=1,
    )
    assert budget.add(1, NOON_S).key == "budget:usd:key:x:weekly:2026-W47"
