"""What admin pages and the command line ask of a running gateway. May be remote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How the gateway stands now."""

    version: str
    is_draining: bool
    in_flight: int
    """Exchanges whose end has not been seen."""
    exchanges: int
    """Exchanges begun since the start."""
    uptime_s: float
    endpoints: tuple[str, ...]


class Control(Protocol):
    async def state(self) -> State: ...

    async def rest(self, credential: str, duration_s: float) -> None:
        """Takes a credential out of rotation for a while.

        Raises:
            LookupError: there is no credential of that name.
        """

    async def revive(self, credential: str) -> None:
        """Puts a resting credential back.

        Raises:
            LookupError: there is no credential of that name.
        """

    async def reload(self) -> None:
        """Reads the configuration anew and swaps it whole.

        Raises:
            ConfigError: it cannot be used; the old one stays in force.
        """

    async def drain(self) -> None:
        """Stops accepting, lets what runs come to its end (at most `shutdown_timeout_s`), and stops."""
