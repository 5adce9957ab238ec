"""`llmitm doctor`: printing only."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson
from rich.console import Console
from rich.text import Text

from llmitm.cli.pidfile import Taken, look, places
from llmitm.clock import SystemClock
from llmitm.config.path import find
from llmitm.doctor.finding import Finding, Level, Report
from llmitm.doctor.patient import Running
from llmitm.doctor.rounds import look_over

_STYLES: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "bold red"}
_LEFT_S: Final = 0.2
"""So long the resolver's threads are waited for that hang."""


def run(config: Path | None, *, as_json: bool, is_offline: bool) -> int:
    """Returns the exit status: 0 where nothing is broken, 1 where something is."""
    path = find(config, os.environ)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # what was left behind is told as a finding
    loop = asyncio.SelectorEventLoop()
    report = loop.run_until_complete(
        look_over(path, os.environ, SystemClock(), is_offline=is_offline, running=_running(path))
    )
    if as_json:
        print(orjson.dumps(report.as_data(), option=orjson.OPT_INDENT_2).decode())
    else:
        show(report, Console(highlight=False))
    status = 1 if report.level is Level.ERROR else 0
    _close(loop, status)
    return status


def _close(loop: asyncio.SelectorEventLoop, status: int) -> None:
    """Python waits at its end for threads that hang in the resolver; where one does, it is not waited for."""
    with warnings.catch_warnings(record=True) as late:
        warnings.simplefilter("always")
        loop.run_until_complete(loop.shutdown_default_executor(_LEFT_S))
    loop.close()
    if late:
        sys.stdout.flush()
        os._exit(status)


def _running(config: Path) -> Running | None:
    for place in places(config, os.environ):
        try:
            found = look(place)
        except (Taken, OSError):
            continue
        if found is not None:
            return Running(pid=found.facts.pid, url=found.facts.url)
    return None


def show(report: Report, console: Console) -> None:
    """A check a paragraph, within the width of the console and with nothing after a line's end."""
    name_width = max(len(one.check) for one in report.findings) + 2
    indent = name_width + len(Level.WARNING) + 2
    width = max(console.width - indent, 24)
    before = ""
    for one in report.findings:
        name = one.check if one.check != before else ""
        before = one.check
        lines = list(_lines(one, width))
        head = Text.assemble(name.ljust(name_width), (one.level.value, _STYLES[one.level]))
        head.append(" " * (indent - len(head)))
        for at, line in enumerate(lines):
            console.print((head if at == 0 else Text(" " * indent)) + line, soft_wrap=True)
    console.print(_summary(report), soft_wrap=True)


def _lines(finding: Finding, width: int) -> Iterator[Text]:
    about = f"{finding.subject}: " if finding.subject else ""
    style = "dim" if finding.level is Level.OK else ""
    for line in textwrap.wrap(about + finding.text, width, break_on_hyphens=False) or [""]:
        yield Text(line, style)
    if finding.fix is not None:
        for line in textwrap.wrap(
            f"-> {finding.fix}", width, subsequent_indent="   ", break_on_hyphens=False
        ):
            yield Text(line, "bold")


def _summary(report: Report) -> Text:
    counts = {level: report.count(level) for level in Level}
    parts = [
        (f"{counts[level]} {name if counts[level] == 1 else name + 's'}", _STYLES[level])
        for level, name in ((Level.ERROR, "error"), (Level.WARNING, "warning"))
        if counts[level]
    ]
    text = Text("\n")
    for part in parts:
        text.append(*part)
        text.append(", ")
    text.append(f"{counts[Level.OK]} fine")
    return text.append(f" ({report.took_s:.1f} s{', offline' if report.is_offline else ''})", "dim")
