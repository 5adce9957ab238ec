"""WebSockets on the client's side: mitmproxy relays and shows the messages, within the bounds of a gateway.

The journey is its upstream: what mitmproxy would send to a server goes up as the request's body, what the
journey yields after status 101 is read as if it came from a server. So a message can be watched, paused,
edited and dropped as in any flow of mitmproxy's. Here are the parts that a gateway needs beside: messages
have a size, those that were relayed are forgotten some time, and secrets in them are shown masked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mitmproxy import http
from mitmproxy.proxy import events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import HttpStream, RequestEndOfMessage, ResponseEndOfMessage
from mitmproxy.proxy.layers.http import ResponseProtocolError as Broken
from mitmproxy.proxy.layers.websocket import WebsocketConnection, WebsocketLayer, WebsocketMessageHook
from mitmproxy.websocket import WebSocketMessage
from wsproto import ConnectionType
from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from llmitm.edge import masks
from llmitm.edge.legs import SHOWN_BYTES
from llmitm.secret import Redactor
from llmitm.send.frames import KEPT_BYTES


def on_kill(live: http.HTTPFlow, tell: Callable[[], None]) -> None:
    """Has somebody told when a flow is killed: stock mitmproxy looks only when a message goes by."""
    stock_kill = live.kill

    def kill() -> None:
        stock_kill()
        tell()

    live.kill = kill  # type: ignore[method-assign]


def is_handshake(request: http.Request) -> bool:
    """Whether a request asks to switch to WebSocket; HTTP/2 has another way, which is not served."""
    data = request.data
    return (
        data.method == b"GET"
        and data.http_version == b"HTTP/1.1"
        and request.headers.get("upgrade", "").lower() == "websocket"
    )


class SizeLimit(Extension):
    """Ends a connection with 1009 where a message is too large; without it, it would be kept whole first."""

    name = "llmitm-size-limit"

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._past_bytes = 0
        """Of the message, before the frame that goes on."""
        self._frame_bytes = 0
        self._is_control = False

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        # a head that has come in part is asked for again: nothing is added up here
        self._is_control = opcode.iscontrol()
        self._frame_bytes = payload_length
        if not self._is_control and self._past_bytes + payload_length > self._limit_bytes:
            return CloseReason.MESSAGE_TOO_BIG
        return RsvBits(False, False, False)

    def frame_inbound_complete(
        self, proto: FrameDecoder | FrameProtocol, fin: bool
    ) -> bytes | CloseReason | None:
        if not self._is_control:
            self._past_bytes = 0 if fin else self._past_bytes + self._frame_bytes
        return None


class _Growing(list[Any]):
    """Frames of a message that grow in place: mitmproxy adds each piece that comes to the last one,
    which would copy all of a long one every time."""

    def append(self, frame: Any) -> None:
        super().append(bytearray(frame))


class Connection(WebsocketConnection):
    """One side of the relay."""

    @property
    def frame_buf(self) -> list[bytes]:
        return self._frames

    @frame_buf.setter
    def frame_buf(self, frames: list[bytes]) -> None:
        self._frames = _Growing(bytearray(frame) for frame in frames)


@dataclass(slots=True)
class _Shown:
    """A message that hooks see masked."""

    message: WebSocketMessage
    real: bytes
    hidden: masks.HiddenBody | None
    """None: it is shown as it is."""


class SocketStream(HttpStream):
    """A stream that may become a WebSocket."""

    is_dropped = False
    """The client's connection ended without a close."""
    _hidden: _Shown | None = None
    _kept_bytes = 0

    def bounds(self) -> tuple[int, Redactor | None]:
        """How large a message may be, and what it is masked with; None where nobody sees it."""
        raise NotImplementedError

    @property
    def is_held(self) -> bool:
        """Whether a hook runs on a message, or somebody holds it."""
        return self.child_layer is not None and self.child_layer._paused is not None

    def flow_done(self) -> CommandGenerator[None]:
        yield from super().flow_done()
        relay = self.child_layer
        if isinstance(relay, WebsocketLayer):
            limit_bytes, _ = self.bounds()
            relay.client_ws = Connection(
                ConnectionType.SERVER, [SizeLimit(limit_bytes)], conn=self.context.client
            )
            relay.server_ws = Connection(
                ConnectionType.CLIENT, [SizeLimit(limit_bytes)], conn=self.context.server
            )

    def passthrough(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, Broken):
            event = ResponseEndOfMessage(event.stream_id)
        elif isinstance(event, RequestEndOfMessage):
            self.is_dropped = True
        elif isinstance(event, events.HookCompleted) and isinstance(event.command, WebsocketMessageHook):
            self._unmask()
        for command in super().passthrough(event):
            if isinstance(command, WebsocketMessageHook):
                self._settle()
                self._mask()
            yield command
        if not self.is_held:
            self._settle()

    def _mask(self) -> None:
        """Before hooks see the latest message."""
        assert self.flow.websocket is not None
        message, (_, redact) = self.flow.websocket.messages[-1], self.bounds()
        real = message.content
        hidden = None if redact is None else _hidden(real, redact)
        self._hidden = _Shown(message, real, hidden)
        if hidden is not None:
            message.content = hidden.shown

    def _unmask(self) -> None:
        """Before it is sent; what somebody edited is sent as edited."""
        known = self._hidden
        if known is not None and known.hidden is not None:
            known.message.content = known.hidden.restored(known.message.content)

    def _settle(self) -> None:
        """It was sent: it is shown masked from now on, for as long as there is room."""
        known, self._hidden = self._hidden, None
        if known is None or self.flow.websocket is None:
            return
        message, (_, redact) = known.message, self.bounds()
        if redact is not None and message.content != known.real:  # somebody edited it
            known.hidden = _hidden(message.content, redact)
        if known.hidden is not None:
            message.content = known.hidden.shown
        messages = self.flow.websocket.messages
        if redact is None:
            messages[:] = [one for one in messages if one is not message]  # the next may be there already
            return
        self._kept_bytes += len(message.content)
        while self._kept_bytes > SHOWN_BYTES and len(messages) > 1:
            self._kept_bytes -= len(messages.pop(0).content)
            self.flow.metadata["llmitm.is_cut"] = True


def _hidden(content: bytes, redact: Redactor) -> masks.HiddenBody | None:
    """None where nothing has to be hidden."""
    if len(content) > KEPT_BYTES:
        shown = b"(a message of %d bytes, which is too long to be shown)" % len(content)
        return masks.HiddenBody(shown, content, ())
    return masks.HiddenBody.of(content, (), redact)
