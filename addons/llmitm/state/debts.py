"""What a shared store has to be told when it is back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from llmitm.state.store import Count, Lease, Mark, Step, Store

MOST_DEBTS: Final = 50_000
"""Of each kind; beyond it the oldest are forgotten: places and most marks end by themselves."""

TOGETHER: Final = 200


class Debts:
    """Places that it may still count, marks that changed, and what was added to lasting counts."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], Lease] = {}
        """By key and holder: what gives the place back."""
        self._marks: dict[str, bool] = {}
        """By key: whether it was taken away at some time, and perhaps set again. How it stands is looked
        up when it is told."""
        self._sums: dict[str, Count] = {}
        """By key: all that was added, in one step."""

    def __len__(self) -> int:
        return len(self._places) + len(self._marks) + len(self._sums)

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

    def owe_sums(self, steps: Sequence[Step], *, is_unsure: bool) -> None:
        """What was added to lasting counts here.

        Of a batch of which nobody knows whether it was done there too (`is_unsure`), what was added is told
        again and what was given back is not: rather too much is counted than too little.
        """
        for step in steps:
            if isinstance(step, Count) and step.is_lasting and step.by and (step.by > 0 or not is_unsure):
                self._owe_sum(step)

    def owed_sum(self, key: str) -> int:
        """What was added here and has not been told."""
        step = self._sums.get(key)
        return 0 if step is None else step.by

    def _owe_sum(self, step: Count) -> None:
        before = self._sums.get(step.key)
        by = step.by + (before.by if before is not None else 0)
        _put(self._sums, step.key, replace(step, by=by, limit=None))

    async def pay(self, local: Store, shared: Store) -> int:
        """Tells all that is owed by now, and how much that was. Marks are told as they stand in `local`.

        Raises StoreUnavailable; what was not told is still owed then.
        """
        owed = len(self)
        for _ in range(0, owed, TOGETHER):
            places, marks = _some(self._places, TOGETHER), _some(self._marks, TOGETHER)
            sums = _some(self._sums, TOGETHER)
            steps = [*places.values(), *await _as_they_stand(marks, local), *sums.values()]
            try:
                await shared.apply(steps)
            except BaseException:
                self._places = places | self._places
                self._marks = marks | {
                    key: over or marks.get(key, False) for key, over in self._marks.items()
                }
                self.owe_sums(list(sums.values()), is_unsure=True)
                raise
        return owed


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
