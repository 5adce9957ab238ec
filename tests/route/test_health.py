"""Who rests, for how long, and what is remembered of whom."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from llmitm.config.schema import Config
from llmitm.route.choice import Choice
from llmitm.route.health import Health
from llmitm.route.verdict import WHY, Ending, Why
from llmitm.state.memory import MemoryStore
from llmitm.state.store import Mark, Outcome, Step
from support.clocks import HandClock
from support.trying import choice

DAY_S = 86_400
ALL = [Ending(ending) for ending in WHY]


def health(clock: HandClock | None = None, **retry: Any) -> tuple[Health, HandClock, MemoryStore]:
    clock = clock or HandClock()
    store = MemoryStore(clock)
    return Health(Config.model_validate({"retry": retry}), clock, store), clock, store


async def left_s(made: Health, one: Choice[None]) -> float | None:
    """0: it does not rest; None: until it is revived."""
    (rest,) = await made.rests([one])
    return 0 if rest is None else rest.left_s


@pytest.mark.parametrize(
    ("ending", "retry_after_s", "rest_s"),
    [
        ("rate_limit", None, 2),
        ("rate_limit", 0.4, 0.4),
        ("rate_limit", 20, 20),
        ("rate_limit", 0, 0),
        ("rate_limit", 7 * DAY_S, DAY_S),
        ("overloaded", 30, 30),
        ("server", 90, 90),
        ("server", None, 2),
        ("network", None, 2),
        ("timeout", None, 2),
        ("auth", None, None),
        ("auth", 5, None),
        ("permission", None, 600),
        ("permission", 5, 600),
        ("billing", None, 3600),
        ("billing", 5, 3600),
        ("billing", 7200, 7200),
        ("billing", 7 * DAY_S, DAY_S),
        ("client", 30, 0),
        ("context", 30, 0),
        ("conflict", 30, 0),
        ("late", 30, 0),
        ("killed", 30, 0),
    ],
)
async def test_how_long_it_rests(ending: str, retry_after_s: float | None, rest_s: float | None) -> None:
    made, _, _ = health()
    await made.rest(choice(), Ending(ending), retry_after_s)
    assert await left_s(made, choice()) == rest_s


@pytest.mark.parametrize("ending", ["rate_limit", "overloaded", "server", "network", "timeout"])
async def test_a_guess_doubles_each_time_in_a_row_up_to_a_minute(ending: str) -> None:
    made, clock, _ = health()
    seen = []
    for _ in range(7):
        await made.rest(choice(), Ending(ending))
        rest_s = await left_s(made, choice())
        seen.append(rest_s)
        assert rest_s is not None
        clock.at_s += rest_s
        assert await left_s(made, choice()) == 0
    assert seen == [2, 4, 8, 16, 32, 60, 60]
    made.answered(choice(), 0.1)
    await made.rest(choice(), Ending(ending))
    assert await left_s(made, choice()) == 2


async def test_many_failures_at_once_are_one() -> None:
    made, clock, _ = health()
    for _ in range(32):
        await made.rest(choice(), Ending.SERVER)
    assert await left_s(made, choice()) == 2
    clock.at_s += 2
    for _ in range(32):
        await made.rest(choice(), Ending.SERVER)
    assert await left_s(made, choice()) == 4


async def test_the_rest_that_ends_later_stands() -> None:
    made, _, _ = health()
    await made.rest(choice(), Ending.SERVER, 50)
    await made.rest(choice(), Ending.SERVER, 3)
    assert await left_s(made, choice()) == 50
    await made.rest(choice(), Ending.RATE_LIMIT, 70)
    assert await left_s(made, choice()) == 70
    await made.rest(choice(), Ending.AUTH)
    await made.rest(choice(), Ending.SERVER, 3)
    assert await left_s(made, choice()) is None


@pytest.mark.parametrize(
    ("rest_s", "ending", "seen"),
    [
        ({"network": 10}, "network", [10, 20, 40, 60]),
        ({"server": 90}, "server", [90, 90]),
        ({"server": 0}, "server", [0, 0]),
        ({"auth": 300}, "auth", [300, 300]),
        ({"auth": 0}, "auth", [0]),
        ({"billing": 60}, "billing", [60, 60]),
        ({"permission": 5}, "permission", [5, 5]),
        ({"server": 9}, "network", [2, 4]),
    ],
)
async def test_the_operators_own_times(rest_s: dict[str, float], ending: str, seen: list[float]) -> None:
    made, clock, _ = health(rest_s=rest_s)
    for expected in seen:
        await made.rest(choice(), Ending(ending))
        assert await left_s(made, choice()) == expected
        clock.at_s += expected


A, OTHER_MODEL, OTHER_KEY = choice("a"), choice("a", model="n"), choice("b")
ELSEWHERE = choice("a", provider="q")
BY_ONE, BY_TWO = choice("a", gateway="acc/one"), choice("a", gateway="acc/two")
OTHER_BY_ONE = choice("b", provider="q", gateway="acc/one")
EVERY = (A, OTHER_MODEL, OTHER_KEY, ELSEWHERE, BY_ONE, BY_TWO, OTHER_BY_ONE)


@pytest.mark.parametrize(
    ("ending", "failed", "is_gateways", "resting"),
    [
        ("rate_limit", A, False, (A, BY_ONE, BY_TWO)),
        ("permission", A, False, (A, BY_ONE, BY_TWO)),
        ("server", A, False, (A, OTHER_MODEL, BY_ONE, BY_TWO)),
        ("auth", A, False, (A, OTHER_MODEL, BY_ONE, BY_TWO)),
        ("billing", BY_ONE, False, (A, OTHER_MODEL, BY_ONE, BY_TWO)),
        ("auth", BY_ONE, True, (BY_ONE, OTHER_BY_ONE)),
        ("rate_limit", BY_ONE, True, (BY_ONE, OTHER_BY_ONE)),
        ("billing", OTHER_BY_ONE, True, (BY_ONE, OTHER_BY_ONE)),
        # what is said to be a gateway's where there is none is the key's
        ("auth", A, True, (A, OTHER_MODEL, BY_ONE, BY_TWO)),
    ],
)
async def test_what_rests(
    ending: str, failed: Choice[None], is_gateways: bool, resting: Sequence[Choice[None]]
) -> None:
    made, _, _ = health()
    await made.rest(failed, Ending(ending), is_gateways=is_gateways)
    rests = await made.rests(EVERY)
    assert [one for one, rest in zip(EVERY, rests, strict=True) if rest] == [
        one for one in EVERY if one in resting
    ]
    assert {rest.why for rest in rests if rest} == {WHY[Ending(ending)]}


async def test_a_limit_of_an_unknown_model_is_one_of_the_key() -> None:
    made, _, _ = health()
    await made.rest(choice(model=""), Ending.RATE_LIMIT)
    assert await left_s(made, A) == 2


@pytest.mark.parametrize("ending", ALL)
async def test_a_clients_own_key_lets_nothing_rest(ending: Ending) -> None:
    for own in (choice(None), choice(None, gateway="acc/one")):
        made, _, store = health()
        await made.rest(own, ending, 60)
        assert await left_s(made, own) == 0
        assert len(store) == 0


async def test_but_the_gateway_that_it_went_through_may_rest() -> None:
    made, _, _ = health()
    own = choice(None, gateway="acc/one")
    await made.rest(own, Ending.AUTH, is_gateways=True)
    assert await left_s(made, own) is None
    assert await left_s(made, OTHER_BY_ONE) is None


@pytest.mark.parametrize("ending", ALL)
async def test_without_cooldowns_nothing_rests(ending: Ending) -> None:
    made, _, store = health(cooldowns=False)
    await made.rest(A, ending, 60)
    await made.rest(BY_ONE, ending, 60, is_gateways=True)
    assert await made.rests(EVERY) == [None] * len(EVERY)
    assert len(store) == 0


async def test_what_an_operator_took_out_rests_without_cooldowns_too() -> None:
    made, _, store = health(cooldowns=False)
    await store.apply([Mark(key=A.rests[0], value=Why.OPERATOR, ttl_s=60)])
    assert await left_s(made, A) == 60
    # of what rested before they were turned off, nothing is left
    await store.apply([Mark(key=OTHER_KEY.rests[0], value=Why.SERVER, ttl_s=60)])
    assert await left_s(made, OTHER_KEY) == 0


async def test_reviving_ends_all_rests_and_forgets_failures() -> None:
    made, _, _ = health()
    for ending in (Ending.AUTH, Ending.RATE_LIMIT, Ending.SERVER):
        await made.rest(A, ending)
    await made.revive(A)
    assert await left_s(made, A) == 0
    await made.rest(A, Ending.SERVER)
    assert await left_s(made, A) == 2


@pytest.mark.parametrize(
    ("ending", "one", "is_gateways", "said"),
    [
        ("auth", A, False, "credential p/a is out of service until it is revived: auth"),
        ("billing", A, False, "credential p/a is out of service for 3600 s: billing"),
        ("permission", A, False, "credential p/a:m is out of service for 600 s: permission"),
        ("auth", BY_ONE, True, "gateway cloudflare/acc/one is out of service until it is revived: auth"),
    ],
)
async def test_what_an_operator_must_mend_is_said_once(
    caplog: pytest.LogCaptureFixture, ending: str, one: Choice[None], is_gateways: bool, said: str
) -> None:
    made, clock, _ = health()
    for _ in range(5):
        await made.rest(one, Ending(ending), is_gateways=is_gateways)
    assert [(record.levelno, record.message) for record in caplog.records] == [(logging.ERROR, said)]
    rest_s = await left_s(made, one)
    if rest_s is None:
        await made.revive(one)
    else:
        clock.at_s += rest_s
    await made.rest(one, Ending(ending), is_gateways=is_gateways)
    assert len(caplog.records) == 2


@pytest.mark.parametrize("ending", ["rate_limit", "overloaded", "server", "network", "timeout"])
async def test_what_mends_itself_is_no_alert(caplog: pytest.LogCaptureFixture, ending: str) -> None:
    made, _, _ = health()
    await made.rest(A, Ending(ending))
    assert not caplog.records


async def test_one_of_several_processes_says_it(caplog: pytest.LogCaptureFixture) -> None:
    clock = HandClock()
    store = MemoryStore(clock)
    one, other = (Health(Config(), clock, store) for _ in range(2))
    await one.rest(A, Ending.AUTH)
    assert await left_s(other, A) is None
    await other.rest(A, Ending.AUTH)
    assert len(caplog.records) == 1


def test_requests_under_way_are_counted_while_they_last() -> None:
    made, _, _ = health()
    with made.under_way(A), made.under_way(OTHER_MODEL), pytest.raises(ValueError, match="x"):
        assert made.in_flight(A) == made.in_flight(OTHER_MODEL) == 2
        assert made.in_flight(OTHER_KEY) == 0
        with made.under_way(A):
            raise ValueError("x")
    assert made.in_flight(A) == 0


def test_the_time_to_a_first_byte_is_an_average_for_account_and_model() -> None:
    made, clock, _ = health()
    assert made.latency_s(A) is None
    made.answered(A, 1.0)
    made.answered(A, 2.0)
    assert made.latency_s(A) == pytest.approx(1.2)
    assert made.latency_s(OTHER_MODEL) is None
    clock.at_s += 301
    assert made.latency_s(A) is None
    made.answered(A, 5.0)
    assert made.latency_s(A) == 5.0


def configured(*providers: str, **retry: Any) -> Config:
    named = {name: {"base_url": "http://127.0.0.1:1"} for name in providers}
    return Config.model_validate({"providers": named, "retry": retry})


async def test_what_is_known_outlives_a_new_configuration() -> None:
    clock = HandClock()
    made = Health(configured("p", "q"), clock, MemoryStore(clock))
    through = choice("a", gateway="acc/one")
    for one in (A, ELSEWHERE, through):
        made.answered(one, 1.0)
        await made.rest(one, Ending.SERVER)
        for _ in range(5):
            made.breaker(one).failed(is_probe=False)
    for _ in range(49):
        assert made.budget.take()
    with made.under_way(A):
        made.follow(configured("p", breaker={"open_s": 7}))
        assert made.in_flight(A) == 1
    assert (made.latency_s(A), made.latency_s(ELSEWHERE)) == (1.0, None)
    assert made.breaker(A).standing == made.breaker(through).standing == "open"
    assert made.breaker(ELSEWHERE).standing == "closed"
    assert await left_s(made, A) == 2
    assert [made.budget.take() for _ in range(2)] == [True, False]
    clock.at_s += 30
    assert made.breaker(A).passes() == "probe"
    made.breaker(A).failed(is_probe=True)
    assert made.breaker(A).waits_s() == 7


def test_a_provider_and_the_way_to_it_through_cloudflare_fail_apart() -> None:
    made, _, _ = health()
    for _ in range(5):
        made.breaker(BY_ONE).failed(is_probe=False)
    assert made.breaker(BY_TWO).standing == "open"
    assert made.breaker(A).standing == made.breaker(OTHER_BY_ONE).standing == "closed"


def test_names_that_clients_make_up_take_no_room_without_end() -> None:
    made, _, _ = health()
    for number in range(10_500):
        one = choice(None, provider=f"p{number}", gateway="acc/one")
        made.breaker(one)
        made.answered(one, 0.1)
    assert len(made._breakers) == len(made._latency_s) == 10_000


class Asked(MemoryStore):
    """A store that counts how often it is asked."""

    count = 0
    others_may_mark = False

    @property
    def has_marks(self) -> bool:
        return self.others_may_mark or super().has_marks

    async def apply(self, steps: Sequence[Step]) -> Outcome:
        self.count += 1
        return await super().apply(steps)


@pytest.mark.parametrize("others_may_mark", [False, True])
async def test_where_no_mark_can_stand_nobody_is_asked_for_one(others_may_mark: bool) -> None:
    clock = HandClock()
    store = Asked(clock)
    store.others_may_mark = others_may_mark
    made = Health(Config(), clock, store)
    one, other = choice("p/a"), choice("p/b")
    assert await made.rests([one, other]) == [None, None]
    assert store.count == others_may_mark
    await made.rest(one, Ending.SERVER)
    assert [rest is None for rest in await made.rests([one, other])] == [False, True]
