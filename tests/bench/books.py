"""`just bench-books`: what the ledger costs on the request path, as ratios within one run.

The same gateway with the ledger off and on, two of each, in turn: the forward endpoint, and the full path (a
client's key, limits, routing by model, tokens read, a cost). Everything runs on loopback for a bounded time.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

import turns

import bench

PRICES = '[model_prices]\n"gpt-*" = { input = 1.0, output = 4.0 }\n'
FORWARD = (
    '[server]\nport = {port}\n[log]\nlevel = "error"\n'
    '[endpoints.bench]\ntarget_base = "http://127.0.0.1:{upstream}"\n'
)  # fmt: skip
FULL = bench.FULL + PRICES
OFF = "[ledger]\nenabled = false\n"
PATHS = {"forward": (FORWARD, "serve"), "full": (FULL, "full")}


async def measure(folder: Path, rounds: int, duration_s: float, *, what: dict[str, str]) -> None:
    """`what` is added to the configuration, by name; the first is the base."""
    print(turns.HEAD)
    for path, (config, asked) in PATHS.items():
        (folder / path).mkdir()
        with turns.gateways(folder / path) as made:
            await made.open()
            ways = {
                name: await made.way(name, config + more, bench.ASKED[asked]) for name, more in what.items()
            }
            seen = await turns.in_turn(ways, rounds, duration_s)
            turns.show(path, ways, seen, next(iter(what)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--seconds", type=float, default=0.3)
    options = parser.parse_args()
    what = {"off": OFF, turns.AGAIN: OFF, "on": "", "on, again": ""}
    with tempfile.TemporaryDirectory(prefix="llmitm-bench-") as folder:
        asyncio.run(measure(Path(folder), options.rounds, options.seconds, what=what))


if __name__ == "__main__":
    main()
