"""`just bench --peers`: stock mitmdump, LiteLLM's proxy and Portkey's gateway beside this one, in one run.

The same fake upstream behind each, the same clients before each: whole answers and streams, small questions
and ones of a hundred thousand tokens, 64 and 512 streams at once. One process each; CPU and memory are those
of the process and its children. Rounds go in turn, so read the ratios, not the figures. Peers that are not
there are left out; both are installed beside the project, not into it:

    python3 -m venv /somewhere/litellm && /somewhere/litellm/bin/pip install 'litellm[proxy]'
    mkdir /somewhere/portkey && cd /somewhere/portkey && npm init -y
    npm pkg set overrides.@hono/node-server=1.12.2 && npm install @portkey-ai/gateway
    just bench --peers --litellm /somewhere/litellm --portkey /somewhere/portkey --plot docs/bench.svg

With a newer @hono/node-server than that, Portkey 1.15.2 answers each stream with status 500. All of it takes
less than six minutes on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import plot
import streams
from streams import KEY, Asked, Done

import bench

LITELLM = """
model_list:
  - model_name: gpt-demo
    litellm_params:
      model: openai/gpt-demo
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: k1
general_settings:
  master_key: {key}
"""
PATIENT = "[timeouts]\nconnect_s = 60\n"
"""As the others are: with 512 at once it is the upstream that takes its time to accept them."""
CHAT = "/v1/chat/completions"
START_S = 300.0
LONG = 100_000


class Scene(NamedTuple):
    name: str
    words: int
    at_once: int
    is_stream: bool
    rounds: int = 2


SCENES = (
    Scene("small, one at a time", 100, 1, False),
    Scene("small, 32 at once", 100, 32, False),
    Scene("small, 64 streams", 100, 64, True),
    Scene("small, 512 streams", 100, 512, True, 1),
    Scene("100k tokens, 8 at once", LONG, 8, False),
    Scene("100k tokens, 64 streams", LONG, 64, True, 1),
    Scene("100k tokens, 512 streams", LONG, 512, True, 1),
)


@dataclass(slots=True)
class Host:
    """One of those that are measured."""

    name: str
    asked: Asked
    process: subprocess.Popen[bytes] | None = None
    """None for the upstream itself, asked directly."""
    is_ours: bool = False
    found: dict[str, Figures] = field(default_factory=dict)
    """By scene."""


@dataclass(slots=True)
class Figures:
    rates: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    done: int = 0
    failed: int = 0
    peak_mb: float = 0.0

    @property
    def rate(self) -> float:
        return statistics.median(self.rates) if self.rates else 0.0

    @property
    def cpu_ms(self) -> float:
        """For each answer."""
        return 1000 * self.cpu_s / self.done if self.done else float("nan")


def family(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def cpu_s(pid: int) -> float:
    return sum(map(bench.cpu_s, family(pid)))


def memory_mb(pid: int) -> float:
    return sum(map(bench.rss_mb, family(pid)))


async def until_answered(host: Host) -> float:
    """Waits for a right answer. Returns how long that took.

    Raises:
        RuntimeError: there was none; tells what there was.
    """
    began_s, why = asyncio.get_running_loop().time(), ""
    while (waited_s := asyncio.get_running_loop().time() - began_s) < START_S:
        if host.process is not None and host.process.poll() is not None:
            raise RuntimeError(f"{host.name} ended with status {host.process.returncode}")
        try:
            content = streams.body(10, is_stream=False)
            done = await streams.load(host.asked, content, at_once=1, duration_s=0.0001, limit_s=30)
            if done.took_s:
                return waited_s
            why = done.why
        except OSError as error:
            why = f"{error}"
        await asyncio.sleep(0.1)
    raise RuntimeError(f"{host.name} does not answer: {why}")


async def measured(host: Host, scene: Scene, duration_s: float, limit_s: float) -> Done:
    figures = host.found.setdefault(scene.name, Figures())
    content = streams.body(scene.words, is_stream=scene.is_stream)
    pid = host.process.pid if host.process else None
    before_s = cpu_s(pid) if pid else 0.0
    watching = asyncio.create_task(_peak(pid, figures)) if pid else None
    done = await streams.load(
        host.asked, content, at_once=scene.at_once, duration_s=duration_s, limit_s=limit_s
    )
    if watching is not None:
        watching.cancel()
    figures.cpu_s += cpu_s(pid) - before_s if pid else 0.0
    figures.done += len(done.took_s)
    figures.failed += done.failed
    figures.rates.append(len(done.took_s) / done.lasted_s)
    figures.took_s += done.took_s
    figures.first_s += done.first_s
    return done


async def _peak(pid: int, figures: Figures) -> None:
    while True:
        with suppress(OSError):  # a child of it has just ended
            figures.peak_mb = max(figures.peak_mb, memory_mb(pid))
        await asyncio.sleep(0.1)


class Peers:
    """All processes, each on a port of its own."""

    def __init__(self, folder: Path, litellm: Path | None, portkey: Path | None) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self.absent: list[str] = []
        self.upstream = bench.free_port()
        self._start([sys.executable, str(Path(streams.__file__)), str(self.upstream)])
        self.hosts = [Host("(directly)", Asked(self.upstream, CHAT))]
        self._ours()
        self._litellm(litellm)
        self._portkey(portkey)

    def _start(self, line: Sequence[str], **more: str) -> subprocess.Popen[bytes]:
        kept = ("PATH", "LANG", "TMPDIR")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        environment |= {"HOME": str(self._folder), **more}
        with (self._folder / f"{len(self._processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                line, env=environment, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._processes.append(process)
        return process

    def _ours(self) -> None:
        stock, forward, full = (bench.free_port() for _ in range(3))
        (self._folder / "stock.py").write_text(bench.STOCK)
        target = f"http://127.0.0.1:{self.upstream}"
        mitmdump = [str(bench.BIN / "mitmdump"), "-q", "--set", f"confdir={self._folder / 'mitm'}"]
        line = [
            *mitmdump,
            "-s",
            str(self._folder / "stock.py"),
            "--mode",
            f"reverse:{target}@127.0.0.1:{stock}",
        ]
        self.hosts.append(Host("stock mitmdump", Asked(stock, f"/bench{CHAT}"), self._start(line)))
        texts = {
            "forward": f'[server]\nport = {forward}\n[log]\nlevel = "error"\n'
            f'[endpoints.bench]\ntarget_base = "{target}"\n',
            "gateway": bench.FULL.format(port=full, upstream=self.upstream) + PATIENT,
        }
        for (name, text), port in zip(texts.items(), (forward, full), strict=True):
            own = self._folder / name
            own.mkdir()
            (own / "config.toml").write_text(text)
            process = self._start([str(bench.BIN / "llmitm"), "serve", "--config", str(own / "config.toml")])
            path = f"/bench{CHAT}" if name == "forward" else f"/full{CHAT}"
            self.hosts.append(Host(f"llmitm, {name}", Asked(port, path), process, is_ours=True))

    def _litellm(self, place: Path | None) -> None:
        command = place and next((one for one in (place / "bin" / "litellm", place) if one.is_file()), None)
        if command is None:
            self.absent.append(
                "LiteLLM: pip install 'litellm[proxy]' into an environment of its own, --litellm"
            )
            return
        port = bench.free_port()
        config = self._folder / "litellm.yaml"
        config.write_text(LITELLM.format(upstream=self.upstream, key=KEY))
        line = [str(command), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        process = self._start(
            [*line, "--num_workers", "1", "--telemetry", "False"],
            LITELLM_LOCAL_MODEL_COST_MAP="True",
            LITELLM_LOG="ERROR",
            LITELLM_MODE="PRODUCTION",
        )
        self.hosts.append(Host(f"LiteLLM {_version(command)}".rstrip(), Asked(port, CHAT), process))

    def _portkey(self, place: Path | None) -> None:
        package = place and place / "node_modules" / "@portkey-ai" / "gateway"
        if package is None or not package.is_dir():
            self.absent.append("Portkey: npm install @portkey-ai/gateway, --portkey")
            return
        port = bench.free_port()
        line = ["node", str(package / "build" / "start-server.js"), f"--port={port}", "--headless"]
        process = self._start(line, NODE_ENV="production")
        headers = (
            "x-portkey-provider: openai",
            f"x-portkey-custom-host: http://127.0.0.1:{self.upstream}/v1",
        )
        found = re.search(r'"version":\s*"([^"]+)"', (package / "package.json").read_text())
        name = f"Portkey {found[1]}" if found else "Portkey"
        self.hosts.append(Host(name, Asked(port, CHAT, headers), process))

    def logs(self) -> str:
        """The end of what each printed."""
        return "\n".join(
            f"{path.name}: {path.read_text(errors='replace')[-600:]}"
            for path in sorted(self._folder.glob("*.log"))
        )

    def stop(self) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _version(command: Path) -> str:
    asked = "import importlib.metadata as it; print(it.version('litellm'))"
    python = command.parent / "python"
    return subprocess.run([str(python), "-c", asked], capture_output=True, text=True).stdout.strip()


async def compare(peers: Peers, scenes: Sequence[Scene], duration_s: float, limit_s: float) -> None:
    for host in peers.hosts:
        took_s = await until_answered(host)
        pid = host.process.pid if host.process else None
        idle = f" ({cpu_s(pid):.1f} s of CPU), {memory_mb(pid):.0f} MB" if pid else ""
        print(f"{host.name}: there after {took_s:.1f} s more{idle}", flush=True)
    for scene in scenes:
        for _ in range(scene.rounds):
            for host in peers.hosts:
                done = await measured(host, scene, duration_s, limit_s)
                if done.failed:
                    print(f"{scene.name}, {host.name}: {done.failed} failed: {done.why[:300]}", flush=True)


type Cell = Callable[[Host, str], float]


def _added_ms(direct: Host, share: float) -> Cell:
    def cell(host: Host, scene: str) -> float:
        """To the first byte of an answer, and beyond what the upstream takes itself."""
        mine, base = host.found[scene].first_s, direct.found[scene].first_s
        if not mine:
            return float("nan")
        return 1000 * (bench.percentile(mine, share) - bench.percentile(base, share))

    return cell


def _table(hosts: Sequence[Host], scenes: Sequence[Scene]) -> list[str]:
    """In Markdown."""
    rows: list[tuple[str, str, Cell]] = [
        ("answers/s", ".0f", lambda host, scene: host.found[scene].rate),
        ("added to the first byte, p50 ms", ".1f", _added_ms(hosts[0], 0.5)),
        ("the same, p99 ms", ".1f", _added_ms(hosts[0], 0.99)),
        ("CPU an answer, ms", ".2f", lambda host, scene: host.found[scene].cpu_ms),
        ("memory at most, MB", ".0f", lambda host, scene: host.found[scene].peak_mb),
        ("failed", ".0f", lambda host, scene: host.found[scene].failed),
    ]
    lines = [f"| | |{'|'.join(f' {host.name} ' for host in hosts)}|", f"|---|---|{'---:|' * len(hosts)}"]
    for scene in scenes:
        for number, (name, form, cell) in enumerate(rows):
            if name == "failed" and not any(host.found[scene.name].failed for host in hosts):
                continue
            values = [
                "" if host.process is None and number else format(cell(host, scene.name), form)
                for host in hosts
            ]
            lines.append(f"| {scene.name if number == 0 else ''} | {name} | {' | '.join(values)} |")
    return lines


def _ratios(hosts: Sequence[Host], scenes: Sequence[Scene]) -> list[str]:
    """How many times better ours is: the forward endpoint beside stock mitmdump, else the whole path."""
    by_name = {host.name.split(" ")[0] if not host.is_ours else host.name: host for host in hosts}
    pairs = [(by_name["llmitm, forward"], by_name["stock"])]
    pairs += [
        (by_name["llmitm, gateway"], by_name[name]) for name in ("LiteLLM", "Portkey") if name in by_name
    ]
    lines = [
        f"| times better than |{'|'.join(f' {theirs.name} ' for _, theirs in pairs)}|",
        f"|---|{'---:|' * len(pairs)}",
    ]
    for scene in scenes:
        cells = []
        for ours, theirs in pairs:
            mine, other = ours.found[scene.name], theirs.found[scene.name]
            if not mine.done or not other.done:
                cells.append("one of them never answered")
                continue
            cells.append(
                f"{mine.rate / other.rate:.1f} answers/s, {other.cpu_ms / mine.cpu_ms:.1f} CPU, "
                f"{other.peak_mb / mine.peak_mb:.1f} memory"
            )
        lines.append(f"| {scene.name} | {' | '.join(cells)} |")
    return lines


def _panels(hosts: Sequence[Host], scenes: Sequence[Scene]) -> list[plot.Panel]:
    """The few figures that tell most."""
    names = {scene.name for scene in scenes}
    wanted: list[tuple[str, str, str, Cell]] = [
        ("Answers a second", "small, 32 at once", ".0f", lambda host, scene: host.found[scene].rate),
        ("Answers a second", "100k tokens, 8 at once", ".0f", lambda host, scene: host.found[scene].rate),
        ("CPU a stream, ms", "small, 64 streams", ".1f", lambda host, scene: host.found[scene].cpu_ms),
        ("Streams a second", "small, 512 streams", ".0f", lambda host, scene: host.found[scene].rate),
        (
            "Memory at most, MB",
            "100k tokens, 512 streams",
            ".0f",
            lambda host, scene: host.found[scene].peak_mb,
        ),
    ]
    measured_hosts = [host for host in hosts if host.process is not None]
    panels = []
    for title, scene, form, cell in wanted:
        if scene in names:
            bars = [_bar(host, scene, cell, form) for host in measured_hosts]
            panels.append(plot.Panel(f"{title}: {scene}", bars))
    return panels


def _bar(host: Host, scene: str, cell: Cell, form: str) -> plot.Bar:
    if not host.found[scene].done:
        return plot.Bar(host.name, 0.0, host.is_ours, "none answered in time")
    value = cell(host, scene)
    return plot.Bar(host.name, value, host.is_ours, format(value, form))


def show(peers: Peers, scenes: Sequence[Scene], place: Path | None) -> None:
    hosts = peers.hosts
    print(f"\nPython {platform.python_version()}, {os.cpu_count()} processors, {platform.machine()}\n")
    print("\n".join([*_table(hosts, scenes), "", *_ratios(hosts, scenes)]))
    for line in peers.absent:
        print(f"left out: {line}")
    if place is not None:
        place.write_text(
            plot.drawn("llmitm beside others, on one machine in one run", _panels(hosts, scenes))
        )
        print(f"drawn: {place}")


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="just bench --peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--litellm", type=Path, help="folder of its environment")
    parser.add_argument("--portkey", type=Path, help="folder whose node_modules has it")
    parser.add_argument("--seconds", type=float, default=2.0, help="of load for each figure of a round")
    parser.add_argument("--limit", type=float, default=45.0, help="seconds that the last answers may take")
    parser.add_argument("--only", help="scenes whose names have this in them")
    parser.add_argument("--plot", type=Path, help="where the SVG is to be written")
    options = parser.parse_args(words)
    scenes = [scene for scene in SCENES if not options.only or options.only in scene.name]
    with tempfile.TemporaryDirectory(prefix="llmitm-peers-") as folder:
        peers = Peers(Path(folder), options.litellm, options.portkey)
        try:
            asyncio.run(compare(peers, scenes, options.seconds, options.limit))
        except RuntimeError:
            print(peers.logs(), file=sys.stderr)
            raise
        finally:
            peers.stop()
        show(peers, scenes, options.plot)
