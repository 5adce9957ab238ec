"""What a service is, and what a service manager is asked for it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

NAME: Final = "llmitm"

type Command = tuple[str, ...]


class Action(StrEnum):
    INSTALL = "install"
    """Comes with the machine from now on, and now."""
    UNINSTALL = "uninstall"
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    STATUS = "status"
    IS_ACTIVE = "is-active"
    """Exit status 0 where it runs; says nothing that anybody reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One gateway that a service manager runs."""

    config: Path
    """Absolute. Its folder holds what the gateway keeps: ledger, history, secrets of its own."""
    is_system: bool
    """Starts with the machine, else with its user's session."""
    run_as: str | None = None
    """The user that a service of the system runs as; None: the default of the manager."""
    binds_low: bool = False
    """The port is below 1024."""
    shutdown_s: float = 30.0
    """How long what is under way may take to end."""
    program: Command = (sys.executable, "-P", "-m", "llmitm")
    needs: tuple[Path, ...] = (Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parent)
    """Folders that the program is read from."""
    home: Path = Path("/nonexistent")
    """Of the user who asks."""
    name: str = NAME

    @property
    def folder(self) -> Path:
        return self.config.parent

    def lies_in(self, *roots: str) -> bool:
        """Whether anything that it needs does."""
        places = (self.config, *self.needs)
        return any(place.is_relative_to(root) for place in places for root in roots)


class Manager(Protocol):
    """How one service manager is spoken to."""

    title: str
    is_tried: bool
    """Whether what it is given was tried on a machine that has it; else it was only read by linters."""

    def file(self, service: Service) -> Path:
        """Where what `text` says is written."""

    def text(self, service: Service) -> str: ...

    def config(self, text: str) -> Path | None:
        """Of the service that `text` was written for; None where it does not say."""

    def commands(self, action: Action, service: Service) -> tuple[Command, ...]:
        """What is run: for INSTALL after the file was written, for UNINSTALL before it is removed."""

    def last(self, service: Service) -> tuple[Command, ...]:
        """What is run after the file was removed."""

    def problem(self, service: Service) -> str | None:
        """Why it cannot be asked on this machine; None: it can."""

    def hints(self, service: Service) -> tuple[str, ...]:
        """What else its user wants to know after an install."""
