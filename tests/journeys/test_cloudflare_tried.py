"""Errors of Cloudflare's own by their codes: which are tried again, and with what."""

from __future__ import annotations

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
[retry]
base_ms = 1
[cloudflare]
base_url = "{url}"
[[gateways]]
account_id = "account"
gateway_id = "one"
token = "cf-token-one"
[[gateways]]
account_id = "account"
gateway_id = "two"
token = "cf-token-two"
[endpoints.cf]
kind = "cloudflare"
[providers.openai]
api_keys = ["sk-first", "sk-second"]
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


async def ask(world: World, model: str = "openai/gpt-demo") -> ResponseHead:
    body = {"model": model, "messages": [{"role": "user", "content": "one"}]}
    request = ClientRequest(
        id="id-1",
        method="POST",
        target=b"/cf/v1/chat/completions",
        headers=((b"authorization", b"Bearer of-the-client"),),
        body=HeldBody(orjson.dumps(body)),
        client="127.0.0.1",
    )
    head: ResponseHead | None = None
    async for step in carry(request, world, Unwatched()):
        head = step if isinstance(step, ResponseHead) else head
    assert head is not None
    return head


def ways(provider: Provider) -> list[tuple[str, str]]:
    """Gateway and key of each call."""
    return [
        (one.path.split("/")[3], one.text(b"authorization").removeprefix("Bearer "))
        for one in provider.requests
    ]


@pytest.mark.parametrize(
    ("code", "is_tried", "changes"),
    [
        (2001, False, ""),
        (2002, True, "key"),
        (2003, True, "gateway"),
        (2005, True, "key"),
        (2008, False, ""),
        (2009, True, "gateway"),
        (2016, False, ""),
        (2017, False, ""),
        (2019, False, ""),
        (2021, True, "gateway"),
        (2029, False, ""),
        (2030, False, ""),
        (2040, False, ""),
        (2041, True, "gateway"),
        (2047, False, ""),
        (2049, True, "gateway"),
        (7003, False, ""),
        (7013, True, "key"),
        (10000, True, "gateway"),
    ],
)
async def test_what_is_tried_after_it(
    provider: Provider, world: World, code: int, is_tried: bool, changes: str
) -> None:
    provider.script([f"cf:{code}"])
    head = await ask(world)
    found = ways(provider)
    assert (head.status == 200) is is_tried
    assert len(found) == (2 if is_tried else 1)
    if is_tried:
        assert (found[0][0] != found[1][0]) is (changes == "gateway")
        assert (found[0][1] != found[1][1]) is (changes == "key")


@pytest.mark.parametrize("code", [2003, 2009, 2021, 2041, 2049, 10000])
async def test_where_no_gateway_is_left_nothing_is_sent(provider: Provider, world: World, code: int) -> None:
    provider.script([f"cf:{code}"] * 2)
    assert (await ask(world)).status >= 400
    # whatever the key: a client's own goes through the same gateways
    for model in ("openai/gpt-demo", "groq/llama"):
        head = await ask(world, model)
        assert head.status == (429 if code == 2003 else 503)
    assert len(ways(provider)) == 2


@pytest.mark.parametrize("fault", ["status:401", "status:402", "status:403", "status:429"])
async def test_what_is_said_of_a_clients_own_key_is_the_clients_and_lets_nothing_rest(
    provider: Provider, world: World, fault: str
) -> None:
    for _ in range(3):
        provider.script([fault])
        assert f"status:{(await ask(world, 'groq/llama')).status}" == fault
    assert len(ways(provider)) == 3
    assert (await ask(world, "groq/llama")).status == 200
