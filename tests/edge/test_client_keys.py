"""Clients' keys with the official clients: each sends its key in its own place, and raises its own error."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import anthropic
import openai
import pytest

from llmitm.cli import keys
from support import forked
from support.backstage import Backstage
from support.gateway import Gateway, times_over
from support.sdks import CLIENTS, Chat, Client, Messages

CONFIG = """
[server]
port = 0
[endpoints.all]
kind = "gateway"
[endpoints.others]
kind = "gateway"
[providers.chat]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-of-ours"]
models = ["gpt-demo", "gpt-other"]
[[auth_keys]]
name = "expired"
key = "sk-proxy-expired"
expires_at = "2020-01-01"
[[auth_keys]]
name = "disabled"
key = "sk-proxy-disabled"
disabled = true
"""
MADE: dict[str, dict[str, Any]] = {
    "other-model": {"allowed_models": ["gpt-other"]},
    "other-endpoint": {"allowed_endpoints": ["others"]},
    "limited": {"rpm": 1},
}


class Row(NamedTuple):
    key: str
    status: int
    words: str


ROWS = [
    Row("unknown", 401, "This key is not known to the gateway."),
    Row("disabled", 401, "This key is not known to the gateway."),
    Row("expired", 401, "This key has expired."),
    Row("other-model", 403, "This model may not be used here."),
    Row("other-endpoint", 403, "This key may not use this endpoint."),
    Row("limited", 429, "The key limited may send 1 request a minute. Try again in "),
]


class Running(NamedTuple):
    gateway: Gateway
    keys: dict[str, str]


def made_key(path: Path, name: str, options: dict[str, Any]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.redirect_stderr(io.StringIO()):
        assert keys.new(path, name, options) == 0
    return told.getvalue().strip()


@pytest.fixture(scope="module")
def running(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("keys")
    path = folder / "config.toml"
    path.write_text(CONFIG.format(url=provider.url))
    known = {name: made_key(path, name, options) for name, options in MADE.items()}
    known |= {"expired": "sk-proxy-expired", "disabled": "sk-proxy-disabled", "unknown": "sk-of-another"}
    with Gateway(path.read_text(), folder, host="serve") as gateway:
        ran = forked.run(["keys", "new", "--name", "laptop"], cwd=folder, env=gateway.environment)
        known["laptop"] = ran.stdout.strip()
        gateway.wait_for("changed auth_keys")
        asking = Chat(gateway.url, known["limited"])
        asking.ask("gpt-demo", asking.said("hello"), streams=False)
        asking.close()
        yield Running(gateway, known)


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def streams(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.__name__.lower())
def test_a_key_of_ours_opens_and_goes_no_further(
    running: Running, provider: Backstage, kind: type[Client], streams: bool
) -> None:
    provider.forget()
    client = kind(running.gateway.url, running.keys["laptop"])
    answer = client.ask("gpt-demo", client.said("hello"), streams=streams)
    client.close()
    assert answer.text == "The demo provider heard you say: hello"
    arrived = provider.received()
    assert arrived.text(b"authorization") == "Bearer sk-of-ours"
    sent = arrived.target.encode() + arrived.body + b"".join(value for _, value in arrived.headers)
    assert running.keys["laptop"].encode() not in sent


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
@pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.__name__.lower())
def test_a_key_that_does_not_open_is_told_as_the_library_tells_it(
    running: Running, provider: Backstage, kind: type[Client], row: Row, streams: bool
) -> None:
    provider.forget()
    client = kind(running.gateway.url, running.keys[row.key])
    with pytest.raises(client.errors[row.status]) as caught:
        client.ask("gpt-demo", client.said("hello"), streams=streams)
    client.close()
    assert row.words in str(caught.value)
    assert running.keys[row.key] not in str(caught.value)
    status = getattr(caught.value, "status_code", None) or getattr(caught.value, "code", None)
    assert status == row.status
    assert provider.new == 0


def test_a_bearer_token_does_as_well(running: Running) -> None:
    token = running.keys["laptop"]
    with anthropic.Anthropic(base_url=f"{running.gateway.url}/all", auth_token=token, max_retries=0) as sdk:
        asked: Any = [{"role": "user", "content": "hello"}]
        assert sdk.messages.create(model="gpt-demo", max_tokens=9, messages=asked).stop_reason


@pytest.mark.parametrize("kind", [Chat, Messages])
def test_their_own_retries_are_made_where_they_make_sense_alone(
    running: Running, provider: Backstage, kind: type[Chat | Messages]
) -> None:
    """A key that is refused stays refused: it is sent once."""
    provider.forget()
    client = kind(running.gateway.url, running.keys["unknown"])
    sdk = client.sdk.with_options(max_retries=3)
    asked: Any = {"model": "gpt-demo", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 9}
    before = running.gateway.output().count('"status":401')
    with pytest.raises((openai.AuthenticationError, anthropic.AuthenticationError)):
        if isinstance(sdk, openai.OpenAI):
            sdk.chat.completions.create(**asked)
        else:
            sdk.messages.create(**asked)
    client.close()
    running.gateway.wait_for(times_over('"status":401', before + 1))
    assert running.gateway.output().count('"status":401') == before + 1
