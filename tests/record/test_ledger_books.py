"""The books: what is over is written soon, whatever happens to the database, the disk and the process."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llmitm.clock import SystemClock
from llmitm.record.bodies import Seen
from llmitm.record.entry import Entry
from llmitm.record.ledger import books as subject
from llmitm.record.ledger.books import Books
from llmitm.record.ledger.database import StrangeSchema
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.sqlite import SqliteDatabase
from llmitm.record.ledger.tables import ATTEMPTS, EXCHANGES, RUNS
from support.clocks import HandClock
from support.ledgers import (
    FakeDatabase,
    FullDisk,
    books_of,
    config_of,
    entry_of,
    keep,
    names_in,
    place_of,
    rows_of,
)


class Turns(HandClock):
    """A clock whose sleepers wake one after another, when told."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_s: asyncio.Queue[float] = asyncio.Queue()
        self._wake: asyncio.Queue[None] = asyncio.Queue()

    async def sleep(self, duration_s: float) -> None:  # type: ignore[override]
        self.asked_s.put_nowait(duration_s)
        await self._wake.get()
        self.at_s += duration_s

    def wake(self) -> None:
        self._wake.put_nowait(None)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="llmitm")
    return caplog


async def test_what_is_over_is_written_when_the_flush_comes_and_not_before(tmp_path: Path) -> None:
    clock, database = Turns(), FakeDatabase()
    books = books_of(place_of(tmp_path), clock=clock, database=database, config=config_of(flush_ms=400))
    books.start()
    assert await clock.asked_s.get() == 0.4
    books(entry_of(1))
    books(entry_of(2))
    assert (books.waiting, database.writes) == (2, [])
    clock.wake()
    await clock.asked_s.get()  # it sleeps again
    assert (books.waiting, list(database.exchanges)) == (0, ["llmitm-test-1", "llmitm-test-2"])
    await books.close()


async def test_a_full_portion_does_not_wait_for_the_flush(tmp_path: Path) -> None:
    clock, database = Turns(), FakeDatabase()
    books = books_of(place_of(tmp_path), clock=clock, database=database)
    books.start()
    await clock.asked_s.get()
    for number in range(subject.PORTION):
        books(entry_of(number))
    await clock.asked_s.get()
    assert len(database.exchanges) == subject.PORTION
    await books.close()


async def test_nothing_is_written_while_nothing_happens(tmp_path: Path) -> None:
    database = FakeDatabase()
    books = books_of(place_of(tmp_path), database=database)
    await books.flush()
    writes = len(database.writes)
    await books.flush()
    await books.flush()
    assert len(database.writes) == writes
    await books.close()


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[tuple[Books, FakeDatabase, HandClock]]:
    clock, database = HandClock(), FakeDatabase()
    books = books_of(place_of(tmp_path), clock=clock, database=database, begun=9)
    await books.flush()
    yield books, database, clock
    await books.close()


type Fake = tuple[Books, FakeDatabase, HandClock]


async def test_what_the_database_does_not_take_waits_in_a_file_and_is_written_later(
    fake: Fake, tmp_path: Path, lines: pytest.LogCaptureFixture
) -> None:
    books, database, clock = fake
    database.failing = ConnectionError("nobody listens")
    for number in (1, 2, 3):
        books(entry_of(number))
        await books.flush()
    assert (books.waiting, books.spilled, books.is_away) == (0, 3, True)
    assert names_in(tmp_path) == [f"llmitm.db.{books.run}.spill"]
    assert [one.levelname for one in lines.records] == ["ERROR"]
    assert "nobody listens" in lines.text and "[ledger] url" in lines.text
    database.failing = None
    clock.at_s += 60
    books(entry_of(4))
    await books.flush()
    assert sorted(database.exchanges) == [f"llmitm-test-{number}" for number in (1, 2, 3, 4)]
    assert len(database.attempts) == 4
    assert (books.spilled, books.is_away, names_in(tmp_path)) == (0, False, [])
    assert "can be written again" in lines.text and "3 exchanges" in lines.text


async def test_a_database_that_is_away_is_asked_again_at_growing_intervals(fake: Fake) -> None:
    books, database, clock = fake
    database.failing_open = database.failing = ConnectionError()
    books(entry_of(1))
    await books.flush()
    asked = []
    for _ in range(400):
        clock.at_s += 0.25
        before = books._failures
        await books.flush()
        if books._failures > before:
            asked.append(clock.at_s)
    gaps = [after - before for before, after in zip(asked, asked[1:], strict=False)]
    assert gaps[:4] == [1.0, 2.0, 5.0, 10.0] and set(gaps[4:]) == {10.0}


async def test_where_neither_takes_it_it_waits_in_memory_and_is_told(
    tmp_path: Path, lines: pytest.LogCaptureFixture
) -> None:
    clock, database = HandClock(), FakeDatabase()
    database.failing = OSError(28, "No space left on device")
    spill = FullDisk(tmp_path / "llmitm.db", "run")
    books = books_of(place_of(tmp_path), clock=clock, database=database, spill=spill)
    books(entry_of(1))
    await books.flush()
    books(entry_of(2))
    await books.flush()
    assert (books.waiting, books.lost) == (2, 0)
    assert "No space left on device" in lines.text
    database.failing, spill.is_full = None, False
    clock.at_s += 60
    await books.close()
    assert sorted(database.exchanges) == ["llmitm-test-1", "llmitm-test-2"]


async def test_what_finds_no_room_in_memory_is_counted_and_the_ledger_says_so(
    tmp_path: Path, lines: pytest.LogCaptureFixture
) -> None:
    database = FakeDatabase()
    books = books_of(place_of(tmp_path), database=database, begun=subject.MOST_WAITING + 3)
    one = entry_of(1, attempts=[])
    for _ in range(subject.MOST_WAITING + 3):
        books(one)
    assert (books.waiting, books.lost) == (subject.MOST_WAITING, 3)
    assert "never will be" in lines.text
    await books.close()
    (run,) = database.runs.values()
    assert run[-2] == 3


async def test_a_long_queue_is_written_in_portions(tmp_path: Path) -> None:
    database = FakeDatabase()
    books = books_of(place_of(tmp_path), database=database)
    for number in range(2 * subject.PORTION + 1):
        books(entry_of(number, attempts=[]))
    await books.flush()
    assert database.writes == [subject.PORTION, subject.PORTION, 1]
    await books.close()


def with_bodies(number: int, size_bytes: int) -> Entry:
    sent, given = Seen(size_bytes), Seen(size_bytes)
    sent.add(b"x" * size_bytes)
    given.add(b"x" * size_bytes)
    return entry_of(number, sent=sent, given=given)


async def test_bodies_that_find_no_room_in_memory_are_left_out(
    tmp_path: Path, lines: pytest.LogCaptureFixture
) -> None:
    database, spill = FakeDatabase(), FullDisk(tmp_path / "llmitm.db", "run")
    books = books_of(place_of(tmp_path), database=database, spill=spill, redact=str)
    fitting = subject.MOST_BODIES_BYTES // 8
    for number in range(6):
        books(with_bodies(number, fitting))
    await books.flush()
    assert (len(database.exchanges), len(database.bodies)) == (6, 4)
    assert "left out" in lines.text
    database.failing = OSError(28, "No space left on device")
    for number in range(6, 12):
        books(with_bodies(number, fitting))
        await books.flush()  # neither the ledger nor the file takes it: it stays in memory
    assert books.waiting == 6
    database.failing, spill.is_full = None, False
    await books.close()
    assert (len(database.exchanges), len(database.bodies)) == (12, 8)


async def test_one_bad_row_does_not_keep_the_others_out(fake: Fake, lines: pytest.LogCaptureFixture) -> None:
    books, database, _ = fake
    database.bad = {"llmitm-test-2"}
    for number in (1, 2, 3):
        books(entry_of(number))
    await books.flush()
    assert sorted(database.exchanges) == ["llmitm-test-1", "llmitm-test-3"]
    assert (books.lost, books.waiting) == (1, 0)
    assert "llmitm-test-2" in lines.text


async def test_an_entry_that_cannot_be_read_is_lost_alone(
    fake: Fake, lines: pytest.LogCaptureFixture
) -> None:
    books, database, _ = fake
    books(entry_of(1, attempts=None))
    books(entry_of(2))
    await books.flush()
    assert (list(database.exchanges), books.lost) == (["llmitm-test-2"], 1)
    assert "llmitm-test-1" in lines.text


async def test_closing_writes_what_waits_and_says_that_it_was_the_end(place: Place) -> None:
    books = books_of(place, begun=3)
    books.start()
    for number in (1, 2, 3):
        books(entry_of(number))
    await books.close()
    await books.close()
    assert len(await rows_of(place, EXCHANGES)) == 3
    (run,) = await rows_of(place, RUNS)
    assert run["stopped_at"] is not None and run["begun"] == 3


async def test_closing_while_the_database_is_away_leaves_it_to_the_next_run(tmp_path: Path) -> None:
    place, database = place_of(tmp_path), FakeDatabase()
    database.failing = ConnectionError()
    books = books_of(place, database=database, begun=1)
    books(entry_of(1))
    await books.close()
    assert [name.endswith(".spill") for name in names_in(tmp_path)] == [True]
    await keep(place, [entry_of(2)])
    assert [row["number"] for row in await rows_of(place, EXCHANGES)] == [2, 1]
    runs = {run["id"]: run for run in await rows_of(place, RUNS)}
    assert runs[books.run]["stopped_at"] is not None
    assert names_in(tmp_path) == ["llmitm.db"]


async def test_what_is_abandoned_is_on_the_disk_at_once(tmp_path: Path) -> None:
    place = place_of(tmp_path)
    books = books_of(place, database=FakeDatabase())
    books(entry_of(1))
    books.abandon()
    books(entry_of(2))  # ended after all that
    await keep(place, [])
    assert [row["number"] for row in await rows_of(place, EXCHANGES)] == [1, 2]


async def test_what_is_abandoned_is_still_written_where_there_is_time(tmp_path: Path) -> None:
    place = place_of(tmp_path)
    books = books_of(place, begun=1)
    books(entry_of(1))
    books.abandon()
    await books.close()
    assert [row["number"] for row in await rows_of(place, EXCHANGES)] == [1]
    (run,) = await rows_of(place, RUNS)
    assert run["stopped_at"] is not None
    assert names_in(tmp_path) == ["llmitm.db"]


async def test_the_file_of_a_gateway_that_runs_is_left_to_it(tmp_path: Path) -> None:
    place, database = place_of(tmp_path), FakeDatabase()
    database.failing = ConnectionError()
    runs = books_of(place, database=database)
    runs(entry_of(1))
    await runs.flush()
    await keep(place, [entry_of(2)])
    assert [row["number"] for row in await rows_of(place, EXCHANGES)] == [2]
    await runs.close()
    await keep(place, [])
    assert [row["number"] for row in await rows_of(place, EXCHANGES)] == [2, 1]


async def test_a_file_that_was_not_written_whole_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    place, database = place_of(tmp_path), FakeDatabase()
    database.failing = ConnectionError()
    books = books_of(place, database=database)
    for number in (1, 2):
        books(entry_of(number))
    await books.close()
    _cut(tmp_path)
    await keep(place, [])
    assert [row["number"] for row in await rows_of(place, EXCHANGES)] == [1]


def _cut(folder: Path) -> None:
    (path,) = folder.glob("*.spill")
    path.write_bytes(path.read_bytes()[:-5])


async def test_writing_again_what_may_have_been_written_changes_nothing(place: Place) -> None:
    """A write that is cancelled may have been done or not."""
    books = books_of(place)
    books.start()
    books(entry_of(1))
    await books.flush()
    books._under_way = [books._writing.made(entry_of(number)) for number in (1, 2)]
    await books.close()
    assert [row["number"] for row in await rows_of(place, EXCHANGES)] == [1, 2]
    assert len(await rows_of(place, ATTEMPTS)) == 2


async def test_two_gateways_may_share_a_ledger(place: Place) -> None:
    one, two = books_of(place, begun=2), books_of(place, begun=2)
    for number in (1, 2):
        one(entry_of(number, id=f"one-{number}"))
        two(entry_of(number, id=f"two-{number}"))
    await asyncio.gather(one.flush(), two.flush())
    await asyncio.gather(one.close(), two.close())
    found = {row["id"]: row["run"] for row in await rows_of(place, EXCHANGES)}
    assert found == {"one-1": one.run, "one-2": one.run, "two-1": two.run, "two-2": two.run}


STRANGE = {
    "no database": (b"This is a text. " * 100, "file is not a database"),
    "another program's": ("CREATE TABLE notes (text)", "and no ledger"),
    "a newer version's": (
        "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('9999')",
        "newer version",
    ),
}


@pytest.mark.parametrize(("content", "told"), STRANGE.values(), ids=STRANGE.keys())
async def test_a_file_that_is_no_ledger_is_left_alone(
    content: bytes | str, told: str, tmp_path: Path, lines: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "llmitm.db"
    before = _made(path, content)
    books = books_of(place_of(tmp_path))
    books(entry_of(1))
    await books.close()
    assert told in lines.text
    assert _tables(path, before) and books.spilled == 1


def _made(path: Path, content: bytes | str) -> bytes:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        connection = sqlite3.connect(path)
        connection.executescript(content)
        connection.close()
    return path.read_bytes()


def _tables(path: Path, before: bytes) -> bool:
    if path.read_bytes() == before:
        return True
    connection = sqlite3.connect(path)
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    return "exchanges" not in names


async def test_the_newest_schema_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "llmitm.db"
    _made(path, "CREATE TABLE notes (text)")
    with pytest.raises(StrangeSchema):
        await SqliteDatabase(path).open()


async def test_no_file_beside_it_is_left(tmp_path: Path) -> None:
    await keep(place_of(tmp_path), [entry_of(1)])
    assert names_in(tmp_path) == ["llmitm.db"]


async def test_what_waits_is_found_as_it_will_be_written(tmp_path: Path) -> None:
    books = books_of(place_of(tmp_path), database=FakeDatabase())
    for number in (1, 2):
        books(entry_of(number))
    found = books.waiting_of("llmitm-test-2")
    assert found is not None and [row[1] for row in found.exchanges] == [2] and len(found.attempts) == 1
    await books.flush()
    assert books.waiting_of("llmitm-test-2") is None
    await books.close()


async def test_closing_in_the_middle_of_a_turn_lets_it_finish(tmp_path: Path) -> None:
    books = books_of(place_of(tmp_path), clock=SystemClock(), config=config_of(flush_ms=1))
    books.start()
    await books.flush()
    for number in range(400):
        books(entry_of(number))
        if number == 200:  # the database's process is asked, and has not answered yet
            while not books._turn.locked():
                await asyncio.sleep(0)
    await books.close()
    assert books.spilled == 0
    assert len(await rows_of(place_of(tmp_path), EXCHANGES)) == 400
