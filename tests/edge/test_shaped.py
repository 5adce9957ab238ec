"""Payload rules and header rules through a running gateway, asked by the official clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from support.backstage import Backstage
from support.gateway import Gateway
from support.sdks import CLIENTS, Chat, Client, Gemini, Messages, Responses

CONFIG = """
[server]
port = 0
[endpoints.all]
kind = "gateway"
[endpoints.direct]
provider = "chat"
[providers.chat]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-chat-key"]
models = [{{id = "gpt-4.1", alias = "fast"}}]
[providers.responses]
base_url = "{url}/v1"
wire-api = "responses"
api_keys = ["sk-responses-key"]
models = ["gpt-5.2"]
[providers.messages]
base_url = "{url}"
format = "claude"
api_keys = ["sk-messages-key"]
models = ["claude-sonnet-4-6"]
refused-betas = ["fast-mode-*"]
headers = {{"anthropic-beta" = "context-1m-2025-08-07"}}
[providers.gemini]
base_url = "{url}"
api_keys = ["sk-gemini-key"]
models = ["gemini-3.8-flash"]
[[payload.default]]
models = [{{asked = "fast", headers = {{x-tier = "gold*"}}}}]
params = {{"metadata.team" = "research"}}
[[payload.override]]
models = [{{protocol = "openai-chat"}}, {{protocol = "openai-responses"}}]
params = {{temperature = 0.25}}
[[payload.override]]
models = [{{protocol = "claude"}}]
params = {{"messages.-1.role" = "user", service_tier = "standard_only"}}
[[payload.override]]
models = [{{protocol = "gemini"}}]
params-json = {{"generationConfig.topP" = "0.50"}}
[[payload.filter]]
params = ["seed", "tools.*.function.strict"]
"""
MODELS = {
    "gpt-4.1": b'"temperature":0.25',
    "gpt-5.2": b'"temperature":0.25',
    "claude-sonnet-4-6": b'"service_tier":"standard_only"',
    "gemini-3.8-flash": b'"topP":0.50',
}


@pytest.fixture(scope="module")
def running(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(CONFIG.format(url=provider.url), tmp_path_factory.mktemp("shaped"), host="serve") as made:
        yield made


@pytest.fixture(scope="module")
def clients(running: Gateway) -> Iterator[dict[type[Client], Client]]:
    made = {kind: kind(running.url) for kind in CLIENTS}
    yield made
    for one in made.values():
        one.close()


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", [Chat, Responses, Messages, Gemini])
def test_every_client_is_answered_and_every_provider_gets_what_the_rules_say(
    provider: Backstage, clients: dict[type[Client], Client], kind: type[Client], model: str, streams: bool
) -> None:
    provider.forget()
    client = clients[kind]
    answer = client.ask(model, client.said("one two three"), streams=streams)
    assert answer.text
    assert MODELS[model] in provider.received().body


@pytest.mark.parametrize("path", ["all", "direct"])
def test_rules_go_by_name_and_header_and_leave_the_rest(
    provider: Backstage, running: Gateway, path: str
) -> None:
    provider.forget()
    with openai.OpenAI(base_url=f"{running.url}/{path}/v1", api_key="none", max_retries=0) as client:
        tool: Any = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {}}}
        client.chat.completions.create(
            model="fast",
            messages=[{"role": "user", "content": "one two"}],
            tools=[tool],
            seed=3,
            temperature=1.5,
            extra_headers={"x-tier": "gold-1", "OpenAI-Organization": "org-of-the-client"},
        )
    got = provider.received()
    asked = got.json()
    assert asked["temperature"] == 0.25 and asked["metadata"] == {"team": "research"}
    assert "seed" not in asked and asked["tools"][0]["function"] == {"name": "f", "parameters": {}}
    assert got.header(b"openai-organization") is None
    assert got.text(b"authorization") == "Bearer sk-chat-key"


def test_flags_that_a_provider_refuses_are_dropped_with_a_warning(
    provider: Backstage, running: Gateway
) -> None:
    provider.forget()
    with anthropic.Anthropic(base_url=f"{running.url}/all", api_key="none", max_retries=0) as client:
        answer = client.beta.messages.with_raw_response.create(
            model="claude-sonnet-4-6",
            max_tokens=9,
            messages=[{"role": "user", "content": "one two"}],
            betas=["fast-mode-2026-02-01", "effort-2025-11-24"],
        )
    got = provider.received()
    assert got.text(b"anthropic-beta") == "effort-2025-11-24,context-1m-2025-08-07"
    assert answer.headers["x-llmitm-warnings"] == '"lost:beta";at="fast-mode-2026-02-01"'
