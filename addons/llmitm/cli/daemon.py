"""Starting in the background: a process of its own, and word of it when it listens."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from llmitm.cli.pidfile import PidFile

START_S: Final = 60.0
"""How long a start may take."""
_TAIL_LINES: Final = 40


class NotStarted(Exception):
    """The gateway ended, or did not listen in time. The text is what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    pid: int
    url: str


def start(arguments: list[str], held: PidFile, log_path: Path) -> Started:
    """Starts `llmitm run` with `arguments` in the background, and returns when it listens.

    It takes over `held`, and what it prints goes to the end of `log_path`.

    Raises:
        NotStarted: as said there.
        OSError: the log cannot be opened.
    """
    ready, tell = os.pipe()
    with open(os.open(log_path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "rb+") as log:
        before_bytes = log.seek(0, os.SEEK_END)
        handed = f"{held.descriptor},{tell}"
        try:
            child = subprocess.Popen(
                # -P: nothing that lies in the current folder is imported
                [sys.executable, "-P", "-m", "llmitm", "run", *arguments, "--handed", handed],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(held.descriptor, tell),
                start_new_session=True,
            )
        except BaseException:
            os.close(ready)
            raise
        finally:
            os.close(tell)
        with open(ready, "rb") as pipe:
            url = _wait(pipe, child)
        if url is None:
            raise NotStarted(_tail(log, before_bytes) or f"it ended with status {child.returncode}")
        return Started(pid=child.pid, url=url)


def _wait(pipe: IO[bytes], child: subprocess.Popen[bytes]) -> str | None:
    """The address that it listens at; None where it does not."""
    try:
        heard, _, _ = select.select([pipe], [], [], START_S)
        line = pipe.readline() if heard else b""
    except BaseException:
        child.terminate()
        raise
    if not line:
        child.terminate()  # if it has not ended already
        child.wait()
        return None
    url: str = json.loads(line)
    return url


def _tail(log: IO[bytes], from_bytes: int) -> str:
    log.seek(from_bytes)
    lines = log.read().decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-_TAIL_LINES:])


class Herald:
    """A `control.Board` that tells who started this process, and keeps the PID file."""

    def __init__(self, held: PidFile, tell: int) -> None:
        self._held = held
        self._tell = tell

    def listening(self, url: str) -> None:
        self._held.listening(url)
        with open(self._tell, "wb") as pipe:
            try:
                pipe.write(json.dumps(url).encode() + b"\n")
                pipe.flush()
            except BrokenPipeError:  # nobody waits any more
                pass

    def reloaded(self, problems: tuple[str, ...]) -> None:
        self._held.reloaded(problems)
