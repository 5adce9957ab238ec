"""All checks at once, each with its own time, and none for longer than the whole may take."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from llmitm import __version__
from llmitm.clock import Clock
from llmitm.config.schema import Config
from llmitm.config.watch import Source
from llmitm.doctor import (
    certificates,
    credentials,
    disk,
    gateways,
    limits,
    network,
    ports,
    services,
    settings,
    times,
    versions,
)
from llmitm.doctor.finding import Finding, Notes, Report
from llmitm.doctor.patient import Packages, Patient, Running, aside, resolve
from llmitm.errors import ConfigError, Problem
from llmitm.secret import Redactor
from llmitm.send.alarm import Timeouts
from llmitm.send.upstream import Upstream

WHOLE_S: Final = 15.0
"""All of it, whatever hangs."""
READING_S: Final = 5.0
LEAVING_S: Final = 0.5
"""What was cut short may tidy up so long."""
TIMEOUTS: Final = Timeouts(connect_s=4, first_byte_s=network.ANSWER_S, idle_s=4, exchange_s=10)

type Check = Callable[[Patient, Notes], Awaitable[None]]


def _checks(net: network.Network) -> tuple[tuple[str, Check], ...]:
    """In the order in which they are shown."""
    return (
        ("config", settings.configuration),
        ("secrecy", settings.secrecy),
        ("ports", ports.ports),
        ("certificate", certificates.certificates),
        ("dns", lambda patient, notes: network.names(patient, net, notes)),
        ("proxy", lambda patient, notes: network.proxies(patient, net, notes)),
        ("reach", lambda patient, notes: network.reach(patient, net, notes)),
        ("credential", lambda patient, notes: credentials.credentials(patient, net, notes)),
        ("gateway", lambda patient, notes: gateways.gateways(patient, net, notes)),
        ("ledger", services.ledger),
        ("redis", services.redis),
        ("disk", disk.disk),
        ("limits", limits.limits),
        ("versions", versions.versions),
    )


async def examine(patient: Patient, redact: Redactor, *, whole_s: float = WHOLE_S) -> Report:
    """Everything. Ends within `whole_s`."""
    began = patient.clock.now_s(), patient.clock.tick_s()
    net = network.Network(patient)
    checks = _checks(net)
    notes = {name: Notes(name, redact=redact) for name, _ in checks}
    tasks = {name: asyncio.create_task(_run(check, patient, notes[name])) for name, check in checks}
    _, late = await asyncio.wait(tasks.values(), timeout=whole_s)
    for name, task in tasks.items():
        if task in late:
            task.cancel()
            fix = "--offline looks at this machine alone"
            notes[name].error(f"was not done within {whole_s:g} s", fix)
    if late:
        await asyncio.wait(late, timeout=LEAVING_S)
    last = Notes("clock", redact=redact)
    await times.clock(patient, last, began=began)
    findings = [finding for name, _ in checks for finding in _sorted(notes[name])] + last.found
    config = patient.config
    return Report(
        version=__version__,
        config=redact(str(patient.path) if config is None else config.source),
        at=datetime.fromtimestamp(began[0], UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        took_s=round(patient.clock.tick_s() - began[1], 2),
        is_offline=patient.is_offline,
        findings=tuple(findings),
    )


async def _run(check: Check, patient: Patient, notes: Notes) -> None:
    try:
        await check(patient, notes)
    except Exception as error:
        # one check that fails must not hide what the others find
        notes.warning(f"could not be looked at: {type(error).__name__}: {error}", "please report this")


def _sorted(notes: Notes) -> list[Finding]:
    """By subject: checks that ask many at once note them as they answer."""
    return sorted(notes.found, key=lambda one: one.subject or "")


async def look_over(
    path: Path,
    env: Mapping[str, str],
    clock: Clock,
    *,
    is_offline: bool = False,
    running: Running | None = None,
    own_ports: frozenset[int] = frozenset(),
    in_force: Config | None = None,
) -> Report:
    """Reads the configuration and examines it. `in_force` is the one of a gateway that runs already: its file
    is read all the same, and what is wrong with that is told.
    """
    began_s = clock.tick_s()
    config: Config | None = in_force
    problems: tuple[Problem, ...] = ()
    try:
        async with asyncio.timeout(READING_S):
            read = await aside(Source(path, env=env).read)
        config = in_force or read
    except ConfigError as error:
        problems = error.problems
    except TimeoutError:
        problems = (Problem("", f"could not be read within {READING_S:g} s; a module of [hooks] may hang"),)
    redact = Redactor()
    redact.learn(*(config.secrets() if config is not None else ()))
    sender = Upstream(TIMEOUTS, clock)
    try:
        patient = Patient(
            config=config,
            problems=problems,
            path=path,
            env=env,
            clock=clock,
            sender=sender,
            resolve=resolve,
            running=running,
            own_ports=own_ports,
            packages=Packages.here(),
            is_offline=is_offline,
        )
        left_s = max(1.0, WHOLE_S - (clock.tick_s() - began_s))
        return await examine(patient, redact, whole_s=round(left_s, 1))
    finally:
        await sender.close()
