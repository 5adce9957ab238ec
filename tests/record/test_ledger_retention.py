"""What is too old goes, and what is too much; the newest stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmitm.record.ledger import books as subject
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.tables import ATTEMPTS, BODIES, EXCHANGES, RUNS
from llmitm.record.ledger.verify import verify
from support.clocks import HandClock
from support.ledgers import AT_S, books_of, config_of, entry_of, keep, place_of, rows_of

DAY_S = 86_400.0


async def prune(place: Place, now_s: float, **ledger: Any) -> None:
    """As a gateway does it, one portion after another."""
    clock = HandClock(now_s=now_s)
    books = books_of(place, clock=clock, config=config_of(**ledger))
    await books.flush()
    while clock.tick_s() >= books._prune_s:
        await books._prune()
    await books.close()


async def test_exchanges_that_are_too_old_go_with_all_that_belongs_to_them(place: Place) -> None:
    old = [entry_of(number) for number in range(1, 6)]
    new = [entry_of(number, at_s=AT_S + 5 * DAY_S) for number in range(6, 9)]
    await keep(place, old + new)
    await prune(place, AT_S + 8 * DAY_S, retention_days=7)
    assert [row["number"] for row in await rows_of(place, EXCHANGES)] == [6, 7, 8]
    assert len(await rows_of(place, ATTEMPTS)) == 3
    assert max(run["pruned_to"] for run in await rows_of(place, RUNS)) == 5
    findings = [finding async for finding in verify(place)]
    assert [finding.text for finding in findings if finding.is_wrong] == []


async def test_without_a_rule_nothing_goes(place: Place) -> None:
    await keep(place, [entry_of(number) for number in range(1, 4)])
    await prune(place, AT_S + 10_000 * DAY_S)
    assert len(await rows_of(place, EXCHANGES)) == 3


async def test_the_oldest_go_where_there_is_too_much(place: Place) -> None:
    count = 3_000
    await keep(place, [entry_of(number, error="x" * 1_000) for number in range(1, count + 1)])
    await prune(place, AT_S, max_mb=2)
    left = [row["number"] for row in await rows_of(place, EXCHANGES)]
    assert 300 < len(left) < 2_000
    assert left == list(range(count - len(left) + 1, count + 1))
    assert len(await rows_of(place, ATTEMPTS)) == len(left)
    await prune(place, AT_S, max_mb=2)
    assert len(await rows_of(place, EXCHANGES)) == len(left)  # nothing more goes


async def test_a_file_gives_its_room_back(tmp_path: Path) -> None:
    place = place_of(tmp_path)
    await keep(place, [entry_of(number, error="x" * 1_000) for number in range(1, 3_001)])
    before = size_of(tmp_path)
    await prune(place, AT_S + 10 * DAY_S, retention_days=1)
    assert size_of(tmp_path) < before / 4
    assert await rows_of(place, BODIES) == []


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


async def test_it_is_looked_at_from_time_to_time_only(tmp_path: Path) -> None:
    clock = HandClock()
    books = books_of(place_of(tmp_path), clock=clock, config=config_of(retention_days=1))
    await books.flush()
    await books._prune()
    due_s = books._prune_s
    assert due_s == clock.tick_s() + subject.PRUNE_EVERY_S
    clock.at_s += subject.PRUNE_EVERY_S - 1
    await books._prune()
    assert books._prune_s == due_s
    await books.close()
