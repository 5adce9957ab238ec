"""The dashboard of a running gateway: the first password, a playground without a key; nothing of it, off."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.backstage import Backstage
from support.gateway import ROOT, Gateway

PASSWORD = "a long password of tests"
CONFIG = """
[server]
port = 0
[[auth_keys]]
name = "laptop"
key = "sk-proxy-0123456789abcdef"
[providers.main]
base_url = "{url}/v1"
format = "openai-chat"
models = ["gpt-demo"]
api_keys = ["sk-provider-0123456789"]
[dashboard]
enabled = true
port = 0
"""
CHAT = {"model": "gpt-demo", "messages": [{"role": "user", "content": "hello"}]}
API = "/api/dashboard"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Backstage]:
    with Backstage() as running:
        yield running


@pytest.fixture(scope="module")
def page(upstream: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    config = CONFIG.format(url=upstream.url)
    with Gateway(config, tmp_path_factory.mktemp("gateway"), host="serve") as gateway:
        url = gateway.wait_for(r"dashboard on (http://127\.0\.0\.1:\d+)")[1]
        token = gateway.wait_for(r"/welcome#(\S+)")[1]
        with httpx.Client(base_url=url, timeout=20) as client:
            first = client.post(f"{API}/auth/first", json={"token": token, "password": PASSWORD})
            assert first.status_code == 200, first.text
            client.headers["authorization"] = f"Bearer {first.json()['token']}"
            yield client


@pytest.mark.parametrize("is_stream", [False, True])
def test_the_playground_needs_no_key_and_sends_none_of_ours(
    page: httpx.Client, upstream: Backstage, is_stream: bool
) -> None:
    upstream.forget()
    cookies = {"cookie": "llmitm=1", "x-api-key": "a key of nobody"}
    path = f"{API}/playground/v1/chat/completions"
    answer = page.post(path, json={**CHAT, "stream": is_stream}, headers=cookies)
    assert answer.status_code == 200, answer.text
    assert ("data: [DONE]" in answer.text) == is_stream
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["x-request-id"].startswith("llmitm-")
    got = upstream.received()
    assert got.header(b"cookie") is None and got.header(b"x-api-key") is None
    assert got.header(b"authorization") == b"Bearer sk-provider-0123456789"


def test_the_playground_needs_a_login(page: httpx.Client, upstream: Backstage) -> None:
    upstream.forget()
    for headers in ({"authorization": ""}, {"authorization": "Bearer sk-proxy-0123456789abcdef"}):
        answer = page.post(f"{API}/playground/v1/chat/completions", json=CHAT, headers=headers)
        assert answer.status_code == 401
    assert upstream.new == 0


def test_nothing_of_it_is_imported_where_it_is_off(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[endpoints.dev]\ntarget_base = "http://127.0.0.1:9"\n')
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'addons')!r})\n"
        "import llmitm.edge.serve\nfrom llmitm.edge.start import world_or_exit\nworld_or_exit()\n"
        "print({'argon2.low_level', 'jwt', 'aiohttp.web', 'llmitm.admin.server'} & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True, env={}
    )
    assert found.stdout.strip() == "set()"
