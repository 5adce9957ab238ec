"""Budgets of a running gateway: what exchanges take of them, and what was taken before it started.

    charge = await spending.charge(trip, models, body, most)     # before; None where no budget applies
    ticket.spend(spending.spent(entry, charge))                  # after; all attempts of the exchange

What was spent is read from the ledger at the start. Where counters begin anew with the process, exchanges
under a budget wait a while until that has been done and are then refused: nobody knows what they may spend.
Where counters outlive it, nobody waits: what they stand at holds, and is raised where it is less, since their
store has lost it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from llmitm.accept import budgets
from llmitm.accept.budgets import Budget, Charge, Spent
from llmitm.accept.estimate import TEXT_BYTES_A_TOKEN, USUAL_ANSWER_TOKENS, Estimate, estimate_tokens
from llmitm.clock import Clock
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import Noted, Usage
from llmitm.record.cost import Cost
from llmitm.record.entry import WORKED_FOR, Entry
from llmitm.record.prices import Prices
from llmitm.route import calls, plan
from llmitm.state.store import Store, StoreUnavailable
from llmitm.translate import peek

if TYPE_CHECKING:
    from llmitm.record.ledger.spent import Sum, Untold
    from llmitm.trip.routed import Trip

log = logging.getLogger("llmitm")

WAIT_S: Final = 10.0
"""So long an exchange waits for what was spent before the start."""
RETRY_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Pauses before a ledger that cannot be read is asked again; the last one over and over."""
_TRIES: Final = 3
_TOGETHER: Final = 500
"""Budgets that are looked at in one batch."""
MOST_WARNED: Final = 200
"""Models without a price that are named in the log: their names come from clients."""


class Outliving(Protocol):
    """A store whose counters outlive the process."""

    @property
    def is_local(self) -> bool:
        """Whether they are the process's own for now."""


type Read = Callable[[float, float], Awaitable[tuple[Sequence[Sum], Sequence[Untold]]]]
"""What was spent in exchanges that began since one moment, and before another (seconds since the epoch)."""


class Spending:
    """One for a process. Follows the configuration; what was spent stays."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        store: Store,
        prices: Prices,
        price: Callable[[Noted], Cost | None],
        guessed: Callable[[], None] = lambda: None,
    ) -> None:
        """`guessed` is called for each exchange of which an estimate is what counts."""
        self._clock = clock
        self._store = store
        self._prices = prices
        self._price = price
        self._guessed = guessed
        self.read: Read | None = None
        """None: nothing is kept."""
        self.outliving: Outliving | None = None
        """None: counters begin anew with the process."""
        self._has_started = False
        self.wait_s = WAIT_S
        self._opened: set[str] = set()
        self._opening: asyncio.Task[None] | None = None
        self._warned: set[tuple[str, str]] = set()
        self._has_prices = False
        self.follow(config)

    def follow(self, config: Config) -> None:
        self._config = config
        self._budgets = budgets.read(config)
        self.is_on = bool(self._budgets.every())
        self._opened &= {_name(one) for one in self._budgets.every()}  # nobody counts for the others
        if self._has_started:
            self._open_soon()

    # -- before

    async def charge(
        self, trip: Trip, models: Sequence[str], body: bytes, max_output_tokens: int | None
    ) -> Charge | None:
        """What the exchange is guessed to take of its budgets; None where none holds for it.

        Raises:
            Refused: 503 `budget_unknown`, 403 `price_unknown`.
        """
        mine = self._budgets.of(trip.kept.auth_key)
        if not mine or not trip.endpoint.injects:  # what clients pay themselves is their business
            return None
        await self._ready()
        now_s = self._clock.now_s()
        if not models:
            models, most = named(trip, body)
            max_output_tokens = most if max_output_tokens is None else max_output_tokens
        estimate = estimate_tokens(body, max_output_tokens)
        prompt = whole = 0
        if any(one.unit == "usd" for one in mine):
            if not self._has_prices:
                await asyncio.to_thread(self._prices.warm)
                self._has_prices = True
            found = dict.fromkeys(candidates(trip, models))
            usage = Usage(input_tokens=estimate.prompt, output_tokens=estimate.answer)
            prompt = whole = self._dearest(found, usage, now_s)
            if any(one.most < whole for one in mine if one.unit == "usd"):  # else nobody asks
                prompt = self._dearest(found, replace(usage, output_tokens=0), now_s)
        return Charge(
            budgets=mine,
            at_s=now_s,
            estimate=estimate,
            prompt=Spent(tokens=estimate.prompt, usd_nano=prompt),
            whole=Spent(tokens=estimate.total, usd_nano=whole),
        )

    def _dearest(self, candidates: Iterable[tuple[str, str]], usage: Usage, now_s: float) -> int:
        """What it costs where the dearest is asked."""
        found = 0
        for provider, model in candidates:
            cost = self._prices.cost(provider=provider, model=model, usage=usage, at_s=now_s).usd_nano
            if cost is None:
                self._has_no_price(provider, model)
            else:
                found = max(found, cost)
        return found

    def _has_no_price(self, provider: str, model: str) -> None:
        """Raises Refused, where that is what the configuration wants."""
        if self._config.budget.unknown_price == "refuse":
            raise Refused(
                403,
                "price_unknown",
                f"Nobody knows what {model[:100]!r} costs at {provider}, so no budget can hold it. Have its "
                "price set in [model_prices].",
            )
        if (provider, model) in self._warned or len(self._warned) >= MOST_WARNED:
            return
        self._warned.add((provider, model))
        log.warning(
            "nobody knows what %r costs at %s: budgets in dollars do not hold it; set its price in "
            '[model_prices], or refuse such requests with unknown_price = "refuse" in [budget]',
            model[:100],
            provider,
        )

    # -- after

    def spent(self, entry: Entry, charge: Charge) -> Spent:
        """What all attempts of an exchange took. Where nobody told, the guess counts. Never raises."""
        try:
            found = [self._of(noted, charge) for noted in entry.attempts]
        except Exception as error:
            log.error("exchange %s: what it cost is not known: %s", entry.id, type(error).__name__)
            self._guessed()
            return charge.whole
        if any(is_guess for _, is_guess in found):
            self._guessed()
        return Spent(
            tokens=sum(one.tokens for one, _ in found), usd_nano=sum(one.usd_nano for one, _ in found)
        )

    def _of(self, noted: Noted, charge: Charge) -> tuple[Spent, bool]:
        """What one attempt took, and whether a part of that is a guess."""
        usage = _filled(noted, charge.estimate)
        if usage is None:
            return budgets.NOTHING, False
        tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
        is_guess = usage is not noted.usage
        if not any(one.unit == "usd" for one in charge.budgets):
            return Spent(tokens=tokens, usd_nano=0), is_guess
        cost = self._price(replace(noted, usage=usage) if is_guess else noted)
        if cost is None or cost.usd_nano is None:
            return Spent(tokens=tokens, usd_nano=charge.whole.usd_nano), True
        return Spent(tokens=tokens, usd_nano=cost.usd_nano), is_guess

    # -- what was spent before

    def start(self) -> None:
        """Begins to read it. Needs a running event loop."""
        self._has_started = True
        self._open_soon()

    def _open_soon(self) -> None:
        if self.read is None or not self._unopened():
            return
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_task(self._open(self.read))

    @property
    def is_known(self) -> bool:
        """False until what was spent before the start has been read."""
        return self.read is None or self.outliving is not None or not self._unopened()

    def _unopened(self) -> list[Budget]:
        return [one for one in self._budgets.every() if _name(one) not in self._opened]

    async def _ready(self) -> None:
        """Raises Refused where it is not known in time what was spent before."""
        if not self._has_started:
            self.start()
        if self._opening is None or self._opening.done() or self.outliving is not None:
            return
        try:
            async with asyncio.timeout(self.wait_s):
                await asyncio.shield(self._opening)
        except TimeoutError:
            raise Refused(
                503,
                "budget_unknown",
                "What has been spent of the budget cannot be read at the moment.",
                headers=((b"retry-after", b"5"),),
            ) from None

    async def _open(self, read: Read) -> None:
        failures = 0
        while wanted := self._unopened():
            try:
                await self._add(wanted, read)
            except Exception as error:
                if failures == 0:
                    refused = "" if self.outliving else "; requests under a budget are refused until it can"
                    log.error(
                        "what was spent of budgets cannot be read from the ledger: %s: %s%s",
                        type(error).__name__,
                        error,
                        refused,
                    )
                await self._clock.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1

    async def _add(self, wanted: list[Budget], read: Read) -> None:
        now_s = self._clock.now_s()
        begins_s = {budget: budget.span(now_s).begins_s for budget in wanted}
        found: dict[float, list[Sum]] = {}
        for since_s in set(begins_s.values()):
            told, untold = await read(since_s, now_s)
            if untold:
                await asyncio.to_thread(self._prices.warm)
            found[since_s] = [*told, *(self._guess(one, now_s) for one in untold)]
        raised = 0
        for budget, here in await self._counted(wanted, now_s):
            mine = [one for one in found[begins_s[budget]] if budget.holds(one.auth_key)]
            by = sum(one.tokens if budget.unit == "tokens" else one.usd_nano for one in mine)
            if by > here:  # of budgets that were set before, a part is counted
                raised += await self._raise(budget, by, now_s)
        self._opened.update(map(_name, wanted))
        log.info("budgets: %d read from the ledger, %d of them used already", len(wanted), raised)

    async def _raise(self, budget: Budget, most: int, now_s: float) -> bool:
        """To what was spent. Several processes may do so at once: the first one counts."""
        for _ in range(_TRIES):
            here = (await self._store.apply([budget.add(0, now_s)])).values[0]
            if self.outliving is not None and self.outliving.is_local:
                raise StoreUnavailable("the store is away")
            if here >= most:
                return False
            step = replace(budget.add(most - here, now_s), limit=most)
            if (await self._store.apply([step])).refused is None:
                return True
        return False

    def _guess(self, one: Untold, now_s: float) -> Sum:
        from llmitm.record.ledger.spent import Sum  # costs memory where there is no ledger

        usage = Usage(
            input_tokens=one.request_bytes // (one.count * TEXT_BYTES_A_TOKEN),
            output_tokens=USUAL_ANSWER_TOKENS,
        )
        usd_nano = self._prices.cost(
            provider=one.provider, model=one.model or "", usage=usage, at_s=now_s, host=one.host
        ).usd_nano
        tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
        return Sum(auth_key=one.auth_key, tokens=one.count * tokens, usd_nano=one.count * (usd_nano or 0))

    async def standing(self, most: int | None = None) -> list[tuple[Budget, int]]:
        """Every budget, or so many, and what is spent or held of it now."""
        every = self._budgets.every()[:most]
        if not every:
            return []
        return await self._counted(every, self._clock.now_s())

    async def _counted(self, wanted: Sequence[Budget], now_s: float) -> list[tuple[Budget, int]]:
        """A few at a time: others ask the store too."""
        found: list[tuple[Budget, int]] = []
        for at in range(0, len(wanted), _TOGETHER):
            some = wanted[at : at + _TOGETHER]
            outcome = await self._store.apply([one.add(0, now_s) for one in some])
            found += zip(some, outcome.values, strict=True)
        return found

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)


def _name(budget: Budget) -> str:
    """Of what is counted, whatever its limit."""
    return f"{budget.unit}:{budget.name}:{budget.period}:{budget.timezone}"


def named(trip: Trip, body: bytes) -> tuple[Sequence[str], int | None]:
    """The model that a request names, and how many tokens it allows, where nobody had to know them."""
    call = calls.find(trip.asked.rest)
    seen = peek.peek(body) if body else None
    named = (call.model if call is not None else None) or (seen.model if seen is not None else None)
    return (named,) if named is not None else (), seen.max_output_tokens if seen is not None else None


def candidates(trip: Trip, models: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Providers that may be asked first, each with its name of the model; none where nobody serves it."""
    match trip.endpoint.kind:
        case "gateway":
            for model in models[:1]:
                pool = trip.config.routing.aliases.get(model)
                for one in (model,) if pool is None else [member.model for member in pool]:
                    try:
                        found = plan.of_model(one, trip.asked.endpoint, trip.config)
                    except Refused:
                        continue
                    yield from ((choice.provider, choice.model) for choice in found)
        case "cloudflare" if models:
            for way in plan.through_cloudflare(trip.asked, trip.config):
                yield way.provider, way.model
        case _ if trip.endpoint.provider is not None:
            for model in models[:1]:
                yield trip.endpoint.provider, model


def _filled(noted: Noted, guess: Estimate) -> Usage | None:
    """What an attempt used, the unknown parts guessed; None: nothing, since nobody worked for it."""
    usage = noted.usage
    if usage is None or (usage.input_tokens is None and usage.output_tokens is None):
        has_failed = noted.status is not None and noted.status >= 400
        if (
            has_failed
            or (noted.ending is not None and noted.ending not in WORKED_FOR)
            or noted.request_bytes is None
        ):
            return None
        if not guess.answer:  # a call that makes no tokens: what counts tokens, for one, is free
            return None
        return Usage(input_tokens=guess.prompt, output_tokens=guess.answer, is_final=False)
    given, made = usage.input_tokens, usage.output_tokens
    if given is not None and made is not None and usage.is_final:
        return usage
    made = guess.answer if made is None else made
    return replace(
        usage,
        input_tokens=guess.prompt if given is None else given,
        output_tokens=made if usage.is_final else max(made, guess.answer),
    )
