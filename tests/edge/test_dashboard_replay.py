"""What an operator sends himself: requests played again, and the playground, as flows like any other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.backstage import Backstage
from support.gateway import Gateway
from support.pages import free_port

PASSWORD = "a long password of tests"
HASH = "$argon2id$v=19$m=8192,t=1,p=1$7BqykFXlekTkWry5eXHNWw$HkA4TtJV1xmFydS3LHGyPa9BpJlrkZJE29WEOTAYUfg"
CLIENT_KEY = "sk-proxy-0123456789abcdef"
CONFIG = """
[server]
port = 0
trusted_proxies = ["127.0.0.1"]
[[auth_keys]]
name = "laptop"
key = "{key}"
[providers.main]
base_url = "{url}/v1"
format = "openai-chat"
models = ["gpt-demo"]
api_keys = ["sk-provider-0123456789"]
[ledger]
bodies = true
[dashboard]
enabled = true
port = 0
password_hash = "{hash}"
"""
CHAT = {"model": "gpt-demo", "messages": [{"role": "user", "content": "Where is the lighthouse?"}]}
API = "/api/dashboard"
WORD = "a word of tests"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Backstage]:
    with Backstage() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(upstream: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = CONFIG.format(url=upstream.url, hash=HASH, key=CLIENT_KEY)
    options = ("--web-port", str(free_port()), "--set", f"web_password={WORD}")
    folder = tmp_path_factory.mktemp("gateway")
    with Gateway(config, folder, host="mitmweb", options=options) as running:
        running.wait_for(r"dashboard on (http://127\.0\.0\.1:\d+)")
        yield running


@pytest.fixture(scope="module")
def page(gateway: Gateway) -> Iterator[httpx.Client]:
    url = gateway.wait_for(r"dashboard on (http://127\.0\.0\.1:\d+)")[1]
    with httpx.Client(base_url=url, timeout=20) as client:
        login = client.post(f"{API}/auth/login", json={"username": "admin", "password": PASSWORD})
        client.headers["authorization"] = f"Bearer {login.json()['token']}"
        yield client


def ask(gateway: Gateway, page: httpx.Client, **headers: str) -> str:
    """The id of the exchange, once it can be read."""
    url = f"{gateway.url}/v1/chat/completions"
    assert httpx.post(url, json=CHAT, headers=headers, timeout=20).status_code == 200
    for _ in range(500):
        if found := page.get(f"{API}/logs", params={"limit": 1}).json().get("items"):
            return str(found[0]["id"])
    raise AssertionError("the ledger does not have it")


def whole(page: httpx.Client, exchange: str) -> dict[str, Any]:
    """The exchange once it is over and can be read."""
    for _ in range(500):
        told = page.get(f"{API}/logs/{exchange}").json()
        if told.get("state") == "done":
            return dict(told)
    raise AssertionError(f"it is not over: {told}")


def test_an_exchange_is_played_again_as_it_was_or_with_another_body(
    gateway: Gateway, upstream: Backstage, page: httpx.Client
) -> None:
    keys = {"authorization": f"Bearer {CLIENT_KEY}", "x-forwarded-for": "198.51.100.7"}
    first = ask(gateway, page, **keys, **{"x-debug": "1"})
    before = whole(page, first)
    upstream.forget()
    answer = page.post(f"{API}/logs/{first}/replay")
    assert answer.status_code == 202, answer.text
    again = answer.json()
    assert again["replay_of"] == first != again["id"]
    assert again["notes"] == ["authorization is not sent: its value is not kept."]
    got = upstream.received()
    assert got.header(b"authorization") == b"Bearer sk-provider-0123456789"
    assert got.header(b"x-llmitm-ticket") is None
    after = whole(page, again["id"])
    assert (before["client"], before["auth_key"], before["replay_of"]) == ("198.51.100.7", "laptop", None)
    assert (after["client"], after["auth_key"], after["replay_of"]) == ("127.0.0.1", None, first)
    assert before["bodies"]["request"] == after["bodies"]["request"]
    assert ["x-debug", "1"] in after["bodies"]["request_headers"]
    assert "x-llmitm-ticket" not in str(after).lower()
    changed = {"body": '{"model": "nobody-has-it", "messages": []}'}
    other = page.post(f"{API}/logs/{first}/replay", json=changed).json()["id"]
    assert whole(page, other)["status"] == 404


def test_flows_are_found_in_mitmweb(gateway: Gateway, page: httpx.Client) -> None:
    """mitmweb finds a flow by its id from behind the # of the address."""
    played = page.post(f"{API}/playground/v1/chat/completions", json=CHAT)
    told = whole(page, played.headers["x-request-id"])
    assert told["mitmweb_hint"] is None and WORD not in str(told)
    urls = [told["mitmweb_url"], told["attempt_list"][0]["mitmweb_url"]]
    with httpx.Client(headers={"authorization": f"Bearer {WORD}"}, timeout=20) as mitmweb:
        for url, is_attempt in zip(urls, (False, True), strict=True):
            found = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/#/flows/([0-9a-f-]+)/request", url)
            assert found is not None
            assert mitmweb.get(url).status_code == 200
            (shown,) = [one for one in mitmweb.get(f"{found[1]}/flows").json() if one["id"] == found[2]]
            assert shown["comment"].startswith(told["id"]), shown
            assert ("attempt 1" in shown["comment"]) == is_attempt


def test_what_cannot_be_played_again_says_why(gateway: Gateway, page: httpx.Client) -> None:
    assert page.post(f"{API}/logs/nobody/replay").status_code == 404
    long = {"model": "gpt-demo", "messages": [{"role": "user", "content": "x" * 100_000}]}
    cut = page.post(f"{API}/playground/v1/chat/completions", json=long).headers["x-request-id"]
    whole(page, cut)
    refused = page.post(f"{API}/logs/{cut}/replay")
    assert (refused.status_code, refused.json()["error"]) == (409, "body_cut")


def test_a_made_up_ticket_opens_nothing(gateway: Gateway, upstream: Backstage) -> None:
    upstream.forget()
    for word in ("", "1", "a" * 43):
        url = f"{gateway.url}/v1/chat/completions"
        headers = {"x-llmitm-ticket": word}
        assert httpx.post(url, json=CHAT, headers=headers).status_code == 401
    assert upstream.new == 0
