"""How long clients may take for the heads of their requests: `[timeouts] header_s`.

Without an end to it, who sends a byte now and then holds a connection for as long as they like. For the first
request of a connection the time runs from when it was opened, with the TLS handshake in it; for each other
over HTTP/1 from its first byte, since a connection may rest between two. Who began a head is told 408.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from mitmproxy.proxy import events
from mitmproxy.proxy.server import ConnectionHandler

log = logging.getLogger("llmitm")


class HeadLate(events.Event):
    """The head of a request did not come in time."""


class Server(Protocol):
    """What reads the heads, and can say why it closes the connection."""

    @property
    def has_begun_head(self) -> bool: ...


class HeadTimer:
    """Of one connection."""

    def __init__(self, handler: ConnectionHandler, limit_s: float) -> None:
        self._handler = handler
        self._limit_s = limit_s
        self._timer: asyncio.TimerHandle | None = None
        self._telling: asyncio.Task[Any] | None = None
        self.http1: Server | None = None
        """None: nothing was agreed on yet, or HTTP/2."""

    def start(self) -> None:
        """Of no effect while it runs."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._limit_s, self._late)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        log.debug("a client sent no whole request head within %g s; its connection is closed", self._limit_s)
        if self.http1 is not None and self.http1.has_begun_head:
            self._telling = asyncio.ensure_future(self._handler.server_event(HeadLate()))
            return
        io = self._handler.transports.get(self._handler.client)
        if io is not None and io.handler is not None:
            io.handler.cancel("no request head in time")


__all__ = ["HeadLate", "HeadTimer"]
