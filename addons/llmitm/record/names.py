"""Which names may be values of labels: those of the configuration, and a few that have proved themselves.

Names of models, and at Cloudflare's those of providers, come from clients: there is no end of them, and
anything may stand in them. So a name that is not configured counts as `other`, until an upstream has
answered it well; and there is room for so many of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from llmitm.record.series import OTHER

NONE: Final = "none"
"""Where there is no name."""
MOST_CHARACTERS: Final = 120


class Names:
    """Those of one label."""

    __slots__ = ("_most", "_redact", "_shown", "_strangers")

    def __init__(self, redact: Callable[[str], str], *, most: int = 200) -> None:
        """`most`: of names that are not configured."""
        self._redact = redact
        self._most = most
        self._shown: dict[str, str] = {}
        """Names of the configuration and those that were let in, as they are shown."""
        self._strangers: set[str] = set()
        """Those that were let in."""

    def know(self, names: Iterable[str]) -> None:
        """The names of a configuration, in place of those of the one before."""
        self._shown = {name: self._clean(name) for name in (*self._strangers, *names)}

    def of(self, name: str | None, *, is_proven: bool = False) -> str:
        """How it is called in a label. `is_proven`: an upstream has just answered it well."""
        if not name:
            return NONE
        found = self._shown.get(name)
        if found is not None:
            return found
        if not is_proven or len(self._strangers) >= self._most or len(name) > MOST_CHARACTERS:
            return OTHER
        self._strangers.add(name)
        shown = self._shown[name] = self._clean(name)
        return shown

    def _clean(self, name: str) -> str:
        """Names may hold whatever JSON can, keys too; half signs cannot be written."""
        return self._redact(name).encode("utf-8", "replace").decode()[:MOST_CHARACTERS] or NONE
