"""What may be spent in a period: dollars and tokens, by all clients together and by each key. Pure.

A budget is a count that is named after its period: the next one begins at nothing by itself. What an
exchange will take is guessed and counted when it is let in; what it took in truth replaces the guess.
Dollars are whole billionths (`usd_nano`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from llmitm.accept import limit_headers
from llmitm.accept.estimate import Estimate
from llmitm.accept.periods import Span, rfc3339, span_at
from llmitm.config.budget import Period, Tokens, Unit, Usd
from llmitm.config.schema import Config
from llmitm.errors import Limited
from llmitm.exchange import Headers
from llmitm.state.store import Count, Outcome

NANO: Final = 1_000_000_000
_LATE_S: Final = 86_400.0
"""How long a count outlives its period: exchanges end after it that began within it."""
_LONG_S: Final = 3_650 * 86_400.0
"""The life of a count whose period has no end."""
_NEVER_AGAIN: Final = ((b"x-should-retry", b"false"),)
_PER: Final[Mapping[Period, str]] = {
    "daily": " a day",
    "weekly": " a week",
    "monthly": " a month",
    "total": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One budget of the configuration."""

    name: str
    """Whose it is, for who counts: `all`, `key:NAME`."""
    whose: str
    """As a sentence begins: `All clients together`, `The key laptop`."""
    place: str
    """Where an operator may raise it."""
    unit: Unit
    period: Period
    timezone: str
    most: int
    """Tokens, or `usd_nano`."""

    @property
    def auth_key(self) -> str | None:
        """Name of the key that it is of; None: of all clients together."""
        return None if self.name == "all" else self.name.removeprefix("key:")

    def holds(self, auth_key: str | None) -> bool:
        return self.name in ("all", f"key:{auth_key}")

    def span(self, now_s: float) -> Span:
        return span_at(self.period, now_s, self.timezone)

    def key(self, span: Span) -> str:
        """Name of its counter."""
        return f"budget:{self.unit}:{self.name}:{self.period}:{span.name}"

    def add(self, by: int, now_s: float, *, at_s: float | None = None, is_limited: bool = False) -> Count:
        """A step that adds to what is spent in the period of `at_s`; None: in that of now."""
        span = self.span(now_s if at_s is None else at_s)
        ttl_s = _LONG_S if span.ends_s is None else max(span.ends_s - now_s, 0) + _LATE_S
        limit = self.most if is_limited else None
        return Count(key=self.key(span), by=by, limit=limit, ttl_s=ttl_s, is_lasting=True)

    def shown(self, amount: int) -> str:
        if self.unit == "tokens":
            return f"{amount:,} token{'' if amount == 1 else 's'}"
        return usd(amount)


def usd(usd_nano: int) -> str:
    """At least two digits after the point, and of small amounts as many as say something."""
    digits = 2 if usd_nano >= 100 * NANO else 4 if usd_nano >= NANO // 100 else 6
    whole, _, rest = f"{usd_nano / NANO:,.{digits}f}".partition(".")
    return f"${whole}.{rest.rstrip('0'):0<2}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """Those of one configuration, by whom they hold for."""

    of_all: tuple[Budget, ...] = ()
    of_keys: Mapping[str, tuple[Budget, ...]]
    """By the name of a key: those of all with its own."""

    def of(self, auth_key: str | None) -> tuple[Budget, ...]:
        return self.of_all if auth_key is None else self.of_keys.get(auth_key, self.of_all)

    def every(self) -> tuple[Budget, ...]:
        return tuple(dict.fromkeys((*self.of_all, *(one for own in self.of_keys.values() for one in own))))


def read(config: Config) -> Budgets:
    whole = config.budget
    zone = whole.timezone

    def of(
        name: str, whose: str, place: str, usd: Usd | None, tokens: Tokens | None, period: Period
    ) -> Iterator[Budget]:
        for unit, amounts, scale in (("usd", usd, NANO), ("tokens", tokens, 1)):
            by_period = amounts if isinstance(amounts, Mapping) else {period: amounts}
            for each, amount in by_period.items():
                if amount is not None:
                    most = round(amount * scale)
                    yield Budget(
                        name=name,
                        whose=whose,
                        place=place,
                        unit="usd" if unit == "usd" else "tokens",
                        period=each,
                        timezone=zone,
                        most=most,
                    )

    of_all = tuple(of("all", "All clients together", "[budget]", whole.usd, whole.tokens, whole.period))
    of_keys = {}
    for key in config.auth_keys or ():
        is_own = key.budget_usd is not None, key.budget_tokens is not None
        own = (
            *of(
                f"key:{key.name}",
                f"The key {key.name}",
                "[[auth_keys]]",
                key.budget_usd,
                key.budget_tokens,
                key.budget_period,
            ),
        )
        usual = (
            *of(
                f"key:{key.name}",
                f"The key {key.name}",
                "[budget]",
                None if is_own[0] else whole.per_key_usd,
                None if is_own[1] else whole.per_key_tokens,
                whole.period,
            ),
        )
        of_keys[key.name] = (*of_all, *own, *usual)
    return Budgets(of_all=of_all, of_keys=of_keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What an exchange takes: guessed, or in truth."""

    tokens: int
    usd_nano: int

    def of(self, unit: Unit) -> int:
        return self.tokens if unit == "tokens" else self.usd_nano


NOTHING: Final = Spent(tokens=0, usd_nano=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One exchange under its budgets.

    The guess of an answer gives way where prompt and answer together could never pass.
    """

    budgets: tuple[Budget, ...]
    at_s: float
    """When it came, since the epoch: what it takes belongs to that period."""
    estimate: Estimate
    prompt: Spent
    whole: Spent
    """Prompt and answer."""

    def held(self, budget: Budget) -> int:
        """What is counted until it is known better."""
        unit = budget.unit
        return min(self.whole.of(unit), max(self.prompt.of(unit), budget.most))

    def steps(self) -> Iterator[Count]:
        """One a budget.

        Raises:
            Limited: the prompt alone is more than a whole budget.
        """
        for budget in self.budgets:
            by = self.held(budget)
            if by > budget.most > 0:
                raise _too_large(budget, by)
            yield budget.add(by, self.at_s, is_limited=True)

    def settlement(self, spent: Spent, now_s: float) -> Iterator[Count]:
        """What is counted too little, or too much, until now."""
        for budget in self.budgets:
            if by := spent.of(budget.unit) - self.held(budget):
                yield budget.add(by, now_s, at_s=self.at_s)

    def refusal(self, at: int, outcome: Outcome, first: int) -> Limited:
        """Of the budget number `at`; the outcome's values of budgets begin at `first`."""
        budget, spent = self.budgets[at], outcome.values[first + at]
        span = budget.span(self.at_s)
        by = self.held(budget)
        one = f"; this request may take {budget.shown(by)}" if spent < budget.most else ""
        message = (
            f"{budget.whose} may spend {budget.shown(budget.most)}{_PER[budget.period]}, and "
            f"{budget.shown(spent)} of that {'is' if budget.unit == 'usd' else 'are'} spent or held by "
            f"requests under way{one}. "
        )
        again: Headers = ()
        never: Headers = _NEVER_AGAIN
        if outcome.limits and (own := outcome.limits[first + at]) is not None:
            left = budget.shown(max(own - spent, 0))
            message += f"Until it is known what others spend, {left} of the rest are for this gateway."
            again, never = limit_headers.retry_after(limit_headers.UNKNOWN_WAIT_S), ()
        elif span.ends_s is None:
            unit = f"budget_{budget.unit}" if budget.place == "[[auth_keys]]" else budget.unit
            message += f"It does not renew: have {unit} in {budget.place} raised."
        else:
            message += f"The budget renews at {rfc3339(span.ends_s)}."
            again = limit_headers.retry_after(span.ends_s - self.at_s)[:1]
        headers = (*again, *never, *self.headers(outcome, first))
        return Limited(budget.name, f"budget_{budget.unit}", "budget_exceeded", message, headers=headers)

    def headers(self, outcome: Outcome, first: int) -> Headers:
        """What the tightest of its budgets leave, of dollars and of tokens."""
        tightest: dict[Unit, tuple[int, Budget]] = {}
        values = outcome.values[first : first + len(self.budgets)]
        for budget, value in zip(self.budgets, values, strict=True):
            left = max(budget.most - value, 0)
            if budget.unit not in tightest or left < tightest[budget.unit][0]:
                tightest[budget.unit] = left, budget
        return tuple(
            (f"x-llmitm-budget-{name}-{unit}".encode(), text.encode())
            for unit, (left, budget) in tightest.items()
            for name, text in _told(budget, left, budget.span(self.at_s))
        )


def _told(budget: Budget, left: int, span: Span) -> Iterator[tuple[str, str]]:
    def plain(amount: int) -> str:
        return str(amount) if budget.unit == "tokens" else f"{amount / NANO:.6f}"

    yield "limit", plain(budget.most)
    yield "remaining", plain(left)
    if span.ends_s is not None:
        yield "reset", rfc3339(span.ends_s)


def _too_large(budget: Budget, by: int) -> Limited:
    return Limited(
        budget.name,
        f"budget_{budget.unit}",
        "budget_exceeded",
        f"{budget.whose} may spend {budget.shown(budget.most)}{_PER[budget.period]}, and this prompt alone "
        f"takes about {budget.shown(by)}: it can never pass. Send less, or have the budget in {budget.place} "
        "raised.",
        headers=_NEVER_AGAIN,
    )
