"""The one loop with a script in place of upstreams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import ResponseHead
from llmitm.route.choice import Choice
from llmitm.route.health import Health
from llmitm.route.search import Found, Search
from llmitm.route.verdict import Ending
from llmitm.state.memory import MemoryStore
from llmitm.translate.neutral import Failure
from llmitm.trip.missed import Missed
from llmitm.trip.tries import Steps, Tries
from support.simulated import SimulatedClock

HEAD = ResponseHead(status=200, reason=b"OK", headers=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What one attempt does, `after_s` seconds: it answers, fails, or cannot even be made."""

    ending: Ending | None = None
    after_s: float = 0
    retry_after_s: float | None = None
    is_gateways: bool = False
    refused: Refused | None = None
    stays_s: float = 0
    """How long an answer goes on."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Of the error."""


OK = Act()
SILENT = Act(after_s=1e6)


def fails(ending: Ending | str, **options: Any) -> Act:
    return Act(ending=Ending(ending), **options)


def choice(
    credential: str | None = "a",
    *,
    provider: str = "p",
    model: str = "m",
    weight: int = 1,
    gateway: str | None = None,
) -> Choice[None]:
    return Choice(
        provider=provider,
        credential=credential,
        model=model,
        weight=weight,
        value=None,
        gateway=gateway,
        has_credential=credential is not None,
    )


def missed(act: Act) -> Missed:
    assert act.ending is not None
    failure = Failure(status=500, message=act.ending.value, retry_after_s=act.retry_after_s)
    told = ResponseHead(status=500, reason=b"", headers=act.headers, whole=act.ending.value.encode())
    return Missed(act.ending, failure, told, is_gateways=act.is_gateways)


@dataclass(slots=True)
class Stage:
    """What exchanges share, and what they did. `script` says for each account what its attempts do, one
    after another; the last act goes on.
    """

    choices: Mapping[str, Sequence[Choice[None]]] | Sequence[Choice[None]]
    """Those of each model, or of every model."""
    script: Mapping[str, Sequence[Act]] = field(default_factory=dict)
    retry: dict[str, Any] = field(default_factory=dict)
    chance: float | None = 1.0
    clock: SimulatedClock = field(init=False)
    health: Health = field(init=False)
    store: MemoryStore = field(init=False)
    sent: list[tuple[float, str]] = field(default_factory=list)
    """When, and to whom."""
    closed: list[str] = field(default_factory=list)
    """Whose call was closed, whatever came of it."""
    _turns: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = SimulatedClock(self.chance)
        self.store = MemoryStore(self.clock)
        self.config = Config.model_validate({"retry": self.retry})
        self.health = Health(self.config, self.clock, self.store)

    config: Config = field(init=False)

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.sent]

    def search(self, *models: str, **options: Any) -> Search[None]:
        async def order(found: Sequence[Choice[None]]) -> list[Choice[None]]:
            return list(found)

        def find(model: str) -> Sequence[Choice[None]]:
            if not isinstance(self.choices, Mapping):
                return self.choices
            if model not in self.choices:
                raise Refused(404, "model_not_found", model)
            return self.choices[model]

        asked = {"order": order, "find": find} | options
        return Search(models=models or ("m",), health=self.health, **asked)

    def tries(
        self,
        *models: str,
        search: Search[None] | None = None,
        deadline_s: float = float("inf"),
        hedge_s: float | None = None,
    ) -> Tries[None]:
        return Tries(
            exchange_id="x",
            search=search or self.search(*models),
            make=self.make,
            retry=self.config.retry,
            health=self.health,
            clock=self.clock,
            deadline_s=deadline_s,
            hedge_s=hedge_s,
        )

    def make(self, found: Found[None], number: int) -> Steps:
        name = found.choice.name
        acts = self.script.get(name, (OK,))
        turn = self._turns[name] = self._turns.get(name, -1) + 1
        act = acts[min(turn, len(acts) - 1)]
        if act.refused is not None:
            raise act.refused
        return self._steps(name, act)

    async def _steps(self, name: str, act: Act) -> AsyncGenerator[ResponseHead | bytes]:
        self.sent.append((self.clock.tick_s(), name))
        try:
            await asyncio.sleep(act.after_s)
            if act.ending is not None:
                raise missed(act)
            yield HEAD
            yield name.encode()
            await asyncio.sleep(act.stays_s)
        finally:
            self.closed.append(name)

    async def ask(self, *models: str, **options: Any) -> str:
        """Who answered; else how the last attempt ended. Raises `Refused` where none was made."""
        try:
            steps = [step async for step in self.tries(*models, **options).steps()]
        except Missed as error:
            return error.ending.value
        assert steps[0] is HEAD and isinstance(steps[1], bytes)
        return steps[1].decode()

    async def left_s(self, one: Choice[None]) -> float | None:
        """How long it rests; 0: not at all, None: until it is revived."""
        (rest,) = await self.health.rests([one])
        return 0 if rest is None else rest.left_s

    def in_flight(self, *choices: Choice[None]) -> int:
        return sum(map(self.health.in_flight, choices))
