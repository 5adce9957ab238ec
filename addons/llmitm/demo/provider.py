"""A provider of LLM APIs on loopback, that speaks four dialects and can be told to fail.

It serves the demonstration, the tests and the benchmarks; nothing of it stands on the gateway's own
path. As a process of its own: `python -m llmitm.demo.provider --port 9000`.

Besides the APIs, bare or behind Cloudflare's paths: `/echo/…` tells what arrived, `/bytes?n=N&chunk=M`
sends bytes, `/sse?n=N&interval_ms=M` sends events. What it is told to do wrong is written as `faults`
says: for one request in its header or query `x-demo-fault`, for the next requests to models by
`Provider.script`.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import logging
import signal
import ssl as tls
from collections import deque
from collections.abc import Collection, Iterable
from types import TracebackType
from typing import Self

from aiohttp import web

from llmitm.clock import Clock, SystemClock
from llmitm.demo import cloudflare, routes
from llmitm.demo.answers import Reply
from llmitm.demo.apis import api_reply, is_in_array
from llmitm.demo.errors import error, error_event, told
from llmitm.demo.faults import NO_FAULTS, Faults, Kind, parse
from llmitm.demo.plain import is_echo, pause_s, plain_reply
from llmitm.demo.play import play
from llmitm.demo.received import Received
from llmitm.demo.routes import Route, Task
from llmitm.demo.wire import Sent, Wire
from llmitm.exchange import Dialect

FAULT_HEADER = "x-demo-fault"
REQUESTS_KEPT = 1000
ECHO_KEPT_BYTES = 65_536
"""How much of an upload to /echo is kept in `Received.body`."""
_KEY_HEADERS = (b"x-api-key", b"x-goog-api-key", b"api-key")

__all__ = ["Provider", "Received"]


class Provider:
    """The server. Use it as an async context manager, or `start` and `close` it.

    `keys` are the provider keys that it knows, `cf_tokens` Cloudflare's; None asks for none. `pace_s` is
    the wait before each piece of a streamed answer.
    """

    def __init__(
        self,
        *,
        keys: Collection[str] | None = None,
        cf_tokens: Collection[str] | None = None,
        pace_s: float = 0.0,
        clock: Clock | None = None,
        requests_kept: int = REQUESTS_KEPT,
    ) -> None:
        self.requests: deque[Received] = deque(maxlen=requests_kept)
        """What arrived, oldest first: noted when the head has come."""
        self.count = 0
        """How many requests ever came."""
        self.url = ""
        self.port = 0
        self._keys = keys
        self._cf_tokens = cf_tokens
        self._pace_s = pace_s
        self._clock: Clock = clock or SystemClock()
        self._script: deque[Faults] = deque()
        self._arrival = asyncio.Event()
        self._tasks: set[asyncio.Task[object]] = set()
        self._is_closing = False
        self._http: web.Server | None = None
        self._listener: asyncio.Server | None = None

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, ssl: tls.SSLContext | None = None
    ) -> Provider:
        """Listens; port 0 takes a free one. Raises `OSError` where that cannot be."""
        self._is_closing = False
        # Not in logging's tree: a client's broken request is nothing to tell of here. With `debug`
        # a mistake of our own shows its traceback in the 500.
        logger = logging.Logger("llmitm-demo-provider")
        logger.addHandler(logging.NullHandler())
        self._http = web.Server(
            self._handle,
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            logger=logger,
            debug=True,
            max_line_size=1_048_576,
            max_field_size=1_048_576,
            max_headers=10_000,
        )
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._http, host, port, ssl=ssl, backlog=1024)
        self.port = self._listener.sockets[0].getsockname()[1]
        self.url = f"{'https' if ssl else 'http'}://{host}:{self.port}"
        return self

    async def close(self) -> None:
        """Stops listening and breaks off what is under way. Idempotent."""
        if self._listener is None or self._http is None:
            return
        self._is_closing = True
        self._listener.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._http.pre_shutdown()
        for connection in self._http.connections:
            # a TLS peer that does not say goodbye is not waited for
            if connection.transport is not None:
                connection.transport.abort()
        await self._http.shutdown(1.0)
        await self._listener.wait_closed()
        self._listener = self._http = None

    async def __aenter__(self) -> Self:
        if self._listener is None:
            await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def script(self, specs: Iterable[str | None]) -> None:
        """Queues faults: each next request to a model takes one, None is for an answer without any.

        Raises:
            ValueError: a fault is not written as `faults` says.
        """
        self._script.extend(NO_FAULTS if spec is None else parse(spec) for spec in specs)

    async def received(self, count: int) -> Received:
        """The `count`th request (1 is the first); waits until its head has come."""
        while self.count < count:
            self._arrival.clear()
            await self._arrival.wait()
        return self.requests[count - 1 - self.count]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        received = self._note(request)
        wire = Wire(request)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(request, received, wire)
        except ConnectionError:
            wire.keep_alive = False
            received.gone.set()
        except asyncio.CancelledError:
            # aiohttp cancels us when the connection is lost, which may be our own doing
            if not wire.is_over and not self._is_closing:
                received.gone.set()
            raise
        finally:
            self._tasks.discard(task)
            received.ended_s = self._clock.tick_s()
            received.ended.set()
        return Sent(keep_alive=wire.keep_alive)

    def _note(self, request: web.BaseRequest) -> Received:
        peer = request.transport.get_extra_info("peername") if request.transport else None
        received = Received(
            method=request.method,
            target=request.raw_path,
            headers=list(request.raw_headers),
            peer=f"{peer[0]}:{peer[1]}" if peer else "",
            began_s=self._clock.tick_s(),
        )
        self.requests.append(received)
        self.count += 1
        self._arrival.set()
        return received

    async def _serve(self, request: web.BaseRequest, received: Received, wire: Wire) -> None:
        if received.text(b"expect").lower() == "100-continue":
            await wire.raw(b"HTTP/1.1 100 Continue\r\n\r\n")
        await self._read(request, received)
        route = routes.find(received.path, is_anthropic=received.header(b"anthropic-version") is not None)
        dialect = route.dialect if route else routes.dialect_of(received.path)
        in_array = route is not None and is_in_array(route, received)
        faults, reply = NO_FAULTS, None
        try:
            if spec := received.text(FAULT_HEADER.encode()) or received.query.get(FAULT_HEADER, ""):
                faults = parse(spec)
            reply = self._refuse(route, received) if route else None
            if reply is None:
                if not spec and route and route.task is not Task.MODELS and self._script:
                    faults = self._script.popleft()
                reply = told(faults, dialect, self.url, in_array=in_array)
            reply = reply or self._reply(route, received, faults)
        except ValueError as problem:
            faults, reply = NO_FAULTS, error(dialect, 400, str(problem))
        await play(
            reply,
            faults,
            wire,
            self._clock,
            error_event=lambda is_first: error_event(dialect, in_array=in_array, is_first=is_first),
            pace_s=pause_s(received) or (self._pace_s if reply.is_stream else 0.0),
        )

    async def _read(self, request: web.BaseRequest, received: Received) -> None:
        """Reads the body: held whole for an API, only counted and hashed for /echo."""
        echoes = is_echo(received.path)
        digest = hashlib.sha256()
        held: list[bytes] = []
        async for piece in request.content.iter_any():
            if not echoes or received.body_bytes < ECHO_KEPT_BYTES:
                held.append(piece)
            if echoes:
                digest.update(piece)
            received.body_bytes += len(piece)
        body = b"".join(held)
        received.body = body[:ECHO_KEPT_BYTES] if echoes else body
        if echoes:
            received.body_sha256 = digest.hexdigest()
        received.read_s = self._clock.tick_s()

    def _reply(self, route: Route | None, received: Received, faults: Faults) -> Reply:
        if route is not None:
            return api_reply(route, received, never_streams=Kind.JSON_INSTEAD_OF_SSE in faults)
        if reply := plain_reply(received):
            return reply
        if cloudflare.find(received.path):
            return cloudflare.error(2008)
        message = f"Unknown request URL: {received.method} {received.path}."
        return error(routes.dialect_of(received.path), 404, message, "unknown_url")

    def _refuse(self, route: Route, received: Received) -> Reply | None:
        """The 401 for a request without a credential that is known here."""
        bearer = received.text(b"authorization").removeprefix("Bearer ")
        if route.hop is not None and self._cf_tokens is not None:
            is_rest = route.hop.form is cloudflare.Form.REST
            gateway_token = received.text(b"cf-aig-authorization").removeprefix("Bearer ")
            if (bearer if is_rest else gateway_token) not in self._cf_tokens:
                return cloudflare.error(10000 if is_rest else 2009)
        if route.hop is not None and route.hop.form is cloudflare.Form.REST:
            # no provider key can be sent this way
            return None
        if self._keys is None:
            return None
        given = [bearer, received.query.get("key", ""), *map(received.text, _KEY_HEADERS)]
        if any(key in self._keys for key in given if key):
            return None
        code = "UNAUTHENTICATED" if route.dialect is Dialect.GEMINI else None
        return error(route.dialect, 401, code=code, in_array=is_in_array(route, received))


async def _run(host: str, port: int, pace_s: float) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    async with await Provider(pace_s=pace_s).start(host, port) as provider:
        print(provider.url, flush=True)
        await ending.wait()


def main() -> None:
    """Runs a provider until SIGTERM or SIGINT; prints its URL first."""
    parser = argparse.ArgumentParser(
        prog="python -m llmitm.demo.provider", description="A provider to try on."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--pace-ms", type=float, default=0.0, help="wait before each piece of a stream")
    options = parser.parse_args()
    asyncio.run(_run(options.host, options.port, options.pace_ms / 1000))


if __name__ == "__main__":
    main()
