"""`llmitm logs`: exchanges of the ledger, one a line."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console
from rich.text import Text

from llmitm.config.load import load_to_look
from llmitm.config.path import find
from llmitm.errors import ConfigError
from llmitm.record.entry import Outcome
from llmitm.record.ledger.moments import moment
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.reading import (
    NANO,
    OVERLAP,
    NoLedger,
    Wanted,
    attempts_of,
    bodies_of,
    last,
    newer,
    newest_row,
    reading,
)

FOLLOW_S: Final = 0.5
_STYLES: Final = {
    Outcome.OK: "green",
    Outcome.REFUSED: "yellow",
    Outcome.CLIENT_GONE: "yellow",
}
"""All others are red."""
_HIDDEN: Final = frozenset({"row", "exchange", "at"})
_AS_JSON: Final = frozenset({"warnings", "server_tools"})


def run(
    config: Path | None,
    wanted: Mapping[str, Any],
    *,
    limit: int,
    follow: bool,
    as_json: bool,
    with_attempts: bool,
    with_bodies: bool,
) -> int:
    """Prints what matches, the newest last. Returns the exit status: 2 for a wrong configuration or
    argument, 1 where there is no ledger or it cannot be read."""
    try:
        place = place_of(config)
        chosen = wanted_of(wanted)
        chosen.conditions()
    except (ConfigError, ValueError) as error:
        return say(str(error), 2)
    told = _Told(as_json=as_json, with_attempts=with_attempts, with_bodies=with_bodies)
    try:
        asyncio.run(told.tell(place, chosen, limit, follow))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return say(unreadable(place, error), 1)
    return 0


def say(message: str, status: int) -> int:
    print(f"llmitm: {message}", file=sys.stderr)
    return status


def unreadable(place: Place, error: Exception) -> str:
    if isinstance(error, NoLedger):
        return str(error)
    said = str(getattr(error, "orig", None) or error).partition("\n")[0]
    why = next((why for pattern, why in _WHY if re.search(pattern, said)), None)
    return f"the ledger {place.name} cannot be read: {why or said or type(error).__name__}"


_WHY: Final = (
    (r"no such table|relation .* does not exist", "there are no tables in it; a gateway makes them"),
    (
        r"no such column|column .* does not exist",
        "it is an older version's; the next start of a gateway brings it up to date",
    ),
    (r"file is not a database|disk image is malformed", "the file is damaged, or no database"),
)
"""What databases say that means nothing to who asks."""


def place_of(config: Path | None) -> Place:
    """Raises ConfigError; ValueError where the ledger is switched off."""
    path = find(config, os.environ)
    loaded = load_to_look(path, env=os.environ)
    if not loaded.ledger.enabled:
        raise ValueError("[ledger] enabled = false: nothing is kept")
    return Place.of(loaded.ledger.url, path.absolute().parent)


def wanted_of(options: Mapping[str, Any]) -> Wanted:
    """Options as they stand on the command line. Raises ValueError."""
    times = {name: moment(value) for name in ("since", "until") if (value := options.get(name))}
    return Wanted(**{**options, **times})


def as_named(row: Mapping[str, Any]) -> dict[str, Any]:
    """An exchange as `--json` has it: the common names first, all that is known after them."""
    return {
        "timestamp": row["at"],
        "request_id": row["id"],
        "method": row["method"],
        "path": row["path"],
        "status": row["status"],
        "latency_ms": row["total_ms"],
        "provider": row["provider"],
        "model": row["model"] or row["model_sent"] or row["model_answered"],
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
        "cost": usd(row["cost_usd_nano"]),
        "error": row["error"],
        **_ours(row, hidden=frozenset({"id", "model", "total_ms"})),
    }


def usd(usd_nano: int | None) -> float | None:
    return None if usd_nano is None else usd_nano / NANO


def _ours(row: Mapping[str, Any], hidden: frozenset[str] = frozenset()) -> dict[str, Any]:
    return {
        name: orjson.loads(value) if value and name in _AS_JSON else value
        for name, value in row.items()
        if name not in _HIDDEN and name not in hidden
    }


class _Told:
    def __init__(self, *, as_json: bool, with_attempts: bool, with_bodies: bool) -> None:
        self._as_json = as_json
        self._with_attempts = with_attempts
        self._with_bodies = with_bodies
        self._console = Console(highlight=False, soft_wrap=True)

    async def tell(self, place: Place, wanted: Wanted, limit: int, follow: bool) -> None:
        async with reading(place) as connection:
            rows = self._rows(connection, wanted, limit, follow)
            async for some in rows:
                attempts = {}
                if self._with_attempts and some:
                    attempts = await attempts_of(connection, [one["id"] for one in some])
                for row in some:
                    bodies = await bodies_of(connection, row["id"]) if self._with_bodies else None
                    self._print(row, attempts.get(row["id"], []), bodies)
                sys.stdout.flush()

    async def _rows(
        self, connection: Any, wanted: Wanted, limit: int, follow: bool
    ) -> AsyncIterator[list[dict[str, Any]]]:
        top = await newest_row(connection)
        found = await last(connection, wanted, limit)
        yield found
        if not follow:
            return
        seen = deque((one["id"] for one in found), maxlen=2 * OVERLAP)
        for row in await newer(connection, wanted, top):
            if row["row"] <= top:
                seen.append(row["id"])
        while True:
            await connection.rollback()  # else it would see the same for ever
            await asyncio.sleep(FOLLOW_S)
            rows = [row for row in await newer(connection, wanted, top) if row["id"] not in seen]
            seen.extend(row["id"] for row in rows)
            top = max(top, await newest_row(connection))
            yield rows

    def _print(
        self, row: Mapping[str, Any], attempts: list[dict[str, Any]], bodies: Mapping[str, Any] | None
    ) -> None:
        if self._as_json:
            line = as_named(row)
            if self._with_attempts:
                line["attempt_list"] = [{"timestamp": one["at"], **_ours(one)} for one in attempts]
            if self._with_bodies:
                line["bodies"] = None if bodies is None else _ours(bodies)
            sys.stdout.write(orjson.dumps(line).decode() + "\n")
            return
        self._console.print(human(row))
        for one in attempts if self._with_attempts else ():
            self._console.print(Text.assemble(("    " + _attempt(one), "dim")))
        if bodies is not None:
            for name in ("request", "response"):
                cut = " (only the beginning)" if bodies[f"is_{name}_cut"] else ""
                self._console.print(Text(f"    {name}{cut}: {bodies[name]}"))


def human(row: Mapping[str, Any]) -> Text:
    outcome = row["outcome"]
    when = datetime.fromisoformat(row["at"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    parts = [f"{row['method']} {row['path']}", *_facts(row), row["id"]]
    line = Text.assemble(
        (f"{when}  ", "dim"),
        (f"{row['status'] or '---'} {outcome}", _STYLES.get(outcome, "red")),
        f"  {'  '.join(parts)}",
    )
    if row["error"]:
        line.append(f"  {row['error']}", "red")
    return line


def _facts(row: Mapping[str, Any]) -> Iterator[str]:
    credential = row["credential"] or row["gateway"]
    if row["provider"]:
        yield f"{row['provider']}/{credential}" if credential else row["provider"]
    asked, answered = row["model"], row["model_answered"] or row["model_sent"]
    if asked or answered:
        yield f"{asked} -> {answered}" if asked and answered and asked != answered else asked or answered
    if row["auth_key"]:
        yield f"key {row['auth_key']}"
    if row["input_tokens"] is not None or row["output_tokens"] is not None:
        yield f"{_count(row['input_tokens'])}+{_count(row['output_tokens'])} tokens"
    if row["cost_usd_nano"] is not None:
        yield f"${row['cost_usd_nano'] / NANO:.6f}"
    if row["first_byte_ms"] is not None:
        yield f"first byte {row['first_byte_ms']:.0f} ms"
    if row["total_ms"] is not None:
        yield f"total {row['total_ms']:.0f} ms"
    if row["attempts"] != 1:
        yield f"{row['attempts']} attempts"


def _count(count: int | None) -> str:
    return "?" if count is None else str(count)


def _attempt(row: Mapping[str, Any]) -> str:
    names = (row["provider"], row["credential"] or row["gateway"], row["model"])
    times = f"{row['total_ms']:.0f} ms" if row["total_ms"] is not None else ""
    said = (f"{row['number']}.", *names, row["status"], row["ending"], times, row["error"])
    return "  ".join(str(one) for one in said if one)
