"""Holds the ledger against itself: whether the file is sound, and what is missing in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from llmitm.record.ledger.columns import HEAD
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.process import is_running
from llmitm.record.ledger.reading import reading
from llmitm.record.ledger.spill import SUFFIX, read
from llmitm.record.ledger.tables import ATTEMPTS, EXCHANGES, RUNS

SHOWN: Final = 10
"""Gaps that are told one by one."""

_E: Final = EXCHANGES.c


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    is_wrong: bool
    """Something is missing or broken."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """Which of a run's exchanges have no row."""

    count: int
    ranges: tuple[tuple[int, int], ...]
    """The first of them; both ends are missing."""

    def __str__(self) -> str:
        named = [f"{first}" if first == last else f"{first}-{last}" for first, last in self.ranges]
        told = sum(last - first + 1 for first, last in self.ranges)
        return ", ".join(named) + (" and others" if told < self.count else "")


async def verify(place: Place) -> AsyncIterator[Finding]:
    """Everything that was found, in order.

    Raises:
        NoLedger: there is nothing to look at.
    """
    async with reading(place) as connection:
        yield await _schema(connection)
        if place.path is not None:
            yield await _integrity(connection)
        async for finding in _runs(connection):
            yield finding
        for finding in await _attempts(connection):
            yield finding
    for finding in _spilled(place):
        yield finding


async def _schema(connection: AsyncConnection) -> Finding:
    version = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
    exchanges = (await connection.execute(select(func.count()).select_from(EXCHANGES))).scalar()
    age = ""
    if version is None or version < HEAD:
        age = ", an older one: the next start of a gateway brings it up to date"
    elif version > HEAD:
        age = f", of a newer version of llmitm: this one knows {HEAD}"
    return Finding(version != HEAD, f"{exchanges} exchanges, schema {version}{age}")


async def _integrity(connection: AsyncConnection) -> Finding:
    told = [row[0] for row in await connection.execute(text("PRAGMA integrity_check(10)"))]
    if told == ["ok"]:
        return Finding(False, "the file is sound")
    return Finding(True, f"the file is damaged: {'; '.join(told)}")


async def _runs(connection: AsyncConnection) -> AsyncIterator[Finding]:
    for row in await connection.execute(select(RUNS).order_by(RUNS.c.started_at)):
        run = row._mapping
        gaps = await gaps_of(connection, run["id"], run["pruned_to"], run["begun"])
        yield _of_run(run, gaps)


def _of_run(run: Any, gaps: Gaps) -> Finding:
    name = (
        f"run {run['id']} of {run['started_at']} ({run['host']}, process {run['process'].partition(':')[0]})"
    )
    counted = f"{run['begun']} exchanges"
    lost = f", {run['lost']} of them could not be kept" if run["lost"] else ""
    if run["stopped_at"] is not None:
        if not gaps.count:
            return Finding(bool(run["lost"]), f"{name}: stopped properly, {counted}{lost}")
        return Finding(True, f"{name}: stopped properly, {counted}, {gaps.count} missing: {gaps}{lost}")
    runs = is_running(run["host"], run["process"])
    if runs:
        under_way = f", {gaps.count} under way" if gaps.count else ""
        return Finding(bool(run["lost"]), f"{name}: runs, {counted}{under_way}{lost}")
    how = "did not stop properly" if runs is False else "runs on another machine, or did not stop properly"
    window = f"what ended after {run['flushed_at']} may be missing, too"
    missing = f"{gaps.count} missing: {gaps}" if gaps.count else "none of them missing"
    return Finding(runs is False or bool(run["lost"]), f"{name}: {how}; {counted}, {missing}; {window}{lost}")


async def gaps_of(connection: AsyncConnection, run: str, pruned_to: int, begun: int) -> Gaps:
    """Among the exchanges numbered from `pruned_to` (exclusive) to `begun`."""
    kept = select(_E.number, func.lag(_E.number, 1, pruned_to).over(order_by=_E.number).label("before"))
    kept = kept.where(_E.run == run, _E.number > pruned_to)
    inner = kept.subquery()
    query = select(inner.c.before + 1, inner.c.number - 1).where(inner.c.number - inner.c.before > 1)
    found = [
        (int(first), int(last)) for first, last in await connection.execute(query.order_by(inner.c.number))
    ]
    highest = select(func.max(_E.number)).where(_E.run == run)
    top = max(pruned_to, (await connection.execute(highest)).scalar() or 0)
    if top < begun:
        found.append((top + 1, begun))
    return Gaps(count=sum(last - first + 1 for first, last in found), ranges=tuple(found[:SHOWN]))


async def _attempts(connection: AsyncConnection) -> list[Finding]:
    counted = (
        select(ATTEMPTS.c.exchange, func.count().label("count")).group_by(ATTEMPTS.c.exchange).subquery()
    )
    differing = (
        select(func.count())
        .select_from(EXCHANGES.outerjoin(counted, counted.c.exchange == _E.id))
        .where(_E.attempts != func.coalesce(counted.c.count, 0))
    )
    stray = (
        select(func.count())
        .select_from(ATTEMPTS.outerjoin(EXCHANGES, ATTEMPTS.c.exchange == _E.id))
        .where(_E.id.is_(None))
    )
    wrong = (await connection.execute(differing)).scalar() or 0
    alone = (await connection.execute(stray)).scalar() or 0
    if not (wrong or alone):
        return [Finding(False, "every exchange has its attempts")]
    found = []
    if wrong:
        found.append(Finding(True, f"{wrong} exchanges do not have as many attempts as they say"))
    if alone:
        found.append(Finding(True, f"{alone} attempts belong to no exchange"))
    return found


def _spilled(place: Place) -> Iterator[Finding]:
    for path in sorted(place.spill.parent.glob(f"{place.spill.name}.*{SUFFIX}")):
        with open(path, "rb") as file:
            count = sum(len(rows.exchanges) for _, rows in read(file))
        yield Finding(True, f"{count} exchanges wait in {path} for the next start, or for the database")
