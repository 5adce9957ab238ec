"""Endpoints of kind gateway without mitmproxy: by model to a provider, its own clients untouched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from llmitm.config.load import load
from llmitm.demo.provider import Provider
from llmitm.errors import UpstreamFailed
from llmitm.exchange import ClientRequest, HeldBody, ResponseHead, Unwatched
from llmitm.journey import carry
from llmitm.record.entry import Entry
from llmitm.translate.neutral import Sealed
from llmitm.translate.seals import envelope
from llmitm.world import World, build

CONFIG = """
retry = {{cooldowns = false}}
[endpoints.all]
kind = "gateway"
[endpoints.few]
kind = "gateway"
allowed_models = ["chat-*"]
[endpoints.one]
kind = "gateway"
provider = "chat"
[providers.chat]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-chat-key"]
models = ["chat-*", {{id = "gpt-6-sol", alias = "nick"}}, "org/one:8b"]
headers = {{"x-team" = "research"}}
[providers.responses]
base_url = "{url}/v1"
wire_api = "responses"
api_keys = ["sk-responses-key"]
models = ["responses-*"]
[providers.messages]
base_url = "{url}"
format = "claude"
api_keys = ["sk-ant-key"]
models = ["messages-*"]
[providers.gemini]
base_url = "{url}"
api_keys = ["AIza-key"]
models = ["gemini-*", {{id = "gemini-3.8-flash", alias = "nick-of-gemini"}}]
[providers.open]
base_url = "{url}/v1"
models = ["open-*"]
[routing]
aliases = {{pooled = [{{model = "chat-a"}}, {{model = "chat-b"}}]}}
"""
KEYS = {"sk-chat-key", "sk-responses-key", "sk-ant-key", "AIza-key", "sk-of-the-client"}
USER = [{"role": "user", "content": "one two three"}]


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider(keys=KEYS) as running:
        yield running


@pytest.fixture
async def world(provider: Provider, tmp_path: Path) -> AsyncIterator[World]:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(url=provider.url))
    made = build(load(path, env={}))
    made.sinks = ()
    yield made
    await made.close()


async def ask(
    world: World, target: str, body: Any, headers: dict[str, str] | None = None
) -> tuple[ResponseHead, bytes]:
    request = ClientRequest(
        id="id-1",
        method="GET" if body is None else "POST",
        target=target.encode(),
        headers=tuple((name.encode(), value.encode()) for name, value in (headers or {}).items()),
        body=HeldBody(body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)),
        client="127.0.0.1",
    )
    head: ResponseHead | None = None
    collected = b""
    async for step in carry(request, world, Unwatched()):
        if isinstance(step, ResponseHead):
            assert head is None
            head = step
            collected += step.whole or b""
        else:
            collected += step
    assert head is not None
    return head, collected


MESSAGE = {"model": "messages-a", "max_tokens": 9, "messages": USER}
CONTENTS = {"contents": [{"parts": [{"text": "one two three"}]}]}
SAME: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"model": "chat-a", "messages": USER}),
    ("/v1/responses", {"model": "responses-a", "input": "one two"}),
    ("/v1/messages?beta=true", MESSAGE),
    ("/v1beta/models/gemini-a:generateContent", CONTENTS),
    ("/v1/messages/count_tokens", {"model": "messages-a", "messages": USER}),
    ("/v1/embeddings", {"model": "chat-a", "input": "one"}),
]


@pytest.mark.parametrize(("target", "body"), SAME)
async def test_a_client_of_the_providers_own_dialect_is_not_touched(
    provider: Provider, world: World, target: str, body: dict[str, Any]
) -> None:
    sent = orjson.dumps(body, option=orjson.OPT_INDENT_2)  # not as we would write it
    head, content = await ask(
        world, f"/all{target}", sent, {"content-type": "application/json", "x-app": "mine"}
    )
    assert head.status == 200, content
    got = provider.requests[0]
    assert (got.target, got.body) == (target, sent)
    assert got.header(b"x-app") == b"mine"
    assert head.header(b"x-llmitm-warnings") is None
    model = (head.header(b"x-llmitm-model") or b"").decode()
    assert model == body.get("model", "gemini-a")


@pytest.mark.parametrize("name", ["stream", "whole"])
async def test_the_same_answer_as_without_a_gateway(provider: Provider, world: World, name: str) -> None:
    asked = {"stream": True, "stream_options": {"include_usage": True}} if name == "stream" else {}
    body = orjson.dumps({"model": "chat-a", "messages": USER, **asked})
    headers = {"authorization": "Bearer sk-chat-key"}
    async with httpx.AsyncClient(trust_env=False) as client:
        direct = await client.post(f"{provider.url}/v1/chat/completions", content=body, headers=headers)
    head, content = await ask(world, "/all/v1/chat/completions", body)
    assert content == direct.content
    assert head.header(b"content-type") == direct.headers["content-type"].encode()
    assert head.header(b"x-ratelimit-limit-requests") == b"10000"


async def test_a_chat_stream_tells_us_its_tokens_and_not_the_client(provider: Provider, world: World) -> None:
    entries: list[Entry] = []
    world.sinks = (entries.append,)
    _, content = await ask(
        world, "/all/v1/chat/completions", {"model": "chat-a", "messages": USER, "stream": True}
    )
    assert orjson.loads(provider.requests[0].body)["stream_options"] == {"include_usage": True}
    assert entries[0].usage.input_tokens == 3 and (entries[0].usage.output_tokens or 0) > 3
    assert b'"prompt_tokens"' not in content and content.endswith(b"data: [DONE]\n\n")


async def test_nothing_but_the_models_name_is_written_anew(provider: Provider, world: World) -> None:
    sent = b'{ "z": 1.50, "model":"nick","messages":[{"role":"user","content":"\\u00e9"}],"a":[ ] }'
    head, _ = await ask(world, "/all/v1/chat/completions", sent)
    assert head.header(b"x-llmitm-model") == b"gpt-6-sol"
    assert provider.requests[0].body == sent.replace(b"nick", b"gpt-6-sol")


async def test_seals_of_other_vendors_are_cut_out(provider: Provider, world: World) -> None:
    seal = envelope(Sealed(vendor="openai", kind="encrypted", data="abc"))
    sent = (
        b'{"model":"messages-a", "max_tokens":9,"messages":[{"role":"user","content":"one"},'
        b'{"role":"assistant","content":[%s{"type":"text","text":"two"}]},{"role":"user","content":"3"}]}'
    )
    thought = b'{"type":"thinking","thinking":"hm","signature":"%s"},' % seal.encode()
    head, _ = await ask(world, "/all/v1/messages", sent % thought)
    assert head.status == 200
    assert provider.requests[0].body == sent % b""


async def test_of_gemini_the_model_stands_in_the_path(provider: Provider, world: World) -> None:
    sent = b'{"contents": [{"parts": [{"text": "one"}]}] }'
    target = "/all/v1beta/models/nick-of-gemini:streamGenerateContent?alt=sse&key=AIza-of-a-client"
    head, _ = await ask(world, target, sent)
    assert head.status == 200
    got = provider.requests[0]
    assert got.target == "/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse"
    assert got.body == sent


async def test_keys_cookies_and_our_own_headers_do_not_travel(provider: Provider, world: World) -> None:
    headers = {
        "authorization": "Bearer of-the-client",
        "x-api-key": "of-the-client",
        "cookie": "session=1",
        "x-llmitm-strict": "1",
    }
    await ask(world, "/all/v1/messages", MESSAGE, headers)
    got = provider.requests[0]
    assert got.header(b"x-api-key") == b"sk-ant-key"
    assert got.header(b"anthropic-version") == b"2023-06-01"
    for name in (b"authorization", b"cookie", b"x-llmitm-strict"):
        assert got.header(name) is None
    await ask(world, "/all/v1/chat/completions", SAME[0][1], headers)
    assert provider.requests[1].header(b"authorization") == b"Bearer sk-chat-key"
    assert provider.requests[1].header(b"x-team") == b"research"


async def test_the_clients_version_is_kept(provider: Provider, world: World) -> None:
    headers = {"anthropic-version": "2026-10-21", "anthropic-beta": "some-beta"}
    await ask(world, "/all/v1/messages", MESSAGE, headers)
    assert provider.requests[0].header(b"anthropic-version") == b"2026-10-21"
    assert provider.requests[0].header(b"anthropic-beta") == b"some-beta"


async def test_a_provider_without_keys_gets_the_clients(provider: Provider, world: World) -> None:
    body = {"model": "open-a", "messages": USER}
    head, _ = await ask(world, "/all/v1/chat/completions", body, {"authorization": "Bearer sk-of-the-client"})
    assert head.status == 200
    assert provider.requests[0].header(b"authorization") == b"Bearer sk-of-the-client"


@pytest.mark.parametrize(
    ("target", "model", "status", "code"),
    [
        ("/all/v1/chat/completions", "unheard-of", 404, "model_not_found"),
        ("/few/v1/chat/completions", "messages-a", 403, "model_not_allowed"),
        ("/one/v1/chat/completions", "messages-a", 404, "model_not_found"),
        ("/all/v1/chat/completions", "", 400, "missing_model"),
        ("/all/v1/embeddings", "messages-a", 501, "not_supported"),
        ("/all/v1/realtime", "chat-a", 404, "unknown_path"),
    ],
)
async def test_refusals(
    provider: Provider, world: World, target: str, model: str, status: int, code: str
) -> None:
    head, content = await ask(world, target, {"model": model, "messages": USER, "input": "x"})
    assert head.status == status
    told = orjson.loads(content)["error"]
    assert told["code"] == code
    if code == "model_not_found":
        assert "nick" in told["message"]
    assert provider.count == 0


@pytest.mark.parametrize(
    ("target", "where"),
    [
        ("/all/v1/messages", ("error", "type", "not_found_error")),
        ("/all/v1/responses", ("error", "code", "model_not_found")),
        ("/all/v1beta/models/unheard-of:generateContent", ("error", "status", "NOT_FOUND")),
    ],
)
async def test_a_model_that_nobody_serves_in_each_dialect(
    world: World, target: str, where: tuple[str, str, str]
) -> None:
    head, content = await ask(world, target, {"model": "unheard-of", "messages": USER})
    assert head.status == 404
    outer, name, value = where
    assert orjson.loads(content)[outer][name] == value


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model": 7}'])
async def test_bodies_that_are_none(provider: Provider, world: World, body: bytes) -> None:
    head, _ = await ask(world, "/all/v1/chat/completions", body)
    assert head.status == 400
    assert provider.count == 0


async def test_a_pool_of_models_is_taken_in_turn(provider: Provider, world: World) -> None:
    seen = []
    for _ in range(4):
        head, _ = await ask(world, "/all/v1/chat/completions", {"model": "pooled", "messages": USER})
        seen.append(head.header(b"x-llmitm-model"))
    assert sorted(seen, key=str) == [b"chat-a", b"chat-a", b"chat-b", b"chat-b"]


async def test_a_refused_credential_of_ours_is_no_401(
    provider: Provider, world: World, tmp_path: Path
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(path.read_text().replace("sk-chat-key", "sk-unknown-key"))
    other = build(load(path, env={}))
    entries: list[Entry] = []
    other.sinks = (entries.append,)
    head, content = await ask(other, "/all/v1/chat/completions", {"model": "chat-a", "messages": USER})
    await other.close()
    assert head.status == 502
    assert b"credential chat-" in content and b"sk-unknown" not in content
    assert entries[0].attempts[0].provider == "chat"


NAMED = ["pooled", "nick", "org/one:8b", "nick-of-gemini"]
NOT_FOUND = {
    "openai": ("error", "code", "model_not_found"),
    "anthropic": ("error", "type", "not_found_error"),
    "gemini": ("error", "status", "NOT_FOUND"),
}


@pytest.mark.parametrize(
    ("target", "headers", "names"),
    [
        ("/all/v1/models", {}, NAMED),
        ("/all/v1/models", {"anthropic-version": "2023-06-01"}, NAMED),
        ("/all/v1beta/models?pageSize=9", {}, NAMED),
        ("/one/v1/models", {}, ["nick", "org/one:8b"]),
        ("/few/v1/models", {}, []),
        ("/all/v1/models/nick", {}, ["nick"]),
        ("/all/v1/models/org/one:8b", {}, ["org/one:8b"]),
        ("/all/v1/models/org%2Fone%3A8b", {"anthropic-version": "2023-06-01"}, ["org/one:8b"]),
        ("/all/v1beta/models/org%2Fone:8b", {}, ["org/one:8b"]),
        ("/all/v1/models/unheard-of", {}, None),
        ("/all/v1beta/models/unheard-of", {}, None),
        ("/all/v1/models/unheard-of", {"anthropic-version": "2023-06-01"}, None),
    ],
)
async def test_the_models_that_are_configured_by_name(
    provider: Provider, world: World, target: str, headers: dict[str, str], names: list[str] | None
) -> None:
    head, content = await ask(world, target, None, headers)
    assert head.status == (404 if names is None else 200)
    told = orjson.loads(content)
    if names is None:
        api = "anthropic" if headers else "gemini" if "v1beta" in target else "openai"
        error, member, word = NOT_FOUND[api]
        assert told[error][member] == word
    else:
        every = told.get("data", told.get("models", [told]))
        assert [one.get("id") or one["name"].removeprefix("models/") for one in every] == names
    assert provider.count == 0


STREAMED: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"model": "chat-a", "messages": USER, "stream": True}),
    ("/v1/responses", {"model": "responses-a", "input": "one two three", "stream": True}),
    ("/v1/messages", {**MESSAGE, "stream": True}),
    ("/v1beta/models/gemini-a:streamGenerateContent?alt=sse", CONTENTS),
]


@pytest.mark.parametrize(("target", "body"), [*SAME[:1], *SAME[2:4], *STREAMED])
async def test_tokens_are_read_beside_an_answer_that_passes(
    world: World, target: str, body: dict[str, Any]
) -> None:
    entries: list[Entry] = []
    world.sinks = (entries.append,)
    if "stream" in body and "messages" in body and "max_tokens" not in body:
        body = {**body, "stream_options": {"include_usage": True}}
    await ask(world, f"/all{target}", body)
    usage = entries[0].usage
    assert (usage.input_tokens, usage.output_tokens, usage.is_final) == (3, 9, True)
    assert entries[0].error is None


@pytest.mark.parametrize(("target", "body"), STREAMED)
async def test_a_stream_without_its_end_is_an_error_at_last(
    provider: Provider, world: World, target: str, body: dict[str, Any]
) -> None:
    provider.script(["pace:3 | early-end:6", "early-end:6", "error-event:6"])
    collected: list[ResponseHead | bytes] = []
    request = ClientRequest(
        id="id-1",
        method="POST",
        target=f"/all{target}".encode(),
        headers=(),
        body=HeldBody(orjson.dumps(body)),
        client="127.0.0.1",
    )
    with pytest.raises(UpstreamFailed):
        async for step in carry(request, world, Unwatched()):
            collected.append(step)
    assert isinstance(collected[-1], bytes) and b'"error"' in collected[-1]
    # what came at once, head and all, can still have a status
    head, content = await ask(world, f"/all{target}", body)
    assert head.status == (503 if "gemini" in target else 502)  # Google has no 502
    assert "error" in orjson.loads(content)
    # an error that the upstream told of itself is left as it is
    entries: list[Entry] = []
    world.sinks = (entries.append,)
    head, content = await ask(world, f"/all{target}", body)
    assert head.status == 200
    assert content.count(b"overloaded") >= 1 or b"UNAVAILABLE" in content
    assert entries[0].error
