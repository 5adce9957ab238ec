"""Whatever fails, and however: what must hold of every exchange, of any ten seconds, and of each account."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmitm.route.strategy import SCORES
from support.retrymath import Setting, check_shares, play


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    log = logging.getLogger("llmitm")
    before = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(before)


@pytest.mark.parametrize("cooldowns", [True, False], ids=["rests", "no-rests"])
@pytest.mark.parametrize(
    ("providers", "credentials", "ratio"),
    [(1, 4, 0.25), (2, 3, 1.0), (3, 3, 0.25), (3, 3, 1.0), (4, 5, 0.25)],
)
def test_accounts_are_used_by_their_weights(
    providers: int, credentials: int, ratio: float, cooldowns: bool
) -> None:
    played = play(
        Setting(
            seed=providers * 10 + credentials,
            providers=providers,
            credentials=credentials,
            budget_ratio=ratio,
            cooldowns=cooldowns,
            failing=0.4,
        )
    )
    check_shares(played)
    assert played.answered + sum(played.told.values()) == 1_000
    assert played.retries > 0


def test_where_nothing_fails_nothing_is_tried_twice() -> None:
    played = play(Setting(seed=1, failing=0, outages=False))
    assert (played.answered, played.attempts) == (1_000, 1_000)
    for found, expected, _ in played.share.values():
        assert abs(found - expected) <= 1


SETTINGS = st.builds(
    Setting,
    seed=st.integers(0, 2**32),
    providers=st.integers(1, 5),
    credentials=st.integers(1, 5),
    per_s=st.sampled_from((1.0, 20.0, 300.0)),
    failing=st.sampled_from((0.02, 0.3, 0.9, 1.0)),
    outages=st.booleans(),
    cooldowns=st.booleans(),
    budget_ratio=st.sampled_from((0.0, 0.1, 0.25, 1.0)),
    strategy=st.sampled_from(sorted(SCORES)),
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SETTINGS)
def test_every_rule_holds(setting: Setting) -> None:
    played = play(setting)
    assert played.worst <= setting.providers * setting.credentials
    assert played.answered + sum(played.told.values()) == setting.exchanges
