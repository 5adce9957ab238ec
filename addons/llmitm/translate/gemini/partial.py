"""Arguments that come in pieces, each with its place, as Vertex streams them where it is asked to. Pure.

{"jsonPath":"$.days[0].name","stringValue":"Mon","willContinue":true}
{"jsonPath":"$.days[0].name","stringValue":"day"}
"""

from __future__ import annotations

import re
from typing import Any, Final

from llmitm.translate import jsontext

_STEP: Final = re.compile(
    r"""\.(?P<name>[^.\[]+)|\[(?P<index>\d{1,9})\]|\[(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\]"""
)
_WIDEST_GAP: Final = 100
"""Entries of a list that one piece may leap over."""
_VALUES: Final = ("stringValue", "numberValue", "boolValue", "nullValue")


class PartialArgs:
    """Puts one call's arguments together."""

    __slots__ = ("_goes_on", "_root")

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}
        self._goes_on: str | None = None  # the place of a string whose end has not come

    def add(self, pieces: Any) -> None:
        """The pieces of one chunk. What has no place is left out."""
        for piece in pieces if isinstance(pieces, list) else ():
            place = piece.get("jsonPath") if isinstance(piece, dict) else None
            if isinstance(place, str):
                self._add(place, piece)

    def _add(self, place: str, piece: dict[str, Any]) -> None:
        kind = next((name for name in _VALUES if name in piece), "stringValue")
        value = None if kind == "nullValue" else piece.get(kind, "")
        steps = _steps(place)
        if not steps or not isinstance(steps[0], str):
            return
        holder: Any = self._root
        for step, following in zip(steps, steps[1:], strict=False):
            holder = _within(holder, step, [] if isinstance(following, int) else {})
        had = _get(holder, steps[-1]) if self._goes_on == place else None
        _put(holder, steps[-1], had + value if isinstance(had, str) and isinstance(value, str) else value)
        self._goes_on = place if piece.get("willContinue") is True else None

    def text(self) -> str:
        """The arguments so far, as JSON."""
        return jsontext.text_of(self._root)


def _steps(place: str) -> list[str | int]:
    """`$.days[0].name` is `days`, 0, `name`."""
    return [
        int(match["index"]) if match["index"] else match["name"] or match["quoted"] or ""
        for match in _STEP.finditer(place.removeprefix("$"))
    ]


def _get(holder: Any, step: str | int) -> Any:
    match holder, step:
        case dict(), str():
            return holder.get(step)
        case list(), int() if step < len(holder):
            return holder[step]
    return None


def _put(holder: Any, step: str | int, value: Any) -> None:
    match holder, step:
        case dict(), str():
            holder[step] = value
        case list(), int() if step <= len(holder) + _WIDEST_GAP:
            holder.extend([None] * (step + 1 - len(holder)))
            holder[step] = value


def _within(holder: Any, step: str | int, fresh: Any) -> Any:
    """What stands there; `fresh` where there is nothing that can hold more."""
    found = _get(holder, step)
    if not isinstance(found, dict | list):
        _put(holder, step, fresh)
        return fresh
    return found
