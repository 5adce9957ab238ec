"""`just bench-telemetry`: what traces and metrics cost on the request path, as ratios within one run.

The same gateway with telemetry on and off, in turn: the forward endpoint, and the full path. The collector is
the upstream, which takes whatever it is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import tempfile
from pathlib import Path

import books

import bench

ON = '[telemetry]\nenabled = true\nendpoint = "http://127.0.0.1:{upstream}"\nsample_ratio = {ratio}\n'


async def measure(rounds: int, duration_s: float, ratio: float) -> None:
    folder = Path(tempfile.mkdtemp(prefix="llmitm-bench-"))
    upstream = bench.free_port()
    processes = {"upstream": books.start(str(Path(bench.__file__)), "--upstream", str(upstream))}
    ports: dict[tuple[str, bool], int] = {}
    pids: dict[tuple[str, bool], int] = {}
    try:
        for path in ("forward", "full"):
            for is_on in (False, True):
                port = ports[path, is_on] = bench.free_port()
                own = folder / f"{path}-{is_on}"
                own.mkdir()
                text = books.FORWARD.format(port=port, target=f"http://127.0.0.1:{upstream}")
                if path == "full":
                    text = bench.FULL.format(port=port, upstream=upstream) + books.PRICES
                text += books.OFF + (ON.format(upstream=upstream, ratio=ratio) if is_on else "")
                (own / "config.toml").write_text(text)
                config = str(own / "config.toml")
                processes[config] = books.start("-m", "llmitm", "serve", "--config", config)
                pids[path, is_on] = processes[config].pid
                await bench.until_open(port)
        await bench.until_open(upstream)
        await books.compare(ports, pids, rounds, duration_s, what="traces")
    finally:
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        for process in processes.values():
            process.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--ratio", type=float, default=1.0)
    options = parser.parse_args()
    asyncio.run(measure(options.rounds, options.seconds, options.ratio))


if __name__ == "__main__":
    main()
