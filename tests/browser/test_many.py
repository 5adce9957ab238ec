"""The dashboard on a ledger of 100,000 exchanges."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llmitm.record.entry import Outcome
from llmitm.record.ledger.columns import ATTEMPTS, EXCHANGES, Shape
from support.browsing import ControlRoom, control_room, settled
from support.ledgers import entry_of, keep, noted_of, place_of
from support.postgres_server import PostgresServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FIRST = 100
"""Exchanges that are written as a gateway writes them; all others are copies of these, each a while later."""
COPIES = 1_000
MOST_CPU_S = 3.0
"""Of the gateway, for a page: it takes 0.1 s, sums of all 0.8 s, and more of a machine that is busy."""
APART_S = 6 * 60


async def seed(folder: Path, url: str | None) -> None:
    """None: in SQLite, where a gateway of this folder looks for it."""
    begun_s = time.time() - 60 - COPIES * APART_S
    entries = [
        entry_of(
            number,
            at_s=begun_s + number,
            model=f"gpt-{number % 7}",
            outcome=Outcome.OK if number % 9 else Outcome.UPSTREAM_ERROR,
            status=200 if number % 9 else 502,
            attempts=[noted_of(at_s=begun_s + number, model=f"gpt-{number % 7}")],
        )
        for number in range(FIRST)
    ]
    place = place_of(folder, url)
    await keep(place, entries)
    await asyncio.to_thread(copy_in_sqlite, str(place.path)) if url is None else await copy_in_postgres(url)


def copying(shape: Shape, later: str, number: str) -> str:
    """Adds copies of all rows, each with an id of its own, so much later."""
    taken = {
        "id": f"id || '-' || {number}",
        "exchange": f"exchange || '-' || {number}",
        "at": later.format("at"),
        "ended_at": later.format("ended_at"),
    }
    values = ", ".join(taken.get(name, name) for name in shape.names)
    return f"INSERT INTO {shape.name} ({', '.join(shape.names)}) SELECT {values} FROM {shape.name}"


def copy_in_sqlite(path: str) -> None:
    later = "strftime('%Y-%m-%dT%H:%M:%fZ', {}, '+' || (i * " + str(APART_S) + ") || ' seconds')"
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {COPIES - 1}) "
    with sqlite3.connect(path) as connection:
        for shape in (EXCHANGES, ATTEMPTS):
            connection.execute(numbers + copying(shape, later, "i") + ", n ORDER BY i, number")
    connection.close()


async def copy_in_postgres(url: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        for shape in (EXCHANGES, ATTEMPTS):
            later = "{} + i * " + f"interval '{APART_S} seconds'"
            copied = copying(shape, later, "i")
            await connection.execute(f"{copied}, generate_series(1, {COPIES - 1}) AS n(i) ORDER BY i, number")
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def room(
    request: pytest.FixtureRequest, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlRoom]:
    folder = tmp_path_factory.mktemp("gateway")
    url: str | None = None
    with ThreadPoolExecutor() as beside:  # Playwright's own loop runs in this thread
        if request.param == "postgresql":
            server: PostgresServer = request.getfixturevalue("postgres")
            url = beside.submit(lambda: asyncio.run(server.database())).result()
        beside.submit(lambda: asyncio.run(seed(folder, url))).result()
    with control_room(browser, folder, ledger="" if url is None else f'url = "{url}"') as running:
        yield running


@pytest.fixture(scope="module")
def page(room: ControlRoom) -> Iterator[Page]:
    """What all pages share is there."""
    opened = room.context.new_page()
    settled(opened, "/system")
    yield opened
    opened.close()


def spent_s(room: ControlRoom) -> float:
    """CPU of the gateway so far."""
    fields = Path(f"/proc/{room.gateway.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("/", "Send the first request"),
        ("/live", "gpt-3"),
        ("/requests", "About 100,000 kept."),
        ("/requests?outcome=failed&model=gpt-4", "502"),
        ("/requests?q=llmitm-test-1b-777", "gpt-6"),
        ("/usage?since=7d", "100,000"),
    ],
)
def test_a_page_is_there_at_once(page: Page, room: ControlRoom, place: str, shown: str) -> None:
    cpu_s, began_s = spent_s(room), time.monotonic()
    settled(page, place)
    page.get_by_text(shown).locator("visible=true").first.wait_for()
    cpu_s, took_s = spent_s(room) - cpu_s, time.monotonic() - began_s
    print(f"{place}: there after {took_s:.2f} s, {cpu_s:.2f} s of CPU")
    assert cpu_s < MOST_CPU_S
