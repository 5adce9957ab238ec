"""One look at a PostgreSQL database that is to hold the ledger. (Files: tests/doctor/test_services.py.)"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg

from llmitm.record.ledger.looked import look, why
from llmitm.record.ledger.place import Place
from llmitm.secret import Secret
from support.ledgers import books_of, entry_of
from support.postgres_server import PostgresServer


async def looked(url: str) -> str:
    """What was found, or what is wrong."""
    place = Place.of(Secret(url), Path())
    try:
        found = await look(place)
    except Exception as error:
        return why(place, error)[0]
    return f"{found.state}: {found.text}"


async def ran(url: str, *statements: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_what_a_database_on_a_server_is_told_as(postgres: PostgresServer, tmp_path: Path) -> None:
    url = await postgres.database()
    assert (await looked(url)).startswith("absent: PostgreSQL ")
    narrow = url.replace("//llmitm:", "//narrow:")
    password = url.partition("//llmitm:")[2].partition("@")[0]
    await ran(url, f"CREATE ROLE narrow LOGIN PASSWORD '{password}'")
    assert await looked(narrow) == "read-only: this user may not make tables"

    books = books_of(Place.of(Secret(url), tmp_path))
    books(entry_of(1))
    await books.close()
    assert "can be written" in await looked(url)
    await ran(url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO narrow")
    assert await looked(narrow) == "read-only: this user may not write to its tables"
    await ran(url, "UPDATE alembic_version SET version_num = '0000'")
    assert (await looked(url)).startswith("old: ")

    assert "password authentication failed" in await looked(url.replace("@", "x@", 1))
    assert "does not exist" in await looked(f"{url}none")
