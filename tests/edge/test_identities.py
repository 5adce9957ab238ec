"""TLS identities of providers and endpoints in a running gateway, and their files as they are renewed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.authorities import Authority, served
from support.backstage import Backstage
from support.gateway import Gateway
from support.provider import chat

CONFIG = """
retry = {{cooldowns = false}}
[server]
port = 0
[ledger]
enabled = false
[endpoints.all]
kind = "gateway"
[endpoints.one]
target_base = "{url}/v1"
tls_ca = "trusted.pem"
tls_client_cert = "ours.pem"
[endpoints.none]
target_base = "{url}/v1"
tls_ca = "trusted.pem"
[providers.own]
base_url = "{url}/v1"
models = ["own"]
tls_ca = "trusted.pem"
[[providers.own.credentials]]
api_key = "sk-a"
tls_client_cert = "ours.pem"
[providers.bare]
base_url = "{url}/v1"
models = ["bare"]
api_keys = ["sk-b"]
tls_client_cert = "ours.pem"
"""
"""What stays with the system's authorities does not trust the provider here."""
WAYS = {"all own": 200, "all bare": 502, "one x": 200, "none x": 502}


def ask(gateway: Gateway, way: str) -> int:
    endpoint, model = way.split()
    url = f"{gateway.url}/{endpoint}/v1/chat/completions"
    return httpx.post(url, json=chat(model=model), headers={"authorization": "Bearer x"}).status_code


def ours(folder: Path, name: str) -> Authority:
    """A new authority in place of the one before, with what it signed."""
    made = Authority(folder, name)
    made.pair("ours")
    (folder / "trusted.pem").write_bytes(made.ca.read_bytes())
    return made


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    yield ours(tmp_path, "first")


def test_files_of_a_provider_a_credential_and_an_endpoint(authority: Authority, tmp_path: Path) -> None:
    tls = served(authority.pair("server"), clients_of=authority.ca)
    with (
        Backstage(ssl=tls) as provider,
        Gateway(CONFIG.format(url=provider.url), tmp_path, host="serve") as gateway,
    ):
        assert {way: ask(gateway, way) for way in WAYS} == WAYS
        renewed = ours(tmp_path, "second")
        gateway.wait_for("changed .*providers.own.TLS files")
        assert ask(gateway, "one x") == 502  # it does not trust the provider any more
        tls.load_cert_chain(renewed.pair("server"))
        tls.load_verify_locations(renewed.ca)
        assert {way: ask(gateway, way) for way in WAYS} == WAYS
        (tmp_path / "trusted.pem").write_text("broken")
        gateway.wait_for("holds no PEM certificate")
        assert {way: ask(gateway, way) for way in WAYS} == WAYS
