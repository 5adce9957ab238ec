"""Many clients at once under limits, through the pieces that a journey joins: let in, told, settled."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from llmitm.accept import limit_headers, limits
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import Dialect, ResponseHead, Usage
from llmitm.state.memory import MemoryStore
from llmitm.state.store import Lease, Outcome, Step, Store, Window
from support.clocks import HandClock
from support.redis_server import BINARY, NO_BINARY, RedisServer
from support.stores import redis_store

CLIENTS = 64
BODY = b'{"model":"m","messages":[{"role":"user","content":"Hello."}]}'


class FarStore(MemoryStore):
    """Others get their turn before and after each batch, as they do where it crosses a network."""

    async def apply(self, steps: Sequence[Step]) -> Outcome:
        await asyncio.sleep(0)
        outcome = await super().apply(steps)
        await asyncio.sleep(0)
        return outcome


class Service:
    """A gateway's part of it: what runs at once, and what was used, by the moment when it was let in."""

    def __init__(self, config: Config, store: Store, clock: HandClock, name: str) -> None:
        self.config, self.store, self.clock, self.name = config, store, clock, name
        self.running = 0
        self.most_running = 0
        self.let_in: list[tuple[float, int]] = []
        self.count = 0

    async def serve(self, usage: Usage | None, turns: int) -> ResponseHead:
        self.count += 1
        asked = limits.Asked(
            exchange_id=f"{self.name}-{self.count}",
            auth_key="team",
            dialect=Dialect.OPENAI_CHAT,
            models=("m",),
            body=BODY,
            max_output_tokens=100,
        )
        begun_s = self.clock.tick_s()
        async with await limits.admit(asked, self.config, self.store, self.clock) as ticket:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            try:
                self.let_in.append((begun_s, (usage.input_tokens or 0) if usage else 0))
                for _ in range(turns):
                    await asyncio.sleep(0)
                ticket.settle(usage)
            finally:
                self.running -= 1
            headers = limit_headers.merged(((b"content-type", b"application/json"),), ticket.headers())
            return ResponseHead(status=200, headers=headers)


def configured(**rate_limit: object) -> Config:
    return Config.model_validate(
        {"rate_limit": rate_limit, "auth_keys": [{"name": "team", "key": "k", "concurrency": 10}]}
    )


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=["memory", "redis"])
async def stores(
    request: pytest.FixtureRequest, clock: HandClock, tmp_path: Path
) -> AsyncIterator[tuple[Store, Store]]:
    """Of two gateways, with the same counters."""
    if request.param == "memory":
        far = FarStore(clock)
        yield far, far
        return
    if BINARY is None:
        pytest.skip(NO_BINARY)
    server = RedisServer(tmp_path)
    server.start()
    both = redis_store(server, clock), redis_store(server, clock)
    yield both
    for one in both:
        await one.close()
    server.kill()


async def held(store: Store) -> tuple[int, ...]:
    """Places that are counted, of all and of the key."""
    looks = [Lease(key=f"limits:concurrency:{name}", holder="", is_over=True) for name in ("all", "key:team")]
    return (await store.apply(looks)).values


async def test_many_clients_of_two_gateways_share_one_limit(
    stores: tuple[Store, Store], clock: HandClock
) -> None:
    chance = random.Random(7)
    config = configured(rpm=40, concurrency=12)
    gateways = [Service(config, store, clock, name) for store, name in zip(stores, "ab", strict=True)]
    refused: list[Refused] = []
    most_together = 0

    async def client(number: int) -> None:
        nonlocal most_together
        try:
            await gateways[number % 2].serve(None, chance.randrange(6))
        except Refused as error:
            refused.append(error)
        most_together = max(most_together, sum(one.running for one in gateways))

    for _ in range(12):
        tasks = [asyncio.create_task(client(number)) for number in range(CLIENTS)]
        for _ in range(chance.randrange(8)):
            await asyncio.sleep(0)
        for task in chance.sample(tasks, 8):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        clock.at_s += chance.random() * 20

    assert refused and all(error.status == 429 for error in refused)
    assert 1 <= most_together <= 10
    moments = sorted(at_s for one in gateways for at_s, _ in one.let_in)
    for at_s in moments:
        assert sum(at_s <= other_s < at_s + 60 for other_s in moments) <= 40
    async with asyncio.timeout(5):  # what was cancelled may still be on its way
        while any(await held(stores[0])):
            pass


async def test_all_of_a_limit_is_given_out_to_clients_that_come_at_once(
    stores: tuple[Store, Store], clock: HandClock
) -> None:
    gateways = [
        Service(configured(rpm=9), store, clock, name) for store, name in zip(stores, "ab", strict=True)
    ]
    clients = (gateways[number % 2].serve(None, 3) for number in range(CLIENTS))
    done = await asyncio.gather(*clients, return_exceptions=True)
    assert sum(isinstance(each, ResponseHead) for each in done) == 9
    remaining = [
        int(each.header(b"x-ratelimit-remaining-requests") or -1)
        for each in done
        if isinstance(each, ResponseHead)
    ]
    assert sorted(remaining) == list(range(9))


async def test_a_client_that_obeys_its_headers_is_never_refused_twice(
    stores: tuple[Store, Store], clock: HandClock
) -> None:
    """It waits as long as it is told, and then as many pass as the limit has."""
    one = Service(configured(rpm=3, tpm=400), stores[0], clock, "a")
    refused = 0
    for _ in range(30):
        try:
            await one.serve(Usage(input_tokens=90, output_tokens=0), 0)
            refused = 0
        except Refused as error:
            refused += 1
            assert refused == 1
            clock.at_s += int(dict(error.headers)[b"retry-after-ms"]) / 1000
    assert len(one.let_in) >= 20


async def test_places_and_tokens_come_back_from_clients_that_leave(clock: HandClock) -> None:
    store = FarStore(clock)
    one = Service(configured(tpm=100_000, concurrency=64), store, clock, "a")
    for leaves_after in range(12):
        tasks = [asyncio.create_task(one.serve(Usage(input_tokens=1, output_tokens=0), 4)) for _ in range(10)]
        for _ in range(leaves_after):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(20):
            await asyncio.sleep(0)
        clock.at_s += 62
        await store.apply([Window(key="limits:tokens:all", by=0)])
        assert len(store) == 0, f"left after {leaves_after} turns"
