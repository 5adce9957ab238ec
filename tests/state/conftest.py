"""Both stores on a clock that is set by hand, and a redis-server of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
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
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """One that a test may stop."""
    if BINARY is None:
        pytest.skip(NO_BINARY)
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


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
