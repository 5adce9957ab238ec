"""Exchanges for who looks back: page by page, in numbers, and one whole."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from pydantic import BeforeValidator, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from llmitm.admin import shown
from llmitm.admin.asking import ERRORS, MOST_A_PAGE, Filters, ledger_errors
from llmitm.admin.route import BASE, Asked, Role, Route
from llmitm.admin.shown import Exchange, Item, Shown
from llmitm.admin.watching import Watching
from llmitm.record.entry import Outcome
from llmitm.record.ledger import paging
from llmitm.record.ledger.reading import Wanted, newest_row
from llmitm.world import World

PAGE: Final = 50
MOST_RUNNING: Final = 500


def _number(value: object) -> object:
    return None if value == "" else value


class PageAsked(Filters):
    """A page of exchanges, the newest first; `q` is looked for in bodies, too, where `bodies` is true."""

    bodies: bool = True
    limit: Annotated[int, Field(ge=1, le=MOST_A_PAGE)] = PAGE
    page_size: Annotated[int | None, BeforeValidator(_number), Field(ge=1, le=MOST_A_PAGE)] = None
    """Another name of `limit`."""
    cursor: Annotated[str | None, BeforeValidator(_number), Field(pattern=r"^[0-9]{1,18}$")] = None
    """As the page before gave it; without it, the newest."""


class LogPage(Shown):
    items: list[Item]
    next_cursor: str | None
    """`cursor` of the next page; null: there is none."""
    cursor: str | None
    """The same."""
    is_full_search: bool
    """false: looking took too long, and went as far as this; `next_cursor` goes on from there."""
    total: int | None
    """How many the ledger holds, about, whatever was asked for; null: not known."""
    page_size: int


class LogStats(Shown):
    total_entries: int
    capacity: int | None
    """null: as many as `[ledger] retention_days` and `max_mb` leave; a number: no ledger is kept, and so many
    of the newest are held in memory (`[dashboard] request_log_capacity`)."""
    error_count: int
    avg_latency_ms: float | None
    max_latency_ms: float | None
    oldest: str | None
    newest: str | None
    by_outcome: dict[str, int]


class Running(Shown):
    items: list[Item]
    """The newest first."""
    count: int


class Names(Shown):
    """Values that filters may offer, the most frequent of late first."""

    model: list[str]
    provider: list[str]
    credential: list[str]
    key: list[str]
    endpoint: list[str]
    code: list[str]
    outcome: list[str]


async def page(asked: PageAsked, watching: Watching, world: World) -> LogPage:
    """Raises NoLedger, Unreadable; ValueError where a filter is none."""
    limit = asked.page_size or asked.limit
    wanted = asked.wanted(in_bodies=asked.bodies and asked.q is not None)
    before = None if asked.cursor is None else int(asked.cursor)

    async def read(connection: AsyncConnection) -> tuple[paging.Page, int]:
        found = await paging.page(connection, wanted, limit, before=before, tick_s=world.clock.tick_s)
        return found, await newest_row(connection)

    found, total = await watching.shelf.ask(read, fresh=before is None)
    after = None if found.before is None else str(found.before)
    return LogPage.model_construct(
        items=[shown.item(row) for row in found.rows],
        next_cursor=after,
        cursor=after,
        is_full_search=found.is_full_search,
        total=total,
        page_size=limit,
    )


async def stats(asked: Filters, watching: Watching) -> LogStats:
    """Raises NoLedger, Unreadable; ValueError where a filter is none."""
    wanted: Wanted = asked.wanted()
    told = await watching.shelf.ask(lambda connection: paging.stats(connection, wanted), fresh=True)
    return LogStats(
        total_entries=told["count"],
        capacity=watching.shelf.capacity,
        error_count=told["count"] - told["outcomes"][Outcome.OK] - told["outcomes"][Outcome.CLIENT_GONE],
        avg_latency_ms=None if told["mean_ms"] is None else round(float(told["mean_ms"]), 3),
        max_latency_ms=told["most_ms"],
        oldest=told["since"],
        newest=told["until"],
        by_outcome=told["outcomes"],
    )


async def names(watching: Watching) -> Names:
    """Raises NoLedger, Unreadable."""
    found = await watching.shelf.ask(paging.facets)
    return Names(**{**found, "key": found["auth_key"]}, outcome=[one.value for one in Outcome])


async def one(exchange: str, watching: Watching, world: World) -> Exchange | None:
    """One exchange whole, also while it runs; None: there is none of that id.

    Raises NoLedger, Unreadable.
    """
    if (found_here := watching.running(exchange) or watching.unwritten(exchange)) is not None:
        return found_here
    if "\0" in exchange:  # PostgreSQL knows no such text
        return None
    found = await watching.shelf.ask(lambda connection: paging.whole(connection, exchange))
    if found is None:  # it may have ended just now
        found = await watching.shelf.ask(lambda connection: paging.whole(connection, exchange), fresh=True)
    if found is None:
        return None
    # the first look at a price list takes long
    return await asyncio.to_thread(
        shown.exchange, found.exchange, found.attempts, found.bodies, found.legs, world.price
    )


async def _page(asked: Asked) -> LogPage:
    """Exchanges that match, the newest first, page by page."""
    with ledger_errors():
        return await page(asked.query, asked.desk.watching, asked.world)


async def _stats(asked: Asked) -> LogStats:
    """How many exchanges match, how they ended, how long they took."""
    with ledger_errors():
        return await stats(asked.query, asked.desk.watching)


async def _names(asked: Asked) -> Names:
    """Names that filters may offer."""
    with ledger_errors():
        return await names(asked.desk.watching)


async def _one(asked: Asked) -> Exchange:
    """One exchange whole: attempts, time line, bill, bodies where they are kept. Also while it runs."""
    with ledger_errors():
        found = await one(asked.path["id"], asked.desk.watching, asked.world)
    if found is None:
        raise LookupError("There is no exchange of that id: it may be older than what the ledger keeps")
    gallery = asked.world.gallery
    if gallery is None:
        return shown.with_flows(found, {}, shown.NO_MITMWEB)
    addresses = gallery.addresses(found.id)
    return shown.with_flows(found, addresses or {}, shown.NO_PORT if addresses is None else shown.GONE)


async def _running(asked: Asked) -> Running:
    """Exchanges under way."""
    watching = asked.desk.watching
    return Running(items=watching.all_running(MOST_RUNNING), count=asked.world.in_flight)


ROUTES: Final = (
    Route("GET", f"{BASE}/logs", _page, Role.VIEWER, query=PageAsked, gives=LogPage, errors=ERRORS),
    Route("GET", f"{BASE}/logs/stats", _stats, Role.VIEWER, query=Filters, gives=LogStats, errors=ERRORS),
    Route("GET", f"{BASE}/logs/names", _names, Role.VIEWER, gives=Names, errors=ERRORS),
    Route("GET", f"{BASE}/logs/running", _running, Role.VIEWER, gives=Running),
    Route("GET", f"{BASE}/logs/{{id}}", _one, Role.VIEWER, gives=Exchange, errors=(*ERRORS, 404)),
)
