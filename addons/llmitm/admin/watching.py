"""All that looks on while a gateway with a dashboard runs: put in place at the start, taken off at last."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from llmitm.admin import shown
from llmitm.admin.app_log import AppLog
from llmitm.admin.feed import Feed
from llmitm.admin.onlooker import Onlooker
from llmitm.admin.overview import Overview
from llmitm.admin.shelf import Shelf
from llmitm.config.schema import Config
from llmitm.record.entry import Entry
from llmitm.record.ledger.books import Books
from llmitm.record.ledger.columns import ATTEMPTS, BODIES, EXCHANGES, LEGS, Shape
from llmitm.record.ledger.days import Days
from llmitm.record.ledger.memory import Newest
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.rows import Row, Writing
from llmitm.world import World


class Watching:
    """One for a process. Belongs to its event loop."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.onlooker = Onlooker(world.clock)
        self.app_log = AppLog(world.redact)
        self.newest = _newest(world)
        self.shelf = _shelf(world, self.newest)
        self.days = Days()
        """Belongs to the shelf's loop."""
        self.overview = Overview(world, self.onlooker, self.shelf)
        self.writing = Writing("", world.redact)
        self.feed = Feed(
            self.onlooker, self.app_log, world.clock, metrics=self.overview.read, shown=self._shown
        )

    def start(self) -> None:
        """From now on what happens is seen."""
        world = self._world
        world.onlooker = self.onlooker
        world.sinks = (*world.sinks, self.onlooker, *([self.newest] if self.newest is not None else ()))
        world.followers.append(self._follow)
        self.app_log.hang()

    def close(self) -> None:
        """Idempotent."""
        world = self._world
        world.onlooker = None
        world.sinks = tuple(one for one in world.sinks if one not in (self.onlooker, self.newest))
        with contextlib.suppress(ValueError):
            world.followers.remove(self._follow)
        self.feed.close()
        self.shelf.close()
        self.app_log.take_off()

    def _follow(self, config: Config) -> None:
        for one in (self.writing, self.newest):
            if one is not None:
                one.forget()  # there may be new secrets
        self.app_log.hang()  # whoever sets the log up anew takes all handlers off

    def _shown(self, entry: Entry) -> dict[str, Any]:
        """One exchange, over or not, as messages tell of it."""
        if entry.ended_s is None:
            return shown.under_way(self.writing, entry, self._world.clock.tick_s())
        return shown.fields(shown.named(self.writing, entry))

    def all_running(self, most: int) -> list[shown.Item]:
        """The newest of those that are under way, the newest first."""
        tick_s = self._world.clock.tick_s()
        newest = list(self.onlooker.under_way.values())[: -most - 1 : -1]
        return [shown.Item.model_construct(**shown.under_way(self.writing, one, tick_s)) for one in newest]

    def unwritten(self, exchange: str) -> shown.Exchange | None:
        """An exchange that is over and that the ledger does not hold yet; None: there is none of that id."""
        ledger = self._world.ledger
        rows = ledger.waiting_of(exchange) if isinstance(ledger, Books) else None
        if rows is None:
            return None
        return shown.exchange(
            {"row": 0, **_named(EXCHANGES, rows.exchanges[0])},
            [_named(ATTEMPTS, row) for row in rows.attempts],
            _named(BODIES, rows.bodies[0]) if rows.bodies else None,
            [_named(LEGS, row) for row in rows.legs],
            self._world.price,
        )

    def running(self, exchange: str) -> shown.Exchange | None:
        """An exchange that is under way, whole; None: there is none of that id."""
        entry = self.onlooker.under_way.get(exchange)
        if entry is None:
            return None
        return shown.exchange(
            shown.named(self.writing, entry),
            shown.named_attempts(self.writing, entry),
            shown.named_bodies(self.writing, entry),
            shown.named_legs(self.writing, entry),
            self._world.price,
            so_far_ms=(self._world.clock.tick_s() - entry.started_s) * 1000,
        )


def _named(shape: Shape, row: Row) -> dict[str, Any]:
    return dict(zip(shape.names, row, strict=True))


def _newest(world: World) -> Newest | None:
    """None: there is a ledger, which has them all."""
    most = world.config.dashboard.request_log_capacity
    return None if isinstance(world.ledger, Books) else Newest(most, world.redact)


def _shelf(world: World, newest: Newest | None) -> Shelf:
    config, source = world.config, world.source
    if not isinstance(world.ledger, Books):
        return Shelf(None, newest=newest)
    folder = Path.cwd() if source is None else source.path.absolute().parent
    return Shelf(Place.of(config.ledger.url, folder), flush=world.ledger.flush)
