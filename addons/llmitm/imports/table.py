"""A table of the source that knows what was read of it: what nobody asked for is told, so nothing is lost
without a word."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

from llmitm.imports import references
from llmitm.imports.found import Found, Value
from llmitm.secret import Secret

_YES: Final = frozenset({"true", "yes", "on", "1"})
_NO: Final = frozenset({"false", "no", "off", "0"})


class Table:
    """Each key is asked for once, by the type that it must have; None where it is not there, is null, or is
    wrong, which is noted. Keys are told by their `path` in the source.
    """

    def __init__(
        self,
        values: Mapping[str, Value],
        found: Found,
        path: str = "",
        *,
        spelling: Mapping[str, str] | None = None,
    ) -> None:
        """`spelling` has the names that stand in the source, where they are not those that are asked for."""
        self.values = values
        self.found = found
        self.path = path
        self._spelling = spelling or {}
        self._asked: set[str] = set()

    def at(self, name: str) -> str:
        """The path of a member."""
        name = self._spelling.get(name, name)
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        return self.values.get(name) is not None

    def take(self, name: str) -> Value:
        self._asked.add(name)
        return self.values.get(name)

    def _plain(self, name: str) -> Value:
        """A value that is no secret: a reference is looked up now, since ours are for secrets alone."""
        value = self.take(name)
        if not isinstance(value, str) or (variable := references.variable(value)) is None:
            return value
        if variable in self.found.env:
            self.found.changed(
                self.at(name), f"{variable} is written out as it is set here: only secrets may be references"
            )
            return self.found.env[variable]
        self.found.lost(
            self.at(name),
            f"refers to {variable}, which is not set here, and only secrets may be references: write it out",
        )
        return None

    def text(self, name: str) -> str | None:
        """Empty text counts as none."""
        match self._plain(name):
            case None | "":
                return None
            case bool():
                self.found.wrong(self.at(name), "text is expected")
                return None
            case str() | int() | float() as value:
                return str(value)
            case _:
                self.found.wrong(self.at(name), "text is expected")
                return None

    def number(self, name: str) -> float | None:
        value = self._plain(name)
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                self.found.wrong(self.at(name), "a number is expected")
                return None
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.found.wrong(self.at(name), "a number is expected")
            return None
        return int(value) if value == int(value) else value

    def count(self, name: str) -> int | None:
        """A whole number from 0."""
        value = self.number(name)
        if value is None:
            return None
        if not isinstance(value, int) or value < 0:
            self.found.wrong(self.at(name), "a whole number from 0 is expected")
            return None
        return value

    def flag(self, name: str) -> bool | None:
        value = self._plain(name)
        if isinstance(value, str) and value.lower() in _YES | _NO:
            return value.lower() in _YES
        if value is None or isinstance(value, bool):
            return value
        self.found.wrong(self.at(name), "true or false is expected")
        return None

    def secret(self, name: str) -> Secret | None:
        """Text that may be a reference; empty text counts as none."""
        match self.take(name):
            case None | "":
                return None
            case int() as value if not isinstance(value, bool):
                return Secret(str(value))
            case str() as value:
                return references.secret(value.strip())
            case _:
                self.found.wrong(self.at(name), "text is expected")
                return None

    def table(self, name: str) -> Table:
        """An empty one where it is not there."""
        value = self.take(name)
        if value is not None and not isinstance(value, dict):
            self.found.wrong(self.at(name), "a table is expected")
        return Table(value if isinstance(value, dict) else {}, self.found, self.at(name))

    def tables(self, name: str) -> list[Table]:
        """The members of a list of tables; others are wrong."""
        made = []
        for at, value in enumerate(self.items(name)):
            path = f"{self.at(name)}[{at}]"
            if isinstance(value, dict):
                made.append(Table(value, self.found, path))
            else:
                self.found.wrong(path, "a table is expected")
        return made

    def items(self, name: str) -> list[Value]:
        value = self.take(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.found.wrong(self.at(name), "a list is expected")
            return []
        return value

    def texts(self, name: str) -> list[str]:
        """A list of texts; a single text is a list of one."""
        value = self.values.get(name)
        if isinstance(value, str):
            self._asked.add(name)
            return [value] if value else []
        made = []
        for at, one in enumerate(self.items(name)):
            if isinstance(one, str):
                made.append(one)
            elif isinstance(one, int | float) and not isinstance(one, bool):
                made.append(str(one))
            else:
                self.found.wrong(f"{self.at(name)}[{at}]", "text is expected")
        return made

    def secrets(self, name: str) -> list[tuple[str, Secret]]:
        """Those of a list, each with its path; empty ones are left out."""
        return [
            (f"{self.at(name)}[{at}]", references.secret(text.strip()))
            for at, text in enumerate(self.texts(name))
            if text.strip()
        ]

    def children(self) -> Iterator[tuple[str, Table]]:
        """Every member that is a table; others are wrong."""
        for name in self.values:
            yield name, self.table(name)

    def lost(self, name: str, why: str) -> None:
        """Tells that a key has no counterpart, where it is there."""
        if self.has(name):
            self.found.lost(self.at(name), why)
        self._asked.add(name)

    def lose(self, reasons: Mapping[str, str]) -> None:
        for name, why in reasons.items():
            self.lost(name, why)

    def changed(self, name: str, why: str) -> None:
        if self.has(name):
            self.found.changed(self.at(name), why)

    def done(self) -> None:
        """Tells what nobody asked for."""
        for name in self.values:
            if name not in self._asked:
                self.found.lost(self.at(name), "is not known here, and was left out")
