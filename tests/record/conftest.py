"""The databases that a ledger may be in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmitm.record.ledger.place import Place
from support.ledgers import place_of
from support.postgres_server import BINARY, NO_BINARY, PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    if BINARY is None:
        pytest.skip(NO_BINARY)
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place of each kind."""
    if request.param == "sqlite":
        return place_of(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres")
    return place_of(tmp_path, await server.database())
