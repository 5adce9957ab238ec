"""What keys have spent since some moment, as the ledger has it. Over a connection of its own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from llmitm.record.ledger.place import Place
from llmitm.record.ledger.rows import rfc3339


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Of the attempts of all exchanges of one key that began within a span."""

    auth_key: str | None
    tokens: int
    """As far as they are known."""
    usd_nano: int
    """The same."""


_QUERY: Final = """
SELECT exchanges.auth_key,
       SUM(COALESCE(attempts.input_tokens, 0) + COALESCE(attempts.output_tokens, 0)),
       SUM(attempts.cost_usd_nano)
FROM exchanges JOIN attempts ON attempts.exchange = exchanges.id
WHERE exchanges.at >= {since} AND exchanges.at < {until}
GROUP BY exchanges.auth_key
"""


async def sums(place: Place, since_s: float, until_s: float) -> Sequence[Sum]:
    """One a key, and one for those without any; none where there is no ledger yet.

    Raises what the driver raises.
    """
    if place.path is not None:
        rows = await asyncio.to_thread(_of_file, place.path, rfc3339(since_s), rfc3339(until_s))
    else:
        assert place.url is not None
        rows = await _of_server(place.url.reveal(), since_s, until_s)
    return [
        Sum(auth_key=key, tokens=int(tokens or 0), usd_nano=int(usd_nano or 0))
        for key, tokens, usd_nano in rows
    ]


def _of_file(path: Path, since: str, until: str) -> Sequence[tuple[Any, ...]]:
    if not path.exists():
        return ()
    uri = f"file:{quote(str(path))}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'attempts'").fetchone() is None:
            return ()
        return connection.execute(_QUERY.format(since="?", until="?"), (since, until)).fetchall()


async def _of_server(url: str, since_s: float, until_s: float) -> Sequence[tuple[Any, ...]]:
    import asyncpg

    connection = await asyncpg.connect(
        url, timeout=5, command_timeout=60, server_settings={"application_name": "llmitm"}
    )
    try:
        if await connection.fetchval("SELECT to_regclass('attempts')") is None:
            return ()
        moments = [datetime.fromtimestamp(one, UTC) for one in (since_s, until_s)]
        rows = await connection.fetch(_QUERY.format(since="$1", until="$2"), *moments)
        return [tuple(row) for row in rows]
    finally:
        await connection.close(timeout=1)
