"""What one counter of each kind holds in memory, and what a step does to it.

Times are microseconds of one clock that never goes back. Every method but `Window`'s giving back takes
the same time however full a counter is, or makes up for it later.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, Protocol

from llmitm.state.alone import Seen
from llmitm.state.store import SLICES, Count, Lease, Mark, Window

SECOND_US: Final = 1_000_000

type Undo = list[Callable[[], object]]
"""What takes back the steps of a batch, to be called from the last to the first."""


class Kept[Step](Protocol):
    """A counter of one kind. A new one is empty."""

    queued_us: int | None
    """When the store will look whether it is over; None: it will not. The store's own note."""

    def end_us(self) -> int | None:
        """When it is over if nothing happens; never too early. None: never by itself."""

    def is_empty(self, now_us: int) -> bool:
        """Whether it need not be kept. Forgets what is over."""

    def take(self, step: Step, now_us: int, undo: Undo) -> bool:
        """Does the step and says how to undo it. False: it is over its limit, and nothing was done."""

    def look(self, now_us: int) -> tuple[int, float | None]:
        """The value, and the seconds that an `Outcome` tells."""


def in_us(duration_s: float) -> int:
    return round(duration_s * SECOND_US)


def slice_us(window_s: float) -> int:
    """Length of a slice: a whole number, so that a window is a little longer rather than shorter."""
    return max(1, math.ceil(window_s * SECOND_US / SLICES))


class Number:
    """A `Count`."""

    __slots__ = ("exists", "queued_us", "until_us", "value")

    def __init__(self) -> None:
        self.queued_us: int | None = None
        self._set(False, 0, None)

    def _set(self, exists: bool, value: int, until_us: int | None) -> None:
        self.exists = exists
        self.value = value
        self.until_us = until_us

    def set(self, value: int, until_us: int | None) -> None:
        """As it stands elsewhere."""
        self._set(True, value, until_us)

    def end_us(self) -> int | None:
        return self.until_us

    def is_empty(self, now_us: int) -> bool:
        if self.until_us is not None:
            return self.until_us <= now_us
        return self.value == 0

    def take(self, step: Count, now_us: int, undo: Undo) -> bool:
        if self.until_us is not None and self.until_us <= now_us:
            self._set(False, 0, None)
        value = self.value + step.by
        if step.limit is not None and step.by >= 0 and value > step.limit:
            return False
        if step.is_lasting and value < 0:
            value = 0
        if step.by and (self.exists or value or not step.is_lasting):
            undo.append(partial(self._set, self.exists, self.value, self.until_us))
            if not self.exists and step.ttl_s is not None:
                self.until_us = now_us + in_us(step.ttl_s)
            self.exists = True
            self.value = value
        return True

    def look(self, now_us: int) -> tuple[int, float | None]:
        if self.until_us is None:
            return self.value, None
        return self.value, (self.until_us - now_us) / SECOND_US


class Slices:
    """A `Window`: the sum of each slice that something was added in, oldest first."""

    __slots__ = ("_seen", "_seen_at", "_slice_us", "_slices", "_total", "queued_us")

    def __init__(self, window_s: float) -> None:
        self.queued_us: int | None = None
        self._slice_us = slice_us(window_s)
        self._slices: dict[int, int] = {}
        self._total = 0
        self._seen: Seen | None = None
        self._seen_at = 0

    def end_us(self) -> int | None:
        """Also of what was seen elsewhere."""
        newest = next(reversed(self._slices), None)
        if self._seen is not None:
            newest = self._seen_at if newest is None else max(newest, self._seen_at)
        return None if newest is None else (newest + SLICES + 1) * self._slice_us

    def is_empty(self, now_us: int) -> bool:
        self._forget(now_us)
        return not self._slices and self.seen(now_us) is None

    def _forget(self, now_us: int) -> None:
        over = now_us // self._slice_us - SLICES - 1
        while self._slices and (oldest := next(iter(self._slices))) <= over:
            self._total -= self._slices.pop(oldest)

    def take(self, step: Window, now_us: int, undo: Undo) -> bool:
        self._forget(now_us)
        if step.by < 0:
            self._give_back(step, now_us, undo)
            return True
        at = self._slice_of(step, now_us)
        if at is None:
            return True
        if step.limit is not None and self._total + step.by > step.limit:
            return False
        if step.by:
            self._add(at, step.by)
            undo.append(partial(self._add, at, -step.by))
        return True

    def _slice_of(self, step: Window, now_us: int) -> int | None:
        """Where it was added; None: that has left the window."""
        current = now_us // self._slice_us
        if step.age_s is None:
            return current
        at = (now_us - in_us(step.age_s)) // self._slice_us
        return None if at < current - SLICES else min(at, current)

    def see(self, whole: int, now_us: int) -> None:
        """What it holds elsewhere, with what others have added."""
        self._seen = Seen(whole, self._total)
        self._seen_at = now_us // self._slice_us

    def seen(self, now_us: int) -> Seen | None:
        """What it held then, while any of that may still be in the window."""
        if self._seen is not None and now_us // self._slice_us > self._seen_at + SLICES:
            self._seen = None
        return self._seen

    def note(self, step: Window, now_us: int) -> None:
        """The same as of a step that has no limit, and stays."""
        self._forget(now_us)
        if step.by > 0:
            if (at := self._slice_of(step, now_us)) is not None:
                self._add(at, step.by)
        elif step.by:
            self._take_back(step, now_us)

    def _add(self, at: int, by: int) -> None:
        amount = self._slices.get(at, 0) + by
        if not amount:
            del self._slices[at]
        elif at in self._slices or not self._slices or at > next(reversed(self._slices)):
            self._slices[at] = amount
        else:
            self._slices = dict(sorted({**self._slices, at: amount}.items()))
        self._total += by

    def _give_back(self, step: Window, now_us: int, undo: Undo) -> None:
        undo.append(partial(self._restore, dict(self._slices), self._total))
        self._take_back(step, now_us)

    def _take_back(self, step: Window, now_us: int) -> None:
        since = None if step.age_s is None else (now_us - in_us(step.age_s)) // self._slice_us
        if since is not None and since <= now_us // self._slice_us - SLICES - 1:
            return
        owed = -step.by
        for at in [at for at in self._slices if since is None or at >= since]:
            given = min(owed, self._slices[at])
            self._add(at, -given)
            owed -= given
            if not owed:
                return

    def _restore(self, slices: dict[int, int], total: int) -> None:
        self._slices = slices
        self._total = total

    def look(self, now_us: int) -> tuple[int, float | None]:
        if not self._slices:
            return 0, None
        end_us = (next(reversed(self._slices)) + SLICES + 1) * self._slice_us
        return self._total, (end_us - now_us) / SECOND_US

    @property
    def total(self) -> int:
        return self._total

    def amounts(self, now_us: int) -> dict[int, int]:
        """Of each slice that is still in the window."""
        self._forget(now_us)
        return dict(self._slices)

    def wait_s(self, wanted: int, limit: int, now_us: int) -> float | None:
        """Seconds until `wanted` more is within the limit; None: never."""
        if wanted > limit:
            return None
        left, end_us = self._total, now_us
        for at, amount in self._slices.items():
            if left + wanted <= limit:
                break
            left -= amount
            end_us = (at + SLICES + 1) * self._slice_us
        return (end_us - now_us) / SECOND_US


class Places:
    """A `Lease`: who holds a place, until when."""

    __slots__ = ("_ends", "_latest_us", "_until_us", "queued_us")

    def __init__(self) -> None:
        self.queued_us: int | None = None
        self._until_us: dict[str, int] = {}
        self._ends: list[tuple[int, str]] = []
        """A heap. Entries that the holder's own end no longer equals are stale."""
        self._latest_us = 0

    def end_us(self) -> int | None:
        return self._latest_us if self._until_us else None

    def is_empty(self, now_us: int) -> bool:
        self._forget(now_us)
        return not self._until_us

    def _forget(self, now_us: int) -> None:
        """Afterwards the first of the heap is the first that ends."""
        while self._ends:
            until_us, holder = self._ends[0]
            if self._until_us.get(holder) == until_us:
                if until_us > now_us:
                    return
                del self._until_us[holder]
            heapq.heappop(self._ends)

    def holds(self, holder: str, now_us: int) -> bool:
        return self._until_us.get(holder, 0) > now_us

    def held(self, now_us: int) -> Iterator[tuple[str, float]]:
        """Holders, and for how many seconds."""
        self._forget(now_us)
        for holder, until_us in self._until_us.items():
            yield holder, (until_us - now_us) / SECOND_US

    def note(self, step: Lease, now_us: int) -> None:
        """The same as of a step that has no limit, and stays."""
        self._forget(now_us)
        self._hold(step.holder, None if step.is_over else now_us + in_us(step.ttl_s))

    def take(self, step: Lease, now_us: int, undo: Undo) -> bool:
        self._forget(now_us)
        before_us = self._until_us.get(step.holder)
        if step.is_over:
            until_us = None
        elif before_us is None and step.limit is not None and len(self._until_us) >= step.limit:
            return False
        else:
            until_us = now_us + in_us(step.ttl_s)
        if until_us != before_us:
            undo.append(partial(self._hold, step.holder, before_us))
            self._hold(step.holder, until_us)
        return True

    def _hold(self, holder: str, until_us: int | None) -> None:
        if until_us is None:
            self._until_us.pop(holder, None)
            return
        self._until_us[holder] = until_us
        self._latest_us = max(self._latest_us, until_us)
        heapq.heappush(self._ends, (until_us, holder))
        if len(self._ends) > 2 * len(self._until_us) + 64:
            self._ends = [(until_us, holder) for holder, until_us in self._until_us.items()]
            heapq.heapify(self._ends)

    def look(self, now_us: int) -> tuple[int, float | None]:
        self._forget(now_us)
        ends_s = (self._ends[0][0] - now_us) / SECOND_US if self._ends else None
        return len(self._until_us), ends_s


class Standing:
    """A `Mark`."""

    __slots__ = ("queued_us", "until_us", "value")

    def __init__(self) -> None:
        self.queued_us: int | None = None
        self.set(0, None)

    def set(self, value: int, until_us: int | None) -> None:
        self.value = value
        self.until_us = until_us

    def end_us(self) -> int | None:
        return self.until_us

    def is_empty(self, now_us: int) -> bool:
        return self.value == 0 or (self.until_us is not None and self.until_us <= now_us)

    def take(self, step: Mark, now_us: int, undo: Undo) -> bool:
        before = partial(self.set, self.value, self.until_us)
        if step.is_over or self.is_empty(now_us):
            undo.append(before)
            self.set(0, None)
        if step.is_over or not step.value:
            return True
        until_us = None if step.ttl_s is None else now_us + in_us(step.ttl_s)
        if self.value and _is_later(self.until_us, until_us):
            return True
        undo.append(before)
        self.set(step.value, until_us)
        return True

    def look(self, now_us: int) -> tuple[int, float | None]:
        if self.until_us is None:
            return self.value, None
        return self.value, (self.until_us - now_us) / SECOND_US


def _is_later(one_us: int | None, other_us: int | None) -> bool:
    """None is later than any time."""
    if other_us is None:
        return False
    return one_us is None or one_us > other_us
