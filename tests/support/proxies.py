"""Outbound proxies for tests: HTTP (CONNECT and absolute form) and SOCKS5, with or without credentials."""

from __future__ import annotations

import asyncio
import base64
import ssl
import struct
from types import TracebackType


class TestProxy:
    """A proxy on loopback. `seen` lists what it was asked for, as `CONNECT host:port` and the like."""

    __test__ = False

    def __init__(self, kind: str, *, user: str | None = None, password: str = "") -> None:
        self.kind = kind
        self.user = user
        self.password = password
        self.seen: list[str] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> TestProxy:
        serve = self._socks if self.kind == "socks5" else self._http
        self._server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            return
        first = head.split(b"\r\n")[0].decode()
        method, target, _ = first.split(" ")
        self.seen.append(f"{method} {target}")
        if self.user is not None:
            wanted = b"Basic " + base64.b64encode(f"{self.user}:{self.password}".encode())
            if wanted not in head:
                writer.write(b"HTTP/1.1 407 Authenticate\r\ncontent-length: 0\r\n\r\n")
                writer.close()
                return
        if method == "CONNECT":
            host, port = target.rsplit(":", 1)
            upstream = await asyncio.open_connection(host.strip("[]"), int(port))
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            host, port = target.split("/")[2].rsplit(":", 1)
            upstream = await asyncio.open_connection(host, int(port))
            path = "/" + target.split("/", 3)[3]
            lines = [line for line in head.split(b"\r\n")[1:] if not line.lower().startswith(b"proxy-")]
            upstream[1].write(f"{method} {path} HTTP/1.1\r\n".encode() + b"\r\n".join(lines))
        self._join(reader, writer, *upstream)

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        await reader.readexactly(count)
        if self.user is not None:
            writer.write(b"\x05\x02")
            _, length = await reader.readexactly(2)
            user = await reader.readexactly(length)
            password = await reader.readexactly((await reader.readexactly(1))[0])
            fine = (user.decode(), password.decode()) == (self.user, self.password)
            writer.write(b"\x01\x00" if fine else b"\x01\x01")
            if not fine:
                writer.close()
                return
        else:
            writer.write(b"\x05\x00")
        _, _, _, kind = await reader.readexactly(4)
        if kind == 1:
            host = ".".join(map(str, await reader.readexactly(4)))
        else:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        (port,) = struct.unpack(">H", await reader.readexactly(2))
        self.seen.append(f"SOCKS {host}:{port}")
        upstream = await asyncio.open_connection(host, port)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        self._join(reader, writer, *upstream)

    def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        for source, sink in ((reader, up_writer), (up_reader, writer)):
            task = asyncio.get_running_loop().create_task(_pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while piece := await source.read(65_536):
            sink.write(piece)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()


def trusting(certificate: bytes) -> ssl.SSLContext:
    """A client context that trusts this certificate alone."""
    return ssl.create_default_context(cadata=certificate.decode())
