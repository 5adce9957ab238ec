"""Counters that processes share, while the place that keeps them answers; else counters of this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from llmitm.clock import Clock
from llmitm.state.debts import Debts
from llmitm.state.memory import MemoryStore
from llmitm.state.store import Count, Lease, Mark, Outcome, Step, Store, StoreUnavailable

AGAIN_S: Final = 2.0
"""Until a place that did not answer is asked again."""

_log = logging.getLogger("llmitm")


class SharedStore:
    """A `Store` that always answers.

    Where the shared store gives no outcome, the batch that waited for it is done locally, and so is all
    that follows, at once. It is asked again in the background, `AGAIN_S` later and only while there are
    batches: no caller waits for a store that is known to be away.

    Local windows, counts and places begin empty. Marks do not: those that this process has seen stand, such
    as a key that was revoked, still do, and lasting counts go on from what was last seen of them. When the
    shared store is back it is told of the marks that were set or taken away meanwhile, of what was added to
    lasting counts, and of places that it still counts although they were given back. Where it came back
    empty, lasting counts go on there from what was last seen of them, too.
    """

    def __init__(self, shared: Store, clock: Clock, *, name: str) -> None:
        """`name`: of the place, for the log."""
        self._shared = shared
        self._local = MemoryStore(clock)
        self._clock = clock
        self._name = name
        self._debts = Debts()
        self._sums: set[str] = set()
        """Keys of lasting counts that were seen there."""
        self._away_since_s: float | None = None
        self._again_s = 0.0
        self._trial: asyncio.Task[None] | None = None

    @property
    def is_local(self) -> bool:
        """Whether counters are this process's own for now."""
        return self._away_since_s is not None

    @property
    def has_marks(self) -> bool:
        return True  # others may have set one

    async def apply(self, steps: Sequence[Step]) -> Outcome:
        if self.is_local:
            self._try_again_soon()
            return await self._apply_locally(steps)
        try:
            outcome = await self._shared.apply(steps)
        except StoreUnavailable as error:
            self._go_local(error)
            self._debts.owe_perhaps(steps)
            return await self._apply_locally(steps, is_unsure=True)
        await self._follow(steps, outcome)
        return outcome

    async def _follow(self, steps: Sequence[Step], outcome: Outcome) -> None:
        """Keeps in mind how marks and sums stand, and gives places back that were taken here."""
        for at, step in enumerate(steps):
            match step:
                case Mark(key=key):
                    self._local.note_mark(key, outcome.values[at], outcome.ends_s[at])
                case Count(key=key, is_lasting=True) if not self.is_local:
                    self._local.note_sum(key, outcome.values[at], outcome.ends_s[at])
                    self._sums.add(key)
                case Lease(is_over=True) if outcome.refused is None and self._local.holds(step):
                    await self._local.apply([step])

    async def _apply_locally(self, steps: Sequence[Step], *, is_unsure: bool = False) -> Outcome:
        are_elsewhere = [
            step for step in steps if isinstance(step, Lease) and step.is_over and not self._local.holds(step)
        ]
        outcome = await self._local.apply(steps)
        if outcome.refused is None:
            self._debts.owe_places(are_elsewhere)
            self._debts.owe_marks(steps)
            self._debts.owe_sums(steps, is_unsure=is_unsure)
        return outcome

    def _go_local(self, error: StoreUnavailable) -> None:
        now_s = self._clock.tick_s()
        self._again_s = now_s + AGAIN_S
        if self.is_local:
            return
        self._away_since_s = now_s
        _log.warning("state: %s; limits, rotation and rests are local to this process for now", error)

    def _try_again_soon(self) -> None:
        if self._clock.tick_s() >= self._again_s and (self._trial is None or self._trial.done()):
            self._trial = asyncio.create_task(self.try_again())

    async def try_again(self) -> None:
        """Asks the shared store once; where it answers, tells it what it missed, and all goes there again."""
        self._again_s = self._clock.tick_s() + AGAIN_S
        try:
            await self._shared.apply([Mark(key="")])
            await self._restore_sums()
            told = await self._debts.pay(self._local, self._shared)
            since_s, self._away_since_s = self._away_since_s, None
            told += await self._debts.pay(self._local, self._shared)  # of what came while it was told
        except StoreUnavailable as error:
            self._go_local(error)
            return
        if since_s is not None:
            away_s = self._clock.tick_s() - since_s
            _log.info("state: %s is used again after %.1f s; changes told: %d", self._name, away_s, told)

    async def _restore_sums(self) -> None:
        """Where the shared store has lost them. Several processes may do so at once: the first one counts."""
        looks = [Count(key=key, by=0, is_lasting=True) for key in self._sums]
        if not looks:
            return
        here = await self._local.apply(looks)
        there = await self._shared.apply(looks)
        for look, value, ends_s, other in zip(looks, here.values, here.ends_s, there.values, strict=True):
            if not value:
                self._sums.discard(look.key)
            seen = value - self._debts.owed_sum(look.key)
            if seen > 0 and not other:
                await self._shared.apply([replace(look, by=seen, limit=seen, ttl_s=ends_s)])

    async def close(self) -> None:
        if self._trial is not None:
            self._trial.cancel()
            await asyncio.gather(self._trial, return_exceptions=True)
        await self._local.close()
        await self._shared.close()
