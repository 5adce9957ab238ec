"""What keys have spent since some moment, as the ledger has it. Over a connection of its own.

Streams that told of no tokens are not nothing: they are told apart, so that they can be guessed.
"""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """Attempts of one key that streamed an answer and told of no tokens, all of the same model."""

    auth_key: str | None
    provider: str
    host: str | None
    model: str | None
    count: int
    request_bytes: int
    """Of all of them."""


_QUERY: Final = """
SELECT exchanges.auth_key,
       SUM(COALESCE(attempts.input_tokens, 0) + COALESCE(attempts.output_tokens, 0)),
       SUM(attempts.cost_usd_nano)
FROM exchanges JOIN attempts ON attempts.exchange = exchanges.id
WHERE exchanges.at >= {since} AND exchanges.at < {until}
GROUP BY exchanges.auth_key
"""
_UNTOLD: Final = """
SELECT exchanges.auth_key, attempts.provider, attempts.host,
       COALESCE(attempts.model, attempts.model_answered, exchanges.model),
       COUNT(*), SUM(COALESCE(attempts.request_bytes, 0))
FROM exchanges JOIN attempts ON attempts.exchange = exchanges.id
WHERE exchanges.at >= {since} AND exchanges.at < {until} AND exchanges.is_stream
      AND attempts.input_tokens IS NULL AND attempts.output_tokens IS NULL AND attempts.status < 400
      AND attempts.ending IN ('answered', 'truncated', 'dropped')
GROUP BY 1, 2, 3, 4
"""
type _Rows = Sequence[tuple[Any, ...]]
_NOTHING: Final[tuple[_Rows, _Rows]] = (), ()


async def spent(place: Place, since_s: float, until_s: float) -> tuple[list[Sum], list[Untold]]:
    """A sum for each key, and one for those without any; nothing where there is no ledger yet.

    Raises what the driver raises.
    """
    if place.path is not None:
        told, untold = await asyncio.to_thread(_of_file, place.path, rfc3339(since_s), rfc3339(until_s))
    else:
        assert place.url is not None
        told, untold = await _of_server(place.url.reveal(), since_s, until_s)
    sums = [
        Sum(auth_key=key, tokens=int(tokens or 0), usd_nano=int(usd_nano or 0))
        for key, tokens, usd_nano in told
    ]
    rest = [
        Untold(
            auth_key=key,
            provider=provider,
            host=host,
            model=model,
            count=int(count),
            request_bytes=int(size_bytes),
        )
        for key, provider, host, model, count, size_bytes in untold
    ]
    return sums, rest


def _of_file(path: Path, since: str, until: str) -> tuple[_Rows, _Rows]:
    if not path.exists():
        return _NOTHING
    uri = f"file:{quote(str(path))}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'attempts'").fetchone() is None:
            return _NOTHING
        told, untold = (
            connection.execute(query.format(since="?", until="?"), (since, until)).fetchall()
            for query in (_QUERY, _UNTOLD)
        )
        return told, untold


async def _of_server(url: str, since_s: float, until_s: float) -> tuple[_Rows, _Rows]:
    import asyncpg

    connection = await asyncpg.connect(
        url, timeout=5, command_timeout=60, server_settings={"application_name": "llmitm"}
    )
    try:
        if await connection.fetchval("SELECT to_regclass('attempts')") is None:
            return _NOTHING
        moments = [datetime.fromtimestamp(one, UTC) for one in (since_s, until_s)]
        told, untold = [
            [tuple(row) for row in await connection.fetch(query.format(since="$1", until="$2"), *moments)]
            for query in (_QUERY, _UNTOLD)
        ]
        return told, untold
    finally:
        await connection.close(timeout=1)
