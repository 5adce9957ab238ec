"""Both stores on a clock that is set by hand, and a redis-server of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from llmitm.state.memory import MemoryStore
from llmitm.state.store import Store
from support.clocks import HandClock
from support.redis_server import BINARY, NO_BINARY, RedisServer
from support.stores import redis_store


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Runs for all tests; those that stop theirs start one of their own."""
    if BINARY is None:
        pytest.skip(NO_BINARY)
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Starts servers with options, as of redis.conf, that a test may stop."""
    if BINARY is None:
        pytest.skip(NO_BINARY)
    servers: list[RedisServer] = []

    def start(*options: str, tls: bool = False) -> RedisServer:
        servers.append(RedisServer(tmp_path, *options, tls=tls))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def server(start_server: Callable[..., RedisServer]) -> RedisServer:
    """One that a test may stop."""
    return start_server()


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest, clock: HandClock) -> AsyncIterator[Store]:
    """Each kind of store, empty."""
    store: Store
    if request.param == "memory":
        store = MemoryStore(clock)
    else:
        server: RedisServer = request.getfixturevalue("shared_server")
        server.flush()
        store = redis_store(server, clock)
    yield store
    await store.close()
