"""What is spent of budgets, as the admin API tells it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llmitm import world
from llmitm.admin.budgets import standing
from llmitm.config.load import load
from llmitm.world import World
from support.clocks import HandClock
from support.redis_server import BINARY, NO_BINARY, RedisServer

CONFIG = """
[providers.openai]
api_keys = ["sk-one"]
[budget]
usd = {daily = 2.0, total = 0}
[[auth_keys]]
name = "laptop"
key = "sk-proxy-laptop"
budget_tokens = 1000
budget_period = "total"
[state]
"""


def built(folder: Path, state: str = "") -> World:
    path = folder / "config.toml"
    path.write_text(CONFIG + state)
    return world.build(load(path, env={}), clock=HandClock())


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[World]:
    made = built(tmp_path)
    yield made
    await made.close()


async def spend(made: World, *amounts: int) -> None:
    assert made.spending is not None
    now_s = made.clock.now_s()
    every = [one for one, _ in await made.spending.standing()]
    await made.store.apply([one.add(by, now_s) for one, by in zip(every, amounts, strict=True)])


async def test_each_budget_tells_what_is_spent_and_when_it_renews(alone: World) -> None:
    await spend(alone, 500_000_000, 0, 1_200)
    told = await standing(alone)
    assert [(one.budget, one.auth_key, one.period, one.unit) for one in told.budgets] == [
        ("all", None, "daily", "usd"),
        ("all", None, "total", "usd"),
        ("key:laptop", "laptop", "total", "tokens"),
    ]
    assert [(one.limit, one.spent, one.left, one.share) for one in told.budgets] == [
        (2_000_000_000, 500_000_000, 1_500_000_000, 0.25),
        (0, 0, 0, 1),
        (1_000, 1_200, 0, 1.2),
    ]
    assert [one.renews_at is None for one in told.budgets] == [False, True, True]
    assert (told.is_known, told.is_shared) == (True, False)


@pytest.mark.skipif(BINARY is None, reason=NO_BINARY)
async def test_what_others_spend_of_a_shared_budget_is_told(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    here, there = (built(tmp_path, f'url = "{server.url}"') for _ in range(2))
    try:
        await spend(there, 300_000_000, 0, 50)
        told = await standing(here)
        assert ([one.spent for one in told.budgets], told.is_shared) == ([300_000_000, 0, 50], True)
    finally:
        await here.close()
        await there.close()
        server.kill()
