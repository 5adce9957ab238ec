"""The addon that makes mitmproxy a gateway: start, stop, who comes in, and what the client leg shows.

Hooks of mitmproxy fail open, so nothing here is needed to stop a request: the mode's target is a dead
address, and only the journey, reached through our layer, can send anything upstream.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import sys
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from mitmproxy import ctx, hooks, http
from mitmproxy.addonmanager import Loader
from mitmproxy.connection import Client
from mitmproxy.proxy import layer as mlayer
from mitmproxy.proxy.layers.tls import ClientTLSLayer, TlsData
from mitmproxy.proxy.mode_specs import ProxyMode, ReverseMode

from llmitm import journey, replayed
from llmitm.accept import forwarded
from llmitm.config.schema import Config
from llmitm.config.watch import changes
from llmitm.control import Board, LocalControl
from llmitm.edge import drain, garbage, masks, replay, terminal
from llmitm.edge.fast import Fast, LeanContext
from llmitm.edge.gallery import MitmwebGallery
from llmitm.edge.heads import HeadTimer
from llmitm.edge.layer import GatewayLayer
from llmitm.edge.legs import Legs, Tee, make_killable
from llmitm.edge.tls import Certificate
from llmitm.edge.upload import Patience
from llmitm.errors import ConfigError
from llmitm.exchange import ClientRequest, ResponseHead, Unwatched
from llmitm.secret import Redactor
from llmitm.world import World

if TYPE_CHECKING:
    from llmitm.admin.server import Server as Dashboard

log = logging.getLogger("llmitm")

DEAD_TARGET: Final = "http://127.0.0.1:9"
HOLD_BYTES: Final = 1_048_576
"""Announced bodies up to this size are held by mitmproxy where somebody may touch them, so that its own
hooks see them whole."""
PROMPT_BYTES: Final = 65_536
"""The same where nobody does: it may be a stranger's, whose key is not looked at before it is whole."""
SETTLE_S: Final = 10.0
"""What a service manager grants beyond that, until all records are written."""
VAULTS: Final = 2000
"""How many recent client legs can be replayed with the key that they came with."""
FORBIDDEN: Final = {
    "stream_large_bodies": None,
    "store_streamed_bodies": False,
    "body_size_limit": None,
    "validate_inbound_headers": True,
}
"""Options of mitmproxy that would break a rule of ours, with the only value they may have."""
_TOUCHING: Final = (
    "server_replay",
    "intercept",
    "map_local",
    "map_remote",
    "modify_body",
    "modify_headers",
    "client_replay",
)
_UNWATCHED: Final = Unwatched()
_FORWARDED: Final = b"x-forwarded-for"


class Door:
    """Hosts journeys in mitmproxy."""

    name = "llmitm-door"

    def __init__(self, world: World, board: Board | None = None) -> None:
        self.world = world
        self.control = LocalControl(world, stop=self.stop, board=board)
        self._board = board
        self.hold_limit_bytes = world.config.server.body_limit_bytes
        self.certificate: Certificate | None = None
        server = world.config.server
        self._mode: ProxyMode = ReverseMode.parse(f"reverse:{DEAD_TARGET}@{server.host}:{server.port}")
        self._is_running = False
        self._is_seen = self._is_touched = True
        self._vaults: OrderedDict[str, masks.Vault] = OrderedDict()
        self._tees: dict[str, tuple[Tee, Tee]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._prefix = secrets.token_hex(4)
        self._count = 0
        self._layers: WeakKeyDictionary[GatewayLayer, float] = WeakKeyDictionary()
        self._head_timers: dict[str, HeadTimer] = {}
        self._drain = drain.Drain(world, self._layers)
        self._is_loaded = False
        self._has_given_up = False
        self._fast: Fast | None = None
        self._dashboard: Dashboard | None = None
        if server.tls_cert is not None and server.tls_key is not None:
            self.certificate = Certificate(server.tls_cert, server.tls_key, http2=server.http2)
        world.followers.append(self._follow)

    # -- starting and stopping

    def load(self, loader: Loader) -> None:
        if self._is_loaded:
            return
        self._is_loaded = True
        _hide_secrets(self.world)
        # before anything runs: `-C` plays its first leg as soon as it can
        replay.install(self)
        if ctx.options.mode == ["regular"]:
            # Nobody asked for mitmproxy's own port: it shall never be open.
            for task in asyncio.all_tasks():
                if task.get_name() == "setup_servers" and not task.done():
                    task.cancel()
            ctx.master.addons.get("proxyserver").servers._instances.clear()

    def running(self) -> None:
        if self._is_running:
            return
        self._is_running = True
        others = [mode for mode in ctx.options.mode if mode != "regular"]
        for option, only in FORBIDDEN.items():
            if getattr(ctx.options, option, only) != only:
                self._give_up(f"option {option} cannot be used with llmitm; leave it at {only!r}")
        wanted: dict[str, Any] = {
            "mode": [*others, self._mode.full_spec],
            "server": True,
            "connection_strategy": "lazy",
            "keep_host_header": True,
            "block_global": False,
            "onboarding": False,
        }
        # a slim master lacks some of them
        ctx.options.update(**{name: value for name, value in wanted.items() if name in ctx.options})
        if self.world.is_fast:
            self._fast = Fast(ctx.master)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                loop.add_signal_handler(number, self.stop)
            except (NotImplementedError, RuntimeError):  # Windows, or not the main thread
                pass
        terminal.on_hangup(loop, reload=lambda: self._spawn(self._reload()), stop=self.stop)
        self._spawn(self._watch())
        self._spawn(self.world.metrics.loop.watch())
        self._spawn(garbage.give_back(self.world.clock))
        if self.world.ledger is not None:
            self.world.ledger.start()
        if self.world.tracing is not None:
            self.world.tracing.start()
        if self.world.spending is not None:
            self.world.spending.start()
        if self.world.presence is not None:
            self.world.presence.start()
        self._spawn(self._announce())

    async def _announce(self) -> None:
        """Waits until our port is open; gives up where it cannot be."""
        servers = ctx.master.addons.get("proxyserver").servers
        instance = None
        while instance is None or (not instance.is_running and instance.last_exception is None):
            await asyncio.sleep(0.01)
            instance = servers._instances.get(self._mode)
        server = self.world.config.server
        if instance.last_exception is not None:
            self._give_up(f"cannot listen on {server.host}:{server.port}: {_reason(instance.last_exception)}")
        for warning in self.world.config.warnings:
            log.warning("%s", warning)
        scheme = "https" if self.certificate else "http"
        drain.widen(instance._servers)
        bound = instance.listen_addrs[0]
        self.world.port = bound[1]
        names = ", ".join(self.world.config.endpoints) or "none"
        host = f"[{server.host}]" if ":" in server.host else server.host
        url = f"{scheme}://{host}:{bound[1]}"
        log.info("listening on %s, endpoints: %s", url, names)
        if self._board is not None:
            self._board.listening(url)
        if self.world.supervisor is not None:
            self.world.supervisor.ready(url)
            self._spawn(self.world.supervisor.beat(self.world.clock))
        if ctx.master.addons.get("webauth") is not None:
            self.world.gallery = MitmwebGallery(ctx.master)
        if self.world.config.dashboard.enabled:
            from llmitm.admin import server as admin  # costs memory where it is not wanted

            self._dashboard = await admin.started(self.world, self.control)
        if self.certificate is not None:
            self._spawn(self.certificate.watch())
        await asyncio.to_thread(self.world.prices.warm)  # forward endpoints have costs too
        if self.world.is_fast:
            garbage.leave_alone_what_is_here()

    async def _watch(self) -> None:
        """Takes each change of the configuration's files."""
        if self.world.source is None:
            return
        try:
            async for _ in changes(self.world.source, self.world.clock):
                await self._reload()
        except Exception:
            log.exception("changes of the configuration are no longer seen; SIGHUP has it read anew")

    async def _reload(self) -> None:
        try:
            await self.control.reload()
        except (ConfigError, LookupError):
            pass  # told already, or nothing to read
        except Exception:
            log.exception("the configuration could not be read anew; the one in force stays as it is")

    def _follow(self, config: Config) -> None:
        server = config.server
        self.hold_limit_bytes = server.body_limit_bytes
        if self.certificate is not None and server.tls_cert is not None and server.tls_key is not None:
            self.certificate.use(server.tls_cert, server.tls_key, http2=server.http2)

    def _give_up(self, message: str) -> None:
        print(f"llmitm: {message}", file=sys.stderr)
        self._has_given_up = True
        raise SystemExit(1)

    def stop(self) -> None:
        """Drains: stops accepting, lets what runs end, then shuts the master down. A second call has all that
        runs ended now, a third waits for nothing."""
        if not self.world.is_draining:
            self.world.is_draining = True
            self._spawn(self._stop())
        elif not self._drain.hurry():
            ctx.master.shutdown()

    async def _stop(self) -> None:
        world = self.world
        limit_s = world.config.server.shutdown_timeout_s
        if world.supervisor is not None:
            world.supervisor.stopping(limit_s + drain.CLOSE_S + SETTLE_S)
        proxyserver = ctx.master.addons.get("proxyserver")
        for instance in proxyserver.servers:
            drain.close(getattr(instance, "_servers", ()))
        await self._drain.run(limit_s)
        if self._dashboard is not None:
            await self._dashboard.close()
        if self.world.ledger is not None:
            await self.world.ledger.close()
        if self.world.tracing is not None:
            await self.world.tracing.close()
        ctx.master.shutdown()

    def done(self) -> None:
        # Synchronous: an async `done` would end mitmproxy's script watcher.
        for task in self._tasks:
            task.cancel()
        replay.remove()
        if self.world.ledger is not None:
            self.world.ledger.abandon()
        if self.world.tracing is not None:
            self.world.tracing.abandon()
        if self._fast is not None:
            self._fast.remove()
        if not self._has_given_up:  # the event loop ends at once then
            asyncio.get_running_loop().create_task(self.world.close())

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def configure(self, updated: set[str]) -> None:
        self._is_touched = self._someone_touches()
        self._is_seen = self._someone_sees()
        if self._fast is not None:
            self._fast.configure()

    def _someone_touches(self) -> bool:
        """Whether anybody may want the client's body whole, to change it or to look at it on a page."""
        addons, options = ctx.master.addons, ctx.options
        if addons.get("view") is not None or len(getattr(options, "scripts", ())) > 1:
            return True
        return any(getattr(options, name, None) for name in _TOUCHING)

    def _someone_sees(self) -> bool:
        """Whether anybody looks at flows: only then are upstream legs made."""
        addons, options = ctx.master.addons, ctx.options
        if addons.get("dumper") is not None and getattr(options, "flow_detail", 0) > 0:
            return True
        saves = getattr(options, "save_stream_file", None) or getattr(options, "hardump", None)
        return bool(saves) or self._is_touched or self.world.is_watched

    # -- who comes in

    def client_connected(self, client: Client) -> None:
        if client.proxy_mode != self._mode or self.world.is_cut:
            client.error = "llmitm serves its own port only"
            return
        handler = ctx.master.addons.get("proxyserver").connections[client.id]
        if self._fast is not None:
            self._fast.attach(handler)
        timer = self._head_timers[client.id] = HeadTimer(handler, self.world.config.timeouts.header_s)
        timer.start()

    def client_disconnected(self, client: Client) -> None:
        if (timer := self._head_timers.pop(client.id, None)) is not None:
            timer.stop()
        # mitmproxy leaks the socket where it closes a connection with unread data
        handler = ctx.master.addons.get("proxyserver").connections.get(client.id)
        io = handler.transports.get(client) if handler is not None else None
        if io is not None and io.writer is not None:
            io.writer.close()

    def next_layer(self, data: mlayer.NextLayer) -> None:
        context = data.context
        if context.client.proxy_mode != self._mode:
            return
        handler = ctx.master.addons.get("proxyserver").connections[context.client.id]
        has_tls = any(isinstance(above, ClientTLSLayer) for above in context.layers)
        if self.certificate is not None and not has_tls:
            data.layer = ClientTLSLayer(context)
        else:
            if self._fast is not None:
                context = LeanContext.of(context, self._fast.options)
            data.layer = made = GatewayLayer(context, self, handler, self._head_timers.get(context.client.id))
            self._layers[made] = time.monotonic()

    def tls_start_client(self, data: TlsData) -> None:
        if self.certificate is not None and data.context.client.proxy_mode == self._mode:
            data.ssl_conn = self.certificate.connection()

    # -- the client leg

    def requestheaders(self, leg: http.HTTPFlow) -> None:
        if not self._is_client_leg(leg):
            return
        make_killable(leg)
        leg.metadata["llmitm.leg"] = "client"
        leg.metadata["llmitm.exchange"] = exchange_id = self.next_id()
        leg.comment = f"{exchange_id}: client"
        data = leg.request.data
        if leg.client_conn.sockname:
            data.host, data.port = leg.client_conn.sockname[:2]
        data.scheme = b"https" if leg.client_conn.tls else b"http"
        length = leg.request.headers.get("content-length", "")
        announced = int(length) if length.isdecimal() else None
        is_chunked = "transfer-encoding" in leg.request.headers
        held_bytes = HOLD_BYTES if self._is_touched else PROMPT_BYTES
        is_small = announced is not None and announced <= held_bytes
        has_body = announced or is_chunked or leg.request.is_http2
        if has_body and not is_small and not self.wants_request(leg):
            sent, _ = self._tees_of(leg)
            leg.request.stream = self._show_sent(leg, sent) if self._is_seen else True

    def request(self, leg: http.HTTPFlow) -> None:
        if self._is_client_leg(leg) and leg.request.stream and leg.id in self._tees:
            leg.request.data.content = self.shown(self._tees[leg.id][0].content(), leg.request)

    def response(self, leg: http.HTTPFlow) -> None:
        self._keep_content(leg)

    def error(self, leg: http.HTTPFlow) -> None:
        self._keep_content(leg)

    def _keep_content(self, leg: http.HTTPFlow) -> None:
        tees = self._tees.pop(leg.id, None)
        if tees is None:
            return
        sent, got = tees
        if leg.request.stream and leg.request.data.content is None:
            leg.request.data.content = self.shown(sent.content(), leg.request)
        if leg.response is not None and leg.response.stream:
            leg.response.data.content = self.shown(got.content(), leg.response)
            if leg.response.timestamp_end is None:
                leg.response.timestamp_end = time.time()
        if sent.is_cut or got.is_cut:
            leg.comment += " (only the beginning of the body is kept)"

    def _is_client_leg(self, leg: http.HTTPFlow) -> bool:
        return leg.client_conn.proxy_mode == self._mode and leg.metadata.get("llmitm.leg") != "upstream"

    def _tees_of(self, leg: http.HTTPFlow) -> tuple[Tee, Tee]:
        tees = self._tees.get(leg.id)
        if tees is None:
            tees = self._tees[leg.id] = (Tee(), Tee())
        return tees

    def _show_sent(self, leg: http.HTTPFlow, tee: Tee) -> Any:
        def pass_on(piece: bytes) -> bytes:
            if tee.add(piece):
                leg.request.data.content = self.shown(tee.content(), leg.request)
                self.refresh(leg)
            return piece

        return pass_on

    # -- what the layer asks (layer.Host)

    def carry(
        self, request: ClientRequest, client_flow: http.HTTPFlow
    ) -> AsyncIterator[ResponseHead | bytes]:
        metadata = client_flow.metadata
        if metadata.get("llmitm.leg") == "upstream":
            # an upstream leg is played again: it is its own leg
            return replayed.resend(
                request,
                self.world,
                _UNWATCHED,
                origin=str(metadata.get("llmitm.url", "")),
                endpoint=str(metadata.get("llmitm.endpoint", "")),
                provider=str(metadata.get("llmitm.provider", "")),
                credential=metadata.get("llmitm.credential"),
                gateway=metadata.get("llmitm.gateway"),
            )
        world = self.world
        if trusted := world.config.server.trusted_proxies:
            told = [value.decode("latin-1") for name, value in request.headers if name.lower() == _FORWARDED]
            request = replace(request, client=forwarded.client_of(request.client, told, trusted))
        if world.tickets:
            request = world.tickets.known(request, is_local=_is_local(client_flow.client_conn))
        watch = Legs(self, client_flow) if self._is_seen else _UNWATCHED
        return journey.carry(request, world, watch)

    def next_id(self) -> str:
        self._count += 1
        return f"llmitm-{self._prefix}-{self._count:x}"

    def stream_response(self, client_flow: http.HTTPFlow, response: http.Response) -> Any:
        if not self._is_seen:
            return True
        before = client_flow.response
        client_flow.response = response
        held = self.wants_response(client_flow)
        client_flow.response = before
        if held:
            return False
        _, tee = self._tees_of(client_flow)

        def pass_on(piece: bytes) -> bytes:
            if tee.add(piece):
                response.data.content = self.shown(tee.content(), response)
                self.refresh(client_flow)
            return piece

        return pass_on

    def vault_of(self, client_flow: http.HTTPFlow) -> masks.Vault | None:
        return self._vaults.get(client_flow.id)

    def keep_vault(self, client_flow: http.HTTPFlow, vault: masks.Vault) -> None:
        if self._is_seen and vault:
            if vault.sent is not None and len(vault.sent.real) > masks.MOST_KEPT_BYTES:
                vault = replace(vault, sent=None)
            self._vaults[client_flow.id] = vault
            if len(self._vaults) > VAULTS:
                self._vaults.popitem(last=False)

    # -- what legs ask

    def wants_request(self, leg: http.HTTPFlow) -> bool:
        """Whether somebody needs the request's body whole: an interceptor or a server replay."""
        if not self._is_seen:
            return False
        return bool(getattr(ctx.options, "server_replay", None)) or self._intercepts(leg)

    def wants_response(self, leg: http.HTTPFlow) -> bool:
        return self._is_seen and self._intercepts(leg)

    def _intercepts(self, leg: http.HTTPFlow) -> bool:
        addon = ctx.master.addons.get("intercept")
        return addon is not None and bool(addon.should_intercept(leg))

    async def trigger(self, hook: hooks.Hook) -> None:
        await ctx.master.addons.handle_lifecycle(hook)

    def refresh(self, leg: http.HTTPFlow) -> None:
        ctx.master.addons.trigger(hooks.UpdateHook([leg]))

    @property
    def redactor(self) -> Redactor | None:
        return self.world.redact if self._is_seen else None

    @property
    def cors_origins(self) -> tuple[str, ...]:
        return self.world.config.server.cors_origins

    @property
    def patience(self) -> Patience:
        times = self.world.config.timeouts
        return Patience(idle_s=times.idle_s, whole_s=times.exchange_s)

    def redact(self, text: str) -> str:
        return self.world.redact(text)

    def shown(self, content: bytes, message: http.Message) -> bytes:
        """A body, or the beginning of one, without secrets."""
        hidden = masks.HiddenBody.of(content, message.headers.fields, self.world.redact)
        return content if hidden is None else hidden.shown


def _is_local(client: Client) -> bool:
    """Whether it comes from this machine."""
    peer, own = client.peername, client.sockname
    return bool(peer and own) and (peer[0] == own[0] or peer[0] in ("127.0.0.1", "::1"))


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        import errno
        import os

        known = {errno.EADDRINUSE: "the port is in use; choose another ([server] port, or PORT)"}
        return known.get(error.errno, os.strerror(error.errno))
    return str(error)


def _hide_secrets(world: World) -> None:
    """Passes every log record of the process, and what the dumper prints, through the redaction filter."""
    stock = logging.getLogRecordFactory()
    formatter = logging.Formatter()

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made = stock(*args, **kwargs)
        if made.name != "llmitm":  # our own log is redacted where it is written
            made.msg, made.args = world.redact(made.getMessage()), ()
            if made.exc_info:
                made.msg += "\n" + world.redact(formatter.formatException(made.exc_info))
                made.exc_info = None
        return made

    logging.setLogRecordFactory(record)
    dumper = ctx.master.addons.get("dumper")
    if dumper is not None:
        dumper.outfp = _RedactedOutput(dumper.outfp, world)


class _RedactedOutput:
    """A text stream that redacts what is written to it."""

    def __init__(self, out: Any, world: World) -> None:
        self._out = out
        self._world = world

    def write(self, text: str) -> int:
        self._out.write(self._world.redact(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)
