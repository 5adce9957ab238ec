"""`just bench-readers`: what the dashboard costs on the request path, as ratios within one run.

The same gateway in turn: without a dashboard twice, with one that nobody looks at, and with five who read
along over WebSockets, or with `--browsers` in as many pages of a real browser. That needs CPU of its own,
which its reader's machine has: here it gets what nobody else wants. The full path: a client's key, limits,
routing by model, tokens, a cost, the ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import tempfile
import threading
from pathlib import Path

import aiohttp
import books
import httpx
import turns

import bench

READERS = 5
PASSWORD = "a long password of tests"
HASH = "$argon2id$v=19$m=8192,t=1,p=1$7BqykFXlekTkWry5eXHNWw$HkA4TtJV1xmFydS3LHGyPa9BpJlrkZJE29WEOTAYUfg"
DASHBOARD = '[dashboard]\nenabled = true\nport = {port}\npassword_hash = "{hash}"\n'
SETTLED_S = 8.0
"""Until those who read have logged in."""
PLACES = ("/", "/live", "/live?show=failed", "/", "/requests")
AGAIN = "none, again"
KINDS = ("none", AGAIN, "alone", "read")


async def measure(folder: Path, rounds: int, duration_s: float, reading: list[str]) -> None:
    with turns.gateways(folder) as made:
        await made.open()
        ways: dict[str, turns.Way] = {}
        shown: dict[str, int] = {}
        for kind in KINDS:
            config = books.FULL
            if kind not in ("none", AGAIN):
                shown[kind] = bench.free_port()
                config += DASHBOARD.format(port=shown[kind], hash=HASH)
            ways[kind] = await made.way(kind, config, bench.ASKED["full"])
        for port in shown.values():
            await bench.until_open(port)
        made.processes.append(turns.start(__file__, f"http://127.0.0.1:{shown['read']}", *reading))
        await asyncio.sleep(SETTLED_S)
        seen = await turns.in_turn(ways, rounds, duration_s, connections=16)
        print(turns.HEAD)
        turns.show("dashboard", ways, seen, "none")


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

    os.nice(19)

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
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0.5)
    asked = parser.parse_args()
    if asked.url and asked.browsers:
        look_on(asked.url)
    elif asked.url:
        asyncio.run(read_along(asked.url))
    else:
        with tempfile.TemporaryDirectory(prefix="llmitm-bench-") as folder:
            reading = ["--browsers"] if asked.browsers else []
            asyncio.run(measure(Path(folder), asked.rounds, asked.seconds, reading))


if __name__ == "__main__":
    main()
