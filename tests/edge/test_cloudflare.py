"""Cloudflare endpoints through a real mitmdump, the demonstration provider in Cloudflare's place."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import httpx
import openai
import orjson
import pytest

from llmitm.translate.reshape import collect_chat
from support import forked
from support.backstage import Backstage
from support.gateway import Gateway

TEXT = "def f():\n\treturn 1   # grüß dich, 日本語のテキスト\n\n"
CHAT = {"model": "openai/gpt-demo", "messages": [{"role": "user", "content": TEXT}]}
STREAM = {**CHAT, "stream": True}


def events_of(body: bytes) -> list[bytes]:
    return [block for block in body.split(b"\n\n") if block.startswith(b"data:")]


def test_url_token_and_key_are_rewritten_and_rotate(client: httpx.Client, provider: Backstage) -> None:
    seen = []
    for number in range(1, 5):
        answer = client.post("/cf/v1/chat/completions?trace=1", json=CHAT, headers={"x-debug": "true"})
        assert answer.status_code == 200
        got = provider.received(number)
        path, _, query = got.target.partition("?")
        assert query == "trace=1"
        account, gateway = path.split("/")[2:4]
        assert path == f"/v1/{account}/{gateway}/compat/chat/completions"
        token = {"one": "cf-token-one-secret", "two": "cf-token-two-secret"}[gateway]
        assert got.header(b"cf-aig-authorization") == f"Bearer {token}".encode()
        assert got.header(b"cf-aig-no-wholesale") == b"true"
        assert answer.headers["x-debug-gateway"] == f"{account}/{gateway}"
        seen.append((gateway, got.header(b"authorization")))
    assert {gateway for gateway, _ in seen} == {"one", "two"}
    assert {key for _, key in seen} == {b"Bearer sk-first-provider-key", b"Bearer sk-second-provider-key"}


def test_the_clients_key_is_kept_where_there_is_none_of_ours(
    client: httpx.Client, provider: Backstage
) -> None:
    body = {**CHAT, "model": "groq/llama"}
    client.post("/cf/v1/chat/completions", json=body, headers={"authorization": "Bearer sk-client-own-key"})
    assert provider.received().header(b"authorization") == b"Bearer sk-client-own-key"
    client.post("/cf/v1/chat/completions", json=CHAT, headers={"authorization": "Bearer sk-client-own-key"})
    assert b"provider-key" in (provider.received(2).header(b"authorization") or b"")


def test_the_body_is_not_rewritten(client: httpx.Client, provider: Backstage) -> None:
    body = (
        b'{ "z": 1.50, "model":"openai/gpt-demo","messages":[{"role":"user","content":"\\u00e9"}], "a":[] }'
    )
    client.post("/cf/v1/chat/completions", content=body)
    assert provider.received().body == body


def test_headers_for_caching_and_metadata_go_through_but_not_a_token(
    client: httpx.Client, provider: Backstage
) -> None:
    headers = {
        "cf-aig-cache-ttl": "60",
        "cf-aig-metadata": '{"team":"a"}',
        "cf-aig-authorization": "Bearer of-the-client",
        "cf-aig-no-wholesale": "false",
    }
    client.post("/cf/v1/chat/completions", json=CHAT, headers=headers)
    got = provider.received()
    assert got.header(b"cf-aig-cache-ttl") == b"60"
    assert got.header(b"cf-aig-metadata") == b'{"team":"a"}'
    named = [value for name, value in got.headers if name.lower().startswith(b"cf-aig-")]
    assert b"Bearer of-the-client" not in named
    assert got.header(b"cf-aig-no-wholesale") == b"true"


def test_other_paths_go_below_compat(client: httpx.Client, provider: Backstage) -> None:
    client.post("/cf/v1/embeddings", json={"model": "openai/embed", "input": "x"})
    assert provider.received().target.endswith("/compat/embeddings")


def test_a_real_stream_is_passed_through_live(client: httpx.Client, provider: Backstage) -> None:
    with client.stream(
        "POST", "/cf/v1/chat/completions", json=STREAM, headers={"x-demo-fault": "pace:30"}
    ) as answer:
        started_s = time.monotonic()
        moments = [time.monotonic() - started_s for _ in answer.iter_raw()]
    assert len(moments) > 3
    assert moments[-1] - moments[0] > 0.05
    assert b'"stream":true' in provider.received().body


@pytest.mark.parametrize("include_usage", [False, True])
def test_a_simulated_stream_holds_exactly_what_the_whole_answer_holds(
    client: httpx.Client, provider: Backstage, include_usage: bool
) -> None:
    body = {**STREAM, "n": 2} | ({"stream_options": {"include_usage": True}} if include_usage else {})
    whole = client.post("/cf/v1/chat/completions", json={**CHAT, "n": 2}).json()
    answer = client.post("/cf_simulated/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    sent = orjson.loads(provider.received(2).body)
    assert sent["stream"] is False
    assert "stream_options" not in sent
    events = events_of(answer.content)
    assert events[-1] == b"data: [DONE]"
    first = orjson.loads(events[0].removeprefix(b"data: "))
    assert first["choices"][0]["delta"]["role"] == "assistant"
    collected = collect_chat(events)
    texts = [choice["message"]["content"] for choice in collected["choices"]]
    assert texts == [choice["message"]["content"] for choice in whole["choices"]]
    assert TEXT in texts[0]
    assert ("usage" in collected) is include_usage


@pytest.mark.parametrize("endpoint", ["cf", "cf_simulated"])
def test_the_openai_sdk_streams_tools(gateway: Gateway, endpoint: str) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    with openai.OpenAI(base_url=f"{gateway.url}/{endpoint}/v1", api_key="none", max_retries=0) as sdk:
        arguments = ""
        finish = None
        for chunk in sdk.chat.completions.create(
            model="openai/gpt-demo",
            messages=[{"role": "user", "content": "use the tool"}],
            tools=[tool],  # type: ignore[list-item]
            stream=True,
        ):
            for choice in chunk.choices:
                finish = choice.finish_reason or finish
                for call in choice.delta.tool_calls or ():
                    arguments += (call.function.arguments or "") if call.function else ""
    assert finish == "tool_calls"
    assert isinstance(orjson.loads(arguments), dict)


def test_a_stream_that_comes_back_as_one_json_body_is_streamed(client: httpx.Client) -> None:
    answer = client.post(
        "/cf/v1/chat/completions", json=STREAM, headers={"x-demo-fault": "json-instead-of-sse"}
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert TEXT in collect_chat(events_of(answer.content))["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ("cf:2009", 502, "token of this gateway"),
        ("cf:2005", 502, "code 2005"),
        ("cf:2003", 429, "code 2003"),
        ("cf:2041", 429, "code 2041"),
        ("cf:2019", 400, "code 2019"),
        ("status:401", 502, "credential openai-"),
        ("status:429", 429, None),
        ("status:400", 400, None),
        ("status:500", 500, None),
    ],
)
@pytest.mark.parametrize("endpoint", ["cf", "cf_simulated"])
def test_errors_are_told_by_whose_they_are(
    client: httpx.Client, endpoint: str, fault: str, status: int, words: str | None
) -> None:
    answer = client.post(f"/{endpoint}/v1/chat/completions", json=STREAM, headers={"x-demo-fault": fault})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert isinstance(error, dict)
    assert "secret" not in answer.text and "provider-key" not in answer.text
    if words:
        assert words in error["message"]


def test_the_test_command_tells_truly_who_answered(
    gateway: Gateway, provider: Backstage, tmp_path: Path
) -> None:
    for what, requests in (["gateway"], 4), (["provider", "openai"], 2), ([], 1):
        command = [forked.programs() / "llmitm", "--config", gateway.config_path, "test", *what]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert f"{requests} requests, {requests} passed, 0 failed" in ran.stdout
        if what == ["gateway"]:
            assert "/one" in ran.stdout and "/two" in ran.stdout
        assert "provider-key" not in ran.stdout + ran.stderr
