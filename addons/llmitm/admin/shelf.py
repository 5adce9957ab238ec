"""Asks the ledger without holding the gateway up: in a thread that has an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from llmitm.record.ledger.memory import Held, Newest
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.reading import NoLedger, reading

AT_ONCE: Final = 3
"""Questions that are asked at the same time; others wait."""
WITHIN_S: Final = 20.0
"""A question that takes longer is given up."""
CLOSE_S: Final = 1.0
BEHIND_S: Final = 1.0
"""How long a question waits for what is not written yet."""


class Unreadable(Exception):
    """The ledger does not answer. `str()` is for the operator."""


class Shelf:
    """The ledger of this configuration, for reading; where none is kept, the newest exchanges."""

    def __init__(
        self,
        place: Place | None,
        flush: Callable[[], Awaitable[None]] | None = None,
        newest: Newest | None = None,
    ) -> None:
        """`place` None: no ledger is kept. `flush` writes what waits, on the caller's loop."""
        self._place = place
        self._flush = flush
        self._newest = newest
        self._held: Held | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)

    @property
    def capacity(self) -> int | None:
        """How many exchanges it holds at most; None: as many as the ledger keeps."""
        return None if self._newest is None else self._newest.most

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
        place, newest = self._place, self._newest
        name = "in memory" if place is None else place.name
        if place is None and newest is None:
            raise NoLedger("[ledger] enabled = false: nothing is kept")
        if fresh and self._flush is not None:
            await self._catch_up(self._flush)

        async def asked() -> T:
            async with asyncio.timeout(WITHIN_S), self._opened() as connection:
                return await question(connection)

        async with self._turns:
            try:
                return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked(), self._started()))
            except (NoLedger, ValueError):
                raise
            except TimeoutError:
                raise Unreadable(f"the ledger {name} takes longer than {WITHIN_S:g} s") from None
            except Exception as error:
                said = str(getattr(error, "orig", None) or error).partition("\n")[0]
                why = said or type(error).__name__
                raise Unreadable(f"the ledger {name} cannot be read: {why}") from error

    def _opened(self) -> AbstractAsyncContextManager[AsyncConnection]:
        if self._place is not None:
            return reading(self._place)
        assert self._newest is not None
        if self._held is None:
            self._held = Held(self._newest)
        return self._held.reading()

    async def _catch_up(self, flush: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(BEHIND_S):
                await asyncio.shield(asyncio.ensure_future(flush()))
        except Exception:  # what is there already can be read all the same
            pass

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_run, args=(self._loop,), name="llmitm-shelf", daemon=True)
            self._thread.start()
        return self._loop

    def close(self) -> None:
        """Idempotent. Questions that are under way are not answered."""
        loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        if self._held is not None:
            letting_go = asyncio.run_coroutine_threadsafe(self._held.close(), loop)
            with contextlib.suppress(Exception):
                letting_go.result(CLOSE_S)
            self._held = None
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(CLOSE_S)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()
