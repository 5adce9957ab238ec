"""Counters that several processes may share: limits, rotation, rests, pins.

One exchange touches several; they change together or not at all. Each kind has its own keys: a `Count` and
a `Mark` of one key are two things, and so are two windows of different lengths.

Times are kept in whole microseconds. Numbers are exact up to 2**53.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from llmitm.errors import LlmitmError

SLICES: Final = 60
"""Of a sliding window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A number that goes up and down. One that does not exist stands at 0."""

    key: str
    by: int = 1
    """0 only looks, and makes no counter."""
    limit: int | None = None
    """The batch is refused where this step would leave the counter above it, unless the step lowers the
    counter: what was taken can always be given back. None: no limit."""
    ttl_s: float | None = None
    """How long a counter that did not exist lives, in seconds from now; None: for ever. A counter that
    exists keeps its end, so that a window is as long as it was when it began."""
    is_lasting: bool = False
    """True for a sum such as what was spent: giving back never takes it below 0, and while a shared store is
    away it goes on from what was last seen of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What was added within the last `window_s` seconds, at any moment: a sliding window.

    Time is cut into 60 slices a window. What was added leaves when its whole slice is older than the
    window, so that no `window_s` seconds ever hold more than the limit, and what they may hold comes back
    late by a slice at most.
    """

    key: str
    by: int = 1
    """0 only looks. Less than 0 gives back, never more than there is: the sum is never below 0."""
    limit: int | None = None
    """As of a `Count`."""
    window_s: float = 60
    age_s: float | None = None
    """Of what is given back: seconds since just before it was added. What is no longer in the window gives
    nothing back, and nothing is taken from what was added before it. None: not known, the oldest goes
    first. Whoever settles an estimate minutes later must tell, else it makes room that others have used.
    Of what is added: seconds since when it counts, where that was elsewhere; None: now. What is no longer in
    the window adds nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One of several places that are held at once; its value is how many are held.

    A place that is not given back is free again after `ttl_s`: a holder may have died. Where the store is
    shared, places of a process that died are free again sooner.
    """

    key: str
    holder: str
    """Who holds the place. One holder has one place, however often it asks; asking again makes it last
    from now, and is never refused."""
    limit: int | None = None
    ttl_s: float = 600
    is_over: bool = False
    """True gives the place back; of a holder that has none, it only looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A value that stands for a while, such as the reason why a credential rests.

    A mark that lasts longer is not replaced; of two that end at the same time the later one stands.
    """

    key: str
    value: int = 0
    """0 only looks."""
    ttl_s: float | None = None
    """From now; None: for ever."""
    is_over: bool = False
    """True takes the mark away."""


type Step = Count | Window | Lease | Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    values: tuple[int, ...]
    """Each counter after its step of the batch; where it was refused, as they stand."""
    refused: int | None = None
    """Index of the first step over its limit; None: all were done."""
    ends_s: tuple[float | None, ...] = ()
    """One a step: seconds until a Count or a Mark is over, until a Window is empty if nothing is added, and
    until the first place of a Lease is free at the latest; None: no end, or there is nothing."""
    wait_s: float | None = None
    """Of a refused Window: seconds until there is room for the step and those before it, if nothing is added
    meanwhile; None for other steps, and where they are larger than the limit."""
    limits: tuple[int | None, ...] = ()
    """What each step was held to, where that was less than its own limit; empty: their own."""


class StoreUnavailable(LlmitmError):
    """A shared store gave no outcome in its time. Whether the steps were done is not known.

    Its text names the place without its password. What others are handed falls back, unless limits are not
    to be counted without the shared store.
    """


class StoreBegunAnew(StoreUnavailable):
    """A shared store has lost all that it held. Nothing was done; what is asked next is done."""


class Store(Protocol):
    @property
    def has_marks(self) -> bool:
        """False where it is known without asking that no mark stands."""

    async def apply(self, steps: Sequence[Step]) -> Outcome:
        """Does all steps in order, or none where one is over its limit. Atomic."""

    async def close(self) -> None: ...
