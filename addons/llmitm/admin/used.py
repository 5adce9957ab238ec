"""What was used and what it cost, by day, model, provider, key and so on; and what models cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from llmitm.admin.asking import ERRORS, Filters, ledger_errors
from llmitm.admin.route import BASE, Asked, Role, Route
from llmitm.admin.shelf import Unreadable
from llmitm.admin.shown import Shown, usd
from llmitm.admin.watching import Watching
from llmitm.record.ledger import paging
from llmitm.record.ledger.reading import BY, NoLedger
from llmitm.record.rates import CALLS
from llmitm.route import providers
from llmitm.world import World

MOST_GROUPS: Final = 5_000
MOST_PRICED: Final = 500


class UsageAsked(Filters):
    by: Annotated[str, Field(max_length=100)] = "day"
    """One or more of hour, day, month, model, provider, credential, key, endpoint, outcome, with commas."""

    def groups(self) -> tuple[str, ...]:
        """Raises ValueError."""
        found = tuple(one.strip() for one in self.by.split(",") if one.strip())
        if len(set(found)) < len(found) or not set(found) <= set(BY):
            raise ValueError(f"by={self.by}: some of {', '.join(BY)} are expected, each once")
        return found


class Used(Shown):
    group: dict[str, str | None]
    """What it is a sum of, by name of the group: `{"day": "2026-09-21"}`; null: nobody, or not known."""
    requests: int
    failed: int
    attempts: int
    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    cost_usd_nano: int | None
    cost_usd: str | None
    unpriced: int
    """Attempts that told of tokens whose price nobody knows."""
    partly_priced: int


class Usage(Shown):
    by: list[str]
    groups: list[Used]
    is_cut: bool
    """true: there are more groups than are told."""
    total: Used


class Band(Shown):
    over_input_tokens: int
    """It counts for prompts that are longer."""
    cells: dict[str, str]
    """US dollars by kind: per million tokens, or per thousand calls for kinds of `calls`."""


class Price(Shown):
    provider: str
    model: str
    listed_as: str | None
    """null: no price is known."""
    version: str | None
    is_configured: bool
    """Whether `[model_prices]` has a word in it."""
    bands: list[Band]
    lacks: list[str]


class PriceList(Shown):
    calls: list[str]
    models: list[Price]
    is_cut: bool


async def usage(asked: UsageAsked, watching: Watching) -> Usage:
    """Raises NoLedger, Unreadable; ValueError where a filter or a group is none."""
    groups, wanted = asked.groups(), asked.wanted()

    async def read(connection: AsyncConnection) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        rows = await watching.days.sums(connection, wanted, groups)
        return (rows if groups else []), await watching.days.total(connection, wanted, rows)

    rows, total = await watching.shelf.ask(read, fresh=True)
    return Usage(
        by=list(groups),
        groups=[_used(row, groups) for row in rows[-MOST_GROUPS:]],
        is_cut=len(rows) > MOST_GROUPS,
        total=_used(total, ()),
    )


def _used(row: dict[str, Any], groups: tuple[str, ...]) -> Used:
    numbers = {name: row[name] for name in Used.model_fields if name in row}
    group = {name: None if row[name] is None else str(row[name]) for name in groups}
    return Used(group=group, cost_usd=usd(row["cost_usd_nano"]), **numbers)


async def prices(watching: Watching, world: World) -> PriceList:
    """Of the models that the configuration names, and of those that were used of late."""
    found = dict.fromkeys(_configured(world))
    try:
        found |= dict.fromkeys(await watching.shelf.ask(paging.models_used))
    except (NoLedger, Unreadable):
        pass  # what the configuration names is told all the same
    some = list(found)[:MOST_PRICED]
    return PriceList(
        calls=list(CALLS),
        models=[_price(provider, model, world) for provider, model in sorted(some)],
        is_cut=len(found) > MOST_PRICED,
    )


def _configured(world: World) -> Iterable[tuple[str, str]]:
    """Provider and model, as far as they are exact names."""
    config = world.config
    for provider, options, credential in providers.entries(config, None):
        for one in (credential or options).models:
            if not any(sign in one.id for sign in "*?["):
                yield provider, one.id
    for name in config.model_prices:
        provider, slash, model = name.partition("/")
        if slash and provider in config.providers and not any(sign in name for sign in "*?["):
            yield provider, model


def _price(provider: str, model: str, world: World) -> Price:
    listed = world.prices.listed(provider, model)
    if listed is None:
        return Price(
            provider=provider,
            model=model,
            listed_as=None,
            version=None,
            is_configured=False,
            bands=[],
            lacks=[],
        )
    starts = (0, *listed.prices.starts)
    return Price(
        provider=provider,
        model=model,
        listed_as=listed.model,
        version=listed.version,
        is_configured=listed.is_ours,
        bands=[
            Band(over_input_tokens=start, cells={kind: f"{price:f}" for kind, price in sorted(cells.items())})
            for start, cells in zip(starts, listed.prices.bands, strict=True)
        ],
        lacks=list(listed.lacks),
    )


async def _usage(asked: Asked) -> Usage:
    """What was used and what it cost, in groups."""
    with ledger_errors():
        return await usage(asked.query, asked.desk.watching)


async def _prices(asked: Asked) -> PriceList:
    """What models cost: those that the configuration names, and those used of late."""
    return await prices(asked.desk.watching, asked.world)


ROUTES: Final = (
    Route("GET", f"{BASE}/usage", _usage, Role.VIEWER, query=UsageAsked, gives=Usage, errors=ERRORS),
    Route("GET", f"{BASE}/prices", _prices, Role.VIEWER, gives=PriceList),
)
