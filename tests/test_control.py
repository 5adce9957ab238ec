"""Control of the gateway in this process: what it says, rests, revives and reads anew."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmitm.config.schema import Config
from llmitm.config.watch import Source
from llmitm.control import LocalControl
from llmitm.errors import ConfigError
from llmitm.state.store import Mark
from llmitm.world import World, build

TEXT = """
[endpoints.dev]
target_base = "https://dev.example.com"
[providers.openai]
[[providers.openai.credentials]]
api_key = "sk-one"
name = "team"
models = ["gpt-4o"]
[[providers.openai.credentials]]
api_key = "sk-two"
name = "spare"
[providers.azure]
base_url = "https://azure.example.com"
[[providers.azure.credentials]]
api_key = "az-one"
name = "team"
[[gateways]]
account_id = "acc"
gateway_id = "gate"
"""


class Clock:
    def __init__(self) -> None:
        self.moment_s = 1000.0

    def now_s(self) -> float:
        return self.moment_s

    tick_s = now_s

    async def sleep(self, duration_s: float) -> None:
        self.moment_s += duration_s

    def chance(self) -> float:
        return 0.5


class Board:
    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def listening(self, url: str) -> None:
        raise AssertionError

    def reloaded(self, problems: tuple[str, ...]) -> None:
        self.told.append(problems)


class Stage:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text(TEXT)
        self.clock = Clock()
        source = Source(path, env={})
        self.world: World = build(source.read(), clock=self.clock)
        self.world.source = source
        self.stops = 0
        self.board = Board()
        self.control = LocalControl(self.world, stop=self.stop, board=self.board)

    def stop(self) -> None:
        self.stops += 1

    def write(self, text: str) -> None:
        self.path.write_text(text)

    async def rests(self, *names: str) -> list[int]:
        found = await self.world.store.apply([Mark(key=f"rest:{name}") for name in names])
        return list(found.values)


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "config.toml")


async def test_state_says_how_it_stands(stage: Stage) -> None:
    stage.world.in_flight, stage.world.exchanges, stage.world.is_draining = 3, 10, True
    stage.clock.moment_s += 90
    state = await stage.control.state()
    assert (state.in_flight, state.exchanges, state.uptime_s, state.is_draining) == (3, 10, 90, True)
    assert state.endpoints == ("dev", "default")


async def test_a_credential_rests_for_a_while_and_is_revived(stage: Stage) -> None:
    await stage.control.rest("spare", 30)
    assert await stage.rests("openai/spare", "openai/team") == [1, 0]
    stage.clock.moment_s += 31
    assert await stage.rests("openai/spare") == [0]
    await stage.control.rest("openai/team", 30)
    assert await stage.rests("openai/team", "azure/team") == [1, 0]
    await stage.control.revive("openai/team")
    assert await stage.rests("openai/team") == [0]


async def test_reviving_a_credential_revives_it_for_its_models_too(stage: Stage) -> None:
    marks = [Mark(key=f"rest:openai/{name}", value=4, ttl_s=60) for name in ("team", "team:gpt-4o", "spare")]
    await stage.world.store.apply(marks)
    await stage.control.revive("openai/team")
    assert await stage.rests("openai/team", "openai/team:gpt-4o", "openai/spare") == [0, 0, 4]


async def test_a_gateway_rests_as_well(stage: Stage) -> None:
    await stage.control.rest("cloudflare/acc/gate", 30)
    assert await stage.rests("cloudflare/acc/gate") == [1]


@pytest.mark.parametrize(
    ("name", "words"), [("nobody", "no credential called nobody"), ("team", "openai/team, azure/team")]
)
async def test_a_name_must_lead_to_one_credential(stage: Stage, name: str, words: str) -> None:
    with pytest.raises(LookupError, match=words):
        await stage.control.rest(name, 30)
    with pytest.raises(LookupError, match=words):
        await stage.control.revive(name)


async def test_draining_begins_to_stop(stage: Stage) -> None:
    await stage.control.drain()
    assert stage.stops == 1


async def test_a_new_configuration_is_swapped_in_whole(stage: Stage) -> None:
    before = stage.world.config
    seen: list[tuple[Config, Config]] = []
    stage.world.followers.append(lambda config: seen.append((stage.world.config, config)))
    stage.write(TEXT.replace("sk-one", "sk-other-secret").replace("[endpoints.dev]", "[endpoints.prod]"))
    await stage.control.reload()
    config = stage.world.config
    assert set(config.endpoints) == {"prod", "default"}
    assert seen == [(before, config)]
    assert set(before.endpoints) == {"dev", "default"}
    assert stage.board.told == [()]


async def test_counters_and_rests_outlive_it(stage: Stage) -> None:
    await stage.control.rest("spare", 30)
    stage.write(TEXT.replace("[endpoints.dev]", "[endpoints.prod]"))
    await stage.control.reload()
    assert await stage.rests("openai/spare") == [1]


async def test_new_secrets_are_hidden_and_old_ones_stay_so(stage: Stage) -> None:
    stage.write(TEXT.replace("sk-one", "brand-new-word").replace("sk-two", "another-word"))
    await stage.control.reload()
    stage.write(TEXT)
    await stage.control.reload()
    assert stage.world.redact("sk-one brand-new-word") == "*** ***"


@pytest.fixture
def lines() -> Iterator[list[tuple[str, str]]]:
    """Level and text of what is logged, whatever the log was set to before."""
    kept: list[tuple[str, str]] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append((record.levelname, record.getMessage()))

    logger, handler = logging.getLogger("llmitm"), Keeping()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield kept
    logger.removeHandler(handler)
    logger.setLevel(level)


async def test_a_broken_one_changes_nothing_and_every_problem_is_told(
    stage: Stage, lines: list[tuple[str, str]]
) -> None:
    before = stage.world.config
    stage.world.followers.append(lambda config: pytest.fail("followed a broken configuration"))
    stage.write(TEXT + '[server]\nprot = 1\n[timeouts]\nidle_s = "soon"\n')
    with pytest.raises(ConfigError):
        await stage.control.reload()
    assert stage.world.config is before
    first, second, last = lines
    assert "server.prot" in first[1] and "timeouts.idle_s" in second[1]
    assert last == ("ERROR", "the configuration cannot be used; the one in force stays as it is")
    assert len(stage.board.told[0]) == 2


async def test_names_are_logged_and_what_needs_a_restart_is_warned_of(
    stage: Stage, lines: list[tuple[str, str]]
) -> None:
    stage.write(
        TEXT.replace("sk-one", "sk-other-secret") + '[server]\nport = 1\n[state]\nurl = "redis://x"\n'
    )
    await stage.control.reload()
    assert lines == [
        ("INFO", f"configuration read from {stage.path}: changed providers.openai.credentials"),
        ("WARNING", "needs a restart, and stays as it was until then: server.port, state.url"),
    ]


async def test_without_a_source_there_is_nothing_to_read(stage: Stage) -> None:
    stage.world.source = None
    with pytest.raises(LookupError):
        await stage.control.reload()
