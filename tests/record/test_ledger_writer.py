"""The process that writes the SQLite file: where it ends nothing is lost, and it does not end too early."""

from __future__ import annotations

import marshal
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmitm.record.ledger import sqlite, sqlite_writer
from llmitm.record.ledger.columns import HEAD
from llmitm.record.ledger.rows import Rows, Writing
from llmitm.record.ledger.sqlite import SqliteDatabase
from llmitm.record.ledger.tables import EXCHANGES
from support.clocks import HandClock
from support.ledgers import books_of, entry_of, place_of, rows_of


async def ids(folder: Path) -> list[str]:
    return sorted(row["id"] for row in await rows_of(place_of(folder), EXCHANGES))


async def test_where_it_is_killed_what_came_since_is_kept_and_written_by_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, database = HandClock(), SqliteDatabase(tmp_path / "llmitm.db")
    books = books_of(place_of(tmp_path), clock=clock, database=database)
    books(entry_of(1))
    await books.flush()
    first = database.process
    assert first is not None
    os.kill(first, signal.SIGKILL)
    books(entry_of(2))
    await books.flush()
    assert "the process that writes it" in caplog.text
    assert (books.waiting, books.spilled) == (0, 1)
    clock.at_s += 60
    books(entry_of(3))
    await books.flush()
    assert database.process not in (None, first)
    await books.close()
    assert await ids(tmp_path) == ["llmitm-test-1", "llmitm-test-2", "llmitm-test-3"]
    assert books.lost == 0


async def test_signals_that_are_meant_for_the_gateway_do_not_end_it(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "llmitm.db")
    books = books_of(place_of(tmp_path), database=database)
    await books.flush()
    assert database.process is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(database.process, number)
    books(entry_of(1))
    await books.close()
    assert await ids(tmp_path) == ["llmitm-test-1"]


def message(*values: Any) -> bytes:
    content = marshal.dumps(values)
    return len(content).to_bytes(4) + content


def run(*messages: bytes) -> list[Any]:
    """All that it answers, until its input ends and it does."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", sqlite_writer.__file__],
        input=b"".join(messages),
        capture_output=True,
        check=True,
        timeout=30,
    )
    told, left = [], done.stdout
    while left:
        size_bytes = int.from_bytes(left[:4])
        told.append(marshal.loads(left[4 : 4 + size_bytes]))
        left = left[4 + size_bytes :]
    return told


@pytest.fixture
def rows() -> Rows:
    rows, writing = Rows(), Writing("test", lambda text: text)
    for number in (1, 2):
        writing.add(writing.made(entry_of(number)), rows)
    return rows


async def test_what_was_handed_over_when_the_gateway_was_killed_is_written(
    tmp_path: Path, rows: Rows
) -> None:
    opening = message("open", str(tmp_path / "llmitm.db"), *sqlite._STATEMENTS)
    half = message("add", "exchanges", rows.exchanges[1:])[:-9]
    assert run(opening, message("add", "exchanges", rows.exchanges[:1]), half) == [(True, (True, HEAD))]
    assert await ids(tmp_path) == ["llmitm-test-1"]


async def test_a_portion_is_written_whole_or_not_at_all(tmp_path: Path, rows: Rows) -> None:
    opening = message("open", str(tmp_path / "llmitm.db"), *sqlite._STATEMENTS)
    broken = [(None, *row[1:]) for row in rows.exchanges[1:]]
    told = run(
        opening,
        message("add", "exchanges", rows.exchanges[:1]),
        message("add", "exchanges", broken),
        message("write", []),
        message("add", "exchanges", rows.exchanges[1:]),
        message("write", []),
    )
    assert [(one[0], one[1] if not one[0] else None) for one in told] == [
        (True, None),
        (False, "bad"),
        (True, None),
    ]
    assert await ids(tmp_path) == ["llmitm-test-2"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_it_is_told_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-canary-1234")
    database = SqliteDatabase(tmp_path / "llmitm.db")
    await database.open()
    with open(f"/proc/{database.process}/environ", "rb") as environment:  # noqa: ASYNC230
        assert b"canary" not in environment.read()
    await database.close()
