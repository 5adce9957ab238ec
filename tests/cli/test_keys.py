"""`llmitm keys`: a key is shown once, its hash is kept, and a running gateway takes it."""

from __future__ import annotations

import asyncio
import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from llmitm.accept.revoked import look
from llmitm.cli import keys
from llmitm.config.auth_keys import AuthKey
from llmitm.config.load import load
from llmitm.secret import Secret
from llmitm.state.place import Place
from llmitm.state.redis import RedisStore
from support import forked
from support.backstage import Backstage
from support.gateway import Gateway
from support.redis_server import BINARY, NO_BINARY, RedisServer

CONFIG = """# mine
[server]
port = 0
[endpoints.all]
kind = "gateway"
[providers.openai]
base_url = "{url}/v1"
api_keys = ["sk-of-the-provider"]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(url="http://127.0.0.1:1"))
    return path


def known(path: Path) -> dict[str, AuthKey]:
    return {key.name: key for key in load(path, env={}).auth_keys or ()}


def test_a_key_is_alone_on_standard_output_and_only_its_hash_is_kept(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keys.new(path, "laptop", {}) == 0
    said = capsys.readouterr()
    assert re.fullmatch(r"sk-proxy-[0-9a-f]{32}\n", said.out)
    key = said.out.strip()
    assert key not in said.err and key not in path.read_text()
    assert known(path)["laptop"].digest == hashlib.sha256(key.encode()).digest()
    assert "from now on every client needs a key" in said.err
    assert path.read_text().startswith("# mine\n")
    assert keys.new(path, "desk", {}) == 0
    other = capsys.readouterr()
    assert other.out.strip() != key
    assert "from now on" not in other.err


def test_options_are_written_as_the_configuration_has_them(path: Path) -> None:
    options: dict[str, Any] = {
        "expires_at": "2099-01-01",
        "allowed_models": ["gpt-*", "claude-*"],
        "allowed_endpoints": ["all"],
        "rpm": 60,
        "tpm": None,
        "concurrency": 4,
    }
    assert keys.new(path, "laptop", options) == 0
    key = known(path)["laptop"]
    assert key.expires_at == datetime(2099, 1, 1, tzinfo=UTC)
    assert (key.allowed_models, key.allowed_endpoints) == (("gpt-*", "claude-*"), ("all",))
    assert (key.rpm, key.tpm, key.concurrency) == (60, None, 4)


@pytest.mark.parametrize(
    ("text", "left"), [("12h", timedelta(hours=12)), ("30d", timedelta(days=30)), ("4w", timedelta(weeks=4))]
)
def test_it_may_expire_a_while_from_now(path: Path, text: str, left: timedelta) -> None:
    before = datetime.now(UTC)
    assert keys.new(path, "laptop", {"expires_at": text}) == 0
    expires = known(path)["laptop"].expires_at
    assert expires is not None
    assert before + left - timedelta(seconds=1) <= expires <= datetime.now(UTC) + left


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("laptop", {"expires_at": "soon"}, "--expires: a date"),
        ("laptop", {"expires_at": "2099-01-01T00:00:00"}, "--expires: a date"),
        ("laptop", {"expires_at": "2020-01-01"}, "over already"),
        ("", {}, "auth_keys[0].name: must not be empty"),
        ("laptop", {"rpm": 0}, "auth_keys[0].rpm"),
    ],
)
def test_what_is_wrong_makes_no_key(
    path: Path, capsys: pytest.CaptureFixture[str], name: str, options: dict[str, Any], words: str
) -> None:
    before = path.read_text()
    assert keys.new(path, name, options) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert path.read_text() == before


def test_a_name_is_given_once(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys.new(path, "laptop", {}) == 0
    capsys.readouterr()
    assert keys.new(path, "laptop", {}) == 2
    said = capsys.readouterr()
    assert said.out == "" and "another key is called laptop too" in said.err


def test_without_a_file_there_is_nothing_to_write_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that appeared would put what the environment says out of force."""
    path = tmp_path / "config.toml"
    assert [keys.new(path, "laptop", {}), keys.show(path), keys.revoke(path, "laptop")] == [2, 2, 2]
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("`llmitm init` writes one") == 3
    assert not path.exists()


def test_the_list_shows_no_key_and_no_whole_hash(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(
        path.read_text()
        + """
        [[auth_keys]]
        name = "plain"
        key = "a-plain-word"
        rpm = 5
        budget_usd = 2.5
        budget_period = "daily"
        [[auth_keys]]
        name = "referred"
        key = "env:SOME_KEY"
        disabled = true
        """
    )
    keys.new(path, "made", {"expires_at": "2099-01-01", "allowed_models": ["gpt-*"]})
    made = capsys.readouterr().out.strip()
    assert keys.show(path) == 0
    lines = [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()]
    short = {
        word: f"sha256:{hashlib.sha256(word.encode()).hexdigest()[:8]}..." for word in ("a-plain-word", made)
    }
    assert lines == [
        ["NAME", "KEY", "STATE", "EXPIRES", "MODELS", "ENDPOINTS", "LIMITS"],
        ["plain", short["a-plain-word"], "in use", "-", "any", "any", "rpm 5, budget_usd 2.5 daily"],
        ["referred", "env:SOME_KEY", "disabled", "-", "any", "any", "-"],
        ["made", short[made], "in use", "2099-01-01 00:00 UTC", "gpt-*", "any", "-"],
    ]


def test_a_revoked_key_stays_in_the_file_and_the_file_closed(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its last key a gateway would ask nobody for one."""
    keys.new(path, "laptop", {})
    assert keys.revoke(path, "laptop") == 0
    assert keys.revoke(path, "laptop") == 0
    assert known(path)["laptop"].disabled
    capsys.readouterr()
    assert keys.revoke(path, "nobody") == 1
    assert "no auth key called nobody" in capsys.readouterr().err


def test_a_running_gateway_takes_keys_and_lets_go_of_them(tmp_path: Path) -> None:
    with (
        Backstage() as provider,
        Gateway(CONFIG.format(url=provider.url), tmp_path, host="serve") as running,
    ):

        def llmitm(*words: str) -> str:
            ran = forked.run(["keys", *words], cwd=tmp_path, env=running.environment)
            assert ran.returncode == 0, ran.stderr
            return ran.stdout.strip()

        def ask(key: str, model: str = "gpt-demo") -> str | None:
            with openai.OpenAI(base_url=f"{running.url}/all/v1", api_key=key, max_retries=0) as sdk:
                asked: Any = [{"role": "user", "content": "hello"}]
                return sdk.chat.completions.create(model=model, messages=asked).choices[0].message.content

        key = llmitm(
            *("new", "--name", "laptop", "--models", "gpt-demo,gpt-x", "--endpoints", "all"),
            *("--paths", "/v1/files*"),
        )
        running.wait_for("changed auth_keys")
        assert ask(key)
        with pytest.raises(openai.PermissionDeniedError):
            ask(key, "claude-demo")
        with pytest.raises(openai.AuthenticationError):
            ask("sk-proxy-" + "0" * 32)
        provider.forget()
        llmitm("revoke", "laptop")
        running.wait_for(r"auth_keys\.laptop\.disabled")
        with pytest.raises(openai.AuthenticationError):
            ask(key)
        assert provider.new == 0
        assert key not in running.output() and "sk-of-the-provider" not in running.output()


@pytest.fixture
def redis(tmp_path: Path) -> Any:
    if BINARY is None:
        pytest.skip(NO_BINARY)
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


def test_a_shared_store_is_told_of_a_revoked_key(
    path: Path, redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(f'{path.read_text()}[state]\nurl = "{redis.url}"\n')
    keys.new(path, "laptop", {})
    digest = known(path)["laptop"].digest

    async def value() -> int:
        store = RedisStore(Place.of(Secret(redis.url)))
        try:
            return (await store.apply([look(digest)])).values[0]
        finally:
            await store.close()

    assert asyncio.run(value()) == 0
    assert keys.revoke(path, "laptop") == 0
    assert asyncio.run(value()) == 1
    redis.kill()
    assert keys.revoke(path, "laptop") == 1
    assert "the shared store was not told" in capsys.readouterr().err


def test_all_gateways_of_a_store_refuse_a_revoked_key_at_once(redis: RedisServer, tmp_path: Path) -> None:
    """Also one whose own configuration nobody has changed."""
    with Backstage() as provider:
        shared = f'[state]\nurl = "{redis.url}"\n'
        key = "sk-proxy-" + "ab" * 16
        digest = hashlib.sha256(key.encode()).hexdigest()
        entry = f'[[auth_keys]]\nname = "laptop"\nkey_hash = "sha256:{digest}"\n'
        (tmp_path / "here").mkdir()
        (tmp_path / "there").mkdir()
        mine = tmp_path / "here" / "config.toml"
        mine.write_text(CONFIG.format(url=provider.url) + shared + entry)
        with Gateway(mine.read_text(), tmp_path / "there", host="serve") as running:
            headers = {"authorization": f"Bearer {key}"}
            url = f"{running.url}/all/v1/chat/completions"
            body = {"model": "gpt-demo", "messages": [{"role": "user", "content": "hello"}]}
            assert httpx.post(url, json=body, headers=headers, trust_env=False).status_code == 200
            assert keys.revoke(mine, "laptop") == 0
            assert httpx.post(url, json=body, headers=headers, trust_env=False).status_code == 401
