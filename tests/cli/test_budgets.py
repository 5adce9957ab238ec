"""`llmitm budgets`: what is spent, as the ledger has it, or the store that gateways share."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from llmitm.accept.budgets import NANO, read
from llmitm.cli import budgets, keys
from llmitm.config.load import load
from support.ledgers import entry_of, keep, noted_of, place_of
from support.redis_server import BINARY, NO_BINARY, RedisServer
from support.stores import redis_store

CONFIG = """
[endpoints.all]
target_base = "http://127.0.0.1:9"
[budget]
tokens = {daily = 100, total = 40}
[[auth_keys]]
name = "laptop"
key = "sk-proxy-laptop"
budget_usd = 2
budget_period = "total"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


def test_what_is_over_is_told_by_the_ledger(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exchanges of long ago count where the period has no end, and nowhere else."""
    dear = noted_of(cost_usd_nano=NANO // 2)
    entries = [entry_of(1, auth_key="laptop", attempts=[dear]), entry_of(2, auth_key="other"), entry_of(3)]
    asyncio.run(keep(place_of(config.parent), entries))
    assert budgets.run(config, as_json=True) == 0
    told = orjson.loads(capsys.readouterr().out)
    assert [(one["budget"], one["period"], one["unit"]) for one in told] == [
        ("all", "daily", "tokens"),
        ("all", "total", "tokens"),
        ("key:laptop", "total", "usd"),
    ]
    assert [(one["limit"], one["spent"], one["left"]) for one in told] == [
        (100, 0, 100),
        (40, 45, 0),
        (2.0, 0.5, 1.5),
    ]
    assert [one["renews_at"] is None for one in told] == [False, True, True]


def test_a_table_for_people(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(keep(place_of(config.parent), [entry_of(1, auth_key="laptop")]))
    assert budgets.run(config, as_json=False) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "budget period limit spent left used renews at"
    assert lines[2] == "all total 40 tokens 15 tokens 25 tokens 38% never"
    assert lines[3] == "key:laptop total $2.00 $0.000002 $2.00 0% never"


def test_what_gateways_share_is_told_by_their_store(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if BINARY is None:
        pytest.skip(NO_BINARY)
    server = RedisServer(tmp_path)
    server.start()
    try:
        config.write_text(f'{CONFIG}\n[state]\nurl = "{server.url}"\n')

        async def spend() -> None:
            store = redis_store(server)
            now_s = datetime.now(UTC).timestamp()
            every = read(load(config, env={})).every()
            await store.apply([one.add(30, now_s) for one in every if one.period == "total"])
            await store.close()

        asyncio.run(spend())
        assert budgets.run(config, as_json=True) == 0
        told = orjson.loads(capsys.readouterr().out)
        assert [one["spent"] for one in told] == [0, 30, 30 / NANO]
    finally:
        server.kill()
    assert budgets.run(config, as_json=True) == 1
    assert "cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("[endpoints.all]\ntarget_base = 'http://x'\n", 0, "no budget is set"),
        (f"{CONFIG}\n[ledger]\nenabled = false\n", 1, "[ledger] is off"),
        ("[budget]\nusd = -1", 2, "budget.usd"),
    ],
)
def test_where_there_is_nothing_to_tell(
    config: Path, capsys: pytest.CaptureFixture[str], text: str, status: int, words: str
) -> None:
    config.write_text(text)
    assert budgets.run(config, as_json=False) == status
    assert words in capsys.readouterr().err


def test_keys_are_made_with_budgets_and_listed_with_them(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"budget_usd": 1.5, "budget_tokens": None, "budget_period": "weekly"}
    assert keys.new(config, "phone", options) == 0
    config.write_text(config.read_text().replace("budget_usd = 2", "budget_usd = {daily = 1, monthly = 9}"))
    capsys.readouterr()
    assert keys.show(config) == 0
    out = capsys.readouterr().out
    assert "budget_usd 1.5 weekly" in out
    assert "budget_usd 1 daily, budget_usd 9 monthly" in out
