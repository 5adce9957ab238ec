"""HTTP/2 towards clients: mitmproxy's server with real flow control and JSON errors.

The stock server opens every window to 2 GiB and acknowledges what it has not yet handed on, so one slow
side makes the whole process hold the other side's data. Here a stream's window is 1 MiB and is opened
again only as the journey takes the pieces; downloads wait while more than a bound is unsent.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import h2.errors
import h2.events
import h2.exceptions
from mitmproxy import http
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import HttpEvent, ReceiveHttp, ResponseProtocolError
from mitmproxy.proxy.layers.http._http2 import Http2Server, StreamState

from llmitm.edge import refusals

WINDOW_BYTES: Final = 1_048_576
CONNECTION_WINDOW_BYTES: Final = 16_777_216
STREAM_LIMIT: Final = 200
UNSENT_LIMIT_BYTES: Final = 1_048_576
CONNECTION_UNSENT_LIMIT_BYTES: Final = 16_777_216
"""Of all streams: once there is so much, each waits from `LITTLE_BYTES` on."""
LITTLE_BYTES: Final = 65_536
IDLE_FRAMES: Final = 1_000
"""How many frames that carry nothing on a client may send at once, and how many a second from then on."""
IDLE_FRAMES_PER_S: Final = 400
_RESET_FRAMES: Final = 4
"""For how many of them a stream counts that is taken back: a whole exchange was begun for it."""
_IDLE: Final = (
    h2.events.RemoteSettingsChanged,
    h2.events.PingReceived,
    h2.events.PingAckReceived,
    h2.events.PriorityUpdated,
    h2.events.UnknownFrameReceived,
)


@dataclass
class Credit(HttpEvent):
    """The journey took `count_bytes` of this stream's upload: its window may open by as much."""

    count_bytes: int


class GatewayHttp2Server(Http2Server):
    def __init__(
        self,
        context: Context,
        is_streamed: Callable[[int], bool],
        asked: Callable[[int], http.Request | None],
        pages: refusals.Pages,
    ) -> None:
        """`is_streamed` says whether a stream's upload is handed on while it comes, `asked` what its request
        is, once that is known."""
        super().__init__(context)
        self._asked = asked
        self._pages = pages
        self._is_streamed = is_streamed
        self._room: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)
        self._idle_frames = 0.0
        self._idle_since_s = 0.0
        self._owed: defaultdict[int, int] = defaultdict(int)
        """Bytes of streamed uploads that came and were not acknowledged yet."""
        settings = self.h2_conn.local_settings
        settings.initial_window_size = WINDOW_BYTES
        settings.max_concurrent_streams = STREAM_LIMIT
        settings.acknowledge()

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, events.Start):
            connection = self.h2_conn
            super(type(connection), connection).initiate_connection()
            connection.increment_flow_control_window(
                CONNECTION_WINDOW_BYTES - connection.inbound_flow_control_window
            )
            yield commands.SendData(self.conn, connection.data_to_send())
            return
        if isinstance(event, Credit):
            self._acknowledge(event.stream_id, event.count_bytes)
            if data := self.h2_conn.data_to_send():
                yield commands.SendData(self.conn, data)
            return
        if (
            isinstance(event, ResponseProtocolError)
            and not self.is_closed(event.stream_id)
            and self.is_open_for_us(event.stream_id)
            and not self.h2_conn.streams[event.stream_id].state_machine.headers_sent
        ):
            yield from self._refuse(event)
        else:
            yield from super()._handle_event(event)
        self._wake()

    def handle_h2_event(self, event: h2.events.Event) -> CommandGenerator[bool]:
        if self._is_flood(_idle_frames(event)):
            yield from self.protocol_error(
                "too many frames that carry nothing", h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
            )
            return True
        if (
            isinstance(event, h2.events.DataReceived)
            and self.streams.get(event.stream_id) is StreamState.HEADERS_RECEIVED
            and event.stream_id is not None
            and self._is_streamed(event.stream_id)
        ):
            if event.data:
                self._owed[event.stream_id] += len(event.data)
                yield ReceiveHttp(self.ReceiveData(event.stream_id, event.data))
            padding = (event.flow_controlled_length or 0) - len(event.data or b"")
            if padding > 0:
                self.h2_conn.acknowledge_received_data(padding, event.stream_id)
            return False
        return (yield from super().handle_h2_event(event))

    def _is_flood(self, idle_frames: int) -> bool:
        if not idle_frames:
            return False
        now_s = asyncio.get_running_loop().time()
        self._idle_frames -= min(self._idle_frames, (now_s - self._idle_since_s) * IDLE_FRAMES_PER_S)
        self._idle_since_s = now_s
        self._idle_frames += idle_frames
        return self._idle_frames > IDLE_FRAMES

    async def room(self, stream_id: int) -> None:
        """Waits while more than a bound of this stream's answer is unsent."""
        while self._is_full(stream_id):
            signal = self._room[stream_id]
            signal.clear()
            await signal.wait()

    def _is_full(self, stream_id: int) -> bool:
        unsent_bytes = self._unsent_bytes(stream_id)
        if unsent_bytes <= LITTLE_BYTES or unsent_bytes > UNSENT_LIMIT_BYTES:
            return unsent_bytes > UNSENT_LIMIT_BYTES
        return sum(map(self._unsent_bytes, self.h2_conn.stream_buffers)) > CONNECTION_UNSENT_LIMIT_BYTES

    def _unsent_bytes(self, stream_id: int) -> int:
        return sum(len(item.data) for item in self.h2_conn.stream_buffers.get(stream_id, ()))

    def forget(self, stream_id: int) -> None:
        """The stream's journey is over: what it did not take counts as taken, for the other streams' sake."""
        self._room.pop(stream_id, None)
        self._acknowledge(stream_id, self._owed.get(stream_id, 0))
        self._owed.pop(stream_id, None)

    def _acknowledge(self, stream_id: int, count_bytes: int) -> None:
        count_bytes = min(count_bytes, self._owed.get(stream_id, 0))
        if count_bytes > 0:
            self._owed[stream_id] -= count_bytes
            try:
                self.h2_conn.acknowledge_received_data(count_bytes, stream_id)
            except h2.exceptions.ProtocolError:
                pass  # the connection was closed meanwhile

    def _wake(self) -> None:
        for signal in self._room.values():
            signal.set()

    def _refuse(self, event: ResponseProtocolError) -> CommandGenerator[None]:
        status, code, message = refusals.told(event.code)
        asked = self._asked(event.stream_id)
        target, fields = (b"/", ()) if asked is None else (asked.data.path, asked.headers.fields)
        head = refusals.answer(status, code, message, target, fields, self._pages)
        self.h2_conn.send_headers(event.stream_id, [(b":status", b"%d" % status), *head.headers])
        self.h2_conn.send_data(event.stream_id, head.whole or b"", end_stream=True)
        yield commands.SendData(self.conn, self.h2_conn.data_to_send())


def _idle_frames(event: h2.events.Event) -> int:
    match event:
        case h2.events.StreamReset():
            return _RESET_FRAMES
        case h2.events.DataReceived():
            return int(not event.data and event.stream_ended is None)
        case _:
            return int(isinstance(event, _IDLE))
