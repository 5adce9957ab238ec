"""Who this process is, told so that another one can find out whether it still runs."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def here() -> dict[str, str]:
    """Host and process. A process is its id and, where the system tells, when it began: ids are used
    again."""
    return {"host": platform.node(), "process": named(os.getpid())}


def named(pid: int) -> str:
    began = _began(pid)
    return f"{pid}" if began is None else f"{pid}:{began}"


def is_running(host: str, process: str) -> bool | None:
    """None: it is another machine's, so nobody here knows."""
    if host != platform.node():
        return None
    pid, _, _ = process.partition(":")
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass
    return named(int(pid)) == process


def _began(pid: int) -> str | None:
    """In ticks since the machine was started."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return line.rpartition(")")[2].split()[19]
