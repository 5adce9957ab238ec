"""Rows of the battery: what an operator does."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiohttp

from support.authorities import Authority
from support.battery import PROVIDERS, Bench, Lines, Load, Row, config_of, request_in, rows_of, whole_text
from support.gateway import Gateway

STREAMS: Final = 500
SAID: Final = "one two three four five six"
_AT_ONCE: Final = 200
"""Streams that may have begun without having brought anything."""


class Streams:
    """Many streams at once, each read to its end."""

    def __init__(self, url: str, count: int, said: str = SAID) -> None:
        self._url = url
        self._said = said
        self._count = count
        self.begun = self.whole = self.told = 0
        self.cut: list[str] = []
        """Ends of those that broke off without a word."""
        self._running: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Until each has brought something."""
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=400))
        async with asyncio.timeout(150):
            for number in range(self._count):
                self._running.append(asyncio.create_task(self._one(number)))
                while self.begun < number - _AT_ONCE:  # the provider is in this process, too
                    await asyncio.sleep(0.02)
            while self.begun < self._count:
                await asyncio.sleep(0.02)

    async def end(self) -> None:
        await asyncio.gather(*self._running)
        await self._session.close()

    async def _one(self, number: int) -> None:
        dialect = list(PROVIDERS)[number % len(PROVIDERS)]
        path, body = request_in(dialect, PROVIDERS[dialect][1], self._said, True)
        content = b""
        try:
            async with self._session.post(f"{self._url}/all{path}", json=body) as answer:
                async for piece in answer.content.iter_any():
                    self.begun += not content
                    content += piece
        except (aiohttp.ClientError, OSError):
            pass
        if whole_text(dialect, content, True) is not None:
            self.whole += 1
        elif b"shutting" in content:
            self.told += 1
        else:
            self.cut.append(f"{dialect}: {content[-200:]!r}")


async def _ended(gateway: Gateway, timeout_s: float) -> int:
    return await asyncio.to_thread(gateway.process.wait, timeout_s)


async def _refused_after_s(port: int, began_s: float) -> float:
    """When new connections are no longer taken."""
    while True:
        with suppress(ConnectionResetError):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.transport.abort()
            except ConnectionRefusedError:
                return time.monotonic() - began_s
        await asyncio.sleep(0.002)


async def _unready_after_s(
    port: int, began_s: float, asked: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> float:
    """When a connection that is open is told that the gateway is not ready."""
    reader, writer = asked
    while True:
        writer.write(b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 503 " in head:
            writer.transport.abort()
            return time.monotonic() - began_s
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        await asyncio.sleep(0.002)


async def drain(bench: Bench) -> str:
    async with bench.gateway(
        config_of("pace:2500", "[timeouts]\nconnect_s = 60", server="shutdown_timeout_s = 200")
    ) as gateway:
        streams = Streams(gateway.url, STREAMS, " ".join([SAID] * 6))
        await streams.begin()
        at_once = STREAMS - streams.whole
        watching = await asyncio.open_connection("127.0.0.1", gateway.port)
        began_s = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        unready_s, refused_s = await asyncio.gather(
            _unready_after_s(gateway.port, began_s, watching), _refused_after_s(gateway.port, began_s)
        )
        await streams.end()
        last_s = time.monotonic() - began_s
        status = await _ended(gateway, 20)
        took_s = time.monotonic() - began_s
    rows = await asyncio.to_thread(rows_of, gateway.folder)
    assert streams.whole == STREAMS, f"{streams.whole} whole, {streams.told} told, cut {streams.cut[:1]}"
    assert at_once > STREAMS * 0.9, f"only {at_once} were under way"
    assert (status, rows) == (0, STREAMS), f"status {status}, {rows} rows"
    assert took_s < last_s + 5, f"it took {took_s - last_s:.1f} s to end after the last stream"
    return (
        f"{at_once} under way, all {STREAMS} whole; not ready after {unready_s * 1000:.0f} ms, connections "
        f"refused after {refused_s * 1000:.0f} ms; status 0 {took_s - last_s:.1f} s after "
        f"the last; {rows} rows"
    )


async def deadline(bench: Bench) -> str:
    async with bench.gateway(
        config_of("pace:1000", "[timeouts]\nconnect_s = 60", server="shutdown_timeout_s = 1")
    ) as gateway:
        streams = Streams(gateway.url, 100)
        await streams.begin()
        began_s = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        status = await _ended(gateway, 20)
        took_s = time.monotonic() - began_s
        await streams.end()
    rows = await asyncio.to_thread(rows_of, gateway.folder)
    told = f"{streams.told} told in an event, {len(streams.cut)} cut, {streams.whole} whole; {rows} rows"
    assert (streams.told, rows) == (100, 100) and took_s < 3, f"{told}, {took_s:.1f} s, {streams.cut[:1]}"
    return f"{told}; status {status} after {took_s:.1f} s"


async def second_signal(bench: Bench) -> str:
    async with bench.gateway(config_of("pace:1000", server="shutdown_timeout_s = 60")) as gateway:
        streams = Streams(gateway.url, 50)
        await streams.begin()
        gateway.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(gateway.wait_for, "stopping: 50 in flight")
        began_s = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        status = await _ended(gateway, 20)
        took_s = time.monotonic() - began_s
        await streams.end()
    rows = await asyncio.to_thread(rows_of, gateway.folder)
    told = f"{streams.told} of 50 told in an event, {rows} rows"
    assert (streams.told, rows) == (50, 50) and took_s < 2, f"{told}, {took_s:.1f} s, {streams.cut[:1]}"
    return f"{told}; status {status}, {took_s:.1f} s after the second"


_BROKEN: Final = (
    "[server\n",
    "{good}\n[server]\nport = 1",
    "{good}\n[nonsense]\na = 1",
    '{good}\n[endpoints.x]\nprovider = "nobody"\nkind = "forward"',
    '{good}\n[providers.x]\napi_keys = ["env:NO_SUCH_VARIABLE"]\nbase_url = "http://127.0.0.1:1"',
    '{good}\n[providers.x]\napi_keys = [""]\nbase_url = "http://127.0.0.1:1"',
    '{good}\n[timeouts]\nconnect_s = "soon"',
    "",
    "\x00\xff",
    "x" * 10_000_000,
    "{good}\n[log]\nrotate = 7",
    "{half}",
    None,
)
"""Contents that no gateway can use; None: the file is gone."""


def _contents(count_good: int, count_broken: int) -> Iterator[tuple[str | None, int | None]]:
    """Contents, with the number of those that are good."""
    broken = 0
    for number in range(1, count_good + 1):
        good = config_of(headers=f'x-a = "{number}", x-b = "{number}"')
        if number % 2 and broken < count_broken:
            text = _BROKEN[broken % len(_BROKEN)]
            broken += 1
            whole = text and text.replace("{good}", good).replace("{half}", good[: len(good) // 2] + '"')
            yield whole, None
        yield good, number


async def reload(bench: Bench) -> str:
    goods, broken = 100, 0
    first = config_of(headers='x-a = "0", x-b = "0"')
    async with bench.gateway(first) as gateway:
        said = Lines(gateway, "configuration read from", "the one in force stays as it is")
        async with Load(lambda: gateway.url, clients=8, is_fresh=False) as load:
            await load.more(10)
            for content, number in _contents(goods, 50):
                before = said.found.total()
                _put(
                    gateway.config_path, content, bench.provider.url, is_in_place=bool(number and number % 3)
                )
                await said.wait(before + 1)
                broken += number is None
                if number is None:
                    await load.more(5)
            await load.more(20)
    held = [(one.text(b"x-a"), one.text(b"x-b")) for one in bench.provider.requests]
    mixed = [pair for pair in held if pair[0] != pair[1]]
    seen = len({pair[0] for pair in held})
    figures = load.check()
    assert not mixed, f"{len(mixed)} requests of two configurations: {mixed[0]}"
    assert held[-1][0] == f"{goods}", f"the last request was of configuration {held[-1][0]}"
    return f"{goods} good, {broken} broken; {figures}, of {seen} configurations, none of two; the last counts"


def _put(path: Path, content: str | None, url: str, *, is_in_place: bool) -> None:
    """As an editor does, or written over the old one in two pieces."""
    if content is None:
        path.unlink()
        return
    data = content.replace("{url}", url).encode("latin-1")
    if is_in_place:
        with path.open("wb", buffering=0) as file:
            file.write(data[: len(data) // 2])
            file.write(data[len(data) // 2 :])
        return
    fresh = path.with_name("fresh")
    fresh.write_bytes(data)
    os.replace(fresh, path)


async def certificates(bench: Bench) -> str:
    folder = bench.folder / "one"
    folder.mkdir()
    authority = Authority(bench.folder)
    trusting = ssl.create_default_context(cafile=authority.ca)
    trusting.verify_flags &= ~ssl.VERIFY_X509_STRICT
    _show(authority.pair("pair0"), folder)
    server = 'tls_cert = "cert.pem"\ntls_key = "key.pem"'
    shown, kinds = 0, ("good", "mismatched", "good", "garbage", "good", "expired", "good", "gone", "good")
    async with bench.gateway(config_of(server=server)) as gateway:
        good = Lines(gateway, "certificate renewed from")
        bad = Lines(gateway, "the old one stays")
        async with Load(lambda: gateway.url, clients=8, tls=trusting) as load:
            for number, kind in enumerate(kinds, 1):
                match kind:
                    case "good":
                        _show(authority.pair(f"pair{number}"), folder)
                        shown = number
                        await good.wait(good.found.total() + 1)
                    case "mismatched":
                        _show(authority.pair(f"pair{number}"), folder, with_key=False)
                    case "garbage":
                        (folder / "cert.pem").write_text("no certificate")
                    case "expired":
                        _show(authority.pair(f"pair{number}", days=-1), folder)
                    case "gone":
                        (folder / "key.pem").unlink()
                if kind != "good":
                    await bad.wait(bad.found.total() + 1)
                await load.more(30)
                name = await asyncio.to_thread(_name_shown, gateway.port, trusting)
                assert name == f"pair{shown}", f"{kind}: {name} is shown, not pair{shown}"
    goods = kinds.count("good")
    return f"{goods} good, {len(kinds) - goods} bad: {load.check()}; the last good one is shown"


def _show(pair: Path, folder: Path, *, with_key: bool = True) -> None:
    certificate, _, key = pair.read_text().partition("-----BEGIN PRIVATE KEY")
    (folder / "cert.pem").write_text(certificate)
    if with_key:
        (folder / "key.pem").write_text("-----BEGIN PRIVATE KEY" + key)


def _name_shown(port: int, trusting: ssl.SSLContext) -> str:
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        found = wrapped.getpeercert()
    assert found is not None
    return str(dict(pair for group in found["subject"] for pair in group)["commonName"])  # type: ignore[misc, arg-type]


class Balancer:
    """The simplest there is: each new connection goes to the next gateway that takes it."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self._turn = 0

    async def __aenter__(self) -> Balancer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(4 * len(self.ports)):
            self._turn += 1
            try:
                port = self.ports[self._turn % len(self.ports)]
                there, theirs = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            await asyncio.gather(_pump(reader, theirs), _pump(there, writer))
            return
        writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    writer.close()


async def rolling(bench: Bench) -> str:
    config, restarts = config_of("pace:20"), 0
    gateways = [await asyncio.to_thread(bench.started, config, name) for name in ("one", "other")]
    try:
        async with Balancer([one.port for one in gateways]) as balancer:
            async with Load(lambda: balancer.url, clients=24) as load:
                for _ in range(3):
                    for at, one in enumerate(gateways):
                        await load.more(100)
                        status = await asyncio.to_thread(one.stop)
                        assert status == 0, f"status {status}"
                        again = config.replace("port = 0", f"port = {one.port}")
                        gateways[at] = await asyncio.to_thread(bench.started, again, one.folder.name)
                        restarts += 1
            figures = load.check()
    finally:
        for one in gateways:
            await asyncio.to_thread(one.stop)
    rows = sum([await asyncio.to_thread(rows_of, one.folder) for one in gateways])
    assert rows == load.right, f"{rows} rows of {load.right} requests"
    return f"{restarts} restarts; {figures}, {rows} rows"


ROWS: Final = (
    Row("drain", f"SIGTERM with {STREAMS} streams of four dialects under way", drain),
    Row("drain: deadline", "SIGTERM with 100 streams that last longer than shutdown_timeout_s", deadline),
    Row("drain: second signal", "SIGTERM twice with 50 streams under way", second_signal),
    Row(
        "reload", "100 good and 50 broken configurations, replaced, written over and gone, under load", reload
    ),
    Row(
        "certificates",
        "5 good pairs, 4 bad ones (mismatched, garbage, expired, gone), new connections",
        certificates,
    ),
    Row(
        "rolling restart",
        "two gateways, each restarted three times, behind a balancer of connections",
        rolling,
    ),
)
