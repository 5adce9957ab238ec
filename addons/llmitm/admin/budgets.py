"""What may be spent, what is spent of it, and when it renews."""

from __future__ import annotations

from typing import Final

from llmitm.accept.budgets import Budget
from llmitm.accept.periods import rfc3339
from llmitm.admin.route import BASE, Asked, Role, Route
from llmitm.admin.shown import Shown
from llmitm.config.budget import Period, Unit
from llmitm.world import World


class ShownBudget(Shown):
    budget: str
    """`all`: of all clients together; else `key:NAME`."""
    auth_key: str | None
    """Name of the key that it is of; null: of all clients together."""
    period: Period
    timezone: str
    unit: Unit
    limit: int
    """Tokens, or billionths of a US dollar; `spent` and `left` as well."""
    spent: int
    """With what requests under way may take."""
    left: int
    share: float
    """What is spent of the limit: 1 is all of it."""
    begins_at: str | None
    """null: with the first request ever."""
    renews_at: str | None
    """null: never."""


class Budgets(Shown):
    budgets: list[ShownBudget]
    """Those of all clients together come first."""
    is_known: bool
    """false: what was spent before the start has not been read from the ledger yet."""
    is_shared: bool
    """Whether what other gateways spend counts, too: they keep it in the same place."""


async def standing(world: World) -> Budgets:
    """As the store has it, which gateways may share."""
    found = [] if world.spending is None else await world.spending.standing()
    now_s = world.clock.now_s()
    return Budgets(
        budgets=[_shown(budget, spent, now_s) for budget, spent in found],
        is_known=world.spending is None or world.spending.is_known,
        is_shared=world.is_shared,
    )


def _shown(budget: Budget, spent: int, now_s: float) -> ShownBudget:
    span = budget.span(now_s)
    return ShownBudget(
        budget=budget.name,
        auth_key=budget.auth_key,
        period=budget.period,
        timezone=budget.timezone,
        unit=budget.unit,
        limit=budget.most,
        spent=spent,
        left=max(budget.most - spent, 0),
        share=round(spent / budget.most, 4) if budget.most else 1.0,
        begins_at=None if span.ends_s is None else rfc3339(span.begins_s),
        renews_at=None if span.ends_s is None else rfc3339(span.ends_s),
    )


async def _budgets(asked: Asked) -> Budgets:
    """Every budget with what is spent of it now."""
    return await standing(asked.world)


ROUTES: Final[tuple[Route, ...]] = (Route("GET", f"{BASE}/budgets", _budgets, Role.VIEWER, gives=Budgets),)
