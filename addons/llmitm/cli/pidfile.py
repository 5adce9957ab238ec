"""The file that says who runs: one gateway a configuration, never mistaken for another process.

The lock on the file is what counts: the system lets go of it when its holder ends, however that is. Nothing
in the file is touched before the lock is held, so that a second start harms nothing. Its first line is the
pid; the second tells, as JSON, since when, where, and how the last reading of the configuration went.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import select
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

CLAIM_S: Final = 1.0
"""So long a lock is asked for again: who looks whether it is held holds it for a moment."""
_LOOK_EVERY_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a running gateway says of itself."""

    pid: int
    birth: str | None
    """When the process began, as the system counts it; None where that cannot be known."""
    since_s: float
    """In seconds since the epoch."""
    config: str
    url: str | None = None
    """Where it listens; None: not yet."""
    reads: int = 0
    """How often the configuration was read anew, well or not."""
    problems: tuple[str, ...] = ()
    """Of the last reading; with any the configuration before it is in force."""


class Taken(Exception):
    """Another process holds the file; `pid` is None where it has not said who it is."""

    def __init__(self, path: Path, pid: int | None) -> None:
        super().__init__(path, pid)
        self.path = path
        self.pid = pid


class Strange(Exception):
    """The holder cannot be told apart from a stranger of the same pid, and is left alone."""


class PidFile:
    """A file that this process holds. A `control.Board`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """`descriptor` holds the lock already, as one that was handed over by `claim` does."""
        self.path = path
        self.descriptor = descriptor
        self._owner = os.getpid()
        self._facts: Facts | None = None
        os.set_inheritable(descriptor, False)

    @classmethod
    def claim(cls, path: Path) -> PidFile:
        """Takes hold of the file, and makes it where there is none.

        Raises:
            Taken: another process holds it.
            OSError: it cannot be made, or is a link.
        """
        deadline_s = time.monotonic() + CLAIM_S
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(path, flags, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _facts(descriptor)
                os.close(descriptor)
                if (holder and _birth(holder.pid) == holder.birth) or time.monotonic() > deadline_s:
                    raise Taken(path, holder.pid if holder else None) from None
                time.sleep(_LOOK_EVERY_S)
                continue
            if _is_at(path, descriptor):
                os.ftruncate(descriptor, 0)
                return cls(path, descriptor)
            os.close(descriptor)  # its owner has removed it in between

    def hold(self, config: Path) -> None:
        """From now on it names this process."""
        pid = os.getpid()
        self._write(Facts(pid=pid, birth=_birth(pid), since_s=time.time(), config=str(config)))

    def listening(self, url: str) -> None:
        if self._facts is not None:
            self._write(replace(self._facts, url=url))

    def reloaded(self, problems: tuple[str, ...]) -> None:
        if self._facts is not None:
            self._write(replace(self._facts, reads=self._facts.reads + 1, problems=problems))

    def _write(self, facts: Facts) -> None:
        self._facts = facts
        text = f"{facts.pid}\n{json.dumps(asdict(facts))}\n".encode()
        os.pwrite(self.descriptor, text, 0)
        os.ftruncate(self.descriptor, len(text))

    def release(self) -> None:
        """Removes the file, if it is still the same and this process took hold of it, and lets go of it."""
        if self._owner == os.getpid() and _is_at(self.path, self.descriptor):
            self.path.unlink(missing_ok=True)
        self.leave()

    def leave(self) -> None:
        """Leaves the file to the process that it was handed to."""
        os.close(self.descriptor)
        self._facts = None


class Process:
    """A running gateway that is not this process."""

    def __init__(self, path: Path, facts: Facts) -> None:
        self.path = path
        self.facts = facts
        self._handle: int | None = None

    def signal(self, number: signal.Signals) -> None:
        """Signals it and no other, even if it ends at this moment and its pid is given to another process.

        Raises:
            ProcessLookupError: it has ended.
            PermissionError: it is another user's.
            Strange: it cannot be told apart from another process.
        """
        pid = self.facts.pid
        if self._handle is None and hasattr(os, "pidfd_open"):
            self._handle = os.pidfd_open(pid)
        if self.facts.birth is None and _birth(os.getpid()) is not None:
            raise Strange(f"{self.path} does not say when process {pid} began")
        if _birth(pid) != self.facts.birth:
            raise Strange(
                f"{self.path} is held by a process that cannot be seen from here; pid {pid} is another"
            )
        if self._handle is None:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(self._handle, number)

    def wait(self, timeout_s: float) -> bool:
        """Waits until it has ended. False where time was up before."""
        if self._handle is not None:
            ready, _, _ = select.select([self._handle], [], [], timeout_s)
            return bool(ready)
        deadline_s = time.monotonic() + timeout_s
        while _peek(self.path)[0]:
            if time.monotonic() > deadline_s:
                return False
            time.sleep(_LOOK_EVERY_S)
        return True

    def wait_read(self, timeout_s: float) -> Facts | None:
        """Waits until it has read its configuration once more. None where time was up, or it has ended."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            is_held, now = _peek(self.path)
            if not is_held:
                return None
            if now is not None and now.facts.reads > self.facts.reads:
                return now.facts
            time.sleep(_LOOK_EVERY_S)
        return None


def look(path: Path) -> Process | None:
    """The gateway that holds the file; None where none does, whatever the file says.

    Raises:
        Taken: one does, and has not said yet who it is.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        facts = _facts(descriptor)
        if facts is None:
            raise Taken(path, None) from None
        return Process(path, facts)
    else:
        return None
    finally:
        os.close(descriptor)


def _peek(path: Path) -> tuple[bool, Process | None]:
    """Whether the file is held, and by whom, as far as that can be read at this moment."""
    try:
        found = look(path)
    except Taken:
        return True, None
    return found is not None, found


def places(config: Path, env: Mapping[str, str]) -> tuple[Path, ...]:
    """Where the file of this configuration may be, the place for a new one first."""
    name = f"llmitm-{hashlib.sha256(os.path.abspath(config).encode()).hexdigest()[:12]}.pid"
    beside = Path(os.path.abspath(config)).parent / name
    runtime = env.get("XDG_RUNTIME_DIR", "")
    if runtime and os.path.isabs(runtime) and os.access(runtime, os.W_OK | os.X_OK):
        return Path(runtime) / name, beside
    return (beside,)


def _facts(descriptor: int) -> Facts | None:
    """None where nothing that makes sense stands there, such as before the holder has written."""
    lines = os.pread(descriptor, 1_048_576, 0).decode("utf-8", "replace").split("\n")
    try:
        known = json.loads(lines[1])
        return Facts(**{**known, "problems": tuple(known["problems"])})
    except (IndexError, ValueError, KeyError, TypeError):
        return None


def _birth(pid: int) -> str | None:
    """When a process began: ticks since the machine did. None where that cannot be known."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()[19]


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether `path` is the open file, and not another of the same name."""
    try:
        there, here = os.stat(path, follow_symlinks=False), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
