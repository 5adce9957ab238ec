"""Endpoints that pass requests on, with keys and gateways that rotate: through a running gateway, what is
tried again and what is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from support.backstage import Backstage
from support.gateway import Gateway

CONFIG = """
[retry]
base_ms = 1
{more}
[server]
port = 0
[cloudflare]
base_url = "{url}"
[[gateways]]
account_id = "account"
gateway_id = "one"
token = "cf-token-one"
[[gateways]]
account_id = "account"
gateway_id = "two"
token = "cf-token-two"
[endpoints.cf]
kind = "cloudflare"
[endpoints.fwd]
target_base = "{url}"
provider = "openai"
[providers.openai]
api_keys = ["sk-first", "sk-second"]
"""
USER = [{"role": "user", "content": "one two three"}]
CHAT = {"model": "openai/gpt-demo", "messages": USER}
STREAM = {**CHAT, "stream": True}


def running(provider: Backstage, folder: Path, more: str) -> Iterator[httpx.Client]:
    with Gateway(CONFIG.format(url=provider.url, more=more), folder, host="serve") as gateway:
        with httpx.Client(base_url=gateway.url, timeout=10) as client:
            yield client


@pytest.fixture(scope="module")
def restless(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """One in which nothing rests, for all tests that need no rest."""
    yield from running(provider, tmp_path_factory.mktemp("restless"), "cooldowns = false")


@pytest.fixture
def client(restless: httpx.Client, provider: Backstage) -> httpx.Client:
    provider.forget()
    return restless


@pytest.fixture
def resting(provider: Backstage, tmp_path: Path) -> Iterator[httpx.Client]:
    provider.forget()
    yield from running(provider, tmp_path, "")


@dataclass(frozen=True, slots=True)
class Way:
    """How one upstream call was made."""

    gateway: str
    key: str


def ways(provider: Backstage) -> list[Way]:
    return [way(provider, number) for number in range(1, provider.new + 1)]


def way(provider: Backstage, number: int) -> Way:
    got = provider.received(number)
    parts = got.path.split("/")
    return Way(parts[3] if parts[2] == "account" else "", got.text(b"authorization").removeprefix("Bearer "))


RETRIED = [
    "status:401",
    "status:403",
    "status:402",
    "status:408",
    "status:429",
    "status:500",
    "status:503",
    "status:529",
    "reset-headers",
    "malformed-http",
]
AT_ONCE = ["status:400", "status:404", "status:413", "status:422"]


@pytest.mark.parametrize("fault", RETRIED)
@pytest.mark.parametrize("path", ["/cf/v1/chat/completions", "/fwd/v1/chat/completions"])
def test_a_failure_is_not_seen_while_another_key_is_left(
    client: httpx.Client, provider: Backstage, path: str, fault: str
) -> None:
    provider.script([fault])
    answer = client.post(path, json=CHAT)
    assert answer.status_code == 200, answer.text
    assert provider.new == 2


def test_each_try_has_a_key_of_its_own(client: httpx.Client, provider: Backstage) -> None:
    provider.script(["status:500", "status:429", "status:401"])
    answer = client.post("/cf/v1/chat/completions", json=CHAT, headers={"x-debug": "1"})
    assert (answer.status_code, answer.headers["x-debug-attempts"]) == (200, "4")
    assert len(set(ways(provider))) == 4


@pytest.mark.parametrize("fault", ["truncate:0", "truncate:9", "reset-body:9"])
@pytest.mark.parametrize("path", ["/cf/v1/chat/completions", "/fwd/v1/chat/completions"])
def test_half_a_whole_answer_is_held_back_or_cut(
    client: httpx.Client, provider: Backstage, path: str, fault: str
) -> None:
    provider.script([fault])
    if "cf" in path:
        assert client.post(path, json=CHAT).status_code == 200
    else:
        with pytest.raises(httpx.RemoteProtocolError):  # what passes as it comes cannot be taken back
            client.post(path, json=CHAT)


@pytest.mark.parametrize("fault", AT_ONCE)
@pytest.mark.parametrize("path", ["/cf/v1/chat/completions", "/fwd/v1/chat/completions"])
def test_what_is_wrong_with_the_request_is_told_at_once(
    client: httpx.Client, provider: Backstage, path: str, fault: str
) -> None:
    provider.script([fault])
    answer = client.post(path, json=CHAT)
    assert f"status:{answer.status_code}" == fault
    assert "x-should-retry" not in answer.headers
    assert provider.new == 1


@pytest.mark.parametrize("fault", ["error-event:0", "truncate:0", "early-end:0"])
@pytest.mark.parametrize("path", ["/cf/v1/chat/completions", "/fwd/v1/chat/completions"])
def test_a_stream_that_fails_before_it_says_anything_is_replaced(
    client: httpx.Client, provider: Backstage, path: str, fault: str
) -> None:
    provider.script([fault])
    answer = client.post(path, json=STREAM)
    assert answer.status_code == 200
    assert answer.content.rstrip().endswith(b"data: [DONE]")
    assert b"error" not in answer.content
    assert provider.new == 2


@pytest.mark.parametrize("fault", ["error-event:0", "truncate:0"])
@pytest.mark.parametrize("path", ["/cf/v1/chat/completions", "/fwd/v1/chat/completions"])
def test_where_all_of_them_fail_it_has_a_status(
    client: httpx.Client, provider: Backstage, path: str, fault: str
) -> None:
    count = 4 if "cf" in path else 2  # two gateways with two keys each
    provider.script([fault] * count)
    answer = client.post(path, json=STREAM)
    assert answer.status_code in (502, 503)
    assert answer.headers["x-should-retry"] == "false"
    assert provider.new == count


@pytest.mark.parametrize("size_bytes", [None, 2_000_000], ids=["unannounced", "large"])
def test_a_body_that_is_not_held_is_sent_once(
    client: httpx.Client, provider: Backstage, size_bytes: int | None
) -> None:
    def body() -> Iterator[bytes]:
        yield b'{"model": "gpt-demo", "messages": [{"role": "user", "content": "'
        yield b"x" * (size_bytes or 100)
        yield b'"}]}'

    provider.script(["status:500"])
    length = {"content-length": str(sum(map(len, body())))} if size_bytes else {}
    answer = client.post("/fwd/v1/chat/completions", content=body(), headers=length)
    assert answer.status_code == 500
    assert provider.new == 1
    # nothing was tried again here, so the client may do so itself
    assert "x-should-retry" not in answer.headers


@pytest.mark.parametrize(("method", "fault", "status"), [("GET", "status:500", 500), ("GET", "none", 200)])
def test_other_calls_pass_with_a_key_of_ours(
    client: httpx.Client, provider: Backstage, method: str, fault: str, status: int
) -> None:
    answer = client.request(method, "/fwd/v1/models", headers={"x-demo-fault": fault})
    assert answer.status_code == status
    assert way(provider, 1).key in ("sk-first", "sk-second")


def test_keys_take_turns(client: httpx.Client, provider: Backstage) -> None:
    for _ in range(8):
        assert client.post("/fwd/v1/chat/completions", json=CHAT).status_code == 200
    keys = [one.key for one in ways(provider)]
    assert keys[:2] * 4 == keys
    assert len(set(keys)) == 2


def test_answers_that_are_no_replies_pass_untouched(client: httpx.Client, provider: Backstage) -> None:
    body = {"echo": 1}
    answer = client.post("/fwd/echo/anything", json=body)
    assert answer.status_code == 200
    assert provider.new == 1


def test_a_key_that_is_refused_is_not_used_again_and_said_once(provider: Backstage, tmp_path: Path) -> None:
    provider.forget()
    with (
        Gateway(CONFIG.format(url=provider.url, more=""), tmp_path, host="serve") as gateway,
        httpx.Client(base_url=gateway.url, timeout=10) as client,
    ):
        provider.script(["status:401"])
        for _ in range(6):
            assert client.post("/fwd/v1/chat/completions", json=CHAT).status_code == 200
        first, *others = [one.key for one in ways(provider)]
        assert first not in others and len(others) == 6
        # the other one, too: nobody is left, and nobody is asked
        provider.script(["status:401"])
        answer = client.post("/fwd/v1/chat/completions", json=CHAT)
        assert (answer.status_code, answer.headers["x-should-retry"]) == (502, "false")
        provider.forget()
        for path in ("/fwd", "/cf"):
            answer = client.post(f"{path}/v1/chat/completions", json=CHAT)
            assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "false")
            assert "retry-after" not in answer.headers
        assert provider.new == 0
        said = gateway.output()
        assert said.count("is out of service until it is revived: auth") == 2
        assert "sk-first" not in said and "sk-second" not in said


def test_a_gateway_whose_token_is_refused_is_passed_by(provider: Backstage, tmp_path: Path) -> None:
    provider.forget()
    with (
        Gateway(CONFIG.format(url=provider.url, more=""), tmp_path, host="serve") as gateway,
        httpx.Client(base_url=gateway.url, timeout=10) as client,
    ):
        provider.script(["cf:2009"])
        for _ in range(4):
            assert client.post("/cf/v1/chat/completions", json=CHAT).status_code == 200
        first, *others = [one.gateway for one in ways(provider)]
        assert first not in others and len(others) == 4
        assert gateway.output().count(f"gateway cloudflare/account/{first} is out of service") == 1
        assert "cf-token" not in gateway.output()


def test_all_at_their_limits_is_a_429_that_says_for_how_long(
    resting: httpx.Client, provider: Backstage
) -> None:
    provider.script(["status:429;retry-after=40", "status:429;retry-after=30"])
    answer = resting.post("/fwd/v1/chat/completions", json=CHAT)
    assert answer.status_code == 429
    assert 28 <= int(answer.headers["retry-after"]) <= 30
    assert provider.new == 2
    for dialect, path in (("openai", "chat/completions"), ("anthropic", "messages")):
        answer = resting.post(f"/fwd/v1/{path}", json=CHAT)
        assert answer.status_code == 429
        assert 25 <= int(answer.headers["retry-after"]) <= 30
        assert 25_000 <= int(answer.headers["retry-after-ms"]) <= 30_000
        assert ("type" in answer.json()) is (dialect == "anthropic")
    assert provider.new == 2
