"""Counters that processes share, while the place that keeps them answers; else counters of this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from secrets import token_hex
from typing import Final

from llmitm.clock import Clock
from llmitm.state.alone import Crowd, WhileAway, share, share_of_sum, share_of_window
from llmitm.state.debts import TOGETHER, Debts
from llmitm.state.memory import MemoryStore
from llmitm.state.store import (
    Count,
    Lease,
    Mark,
    Outcome,
    Step,
    Store,
    StoreBegunAnew,
    StoreUnavailable,
    Window,
)

AGAIN_S: Final = 2.0
"""Until a place that did not answer is asked again."""
SOON_S: Final = 0.25
"""The same the first time: most absences are a moment of a busy machine."""
STEADY_S: Final = 10.0
"""Only where it had answered for so long: one that comes and goes makes a few wait each time."""
BEAT_S: Final = 5.0
"""How often a gateway tells that it is there."""
LEASE_S: Final = 30.0
"""So long it is believed, and its places are kept. Several beats: one may be late, or be lost."""
LATE_S: Final = 1.0
"""So much longer what is given back may take to get there than what was added took: else it would seem to
have been added later than it was, and would stay."""
GATEWAYS: Final = "gateways"
"""Key of the places that gateways themselves hold while they live."""

_PROBE: Final = Mark(key="probe", value=1, ttl_s=LEASE_S)
"""Writes: a server that is full answers those who only look."""

_log = logging.getLogger("llmitm")


class SharedStore:
    """A `Store` that always answers, unless `while_away` says `refuse`.

    Where the shared store gives no outcome, the batch that waited for it is done locally, and so is all
    that follows, at once. It is asked again in the background, `SOON_S` later and then every `AGAIN_S`: no
    caller waits for a store that is known to be away.

    Locally, windows and places go on from what this process itself has of them, and limits are the part that
    `while_away` says. Marks that this process has seen stand, such as a key that was revoked, still do, and
    lasting counts go on from what was last seen of them; other counts begin empty. When the shared store is
    back it is told of the marks that were set or taken away meanwhile, of what was added to lasting counts
    and to windows, and of the places that are held, and no longer held. Where it came back empty, lasting
    counts and marks go on there from what was last seen of them, and windows from what each process has of
    them.

    There, a place lasts for `LEASE_S`: what this process still holds is renewed with each beat, off the path
    of requests, and what a process held that died is free by then.
    """

    def __init__(
        self, shared: Store, clock: Clock, *, name: str, while_away: WhileAway | None = None
    ) -> None:
        """`name`: of the place, for the log."""
        self._while_away = while_away or WhileAway()
        self._shared = shared
        self._local = MemoryStore(clock)
        self._clock = clock
        self._name = name
        self._debts = Debts(clock)
        self._sums: set[str] = set()
        """Keys of lasting counts that were seen there."""
        self._crowd = Crowd()
        self._presence = Lease(key=GATEWAYS, holder=token_hex(8), ttl_s=LEASE_S)
        self._leaving: set[tuple[str, str]] = set()
        """Places, by key and holder, that are being given back there."""
        self._only_here: set[tuple[str, str]] = set()
        """Places that the shared store was not told of."""
        self._away_since_s: float | None = None
        self._again_s = 0.0
        self._back_s = -STEADY_S
        """When it last came back."""
        self._is_anew = False
        """Whether the shared store has lost what it was told, and has not been told again."""
        self._trial: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None

    @property
    def is_local(self) -> bool:
        """Whether counters are this process's own for now."""
        return self._away_since_s is not None

    @property
    def has_marks(self) -> bool:
        return True  # others may have set one

    @property
    def gateways(self) -> int:
        """How many share the store, this one included, as far as is known."""
        return max(self._crowd.most, self._while_away.gateways, 1)

    def keep_to(self, while_away: WhileAway) -> None:
        """From now on, also while it is away."""
        self._while_away = while_away

    async def apply(self, steps: Sequence[Step]) -> Outcome:
        """Raises StoreUnavailable where the shared store is away and what comes under a limit is refused."""
        if self.is_local:
            self._try_again_soon()
            return await self._apply_locally(steps)
        leaving = {(step.key, step.holder) for step in steps if isinstance(step, Lease) and step.is_over}
        self._leaving |= leaving
        try:
            outcome = await self._shared.apply([_as_told(step) for step in steps])
        except StoreUnavailable as error:
            self._go_local(error)
            is_unsure = not isinstance(error, StoreBegunAnew)
            if is_unsure:
                self._debts.owe_perhaps(steps)
            else:
                self._try_again_soon()
            return await self._apply_locally(steps, is_unsure=is_unsure)
        finally:
            self._leaving -= leaving
        self._local.note(steps, outcome, with_sums=not self.is_local)
        if not self.is_local:
            self._sums.update(step.key for step in steps if isinstance(step, Count) and step.is_lasting)
        return outcome

    # -- while it is away

    async def _apply_locally(self, steps: Sequence[Step], *, is_unsure: bool = False) -> Outcome:
        if self._while_away.policy == "refuse" and any(map(self._is_limited, steps)):
            raise StoreUnavailable(f"{self._name} is away")
        own = self._held_to_share(steps)
        places = [step for step in steps if isinstance(step, Lease)]
        taken = [step for step in places if not step.is_over and not self._local.holds(step)]
        outcome = await self._local.apply(own)
        if outcome.refused is None:
            self._only_here.update((step.key, step.holder) for step in taken)
            self._owe_places(step for step in places if step.is_over)
            self._debts.owe_marks(steps)
            self._debts.owe_counted(steps, is_unsure=is_unsure)
        return outcome if own is steps else replace(outcome, limits=tuple(map(_less, steps, own)))

    def _is_limited(self, step: Step) -> bool:
        match step:
            case Lease():
                return step.limit is not None and not step.is_over and not self._local.holds(step)
            case Count() | Window():
                return step.limit is not None and step.by >= 0
            case Mark():
                return False

    def _held_to_share(self, steps: Sequence[Step]) -> Sequence[Step]:
        """The same steps where each gateway has all of each limit."""
        parts = self.gateways if self._while_away.policy == "share" else 1
        return steps if parts == 1 else [self._share_of(step, parts) for step in steps]

    def _share_of(self, step: Step, parts: int) -> Step:
        if isinstance(step, Mark) or step.limit is None:
            return step
        if isinstance(step, Count) and step.is_lasting:
            seen = self._local.sum_of(step.key) - self._debts.owed_sum(step.key)
            return replace(step, limit=share_of_sum(step.limit, max(seen, 0), parts))
        if isinstance(step, Window):
            window = self._local.seen_of(step.key, step.window_s)
            return replace(step, limit=share_of_window(step.limit, parts, window))
        return replace(step, limit=share(step.limit, parts))

    def _owe_places(self, given_back: Iterable[Lease]) -> None:
        for step in given_back:
            place = step.key, step.holder
            if place in self._only_here:
                self._only_here.discard(place)
            else:
                self._debts.owe_places([step])

    def _go_local(self, error: StoreUnavailable) -> None:
        now_s = self._clock.tick_s()
        is_anew = isinstance(error, StoreBegunAnew)
        self._is_anew |= is_anew
        if is_anew:
            self._again_s = now_s
        elif not self.is_local:
            self._again_s = now_s + (SOON_S if now_s - self._back_s >= STEADY_S else AGAIN_S)
        if self.is_local:
            return
        self._away_since_s = now_s
        own = "limits, rotation and rests are local to this process for now"
        match self._while_away.policy:
            case "refuse":
                own = "rotation and rests are local to this process for now, and limited requests refused"
            case "share" if self.gateways > 1:
                own += f", with 1/{self.gateways} of each limit"
        _log.warning("state: %s; %s", error, own)

    # -- until it is back

    def _try_again_soon(self) -> None:
        if self._clock.tick_s() >= self._again_s and (self._trial is None or self._trial.done()):
            self._trial = asyncio.create_task(self.try_again())

    async def try_again(self) -> None:
        """Asks the shared store once; where it answers, tells it what it missed, and all goes there again."""
        self._again_s = self._clock.tick_s() + AGAIN_S
        try:
            await self._knock()
            await self._restore_sums()
            told = await self._debts.pay(self._local, self._shared)
            await self._renew()
            since_s, self._away_since_s = self._away_since_s, None
            self._back_s = self._clock.tick_s()
            told += await self._debts.pay(self._local, self._shared)  # of what came while it was told
        except StoreUnavailable as error:
            self._go_local(error)
            return
        if since_s is not None:
            away_s = self._clock.tick_s() - since_s
            _log.info("state: %s is used again after %.1f s; changes told: %d", self._name, away_s, told)

    async def _knock(self) -> None:
        """Raises StoreUnavailable"""
        try:
            await self._shared.apply([_PROBE])
        except StoreBegunAnew:
            self._is_anew = True
            await self._shared.apply([_PROBE])
        if self._is_anew:
            self._debts.owe_windows(self._local.windows())
            self._debts.owe_marks(self._local.marks())
            self._is_anew = False

    async def _restore_sums(self) -> None:
        """Where the shared store has lost them. Several processes may do so at once: the first one counts."""
        keys = list(self._sums)
        for at in range(0, len(keys), TOGETHER):
            looks = [Count(key=key, by=0, is_lasting=True) for key in keys[at : at + TOGETHER]]
            here = await self._local.apply(looks)
            there = await self._shared.apply(looks)
            lost: list[Count] = []
            for look, value, ends_s, other in zip(looks, here.values, here.ends_s, there.values, strict=True):
                if not value:
                    self._sums.discard(look.key)
                seen = value - self._debts.owed_sum(look.key)
                if seen > 0 and not other:
                    lost.append(replace(look, by=seen, limit=seen, ttl_s=ends_s))
            if lost and (await self._shared.apply(lost)).refused is not None:
                for one in lost:
                    await self._shared.apply([one])

    # -- that this process lives

    def start(self) -> None:
        """Tells the others that this gateway is there, from now on. Needs a running event loop."""
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat_on(), name="presence in the shared store")

    async def _beat_on(self) -> None:
        while True:
            try:
                await self.beat()
            except Exception as error:
                _log.error("state: this gateway could not tell that it is there: %s", type(error).__name__)
            await self._clock.sleep(AGAIN_S if self.is_local else BEAT_S)

    async def beat(self) -> None:
        """Renews that this gateway is there, and its places; asks a store that is away whether it is back."""
        if self.is_local:
            self._try_again_soon()
            return
        try:
            await self._renew()
        except StoreUnavailable as error:
            self._go_local(error)
            if isinstance(error, StoreBegunAnew):
                await self.try_again()

    async def _renew(self) -> None:
        """Raises StoreUnavailable"""
        outcome = await self._shared.apply([self._presence])
        self._crowd.note(outcome.values[0])
        places = self._local.places()
        for at in range(0, len(places), TOGETHER):
            some = [
                Lease(key=key, holder=holder, ttl_s=min(left_s, LEASE_S))
                for key, holder, left_s in places[at : at + TOGETHER]
            ]
            await self._renew_places([place for place in some if self._is_kept(place)])

    async def _renew_places(self, places: Sequence[Lease]) -> None:
        self._only_here.difference_update((place.key, place.holder) for place in places)
        await self._shared.apply(places)
        gone = [replace(place, is_over=True) for place in places if not self._is_kept(place)]
        if gone:  # meanwhile: nobody knows what was done first
            await self._shared.apply(gone)

    def _is_kept(self, place: Lease) -> bool:
        return (place.key, place.holder) not in self._leaving and self._local.holds(place)

    async def close(self) -> None:
        for task in (self._beating, self._trial):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._beating is not None and not self.is_local:
            await self._leave()
        await self._local.close()
        await self._shared.close()

    async def _leave(self) -> None:
        try:
            await self._shared.apply([replace(self._presence, is_over=True)])
        except StoreUnavailable:
            pass  # it is forgotten after a while


def _less(step: Step, own: Step) -> int | None:
    """The limit of `own`, where that is not the step's."""
    if isinstance(own, Mark) or isinstance(step, Mark) or own.limit == step.limit:
        return None
    return own.limit


def _as_told(step: Step) -> Step:
    """Places last there only as long as they are renewed; and what is given back may be late."""
    if isinstance(step, Window) and step.by < 0 and step.age_s is not None:
        return replace(step, age_s=step.age_s + LATE_S)
    if isinstance(step, Lease) and step.ttl_s > LEASE_S:
        return Lease(key=step.key, holder=step.holder, limit=step.limit, ttl_s=LEASE_S, is_over=step.is_over)
    return step
