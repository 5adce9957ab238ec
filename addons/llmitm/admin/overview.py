"""How the gateway is at this moment, in one answer: what a first page shows, and is told every second."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, time
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from llmitm import __version__, measured
from llmitm.admin.onlooker import Onlooker
from llmitm.admin.shelf import Shelf
from llmitm.admin.shown import usd
from llmitm.record.ledger.reading import Wanted, sums
from llmitm.record.snapshot import snapshot
from llmitm.route.verdict import Why
from llmitm.world import World

log = logging.getLogger("llmitm")

TODAY_EVERY_S: Final = 60.0
"""How often the cost of today is read anew from the ledger; what ends in between is added."""
STANDING_EVERY_S: Final = 2.0
"""How often it is asked which credentials rest: the store may be far away."""


class Overview:
    """One for a process."""

    def __init__(self, world: World, onlooker: Onlooker, shelf: Shelf) -> None:
        self._world = world
        self._onlooker = onlooker
        self._shelf = shelf
        self._today: tuple[str, int, int] | None = None
        """The day, what it had cost by the last reading, and what this process had counted by then."""
        self._today_s = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._credentials: list[dict[str, Any]] = []
        self._credentials_s = float("-inf")

    async def read(self) -> dict[str, Any]:
        world, now_s = self._world, self._world.clock.tick_s()
        if now_s - self._credentials_s >= STANDING_EVERY_S:
            self._credentials_s = now_s
            self._credentials = await self._standing()
        cost = self._cost_today(now_s)
        return {
            **snapshot(world.metrics),
            "in_flight": world.in_flight,
            "version": __version__,
            "is_draining": world.is_draining,
            "sessions": len(world.sessions),
            "lately": self._onlooker.lately.read(),
            "cost_today_usd_nano": cost,
            "cost_today_usd": usd(cost),
            "credentials": self._credentials,
            "breakers": [
                {"provider": name, "state": str(state)} for name, state in world.health.standings().items()
            ],
            "retry_budget_left": world.health.budget.left(),
        }

    async def _standing(self) -> list[dict[str, Any]]:
        """Each credential, why it rests, and for how long."""
        world = self._world
        some = list(measured.every_choice(world))
        try:
            rests = await world.health.rests(some)
            models = await measured.resting_models(world, some)
        except Exception as error:
            log.error("which credentials rest could not be told: %s: %s", type(error).__name__, error)
            return self._credentials
        return [
            {
                "provider": choice.provider,
                "name": choice.credential,
                "state": "ok" if rest is None else measured.STATE_OF.get(rest.why, "cooling"),
                "reason": None if rest is None else Why(rest.why).name.lower(),
                "left_s": None if rest is None or rest.left_s is None else round(rest.left_s, 1),
                "resting_models": models[choice.provider, choice.credential],
            }
            for choice, rest in zip(some, rests, strict=True)
        ]

    def _cost_today(self, now_s: float) -> int | None:
        """None: not known, or not yet. Days are those of UTC, as in the ledger."""
        counted = self._onlooker.lately.usd_nano
        day = datetime.fromtimestamp(self._world.clock.now_s(), UTC).date().isoformat()
        is_known = self._today is not None and self._today[0] == day
        is_due = now_s >= self._today_s or not is_known
        if is_due and (self._asking is None or self._asking.done()):
            self._today_s = now_s + TODAY_EVERY_S
            self._asking = asyncio.create_task(self._ask_today(day), name="llmitm-today")
        if self._today is None or not is_known:
            return None
        return self._today[1] + counted - self._today[2]

    async def _ask_today(self, day: str) -> None:
        midnight = datetime.combine(datetime.fromisoformat(day), time(), UTC)
        since = f"{midnight.isoformat(timespec='milliseconds')[:-6]}Z"
        counted = self._onlooker.lately.usd_nano

        async def asked(connection: AsyncConnection) -> int:
            (total,) = await sums(connection, Wanted(since=since), ())
            return int(total["cost_usd_nano"] or 0)

        try:
            self._today = (day, await self._shelf.ask(asked, fresh=True), counted)
        except Exception as error:
            log.debug("what today cost could not be told: %s", error)
