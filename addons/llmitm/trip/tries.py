"""The one loop: an exchange is tried with one choice after another until one of them answers.

The commit point is the first step of an attempt. Until then it may raise `Missed`, and something else is
tried; after it nothing is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from llmitm.aside import aside
from llmitm.clock import Clock
from llmitm.config.routing import Retry
from llmitm.errors import Refused
from llmitm.exchange import ResponseHead
from llmitm.route.health import Health
from llmitm.route.search import NEVER_AGAIN, Found, Search, back_in
from llmitm.route.verdict import VERDICTS, Ending, Next
from llmitm.trip.missed import Missed

log = logging.getLogger("llmitm")

type Steps = AsyncGenerator[ResponseHead | bytes]
type Make[T] = Callable[[Found[T], int], Steps]
"""The steps of one attempt, and its number. Raises `Refused` where the request cannot be said to this one."""

_HURTS = frozenset({Ending.OVERLOADED, Ending.SERVER, Ending.NETWORK, Ending.TIMEOUT})
"""What counts against a provider once no credential of it is left."""
_SAYS_NOTHING = frozenset({Ending.LATE, Ending.KILLED, Ending.SKIPPED})


@dataclass(slots=True, kw_only=True)
class Tries[T]:
    """The attempts of one exchange."""

    exchange_id: str
    search: Search[T]
    make: Make[T]
    retry: Retry
    health: Health
    clock: Clock
    deadline_s: float
    """On the clock's ticks. Nothing is tried after it."""
    hedge_s: float | None = None
    """A second attempt is made beside one that is silent for so long."""
    size_bytes: int = 0
    """Of what attempts are made of."""
    _number: int = 0
    _skipped: int = 0
    """How many of them asked nobody."""
    _missed: Missed | None = None
    _unsayable: Refused | None = None
    _last_upstream: str | None = None
    _is_spent: bool = False
    """Another try would have been one too many for the retry budget."""

    async def steps(self) -> Steps:
        """Those of the attempt that answers.

        Raises:
            Missed: the last attempt's; there is nobody (more) to ask, or no more may be asked.
            Refused: no attempt could be made.
        """
        self.health.budget.began()
        one, first = await self._answered()
        try:
            yield first
            async for step in one.steps:
                yield step
        finally:
            await one.close()

    async def _answered(self) -> tuple[_Try[T], ResponseHead | bytes]:
        while (one := await self._start()) is not None:
            try:
                return await self._first(one)
            except Missed as missed:
                _let_go(missed)
                if missed.ending is not Ending.SKIPPED or self._missed is None:
                    self._missed = missed
                if not await self._goes_on(missed):
                    break
        if self._missed is not None:
            raise await self._given_up(self._missed)
        if self._unsayable is not None and not self.search.has_resting():
            raise self._unsayable
        raise self.search.nobody()

    async def _start(self) -> _Try[T] | None:
        """The next attempt, begun; None where there is nobody to ask."""
        while (found := await self.search.next()) is not None:
            try:
                steps = await aside(self.size_bytes, self.make, found, self._number + 1)
            except BaseException as error:
                self.health.breaker(found.choice).let_go(is_probe=found.is_probe)
                if not isinstance(error, Refused):
                    raise
                self._unsayable = self._unsayable or error
                continue
            self._number += 1
            self._last_upstream = found.choice.upstream
            return _Try(found, self._number, steps, self.health, self.clock)
        return None

    async def _goes_on(self, missed: Missed) -> bool:
        """Whether another may be tried now; where it had better wait, it has waited."""
        verdict = VERDICTS[missed.ending]
        if missed.ending is Ending.SKIPPED:  # it cost nothing
            self._skipped += 1
            return self._has_room()
        if verdict.next is Next.DELIVER or not self._has_room():
            return False
        if verdict.next is Next.LARGER_MODEL:
            return self.search.to_larger()
        upcoming = await self.search.upcoming()
        if upcoming is None:
            return False
        wait_s = self._backoff_s() if verdict.backs_off and upcoming.upstream == self._last_upstream else 0
        if self.clock.tick_s() + wait_s >= self.deadline_s:
            return False
        if wait_s and self.health.budget.has_room():
            await self.clock.sleep(wait_s)
            self.search.waited()
        return self._may_spend()

    def _has_room(self) -> bool:
        most = self.retry.max_attempts
        asked = self._number - self._skipped
        return (most is None or asked < most) and self.clock.tick_s() < self.deadline_s

    def _may_spend(self) -> bool:
        self._is_spent = not self.health.budget.take()
        return not self._is_spent

    def _backoff_s(self) -> float:
        """Full jitter."""
        most_s = min(self.retry.base_ms / 1000 * 2.0 ** min(self._number - 1, 16), self.retry.cap_s)
        return most_s * self.clock.chance()

    async def _given_up(self, missed: Missed) -> Missed:
        """With what the client is told of coming again."""
        again = VERDICTS[missed.ending].again
        if again == "as_told":
            return missed
        back_s = await self.search.back_in_s()
        is_never = again == "never" or back_s is None
        if again == "alone" and (self._number > 1 or self._is_spent):
            is_never = True
        headers = dict(back_in(back_s) if back_s else ()) | dict(NEVER_AGAIN if is_never else ())
        kept = (pair for pair in missed.told.headers if pair[0].lower() not in headers)
        missed.told = replace(missed.told, headers=(*kept, *headers.items()))
        return missed

    async def _first(self, one: _Try[T]) -> tuple[_Try[T], ResponseHead | bytes]:
        if self.hedge_s is None:
            return one, await self._begun(one)
        return await self._race(one, self.hedge_s)

    async def _begun(self, one: _Try[T]) -> ResponseHead | bytes:
        """The first step of an attempt; what it teaches is taken down, whatever comes of it."""
        try:
            first = await anext(one.steps)
        except BaseException as error:
            try:
                if isinstance(error, Missed):
                    await self._learn(one, error)
            finally:
                await one.close()
            raise
        one.answered()
        return first

    async def _learn(self, one: _Try[T], missed: Missed) -> None:
        choice, ending, is_probe = one.found.choice, missed.ending, one.found.is_probe
        log.info(
            "exchange %s: attempt %d (%s) ended as %s: %s",
            self.exchange_id,
            one.number,
            choice.name,
            ending,
            missed,
        )
        await self.health.rest(choice, ending, missed.failure.retry_after_s, is_gateways=missed.is_gateways)
        has_other = ending in _HURTS and await self.search.has_other(choice.upstream)
        breaker = self.health.breaker(choice)
        if ending in _SAYS_NOTHING or missed.is_gateways:
            breaker.let_go(is_probe=is_probe)
        elif ending not in _HURTS:
            breaker.succeeded(is_probe=is_probe)
        elif has_other or not self.retry.cooldowns:
            breaker.let_go(is_probe=is_probe)
        elif breaker.failed(is_probe=is_probe):
            log.warning("provider %s is left alone: it failed again and again", choice.upstream)

    async def _race(self, one: _Try[T], hedge_s: float) -> tuple[_Try[T], ResponseHead | bytes]:
        """The first of two that answers. The other one is cancelled.

        Raises:
            Missed: that of the last one, where neither did.
        """
        running: dict[asyncio.Task[Any], _Try[T] | None] = {
            asyncio.create_task(self._begun(one)): one,
            asyncio.create_task(self.clock.sleep(hedge_s)): None,
        }
        try:
            while True:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=lambda task: running[task] is None):
                    tried = running.pop(task)
                    if tried is None:
                        if (second := await self._second()) is not None:
                            running[asyncio.create_task(self._begun(second))] = second
                    elif (error := task.exception()) is None:
                        return tried, task.result()
                    elif not isinstance(error, Missed) or _is_last(error) or not any(running.values()):
                        raise error
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            for loser in running.values():
                if loser is not None:  # it may have answered in the same moment, or never have begun
                    await loser.close()

    async def _second(self) -> _Try[T] | None:
        """The attempt beside a silent one; None where there is nobody to ask, or no more may be asked."""
        if not self._has_room() or await self.search.upcoming() is None or not self._may_spend():
            return None
        return await self._start()


def _let_go(missed: Missed) -> None:
    """Of the answer that it came from: its frames would hold what was read of that while others are asked,
    and after that until somebody looks for garbage."""
    missed.__traceback__ = missed.__cause__ = missed.__context__ = None


def _is_last(missed: Missed) -> bool:
    return VERDICTS[missed.ending].next is Next.DELIVER


@dataclass(slots=True)
class _Try[T]:
    """One attempt under way."""

    found: Found[T]
    number: int
    steps: Steps
    health: Health
    clock: Clock
    began_s: float = 0
    _count: AbstractContextManager[None] | None = None
    _has_answered: bool = field(default=False)

    def __post_init__(self) -> None:
        self.began_s = self.clock.tick_s()
        self._count = self.health.under_way(self.found.choice)
        self._count.__enter__()

    def answered(self) -> None:
        self._has_answered = True
        self.health.answered(self.found.choice, self.clock.tick_s() - self.began_s)
        self.health.breaker(self.found.choice).succeeded(is_probe=self.found.is_probe)

    async def close(self) -> None:
        """Idempotent."""
        if self._count is None:
            return
        self._count.__exit__(None, None, None)
        self._count = None
        if not self._has_answered:
            self.health.breaker(self.found.choice).let_go(is_probe=self.found.is_probe)
        await self.steps.aclose()
