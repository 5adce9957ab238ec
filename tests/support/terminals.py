"""Commands at a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

_TAKE = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execvp(sys.argv[1], sys.argv[1:])"
)
"""Makes the terminal its own, as a login does, and becomes the command. (To fork here would fork a process
with threads.)"""


class AtTerminal:
    """A command at a terminal of its own, to which is typed."""

    def __init__(self, command: list[str], folder: Path) -> None:
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb", "PS1": "> "}
        self._terminal, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-ISc", _TAKE, *command],
            cwd=folder,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self._said = self.all = ""

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def until(self, pattern: str, timeout_s: float = 15.0) -> None:
        """Waits until what came since the last match has this in it."""
        deadline_s = time.monotonic() + timeout_s
        while (found := re.search(pattern, self._said)) is None:
            left_s = deadline_s - time.monotonic()
            assert left_s > 0 and select.select([self._terminal], [], [], left_s)[0], self._said
            self._heard(os.read(self._terminal, 65_536))
        self._said = self._said[found.end() :]

    def rest(self) -> str:
        """All that comes until it ends, and what has come before."""
        while True:
            try:
                piece = os.read(self._terminal, 65_536)
            except OSError:  # so a terminal says that nobody is there any more
                piece = b""
            if not piece:
                return self.all
            self._heard(piece)

    def _heard(self, piece: bytes) -> None:
        text = piece.decode("utf-8", "replace")
        self._said += text
        self.all += text

    def close(self) -> int:
        """Hangs up. Returns the exit status."""
        os.close(self._terminal)
        return self._process.wait(15)
