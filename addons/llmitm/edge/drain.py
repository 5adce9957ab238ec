"""Stopping: nobody new comes in, what runs may end by itself, and what does not is ended, in the open."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any, Final
from weakref import WeakKeyDictionary

from llmitm.edge.layer import GatewayLayer
from llmitm.trip.live import GOING_AWAY
from llmitm.world import World

log = logging.getLogger("llmitm")

CLOSE_S: Final = 2.0
"""How long what is ended may take to tell its clients."""
ARRIVE_S: Final = 1.0
"""A connection that is younger, and has brought no request, is waited for: one is on its way."""
BACKLOG: Final = 1024
"""Connections that may wait to be accepted. Where no more fit, clients try again after a second."""
_LOOK_S: Final = 0.02


def widen(listeners: Iterable[asyncio.Server]) -> None:
    """mitmproxy leaves it at asyncio's own backlog, which many clients that come at once overrun."""
    for listener in listeners:
        for one in listener.sockets:
            with one.dup() as socket:
                socket.listen(BACKLOG)


def close(listeners: Iterable[asyncio.Server]) -> None:
    """Takes no more connections. Those that the system has taken already come in: it would reset them."""
    loop = asyncio.get_running_loop()
    for listener in listeners:
        factory: Any = listener._protocol_factory  # type: ignore[attr-defined]
        for one in listener.sockets:
            with one.dup() as socket:
                while True:
                    try:
                        accepted, _ = socket.accept()
                    except OSError:  # nobody waits
                        break
                    accepted.setblocking(False)
                    loop.create_task(loop.connect_accepted_socket(factory, accepted))
        listener.close()


class Drain:
    """Ends what runs. `layers` are those of all connections, with when each was made, on `time.monotonic`."""

    def __init__(self, world: World, layers: WeakKeyDictionary[GatewayLayer, float]) -> None:
        self._world = world
        self._layers = layers
        self._is_hurried = False

    def hurry(self) -> bool:
        """Nothing is waited for any more. False: so it was already."""
        was, self._is_hurried = self._is_hurried, True
        return not was

    async def run(self, limit_s: float) -> None:
        """Waits at most `limit_s` for exchanges to end, and then ends them: clients are told so."""
        world = self._world
        if world.in_flight:
            log.info("stopping: %d in flight, at most %g s", world.in_flight, limit_s)
        until_s = time.monotonic() + limit_s
        while not self._is_hurried and time.monotonic() < until_s and (world.in_flight or self._is_one_due()):
            await asyncio.sleep(_LOOK_S)
        for session in tuple(world.sessions):
            session.stop(GOING_AWAY, "The gateway is shutting down.")
        if world.running:
            log.warning("stopped with %d still in flight", len(world.running))
        world.cut()
        until_s = time.monotonic() + CLOSE_S
        while (world.in_flight or world.sessions) and time.monotonic() < until_s:
            await asyncio.sleep(_LOOK_S)
        await asyncio.sleep(0.05)  # let the last answers reach their sockets

    def _is_one_due(self) -> bool:
        since_s = time.monotonic() - ARRIVE_S
        return any(made_s > since_s and not layer.is_asked for layer, made_s in self._layers.items())
