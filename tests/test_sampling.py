"""What a soak makes of its measurements."""

from __future__ import annotations

import os

import pytest

from support.sampling import sample, slope


@pytest.mark.parametrize(
    ("values", "a_s", "sure_a_s"),
    [
        ([], 0.0, 0.0),
        ([1.0, 9.0], 0.0, 0.0),
        ([5.0] * 10, 0.0, 0.0),
        ([3.0 * at_s for at_s in range(10)], 3.0, 3.0),
        ([1.0, -1.0] * 50, 0.0, -0.01),
    ],
)
def test_a_line_through_values(values: list[float], a_s: float, sure_a_s: float) -> None:
    found = slope(list(enumerate(values)))
    assert found.a_s == pytest.approx(a_s, abs=0.01)
    assert found.sure_a_s == pytest.approx(sure_a_s, abs=0.01)


def test_what_grows_under_noise_is_found() -> None:
    noise = [7.0, -4.0, 1.0, -6.0, 2.0]
    growing = [(at_s, 0.5 * at_s + noise[at_s % 5]) for at_s in range(100)]
    assert slope(growing).sure_a_s > 0.4


def test_a_process_is_looked_at() -> None:
    found = sample(os.getpid(), 1.0)
    assert found.own_bytes > 1_000_000
    assert found.descriptors >= 3
