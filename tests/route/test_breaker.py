"""Closed, open, half open, and one request that finds out."""

from __future__ import annotations

import pytest

from llmitm.route.breaker import Breaker, Standing
from support.clocks import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def breaker(clock: HandClock) -> Breaker:
    return Breaker(clock, failures=3, window_s=60, open_s=30)


def fail(breaker: Breaker, count: int = 3) -> bool:
    return any([breaker.failed(is_probe=False) for _ in range(count)])


def test_closed_all_pass(breaker: Breaker) -> None:
    assert [breaker.passes() for _ in range(3)] == ["plain"] * 3
    assert breaker.waits_s() == 0


def test_it_opens_with_the_failure_that_is_one_too_many(breaker: Breaker) -> None:
    assert [breaker.failed(is_probe=False) for _ in range(4)] == [False, False, True, False]
    assert (breaker.standing, breaker.passes(), breaker.waits_s()) == ("open", "no", 30)


@pytest.mark.parametrize(("apart_s", "standing"), [(29.0, "open"), (30.0, "open"), (31.0, "closed")])
def test_failures_count_within_the_window(
    clock: HandClock, breaker: Breaker, apart_s: float, standing: Standing
) -> None:
    for _ in range(3):
        breaker.failed(is_probe=False)
        clock.at_s += apart_s
    clock.at_s -= apart_s
    assert breaker.standing == standing


def test_an_answer_between_failures_forgives_them(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.succeeded(is_probe=False)
    assert not fail(breaker, 2)
    assert breaker.standing == "closed"


def test_half_open_one_request_passes_and_no_other(clock: HandClock, breaker: Breaker) -> None:
    fail(breaker)
    clock.at_s += 29.999
    assert breaker.passes() == "no"
    clock.at_s += 0.001
    assert breaker.standing == "half-open"
    assert [breaker.passes() for _ in range(3)] == ["probe", "no", "no"]
    clock.at_s += 1_000
    assert breaker.passes() == "no"
    assert breaker.waits_s() > 0


def test_its_answer_closes(clock: HandClock, breaker: Breaker) -> None:
    fail(breaker)
    clock.at_s += 30
    assert breaker.passes() == "probe"
    breaker.succeeded(is_probe=True)
    assert [breaker.passes() for _ in range(2)] == ["plain"] * 2
    assert not fail(breaker, 2)


def test_its_failure_opens_for_the_whole_time_again(clock: HandClock, breaker: Breaker) -> None:
    fail(breaker)
    clock.at_s += 40
    assert breaker.passes() == "probe"
    assert breaker.failed(is_probe=True)
    assert breaker.waits_s() == 30
    clock.at_s += 30
    assert breaker.passes() == "probe"


def test_one_that_came_to_no_end_gives_its_place_to_another(clock: HandClock, breaker: Breaker) -> None:
    fail(breaker)
    clock.at_s += 30
    assert breaker.passes() == "probe"
    breaker.let_go(is_probe=False)
    assert breaker.passes() == "no"
    breaker.let_go(is_probe=True)
    assert [breaker.passes() for _ in range(2)] == ["probe", "no"]


def test_what_was_under_way_when_it_opened_says_nothing(clock: HandClock, breaker: Breaker) -> None:
    fail(breaker)
    clock.at_s += 20
    fail(breaker)
    breaker.succeeded(is_probe=False)
    breaker.let_go(is_probe=False)
    assert breaker.waits_s() == 10
    clock.at_s += 10
    assert breaker.passes() == "probe"
    fail(breaker)
    breaker.succeeded(is_probe=False)
    assert breaker.standing == "half-open"
    assert breaker.passes() == "no"


def test_new_settings_are_those_of_what_opens_next(clock: HandClock, breaker: Breaker) -> None:
    fail(breaker)
    breaker.keep_to(failures=1, window_s=60, open_s=5)
    assert breaker.waits_s() == 30
    clock.at_s += 30
    assert breaker.passes() == "probe"
    breaker.succeeded(is_probe=True)
    assert breaker.failed(is_probe=False)
    assert breaker.waits_s() == 5
