"""Asks the ledger: exchanges one by one, and sums of them. Reads only; the gateway may run meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    case,
    distinct,
    func,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from llmitm.record.entry import OF_THE_CLIENT, Outcome
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.tables import ATTEMPTS, BODIES, EXCHANGES, LEGS

type Named = dict[str, Any]

_E: Final = EXCHANGES.c
_A: Final = ATTEMPTS.c
NANO: Final = 1_000_000_000
OVERLAP: Final = 1_000
"""Rows that are asked for again while following: several gateways do not commit in the order of rows."""


class NoLedger(Exception):
    """There is none at that place. `str()` is for the operator."""


@asynccontextmanager
async def reading(place: Place) -> AsyncIterator[AsyncConnection]:
    """A connection that cannot write.

    Raises:
        NoLedger: nothing was ever written there.
    """
    if place.path is not None and not place.path.exists():
        raise NoLedger(f"there is no ledger at {place.name}: no gateway with this configuration has kept one")
    limits = {} if place.path else {"server_settings": {"default_transaction_read_only": "on"}}
    url = place.alchemy_url.reveal()
    engine = create_async_engine(url, poolclass=NullPool, connect_args=limits)
    try:
        async with engine.connect() as connection:
            if place.path is not None:
                await connection.exec_driver_sql("PRAGMA query_only = ON")
            yield connection
    finally:
        await engine.dispose()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which exchanges. Names may be globs; None is any."""

    model: str | None = None
    """As asked for, sent or answered."""
    provider: str | None = None
    credential: str | None = None
    key: str | None = None
    endpoint: str | None = None
    status: str | None = None
    """A number, `4xx` and the like, or as `outcome`."""
    outcome: str | None = None
    """An outcome, `failed` (any but ok), or `fault`: failed, and not for what the client asked or did."""
    min_cost_usd: float | None = None
    min_latency_ms: float | None = None
    text: str | None = None
    """Anywhere in id, path, error, code, or in names of models and credentials."""
    in_bodies: bool = False
    """Whether `text` is looked for in bodies, too, where they are kept."""
    since: str | None = None
    """RFC 3339, inclusive; so is no end: `until` is exclusive."""
    until: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Raises ValueError where the status is none."""
        found: list[ColumnElement[bool]] = []
        if self.model is not None:
            found.append(
                or_(*(_like(one, self.model) for one in (_E.model, _E.model_sent, _E.model_answered)))
            )
        for column, glob in (
            (_E.provider, self.provider),
            (_E.credential, self.credential),
            (_E.auth_key, self.key),
            (_E.endpoint, self.endpoint),
        ):
            if glob is not None:
                found.append(_like(column, glob))
        if self.status is not None:
            found.append(_of_status(self.status))
        if self.outcome is not None:
            found.append(_of_outcome(self.outcome))
        if self.min_cost_usd is not None:
            if not isfinite(self.min_cost_usd):
                raise ValueError(f"{self.min_cost_usd} is no amount")
            found.append(_E.cost_usd_nano >= round(self.min_cost_usd * NANO))
        if self.min_latency_ms is not None:
            found.append(_E.total_ms >= self.min_latency_ms)
        if self.text is not None:
            places = [column.icontains(self.text, autoescape=True) for column in _TEXTS]
            found.append(or_(*places, *([_in_bodies(self.text)] if self.in_bodies else ())))
        if self.since is not None:
            found.append(_E.at >= self.since)
        if self.until is not None:
            found.append(_E.at < self.until)
        return found


_TEXTS: Final = (
    *(_E.id, _E.path, _E.error, _E.code, _E.model, _E.model_sent, _E.model_answered),
    *(_E.credential, _E.gateway),
)


def _like(column: ColumnElement[str | None], glob: str) -> ColumnElement[bool]:
    if not any(sign in glob for sign in "*?"):
        return column == glob
    plain = glob.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return column.ilike(plain.replace("*", "%").replace("?", "_"), escape="\\")


def _of_status(wanted: str) -> ColumnElement[bool]:
    if wanted.isdecimal():
        return _E.status == int(wanted)
    if len(wanted) == 3 and wanted[0] in "12345" and wanted.endswith("xx"):
        first = int(wanted[0]) * 100
        return _E.status.between(first, first + 99)
    try:
        return _of_outcome(wanted)
    except ValueError:
        names = ", ".join(Outcome)
        what = f"a number, 4xx and the like, failed, fault, {names}"
        raise ValueError(f"{wanted} is no status: {what}") from None


def _of_outcome(wanted: str) -> ColumnElement[bool]:
    if wanted == "failed":
        return _E.outcome != Outcome.OK.value
    if wanted == "fault":
        is_provider = and_(_E.ending.is_not(None), _E.ending.not_in(OF_THE_CLIENT))
        others = (Outcome.OK.value, Outcome.CLIENT_GONE.value, Outcome.REFUSED.value)
        return or_(_E.outcome.not_in(others), and_(_E.outcome == Outcome.REFUSED.value, is_provider))
    try:
        return _E.outcome == Outcome(wanted).value
    except ValueError:
        raise ValueError(f"{wanted} is no outcome: failed, fault, {', '.join(Outcome)}") from None


def _in_bodies(text: str) -> ColumnElement[bool]:
    columns = (BODIES.c.request, BODIES.c.response)
    has_text = or_(*(column.icontains(text, autoescape=True) for column in columns))
    return select(BODIES.c.exchange).where(BODIES.c.exchange == _E.id, has_text).exists()


def _named(row: Row[Any]) -> Named:
    """Names that SQLAlchemy quotes are no plain `str`."""
    return {str(name): value for name, value in row._mapping.items()}


async def last(connection: AsyncConnection, wanted: Wanted, limit: int) -> list[Named]:
    """The newest exchanges that match, the oldest of them first."""
    query = select(EXCHANGES).where(*wanted.conditions()).order_by(_E.row.desc()).limit(limit)
    return [_named(row) for row in reversed((await connection.execute(query)).all())]


async def newer(connection: AsyncConnection, wanted: Wanted, row: int) -> list[Named]:
    """Those that were written after `row`, and some before it."""
    query = select(EXCHANGES).where(_E.row > row - OVERLAP, *wanted.conditions()).order_by(_E.row)
    return [_named(one) for one in (await connection.execute(query)).all()]


async def newest_row(connection: AsyncConnection) -> int:
    return (await connection.execute(select(func.max(_E.row)))).scalar() or 0


async def attempts_of(connection: AsyncConnection, exchanges: Sequence[str]) -> dict[str, list[Named]]:
    """By exchange, in their order."""
    found: dict[str, list[Named]] = {}
    for at in range(0, len(exchanges), 500):
        query = select(ATTEMPTS).where(_A.exchange.in_(exchanges[at : at + 500])).order_by(_A.number)
        for row in await connection.execute(query):
            found.setdefault(row.exchange, []).append(_named(row))
    return found


async def bodies_of(connection: AsyncConnection, exchange: str) -> Named | None:
    query = select(BODIES).where(BODIES.c.exchange == exchange)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _named(row)


async def legs_of(connection: AsyncConnection, exchange: str) -> list[Named]:
    """What each attempt sent and was told, in their order; empty where that is not kept."""
    query = select(LEGS).where(LEGS.c.exchange == exchange).order_by(LEGS.c.number)
    return [_named(row) for row in await connection.execute(query)]


TIMES: Final = {"hour": 13, "day": 10, "month": 7}
"""Spans of time to sum by, and how much of a time names one."""
BY: Final = (*TIMES, "model", "provider", "credential", "key", "endpoint", "outcome")


def grouped(by: str, is_file: bool) -> ColumnElement[Any]:
    """What names the group of a row. `is_file`: in SQLite."""
    match by:
        case "hour" | "day" | "month":
            if is_file:
                return func.substr(_E.at, 1, TIMES[by])
            written = func.to_char(func.timezone("UTC", _E.at), 'YYYY-MM-DD"T"HH24')
            return func.substr(written, 1, TIMES[by])
        case "model":
            return func.coalesce(_A.model, _A.model_answered, _E.model)
        case "provider":
            return _A.provider
        case "credential":
            return _A.credential
        case "key":
            return _E.auth_key
        case _:
            return _E[by]


def _sums() -> tuple[ColumnElement[Any], ...]:
    """Of attempts, each of which names its own provider and model; exchanges are counted once."""
    has_tokens = or_(_A.input_tokens.is_not(None), _A.output_tokens.is_not(None))
    return (
        func.count(distinct(_E.row)).label("requests"),
        func.count(distinct(case((_E.outcome != Outcome.OK.value, _E.row)))).label("failed"),
        func.count(_A.number).label("attempts"),
        func.sum(_A.input_tokens).label("input_tokens"),
        func.sum(_A.cache_read_tokens).label("cache_read_tokens"),
        func.sum(_A.cache_write_tokens).label("cache_write_tokens"),
        func.sum(_A.output_tokens).label("output_tokens"),
        func.sum(_A.reasoning_tokens).label("reasoning_tokens"),
        func.sum(_A.cost_usd_nano).label("cost_usd_nano"),
        func.count(case((has_tokens & _A.cost_usd_nano.is_(None), 1))).label("unpriced"),
        func.count(case((_A.is_cost_whole.is_(False), 1))).label("partly_priced"),
    )


SUMS: Final = tuple(one.key for one in _sums() if one.key)


async def sums(connection: AsyncConnection, wanted: Wanted, by: Sequence[str]) -> list[dict[str, Any]]:
    """One a group, in order; a single one of everything where `by` is empty.

    Attempts of one exchange may belong to several groups: then so does the exchange.
    """
    is_file = connection.dialect.name == "sqlite"
    groups = [grouped(one, is_file).label(one) for one in by]
    query: Select[Any] = (
        select(*groups, *_sums())
        .select_from(EXCHANGES.outerjoin(ATTEMPTS, _A.exchange == _E.id))
        .where(*wanted.conditions())
        .group_by(*groups)
        .order_by(*groups)
    )
    found = [_named(row) for row in await connection.execute(query)]
    for one in found:  # sums of whole numbers are decimals in PostgreSQL
        for name in SUMS:
            one[name] = None if one[name] is None else int(one[name])
    return found
