"""Calls beside those of models without mitmproxy: limits, rests, and what is tried again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
import pytest

from llmitm.config.load import load
from llmitm.exchange import ClientRequest, HeldBody, ResponseHead, Unwatched
from llmitm.journey import carry
from llmitm.world import World, build
from support.accounts import Accounts

CONFIG = """
[endpoints.all]
kind = "gateway"
[providers.openai]
base_url = "{url}/v1"
api_keys = ["sk-one", "sk-two"]
models = ["gpt-*", {{id = "tts-1", alias = "voice"}}]
[[auth_keys]]
name = "laptop"
key = "sk-proxy-laptop"
[[auth_keys]]
name = "slow"
key = "sk-proxy-slow"
rpm = 1
[[payload.override]]
models = [{{name = "tts-*", path = "/audio/speech"}}]
params = {{speed = 2}}
"""
BATCHES = """
[endpoints.all]
kind = "gateway"
[providers.anthropic]
base_url = "{url}/v1"
api_keys = ["sk-ant"]
models = ["claude-*", {{id = "claude-haiku-4-5", alias = "small"}}]
[routing]
aliases = {{quick = [{{model = "small"}}]}}
"""
FORM = {"content-type": "multipart/form-data; boundary=b"}
LONG = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    + bytes(3_000_000)
    + b"\r\n--b--"
)


@pytest.fixture
def provider() -> Iterator[Accounts]:
    with Accounts() as running:
        yield running


@pytest.fixture
async def world(provider: Accounts, tmp_path: Path) -> AsyncIterator[World]:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(url=provider.url))
    made = build(load(path, env={}))
    made.sinks = ()
    yield made
    await made.close()


class Streamed:
    """A body that is on its way."""

    def __init__(self, content: bytes) -> None:
        self.held = None
        self.length = len(content)
        self._content = content

    async def pieces(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), 65_536):
            yield self._content[start : start + 65_536]

    async def whole(self, limit_bytes: int) -> bytes:
        raise AssertionError("it is not to be held")


async def ask(
    world: World,
    target: str,
    body: object = None,
    headers: dict[str, str] | None = None,
    *,
    key: str = "sk-proxy-laptop",
) -> ResponseHead:
    held = HeldBody(b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body))
    asked = {"host": "gw"} | ({"authorization": f"Bearer {key}"} if key else {}) | (headers or {})
    request = ClientRequest(
        id="id-1",
        method="GET" if body is None else "POST",
        target=target.encode(),
        headers=tuple((name.encode(), value.encode()) for name, value in asked.items()),
        body=Streamed(body) if isinstance(body, bytes) and len(body) > 1_048_576 else held,
        client="127.0.0.1",
    )
    head: ResponseHead | None = None
    async for step in carry(request, world, Unwatched()):
        if isinstance(step, ResponseHead):
            head = step
    assert head is not None
    return head


async def test_a_key_that_is_refused_for_files_still_serves_models(provider: Accounts, world: World) -> None:
    provider.fails = lambda asked: 403 if asked.path == "/v1/files" else None
    assert (await ask(world, "/all/v1/files")).status == 502
    assert len(provider.asked) == 2
    assert (await ask(world, "/all/v1/files")).status == 503  # both rest now
    assert (await ask(world, "/all/v1/batches")).status == 200
    for _ in range(2):
        assert (await ask(world, "/all/v1/moderations", {"input": "x"})).status == 200
    assert {one.account for one in provider.asked[-2:]} == {"sk-one", "sk-two"}


async def test_what_is_not_held_is_sent_once(provider: Accounts, world: World) -> None:
    provider.fails = lambda asked: 429
    assert (await ask(world, "/all/v1/files", LONG, FORM)).status == 429
    assert len(provider.asked) == 1
    assert provider.asked[0].body_bytes == len(LONG)


async def test_limits_hold_for_them(provider: Accounts, world: World) -> None:
    assert (await ask(world, "/all/v1/batches", key="sk-proxy-slow")).status == 200
    assert (await ask(world, "/all/v1/files", LONG, FORM, key="sk-proxy-slow")).status == 429
    assert len(provider.asked) == 1


async def test_operators_rules_hold_for_their_json(provider: Accounts, world: World) -> None:
    body = {"model": "voice", "input": "hello", "voice": "alloy"}
    assert (await ask(world, "/all/v1/audio/speech", body)).status == 200
    assert provider.asked[0].json() == body | {"model": "tts-1", "speed": 2}


async def test_what_nobody_is_known_to_have_is_asked_of_the_clients_account(
    provider: Accounts, world: World
) -> None:
    """After a restart nobody knows whose an id is: but one client's things lie in one account."""
    provider.fails = lambda asked: None
    assert (await ask(world, "/all/v1/batches", {"input_file_id": "file-0"})).status == 200
    made = provider.asked[0].account
    other = build(world.config)
    other.sinks = ()
    assert (await ask(other, "/all/v1/batches/batches-1")).status == 200
    await other.close()
    assert provider.asked[-1].account == made


async def test_what_one_account_does_not_know_is_asked_of_the_others(
    provider: Accounts, world: World
) -> None:
    """Where nobody knows whose it is: after a restart, or of what was made elsewhere."""
    for number, account in enumerate(("sk-one", "sk-two")):
        provider.keep(account, f"vs-{number}")
        assert (await ask(world, f"/all/v1/vector_stores/vs-{number}")).status == 200
        assert provider.asked[-1].account == account
    assert len(provider.asked) == 3  # one of them was not known to the first
    provider.asked.clear()
    for number in range(2):
        assert (await ask(world, f"/all/v1/vector_stores/vs-{number}")).status == 200
    assert len(provider.asked) == 2  # from then on it is known
    assert (await ask(world, "/all/v1/vector_stores/unheard-of")).status == 404
    assert len(provider.asked) == 4


async def test_an_address_of_results_leads_back_here(provider: Accounts, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(BATCHES.format(url=provider.url))
    world = build(load(path, env={}))
    world.sinks = ()
    head = await ask(world, "/all/v1/messages/batches", {"requests": []}, key="")
    await world.close()
    assert orjson.loads(head.whole or b"")["results_url"].startswith(
        "http://gw/all/v1/messages/batches/batches-1/"
    )


def batch_of(model: bytes, size: int = 0) -> bytes:
    return (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        b'{"body":{"model":"' + model + b'","input":1.50}}\n' + b" " * size + b"\r\n--b--\r\n"
    )


async def test_models_in_a_file_for_a_batch_are_spelled_as_the_provider_does(
    provider: Accounts, world: World
) -> None:
    head = await ask(world, "/all/v1/files", batch_of(b"voice"), FORM)
    assert head.status == 200 and head.header(b"x-llmitm-warnings") is None
    assert provider.asked[-1].body == batch_of(b"tts-1")
    assert provider.asked[-1].body_bytes == len(batch_of(b"tts-1"))


async def test_a_file_that_is_too_long_for_that_is_told_of(provider: Accounts, world: World) -> None:
    head = await ask(world, "/all/v1/files", batch_of(b"voice", 2_000_000), FORM)
    assert head.status == 200 and head.header(b"x-llmitm-warnings") == b'"lost:batch-models"'
    assert provider.asked[-1].body_bytes == len(batch_of(b"voice", 2_000_000))
    head = await ask(world, "/all/v1/files", batch_of(b"voice", 2_000_000), {**FORM, "x-llmitm-strict": "1"})
    assert head.status == 400


async def test_models_in_the_requests_of_a_batch_are_spelled_as_the_provider_does(
    provider: Accounts, tmp_path: Path
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(BATCHES.format(url=provider.url))
    other = build(load(path, env={}))
    other.sinks = ()
    asked = b'{"requests": [{"params":{"model":"quick"}}, {"params":{"model":"small", "max_tokens":9}}]}'
    headers = {"content-type": "application/json"}
    try:
        assert (await ask(other, "/all/v1/messages/batches", asked, headers, key="")).status == 200
    finally:
        await other.close()
    spelled = asked.replace(b"quick", b"claude-haiku-4-5").replace(b"small", b"claude-haiku-4-5")
    assert provider.asked[-1].body == spelled
