"""The seam: mitmproxy's HTTP layer with journeys where it would put upstream connections.

mitmproxy parses the client's side and runs the hooks of the client leg. Where it asks for a connection
to the upstream, it gets a `JourneyConnection`, which starts a task for each request, feeds it the body,
and pushes the answer back through the connection handler as events. Nothing here connects anywhere.

Every entry point catches everything: an exception that escaped would leave the client hanging.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from mitmproxy import flow, http
from mitmproxy.connection import ConnectionState, Server
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import (
    ErrorCode,
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpConnection,
    HttpErrorHook,
    HttpEvent,
    HttpLayer,
    HTTPMode,
    HttpRequestHook,
    HttpResponseHeadersHook,
    HttpResponseHook,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    SendHttp,
)
from mitmproxy.proxy.server import ConnectionHandler, ConnectionIO

from llmitm.edge import masks
from llmitm.edge.heads import HeadLate, HeadTimer
from llmitm.edge.host import Host
from llmitm.edge.http1 import GatewayHttp1Server
from llmitm.edge.http2 import Credit, GatewayHttp2Server
from llmitm.edge.sockets import SocketStream, is_handshake, on_kill
from llmitm.edge.upload import AHEAD_BYTES, Upload
from llmitm.errors import ClientGone, Failure, Refused, UpstreamFailed
from llmitm.exchange import ClientRequest, ResponseHead
from llmitm.secret import Redactor
from llmitm.send.frames import close_frame
from llmitm.trip.live import FAILED

log = logging.getLogger("llmitm")

LINGER_S: Final = 10.0
"""How long a client may go on sending a body that was answered before its end."""
VIRTUAL_ADDRESS: Final = ("llmitm.invalid", 0)


@dataclass
class Pushed(events.Event):
    """Parts of an answer on their way from a journey to the client's stream."""

    stream_id: int
    parts: tuple[HttpEvent, ...]


class _Left(Exception):
    """There is nobody to push to any more."""


class Trip:
    """One exchange on its way through the layer: the task, its upload, and the pushing of its answer."""

    def __init__(self, layer: GatewayLayer, stream: GatewayStream, request: http.Request) -> None:
        self.layer = layer
        self.stream = stream
        self.stream_id = stream.stream_id
        self.request = request
        self.upload: Upload
        self.task: asyncio.Task[None] | None = None
        self.is_handshake = is_handshake(request)
        self._is_head_sent = False
        self._is_switched = False
        self._kills: set[asyncio.Task[None]] = set()

    def start(self, upload: Upload) -> None:
        self.upload = upload
        handler = self.layer.handler
        http2 = self.layer.http2
        if http2 is not None and upload.held is None:
            upload.on_taken = self._give_credit
        task = asyncio.get_running_loop().create_task(self._run(), name=f"journey {self.stream_id}")
        self.task = task
        if not task.done():
            # HTTP/2 streams share one connection: their back-pressure is flow control, never the reading.
            gate: Any = upload if http2 is None else None
            handler.transports[self] = ConnectionIO(handler=task, writer=gate)  # type: ignore[index]
        task.add_done_callback(self._over)

    def cancel(self) -> None:
        self.upload.fail(ClientGone())
        if self.task is not None:
            self.task.cancel("client left")

    def leave(self) -> None:
        """The session has come to its end on the client's side: what is left to say to the upstream is said
        whether or not the client's connection is still there."""
        self.upload.end()
        self._outlive_connection()

    def _outlive_connection(self) -> None:
        """The end of the client's connection does not cancel the journey from now on."""
        self.layer.handler.transports.pop(self, None)  # type: ignore[call-overload]

    def _over(self, task: asyncio.Task[None]) -> None:
        handler, layer = self.layer.handler, self.layer
        handler.transports.pop(self, None)  # type: ignore[call-overload]
        self.upload.fail(ClientGone())
        layer.trips.pop(self.stream_id, None)
        if layer.http2 is not None:
            layer.http2.forget(self.stream_id)
        stream = self.stream
        if stream.state_errored in (stream.client_state, stream.server_state):
            layer.streams.pop(self.stream_id, None)
        elif not self.upload.is_over and layer.http2 is None:
            # Answered before the end of its body: HTTP/1 cannot go on until the client has sent it all.
            asyncio.get_running_loop().call_later(LINGER_S, self._close_lingering)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a journey's task broke", exc_info=error)

    def _close_lingering(self) -> None:
        io = self.layer.handler.transports.get(self.layer.context.client)
        if not self.upload.is_over and io is not None and io.handler is not None:
            io.handler.cancel("request body not sent in time")

    async def _give_credit(self, count_bytes: int, is_empty: bool) -> None:
        self.upload.taken_bytes += count_bytes
        if is_empty or self.upload.taken_bytes >= AHEAD_BYTES:
            taken, self.upload.taken_bytes = self.upload.taken_bytes, 0
            await self.layer.handler.server_event(Pushed(self.stream_id, (Credit(self.stream_id, taken),)))

    async def _run(self) -> None:
        with self.layer.handler.timeout_watchdog.disarm():
            try:
                await self._answer()
            except _Left:
                pass
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                # nobody cancelled us: an addon's hook raised it, and the client still waits
                await self._break_off("The gateway failed.")
            except UpstreamFailed as error:
                await self._break_off(error.message)
            except Exception:
                # The outermost door. Nothing was sent upstream that the journey did not decide to send.
                log.exception("exchange broke inside the gateway")
                await self._break_off("The gateway failed.")

    async def _answer(self) -> None:
        async with aclosing(self.layer.host.carry(self._client_request(), self.stream.flow)) as steps:  # type: ignore[type-var]
            async for step in steps:
                if isinstance(step, ResponseHead):
                    if self.is_handshake:
                        await self._switch(step)
                    if self._is_switched:
                        continue
                    if step.whole is not None:
                        await self._push_whole(step, step.whole)
                        # the generator runs on to its own end: it has books to write
                    else:
                        await self._push_head(step)
                elif step:
                    await self._push(ResponseData(self.stream_id, step))
                    await self._drain()
                    if self._is_killed():
                        raise UpstreamFailed(Failure.KILLED)
        if self._is_head_sent:
            await self._push(ResponseEndOfMessage(self.stream_id), last=True)

    def _client_request(self) -> ClientRequest:
        request = self.request.data
        headers, target = masks.restore(request.headers.fields, request.path, self.stream.vault)
        self.layer.host.keep_vault(self.stream.flow, self.stream.vault)
        client = self.layer.context.client
        return ClientRequest(
            id=self.stream.flow.metadata.get("llmitm.exchange") or self.layer.host.next_id(),
            method=request.method.decode("ascii", "replace"),
            target=target,
            headers=headers,
            body=self.upload,
            client=client.peername[0] if client.peername else "",
            scheme="https" if client.tls else "http",
            http_version=request.http_version.decode("ascii", "replace"),
        )

    def _response(self, head: ResponseHead) -> http.Response:
        now_s = time.time()
        version = self.request.data.http_version
        return http.Response(
            http_version=b"HTTP/1.1" if version != b"HTTP/2.0" else version,
            status_code=head.status,
            reason=head.reason,
            headers=http.Headers(head.headers),
            content=None,
            trailers=None,
            timestamp_start=now_s,
            timestamp_end=None,
        )

    async def _push_whole(self, head: ResponseHead, content: bytes) -> None:
        response = self._response(head)
        if head.header(b"content-length") is None and head.status not in (204, 304):
            response.headers["content-length"] = str(len(content))
        stream_id = self.stream_id
        is_http1 = self.layer.http2 is None
        if is_http1:
            # a connection that closes behind a whole answer must not cancel what is still to be written down
            self._outlive_connection()
        if content and self.request.data.method != b"HEAD":
            await self._push(
                ResponseHeaders(stream_id, response, end_stream=False),
                ResponseData(stream_id, content),
                ResponseEndOfMessage(stream_id),
                last=True,
            )
        else:
            await self._push(
                ResponseHeaders(stream_id, response, end_stream=True),
                ResponseEndOfMessage(stream_id),
                last=True,
            )
        if not (is_http1 and self._is_handed_over()):
            await self._drain()

    def _is_handed_over(self) -> bool:
        """Whether all that was written is with the system, or goes there before the connection closes."""
        io = self.layer.handler.transports.get(self.layer.context.client)
        writer: Any = None if io is None else io.writer
        return writer is None or writer.is_closing() or writer.transport.get_write_buffer_size() == 0

    async def _switch(self, head: ResponseHead) -> None:
        """From here on the stream is a WebSocket, unless the handshake was refused."""
        if head.status != 101:
            self.upload.end()
            return
        response = self._response(head)
        response.data.content = b""
        stream_id = self.stream_id
        end = ResponseEndOfMessage(stream_id)
        await self._push(ResponseHeaders(stream_id, response, end_stream=True), end)
        self._is_head_sent = self._is_switched = True
        on_kill(self.stream.flow, self._killed)

    def _killed(self) -> None:
        """At once, and not only with the next message."""
        stopped = self._break_off_session("The session was stopped by an operator.")
        task = asyncio.get_running_loop().create_task(stopped, name=f"killing {self.stream_id}")
        self._kills.add(task)
        task.add_done_callback(self._kills.discard)

    async def _push_head(self, head: ResponseHead) -> None:
        response = self._response(head)
        is_http1 = self.layer.http2 is None
        if is_http1 and head.header(b"content-length") is None:
            if self.request.data.http_version == b"HTTP/1.1":
                response.headers["transfer-encoding"] = "chunked"
            else:
                response.headers["connection"] = "close"
        response.stream = self.layer.host.stream_response(self.stream.flow, response)
        await self._push(ResponseHeaders(self.stream_id, response, end_stream=False))
        self._is_head_sent = True

    async def _break_off(self, message: str) -> None:
        """Ends the client's leg in the open: an error status where none was sent yet, else a cut."""
        self.upload.end()
        if self._is_switched:
            await self._break_off_session(message)
            return
        try:
            await self._push(
                ResponseProtocolError(self.stream_id, message, ErrorCode.GENERIC_SERVER_ERROR), last=True
            )
        except _Left:
            pass

    async def _break_off_session(self, message: str) -> None:
        """The same of a WebSocket: closed with 1011 unless it is closed already."""
        close = ResponseData(self.stream_id, close_frame(FAILED, message, is_clients=False))
        try:
            await self._push(close, ResponseEndOfMessage(self.stream_id), last=True)
        except _Left:
            pass

    def _is_killed(self) -> bool:
        error = self.stream.flow.error
        return error is not None and error.msg == flow.Error.KILLED_MESSAGE

    async def _push(self, *parts: HttpEvent, last: bool = False) -> None:
        """Hands parts to the client's stream, in order.

        Raises:
            _Left: the stream is gone or was ended by somebody else.
        """
        layer, stream = self.layer, self.stream
        if layer.streams.get(self.stream_id) is not stream:
            raise _Left
        await layer.handler.server_event(Pushed(self.stream_id, parts))
        while stream._paused is not None or stream.is_held:  # a hook runs, or somebody holds the flow
            await asyncio.sleep(0 if not stream.flow.intercepted else 0.02)
        if last:
            return
        if stream.state_errored in (stream.client_state, stream.server_state):
            raise _Left

    async def _drain(self) -> None:
        """Waits until the client has taken most of what was written."""
        if self.layer.http2 is not None:
            await self.layer.http2.room(self.stream_id)
            return
        io = self.layer.handler.transports.get(self.layer.context.client)
        if io is not None and io.writer is not None:
            try:
                await io.writer.drain()
            except OSError:
                raise _Left from None


class JourneyConnection(HttpConnection):
    """Stands where the HTTP layer expects its upstream connection."""

    def __init__(self, context: Context, server: Server, layer: GatewayLayer) -> None:
        super().__init__(context, server)
        self.layer = layer

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        layer = self.layer
        if isinstance(event, RequestHeaders):
            stream = layer.streams[event.stream_id]
            assert isinstance(stream, GatewayStream)
            trip = Trip(layer, stream, event.request)
            layer.trips[event.stream_id] = trip
            if trip.is_handshake:
                trip.start(Upload(None, None))
            elif event.end_stream:
                trip.start(Upload(0, b""))
            elif event.request.stream:
                trip.start(Upload(_announced_length(event.request), None, layer.host.patience))
            else:
                trip.upload = Upload(None, b"")
        elif isinstance(event, RequestData):
            if (at := layer.trips.get(event.stream_id)) is not None:
                if at.task is None:
                    at.upload = Upload(len(event.data), event.data)
                else:
                    at.upload.put(event.data)
        elif isinstance(event, RequestEndOfMessage):
            at = layer.trips.get(event.stream_id)
            if at is not None and not at.is_handshake:
                if at.task is None:
                    at.start(at.upload)
                else:
                    at.upload.end()
        elif isinstance(event, RequestProtocolError):
            if (at := layer.trips.get(event.stream_id)) is not None:
                if event.code is ErrorCode.PASSTHROUGH_CLOSE and not at.stream.is_dropped:
                    at.leave()
                else:
                    at.cancel()
        yield from ()


def _announced_length(request: http.Request) -> int | None:
    value = request.headers.get("content-length", "")
    return int(value) if value.isdecimal() else None


class GatewayStream(SocketStream):
    """One request and its answer on the client's side. Credentials are masked before any hook sees it."""

    vault: masks.Vault

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        steps = super()._handle_event(event)
        redact = self._host().redactor
        return steps if redact is None else self._masked(steps, redact)

    def _masked(self, steps: CommandGenerator[None], redact: Redactor) -> CommandGenerator[None]:
        """The same commands; what they send is real, what hooks see is masked."""
        reply: Any = None
        while True:
            try:
                command = steps.send(reply)
            except StopIteration:
                return
            if isinstance(command, HttpRequestHook):
                self._hide_sent(redact)
            elif isinstance(command, (HttpResponseHeadersHook, HttpResponseHook)):
                self._hide_got(redact)
            elif isinstance(command, SendHttp):
                command.event = self._real(command.event)
            reply = yield command

    def _hide_sent(self, redact: Redactor) -> None:
        data = self.flow.request.data
        if data.content and (hidden := masks.HiddenBody.of(data.content, data.headers.fields, redact)):
            data.content = hidden.shown
            if not self.flow.request.stream:
                self.vault.sent = hidden

    def _hide_got(self, redact: Redactor) -> None:
        assert self.flow.response is not None
        data, vault = self.flow.response.data, self.vault
        data.headers.fields, hidden_headers = masks.hide_answer(data.headers.fields, redact)
        vault.answered += hidden_headers
        if data.content and (hidden := masks.HiddenBody.of(data.content, data.headers.fields, redact)):
            data.content = hidden.shown
            if not self.flow.response.stream:
                vault.got = hidden

    def _real(self, event: HttpEvent) -> HttpEvent:
        """What is sent, with the real values where masks were shown."""
        vault = self.vault
        match event:
            case RequestData() if vault.sent is not None:
                return RequestData(event.stream_id, vault.sent.restored(event.data))
            case ResponseData() if vault.got is not None:
                return ResponseData(event.stream_id, vault.got.restored(event.data))
            case ResponseHeaders() if event.response is self.flow.response and (vault.answered or vault.got):
                return ResponseHeaders(event.stream_id, self._real_head(event.response), event.end_stream)
        return event

    def _real_head(self, shown: http.Response) -> http.Response:
        data, vault = shown.data, self.vault
        made = http.Response(
            http_version=data.http_version,
            status_code=data.status_code,
            reason=data.reason,
            headers=http.Headers(masks.put_back(data.headers.fields, vault.answered)),
            content=None,
            trailers=None,
            timestamp_start=data.timestamp_start,
            timestamp_end=data.timestamp_end,
        )
        if vault.got is not None and data.content and "content-length" in made.headers:
            made.headers["content-length"] = str(len(vault.got.restored(data.content)))
        return made

    def bounds(self) -> tuple[int, Redactor | None]:
        host = self._host()
        return host.hold_limit_bytes, host.redactor

    def _host(self) -> Host:
        layer = self.context.layers[self.context.layers.index(self) - 1]
        assert isinstance(layer, GatewayLayer)
        return layer.host

    def state_wait_for_request_headers(self, event: RequestHeaders) -> CommandGenerator[None]:
        host = self._host()
        known = host.vault_of(event.replay_flow) if event.replay_flow else None
        if event.replay_flow:
            self.vault = known or masks.Vault()
        else:
            data = event.request.data
            fields, path, self.vault = masks.hide(data.headers.fields, data.path, host.redactor)
            data.headers.fields = fields
            data.path = path
        yield from super().state_wait_for_request_headers(event)

    def check_body_size(self, request: bool) -> CommandGenerator[bool]:
        """Only bounds what is held for an interceptor; what is streamed has no limit here."""
        if request and len(self.request_body_buf) > self._hold_limit_bytes():
            self.flow.error = flow.Error("request body too large")
            yield HttpErrorHook(self.flow)
            yield from self._tell_too_large()
            return True
        return False

    def _hold_limit_bytes(self) -> int:
        return self._host().hold_limit_bytes

    def _tell_too_large(self) -> CommandGenerator[None]:
        yield SendHttp(
            ResponseProtocolError(self.stream_id, "request body too large", ErrorCode.REQUEST_TOO_LARGE),
            self.context.client,
        )
        self.client_state = self.state_errored
        self.flow.live = False


class GatewayLayer(HttpLayer):
    """The HTTP layer of a connection to the gateway."""

    def __init__(
        self, context: Context, host: Host, handler: ConnectionHandler, timer: HeadTimer | None = None
    ) -> None:
        super().__init__(context, HTTPMode.transparent)
        self._timer = timer
        self.host = host
        self.handler = handler
        self.http2: GatewayHttp2Server | None = None
        self.trips: dict[int, Trip] = {}
        self._virtual: Server | None = None

    @property
    def is_asked(self) -> bool:
        """Whether a request has begun on this connection."""
        return bool(self.streams) or self._virtual is not None

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        try:
            if isinstance(event, Pushed):
                yield from self._hand_on(event)
                return
            if isinstance(event, HeadLate):
                yield from self.event_to_child(self.connections[self.context.client], event)
                return
            if isinstance(event, events.Start) and self.context.client not in self.connections:
                if self.context.client.alpn == b"h2":
                    self.http2 = GatewayHttp2Server(
                        self.context.fork(), self._is_streamed, self._asked, self.host
                    )
                    self.connections[self.context.client] = self.http2
                else:
                    http1 = GatewayHttp1Server(self.context.fork(), self.host, self._timer)
                    self.connections[self.context.client] = http1
                    if self._timer is not None:
                        self._timer.http1 = http1
            yield from super()._handle_event(event)
        except Exception:
            log.exception("the HTTP layer broke; the client's connection is closed")
            for trip in list(self.trips.values()):
                trip.cancel()
            yield commands.CloseConnection(self.context.client)

    def _hand_on(self, event: Pushed) -> CommandGenerator[None]:
        stream = self.streams.get(event.stream_id)
        for part in event.parts:
            if isinstance(part, Credit):
                yield from self.event_to_child(self.connections[self.context.client], part)
            elif stream is not None and self.streams.get(event.stream_id) is stream:
                yield from self.event_to_child(stream, part)

    def _is_streamed(self, stream_id: int) -> bool:
        trip = self.trips.get(stream_id)
        return trip is not None and trip.task is not None and not trip.task.done()

    def _asked(self, stream_id: int) -> http.Request | None:
        live: http.HTTPFlow | None = getattr(self.streams.get(stream_id), "flow", None)
        return None if live is None else live.request

    def make_stream(self, stream_id: int) -> CommandGenerator[None]:
        if self._timer is not None:
            self._timer.stop()
        stream = GatewayStream(self.context.fork(), stream_id)
        self.streams[stream_id] = stream
        yield from self.event_to_child(stream, events.Start())

    def get_connection(self, event: GetHttpConnection, *, reuse: bool = True) -> CommandGenerator[None]:
        stream = self.command_sources.pop(event)
        server = self._virtual
        if server is None:
            server = self._virtual = Server(address=VIRTUAL_ADDRESS)
            server.state = ConnectionState.OPEN
            self.connections[server] = JourneyConnection(self.context.fork(), server, self)
        yield from self.event_to_child(stream, GetHttpConnectionCompleted(event, (server, None)))


__all__ = ["GatewayLayer", "Host", "Refused", "Trip"]
