"""Two real gateways on one real redis-server: limits, rests, keys and turns are those of both together."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from llmitm.exchange import Dialect
from llmitm.state.redis import TIMEOUT_S
from support import forked
from support.gateway import times_over
from support.redis_server import BINARY, NO_BINARY
from support.together import Clients, Together, Told, clients_of, most_at_once

CONFIG = """
model_prices = {{steady = {{input = 1000.0, output = 0.0}}}}
[server]
port = 0
[state]
url = "{redis}"
gateways = 2
[retry]
base_ms = 1
[endpoints.all]
kind = "gateway"
[providers.steady]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-steady"]
models = ["steady"]
[providers.slow]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-slow"]
models = ["slow"]
headers = {{x-demo-fault = "slow:600"}}
[providers.silent]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-silent"]
models = ["silent"]
headers = {{x-demo-fault = "stall"}}
[providers.refusing]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-refusing"]
models = ["refusing"]
headers = {{x-demo-fault = "status:400"}}
[providers.weighted]
base_url = "{url}/v1"
format = "openai-chat"
models = ["weighted"]
[[providers.weighted.credentials]]
name = "heavy"
api_key = "sk-heavy"
weight = 3
[[providers.weighted.credentials]]
name = "light"
api_key = "sk-light"
[providers.pair]
base_url = "{url}/v1"
format = "openai-chat"
models = ["pair", "pair-too"]
[[providers.pair.credentials]]
name = "left"
api_key = "sk-left"
[[providers.pair.credentials]]
name = "right"
api_key = "sk-right"
"""
KEYS = {
    "free": "",
    "requests": "rpm = 40",
    "tokens": "tpm = 2000",
    "spending": "budget_usd = {{daily = 2.0, monthly = 50.0}}",
    "places": "concurrency = 8",
    "left": "concurrency = 6",
    "leaving": "concurrency = 6",
    "closing": "concurrency = 6",
    "frozen-away": "rpm = 10",
    "frozen-back": "rpm = 24",
    "frozen-held": "concurrency = 4",
    "frozen-spent": "budget_usd = 1.0",
    "killed-away": "rpm = 10",
    "killed-back": "rpm = 24",
    "killed-held": "concurrency = 4",
    "killed-spent": "budget_usd = 1.0",
    "revoked": "",
}
CLIENTS = 64
CONFIG += "".join(f'[[auth_keys]]\nname = "{name}"\nkey = "sk-proxy-{name}"\n{KEYS[name]}\n' for name in KEYS)
DIALECTS = tuple(Dialect)
SLOW_S = 4.0
"""What a busy machine may add to a time."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Together]:
    if BINARY is None:
        pytest.skip(NO_BINARY)
    with Together(CONFIG, tmp_path_factory.mktemp("together")) as made:
        yield made


@pytest.fixture
def together(running: Together) -> Together:
    running.provider.forget()
    return running


def statuses(told: list[Told]) -> dict[int, int]:
    return dict(Counter(one.status for one in told))


def limit_header(told: Told, name: str, counted: str) -> str:
    """`name`: limit, remaining, reset."""
    if told.dialect is Dialect.ANTHROPIC_MESSAGES:
        return told.headers[f"anthropic-ratelimit-{counted}-{name}"]
    return told.headers[f"x-ratelimit-{name}-{counted}"]


def code_of(told: Told) -> str:
    """Of an error in the client's own dialect."""
    error: dict[str, Any] = told.json()["error"]
    match told.dialect:
        case Dialect.ANTHROPIC_MESSAGES:
            assert told.json()["type"] == "error"
            return str(error["type"])
        case Dialect.GEMINI:
            assert error["code"] == told.status
            return str(error["status"])
        case _:
            return str(error["code"])


LIMITED = {
    Dialect.OPENAI_CHAT: "rate_limit_exceeded",
    Dialect.OPENAI_RESPONSES: "rate_limit_exceeded",
    Dialect.ANTHROPIC_MESSAGES: "rate_limit_error",
    Dialect.GEMINI: "RESOURCE_EXHAUSTED",
}


SPENT = LIMITED | {
    Dialect.OPENAI_CHAT: "budget_exceeded",
    Dialect.OPENAI_RESPONSES: "budget_exceeded",
    Dialect.ANTHROPIC_MESSAGES: "billing_error",
}


async def test_requests_of_64_clients_of_both_come_under_one_limit(together: Together) -> None:
    began_s = time.monotonic()
    async with clients_of(together) as clients:
        told = await asyncio.gather(
            *(
                clients.ask(
                    number, key="sk-proxy-requests", model="steady", dialect=DIALECTS[number // 2 % 4]
                )
                for number in range(CLIENTS * 2)
            )
        )
    took_s = time.monotonic() - began_s
    assert statuses(told) == {200: 40, 429: CLIENTS * 2 - 40}
    assert together.provider.new == 40
    admitted = [one for one in told if one.status == 200]
    left = sorted(int(limit_header(one, "remaining", "requests")) for one in admitted)
    assert left == list(range(40))  # each of them was counted in one order, whoever let it in
    for one in told:
        assert limit_header(one, "limit", "requests") == "40"
        if one.status == 429:
            assert code_of(one) == LIMITED[one.dialect]
            assert limit_header(one, "remaining", "requests") == "0"
            # the first of them was counted since `began_s`, and leaves after 60 s and a slice of one more
            assert 60 - took_s - 1 <= int(one.headers["retry-after"]) <= 62


async def test_tokens_of_both_come_under_one_limit(together: Together) -> None:
    """Never over it, and never under it by more than what one more would have been guessed at."""
    said = " ".join(["word"] * 25)

    async def client(number: int) -> list[Told]:
        told = []
        while not told or told[-1].status == 200:
            told.append(await clients.ask(number, key="sk-proxy-tokens", model="steady", said=said))
        return told

    async with clients_of(together) as clients:
        first = await clients.ask(0, key="sk-proxy-tokens", model="steady", said=said)
        guess = 2000 - int(limit_header(first, "remaining", "tokens"))
        told = [first]
        for mine in await asyncio.gather(*(client(number) for number in range(CLIENTS))):
            told += mine
        for number in range(10):  # nothing is under way any more, and soon nothing is merely guessed
            told += await client(number)
    used = sum(one.json()["usage"]["total_tokens"] for one in told if one.status == 200)
    assert guess > 25
    assert 2000 - guess < used <= 2000
    assert {one.status for one in told} == {200, 429}
    assert all(code_of(one) == "rate_limit_exceeded" for one in told if one.status == 429)
    assert together.provider.new == sum(one.status == 200 for one in told)


async def test_what_both_spend_comes_under_one_budget(together: Together) -> None:
    """Never over it, and never under it by more than what one more would have been guessed at."""
    said = " ".join(["word"] * 25)
    cost_nano = 25 * 1_000_000

    async def client(number: int) -> list[Told]:
        told = []
        while not told or told[-1].status == 200:
            dialect = DIALECTS[number // 2 % 4]
            told.append(
                await clients.ask(number, key="sk-proxy-spending", model="steady", said=said, dialect=dialect)
            )
        return told

    async with clients_of(together) as clients:
        first = await clients.ask(0, key="sk-proxy-spending", model="steady", said=said)
        guess_nano = round((2 - float(first.headers["x-llmitm-budget-remaining-usd"])) * 1e9)
        told = [first]
        for mine in await asyncio.gather(*(client(number) for number in range(CLIENTS))):
            told += mine
        for number in range(10):  # nothing is under way any more, and soon nothing is merely guessed
            told += await client(number)
    spent_nano = cost_nano * sum(one.status == 200 for one in told)
    assert guess_nano > cost_nano
    assert 2 * 10**9 - guess_nano < spent_nano <= 2 * 10**9
    assert {one.status for one in told} == {200, 429}
    for one in told:
        if one.status == 429:
            assert code_of(one) == SPENT[one.dialect]
            assert one.headers["x-should-retry"] == "false"
    assert together.provider.new == sum(one.status == 200 for one in told)


async def test_never_more_than_the_limit_at_once_over_both(together: Together) -> None:
    async with clients_of(together) as clients:
        most = []
        while len(most) < 3 or (max(most) < 8 and len(most) < 9):  # a busy machine is late with some
            together.provider.forget()
            told = await clients.all_at_once(CLIENTS, key="sk-proxy-places", model="slow")
            most.append(most_at_once(together.arrived))
            assert set(statuses(told)) == {200, 429}
            assert statuses(told)[200] == together.provider.new
            assert all(one.headers["retry-after"] == "1" for one in told if one.status == 429)
        assert max(most) == 8


@pytest.mark.parametrize(
    ("model", "status"), [("steady", 200), ("refusing", 400), ("unknown-model", 404)], ids=str
)
async def test_places_come_back_after_answers_and_errors(together: Together, model: str, status: int) -> None:
    async with clients_of(together) as clients:
        for _ in range(3):
            told = await clients.all_at_once(6, key="sk-proxy-left", model=model)
            assert statuses(told) == {status: 6}


async def test_places_come_back_from_clients_that_leave(together: Together) -> None:
    async with clients_of(together) as clients:
        waiting = [
            asyncio.create_task(clients.ask(number, key="sk-proxy-leaving", model="silent"))
            for number in range(6)
        ]
        arrived = await asyncio.to_thread(together.provider.received, 6)
        refused = await clients.all_at_once(2, key="sk-proxy-leaving", model="steady")
        assert statuses(refused) == {429: 2}
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.to_thread(together.provider.wait_gone, arrived)
        until_s = time.monotonic() + 5
        while statuses(told := await clients.all_at_once(6, key="sk-proxy-leaving", model="slow")) != {
            200: 6
        }:
            assert time.monotonic() < until_s, statuses(told)


def test_a_connection_that_closes_behind_its_answer_is_no_client_that_left(together: Together) -> None:
    """Places are given back once the answer is told: what is written down of it is still the answer."""
    gateway = together.gateways[0]
    body = {"model": "steady", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"x-llmitm-key": "sk-proxy-closing", "connection": "close"}
    for _ in range(10):
        answer = httpx.post(f"{gateway.url}/all/v1/chat/completions", json=body, headers=headers, timeout=20)
        assert answer.status_code == 200
    gateway.wait_for(times_over('"auth_key":"closing"', 10))
    lines = [json.loads(line) for line in gateway.output().splitlines() if '"auth_key":"closing"' in line]
    assert [line["status"] for line in lines] == [200] * 10


async def test_turns_are_taken_over_both(together: Together) -> None:
    async with clients_of(together) as clients:
        one_by_one = [await clients.ask(number, key="sk-proxy-free", model="weighted") for number in range(8)]
        names = [one.headers["x-debug-credential"] for one in one_by_one]
        assert Counter(names) == {"heavy": 6, "light": 2}
        assert names[:4] == names[4:]
        told = await clients.all_at_once(CLIENTS, key="sk-proxy-free", model="weighted")
    assert Counter(one.headers["x-debug-credential"] for one in told) == {"heavy": 48, "light": 16}
    keys = Counter(one.text(b"authorization") for one in together.arrived)
    assert keys == {"Bearer sk-heavy": 54, "Bearer sk-light": 18}


@pytest.mark.parametrize(
    ("fault", "model"),
    [("status:429;retry-after=60", "pair"), ("status:401", "pair-too")],
    ids=["429", "401"],
)
async def test_who_rests_for_one_rests_for_the_other(together: Together, fault: str, model: str) -> None:
    together.provider.script([fault])
    async with clients_of(together) as clients:
        first = await clients.ask(0, key="sk-proxy-free", model=model)
        assert (first.status, first.headers["x-debug-attempts"]) == (200, "2")
        rested = together.arrived[0].text(b"authorization")
        told = await clients.all_at_once(CLIENTS, key="sk-proxy-free", model=model)
    assert {(one.status, one.headers["x-debug-attempts"]) for one in told} == {(200, "1")}
    keys = [one.text(b"authorization") for one in together.arrived]
    assert keys.count(rested) == 1
    assert {one.headers["x-debug-credential"] for one in told} == {first.headers["x-debug-credential"]}


async def test_a_revoked_key_is_refused_by_both_at_once(together: Together) -> None:
    """Also by the one whose own configuration nobody has changed."""
    one, other = together.gateways
    async with clients_of(together) as clients:
        told = await clients.all_at_once(2, key="sk-proxy-revoked", model="steady")
        assert statuses(told) == {200: 2}
        revoked = ["keys", "revoke", "revoked"]
        ran = await asyncio.to_thread(forked.run, revoked, cwd=one.folder, env=one.environment)
        assert ran.returncode == 0, ran.stderr
        told = await clients.all_at_once(4, key="sk-proxy-revoked", model="steady")
    assert statuses(told) == {401: 4}
    assert {code_of(answer) for answer in told} == {"invalid_api_key"}
    assert together.provider.new == 2
    assert "disabled" not in other.output()


class Load:
    """Clients of both gateways that ask again and again."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._is_over = False
        self.told: list[Told] = []

    async def client(self, number: int) -> None:
        while not self._is_over:
            self.told.append(await self._clients.ask(number, key="sk-proxy-free", model="weighted"))

    async def more(self, count: int = CLIENTS) -> None:
        """Until so many more answers have come."""
        wanted = len(self.told) + count
        async with asyncio.timeout(20):
            while len(self.told) < wanted:
                await asyncio.sleep(0.01)

    async def end(self, running: list[asyncio.Task[None]]) -> None:
        self._is_over = True
        await asyncio.gather(*running)


@pytest.mark.parametrize("how", ["frozen", "killed"])
async def test_the_store_goes_away_under_load_and_comes_back(together: Together, how: str) -> None:
    away, back = max(together.said())
    redis = together.redis
    async with clients_of(together) as clients:
        load = Load(clients)
        running = [asyncio.create_task(load.client(number)) for number in range(8)]
        held = [
            asyncio.create_task(clients.ask(number, key=f"sk-proxy-{how}-held", model="silent"))
            for number in range(4)
        ]
        spend = partial(clients.ask, key=f"sk-proxy-{how}-spent", model="steady", said="word " * 100)
        told = [await spend(number) for number in range(4)]
        assert statuses(told) == {200: 4}  # of 10 cents each
        await load.more()

        redis.freeze() if how == "frozen" else redis.kill()
        await asyncio.to_thread(together.wait_away, away + 1)
        await load.more()
        # each of the two gives out its share of the limit
        told = await clients.all_at_once(CLIENTS, key=f"sk-proxy-{how}-away", model="steady")
        assert statuses(told) == {200: 2 * 5, 429: CLIENTS - 2 * 5}
        refused = next(one for one in told if one.status == 429)
        assert "10 requests a minute, 5 of them through this gateway for now" in refused.body.decode()
        assert limit_header(refused, "remaining", "requests") == "0"
        # of a budget that is a share of what is left of it: one has seen 30 cents of the dollar spent, the
        # other 40, and what was on its way when the store went may be counted twice
        told = [await spend(number) for number in range(20)]
        assert 1 <= statuses(told)[200] <= 3 + 2
        assert statuses(told)[429] == 20 - statuses(told)[200]
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)

        redis.thaw() if how == "frozen" else await asyncio.to_thread(redis.start)
        began_s = time.monotonic()
        await asyncio.to_thread(together.wait_back, back + 1)
        assert time.monotonic() - began_s < 5
        told = await clients.all_at_once(CLIENTS, key=f"sk-proxy-{how}-back", model="steady")
        assert statuses(told) == {200: 24, 429: CLIENTS - 24}
        told = await clients.all_at_once(4, key=f"sk-proxy-{how}-held", model="slow")
        assert statuses(told) == {200: 4}  # places that were given back meanwhile are free
        spent = statuses(told := [await spend(number) for number in range(10)])
        assert spent.get(200, 0) <= 5 and told[-1].status == 429  # also of a store that came back empty
        left_usd = [float(one.headers["x-llmitm-budget-remaining-usd"]) for one in told[-2:]]
        assert max(left_usd) < 0.16  # which is less than a request is guessed to take
        await load.more()
        await load.end(running)
    assert {one.status for one in load.told} == {200}
    assert max(one.took_s for one in load.told) < TIMEOUT_S + SLOW_S
    assert together.said() == [(away + 1, back + 1)] * 2
