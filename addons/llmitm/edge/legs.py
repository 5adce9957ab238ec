"""Attempts as flows: each upstream leg runs through mitmproxy's own hooks, so that it is shown, paused,
edited, answered, killed, saved and replayed like any other flow.

Legs hold no credentials: the attempt's own are put on by the sender afterwards, and what the client sent
is masked before a hook sees it.
"""

from __future__ import annotations

import time
from typing import Any, Final
from urllib.parse import urlsplit

from mitmproxy import flow, http
from mitmproxy.connection import Client, ConnectionState, Server
from mitmproxy.proxy.layers.http import (
    HttpErrorHook,
    HttpRequestHeadersHook,
    HttpRequestHook,
    HttpResponseHeadersHook,
    HttpResponseHook,
)
from mitmproxy.proxy.layers.websocket import WebsocketEndHook
from mitmproxy.websocket import WebSocketData, WebSocketMessage
from wsproto.frame_protocol import Opcode

from llmitm.edge import masks
from llmitm.exchange import (
    Attempt,
    Body,
    HeldBody,
    Killed,
    ResponseHead,
    UpstreamRequest,
)

SHOWN_BYTES: Final = 2_097_152
"""How much of a streamed body a leg keeps to be shown."""
REFRESH_S: Final = 0.5
NOT_CLOSED: Final = 1006
"""The code of a WebSocket whose connection ended without one."""


class Tee:
    """Keeps the beginning of a streamed body, for show."""

    __slots__ = ("_kept", "_refreshed_s", "is_cut")

    def __init__(self) -> None:
        self._kept = bytearray()
        self._refreshed_s = 0.0
        self.is_cut = False

    def add(self, piece: bytes) -> bool:
        """Keeps what fits. True now and then: when it is time to show what there is so far."""
        free = SHOWN_BYTES - len(self._kept)
        if free <= 0:
            self.is_cut = True
            return False
        self._kept += piece[:free]
        self.is_cut = len(piece) > free
        now_s = time.monotonic()
        if now_s - self._refreshed_s < REFRESH_S:
            return False
        self._refreshed_s = now_s
        return True

    def content(self) -> bytes:
        return bytes(self._kept)


class _TeedBody:
    """A body on its way, with its beginning kept."""

    __slots__ = ("_body", "tee")

    def __init__(self, body: Body, tee: Tee) -> None:
        self._body = body
        self.tee = tee

    @property
    def held(self) -> bytes | None:
        return self._body.held

    @property
    def length(self) -> int | None:
        return self._body.length

    async def pieces(self) -> Any:
        async for piece in self._body.pieces():
            self.tee.add(piece)
            yield piece

    async def whole(self, limit_bytes: int) -> bytes:
        return await self._body.whole(limit_bytes)


def make_killable(leg: flow.Flow) -> None:
    """Lets a kill wake whoever waits for the flow: stock `kill` leaves a paused flow waiting for ever."""
    if "kill" in vars(leg):
        return
    stock_kill = leg.kill

    def kill() -> None:
        stock_kill()
        if leg._resume_event is not None:
            leg._resume_event.set()

    leg.kill = kill  # type: ignore[method-assign]


def is_killed(leg: flow.Flow) -> bool:
    return leg.error is not None and leg.error.msg == flow.Error.KILLED_MESSAGE


class Legs:
    """An `exchange.Watch` that shows each attempt as a flow beside the client's."""

    def __init__(self, stage: Any, client_flow: http.HTTPFlow) -> None:
        """`stage` is the addon: it triggers hooks and knows who intercepts."""
        self._stage = stage
        self._client_flow = client_flow
        self._leg: http.HTTPFlow | None = None
        self._tee = Tee()
        self._sent: Tee | None = None
        self._is_told = False
        self._answered_headers: list[tuple[bytes, bytes, bytes]] = []
        self._got: masks.HiddenBody | None = None
        self._messages_bytes = 0
        self._refreshed_s = 0.0

    async def before_send(self, attempt: Attempt, request: UpstreamRequest) -> UpstreamRequest | ResponseHead:
        leg, vault = self._make(attempt, request)
        self._leg, self._tee, self._sent, self._is_told = leg, Tee(), None, False
        held = request.body.held
        if held is None and not request.is_upgrade and self._stage.wants_request(leg):
            held = await request.body.whole(self._stage.hold_limit_bytes)
        if held:
            vault.sent = self._hidden(held, leg.request)
        leg.request.data.content = held if vault.sent is None else vault.sent.shown
        shown = (leg.request.data.headers.fields, leg.request.data.path)
        before = (leg.request.method, leg.request.url, shown, leg.request.data.content)
        await self._trigger(HttpRequestHeadersHook(leg))
        await self._trigger(HttpRequestHook(leg))
        if leg.response is not None:
            return await self._answered(leg)
        data = leg.request.data
        after = (leg.request.method, leg.request.url, (data.headers.fields, data.path), data.content)
        if after == before:
            if held is not None:
                return request if request.body.held is not None else _with(request, HeldBody(held))
            if request.is_upgrade:
                return request
            self._sent = Tee()
            return _with(request, _TeedBody(request.body, self._sent))
        fields, path = masks.restore(data.headers.fields, data.path, vault)
        scheme_and_host = leg.request.url.split("//", 1)
        origin = scheme_and_host[0] + "//" + scheme_and_host[1].split("/", 1)[0]
        return UpstreamRequest(
            method=leg.request.method,
            url=origin + path.decode("latin-1"),
            headers=tuple(pair for pair in fields if pair[0].lower() != b"host"),
            body=request.body if held is None else HeldBody(_real(vault.sent, data.content or b"")),
            is_upgrade=request.is_upgrade,
        )

    async def on_head(self, attempt: Attempt, head: ResponseHead) -> tuple[ResponseHead, bool]:
        leg = self._leg
        assert leg is not None
        self._keep_sent(leg)
        leg.response = self._response(head)
        await self._trigger(HttpResponseHeadersHook(leg))
        if head.status == 101:
            leg.websocket = WebSocketData()
            leg.response.data.content = b""
            await self._trigger(HttpResponseHook(leg))
            return head, False
        wants_whole = head.whole is None and self._stage.wants_response(leg)
        if head.whole is not None:
            # complete already: it can be paused and edited at no cost
            self._show_got(leg, head.whole)
            head = await self._finish(leg, head)
        return head, wants_whole

    def on_piece(self, attempt: Attempt, piece: bytes) -> None:
        leg = self._leg
        assert leg is not None and leg.response is not None
        if is_killed(leg):
            raise Killed
        if leg.websocket is None and self._tee.add(piece):
            leg.response.data.content = self._stage.shown(self._tee.content(), leg.response)
            self._stage.refresh(leg)

    @property
    def sees_messages(self) -> bool:
        return True

    def on_message(self, attempt: Attempt, content: bytes, *, is_text: bool, is_clients: bool) -> None:
        leg = self._leg
        assert leg is not None
        if leg.websocket is None:
            return
        hidden = masks.HiddenBody.of(content, (), self._stage.redactor) if self._stage.redactor else None
        shown = content if hidden is None else hidden.shown
        kind = Opcode.TEXT if is_text else Opcode.BINARY
        leg.websocket.messages.append(WebSocketMessage(kind, is_clients, shown))
        self._messages_bytes += len(shown)
        while self._messages_bytes > SHOWN_BYTES and len(leg.websocket.messages) > 1:
            self._messages_bytes -= len(leg.websocket.messages.pop(0).content)
        now_s = time.monotonic()
        if now_s - self._refreshed_s >= REFRESH_S:
            self._refreshed_s = now_s
            self._stage.refresh(leg)

    def on_close(self, attempt: Attempt, code: int, reason: str, *, is_clients: bool) -> None:
        shown = self._leg.websocket if self._leg is not None else None
        if shown is not None:
            shown.closed_by_client, shown.close_code = is_clients, code
            shown.close_reason = self._stage.redact(reason)

    async def on_whole(self, attempt: Attempt, head: ResponseHead, body: bytes) -> ResponseHead:
        leg = self._leg
        assert leg is not None and leg.response is not None
        self._show_got(leg, body)
        return await self._finish(leg, head)

    async def on_end(self, attempt: Attempt, error: str | None) -> None:
        leg = self._leg
        if leg is None or self._is_told:
            return
        self._keep_sent(leg)
        if leg.response is not None:
            teed = self._stage.shown(self._tee.content(), leg.response)
            if teed or leg.response.data.content is None:
                leg.response.data.content = teed
            leg.response.timestamp_end = time.time()
        if self._tee.is_cut:
            leg.comment += f" (only the first {SHOWN_BYTES} bytes of the body are kept)"
        self._is_told = True
        leg.live = False
        if leg.websocket is not None:
            leg.websocket.timestamp_end = time.time()
            if leg.websocket.close_code is None:
                leg.websocket.close_code = NOT_CLOSED
            if error is not None and leg.error is None:
                leg.error = flow.Error(self._stage.redact(error))
            await self._stage.trigger(WebsocketEndHook(leg))
        elif error is None:
            await self._stage.trigger(HttpResponseHook(leg))
        else:
            if leg.error is None:
                leg.error = flow.Error(self._stage.redact(error))
            await self._stage.trigger(HttpErrorHook(leg))

    def _make(self, attempt: Attempt, request: UpstreamRequest) -> tuple[http.HTTPFlow, masks.Vault]:
        url = urlsplit(request.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        host = url.hostname or ""
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        fields, path, vault = masks.hide(
            request.headers, target.encode("latin-1", "replace"), self._stage.redactor
        )
        server = Server(address=(host, port))
        server.state = ConnectionState.OPEN
        server.timestamp_start = time.time()
        client: Client = self._client_flow.client_conn
        leg = http.HTTPFlow(client, server, live=True)
        authority = url.netloc.rpartition("@")[2].encode("idna" if not url.netloc.isascii() else "ascii")
        leg.request = http.Request(
            host=host,
            port=port,
            method=request.method.encode(),
            scheme=url.scheme.encode(),
            authority=b"",
            path=path,
            http_version=b"HTTP/1.1",
            headers=http.Headers(((b"Host", authority), *fields)),
            content=None,
            trailers=None,
            timestamp_start=time.time(),
            timestamp_end=time.time(),
        )
        leg.metadata |= {
            "llmitm.leg": "upstream",
            "llmitm.exchange": attempt.exchange_id,
            "llmitm.attempt": attempt.number,
            "llmitm.endpoint": attempt.endpoint,
            "llmitm.provider": attempt.provider,
            "llmitm.client_flow": self._client_flow.id,
            "llmitm.url": f"{url.scheme}://{url.netloc.rpartition('@')[2]}",
        }
        if attempt.credential:
            leg.metadata["llmitm.credential"] = attempt.credential
        if attempt.gateway:
            leg.metadata["llmitm.gateway"] = attempt.gateway
        # mitmweb and the console show comments, not metadata
        leg.comment = f"{attempt.exchange_id}: attempt {attempt.number}, {attempt.provider}"
        linked: list[str] = self._client_flow.metadata.setdefault("llmitm.upstream_flows", [])
        linked.append(leg.id)
        make_killable(leg)
        self._stage.keep_vault(leg, vault)
        return leg, vault

    async def _trigger(self, hook: Any) -> None:
        """Runs a hook on the leg, waits while it is held, and gives up where it was killed."""
        leg: http.HTTPFlow = hook.flow
        await self._stage.trigger(hook)
        await leg.wait_for_resume()
        if is_killed(leg):
            self._is_told = True
            leg.live = False
            await self._stage.trigger(HttpErrorHook(leg))
            raise Killed

    async def _answered(self, leg: http.HTTPFlow) -> ResponseHead:
        """An addon answered in the upstream's place."""
        assert leg.response is not None
        leg.response.timestamp_end = time.time()
        head = ResponseHead(
            status=leg.response.status_code,
            reason=leg.response.data.reason,
            headers=leg.response.headers.fields,
            whole=leg.response.raw_content or b"",
        )
        self._answered_headers, self._got = [], None
        await self._trigger(HttpResponseHeadersHook(leg))
        return await self._finish(leg, head)

    async def _finish(self, leg: http.HTTPFlow, head: ResponseHead) -> ResponseHead:
        """The response hook of a leg whose body is whole; returns it as it stands afterwards."""
        assert leg.response is not None
        leg.response.timestamp_end = time.time()
        before = (leg.response.status_code, leg.response.headers.fields, leg.response.data.content)
        await self._trigger(HttpResponseHook(leg))
        self._is_told = True
        leg.live = False
        data = leg.response.data
        if (data.status_code, data.headers.fields, data.content) == before:
            return ResponseHead(
                status=head.status,
                reason=head.reason,
                headers=head.headers,
                whole=_real(self._got, data.content or b""),
            )
        content = _real(self._got, data.content or b"")
        fields = masks.put_back(data.headers.fields, self._answered_headers)
        headers = tuple(pair for pair in fields if pair[0].lower() != b"content-length")
        return ResponseHead(
            status=data.status_code,
            reason=data.reason,
            headers=(*headers, (b"content-length", b"%d" % len(content))),
            whole=content,
        )

    def _hidden(self, content: bytes, message: http.Message) -> masks.HiddenBody | None:
        redact = self._stage.redactor
        return None if redact is None else masks.HiddenBody.of(content, message.headers.fields, redact)

    def _show_got(self, leg: http.HTTPFlow, content: bytes) -> None:
        assert leg.response is not None
        self._got = self._hidden(content, leg.response)
        leg.response.data.content = content if self._got is None else self._got.shown

    def _response(self, head: ResponseHead) -> http.Response:
        redact, fields = self._stage.redactor, head.headers
        self._answered_headers, self._got = [], None
        if redact is not None:
            fields, self._answered_headers = masks.hide_answer(fields, redact)
        return http.Response(
            http_version=b"HTTP/1.1",
            status_code=head.status,
            reason=head.reason if redact is None else redact.of_bytes(head.reason),
            headers=http.Headers(fields),
            content=None,
            trailers=None,
            timestamp_start=time.time(),
            timestamp_end=None,
        )

    def _keep_sent(self, leg: http.HTTPFlow) -> None:
        if self._sent is not None and leg.request.data.content is None:
            leg.request.data.content = self._stage.shown(self._sent.content(), leg.request)


def _with(request: UpstreamRequest, body: Body) -> UpstreamRequest:
    return UpstreamRequest(method=request.method, url=request.url, headers=request.headers, body=body)


def _real(hidden: masks.HiddenBody | None, content: bytes) -> bytes:
    return content if hidden is None else hidden.restored(content)


__all__ = ["Legs", "Tee", "is_killed", "make_killable"]
