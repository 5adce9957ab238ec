"""What `llmitm route explain` says is what would be done."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmitm.cli import route
from llmitm.clock import SystemClock
from llmitm.config.load import load
from llmitm.config.schema import Config
from llmitm.route import providers
from llmitm.route.explain import Explained, explain
from llmitm.route.health import Health
from llmitm.route.verdict import Ending
from llmitm.state.memory import MemoryStore

CONFIG = """
[server]
default_endpoint = "all"
[endpoints.all]
kind = "gateway"
[endpoints.few]
kind = "gateway"
allowed_models = ["fast"]
[endpoints.plain]
target_base = "http://127.0.0.1:9"
[endpoints.cf]
kind = "cloudflare"
[endpoints.one]
provider = "openai"
[[gateways]]
account_id = "acc"
gateway_id = "gw"
[providers.openai]
api_keys = ["sk-one", "sk-two"]
[providers.anthropic]
api_keys = ["sk-ant"]
[providers.groq]
api_keys = ["gsk"]
excluded_models = ["gpt-4*"]
[providers.mine]
base_url = "http://127.0.0.1:9/v1"
api_keys = ["k"]
models = ["m-1", "m-2*"]
prefix = "own"
[providers.off]
base_url = "http://127.0.0.1:9/v1"
api_keys = ["k"]
disabled = true
[providers.nowhere]
api_keys = ["k"]
[routing]
force_model_prefix = true
aliases = {fast = [{model = "gpt-4.1-mini"}, {model = "claude-haiku-4-5"}]}
fallbacks = {fast = ["llama-4"]}
[[auth_keys]]
name = "laptop"
key = "key-of-a-laptop"
allowed_models = ["fast", "llama-*"]
[[auth_keys]]
name = "elsewhere"
key = "key-of-another"
allowed_endpoints = ["other"]
[[auth_keys]]
name = "old"
key = "an-old-key"
disabled = true
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def config(file: Path) -> Config:
    return load(file, env={})


PASSED = [
    ("gpt-4.1", "anthropic", "serves its own vendor's models only"),
    ("gpt-4.1", "groq", "excludes it by 'gpt-4*'"),
    ("gpt-4.1", "off", "is disabled"),
    ("gpt-4.1", "nowhere", "has no base_url"),
    ("gpt-5.5", "groq", "takes any model, and others come first: they are the model's vendor"),
    ("m-1", "mine", "is asked only as own/NAME: force_model_prefix is set"),
    ("own/x", "mine", "does not list it"),
    ("own/m-1", "groq", "takes any model, and others come first: they list it by name"),
    ("own/m-21", "groq", "takes any model, and others come first: they list it by a glob"),
    ("llama-4", "openai", "has its own vendor's models, and others come first: they take any model"),
]


@pytest.mark.parametrize(("model", "provider", "why"), PASSED)
def test_who_is_passed_over_and_why(config: Config, model: str, provider: str, why: str) -> None:
    passed = {one.provider: one.why for one in providers.passed_over(model, config)}
    assert passed[provider] == why


@pytest.mark.parametrize("model", ["gpt-4.1", "claude-x", "own/m-1", "llama-4", "groq/anything"])
def test_everybody_is_asked_or_passed_over(config: Config, model: str) -> None:
    asked = [one.provider for one in providers.find(model, config)]
    passed = [one.provider for one in providers.passed_over(model, config)]
    every = [name for name, one in config.providers.items() for _ in one.credentials]
    assert sorted(asked + passed) == sorted(every)


async def explained(
    config: Config, model: str, endpoint: str = "all", key: str | None = None, rests: Ending | None = None
) -> Explained:
    clock = SystemClock()
    store = MemoryStore(clock)
    health = Health(config, clock, store)
    found = next((one for one in config.auth_keys or () if one.name == key), None)
    if rests is not None:
        before = await explain(model, endpoint, found, config, health, store)
        await health.rest(before.stages[0].able[0], rests, 20)
    return await explain(model, endpoint, found, config, health, store)


async def test_the_chain_with_its_pool_and_its_fallbacks(config: Config) -> None:
    made = await explained(config, "fast")
    assert {one.model for one in made.stages[:2]} == {"gpt-4.1-mini", "claude-haiku-4-5"}
    assert made.stages[2].model == "llama-4"
    assert [one.provider for one in made.stages[2].able] == ["groq"]


async def test_who_rests_is_named_with_the_reason(config: Config) -> None:
    made = await explained(config, "gpt-5.5", rests=Ending.RATE_LIMIT)
    (stage,) = made.stages
    assert len(stage.able) == 1
    ((choice, rest),) = stage.resting
    assert choice.provider == "openai" and rest.why.name == "RATE_LIMIT"
    assert rest.left_s is not None and 19 < rest.left_s <= 20


@pytest.mark.parametrize(
    ("endpoint", "model", "provider", "count"),
    [("cf", "openai/gpt-5.5", "openai", 2), ("one", "x", "openai", 2)],
)
async def test_credentials_take_turns_where_no_model_decides(
    config: Config, endpoint: str, model: str, provider: str, count: int
) -> None:
    for rests in (None, Ending.RATE_LIMIT):
        (stage,) = (await explained(config, model, endpoint, rests=rests)).stages
        assert {one.provider for one in [*stage.able, *(one for one, _ in stage.resting)]} == {provider}
        assert (len(stage.able), len(stage.resting)) == ((count, 0) if rests is None else (count - 1, 1))


@pytest.mark.parametrize(
    ("model", "endpoint", "key", "problem"),
    [
        (
            "gpt-5.5",
            "few",
            None,
            "gpt-5.5 may not be used here: see allowed_models of the endpoint and the key",
        ),
        (
            "gpt-5.5",
            "all",
            "laptop",
            "gpt-5.5 may not be used here: see allowed_models of the endpoint and the key",
        ),
        ("gpt-5.5", "all", "elsewhere", "the key elsewhere may not use /all"),
        ("gpt-5.5", "all", "old", "the key old is disabled"),
    ],
)
async def test_why_nothing_would_be_sent(
    config: Config, model: str, endpoint: str, key: str | None, problem: str
) -> None:
    made = await explained(config, model, endpoint, key)
    assert (made.problem, made.stages) == (problem, [])


async def test_allowed_models_count_for_fallbacks(config: Config) -> None:
    assert [one.model for one in (await explained(config, "fast", "few")).stages][2:] == []
    assert [one.model for one in (await explained(config, "fast", key="laptop")).stages][2:] == ["llama-4"]


@pytest.mark.parametrize(
    ("model", "endpoint", "key", "status", "said"),
    [
        ("fast", None, "laptop", 0, "groq-"),
        ("own/none", "all", None, 0, "own/none"),
        ("gpt-5.5", "few", None, 1, "nothing is sent"),
        ("gpt-5.5", "plain", None, 2, "passes all on as it is, to http://127.0.0.1:9: nothing is chosen"),
        ("gpt-5.5", "nope", None, 2, "there is no endpoint nope; there are: all, few, plain, cf, one"),
        ("anthropic/claude-x", "cf", None, 0, "as claude-x  through acc/gw, form compat"),
        ("unknown/x", "cf", None, 0, "with the client's own key"),
        ("anything", "one", None, 0, "as anything  in the client's dialect"),
        ("gpt-5.5", "all", "nobody", 2, "there is no key nobody; there are: laptop, elsewhere, old"),
    ],
)
def test_the_command(
    file: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    endpoint: str | None,
    key: str | None,
    status: int,
    said: str,
) -> None:
    assert route.run(file, model, endpoint, key) == status
    told = capsys.readouterr()
    assert said in told.out + told.err
    for secret in ("sk-one", "sk-ant", "gsk", "key-of-a-laptop"):
        assert secret not in told.out + told.err


def test_what_is_listed_can_be_asked_for(config: Config) -> None:
    listed = providers.names(config)
    assert listed == ["fast", "own/m-1"]
    for name in listed[1:]:
        providers.find(name, config)
