"""SIGHUP: by hand it asks for a new look at the configuration; a closing terminal ends what ran in it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable


def on_hangup(
    loop: asyncio.AbstractEventLoop, *, reload: Callable[[], object], stop: Callable[[], object]
) -> None:
    """Does nothing where there is no such signal, or where `loop` cannot have it.

    Started with the signal ignored, as `nohup` does, it outlives its terminal.
    """
    if not hasattr(signal, "SIGHUP"):
        return
    had_terminal = has_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN

    def hung_up() -> None:
        if had_terminal and not has_terminal():
            stop()
        else:
            reload()

    try:
        loop.add_signal_handler(signal.SIGHUP, hung_up)
    except (NotImplementedError, RuntimeError):  # not the main thread
        pass


def has_terminal() -> bool:
    """Whether this process has a terminal that controls it."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
