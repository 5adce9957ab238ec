from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.backstage import Backstage
from support.gateway import Gateway

CONFIG = """
retry = {{max_attempts = 1, cooldowns = false}}
[server]
port = 0
body_limit_mb = 1
[timeouts]
first_byte_s = 3
idle_s = 2
[endpoints.dev]
target_base = "{url}"
[endpoints.v1base]
target_base = "{url}/v1"
[endpoints.refusing]
target_base = "http://127.0.0.1:1"
[endpoints.cf]
kind = "cloudflare"
[endpoints.cf_simulated]
kind = "cloudflare"
simulate_stream = true
[[gateways]]
account_id = "accountone"
gateway_id = "one"
token = "cf-token-one-secret"
[[gateways]]
account_id = "accounttwo"
gateway_id = "two"
token = "cf-token-two-secret"
[cloudflare]
base_url = "{url}"
[providers.openai]
api_keys = ["sk-first-provider-key", "sk-second-provider-key"]
test_model = "openai/gpt-demo"
[streaming]
pace_ms = 1
"""


@pytest.fixture(scope="session")
def provider() -> Iterator[Backstage]:
    with Backstage() as running:
        yield running


@pytest.fixture(scope="session")
def gateway(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One mitmdump, as the README runs it, for all tests that need no other."""
    folder: Path = tmp_path_factory.mktemp("gateway")
    with Gateway(CONFIG.format(url=provider.url), folder) as running:
        yield running


@pytest.fixture
def client(gateway: Gateway, provider: Backstage) -> Iterator[httpx.Client]:
    provider.forget()
    with httpx.Client(base_url=gateway.url, timeout=10, trust_env=False) as made:
        yield made
