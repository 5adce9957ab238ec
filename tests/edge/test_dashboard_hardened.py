"""The dashboard as an attacker or an accident finds it: over TLS, with hostile answers, after a kill."""

from __future__ import annotations

import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from llmitm.cli.certs import write_pair
from support.backstage import Backstage
from support.gateway import Gateway

PASSWORD = "a long password of tests"
HASH = "$argon2id$v=19$m=8192,t=1,p=1$7BqykFXlekTkWry5eXHNWw$HkA4TtJV1xmFydS3LHGyPa9BpJlrkZJE29WEOTAYUfg"
SERVER = "[server]\nport = 0\n"
CONFIG = """
[endpoints.dev]
target_base = "{url}"
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
API = "/api/dashboard"
LOGIN = {"username": "admin", "password": PASSWORD}
BROWSER = {"X-Requested-With": "llmitm"}
MARKUP = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Backstage]:
    with Backstage() as running:
        yield running


def url_of(gateway: Gateway) -> str:
    return gateway.wait_for(r"dashboard on (https?://127\.0\.0\.1:\d+)")[1]


@pytest.fixture(scope="module")
def page(upstream: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Over TLS, not logged in."""
    folder = tmp_path_factory.mktemp("gateway")
    write_pair(folder, ("localhost", "127.0.0.1"), 5, force=False)
    config = f'{SERVER}tls_cert = "cert.pem"\ntls_key = "key.pem"\n' + CONFIG.format(
        url=upstream.url, hash=HASH
    )
    trusted = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    with Gateway(config, folder, host="serve") as gateway:
        with httpx.Client(base_url=url_of(gateway), verify=trusted, timeout=20) as client:
            yield client


@pytest.fixture(scope="module")
def bearer(page: httpx.Client) -> dict[str, str]:
    return {"authorization": f"Bearer {page.post(f'{API}/auth/login', json=LOGIN).json()['token']}"}


def test_over_tls_cookies_are_for_tls_alone(page: httpx.Client) -> None:
    answer = page.post(f"{API}/auth/login", json=LOGIN, headers=BROWSER)
    cookies = answer.headers.get_list("set-cookie")
    assert answer.status_code == 200 and len(cookies) == 2
    for one in cookies:
        assert one.startswith(("__Host-llmitm_", "__Secure-llmitm_"))
        assert {"Secure", "HttpOnly", "SameSite=Strict"} <= {part.strip() for part in one.split(";")}
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    page.cookies.clear()


def test_the_playground_trusts_the_gateways_own_certificate(
    page: httpx.Client, bearer: dict[str, str], upstream: Backstage
) -> None:
    """And what comes back is never a page of ours, whatever it says it is."""
    upstream.script([f"status:400;content-type=text/html;x-odd={MARKUP}"])
    sent = {"model": "gpt-demo", "messages": [{"role": "user", "content": MARKUP}]}
    answer = page.post(f"{API}/playground/v1/chat/completions", json=sent, headers=bearer)
    assert answer.status_code == 400
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff" and "x-odd" not in answer.headers


def test_hostile_texts_come_as_json_and_are_nothing_else(page: httpx.Client, bearer: dict[str, str]) -> None:
    sent = {"model": MARKUP, "messages": [{"role": "user", "content": MARKUP}]}
    made = page.post(f"{API}/playground/v1/chat/completions", json=sent, headers=bearer)
    path = f"{API}/logs/{made.headers['x-request-id']}"
    for where in (path, f"{API}/logs?q=alert", f"{API}/logs/{MARKUP}", f"{API}/logs?since={MARKUP}"):
        answer = page.get(where, headers=bearer)
        assert answer.headers["content-type"].startswith("application/json"), where
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "script-src 'self'" in answer.headers["content-security-policy"]


def test_another_name_than_ours_is_answered_by_nothing(page: httpx.Client, bearer: dict[str, str]) -> None:
    for path in ("/", f"{API}/auth/me", f"{API}/auth/state", "/ws/dashboard", "/admin/config"):
        answer = page.get(path, headers={**bearer, "host": "rebound.example"})
        assert (answer.status_code, answer.json()["error"]) == (421, "unknown_host")


def test_a_gateway_that_is_killed_has_its_history_and_its_logins(upstream: Backstage, tmp_path: Path) -> None:
    config = SERVER + CONFIG.format(url=upstream.url, hash=HASH)
    with Gateway(config, tmp_path, host="serve") as gateway:
        with httpx.Client(base_url=url_of(gateway), timeout=20) as client:
            stays, ended = (client.post(f"{API}/auth/login", json=LOGIN).json()["token"] for _ in "12")
            headers = {"authorization": f"Bearer {stays}"}
            made = client.patch(f"{API}/routing", json={"strategy": "cost"}, headers=headers)
            assert made.status_code == 200
            out = {"authorization": f"Bearer {ended}"}
            assert client.post(f"{API}/auth/logout", headers=out).status_code == 204
        gateway.stop(signal.SIGKILL)
        text = gateway.config_path.read_text()
    with Gateway(text, tmp_path, host="serve") as gateway:
        with httpx.Client(base_url=url_of(gateway), timeout=20) as client:
            assert client.get(f"{API}/auth/me", headers=out).status_code == 401
            newest, first = client.get(f"{API}/config/history", headers=headers).json()["versions"]
            assert (newest["who"], newest["what"], newest["is_current"]) == (
                "admin",
                "routing: strategy",
                True,
            )
            back = client.post(f"{API}/config/rollback", json={"number": first["number"]}, headers=headers)
            assert back.status_code == 200
            assert gateway.config_path.read_text() == config
