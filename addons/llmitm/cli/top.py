"""`llmitm top`: a running gateway as it is now, in the terminal.

Reads its metrics, and its ledger where there is one on this machine; needs no dashboard and no login.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import compress
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from llmitm.cli.logs import place_of, say, unreadable
from llmitm.cli.running import PLACES, duration, gateway_url
from llmitm.errors import ConfigError
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.reading import NANO, Wanted, last, reading

WAIT_S: Final = 3.0
ROWS: Final = 15
WIDE: Final = 110
"""Columns of a terminal below which some are left out."""
COLUMNS: Final = (
    *(("time", 0), ("", 0), ("model", 3), ("asked of", 3), ("key", 2)),
    *(("first", None), ("total", None), ("tokens", None), ("cost", None)),
)
"""Of exchanges, with their share of what is left; None: a number."""
ROOMY: Final = frozenset({"key", "first", "tokens"})
NAMED: Final = 8
"""Providers and models that are told one by one."""
STYLES: Final = {"ok": "green", "refused": "yellow", "client_gone": "yellow"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen in one look."""

    metrics: Mapping[str, Any] | None
    """None: it does not answer."""
    rows: list[dict[str, Any]]
    """The newest exchanges, the newest first."""
    why: str | None = None
    """Why there are none, or no metrics, for people."""


def run(config: Path | None, *, url: str | None, every_s: float, once: bool) -> int:
    """Shows it until Ctrl-C. Returns the exit status: 2 for a wrong configuration, 3 where none runs."""
    try:
        place: Place | None = place_of(config)
    except ConfigError as error:
        return say(str(error), 2)
    except ValueError:
        place = None
    found = url or gateway_url(config)
    if isinstance(found, int):
        return found
    for every, one in PLACES.items():
        found = found.replace(f"//{every}:", f"//{one}:")
    try:
        return asyncio.run(_show(found, place, every_s, once=once))
    except KeyboardInterrupt:
        return 0


async def _show(url: str, place: Place | None, every_s: float, *, once: bool) -> int:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    # nothing secret is sent, and a certificate of its own names its public host
    async with httpx.AsyncClient(verify=False, trust_env=False, timeout=WAIT_S) as client:
        seen = await look(client, url, place)
        if once:
            console.print(drawn(url, seen, None, every_s, console.width))
            return 0 if seen.metrics is not None else 1
        begun = drawn(url, seen, None, every_s, console.width)
        with Live(begun, console=console, screen=True, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(every_s)
                before, seen = seen, await look(client, url, place)
                live.update(drawn(url, seen, before.metrics, every_s, console.width), refresh=True)


async def look(client: httpx.AsyncClient, url: str, place: Place | None) -> Seen:
    """Never fails: what cannot be seen is told."""
    metrics, why = None, None
    try:
        answer = await client.get(f"{url}/metrics", headers={"accept": "application/json"})
        metrics = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        why = f"{url} does not answer: {error or type(error).__name__}"
    if place is None:
        return Seen(metrics, [], why or "[ledger] enabled = false: exchanges are not kept")
    try:
        async with reading(place) as connection:
            return Seen(metrics, (await last(connection, Wanted(), ROWS))[::-1], why)
    except Exception as error:
        return Seen(metrics, [], why or unreadable(place, error))


def drawn(url: str, seen: Seen, before: Mapping[str, Any] | None, every_s: float, width: int = WIDE) -> Group:
    """One frame, in so many columns. `before` are the metrics of the last look, `every_s` seconds ago."""
    parts: list[Text | Table] = []
    if seen.metrics is not None:
        parts += [_head(url, seen.metrics), _numbers(seen.metrics, before, every_s, width), Text()]
        parts += [_shares(seen.metrics), Text()]
    if seen.why is not None:
        parts.append(Text(seen.why, "yellow" if seen.metrics is not None else "red"))
    if seen.rows:
        parts.append(_exchanges(seen.rows, width))
    return Group(*parts)


def _head(url: str, told: Mapping[str, Any]) -> Text:
    up = duration(told.get("uptime_seconds", 0))
    return Text.assemble(("llmitm ", "bold"), f"{told.get('version', '')}  {url}  up {up}")


def _numbers(told: Mapping[str, Any], before: Mapping[str, Any] | None, every_s: float, width: int) -> Table:
    rate = told["requests_per_minute"] / 60
    tokens = "-"
    if before is not None:
        now = _since("total_requests", told, before) / every_s
        rate = now if now or not told["requests_per_minute"] else rate
        tokens = f"{_since('total_output_tokens', told, before) / every_s:,.0f}"
    took, first = told["latency_percentiles_ms"], told["time_to_first_token_percentiles_ms"]
    refused = told["by_outcome"].get("refused", 0)
    failed = told["total_errors"] - refused
    tried = told["total_requests"] - refused
    share = failed / tried if tried else 0.0
    memory = told.get("memory_bytes")
    pairs = (
        _pair("requests/s", f"{rate:,.1f}"),
        _pair("in flight", f"{told['in_flight']:,}"),
        _pair("requests", f"{told['total_requests']:,}"),
        _pair("failed", f"{share:.2%}", "red" if share > 0.05 else "green"),
        _pair("refused", f"{refused:,}"),
        _pair("output tokens/s", tokens),
        _pair("p50", _ms(took["p50"])),
        _pair("p99", _ms(took["p99"])),
        _pair("first token p50", _ms(first["p50"])),
        _pair("loop lag", _ms(told["event_loop_lag_worst_ms"])),
        _pair("memory", "-" if memory is None else f"{memory / 1e6:,.0f} MB"),
        _pair("attempts", f"{told['total_attempts']:,}"),
        _pair("cost", f"${told['total_cost_usd']:,.4f}"),
    )
    a_row = 6 if width >= WIDE else 3
    grid = Table.grid(padding=(0, 3))
    for at in range(0, len(pairs), a_row):
        grid.add_row(*pairs[at : at + a_row])
    return grid


def _since(name: str, told: Mapping[str, Any], before: Mapping[str, Any]) -> int:
    """0 where it began anew meanwhile."""
    return max(0, int(told[name]) - int(before[name]))


def _pair(name: str, value: str, style: str = "bold") -> Text:
    return Text.assemble((f"{name} ", "dim"), (value, style))


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1000:,.2f} s" if value >= 1000 else f"{value:,.1f} ms"


def _shares(told: Mapping[str, Any]) -> Table:
    grid = Table.grid(padding=(0, 6))
    grid.add_row(_ranked("provider", told["by_provider"]), _ranked("model", told["by_model"]))
    return grid


def _ranked(name: str, counts: Mapping[str, int]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(name, no_wrap=True)
    table.add_column("requests", justify="right")
    ranked = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    for one, count in ranked[:NAMED]:
        table.add_row(Text(one), f"{count:,}")
    if rest := sum(count for _, count in ranked[NAMED:]):
        table.add_row(Text(f"{len(ranked) - NAMED} others", "dim"), f"{rest:,}")
    return table


def _what(row: Mapping[str, Any]) -> str:
    """What became of it; where it was refused, why."""
    return str(row["code"] if row["outcome"] == "refused" and row["code"] else row["outcome"])


def _exchanges(rows: list[dict[str, Any]], width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", expand=True)
    is_shown = [width >= WIDE or name not in ROOMY for name, _ in COLUMNS]
    for (name, ratio), shown in zip(COLUMNS, is_shown, strict=True):
        if shown and ratio is None:
            table.add_column(name, justify="right", no_wrap=True)
        elif shown:
            table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=ratio or None)
    for row in rows:
        who = "/".join(filter(None, (row["provider"], row["credential"] or row["gateway"])))
        tries = f"  {row['attempts']}x" if row["attempts"] > 1 else ""
        cost = row["cost_usd_nano"]
        read, made = row["input_tokens"], row["output_tokens"]
        cells: tuple[str | Text, ...] = (
            datetime.fromisoformat(row["at"]).astimezone().strftime("%H:%M:%S"),
            Text(f"{row['status'] or '---'} {_what(row)}", STYLES.get(row["outcome"], "red")),
            Text(row["model"] or row["model_sent"] or row["path"]),
            Text(who + tries),
            Text(row["auth_key"] or "-"),
            _ms(row["first_byte_ms"]),
            _ms(row["total_ms"]),
            "-" if read is None and made is None else f"{read or 0:,}+{made or 0:,}",
            "-" if cost is None else f"${cost / NANO:.5f}",
        )
        table.add_row(*compress(cells, is_shown))
    return table
