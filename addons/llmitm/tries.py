"""The one loop: an exchange is tried with one choice after another until one of them answers.

The commit point is the first step of an attempt. Until then it may raise `Missed`, and something else is
tried; after it nothing is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from llmitm.clock import Clock
from llmitm.config.schema import Retry
from llmitm.errors import Refused
from llmitm.exchange import ResponseHead
from llmitm.missed import Missed
from llmitm.route.health import Health
from llmitm.route.search import Found, Search
from llmitm.route.verdict import VERDICTS, Ending, Next

log = logging.getLogger("llmitm")

type Steps = AsyncGenerator[ResponseHead | bytes]
type Make[T] = Callable[[Found[T], int], Steps]
"""The steps of one attempt, and its number. Raises `Refused` where the request cannot be said to this one."""

_HURTS = frozenset({Ending.OVERLOADED, Ending.SERVER, Ending.NETWORK, Ending.TIMEOUT})
"""What counts against a provider once no credential of it is left."""
_SAYS_NOTHING = frozenset({Ending.LATE, Ending.KILLED})


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
    _number: int = 0
    _missed: Missed | None = None
    _unsayable: Refused | None = None
    _last_provider: str | None = None

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
                if not await self._goes_on(missed):
                    raise
                self._missed = missed
        if self._missed is not None:
            raise self._missed
        raise self._unsayable or self.search.nobody()

    async def _start(self) -> _Try[T] | None:
        """The next attempt, begun; None where there is nobody to ask."""
        while (found := await self.search.next()) is not None:
            try:
                steps = self.make(found, self._number + 1)
            except Refused as refused:
                self.health.breaker(found.choice.provider).let_go(is_probe=found.is_probe)
                self._unsayable = self._unsayable or refused
                continue
            self._number += 1
            self._last_provider = found.choice.provider
            return _Try(found, steps, self.health, self.clock)
        return None

    async def _goes_on(self, missed: Missed) -> bool:
        """Whether another may be tried now; where it had better wait, it has waited."""
        verdict = VERDICTS[missed.ending]
        match verdict.next:
            case Next.DELIVER:
                return False
            case Next.LARGER_MODEL:
                return self.search.to_larger()
        most = self.retry.max_attempts
        if (most is not None and self._number >= most) or self.clock.tick_s() >= self.deadline_s:
            return False
        if not await self.search.has_more() or not self.health.budget.take():
            return False
        if verdict.backs_off and self._last_provider and self.search.left_of(self._last_provider):
            wait_s = min(self.retry.base_ms / 1000 * 2 ** min(self._number - 1, 16), self.retry.cap_s)
            wait_s *= self.clock.chance()
            if self.clock.tick_s() + wait_s >= self.deadline_s:
                return False
            await self.clock.sleep(wait_s)
        return True

    async def _first(self, one: _Try[T]) -> tuple[_Try[T], ResponseHead | bytes]:
        if self.hedge_s is None:
            return one, await self._begun(one)
        return await self._race(one, self.hedge_s)

    async def _begun(self, one: _Try[T]) -> ResponseHead | bytes:
        """The first step of an attempt; what it teaches is taken down, whatever comes of it."""
        try:
            first = await anext(one.steps)
        except Missed as missed:
            await self._learn(one.found, missed)
            await one.close()
            raise
        except BaseException:
            await one.close()
            raise
        one.answered()
        return first

    async def _learn(self, found: Found[T], missed: Missed) -> None:
        choice, ending = found.choice, missed.ending
        breaker = self.health.breaker(choice.provider)
        await self.health.rest(choice, ending, missed.failure.retry_after_s, is_gateways=missed.is_gateways)
        if ending in _SAYS_NOTHING:
            breaker.let_go(is_probe=found.is_probe)
        elif ending not in _HURTS:
            breaker.succeeded(is_probe=found.is_probe)
        elif self.search.left_of(choice.provider) or not self.retry.cooldowns:
            breaker.let_go(is_probe=found.is_probe)
        elif breaker.failed(is_probe=found.is_probe):
            log.warning("provider %s is left alone: it failed again and again", choice.provider)
        log.info(
            "exchange %s: attempt %d (%s) ended as %s: %s",
            self.exchange_id,
            self._number,
            choice.name,
            ending,
            missed,
        )

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
                        if self.health.budget.take() and (second := await self._start()) is not None:
                            running[asyncio.create_task(self._begun(second))] = second
                    elif (error := task.exception()) is None:
                        return tried, task.result()
                    elif not isinstance(error, Missed) or _is_last(error) or not any(running.values()):
                        raise error
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


def _is_last(missed: Missed) -> bool:
    return VERDICTS[missed.ending].next is Next.DELIVER


@dataclass(slots=True)
class _Try[T]:
    """One attempt under way."""

    found: Found[T]
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
        self.health.breaker(self.found.choice.provider).succeeded(is_probe=self.found.is_probe)

    async def close(self) -> None:
        """Idempotent."""
        if self._count is None:
            return
        self._count.__exit__(None, None, None)
        self._count = None
        if not self._has_answered:
            self.health.breaker(self.found.choice.provider).let_go(is_probe=self.found.is_probe)
        await self.steps.aclose()
