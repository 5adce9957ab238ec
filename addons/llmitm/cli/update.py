"""`llmitm update`: the newest version in place of this one, and this one again where that does not run."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmitm.cli.service import MANAGERS, manager_here
from llmitm.clock import SystemClock
from llmitm.config.path import find as find_config
from llmitm.service.plan import Action, Command, Service
from llmitm.service.probe import ask_by_config
from llmitm.update.change import Failed, Machine, Ran, change
from llmitm.update.installed import Installed, find, newest, with_token
from llmitm.update.snapshot import Snapshot

THERE_IS_NEWER: Final = 4
"""The exit status of `--check` where there is a newer version."""


def run(
    config: Path | None,
    *,
    is_check: bool,
    is_yes: bool,
    token: str | None,
    service: str,
    env: Mapping[str, str] = os.environ,
) -> int:
    """Returns the exit status: 0 where the newest version is in place, 1 where that could not be done."""
    now = find(env)
    print(f"llmitm {now.version}, installed by {now.how}")
    if not now.can_change:
        return _say(now.advice())
    try:
        wanted_env = with_token(now.how, env, token) if token else dict(env)
    except LookupError as error:
        return _say(str(error.args[0]))
    runner = _runner(wanted_env, token)
    version = _newest(now, runner)
    if isinstance(version, int):
        return version
    if version is None:
        print("there is no newer version")
        return 0
    print(f"there is {version}")
    if is_check:
        return THERE_IS_NEWER
    if not is_yes and not _agrees(version):
        return 1
    return _change(now, version, runner, _place(config, env), service, env)


def _newest(now: Installed, run: Callable[[Command], Ran]) -> str | int | None:
    """The newer version; None: there is none; an exit status when it was said that nobody knows."""
    ran = run(now.asks())
    try:
        if ran.status == 0:
            return newest(now.how, ran.said)
    except (ValueError, LookupError, TypeError):
        pass
    return _say(f"{now.how} does not say which version is the newest:\n{ran.said.strip()}")


def _change(
    now: Installed,
    version: str,
    run: Callable[[Command], Ran],
    config: Path | None,
    service: str,
    env: Mapping[str, str],
) -> int:
    services = tuple(_running(service, run, env))
    served = tuple(one.config for one in services if one.config is not None)
    machine = Machine(
        run=run,
        restarts=tuple(command for one in services for command in one.restart),
        served=served,
        checked=tuple(dict.fromkeys((*served, *([config] if config else [])))),
        ask=ask_by_config,
        clock=SystemClock(),
        say=lambda text: print(text, flush=True),
    )
    try:
        asyncio.run(change(now, version, machine, Snapshot(now.place)))
    except Failed as failed:
        return _say(str(failed))
    print(f"llmitm {version} is in place")
    if config is not None and config not in served:
        running = ask_by_config(config).version
        if running not in (None, version):
            print(f"what runs with {config} is still {running}: llmitm stop, and start it anew")
    return 0


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs."""

    restart: tuple[Command, ...]
    config: Path | None
    """None: it is not known."""


def _running(name: str, run: Callable[[Command], Ran], env: Mapping[str, str]) -> Iterator[Running]:
    """The services of that name: the machine's, and one's own."""
    manager = MANAGERS[manager_here()]()
    home = Path(env.get("HOME") or Path.home())
    for is_system in (True, False):
        service = Service(config=Path("/"), is_system=is_system, home=home, name=name)
        try:
            config = manager.config(manager.file(service).read_text())
        except OSError:
            continue
        if all(run(command).status == 0 for command in manager.commands(Action.IS_ACTIVE, service)):
            yield Running(manager.commands(Action.RESTART, service), config)


def _place(config: Path | None, env: Mapping[str, str]) -> Path | None:
    place = find_config(config, env)
    return Path(os.path.abspath(place)) if config is not None or place.exists() else None


def _agrees(version: str) -> bool:
    if not sys.stdin.isatty():
        _say("nobody is there to be asked; -y says yes")
        return False
    return input(f"Install {version} now? [y/N] ").strip().lower() in ("y", "yes")


def _runner(env: Mapping[str, str], token: str | None) -> Callable[[Command], Ran]:
    def run(command: Command) -> Ran:
        try:
            ran = subprocess.run(
                command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        except FileNotFoundError:
            return Ran(127, f"{command[0]} is not in the PATH")
        said = ran.stdout.decode("utf-8", "replace")
        return Ran(ran.returncode, said.replace(token, "***") if token else said)

    return run


def _say(text: str) -> int:
    print(f"llmitm: {text}", file=sys.stderr)
    return 1
