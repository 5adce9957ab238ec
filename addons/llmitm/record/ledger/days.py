"""Sums of the ledger for who asks for them again and again: of days that are as they were, from memory.

What is written stays as it is, so a day whose rows are as many as they were, from the same first to the same
last, has the same sums. Only the other days are read: the one of today, and one that is cut by the time that
is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import groupby
from typing import Any, Final

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmitm.record.entry import Outcome
from llmitm.record.ledger.reading import SUMS, Named, Wanted, grouped, sums
from llmitm.record.ledger.tables import EXCHANGES

_E: Final = EXCHANGES.c
MOST_ROWS: Final = 20_000
"""Sums that are kept, of all questions together: some ten megabytes."""

type Marks = tuple[int, int, int]
"""Of a day's exchanges: how many, the lowest and the highest row."""
type Question = tuple[Wanted, tuple[str, ...]]
"""Which exchanges, of whatever time, and by what they are told apart."""
type _Known = dict[str, tuple[Marks, list[Named]]]
"""By day."""


class Days:
    """Sums that are remembered. Belongs to one event loop."""

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most_rows = most_rows
        self._known: dict[Question, _Known] = {}
        """The latest question comes last."""
        self.read = 0
        """Days that were read from the ledger, so far."""

    async def sums(self, connection: AsyncConnection, wanted: Wanted, by: Sequence[str]) -> list[Named]:
        """As `reading.sums` tells them; what is not known comes first among the groups."""
        question = (replace(wanted, since=None, until=None), tuple(by))
        marks = await _marks(connection, wanted)
        known = self._known.pop(question, {})
        fresh = [day for day, mark in marks.items() if day not in known or known[day][0] != mark]
        for first, last in _runs(fresh, list(marks)):
            found = await _by_day(connection, wanted, by, first, last)
            known |= {day: (marks[day], found.get(day, [])) for day in fresh if first <= day <= last}
        self.read += len(fresh)
        self._known[question] = known
        self._forget()
        return _merged((known[day][1] for day in marks if day in known), by)

    async def total(self, connection: AsyncConnection, wanted: Wanted, rows: Sequence[Named]) -> Named:
        """Of everything, where `rows` are its sums in groups: an exchange may belong to several of them."""
        failed = func.count(case((_E.outcome != Outcome.OK.value, _E.row)))
        query = select(func.count(_E.row), failed).where(*wanted.conditions())
        requests, failures = (await connection.execute(query)).one()
        return {**_added(rows), "requests": requests, "failed": failures}

    @property
    def kept(self) -> int:
        """Sums that are remembered."""
        return sum(map(_size, self._known.values()))

    def _forget(self) -> None:
        """The oldest questions first."""
        kept = self.kept
        while kept > self._most_rows:
            kept -= _size(self._known.pop(next(iter(self._known))))


def _size(known: _Known) -> int:
    return sum(len(rows) for _, rows in known.values())


async def _marks(connection: AsyncConnection, wanted: Wanted) -> dict[str, Marks]:
    """Of each day in which there was something, in their order, whatever else is asked for."""
    day = grouped("day", connection.dialect.name == "sqlite").label("day")
    spans = replace(Wanted(), since=wanted.since, until=wanted.until).conditions()
    query = select(day, func.count(_E.row), func.min(_E.row), func.max(_E.row)).where(*spans)
    found = await connection.execute(query.group_by(day).order_by(day))
    return {name: (many, low, high) for name, many, low, high in found}


async def _by_day(
    connection: AsyncConnection, wanted: Wanted, by: Sequence[str], first: str, last: str
) -> dict[str, list[Named]]:
    """Sums of each day of a run. A day without any has none."""
    begins, ends = f"{first}T00:00:00.000Z", f"{_after(last)}T00:00:00.000Z"
    within = replace(
        wanted,
        since=begins if wanted.since is None else max(wanted.since, begins),
        until=ends if wanted.until is None else min(wanted.until, ends),
    )
    groups = by if "day" in by else ("day", *by)
    found: dict[str, list[Named]] = {}
    for row in await sums(connection, within, groups):
        found.setdefault(row["day"], []).append(row)
    return found


def _runs(some: Collection[str], every: Sequence[str]) -> Iterator[tuple[str, str]]:
    """First and last day of each run of days that follow one another among all that there are."""
    wanted = frozenset(some)
    for is_wanted, run in groupby(every, key=wanted.__contains__):
        if is_wanted:
            days = list(run)
            yield days[0], days[-1]


def _after(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


def _merged(days: Iterable[Sequence[Named]], by: Sequence[str]) -> list[Named]:
    """One a group of all days: an exchange belongs to one day alone."""
    found: dict[tuple[Any, ...], list[Named]] = {}
    for rows in days:
        for row in rows:
            found.setdefault(tuple(row[name] for name in by), []).append(row)
    if not found and not by:
        found[()] = []
    ordered = sorted(found.items(), key=lambda one: [(value is not None, value) for value in one[0]])
    return [{**dict(zip(by, key, strict=True)), **_added(rows)} for key, rows in ordered]


def _sum(values: Iterable[int | None]) -> int | None:
    """None where all are."""
    known = [one for one in values if one is not None]
    return sum(known) if known else None


_COUNTS: Final = frozenset({"requests", "failed", "attempts", "unpriced", "partly_priced"})


def _added(rows: Sequence[Mapping[str, Any]]) -> Named:
    made = {name: _sum(row[name] for row in rows) for name in SUMS}
    return {name: (value or 0) if name in _COUNTS else value for name, value in made.items()}
