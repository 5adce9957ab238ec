"""What an operator reads of a running gateway: exchanges as they happen and later, sums, prices, the log."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import httpx
import pytest

from support import forked
from support.backstage import Backstage
from support.gateway import Gateway

PASSWORD = "a long password of tests"
HASH = "$argon2id$v=19$m=8192,t=1,p=1$7BqykFXlekTkWry5eXHNWw$HkA4TtJV1xmFydS3LHGyPa9BpJlrkZJE29WEOTAYUfg"
PROVIDER_KEYS = ("sk-provider-canary-one-1", "sk-provider-canary-two-2")
CONFIG = """
[server]
port = 0
[endpoints.all]
kind = "gateway"
[endpoints.dev]
target_base = "{url}"
[providers.main]
base_url = "{url}/v1"
format = "openai-chat"
models = ["gpt-demo"]
[[providers.main.credentials]]
name = "first"
api_key = "{keys[0]}"
[[providers.main.credentials]]
name = "second"
api_key = "{keys[1]}"
[model_prices]
"gpt-*" = {{input = 1.0, output = 10.0}}
[ledger]
bodies = true
[dashboard]
enabled = true
port = 0
password_hash = "{hash}"
"""
CHAT = {"model": "gpt-demo", "messages": [{"role": "user", "content": "Where is the lighthouse?"}]}
API = "/api/dashboard"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Backstage]:
    with Backstage() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(upstream: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = CONFIG.format(url=upstream.url, hash=HASH, keys=PROVIDER_KEYS)
    with Gateway(config, tmp_path_factory.mktemp("gateway"), host="serve") as running:
        running.wait_for(r"dashboard on (http://127\.0\.0\.1:\d+)")
        yield running


def dashboard_url(gateway: Gateway) -> str:
    return gateway.wait_for(r"dashboard on (http://127\.0\.0\.1:\d+)")[1]


@pytest.fixture(scope="module")
def token(gateway: Gateway) -> str:
    login = {"username": "admin", "password": PASSWORD}
    answer = httpx.post(f"{dashboard_url(gateway)}{API}/auth/login", json=login)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


@pytest.fixture
def page(gateway: Gateway, token: str) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=dashboard_url(gateway), headers=headers) as client:
        yield client


@pytest.fixture
async def socket(gateway: Gateway, token: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    headers = {"authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.ws_connect(f"{dashboard_url(gateway)}/ws/dashboard") as opened:
            yield opened


def ask(gateway: Gateway, **fields: Any) -> httpx.Response:
    url = f"{gateway.url}/all/v1/chat/completions"
    return httpx.post(url, json={**CHAT, **fields}, timeout=20)


def read(page: httpx.Client, path: str) -> Any:
    return page.get(f"{API}/{path}").json()


async def until(socket: aiohttp.ClientWebSocketResponse, kind: str, **wanted: Any) -> dict[str, Any]:
    """The first message of that kind whose data has these values."""
    async with asyncio.timeout(10):
        while True:
            told = await socket.receive_json()
            data = told["data"]
            if told["type"] == kind and all(data[name] == value for name, value in wanted.items()):
                return dict(data)


async def test_an_exchange_is_seen_as_it_begins_and_ends(
    gateway: Gateway, upstream: Backstage, socket: aiohttp.ClientWebSocketResponse, page: httpx.Client
) -> None:
    upstream.script(["slow:900"])
    asked = asyncio.create_task(asyncio.to_thread(ask, gateway))
    begun = await until(socket, "exchange.begun")
    assert (begun["state"], begun["outcome"], begun["endpoint"]) == ("running", None, "all")
    running = await asyncio.to_thread(read, page, f"logs/{begun['id']}")
    assert (running["state"], running["model"], running["provider"]) == ("running", "gpt-demo", "main")
    every = await asyncio.to_thread(read, page, "logs/running")
    assert [one["id"] for one in every["items"]] == [begun["id"]]
    assert (await asked).status_code == 200
    ended = await until(socket, "exchange.ended", id=begun["id"])
    assert (ended["state"], ended["status"], ended["outcome"]) == ("done", 200, "ok")
    metrics = await until(socket, "metrics")
    assert metrics["total_requests"] >= 1 and metrics["lately"]["requests"] >= 1
    assert {one["name"] for one in metrics["credentials"]} == {"first", "second"}


async def test_subscriptions_and_words_that_are_none(socket: aiohttp.ClientWebSocketResponse) -> None:
    await socket.send_json({"type": "subscribe", "channels": ["log", "weather"]})
    assert await until(socket, "subscribed") == {"channels": ["logs"], "unknown": ["weather"]}
    for word in ("no json", "[]", '{"type": "sing"}'):
        await socket.send_str(word)
        assert (await until(socket, "error"))["error"] == "wrong_message"


def test_a_rescued_exchange_tells_why_and_what_it_cost(
    gateway: Gateway, upstream: Backstage, page: httpx.Client
) -> None:
    upstream.script(["status:429;retry-after=1"])
    answer = ask(gateway, user="rescued")
    assert answer.status_code == 200
    found = page.get(f"{API}/logs", params={"q": "rescued", "limit": 1}).json()["items"][0]
    assert (found["attempts"], found["outcome"]) == (2, "ok")
    whole = page.get(f"{API}/logs/{found['id']}").json()
    first, second = whole["attempt_list"]
    assert (first["status"], first["ending"], first["verdict"], first["rests"]) == (
        429, "rate_limit", "credential", "model",
    )  # fmt: skip
    assert (second["ending"], second["verdict"]) == ("answered", "delivered")
    assert first["credential"] != second["credential"]
    bill = second["bill"]
    assert bill["is_as_recorded"] and {one["kind"] for one in bill["lines"]} == {"input", "output"}
    assert (
        sum(one["cost_usd_nano"] for one in bill["lines"]) == bill["total_usd_nano"] == whole["cost_usd_nano"]
    )
    steps = [one["what"] for one in whole["timeline"]]
    assert steps[0] == "accepted" and steps[-1] == "ended" and steps.count("attempt_begun") == 2
    assert [one["at_ms"] for one in whole["timeline"]] == sorted(one["at_ms"] for one in whole["timeline"])
    assert "lighthouse" in whole["bodies"]["request"]
    assert (first["said"]["status"], second["said"]["status"]) == (429, 200)
    assert "lighthouse" in first["sent"]["body"] and first["sent"]["url"].startswith(upstream.url)
    assert ["retry-after", "1"] in [[name.lower(), value] for name, value in first["said"]["headers"]]
    assert second["said"]["body"] == whole["bodies"]["response"]  # the same dialect: byte for byte
    assert not any(key in str(whole) for key in PROVIDER_KEYS)


def test_pages_filters_and_numbers(gateway: Gateway, page: httpx.Client) -> None:
    for _ in range(4):
        assert ask(gateway).status_code == 200
    lost = ask(gateway, model="nobody-has-it")
    assert lost.status_code == 404
    found = page.get(f"{API}/logs", params={"q": lost.headers["x-llmitm-id"]}).json()["items"]
    assert [one["model"] for one in found] == ["nobody-has-it"]
    refused = page.get(f"{API}/logs", params={"status": "4xx"}).json()["items"]
    assert refused and {one["status"] for one in refused} == {404}
    names, cursor = [], None
    for _ in range(20):
        asked = {"limit": 2, "model": "gpt-demo", **({"cursor": cursor} if cursor else {})}
        told = page.get(f"{API}/logs", params=asked).json()
        names += [one["id"] for one in told["items"]]
        if (cursor := told["next_cursor"]) is None:
            break
    assert len(names) == len(set(names)) >= 4
    stats = page.get(f"{API}/logs/stats").json()
    assert stats["total_entries"] == len(names) + stats["by_outcome"]["refused"]
    assert page.get(f"{API}/logs/names").json()["provider"] == ["main"]
    for wrong in (
        {"status": "fine"},
        {"limit": 0},
        {"since": "yesterday"},
        {"colour": "red"},
        {"cursor": "x"},
    ):
        assert page.get(f"{API}/logs", params=wrong).status_code == 422, wrong
    for name in ("llmitm-nothing", "%00", "' OR 1=1 --"):
        assert page.get(f"{API}/logs/{name}").status_code == 404, name


def test_sums_and_prices(gateway: Gateway, page: httpx.Client) -> None:
    ask(gateway)
    used = page.get(f"{API}/usage", params={"by": "provider,model"}).json()
    mine = next(one for one in used["groups"] if one["group"]["provider"] == "main")
    assert mine["group"]["model"] == "gpt-demo" and mine["cost_usd_nano"] > 0 and mine["unpriced"] == 0
    assert used["total"]["requests"] >= mine["requests"]
    assert page.get(f"{API}/usage", params={"by": "colour"}).status_code == 422
    priced = page.get(f"{API}/prices").json()["models"]
    cells = next(one["bands"][0]["cells"] for one in priced if one["model"] == "gpt-demo")
    assert cells == {"input": "1.0", "output": "10.0"} or cells == {"input": "1", "output": "10"}


def test_what_runs_and_how_it_is(gateway: Gateway, page: httpx.Client) -> None:
    info = page.get(f"{API}/system/info").json()
    assert info["pid"] == gateway.process.pid and info["ledger_lost"] == 0
    health = page.get(f"{API}/system/health").json()
    assert health["port"] == gateway.port and {one["name"] for one in health["providers"]} == {"main"}
    assert page.get(f"{API}/metrics").json()["history"]
    assert [one["id"] for one in page.get("/admin/models").json()["data"]] == ["gpt-demo"]
    assert {one["name"]: one["kind"] for one in page.get(f"{API}/endpoints").json()["endpoints"]} == {
        "all": "gateway", "dev": "forward", "default": "gateway",
    }  # fmt: skip
    lines = page.get(f"{API}/system/logs", params={"q": "listening on"}).json()["items"]
    assert all("listening" in one["message"] for one in lines)


PATHS = ("logs", "logs/stats", "logs/running", "usage", "prices", "metrics", "endpoints",
         "system/info", "system/health", "system/logs")  # fmt: skip


def test_nobody_reads_without_a_login_and_nobody_reads_a_secret(gateway: Gateway, page: httpx.Client) -> None:
    for path in (*(f"{API}/{one}" for one in PATHS), "/admin/metrics", "/admin/models", "/ws/dashboard"):
        assert httpx.get(dashboard_url(gateway) + path).status_code == 401, path
        told = page.get(path).text
        assert not any(secret in told for secret in (*PROVIDER_KEYS, HASH, PASSWORD)), path


def test_top_in_a_terminal(gateway: Gateway) -> None:
    ask(gateway)
    told = forked.run(["top", "--once", "--url", gateway.url], cwd=gateway.folder, env=gateway.environment)
    assert told.returncode == 0, told.stderr
    assert re.search(r"200 ok\s+gpt-demo\s+main/(first|second)", told.stdout), told.stdout
