"""Pages of browsers on the whole way: answers, errors and streams name them, upstreams never hear of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmitm.config.load import load
from llmitm.demo.provider import Provider
from llmitm.exchange import ClientRequest, HeldBody, ResponseHead, Unwatched
from llmitm.journey import carry
from llmitm.record.entry import Entry
from llmitm.world import World, build

MINE, EVIL, KEY = "https://app.example", "https://evil.example", "sk-of-a-client"
BODY = {"model": "gpt-demo", "messages": [{"role": "user", "content": "one two three"}]}
KEYED = f'cors_origins = ["{MINE}"]\n[[auth_keys]]\nname = "page"\nkey = "{KEY}"\nrpm = 1000\n'
OPEN = f'cors_origins = ["{MINE}"]\n'
NONE = ""


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider(keys={"sk-good"}) as running:
        yield running


def world_of(provider: Provider, folder: Path, server: str) -> tuple[World, list[Entry]]:
    path = folder / "config.toml"
    path.write_text(
        f"[server]\n{server}\n[endpoints.open]\ntarget_base = '{provider.url}'\n[endpoints.all]\n"
        f"kind = 'gateway'\n[providers.openai]\nbase_url = '{provider.url}/v1'\napi_keys = ['sk-good']\n"
    )
    world = build(load(path, env={}))
    entries: list[Entry] = []
    world.sinks = (entries.append,)
    return world, entries


async def ask(
    world: World, target: str, body: Any = None, *, method: str = "", **headers: str
) -> tuple[ResponseHead, bytes]:
    request = ClientRequest(
        id="id-1",
        method=method or ("GET" if body is None else "POST"),
        target=target.encode(),
        headers=tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()),
        body=HeldBody(b"" if body is None else orjson.dumps(body)),
        client="127.0.0.1",
    )
    head: ResponseHead | None = None
    collected = b""
    async for step in carry(request, world, Unwatched()):
        if isinstance(step, ResponseHead):
            head = step
            collected += step.whole or b""
        else:
            collected += step
    assert head is not None
    return head, collected


def named(head: ResponseHead) -> bytes | None:
    assert head.header(b"access-control-allow-credentials") is None
    return head.header(b"access-control-allow-origin")


async def test_a_preflight_needs_no_key_reaches_nobody_and_leaves_no_row(
    provider: Provider, tmp_path: Path
) -> None:
    world, entries = world_of(provider, tmp_path, KEYED)
    first = {"origin": MINE, "access_control_request_method": "POST"}
    for target in ("/all/v1/chat/completions", "/open/v1/messages", "/nowhere/v1", "/health"):
        head, body = await ask(world, target, method="OPTIONS", **first)
        assert (head.status, body, named(head)) == (204, b"", MINE.encode())
        refused, _ = await ask(world, target, method="OPTIONS", **first | {"origin": EVIL})
        assert (refused.status, named(refused)) == (403, None)
    assert provider.count == 0
    assert all(entry.is_quiet for entry in entries)
    await world.close()


async def test_answers_errors_and_streams_name_the_page(provider: Provider, tmp_path: Path) -> None:
    world, _ = world_of(provider, tmp_path, KEYED)
    ours = {"authorization": f"Bearer {KEY}", "origin": MINE, "referer": MINE}
    whole, _ = await ask(world, "/all/v1/chat/completions", BODY, **ours)
    stream, events = await ask(world, "/all/v1/messages", BODY | {"stream": True, "max_tokens": 9}, **ours)
    assert whole.status == stream.status == 200 and b"message_stop" in events
    assert b"x-ratelimit-remaining-requests" in (whole.header(b"access-control-expose-headers") or b"")
    for head in (whole, stream):
        assert b"x-llmitm-id" in (head.header(b"access-control-expose-headers") or b"")
    for received in provider.requests:
        assert received.header(b"origin") is None and received.header(b"referer") is None
    missing, _ = await ask(world, "/all/v1/chat/completions", BODY, origin=MINE)
    unknown, _ = await ask(world, "/nowhere/v1/models", origin=MINE)
    health, _ = await ask(world, "/health", origin=MINE)
    assert (missing.status, unknown.status, health.status) == (401, 404, 200)
    for head in (whole, stream, missing, unknown, health):
        assert named(head) == MINE.encode() and head.header(b"vary") == b"Origin"
    strange, _ = await ask(world, "/all/v1/chat/completions", BODY, **ours | {"origin": EVIL})
    assert strange.status == 200 and named(strange) is None
    await world.close()


async def test_a_page_does_not_spend_where_no_key_is_asked(provider: Provider, tmp_path: Path) -> None:
    page = {"origin": EVIL, "sec_fetch_site": "cross-site", "content_type": "text/plain"}
    for server in (OPEN, NONE):
        world, _ = world_of(provider, tmp_path, server)
        refused, _ = await ask(world, "/all/v1/chat/completions", BODY, **page)
        assert (refused.status, named(refused)) == (403, None)
        assert provider.count == 0
        await world.close()
    world, _ = world_of(provider, tmp_path, OPEN)
    answered, _ = await ask(world, "/all/v1/chat/completions", BODY, **page | {"origin": MINE})
    assert (answered.status, named(answered)) == (200, MINE.encode())
    await world.close()


async def test_a_name_that_was_pointed_here_spends_and_reads_nothing(
    provider: Provider, tmp_path: Path
) -> None:
    pointed = {"host": "evil.example:8811", "origin": "http://evil.example:8811"}
    for server in (NONE, 'host = "0.0.0.0"\nallow_anonymous = true\n'):
        world, entries = world_of(provider, tmp_path, server)
        before = provider.count
        refused, body = await ask(world, "/all/v1/messages", BODY, **pointed)
        assert refused.status == 421 and orjson.loads(body)["type"] == "error"
        assert "evil.example" in orjson.loads(body)["error"]["message"]
        assert entries[-1].code == "unknown_host" and provider.count == before
        passed, _ = await ask(world, "/open/echo", BODY, **pointed)
        assert passed.status == 200, "who has a key of their own may come by any name"
        await world.close()
    world, _ = world_of(provider, tmp_path, NONE)
    reading, _ = await ask(world, "/all/v1/models", host="evil.example:8811")
    assert reading.status == 421
    await world.close()
    world, _ = world_of(provider, tmp_path, KEYED)
    keyed, _ = await ask(world, "/all/v1/chat/completions", BODY, **pointed, authorization=f"Bearer {KEY}")
    assert keyed.status == 200
    await world.close()


async def test_without_the_key_an_upstream_answers_browsers_itself(
    provider: Provider, tmp_path: Path
) -> None:
    world, _ = world_of(provider, tmp_path, NONE)
    asked = {"origin": MINE, "access_control_request_method": "POST", "sec_fetch_site": "cross-site"}
    head, _ = await ask(world, "/open/echo", method="OPTIONS", **asked)
    assert provider.requests[-1].method == "OPTIONS" and provider.requests[-1].text(b"origin") == MINE
    assert named(head) is None and head.header(b"vary") is None
    await world.close()
