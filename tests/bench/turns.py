"""Compares ways to run a gateway, in many short turns: machines change their pace from second to second.

A ratio is that of a turn to the turn of the base way in the same round, whose order changes with every round;
beside the mean of these ratios stands how sure it is, twice its standard error. A way that is the same as the
base shows what the machine alone makes of it.
"""

from __future__ import annotations

import math
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import bench

CONNECTIONS = 32
AGAIN = "off, again"


@dataclass(frozen=True, slots=True)
class Way:
    """A gateway that runs, and what it is asked."""

    port: int
    pid: int
    asked: bench.Asked


@dataclass(slots=True)
class Seen:
    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    """Of the gateway's process, a request."""
    delays_s: list[float] = field(default_factory=list)


def start(*words: str) -> subprocess.Popen[bytes]:
    path = f"{bench.ROOT / 'addons'}{os.pathsep}{bench.ROOT / 'tests'}"
    return subprocess.Popen([sys.executable, *words], env={**os.environ, "PYTHONPATH": path})


@dataclass(slots=True)
class Gateways:
    """An upstream, and gateways before it."""

    folder: Path
    upstream: int = field(default_factory=bench.free_port)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    async def open(self) -> None:
        self.processes.append(start(str(Path(bench.__file__)), "--upstream", str(self.upstream)))
        await bench.until_open(self.upstream)

    async def way(self, name: str, config: str, asked: bench.Asked) -> Way:
        """`config` has places for `{port}` and `{upstream}`."""
        port, own = bench.free_port(), self.folder / name
        own.mkdir()
        text = config.replace("{port}", str(port)).replace("{upstream}", str(self.upstream))
        (own / "config.toml").write_text(text)
        process = start("-m", "llmitm", "serve", "--config", str(own / "config.toml"))
        self.processes.append(process)
        await bench.until_open(port)
        return Way(port, process.pid, asked)


@contextmanager
def gateways(folder: Path) -> Iterator[Gateways]:
    made = Gateways(folder)
    try:
        yield made
    finally:
        for process in reversed(made.processes):
            process.send_signal(signal.SIGTERM)
        for process in made.processes:
            process.wait(30)


async def in_turn(
    ways: Mapping[str, Way], rounds: int, duration_s: float, connections: int = CONNECTIONS
) -> dict[str, Seen]:
    seen = {name: Seen() for name in ways}
    names = list(ways)
    for one in ways.values():
        await bench.load(one.port, one.asked, 8, 0.5)
    for number in range(rounds):
        at = number // 2 % len(names)
        order = names[at:] + names[:at]
        for name in order if number % 2 else reversed(order):
            one, of_one = ways[name], seen[name]
            before_s = bench.cpu_s(one.pid)
            done = await bench.load(one.port, one.asked, connections, duration_s)
            of_one.rates.append(len(done) / duration_s)
            of_one.cpu_us.append((bench.cpu_s(one.pid) - before_s) / len(done) * 1e6)
            of_one.delays_s += done
    return seen


def ratio(seen: list[float], base: list[float]) -> tuple[float, float]:
    """Their mean, and twice its standard error."""
    logs = [math.log(one / other) for one, other in zip(seen, base, strict=True)]
    error = statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else math.inf
    return math.exp(statistics.mean(logs)), 2 * error


HEAD = (
    f"{'':26}{'req/s':>7}{'ratio':>8}{'':8}{'CPU us':>8}{'ratio':>8}{'':8}{'p50 ms':>8}{'p99 ms':>8}{'MB':>6}"
)


def show(title: str, ways: Mapping[str, Way], seen: Mapping[str, Seen], base: str) -> None:
    for name, of_one in seen.items():
        rate, rate_error = ratio(of_one.rates, seen[base].rates)
        cpu, cpu_error = ratio(of_one.cpu_us, seen[base].cpu_us)
        against = (
            [f"{rate:8.3f} ±{rate_error:.3f}", f"{cpu:8.3f} ±{cpu_error:.3f}"]
            if name != base
            else [f"{'1':>8}{'':7}"] * 2
        )
        print(
            f"{f'{title}, {name}':26}{statistics.median(of_one.rates):7.0f}{against[0]} "
            f"{statistics.median(of_one.cpu_us):8.0f}{against[1]} "
            f"{bench.percentile(of_one.delays_s, 0.5) * 1000:8.1f}"
            f"{bench.percentile(of_one.delays_s, 0.99) * 1000:8.1f}{bench.rss_mb(ways[name].pid):6.0f}"
        )
