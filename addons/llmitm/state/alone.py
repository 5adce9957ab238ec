"""What a gateway may count by itself while the store that it shares with others does not answer."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

type Policy = Literal["share", "count", "refuse"]

_REMEMBERED: Final = 6
"""Counts of gateways, one a beat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhileAway:
    """`share`: each limit is divided by the number of gateways. `count`: each gateway has all of it.
    `refuse`: what comes under a limit is not done.
    """

    policy: Policy = "share"
    gateways: int = 1
    """So many share the store at the least, whatever was seen."""


class Seen(NamedTuple):
    """A window that others share."""

    whole: int
    own: int
    """What this process had of it."""


class Crowd:
    """How many gateways share a store, as it was last seen.

    The most of the last few counts: after a store came back empty, others take a while until they are seen.
    """

    def __init__(self) -> None:
        self._seen: deque[int] = deque(maxlen=_REMEMBERED)

    def note(self, count: int) -> None:
        self._seen.append(count)

    @property
    def most(self) -> int:
        """0: none was ever seen."""
        return max(self._seen, default=0)


def share(limit: int, parts: int) -> int:
    """What one of so many may give out: at least 1, unless nobody may anything."""
    return limit if limit <= 0 else max(limit // parts, 1)


def share_of_window(limit: int, parts: int, seen: Seen | None) -> int:
    """The same of a window that others had a part in when it was last seen: of what was left of it then, each
    may give out its part beside what it had given out, but no more than its share of the whole."""
    mine = share(limit, parts)
    if seen is None:
        return mine
    return min(mine, seen.own + share(max(limit - seen.whole, 0), parts))


def share_of_sum(limit: int, seen: int, parts: int) -> int:
    """The same of a sum that stood at `seen` when it was last seen: what is left of it is divided."""
    return limit if limit <= seen else seen + share(limit - seen, parts)
