"""Brings a ledger up to date: `python -m llmitm.record.ledger.migrate`, its URL in LLMITM_LEDGER_URL.

A process of its own, which the gateway starts where the schema is of an older version; a new ledger is made
at the newest version and needs none of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

MIGRATIONS = Path(__file__).parent / "migrations"


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(config)


def upgrade(connection: Connection, to: str = "head") -> None:
    """Within the transaction of the connection: all of it or nothing."""
    found = scripts()
    context = EnvironmentContext(
        Config(), found, fn=lambda revision, _: found._upgrade_revs(to, revision), destination_rev=to
    )
    with context:
        context.configure(connection=connection, transactional_ddl=True)
        context.run_migrations()


async def migrate(url: str, to: str = "head") -> None:
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(upgrade, to)
    finally:
        await engine.dispose()


if __name__ == "__main__":
    try:
        asyncio.run(migrate(os.environ["LLMITM_LEDGER_URL"]))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {str(error).splitlines()[0]}")
