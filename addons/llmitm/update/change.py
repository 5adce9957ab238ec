"""From one version to another, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmitm.clock import Clock
from llmitm.service.probe import Answer
from llmitm.update.installed import Command, Installed
from llmitm.update.snapshot import Snapshot

READY_S: Final = 60.0
"""How long a service may take to be ready after a restart."""
_LOOK_EVERY_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Ran:
    status: int
    said: str
    """On both streams."""


class Failed(Exception):
    """A step went wrong. The text says which and how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a change needs of the machine."""

    run: Callable[[Command], Ran]
    """With the environment that the installer wants."""
    restarts: tuple[Command, ...]
    """What restarts the services that run."""
    served: tuple[Path, ...]
    """The configurations of those services, as far as they are known."""
    checked: tuple[Path, ...]
    """The configurations that the new version must be able to use."""
    ask: Callable[[Path], Answer]
    clock: Clock
    say: Callable[[str], None]


async def change(now: Installed, version: str, machine: Machine, snapshot: Snapshot) -> None:
    """Raises Failed: the version of before is in place again, and its services run.

    Where even that fails the text of the exception says what is left to do.
    """
    try:
        snapshot.take()
    except OSError as error:
        raise Failed(
            f"{now.place} cannot be kept for a way back ({error.strerror}): run it as who installed it"
        ) from None
    has_restarted = False
    try:
        machine.say(f"installing {version}")
        _run(machine, now.brings(version))
        _verify(now, version, machine)
        for command in machine.restarts:
            has_restarted = True
            machine.say("restarting the service")
            _run(machine, command)
        if machine.restarts:
            await _wait_ready(version, machine)
    except BaseException as error:
        machine.say(f"going back to {now.version}")
        await _go_back(now, machine, snapshot, error, has_restarted=has_restarted)
        if isinstance(error, Failed):
            raise Failed(f"{error}\n{now.version} is in place again") from None
        raise
    snapshot.forget()


async def _go_back(
    now: Installed, machine: Machine, snapshot: Snapshot, error: BaseException, *, has_restarted: bool
) -> None:
    """Raises Failed with what is left to do by hand."""
    try:
        snapshot.restore()
    except OSError as stuck:
        raise Failed(
            f"{error}\nand {now.version} could not be put back ({stuck}); install it by hand:"
            f" {' '.join(now.brings(now.version))}"
        ) from None
    if not has_restarted:
        return
    try:
        for command in machine.restarts:
            _run(machine, command)
        await _wait_ready(now.version, machine)
    except Failed as again:
        raise Failed(f"{error}\n{now.version} is in place again, but its service is not: {again}") from None


def _run(machine: Machine, command: Command) -> str:
    ran = machine.run(command)
    if ran.status != 0:
        raise Failed(f"{' '.join(command)} ended with status {ran.status}:\n{ran.said.strip()}")
    return ran.said


def _verify(now: Installed, version: str, machine: Machine) -> None:
    """Whether the new version starts at all, and can use the configuration."""
    ours = (now.python, "-P", "-m", "llmitm")
    said = _run(machine, (*ours, "--version"))
    if said.split() != ["llmitm", version]:
        raise Failed(f"it says that it is {said.strip()}, not {version}")
    for config in machine.checked:
        _run(machine, (*ours, "config", "check", "--config", str(config)))


async def _wait_ready(version: str, machine: Machine) -> None:
    """Where no configuration is known the word of the service manager has to do."""
    deadline_s = machine.clock.tick_s() + READY_S
    waiting = list(machine.served)
    while waiting:
        answer = machine.ask(waiting[0])
        if answer.problem is None and answer.version == version:
            del waiting[0]
            continue
        if machine.clock.tick_s() > deadline_s:
            raise Failed(
                f"the service was not ready with {version} within {READY_S:g} s:"
                f" {answer.problem or f'it answers as {answer.version}'}"
            )
        await machine.clock.sleep(_LOOK_EVERY_S)
