"""Exchanges as they begin and end, for who looks on. One for a process that has a dashboard; bounded.

It stands on the request path, so it only takes down: what is shown is made later, for all readers at once.
All of it belongs to one thread, the event loop's.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from llmitm.admin.lately import Lately
from llmitm.clock import Clock
from llmitm.record.entry import Entry

MOST_UNDER_WAY: Final = 10_000
MOST_ENDED: Final = 1_000
"""Between two looks."""


class Onlooker:
    """A sink for exchanges that are over; `begun` is told of them before."""

    def __init__(self, clock: Clock) -> None:
        self.lately = Lately(clock)
        self.under_way: dict[str, Entry] = {}
        """By id, the oldest first; beyond the most, further ones are counted and not seen."""
        self.is_watched = False
        """Whether anybody wants exchanges that have ended."""
        self._begun: deque[Entry] = deque(maxlen=MOST_ENDED)
        self._ended: deque[Entry] = deque(maxlen=MOST_ENDED)
        self._count = 0

    def begun(self, entry: Entry) -> None:
        if len(self.under_way) < MOST_UNDER_WAY:
            self.under_way[entry.id] = entry
            if self.is_watched:
                self._begun.append(entry)

    def __call__(self, entry: Entry) -> None:
        self.under_way.pop(entry.id, None)
        self.lately(entry)
        if self.is_watched:
            self._count += 1
            self._ended.append(entry)

    def news(self) -> tuple[list[Entry], list[Entry], int]:
        """Those that have begun since the last time and are still under way, those that have ended, and how
        many more have ended than could be kept."""
        begun = [one for one in self._begun if one.ended_s is None]
        ended = list(self._ended)
        lost = self._count - len(ended)
        self.forget()
        return begun, ended, lost

    def forget(self) -> None:
        self._begun.clear()
        self._ended.clear()
        self._count = 0
