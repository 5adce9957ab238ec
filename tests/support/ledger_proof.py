"""The ledger held against what clients saw and what the provider counted: `just ledger-proof`.

Tens of thousands of exchanges go through a running gateway: into SQLite and into a real PostgreSQL; the same
with the database stopped for 20 s in the middle; killed in the middle; and with a disk that is full for a
while. Each time rows are held against requests, and sums of tokens against the provider's own count.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson

from support.gateway import BIN, Gateway
from support.postgres_server import BINARY, NO_BINARY, PostgresServer

CONFIG = """
[server]
port = 0
[endpoints.all]
kind = "gateway"
[providers.up]
base_url = "http://127.0.0.1:{upstream}/v1"
format = "openai-chat"
api_keys = ["sk-one", "sk-two"]
models = ["gpt-*"]
[model_prices]
"gpt-*" = {{ input = 1.0, output = 10.0 }}
[ledger]
{ledger}
"""


class Upstream:
    """Answers in an instant, and counts the tokens that it told of. Every fourth answer is a stream."""

    def __init__(self) -> None:
        self.calls = self.input_tokens = self.output_tokens = 0
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                body = orjson.loads(await reader.readexactly(length))
                writer.write(self._answer(bool(body.get("stream"))))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, is_stream: bool) -> bytes:
        self.calls += 1
        used, made = 10 + self.calls % 7, 1 + self.calls % 5
        self.input_tokens += used
        self.output_tokens += made
        usage = {"prompt_tokens": used, "completion_tokens": made, "total_tokens": used + made}
        known = {"id": f"chatcmpl-{self.calls}", "created": 1, "model": "gpt-proof", "usage": usage}
        if not is_stream:
            choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
            content = orjson.dumps({**known, "object": "chat.completion", "choices": [choice]})
            kind = b"application/json"
        else:
            delta = {"index": 0, "delta": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
            chunk = orjson.dumps({**known, "object": "chat.completion.chunk", "choices": [delta]})
            content, kind = b"data: %b\n\ndata: [DONE]\n\n" % chunk, b"text/event-stream"
        return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (
            kind,
            len(content),
            content,
        )


@dataclass(slots=True)
class Load:
    """What clients saw."""

    answered: list[str] = field(default_factory=list)
    """Ids of requests whose answers came to their end."""
    failed: int = 0
    lasted_s: float = 0

    async def send(self, url: str, count: int, *, at_once: int = 32) -> None:
        began_s, left = time.perf_counter(), iter(range(count))
        turns = [{"role": "user", "content": "Is it all there?"}]

        async def client(session: aiohttp.ClientSession) -> None:
            for number in left:
                body = {"model": "gpt-proof", "messages": turns, "stream": number % 4 == 0}
                try:
                    async with session.post(f"{url}/all/v1/chat/completions", json=body) as answer:
                        await answer.read()
                except aiohttp.ClientError:
                    self.failed += 1
                    continue
                if answer.status == 200:
                    self.answered.append(str(number))
                else:
                    self.failed += 1

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(client(session) for _ in range(at_once)))
        self.lasted_s += time.perf_counter() - began_s


@dataclass(slots=True)
class Proof:
    """One gateway with one ledger, and what was found."""

    name: str
    folder: Path
    upstream: Upstream
    ledger: str
    load: Load = field(default_factory=Load)

    def gateway(self) -> Gateway:
        config = CONFIG.format(upstream=self.upstream.port, ledger=self.ledger)
        return Gateway(config, self.folder, host="serve").start()

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "llmitm", *words, "-c", str(self.folder / "config.toml")], capture_output=True, text=True
        )

    def sums(self) -> dict[str, int]:
        asked = self.ask("usage", "--by", "endpoint", "--json")
        return dict(orjson.loads(asked.stdout)["total"]) if asked.returncode == 0 else {"requests": 0}

    def check(self, problems: list[str], *, may_lack: int = 0, is_sound: bool = True) -> None:
        """Rows against requests, sums against the provider's own, and what the ledger says of itself."""
        told, asked = self.sums(), self.upstream
        count = len(self.load.answered)
        rate = count / self.load.lasted_s
        figures = f"{told['requests']} rows of {count} answers ({rate:.0f}/s, {self.load.failed} failed)"
        print(f"{self.name}: {figures}", flush=True)
        if not count - may_lack <= told["requests"] <= count + self.load.failed + may_lack:
            problems.append(f"{self.name}: {figures}")
        if not may_lack:
            for what in ("input_tokens", "output_tokens"):
                if told[what] != getattr(asked, what):
                    problems.append(
                        f"{self.name}: {told[what]} {what}, the provider told of {getattr(asked, what)}"
                    )
            if told["unpriced"]:
                problems.append(f"{self.name}: {told['unpriced']} without a cost")
        verified = self.ask("ledger", "verify")
        for line in verified.stdout.splitlines():
            if line.startswith("!!") or verified.returncode not in (0, 1):
                print(f"    {line}")
        if (verified.returncode == 0) != is_sound:
            problems.append(f"{self.name}: verify said {verified.stdout}{verified.stderr}")


type Middle = Callable[[Gateway], Awaitable[None]]


async def whole(proof: Proof, count: int, problems: list[str], middle: Middle | None = None) -> None:
    """All requests, with something that happens meanwhile; then SIGTERM."""
    gateway = await asyncio.to_thread(proof.gateway)
    if middle is None:
        await proof.load.send(gateway.url, count)
    else:
        await asyncio.gather(proof.load.send(gateway.url, count), middle(gateway))
        await proof.load.send(gateway.url, 100)
    began_s = time.perf_counter()
    status = await asyncio.to_thread(gateway.stop)
    print(f"    stopped in {time.perf_counter() - began_s:.1f} s with status {status}", flush=True)
    for line in gateway.output().splitlines():
        if '"event":"request"' not in line and "listening" not in line:
            print(f"    {line[:200]}")
    proof.check(problems)


async def killed(proof: Proof, count: int, rounds: int, problems: list[str]) -> None:
    """Killed again and again in the middle. A flush may be missing each time, and no more."""
    lacking = 0
    for number in range(rounds):
        gateway = await asyncio.to_thread(proof.gateway)
        sending = asyncio.create_task(proof.load.send(gateway.url, count))
        await asyncio.sleep(2 + 0.37 * number)
        gateway.process.send_signal(signal.SIGKILL)
        before = len(proof.load.answered)
        await sending
        await asyncio.to_thread(gateway.stop)
        have = proof.sums()["requests"]
        lacking = len(proof.load.answered) - have
        print(f"    killed: {before} answers, {have} rows", flush=True)
    rate = len(proof.load.answered) / proof.load.lasted_s
    print(f"{proof.name}: {lacking} of {len(proof.load.answered)} lack a row, {rounds} kills ({rate:.0f}/s)")
    most = 2_000 * rounds  # what a second brings at the most
    proof.check(problems, may_lack=most, is_sound=False)


def is_mounted(folder: Path) -> bool:
    """Whether a small disk could be mounted there: not everybody may."""
    words = ("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder))
    try:
        return subprocess.run(words, capture_output=True).returncode == 0
    except OSError:
        return False


def unmount(folder: Path) -> None:
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)


async def prove(count: int, only: str | None) -> list[str]:
    problems: list[str] = []
    folder = Path(tempfile.mkdtemp(prefix="llmitm-proof-"))
    postgres = PostgresServer() if BINARY else None
    if postgres is None:
        print(NO_BINARY)
    else:
        postgres.start()

    async def at(name: str, ledger: str = "") -> Proof:
        upstream = Upstream()
        await upstream.start()
        (folder / name).mkdir()
        return Proof(name, folder / name, upstream, ledger)

    async def stopped(gateway: Gateway) -> None:
        assert postgres is not None
        await asyncio.sleep(5)
        await asyncio.to_thread(postgres.stop)
        print("    PostgreSQL is stopped", flush=True)
        await asyncio.sleep(20)
        await asyncio.to_thread(postgres.start)
        print("    PostgreSQL is back", flush=True)
        await asyncio.sleep(12)

    async def full(gateway: Gateway) -> None:
        """A small disk of its own, where that may be mounted; else no file may grow."""
        await asyncio.sleep(2)
        filler = small / "filler"
        if small.is_mount():
            with filler.open("wb", buffering=0) as file:
                try:
                    while file.write(bytes(4096)):
                        pass
                except OSError:
                    pass
            print("    the disk is full", flush=True)
            await asyncio.sleep(4)
            filler.unlink()
            print("    the disk has room again", flush=True)
            await asyncio.sleep(12)
            return
        resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        print("    files cannot grow", flush=True)
        await asyncio.sleep(4)
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, unlimited)
        print("    files can grow again", flush=True)
        await asyncio.sleep(12)

    small = folder / "a full disk"
    try:
        if only in (None, "sqlite"):
            await whole(await at("sqlite"), count, problems)
        if only in (None, "full"):
            proof = await at("a full disk")
            print(f"    a full disk: {'a tmpfs' if is_mounted(small) else 'a limit of file sizes'}")
            await whole(proof, count // 4, problems, full)
        if only in (None, "killed"):
            await killed(await at("killed"), count // 10, 5, problems)
        if postgres is not None:
            if only in (None, "postgresql"):
                ledger = f'url = "{await postgres.database()}"'
                await whole(await at("postgresql", ledger), count, problems)
            if only in (None, "stopped"):
                ledger = f'url = "{await postgres.database()}"'
                await whole(await at("postgresql, stopped", ledger), count, problems, stopped)
    finally:
        if postgres is not None:
            postgres.close()
        unmount(small)
        shutil.rmtree(folder, ignore_errors=True)
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50_000, help="exchanges of each long proof")
    names = ("sqlite", "full", "killed", "postgresql", "stopped")
    parser.add_argument("--only", choices=names)
    options = parser.parse_args()
    problems = asyncio.run(prove(options.count, options.only))
    for problem in problems:
        print(f"WRONG  {problem}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
