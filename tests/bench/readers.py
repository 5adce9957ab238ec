"""`just bench-readers`: what the dashboard costs on the request path, as ratios within one run.

The same gateway in turn: without a dashboard, with one that nobody looks at, and with five who read along
over WebSockets, or with `--browsers` in as many pages of a real browser, that needs CPU of its own: look
at the gateway's own. The full path: a client's key, limits, routing by model, tokens, a cost, the ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import aiohttp
import httpx

import bench

READERS = 5
PASSWORD = "a long password of tests"
HASH = "$argon2id$v=19$m=8192,t=1,p=1$7BqykFXlekTkWry5eXHNWw$HkA4TtJV1xmFydS3LHGyPa9BpJlrkZJE29WEOTAYUfg"
PRICES = '[model_prices]\n"gpt-*" = { input = 1.0, output = 4.0 }\n'
DASHBOARD = '[dashboard]\nenabled = true\nport = {port}\npassword_hash = "{hash}"\n'
SETTLED_S = 8.0
"""Until those who read have logged in."""
PLACES = ("/", "/live", "/live?show=failed", "/", "/requests")
KINDS = ("none", "alone", "read")


async def measure(rounds: int, duration_s: float, reading: list[str]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="llmitm-bench-"))
    upstream = bench.free_port()
    processes = {"upstream": start("--upstream", str(upstream), script=Path(bench.__file__))}
    ports = {kind: bench.free_port() for kind in KINDS}
    shown = {kind: bench.free_port() for kind in KINDS[1:]}
    try:
        for kind, port in ports.items():
            own = folder / kind
            own.mkdir()
            text = bench.FULL.format(port=port, upstream=upstream) + PRICES
            if kind in shown:
                text += DASHBOARD.format(port=shown[kind], hash=HASH)
            (own / "config.toml").write_text(text)
            processes[kind] = start("-m", "llmitm", "serve", "--config", str(own / "config.toml"))
        await bench.until_open(upstream)
        for port in (*ports.values(), *shown.values()):
            await bench.until_open(port)
        processes["readers"] = start(f"http://127.0.0.1:{shown['read']}", *reading, script=Path(__file__))
        await asyncio.sleep(SETTLED_S)
        await compare(ports, {kind: processes[kind].pid for kind in KINDS}, rounds, duration_s)
    finally:
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        for process in processes.values():
            process.wait(30)


def start(*words: str, script: Path | None = None) -> subprocess.Popen[bytes]:
    first = [str(script)] if script else []
    return subprocess.Popen(
        [sys.executable, *first, *words],
        env={**os.environ, "PYTHONPATH": f"{bench.ROOT / 'addons'}:{bench.ROOT / 'tests'}"},
    )


async def compare(ports: dict[str, int], pids: dict[str, int], rounds: int, duration_s: float) -> None:
    asked = bench.ASKED["full"]
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    costs: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(rounds + 1):  # the first warms up
        for kind, port in ports.items():
            before_s = bench.cpu_s(pids[kind])
            times = await bench.load(port, asked, 16, duration_s)
            spent_s = bench.cpu_s(pids[kind]) - before_s
            if number:
                rates[kind].append(len(times) / duration_s)
                costs[kind].append(spent_s / len(times) * 1e6)
    for kind in KINDS:
        rate, cost = statistics.median(rates[kind]), statistics.median(costs[kind])
        share = rate / statistics.median(rates["none"])
        print(f"{kind:6} {rate:7.0f} requests/s ({share:.3f})  {cost:6.0f} us CPU a request  "
              f"{bench.rss_mb(pids[kind]):5.0f} MB")  # fmt: skip


async def read_along(url: str) -> None:
    """Reads for ever, and tells at the end how much came."""
    login = {"username": "admin", "password": PASSWORD}
    async with httpx.AsyncClient(trust_env=False) as client:
        token = (await client.post(f"{url}/api/dashboard/auth/login", json=login)).json()["token"]
    counts = {"messages": 0}

    async def one(session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(f"{url}/ws/dashboard") as socket:
            async for _ in socket:
                counts["messages"] += 1

    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {token}"}) as session:
        await asyncio.gather(*(one(session) for _ in range(READERS)), return_exceptions=True)
    print("readers got", counts)


def look_on(url: str) -> None:
    """Five pages of a real browser, for ever."""

    from support.browsing import chromium, logged_in

    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    with chromium() as browser:
        contexts = [logged_in(browser, url) for _ in range(READERS)]
        pages = [context.new_page() for context in contexts]
        for page, place in zip(pages, PLACES, strict=True):
            page.goto(url + place)
        while not over.is_set():
            pages[1].wait_for_timeout(250)
        print("rows that are shown live:", pages[1].get_by_role("row").count())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?", help="read along there")
    parser.add_argument("--browsers", action="store_true", help="read along in a real browser")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    asked = parser.parse_args()
    if asked.url and asked.browsers:
        look_on(asked.url)
    elif asked.url:
        asyncio.run(read_along(asked.url))
    else:
        asyncio.run(measure(asked.rounds, asked.seconds, ["--browsers"] if asked.browsers else []))


if __name__ == "__main__":
    main()
