"""Ledgers for tests: entries to be written, databases that fail on command, and what was written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import Table, select

from llmitm.config.keeping import Ledger
from llmitm.config.schema import Config
from llmitm.exchange import Dialect, Noted, Usage
from llmitm.record.entry import Entry, Outcome
from llmitm.record.ledger.books import Books
from llmitm.record.ledger.database import BadRows, Database
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.reading import reading
from llmitm.record.ledger.rows import Row, Rows
from llmitm.record.ledger.spill import Spill
from llmitm.secret import Redactor, Secret
from support.clocks import HandClock

AT_S = 1_790_000_000.0
"""2026-09-21T14:13:20Z"""


def entry_of(number: int, **known: Any) -> Entry:
    """An exchange that took half a second and one attempt, but for what is said otherwise."""
    asked = {
        "id": f"llmitm-test-{number:x}",
        "number": number,
        "method": "POST",
        "path": "/all/v1/chat/completions",
        "client": "127.0.0.1",
        "at_s": AT_S + number,
        "started_s": 100.0,
        "ended_s": 100.5,
        "first_byte_s": 100.25,
        "endpoint": "all",
        "dialect": Dialect.OPENAI_CHAT,
        "model": "gpt-known",
        "status": 200,
        "outcome": Outcome.OK,
        "attempts": [noted_of()],
    }
    made = Entry(**{**asked, **known})
    if "usage" not in known and made.attempts and made.attempts[-1].usage is not None:
        made.usage = made.attempts[-1].usage
    return made


def noted_of(number: int = 1, **known: Any) -> Noted:
    asked = {
        "number": number,
        "provider": "main",
        "credential": "one",
        "gateway": None,
        "model": "gpt-known",
        "answered": "gpt-known-2026",
        "dialect": Dialect.OPENAI_CHAT,
        "host": "127.0.0.1",
        "at_s": AT_S,
        "started_s": 100.1,
        "first_byte_s": 100.2,
        "ended_s": 100.4,
        "status": 200,
        "ending": "answered",
        "usage": Usage(input_tokens=10, output_tokens=5),
        "cost_usd_nano": 1_500,
        "price_version": "test",
        "is_cost_whole": True,
    }
    return Noted(**{**asked, **known})


def config_of(**ledger: Any) -> Config:
    return Config(ledger=Ledger(**ledger))


def place_of(folder: Path, url: str | None = None) -> Place:
    return Place.of(None if url is None else Secret(url), folder)


def books_of(
    place: Place,
    *,
    clock: HandClock | None = None,
    config: Config | None = None,
    database: Database | None = None,
    spill: Spill | None = None,
    begun: int = 0,
    redact: Callable[[str], str] | None = None,
) -> Books:
    return Books(
        config or config_of(),
        place,
        clock or HandClock(),
        redact or Redactor(),
        begun=lambda: begun,
        database=database,
        spill=spill,
    )


async def keep(place: Place, entries: Iterable[Entry], **how: Any) -> None:
    """Writes them with a gateway's books, which are closed after it."""
    given = list(entries)
    books = books_of(place, begun=max((one.number for one in given), default=0), **how)
    for one in given:
        books(one)
    await books.close()


async def rows_of(place: Place, table: Table) -> list[dict[str, Any]]:
    """All that is in a table, in the order of its key."""
    async with reading(place) as connection:
        found = await connection.execute(select(table).order_by(*table.primary_key))
        return [{str(name): value for name, value in row._mapping.items()} for row in found]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class FakeDatabase:
    """Keeps rows in lists. `failing` is raised by everything, `bad` names exchanges that are not taken."""

    def __init__(self) -> None:
        self.failing: Exception | None = None
        self.failing_open: Exception | None = None
        self.bad: set[str] = set()
        self.runs: dict[str, Row] = {}
        self.exchanges: dict[str, Row] = {}
        self.attempts: dict[tuple[str, int], Row] = {}
        self.bodies: dict[str, Row] = {}
        self.writes: list[int] = []
        """How many exchanges each write brought."""
        self.opened = 0
        self.closed = 0

    async def open(self) -> None:
        if error := self.failing_open or self.failing:
            raise error
        self.opened += 1

    async def write(self, runs: Iterable[Row], rows: Rows) -> None:
        if self.failing is not None:
            raise self.failing
        if self.bad & {row[2] for row in rows.exchanges}:
            raise BadRows("a value that is not taken")
        self.runs |= {row[0]: row for row in runs}
        for row in rows.exchanges:
            self.exchanges.setdefault(row[2], row)
        for row in rows.attempts:
            self.attempts.setdefault((row[0], row[1]), row)
        for row in rows.bodies:
            self.bodies.setdefault(row[0], row)
        self.writes.append(len(rows.exchanges))

    async def prune(self, before_s: float | None, most_bytes: int | None) -> int:
        return 0

    async def close(self) -> None:
        self.closed += 1


class FullDisk(Spill):
    """A spill file on a disk that is full for as long as `is_full` says."""

    is_full = True

    def add(self, run: Row, rows: Rows) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")
        super().add(run, rows)
