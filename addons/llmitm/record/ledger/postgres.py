"""The ledger in a PostgreSQL database, over one connection."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import asyncpg

from llmitm.record.ledger.columns import (
    ATTEMPTS,
    BODIES,
    EXCHANGES,
    LEGS,
    RUNS,
    TABLES,
    Shape,
    create,
    insert,
)
from llmitm.record.ledger.database import (
    CHUNK,
    DOOM,
    BadRows,
    StrangeSchema,
    check_version,
    upsert_run,
    with_times,
)
from llmitm.record.ledger.rows import Row, Rows
from llmitm.secret import Secret

CONNECT_S: Final = 5.0
COMMAND_S: Final = 30.0
LOCK: Final = 0x6C6C6D69746D
"""Held while tables are made: several gateways may start at once."""
SAMPLE: Final = 1_000
"""Of the newest exchanges: how large one is."""
_INDEXES: Final = 1.4
"""What an exchange takes beside its rows, as a factor."""


class PostgresDatabase:
    def __init__(self, url: Secret, name: str) -> None:
        """`name` is the URL without its password."""
        self._url = url
        self._name = name
        self._connection: asyncpg.Connection | None = None

    async def open(self) -> None:
        await self.close()
        connection = await asyncpg.connect(
            self._url.reveal(),
            timeout=CONNECT_S,
            command_timeout=COMMAND_S,
            server_settings={"application_name": "llmitm"},
        )
        try:
            async with connection.transaction():
                await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
                await _make(connection, self._name)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection

    async def write(self, runs: Iterable[Row], rows: Rows) -> None:
        connection = self._opened()
        try:
            async with connection.transaction():
                await connection.executemany(_UPSERT, with_times(RUNS, runs, datetime.fromisoformat))
                await connection.executemany(
                    _INSERT[EXCHANGES.name], with_times(EXCHANGES, rows.exchanges, datetime.fromisoformat)
                )
                await connection.executemany(
                    _INSERT[ATTEMPTS.name], with_times(ATTEMPTS, rows.attempts, datetime.fromisoformat)
                )
                await connection.executemany(_INSERT[BODIES.name], rows.bodies)
                await connection.executemany(_INSERT[LEGS.name], rows.legs)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            raise BadRows(f"{type(error).__name__}: {error}") from error

    async def prune(self, before_s: float | None, most_bytes: int | None) -> int:
        connection = self._opened()
        if before_s is not None:
            if deleted := await self._delete(
                "WHERE at < $1 ORDER BY at", datetime.fromtimestamp(before_s, UTC)
            ):
                return deleted
        if most_bytes is not None:
            most = await _most_rows(connection, most_bytes)
            edge = most and await connection.fetchval(
                "SELECT row FROM exchanges ORDER BY row DESC OFFSET $1 LIMIT 1", most
            )
            if edge:
                return await self._delete("WHERE row <= $1 ORDER BY row", edge)
        return 0

    async def _delete(self, which: str, value: datetime | int) -> int:
        connection = self._opened()
        async with connection.transaction():
            chosen = await connection.fetch(f"SELECT row FROM exchanges {which} LIMIT {CHUNK}", value)
            if not chosen:
                return 0
            await connection.execute(
                "CREATE TEMP TABLE doomed (row BIGINT, id TEXT, run TEXT, number BIGINT) ON COMMIT DROP"
            )
            await connection.execute(
                "INSERT INTO doomed SELECT row, id, run, number FROM exchanges WHERE row = ANY($1)",
                [one["row"] for one in chosen],
            )
            for statement in DOOM:
                await connection.execute(statement)
        return len(chosen)

    def _opened(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            raise ConnectionError("the connection to the ledger's database is closed")
        return self._connection

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=1)
            except Exception:
                connection.terminate()


def _placed(shape: Shape) -> tuple[str, ...]:
    return tuple(f"${number}" for number, _ in enumerate(shape.names, 1))


_INSERT: Final = {shape.name: insert(shape, _placed(shape)) for shape in TABLES}
_UPSERT: Final = upsert_run(_placed(RUNS), "postgresql")


async def _make(connection: asyncpg.Connection, name: str) -> None:
    found = await connection.fetchval("SELECT to_regclass('alembic_version')")
    if found is not None:
        version = await connection.fetchval("SELECT version_num FROM alembic_version")
        check_version(version, name)
        return
    if await connection.fetchval("SELECT to_regclass('exchanges')") is not None:
        raise StrangeSchema(f"{name} has a table exchanges that no ledger made")
    for statement in create("postgresql"):
        await connection.execute(statement)


async def _most_rows(connection: asyncpg.Connection, most_bytes: int) -> int | None:
    """How many exchanges fit; None where there are none. A table does not shrink when rows are deleted, so
    its size on the disk says nothing."""
    size_bytes = await connection.fetchval(
        f"""WITH newest AS (SELECT * FROM exchanges ORDER BY row DESC LIMIT {SAMPLE}),
            theirs AS (SELECT COALESCE(SUM(pg_column_size(attempts.*)), 0) AS bytes FROM attempts
                WHERE exchange IN (SELECT id FROM newest)),
            texts AS (SELECT COALESCE(SUM(pg_column_size(bodies.*)), 0) AS bytes FROM bodies
                WHERE exchange IN (SELECT id FROM newest)),
            hops AS (SELECT COALESCE(SUM(pg_column_size(legs.*)), 0) AS bytes FROM legs
                WHERE exchange IN (SELECT id FROM newest))
        SELECT (SUM(pg_column_size(newest.*)) + (SELECT bytes FROM theirs) + (SELECT bytes FROM texts)
                + (SELECT bytes FROM hops))
            / COUNT(*) FROM newest"""
    )
    return None if size_bytes is None else max(1, int(most_bytes / (float(size_bytes) * _INDEXES)))
