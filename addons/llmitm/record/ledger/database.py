"""What the ledger asks of a database; and what both kinds of them share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol

from llmitm.record.ledger.columns import HEAD, RUNS, Backend, Shape, insert
from llmitm.record.ledger.rows import Row, Rows

CHUNK: Final = 2_000
"""Exchanges that are deleted at once."""


class OldSchema(Exception):
    """The database was made by an older version, and has to be migrated."""


class StrangeSchema(Exception):
    """The database is not a ledger that this version can use. `str()` says why, for the operator."""


class BadRows(Exception):
    """The database is there, and does not take some of these values. Nothing was written."""


class Database(Protocol):
    """Where rows go. Used by one task at a time; all methods but `close` raise what their driver raises."""

    async def open(self) -> None:
        """Connects, and makes the tables where there are none.

        Raises:
            OldSchema, StrangeSchema: nothing was changed.
        """

    async def write(self, runs: Iterable[Row], rows: Rows) -> None:
        """All of it or nothing. Rows that are there already stay as they are; runs take what is newer.

        Raises:
            BadRows.
        """

    async def prune(self, before_s: float | None, most_bytes: int | None) -> int:
        """Deletes some of the oldest exchanges, those that began before `before_s` (seconds since the epoch)
        and those that are too many for `most_bytes`. Returns how many; 0: none is left to be deleted."""

    async def close(self) -> None:
        """Idempotent, and never fails."""


def upsert_run(places: Iterable[str], backend: Backend) -> str:
    """Adds a run, or brings it up to date: what is newer counts, in whatever order it comes."""
    most = "MAX" if backend == "sqlite" else "GREATEST"
    newer = (f"{name} = {most}(runs.{name}, excluded.{name})" for name in _GROWING)
    return insert(RUNS, tuple(places)).replace(
        "DO NOTHING",
        f"(id) DO UPDATE SET {', '.join(newer)}, stopped_at = COALESCE(excluded.stopped_at, runs.stopped_at)",
    )


_GROWING: Final = ("flushed_at", "begun", "lost", "pruned_to")

DOOM: Final = (
    "DELETE FROM attempts WHERE exchange IN (SELECT id FROM doomed)",
    "DELETE FROM bodies WHERE exchange IN (SELECT id FROM doomed)",
    "DELETE FROM legs WHERE exchange IN (SELECT id FROM doomed)",
    "UPDATE runs SET pruned_to = (SELECT MAX(number) FROM doomed WHERE run = runs.id) WHERE pruned_to < "
    "(SELECT MAX(number) FROM doomed WHERE run = runs.id)",
    "DELETE FROM exchanges WHERE row IN (SELECT row FROM doomed)",
)
"""Deletes what the table `doomed` names, and keeps how far each run was pruned."""


def with_times(shape: Shape, rows: Iterable[Row], moment: Callable[[str], Any]) -> Iterator[list[Any]]:
    """Rows with their times as the database takes them."""
    places = [at for at, column in enumerate(shape.written) if column.kind == "moment"]
    for row in rows:
        made = list(row)
        for at in places:
            if made[at] is not None:
                made[at] = moment(made[at])
        yield made


def check_version(found: str | None, name: str) -> None:
    """Raises OldSchema, StrangeSchema."""
    if found is None or found < HEAD:
        raise OldSchema(f"{name} has schema {found or 'none'}, {HEAD} is the newest")
    if found > HEAD:
        raise StrangeSchema(
            f"{name} was made by a newer version of llmitm: its schema is {found}, not {HEAD}"
        )
