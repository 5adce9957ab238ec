"""What is known of accounts and providers while the gateway runs: who rests, who is quick, who is broken.

Rests are marks in the store, so that processes that share one know of them all; the rest is this process's
own. Everything stands under names of the configuration, and so outlives a reload.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from llmitm.clock import Clock
from llmitm.config.routing import Breaker as BreakerSettings
from llmitm.config.schema import Config
from llmitm.route.breaker import Breaker, Standing
from llmitm.route.budget import RetryBudget
from llmitm.route.choice import Choice
from llmitm.route.verdict import LONGEST_GUESS_S, LONGEST_REST_S, VERDICTS, WHY, Ending, Verdict, Why
from llmitm.state.store import Mark, Store

log = logging.getLogger("llmitm")

_SMOOTHING: Final = 0.2
"""Weight of the newest time to a first byte in the moving average."""
_KNOWN_FOR_S: Final = 300.0
"""A time to a first byte that is older is forgotten: who was slow once may be quick again."""
_MOST_KNOWN: Final = 10_000
"""Of anything: some names come from clients."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Why a choice is not used, and for how long."""

    why: Why
    left_s: float | None
    """None: until it is revived."""


class Health:
    """One for a gateway."""

    def __init__(self, config: Config, clock: Clock, store: Store) -> None:
        self._clock = clock
        self._store = store
        self._strikes: dict[str, tuple[int, float]] = {}
        """Of each rest mark: failures in a row, and until when they let it rest."""
        self._breakers: dict[str, Breaker] = {}
        self._latency_s: dict[str, tuple[float, float]] = {}
        """The average, and when it was last taken."""
        self._in_flight: dict[str, int] = {}
        self.budget = RetryBudget(clock, config.retry.budget_ratio)
        self.follow(config)

    def follow(self, config: Config) -> None:
        """Takes over a new configuration. What is known of those that are still in it is kept."""
        self._retry = config.retry
        self.budget.ratio = config.retry.budget_ratio
        for breaker in self._breakers.values():
            breaker.keep_to(**_settings(config.retry.breaker))
        providers = {*config.providers, "cloudflare"}
        for known in (self._strikes, self._breakers, self._latency_s):
            for name in [one for one in known if one.removeprefix("rest:").split("/")[0] not in providers]:
                del known[name]

    # -- rests

    async def rests(self, choices: Sequence[Choice[Any]]) -> list[Rest | None]:
        """For each choice the rest that ends last; None where it may be used. Without cooldowns, only what an
        operator took out of service rests.
        """
        if not choices or not self._store.has_marks:
            return [None] * len(choices)
        marks = dict.fromkeys(mark for one in choices for mark in one.rests)
        outcome = await self._store.apply([Mark(key=key) for key in marks])
        standing = {
            key: Rest(_why(value), left_s)
            for key, value, left_s in zip(marks, outcome.values, outcome.ends_s, strict=True)
            if value and (self._retry.cooldowns or _why(value) is Why.OPERATOR)
        }
        return [_longest(standing[key] for key in one.rests if key in standing) for one in choices]

    async def rest(
        self,
        choice: Choice[Any],
        ending: Ending,
        retry_after_s: float | None = None,
        *,
        is_gateways: bool = False,
    ) -> None:
        """Lets rest what this ending says: a credential of ours, or the gateway whose error it was. What
        becomes of a client's own key says nothing of others.
        """
        verdict = VERDICTS[ending]
        is_gateways = is_gateways and choice.gateway is not None
        if verdict.rests == "nothing" or not self._retry.cooldowns:
            return
        if not is_gateways and not choice.has_credential:
            return
        if is_gateways:
            key = choice.rests[-1]
        else:
            key = choice.rests[1 if verdict.rests == "model" and choice.model else 0]
        rest_s = self._rest_s(ending, verdict, self._struck(key), retry_after_s)
        if rest_s is not None and rest_s <= 0:
            return
        now_s = self._clock.tick_s()
        self._strikes[key] = (self._strikes[key][0], now_s + (LONGEST_REST_S if rest_s is None else rest_s))
        mark = Mark(key=key, value=WHY[ending], ttl_s=rest_s)
        before = (await self._store.apply([Mark(key=key), mark])).values[0]
        if verdict.is_alert and before != WHY[ending]:
            what = key.removeprefix("rest:")
            how_long = "until it is revived" if rest_s is None else f"for {rest_s:.0f} s"
            log.error(
                "%s %s is out of service %s: %s",
                "gateway" if is_gateways else "credential",
                what,
                how_long,
                ending,
            )

    def _struck(self, key: str) -> int:
        """How often in a row it has failed. What was under way when it began to rest counts with what came
        before: many at once are one failure.
        """
        count, until_s = self._strikes.pop(key, (0, 0.0))
        if not count or self._clock.tick_s() >= until_s:
            count += 1
        self._strikes[key] = (count, until_s)
        if len(self._strikes) > _MOST_KNOWN:
            del self._strikes[next(iter(self._strikes))]
        return count

    def _rest_s(
        self, ending: Ending, verdict: Verdict, strikes: int, retry_after_s: float | None
    ) -> float | None:
        if verdict.rest_s is None:
            return self._retry.rest_s.get(ending)
        if retry_after_s is not None and verdict.doubles:
            return min(retry_after_s, LONGEST_REST_S)
        guess_s = self._retry.rest_s.get(ending, verdict.rest_s)
        if not verdict.doubles:
            return max(guess_s, min(retry_after_s or 0, LONGEST_REST_S))
        return min(guess_s * 2.0 ** min(strikes - 1, 16), max(LONGEST_GUESS_S, guess_s))

    async def revive(self, choice: Choice[Any]) -> None:
        """Ends its rests."""
        for key in choice.rests:
            self._strikes.pop(key, None)
        await self._store.apply([Mark(key=key, is_over=True) for key in choice.rests])

    def resting_here(self) -> list[str]:
        """Keys of the marks that attempts of this process set, and whose time is not over."""
        now_s = self._clock.tick_s()
        return [key for key, (_, until_s) in self._strikes.items() if now_s < until_s]

    # -- breakers

    def standings(self) -> dict[str, Standing]:
        """Of each breaker that there is, by who stands behind it."""
        return {upstream: breaker.standing for upstream, breaker in self._breakers.items()}

    def breaker(self, choice: Choice[Any]) -> Breaker:
        """Of whoever stands behind this choice."""
        found = self._breakers.get(choice.upstream)
        if found is None:
            found = Breaker(self._clock, **_settings(self._retry.breaker))
            self._breakers[choice.upstream] = found
            if len(self._breakers) > _MOST_KNOWN:
                del self._breakers[next(iter(self._breakers))]
        return found

    # -- speed and load

    def in_flight(self, choice: Choice[Any]) -> int:
        return self._in_flight.get(choice.name, 0)

    @contextmanager
    def under_way(self, choice: Choice[Any]) -> Iterator[None]:
        """Counts an attempt while it lasts."""
        name = choice.name
        self._in_flight[name] = self._in_flight.get(name, 0) + 1
        try:
            yield
        finally:
            left = self._in_flight.get(name, 1) - 1
            if left > 0:
                self._in_flight[name] = left
            else:
                self._in_flight.pop(name, None)

    def latency_s(self, choice: Choice[Any]) -> float | None:
        """Moving average of the time to the first byte; None where nothing is known (any more)."""
        known_s, at_s = self._latency_s.get(f"{choice.name}:{choice.model}", (None, 0.0))
        return None if self._clock.tick_s() - at_s > _KNOWN_FOR_S else known_s

    def answered(self, choice: Choice[Any], after_s: float) -> None:
        """An attempt began to answer well, so many seconds after it was sent."""
        for key in choice.rests:
            self._strikes.pop(key, None)
        known_s = self.latency_s(choice)
        average_s = after_s if known_s is None else known_s + _SMOOTHING * (after_s - known_s)
        self._latency_s[f"{choice.name}:{choice.model}"] = (average_s, self._clock.tick_s())
        if len(self._latency_s) > _MOST_KNOWN:
            del self._latency_s[next(iter(self._latency_s))]


def _settings(breaker: BreakerSettings) -> dict[str, Any]:
    return {"failures": breaker.failures, "window_s": breaker.window_s, "open_s": breaker.open_s}


def _why(value: int) -> Why:
    try:
        return Why(value)
    except ValueError:
        return Why.OPERATOR


def _longest(rests: Iterator[Rest]) -> Rest | None:
    return max(rests, key=lambda one: float("inf") if one.left_s is None else one.left_s, default=None)
