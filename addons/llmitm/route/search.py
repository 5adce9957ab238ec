"""Who is asked next: the models that will do, in order, and those that serve each; nobody who rests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from llmitm.config.schema import Routing
from llmitm.errors import Refused
from llmitm.route.breaker import Pass
from llmitm.route.choice import Choice
from llmitm.route.health import Health, Rest
from llmitm.route.strategy import turns
from llmitm.route.verdict import Why
from llmitm.state.store import Store

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
    """Nothing has happened since it was asked who rests."""
    _at: int = 0
    _model: str = ""
    _refused: Refused | None = None
    _rests: list[Rest] = field(default_factory=list)
    """Of those that could not be asked."""
    _broken_s: list[float] = field(default_factory=list)
    _seen: set[tuple[str, str, str | None]] = field(default_factory=set)

    async def next(self) -> Found[T] | None:
        """The next one; None where there is none (left)."""
        while True:
            while self._left:
                choice = self._left.pop(0)
                rest = None if self._is_fresh else (await self.health.rests([choice]))[0]
                self._is_fresh = False
                if rest is not None:
                    self._rests.append(rest)
                    continue
                passes: Pass = self.health.breaker(choice.provider).passes()
                if passes == "no":
                    self._broken_s.append(self.health.breaker(choice.provider).waits_s())
                    continue
                return Found(choice, self._model, passes == "probe")
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
        fresh = [one for one in found if (one.name, one.model, one.gateway) not in self._seen]
        self._seen |= {(one.name, one.model, one.gateway) for one in fresh}
        rests = await self.health.rests(fresh)
        self._rests += [rest for rest in rests if rest is not None]
        able = [one for one, rest in zip(fresh, rests, strict=True) if rest is None]
        self._is_fresh = True
        self._left = await self.order(able)

    def to_larger(self) -> bool:
        """Goes on with the models that read more; False where none is named."""
        if not self.larger_models:
            return False
        self.models, self.larger_models = self.larger_models, ()
        self._at, self._left = 0, []
        return True

    async def has_more(self) -> bool:
        """Whether another could be asked now."""
        if self._left:
            return any(rest is None for rest in await self.health.rests(self._left))
        return self._at < len(self.models)

    def left_of(self, provider: str) -> bool:
        """Whether another choice of this provider is left."""
        return any(one.provider == provider for one in self._left)

    def nobody(self) -> Refused:
        """Why no attempt could be made: 429 where all are at their limits, else 503, with the soonest
        moment at which another try makes sense."""
        waits = [rest.left_s for rest in self._rests if rest.left_s is not None] + self._broken_s
        if not self._rests and not self._broken_s:
            return self._refused or Refused(503, "no_credential", "No provider of this model is in service.")
        wait_s = min(waits, default=None)
        is_limit = all(rest.why is Why.RATE_LIMIT for rest in self._rests) and not self._broken_s
        status, code = (429, "rate_limit_exceeded") if is_limit else (503, "all_resting")
        when = "" if wait_s is None else f" The first is back in {wait_s:.0f} s."
        what = "is at its limit" if is_limit else "rests after failures"
        headers = () if wait_s is None else ((b"retry-after", b"%d" % max(1, -(-wait_s // 1))),)
        return Refused(status, code, f"Every account that serves this model {what}.{when}", headers=headers)


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
