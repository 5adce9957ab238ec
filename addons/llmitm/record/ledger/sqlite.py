"""The ledger in an SQLite file. One thread does all of it, so that the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from llmitm.record.ledger.columns import ATTEMPTS, BODIES, EXCHANGES, RUNS, Shape, create, insert
from llmitm.record.ledger.database import (
    CHUNK,
    DOOM,
    BadRows,
    StrangeSchema,
    check_version,
    upsert_run,
)
from llmitm.record.ledger.rows import Row, Rows, rfc3339

BUSY_S: Final = 5.0
"""So long another process may hold the file."""
SLACK: Final = 0.95
"""Where it has grown too large, it is made so much of what it may be."""
_BAD: Final = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, OverflowError)


class SqliteDatabase:
    """Made 0600: who asked what is nobody else's business."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        await self._do(self._open)

    async def write(self, runs: Iterable[Row], rows: Rows) -> None:
        await self._do(partial(self._write, list(runs), rows))

    async def prune(self, before_s: float | None, most_bytes: int | None) -> int:
        return await self._do(partial(self._prune, before_s, most_bytes))

    async def close(self) -> None:
        if self._thread is not None:
            await self._do(self._close)
            self._thread.shutdown(wait=False)
            self._thread = None

    async def _do[T](self, work: Callable[[], T]) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="llmitm-ledger")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except asyncio.CancelledError:
            if self._connection is not None:
                self._connection.interrupt()  # nobody waits for it any more
            raise

    # -- in the thread

    def _open(self) -> None:
        self._close()
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(
            self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts while there is no table
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute("BEGIN IMMEDIATE")
            _make(connection, str(self._path))
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _write(self, runs: list[Row], rows: Rows) -> None:
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(_UPSERT, runs)
            connection.executemany(_INSERT[EXCHANGES.name], rows.exchanges)
            connection.executemany(_INSERT[ATTEMPTS.name], rows.attempts)
            connection.executemany(_INSERT[BODIES.name], rows.bodies)
            connection.execute("COMMIT")
        except BaseException as error:
            _roll_back(connection)
            if isinstance(error, _BAD):
                raise BadRows(f"{type(error).__name__}: {error}") from error
            raise

    def _prune(self, before_s: float | None, most_bytes: int | None) -> int:
        connection = self._opened()
        if before_s is not None:
            if deleted := _delete(connection, "WHERE at < ? ORDER BY at", (rfc3339(before_s),)):
                return deleted
        if most_bytes is not None and _used_bytes(connection) > most_bytes * SLACK:
            if deleted := _delete(connection, "ORDER BY row"):
                return deleted
        connection.execute("PRAGMA incremental_vacuum").fetchall()
        return 0

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.OperationalError("the ledger is not open")
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            try:
                self._connection.close()
            except sqlite3.Error:
                pass
            self._connection = None


def _placed(shape: Shape) -> tuple[str, ...]:
    return ("?",) * len(shape.names)


_INSERT: Final = {shape.name: insert(shape, _placed(shape)) for shape in (EXCHANGES, ATTEMPTS, BODIES)}
_UPSERT: Final = upsert_run(_placed(RUNS), "sqlite")


def _make(connection: sqlite3.Connection, name: str) -> None:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        for statement in create("sqlite"):
            connection.execute(statement)
        return
    if "alembic_version" not in tables:
        raise StrangeSchema(f"{name} is a database, and no ledger")
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    check_version(found and found[0], name)


def _delete(connection: sqlite3.Connection, which: str, values: tuple[str, ...] = ()) -> int:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            f"CREATE TEMP TABLE doomed AS SELECT row, id, run, number FROM exchanges {which} LIMIT {CHUNK}",
            values,
        )
        for statement in DOOM:
            deleted = connection.execute(statement).rowcount
        connection.execute("DROP TABLE doomed")
        connection.execute("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise
    return deleted


def _roll_back(connection: sqlite3.Connection) -> None:
    """Some errors have done so already."""
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass


def _used_bytes(connection: sqlite3.Connection) -> int:
    count, free, size_bytes = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((count - free) * size_bytes)
