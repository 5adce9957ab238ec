"""Whole journeys without mitmproxy: a request value in, a head and pieces out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pytest

from llmitm.clock import SystemClock
from llmitm.config.load import load
from llmitm.demo.provider import Provider
from llmitm.errors import UpstreamFailed
from llmitm.exchange import (
    Attempt,
    ClientRequest,
    HeldBody,
    Killed,
    ResponseHead,
    Unwatched,
    UpstreamRequest,
    Watch,
)
from llmitm.journey import carry
from llmitm.record.entry import Entry
from llmitm.state.store import Outcome, Step
from llmitm.translate.reshape import collect_chat
from llmitm.trip import paced
from llmitm.world import World, build

CHAT = {"model": "openai/gpt-demo", "messages": [{"role": "user", "content": "one two three"}]}

CONFIG = """
[streaming]
pace_ms = 0
[cloudflare]
base_url = "{url}"
rest_base_url = "{url}"
[endpoints.dev]
target_base = "{url}"
[endpoints.keyed]
target_base = "{url}"
provider = "openai"
[endpoints.cf]
kind = "cloudflare"
[endpoints.router]
kind = "gateway"
[[gateways]]
account_id = "0123456789abcdef0123456789abcdef"
gateway_id = "one"
token = "cf-token-secret"
form = "{form}"
[providers.openai]
api_keys = ["sk-openai-key"]
headers = {{"x-team" = "research"}}
[providers.anthropic]
api_keys = ["sk-ant-key"]
[providers.google-ai-studio]
api_keys = ["AIza-key"]
"""


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider(
        keys={"sk-openai-key", "sk-ant-key", "AIza-key"}, cf_tokens={"cf-token-secret"}
    ) as running:
        yield running


def world_of(provider: Provider, tmp_path: Any, form: str = "compat") -> tuple[World, list[Entry]]:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(url=provider.url, form=form))
    world = build(load(path, env={}))
    entries: list[Entry] = []
    world.sinks = (entries.append,)
    return world, entries


async def ask(
    world: World, target: str, body: Any = None, *, watch: Watch | None = None, **headers: str
) -> tuple[ResponseHead, bytes]:
    content = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    request = ClientRequest(
        id="id-1",
        method="GET" if body is None else "POST",
        target=target.encode(),
        headers=tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()),
        body=HeldBody(content),
        client="127.0.0.1",
    )
    head: ResponseHead | None = None
    collected = b""
    async for step in carry(request, world, watch or Unwatched()):
        if isinstance(step, ResponseHead):
            assert head is None
            head = step
            collected += step.whole or b""
        else:
            collected += step
    assert head is not None
    return head, collected


@pytest.mark.parametrize(
    ("form", "path", "model", "arrives"),
    [
        ("compat", "/v1/chat/completions", "openai/gpt-demo", "/compat/chat/completions"),
        ("native", "/v1/chat/completions", "openai/gpt-demo", "/openai/chat/completions"),
        ("native", "/v1/messages", "anthropic/claude-demo", "/anthropic/v1/messages"),
        ("native", "/v1beta/models/gemini-demo:generateContent", None, "/google-ai-studio/v1beta/models/"),
        ("rest", "/v1/chat/completions", "openai/gpt-demo", "/ai/v1/chat/completions"),
        ("rest", "/v1/messages", "anthropic/claude-demo", "/ai/v1/messages"),
    ],
)
async def test_the_forms_of_cloudflare(
    provider: Provider, tmp_path: Any, form: str, path: str, model: str | None, arrives: str
) -> None:
    world, entries = world_of(provider, tmp_path, form)
    body: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    if model is not None:
        body = {**CHAT, "model": model, "max_tokens": 9}
    head, content = await ask(world, f"/cf{path}", body, anthropic_version="2023-06-01")
    await world.close()
    assert head.status == 200, content
    got = provider.requests[0]
    assert arrives in got.target
    assert entries[0].attempts[0].gateway == "0123456789abcdef0123456789abcdef/one"
    if form == "rest":
        assert got.header(b"authorization") == b"Bearer cf-token-secret"
        assert got.header(b"cf-aig-gateway-id") == b"one"
        assert got.header(b"cf-aig-authorization") is None
    else:
        assert got.header(b"cf-aig-authorization") == b"Bearer cf-token-secret"
    if form == "native" and model is not None:
        assert got.json()["model"] == model.partition("/")[2]


async def test_a_forward_endpoint_with_a_provider_sends_its_key(provider: Provider, tmp_path: Any) -> None:
    world, entries = world_of(provider, tmp_path)
    head, _ = await ask(world, "/keyed/v1/chat/completions", CHAT, authorization="Bearer of-the-client")
    await world.close()
    assert head.status == 200
    got = provider.requests[0]
    assert got.header(b"authorization") == b"Bearer sk-openai-key"
    assert got.header(b"x-team") == b"research"
    assert entries[0].attempts[0].credential is not None


async def test_a_websockets_handshake_that_is_none_is_sent_nowhere(provider: Provider, tmp_path: Any) -> None:
    world, _ = world_of(provider, tmp_path)
    head, content = await ask(world, "/dev/v1/realtime", CHAT, upgrade="websocket")
    assert head.status == 405
    assert orjson.loads(content)["error"]["code"] == "method_not_allowed"
    await world.close()
    assert provider.count == 0


class BrokenStore:
    async def apply(self, steps: Sequence[Step]) -> Outcome:
        raise RuntimeError("planted, with canary-secret")

    async def close(self) -> None:
        pass


class BrokenWatch(Unwatched):
    def __init__(self, place: str, error: Exception) -> None:
        self._place, self._error = place, error

    async def before_send(self, attempt: Attempt, request: UpstreamRequest) -> UpstreamRequest | ResponseHead:
        if self._place == "before_send":
            raise self._error
        return request

    async def on_head(self, attempt: Attempt, head: ResponseHead) -> tuple[ResponseHead, bool]:
        if self._place == "on_head":
            raise self._error
        return head, False


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1beta/models/x:generateContent"])
async def test_an_exception_inside_is_a_500_in_the_clients_dialect_and_sends_nothing(
    provider: Provider, tmp_path: Any, path: str
) -> None:
    world, entries = world_of(provider, tmp_path)
    watch = BrokenWatch("before_send", RuntimeError("planted, with canary-secret"))
    head, content = await ask(world, f"/dev{path}", CHAT, watch=watch)
    await world.close()
    assert head.status == 500
    assert b"canary" not in content
    told = orjson.loads(content)["error"]
    assert told.get("type") in ("server_error", "api_error", None)
    if "generateContent" in path:
        assert told["status"] == "INTERNAL"
    assert provider.count == 0
    assert entries[0].status == 500 and "planted" in (entries[0].error or "")


async def test_a_store_that_breaks_refuses(provider: Provider, tmp_path: Any) -> None:
    world, _ = world_of(provider, tmp_path)
    path = tmp_path / "config.toml"
    path.write_text(path.read_text().replace('["sk-openai-key"]', '["sk-openai-key", "sk-second"]'))
    await world.close()
    world = build(load(path, env={}))
    world.store = BrokenStore()
    head, _ = await ask(world, "/cf/v1/chat/completions", CHAT)
    await world.close()
    assert head.status == 500
    assert provider.count == 0


async def test_a_leg_killed_by_its_watcher_is_a_502(provider: Provider, tmp_path: Any) -> None:
    world, _ = world_of(provider, tmp_path)
    for place, calls in (("before_send", 0), ("on_head", 1)):
        head, content = await ask(world, "/dev/v1/chat/completions", CHAT, watch=BrokenWatch(place, Killed()))
        assert head.status == 502
        assert orjson.loads(content)["error"]["code"] == "stopped"
        assert provider.count == calls
    await world.close()


async def test_ready_says_no_while_draining(provider: Provider, tmp_path: Any) -> None:
    world, entries = world_of(provider, tmp_path)
    assert (await ask(world, "/ready"))[0].status == 200
    world.is_draining = True
    assert (await ask(world, "/ready"))[0].status == 503
    assert (await ask(world, "/health"))[0].status == 200
    await world.close()
    assert entries == []


HIS_ID = "status:400;x-request-id=req_of_his;x-llmitm-id=of-a-gateway-behind"


@pytest.mark.parametrize(
    ("path", "body", "fault", "status"),
    [
        ("/dev/v1/chat/completions", CHAT, "slow:0", 200),
        ("/dev/v1/chat/completions", CHAT, HIS_ID, 400),
        ("/dev/v1/chat/completions", CHAT, "reset", 502),
        ("/keyed/v1/chat/completions", CHAT, HIS_ID, 400),
        ("/router/v1/models", None, "slow:0", 200),
        ("/cf/v1/chat/completions", CHAT | {"stream": True}, "slow:0", 200),
        ("/cf/v1/chat/completions", CHAT, HIS_ID, 400),
        ("/nowhere/v1/messages", CHAT, "slow:0", 404),
    ],
)
async def test_every_answer_names_its_exchange(
    provider: Provider, tmp_path: Any, path: str, body: Any, fault: str, status: int
) -> None:
    world, entries = world_of(provider, tmp_path)
    provider.script([fault])
    head, _ = await ask(world, path, body, authorization="Bearer sk-openai-key")
    await world.close()
    assert head.status == status
    named = [value.decode() for name, value in head.headers if name.lower() == b"x-llmitm-id"]
    assert named == [entry.id for entry in entries] == ["id-1"]


async def test_what_leaves_no_row_names_none(provider: Provider, tmp_path: Any) -> None:
    world, _ = world_of(provider, tmp_path)
    for path in ("/health", "/ready", "/metrics"):
        assert (await ask(world, path))[0].header(b"x-llmitm-id") is None
    await world.close()


# -- streams that are simulated ---------------------------------------------------------------------------

COMPLETION = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a b"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}
JSON = ((b"content-type", b"application/json"),)


async def simulated(steps: AsyncIterator[ResponseHead | bytes], **options: Any) -> AsyncIterator[Any]:
    settings = {"include_usage": False, "pace_s": 0, "heartbeat_s": 0.01, "heartbeat_after_s": 0.01}
    async for step in paced.streamed(steps, SystemClock(), limit_bytes=10_000, **(settings | options)):
        yield step


async def test_heartbeats_keep_the_connection_alive_until_the_answer_is_there() -> None:
    may_answer = asyncio.Event()

    async def slow() -> AsyncIterator[ResponseHead | bytes]:
        await may_answer.wait()
        yield ResponseHead(status=200, headers=JSON)
        yield orjson.dumps(COMPLETION)

    beats = 0
    blocks: list[bytes] = []
    async for step in simulated(slow()):
        if isinstance(step, ResponseHead):
            assert step.status == 200
            assert step.header(b"content-type") == b"text/event-stream"
        elif step == paced.HEARTBEAT:
            beats += 1
            if beats == 3:
                may_answer.set()
        else:
            blocks.append(step)
    assert beats >= 3
    assert collect_chat(blocks)["choices"] == COMPLETION["choices"]


async def test_an_error_after_a_heartbeat_is_raised_for_an_error_event() -> None:
    may_answer = asyncio.Event()

    async def failing() -> AsyncIterator[ResponseHead | bytes]:
        await may_answer.wait()
        yield ResponseHead(status=429, headers=JSON, whole=b"{}")

    with pytest.raises(UpstreamFailed):
        async for step in simulated(failing()):
            if step == paced.HEARTBEAT:
                may_answer.set()


async def test_a_consumer_that_leaves_cancels_the_call() -> None:
    cancelled = asyncio.Event()

    async def endless() -> AsyncIterator[ResponseHead | bytes]:
        try:
            await asyncio.Event().wait()
            yield b""
        finally:
            cancelled.set()

    steps = simulated(endless())
    async for step in steps:
        if step == paced.HEARTBEAT:
            break
    await steps.aclose()  # type: ignore[attr-defined]
    async with asyncio.timeout(1):
        await cancelled.wait()
