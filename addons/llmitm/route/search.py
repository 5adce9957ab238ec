"""Who is asked next: the models that will do, in order, and those that serve each; nobody who rests."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from llmitm.config.routing import Routing
from llmitm.errors import Refused
from llmitm.exchange import Headers
from llmitm.route.breaker import Pass
from llmitm.route.choice import Choice
from llmitm.route.health import Health, Rest
from llmitm.route.strategy import turns
from llmitm.route.verdict import Why
from llmitm.state.store import Store

NEVER_AGAIN: Final = ((b"x-should-retry", b"false"),)
"""Tells the official clients that another try changes nothing."""
PATIENCE_S: Final = 60
"""The official clients wait no longer than this; told of more, some come back at once."""

type Find[T] = Callable[[str], Sequence[Choice[T]]]
"""Those that serve a model. Raises `Refused` where there is none."""
type Keep[T] = Callable[[Sequence[Choice[T]]], Awaitable[list[Choice[T]]]]
"""Those of them that will do."""
type Order[T] = Callable[[Sequence[Choice[T]]], Awaitable[list[Choice[T]]]]
"""The one to ask first in front."""


@dataclass(frozen=True, slots=True)
class Found[T]:
    """One choice to make an attempt with."""

    choice: Choice[T]
    asked_model: str
    """The model of the chain that it serves."""
    is_probe: bool
    """The one request that a half-open breaker let pass."""


@dataclass(slots=True, kw_only=True)
class Search[T]:
    """For one exchange. Each choice is found once at most."""

    models: Sequence[str]
    """Those that will do, the best first."""
    find: Find[T]
    order: Order[T]
    keep: Keep[T] | None = None
    health: Health
    larger_models: Sequence[str] = ()
    """Asked instead of all others once a prompt was too long."""
    _left: list[Choice[T]] = field(default_factory=list)
    _is_fresh: bool = False
    """Nothing has happened since it was asked whether the first of them rests."""
    _at: int = 0
    _model: str = ""
    _refused: Refused | None = None
    _rests: list[Rest] = field(default_factory=list)
    """Of those that could not be asked."""
    _broken_s: list[float] = field(default_factory=list)
    _found: dict[tuple[str, str, str | None], Choice[T]] = field(default_factory=dict)
    """All that were ever found."""

    async def next(self) -> Found[T] | None:
        """The next one; None where there is none (left)."""
        while (choice := await self.upcoming()) is not None:
            self._left.pop(0)
            self._is_fresh = False
            breaker = self.health.breaker(choice)
            passes: Pass = breaker.passes()
            if passes != "no":
                return Found(choice, self._model, passes == "probe")
            self._broken_s.append(breaker.waits_s())
        return None

    async def upcoming(self) -> Choice[T] | None:
        """Who would be asked now; None where there is nobody. Those before it that rest are left out."""
        while True:
            while self._left:
                rest = None if self._is_fresh else (await self.health.rests(self._left[:1]))[0]
                if rest is None and not (broken_s := self.health.breaker(self._left[0]).waits_s()):
                    self._is_fresh = True
                    return self._left[0]
                self._left.pop(0)
                self._is_fresh = False
                if rest is not None:
                    self._rests.append(rest)
                else:
                    self._broken_s.append(broken_s)
            if self._at >= len(self.models):
                return None
            self._model = self.models[self._at]
            self._at += 1
            await self._fill()

    async def _fill(self) -> None:
        try:
            found = self.find(self._model)
        except Refused as refused:
            self._refused = self._refused or refused
            return
        if self.keep is not None:
            found = await self.keep(found)
        new = {key: one for one in found if (key := (one.name, one.model, one.gateway)) not in self._found}
        self._found |= new
        fresh = list(new.values())
        rests = await self.health.rests(fresh)
        self._rests += [rest for rest in rests if rest is not None]
        able = [one for one, rest in zip(fresh, rests, strict=True) if rest is None]
        self._left = await self.order(able)
        self._is_fresh = True

    def to_larger(self) -> bool:
        """Goes on with the models that read more; False where none is named."""
        if not self.larger_models:
            return False
        self.models, self.larger_models = self.larger_models, ()
        self._at, self._left = 0, []
        return True

    def waited(self) -> None:
        """Time has passed since `upcoming`: who rests has to be asked again."""
        self._is_fresh = False

    async def has_other(self, upstream: str) -> bool:
        """Whether another choice behind which this upstream stands could be asked."""
        others = [one for one in self._left if one.upstream == upstream]
        return any(rest is None for rest in await self.health.rests(others))

    async def back_in_s(self) -> float | None:
        """In how many seconds the first of all that were found may be asked; None: nobody knows."""
        rests = await self.health.rests(list(self._found.values()))
        waits = (
            self.health.breaker(choice).waits_s() if rest is None else rest.left_s
            for choice, rest in zip(self._found.values(), rests, strict=True)
        )
        return min((wait for wait in waits if wait is not None), default=None)

    def has_resting(self) -> bool:
        """Whether somebody was left out who will be back."""
        return bool(self._rests or self._broken_s)

    def nobody(self) -> Refused:
        """Why no attempt could be made: 429 where all are at their limits, else 503, with the soonest
        moment at which another try makes sense."""
        if not self.has_resting():
            return self._refused or Refused(
                503, "no_credential", "No provider of this model is in service.", headers=NEVER_AGAIN
            )
        waits = [rest.left_s for rest in self._rests if rest.left_s is not None] + self._broken_s
        is_limit = all(rest.why is Why.RATE_LIMIT for rest in self._rests) and not self._broken_s
        status, code = (429, "rate_limit_exceeded") if is_limit else (503, "all_resting")
        what = "is at its limit" if is_limit else "rests after failures"
        said = f"Every account that serves this model {what}."
        if not waits:
            return Refused(status, code, said, headers=NEVER_AGAIN)
        headers = back_in(min(waits))
        when = f"{said} The first is back in {headers[0][1].decode()} s."
        return Refused(status, code, when, headers=headers)


def back_in(wait_s: float) -> Headers:
    """When another try makes sense: seconds for all, milliseconds for clients that look there first, and
    whether that is too late for those that wait by themselves.
    """
    again = NEVER_AGAIN if wait_s > PATIENCE_S else ()
    wait_ms = max(1, math.ceil(round(wait_s * 1000, 3)))
    return (b"retry-after", b"%d" % math.ceil(wait_ms / 1000)), (b"retry-after-ms", b"%d" % wait_ms), *again


async def chain(
    asked: Sequence[str], routing: Routing, store: Store, is_allowed: Callable[[str], bool]
) -> list[str]:
    """The models that will do, in order, each once: those asked for, then the operator's fallbacks of each.

    In place of a pool's name stand its models, the one whose turn it is in front: who may ask for the pool
    may ask for them.
    """
    fallbacks = [one for model in asked for one in routing.fallbacks.get(model, ())]
    found: dict[str, None] = {}
    for model in filter(is_allowed, dict.fromkeys((*asked, *fallbacks))):
        pool = routing.aliases.get(model)
        if pool is None:
            found[model] = None
            continue
        turn = await turns(f"alias:{model}", [one.weight for one in pool], store)
        found.update(dict.fromkeys(pool[at].model for at in turn))
    return list(found)


def larger(asked: Sequence[str], routing: Routing) -> list[str]:
    """Models to ask where a prompt was too long for these."""
    return list(dict.fromkeys(one for model in asked for one in routing.context_fallbacks.get(model, ())))
