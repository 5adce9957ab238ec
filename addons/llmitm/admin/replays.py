"""Requests that are played again, while they are under way."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp

from llmitm.admin.inside import Sending, sent
from llmitm.errors import Refused
from llmitm.tickets import Ticket
from llmitm.world import World

MOST: Final = 16
"""Under way at once."""


class Replays:
    """Those that are under way in this process."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, world: World, sending: Sending, ticket: Ticket) -> str:
        """The id of the new exchange, once there is one; its answer goes to nobody but the record.

        Raises:
            Refused: 429, 503.
        """
        if len(self._tasks) >= MOST:
            raise Refused(429, "too_many_replays", f"{MOST} replays are under way: wait for one of them.")
        task = asyncio.create_task(_played(world, sending, ticket), name="replay")
        self._tasks.add(task)
        task.add_done_callback(self._over)
        shown = asyncio.create_task(ticket.shown.wait())
        try:
            await asyncio.wait((task, shown), return_when=asyncio.FIRST_COMPLETED)
        finally:
            shown.cancel()
        if ticket.exchange_id is None:
            await task
            raise Refused(503, "gateway_silent", "The data port did not take the request.")
        return ticket.exchange_id

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # who waited was told; a record tells of the rest

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()


async def _played(world: World, sending: Sending, ticket: Ticket) -> None:
    async with sent(world, sending, ticket) as answer:
        try:
            async for _ in answer.content.iter_any():
                pass
        except aiohttp.ClientError:  # cut off: the record tells why
            pass
