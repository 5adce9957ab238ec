"""`llmitm budgets`: what may be spent, what is spent of it, and when it renews."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from llmitm.accept.budgets import Budget, read
from llmitm.accept.periods import rfc3339
from llmitm.cli.logs import say, unreadable, usd
from llmitm.cli.usage import WIDTH
from llmitm.config.load import load_to_look
from llmitm.config.path import find
from llmitm.config.schema import Config
from llmitm.errors import ConfigError, LlmitmError
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.spent import spent
from llmitm.state.place import Place as StatePlace

type Amounts = Mapping[Budget, int]


def run(config: Path | None, *, as_json: bool) -> int:
    """Prints every budget: as the shared store has it, else as the ledger does, which knows what is over.

    Returns the exit status: 2 for a wrong configuration, 1 where what is spent cannot be read.
    """
    path = find(config, os.environ)
    try:
        loaded = load_to_look(path, env=os.environ)
    except ConfigError as error:
        return say(str(error), 2)
    every = read(loaded).every()
    if not every:
        return say(f"no budget is set in {path}", 0)
    now_s = datetime.now(UTC).timestamp()
    place = Place.of(loaded.ledger.url, path.absolute().parent)
    is_shared = not StatePlace.of(loaded.state.url).is_memory
    if not is_shared and not loaded.ledger.enabled:
        return say("what is spent is known to the running gateway alone: [ledger] is off", 1)
    try:
        amounts = asyncio.run(_shared(loaded, every, now_s) if is_shared else _kept(place, every, now_s))
    except LlmitmError as error:
        return say(str(error), 1)
    except Exception as error:
        return say(unreadable(place, error), 1)
    if as_json:
        told = [_told(budget, amounts[budget], now_s) for budget in every]
        sys.stdout.write(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        # what is no terminal has no width
        console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
        console.print(_table(every, amounts, now_s))
    return 0


async def _shared(config: Config, every: Sequence[Budget], now_s: float) -> Amounts:
    from llmitm.state.redis import RedisStore

    store = RedisStore(StatePlace.of(config.state.url), timeout_s=5)
    try:
        outcome = await store.apply([one.add(0, now_s) for one in every])
    finally:
        await store.close()
    return dict(zip(every, outcome.values, strict=True))


async def _kept(place: Place, every: Sequence[Budget], now_s: float) -> Amounts:
    begins_s = {one: one.span(now_s).begins_s for one in every}
    found = {since_s: (await spent(place, since_s, now_s))[0] for since_s in set(begins_s.values())}
    return {
        one: sum(
            row.tokens if one.unit == "tokens" else row.usd_nano
            for row in found[since_s]
            if one.holds(row.auth_key)
        )
        for one, since_s in begins_s.items()
    }


def _told(budget: Budget, amount: int, now_s: float) -> dict[str, Any]:
    def plain(one: int) -> float | int | None:
        return one if budget.unit == "tokens" else usd(one)

    ends_s = budget.span(now_s).ends_s
    return {
        "budget": budget.name,
        "period": budget.period,
        "unit": budget.unit,
        "limit": plain(budget.most),
        "spent": plain(amount),
        "left": plain(max(budget.most - amount, 0)),
        "renews_at": None if ends_s is None else rfc3339(ends_s),
    }


def _table(every: Sequence[Budget], amounts: Amounts, now_s: float) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("budget", "period"):
        table.add_column(name, overflow="fold")
    for name in ("limit", "spent", "left", "used"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("renews at", no_wrap=True)
    for one in every:
        amount, ends_s = amounts[one], one.span(now_s).ends_s
        used = f"{amount / one.most:.0%}" if one.most else "-"
        shown = (one.shown(each) for each in (one.most, amount, max(one.most - amount, 0)))
        table.add_row(one.name, one.period, *shown, used, "never" if ends_s is None else rfc3339(ends_s))
    return table
