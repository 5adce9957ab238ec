"""Sums that are remembered by day are those of the ledger, whatever is written or deleted meanwhile."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from llmitm.exchange import Usage
from llmitm.record.entry import Entry, Outcome
from llmitm.record.ledger.days import Days
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.reading import Named, Wanted, reading, sums
from support.ledgers import AT_S, entry_of, keep, noted_of, place_of

HOUR_S = 3_600.0
CHANCE = random.Random(20)


def made(number: int, at_s: float) -> Entry:
    attempts = [
        noted_of(
            at + 1,
            provider=CHANCE.choice("abc"),
            model=CHANCE.choice(["m", "n"]),
            at_s=at_s,
            usage=CHANCE.choice([None, Usage(input_tokens=number, output_tokens=1)]),
            cost_usd_nano=CHANCE.choice([None, number * 1_000]),
        )
        for at in range(CHANCE.choice([0, 1, 1, 1, 2, 3]))
    ]
    return entry_of(
        number,
        at_s=at_s,
        attempts=attempts,
        auth_key=CHANCE.choice(["ci", None]),
        outcome=CHANCE.choice([Outcome.OK, Outcome.OK, Outcome.REFUSED]),
    )


def ordered(rows: list[Named]) -> list[Named]:
    return sorted(rows, key=repr)


QUESTIONS = (
    (Wanted(), ()),
    (Wanted(), ("day",)),
    (Wanted(), ("month",)),
    (Wanted(), ("model",)),
    (Wanted(), ("hour", "provider")),
    (Wanted(key="ci"), ("outcome",)),
    (Wanted(since="2026-09-23T01:30:00.000Z"), ("key",)),
    (Wanted(since="2026-09-22T20:00:00.000Z", until="2026-09-25T00:30:00.000Z"), ("provider",)),
    (Wanted(since="2026-09-23T01:30:00.000Z", until="2026-09-23T05:00:00.000Z"), ("day",)),
    (Wanted(since="2031-01-01T00:00:00.000Z"), ("day",)),
)


async def same(days: Days, place: Place) -> None:
    async with reading(place) as connection:
        for wanted, by in QUESTIONS:
            told = await days.sums(connection, wanted, by)
            assert ordered(told) == ordered(await sums(connection, wanted, by)), (wanted, by)
            (whole,) = await sums(connection, wanted, ())
            assert await days.total(connection, wanted, told) == whole, (wanted, by)


async def test_they_are_those_of_the_ledger_and_only_what_changed_is_read(place: Place) -> None:
    days = Days()
    await keep(place, [made(number, AT_S + number * 3 * HOUR_S) for number in range(1, 40)])
    await same(days, place)
    await same(days, place)
    before = days.read
    async with reading(place) as connection:
        await days.sums(connection, Wanted(), ("model",))
    assert days.read == before, "nothing was written"
    late = [made(50, AT_S + HOUR_S), made(51, AT_S + 130 * HOUR_S)]
    await keep(place, late)
    async with reading(place) as connection:
        await days.sums(connection, Wanted(), ("model",))
    assert days.read == before + 2, "the first day, and a new one"
    await same(days, place)


@pytest.mark.parametrize("statement", ["DELETE FROM exchanges WHERE number < 12", "DELETE FROM exchanges"])
async def test_what_is_deleted_is_gone(tmp_path: Path, statement: str) -> None:
    days, place = Days(), place_of(tmp_path)
    await keep(place, [made(number, AT_S + number * 3 * HOUR_S) for number in range(1, 40)])
    await same(days, place)
    with sqlite3.connect(str(place.path)) as connection:
        connection.execute(statement)
    connection.close()
    await same(days, place)


async def test_no_more_is_kept_than_may_be(tmp_path: Path) -> None:
    days, place = Days(most_rows=3), place_of(tmp_path)
    await keep(place, [made(number, AT_S + number * 3 * HOUR_S) for number in range(1, 40)])
    await same(days, place)
    assert days.kept <= 3
