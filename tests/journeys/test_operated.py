"""What an operator says of keys and credentials, as the journey of a gateway endpoint keeps it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmitm.config.watch import Source
from llmitm.control import LocalControl
from llmitm.demo.provider import Provider
from llmitm.exchange import ClientRequest, HeldBody, ResponseHead, Unwatched
from llmitm.journey import carry
from llmitm.world import World, build

CONFIG = """
[endpoints.all]
kind = "gateway"
[providers.chat]
base_url = "{url}/v1"
api_keys = ["sk-first-key", "sk-second-key"]
[[auth_keys]]
name = "narrow"
key = "sk-proxy-narrow"
allowed_models = ["gpt-*"]
allowed_endpoints = ["a*"]
[[auth_keys]]
name = "old"
key = "sk-proxy-old"
expires_at = 2020-01-01
[[auth_keys]]
name = "wide"
key = "sk-proxy-wide"
"""
USER = [{"role": "user", "content": "one two"}]


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider(keys={"sk-first-key", "sk-second-key"}) as running:
        yield running


@pytest.fixture
async def world(provider: Provider, tmp_path: Path) -> AsyncIterator[World]:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(url=provider.url))
    source = Source(path, env={})
    made = build(source.read())
    made.source, made.sinks = source, ()
    yield made
    await made.close()


async def ask(
    world: World, target: str, headers: dict[str, str], body: dict[str, Any] | None
) -> tuple[int, Any]:
    request = ClientRequest(
        id="id-1",
        method="GET" if body is None else "POST",
        target=target.encode(),
        headers=tuple((name.encode(), value.encode()) for name, value in headers.items()),
        body=HeldBody(b"" if body is None else orjson.dumps(body)),
        client="127.0.0.1",
    )
    status, collected = 0, b""
    async for step in carry(request, world, Unwatched()):
        if isinstance(step, ResponseHead):
            status, collected = step.status, step.whole or b""
        else:
            collected += step
    return status, orjson.loads(collected)


def call(dialect: str, key: str, model: str) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Target, headers and body, with the key where each vendor's SDK puts it."""
    match dialect:
        case "chat":
            body: dict[str, Any] = {"model": model, "messages": USER}
            return "/all/v1/chat/completions", {"authorization": f"Bearer {key}"}, body
        case "responses":
            return "/all/v1/responses", {"authorization": f"Bearer {key}"}, {"model": model, "input": "one"}
        case "messages":
            body = {"model": model, "messages": USER, "max_tokens": 9}
            return "/all/v1/messages", {"x-api-key": key, "anthropic-version": "2023-06-01"}, body
        case _:
            body = {"contents": [{"parts": [{"text": "one"}]}]}
            target = f"/all/v1beta/models/{model}:generateContent"
            if dialect == "gemini":
                return target, {"x-goog-api-key": key}, body
            return f"{target}?key={key}", {}, body


DIALECTS = ["chat", "responses", "messages", "gemini", "gemini by hand"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("key", "model", "status"),
    [
        ("sk-proxy-narrow", "gpt-demo", 200),
        ("sk-proxy-narrow", "claude-demo", 403),
        ("sk-proxy-wide", "other-model", 200),
        ("sk-proxy-old", "gpt-demo", 401),
        ("sk-proxy-unknown", "gpt-demo", 401),
        ("anything", "gpt-demo", 401),
    ],
)
async def test_a_key_opens_what_it_names_from_every_sdk(
    provider: Provider, world: World, dialect: str, key: str, model: str, status: int
) -> None:
    found, answer = await ask(world, *call(dialect, key, model))
    assert found == status, answer
    assert provider.count == (1 if status == 200 else 0)
    if status == 200:
        got = provider.requests[0]
        assert key not in got.target and key not in repr(got.headers)


async def test_a_key_sees_no_models_but_its_own(world: World) -> None:
    assert world.source is not None
    named = CONFIG.replace("[[auth_keys]]", 'models = ["gpt-demo", "other"]\n[[auth_keys]]', 1)
    world.source.path.write_text(named.format(url="http://127.0.0.1:1"))
    await LocalControl(world, stop=lambda: None).reload()
    seen = {}
    for key in ("narrow", "wide"):
        _, answer = await ask(world, "/all/v1/models", {"authorization": f"Bearer sk-proxy-{key}"}, None)
        seen[key] = {one["id"] for one in answer["data"]}
    assert seen == {"narrow": {"gpt-demo"}, "wide": {"gpt-demo", "other"}}


async def test_a_credential_that_was_taken_out_gets_nothing_until_it_is_revived(
    provider: Provider, world: World
) -> None:
    control = LocalControl(world, stop=lambda: None)
    first, second = (one.name for one in world.config.providers["chat"].credentials)

    async def used() -> set[bytes | None]:
        before = provider.count
        for _ in range(4):
            status, answer = await ask(world, *call("chat", "sk-proxy-wide", "gpt-demo"))
            assert status == 200, answer
        return {got.header(b"authorization") for got in list(provider.requests)[before:]}

    both = {b"Bearer sk-first-key", b"Bearer sk-second-key"}
    assert await used() == both
    await control.rest(first, 600)
    assert await used() == {b"Bearer sk-second-key"}
    await control.reload()
    assert await used() == {b"Bearer sk-second-key"}
    await control.revive(f"chat/{first}")
    assert await used() == both
    await control.rest(first, 600)
    await control.rest(second, 600)
    status, _ = await ask(world, *call("chat", "sk-proxy-wide", "gpt-demo"))
    assert status in (429, 503)
