"""`llmitm usage`: what was used and what it cost, by day, model, provider, key."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmitm.cli.logs import place_of, say, unreadable, usd, wanted_of
from llmitm.errors import ConfigError
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.reading import BY, NANO, SUMS, Wanted, reading, sums

CHARTED: Final = ("cost", "tokens", "requests")
WIDTH: Final = 160
_NUMBERS: Final = tuple(name for name in SUMS if name != "cost_usd_nano")
_SHOWN: Final = {
    "requests": "requests",
    "failed": "failed",
    "attempts": "attempts",
    "input_tokens": "input",
    "cache_read_tokens": "from cache",
    "cache_write_tokens": "to cache",
    "output_tokens": "output",
    "reasoning_tokens": "reasoning",
}
_FIRST_TO_GO: Final = (
    *("reasoning_tokens", "cache_write_tokens", "attempts", "cache_read_tokens", "failed", "requests"),
)
"""Where the window is narrow. --csv and --json have them all."""


def run(config: Path | None, wanted: Mapping[str, Any], *, by: str, form: str, chart: str | None) -> int:
    """Prints sums. Returns the exit status as `logs.run`."""
    groups = tuple(one.strip() for one in by.split(",") if one.strip())
    try:
        if not groups or len(set(groups)) < len(groups) or not set(groups) <= set(BY):
            raise ValueError(f"--by {by}: some of {', '.join(BY)} are expected, each once")
        if chart is not None and chart not in CHARTED:
            raise ValueError(f"--chart {chart}: {', '.join(CHARTED)} can be drawn")
        place = place_of(config)
        chosen = wanted_of(wanted)
        chosen.conditions()
    except (ConfigError, ValueError) as error:
        return say(str(error), 2)
    try:
        rows, total = asyncio.run(_asked(place, chosen, groups))
    except Exception as error:
        return say(unreadable(place, error), 1)
    _print(groups, rows, total, form, chart)
    return 0


async def _asked(
    place: Place, wanted: Wanted, groups: Sequence[str]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    async with reading(place) as connection:
        rows = await sums(connection, wanted, groups)
        (total,) = await sums(connection, wanted, ())
    return rows, total


def _print(
    groups: Sequence[str], rows: list[dict[str, Any]], total: dict[str, Any], form: str, chart: str | None
) -> None:
    match form:
        case "json":
            told = {"groups": [_told(row) for row in rows], "total": _told(total)}
            sys.stdout.write(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() + "\n")
        case "csv":
            writer = csv.writer(sys.stdout)
            writer.writerow((*groups, *_NUMBERS, "cost_usd"))
            for row in rows:
                writer.writerow(_told(row).values())
        case _:
            # what is no terminal has no width
            console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
            console.print(_chart(groups, rows, chart) if chart else _fitting(console, groups, rows, total))
            _warn(console, total)


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in row.items() if name != "cost_usd_nano"}
    return {**told, "cost_usd": usd(row["cost_usd_nano"])}


def _fitting(
    console: Console, groups: Sequence[str], rows: list[dict[str, Any]], total: dict[str, Any]
) -> Table:
    """With as many of the numbers as there is room for."""
    shown = dict(_SHOWN)
    for name in ("", *_FIRST_TO_GO):
        shown.pop(name, None)
        table = _table(groups, rows, total, shown)
        whole = console.measure(table, options=console.options.update(width=WIDTH)).maximum
        if whole <= console.width:
            break
    return table


def _table(
    groups: Sequence[str], rows: list[dict[str, Any]], total: dict[str, Any], shown: Mapping[str, str]
) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=len(rows) > 1)
    for at, group in enumerate(groups):
        table.add_column(group, footer="total" if at == 0 else "", overflow="fold", min_width=10)
    for name, title in shown.items():
        table.add_column(title, footer=_number(total[name]), justify="right", no_wrap=True)
    table.add_column("cost", footer=_dollars(total["cost_usd_nano"]), justify="right", no_wrap=True)
    for row in rows:
        names = (Text("-" if row[one] is None else str(row[one])) for one in groups)
        numbers = (_number(row[name]) for name in shown)
        table.add_row(*names, *numbers, _dollars(row["cost_usd_nano"]))
    return table


def _number(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"


def _dollars(usd_nano: int | None) -> str:
    return "?" if usd_nano is None else f"${usd_nano / NANO:,.4f}"


def _warn(console: Console, total: Mapping[str, Any]) -> None:
    if total["unpriced"]:
        console.print(f"[yellow]{total['unpriced']} attempts told of tokens that have no known price.[/]")
    if total["partly_priced"]:
        console.print(f"[yellow]{total['partly_priced']} attempts cost at least what is counted here.[/]")


def _chart(groups: Sequence[str], rows: list[dict[str, Any]], what: str) -> Table:
    values = [_charted(row, what) for row in rows]
    most = max(values, default=0) or 1
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    for row, value in zip(rows, values, strict=True):
        name = "  ".join("-" if row[one] is None else str(row[one]) for one in groups) or "all"
        shown = _dollars(round(value)) if what == "cost" else _number(round(value))
        grid.add_row(Text(name), Bar(most, 0, value, color="cyan"), shown)
    return grid


def _charted(row: Mapping[str, Any], what: str) -> int:
    match what:
        case "cost":
            return row["cost_usd_nano"] or 0
        case "tokens":
            return (row["input_tokens"] or 0) + (row["output_tokens"] or 0)
        case _:
            return row["requests"] or 0
