"""Word to the service manager that started this process, as systemd reads it: `man 3 sd_notify`.

Datagrams of `NAME=value` lines go to the unix socket that NOTIFY_SOCKET names; Podman and s6 read them too.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

from llmitm.clock import Clock

log = logging.getLogger("llmitm")

_STATUS_SIGNS = 200


class Supervisor:
    """Who started this process, and is told how it does. Telling never fails and never waits."""

    def __init__(self, address: str, watchdog_s: float | None) -> None:
        """`address` is a path, or a name that begins with @ for a socket without one.

        `watchdog_s`: where it hears nothing for so long, it takes this process for hung; None: it never does.
        """
        self.watchdog_s = watchdog_s
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._is_heard = True
        self._url = ""
        self._status = ""

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Supervisor | None:
        """None where nobody asked to be told."""
        address = env.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return None
        return cls(address, _watchdog_s(env))

    def ready(self, url: str) -> None:
        """The port is open."""
        self._url = url
        self._status = f"listening on {url}"
        self._tell("READY=1", f"STATUS={self._status}", f"MAINPID={os.getpid()}")

    def reloading(self) -> None:
        # compared with the service manager's own reading of the same clock
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self, problems: tuple[str, ...]) -> None:
        """What `go_on` tells: with problems the configuration before is still in force."""
        self._status = f"listening on {self._url}"
        if problems:
            self._status += f"; the configuration on disk is not in force: {problems[0]}"

    def go_on(self) -> None:
        """Ready again, with what was read or with what was in force before."""
        self._tell("READY=1", f"STATUS={self._status}")

    def stopping(self, most_s: float) -> None:
        """It stops, which may take `most_s` from now on: what is under way may end."""
        self._tell(
            "STOPPING=1",
            "STATUS=stopping: what is under way may end",
            f"EXTEND_TIMEOUT_USEC={int(most_s * 1_000_000)}",
        )

    async def beat(self, clock: Clock) -> None:
        """Says that the event loop still turns, for as long as it does."""
        if self.watchdog_s is None:
            return
        while True:
            self._tell("WATCHDOG=1")
            await clock.sleep(self.watchdog_s / 3)

    def _tell(self, *lines: str) -> None:
        told = "\n".join(" ".join(line.split())[:_STATUS_SIGNS] for line in lines)
        try:
            self._socket.sendto(told.encode(), self._address)
        except OSError as error:
            if self._is_heard:
                log.warning("the service manager does not hear: %s", error.strerror)
            self._is_heard = False
        else:
            self._is_heard = True

    def close(self) -> None:
        self._socket.close()


def _watchdog_s(env: Mapping[str, str]) -> float | None:
    """None where the watchdog is off, or looks at another process."""
    length, whom = env.get("WATCHDOG_USEC", ""), env.get("WATCHDOG_PID", "")
    if not length.isdecimal() or int(length) == 0 or whom not in ("", str(os.getpid())):
        return None
    return int(length) / 1_000_000
