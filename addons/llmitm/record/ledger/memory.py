"""The newest exchanges where no ledger is kept: in memory, to be asked as a ledger is. Gone with the process.

`Newest` is a sink and belongs to the gateway's loop; `Held` belongs to the loop that asks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import StaticPool

from llmitm.record.entry import Entry
from llmitm.record.ledger.columns import ATTEMPTS, EXCHANGES, Shape, create, insert
from llmitm.record.ledger.rows import Made, Writing

_DROP: Final = (
    "DELETE FROM attempts WHERE exchange IN (SELECT id FROM exchanges WHERE row <= ?)",
    "DELETE FROM exchanges WHERE row <= ?",
)


class Newest:
    """Those that have ended since somebody asked last, and no more than `most`."""

    def __init__(self, most: int, redact: Callable[[str], str]) -> None:
        self.most = most
        self._writing = Writing("", redact)
        self._waiting: deque[Made] = deque(maxlen=most)

    def __call__(self, entry: Entry) -> None:
        self._waiting.append(self._writing.made(entry)._replace(held=None))

    def forget(self) -> None:
        """There are new secrets to look for."""
        self._writing.forget()

    def taken(self) -> list[Made]:
        """They are the caller's from now on. Any thread may ask."""
        found = []
        while self._waiting:
            found.append(self._waiting.popleft())
        return found


class Held:
    """A database in memory. One question at a time."""

    def __init__(self, newest: Newest) -> None:
        self._newest = newest
        self._engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
        self._is_made = False
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection to all of them."""
        async with self._turn, self._engine.connect() as connection:
            if not self._is_made:
                for statement in create("sqlite"):
                    await connection.exec_driver_sql(statement)
                self._is_made = True
            fresh = self._newest.taken()
            await self._add(connection, EXCHANGES, [one.exchange for one in fresh])
            await self._add(connection, ATTEMPTS, [row for one in fresh for row in one.attempts])
            top = (await connection.exec_driver_sql("SELECT MAX(row) FROM exchanges")).scalar() or 0
            for statement in _DROP:
                await connection.exec_driver_sql(statement, (top - self._newest.most,))
            await connection.commit()
            yield connection

    async def _add(self, connection: AsyncConnection, shape: Shape, rows: list[tuple[object, ...]]) -> None:
        if rows:
            places = ["?"] * len(shape.names)
            await connection.exec_driver_sql(insert(shape, places), rows)

    async def close(self) -> None:
        await self._engine.dispose()
