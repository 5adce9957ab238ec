"""Rows of the battery: the ledger's database, and what befalls it."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from support.battery import Bench, Load, Row, config_of, rows_of
from support.gateway import Gateway
from support.postgres_server import BINARY as POSTGRES
from support.postgres_server import PostgresServer

_KILLING_S: Final = 280
_LOCKING: Final = """
import sqlite3, sys, time
ledger = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
print("ready", flush=True)
until_s = time.monotonic() + float(sys.argv[2])
rounds = 0
while time.monotonic() < until_s:
    ledger.execute("BEGIN EXCLUSIVE")
    time.sleep(0.4)
    ledger.execute("ROLLBACK")
    time.sleep(0.02)
    rounds += 1
print(rounds, flush=True)
"""


async def busy(bench: Bench) -> str:
    """Four gateways write one file, which a stranger holds nine tenths of the time."""
    path = bench.folder / "shared.db"
    more = f'[ledger]\nurl = "sqlite:///{path}"'
    gateways = [await asyncio.to_thread(bench.started, config_of(more=more), name) for name in "abcd"]
    try:
        turn = iter(range(1 << 60))
        async with Load(lambda: gateways[next(turn) % 4].url, clients=12) as load:
            await load.more(40)
            storm = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _LOCKING, str(path), "20", stdout=asyncio.subprocess.PIPE
            )
            said, _ = await storm.communicate()
            await load.more(40)
        figures = load.check()
    finally:
        for one in gateways:
            await asyncio.to_thread(one.stop)
    rows = await asyncio.to_thread(rows_of, gateways[0].folder)
    told = sum(one.output().count("locked") for one in gateways)
    left = [one.name for one in bench.folder.rglob("*spill*")]
    assert rows == load.right, f"{rows} rows of {load.right}; left {left}"
    _check_file(path)
    return f"held {int(said.split()[-1])} times: {figures}, {rows} rows; {told} lines of logs tell of it"


def _check_file(path: Path) -> None:
    with sqlite3.connect(path) as ledger:
        assert ledger.execute("pragma integrity_check").fetchone() == ("ok",)
        twice = "select count(*) from (select id, run from exchanges group by id, run having count(*) > 1)"
        assert ledger.execute(twice).fetchone() == (0,)


async def killed(bench: Bench) -> str:
    """SIGKILL again and again: answers that clients have, calls that the provider had, and rows."""
    began_s, rounds, right = time.monotonic(), 0, 0
    config = config_of()
    while time.monotonic() - began_s < _KILLING_S and rounds < 200:
        gateway = await asyncio.to_thread(bench.started, config)
        async with Load(lambda: gateway.url, clients=4) as load:  # noqa: B023 - it ends with the block
            await load.more(3 + 17 * rounds % 60)
            gateway.process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(gateway.stop)
            load.end()
        right += load.right
        rounds += 1
    gateway = await asyncio.to_thread(bench.started, config)
    await asyncio.to_thread(gateway.stop)
    rows, calls = await asyncio.to_thread(rows_of, gateway.folder), bench.provider.count
    path = gateway.folder / "llmitm.db"
    _check_file(path)
    lacking = right - rows
    assert lacking <= rounds * 100, f"{lacking} of {right} lack a row"
    return (
        f"{rounds} kills: clients had {right} answers, the provider {calls} calls, the ledger {rows} rows; "
        f"{max(lacking, 0)} lack one ({max(lacking, 0) / rounds:.1f} a kill, within flush_ms of it), none "
        "is there twice"
    )


@asynccontextmanager
async def _postgres() -> AsyncIterator[PostgresServer]:
    assert POSTGRES, "not run: PostgreSQL is not installed"
    server = await asyncio.to_thread(PostgresServer)
    await asyncio.to_thread(server.start)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.close)


async def _rows_once(gateway: Gateway) -> int:
    return await asyncio.to_thread(rows_of, gateway.folder)


async def absent(bench: Bench) -> str:
    """PostgreSQL is not there at the start, comes, restarts twice."""
    async with _postgres() as server:
        url = await server.database()
        await asyncio.to_thread(server.stop)
        began_s = time.monotonic()
        async with bench.gateway(config_of(more=f'[ledger]\nurl = "{url}"')) as gateway:
            ready_s = time.monotonic() - began_s
            async with Load(lambda: gateway.url, clients=4) as load:
                await load.more(60)
                for _ in range(3):
                    await asyncio.to_thread(server.start)
                    await load.more(40)
                    await asyncio.sleep(3)
                    await asyncio.to_thread(server.stop)
                    await load.more(40)
                await asyncio.to_thread(server.start)
                await load.more(20)
            figures = load.check()
            await asyncio.to_thread(gateway.stop)
        rows = await _rows_once(gateway)
    assert rows == load.right, f"{rows} rows of {load.right}"
    return f"began after {ready_s:.1f} s without it; away four times: {figures}, {rows} rows"


async def locked(bench: Bench) -> str:
    """Another session locks the tables for 8 s, then in the other order: a deadlock."""
    import asyncpg

    async with _postgres() as server:
        url = await server.database()
        async with bench.gateway(config_of(more=f'[ledger]\nurl = "{url}"')) as gateway:
            other = await asyncpg.connect(url)
            async with Load(lambda: gateway.url, clients=4) as load:
                await load.more(40)
                async with other.transaction():
                    await other.execute("LOCK TABLE exchanges IN ACCESS EXCLUSIVE MODE")
                    await asyncio.sleep(8)
                await load.more(40)
                deadlocks = 0
                for _ in range(3):
                    with suppress(asyncpg.DeadlockDetectedError):
                        async with other.transaction():
                            await other.execute("LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE")
                            await asyncio.sleep(2)  # the writer has rows of exchanges by now, and waits
                            await other.execute("LOCK TABLE exchanges IN ACCESS EXCLUSIVE MODE")
                    await load.more(20)
                deadlocks = await other.fetchval(
                    "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
                )
            figures = load.check()
            await other.close()
            await asyncio.to_thread(gateway.stop)
        rows = await _rows_once(gateway)
    assert rows == load.right, f"{rows} rows of {load.right}"
    assert deadlocks, "there was no deadlock"
    return f"8 s of a lock, {deadlocks} deadlocks: {figures}, {rows} rows"


ROWS: Final = (
    Row("SQLite: busy", "four gateways on one file, which a stranger locks for 20 s, 0.4 s at a time", busy),
    Row("ledger: three books", f"SIGKILL under load, again and again for {_KILLING_S} s", killed),
    Row("PostgreSQL absent", "not there at the start, and stopped three times, under load", absent),
    Row("PostgreSQL locked", "tables locked for 8 s; three deadlocks with another session", locked),
)
