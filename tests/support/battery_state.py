"""Rows of the battery: state, disk and clock."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import aiohttp

from support.battery import Bench, Load, Row, config_of, rows_of
from support.postgres_server import BINARY as POSTGRES
from support.redis_server import BINARY as REDIS

_STEPS_S: Final = (3_600, -3_600, 86_400, -86_400, -7 * 86_400, 366 * 86_400, 0)
_KEY: Final = "sk-proxy-battery"


def _library() -> Path | None:
    """libfaketime, which gives a process another wall clock; None where it is not installed."""
    if shutil.which("faketime") is None:
        return None
    return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def _faked(bench: Bench) -> tuple[Path, dict[str, str]]:
    """A file that says how far the wall clock is off, in seconds, and the environment of who believes it."""
    library = _library()
    assert library is not None, "not run: needs faketime"
    said = bench.folder / "offset"
    said.write_text("+0")
    return said, {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(said),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


async def clock(bench: Bench) -> str:
    said, env = _faked(bench)
    more = f'[[auth_keys]]\nname = "a"\nkey = "{_KEY}"\nbudget_usd = 100\n[rate_limit]\nrpm = 1000000\n'
    more += '[log]\nfile = "llmitm.log"\nrotate = "daily"\nkeep = 400'
    async with bench.gateway(config_of(more=more), env=env) as gateway:
        headers = {"x-llmitm-key": _KEY}
        async with Load(lambda: gateway.url, clients=8, headers=headers) as load:
            for step_s in _STEPS_S:
                said.write_text(f"{step_s:+d}")
                await asyncio.sleep(1.1)  # as long as an offset is believed unread
                await load.more(60)
        figures = load.check()
    told = gateway.output() + "".join(one.read_text() for one in gateway.folder.glob("llmitm.log*"))
    assert "Traceback" not in told and '"total_ms":-' not in told, "a broken or negative duration"
    rows = await asyncio.to_thread(rows_of, gateway.folder)
    lines = told.count('"event":"request"')
    assert rows == lines == load.right, f"{rows} rows, {lines} lines of {load.right}"
    return f"{len(_STEPS_S)} steps from a week back to a year on: {figures}; {rows} rows, {lines} lines"


async def _asked(session: aiohttp.ClientSession, url: str) -> tuple[int, float]:
    """Status, and how long the client is told to wait."""
    body = {"model": "gpt-demo", "messages": [{"role": "user", "content": "x"}]}
    headers = {"x-llmitm-key": _KEY}
    async with session.post(f"{url}/all/v1/chat/completions", json=body, headers=headers) as answer:
        return answer.status, int(answer.headers.get("retry-after-ms", 0)) / 1000


async def limits_and_clock(bench: Bench) -> str:
    """A limit of requests neither opens nor stays shut when the clock is set."""
    said, env = _faked(bench)
    more = f'[[auth_keys]]\nname = "a"\nkey = "{_KEY}"\nrpm = 15\nconcurrency = 100'
    passed, waits = 0, []
    async with bench.gateway(config_of(more=more), env=env) as gateway, aiohttp.ClientSession() as session:
        began_s = time.monotonic()
        for step_s in (0, 3_600, -3_600, 86_400):
            said.write_text(f"{step_s:+d}")
            await asyncio.sleep(1.1)
            for status, wait_s in await asyncio.gather(*(_asked(session, gateway.url) for _ in range(10))):
                passed += status == 200
                waits += [wait_s] if status == 429 else []
        took_s = time.monotonic() - began_s
    assert took_s < 55, f"too slow to tell: {took_s:.0f} s"
    assert passed == 15, f"{passed} passed, of 15 a minute"
    assert waits and max(waits) <= 60, f"told to wait {max(waits):.0f} s"
    return (
        f"40 requests, {passed} passed, of 15 a minute; nobody is told to wait longer than {max(waits):.1f} s"
    )


async def killed(bench: Bench) -> str:
    rounds, told, lacking = 6, [], 0
    config = config_of()
    right = 0
    for number in range(rounds):
        gateway = await asyncio.to_thread(bench.started, config)
        async with Load(lambda: gateway.url, clients=8) as load:  # noqa: B023 - it ends with the block
            await load.more(80 + 37 * number)
            answered = load.right
            gateway.process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(gateway.stop)
            load.end()
        right += load.right
        told.append(answered)
    gateway = await asyncio.to_thread(bench.started, config)
    await asyncio.to_thread(gateway.stop)
    rows = await asyncio.to_thread(rows_of, gateway.folder)
    lacking = right - rows
    assert lacking <= rounds * 200, f"{lacking} of {right} lack a row"
    return (
        f"{rounds} kills: {lacking} of {right} answers lack a row: what came within flush_ms (500) of a kill"
    )


async def full_log(bench: Bench) -> str:
    small = bench.folder / "small"
    small.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    mounted = await asyncio.to_thread(subprocess.run, words, capture_output=True)
    assert mounted.returncode == 0, "not run: nothing may be mounted here"
    try:
        more = f'[log]\nfile = "{small}/llmitm.log"'
        async with bench.gateway(config_of(more=more)) as gateway:
            async with Load(lambda: gateway.url, clients=8) as load:
                await asyncio.to_thread(gateway.wait_for, "cannot be written: No space left", 60)
                await load.more(100)
                os.truncate(small / "llmitm.log", 0)
                await load.more(50)
            figures = load.check()
            log = (small / "llmitm.log").read_text()
        assert "lines of this log were lost" in log, log[:300]
        lost = log.partition('{"event":"')[2].partition(" ")[0]
        rows = await asyncio.to_thread(rows_of, gateway.folder)
        assert rows == load.right, f"{rows} rows"
    finally:
        await asyncio.to_thread(subprocess.run, ["umount", str(small)], check=True)
    return f"{figures}, {rows} rows; told once, {lost} lines lost and counted, written again by itself"


async def _proof(*words: str, needs: object = True) -> str:
    """Another program of the tests; its last lines."""
    assert needs, "not run: its server is not installed"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await child.communicate()
    lines = said.decode().strip().splitlines()
    assert child.returncode == 0, " / ".join(lines[-4:])
    return "; ".join(line.strip() for line in lines if "rows of" in line or line.startswith("ok"))


async def ledger_full(bench: Bench) -> str:
    return await _proof("support.ledger_proof", "--count", "8000", "--only", "full")


async def ledger_stopped(bench: Bench) -> str:
    return await _proof("support.ledger_proof", "--count", "4000", "--only", "stopped", needs=POSTGRES)


async def redis_away(bench: Bench) -> str:
    return await _proof("support.shared_proof", "--seconds", "62", "--rounds", "4", needs=REDIS)


ROWS: Final = (
    Row("clock: steps", "the wall clock of the gateway's process is set seven times under load", clock),
    Row("clock: limits", "the wall clock is set while a limit of requests is used up", limits_and_clock),
    Row("ledger: killed", "SIGKILL six times under load; answers that clients have, against rows", killed),
    Row("disk: log", "the log's disk (64 KB) is full under load, and has room again", full_log),
    Row("disk: ledger", "the ledger's disk is full for 4 s under load", ledger_full),
    Row("PostgreSQL away", "the server is stopped for 20 s under load", ledger_stopped),
    Row("Redis away", "limits of two gateways for a minute; then frozen and killed, four times", redis_away),
)
