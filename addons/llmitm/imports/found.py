"""What a reader finds on its way: what has no counterpart, what will work differently, what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from llmitm.errors import Problem

type Value = bool | int | float | str | list[Value] | dict[str, Value] | None
"""What a file says, whatever it is written in."""


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that the operator should know. It holds names and reasons, and never a value."""

    kind: Literal["lost", "changed"]
    """`lost` has no counterpart; `changed` has one that works differently."""
    path: str
    """In the source."""
    line: int | None
    message: str

    def __str__(self) -> str:
        where = f" (line {self.line})" if self.line is not None else ""
        return f"{self.path}{where}: {self.message}" if self.path else self.message


@dataclass(slots=True)
class Found:
    """`env` is looked at for what must be written out here and was a reference there."""

    lines: Mapping[str, int] = field(default_factory=dict)
    """Where in the source a path begins; empty where the format does not tell."""
    env: Mapping[str, str] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def lost(self, path: str, why: str) -> None:
        self.notes.append(Note("lost", path, self.lines.get(path), why))

    def changed(self, path: str, why: str) -> None:
        self.notes.append(Note("changed", path, self.lines.get(path), why))

    def none_left(self, path: str, why: str, members: str) -> None:
        """No member of the list `members` has a counterpart: each is told with its reason."""
        self.wrong(path, why)
        for note in self.notes:
            if note.kind == "lost" and note.path.startswith(f"{members}["):
                self.wrong(note.path, note.message)

    def wrong(self, path: str, why: str) -> None:
        line = self.lines.get(path)
        self.problems.append(Problem(path if line is None else f"{path} (line {line})", why))
