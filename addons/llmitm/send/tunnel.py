"""A connection that has switched protocols: bytes both ways, on what aiohttp's parser has let go of."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

from llmitm.clock import Clock
from llmitm.errors import Failure, UpstreamFailed
from llmitm.exchange import Body, ResponseHead
from llmitm.send.frames import close_frame
from llmitm.send.headers import forwardable_response

CLOSE_S: Final = 1.0
"""How long the other side may take to close, once this one has said all."""
AHEAD_BYTES: Final = 65_536
"""An upstream is made to wait while more than this lies here unread."""
GOING_AWAY: Final = 1001

_closing: Final[set[asyncio.Task[None]]] = set()
"""The event loop alone would not keep them."""


class _Inbox:
    """What came and was not read yet: stands where aiohttp puts the parser of a WebSocket."""

    def __init__(self, protocol: ResponseHandler) -> None:
        self._protocol = protocol
        self._pieces: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._is_paused = False
        self._arrived = asyncio.Event()
        self.is_over = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        if data and not self.is_over:
            self._pieces.append(data)
            self._waiting_bytes += len(data)
            if self._waiting_bytes > AHEAD_BYTES and not self._is_paused:
                self._is_paused = True
                self._protocol.pause_reading()
            self._arrived.set()
        return False, b""

    def feed_eof(self) -> None:
        self.is_over = True
        self._arrived.set()

    async def read(self) -> bytes:
        """The next piece; empty at the end."""
        while not self._pieces:
            if self.is_over:
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        piece = b"".join(self._pieces)
        self._pieces.clear()
        self._waiting_bytes = 0
        if self._is_paused:
            self._is_paused = False
            self._protocol.resume_reading()
        return piece


class Tunnel:
    """An `exchange.UpstreamReply` of status 101. `body` is sent as it comes, beside what is read."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        protocol: ResponseHandler,
        transport: asyncio.Transport,
        body: Body,
        clock: Clock,
        host: str,
    ) -> None:
        """Raises UpstreamFailed where the upstream switched to something else."""
        if response.headers.get("Upgrade", "").lower() != "websocket" or not protocol.upgraded:
            raise UpstreamFailed(Failure.MALFORMED, f"{host}: switched to another protocol")
        self.head = ResponseHead(
            status=101,
            reason=(response.reason or "").encode("utf-8", "surrogateescape"),
            headers=(
                (b"Upgrade", b"websocket"),
                (b"Connection", b"Upgrade"),
                *forwardable_response(response.raw_headers),
            ),
        )
        self._response = response
        self._protocol = protocol
        self._transport = transport
        self._clock = clock
        self._host = host
        self._is_closed = False
        self._has_said_all = False
        self._error: Exception | None = None
        self._inbox = _Inbox(protocol)
        inbox: Any = self._inbox
        protocol.set_parser(inbox, inbox)
        self._sending = asyncio.get_running_loop().create_task(self._send(body), name="to the upstream")

    async def _send(self, body: Body) -> None:
        """Ends what is read, at the latest a little after all was sent."""
        try:
            async for piece in body.pieces():
                if self._transport.is_closing():
                    break
                self._transport.write(piece)
                await self._protocol._drain_helper()
            self._has_said_all = True
            await self._clock.sleep(CLOSE_S)
        except (OSError, aiohttp.ClientError):
            pass  # the connection is gone, as who reads will find
        except Exception as error:
            self._error = error
        self._inbox.feed_eof()

    async def read(self) -> bytes | None:
        """See `exchange.UpstreamReply`; also raises what the client's side raised."""
        piece = await self._inbox.read()
        if not piece and self._error is not None:
            raise self._error
        return piece

    async def close(self) -> None:
        """In good order where there is time: what was said is sent, and that the client is going."""
        if self._is_closed:
            return
        self._is_closed = True
        self._sending.cancel()
        if not self._has_said_all and not self._transport.is_closing():
            self._transport.write(close_frame(GOING_AWAY, "", is_clients=True))
        self._response.close()  # what was written is sent before the connection ends
        task = asyncio.get_running_loop().create_task(self._abort(), name="closing a tunnel")
        _closing.add(task)
        task.add_done_callback(_closing.discard)

    async def _abort(self) -> None:
        """An upstream that does not read would keep the connection for ever."""
        await self._clock.sleep(CLOSE_S)
        self._transport.abort()
