"""`llmitm test` where no Cloudflare stands between: each credential is asked through the gateway itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from llmitm.cli import probe
from llmitm.config.load import load
from llmitm.secret import Redactor
from support.backstage import Backstage

CONFIG = """
[providers.openai]
base_url = "{url}/v1"
api_keys = ["sk-one-of-two", "sk-two-of-two"]
test_model = "gpt-4.1"
[providers.local]
base_url = "{url}/v1"
api_keys = ["sk-of-the-house"]
test_model = "local/llama"
"""
KEY = """
[[auth_keys]]
name = "first"
key_hash = "sha256:{hash}"
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[Backstage]:
    with Backstage() as one:
        yield one


def test_every_credential_of_a_provider_is_asked(
    provider: Backstage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(url=provider.url))
    assert probe.run(path, "provider", "openai") == 0
    told = capsys.readouterr().out
    assert "2 requests, 2 passed, 0 failed" in told
    assert told.count("openai-") == 2 and len(set(told.split()) & names(path)) == 2
    assert "of-two" not in told


def names(path: Path) -> set[str]:
    config = load(path, env={})
    return {one.name or "" for one in config.providers["openai"].credentials}


async def test_the_reason_why_nobody_answered_is_told() -> None:
    def distrusted(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("certificate has expired")

    async with httpx.AsyncClient(transport=httpx.MockTransport(distrusted), base_url="http://x") as client:
        seen = await probe._ask(client, "default", "a/model", Redactor())
    assert not seen.is_fine and "certificate has expired" in seen.text


@pytest.mark.parametrize(
    ("text", "what", "name", "words"),
    [
        ('[endpoints.a]\ntarget_base = "https://x.example"', "all", None, "[providers] or [[gateways]]"),
        (CONFIG, "gateway", None, "needs [[gateways]]"),
        (CONFIG, "provider", "nobody", "possible are openai, local"),
        (CONFIG + KEY.format(hash="0" * 64), "all", None, "set LLMITM_KEY"),
    ],
)
def test_what_is_missing_is_told(
    text: str, what: str, name: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text.replace("{url}", "http://127.0.0.1:9"))
    assert probe.run(path, what, name) == 2
    assert words in capsys.readouterr().err
