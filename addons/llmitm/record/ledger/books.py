"""Keeps the ledger: takes what is over, and writes it in portions, off the request path.

What is over waits in memory for at most one flush. Where the database does not take it, it goes to a file
beside it and is written later; requests go on. What neither takes waits in memory as far as there is room;
what is lost after that is counted, and told.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from llmitm import __version__
from llmitm.clock import Clock
from llmitm.config.schema import Config
from llmitm.record.entry import Entry
from llmitm.record.ledger.columns import RUNS
from llmitm.record.ledger.database import BadRows, Database, OldSchema, StrangeSchema
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.process import here
from llmitm.record.ledger.rows import Made, Row, Rows, Writing, rfc3339
from llmitm.record.ledger.spill import Spill, SpillFull, orphans, read

log = logging.getLogger("llmitm")

MOST_WAITING: Final = 20_000
"""Exchanges in memory."""
MOST_BODIES_BYTES: Final = 67_108_864
PORTION: Final = 2_000
"""So many are written at once, and although the time to flush has not come."""
WRITE_S: Final = 10.0
"""A database that takes longer is taken for away."""
LAST_S: Final = 15.0
"""So long the end waits for the last rows to be written; then they are put aside."""
CLOSE_S: Final = 2.0
RETRY_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Pauses before a database that is away is asked again; the last one over and over."""
SAY_EVERY_S: Final = 30.0
PRUNE_EVERY_S: Final = 60.0
DAY_S: Final = 86_400.0
_ROOT: Final = Path(__file__).resolve().parents[3]
_SLICE: Final = 64
"""Rows that are made before others on the event loop have a turn."""


class Books:
    """The ledger of one gateway process."""

    def __init__(
        self,
        config: Config,
        place: Place,
        clock: Clock,
        redact: Callable[[str], str],
        *,
        begun: Callable[[], int],
        database: Database | None = None,
        spill: Spill | None = None,
    ) -> None:
        """`begun` tells how many exchanges have begun so far."""
        self.run = secrets.token_hex(8)
        self._place = place
        self._clock = clock
        self._begun = begun
        self._database = database or _database(place)
        self._spill = spill or Spill(place.spill, self.run)
        self._writing = Writing(self.run, redact)
        self._waiting: deque[Made] = deque()
        self._bodies_bytes = 0
        """Of bodies that are in memory."""
        self._under_way: list[Made] = []
        """Taken out of `_waiting`, and not known to be kept."""
        self._is_pressing = asyncio.Event()
        self._turn = asyncio.Lock()
        """Held by who uses the database."""
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False
        """What comes now is put aside."""
        self._has_let_go = False
        self._is_open = False
        self._failures = 0
        """In a row."""
        self._retry_s = 0.0
        self._prune_s = 0.0
        self._said_s: dict[str, float] = {}
        """When each message was written last."""
        self._has_orphans = True
        self._started_s = clock.now_s()
        self._stopped_s: float | None = None
        self._told_begun = 0
        self.migration: asyncio.Task[None] | None = None
        """While the schema is brought up to date; what comes is put aside."""
        self.lost = 0
        """Exchanges that could not be kept."""
        self.follow(config)

    def follow(self, config: Config) -> None:
        self._settings = config.ledger
        self._writing.forget()

    @property
    def waiting(self) -> int:
        """Exchanges that are not on a disk yet."""
        return len(self._waiting) + len(self._under_way)

    @property
    def spilled(self) -> int:
        """Exchanges that are on the disk, and not in the ledger yet."""
        return self._spill.count

    @property
    def is_away(self) -> bool:
        return self._failures > 0

    def __call__(self, entry: Entry) -> None:
        if len(self._waiting) >= MOST_WAITING and not self._is_closed:
            self._lose(1)
            return
        try:
            made = self._writing.made(entry)
        except Exception as error:
            self._lose(1, f"exchange {entry.id}: {type(error).__name__}: {error}")
            return
        if self._is_closed:
            self._keep_late([made])
            self._spill.close()
            return
        self._waiting.append(self._fitting(made))
        if len(self._waiting) == PORTION:
            self._is_pressing.set()

    def waiting_of(self, exchange: str) -> Rows | None:
        """An exchange that is over and not written yet, as it will be; None: it does not wait."""
        for made in (*self._under_way, *self._waiting):
            if made.id == exchange:
                rows = Rows()
                self._writing.add(made, rows)
                return rows
        return None

    def _fitting(self, made: Made) -> Made:
        """Without its bodies, where too many wait already."""
        size_bytes = made.bodies_bytes
        if self._bodies_bytes + size_bytes > MOST_BODIES_BYTES:
            self._say("bodies of exchanges are left out: %d MB of them wait", MOST_BODIES_BYTES >> 20)
            return made._replace(held=None)
        self._bodies_bytes += size_bytes
        return made

    def _release(self, made: list[Made]) -> None:
        """They are in memory no longer."""
        self._bodies_bytes -= sum(one.bodies_bytes for one in made)

    # -- its task

    def start(self) -> None:
        """Begins to write. Needs a running event loop."""
        if self._task is None and not self._is_closed:
            self._task = asyncio.get_running_loop().create_task(self._keep_on(), name="llmitm-ledger")

    async def _keep_on(self) -> None:
        async with self._turn:
            await self._open()
        while True:
            await self._pause()
            try:
                await self.flush()
                async with self._turn:
                    await self._prune()
            except Exception:
                log.exception("the ledger had a turn that failed")

    async def _pause(self) -> None:
        self._is_pressing.clear()
        if len(self._waiting) >= PORTION and not self.is_away:
            return
        pressing = asyncio.ensure_future(self._is_pressing.wait())
        passing = asyncio.ensure_future(_sleep(self._clock, self._settings.flush_ms / 1000))
        try:
            await asyncio.wait((pressing, passing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            pressing.cancel()
            passing.cancel()

    async def flush(self) -> None:
        """Writes what waits, to the ledger or beside it."""
        async with self._turn:
            while await self._flush() and self._waiting:
                pass

    async def _flush(self) -> bool:
        """One portion. Returns whether it is on the disk."""
        room = max(0, PORTION - len(self._under_way))
        taken = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
        entries = self._under_way = [*self._under_way, *taken]
        if not (entries or self._is_behind() or self._begun() != self._told_begun):
            return True
        rows = await self._rows(entries)
        if self._is_open or await self._open():
            if await self._write(rows):
                self._release(entries)
                self._under_way = []
                await self._catch_up()
                return True
        return not entries or await self._put_aside(entries, rows)

    def _is_behind(self) -> bool:
        return self._has_orphans or self._spill.count > 0 or not self._is_open or self._stopped_s is not None

    async def _rows(self, entries: list[Made]) -> Rows:
        rows = Rows()
        for at in range(0, len(entries), _SLICE):
            if at:
                await asyncio.sleep(0)
            self._make(entries[at : at + _SLICE], rows)
        return rows

    def _make(self, entries: list[Made], rows: Rows) -> None:
        for made in entries:
            try:
                self._writing.add(made, rows)
            except Exception as error:
                self._lose(1, f"exchange {made.id}: {type(error).__name__}: {error}")

    def _row(self) -> Row:
        """What is known of this run."""
        self._told_begun = self._begun()
        known = {
            "id": self.run,
            "version": __version__,
            **here(),
            "started_at": rfc3339(self._started_s),
            "flushed_at": rfc3339(self._clock.now_s()),
            "stopped_at": None if self._stopped_s is None else rfc3339(self._stopped_s),
            "flush_ms": self._settings.flush_ms,
            "begun": self._told_begun,
            "lost": self.lost,
            "pruned_to": 0,
        }
        return tuple(known[name] for name in RUNS.names)

    # -- the database

    async def _open(self) -> bool:
        """Whether it is open; where it is not, that has been told."""
        if self._clock.tick_s() < self._retry_s:
            return False
        try:
            if self.migration is not None:
                if not self.migration.done():
                    return False
                finished, self.migration = self.migration, None
                finished.result()
            async with asyncio.timeout(WRITE_S):
                await self._database.open()
        except OldSchema as old:
            log.info("the ledger is brought up to date: %s", old)
            self.migration = asyncio.get_running_loop().create_task(_migrate(self._place))
            return False
        except Exception as error:
            self._away(error)
            return False
        self._is_open = True
        return True

    async def _write(self, rows: Rows) -> bool:
        """Whether it was written; where it was not, that has been told."""
        return await self._tried(lambda: self._write_all([self._row()], rows))

    async def _tried(self, work: Callable[[], Awaitable[None]]) -> bool:
        try:
            async with asyncio.timeout(WRITE_S):
                await work()
        except Exception as error:
            self._is_open = False
            self._away(error)
            await self._let_go()
            return False
        self._back()
        return True

    async def _let_go(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._database.close()
        except TimeoutError:
            log.error("the ledger %s does not even let go", self._place.name)

    async def _write_all(self, runs: list[Row], rows: Rows) -> None:
        try:
            await self._database.write(runs, rows)
        except BadRows as bad:
            log.error("the ledger does not take some rows: %s; they are tried one by one", bad)
            await self._database.write(runs, Rows())
            for one in rows.singly():
                try:
                    await self._database.write((), one)
                except BadRows as error:
                    self._lose(1, f"exchange {one.exchanges[0][2]}: {error}")

    def _away(self, error: Exception) -> None:
        pause_s = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
        self._retry_s = self._clock.tick_s() + pause_s
        self._failures += 1
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        hint = "" if isinstance(error, StrangeSchema) else "; [ledger] url names another place"
        self._say(
            "the ledger %s cannot be written: %s; what comes is kept in %s until it can%s",
            self._place.name,
            what,
            self._spill.path,
            hint,
        )

    def _back(self) -> None:
        if self._failures:
            log.info("the ledger %s can be written again", self._place.name)
        self._failures, self._retry_s = 0, 0.0
        self._said_s.clear()

    def _say(self, message: str, *values: object) -> None:
        """Loudly, and not at every turn."""
        now_s = self._clock.tick_s()
        if now_s - self._said_s.get(message, float("-inf")) >= SAY_EVERY_S:
            self._said_s[message] = now_s
            log.error(message, *values)

    # -- the file beside it

    async def _put_aside(self, entries: list[Made], rows: Rows) -> bool:
        """Whether it was; where it was not, it waits, and that has been told."""
        try:
            await asyncio.to_thread(self._spill.add, self._row(), rows)
        except (OSError, SpillFull) as error:
            room = max(0, MOST_WAITING - len(self._waiting))
            self._waiting.extendleft(reversed(entries[:room]))
            self._under_way = []
            if len(entries) > room:
                self._release(entries[room:])
                self._lose(len(entries) - room)
            self._say(
                "neither the ledger nor %s takes %d exchanges: %s; they wait in memory",
                self._spill.path,
                len(self._waiting),
                error.strerror if isinstance(error, OSError) else error,
            )
            return False
        self._release(entries)
        self._under_way = []
        return True

    async def _catch_up(self) -> None:
        """Writes what was put aside: by this run, and by those that have ended."""
        if self._spill.count:
            count = self._spill.count
            for runs, rows in self._spill.read():
                if not await self._tried(lambda runs=runs, rows=rows: self._write_all(runs, rows)):  # type: ignore[misc]
                    return
            self._spill.empty()
            log.info("%d exchanges that had been put aside are in the ledger", count)
        if self._has_orphans:
            for path, file in orphans(self._place.spill, self._spill.path):
                for runs, rows in read(file):
                    if not await self._tried(lambda runs=runs, rows=rows: self._write_all(runs, rows)):  # type: ignore[misc]
                        return
                path.unlink(missing_ok=True)
                log.info("what %s held is in the ledger", path)
            self._has_orphans = False

    def _keep_late(self, entries: list[Made]) -> None:
        """Nobody writes any more: the next run does."""
        rows = Rows()
        self._make(entries, rows)
        try:
            self._spill.add(self._row(), rows)
        except (OSError, SpillFull) as error:
            self._lose(len(entries), str(error))

    def _lose(self, count: int, why: str = "there is no more room in memory") -> None:
        self.lost += count
        self._say("%d exchanges so far are not in the ledger and never will be: %s", self.lost, why)

    # -- age and size

    async def _prune(self) -> None:
        settings = self._settings
        if not self._is_open or self._clock.tick_s() < self._prune_s:
            return
        days, most_mb = settings.retention_days, settings.max_mb
        deleted = 0
        if days is not None or most_mb is not None:
            before_s = None if days is None else self._clock.now_s() - days * DAY_S
            most_bytes = None if most_mb is None else most_mb << 20
            try:
                deleted = await self._database.prune(before_s, most_bytes)
            except Exception as error:
                log.error("old exchanges could not be deleted: %s: %s", type(error).__name__, error)
        if not deleted:
            self._prune_s = self._clock.tick_s() + PRUNE_EVERY_S

    # -- the end

    async def close(self) -> None:
        """Writes what is left, to the ledger or beside it. Idempotent."""
        if self._has_let_go:
            return
        self._has_let_go = True
        if self._task is not None:
            try:
                # between its turns: within one, it would take the process that writes with it
                async with asyncio.timeout(CLOSE_S), self._turn:
                    self._task.cancel()
            except TimeoutError:
                self._task.cancel()
            await asyncio.wait((self._task,))
        self._stopped_s = self._clock.now_s()
        self._retry_s = 0.0
        try:
            async with asyncio.timeout(LAST_S):
                await self.flush()
        except TimeoutError:
            log.error("the ledger %s takes too long for an end", self._place.name)
        self.abandon()
        self._spill.close()
        await self._let_go()

    def abandon(self) -> None:
        """Puts what is left aside at once, for the next run to write. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
        if left := [*self._under_way, *self._waiting]:
            self._under_way = []
            self._waiting.clear()
            self._keep_late(left)
        self._spill.close()
        if self._spill.count:
            log.warning("%d exchanges were put aside in %s", self._spill.count, self._spill.path)


async def _sleep(clock: Clock, duration_s: float) -> None:
    await clock.sleep(duration_s)


def _database(place: Place) -> Database:
    if place.backend == "sqlite":
        from llmitm.record.ledger.sqlite import SqliteDatabase

        assert place.path is not None
        return SqliteDatabase(place.path)
    from llmitm.record.ledger.postgres import PostgresDatabase

    assert place.url is not None
    return PostgresDatabase(place.url, place.name)


async def _migrate(place: Place) -> None:
    """In a process of its own: what it needs would stay in memory here.

    Raises StrangeSchema with what went wrong.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "llmitm.record.ledger.migrate",
        env={**os.environ, "PYTHONPATH": str(_ROOT), "LLMITM_LEDGER_URL": place.alchemy_url.reveal()},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await child.communicate()
    if child.returncode:
        lines = said.decode("utf-8", "replace").strip().splitlines() or ["nothing was said"]
        raise StrangeSchema(f"{place.name} could not be brought up to date: {lines[-1]}")
