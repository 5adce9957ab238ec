"""Plain completions, vectors and counts without mitmproxy: who is asked, what is sent and recorded."""

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

CONFIG = """
retry = {{base_ms = 1}}
[endpoints.all]
kind = "gateway"
[endpoints.strict]
kind = "gateway"
strict = true
[providers.plain]
base_url = "{url}/v1"
api_keys = ["sk-plain"]
models = ["plain-*", {{id = "gpt-3.5-turbo-instruct", alias = "nick"}}]
[providers.chat]
base_url = "{url}/v1"
api_keys = ["sk-chat-1", "sk-chat-2"]
completions = ["chat-base"]
models = ["chat-*"]
[providers.messages]
base_url = "{url}"
format = "claude"
api_keys = ["sk-ant-1", "sk-ant-2"]
models = ["messages-*"]
[providers.messages-without]
base_url = "{url}/messages-without/v1"
format = "claude"
api_keys = ["sk-ant-3"]
models = ["countless-*"]
[providers.gemini]
base_url = "{url}"
api_keys = ["AIza-1", "AIza-2"]
models = ["gemini-*", {{id = "gemini-embedding-001", alias = "nick-of-gemini"}}]
[routing]
fallbacks = {{chat-falls = ["messages-a"]}}
[model_prices]
"*" = {{input = 1.0, output = 10.0}}
"""
USER = [{"role": "user", "content": "one two three"}]
CONTENTS = [{"role": "user", "parts": [{"text": "one two three"}]}]
CONTENT = b'{"parts":[ {"text": "a"}]}'


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as running:
        yield running


@pytest.fixture
def entries() -> list[Entry]:
    return []


@pytest.fixture
async def world(provider: Provider, tmp_path: Path, entries: list[Entry]) -> AsyncIterator[World]:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(url=provider.url))
    made = build(load(path, env={}))
    made.sinks = (entries.append,)
    yield made
    await made.close()


async def ask(
    world: World, target: str, body: Any, headers: dict[str, str] | None = None
) -> tuple[ResponseHead, bytes]:
    request = ClientRequest(
        id="id-1",
        method="POST",
        target=target.encode(),
        headers=tuple((name.encode(), value.encode()) for name, value in (headers or {}).items()),
        body=HeldBody(body if isinstance(body, bytes) else orjson.dumps(body)),
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


# ---- who is asked, at which path


@pytest.mark.parametrize(
    ("target", "model", "asked_at"),
    [
        ("/v1/completions", "plain-a", "/v1/completions"),
        ("/v1/completions", "chat-base", "/v1/completions"),
        ("/v1/completions", "chat-a", "/v1/chat/completions"),
        ("/v1/completions", "messages-a", "/v1/messages"),
        ("/v1/completions", "gemini-a", "/v1beta/models/gemini-a:generateContent"),
        ("/v1/embeddings", "chat-a", "/v1/embeddings"),
        ("/v1/embeddings", "gemini-a", "/v1beta/models/gemini-a:embedContent"),
        ("/v1beta/models/{}:embedContent", "gemini-a", "/v1beta/models/gemini-a:embedContent"),
        ("/v1beta/models/{}:batchEmbedContents", "chat-a", "/v1/embeddings"),
        ("/v1/messages/count_tokens", "messages-a", "/v1/messages/count_tokens"),
        ("/v1/messages/count_tokens", "gemini-a", "/v1beta/models/gemini-a:countTokens"),
        ("/v1/messages/count_tokens", "chat-a", None),
        ("/v1/responses/input_tokens", "messages-a", "/v1/messages/count_tokens"),
        ("/v1/responses/input_tokens", "chat-a", None),
        ("/v1/responses/input_tokens", "chat-falls", "/v1/messages/count_tokens"),
        ("/v1beta/models/{}:countTokens", "gemini-a", "/v1beta/models/gemini-a:countTokens"),
        ("/v1beta/models/{}:countTokens", "messages-a", "/v1/messages/count_tokens"),
        ("/v1beta/models/{}:countTokens", "chat-a", None),
    ],
)
async def test_who_is_asked(
    provider: Provider, world: World, target: str, model: str, asked_at: str | None
) -> None:
    named = {} if "{}" in target else {"model": model}
    head, body = await ask(world, f"/all{target.format(model)}", named | BODIES[target])
    assert head.status == 200, body
    assert [one.target for one in provider.requests] == ([] if asked_at is None else [asked_at])


BODIES: dict[str, dict[str, Any]] = {
    "/v1/completions": {"prompt": "one two three", "max_tokens": 100},
    "/v1/embeddings": {"input": "one two three"},
    "/v1beta/models/{}:embedContent": {"content": CONTENTS[0]},
    "/v1beta/models/{}:batchEmbedContents": {"requests": [{"content": CONTENTS[0]}]},
    "/v1/messages/count_tokens": {"messages": USER},
    "/v1/responses/input_tokens": {"input": "one two three"},
    "/v1beta/models/{}:countTokens": {"contents": CONTENTS},
}


async def test_what_the_provider_takes_is_not_touched(provider: Provider, world: World) -> None:
    sent = b'{ "prompt": [[1, 2], [3]], "model":"nick", "logit_bias":{"1": 1.50} }'
    await ask(world, "/all/v1/completions", sent)
    assert provider.requests[0].body == sent.replace(b"nick", b"gpt-3.5-turbo-instruct")


@pytest.mark.parametrize(
    ("verb", "sent", "renamed"),
    [
        (
            "batchEmbedContents",
            b'{"requests":[ {"model":"models/nick-of-gemini", "content":%s }]}' % CONTENT,
            b'{"requests":[ {"model":"models/gemini-embedding-001", "content":%s }]}' % CONTENT,
        ),
        (
            "embedContent",
            b'{ "model":"models/nick-of-gemini", "content":%s }' % CONTENT,
            b'{ "model":"models/gemini-embedding-001", "content":%s }' % CONTENT,
        ),
        (
            "countTokens",
            b'{"generateContentRequest":{"model":"models/nick-of-gemini", "contents":[%s]}}' % CONTENT,
            b'{"generateContentRequest":{"model":"models/gemini-embedding-001", "contents":[%s]}}' % CONTENT,
        ),
        (
            "countTokens",
            b'{"contents": [%s]}' % CONTENT,
            b'{"contents": [%s]}' % CONTENT,
        ),
    ],
)
async def test_geminis_bodies_name_the_model_too(
    provider: Provider, world: World, verb: str, sent: bytes, renamed: bytes
) -> None:
    head, body = await ask(world, f"/all/v1beta/models/nick-of-gemini:{verb}", sent)
    assert head.status == 200, body
    got = provider.requests[0]
    assert (got.target, got.body) == (f"/v1beta/models/gemini-embedding-001:{verb}", renamed)


# ---- guesses


async def test_a_guess_is_marked(world: World) -> None:
    head, body = await ask(world, "/all/v1/messages/count_tokens", {"model": "chat-a", "messages": USER})
    told = orjson.loads(body)
    assert told == {"input_tokens": told["input_tokens"], "estimated": True}
    assert head.header(b"x-llmitm-warnings") == b'"adjusted:token-count-estimated"'
    assert head.header(b"request-id") == b"id-1"


@pytest.mark.parametrize("headers", [{"x-llmitm-strict": "1"}, {}])
async def test_who_is_strict_gets_no_guess(world: World, headers: dict[str, str]) -> None:
    endpoint = "all" if headers else "strict"
    target = f"/{endpoint}/v1/messages/count_tokens"
    head, body = await ask(world, target, {"model": "chat-a", "messages": USER}, headers)
    assert (head.status, orjson.loads(body)["error"]["type"]) == (400, "invalid_request_error")
    assert b"token-count-estimated" in body


@pytest.mark.parametrize(("status", "is_guess"), [(404, True), (405, True), (501, True), (400, False)])
async def test_a_host_without_such_a_path(
    provider: Provider, world: World, status: int, is_guess: bool
) -> None:
    provider.script([f"status:{status}"])
    head, body = await ask(world, "/all/v1/messages/count_tokens", {"model": "messages-a", "messages": USER})
    assert (head.status == 200, b"estimated" in body) == (is_guess, is_guess)
    await ask(world, "/all/v1/messages/count_tokens", {"model": "messages-a", "messages": USER})
    assert provider.count == (1 if is_guess else 2)  # it is not asked again soon


async def test_a_model_that_nobody_serves_is_not_guessed(world: World) -> None:
    head, _ = await ask(world, "/all/v1/messages/count_tokens", {"model": "unknown", "messages": USER})
    assert head.status == 404


# ---- several calls for one request


async def test_the_first_failure_of_several_calls_is_the_answer(provider: Provider, world: World) -> None:
    provider.script([None, "status:400"])
    head, body = await ask(world, "/all/v1/completions", {"model": "messages-a", "prompt": ["one", "two"]})
    assert head.status == 400
    assert "error" in orjson.loads(body)


@pytest.mark.parametrize("fault", ["status:400", "error-event:6", "truncate:6"])
async def test_a_stream_that_fails_at_its_second_prompt_has_no_end(
    provider: Provider, world: World, fault: str
) -> None:
    provider.script([None, fault])
    asked = {"model": "messages-a", "prompt": ["one", "two"], "max_tokens": 100, "stream": True}
    head, body = await ask(world, "/all/v1/completions", asked)
    assert head.status == 200
    assert b'"error"' in body and b"[DONE]" not in body


async def test_one_of_several_calls_is_tried_again(
    provider: Provider, world: World, entries: list[Entry]
) -> None:
    provider.script([None, "status:429"])
    asked = {"model": "messages-a", "prompt": ["one", "two"], "max_tokens": 100}
    head, _ = await ask(world, "/all/v1/completions", asked)
    assert head.status == 200
    assert sorted(one.number for one in entries[0].attempts) == [1, 2, 3]
    assert sorted(one.status or 0 for one in entries[0].attempts) == [200, 200, 429]


async def test_several_calls_warn_once(world: World) -> None:
    asked = {"model": "messages-a", "prompt": ["one", "two"], "max_tokens": 100, "best_of": 3}
    head, _ = await ask(world, "/all/v1/completions", asked)
    assert [value for name, value in head.headers if name == b"x-llmitm-warnings"] == [
        b'"lost:best_of";at="best_of"'
    ]


@pytest.mark.parametrize("prompts", [[], ["one"] * 101, ["one", 2]])
async def test_prompts_that_are_none(provider: Provider, world: World, prompts: list[Any]) -> None:
    head, body = await ask(world, "/all/v1/completions", {"model": "messages-a", "prompt": prompts})
    assert (head.status, orjson.loads(body)["error"]["param"]) == (400, "prompt")
    assert provider.count == 0


# ---- what is recorded


@pytest.mark.parametrize(
    ("target", "body", "calls", "tokens", "usd_nano"),
    [
        ("/v1/embeddings", {"model": "chat-a", "input": "one two"}, 1, (2, 0), 2_000),
        ("/v1/embeddings", {"model": "gemini-a", "input": ["one two"] * 101}, 2, (202, 0), 202_000),
        ("/v1beta/models/gemini-a:embedContent", {"content": CONTENTS[0]}, 1, (3, 0), 3_000),
        ("/v1beta/models/chat-a:embedContent", {"content": CONTENTS[0]}, 1, (3, 0), 3_000),
        ("/v1/completions", {"model": "plain-a", "prompt": "one"}, 1, (1, 7), 71_000),
        ("/v1/completions", {"model": "plain-a", "prompt": "one", "stream": True}, 1, (1, 7), 71_000),
        ("/v1/completions", {"model": "gemini-a", "prompt": ["one", "two"]}, 2, (2, 14), 142_000),
        ("/v1/messages/count_tokens", {"model": "messages-a", "messages": USER}, 1, (0, 0), 0),
        ("/v1/messages/count_tokens", {"model": "gemini-a", "messages": USER}, 1, (0, 0), 0),
        ("/v1/messages/count_tokens", {"model": "chat-a", "messages": USER}, 0, (0, 0), None),
    ],
)
async def test_tokens_and_costs(
    world: World,
    entries: list[Entry],
    target: str,
    body: dict[str, Any],
    calls: int,
    tokens: tuple[int, int],
    usd_nano: int | None,
) -> None:
    await ask(world, f"/all{target}", body)
    kept = entries[0]
    assert (len(kept.attempts), kept.outcome) == (calls, "ok")
    assert (kept.usage.input_tokens, kept.usage.output_tokens) == tokens
    assert kept.cost_usd_nano == usd_nano


async def test_who_did_not_ask_for_the_tokens_of_a_stream_does_not_see_them(
    provider: Provider, world: World
) -> None:
    _, body = await ask(world, "/all/v1/completions", {"model": "plain-a", "prompt": "one", "stream": True})
    assert orjson.loads(provider.requests[0].body)["stream_options"] == {"include_usage": True}
    assert b'"prompt_tokens"' not in body and body.endswith(b"data: [DONE]\n\n")
