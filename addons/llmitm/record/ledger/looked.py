"""One look at where the ledger is to be: whether there is one, how old it is, whether it can be written.

Nothing is made and nothing changed.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from typing import Final, Literal

import asyncpg

from llmitm.record.ledger.columns import HEAD
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.postgres import CONNECT_S

BUSY_S: Final = 2.0

type State = Literal["ready", "absent", "old", "new", "read-only", "strange"]


@dataclass(frozen=True, slots=True)
class Looked:
    state: State
    text: str


async def look(place: Place) -> Looked:
    """Raises what the driver raises; `why` makes sentences of it."""
    if place.path is not None:
        import asyncio

        return await asyncio.to_thread(_of_file, place)
    return await _of_server(place)


def _of_file(place: Place) -> Looked:
    path = place.path
    assert path is not None
    if not path.exists():
        return Looked("absent", "there is none yet")
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        return Looked("read-only", "the file, or its folder, cannot be written")
    connection = sqlite3.connect(f"file:{_quoted(str(path))}?mode=rw", uri=True, timeout=BUSY_S)
    connection.isolation_level = None
    try:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return Looked("absent", "the file is empty")
        if "alembic_version" not in tables:
            return Looked("strange", "the file is a database, and no ledger")
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        size_mb = path.stat().st_size / 1e6
        return _of_version(found and found[0], f"{size_mb:.1f} MB")
    finally:
        connection.close()


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3F").replace("#", "%23")


async def _of_server(place: Place) -> Looked:
    assert place.url is not None
    connection = await asyncpg.connect(
        place.url.reveal(), timeout=CONNECT_S, server_settings={"application_name": "llmitm doctor"}
    )
    try:
        server = str(await connection.fetchval("SHOW server_version")).split()[0]
        if await connection.fetchval("SELECT pg_is_in_recovery()"):
            return Looked("read-only", f"PostgreSQL {server} is a replica that only reads")
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            if await connection.fetchval("SELECT to_regclass('exchanges')") is not None:
                return Looked("strange", "it has a table exchanges that no ledger made")
            if not await connection.fetchval("SELECT has_schema_privilege(current_schema(), 'CREATE')"):
                return Looked("read-only", "this user may not make tables")
            return Looked("absent", f"PostgreSQL {server}, without tables yet")
        may = await connection.fetchval(
            "SELECT bool_and(has_table_privilege(name, 'INSERT') AND has_table_privilege(name, 'SELECT'))"
            " FROM unnest(ARRAY['exchanges', 'attempts', 'bodies', 'legs', 'runs']) AS name"
        )
        if not may:
            return Looked("read-only", "this user may not write to its tables")
        version = await connection.fetchval("SELECT version_num FROM alembic_version")
        return _of_version(version, f"PostgreSQL {server}")
    finally:
        await connection.close(timeout=1)


def _of_version(found: str | None, told: str) -> Looked:
    if found is None or found < HEAD:
        return Looked("old", f"{told}, schema {found or 'none'} of an older version")
    if found > HEAD:
        return Looked("new", f"was made by a newer version of llmitm: its schema is {found}, not {HEAD}")
    return Looked("ready", f"{told}, schema {found}, can be written")


def why(place: Place, error: Exception) -> tuple[str, str]:
    """What is wrong, and what mends it."""
    told = " ".join(str(error).partition("\n")[0].split())[:200] or type(error).__name__
    match error:
        case sqlite3.OperationalError() if "locked" in told:
            return "another process holds it", "is a migration or a backup running? try again"
        case sqlite3.DatabaseError():
            return f"the file is damaged, or no database: {told}", "`llmitm ledger verify` tells more"
        case asyncpg.InvalidAuthorizationSpecificationError() | asyncpg.InvalidPasswordError():
            return f"refuses us: {told}", "check user and password in [ledger] url"
        case asyncpg.InvalidCatalogNameError():
            return told, "make the database: createdb NAME"
        case OSError():
            told = os.strerror(error.errno).lower() if error.errno else told
            return f"cannot be reached: {told}", "start it, or mend [ledger] url"
        case _:
            return told, "mend [ledger] url"
