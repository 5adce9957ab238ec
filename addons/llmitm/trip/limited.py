"""An exchange under the limits and budgets of its client: let in, counted as it lasts, settled at its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from llmitm.accept import limit_headers, limits
from llmitm.errors import ClientGone, Limited, Refused
from llmitm.exchange import ResponseHead, Usage
from llmitm.spending import candidates, named
from llmitm.trip.missed import Missed
from llmitm.trip.routed import Trip

type Steps = AsyncGenerator[ResponseHead | bytes]

GO_ON_S: Final = 20.0
"""How often a session under limits counts what it has used, and keeps its places."""
_UNKNOWN: Final = Usage()


async def under_limits(
    steps: Steps,
    trip: Trip,
    body: bytes = b"",
    models: tuple[str, ...] = (),
    max_output_tokens: int | None = 0,
) -> Steps:
    """The steps, where the client's limits let it in, with what they leave in the head.

    Raises:
        Refused: 429, nothing was begun.
    """
    kept, world = trip.kept, trip.world
    asked = limits.Asked(
        exchange_id=trip.request.id,
        auth_key=kept.auth_key,
        dialect=trip.asked.dialect,
        models=_names(trip, models, body) if trip.config.rate_limit.models else (),
        body=body,
        max_output_tokens=max_output_tokens,
    )
    charge = None
    if (spending := world.spending) is not None and spending.is_on:
        charge = await spending.charge(trip, models, body, max_output_tokens)
    try:
        admitted = await limits.admit(
            asked, trip.config, world.store, world.clock, is_shared=world.is_shared, charge=charge
        )
    except Limited as hit:
        world.metrics.hit(hit)
        raise
    kept.admitted_s = world.clock.tick_s()
    async with admitted as ticket:
        going_on: asyncio.Task[None] | None = None
        try:
            async with aclosing(steps):  # it must have ended before what was used is read
                async for step in steps:
                    if isinstance(step, ResponseHead):
                        if step.status >= 400:
                            ticket.settle(limits.NO_TOKENS)
                        elif step.status == 101 and ticket.has_to_last:
                            going_on = asyncio.create_task(
                                _going_on(ticket, trip), name="limits of a session"
                            )
                        step = replace(step, headers=limit_headers.merged(step.headers, ticket.headers()))
                    yield step
        except (Missed, Refused) as error:
            if not isinstance(error, ClientGone):
                ticket.settle(limits.NO_TOKENS)
            raise
        finally:
            if going_on is not None:
                going_on.cancel()
            if kept.usage != _UNKNOWN:
                ticket.settle(kept.usage)
            if charge is not None and spending is not None:
                ticket.spend(spending.spent(kept, charge))


def _names(trip: Trip, models: tuple[str, ...], body: bytes) -> tuple[str, ...]:
    """All that the models are called that may be asked first, so that no alias gets round a limit."""
    asked = models or named(trip, body)[0]
    found = dict.fromkeys(asked)
    for one in asked:
        for provider, model in candidates(trip, (one,)):
            found[model] = found[f"{provider}/{model}"] = None
    found.update(dict.fromkeys([name.rpartition("/")[2] for name in found]))
    return tuple(found)


async def _going_on(ticket: limits.Ticket, trip: Trip) -> None:
    kept, places_s = trip.kept, trip.config.timeouts.exchange_s
    while True:
        await trip.world.clock.sleep(min(GO_ON_S, places_s / 3))
        if kept.usage != _UNKNOWN:
            ticket.settle(kept.usage)
        await ticket.go_on()
