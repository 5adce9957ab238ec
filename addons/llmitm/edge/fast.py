"""Shortcuts through mitmproxy's dispatch, for connections of the gateway alone.

Stock dispatch looks every hook up by name in every addon, starts a task for each hook, deep-copies an
option at each look, makes a `Server` for each fork of a context, and type-checks each field of each
message. None of that changes what happens; each shortcut can be switched off with LLMITM_FAST=0, and a
contract test holds what it relies on.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from mitmproxy import exceptions, flow, http
from mitmproxy.addonmanager import traverse
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import NextLayerHook
from mitmproxy.proxy.server import ConnectionHandler

log = logging.getLogger("llmitm")

_IDLE: Final = {
    "anticache": "anticache",
    "anticomp": "anticomp",
    "blocklist": "block_list",
    "maplocal": "map_local",
    "mapremote": "map_remote",
    "modifybody": "modify_body",
    "modifyheaders": "modify_headers",
    "onboarding": "onboarding",
    "proxyauth": "proxyauth",
    "save": "save_stream_file",
    "savehar": "hardump",
    "stickyauth": "stickyauth",
    "stickycookie": "stickycookie",
    "upstreamauth": "upstream_auth",
    "dumper": "flow_detail",
}
"""Stock addons that do nothing in HTTP hooks while their option is unset."""
_HTTP_HOOKS: Final = frozenset(
    {"requestheaders", "request", "responseheaders", "response", "error", "update"}
)


class Dispatch:
    """Hook functions by event name, looked up once and forgotten when addons or options change."""

    def __init__(self, master: Any) -> None:
        self._master = master
        self._known: dict[str, tuple[tuple[Callable[..., Any], ...], bool]] = {}
        manager = master.addons
        for name in ("register", "remove", "clear"):
            setattr(manager, name, self._forgetting(getattr(manager, name)))

    def _forgetting(self, stock: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any, **kwargs: Any) -> Any:
            self.forget()
            return stock(*args, **kwargs)

        return changed

    def forget(self) -> None:
        self._known.clear()

    def remove(self) -> None:
        for name in ("register", "remove", "clear"):
            vars(self._master.addons).pop(name, None)

    def functions(self, name: str) -> tuple[tuple[Callable[..., Any], ...], bool]:
        """The functions of a hook in order, and whether one of them may have to be awaited."""
        known = self._known.get(name)
        if known is None:
            found: list[Callable[..., Any]] = []
            options = self._master.options
            for addon in traverse(self._master.addons.chain):
                function = getattr(addon, name, None)
                if not callable(function):
                    continue
                option = _IDLE.get(getattr(addon, "name", type(addon).__name__.lower()))
                if option and name in _HTTP_HOOKS and not getattr(options, option, True):
                    continue
                found.append(function)
            is_async = any(inspect.iscoroutinefunction(function) for function in found)
            known = self._known[name] = (tuple(found), is_async)
        return known

    def inline(self, hook: Any) -> bool:
        """Runs a hook to its end, as `AddonManager.handle_lifecycle` would. False: it has to be awaited."""
        functions, is_async = self.functions(hook.name)
        if is_async:
            return False
        (data,) = hook.args()
        is_flow = isinstance(data, flow.Flow)
        updates: tuple[Callable[..., Any], ...] = ()
        if is_flow:
            updates, is_async = self.functions("update")
            if is_async:
                return False
        _call(functions, data)
        if updates:
            _call(updates, [data])
        return True


def _call(functions: tuple[Callable[..., Any], ...], data: Any) -> None:
    for function in functions:
        try:
            function(data)
        except exceptions.AddonHalt:
            return
        except (Exception, asyncio.CancelledError) as error:
            # a plain function has nothing to cancel: stock dispatch would leave the flow hanging
            logging.getLogger("mitmproxy.addonmanager").error("Addon error: %s", error, exc_info=True)
            return


class LeanContext(Context):
    """A context that forks without making a `Server`, and whose options are a plain snapshot."""

    @classmethod
    def of(cls, context: Context, options: Any) -> LeanContext:
        lean = cls.__new__(cls)
        lean.client, lean.server, lean.options = context.client, context.server, options
        lean.layers = context.layers.copy()
        return lean

    def fork(self) -> LeanContext:
        return LeanContext.of(self, self.options)


class Fast:
    """The shortcuts of one running gateway."""

    def __init__(self, master: Any) -> None:
        self.master = master
        self.dispatch = Dispatch(master)
        self.options = SimpleNamespace()
        self._check = http.MessageData.__dict__.get("__post_init__")
        self.configure()
        if self._check is not None:
            # the check runs for every message, and a gateway makes several for each request
            http.MessageData.__post_init__ = _unchecked  # type: ignore[method-assign]

    def configure(self) -> None:
        """Renews the snapshot of options. It is one object, so that connections see it change."""
        for name in self.master.options.keys():  # noqa: SIM118  it is no dictionary
            setattr(self.options, name, getattr(self.master.options, name))
        self.dispatch.forget()
        # Lines that nobody sees are not made: several for each connection.
        verbosity = getattr(self.master.options, "termlog_verbosity", "info")
        is_quiet = verbosity == "error" and self.master.addons.get("view") is None
        logging.getLogger("mitmproxy.proxy").setLevel(logging.ERROR if is_quiet else logging.NOTSET)

    def remove(self) -> None:
        self.dispatch.remove()
        logging.getLogger("mitmproxy.proxy").setLevel(logging.NOTSET)
        if self._check is not None:
            http.MessageData.__post_init__ = self._check  # type: ignore[method-assign]

    def attach(self, handler: ConnectionHandler) -> None:
        """Gives a connection its quicker event loop; from now on sync hooks run where they are due."""
        dispatch = self.dispatch
        stock_lock = handler._server_event_lock

        async def server_event(event: events.Event) -> None:
            async with stock_lock:
                handler.timeout_watchdog.register_activity()
                try:
                    _process(handler, dispatch, event)
                except Exception:
                    log.exception("a connection's layers broke; it is closed")
                    io = handler.transports.get(handler.client)
                    if io is not None and io.handler is not None:
                        io.handler.cancel("broke")

        handler.server_event = server_event  # type: ignore[method-assign]


def _unchecked(self: Any) -> None:
    """In place of a check of every field's type."""


def _process(handler: ConnectionHandler, dispatch: Dispatch, event: events.Event) -> None:
    """What `ConnectionHandler.server_event` does, hooks that need no awaiting run in place."""
    waiting: deque[events.Event] = deque((event,))
    unsent: list[bytes] = []
    """For the client, who gets head and body of a small answer in one segment."""
    while waiting:
        for command in handler.layer.handle_event(waiting.popleft()):
            if isinstance(command, commands.SendData):
                if command.connection is handler.client:
                    unsent.append(command.data)
            elif isinstance(command, commands.StartHook):
                if _hook(handler, dispatch, command) and command.blocking:
                    waiting.append(events.HookCompleted(command))
            elif isinstance(command, commands.Log):
                handler.log(command.message, command.level)
            elif isinstance(command, commands.ConnectionCommand):
                if unsent:
                    _write(handler, unsent)
                if command.connection not in handler.transports:
                    pass  # closed already
                elif isinstance(command, commands.CloseTcpConnection):
                    handler.close_connection(command.connection, command.half_close)
                elif isinstance(command, commands.CloseConnection):
                    handler.close_connection(command.connection, False)
                else:
                    raise RuntimeError(f"unexpected command: {command}")
            else:
                raise RuntimeError(f"unexpected command: {command}")
    if unsent:
        _write(handler, unsent)


def _write(handler: ConnectionHandler, unsent: list[bytes]) -> None:
    io = handler.transports.get(handler.client)
    if io is not None and io.writer is not None and not io.writer.is_closing():
        io.writer.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))
    unsent.clear()


def _hook(handler: ConnectionHandler, dispatch: Dispatch, hook: commands.StartHook) -> bool:
    """True where the hook has run; else a task of mitmproxy's own runs it."""
    if not isinstance(hook, NextLayerHook):
        (data,) = hook.args()
        if isinstance(data, flow.Flow) and data.intercepted:
            return _later(handler, hook)
    if not dispatch.inline(hook):
        return _later(handler, hook)
    (data,) = hook.args()
    if isinstance(data, flow.Flow) and data.intercepted:
        _spawn(handler, _resumed(handler, hook, data))
        return False
    return True


def _later(handler: ConnectionHandler, hook: commands.StartHook) -> bool:
    _spawn(handler, _awaited(handler, hook))
    return False


async def _awaited(handler: ConnectionHandler, hook: commands.StartHook) -> None:
    try:
        await handler.handle_hook(hook)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        log.error("a hook was cancelled from within: %s", hook.name)
    if hook.blocking:
        await handler.server_event(events.HookCompleted(hook))


async def _resumed(handler: ConnectionHandler, hook: commands.StartHook, held: flow.Flow) -> None:
    with handler.timeout_watchdog.disarm():
        await held.wait_for_resume()
    if hook.blocking:
        await handler.server_event(events.HookCompleted(hook))


def _spawn(handler: ConnectionHandler, work: Any) -> None:
    from mitmproxy.utils import asyncio_utils

    asyncio_utils.create_task(work, name="hook", keep_ref=True, client=handler.client.peername)


__all__ = ["Dispatch", "Fast", "LeanContext"]
