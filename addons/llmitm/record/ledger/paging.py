"""Pages of the ledger for who leafs through it: the newest exchanges first, in bounded time whatever is
looked for. Reads only.

Rows are searched in stretches of their numbers, so that a page that is hard to find comes late by one
stretch at most: it then holds what was found by then, and says where to go on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmitm.record.entry import Outcome
from llmitm.record.ledger.reading import Named, Wanted, attempts_of, bodies_of, legs_of
from llmitm.record.ledger.tables import EXCHANGES

_E: Final = EXCHANGES.c
STRETCHES: Final = (2_000, 10_000, 25_000)
"""How many numbers of rows are searched at once: first, next, and from then on."""
WITHIN_S: Final = 1.0
"""After so long no further stretch is begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    rows: list[Named]
    """The newest first."""
    before: int | None
    """Where the next page begins; None: there is none."""
    is_full_search: bool = True
    """False: time ran out before the page was full; there may be more from `before` on."""


async def page(
    connection: AsyncConnection,
    wanted: Wanted,
    limit: int,
    *,
    before: int | None = None,
    tick_s: Callable[[], float],
    within_s: float = WITHIN_S,
) -> Page:
    """The newest exchanges that match, of those whose row is below `before`; where the text that is looked
    for is the id of one, that one alone, however old it is.

    Raises ValueError where `wanted` names a status that is none.
    """
    conditions = wanted.conditions()
    if wanted.text is not None and before is None:
        named = select(EXCHANGES).where(_E.id == wanted.text, *conditions)
        if (row := (await connection.execute(named)).one_or_none()) is not None:
            return Page(rows=[_named(row)], before=None)
    lowest, top = await _bounds(connection, wanted)
    if before is not None:
        top = min(top, before - 1)
    until_s, found, at = tick_s() + within_s, list[Named](), 0
    while top >= lowest:
        low = max(lowest, top - STRETCHES[min(at, len(STRETCHES) - 1)] + 1)
        query = (
            select(EXCHANGES)
            .where(_E.row.between(low, top), *conditions)
            .order_by(_E.row.desc())
            .limit(limit + 1 - len(found))
        )
        found += [_named(row) for row in await connection.execute(query)]
        if len(found) > limit:
            return Page(rows=found[:limit], before=found[limit]["row"] + 1)
        top, at = low - 1, at + 1
        if tick_s() >= until_s and top >= lowest:
            return Page(rows=found, before=top + 1, is_full_search=False)
    return Page(rows=found, before=None)


async def _bounds(connection: AsyncConnection, wanted: Wanted) -> tuple[int, int]:
    """The lowest and the highest row of the time that is looked at; a range without rows where there is none.

    Each is a query of its own: a database finds one end of an index at once, and of both reads all."""
    ends = []
    for end in (func.min(_E.row), func.max(_E.row)):
        query = select(end)
        if wanted.since is not None:
            query = query.where(_E.at >= wanted.since)
        if wanted.until is not None:
            query = query.where(_E.at < wanted.until)
        ends.append((await connection.execute(query)).scalar())
    lowest, top = ends
    return (1, 0) if lowest is None or top is None else (lowest, top)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """All that the ledger holds of one exchange."""

    exchange: Named
    attempts: list[Named]
    bodies: Named | None
    """None: they were not kept."""
    legs: list[Named]
    """What attempts sent and were told; empty: it was not kept."""


async def whole(connection: AsyncConnection, exchange: str) -> Whole | None:
    """None: there is no exchange of that id."""
    row = (await connection.execute(select(EXCHANGES).where(_E.id == exchange))).one_or_none()
    if row is None:
        return None
    attempts = await attempts_of(connection, [exchange])
    return Whole(
        exchange=_named(row),
        attempts=attempts.get(exchange, []),
        bodies=await bodies_of(connection, exchange),
        legs=await legs_of(connection, exchange),
    )


async def stats(connection: AsyncConnection, wanted: Wanted) -> Named:
    """How many there are, how they ended, and how long they took on average."""

    def among(outcome: Outcome) -> Any:
        return func.count(case((_E.outcome == outcome.value, 1))).label(f"is_{outcome.value}")

    query = select(
        func.count().label("count"),
        func.avg(_E.total_ms).label("mean_ms"),
        func.max(_E.total_ms).label("most_ms"),
        func.min(_E.at).label("since"),
        func.max(_E.at).label("until"),
        *(among(one) for one in Outcome),
    ).where(*wanted.conditions())
    row = _named((await connection.execute(query)).one())
    outcomes = {one.value: int(row.pop(f"is_{one.value}")) for one in Outcome}
    return {**row, "outcomes": outcomes}


FACETS: Final = ("model", "provider", "credential", "auth_key", "endpoint", "code")
"""Columns whose values a filter may offer."""


NEWEST: Final = 20_000
"""Rows that are looked at where all would take too long."""


async def facets(connection: AsyncConnection, most: int = 100) -> dict[str, list[str]]:
    """Values that stand in each of those columns among the newest exchanges, the most frequent first."""
    top = (await connection.execute(select(func.max(_E.row)))).scalar() or 0
    found = {}
    for name in FACETS:
        column: Column[Any] = _E[name]
        query = (
            select(column)
            .where(_E.row > top - NEWEST, column.is_not(None))
            .group_by(column)
            .order_by(func.count().desc(), column)
            .limit(most)
        )
        found[name] = [str(value) for value in (await connection.execute(query)).scalars()]
    return found


async def models_used(connection: AsyncConnection, most: int = 200) -> list[tuple[str, str]]:
    """Providers with models as they were sent to them, among the newest exchanges."""
    top = (await connection.execute(select(func.max(_E.row)))).scalar() or 0
    query = (
        select(_E.provider, _E.model_sent)
        .where(_E.row > top - NEWEST, _E.provider.is_not(None), _E.model_sent.is_not(None))
        .group_by(_E.provider, _E.model_sent)
        .order_by(func.count().desc())
        .limit(most)
    )
    return [(str(provider), str(model)) for provider, model in await connection.execute(query)]


def _named(row: Any) -> Named:
    return {str(name): value for name, value in row._mapping.items()}
