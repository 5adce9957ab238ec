"""One attempt over the wire, with aiohttp: pooled connections, bytes as they are, timeouts of our own.

Nothing is added to a request but its framing and its credential, nothing is decoded in an answer, no
redirect is followed, and no cookie or proxy of the environment is used. Of aiohttp this takes the pool, the
parser and the writer, and puts them together itself: a session in between would cost a quarter of the time,
hide when a connection is ready, and send some requests twice.
"""

from __future__ import annotations

import asyncio
import math
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Final
from weakref import WeakKeyDictionary

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError
from multidict import CIMultiDict

from llmitm.clock import Clock
from llmitm.errors import Failure, LlmitmError, Refused, UpstreamFailed
from llmitm.exchange import (
    Attempt,
    Body,
    Headers,
    HeldBody,
    ResponseHead,
    UpstreamReply,
    UpstreamRequest,
)
from llmitm.secret import Secret
from llmitm.send.alarm import Alarm, Timeouts
from llmitm.send.headers import UPGRADE, as_text, forwardable_response, framed, with_keys
from llmitm.send.proxies import AGE_S, Pools, Route
from llmitm.send.tunnel import Tunnel

HEAD_LIMIT_BYTES: Final = 65_536
"""Of the status line, and of each header."""
HEAD_LIMIT_COUNT: Final = 512
WHOLE_LIMIT_BYTES: Final = 65_536
"""An answer up to this size that is here completely when its head is, is handed on in one piece."""
READ_AHEAD_BYTES: Final = 65_536
"""An upstream is made to wait while twice this lies here unread."""
_NO_DEFAULTS: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_UNFIT_FOR_TARGET: Final = re.compile(r"[^\x21-\x7e]")
_CONNECT_ERRORS: Final = (
    aiohttp.ClientError,
    OSError,
    EOFError,  # a SOCKS proxy that closed the connection
    UnicodeError,  # a host name with labels that are too long
    ProxyError,
    ProxyConnectionError,
    ProxyTimeoutError,
)


class Upstream:
    """An `exchange.Sender`. One pool per proxy and TLS identity, shared by all clients."""

    def __init__(self, timeouts: Timeouts, clock: Clock, *, resolver: AbstractResolver | None = None) -> None:
        """`resolver` looks up names; None: the system's."""
        self._clock = clock
        self._pools = Pools(clock, resolver)
        self._links: WeakKeyDictionary[ResponseHandler, _Link] = WeakKeyDictionary()
        """Of every connection that has carried a request, so that one from the pool is known as such."""
        self.keep_to(timeouts)

    def keep_to(self, timeouts: Timeouts) -> None:
        """How long is waited from now on. What is under way keeps the times that it began with."""
        self._timeouts = timeouts
        self._pools.give_up_unused()
        self._socks_timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect_s)

    async def send(self, attempt: Attempt, request: UpstreamRequest) -> UpstreamReply:
        """See `exchange.Sender`. Client headers that `attempt` drops are gone from `request` already.

        A request may be sent twice in one case only: its body is held, it went out on a connection from the
        pool, and that was closed before an answer came. That is the race with the server's own idle timeout.
        The second try goes over a fresh connection, and there is no third.
        """
        body: Body = HeldBody() if request.is_upgrade else request.body
        length = body.length if body.held is None else len(body.held)
        is_body_less = not length and body.held is not None
        headers = framed(
            _without(request.headers, attempt.credential_headers), length, is_body_less=is_body_less
        )
        headers += [as_text(name, secret.reveal().encode()) for name, secret in attempt.credential_headers]
        if request.is_upgrade:
            headers += UPGRADE
        url = _url(with_keys(request.url, attempt.credential_query))
        way = self._pools.way(attempt.proxy_url, attempt.identity)
        if way.credentials and url.scheme == "http":
            headers += way.credentials

        alarm = Alarm(
            self._clock, self._timeouts, url.raw_host or "", attempt.deadline_s, attempt.silence_s or math.inf
        )
        try:
            for is_fresh in (False, True):
                # a new one each time: aiohttp keeps the state of a try in it
                outgoing = _outgoing(request.method, url, headers, body, way, alarm)
                if request.is_upgrade:
                    outgoing.tunnel = partial(Tunnel, body=request.body, clock=self._clock, host=alarm.host)
                try:
                    return await self._try(outgoing, way, alarm, is_fresh=is_fresh)
                except _Stale as stale:
                    if is_fresh or body.held is None:
                        raise stale.failed from None
            raise AssertionError("unreachable")
        except BaseException:
            alarm.stop()
            raise

    async def _try(self, outgoing: _Outgoing, way: Route, alarm: Alarm, *, is_fresh: bool) -> UpstreamReply:
        """One try on one connection.

        Raises:
            UpstreamFailed, Refused: as `send`.
            _Stale: a connection from the pool was closed before an answer came.
        """
        upload, is_reused = outgoing.upload, False
        try:
            async with asyncio.timeout(None) as scope:
                alarm.watch(partial(scope.reschedule, 0))
                alarm.expect(Failure.CONNECT_TIMEOUT)
                connection, link = await self._connect(outgoing, way, is_fresh=is_fresh)
                is_reused = link is not None
                alarm.expect(Failure.FIRST_BYTE_TIMEOUT)
                return await _answer(outgoing, connection, link or self._link(connection), way, alarm)
        except (aiohttp.ClientError, OSError) as error:
            if upload is not None and upload.error is not None:
                raise upload.error from None
            if isinstance(error, TimeoutError):
                raise UpstreamFailed(alarm.rung or Failure.CONNECT_TIMEOUT, alarm.host) from None
            failed = _failed(_answer_failure(error), alarm.host, error)
            if is_reused and _is_closed_unanswered(error):
                raise _Stale(failed) from None
            raise failed from None

    async def _connect(
        self, outgoing: _Outgoing, way: Route, *, is_fresh: bool
    ) -> tuple[Connection, _Link | None]:
        """A connection; its link if it is one from the pool, which one that is asked to be fresh is not."""
        try:
            while True:
                connection = await way.connector.connect(outgoing, [], self._socks_timeout)
                protocol = connection.protocol
                assert protocol is not None
                link = self._links.get(protocol)
                if link is None or not (is_fresh or self._is_old(link)):
                    return connection, link
                connection.close()  # perhaps as old as the one that was just found closed
        except TimeoutError:
            raise
        except _CONNECT_ERRORS as error:
            raise _failed(_connect_failure(error, outgoing.url, way), outgoing.url.raw_host, error) from None

    def _link(self, connection: Connection) -> _Link:
        protocol = connection.protocol
        assert protocol is not None
        link = self._links[protocol] = _Link(self._clock.tick_s())
        if protocol.closed is not None:
            protocol.closed.add_done_callback(link.closed)
        return link

    def _is_old(self, link: _Link) -> bool:
        return self._clock.tick_s() - link.made_s > AGE_S

    async def close(self) -> None:
        await self._pools.close()


class _Stale(Exception):
    """A connection from the pool was closed before it brought an answer."""

    def __init__(self, failed: UpstreamFailed) -> None:
        super().__init__(failed)
        self.failed = failed


class _Link:
    """Tells the answer that a connection carries when that connection is gone.

    aiohttp tells it itself, but for a body whose chunks are broken: who reads that would wait for ever.
    """

    __slots__ = ("made_s", "reply")

    def __init__(self, made_s: float) -> None:
        self.made_s = made_s
        """When the connection was, on the clock's ticks."""
        self.reply: _Reply | None = None

    def closed(self, future: asyncio.Future[None]) -> None:
        if not future.cancelled():
            future.exception()  # seen: asyncio logs those that nobody has looked at
        if self.reply is not None:
            self.reply.lost()


class _Outgoing(aiohttp.ClientRequest):
    """A request on its way, with its upload if the body is not held."""

    # no Content-Length: 0 where the client sent none
    GET_METHODS = aiohttp.ClientRequest.GET_METHODS | {"DELETE"}
    # what `skip_auto_headers` would work out for each request anew
    _skip_auto_headers = CIMultiDict((name, None) for name in _NO_DEFAULTS)
    upload: _Upload | None = None
    tunnel: Callable[..., Tunnel] | None = None
    """What becomes of the connection once protocols are switched; None: they shall not be."""

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        """Adds none."""


class _Held(aiohttp.Payload):
    """A body in memory, written at once. aiohttp's own warns of large ones."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise NotImplementedError

    async def write(self, writer: AbstractStreamWriter) -> None:
        await writer.write(self._value)


class _Upload(aiohttp.Payload):
    """A body on its way up: read as the upstream takes it. What it raises itself is remembered, since aiohttp
    makes a connection error of it.
    """

    def __init__(self, body: Body, alarm: Alarm) -> None:
        super().__init__(body)
        self._body = body
        self._alarm = alarm
        self._is_answered = False
        self._on_error: Callable[[Exception], None] | None = None
        self.error: Exception | None = None
        self.is_over = False

    def answered(self, on_error: Callable[[Exception], None]) -> None:
        """The answer has begun while this goes on: the alarm is its reader's, who is told of errors."""
        self._is_answered = True
        self._on_error = on_error

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise NotImplementedError

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        writer.send_headers()  # an upstream may refuse a request by its head alone
        pieces = self._body.pieces()
        sent_bytes = 0
        try:
            while True:
                if not self._is_answered:
                    self._alarm.rest()
                piece = await self._next(pieces)
                if not self._is_answered:
                    self._alarm.expect(Failure.FIRST_BYTE_TIMEOUT)
                if not piece:
                    break
                sent_bytes += len(piece)
                if content_length is not None and sent_bytes > content_length:
                    raise self._broken(_wrong_length("longer"))
                await writer.write(piece)
            if content_length is not None and sent_bytes < content_length:
                raise self._broken(_wrong_length("shorter"))
            self.is_over = True
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()

    async def _next(self, pieces: AsyncIterator[bytes]) -> bytes:
        """The next piece; empty at the end."""
        try:
            while not (piece := await anext(pieces)):
                pass
            return piece
        except StopAsyncIteration:
            return b""
        except Exception as error:
            raise self._broken(error)  # noqa: B904 - it is that very error

    def _broken(self, error: Exception) -> Exception:
        self.error = error
        if self._on_error is not None:
            self._on_error(error)
        return error


def _wrong_length(how: str) -> Refused:
    return Refused(400, "invalid_body", f"The request body is {how} than its Content-Length.")


def _outgoing(
    method: str, url: yarl.URL, headers: list[tuple[str, str]], body: Body, way: Route, alarm: Alarm
) -> _Outgoing:
    upload: _Upload | None = None
    data: aiohttp.Payload | None = None
    if method in ("", "CONNECT"):
        raise _bad_method()
    if body.held is None:
        data = upload = _Upload(body, alarm)
    elif body.held:
        data = _Held(body.held)
    try:
        outgoing = _Outgoing(
            method,
            url,
            headers=headers,
            data=data,
            loop=asyncio.get_running_loop(),
            proxy=way.proxy,
            proxy_headers=dict(way.credentials) or None,
        )
    except ValueError:
        raise _bad_method() from None
    outgoing.upload = upload
    return outgoing


def _bad_method() -> Refused:
    return Refused(400, "invalid_method", "The request's method is not valid.")


def _url(text: str) -> yarl.URL:
    """As it stands. Raises `Refused` where it cannot stand on a request line."""
    try:
        url = yarl.URL(text, encoded=True)
        if _UNFIT_FOR_TARGET.search(text) is None and url.scheme in ("http", "https") and url.raw_host:
            return url
    except ValueError:
        pass
    raise Refused(400, "invalid_path", "The request's path makes no valid URL.")


def _without(headers: Headers, replaced: tuple[tuple[bytes, Secret], ...]) -> Headers:
    if not replaced:
        return headers
    names = {name.lower() for name, _ in replaced}
    return tuple(pair for pair in headers if pair[0].lower() not in names)


async def _answer(
    outgoing: _Outgoing, connection: Connection, link: _Link, way: Route, alarm: Alarm
) -> UpstreamReply:
    """Sends the request on this connection and waits for the head of its answer."""
    protocol, transport = connection.protocol, connection.transport
    assert protocol is not None and transport is not None
    response: aiohttp.ClientResponse | None = None
    link.reply = None
    try:
        protocol.set_response_params(
            skip_payload=outgoing.method == "HEAD",
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=READ_AHEAD_BYTES,
            max_line_size=HEAD_LIMIT_BYTES,
            max_field_size=HEAD_LIMIT_BYTES,
            max_headers=HEAD_LIMIT_COUNT,
        )
        response = await outgoing.send(connection)
        await response.start(connection)
        if response.status == 101:
            if outgoing.tunnel is None:
                raise UpstreamFailed(Failure.MALFORMED, f"{alarm.host}: switched protocols unasked")
            alarm.stop()  # a session lasts as long as it lasts
            return outgoing.tunnel(response, protocol, transport)
        if response.status == 407 and way.proxy is not None and outgoing.url.scheme == "http":
            raise UpstreamFailed(Failure.PROXY, "the proxy answered 407")
        return _Reply(response, protocol, transport, link, outgoing.upload, alarm)
    except BaseException:
        # at once: to close in an orderly way would be to wait until all that was written is taken
        transport.abort()
        if response is not None:
            response.close()
        connection.close()
        raise


class _Reply:
    """An answer whose head has come."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        protocol: ResponseHandler,
        transport: asyncio.Transport,
        link: _Link,
        upload: _Upload | None,
        alarm: Alarm,
    ) -> None:
        self._response = response
        self._content = content = response.content
        self._protocol = protocol
        self._transport = transport
        self._link = link
        self._upload = upload
        self._alarm = alarm
        self._is_closed = False
        self._is_silent = False
        self._error: Exception | None = None
        headers = response.headers
        self._ends_with_connection = "Content-Length" not in headers and "Transfer-Encoding" not in headers
        whole: bytes | None = None
        if response.method == "HEAD" or response.status in (204, 304):
            whole = b""
        elif (
            content.is_eof()
            and content.exception() is None
            and content.total_bytes <= WHOLE_LIMIT_BYTES
            and not self._ends_with_connection
        ):
            whole = content.read_nowait()
        self._is_over = whole is not None
        self.head = ResponseHead(
            status=response.status,
            reason=(response.reason or "").encode("utf-8", "surrogateescape"),
            headers=forwardable_response(response.raw_headers),
            whole=whole,
        )
        if self._is_over:
            alarm.stop()
        else:
            link.reply = self
            alarm.rest()
            alarm.watch(self._too_late)
            alarm.listen(self._silent)
        if upload is not None:
            upload.answered(self._break)

    async def read(self) -> bytes | None:
        """See `exchange.UpstreamReply`. Also raises what the request's own body raised, if it breaks now."""
        if self._error is not None:
            raise self._error
        if self._is_over:
            return b""
        content = self._content
        self._alarm.expect_piece(is_still=self._is_silent)
        self._is_silent = False
        try:
            if (error := content.exception()) is not None:
                raise error
            # as `readany`, which goes on waiting whatever wakes it
            while not content._buffer and not content.is_eof():
                await content._wait("read")
                if self._is_silent and not content._buffer and not content.is_eof():
                    return None
            piece = content._read_nowait(-1)
        except LlmitmError:
            raise  # set by `_break`
        except (aiohttp.ClientError, HttpProcessingError, OSError, RuntimeError) as error:
            piece = self._left_over()
            if not piece:
                raise _failed(self._break_off(error), self._alarm.host, error) from None
        finally:
            self._alarm.rest()
        if not piece:
            if self._ends_with_connection and isinstance(self._protocol.exception(), OSError):
                raise UpstreamFailed(Failure.RESET, self._alarm.host)
            self._is_over = True
            if self._link.reply is self:
                self._link.reply = None
            self._alarm.stop()
        return piece

    def _silent(self) -> None:
        """Nothing came for a while: whoever waits for a piece is told so."""
        waiter = self._content._waiter
        if waiter is not None and not waiter.done():
            self._is_silent = True
            waiter.set_result(None)

    def _left_over(self) -> bytes:
        """What came before the answer broke off: aiohttp's reader raises before it gives that out."""
        return self._content._read_nowait(-1) if self._content._buffer else b""

    def _break_off(self, error: Exception) -> Failure:
        """How an answer failed in the middle of its body."""
        if isinstance(self._protocol.exception(), HttpProcessingError):
            return Failure.MALFORMED
        if isinstance(error, aiohttp.ClientPayloadError) and not isinstance(
            self._protocol.exception(), OSError
        ):
            return Failure.TRUNCATED
        return Failure.RESET

    def lost(self) -> None:
        """The connection is gone."""
        if self._content.exception() is None and not self._content.is_eof():
            self._content.set_exception(aiohttp.ClientPayloadError())

    def _too_late(self) -> None:
        self._break(UpstreamFailed(self._alarm.rung or Failure.IDLE_TIMEOUT, self._alarm.host))

    def _break(self, error: Exception) -> None:
        """Ends the answer, whoever waits for it."""
        self._error = error
        self._content.set_exception(error)
        self._cut()

    def _cut(self) -> None:
        """Ends the connection at once, unless it has gone back to the pool: it may carry another's answer."""
        is_uploading = self._upload is not None and not self._upload.is_over
        if is_uploading or self._response.connection is not None:
            self._transport.abort()

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._alarm.stop()
        if self._link.reply is self:
            self._link.reply = None
        self._cut()
        self._response.close()


def _failed(failure: Failure, host: str | None, error: Exception) -> UpstreamFailed:
    # the type alone: texts of errors may hold addresses with user information
    return UpstreamFailed(failure, f"{host}: {type(error).__name__}")


def _is_closed_unanswered(error: Exception) -> bool:
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return isinstance(error.message, str)  # else it holds the part of a head that had come
    return isinstance(error, OSError)


def _answer_failure(error: Exception) -> Failure:
    return Failure.MALFORMED if isinstance(error, aiohttp.ClientResponseError) else Failure.RESET


def _connect_failure(error: Exception, url: yarl.URL, way: Route) -> Failure:
    """Why there is no connection, for what `_CONNECT_ERRORS` lists."""
    if isinstance(error, ProxyTimeoutError):
        return Failure.CONNECT_TIMEOUT
    if isinstance(error, aiohttp.ClientProxyConnectionError | ProxyError | ProxyConnectionError):
        return Failure.PROXY
    proxy = way.proxy
    cause: Exception = error
    if isinstance(error, aiohttp.ClientConnectorError):
        if proxy is not None and (error.host, error.port) == (proxy.raw_host, proxy.port):
            return Failure.PROXY  # its name is unknown, or its certificate not trusted
        cause = error.os_error
    if isinstance(cause, ssl.SSLError):
        return Failure.TLS
    if isinstance(error, aiohttp.ClientConnectorDNSError) or isinstance(
        cause, socket.gaierror | UnicodeError
    ):
        return Failure.DNS
    if isinstance(cause, TimeoutError):
        return Failure.CONNECT_TIMEOUT
    if isinstance(error, aiohttp.ClientConnectorError):
        # a connection that was made and then broke can only have done so in the handshake
        is_broken = isinstance(cause, ConnectionError) and not isinstance(cause, ConnectionRefusedError)
        return Failure.TLS if is_broken and url.scheme == "https" else Failure.REFUSED
    return Failure.PROXY if way.is_proxied else Failure.RESET
