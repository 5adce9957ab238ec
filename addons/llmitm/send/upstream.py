"""One attempt over the wire, with aiohttp: pooled connections, bytes as they are, timeouts of our own.

Nothing is added to a request but its framing and its credential, nothing is decoded in an answer, no
redirect is followed, and no cookie or proxy of the environment is used.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import yarl
from aiohttp import http_exceptions
from aiohttp_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError
from multidict import CIMultiDict

from llmitm.clock import Clock
from llmitm.errors import Failure, Refused, UpstreamFailed
from llmitm.exchange import Attempt, Body, Headers, ResponseHead, UpstreamReply, UpstreamRequest
from llmitm.secret import Secret
from llmitm.send.headers import as_text, forwardable_response
from llmitm.send.proxies import Route, route

HEAD_LIMIT_BYTES: Final = 65_536
WHOLE_LIMIT_BYTES: Final = 65_536
"""An answer up to this size that is here completely when its head is, is handed on in one piece."""
_NO_DEFAULTS: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """In seconds. `first_byte_s` counts from the last piece sent, `idle_s` only while somebody waits."""

    connect_s: float = 5
    first_byte_s: float = 120
    idle_s: float = 120
    exchange_s: float = 600


class _Silence(Exception):
    """Set on a stream whose upstream said nothing for too long."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class Upstream:
    """An `exchange.Sender`. One pool per proxy, shared by all clients."""

    def __init__(
        self, timeouts: Timeouts, clock: Clock, *, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._timeouts = timeouts
        self._clock = clock
        self._ssl: ssl.SSLContext | bool = ssl_context or True
        self._sessions: dict[Secret | None, tuple[aiohttp.ClientSession, Route]] = {}

    async def send(self, attempt: Attempt, request: UpstreamRequest) -> UpstreamReply:
        """See `exchange.Sender`.

        A request whose body is held is sent once more, on a fresh connection, where a pooled connection
        turns out to have been closed before a single byte of an answer: the race with the server's own
        idle timeout. Nothing else is sent twice here.
        """
        headers = _with_credentials(request.headers, attempt)
        try:
            url = yarl.URL(request.url, encoded=True)
        except ValueError:
            raise Refused(400, "invalid_path", "The request's path makes no valid URL.") from None
        session, way = self._session(attempt.proxy_url)
        if way.plain_headers and url.scheme == "http":
            headers.extend(way.plain_headers)
        is_held = request.body.held is not None
        for is_last in (False, True):
            used = SimpleNamespace(is_reused=False)
            try:
                return await self._send_once(session, way, request, url, headers, used)
            except UpstreamFailed as failed:
                stale = used.is_reused and failed.failure is Failure.RESET and is_held
                if is_last or not stale:
                    raise
        raise AssertionError("unreachable")

    async def _send_once(
        self,
        session: aiohttp.ClientSession,
        way: Route,
        request: UpstreamRequest,
        url: yarl.URL,
        headers: CIMultiDict[str],
        used: SimpleNamespace,
    ) -> UpstreamReply:
        times = self._timeouts
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        deadline_s = started_s + times.exchange_s
        upload: _Upload | None = None
        data: Any = request.body.held
        try:
            async with asyncio.timeout_at(
                min(started_s + times.connect_s + times.first_byte_s, deadline_s)
            ) as limit:
                if data is None:
                    upload = _Upload(request.body, limit, times.first_byte_s, deadline_s)
                    data = upload.pieces()
                response = await session.request(
                    request.method,
                    url,
                    headers=headers,
                    data=data or None,
                    allow_redirects=False,
                    trace_request_ctx=used,
                    **way.request,
                )
        except TimeoutError as error:
            if upload is not None and upload.error is not None:
                raise upload.error from None
            if isinstance(error, aiohttp.ServerTimeoutError):
                raise UpstreamFailed(Failure.CONNECT_TIMEOUT, url.host or "") from None
            over = loop.time() >= deadline_s
            raise UpstreamFailed(
                Failure.EXCHANGE_TIMEOUT if over else Failure.FIRST_BYTE_TIMEOUT, url.host or ""
            ) from None
        except (aiohttp.ClientError, OSError, ProxyError, ProxyConnectionError, ProxyTimeoutError) as error:
            if upload is not None and upload.error is not None:
                raise upload.error from None
            raise UpstreamFailed(_failure_of(error), f"{url.host}: {type(error).__name__}") from None
        return _Reply(response, times.idle_s, deadline_s)

    def _session(self, proxy_url: Secret | None) -> tuple[aiohttp.ClientSession, Route]:
        known = self._sessions.get(proxy_url)
        if known is None:
            way = route(proxy_url, ssl=self._ssl)
            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_note_reuse)
            session = aiohttp.ClientSession(
                connector=way.connector,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_NO_DEFAULTS,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect_s),
                trust_env=False,
                max_line_size=HEAD_LIMIT_BYTES,
                max_field_size=HEAD_LIMIT_BYTES,
                read_bufsize=65_536,
                trace_configs=[trace],
            )
            # aiohttp would send idempotent requests again by itself, whatever their body
            session._retry_connection = False
            known = self._sessions[proxy_url] = (session, way)
        return known

    async def close(self) -> None:
        sessions = [session for session, _ in self._sessions.values()]
        self._sessions.clear()
        for session in sessions:
            await session.close()


async def _note_reuse(session: Any, context: Any, params: Any) -> None:
    context.trace_request_ctx.is_reused = True


def _with_credentials(headers: Headers, attempt: Attempt) -> CIMultiDict[str]:
    put = attempt.credential_headers
    replaced = {name.lower() for name, _ in put}
    kept = tuple(pair for pair in headers if pair[0].lower() not in replaced) if put else headers
    pairs = as_text(kept)
    pairs += [(name.decode("ascii"), secret.reveal()) for name, secret in put]
    return CIMultiDict(pairs)


class _Upload:
    """A body on its way up: each piece puts the limit off, and its own error is remembered.

    aiohttp turns what a body raises into a connection error of its own.
    """

    def __init__(self, body: Body, limit: asyncio.Timeout, first_byte_s: float, deadline_s: float) -> None:
        self._body = body
        self._limit = limit
        self._first_byte_s = first_byte_s
        self._deadline_s = deadline_s
        self.error: BaseException | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        try:
            async for piece in self._body.pieces():
                yield piece
                self._put_off(loop.time())
        except (Exception, asyncio.CancelledError) as error:
            self.error = error
            raise

    def _put_off(self, now_s: float) -> None:
        try:
            self._limit.reschedule(min(now_s + self._first_byte_s, self._deadline_s))
        except RuntimeError:
            pass  # the answer is there already


class _Reply:
    """An answer whose head has come."""

    def __init__(self, response: aiohttp.ClientResponse, idle_s: float, deadline_s: float) -> None:
        self._response = response
        self._idle_s = idle_s
        self._deadline_s = deadline_s
        self._loop = asyncio.get_running_loop()
        self._waiting_since_s: float | None = None
        self._ended = False
        headers = forwardable_response(response.raw_headers)
        whole: bytes | None = None
        content = response.content
        if response.method == "HEAD" or response.status in (204, 304):
            whole = b""
        elif content.is_eof() and content.exception() is None and content.total_bytes <= WHOLE_LIMIT_BYTES:
            whole = content.read_nowait()
        self._ended = whole is not None
        self.head = ResponseHead(
            status=response.status,
            reason=(response.reason or "").encode("utf-8", "surrogateescape"),
            headers=headers,
            whole=whole,
        )
        self._timer = None if self._ended else self._loop.call_at(self._next_look_s(), self._look)

    def _next_look_s(self) -> float:
        return min(self._loop.time() + self._idle_s, self._deadline_s)

    def _look(self) -> None:
        """Runs rarely: on the data path only a number is written."""
        now_s = self._loop.time()
        since_s = self._waiting_since_s
        if now_s >= self._deadline_s:
            self._response.content.set_exception(_Silence(Failure.EXCHANGE_TIMEOUT))
        elif since_s is not None and now_s - since_s >= self._idle_s:
            self._response.content.set_exception(_Silence(Failure.IDLE_TIMEOUT))
        else:
            next_s = self._next_look_s() if since_s is None else min(since_s + self._idle_s, self._deadline_s)
            self._timer = self._loop.call_at(next_s, self._look)

    async def read(self) -> bytes:
        if self._ended:
            return b""
        self._waiting_since_s = self._loop.time()
        try:
            piece = await self._response.content.readany()
        except _Silence as silence:
            raise UpstreamFailed(silence.failure) from None
        except aiohttp.ClientPayloadError as error:
            reset = isinstance(error.__cause__, ConnectionError)
            raise UpstreamFailed(Failure.RESET if reset else Failure.TRUNCATED) from None
        except http_exceptions.HttpProcessingError:
            raise UpstreamFailed(Failure.MALFORMED) from None
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamFailed(Failure.RESET, type(error).__name__) from None
        finally:
            self._waiting_since_s = None
        if not piece:
            self._ended = True
        return piece

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ended and self._response.content.exception() is None:
            self._response.release()
        else:
            self._response.close()


def _failure_of(error: BaseException) -> Failure:
    match error:
        case (
            aiohttp.ClientProxyConnectionError()
            | aiohttp.ClientHttpProxyError()
            | ProxyError()
            | ProxyConnectionError()
            | ProxyTimeoutError()
        ):
            return Failure.PROXY
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Failure.TLS
        case aiohttp.ClientConnectorDNSError():
            return Failure.DNS
        case aiohttp.ClientConnectorError():
            return Failure.REFUSED
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            return Failure.MALFORMED
        case _:
            return Failure.RESET
