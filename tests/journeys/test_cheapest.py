"""With `strategy = "cost"` the cheapest is asked: by the configuration's prices, else the published ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from llmitm.config.load import load
from llmitm.demo.provider import Provider
from llmitm.exchange import ClientRequest, HeldBody, Unwatched
from llmitm.journey import carry
from llmitm.world import World, build

CONFIG = """
[endpoints.all]
kind = "gateway"
[routing]
strategy = "cost"
[providers.work]
base_url = "{url}/v1"
api_keys = ["sk-work"]
models = ["gpt-oss-120b"]
[providers.cerebras]
base_url = "{url}/v1"
api_keys = ["sk-cerebras"]
models = ["gpt-oss-120b"]
[providers.groq]
base_url = "{url}/v1"
api_keys = ["sk-groq"]
models = [{{id = "openai/gpt-oss-120b", alias = "gpt-oss-120b"}}]
"""


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider(keys={"sk-work", "sk-cerebras", "sk-groq"}) as running:
        yield running


@pytest.fixture
async def world(provider: Provider, tmp_path: Path) -> AsyncIterator[World]:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(url=provider.url))
    made = build(load(path, env={}))
    made.sinks = ()
    yield made
    await made.close()


async def asked(world: World, provider: Provider) -> str:
    """The key that a request for gpt-oss-120b was sent with."""
    body = orjson.dumps({"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "one"}]})
    request = ClientRequest(
        id="id-1",
        method="POST",
        target=b"/all/v1/chat/completions",
        headers=(),
        body=HeldBody(body),
        client="127.0.0.1",
    )
    async for _ in carry(request, world, Unwatched()):
        pass
    return (provider.requests[-1].header(b"authorization") or b"").decode().removeprefix("Bearer ")


async def test_by_published_prices_and_unknown_ones_last(world: World, provider: Provider) -> None:
    # 0.15 and 0.60 USD a million tokens there, 0.35 and 0.75 at the second, unknown at the third
    assert [await asked(world, provider) for _ in range(4)] == ["sk-groq"] * 4


async def test_by_the_prices_of_the_configuration_and_of_the_next_one(
    world: World, provider: Provider, tmp_path: Path
) -> None:
    path = tmp_path / "next.toml"
    text = CONFIG.format(url=provider.url)
    path.write_text(text + '[model_prices."work/*"]\ninput = 0.01\noutput = 0.02\n')
    world.follow(load(path, env={}))
    assert await asked(world, provider) == "sk-work"
    path.write_text(text + '[model_prices."cerebras/gpt-oss-120b"]\nmultiplier = 0.1\n')
    world.follow(load(path, env={}))
    assert await asked(world, provider) == "sk-cerebras"
