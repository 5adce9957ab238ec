"""Somebody sets the wall clock: what lasts so many seconds lasts that long, and nothing runs backwards."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from llmitm.accept.budgets import Budget
from llmitm.admin.auth.tokens import SKEW_S, BadToken, Signer, Token
from llmitm.config.budget import Period
from llmitm.config.schema import Config
from llmitm.exchange import ClientRequest, HeldBody
from llmitm.record.entry import Entry, entry
from llmitm.record.ledger.rows import rfc3339
from llmitm.route.breaker import Breaker
from llmitm.route.budget import AT_LEAST, RetryBudget
from llmitm.route.health import Health
from llmitm.route.verdict import LONGEST_REST_S, Ending
from llmitm.state.memory import MemoryStore
from llmitm.state.store import Lease, Mark, Window
from llmitm.translate.failures import read_failure
from support.clocks import HandClock
from support.trying import choice

DAY_S = 86_400
STEPS_S = (3_600, -3_600, DAY_S, -DAY_S, 366 * DAY_S, -7 * DAY_S, 1, -1)


class SetClock(HandClock):
    """A wall clock that can be set while time goes on."""

    def set(self, by_s: float) -> None:
        self._since_s += by_s


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.mark.parametrize("step_s", STEPS_S)
async def test_a_window_stays_as_full_as_it_is_and_no_longer(clock: SetClock, step_s: float) -> None:
    store = MemoryStore(clock)
    one = Window(key="w", by=1, limit=3)
    for _ in range(3):
        assert (await store.apply([one])).refused is None
    clock.set(step_s)
    outcome = await store.apply([one])
    assert outcome.refused is not None
    assert 0 < (outcome.wait_s or 0) <= 61
    clock.at_s += 62
    clock.set(-step_s)
    assert (await store.apply([one])).refused is None


@pytest.mark.parametrize("step_s", STEPS_S)
async def test_a_place_and_a_mark_last_as_long_as_they_were_to(clock: SetClock, step_s: float) -> None:
    store = MemoryStore(clock)
    place = Lease(key="l", holder="a", limit=1, ttl_s=90)
    await store.apply([place, Mark(key="m", value=4, ttl_s=90)])
    clock.set(step_s)
    clock.at_s += 89
    assert (await store.apply([Mark(key="m")])).values == (4,)
    assert (await store.apply([Lease(key="l", holder="b", limit=1, ttl_s=9)])).refused is not None
    clock.at_s += 2
    assert (await store.apply([Mark(key="m")])).values == (0,)
    assert (await store.apply([Lease(key="l", holder="b", limit=1, ttl_s=9)])).refused is None


@pytest.mark.parametrize("step_s", STEPS_S)
async def test_a_rest_is_as_long_as_it_was_to_be(clock: SetClock, step_s: float) -> None:
    made = Health(Config.model_validate({}), clock, MemoryStore(clock))
    await made.rest(choice(), Ending.RATE_LIMIT, 20)
    clock.set(step_s)
    (rest,) = await made.rests([choice()])
    assert rest is not None and rest.left_s == 20
    clock.at_s += 21
    assert await made.rests([choice()]) == [None]


@pytest.mark.parametrize("step_s", STEPS_S)
async def test_a_date_to_come_again_is_believed_for_a_day_at_most(clock: SetClock, step_s: float) -> None:
    date = format_datetime(datetime.fromtimestamp(clock.now_s() + 30, UTC), usegmt=True)
    clock.set(step_s)
    failure = read_failure(429, ((b"retry-after", date.encode()),), b"{}", now_s=clock.now_s())
    made = Health(Config.model_validate({}), clock, MemoryStore(clock))
    await made.rest(choice(), Ending.RATE_LIMIT, failure.retry_after_s)
    (rest,) = await made.rests([choice()])
    left_s = 0 if rest is None else rest.left_s
    assert left_s is not None and 0 <= left_s <= LONGEST_REST_S
    assert left_s == pytest.approx(min(max(30 - step_s, 0), LONGEST_REST_S), abs=1)


@pytest.mark.parametrize(
    "told", ["-1", "0", "1e9", "99999999999", "soon", "", "Thu, 01 Jan 1970 00:00:00 GMT"]
)
async def test_whatever_an_upstream_asks_for_a_rest_is_no_longer_than_a_day(
    clock: SetClock, told: str
) -> None:
    failure = read_failure(429, ((b"retry-after", told.encode()),), b"{}", now_s=clock.now_s())
    made = Health(Config.model_validate({}), clock, MemoryStore(clock))
    await made.rest(choice(), Ending.RATE_LIMIT, failure.retry_after_s)
    (rest,) = await made.rests([choice()])
    left_s = 0 if rest is None else rest.left_s
    assert left_s is not None and 0 <= left_s <= LONGEST_REST_S
    if told in ("1e9", "soon", ""):
        assert left_s == 2  # as where nothing is said


@pytest.mark.parametrize("step_s", STEPS_S)
def test_a_breaker_and_the_retry_budget_know_no_dates(clock: SetClock, step_s: float) -> None:
    budget, breaker = RetryBudget(clock, 0.25), Breaker(clock, failures=2, window_s=30, open_s=10)
    for _ in range(AT_LEAST):
        assert budget.take()
    breaker.failed(is_probe=False)
    assert breaker.failed(is_probe=False)
    clock.set(step_s)
    assert not budget.take()
    assert 0 < breaker.waits_s() <= 10
    clock.at_s += 12
    assert budget.take()
    assert breaker.waits_s() == 0


@pytest.mark.parametrize("step_s", STEPS_S)
@pytest.mark.parametrize("began", ["2026-03-29T00:59:30", "2026-10-25T00:59:30", "2026-12-31T22:59:30"])
@pytest.mark.parametrize("period", ["daily", "weekly", "monthly", "total"])
async def test_what_is_settled_goes_where_it_was_guessed(period: Period, began: str, step_s: float) -> None:
    """Across days of 23 and 25 hours, and the end of a year."""
    clock = SetClock(now_s=datetime.fromisoformat(began).replace(tzinfo=UTC).timestamp())
    store = MemoryStore(clock)
    budget = Budget(
        name="all",
        whose="All",
        place="[budget]",
        unit="tokens",
        period=period,
        timezone="Europe/Berlin",
        most=100,
    )
    charged_s = clock.now_s()
    assert (await store.apply([budget.add(60, charged_s, is_limited=True)])).values == (60,)
    clock.set(step_s)
    clock.at_s += 31
    now_s = clock.now_s()
    settled = await store.apply([budget.add(-20, now_s, at_s=charged_s)])
    assert settled.values == (40,)
    spent = (await store.apply([budget.add(0, now_s)])).values[0]
    is_same = budget.span(now_s).name == budget.span(charged_s).name
    assert spent == (40 if is_same else 0)
    clock.set(-step_s)  # put right again: what was spent is still known
    assert (await store.apply([budget.add(0, clock.now_s(), at_s=charged_s)])).values == (40,)


@pytest.mark.parametrize("step_s", STEPS_S)
def test_a_login_is_over_in_time_and_none_comes_from_the_future(clock: SetClock, step_s: float) -> None:
    signer, now_s = Signer("a secret for tests, and long enough"), clock.now_s()
    token = Token(name="a", session="b", number="c", began_s=now_s, expires_s=now_s + 600, password_mark="d")
    text = signer.sign(token, "access", now_s)
    clock.set(step_s)
    if -SKEW_S <= step_s < 600:
        assert signer.read(text, "access", clock.now_s()).name == "a"
    else:
        with pytest.raises(BadToken):
            signer.read(text, "access", clock.now_s())


@pytest.mark.parametrize("step_s", STEPS_S)
def test_durations_are_never_negative_and_times_are_those_of_the_beginning(
    clock: SetClock, step_s: float
) -> None:
    told: list[Entry] = []
    began_s = clock.now_s()
    request = ClientRequest(id="1", method="GET", target=b"/x", headers=(), body=HeldBody(b""), client="c")
    with entry(request, clock, [told.append]) as kept:
        clock.set(step_s)
        clock.at_s += 1.5
        kept.status = 200
    (one,) = told
    assert one.ended_s is not None
    assert one.ended_s - one.started_s == 1.5
    assert rfc3339(one.at_s) == rfc3339(began_s)
