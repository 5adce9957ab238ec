"""Python, the packages below us, and versions of them that are known to be bad."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from llmitm import __version__
from llmitm.config.schema import Config
from llmitm.doctor.finding import Notes
from llmitm.doctor.patient import Patient

LEAST_PYTHON: Final = (3, 12)
NEWEST_PYTHON: Final = (3, 14)
"""That it was tried with."""
_REQUIRED: Final = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^;]*)(?:;(.*))?")
_CONDITION: Final = re.compile(r"(<|<=|>|>=|==|!=|~=)\s*([0-9][0-9A-Za-z.]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """Versions of a package that are known to be bad; those that the requirements rule out need no row."""

    package: str
    below: str
    """From this one on it is mended."""
    why: str
    is_error: bool = False
    """Whether a gateway that others can reach must not run with it."""
    matters: Callable[[Config], bool] = lambda config: True
    """Only with such a configuration is it used."""


BAD: Final[tuple[Bad, ...]] = (
    Bad(
        package="aiohttp",
        below="3.14.1",
        why="compressed bodies and pipelined requests may fill the memory (CVE-2026-54278)",
        is_error=True,
    ),
    Bad(
        package="orjson",
        below="3.11.6",
        why="deeply nested JSON ends the process (CVE-2025-67221)",
        is_error=True,
    ),
    Bad(
        package="brotli",
        below="1.2.0",
        why="a small compressed answer may fill the memory (CVE-2025-6176)",
    ),
    Bad(
        package="pyjwt",
        below="2.12.0",
        why="critical extensions of logins that are not known are not refused (CVE-2026-32597)",
        matters=lambda config: config.dashboard.enabled,
    ),
    Bad(
        package="cryptography",
        below="46.0.5",
        why="points of some curves are not checked (CVE-2026-26007)",
        matters=lambda config: config.server.tls_cert is not None,
    ),
)
"""h2 before 4.4.1 (two Host headers, CVE-2026-71554) is not among them: no Host of a client travels on."""
BAD_PYTHONS: Final = (((3, 12, 0), (3, 12, 2), "TLS connections leak memory (python/cpython issue 109534)"),)
"""First, first that is mended, why."""


async def versions(patient: Patient, notes: Notes, python: tuple[int, ...] = sys.version_info[:3]) -> None:
    _python(python, notes.named("versions"))
    packages, config = patient.packages, patient.config or Config()
    missing = False
    for name, conditions in required(packages.required, python):
        installed = packages.version(name)
        if installed is None:
            missing = True
            notes.error(f"{name} is not installed", f"pip install '{name}{conditions}'", subject=name)
        elif not fits(installed, conditions):
            missing = True
            text = f"{name} {installed} is installed, {conditions} is needed"
            notes.error(text, f"pip install '{name}{conditions}'", subject=name)
    for bad in BAD:
        installed = packages.version(bad.package)
        if installed is None or not is_before(installed, bad.below) or not bad.matters(config):
            continue
        note = notes.error if bad.is_error else notes.warning
        fix = f"pip install '{bad.package}>={bad.below}'"
        note(f"{bad.package} {installed}: {bad.why}", fix, subject=bad.package)
    if not missing:
        mitmproxy = packages.version("mitmproxy") or "none"
        notes.ok(f"llmitm {__version__}, mitmproxy {mitmproxy}, and every package that is needed")


def _python(python: tuple[int, ...], notes: Notes) -> None:
    shown = ".".join(map(str, python))
    for first, mended, why in BAD_PYTHONS:
        if first <= python < mended:
            fix = f"take Python {'.'.join(map(str, mended))} or newer"
            notes.warning(f"Python {shown}: {why}", fix, subject="python")
            return
    if python[:2] < LEAST_PYTHON:
        notes.error(f"Python {shown} is too old", "take Python 3.12 or newer", subject="python")
    elif python[:2] > NEWEST_PYTHON:
        notes.warning(f"Python {shown} is newer than what this was tried with", None, subject="python")
    else:
        notes.ok(f"Python {shown}", subject="python")


def required(lines: Sequence[str], python: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """Package and conditions, of what is needed in any case and with this Python."""
    for line in lines:
        match = _REQUIRED.match(line)
        if match is None or "extra ==" in (match[3] or ""):
            continue
        if (marker := match[3]) and not _holds(marker, python):
            continue
        yield match[1], match[2].strip().strip("()")


def _holds(marker: str, python: tuple[int, ...]) -> bool:
    """Of markers only those about Python's version are looked at."""
    found = re.search(r"python(?:_full)?_version\s*(<|<=|>|>=|==)\s*['\"]([0-9.]+)['\"]", marker)
    return found is None or fits(".".join(map(str, python[:2])), f"{found[1]}{found[2]}")


def fits(version: str, conditions: str) -> bool:
    """Whether a version meets conditions such as `<4,>=3.14`. Those that are not understood count as met."""
    return all(_fits(version, sign, other) for sign, other in _CONDITION.findall(conditions))


def _fits(version: str, sign: str, other: str) -> bool:
    ours, theirs = _numbers(version), _numbers(other)
    match sign:
        case "<":
            return ours < theirs
        case "<=":
            return ours <= theirs
        case ">":
            return ours > theirs
        case ">=":
            return ours >= theirs
        case "!=":
            return ours != theirs
        case "==":
            return ours == theirs
        case _:
            return ours >= theirs and version.startswith(other.rpartition(".")[0])


def is_before(version: str, other: str) -> bool:
    return _numbers(version) < _numbers(other)


def _numbers(version: str) -> tuple[int, ...]:
    """What compares: the numbers before any letter, without noughts at the end."""
    found = [int(part) for part in re.match(r"[0-9.]*", version)[0].split(".") if part]  # type: ignore[index]
    while found and found[-1] == 0:
        found.pop()
    return tuple(found)
