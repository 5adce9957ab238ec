"""How much may this client ask for? Requests and tokens within any minute, and requests at once.

    async with await limits.admit(asked, config, store, clock) as ticket:
        ...                                  # the trip
        own = ticket.headers()               # limit_headers.merged(headers, own) puts them on an answer
        ticket.settle(usage)                 # as often as more is known; the last one counts

Leaving the block is `await ticket.release()`: places held at once are given back and what was used
replaces what was guessed, in one batch, also where the client left or the task was cancelled.

What an exchange costs. Refused here: nothing. Once admitted: one request, whatever becomes of it; and
tokens, which are a guess until they are settled: with `NO_TOKENS` where no upstream did any work for it,
else with what the upstream told. Where it told nothing the guess stays.

A prompt whose guess alone is above a limit of tokens is refused for good, without a time: let in, it would
break the limit for everybody that shares it. The guess of the answer gives way instead, since what a
client allows says little of what comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from types import TracebackType
from typing import Any, Final, Self

from llmitm.accept import limit_headers, revoked
from llmitm.accept.budgets import NOTHING, Charge, Spent
from llmitm.accept.limit_headers import Room
from llmitm.accept.wanted import WINDOW_S, Asked, Counted, Limit, Wanted, find_key, wanted
from llmitm.clock import Clock
from llmitm.config.schema import Config
from llmitm.errors import Limited, Refused
from llmitm.exchange import Headers, Usage
from llmitm.state.store import Count, Lease, Outcome, Step, Store, StoreUnavailable, Window

log = logging.getLogger("llmitm")

NO_TOKENS: Final = Usage(input_tokens=0, output_tokens=0)
"""The usage of an exchange that no upstream worked for."""
LEASE_WAIT_S: Final = 1.0
"""Nobody knows when a place is given back."""

_NEVER: Final = Count(key="limits:never", by=0, limit=-1)
"""Always refused: a batch that ends with it only looks."""
_running: Final[set[asyncio.Task[Any]]] = set()
"""Tasks that outlive who began them: the event loop alone would not keep them."""


async def admit(
    asked: Asked,
    config: Config,
    store: Store,
    clock: Clock,
    *,
    is_shared: bool = False,
    charge: Charge | None = None,
) -> Ticket:
    """Counts the exchange under all its limits and budgets at once, or under none where it is over one.

    Where the store is shared, a key that was revoked elsewhere is refused too.

    Raises:
        Limited: 429 `rate_limit_exceeded`, or `budget_exceeded`, with the headers of its limits.
        Refused: 401 `invalid_api_key`; 503 `limits_unknown`, where the store is away, and nothing is to be
            counted without it.
    """
    try:
        return await _admit(asked, config, store, clock, is_shared, charge)
    except StoreUnavailable:
        raise Refused(
            503,
            "limits_unknown",
            "What has been used of the limits cannot be counted at the moment.",
            headers=(*limit_headers.retry_after(limit_headers.UNKNOWN_WAIT_S), (b"x-should-retry", b"true")),
        ) from None


async def _admit(
    asked: Asked, config: Config, store: Store, clock: Clock, is_shared: bool, charge: Charge | None
) -> Ticket:
    found = wanted(asked, config)
    key = find_key(asked.auth_key, config) if is_shared and asked.auth_key is not None else None
    ticket = Ticket(asked, found, store, clock, charge)
    for limit, step in zip(found.limits, found.steps, strict=True):
        if isinstance(step, Window) and step.by > limit.most:
            raise _too_large(limit, step.by)
    steps: list[Step] = list(found.steps)
    if charge is not None:
        steps += charge.steps()
    if key is not None:
        steps.append(revoked.look(key.digest))
    if steps:
        outcome = await ticket.take(steps)
        if key is not None and outcome.values[-1]:
            await ticket.undo()
            raise Refused(401, "invalid_api_key", "This key has been revoked.")
        if charge is not None and outcome.refused is not None and outcome.refused >= len(found.steps):
            raise charge.refusal(outcome.refused - len(found.steps), outcome, len(found.steps))
        if outcome.refused is not None:
            wait_s = await _wait_s(found, outcome, store)
            raise _over(
                found.limits[outcome.refused], wait_s, ticket.headers(), _own(outcome, outcome.refused)
            )
    return ticket


class Ticket:
    """An exchange that was let in. Free where nothing limits it."""

    __slots__ = (
        "_asked",
        "_charge",
        "_clock",
        "_counted",
        "_is_gone",
        "_is_held",
        "_outcome",
        "_spent",
        "_store",
        "_taken_s",
        "_usage",
        "_wanted",
    )

    def __init__(
        self, asked: Asked, found: Wanted, store: Store, clock: Clock, charge: Charge | None = None
    ) -> None:
        self._asked = asked
        self._wanted = found
        self._store = store
        self._clock = clock
        self._outcome = Outcome(values=())
        self._taken_s = 0.0
        self._usage: Usage | None = None
        self._counted: int | None = None
        self._charge = charge
        self._spent: Spent | None = None
        self._is_held = False
        self._is_gone = False

    async def take(self, steps: list[Step]) -> Outcome:
        """For `admit` alone. What is cancelled half-way takes nothing."""
        self._taken_s = self._clock.tick_s()
        try:
            return await _to_its_end(self._take(steps))
        except BaseException:
            self._is_gone = True
            await self.undo()  # where it was cancelled just after it had been counted
            raise

    async def _take(self, steps: list[Step]) -> Outcome:
        outcome = self._outcome = await self._store.apply(steps)
        self._is_held = outcome.refused is None
        if self._is_gone:
            await self.undo()
        return outcome

    def headers(self) -> Headers:
        """What the tightest of its limits leave, in the client's dialect; none where none is set."""
        rooms: dict[str, Room] = {}
        outcome = self._outcome
        # budgets and a look at revoked keys may follow the limits
        counts = zip(self._wanted.limits, outcome.values, outcome.ends_s, strict=False)
        for at, (limit, value, end_s) in enumerate(counts):
            if limit.counted is not Counted.CONCURRENCY:
                own = _own(outcome, at)
                left = (limit.most if own is None else own) - value
                room = Room(limit=limit.most, remaining=max(left, 0), reset_s=end_s or 0)
                known = rooms.setdefault(limit.counted, room)
                if (room.remaining, room.limit) < (known.remaining, known.limit):
                    rooms[limit.counted] = room
        told = limit_headers.write(self._asked.dialect, rooms, self._clock.now_s()) if rooms else ()
        if self._charge is not None and outcome.values:
            told += self._charge.headers(outcome, len(self._wanted.steps))
        return told

    def settle(self, usage: Usage | None) -> None:
        """Tells what was used; it is counted when the ticket is released. None: not known."""
        self._usage = usage

    def spend(self, spent: Spent) -> None:
        """Tells what its budgets are to be charged in truth; without it they keep the guess."""
        self._spent = spent

    @property
    def has_to_last(self) -> bool:
        """Whether `go_on` is of use."""
        return self._is_held and bool(self._wanted.steps)

    async def go_on(self) -> None:
        """Of what lasts longer than a place is kept: keeps its places, and counts what it has used by now.
        Never raises."""
        if not self._is_held:
            return
        places = [step for step in self._wanted.steps if isinstance(step, Lease)]
        steps = (*self._settlement(), *places)
        self._counted = self._used()
        if steps:
            await _to_its_end(self._apply(steps))

    async def release(self) -> None:
        """Ends it, once: later calls do nothing. Never raises: the answer is out."""
        if self._is_held:
            await self._end((*self._settlement(), *self._charged(self._spent), *self._given_back()))

    async def undo(self) -> None:
        """As if it had never been let in."""
        if self._is_held:
            age_s = self._age_s()
            steps = self._wanted.steps
            back = (_changed(step, -step.by, age_s) for step in steps if isinstance(step, Window))
            await self._end((*back, *self._charged(NOTHING), *self._given_back()))

    async def _end(self, steps: tuple[Step, ...]) -> None:
        self._is_held = False
        if steps:
            await _to_its_end(self._apply(steps))

    async def _apply(self, steps: tuple[Step, ...]) -> None:
        try:
            await self._store.apply(steps)
        except Exception as error:
            # places are free again when their time is over, guesses stay
            log.error("what %s used was not counted: %s", self._asked.exchange_id, type(error).__name__)

    def _given_back(self) -> Iterator[Step]:
        for step in self._wanted.steps:
            if isinstance(step, Lease):
                yield Lease(key=step.key, holder=step.holder, is_over=True)

    def _settlement(self) -> Iterator[Step]:
        used = self._used()
        if used is None:
            return
        age_s = self._age_s()
        for limit, step in zip(self._wanted.limits, self._wanted.steps, strict=True):
            if limit.counted is Counted.TOKENS and isinstance(step, Window):
                if by := used - (step.by if self._counted is None else self._counted):
                    yield _changed(step, by, age_s)

    def _charged(self, spent: Spent | None) -> Iterator[Step]:
        if self._charge is not None and spent is not None:
            yield from self._charge.settlement(spent, self._clock.now_s())

    def _used(self) -> int | None:
        """None: nothing is known. Of what is known in part, and of a cut answer, the guess fills the rest."""
        usage, guess = self._usage, self._wanted.estimate
        if usage is None or (usage.input_tokens is None and usage.output_tokens is None):
            return None
        prompt = guess.prompt if usage.input_tokens is None else usage.input_tokens
        answer = guess.answer if usage.output_tokens is None else usage.output_tokens
        return prompt + (answer if usage.is_final else max(answer, guess.answer))

    def _age_s(self) -> float:
        return self._clock.tick_s() - self._taken_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.release()


def _changed(step: Window, by: int, age_s: float) -> Window:
    """What is given back leaves the moment where it was added; what is added counts from now."""
    return Window(key=step.key, by=by, window_s=step.window_s, age_s=age_s if by < 0 else None)


async def _to_its_end[T](work: Coroutine[Any, Any, T]) -> T:
    """Does `work` whole, also where the caller is cancelled meanwhile. Costs no task where nothing waits."""
    task = asyncio.Task(work, loop=asyncio.get_running_loop(), eager_start=True)
    if not task.done():
        _running.add(task)
        task.add_done_callback(_running.discard)
        await asyncio.shield(task)
    return task.result()


async def _wait_s(found: Wanted, outcome: Outcome, store: Store) -> float:
    """Seconds until all limits have room, if nothing is added: the store tells of the first one only."""
    assert outcome.refused is not None
    waits = [LEASE_WAIT_S if outcome.wait_s is None else outcome.wait_s]
    for at in range(outcome.refused + 1, len(found.steps)):
        step, own = found.steps[at], _own(outcome, at)
        most = found.limits[at].most if own is None else own
        if isinstance(step, Lease) or outcome.values[at] + step.by <= most:
            continue
        looked = await store.apply([step, _NEVER])
        if looked.wait_s is not None:
            waits.append(looked.wait_s)
    return max(waits)


def _own(outcome: Outcome, at: int) -> int | None:
    """What this gateway may give out by itself; None: the limit as it is."""
    return outcome.limits[at] if outcome.limits else None


_MAY: Final = {
    Counted.REQUESTS: "may send {most:,} request{s} a minute",
    Counted.TOKENS: "may use {most:,} token{s} a minute",
    Counted.CONCURRENCY: "may have {most:,} request{s} at once",
}


def _words(limit: Limit) -> str:
    may = _MAY[limit.counted].format(most=limit.most, s="" if limit.most == 1 else "s")
    return f"{limit.whose} {may}"


def _over(limit: Limit, wait_s: float, headers: Headers, own: int | None) -> Limited:
    """`own`: this gateway's part of the limit while it counts by itself."""
    if limit.counted is Counted.CONCURRENCY:
        when = "Try again when one of them is over."
    else:
        when = f"Try again in {limit_headers.duration(wait_s)}."
    return Limited(
        limit.name,
        limit.counted,
        "rate_limit_exceeded",
        f"{_words(limit)}{'' if own is None else f', {own:,} of them through this gateway for now'}. {when}",
        headers=(*limit_headers.retry_after(wait_s), (b"x-should-retry", b"true"), *headers),
    )


def _too_large(limit: Limit, tokens: int) -> Limited:
    return Limited(
        limit.name,
        limit.counted,
        "rate_limit_exceeded",
        f"{_words(limit)}, and this prompt alone has about {tokens:,}: it can never pass. Send less, or "
        f"have tpm in {limit.place} raised.",
        headers=((b"x-should-retry", b"false"),),
    )


__all__ = ["LEASE_WAIT_S", "NO_TOKENS", "WINDOW_S", "Asked", "Ticket", "admit", "wanted"]
