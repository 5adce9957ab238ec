"""What a shared store has to be told when it is back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from itertools import islice
from secrets import token_hex
from typing import Final

from llmitm.clock import Clock
from llmitm.state.kinds import SECOND_US, in_us, slice_us
from llmitm.state.store import SLICES, Count, Lease, Mark, Step, Store, Window

MOST_DEBTS: Final = 50_000
"""Of each kind; beyond it the oldest are forgotten: places, windows and most marks end by themselves."""

TOGETHER: Final = 200

_RECEIPT_S: Final = 7 * 86_400.0
"""So long after it was told the first time, what was told is known to have been."""

type Slice = tuple[str, float, int]
"""Of a window: its key, its length, and which slice of this process's time."""


class Debts:
    """Places that it may still count, marks that changed, and what was added to sums and windows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._places: dict[tuple[str, str], Lease] = {}
        """By key and holder: what gives the place back."""
        self._marks: dict[str, bool] = {}
        """By key: whether it was taken away at some time, and perhaps set again. How it stands is looked
        up when it is told."""
        self._sums: dict[str, Count] = {}
        """By key: all that was added, in one step."""
        self._added: dict[Slice, int] = {}
        self._given_back: dict[Slice, int] = {}
        """By when it had been added."""
        self._once: _Once | None = None
        """What was told, and not acknowledged."""

    def __len__(self) -> int:
        mine: tuple[Sized, ...] = self._places, self._marks, self._sums, self._added, self._given_back
        return sum(map(len, mine)) + (0 if self._once is None else len(self._once))

    def owe_places(self, steps: Iterable[Lease]) -> None:
        """Places that were taken there and given back here."""
        for step in steps:
            back = Lease(key=step.key, holder=step.holder, is_over=True)
            _put(self._places, (step.key, step.holder), back)

    def owe_perhaps(self, steps: Sequence[Step]) -> None:
        """After a batch of which nobody knows whether it was done."""
        self.owe_places(step for step in steps if isinstance(step, Lease))

    def owe_marks(self, steps: Sequence[Step]) -> None:
        """Marks that changed here."""
        for step in steps:
            if isinstance(step, Mark) and (step.value or step.is_over):
                _put(self._marks, step.key, step.is_over or self._marks.get(step.key, False))

    def owe_counted(self, steps: Sequence[Step], *, is_unsure: bool) -> None:
        """What was added to windows and lasting counts here.

        Of a batch of which nobody knows whether it was done there too (`is_unsure`), what was added is told
        again and what was given back is not: rather too much is counted than too little.
        """
        now_us = in_us(self._clock.tick_s())
        for step in steps:
            match step:
                case Mark() | Lease():
                    pass
                case _ if not step.by or (step.by < 0 and is_unsure):
                    pass
                case Window():
                    self._owe_window(step, now_us)
                case Count(is_lasting=True):
                    by = step.by + self._sums.get(step.key, _NOTHING).by
                    _put(self._sums, step.key, replace(step, by=by, limit=None))

    def _owe_window(self, step: Window, now_us: int) -> None:
        length_us = slice_us(step.window_s)
        at = now_us // length_us
        if step.by > 0:
            place = step.key, step.window_s, at
            _put(self._added, place, self._added.get(place, 0) + step.by)
        else:
            since = at - SLICES if step.age_s is None else (now_us - in_us(step.age_s)) // length_us
            place = step.key, step.window_s, since
            _put(self._given_back, place, self._given_back.get(place, 0) - step.by)

    def owe_windows(self, windows: Iterable[tuple[Slice, int]]) -> None:
        """All that windows hold here, where the shared store has lost what it was told before."""
        self._added.clear()
        self._given_back.clear()
        if self._once is not None:
            self._once = replace(self._once, added={}, given_back={})
        for place, amount in windows:
            _put(self._added, place, amount)

    def owed_sum(self, key: str) -> int:
        """What was added here and has not been told."""
        once = {} if self._once is None else self._once.sums
        return self._sums.get(key, _NOTHING).by + once.get(key, _NOTHING).by

    async def pay(self, local: Store, shared: Store) -> int:
        """Tells all that is owed by now, and how much that was. Marks are told as they stand in `local`.

        Raises StoreUnavailable; what was not told is still owed then, and what may have been is told again,
        with a receipt by which it is known there.
        """
        owed = len(self)
        for _ in range(0, owed, TOGETHER):
            if self._once is not None:
                await shared.apply(self._once.steps(self._clock))  # refused, where it had been told
                self._once = None
            places, marks = _some(self._places, TOGETHER), _some(self._marks, TOGETHER)
            steps = [*places.values(), *await _as_they_stand(marks, local)]
            self._once = self._next_once()
            try:
                await shared.apply([*(self._once.steps(self._clock) if self._once else ()), *steps])
            except BaseException:
                self._places = places | self._places
                self._marks = marks | {
                    key: over or marks.get(key, False) for key, over in self._marks.items()
                }
                raise
            self._once = None
        return owed

    def _next_once(self) -> _Once | None:
        sums, added = _some(self._sums, TOGETHER), _some(self._added, TOGETHER)
        # what is given back has to be there
        given_back = {} if self._added else _some(self._given_back, TOGETHER)
        if not (sums or added or given_back):
            return None
        receipt = Count(key=f"told:{token_hex(8)}", limit=1, ttl_s=_RECEIPT_S)
        return _Once(receipt=receipt, sums=sums, added=added, given_back=given_back)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Once:
    """What is told in one batch, and counts once however often it is told."""

    receipt: Count
    """A batch that has it is refused the second time."""
    sums: dict[str, Count]
    added: dict[Slice, int]
    given_back: dict[Slice, int]

    def __len__(self) -> int:
        return len(self.sums) + len(self.added) + len(self.given_back)

    def steps(self, clock: Clock) -> list[Step]:
        now_us = in_us(clock.tick_s())
        return [
            self.receipt,
            *self.sums.values(),
            *_windows(self.added, now_us, 1),
            *_windows(self.given_back, now_us, -1),
        ]


def _windows(amounts: dict[Slice, int], now_us: int, sign: int) -> Iterator[Window]:
    """What was added counts from the end of its slice, so that it leaves no sooner than it should; what was
    given back had been added after its begin."""
    for (key, window_s, at), amount in amounts.items():
        length_us = slice_us(window_s)
        since_us = (at + 1) * length_us if sign > 0 else at * length_us
        age_s = max(now_us - since_us, 0) / SECOND_US
        yield Window(key=key, by=sign * amount, window_s=window_s, age_s=age_s)


_NOTHING: Final = Count(key="", by=0)


async def _as_they_stand(marks: dict[str, bool], local: Store) -> list[Step]:
    standing = await local.apply([Mark(key=key) for key in marks])
    steps: list[Step] = []
    for (key, was_over), value, ends_s in zip(marks.items(), standing.values, standing.ends_s, strict=True):
        if was_over:
            steps.append(Mark(key=key, is_over=True))
        if value:
            steps.append(Mark(key=key, value=value, ttl_s=ends_s))
    return steps


def _some[Key, Value](kept: dict[Key, Value], most: int) -> dict[Key, Value]:
    """Takes the oldest out."""
    return {key: kept.pop(key) for key in list(islice(kept, most))}


def _put[Key, Value](kept: dict[Key, Value], key: Key, value: Value) -> None:
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > MOST_DEBTS:
        del kept[next(iter(kept))]
