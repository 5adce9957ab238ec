"""What a translation did to a request beside spelling it anew: notes, adjustments, losses. Pure.

Three grades. A note changed nothing that matters and is for the log alone. An adjustment is the nearest
meaning that the target has, a loss is a meaning that it has not: both are told to the client in a header,
and refuse the request where it asked for strictness. Codes are stable: `lost:top_k`, `adjusted:effort`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from llmitm.errors import Refused

HEADER_LIMIT_ENTRIES: Final = 20
HEADER_LIMIT_BYTES: Final = 2_048
_UNFIT_FOR_STRING: Final = re.compile(r'[^\x20-\x7e]|["\\]')
_MOST: Final = 999_999_999_999
"""What a number of a header may be."""
_MOST_TOLD: Final = 400
"""Warnings kept of one exchange: a request may hold thousands of parts."""


class Grade(StrEnum):
    NOTE = "note"
    ADJUSTED = "adjusted"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Warned:
    grade: Grade
    what: str
    """Lower case, hyphens; names of neutral settings keep their underscores."""
    at: str = ""
    """The client's own path."""
    change: tuple[tuple[str, str | int | float], ...] = ()
    """Numbers and words of an enumeration, never content: `(("from", 1.5), ("to", 1))`."""

    @property
    def code(self) -> str:
        return f"{self.grade}:{self.what}"


@dataclass(slots=True)
class Notes:
    """Collects what is done to one exchange, in the order in which it is found."""

    told: list[Warned] = field(default_factory=list)
    _seen: set[Warned] = field(default_factory=set)

    def _tell(self, warned: Warned) -> None:
        if warned not in self._seen and len(self.told) < _MOST_TOLD:
            self._seen.add(warned)
            self.told.append(warned)

    def note(self, what: str, at: str = "") -> None:
        self._tell(Warned(Grade.NOTE, what, at))

    def adjusted(
        self,
        what: str,
        at: str = "",
        was: str | int | float | None = None,
        now: str | int | float | None = None,
    ) -> None:
        change = (("from", was), ("to", now))
        self._tell(
            Warned(Grade.ADJUSTED, what, at, tuple((name, one) for name, one in change if one is not None))
        )

    def lost(self, what: str, at: str = "") -> None:
        self._tell(Warned(Grade.LOST, what, at))

    def add(self, others: Notes) -> None:
        """After what was told so far."""
        for one in others.told:
            self._tell(one)

    @property
    def warnings(self) -> list[Warned]:
        """Without those of grade note."""
        return [one for one in self.told if one.grade is not Grade.NOTE]

    def codes(self) -> tuple[str, ...]:
        """The warnings as codes with their places, such as `lost:top_k at top_k`."""
        return tuple(f"{one.code} at {one.at}" if one.at else one.code for one in self.warnings)

    def header(self) -> bytes | None:
        """The value of `x-llmitm-warnings`, an RFC 9651 list; None where there is nothing to say."""
        if not self.told:
            return None
        warnings = self.warnings
        items: list[str] = []
        size = 0
        for one in warnings:
            item = _item(one)
            size += len(item) + 2
            if len(items) == HEADER_LIMIT_ENTRIES or size > HEADER_LIMIT_BYTES - 16:
                items.append(f'"more";n={len(warnings) - len(items)}')
                break
            items.append(item)
        return ", ".join(items).encode() if items else None

    def refuse_strictly(self) -> None:
        """Raises `Refused` (400 `unsupported_by_target`) with every path, where anything was changed."""
        warnings = self.warnings
        if warnings:
            told = "; ".join(f"{one.at or 'request'} ({one.code})" for one in warnings[:50])
            raise Refused(
                400,
                "unsupported_by_target",
                f"This model's provider cannot take the request as it is, and strict was asked for: {told}.",
                param=warnings[0].at or None,
            )


def _item(warned: Warned) -> str:
    params = [("at", warned.at)] if warned.at else []
    return f'"{warned.code}"' + "".join(
        f";{name}={_bare(value)}" for name, value in (*params, *warned.change)
    )


def _bare(value: str | int | float) -> str:
    if isinstance(value, str):
        return '"' + _UNFIT_FOR_STRING.sub("?", value) + '"'
    value = max(-_MOST, min(_MOST, value))
    if isinstance(value, int):
        return str(value)
    return f"{round(value, 3):.3f}".rstrip("0").rstrip(".") if value != int(value) else f"{int(value)}.0"
