"""A log in a file: rotated by itself, and followed where others rotate it. No line is lost by either.

`llmitm.log` is written, `llmitm.log.1` is the newest of those before. Several processes may write one file,
as a gateway and the one that takes its place do: who rotates holds a lock, and the others see that they hold
a file that has moved. So they follow logrotate, too, with or without `copytruncate`. What a full disk refuses
is told once, then counted, and the number is written when there is room again.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

MODE: Final = 0o600
_SIZE: Final = re.compile(r"([1-9]\d{0,5}) ?(kB|MB|GB)")
_UNITS: Final = {"kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}
_PERIODS: Final = {"hourly": "%Y-%m-%d %H", "daily": "%Y-%m-%d", "weekly": "%G-%V"}
"""How a moment is written so that all moments of one period are written alike, and later ones sort later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """When a new file is begun; all that is said counts."""

    size_bytes: int | None = None
    """Before it grows beyond that."""
    period: str | None = None
    """At the first line of another hour, day or week, in local time."""

    @classmethod
    def of(cls, text: str) -> Self:
        """`daily`, `100 MB`, or both with a comma. Raises ValueError."""
        size_bytes = period = None
        for part in map(str.strip, text.split(",")):
            if (found := _SIZE.fullmatch(part)) and size_bytes is None:
                size_bytes = int(found[1]) * _UNITS[found[2]]
            elif part in _PERIODS and period is None:
                period = _PERIODS[part]
            else:
                raise ValueError("hourly, daily, weekly, a size such as 100 MB, or both are expected")
        return cls(size_bytes=size_bytes, period=period)

    def is_due(self, held_bytes: int, more_bytes: int, written_s: float, now_s: float) -> bool:
        """Whether `more_bytes` belong into a new file. `written_s`: when the last line was written.

        A clock that is set back begins none.
        """
        if not held_bytes:
            return False
        if self.size_bytes is not None and held_bytes + more_bytes > self.size_bytes:
            return True
        return self.period is not None and self._named(now_s) > self._named(written_s)

    def _named(self, at_s: float) -> str:
        assert self.period is not None
        return time.strftime(self.period, time.localtime(at_s))


class LogFile(logging.Handler):
    """A handler that writes to `path`, which nobody but its owner may read where it is made here."""

    def __init__(
        self,
        path: Path,
        rotation: Rotation | None = None,
        keep: int = 14,
        now_s: Callable[[], float] = time.time,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        """`keep`: so many files beside the one that is written. `write` is `os.write`."""
        super().__init__()
        self._path = path
        self._rotation = rotation
        self._keep = keep
        self._now_s = now_s
        self._write = write
        self._file: int | None = None
        self._written_s = 0.0
        self._is_torn = False
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
        except Exception:
            self.handleError(record)
            return
        try:
            self._put(line)
        except OSError as error:
            self._lost += 1
            if self._lost == 1:
                print(f"llmitm: the log {self._path} cannot be written: {error.strerror}", file=sys.stderr)

    def _put(self, line: bytes) -> None:
        file = self._opened()
        if self._rotation is not None:
            file = self._rotated(file, self._rotation, len(line))
        if self._lost:
            line = b'{"event":"%d lines of this log were lost: it could not be written"}\n%s' % (
                self._lost,
                line,
            )
        if self._is_torn:
            line = b"\n" + line
        written = self._write(file, line)
        self._written_s = self._now_s()
        self._is_torn = written < len(line)
        if self._is_torn:  # a disk that is full takes what fits
            line = line[written:]
            self._write(file, line)
            self._is_torn = False
        self._lost = 0

    def _opened(self) -> int:
        """The file that lies at the path: another's rotation may have moved the one that is held."""
        if self._file is not None:
            if _is_at(self._file, self._path):
                return self._file
            self._shut()
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, MODE)
        self._written_s = os.fstat(self._file).st_mtime
        return self._file

    def _rotated(self, file: int, rotation: Rotation, more_bytes: int) -> int:
        if not rotation.is_due(os.fstat(file).st_size, more_bytes, self._written_s, self._now_s()):
            return file
        try:
            with _locked(file):
                if _is_at(file, self._path):
                    self._shift()
        except OSError as error:  # it goes on in the same file
            print(f"llmitm: the log {self._path} cannot be rotated: {error.strerror}", file=sys.stderr)
            self._rotation = None
            return file
        return self._opened()

    def _shift(self) -> None:
        """`.1` becomes `.2` and so on; the last one goes."""
        for number in range(self._keep, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

    def _shut(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def close(self) -> None:
        self._shut()
        super().close()


def _is_at(file: int, path: Path) -> bool:
    try:
        there, here = path.stat(), os.fstat(file)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


@contextmanager
def _locked(file: int) -> Iterator[None]:
    """Alone among the processes that hold this file; where there are no such locks, not alone."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
