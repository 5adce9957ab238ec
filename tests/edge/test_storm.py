"""Clients of four dialects at once, while a third of what is sent upstream fails. `just storm` for more."""

from __future__ import annotations

from pathlib import Path

from support.storm import ANSWERED, BUDGET, LONG_RESTS, check_budget, check_rests, run


async def test_every_client_gets_a_right_answer(tmp_path: Path) -> None:
    figures, _ = await run(ANSWERED, tmp_path, requests=300)
    assert not figures.wrong, figures.wrong[0]
    assert not figures.told
    assert figures.failed > 0.2  # else nothing was shown
    check_budget(figures, 1.0)


async def test_what_goes_upstream_stays_within_the_budget(tmp_path: Path) -> None:
    figures, _ = await run(BUDGET, tmp_path, requests=300)
    assert not figures.wrong, figures.wrong[0]
    assert figures.told  # more failed than the budget has tries for
    assert figures.attempts <= 300 + max(50, 0.25 * 300)


async def test_who_rests_is_left_alone(tmp_path: Path) -> None:
    figures, provider = await run(LONG_RESTS, tmp_path, requests=300)
    assert not figures.wrong, figures.wrong[0]
    assert not figures.told
    assert check_rests(provider.requests, rest_s=600) > 10
