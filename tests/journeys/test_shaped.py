"""What an operator's rules change of requests, on every kind of endpoint that has credentials of ours."""

from __future__ import annotations

import gzip
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmitm.config.load import load
from llmitm.demo.provider import Provider
from llmitm.exchange import ClientRequest, HeldBody, ResponseHead, Unwatched
from llmitm.journey import carry
from llmitm.world import World, build

CONFIG = """
passthrough_headers = ["x-tenant", "user-*", "anthropic-ratelimit-*"]
retry = {{cooldowns = false}}
gateways = [{{account_id = "acc", gateway_id = "gw"}}]
[cloudflare]
base_url = "{url}"
[endpoints.all]
kind = "gateway"
[endpoints.strict]
kind = "gateway"
strict = true
[endpoints.cf]
kind = "cloudflare"
[endpoints.fw]
provider = "chat"
[endpoints.firm-cf]
kind = "cloudflare"
strict = true
[endpoints.firm-fw]
provider = "chat"
strict = true
[endpoints.firm]
provider = "firm"
[endpoints.hiding]
provider = "hiding"
[endpoints.bare]
target_base = "{url}"
[providers.chat]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-chat-key"]
models = ["chat-*"]
[providers.firm]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-chat-key"]
models = ["firm-*"]
strict = true
[providers.hiding]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-chat-key"]
models = ["hiding-*"]
[providers.hiding.cloak]
sensitive_words = ["Acme"]
secret = "sixteen-letters-or-more"
[providers.messages]
base_url = "{url}"
format = "claude"
api_keys = ["sk-ant-key"]
models = ["messages-*"]
refused_betas = ["fast-mode-*"]
headers = {{"anthropic-beta" = "context-1m-2025-08-07"}}
[providers.responses]
base_url = "{url}/v1"
wire_api = "responses"
api_keys = ["sk-responses-key"]
models = ["responses-*"]
[providers.gemini]
base_url = "{url}"
api_keys = ["AIza-key"]
models = ["gemini-*"]

[[payload.filter]]
models = [{{name = "*-a"}}]
params = ["seed"]
[[payload.override]]
models = [{{protocol = "openai", name = "*-a"}}]
params = {{user = "two"}}
[[payload.default]]
models = ["*-a"]
params = {{seed = 1, user = "one", "metadata.team" = "research"}}
[[payload.override]]
when = "before"
models = [{{name = "*-b", protocol = "openai-chat"}}]
params = {{temperature = 0.25}}
[[payload.override]]
models = [{{name = "*-b", protocol = "claude"}}]
params = {{top_k = 5}}
[[payload.default]]
models = [{{name = "*-b", protocol = "gemini"}}]
params = {{"generationConfig.topK" = 7}}
[[payload.override]]
models = [{{name = "*-c", headers = {{X-Team = "gold*"}}}}]
params = {{store = true}}
[[payload.override]]
models = [{{path = "/embeddings", name = "*-a"}}]
params = {{dimensions = 64}}
[[payload.override]]
models = ["*-d"]
params = {{"messages.0.content.x" = 1}}
"""
KEYS = {"sk-chat-key", "sk-responses-key", "sk-ant-key", "AIza-key", "sk-of-the-client"}
USER = [{"role": "user", "content": "one two"}]


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
    world: World, target: str, body: str | bytes, headers: dict[str, str] | None = None
) -> ResponseHead:
    body = body.encode() if isinstance(body, str) else body
    given = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    request = ClientRequest(
        id="id-1",
        method="POST",
        target=target.encode(),
        headers=tuple((name.encode(), value.encode()) for name, value in given.items()),
        body=HeldBody(body),
        client="127.0.0.1",
    )
    heads = [step async for step in carry(request, world, Unwatched()) if isinstance(step, ResponseHead)]
    return heads[0]


TURNS = '"messages" : [ {"role":"user","content":"hi"} ]'


@pytest.mark.parametrize(
    ("target", "body", "expected"),
    [
        # defaults, then overrides, then filters; all else as the client wrote it
        (
            "/all/v1/chat/completions",
            f'{{ "model" : "chat-a", "temperature":1.50, {TURNS} }}',
            f'{{ "model" : "chat-a", "temperature":1.50, {TURNS},"user":"two",'
            '"metadata":{"team":"research"} }',
        ),
        (
            "/fw/v1/chat/completions",
            f'{{"seed": 3, "model":"chat-a", "metadata":null, {TURNS}}}',
            f'{{"model":"chat-a", "metadata":null, {TURNS},"user":"two"}}',
        ),
        (
            "/cf/v1/chat/completions",
            f'{{"model":"chat/chat-a", "user":"me", {TURNS}}}',
            f'{{"model":"chat/chat-a", "user":"two", {TURNS},"metadata":{{"team":"research"}}}}',
        ),
        # without credentials of ours nothing is changed
        (
            "/bare/v1/chat/completions",
            f'{{"model":"chat-a","seed":1,{TURNS}}}',
            f'{{"model":"chat-a","seed":1,{TURNS}}}',
        ),
        # a call that is not for an answer has rules of its own
        (
            "/all/v1/embeddings",
            '{"model":"chat-a", "input":"x"}',
            '{"model":"chat-a", "input":"x","dimensions":64}',
        ),
    ],
    ids=["gateway", "forward", "cloudflare", "bare", "embeddings"],
)
async def test_rules_change_what_they_name_and_not_a_byte_more(
    provider: Provider, world: World, target: str, body: str, expected: str
) -> None:
    headers = {"authorization": "Bearer sk-of-the-client"} if target.startswith("/bare") else {}
    head = await ask(world, target, body, headers)
    assert head.status == 200, head
    got = provider.requests[-1]
    assert got.body.decode() == expected
    assert got.text(b"content-length") == str(len(expected))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("messages-b", {"temperature": 0.25, "top_k": 5}),
        ("gemini-b", {"generationConfig": {"temperature": 0.25, "topK": 7}}),
    ],
)
async def test_rules_are_for_the_clients_dialect_before_translation_and_the_providers_after_it(
    provider: Provider, world: World, model: str, expected: dict[str, Any]
) -> None:
    head = await ask(world, "/all/v1/chat/completions", orjson.dumps({"model": model, "messages": USER}))
    assert head.status == 200
    got = provider.requests[-1].json()
    assert {name: got[name] for name in expected} == expected


@pytest.mark.parametrize(("team", "is_set"), [("gold-7", True), ("silver", False), (None, False)])
async def test_a_rule_may_ask_for_a_header(
    provider: Provider, world: World, team: str | None, is_set: bool
) -> None:
    headers = {"x-team": team} if team else {}
    await ask(world, "/all/v1/chat/completions", orjson.dumps({"model": "chat-c", "messages": USER}), headers)
    assert ("store" in provider.requests[-1].json()) is is_set


async def test_a_rule_that_cannot_apply_is_logged_once_and_told_each_time(
    provider: Provider, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    body = orjson.dumps({"model": "chat-d", "messages": USER})
    with caplog.at_level(logging.WARNING, "llmitm"):
        heads = [await ask(world, "/all/v1/chat/completions", body) for _ in range(2)]
    assert [head.status for head in heads] == [200, 200]
    told = b'"lost:payload-rule";at="messages.0.content.x"'
    assert [head.header(b"x-llmitm-warnings") for head in heads] == [told, told]
    [line] = [one.getMessage() for one in caplog.records]
    assert "payload.override[5]: messages.0.content.x cannot be set" in line
    assert "messages.0.content is a string, no object or array" in line
    assert provider.requests[-1].body == body


@pytest.mark.parametrize(
    ("target", "model", "headers"),
    [
        ("/strict", "chat-d", {}),
        ("/all", "chat-d", {"x-llmitm-strict": "1"}),
        ("/cf", "chat/chat-d", {"x-llmitm-strict": "1"}),
        ("/fw", "chat-d", {"x-llmitm-strict": "true"}),
        ("/firm-cf", "chat/chat-d", {}),
        ("/firm-fw", "chat-d", {}),
        ("/all", "firm-d", {}),
        ("/firm", "firm-d", {}),
        ("/cf", "firm/firm-d", {}),
    ],
)
async def test_a_rule_that_cannot_apply_refuses_a_request_where_strictness_was_asked_for(
    provider: Provider, world: World, target: str, model: str, headers: dict[str, str]
) -> None:
    """By an endpoint, a provider or a client, wherever credentials of ours are used."""
    count = len(provider.requests)
    body = orjson.dumps({"model": model, "messages": USER})
    head = await ask(world, f"{target}/v1/chat/completions", body, headers)
    assert head.status == 400 and b"lost:payload-rule" in (head.whole or b"")
    assert len(provider.requests) == count


@pytest.mark.parametrize(("target", "model"), [("/all", "chat-x"), ("/cf", "chat/chat-x"), ("/fw", "chat-x")])
async def test_strictness_is_asked_of_us_alone(
    provider: Provider, world: World, target: str, model: str
) -> None:
    body = orjson.dumps({"model": model, "messages": USER})
    head = await ask(world, f"{target}/v1/chat/completions", body, {"x-llmitm-strict": "1"})
    assert head.status == 200
    assert provider.requests[-1].header(b"x-llmitm-strict") is None


BETAS = {"anthropic-beta": "fast-mode-2026-02-01, effort-2025-11-24"}
CLIENT = {
    "x-tenant": "t-1",
    "x-other": "o-1",
    "user-agent": "app/1",
    "openai-organization": "org-of-the-client",
    "cookie": "c=1",
    **BETAS,
}


async def test_a_client_of_the_providers_dialect_keeps_its_headers_but_for_flags_and_accounts(
    provider: Provider, world: World
) -> None:
    body = orjson.dumps({"model": "messages-x", "max_tokens": 9, "messages": USER})
    head = await ask(world, "/all/v1/messages", body, CLIENT)
    assert head.status == 200
    got = provider.requests[-1]
    assert got.text(b"anthropic-beta") == "effort-2025-11-24,context-1m-2025-08-07"
    assert (got.text(b"x-tenant"), got.text(b"x-other"), got.text(b"user-agent")) == ("t-1", "o-1", "app/1")
    assert got.header(b"openai-organization") is None and got.header(b"cookie") is None
    assert head.header(b"x-llmitm-warnings") == b'"lost:beta";at="fast-mode-2026-02-01"'


async def test_across_dialects_only_what_is_listed_travels_either_way(
    provider: Provider, world: World
) -> None:
    head = await ask(
        world, "/all/v1/chat/completions", orjson.dumps({"model": "messages-x", "messages": USER}), CLIENT
    )
    got = provider.requests[-1]
    assert got.text(b"anthropic-beta") == "context-1m-2025-08-07"
    assert (got.text(b"x-tenant"), got.text(b"user-agent")) == ("t-1", "app/1")
    assert got.header(b"x-other") is None and got.header(b"openai-organization") is None
    names = {name.lower() for name, _ in head.headers}
    assert any(name.startswith(b"anthropic-ratelimit-") for name in names)
    assert not any(name.startswith(b"anthropic-organization") for name in names)


async def test_a_refused_flag_is_refused_where_strictness_was_asked_for(
    provider: Provider, world: World
) -> None:
    body = orjson.dumps({"model": "messages-x", "max_tokens": 9, "messages": USER})
    head = await ask(world, "/strict/v1/messages", body, BETAS)
    assert head.status == 400 and b"lost:beta" in (head.whole or b"")


NO_JSON = {
    "binary": b"\x89PNG\x00\xff{",
    "compressed": gzip.compress(b'{"model":"chat-a","messages":[{"role":"user","content":"Acme"}]}'),
    "cut off": b'{"model":"chat-a","messages":[{"role":"user","content":"Ac',
    "a list": b'[{"model":"chat-a"}]',
    "a text": b'"chat-a"',
    "another charset": '{"model":"chat-a","user":"Acme"}'.encode("utf-16"),
    "two": b'{"model":"chat-a"}{"model":"chat-a"}',
}


@pytest.mark.parametrize("name", NO_JSON)
async def test_what_is_no_json_object_is_not_broken_further_and_hides_no_words(
    provider: Provider, world: World, name: str
) -> None:
    """Rules leave it as it is; where words are to be hidden nothing is sent that cannot be read."""
    body = NO_JSON[name]
    for target in ("/fw", "/cf"):
        await ask(world, f"{target}/v1/chat/completions", body)
        assert provider.requests.pop().body == body
    assert not provider.requests
    for target in ("/all", "/hiding"):
        head = await ask(world, f"{target}/v1/chat/completions", body)
        readable = target == "/hiding" and name in ("a list", "a text")  # no word of theirs is hidden in it
        assert [one.body for one in provider.requests] == ([body] if readable else [])
        assert head.status == 400
        provider.requests.clear()
