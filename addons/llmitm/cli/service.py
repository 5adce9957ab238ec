"""`llmitm service`: written for the service manager of this machine, and handed to it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmitm.config.path import find
from llmitm.config.watch import Source
from llmitm.errors import ConfigError
from llmitm.service.launchd import Launchd
from llmitm.service.plan import NAME, Action, Command, Manager, Service
from llmitm.service.systemd import STATE, USER, Systemd
from llmitm.service.windows import Windows

MANAGERS: Final[Mapping[str, Callable[[], Manager]]] = {
    "systemd": Systemd,
    "launchd": Launchd,
    "windows": Windows,
}
_OWN: Final = {"darwin": "launchd", "win32": "windows"}
_DONE: Final = {
    Action.INSTALL: "runs, and comes back with the machine",
    Action.UNINSTALL: "is gone; the configuration and what it kept are where they were",
    Action.START: "runs",
    Action.STOP: "has stopped",
    Action.RESTART: "runs anew",
}


@dataclass(frozen=True, slots=True)
class Ran:
    status: int
    said: str
    """On both streams."""


def really(command: Command) -> Ran:
    """Runs a command; 127 where there is no such program."""
    try:
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        return Ran(127, f"{command[0]} is not installed")
    return Ran(ran.returncode, ran.stdout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """The machine as far as services are concerned."""

    env: Mapping[str, str]
    is_root: bool
    run: Callable[[Command], Ran] = really

    @classmethod
    def now(cls) -> Here:
        return cls(env=os.environ, is_root=hasattr(os, "geteuid") and os.geteuid() == 0)


def run(
    action: Action,
    config: Path | None,
    *,
    is_system: bool | None = None,
    run_as: str | None = None,
    name: str = NAME,
    manager: str | None = None,
    is_printed: bool = False,
    here: Here | None = None,
    asked: Manager | None = None,
) -> int:
    """Returns the exit status: 1 where it could not be done, 2 for a bad configuration, else the service
    manager's own.

    `is_system`: None means the system's for root, else the user's own. `manager` is one of MANAGERS, None:
    this machine's. `asked` takes its place.
    """
    here = here or Here.now()
    if asked is None:
        manager = manager or manager_here()
        if manager not in MANAGERS:
            return _say(f"there is no service manager {manager}; possible are {', '.join(MANAGERS)}")
        asked = MANAGERS[manager]()
    is_system = here.is_root if is_system is None else is_system
    service = _service(config, is_system, run_as, name, here)
    if is_printed:
        _print(asked, action, service)
        return 0
    if (problem := asked.problem(service)) is not None:
        return _say(f"{problem}; --print shows what would be written, --for systemd, launchd or windows")
    if is_system and not here.is_root and action is not Action.STATUS:
        return _say("services of the system are root's: run it with sudo, or with --user for one of your own")
    match action:
        case Action.INSTALL:
            return _install(asked, service, here)
        case Action.UNINSTALL:
            return _uninstall(asked, service, here)
        case Action.STATUS:
            ran = [here.run(command) for command in asked.commands(action, service)]
            print(*(one.said.rstrip() for one in ran), sep="\n")
            return ran[-1].status
        case _:
            return _do(asked, action, service, here)


def manager_here() -> str:
    """The name of this machine's service manager."""
    return _OWN.get(sys.platform, "systemd")


def _service(config: Path | None, is_system: bool, run_as: str | None, name: str, here: Here) -> Service:
    path = Path(os.path.abspath(find(config, here.env)))
    home = Path(here.env.get("HOME") or Path.home())
    if run_as is None and is_system:
        run_as = _owner(path)
    try:
        server = Source(path, env={}).read().server
    except (ConfigError, OSError):  # told when it is installed; it may be written later
        return Service(config=path, is_system=is_system, run_as=run_as, home=home, name=name)
    return Service(
        config=path,
        is_system=is_system,
        run_as=run_as,
        home=home,
        name=name,
        binds_low=0 < server.port < 1024,
        shutdown_s=server.shutdown_timeout_s,
    )


def _owner(path: Path) -> str | None:
    """Whose file it is; None for root's, or where there is none."""
    try:
        return None if path.stat().st_uid == 0 else path.owner()
    except (OSError, KeyError, NotImplementedError):
        return None


def _print(asked: Manager, action: Action, service: Service) -> None:
    """The file on standard output; the rest, for who reads it, on the other."""
    if action in (Action.INSTALL, Action.UNINSTALL, Action.STATUS):
        print(asked.text(service), end="")
    commands = asked.commands(action, service)
    if action is Action.INSTALL:
        commands = (*_before(asked, service), *commands)
    print(f"\nllmitm: {asked.title}: the file is {asked.file(service)}; run would be:", file=sys.stderr)
    for command in commands:
        print(f"    {shlex.join(command)}", file=sys.stderr)
    if not asked.is_tried:
        print(f"llmitm: never tried with a real {asked.title}, only read by linters", file=sys.stderr)


def _before(asked: Manager, service: Service) -> tuple[Command, ...]:
    """What is run before a service is installed: its user made, its configuration checked as it will be."""
    check = (*service.program, "config", "check", "--config", str(service.config))
    if asked.title != "systemd":
        return (check,)
    bare = ("env", "-i", "PATH=/usr/bin:/bin", f"HOME={service.folder}")
    if not service.is_system:
        return ((*bare, *check),)
    user = service.run_as or USER
    as_user = ("runuser", "-u", user, "--", *bare)
    return (
        ("id", user) if service.run_as else _useradd(service),
        (*as_user, *service.program, "--version"),
        # a folder of the service's own is handed to its user when it starts
        (*(bare if service.folder.parent == STATE else as_user), *check),
    )


def _useradd(service: Service) -> Command:
    made = f"id {USER} || useradd --system --user-group --no-create-home --shell /usr/sbin/nologin"
    return ("sh", "-c", f"{made} --home-dir {shlex.quote(str(service.folder))} {USER}")


def _install(asked: Manager, service: Service, here: Here) -> int:
    for command in _before(asked, service):
        ran = here.run(command)
        if ran.status != 0:
            _say(f"nothing was installed: {shlex.join(command)} said:\n{ran.said.rstrip()}")
            print(
                f"It is run as the service would be: as its user, and without the variables of your shell;"
                f" those that the configuration needs may stand in {service.folder / '.env'}.",
                file=sys.stderr,
            )
            return 2 if ran.status == 2 else 1
    file = asked.file(service)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(asked.text(service))
    except OSError as error:
        return _say(f"{file} cannot be written: {error.strerror}")
    print(f"wrote {file}")
    status = _do(asked, Action.INSTALL, service, here)
    for hint in asked.hints(service):
        print(hint)
    return status


def _uninstall(asked: Manager, service: Service, here: Here) -> int:
    file = asked.file(service)
    if not file.exists():
        return _say(f"there is no service: {file} is not there")
    status = _do(asked, Action.UNINSTALL, service, here)
    if status != 0:
        return status
    try:
        file.unlink()
    except OSError as error:
        return _say(f"{file} cannot be removed: {error.strerror}")
    for command in asked.last(service):
        here.run(command)
    return 0


def _do(asked: Manager, action: Action, service: Service, here: Here) -> int:
    for command in asked.commands(action, service):
        ran = here.run(command)
        if ran.status != 0:
            return _say(f"{shlex.join(command)} failed:\n{ran.said.rstrip()}", ran.status)
    print(f"{service.name} {_DONE[action]}")
    return 0


def _say(text: str, status: int = 1) -> int:
    print(f"llmitm: {text}", file=sys.stderr)
    return status
