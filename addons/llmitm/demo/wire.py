"""Writes one answer to a connection, with a framing that can be broken on purpose."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from http import HTTPStatus

from aiohttp import HttpVersion11, web

_NO_LINGER = struct.pack("ii", 1, 0)


class Sent(web.StreamResponse):
    """Tells aiohttp, which parses the requests here, that the answer is on the wire already."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._keeps_alive = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._keeps_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        pass

    async def write_eof(self, data: bytes = b"") -> None:
        pass


class Wire:
    """One answer on its way. Every method raises `ConnectionError` once the client is gone."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._writer = request.writer
        self._transport = request.transport
        self._has_chunks = request.version >= HttpVersion11
        self._is_head = request.method == "HEAD"
        self._is_chunked = False
        self.keep_alive = request.keep_alive
        self.is_over = False
        """Nothing more is written: the answer is complete, or was broken off by us."""

    async def raw(self, data: bytes) -> None:
        """Writes bytes as they stand; waits while the client reads too slowly."""
        await self._writer.write(data)

    def head_bytes(
        self,
        status: int,
        headers: Iterable[tuple[str, str]],
        length: int | None,
        *,
        close_delimited: bool = False,
    ) -> bytes:
        """Status line and headers; chooses how the body is framed."""
        lines = list(headers)
        self._is_chunked = False
        if length is not None:
            lines.append(("content-length", str(length)))
        elif self._has_chunks and not close_delimited:
            self._is_chunked = True
            lines.append(("transfer-encoding", "chunked"))
        else:
            self.keep_alive = False
        if not self.keep_alive:
            lines.append(("connection", "close"))
        elif not self._has_chunks:
            lines.append(("connection", "keep-alive"))
        try:
            reason = HTTPStatus(status).phrase
        except ValueError:
            reason = "Demo"
        text = f"HTTP/1.1 {status} {reason}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines)
        return text.encode() + b"\r\n"

    async def piece(self, data: bytes) -> None:
        """A piece of the body, in one write."""
        if not data or self._is_head:
            return
        if self._is_chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        await self.raw(data)

    async def end(self, trailers: Iterable[tuple[str, str]] = ()) -> None:
        """The proper end of the body."""
        if self._is_chunked and not self._is_head:
            lines = "".join(f"{name}: {value}\r\n" for name, value in trailers)
            await self.raw(b"0\r\n" + lines.encode() + b"\r\n")
        self.is_over = True

    def cut(self) -> None:
        """Closes the connection cleanly (FIN) wherever the answer is."""
        self.is_over = True
        self.keep_alive = False
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Breaks the connection (RST)."""
        self.is_over = True
        self.keep_alive = False
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()
