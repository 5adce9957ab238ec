from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.request import getproxies_environment

import httpx
import pytest

from llmitm.cli.certs import write_pair
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


@pytest.fixture(scope="module", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No proxy for clients in this process, and one certificate that they trust: of all those that people
    trust, each client would read a hundred and forty, which takes it 30 ms."""
    folder = tmp_path_factory.mktemp("trusted")
    write_pair(folder, ("localhost",), 1, force=False)
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("SSL_CERT_FILE", str(folder / "cert.pem"))
        for name in getproxies_environment():
            for spelled in (f"{name}_proxy", f"{name}_PROXY".upper()):
                changed.delenv(spelled, raising=False)
        yield


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
    with httpx.Client(base_url=gateway.url, timeout=10) as made:
        yield made
