"""What an operator does to a gateway, and what befalls it, under load: `just battery`.

Each row is one thing that happens, to gateways of its own as processes of their own. It prints a table: row,
method, result. `--only WORDS` runs the rows whose names hold one of them.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import orjson

from llmitm.demo.provider import Provider
from support.gateway import BIN, Gateway
from support.storm import PROVIDERS, request_in, text_in

_START_S: Final = 120
"""However busy the machine is, a gateway has begun by then."""
HEARD: Final = "The demo provider heard you say: {}"


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    method: str
    run: Callable[[Bench], Awaitable[str]]
    """Returns figures. Raises AssertionError where it does not hold."""


@dataclass(slots=True)
class Bench:
    """What a row works on: a folder of its own, and a provider."""

    folder: Path
    provider: Provider

    @asynccontextmanager
    async def gateway(self, config: str, name: str = "one", **options: Any) -> AsyncIterator[Gateway]:
        """`config` names {url}, the provider's. It is stopped at the end, if it runs then."""
        made = await asyncio.to_thread(self.started, config, name, **options)
        try:
            yield made
        finally:
            if made.process.poll() is None:
                await asyncio.to_thread(made.stop)

    def started(self, config: str, name: str = "one", **options: Any) -> Gateway:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        config = config.replace("{url}", self.provider.url)
        if "[log]" not in config:
            return Gateway(config, folder, host="serve", **options).start(_START_S)
        with socket.create_server(("127.0.0.1", 0)) as free:  # its log does not say here where it listens
            port = free.getsockname()[1]
        made = Gateway(config.replace("port = 0", f"port = {port}"), folder, host="serve", **options)
        made.port, made.url = port, f"http://127.0.0.1:{port}"
        until_s = time.monotonic() + _START_S
        while time.monotonic() < until_s:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return made
            except ConnectionRefusedError:
                time.sleep(0.05)
        made.stop()
        raise AssertionError(f"it does not listen: {made.output()}")


def rows_of(folder: Path) -> int:
    """Exchanges in the ledger that lies there."""
    words = [BIN / "llmitm", "usage", "--by", "endpoint", "--json", "-c", str(folder / "config.toml")]
    asked = subprocess.run(words, capture_output=True, check=True)
    return int(orjson.loads(asked.stdout)["total"]["requests"])


def config_of(fault: str = "", more: str = "", headers: str = "", server: str = "") -> str:
    """One endpoint over a provider of each dialect; `fault` is what each of their answers does."""
    lines = ["[server]", "port = 0", server, "[endpoints.all]", 'kind = "gateway"']
    told = [f'x-demo-fault = "{fault}"'] if fault else []
    told += [headers] if headers else []
    for name, (dialect, model, path) in PROVIDERS.items():
        lines += [
            f"[providers.{name}]",
            f'format = "{dialect}"',
            f'base_url = "{{url}}{path}"',
            f'models = ["{model}"]',
            f'api_keys = ["sk-{name}-canary"]',
            f"headers = {{{', '.join(told)}}}",
        ]
    return "\n".join([*lines, more])


@dataclass(slots=True)
class Load:
    """Clients that ask without a pause until the block ends. Every answer is held against its question."""

    url: Callable[[], str]
    clients: int = 16
    tls: ssl.SSLContext | None = None
    is_fresh: bool = True
    """A connection of its own for each request."""
    right: int = 0
    wrong: list[str] = field(default_factory=list)
    worst_s: float = 0
    dialects: Sequence[str] = tuple(PROVIDERS)
    headers: Mapping[str, str] = field(default_factory=dict)
    _is_over: bool = False
    _running: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._running = [asyncio.create_task(self._client(number)) for number in range(self.clients)]
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._running)

    def end(self) -> None:
        """What is under way is the last."""
        self._is_over = True

    async def more(self, count: int) -> None:
        """Waits until so many more were answered."""
        wanted = self.right + len(self.wrong) + count
        while self.right + len(self.wrong) < wanted:
            await asyncio.sleep(0.01)

    async def _client(self, client: int) -> None:
        connector = aiohttp.TCPConnector(limit=0, force_close=self.is_fresh, ssl=self.tls or True)
        async with aiohttp.ClientSession(connector=connector, headers=self.headers) as session:
            number = 0
            while not self._is_over:
                number += 1
                began_s = time.monotonic()
                dialect = self.dialects[(client + number) % len(self.dialects)]
                problem = await ask(
                    session, self.url(), dialect, f"{client} {number}", is_stream=number % 2 == 0
                )
                self.worst_s = max(self.worst_s, time.monotonic() - began_s)
                if problem is None:
                    self.right += 1
                else:
                    self.wrong.append(problem)

    def check(self) -> str:
        assert not self.wrong, f"{len(self.wrong)} of {self.right + len(self.wrong)} wrong: {self.wrong[0]}"
        return f"{self.right} requests, all right, the slowest {self.worst_s:.1f} s"


async def ask(
    session: aiohttp.ClientSession, url: str, dialect: str, said: str, *, is_stream: bool, model: str = ""
) -> str | None:
    """What is wrong with the answer; None: nothing is."""
    path, body = request_in(dialect, model or PROVIDERS[dialect][1], said, is_stream)
    try:
        async with session.post(f"{url}/all{path}", json=body) as answer:
            content = await answer.read()
    except (aiohttp.ClientError, OSError) as error:
        return f"{dialect}: {type(error).__name__}: {error}"
    if answer.status == 200 and whole_text(dialect, content, is_stream) == HEARD.format(said):
        return None
    return f"{dialect}, stream {is_stream}: {answer.status} {content[-300:]!r}"


def whole_text(dialect: str, content: bytes, is_stream: bool) -> str | None:
    """What was said; None where the answer is not whole."""
    try:
        return text_in(dialect, content, is_stream)
    except (LookupError, TypeError, ValueError):
        return None


class Lines:
    """Of what a gateway prints, those that are looked for; each line is looked at once."""

    def __init__(self, gateway: Gateway, *wanted: str) -> None:
        self._gateway = gateway
        self._at = 0
        self._wanted = wanted
        self.found: Counter[str] = Counter()

    def look(self) -> None:
        fresh = self._gateway.lines_from(self._at)
        self._at += len(fresh)
        for line in fresh:
            self.found.update(one for one in self._wanted if one in line)

    async def wait(self, count: int, timeout_s: float = 20) -> None:
        """Until so many were found in all."""
        until_s = time.monotonic() + timeout_s
        while self.look() or self.found.total() < count:
            assert time.monotonic() < until_s, f"{self.found}, of {count}; {self._gateway.output()[-2000:]}"
            await asyncio.sleep(0.01)


async def run(rows: Sequence[Row]) -> int:
    failed = 0
    print(f"{'row':34} | {'method':70} | result\n{'-' * 34} | {'-' * 70} | {'-' * 30}", flush=True)
    for row in rows:
        began_s = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="llmitm-battery-") as folder:
            async with Provider(requests_kept=1_000_000) as provider:
                try:
                    told = await row.run(Bench(Path(folder), provider))
                except (AssertionError, TimeoutError) as error:
                    failed += not str(error).startswith("not run")
                    told = f"WRONG: {error!r}" if not str(error).startswith("not run") else str(error)
        took_s = time.monotonic() - began_s
        print(f"{row.name:34} | {row.method:70} | {told} ({took_s:.0f} s)", flush=True)
    return 1 if failed else 0


def main() -> int:
    from support import battery_books, battery_faults, battery_operations, battery_shared, battery_state

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--only", nargs="*", default=[""], help="words of names of rows")
    only = parser.parse_args().only
    rows = (
        *battery_operations.ROWS,
        *battery_state.ROWS,
        *battery_shared.ROWS,
        *battery_books.ROWS,
        *battery_faults.ROWS,
    )
    return asyncio.run(run([row for row in rows if any(word in row.name for word in only)]))


if __name__ == "__main__":
    sys.exit(main())
