"""The few things that all stations share. Built once, handed on by argument."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from llmitm.clock import Clock, SystemClock
from llmitm.config.schema import Config
from llmitm.config.watch import Source
from llmitm.exchange import Noted, Sender
from llmitm.record.cost import Cost
from llmitm.record.entry import Recorder, Sink
from llmitm.record.log import request_line
from llmitm.record.metrics import Metrics
from llmitm.record.prices import Prices
from llmitm.route.health import Health
from llmitm.route.pins import Pins
from llmitm.secret import Redactor
from llmitm.spending import Spending
from llmitm.state import open_store
from llmitm.state.alone import WhileAway
from llmitm.state.place import Place
from llmitm.state.shared import SharedStore
from llmitm.state.store import Store
from llmitm.tickets import Tickets

if TYPE_CHECKING:
    from llmitm.admin.onlooker import Onlooker
    from llmitm.record.traces.tracing import Tracing
    from llmitm.service.supervisor import Supervisor
    from llmitm.trip.live import Session


class Gallery(Protocol):
    """Who shows flows of exchanges."""

    def addresses(self, exchange: str) -> Mapping[int | None, str] | None:
        """URLs by number of the attempt; None is the client's leg. Those that are gone are not there. None
        where nobody can tell on which port they are shown."""


@dataclass(slots=True, kw_only=True)
class World:
    config: Config
    """One frozen snapshot. A reload swaps it whole; an exchange keeps the one it began with."""
    clock: Clock
    store: Store
    sender: Sender
    health: Health
    pins: Pins
    prices: Prices
    redact: Redactor
    metrics: Metrics
    sinks: tuple[Sink, ...] = (request_line,)
    is_shared: bool = False
    """Whether other processes may use the same store."""
    presence: SharedStore | None = None
    """What tells others that share the store that this process is there; None: nobody shares it."""
    is_draining: bool = False
    is_cut: bool = False
    """Whether what runs is ended, since the gateway stops."""
    running: set[asyncio.Task[Any]] = field(default_factory=set)
    """Tasks with an exchange under way; those of WebSockets aside, which have `sessions`."""
    in_flight: int = 0
    exchanges: int = 0
    numbered: int = 0
    """Exchanges that leave a record, so far: those that are over, and those under way."""
    ledger: Recorder | None = None
    """Where the record is kept for good; None: it is not."""
    spending: Spending | None = None
    """What budgets hold."""
    tracing: Tracing | None = None
    """Where traces are sent; None: there are none."""
    onlooker: Onlooker | None = None
    """Who is told of exchanges as they begin and end; None: nobody looks on."""
    supervisor: Supervisor | None = None
    """The service manager that wants to be told; None: there is none."""
    tickets: Tickets = field(default_factory=Tickets)
    """Of operators' own requests."""
    gallery: Gallery | None = None
    """Where flows can be looked at; None: nowhere."""
    sessions: set[Session] = field(default_factory=set)
    """WebSockets that are open."""
    uncounted_s: dict[str, float] = field(default_factory=dict)
    """Hosts that turned out to count no tokens, by base URL: when they are asked again, on the clock's
    ticks."""
    is_watched: bool = False
    """True where somebody beside mitmproxy's own addons wants to see upstream legs."""
    is_fast: bool = True
    """Whether mitmproxy's dispatch is short-cut (LLMITM_FAST=0 in the environment turns it off)."""
    port: int | None = None
    """The port that is listened on, once it is."""
    started_s: float = field(default=0.0)
    source: Source | None = None
    """Where the configuration is read from anew; None: it never is."""
    followers: list[Callable[[Config], None]] = field(default_factory=list)
    """Called with each new configuration just before it is in force: for what keeps a part of it. They do
    not fail."""

    @property
    def keeps_bodies(self) -> bool:
        return self.ledger is not None and self.config.ledger.bodies

    def next_number(self) -> int:
        self.numbered += 1
        return self.numbered

    def price(self, noted: Noted) -> Cost | None:
        """What an attempt cost; None where it told of no tokens, or nobody knows of which model."""
        model = noted.model or noted.answered
        if noted.usage is None or model is None:
            return None
        return self.prices.cost(
            provider=noted.provider,
            model=model,
            usage=noted.usage,
            at_s=noted.at_s,
            answered=noted.answered,
            host=noted.host,
        )

    def follow(self, config: Config) -> None:
        """Puts a new configuration in force. Exchanges under way go on with the one that they began with."""
        self.redact.learn(*config.secrets())  # what was known stays known: exchanges may still hold it
        for follower in self.followers:
            follower(config)
        self.config = config

    def cut(self) -> None:
        """Ends every exchange under way. Its client is told why, and it is written down."""
        self.is_cut = True
        for task in tuple(self.running):
            task.cancel("the gateway stops")

    async def close(self) -> None:
        if self.ledger is not None:
            await self.ledger.close()
        if self.tracing is not None:
            await self.tracing.close()
        if self.spending is not None:
            await self.spending.close()
        await self.sender.close()
        await self.store.close()


def build(config: Config, *, clock: Clock | None = None) -> World:
    """The world of a running gateway."""
    from llmitm.send.alarm import Timeouts
    from llmitm.send.upstream import Upstream

    def timeouts(config: Config) -> Timeouts:
        times = config.timeouts
        return Timeouts(
            connect_s=times.connect_s,
            first_byte_s=times.first_byte_s,
            idle_s=times.idle_s,
            exchange_s=times.exchange_s,
        )

    def while_away(config: Config) -> WhileAway:
        return WhileAway(policy=config.state.while_away, gateways=config.state.gateways)

    clock = clock or SystemClock()
    redact = Redactor()
    redact.learn(*config.secrets())
    sender = Upstream(timeouts(config), clock)
    store = open_store(config.state.url, clock, while_away(config))
    is_shared = not Place.of(config.state.url).is_memory
    health = Health(config, clock, store)
    prices = Prices(config, clock)
    metrics = Metrics(config, clock, redact)
    made = World(
        config=config,
        health=health,
        pins=Pins(store if is_shared else None),
        prices=prices,
        clock=clock,
        store=store,
        is_shared=is_shared,
        presence=store if isinstance(store, SharedStore) else None,
        sender=sender,
        redact=redact,
        metrics=metrics,
        sinks=(request_line, metrics),
        started_s=clock.now_s(),
        followers=[
            health.follow,
            prices.follow,
            metrics.follow,
            lambda config: sender.keep_to(timeouts(config)),
        ],
    )
    if isinstance(store, SharedStore):
        made.followers.append(lambda config: store.keep_to(while_away(config)))
    made.spending = Spending(config, clock, store, prices, made.price, metrics.guessed)
    made.followers.append(made.spending.follow)
    return made
