"""What could not be written to the ledger waits here, in a file beside it: one JSON line an exchange.

Each run of a gateway has a file of its own, which it keeps locked; those of runs that have ended are
anybody's to write to the ledger. A row is removed here only once it is there, and rows that come a second
time change nothing.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import orjson

from llmitm.record.ledger.columns import ATTEMPTS, BODIES, EXCHANGES, LEGS, RUNS, Shape
from llmitm.record.ledger.rows import Row, Rows

MOST_BYTES: Final = 268_435_456
"""More is not spilled."""
AT_ONCE: Final = 500
"""Exchanges of a portion."""
SUFFIX: Final = ".spill"
_ID_AT: Final = EXCHANGES.names.index("id")


class SpillFull(Exception):
    """The file has grown as large as it may."""


class Spill:
    """The file of one run. Made when there is something to keep."""

    def __init__(self, base: Path, run: str, *, most_bytes: int = MOST_BYTES) -> None:
        self.path = base.with_name(f"{base.name}.{run}{SUFFIX}")
        self._most_bytes = most_bytes
        self._file: IO[bytes] | None = None
        self.count = 0
        """Exchanges in it."""

    def add(self, run: Row, rows: Rows) -> None:
        """Appends the rows, and what is known of their run, and waits until they are on the disk.

        Raises:
            OSError: the disk refuses; nothing of it is in the file.
            SpillFull: nothing of it is in the file.
        """
        content = b"\n".join((*_lines(run, rows), b""))
        file = self._opened()
        size_bytes = file.seek(0, os.SEEK_END)
        if size_bytes + len(content) > self._most_bytes:
            raise SpillFull(f"{self.path} has reached {self._most_bytes >> 20} MB")
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(file.fileno(), left) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size_bytes)
            raise
        self.count += len(rows.exchanges)

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            number = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(number, "r+b", buffering=0)
            fcntl.flock(number, fcntl.LOCK_EX)
        return self._file

    def read(self) -> Iterator[tuple[list[Row], Rows]]:
        """As the function `read`."""
        if self.count:
            with open(self.path, "rb") as file:
                yield from read(file)

    def close(self) -> None:
        """What is in it stays there, for whoever comes next; a file with nothing in it goes. Idempotent."""
        if self._file is not None:
            if not self.count:
                self.path.unlink(missing_ok=True)
            self._file.close()
            self._file = None

    def empty(self) -> None:
        """All of it is in the ledger."""
        self.count = 0
        self.path.unlink(missing_ok=True)
        self.close()


def _lines(run: Row, rows: Rows) -> Iterator[bytes]:
    yield orjson.dumps({"run": _named(RUNS, run)})
    attempts: dict[str, list[dict[str, Any]]] = {}
    legs: dict[str, list[dict[str, Any]]] = {}
    bodies = {row[0]: row for row in rows.bodies}
    for row in rows.attempts:
        attempts.setdefault(row[0], []).append(_named(ATTEMPTS, row))
    for row in rows.legs:
        legs.setdefault(row[0], []).append(_named(LEGS, row))
    for row in rows.exchanges:
        name = row[_ID_AT]
        line: dict[str, Any] = {"exchange": _named(EXCHANGES, row), "attempts": attempts.get(name, [])}
        if name in bodies:
            line["body"] = _named(BODIES, bodies[name])
        if name in legs:
            line["legs"] = legs[name]
        yield orjson.dumps(line)


def _named(shape: Shape, row: Row) -> dict[str, Any]:
    """By name: who reads it may be of another version."""
    return dict(zip(shape.names, row, strict=True))


def _row(shape: Shape, named: dict[str, Any]) -> Row:
    return tuple(named.get(name) for name in shape.names)


def read(file: IO[bytes]) -> Iterator[tuple[list[Row], Rows]]:
    """Runs and rows of a spill file, in portions. A line that was not written whole is left out."""
    runs: list[Row] = []
    rows = Rows()
    for line in file:
        try:
            told = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if "run" in told:
            runs.append(_row(RUNS, told["run"]))
            continue
        rows.exchanges.append(_row(EXCHANGES, told["exchange"]))
        rows.attempts += (_row(ATTEMPTS, one) for one in told["attempts"])
        if "body" in told:
            rows.bodies.append(_row(BODIES, told["body"]))
        rows.legs += (_row(LEGS, one) for one in told.get("legs", ()))
        if len(rows.exchanges) >= AT_ONCE:
            yield runs, rows
            runs, rows = [], Rows()
    if runs or rows.exchanges:
        yield runs, rows


def orphans(base: Path, own: Path | None = None) -> Iterator[tuple[Path, IO[bytes]]]:
    """Spill files of runs that have ended, locked while they are looked at."""
    for path in sorted(base.parent.glob(f"{base.name}.*{SUFFIX}")):
        if path == own:
            continue
        try:
            number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        with os.fdopen(number, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # its gateway runs
            yield path, file
