"""HTTP/1 towards clients: mitmproxy's server with the bounds and manners of a gateway.

What is refused here never becomes an exchange: heads that are too large, malformed or ambiguous, and
everything that two parsers could read in two ways. What is mended: request trailers (dropped instead of
hanging the client), unbounded pipelining and chunk heads, and error pages (JSON in the client's dialect).
"""

from __future__ import annotations

import re
from typing import Final

from mitmproxy.connection import ConnectionState
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import (
    ErrorCode,
    HttpEvent,
    ReceiveHttp,
    RequestEndOfMessage,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http1 import Http1Server

from llmitm.edge import refusals
from llmitm.edge.heads import HeadLate, HeadTimer

HEAD_LIMIT_BYTES: Final = 65_536
FIELD_LIMIT: Final = 200
AHEAD_LIMIT_BYTES: Final = 262_144
"""How much a client may send ahead of the answer it waits for, and how long a chunk's head may grow."""

_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP/1\.[01]\Z")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_FIELD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*\Z")


class BadHead(Exception):
    """A request head that is refused, with the status and sentence for it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def check_head(lines: list[bytes]) -> None:
    """Raises `BadHead` for a head that is malformed or that peers could read differently.

    `lines` are the request line and the fields, without their line ends. Sources: RFC 9112 sections 2.2,
    3, 5.1, 5.2 and 6; RFC 9110 section 5.6.2.
    """
    request_line = _REQUEST_LINE.match(lines[0])
    if request_line is None:
        raise BadHead(400, "The request line is not valid HTTP/1.1.")
    if request_line[1] == b"CONNECT":
        raise BadHead(405, "This is a gateway, not a forward proxy: CONNECT is not served.")
    if not request_line[2].startswith(b"/") and request_line[2] != b"*":
        raise BadHead(400, "The request target must be a path, such as /v1/models.")
    if len(lines) - 1 > FIELD_LIMIT:
        raise BadHead(431, f"The request has more than {FIELD_LIMIT} header fields.")
    hosts = 0
    for line in lines[1:]:
        if _FIELD.match(line) is None:
            raise BadHead(400, "A header field of the request is malformed.")
        name, _, value = line.partition(b":")
        lower = name.lower()
        if lower == b"host":
            hosts += 1
        elif lower == b"transfer-encoding" and value.strip(b" \t").lower() != b"chunked":
            raise BadHead(501, "The only transfer coding that is understood is chunked.")
    if hosts > 1 or (hosts == 0 and lines[0].endswith(b"HTTP/1.1")):
        raise BadHead(400, "The request must have exactly one Host header.")


class GatewayHttp1Server(Http1Server):
    def __init__(self, context: Context, pages: refusals.Pages, timer: HeadTimer | None = None) -> None:
        """`timer` runs while the head of a request comes in; None: it may take for ever."""
        super().__init__(context)
        self._pages = pages
        self._timer = timer

    @property
    def has_begun_head(self) -> bool:
        """Whether a part of a head is there, and no more."""
        return self.state == self.read_headers and bool(bytes(self.buf).strip())

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if not isinstance(event, HeadLate):
            yield from super()._handle_event(event)
        elif self.has_begun_head:
            yield from self._refuse(408, "The request's header did not come in time.", bytes(self.buf))

    def read_headers(self, event: events.ConnectionEvent) -> CommandGenerator[None]:
        if isinstance(event, events.DataReceived):
            while len(self.buf) >= 2 and bytes(self.buf)[:2] == b"\r\n":
                self.buf.maybe_extract_at_most(2)  # RFC 9112 section 2.2: ignore empty lines before it
            pending = bytes(self.buf)[: HEAD_LIMIT_BYTES + 4]
            end = re.search(rb"\r?\n\r?\n", pending)
            if end is None:
                if len(self.buf) > HEAD_LIMIT_BYTES:
                    yield from self._refuse(431, "The request's header is larger than 64 KiB.", pending)
                    return
            else:
                try:
                    if _BARE_LF.search(pending, 0, end.end()):
                        raise BadHead(400, "The lines of the request's header must end in CRLF.")
                    lines = pending[: end.start()].split(b"\r\n")
                    check_head(lines)
                    http1.expected_http_body_size(http1.read_request_head(lines))
                except BadHead as bad:
                    yield from self._refuse(bad.status, bad.message, pending)
                    return
                except ValueError:
                    yield from self._refuse(400, "The request is not valid HTTP.", pending)
                    return
        elif isinstance(event, events.ConnectionClosed):
            # the stock server logs what it had read so far, which may hold a key
            yield commands.CloseConnection(self.conn)
            return
        yield from super().read_headers(event)
        if self._timer is not None and self.state == self.read_headers:
            if len(self.buf) or (isinstance(event, events.DataReceived) and event.data):
                self._timer.start()

    def read_body(self, event: events.Event) -> CommandGenerator[None]:
        try:
            for command in super().read_body(event):
                is_close = isinstance(command, commands.CloseConnection)
                if is_close and self.response is None and isinstance(event, events.DataReceived):
                    yield from self._tell(ErrorCode.GENERIC_CLIENT_ERROR)
                yield command
        except NotImplementedError:
            # Trailers: RFC 9110 section 6.5.1 lets a recipient discard them.
            assert self.stream_id is not None
            yield ReceiveHttp(RequestEndOfMessage(self.stream_id))
            yield from self.mark_done(request=True)
        if self.state == self.read_body and len(self.buf) > AHEAD_LIMIT_BYTES:
            yield commands.CloseConnection(self.conn)

    def wait(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, events.DataReceived) and len(self.buf) > AHEAD_LIMIT_BYTES:
            yield commands.CloseConnection(self.conn)
            return
        yield from super().wait(event)

    def send(self, event: HttpEvent) -> CommandGenerator[None]:
        if not isinstance(event, ResponseProtocolError):
            yield from super().send(event)
            return
        if not self.conn.state & ConnectionState.CAN_WRITE:
            return
        if not self.response:
            yield from self._tell(event.code)
        yield commands.CloseConnection(self.conn)

    def _tell(self, why: ErrorCode) -> CommandGenerator[None]:
        status, code, message = refusals.told(why)
        asked = self.request
        target, fields = (b"/", ()) if asked is None else (asked.data.path, asked.headers.fields)
        head = refusals.answer(status, code, message, target, fields, self._pages)
        yield commands.SendData(self.conn, refusals.http1(head))

    def _refuse(self, status: int, message: str, asked: bytes) -> CommandGenerator[None]:
        """`asked` is what has come of the head."""
        target, fields = refusals.fields_of(asked)
        head = refusals.answer(status, "invalid_request", message, target, fields, self._pages)
        yield commands.SendData(self.conn, refusals.http1(head))
        yield commands.CloseConnection(self.conn)
        self.state = self.done
