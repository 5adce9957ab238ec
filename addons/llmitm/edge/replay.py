"""Client replay through the gateway: a leg that is played again takes the whole journey again.

mitmproxy's own replay would connect to the leg's host itself. One class of it serves the command,
mitmweb's button, `replay.client.file` and `-C`, so that one class is replaced.
"""

from __future__ import annotations

import asyncio
from typing import Any

from mitmproxy import http
from mitmproxy.addons import clientplayback
from mitmproxy.connection import ConnectionState, Server
from mitmproxy.options import Options
from mitmproxy.proxy import server
from mitmproxy.proxy.context import Context

from llmitm.edge.layer import VIRTUAL_ADDRESS, GatewayLayer

_STOCK: Any = clientplayback.ReplayHandler


def install(door: Any) -> None:
    """From now on replays go through `door`. An upstream leg is played by itself: see `Replay`."""

    class Replay(_STOCK):
        def __init__(self, flow: http.HTTPFlow, options: Options) -> None:
            client = flow.client_conn.copy()
            client.state = ConnectionState.OPEN
            client.proxy_mode = door._mode
            context = Context(client, options)
            context.server = Server(address=VIRTUAL_ADDRESS)
            server.ConnectionHandler.__init__(self, context)
            self.layer = GatewayLayer(context, door, self)
            self.layer.connections[client] = clientplayback.MockServer(flow, context.fork())
            self.flow = flow
            self.done = asyncio.Event()

    clientplayback.ReplayHandler = Replay  # type: ignore[misc]


def remove() -> None:
    clientplayback.ReplayHandler = _STOCK  # type: ignore[misc]
