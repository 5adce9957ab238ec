"""The process that writes the ledger's SQLite file.

Started by its path and without site-packages: it imports nothing of llmitm and is told every statement, so
that it is there in 20 ms and takes 5 MB. The gateway's interpreter has nothing to do with the database, and
neither a disk that is slow nor a lock that is held shows in its answers.

A message is four bytes of length and what `marshal` makes of a tuple: the name of a method below and its
values. Each is answered in the same form with `(True, value)` or `(False, kind, text)`, but `add`, which is
not answered. The end of the input is the end; what was handed over until then is written, also where the
gateway was killed.
"""

from __future__ import annotations

import marshal
import os
import signal
import sqlite3
import sys
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

BUSY_S = 5.0
"""So long another process may hold the file."""
SLACK = 0.95
"""Where it has grown too large, it is made so much of what it may be."""
NICE = 5
"""Answers come first."""
_BAD = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, OverflowError)


class Writer:
    def __init__(self) -> None:
        self._connection: sqlite3.Connection | None = None
        self._inserts: dict[str, str] = {}
        self._upsert = ""
        self._doom: Sequence[str] = ()
        self._added: list[tuple[str, list[tuple[Any, ...]]]] = []

    def open(
        self,
        path: str,
        create: Iterable[str],
        inserts: dict[str, str],
        upsert: str,
        doom: Sequence[str],
    ) -> tuple[bool, str | None]:
        """Makes the tables where there are none. Tells whether it is a ledger, and the version of its schema;
        None where that is not told."""
        self._inserts, self._upsert, self._doom = inserts, upsert, doom
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600))
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts while there is no table
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("BEGIN IMMEDIATE")
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            for statement in create:
                connection.execute(statement)
        elif "alembic_version" not in tables:
            return False, None
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        connection.execute("COMMIT")
        self._connection = connection
        return True, found and found[0]

    def add(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        """Rows of the portion that is written next."""
        self._added.append((table, rows))

    def write(self, runs: list[tuple[Any, ...]]) -> None:
        """All that was added, or nothing of it."""
        added, self._added = self._added, []
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(self._upsert, runs)
            for table, rows in added:
                connection.executemany(self._inserts[table], rows)
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise

    def finish(self) -> None:
        if self._added and self._connection is not None:
            self.write([])

    def prune(self, before: str | None, most_bytes: int | None, chunk: int) -> int:
        """Deletes at most `chunk` exchanges. Returns how many."""
        connection = self._opened()
        if before is not None:
            if deleted := self._delete("WHERE at < ? ORDER BY at", (before,), chunk):
                return deleted
        if most_bytes is not None and _used_bytes(connection) > most_bytes * SLACK:
            if deleted := self._delete("ORDER BY row", (), chunk):
                return deleted
        connection.execute("PRAGMA incremental_vacuum").fetchall()
        return 0

    def _delete(self, which: str, values: tuple[str, ...], chunk: int) -> int:
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(
                "CREATE TEMP TABLE doomed AS "
                f"SELECT row, id, run, number FROM exchanges {which} LIMIT {chunk}",
                values,
            )
            for statement in self._doom:
                deleted = connection.execute(statement).rowcount
            connection.execute("DROP TABLE doomed")
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise
        return deleted

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.OperationalError("the ledger is not open")
        return self._connection


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


def main() -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # they are the gateway's: it has rows to hand over first
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(os, "nice"):
        try:
            os.nice(NICE)
        except OSError:  # a sandbox may forbid it, and it is a courtesy only
            pass
    writer = Writer()
    source, answers = sys.stdin.buffer, sys.stdout.buffer
    while message := _message(source):
        what, *values = marshal.loads(message)
        told: tuple[Any, ...]
        try:
            told = (True, getattr(writer, what)(*values))
        except Exception as error:
            kind = "bad" if isinstance(error, _BAD) else "failed"
            told = (False, kind, f"{type(error).__name__}: {error}")
        if what == "add":
            continue
        answer = marshal.dumps(told)
        try:
            answers.write(len(answer).to_bytes(4) + answer)
            answers.flush()
        except OSError:  # nobody is left to hear it
            break
    writer.finish()


def _message(source: BinaryIO) -> bytes:
    """The next one; empty at the end."""
    head = source.read(4)
    message = source.read(int.from_bytes(head)) if len(head) == 4 else b""
    return message if len(message) == int.from_bytes(head) else b""


if __name__ == "__main__":
    main()
