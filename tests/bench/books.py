"""`just bench-books`: what the ledger costs on the request path, as ratios within one run.

The same gateway with the ledger on and off, in turn: the forward endpoint, and the full path (a client's
key, limits, routing by model, tokens read, a cost). Everything runs on loopback for a bounded time.
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
from pathlib import Path

import bench

PRICES = '[model_prices]\n"gpt-*" = { input = 1.0, output = 4.0 }\n'
FORWARD = '[server]\nport = {port}\n[log]\nlevel = "error"\n[endpoints.bench]\ntarget_base = "{target}"\n'
OFF = "[ledger]\nenabled = false\n"


async def measure(rounds: int, duration_s: float) -> None:
    folder = Path(tempfile.mkdtemp(prefix="llmitm-bench-"))
    upstream = bench.free_port()
    target = f"http://127.0.0.1:{upstream}"
    processes = {"upstream": start(str(Path(bench.__file__)), "--upstream", str(upstream))}
    ports: dict[tuple[str, bool], int] = {}
    try:
        for path in ("forward", "full"):
            for has_books in (False, True):
                port = ports[path, has_books] = bench.free_port()
                own = folder / f"{path}-{has_books}"
                own.mkdir()
                text = FORWARD.format(port=port, target=target)
                if path == "full":
                    text = bench.FULL.format(port=port, upstream=upstream) + PRICES
                (own / "config.toml").write_text(text + ("" if has_books else OFF))
                config = str(own / "config.toml")
                processes[config] = start("-m", "llmitm", "serve", "--config", config)
        await bench.until_open(upstream)
        for port in ports.values():
            await bench.until_open(port)
        pids = {one: processes[str(folder / f"{one[0]}-{one[1]}" / "config.toml")].pid for one in ports}
        await compare(ports, pids, rounds, duration_s)
    finally:
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        for process in processes.values():
            process.wait(30)


def start(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *words], env={**os.environ, "PYTHONPATH": str(bench.ROOT / "addons")}
    )


async def compare(
    ports: dict[tuple[str, bool], int],
    pids: dict[tuple[str, bool], int],
    rounds: int,
    duration_s: float,
    *,
    what: str = "books",
) -> None:
    asked = {"forward": bench.ASKED["serve"], "full": bench.ASKED["full"]}
    rates: dict[tuple[str, bool], list[float]] = {one: [] for one in ports}
    costs: dict[tuple[str, bool], list[float]] = {one: [] for one in ports}
    delays: dict[tuple[str, bool], list[float]] = {one: [] for one in ports}
    for one, port in ports.items():
        await bench.load(port, asked[one[0]], 8, 0.5)
    for number in range(rounds):
        for one in sorted(ports, reverse=bool(number % 2)):
            before_s = bench.cpu_s(pids[one])
            done = await bench.load(ports[one], asked[one[0]], 32, duration_s)
            rates[one].append(len(done) / duration_s)
            costs[one].append((bench.cpu_s(pids[one]) - before_s) / len(done) * 1e6)
            delays[one] += done
    print(f"{'':10}{what:>6}{'req/s':>8}{'ratio':>8}{'CPU us':>9}{'p50 ms':>8}{'p99 ms':>8}{'MB':>6}")
    for (path, has_books), seen in rates.items():
        one = (path, has_books)
        pairs = zip(rates[path, True], rates[path, False], strict=True)
        ratio = statistics.median(on / off for on, off in pairs) if has_books else 1
        print(
            f"{path:10}{'on' if has_books else 'off':>6}{statistics.median(seen):8.0f}{ratio:8.3f}"
            f"{statistics.median(costs[one]):9.0f}{bench.percentile(delays[one], 0.5) * 1000:8.1f}"
            f"{bench.percentile(delays[one], 0.99) * 1000:8.1f}{bench.rss_mb(pids[one]):6.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    asyncio.run(measure(options.rounds, options.seconds))


if __name__ == "__main__":
    main()
