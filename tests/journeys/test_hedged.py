"""A second attempt beside a silent one, over sockets: whoever answers, the other call is closed at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from llmitm.config.load import load
from llmitm.demo.provider import Provider
from llmitm.exchange import ClientRequest, HeldBody, ResponseHead, Unwatched
from llmitm.journey import carry
from llmitm.world import World, build

CONFIG = """
[routing]
hedge_after_ms = 30
[endpoints.all]
kind = "gateway"
[providers.chat]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-first", "sk-second"]
models = ["gpt-demo"]
[providers.messages]
base_url = "{url}"
format = "anthropic-messages"
api_keys = ["sk-third", "sk-fourth"]
models = ["claude-demo"]
"""


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as running:
        yield running


@pytest.fixture
async def world(provider: Provider, tmp_path: Path) -> AsyncIterator[World]:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(url=provider.url))
    made = build(load(path, env={}))
    made.sinks = ()
    yield made
    await made.close()


async def ask(world: World, model: str, is_stream: bool) -> tuple[int, bytes]:
    said = [{"role": "user", "content": "one two three"}]
    request = ClientRequest(
        id="id-1",
        method="POST",
        target=b"/all/v1/chat/completions",
        headers=(),
        body=HeldBody(orjson.dumps({"model": model, "messages": said, "stream": is_stream})),
        client="127.0.0.1",
    )
    status, collected = 0, b""
    async for step in carry(request, world, Unwatched()):
        if isinstance(step, ResponseHead):
            status, collected = step.status, step.whole or b""
        else:
            collected += step
    return status, collected


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", ["gpt-demo", "claude-demo"], ids=["untouched", "translated"])
@pytest.mark.parametrize("fault", ["stall", "stall-headers", "stall-stream:0"])
async def test_the_silent_one_is_closed_when_the_other_answers(
    provider: Provider, world: World, model: str, is_stream: bool, fault: str
) -> None:
    provider.script([fault])
    status, content = await asyncio.wait_for(ask(world, model, is_stream), 5)
    assert status == 200
    assert b"three" in content
    if is_stream:
        assert content.rstrip().endswith(b"data: [DONE]")
    silent, other = provider.requests
    await asyncio.wait_for(silent.gone.wait(), 2)
    assert not other.closed_early
    assert not world.health._in_flight


async def test_a_client_that_leaves_closes_both(provider: Provider, world: World) -> None:
    provider.script(["stall", "stall"])
    asked = asyncio.create_task(ask(world, "gpt-demo", True))
    await asyncio.wait_for(provider.received(2), 5)
    asked.cancel()
    await asyncio.wait([asked])
    for one in provider.requests:
        await asyncio.wait_for(one.gone.wait(), 2)
    assert not world.health._in_flight
