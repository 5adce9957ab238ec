"""Counters of one process."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Final

from llmitm.clock import Clock
from llmitm.state.alone import Seen
from llmitm.state.kinds import Kept, Number, Places, Slices, Standing, Undo, in_us
from llmitm.state.store import Count, Lease, Mark, Outcome, Step, Window

MOST_COUNTERS: Final = 200_000
"""Of each kind. About 50 MB of counts or marks; a window takes up to 7 kB, a held place 200 bytes."""


class MemoryStore:
    """A `Store` in dictionaries. Atomic because nothing in it awaits.

    Counters go when their time is over or there is nothing in them. Beyond `most_counters` of one kind,
    those of that kind go first whose time would be over soonest, so that marks that clients make push out
    no limits; those without an end never do, since their names come from the configuration.
    """

    __slots__ = ("_books", "_clock", "_counts", "_leases", "_marks", "_windows")

    def __init__(self, clock: Clock, most_counters: int = MOST_COUNTERS) -> None:
        self._clock = clock
        self._counts: _Book[str, Number] = _Book(most_counters)
        self._windows: _Book[tuple[str, float], Slices] = _Book(most_counters)
        self._leases: _Book[str, Places] = _Book(most_counters)
        self._marks: _Book[str, Standing] = _Book(most_counters)
        self._books: tuple[_Book[Any, Any], ...] = (self._counts, self._windows, self._leases, self._marks)

    def __len__(self) -> int:
        """Counters held."""
        return sum(len(book.kept) for book in self._books)

    @property
    def has_marks(self) -> bool:
        return bool(self._marks.kept)

    async def apply(self, steps: Sequence[Step]) -> Outcome:
        now_us = in_us(self._clock.tick_s())
        for book in self._books:
            book.forget_over(now_us)
        opened = [self._open(step) for step in steps]
        undo: Undo = []
        looks: list[tuple[int, float | None]] = []
        refused = None
        for at, (kept, step) in enumerate(zip(opened, steps, strict=True)):
            if not kept.take(step, now_us, undo):
                refused = at
                break
            looks.append(kept.look(now_us))
        wait_s = None
        if refused is not None:
            wait_s = _undone(opened[refused], steps[refused], now_us, undo)
            looks = [kept.look(now_us) for kept in opened]
        for book in self._books:
            if book.touched:
                book.settle(now_us)
        values, ends_s = zip(*looks, strict=True) if looks else ((), ())
        return Outcome(values=values, refused=refused, ends_s=ends_s, wait_s=wait_s)

    def _open(self, step: Step) -> Kept[Any]:
        match step:
            case Count():
                return self._counts.open(step.key) or self._counts.begin(step.key, Number())
            case Window():
                key = (step.key, step.window_s)
                return self._windows.open(key) or self._windows.begin(key, Slices(step.window_s))
            case Lease():
                return self._leases.open(step.key) or self._leases.begin(step.key, Places())
            case Mark():
                return self._marks.open(step.key) or self._marks.begin(step.key, Standing())

    def holds(self, place: Lease) -> bool:
        """Whether the holder has its place here."""
        places = self._leases.kept.get(place.key)
        return places is not None and places.holds(place.holder, in_us(self._clock.tick_s()))

    def sum_of(self, key: str) -> int:
        """What a count stands at."""
        count = self._counts.kept.get(key)
        return 0 if count is None or count.is_empty(in_us(self._clock.tick_s())) else count.value

    def marks(self) -> list[Mark]:
        """All that stand, those without an end last."""
        standing = sorted(self._marks.kept.items(), key=lambda item: item[1].until_us is None)
        return [Mark(key=key, value=one.value) for key, one in standing]

    def seen_of(self, key: str, window_s: float) -> Seen | None:
        """A window as it was last noted, while that tells anything."""
        window = self._windows.kept.get((key, window_s))
        return None if window is None else window.seen(in_us(self._clock.tick_s()))

    def places(self) -> list[tuple[str, str, float]]:
        """All that are held: key, holder, and for how many seconds yet."""
        now_us = in_us(self._clock.tick_s())
        for book in self._books:
            book.forget_over(now_us)
        return [
            (key, holder, left_s)
            for key, places in self._leases.kept.items()
            for holder, left_s in places.held(now_us)
        ]

    def windows(self) -> Iterator[tuple[tuple[str, float, int], int]]:
        """All that windows hold: key, length and slice, and how much. Not to be mixed with steps."""
        now_us = in_us(self._clock.tick_s())
        for (key, window_s), window in self._windows.kept.items():
            for at, amount in window.amounts(now_us).items():
                yield (key, window_s, at), amount

    def note(self, steps: Sequence[Step], outcome: Outcome, *, with_sums: bool) -> None:
        """A batch that was done elsewhere, whatever stood here. Marks and, `with_sums`, lasting counts are as
        they stand there; of windows and places it is what this process has of them."""
        now_us = in_us(self._clock.tick_s())
        is_done = outcome.refused is None
        for at, step in enumerate(steps):
            match step:
                case Window():
                    windows = self._windows
                    key = (step.key, step.window_s)
                    window = windows.kept.get(key) or windows.begin(key, Slices(step.window_s))
                    if is_done:
                        window.note(step, now_us)
                    window.see(outcome.values[at], now_us)
                case Lease() if is_done:
                    places = self._leases.kept.get(step.key) or self._leases.begin(step.key, Places())
                    places.note(step, now_us)
                case Count(is_lasting=True) if with_sums:
                    _set(self._counts, step.key, Number, outcome, at, now_us)
                case Mark():
                    _set(self._marks, step.key, Standing, outcome, at, now_us)
                case _:
                    pass
        for book in self._books:
            if book.touched:  # only what is new: the others are looked at when their time is over
                book.settle(now_us)

    async def close(self) -> None:
        for book in self._books:
            book.clear()


def _set[One: (Number, Standing)](
    book: _Book[str, One], key: str, kind: Callable[[], One], outcome: Outcome, at: int, now_us: int
) -> None:
    """As step number `at` found it."""
    value, ends_s = outcome.values[at], outcome.ends_s[at]
    if value:
        one = book.kept.get(key) or book.begin(key, kind())
        one.set(value, None if ends_s is None else now_us + in_us(ends_s))
    else:
        book.kept.pop(key, None)


def _undone(kept: Kept[Any], step: Step, now_us: int, undo: Undo) -> float | None:
    """Takes a batch back. Seconds until there is room, where a window was full."""
    tried = kept.total if isinstance(kept, Slices) else 0
    for one in reversed(undo):
        one()
    if not isinstance(kept, Slices) or not isinstance(step, Window) or step.limit is None:
        return None
    return kept.wait_s(tried - kept.total + step.by, step.limit, now_us)


class _Book[Key: Hashable, One: Kept[Any]]:
    """All counters of one kind, and when to look which of them are over."""

    __slots__ = ("_ends", "_most", "kept", "touched")

    def __init__(self, most: int) -> None:
        self.kept: dict[Key, One] = {}
        self._most = most
        self._ends: list[tuple[int, Key]] = []
        """A heap of ends. Entries that the counter's own note no longer equals are stale."""
        self.touched: list[tuple[Key, One]] = []
        """By the batch that is being done."""

    def open(self, key: Key) -> One | None:
        """A counter that a step may change."""
        one = self.kept.get(key)
        if one is not None:
            self.touched.append((key, one))
        return one

    def begin(self, key: Key, one: One) -> One:
        self.kept[key] = one
        self.touched.append((key, one))
        return one

    def settle(self, now_us: int) -> None:
        """After a batch: drops what is empty, and notes when the others end."""
        for key, one in self.touched:
            if self.kept.get(key) is not one:
                continue
            if one.is_empty(now_us):
                del self.kept[key]
            else:
                self._note(key, one)
        self.touched.clear()
        if len(self._ends) > 2 * len(self.kept) + 64:
            self._ends = [(one.queued_us, key) for key, one in self.kept.items() if one.queued_us is not None]
            heapq.heapify(self._ends)
        while len(self.kept) > self._most and self._ends:
            self._look_at_next(now_us, is_full=True)

    def forget_over(self, now_us: int) -> None:
        while self._ends and self._ends[0][0] <= now_us:
            self._look_at_next(now_us)

    def _note(self, key: Key, one: One) -> None:
        """A counter is noted once: one whose end has moved away is looked at too early, and noted again."""
        end_us = one.end_us()
        if end_us is not None and (one.queued_us is None or end_us < one.queued_us):
            one.queued_us = end_us
            heapq.heappush(self._ends, (end_us, key))

    def _look_at_next(self, now_us: int, is_full: bool = False) -> None:
        queued_us, key = heapq.heappop(self._ends)
        one = self.kept.get(key)
        if one is None or one.queued_us != queued_us:
            return
        one.queued_us = None
        if one.is_empty(now_us) or (is_full and one.end_us() == queued_us):
            del self.kept[key]
        else:
            self._note(key, one)

    def clear(self) -> None:
        self.kept.clear()
        self._ends.clear()
