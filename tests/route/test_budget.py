"""Trouble upstream is not multiplied: further tries are a share of what comes in."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right

import pytest

from llmitm.route.budget import AT_LEAST, WINDOW_S, RetryBudget
from support.clocks import HandClock


def taken(budget: RetryBudget, most: int = 100_000) -> int:
    return next((number for number in range(most) if not budget.take()), most)


@pytest.mark.parametrize(
    ("requests", "ratio", "tries"),
    [(0, 0.25, 50), (100, 0.25, 50), (200, 0.25, 50), (204, 0.25, 51), (1_000, 0.25, 250), (1_000, 0, 50)]
    + [(1_000, 1, 1_000), (40, 1, 50)],
)
def test_a_share_of_the_requests_or_fifty(requests: int, ratio: float, tries: int) -> None:
    budget = RetryBudget(HandClock(), ratio)
    for _ in range(requests):
        budget.began()
    assert taken(budget) == tries


def test_what_was_tried_is_forgotten_once_its_second_is_over() -> None:
    clock = HandClock(tick_s=100.9)
    budget = RetryBudget(clock, 0.25)
    assert taken(budget) == AT_LEAST
    for at_s, tries in ((105.0, 0), (110.95, 0), (111.0, AT_LEAST), (500.0, AT_LEAST)):
        clock.at_s = at_s
        assert taken(budget) == tries


@pytest.mark.parametrize("seed", range(5))
def test_no_ten_seconds_ever_hold_more(seed: int) -> None:
    drawn = random.Random(seed)
    clock = HandClock()
    budget = RetryBudget(clock, 0.25)
    came: list[float] = []
    tried: list[float] = []
    for _ in range(4_000):
        clock.at_s += drawn.choice((0, 0.001, 0.01, 0.5)) * drawn.random()
        budget.began()
        came.append(clock.at_s)
        if drawn.random() < 0.6 and budget.take():
            tried.append(clock.at_s)
    assert len(tried) > AT_LEAST
    for end_s in tried:
        within = bisect_right(tried, end_s) - bisect_left(tried, end_s - WINDOW_S)
        requests = bisect_right(came, end_s) - bisect_left(came, end_s - WINDOW_S - 1)
        assert within <= max(AT_LEAST, 0.25 * requests)
