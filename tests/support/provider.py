"""Talks to the demonstration provider over a bare socket, so that the wire itself can be looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Wired:
    """What came back on one connection until it ended."""

    data: bytes
    was_reset: bool

    @property
    def head(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        """As framed: chunk sizes are still in it."""
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def status(self) -> int:
        return int(self.data.split(None, 2)[1])


def request(
    path: str, data: Any = None, *, headers: Iterable[tuple[str, str]] = (), method: str | None = None
) -> bytes:
    """A request on the wire, for one connection."""
    body = b"" if data is None else orjson.dumps(data)
    lines = [f"{method or ('GET' if data is None else 'POST')} {path} HTTP/1.1", "host: demo"]
    lines += [f"{name}: {value}" for name, value in headers]
    if data is not None:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode() + body


async def wired(port: int, sent: bytes, timeout_s: float = 10.0) -> Wired:
    """Sends bytes and reads until the other side ends the connection."""
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        received = bytearray()
        was_reset = False
        try:
            writer.write(sent)
            while piece := await reader.read(65_536):
                received += piece
        except ConnectionResetError:
            was_reset = True
        writer.transport.abort()
        return Wired(data=bytes(received), was_reset=was_reset)


def chat(said: str = "hello there", **fields: Any) -> dict[str, Any]:
    """A small request to Chat Completions."""
    return {"model": "gpt-6-sol", "messages": [{"role": "user", "content": said}], **fields}
