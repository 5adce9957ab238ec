"""What may be spent in a period, as the configuration says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, field_validator

from llmitm.config.table import Table
from llmitm.config.values import wrong
from llmitm.state.place import Place

if TYPE_CHECKING:
    from llmitm.config.schema import Config

type Period = Literal["daily", "weekly", "monthly", "total"]
type Unit = Literal["usd", "tokens"]

PERIODS: Final[tuple[Period, ...]] = ("daily", "weekly", "monthly", "total")
MOST: Final[Mapping[Unit, int]] = {"usd": 9_000_000, "tokens": 9_000_000_000_000_000}
"""Counters are exact up to 2**53, and dollars are counted in billionths."""


def _amounts(unit: Unit) -> BeforeValidator:
    """A number, or a table of numbers by period."""
    expected = f"{'a whole number' if unit == 'tokens' else 'a number'} from 0 to {MOST[unit]:,}"

    def check(value: Any) -> Any:
        by_period = value if isinstance(value, dict) else {"daily": value}
        for name, one in by_period.items():
            if name not in PERIODS:
                raise wrong(f"{name} is no period; {', '.join(PERIODS)} are")
            is_number = isinstance(one, int | float) and not isinstance(one, bool)
            if not is_number or (unit == "tokens" and one != int(one)) or not 0 <= one <= MOST[unit]:
                raise wrong(f"{expected} is expected, or a table such as {{daily = 1, monthly = 20}}")
        return value

    return BeforeValidator(check)


Usd = Annotated[float | Mapping[Period, float], _amounts("usd")]
Tokens = Annotated[int | Mapping[Period, int], _amounts("tokens")]


class Budget(Table):
    """Of all clients together; `per_key_*` of each key that says nothing itself. None: no limit.

    A number is for `period`; a table has numbers by period.
    """

    usd: Usd | None = None
    tokens: Tokens | None = None
    period: Period = "monthly"
    per_key_usd: Usd | None = None
    per_key_tokens: Tokens | None = None
    timezone: str = "UTC"
    """Whose midnight begins days, weeks and months."""
    unknown_price: Literal["allow", "refuse"] = "allow"
    """What becomes of a request under a budget in dollars where nobody knows what its model costs."""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, LookupError):
            raise wrong("a time zone is expected, such as UTC or Europe/Berlin") from None
        return value


_DAYS: Final[Mapping[Period, int]] = {"daily": 1, "weekly": 7, "monthly": 31, "total": 36_500}
"""The most that a period has."""


def forgotten(config: Config) -> list[str]:
    """What a start of the gateway will not find again of what was spent, in words for the operator."""
    periods = set(_periods(config))
    try:
        if not periods or not Place.of(config.state.url).is_memory:
            return []
    except ValueError:
        return []  # the URL is wrong, which is told where it stands
    if not config.ledger.enabled:
        return ["budgets begin anew with each start: [ledger] is off, and [state] keeps them in memory"]
    days = config.ledger.retention_days
    return [
        f"what was spent of {period} budgets is forgotten at a start where it is older than {days} days "
        "([ledger] retention_days)"
        for period in PERIODS
        if days is not None and period in periods and days < _DAYS[period]
    ]


def _periods(config: Config) -> Iterator[Period]:
    whole = config.budget
    given: list[tuple[Period, tuple[Usd | Tokens | None, ...]]] = [
        (whole.period, (whole.usd, whole.tokens, whole.per_key_usd, whole.per_key_tokens)),
        *((key.budget_period, (key.budget_usd, key.budget_tokens)) for key in config.auth_keys or ()),
    ]
    for period, every in given:
        for amounts in every:
            if amounts is not None:
                yield from amounts if isinstance(amounts, Mapping) else (period,)
