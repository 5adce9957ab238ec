"""The ledger in an SQLite file. A process of its own writes it (`sqlite_writer`)."""

from __future__ import annotations

import asyncio
import marshal
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from llmitm.record.ledger.columns import RUNS, TABLES, Shape, create, insert
from llmitm.record.ledger.database import (
    CHUNK,
    DOOM,
    BadRows,
    StrangeSchema,
    check_version,
    upsert_run,
)
from llmitm.record.ledger.rows import Row, Rows, rfc3339

_WRITER: Final = Path(__file__).with_name("sqlite_writer.py")
_TOLD: Final = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "SQLITE_TMPDIR")
"""All that it learns of the environment, which holds keys."""
_SLICE: Final = 100
"""Rows in a message: others on the event loop have a turn after each."""


class NotWritten(Exception):
    """The database, or the process that writes it, did not do what was asked. `str()` says why."""


class SqliteDatabase:
    """Made 0600: who asked what is nobody else's business."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Process | None = None

    @property
    def process(self) -> int | None:
        """The id of the process that writes; None where none runs."""
        return None if self._writer is None else self._writer.pid

    async def open(self) -> None:
        await self.close()
        self._writer = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            str(_WRITER),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={name: os.environ[name] for name in _TOLD if name in os.environ},
        )
        try:
            is_ledger, version = await self._asked("open", str(self._path), *_STATEMENTS)
            if not is_ledger:
                raise StrangeSchema(f"{self._path} is a database, and no ledger")
            check_version(version, str(self._path))
        except BaseException:
            await self.close()
            raise

    async def write(self, runs: Iterable[Row], rows: Rows) -> None:
        for shape in _FILLED:
            of_one: list[Row] = getattr(rows, shape.name)
            for at in range(0, len(of_one), _SLICE):
                await self._tell("add", shape.name, of_one[at : at + _SLICE])
                await asyncio.sleep(0)
        await self._asked("write", list(runs))

    async def prune(self, before_s: float | None, most_bytes: int | None) -> int:
        before = None if before_s is None else rfc3339(before_s)
        return int(await self._asked("prune", before, most_bytes, CHUNK))

    async def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            if writer.stdin is not None:
                writer.stdin.close()
            await writer.wait()
        finally:
            _kill(writer)

    # -- to the process and back

    async def _asked(self, *message: Any) -> Any:
        """Its answer.

        Raises:
            BadRows, NotWritten.
        """
        await self._tell(*message)
        source = self._running().stdout
        assert source is not None
        try:
            size_bytes = int.from_bytes(await source.readexactly(4))
            is_done, *told = marshal.loads(await source.readexactly(size_bytes))
        except (asyncio.IncompleteReadError, OSError):
            self._give_up()
            raise NotWritten("the process that writes it has ended") from None
        except BaseException:
            self._give_up()  # nobody waits for its answer any more
            raise
        if is_done:
            return told[0]
        kind, text = told
        raise BadRows(text) if kind == "bad" else NotWritten(text)

    async def _tell(self, *message: Any) -> None:
        target = self._running().stdin
        assert target is not None
        content = marshal.dumps(message)
        try:
            target.write(len(content).to_bytes(4) + content)
            await target.drain()
        except OSError:
            self._give_up()
            raise NotWritten("the process that writes it has ended") from None
        except BaseException:
            self._give_up()  # it may have half of a message
            raise

    def _running(self) -> Process:
        if self._writer is None or self._writer.returncode is not None:
            raise NotWritten("the process that writes it does not run")
        return self._writer

    def _give_up(self) -> None:
        if self._writer is not None:
            _kill(self._writer)


def _kill(writer: Process) -> None:
    if writer.returncode is None:
        try:
            writer.kill()
        except ProcessLookupError:
            pass


def _placed(shape: Shape) -> tuple[str, ...]:
    return ("?",) * len(shape.names)


_FILLED: Final = tuple(shape for shape in TABLES if shape is not RUNS)
_STATEMENTS: Final = (
    tuple(create("sqlite")),
    {shape.name: insert(shape, _placed(shape)) for shape in _FILLED},
    upsert_run(_placed(RUNS), "sqlite"),
    DOOM,
)
