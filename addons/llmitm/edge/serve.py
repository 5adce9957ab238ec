"""`llmitm serve`: the same addons in a master with nothing else in it."""

from __future__ import annotations

import asyncio
import logging
import signal

from llmitm.edge.sparing import without_stock_addons

without_stock_addons()

from mitmproxy import options  # noqa: E402
from mitmproxy.addons import clientplayback, core, next_layer, proxyserver  # noqa: E402
from mitmproxy.master import Master  # noqa: E402

from llmitm.control import Board  # noqa: E402
from llmitm.edge.door import Door  # noqa: E402
from llmitm.world import World  # noqa: E402

QUIET = ("tornado", "asyncio", "hpack", "mitmproxy")


def run(world: World, board: Board | None = None) -> int:
    """Serves until SIGTERM or SIGINT has drained it. Returns the exit status."""
    try:
        asyncio.run(_serve(world, board))
    except KeyboardInterrupt:
        return 130
    return 0


async def _serve(world: World, board: Board | None) -> None:
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    master = Master(options.Options(mode=["regular"], server=False), with_termlog=True)
    master.addons.add(
        core.Core(),
        clientplayback.ClientPlayback(),
        proxyserver.Proxyserver(),
        Door(world, board),  # before whatever else has a word on layers and certificates
        next_layer.NextLayer(),
    )
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, master.shutdown)
    await master.run()
