"""When a client whose answer is slow to come is due a sign of life.

Proxies and clients give up on a connection that is silent. A comment of an event stream, or a blank
before a JSON body, keeps it open and says nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from llmitm.clock import Clock


async def beats_until[T](
    work: asyncio.Future[T], *, interval_s: float, after_s: float, clock: Clock
) -> AsyncGenerator[None]:
    """Yields `after_s` seconds from now, and `interval_s` seconds after each time, until `work` is done.

    Time that a slow reader takes does not count, so that no beats pile up. What `work` ends in is not looked
    at; closing this leaves `work` alone.
    """
    wait_s = after_s
    while not work.done():
        pause = asyncio.ensure_future(_slept(clock, wait_s))
        try:
            await asyncio.wait((work, pause), return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
        if not work.done():
            yield
            wait_s = interval_s


async def _slept(clock: Clock, duration_s: float) -> None:
    await clock.sleep(duration_s)
