"""Many exchanges over accounts that fail at random, in simulated time, and what must hold of every one.

As a program it plays as many as it is told: `just retrymath 100000`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import random
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import ResponseHead
from llmitm.route.budget import AT_LEAST, WINDOW_S
from llmitm.route.choice import Choice
from llmitm.route.health import Health
from llmitm.route.search import Found, Search
from llmitm.route.strategy import ordered
from llmitm.route.strategy.facts import Facts
from llmitm.route.verdict import VERDICTS, Next
from llmitm.state.memory import MemoryStore
from llmitm.trip.missed import Missed
from llmitm.trip.tries import Steps, Tries
from support.simulated import SimulatedClock, simulate
from support.trying import HEAD, choice, fails, missed

DEADLINE_S: Final = 30.0
ENDINGS: Final = (
    *("rate_limit", "server", "overloaded", "network", "timeout", "conflict") * 6,
    *("client", "auth", "billing", "permission"),
)
RETRY_AFTER_S: Final = (None, None, 0.0, 0.1, 0.3, 1.0, 5.5, 30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    seed: int
    providers: int = 3
    credentials: int = 3
    exchanges: int = 1_000
    per_s: float = 20.0
    failing: float = 0.5
    """Share of the attempts with every third account; of others, a twentieth of that."""
    outages: bool = True
    """Whether whole providers are gone for a while, again and again."""
    cooldowns: bool = True
    budget_ratio: float = 0.25
    strategy: str = "round-robin"


@dataclass(slots=True)
class Played:
    """What happened. All checks are made while it does."""

    setting: Setting
    answered: int = 0
    told: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    retries: int = 0
    worst: int = 0
    """Attempts of one exchange."""
    share: dict[str, list[float]] = field(default_factory=dict)
    """Of each account: exchanges that began with it, how many were to be expected, and their variance."""


def play(setting: Setting) -> Played:
    """Raises AssertionError for what must not be."""
    return simulate(_Play(setting).run())


class _Play:
    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.random = random.Random(setting.seed)
        self.clock = SimulatedClock(seed=setting.seed)
        self.store = MemoryStore(self.clock)
        retry = {"budget_ratio": setting.budget_ratio, "cooldowns": setting.cooldowns}
        self.config = Config.model_validate({"retry": retry})
        self.health = Health(self.config, self.clock, self.store)
        self.choices = [
            choice(f"c{credential}", provider=f"p{provider}", weight=self.random.randint(1, 4))
            for provider in range(setting.providers)
            for credential in range(setting.credentials)
        ]
        self.failing = {
            one.name: setting.failing if at % 3 == 0 else setting.failing / 20
            for at, one in enumerate(self.choices)
        }
        self.gone_until_s: dict[str, float] = {}
        self.came: deque[float] = deque()
        self.tried: deque[float] = deque()
        self.played = Played(setting, share={one.name: [0, 0, 0] for one in self.choices})

    async def run(self) -> Played:
        async with asyncio.TaskGroup() as group:
            for number in range(self.setting.exchanges):
                group.create_task(self.exchange(number))
                await asyncio.sleep(self.random.expovariate(self.setting.per_s))
                self.trouble()
        assert sum(self.health.in_flight(one) for one in self.choices) == 0
        return self.played

    def trouble(self) -> None:
        """A provider is gone every twenty seconds; an account is revived every second."""
        drawn = self.random.random()
        if self.setting.outages and drawn < 0.05 / self.setting.per_s:
            gone = self.random.choice(self.choices).provider
            self.gone_until_s[gone] = self.clock.tick_s() + self.random.uniform(1, 20)
        if drawn > 1 - 1 / self.setting.per_s:
            _now(self.health.revive(self.random.choice(self.choices)))

    async def exchange(self, number: int) -> None:
        played, made = self.played, [0]
        self.came.append(self.clock.tick_s())
        tries = Tries(
            exchange_id=str(number),
            search=self.search(),
            make=lambda found, number: self.make(found, number, made),
            retry=self.config.retry,
            health=self.health,
            clock=self.clock,
            deadline_s=self.clock.tick_s() + DEADLINE_S,
        )
        try:
            assert [step async for step in tries.steps()] == [HEAD]
            played.answered += 1
        except Refused as refused:
            self.check_nobody(refused)
            assert not made[0]
            played.told[str(refused.status)] += 1
        except Missed as error:
            self.check_given_up(error, tries)
            played.told[error.ending] += 1
        assert made[0] <= len(self.choices)
        played.worst = max(played.worst, made[0])

    def search(self) -> Search[None]:
        facts = Facts(in_flight=self.health.in_flight, latency_s=self.health.latency_s)

        async def order(found: Sequence[Choice[None]]) -> list[Choice[None]]:
            order = await ordered(found, facts, self.setting.strategy, self.store)
            if order:
                self.expect(found, order[0])
            return order

        return Search(models=["m"], find=lambda model: self.choices, order=order, health=self.health)

    def expect(self, found: Sequence[Choice[None]], first: Choice[None]) -> None:
        total = sum(one.weight for one in found)
        for one in found:
            share = self.played.share[one.name]
            share[0] += one is first
            share[1] += one.weight / total
            share[2] += one.weight / total * (1 - one.weight / total)

    def make(self, found: Found[None], number: int, made: list[int]) -> Steps:
        one, now_s = found.choice, self.clock.tick_s()
        assert number == made[0] + 1
        made[0] = number
        assert _now(self.health.rests([one])) == [None], "it rests"
        assert found.is_probe or self.health.breaker(one).standing == "closed", "its provider is broken"
        self.played.attempts += 1
        if number > 1:
            self.played.retries += 1
            self.tried.append(now_s)
            self.check_budget(now_s)
        return self.steps(one)

    async def steps(self, one: Choice[None]) -> AsyncGenerator[ResponseHead | bytes]:
        await asyncio.sleep(self.random.choice((0.0, 0.05, 0.3, 2.0)) * self.random.random())
        if self.clock.tick_s() < self.gone_until_s.get(one.provider, 0):
            raise missed(fails(self.random.choice(("server", "network", "timeout"))))
        if self.random.random() < self.failing[one.name]:
            retry_after_s = self.random.choice(RETRY_AFTER_S)
            raise missed(fails(self.random.choice(ENDINGS), retry_after_s=retry_after_s))
        yield HEAD

    def check_budget(self, now_s: float) -> None:
        while self.tried[0] < now_s - WINDOW_S:
            self.tried.popleft()
        while self.came[0] < now_s - WINDOW_S - 1:
            self.came.popleft()
        assert len(self.tried) <= max(AT_LEAST, self.setting.budget_ratio * len(self.came)), "too many tries"

    def check_nobody(self, refused: Refused) -> None:
        rests = _now(self.health.rests(self.choices))
        waits = []
        for one, rest in zip(self.choices, rests, strict=True):
            broken_s = self.health.breaker(one).waits_s()
            assert rest is not None or broken_s, f"{one.name} could have been asked"
            waits.append(broken_s if rest is None else rest.left_s)
        soonest_s = min((wait for wait in waits if wait is not None), default=None)
        told = dict(refused.headers).get(b"retry-after")
        assert (told is None) == (soonest_s is None)
        assert soonest_s is None or int(told or b"") == max(1, math.ceil(soonest_s))

    def check_given_up(self, error: Missed, tries: Tries[None]) -> None:
        if VERDICTS[error.ending].next is not Next.CREDENTIAL:
            return
        is_over = self.clock.tick_s() + self.config.retry.cap_s >= tries.deadline_s
        upcoming = _now(tries.search.upcoming())
        assert upcoming is None or tries._is_spent or is_over, f"{upcoming} could have been asked"


def _now[T](coro: Any) -> Any:
    """What a coroutine returns that has nothing to wait for."""
    try:
        coro.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


def check_shares(played: Played) -> None:
    """Within three standard deviations of what weights say."""
    for name, (found, expected, variance) in played.share.items():
        assert abs(found - expected) <= 3 * math.sqrt(variance) + 1, f"{name}: {found} for {expected:.1f}"
        assert found, f"{name} was never used"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("exchanges", type=int, nargs="?", default=100_000)
    exchanges = parser.parse_args().exchanges
    logging.getLogger("llmitm").setLevel(logging.CRITICAL)
    began_s = time.perf_counter()
    print("providers x keys  rests  ratio  exchanges  answered  told  attempts  retries  worst")
    shapes = [(1, 1), (1, 4), (2, 3), (3, 3), (4, 5)]
    every = [(shape, rests, ratio) for shape in shapes for rests in (True, False) for ratio in (0.25, 1.0)]
    for at, ((providers, credentials), cooldowns, ratio) in enumerate(every):
        setting = Setting(
            seed=at,
            providers=providers,
            credentials=credentials,
            exchanges=exchanges // len(every),
            cooldowns=cooldowns,
            budget_ratio=ratio,
        )
        played = play(setting)
        check_shares(played)
        counts = (setting.exchanges, played.answered, sum(played.told.values()), played.attempts)
        print(
            f"{providers} x {credentials:<13} {cooldowns!s:<6} {ratio:<6}",
            *(f"{count:>8}" for count in (*counts, played.retries, played.worst)),
            flush=True,
        )
    print(f"every rule held; {time.perf_counter() - began_s:.1f} s")


if __name__ == "__main__":
    main()
