"""A real redis-server goes away under load: nobody fails, nobody waits long, nothing stays taken."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis

from llmitm.cli.certs import write_pair
from llmitm.secret import Secret
from llmitm.state.place import Place
from llmitm.state.redis import TIMEOUT_S, RedisStore
from llmitm.state.shared import AGAIN_S, SharedStore
from llmitm.state.store import Lease, Mark, StoreUnavailable, Window
from support.clocks import HandClock
from support.redis_server import RedisServer
from support.stores import redis_store

SLOW_S = 1.0
"""What a busy machine may add to a time."""
CLIENTS = 32
LOOK = Lease(key="places", holder="", is_over=True)


def kill(server: RedisServer) -> None:
    server.kill()


def freeze(server: RedisServer) -> None:
    server.freeze()


def change_password(server: RedisServer) -> None:
    server.kill()
    server.options = ("--requirepass", "another")
    server.start()


def begin_anew(server: RedisServer) -> None:
    server.kill()
    server.options = ()
    server.start()


def thaw(server: RedisServer) -> None:
    server.thaw()


@pytest.fixture
async def store(server: RedisServer, clock: HandClock) -> AsyncIterator[SharedStore]:
    """Its clock stands: it asks again when a test says so."""
    store = SharedStore(redis_store(server, timeout_s=TIMEOUT_S), clock, name="redis")
    yield store
    await store.close()


class Traffic:
    """Clients that take a place, and give it back, one after the other for ever."""

    def __init__(self, store: SharedStore) -> None:
        self._store = store
        self.served = 0
        self.times_s: list[float] = []
        self._is_over = False

    async def client(self, number: int) -> None:
        turn = 0
        while not self._is_over:
            began_s = time.monotonic()
            turn += 1
            holder = f"{number}.{turn}"
            took = await self._store.apply(
                [Window(key="rpm"), Lease(key="places", holder=holder, limit=CLIENTS)]
            )
            assert took.refused is None
            await self._store.apply([Lease(key="places", holder=holder, is_over=True)])
            self.times_s.append(time.monotonic() - began_s)
            self.served += 1
            await asyncio.sleep(0)

    def end(self) -> None:
        self._is_over = True

    async def more(self, requests: int) -> None:
        wanted = self.served + requests
        await until(lambda: self.served >= wanted)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("fault", "remedy", "told"),
    [
        (kill, RedisServer.start, "cannot be reached: "),
        (freeze, thaw, "gives no answer within 250 ms"),
        (change_password, begin_anew, "cannot be reached: |refuses the user name or the password"),
    ],
)
async def test_a_server_goes_away_under_load(
    server: RedisServer,
    store: SharedStore,
    clock: HandClock,
    caplog: pytest.LogCaptureFixture,
    fault: Callable[[RedisServer], None],
    remedy: Callable[[RedisServer], None],
    told: str,
) -> None:
    caplog.set_level(logging.INFO, "llmitm")
    traffic = Traffic(store)
    async with asyncio.TaskGroup() as clients:
        for number in range(CLIENTS):
            clients.create_task(traffic.client(number))
        await traffic.more(300)
        fault(server)
        traffic.times_s.clear()  # a fault holds up the tests too
        await until(lambda: store.is_local)
        await traffic.more(500)
        await store.try_again()
        assert store.is_local
        await store.apply([Mark(key="rest", value=7, ttl_s=600)])
        remedy(server)
        for _ in range(10):  # on a busy machine the first answer may be late
            if store.is_local:
                clock.at_s += AGAIN_S
                await store.try_again()
        await traffic.more(300)
        traffic.end()
    assert max(traffic.times_s) < TIMEOUT_S + SLOW_S
    assert sum(one_s > TIMEOUT_S for one_s in traffic.times_s) <= 2 * CLIENTS
    [away, again] = [record.getMessage() for record in caplog.records]
    assert re.search(told, away)
    assert "is used again" in again
    own = redis_store(server)
    assert (await own.apply([LOOK, Mark(key="rest")])).values == (0, 7)
    await own.close()


async def test_it_may_be_away_at_the_start(server: RedisServer, store: SharedStore, clock: HandClock) -> None:
    server.kill()
    began_s = time.monotonic()
    outcomes = [(await store.apply([Window(key="w", limit=1)])).refused for _ in range(2)]
    assert outcomes == [None, 0]
    assert time.monotonic() - began_s < TIMEOUT_S + SLOW_S
    server.start()
    await store.try_again()
    assert (await store.apply([Window(key="w", limit=2)])).values == (2,)
    assert not store.is_local


async def test_a_wrong_password_is_a_store_that_is_away(
    start_server: Callable[..., RedisServer], clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server("--requirepass", "right")
    place = Place.of(Secret(f"redis://:hunter22@127.0.0.1:{server.port}"))
    store = SharedStore(RedisStore(place, timeout_s=5), clock, name=place.name)
    assert [(await store.apply([Window(key="w", limit=1)])).refused for _ in range(2)] == [None, 0]
    assert "refuses the user name or the password; limits" in caplog.text
    assert "hunter" not in caplog.text
    await store.close()


async def test_tls(start_server: Callable[..., RedisServer], tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path / "tls", ("localhost", "127.0.0.1"), 2, force=False)
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "no")
    server = start_server(*files, tls=True)
    trusting = Place.of(Secret(f"rediss://127.0.0.1:{server.port}?ssl_ca_certs={certificate}"))
    store = RedisStore(trusting, timeout_s=5)
    assert (await store.apply([Window(key="w")])).values == (1,)
    await store.close()
    for url in (f"rediss://127.0.0.1:{server.port}", f"redis://127.0.0.1:{server.port}"):
        store = RedisStore(Place.of(Secret(url)), timeout_s=5)
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await store.apply([Window(key="w")])
        await store.close()


async def test_a_server_that_is_full_is_away_until_it_has_room(
    server: RedisServer, store: SharedStore, clock: HandClock
) -> None:
    """It still answers those who only look."""
    await store.apply([Window(key="w", limit=2)])
    with redis.Redis(port=server.port) as asked:
        asked.config_set("maxmemory", "1")
        assert (await store.apply([Window(key="w", limit=2)])).values == (2,)
        for _ in range(2):
            assert store.is_local
            clock.at_s += AGAIN_S
            await store.try_again()
        asked.config_set("maxmemory", "0")
    await store.try_again()
    assert not store.is_local
