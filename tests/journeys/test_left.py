"""Clients that leave while they are written to: what was known by then is in the record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from llmitm.demo.provider import Provider
from llmitm.exchange import Unwatched
from llmitm.journey import carry
from llmitm.record.entry import Entry, Outcome
from support.metering import answer, asked, chat, world_of

CONFIG = """
[endpoints.all]
kind = "gateway"
[endpoints.dev]
target_base = "{url}"
[endpoints.keyed]
provider = "main"
[endpoints.cf]
kind = "cloudflare"
[cloudflare]
base_url = "{url}"
[[gateways]]
account_id = "account"
gateway_id = "one"
token = "cf-token-secret"
[providers.main]
base_url = "{url}/v1"
api_keys = ["sk-one-key"]
models = ["gpt-*"]
[providers.openai]
api_keys = ["sk-one-key"]
[providers.claude]
base_url = "{url}"
format = "claude"
api_keys = ["sk-ant-key"]
models = ["claude-*"]
[providers.gemini]
base_url = "{url}"
api_keys = ["sk-one-key"]
models = ["gemini-*"]
"""


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider(keys={"sk-one-key", "sk-ant-key", "sk-of-the-client"}) as running:
        yield running


@pytest.mark.parametrize(
    ("target", "model", "is_counted"),
    [
        ("/all/v1/chat/completions", "gpt-demo", False),
        ("/all/v1/messages", "claude-demo", True),
        ("/all/v1/chat/completions", "claude-demo", True),
        ("/all/v1/messages", "gpt-demo", False),
        ("/cf/v1/chat/completions", "openai/gpt-demo", False),
        ("/keyed/v1/chat/completions", "gpt-demo", False),
        ("/dev/v1/chat/completions", "gpt-demo", False),
    ],
)
async def test_an_attempt_is_over_when_its_exchange_is_written_down(
    provider: Provider, tmp_path: Path, target: str, model: str, is_counted: bool
) -> None:
    world = world_of(provider.url, tmp_path, CONFIG)
    told: list[tuple[Any, ...]] = []

    def sink(entry: Entry) -> None:
        last = entry.attempts[-1]
        told.append((entry.outcome, last.ending, last.ended_s is not None, entry.usage))

    world.sinks = (sink,)
    provider.script(["stall-stream:5"])
    body: dict[str, Any] = {**chat(model, stream=True), "max_tokens": 9}
    leaving = carry(asked(target, body, key="sk-of-the-client"), world, Unwatched())
    await anext(leaving)
    await anext(leaving)
    await leaving.aclose()
    await world.close()
    ((outcome, ending, is_over, usage),) = told
    assert (outcome, ending, is_over) == (Outcome.CLIENT_GONE, "dropped", True)
    assert (usage.input_tokens is not None) is is_counted, "some upstreams tell at once what they read"
    assert not (is_counted and usage.is_final), "nobody knows what it comes to"


@pytest.mark.parametrize("target", ["/all", "/dev", "/cf", "/keyed"])
async def test_what_came_with_the_last_piece_counts_although_the_client_leaves_with_it(
    provider: Provider, tmp_path: Path, target: str
) -> None:
    world = world_of(provider.url, tmp_path, CONFIG)
    told: list[Entry] = []
    world.sinks = (told.append,)
    provider.script(["pace:3"])
    model = "openai/gpt-demo" if target == "/cf" else "gpt-demo"
    body = {**chat(model, stream=True), "stream_options": {"include_usage": True}}
    leaving = carry(asked(f"{target}/v1/chat/completions", body, key="sk-of-the-client"), world, Unwatched())
    async for step in leaving:
        if isinstance(step, bytes) and b'"prompt_tokens"' in step:
            break
    await leaving.aclose()
    await world.close()
    (entry,) = told
    assert entry.outcome is Outcome.CLIENT_GONE
    assert entry.usage.input_tokens and entry.usage.output_tokens


@pytest.mark.parametrize("query", ["", "?alt=sse"])
async def test_streams_of_gemini_are_counted_in_either_form(
    provider: Provider, tmp_path: Path, query: str
) -> None:
    world = world_of(provider.url, tmp_path, CONFIG)
    told: list[Entry] = []
    world.sinks = (told.append,)
    body = {"contents": [{"role": "user", "parts": [{"text": "one two three"}]}]}
    target = f"/all/v1beta/models/gemini-demo:streamGenerateContent{query}"
    head, _ = await answer(world, asked(target, body, key="sk-of-the-client"))
    await world.close()
    assert head.status == 200
    assert told[0].usage.input_tokens and told[0].usage.output_tokens and told[0].usage.is_final


@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize("target", ["/all", "/keyed"])
async def test_a_reason_phrase_tells_no_key(tmp_path: Path, status: int, target: str) -> None:
    async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}]}'
        head = f"HTTP/1.1 {status} of sk-one-key\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        writer.close()

    server = await asyncio.start_server(answer_all, "127.0.0.1", 0)
    async with server:
        world = world_of(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", tmp_path, CONFIG)
        head, _ = await answer(
            world, asked(f"{target}/v1/chat/completions", chat("gpt-demo"), key="sk-of-the-client")
        )
        await world.close()
    assert (head.status, head.reason) == (status, b"of ***")
