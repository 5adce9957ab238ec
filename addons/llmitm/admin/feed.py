"""What is told of a running gateway as it happens: made once for all readers, and never waited for.

A reader has room for so many messages. Those that find none are counted, and the reader is told how many it
missed as soon as it takes some again. While nobody reads, nothing is made.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

import orjson

from llmitm.admin.app_log import AppLog
from llmitm.admin.onlooker import Onlooker
from llmitm.clock import Clock
from llmitm.record.entry import Entry, Outcome

log = logging.getLogger("llmitm")

CHANNELS: Final = ("metrics", "exchanges", "logs")
OTHER_NAMES: Final = {"request_log": "exchanges", "log": "logs"}
TICK_S: Final = 0.25
METRICS_EVERY: Final = 4
"""Ticks."""
MOST_A_TICK: Final = 6
"""Exchanges that are told one by one: nobody reads faster. The failed ones go first."""
MOST_LINES: Final = 20
"""Lines of the log at once."""
ROOM: Final = 256
"""Messages that may wait for a reader."""
MOST_READERS: Final = 50


class TooMany(Exception):
    """There are as many readers as there may be."""


class Over(Exception):
    """Nothing more is told."""


class Reader:
    """One who reads. `take` waits for the next messages."""

    def __init__(self) -> None:
        self.channels: frozenset[str] = frozenset(CHANNELS)
        self._waiting: deque[bytes] = deque()
        self._missed = 0
        self._is_over = False
        self._has_come = asyncio.Event()

    def give(self, message: bytes) -> None:
        """Never waits."""
        if len(self._waiting) >= ROOM:
            self._missed += 1
        else:
            self._waiting.append(message)
        self._has_come.set()

    def miss(self, count: int) -> None:
        self._missed += count
        self._has_come.set()

    def end(self) -> None:
        self._is_over = True
        self._has_come.set()

    async def take(self) -> list[bytes]:
        """At least one.

        Raises:
            Over: there are none any more.
        """
        await self._has_come.wait()
        if self._is_over:
            raise Over
        self._has_come.clear()
        found = list(self._waiting)
        self._waiting.clear()
        if self._missed:
            found.append(message("missed", {"count": self._missed}, count=self._missed))
            self._missed = 0
        return found


def message(kind: str, data: Any, **beside: Any) -> bytes:
    return orjson.dumps({"type": kind, **beside, "data": data})


def wanted_channels(names: Iterable[Any]) -> tuple[frozenset[str], list[str]]:
    """Those that there are, and the names that are none."""
    found, strange = set(), []
    for name in names:
        known = OTHER_NAMES.get(name, name) if isinstance(name, str) else None
        if known in CHANNELS:
            found.add(known)
        else:
            strange.append(str(name)[:64])
    return frozenset(found), strange


class Feed:
    """One for a process."""

    def __init__(
        self,
        onlooker: Onlooker,
        app_log: AppLog,
        clock: Clock,
        *,
        metrics: Callable[[], Awaitable[dict[str, Any]]],
        shown: Callable[[Entry], dict[str, Any]],
    ) -> None:
        """`shown` makes what is told of an exchange; `metrics` what is told of all."""
        self._onlooker = onlooker
        self._app_log = app_log
        self._clock = clock
        self._metrics = metrics
        self._shown = shown
        self._readers: set[Reader] = set()
        self._ticking: asyncio.Task[None] | None = None
        self._line = 0
        self._turn = 0

    @property
    def readers(self) -> int:
        return len(self._readers)

    async def join(self) -> Reader:
        """A new reader, who is told at once how things stand.

        Raises:
            TooMany.
        """
        if len(self._readers) >= MOST_READERS:
            raise TooMany(f"{MOST_READERS} read already")
        reader = Reader()
        if not self._readers:
            self._onlooker.forget()
            self._line = self._app_log.count
        self._readers.add(reader)
        self._onlooker.is_watched = True
        running = list(self._onlooker.under_way.values())[-MOST_A_TICK:]
        reader.give(message("exchanges.running", [self._shown(one) for one in running]))
        if self._ticking is None:
            self._ticking = asyncio.create_task(self._tick(), name="llmitm-feed")
        reader.give(message("metrics", await self._metrics()))
        return reader

    def leave(self, reader: Reader) -> None:
        """Idempotent."""
        self._readers.discard(reader)
        if not self._readers:
            self._onlooker.is_watched = False
            self._onlooker.forget()
            if self._ticking is not None:
                self._ticking.cancel()
                self._ticking = None

    def close(self) -> None:
        """Lets all readers go."""
        for reader in tuple(self._readers):
            reader.end()
            self.leave(reader)

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(TICK_S)
            try:
                await self.tell()
            except Exception as error:
                log.error("the feed had a turn that failed: %s: %s", type(error).__name__, error)

    async def tell(self) -> None:
        """One turn."""
        self._turn += 1
        self._tell_exchanges()
        lines = self._app_log.since(self._line)
        self._line = self._app_log.count
        self._give("logs", [message("log", one) for one in lines[-MOST_LINES:]], len(lines) - MOST_LINES)
        if self._turn % METRICS_EVERY == 0 and any("metrics" in one.channels for one in self._readers):
            self._give("metrics", [message("metrics", await self._metrics())])

    def _tell_exchanges(self) -> None:
        begun, ended, lost = self._onlooker.news()
        if not any("exchanges" in one.channels for one in self._readers):
            return
        told = [message("exchange.begun", self._shown(one)) for one in begun[-MOST_A_TICK:]]
        chosen = _chosen(ended)
        told += [message("exchange.ended", self._shown(one)) for one in chosen]
        self._give("exchanges", told, lost + len(ended) - len(chosen))

    def _give(self, channel: str, messages: Sequence[bytes], missed: int = 0) -> None:
        for reader in self._readers:
            if channel not in reader.channels:
                continue
            for one in messages:
                reader.give(one)
            if missed > 0:
                reader.miss(missed)


def _chosen(ended: Sequence[Entry]) -> list[Entry]:
    """So many as are told, in their order: what failed goes first, then the newest."""
    if len(ended) <= MOST_A_TICK:
        return list(ended)
    failed = [at for at, one in enumerate(ended) if one.outcome is not Outcome.OK]
    others = [at for at, one in enumerate(ended) if one.outcome is Outcome.OK]
    kept = failed[-MOST_A_TICK:]
    if room := MOST_A_TICK - len(kept):
        kept += others[-room:]
    return [ended[at] for at in sorted(kept)]
