"""What is asked of the ledger: exchanges that match, what is new, sums, and what is missing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from llmitm.exchange import Usage
from llmitm.record.entry import Outcome
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.process import here, is_running
from llmitm.record.ledger.reading import NoLedger, Wanted, last, newer, newest_row, reading, sums
from llmitm.record.ledger.rows import Rows
from llmitm.record.ledger.verify import verify
from support.ledgers import AT_S, FakeDatabase, books_of, entry_of, keep, noted_of, place_of

HOUR_S = 3_600.0

ENTRIES = (
    entry_of(1, model="gpt-known", auth_key="laptop", path="/all/v1/chat/completions"),
    entry_of(2, model="gpt-other", auth_key="laptop", ended_s=103.0),
    entry_of(
        3, model="claude-x", auth_key="ci", status=429, outcome=Outcome.REFUSED, error="too many",
        attempts=[noted_of(provider="second", credential="two", model="claude-x", answered=None,
                           status=429, ending="rate_limit", usage=None, cost_usd_nano=None,
                           price_version=None, is_cost_whole=None)],
    ),
    entry_of(
        4, model="50%_sure", status=200, outcome=Outcome.TRUNCATED, error="It broke off.", endpoint="other",
        at_s=AT_S + 30 * HOUR_S, attempts=[noted_of(cost_usd_nano=2_000_000_000, is_cost_whole=False)],
    ),
    entry_of(5, model=None, auth_key=None, status=401, outcome=Outcome.REFUSED, attempts=[], code="no_key"),
)  # fmt: skip

WANTED: dict[str, tuple[dict[str, Any], list[int]]] = {
    "all": ({}, [1, 2, 3, 4, 5]),
    "a model": ({"model": "gpt-known"}, [1, 2, 4]),  # asked for by one, sent for two others
    "models": ({"model": "gpt-o*"}, [2]),
    "an answered model": ({"model": "*-2026"}, [1, 2, 4]),
    "a model with signs of patterns": ({"model": "50%_sure"}, [4]),
    "a glob with them": ({"model": "5?%_*"}, [4]),
    "a provider": ({"provider": "second"}, [3]),
    "a key": ({"key": "laptop"}, [1, 2]),
    "an endpoint": ({"endpoint": "oth*"}, [4]),
    "a status": ({"status": "429"}, [3]),
    "a class": ({"status": "4xx"}, [3, 5]),
    "an outcome": ({"status": "truncated"}, [4]),
    "what failed": ({"status": "failed"}, [3, 4, 5]),
    "what failed by no fault of the client's": ({"status": "fault"}, [3, 4]),
    "what cost": ({"min_cost_usd": 1.5}, [4]),
    "what took": ({"min_latency_ms": 2_900}, [2]),
    "a text of an error": ({"text": "BROKE"}, [4]),
    "a text of a code": ({"text": "no_key"}, [5]),
    "a text of an id": ({"text": "test-2"}, [2]),
    "a text with signs of patterns": ({"text": "%_"}, [4]),
    "since": ({"since": "2026-09-22T00:00:00.000Z"}, [4]),
    "until": ({"until": "2026-09-22T00:00:00.000Z"}, [1, 2, 3, 5]),
    "both": ({"key": "laptop", "min_latency_ms": 2_900}, [2]),
    "none": ({"key": "laptop", "status": "failed"}, []),
}


async def test_exchanges_that_match(place: Place) -> None:
    await keep(place, ENTRIES)
    async with reading(place) as connection:
        for name, (wanted, expected) in WANTED.items():
            found = await last(connection, Wanted(**wanted), 50)
            assert [row["number"] for row in found] == expected, name


async def test_the_newest_of_them_the_oldest_first(place: Place) -> None:
    await keep(place, ENTRIES)
    async with reading(place) as connection:
        assert [row["number"] for row in await last(connection, Wanted(), 2)] == [4, 5]
        assert await last(connection, Wanted(), 0) == []


def test_a_status_that_is_none() -> None:
    with pytest.raises(ValueError, match="upstream_error"):
        Wanted(status="6xx").conditions()


async def test_what_was_written_since(place: Place) -> None:
    await keep(place, ENTRIES[:2])
    async with reading(place) as connection:
        top = await newest_row(connection)
        await keep(place, ENTRIES[2:])
        await connection.rollback()
        rows = await newer(connection, Wanted(status="failed"), top)
        assert [row["number"] for row in rows if row["row"] > top] == [3, 4, 5]


async def test_who_reads_cannot_write(place: Place) -> None:
    await keep(place, ENTRIES)
    async with reading(place) as connection:
        with pytest.raises(DBAPIError):
            await connection.execute(text("DELETE FROM exchanges"))


async def test_there_is_no_ledger_yet(tmp_path: Path) -> None:
    with pytest.raises(NoLedger):
        async with reading(place_of(tmp_path)):
            pass
    assert not (tmp_path / "llmitm.db").exists()


USED = (
    entry_of(
        1, attempts=[
            noted_of(1, provider="a", usage=Usage(input_tokens=3, output_tokens=0), cost_usd_nano=5),
            noted_of(2, provider="b", usage=Usage(input_tokens=10, output_tokens=4, cache_read_tokens=6),
                     cost_usd_nano=2**53 + 1),
        ],
    ),
    entry_of(
        2, at_s=AT_S + 24 * HOUR_S, auth_key="ci",
        attempts=[noted_of(provider="a", usage=Usage(input_tokens=1), cost_usd_nano=None)],
    ),
    entry_of(3, at_s=AT_S + 24 * HOUR_S, attempts=[], status=401, outcome=Outcome.REFUSED),
)  # fmt: skip


async def test_sums_are_of_attempts_and_count_each_exchange_once(place: Place) -> None:
    await keep(place, USED)
    async with reading(place) as connection:
        (total,) = await sums(connection, Wanted(), ())
        by_provider = {row["provider"]: row for row in await sums(connection, Wanted(), ("provider",))}
        by_day = await sums(connection, Wanted(), ("day",))
        by_two = await sums(connection, Wanted(), ("day", "key"))
    assert total == {
        "requests": 3, "failed": 1, "attempts": 3, "input_tokens": 14, "cache_read_tokens": 6,
        "cache_write_tokens": None, "output_tokens": 4, "reasoning_tokens": None,
        "cost_usd_nano": 2**53 + 6, "unpriced": 1, "partly_priced": 0,
    }  # fmt: skip
    told = {
        name: (row["requests"], row["input_tokens"], row["cost_usd_nano"])
        for name, row in by_provider.items()
    }
    assert told == {"a": (2, 4, 5), "b": (1, 10, 2**53 + 1), None: (1, None, None)}
    assert [(row["day"], row["requests"]) for row in by_day] == [("2026-09-21", 1), ("2026-09-22", 2)]
    assert {(row["day"], row["key"]): row["requests"] for row in by_two} == {
        ("2026-09-21", None): 1, ("2026-09-22", None): 1, ("2026-09-22", "ci"): 1,
    }  # fmt: skip


@pytest.mark.parametrize(("by", "name"), [("hour", "2026-09-21T14"), ("month", "2026-09")])
async def test_spans_of_time(place: Place, by: str, name: str) -> None:
    await keep(place, USED[:1])
    async with reading(place) as connection:
        assert [row[by] for row in await sums(connection, Wanted(), (by,))] == [name]


async def told_of(place: Place) -> tuple[list[str], list[str]]:
    """What is right, and what is wrong."""
    findings = [finding async for finding in verify(place)]
    return (
        [finding.text for finding in findings if not finding.is_wrong],
        [finding.text for finding in findings if finding.is_wrong],
    )


async def test_a_ledger_with_nothing_missing(place: Place) -> None:
    await keep(place, ENTRIES)
    right, wrong = await told_of(place)
    assert wrong == []
    assert "5 exchanges" in right[0]
    assert any("stopped properly" in text for text in right)


async def test_exchanges_without_a_row_are_named(place: Place) -> None:
    books = books_of(place, begun=9)
    for number in (2, 3, 7):
        books(entry_of(number))
    await books.close()
    _, (wrong,) = await told_of(place)
    assert "6 missing: 1, 4-6, 8-9" in wrong


async def test_a_gateway_that_was_killed_is_told_with_what_may_be_missing(place: Place) -> None:
    books = books_of(place, begun=4)
    for number in (1, 2):
        books(entry_of(number))
    await books.flush()
    right, wrong = await told_of(place)
    assert wrong == [] and any("runs, 4 exchanges, 2 under way" in text for text in right)
    await books._database.write([_of_a_dead_process(books._row())], Rows())
    await books.close()
    _, wrong = await told_of(place)
    dead, alive = sorted(wrong, key=lambda text: not text.startswith("run dead"))
    assert "2 missing: 3-4" in alive
    assert "did not stop properly" in dead and "4 missing: 1-4" in dead and "what ended after 20" in dead


def _of_a_dead_process(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A run of the same machine whose process id belongs to somebody else by now."""
    return ("dead", row[1], row[2], f"{os.getpid()}:1", *row[4:])


async def test_what_was_put_aside_is_told(tmp_path: Path) -> None:
    place, database = place_of(tmp_path), FakeDatabase()
    await keep(place, ENTRIES)
    database.failing = ConnectionError()
    await keep(place, [entry_of(11), entry_of(12)], database=database)
    _, (wrong,) = await told_of(place)
    assert "2 exchanges wait in" in wrong


async def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    place = place_of(tmp_path)
    await keep(place, [entry_of(number, error="x" * 900) for number in range(1, 400)])
    _damage(tmp_path / "llmitm.db")
    try:
        _, wrong = await told_of(place)
    except Exception as error:
        wrong = [str(error)]
    assert any("malformed" in text or "damaged" in text for text in wrong)


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8_192] = b"\xff" * 8_192
    path.write_bytes(content)


async def test_attempts_that_are_missing_are_told(place: Place) -> None:
    await keep(place, ENTRIES)
    books = books_of(place)
    rows = Rows()
    books._writing.add(books._writing.made(entry_of(6)), rows)
    rows.attempts = [("nobody", *rows.attempts[0][1:])]
    await books.flush()
    await books._database.write([], rows)
    await books.close()
    _, wrong = await told_of(place)
    assert "1 exchanges do not have as many attempts as they say" in wrong
    assert "1 attempts belong to no exchange" in wrong


def test_who_runs() -> None:
    known = here()
    assert is_running(known["host"], known["process"]) is True
    assert is_running(known["host"], f"{os.getpid()}:1") is False
    assert is_running(known["host"], "4194305") is False
    assert is_running("another-machine", known["process"]) is None
