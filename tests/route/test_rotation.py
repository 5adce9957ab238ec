"""Rotation is fair to its weights at every moment, and lays out a cycle of bounded length."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmitm.route.rotation import LONGEST, cycle, pick

WEIGHTS = st.lists(st.integers(0, 12), min_size=1, max_size=6).filter(any).map(tuple)


@pytest.mark.parametrize(
    ("weights", "order"),
    [
        ((1,), (0,)),
        ((1, 1, 1), (0, 1, 2)),
        ((3, 1), (0, 0, 1, 0)),
        ((5, 1, 1), (0, 0, 1, 0, 2, 0, 0)),
        ((2, 2), (0, 1)),
        ((0, 4), (1,)),
    ],
)
def test_the_order_is_smooth(weights: tuple[int, ...], order: tuple[int, ...]) -> None:
    assert cycle(weights) == order


@given(WEIGHTS)
def test_each_stands_in_the_cycle_as_often_as_its_weight_says(weights: tuple[int, ...]) -> None:
    order = cycle(weights)
    counts = Counter(order)
    for at, weight in enumerate(weights):
        assert counts[at] * sum(weights) == weight * len(order)


@given(WEIGHTS)
def test_no_moment_of_a_cycle_strays_far_from_the_weights(weights: tuple[int, ...]) -> None:
    """After k turns each has had its share of k, give or take less than one turn for each rival."""
    order = cycle(weights)
    counts: Counter[int] = Counter()
    for turn, chosen in enumerate(order, 1):
        counts[chosen] += 1
        for at, weight in enumerate(weights):
            assert abs(counts[at] - turn * weight / sum(weights)) < max(1, len(weights) - 1)


@given(WEIGHTS, st.integers(0, 10**12))
def test_the_nth_pick_goes_round_and_round(weights: tuple[int, ...], number: int) -> None:
    order = cycle(weights)
    assert pick(weights, number) == order[number % len(order)]
    assert pick(weights, number + len(order)) == pick(weights, number)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 10**12), min_size=2, max_size=5).map(tuple))
def test_weights_of_any_size_make_a_bounded_cycle(weights: tuple[int, ...]) -> None:
    """A cycle as long as its weights would hang the gateway on `weight = 1000000007`."""
    order = cycle(weights)
    assert len(order) <= LONGEST + len(weights)
    counts = Counter(order)
    for at, weight in enumerate(weights):
        share = weight / sum(weights)
        assert counts[at] >= 1
        assert abs(counts[at] / len(order) - share) < 0.005


def test_huge_weights_take_no_time() -> None:
    started_s = time.process_time()
    cycle((1_000_000_007, 1_000_000_009, 1))
    assert time.process_time() - started_s < 1


@pytest.mark.parametrize("weights", [(), (0,), (0, 0), (1, -1)])
def test_weights_that_choose_nothing_are_an_error(weights: tuple[int, ...]) -> None:
    with pytest.raises(ValueError):
        cycle(weights)
