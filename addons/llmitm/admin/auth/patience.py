"""How often passwords may be tried. What was tried is counted before it is compared, so that many tries at
once are no way round.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from llmitm.errors import Refused
from llmitm.state.store import Count, Mark, Step, Store

FORGOTTEN_S: Final = 900.0
"""So long after the first failure a count begins anew."""
LONGEST_S: Final = 900.0


@dataclass(frozen=True, slots=True)
class Rule:
    """Failures that cost nothing; each further one doubles the time until the next try."""

    name: str
    free: int
    longest_s: float


RULES: Final = (
    Rule("both", 5, LONGEST_S),  # one user from one address
    Rule("address", 20, LONGEST_S),
    # whoever tries from many addresses must not lock the user out for long
    Rule("user", 50, 60.0),
)


def wait_s(rule: Rule, failures: int) -> float:
    over = failures - rule.free
    return 0.0 if over < 0 else min(rule.longest_s, 2.0 ** min(over, 20))


class Patience:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def check(self, user: str, address: str) -> None:
        """Counts a try.

        Raises:
            Refused: 429, with the time to wait; it is not counted.
        """
        keys = tuple(_keys(user, address))
        outcome = await self._store.apply([Mark(key=f"{key}:wait") for key in keys])
        left_s = max(
            (end for end, value in zip(outcome.ends_s, outcome.values, strict=True) if value and end),
            default=0.0,
        )
        if left_s > 0:
            raise _refused(left_s)
        counted = await self._store.apply([Count(key=key, ttl_s=FORGOTTEN_S) for key in keys])
        waits: list[Step] = []
        for rule, key, failures in zip(RULES, keys, counted.values, strict=True):
            if (seconds := wait_s(rule, failures)) > 0:
                waits.append(Mark(key=f"{key}:wait", value=1, ttl_s=seconds))
        if waits:
            await self._store.apply(waits)

    async def succeeded(self, user: str, address: str) -> None:
        """The failures of this user from this address are forgotten, and this try is given back elsewhere."""
        both, *others = _keys(user, address)
        seen = await self._store.apply([Count(key=both, by=0)])
        steps: list[Step] = [Count(key=both, by=-seen.values[0]), Mark(key=f"{both}:wait", is_over=True)]
        for key in others:
            steps += [Count(key=key, by=-1, is_lasting=True), Mark(key=f"{key}:wait", is_over=True)]
        await self._store.apply(steps)


def _keys(user: str, address: str) -> Iterator[str]:
    for rule, subject in zip(RULES, (f"{user}\0{address}", address, user), strict=True):
        digest = hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()[:24]
        yield f"dashboard:tries:{rule.name}:{digest}"


def _refused(left_s: float) -> Refused:
    seconds = math.ceil(left_s)
    return Refused(
        429,
        "too_many_attempts",
        f"Too many failed logins; try again in {seconds} s.",
        headers=((b"Retry-After", str(seconds).encode()),),
    )
