"""One schema in three spellings: what a new ledger is made with, the migrations, and SQLAlchemy's tables."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from llmitm.admin.shown import exchange
from llmitm.record.ledger import books, columns
from llmitm.record.ledger.migrate import migrate, scripts
from llmitm.record.ledger.paging import whole
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.reading import reading
from llmitm.record.ledger.tables import EXCHANGES, METADATA
from support.ledgers import books_of, entry_of, keep, place_of, rows_of


def looked_at(connection: Connection) -> dict[str, object]:
    """All that a database tells of its tables."""
    found = inspect(connection)
    return {
        name: (
            [(one["name"], str(one["type"]), one["nullable"]) for one in found.get_columns(name)],
            found.get_pk_constraint(name)["constrained_columns"],
            [one["column_names"] for one in found.get_unique_constraints(name)],
            sorted(
                one["name"] or "" for one in found.get_indexes(name) if not one.get("duplicates_constraint")
            ),
        )
        for name in found.get_table_names()
    }


def differing(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), METADATA))


async def schema_of(place: Place) -> tuple[dict[str, object], list[object]]:
    engine = create_async_engine(place.alchemy_url.reveal(), poolclass=NullPool)
    async with engine.connect() as connection:
        found = await connection.run_sync(looked_at), await connection.run_sync(differing)
    await engine.dispose()
    return found


@pytest.fixture
async def other(request: pytest.FixtureRequest, place: Place, tmp_path: Path) -> Place:
    """A second empty place of the same kind."""
    if place.backend == "sqlite":
        return place_of(tmp_path, "sqlite:///other.db")
    return place_of(tmp_path, await request.getfixturevalue("postgres").database())


async def test_a_new_ledger_is_what_the_migrations_make(place: Place, other: Place) -> None:
    await keep(place, [])
    await migrate(other.alchemy_url.reveal())
    (made, differs), (migrated, differs_too) = await schema_of(place), await schema_of(other)
    assert made == migrated
    assert (differs, differs_too) == ([], [])


def test_the_version_that_is_written_is_the_last_migration() -> None:
    assert scripts().get_heads() == [columns.HEAD]


async def test_a_migrated_ledger_is_written_and_read(place: Place) -> None:
    await migrate(place.alchemy_url.reveal())
    await keep(place, [entry_of(1)])
    assert [row["number"] for row in await rows_of(place, EXCHANGES)] == [1]


async def test_what_an_older_version_wrote_is_read(place: Place) -> None:
    await migrate(place.alchemy_url.reveal(), "0001")
    engine = create_async_engine(place.alchemy_url.reveal(), poolclass=NullPool)
    async with engine.begin() as connection:
        for values in (
            "exchanges (run, number, id, at, ended_at, method, path, client, outcome, attempts,"
            " request_bytes, response_bytes)"
            " VALUES ('r', 1, 'old', '{at}', '{at}', 'POST', '/v1', '::1', 'ok', 1, 2, 3)",
            "attempts (exchange, number, at, provider) VALUES ('old', 1, '{at}', 'main')",
            "bodies (exchange, request, response) VALUES ('old', 'asked', 'told')",
        ):
            await connection.exec_driver_sql("INSERT INTO " + values.format(at="2026-09-21T14:13:20.000Z"))
    await engine.dispose()
    await migrate(place.alchemy_url.reveal())
    async with reading(place) as connection:
        found = await whole(connection, "old")
    assert found is not None and found.bodies is not None and found.legs == []
    assert exchange(found.exchange, found.attempts, found.bodies, found.legs, lambda _: None).id == "old"


OLD: dict[str, tuple[str, bool]] = {
    "before the first version": ("", True),
    "of a version that there never was": ("INSERT INTO alembic_version VALUES ('0000')", False),
}


@pytest.mark.parametrize(("version", "is_usable"), OLD.values(), ids=OLD.keys())
async def test_an_older_ledger_is_brought_up_to_date_when_it_is_opened(
    tmp_path: Path, version: str, is_usable: bool
) -> None:
    """Where that cannot be, what comes is put aside."""
    connection = sqlite3.connect(tmp_path / "llmitm.db")
    connection.executescript("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.executescript(version)
    connection.close()
    place = place_of(tmp_path)
    books = books_of(place, begun=1)
    books(entry_of(1))
    await books.flush()
    assert (books.waiting, books.spilled) == (0, 1)  # nobody waits for a migration
    assert books.migration is not None
    await asyncio.wait((books.migration,))
    await books.close()
    assert books.spilled == (0 if is_usable else 1)
    if is_usable:
        assert [row["number"] for row in await rows_of(place, EXCHANGES)] == [1]


async def test_the_process_that_migrates(tmp_path: Path) -> None:
    place = place_of(tmp_path)
    await books._migrate(place)
    engine = create_async_engine(place.alchemy_url.reveal(), poolclass=NullPool)
    async with engine.connect() as connection:
        version = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
    await engine.dispose()
    assert version == columns.HEAD


async def test_the_gateway_does_without_sqlalchemy() -> None:
    """It would take 20 MB of memory, Alembic 11 MB more."""
    asked = (
        "import sys; import llmitm.edge.start, llmitm.edge.door; import llmitm.record.ledger.books, "
        "llmitm.record.ledger.sqlite, llmitm.record.ledger.postgres; "
        "print([name for name in ('sqlalchemy', 'alembic', 'aiosqlite', 'greenlet') if name in sys.modules])"
    )
    root = Path(columns.__file__).parents[3]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", asked, env={"PYTHONPATH": str(root)}, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await child.communicate()
    assert said.decode().strip() == "[]"
