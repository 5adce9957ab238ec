"""Asks the ledger without holding the gateway up: in a thread that has an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from llmitm.record.ledger.place import Place
from llmitm.record.ledger.reading import NoLedger, reading

AT_ONCE: Final = 3
"""Questions that are asked at the same time; others wait."""
WITHIN_S: Final = 20.0
"""A question that takes longer is given up."""
BEHIND_S: Final = 1.0
"""How long a question waits for what is not written yet."""


class Unreadable(Exception):
    """The ledger does not answer. `str()` is for the operator."""


class Shelf:
    """The ledger of this configuration, for reading."""

    def __init__(self, place: Place | None, flush: Callable[[], Awaitable[None]] | None = None) -> None:
        """`place` None: no ledger is kept. `flush` writes what waits, on the caller's loop."""
        self._place = place
        self._flush = flush
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)

    @property
    def is_kept(self) -> bool:
        return self._place is not None

    @property
    def name(self) -> str | None:
        """Where the ledger is, for people."""
        return None if self._place is None else self._place.name

    async def ask[T](self, question: Callable[[AsyncConnection], Awaitable[T]], *, fresh: bool = False) -> T:
        """The answer. With `fresh`, exchanges that have just ended count too.

        Raises:
            NoLedger: none is kept, or nothing was ever written.
            Unreadable: it does not answer, or not in time.
            ValueError: what the question itself raises.
        """
        place = self._place
        if place is None:
            raise NoLedger("[ledger] enabled = false: nothing is kept")
        if fresh and self._flush is not None:
            await self._catch_up(self._flush)

        async def asked() -> T:
            async with asyncio.timeout(WITHIN_S), reading(place) as connection:
                return await question(connection)

        async with self._turns:
            try:
                return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked(), self._started()))
            except (NoLedger, ValueError):
                raise
            except TimeoutError:
                raise Unreadable(f"the ledger {place.name} takes longer than {WITHIN_S:g} s") from None
            except Exception as error:
                said = str(getattr(error, "orig", None) or error).partition("\n")[0]
                why = said or type(error).__name__
                raise Unreadable(f"the ledger {place.name} cannot be read: {why}") from error

    async def _catch_up(self, flush: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(BEHIND_S):
                await asyncio.shield(asyncio.ensure_future(flush()))
        except Exception:  # what is there already can be read all the same
            pass

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="llmitm-shelf", daemon=True).start()
        return self._loop

    def close(self) -> None:
        """Idempotent. Questions that are under way are not answered."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None
