"""Budgets of a running gateway: told in the official clients' words, settled, and there after a restart."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.backstage import Backstage
from support.gateway import Gateway
from support.sdks import CLIENTS, Chat, Client, Gemini, Messages, Responses

CONFIG = """
retry = {{cooldowns = false}}
model_prices = {{"*" = {{input = 100.0, output = 1000.0}}}}
[server]
port = 0
[endpoints.all]
kind = "gateway"
[endpoints.passing]
provider = "chat"
target_base = "{url}"
[endpoints.theirs]
target_base = "{url}"
[providers.chat]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-chat"]
models = [{{id = "gpt-4.1", alias = "via-chat"}}]
[providers.responses]
base_url = "{url}/v1"
format = "openai-responses"
api_keys = ["sk-responses"]
models = [{{id = "gpt-5.2", alias = "via-responses"}}]
[providers.messages]
base_url = "{url}"
format = "anthropic-messages"
api_keys = ["sk-messages"]
models = [{{id = "claude-sonnet-4-6", alias = "via-messages"}}]
[providers.gemini]
base_url = "{url}"
format = "gemini"
api_keys = ["sk-gemini"]
models = [{{id = "gemini-3.8-flash", alias = "via-gemini"}}]
[providers.slow]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-slow"]
headers = {{x-demo-fault = "pace:50"}}
models = ["slow"]
[providers.failing]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-failing"]
headers = {{x-demo-fault = "status:500"}}
models = ["failing"]
"""
KEYS = {
    "rich": "budget_usd = 1000.0",
    "poor": "budget_usd = 0.0001",
    "few": "budget_usd = {{daily = {limit}, monthly = 100}}\nbudget_tokens = {{weekly = 1000000}}",
}
UPSTREAMS = ("via-chat", "via-responses", "via-messages", "via-gemini")
OWN = {Chat: "via-chat", Responses: "via-responses", Messages: "via-messages", Gemini: "via-gemini"}
BODY = {"model": "via-chat", "max_tokens": 10, "messages": [{"role": "user", "content": "one two three"}]}
COST = 3 * 100e-6 + 9 * 1000e-6
"""Of three words, and of the nine that are answered to them."""


def config_of(provider: Backstage, limit: float = 50.0) -> str:
    keys = (f'[[auth_keys]]\nname = "{name}"\nkey = "sk-proxy-{name}"\n{KEYS[name]}\n' for name in KEYS)
    return CONFIG.format(url=provider.url) + "".join(keys).format(limit=limit)


@pytest.fixture(scope="module")
def running(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("budgets")
    with Gateway(config_of(provider), folder, host="serve") as made:
        yield made


def post(
    gateway: Gateway, key: str, path: str = "/all/v1/chat/completions", **changes: Any
) -> httpx.Response:
    headers = {"x-llmitm-key": f"sk-proxy-{key}"}
    return httpx.post(gateway.url + path, json={**BODY, **changes}, headers=headers, timeout=20)


def metric(gateway: Gateway, name: str, *labels: str) -> float:
    """0 where it is not told."""
    text = httpx.get(f"{gateway.url}/metrics").text
    for line in text.splitlines():
        if line.startswith(name) and all(label in line for label in labels):
            return float(line.rpartition(" ")[2])
    return 0.0


def spent(gateway: Gateway, key: str, unit: str = "usd", period: str = "") -> float:
    return metric(gateway, f"llmitm_budget_spent_{unit}", f'budget="key:{key}"', period)


def until(read: Callable[[], float], wanted: float) -> None:
    """An answer may be there a moment before it is settled."""
    until_s = time.monotonic() + 10
    while (found := read()) != pytest.approx(wanted):
        assert time.monotonic() < until_s, f"{found} is not {wanted}"


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.__name__.lower())
def test_what_answers_and_streams_took_is_settled(
    running: Gateway, kind: type[Client], streams: bool
) -> None:
    """Of every dialect, translated or not."""
    client = kind(running.url, "sk-proxy-rich")
    try:
        for model in UPSTREAMS:
            before = spent(running, "rich")
            answer = client.ask(model, client.said("one two three"), streams=streams)
            took = (answer.input_tokens or 0) * 100e-6 + (answer.output_tokens or 0) * 1000e-6
            assert took > 0
            until(lambda: spent(running, "rich"), before + took)
    finally:
        client.close()


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.__name__.lower())
def test_the_official_clients_are_told_in_their_own_words(
    running: Gateway, provider: Backstage, kind: type[Client], streams: bool
) -> None:
    client = kind(running.url, "sk-proxy-poor")
    provider.forget()
    try:
        with pytest.raises(kind.errors[429], match=r"The key poor may spend \$0\.0001 a month") as caught:
            client.ask(OWN[kind], client.said("one two three"), streams=streams)
    finally:
        client.close()
    assert "never pass" in str(caught.value) or "renews at 20" in str(caught.value)
    assert provider.new == 0
    assert spent(running, "poor") == 0


def test_the_official_client_of_openai_does_not_come_back(running: Gateway, provider: Backstage) -> None:
    import openai

    with openai.OpenAI(base_url=f"{running.url}/all/v1", api_key="sk-proxy-poor", max_retries=3) as client:
        before = metric(running, "llmitm_limit_rejections_total", 'limit="key:poor"', 'kind="budget_usd"')
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="via-chat", messages=[{"role": "user", "content": "x"}])
    after = metric(running, "llmitm_limit_rejections_total", 'limit="key:poor"', 'kind="budget_usd"')
    assert (after - before, caught.value.code, caught.value.type) == (
        1,
        "budget_exceeded",
        "insufficient_quota",
    )


def test_credentials_of_ours_behind_a_passing_endpoint_are_held_and_those_of_clients_are_not(
    running: Gateway,
) -> None:
    before = spent(running, "rich")
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    assert post(running, "rich", "/passing/v1/chat/completions", **streamed).status_code == 200
    until(lambda: spent(running, "rich") - before, COST)
    assert post(running, "poor", "/theirs/v1/chat/completions").status_code == 200
    assert post(running, "poor", "/passing/v1/chat/completions").status_code == 429


def test_what_nobody_worked_for_costs_nothing(running: Gateway) -> None:
    before = spent(running, "rich")
    assert post(running, "rich", model="failing").status_code == 500
    assert post(running, "rich", model="unknown-to-all").status_code == 404
    until(lambda: spent(running, "rich"), before)


def test_of_a_stream_whose_client_left_the_estimate_counts(running: Gateway) -> None:
    before, estimates = spent(running, "rich"), metric(running, "llmitm_budget_estimates_total")
    body = {**BODY, "model": "slow", "stream": True, "max_tokens": 400}
    with (
        httpx.Client(headers={"x-llmitm-key": "sk-proxy-rich"}) as client,
        client.stream("POST", f"{running.url}/all/v1/chat/completions", json=body) as answer,
    ):
        next(answer.iter_bytes())
    until_s = time.monotonic() + 10
    while metric(running, "llmitm_budget_estimates_total") == estimates:
        assert time.monotonic() < until_s
    assert spent(running, "rich") - before > 400 * 1000e-6


def test_it_goes_on_after_a_restart_and_follows_the_configuration(
    provider: Backstage, tmp_path: Path
) -> None:
    with Gateway(config_of(provider, limit=0.05), tmp_path, host="serve") as gateway:
        with ThreadPoolExecutor(8) as threads:
            told = list(threads.map(lambda _: post(gateway, "few").status_code, range(12)))
        while (last := post(gateway, "few")).status_code == 200:
            told.append(200)
        took = told.count(200) * COST
        assert 0.05 - 2 * COST < took <= 0.05
        assert re.search(r"\$0\.05 a day, and \$0\.0\d+ of that is spent", last.text)
        until(lambda: spent(gateway, "few", period="daily"), took)
    with Gateway(config_of(provider, limit=0.05), tmp_path, host="serve") as gateway:
        assert post(gateway, "few").status_code == 429
        assert "budgets: 5 read from the ledger, 3 of them used already" in gateway.output()
        for unit, period, total in (("usd", "daily", took), ("usd", "monthly", took), ("tokens", "", None)):
            wanted = told.count(200) * 12 if total is None else total
            assert spent(gateway, "few", unit, period) == pytest.approx(wanted)
        gateway.config_path.write_text(config_of(provider, limit=0.5))
        gateway.wait_for("configuration read from")
        assert post(gateway, "few").status_code == 200
        until(lambda: spent(gateway, "few", period="daily"), took + COST)
