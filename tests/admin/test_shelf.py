"""Asking the ledger from the gateway: what has just ended counts; where none is kept, the newest do."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from llmitm.admin.shelf import Shelf, Unreadable
from llmitm.record.ledger.memory import Newest
from llmitm.record.ledger.reading import NoLedger, Wanted, attempts_of, last
from support.ledgers import books_of, entry_of, place_of


async def numbers(connection: AsyncConnection) -> list[int]:
    return [row["number"] for row in await last(connection, Wanted(), 50)]


async def test_what_has_just_ended_is_found(tmp_path: Path) -> None:
    books = books_of(place_of(tmp_path))
    shelf = Shelf(place_of(tmp_path), flush=books.flush)
    books(entry_of(1))
    with pytest.raises(NoLedger):
        await shelf.ask(numbers)
    assert await shelf.ask(numbers, fresh=True) == [1]
    await books.close()
    shelf.close()


async def test_a_ledger_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    place = place_of(tmp_path)
    assert place.path is not None
    place.path.write_bytes(b"this is no database, however long it is looked at" * 100)
    shelf = Shelf(place)
    with pytest.raises(Unreadable, match="cannot be read"):
        await shelf.ask(numbers)
    shelf.close()


async def test_without_a_ledger_the_newest_are_held_in_memory() -> None:
    newest = Newest(3, str)
    shelf = Shelf(None, newest=newest)
    assert await shelf.ask(numbers) == [] and shelf.capacity == 3
    for number in range(1, 3):
        newest(entry_of(number))
    assert await shelf.ask(numbers) == [1, 2]
    for number in range(3, 8):
        newest(entry_of(number))
    assert await shelf.ask(numbers) == [5, 6, 7]
    names = ["llmitm-test-1", "llmitm-test-7"]
    assert list(await shelf.ask(lambda connection: attempts_of(connection, names))) == ["llmitm-test-7"]
    shelf.close()
