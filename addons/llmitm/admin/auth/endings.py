"""Logins and tokens that are over before their time, on the disk: they stay so when the gateway starts anew.

Only where no store does that which several gateways share. One line each: when it may be forgotten, in
seconds since the epoch, and what it is.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Final

from llmitm.clock import Clock

log = logging.getLogger("llmitm")

MOST_BYTES: Final = 4 * 1_048_576
"""Of the file that is read; more than that was not written by us."""


class Endings:
    """Belongs to one thread at a time."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._until_s: dict[str, float] = {}
        self.why_not_kept: str | None = None
        """What keeps it from the disk; None: nothing does."""
        try:
            if path.exists():
                self._read()
            elif not os.access(path.parent, os.W_OK):
                raise OSError(f"{path.parent} cannot be written")
        except (OSError, ValueError) as error:
            self.why_not_kept = str(error)

    def __contains__(self, what: str) -> bool:
        return what in self._until_s

    def add(self, what: str, until_s: float) -> None:
        """Is on the disk when it returns; where that fails, the log says so. `what` has no blank."""
        self._until_s[what] = until_s
        if self.why_not_kept is not None:
            return
        try:
            with self._opened() as file:
                os.write(file.fileno(), _line(what, until_s))
                os.fsync(file.fileno())
        except OSError as error:
            log.error("a login that was ended will count again after a restart: %s: %s", self._path, error)

    def _read(self) -> None:
        """What is known, without what may be forgotten."""
        now_s = self._clock.now_s()
        with self._opened() as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ValueError(f"{self._path}: others may read it; chmod 600")
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                raise ValueError(f"{self._path}: it is too long; delete it")
            found = dict(_told(file.read()))
            self._until_s = {what: until_s for what, until_s in found.items() if until_s > now_s}
            if len(self._until_s) < len(found):
                file.truncate(0)
                os.write(file.fileno(), b"".join(_line(*one) for one in self._until_s.items()))

    @contextmanager
    def _opened(self) -> Iterator[FileIO]:
        """The file, which no other process of ours uses meanwhile."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        with FileIO(os.open(self._path, flags, 0o600), "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file


def _line(what: str, until_s: float) -> bytes:
    return f"{int(until_s) + 1} {what}\n".encode()


def _told(content: bytes) -> Iterator[tuple[str, float]]:
    """A line that was not written whole is left out."""
    for line in content.decode("ascii", "replace").splitlines():
        until, _, what = line.partition(" ")
        if what and until.isdecimal():
            yield what, float(until)
