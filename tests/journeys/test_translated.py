"""Clients of one dialect at providers of another: heads, headers, heartbeats, failures, the record."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmitm.config.load import load
from llmitm.config.schema import Config
from llmitm.demo.provider import Provider
from llmitm.errors import Refused
from llmitm.exchange import ClientRequest, Dialect, HeldBody, ResponseHead, Unwatched
from llmitm.journey import carry
from llmitm.record.entry import Entry
from llmitm.route import calls, providers
from llmitm.trip.translated import prepare, target_of
from llmitm.world import World, build

CONFIG = """
retry = {{cooldowns = false}}
passthrough_headers = ["x-tenant"]
[streaming]
heartbeat_s = {heartbeat_s}
heartbeat_after_s = {heartbeat_s}
[timeouts]
first_byte_s = 2
idle_s = 1
[endpoints.all]
kind = "gateway"
[endpoints.strict]
kind = "gateway"
strict = true
[providers.chat]
base_url = "{url}/v1"
api_keys = ["sk-chat-key"]
models = ["chat-a"]
headers = {{"x-team" = "research"}}
[providers.anthropic]
base_url = "{url}"
api_keys = ["sk-ant-key"]
models = ["messages-a"]
[providers.gemini]
base_url = "{url}"
api_keys = ["AIza-key"]
models = ["gemini-a"]
[providers.keyless]
base_url = "{url}/v1"
models = ["keyless-a"]
"""
USER = [{"role": "user", "content": "one two three"}]
HEARD = "The demo provider heard you say: one two three"
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "one two three"}]}]}
STREAM_TYPE = b"text/event-stream; charset=utf-8"

ASKS: dict[Dialect, tuple[str, dict[str, Any]]] = {
    Dialect.OPENAI_CHAT: ("/v1/chat/completions", {"messages": USER}),
    Dialect.OPENAI_RESPONSES: ("/v1/responses", {"input": "one two three"}),
    Dialect.ANTHROPIC_MESSAGES: ("/v1/messages", {"messages": USER, "max_tokens": 100}),
    Dialect.GEMINI: ("/v1beta/models/{model}:{verb}", CONTENTS),
}
FOREIGN = {
    Dialect.OPENAI_CHAT: "messages-a",
    Dialect.OPENAI_RESPONSES: "gemini-a",
    Dialect.ANTHROPIC_MESSAGES: "chat-a",
    Dialect.GEMINI: "chat-a",
}
DIALECTS = tuple(ASKS)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as running:
        yield running


def config_file(folder: Path, provider: Provider, heartbeat_s: float) -> Path:
    path = folder / "config.toml"
    path.write_text(CONFIG.format(url=provider.url, heartbeat_s=heartbeat_s))
    return path


@pytest.fixture
async def world(provider: Provider, tmp_path: Path) -> AsyncIterator[World]:
    made = build(load(config_file(tmp_path, provider, 0), env={}))
    made.sinks = ()
    yield made
    await made.close()


def asking(
    dialect: Dialect, *, model: str | None = None, streams: bool = False, endpoint: str = "all", **more: Any
) -> tuple[str, dict[str, Any]]:
    path, body = ASKS[dialect]
    model = model or FOREIGN[dialect]
    if dialect is Dialect.GEMINI:
        verb = "streamGenerateContent?alt=sse" if streams else "generateContent"
        return f"/{endpoint}" + path.format(model=model, verb=verb), {**body, **more}
    return f"/{endpoint}{path}", {**body, "model": model, "stream": streams, **more}


async def steps_of(
    world: World, asked: tuple[str, Any], headers: dict[str, str] | None = None
) -> AsyncIterator[ResponseHead | bytes]:
    target, body = asked
    request = ClientRequest(
        id="id-1",
        method="POST",
        target=target.encode(),
        headers=tuple((name.encode(), value.encode()) for name, value in (headers or {}).items()),
        body=HeldBody(orjson.dumps(body)),
        client="127.0.0.1",
    )
    async for step in carry(request, world, Unwatched()):
        yield step


async def ask(
    world: World, asked: tuple[str, Any], headers: dict[str, str] | None = None
) -> tuple[ResponseHead, bytes]:
    head: ResponseHead | None = None
    collected = b""
    async for step in steps_of(world, asked, headers):
        if isinstance(step, ResponseHead):
            assert head is None
            head = step
            collected += step.whole or b""
        else:
            collected += step
    assert head is not None
    return head, collected


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_of_the_clients_headers_only_those_travel_that_mean_the_same_anywhere(
    provider: Provider, world: World, dialect: Dialect
) -> None:
    headers = {
        "authorization": "Bearer of-the-client",
        "x-api-key": "of-the-client",
        "x-goog-api-key": "of-the-client",
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "beta",
        "openai-organization": "org",
        "x-goog-user-project": "p",
        "idempotency-key": "i",
        "x-stainless-lang": "python",
        "user-agent": "OpenAI/Python",
        "cookie": "a=b",
        "accept-encoding": "gzip, br",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "x-tenant": "t",
        "x-llmitm-strict": "0",
    }
    head, content = await ask(world, asking(dialect), headers)
    assert head.status == 200, content
    got = {name.lower(): value for name, value in provider.requests[0].headers}
    expected: dict[bytes, bytes] = {
        b"content-type": b"application/json",
        b"accept": b"application/json",
        b"accept-encoding": b"identity",
        b"traceparent": headers["traceparent"].encode(),
        b"x-tenant": b"t",
    }
    match FOREIGN[dialect]:
        case "chat-a":
            expected |= {b"authorization": b"Bearer sk-chat-key", b"x-team": b"research"}
        case "messages-a":
            expected |= {b"x-api-key": b"sk-ant-key", b"anthropic-version": b"2023-06-01"}
        case _:
            expected |= {b"x-goog-api-key": b"AIza-key"}
    user_agent = got.pop(b"user-agent")
    assert user_agent.startswith(b"llmitm/")
    assert {
        name: value for name, value in got.items() if name not in (b"host", b"content-length")
    } == expected


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_head_of_an_answer(world: World, dialect: Dialect, streams: bool) -> None:
    head, content = await ask(world, asking(dialect, streams=streams))
    assert head.status == 200, content
    headers = dict(head.headers)
    assert headers[b"content-type"] == (STREAM_TYPE if streams else b"application/json")
    assert headers[b"x-llmitm-model"] == FOREIGN[dialect].encode()
    assert (b"request-id" if dialect is Dialect.ANTHROPIC_MESSAGES else b"x-request-id") in headers
    assert headers.get(b"x-accel-buffering") == (b"no" if streams else None)
    assert not [name for name in headers if b"ratelimit" in name or name == b"openai-version"]
    assert HEARD.encode() in content or b"three" in content


async def test_an_array_for_geminis_clients_that_ask_for_no_events(world: World) -> None:
    target, body = asking(Dialect.GEMINI, streams=True)
    head, content = await ask(world, (target.removesuffix("?alt=sse"), body))
    assert head.header(b"content-type") == b"application/json"
    chunks = orjson.loads(content)
    text = "".join(
        part.get("text", "") for one in chunks for part in one["candidates"][0]["content"]["parts"]
    )
    assert text == HEARD


async def test_what_is_lost_is_named_or_refused(provider: Provider, world: World) -> None:
    asked = asking(Dialect.OPENAI_CHAT, logit_bias={"50256": -100}, seed=7)
    head, _ = await ask(world, asked)
    assert head.status == 200
    told = (head.header(b"x-llmitm-warnings") or b"").decode()
    assert '"lost:logit_bias"' in told and '"lost:seed"' in told
    for strict, headers in ((asked, {"x-llmitm-strict": "1"}), (("/strict" + asked[0][4:], asked[1]), {})):
        head, content = await ask(world, strict, headers)
        assert head.status == 400
        error = orjson.loads(content)["error"]
        assert error["code"] == "unsupported_by_target"
        assert "logit_bias" in error["message"] and "seed" in error["message"]
    assert provider.count == 1


async def test_a_client_without_warnings_is_told_none(world: World) -> None:
    head, _ = await ask(world, asking(Dialect.OPENAI_CHAT), {"x-llmitm-strict": "1"})
    assert head.status == 200
    assert head.header(b"x-llmitm-warnings") is None


def _at_any_time(content: bytes) -> bytes:
    """The two may have begun in different seconds."""
    return re.sub(rb'"(created|created_at)":\d+', rb'"\1":0', content)


@pytest.mark.parametrize("fault", ["gzip", "json-instead-of-sse", "pace:1"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_answer_in_an_unexpected_form(
    provider: Provider, world: World, dialect: Dialect, fault: str
) -> None:
    provider.script([None, fault])
    _, plain = await ask(world, asking(dialect, streams=True))
    head, content = await ask(world, asking(dialect, streams=True))
    assert head.status == 200
    assert head.header(b"content-encoding") is None
    assert head.header(b"content-type") == STREAM_TYPE
    if fault != "json-instead-of-sse":
        assert _at_any_time(content) == _at_any_time(plain)
    assert content.rstrip().endswith(plain.rstrip()[-10:])


@pytest.mark.parametrize(
    ("dialect", "beat"),
    [
        (Dialect.OPENAI_CHAT, b": keepalive\n\n"),
        (Dialect.OPENAI_RESPONSES, b": keepalive\n\n"),
        (Dialect.ANTHROPIC_MESSAGES, b": keepalive\n\n"),
        (Dialect.GEMINI, None),
    ],
)
async def test_heartbeats_before_the_first_event(
    provider: Provider, tmp_path: Path, dialect: Dialect, beat: bytes | None
) -> None:
    world = build(load(config_file(tmp_path, provider, 0.02), env={}))
    world.sinks = ()
    provider.script(["slow:150", "slow:150 | status:429", "slow:150 | error-event:0"])
    head, content = await ask(world, asking(dialect, streams=True))
    assert head.status == 200
    assert content.startswith(beat * 2) if beat else b"keepalive" not in content
    for _ in range(2):
        head, content = await ask(world, asking(dialect, streams=True))
        # the first heartbeat spends the status line
        assert head.status == 200 if beat else head.status >= 400
        assert b"error" in content and b"[DONE]" not in content
    await world.close()


async def test_pings_come_within_a_message_only(provider: Provider, tmp_path: Path) -> None:
    world = build(load(config_file(tmp_path, provider, 0.02), env={}))
    world.sinks = ()
    provider.script(["pace:60"])
    _, content = await ask(world, asking(Dialect.ANTHROPIC_MESSAGES, streams=True))
    await world.close()
    events = [one for one in content.decode().split("\n\n") if not one.startswith(":")]
    assert events[0].startswith("event: message_start")
    assert 'event: ping\ndata: {"type":"ping"}' in events


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("status:400", 400),
        ("status:429;retry-after=7", 429),
        ("status:401", 502),
        ("status:529", None),
        ("error-event:0", None),
        ("early-end:0", 502),
        ("truncate:0", 502),
        ("reset", 502),
        ("stall", 504),
    ],
)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_fails_before_the_first_event_has_a_status(
    provider: Provider, world: World, dialect: Dialect, fault: str, status: int | None
) -> None:
    entries: list[Entry] = []
    world.sinks = (entries.append,)
    provider.script([fault])
    head, content = await ask(world, asking(dialect, streams=True))
    if dialect is Dialect.GEMINI and status == 502:
        status = 503  # as Google has no 502
    assert head.status == status if status else head.status in (500, 503, 529)
    assert "error" in orjson.loads(content)
    assert head.header(b"content-type") == b"application/json"
    if "retry-after" in fault:
        assert head.header(b"retry-after") == b"7"
    assert entries[0].status == head.status and entries[0].error


@pytest.mark.parametrize(
    "fault", ["error-event:6", "early-end:6", "truncate:6", "reset-body:6", "stall-stream:6"]
)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_fails_later_is_told_in_the_stream(
    provider: Provider, world: World, dialect: Dialect, fault: str
) -> None:
    entries: list[Entry] = []
    world.sinks = (entries.append,)
    provider.script([fault])
    head, content = await ask(world, asking(dialect, streams=True))
    assert head.status == 200
    last = content.decode().rstrip().split("\n\n")[-1]
    assert '"error"' in last
    for terminator in ("[DONE]", "message_stop", "response.completed", "finishReason"):
        assert terminator not in content.decode()
    assert entries[0].error


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("slow:0", 200),
        ("status:400;x-request-id=req_of_his;x-llmitm-id=of-a-gateway-behind", 400),
        ("error-event:6", 200),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("model", ["chat-a", "messages-a", "nobody-has-it"])
async def test_every_answer_names_its_exchange(
    provider: Provider, world: World, model: str, streams: bool, fault: str, status: int
) -> None:
    provider.script([fault])
    head, _ = await ask(world, asking(Dialect.OPENAI_CHAT, model=model, streams=streams))
    if "event" not in fault:
        assert head.status == (404 if model.startswith("nobody") else status)
    assert [value for name, value in head.headers if name.lower() == b"x-llmitm-id"] == [b"id-1"]


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_record_knows_the_tokens(world: World, dialect: Dialect, streams: bool) -> None:
    entries: list[Entry] = []
    world.sinks = (entries.append,)
    await ask(world, asking(dialect, streams=streams))
    (entry,) = entries
    assert (entry.usage.input_tokens, entry.usage.output_tokens) == (3, len(HEARD.split()))
    assert entry.model == FOREIGN[dialect]
    assert entry.error is None


async def test_a_client_that_leaves_cancels_the_upstream_call(provider: Provider, world: World) -> None:
    provider.script(["pace:50"])
    steps = steps_of(world, asking(Dialect.OPENAI_CHAT, streams=True))
    async for step in steps:
        if isinstance(step, bytes):
            break
    await steps.aclose()  # type: ignore[attr-defined]
    received = await provider.received(1)
    await received.gone.wait()


async def test_a_key_is_not_sent_to_another_vendor(provider: Provider, world: World) -> None:
    asked = asking(Dialect.ANTHROPIC_MESSAGES, model="keyless-a")
    head, _ = await ask(world, asked, {"x-api-key": "sk-ant-of-the-client"})
    assert head.status == 200
    assert b"sk-ant-of-the-client" not in dict(provider.requests[0].headers).values()


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (asking(Dialect.OPENAI_CHAT, n=2), "unsupported_by_target"),
        (asking(Dialect.OPENAI_CHAT, messages="hello"), None),
        (asking(Dialect.OPENAI_RESPONSES, previous_response_id="resp_1"), "stateful_not_supported"),
    ],
)
async def test_what_cannot_be_said_is_refused(
    provider: Provider, world: World, asked: tuple[str, Any], code: str | None
) -> None:
    head, content = await ask(world, asked)
    assert head.status == 400
    if code:
        assert orjson.loads(content)["error"]["code"] == code
    assert provider.count == 0


# -- which dialect, and what is known of the upstream -------------------------------------------------------


def chosen_of(folder: Path, text: str, model: str) -> tuple[providers.Candidate, Config]:
    path = folder / "config.toml"
    path.write_text(f"[endpoints.all]\nkind = 'gateway'\n{text}")
    config = load(path, env={})
    (found,) = providers.find(model, config)
    return found, config


TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize(
    ("provider_text", "model", "more", "dialect"),
    [
        ("[providers.openai]", "gpt-6-sol", {"tools": TOOLS}, Dialect.OPENAI_RESPONSES),
        ("[providers.openai]", "gpt-6-sol", {"tools": TOOLS, "reasoning_effort": "none"}, None),
        ("[providers.openai]", "gpt-6-sol", {}, None),
        ("[providers.openai]", "gpt-4.1", {"tools": TOOLS}, None),
        ("[providers.openai]\nformat = 'openai'", "gpt-6-sol", {"tools": TOOLS}, None),
        ("[providers.openai]\nbase_url = 'http://x'", "gpt-6-sol", {"tools": TOOLS}, None),
        (
            "[providers.azure]\nbase_url = 'http://x/v1'",
            "gpt-6-sol",
            {"tools": TOOLS},
            Dialect.OPENAI_RESPONSES,
        ),
    ],
)
def test_tools_of_openais_newer_models_go_to_responses(
    tmp_path: Path, provider_text: str, model: str, more: dict[str, Any], dialect: Dialect | None
) -> None:
    chosen, config = chosen_of(tmp_path, f"{provider_text}\napi_keys = ['k']\n", model)
    body = orjson.dumps({"model": model, "messages": USER, **more})
    call = calls.read("POST", b"/v1/chat/completions")
    made = prepare(call, body, model, chosen, config=config, is_strict=False)
    assert (made.target.dialect if made else None) == dialect
    if made:
        assert b'"adjusted:upstream-dialect"' in (made.notes.header() or b"")


@pytest.mark.parametrize(
    ("text", "dialect", "expected"),
    [
        ("[providers.openai]", Dialect.OPENAI_CHAT, {"vendor": "openai", "is_openai": True}),
        ("[providers.anthropic]", Dialect.ANTHROPIC_MESSAGES, {"vendor": "anthropic", "is_openai": False}),
        ("[providers.gemini]\nbase_url = 'http://x'", Dialect.GEMINI, {"vendor": "google"}),
        ("[providers.mistral]", Dialect.OPENAI_CHAT, {"is_mistral": True, "has_stream_options": False}),
        ("[providers.openrouter]", Dialect.OPENAI_CHAT, {"is_openrouter": True, "vendor": "openrouter"}),
        (
            "[providers.mine]\nbase_url = 'http://x'",
            Dialect.OPENAI_CHAT,
            {"vendor": "mine", "is_openai": False},
        ),
        (
            "[providers.anthropic]\nmap_hosted = ['web_search']\nauto_cache = true",
            Dialect.ANTHROPIC_MESSAGES,
            {"map_hosted": {"web_search"}, "auto_cache": True},
        ),
    ],
)
def test_what_writers_know_of_an_upstream(
    tmp_path: Path, text: str, dialect: Dialect, expected: dict[str, Any]
) -> None:
    chosen, config = chosen_of(tmp_path, f"{text}\napi_keys = ['k']\n", "any")
    target = target_of(chosen, dialect, config)
    assert {name: getattr(target, name) for name in expected} == expected
    assert target.scope == hashlib.sha256(b"k").hexdigest()[:8]


def test_the_operators_capabilities_win_over_what_is_known_of_the_host(tmp_path: Path) -> None:
    text = """
        [providers.openrouter]
        api_keys = ['k']
        [model_capabilities."some-*"]
        max_tokens_field = "max_output"
        efforts = ["low"]
    """
    chosen, config = chosen_of(tmp_path, text, "some-model")
    row = target_of(chosen, Dialect.OPENAI_CHAT, config).row
    assert (row.max_tokens_field, row.efforts) == ("max_output", ("low",))
    other, _ = chosen_of(tmp_path, text, "other-model")
    assert target_of(other, Dialect.OPENAI_CHAT, config).row.max_tokens_field == "max_tokens"


def test_what_is_not_translated_says_so(tmp_path: Path) -> None:
    chosen, config = chosen_of(tmp_path, "[providers.anthropic]\napi_keys = ['k']\n", "any")
    call = calls.Call(dialect=Dialect.OPENAI_CHAT, task="other", path=b"/audio/speech")
    with pytest.raises(Refused) as caught:
        prepare(call, b"{}", "any", chosen, config=config, is_strict=False)
    assert caught.value.status == 501
