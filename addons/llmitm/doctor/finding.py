"""What was found, and how it is told apart: fine, worth knowing, or broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, and somebody should look at it."""
    ERROR = "error"
    """It does not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. Texts are one line each and hold no secret."""

    check: str
    """What was looked at, in one word, such as `ports`."""
    subject: str | None = None
    """Which of them, such as `127.0.0.1:8811`; None: there is only one."""
    level: Level
    text: str
    fix: str | None = None
    """What mends it; None: nothing is to be done, or the text says it."""


@dataclass(slots=True)
class Notes:
    """Where a check writes down what it finds. What stands here stays, though the check is cut short."""

    check: str
    found: list[Finding] = field(default_factory=list)
    redact: Callable[[str], str] = str

    def named(self, check: str) -> Notes:
        """The same notes, under another check's name."""
        return replace(self, check=check)

    def ok(self, text: str, *, subject: str | None = None) -> None:
        self._add(Level.OK, text, None, subject)

    def warning(self, text: str, fix: str | None, *, subject: str | None = None) -> None:
        self._add(Level.WARNING, text, fix, subject)

    def error(self, text: str, fix: str | None, *, subject: str | None = None) -> None:
        self._add(Level.ERROR, text, fix, subject)

    def _add(self, level: Level, text: str, fix: str | None, subject: str | None) -> None:
        fix = None if fix is None else self._line(fix)
        text, subject = self._line(text), None if subject is None else self._line(subject)
        self.found.append(Finding(check=self.check, subject=subject, level=level, text=text, fix=fix))

    def _line(self, text: str) -> str:
        return " ".join(self.redact(text).split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole examination."""

    version: str
    config: str
    """Where the configuration came from."""
    at: str
    """RFC 3339, when it began."""
    took_s: float
    is_offline: bool
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst that was found."""
        return worst(self.findings)

    def as_data(self) -> dict[str, Any]:
        """The shape that `llmitm doctor --json` prints, and the admin API answers."""
        return {
            "status": self.level.value,
            "version": self.version,
            "config": self.config,
            "at": self.at,
            "took_s": self.took_s,
            "is_offline": self.is_offline,
            "counts": {level.value: self.count(level) for level in Level},
            "findings": [asdict(one) for one in self.findings],
        }

    def count(self, level: Level) -> int:
        return sum(one.level is level for one in self.findings)


def worst(findings: Sequence[Finding]) -> Level:
    levels = {one.level for one in findings}
    return next((one for one in (Level.ERROR, Level.WARNING) if one in levels), Level.OK)
