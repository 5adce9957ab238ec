"""WebSockets: who a live session is opened with, by which key, and what its handshake takes along.

The handshake is tried like any other request, with one credential after another, until one of them is
answered with 101; from then on it is a `live.Session`, and nothing is tried any more.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from llmitm.accept import keys, origins, subprotocols
from llmitm.config.providers import Credential
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import Dialect, Headers, ResponseHead
from llmitm.route import plan, providers, siblings, sockets
from llmitm.route.calls import Call
from llmitm.route.choice import Choice
from llmitm.route.providers import Candidate
from llmitm.route.search import Found, Search, chain
from llmitm.route.sockets import Socket
from llmitm.route.strategy import ordered
from llmitm.route.strategy.facts import Facts
from llmitm.trip import carried, translated
from llmitm.trip.attempt import attempt, outgoing
from llmitm.trip.cloaked import refuse_live
from llmitm.trip.live import Session
from llmitm.trip.missed import Missed
from llmitm.trip.passed import PROVIDER
from llmitm.trip.respelled import Spell, spelling
from llmitm.trip.routed import Trip
from llmitm.trip.tries import Make, Tries
from llmitm.trip.untouched import Untouched

type Steps = AsyncGenerator[ResponseHead | bytes]

_NOT_SENT: Final = frozenset({b"sec-websocket-extensions", subprotocols.HEADER})
"""Messages are read on their way, so none is compressed; subprotocols may hold keys."""
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
_NO_SESSIONS: Final = (404, 405, 501)
_BY_POST: Final = "ask with POST /v1/responses, or name a provider that has them with ?provider=NAME."


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A session that is about to be opened."""

    steps: Steps
    models: tuple[str, ...]


async def begin(trip: Trip) -> Opening:
    """Raises `Refused` where the handshake is none, or names nobody who could answer."""
    _check(trip)
    socket = sockets.read(trip.asked.rest, trip.request.header(PROVIDER))
    kind, provider = trip.endpoint.kind, trip.endpoint.provider
    model = socket.model if socket is not None else None
    if kind == "gateway":
        if socket is None:
            raise Refused(
                404,
                "unknown_path",
                "Sessions are opened at /v1/realtime, /v1/responses and /ws/google... here.",
            )
        if provider and socket.provider and provider != socket.provider:
            raise Refused(400, "unknown_provider", f"This endpoint's provider is {provider}.")
    if model is not None:
        carried.check((model,), trip, is_named=True)
    elif socket is None and not trip.is_allowed(""):  # its messages cannot be read
        named = siblings.is_named(trip.asked.rest, carried.allowed_paths(trip))
        carried.check((), trip, is_named=named)
    trip.kept.model = model
    session = Session(
        trip=trip,
        is_read=socket is not None,
        is_checked=socket is not None and not trip.is_allowed(""),
    )
    opened = _Opened(trip=trip, socket=socket, session=session)
    match kind:
        case "gateway":
            steps = await opened.by_model()
            if socket is not None and socket.api == "responses":
                steps = _or_over_http(steps)
        case "cloudflare":
            steps = opened.through_cloudflare()
        case _:
            steps = opened.to_provider(provider) if provider is not None else opened.forwarded()
    return Opening(steps=session.steps(steps), models=(model,) if model else ())


async def _or_over_http(steps: Steps) -> Steps:
    """Clients of Responses turn to HTTP when they are told 426, and try again and again after all else."""
    try:
        async with aclosing(steps):
            async for step in steps:
                yield step
    except Missed as missed:
        if missed.failure.status not in _NO_SESSIONS:
            raise
        raise Refused(426, "no_sessions", f"The provider has no such sessions; {_BY_POST}") from missed


def _check(trip: Trip) -> None:
    request = trip.request
    if request.method != "GET":
        raise Refused(
            405, "method_not_allowed", "A WebSocket is opened with GET.", headers=((b"allow", b"GET"),)
        )
    if request.header(b"sec-websocket-version") != b"13":
        raise Refused(
            426,
            "unsupported_version",
            "WebSockets of version 13 are served: Sec-WebSocket-Version: 13.",
            headers=((b"sec-websocket-version", b"13"),),
        )
    if not _KEY.fullmatch(request.header(b"sec-websocket-key") or b""):
        raise Refused(400, "invalid_header", "The handshake has no valid Sec-WebSocket-Key.")
    wanted = b",".join(value for name, value in request.headers if name.lower() == b"connection")
    if b"upgrade" not in (one.strip().lower() for one in wanted.split(b",")):
        # who stands in between may take it for a request like any other
        raise Refused(400, "invalid_header", "The handshake has no Connection: Upgrade.")
    if trip.world.is_draining:
        raise Refused(503, "shutting_down", "The gateway is about to stop and opens no more sessions.")
    if not trip.endpoint.injects or trip.kept.auth_key is not None:
        return
    found = origins.crossing(request.headers, trip.config.server.cors_origins)
    if found is not None and found.origin is not None and not found.is_allowed:
        # any page that a browser has open may do this, and would speak with our credentials
        raise Refused(
            403,
            "origin_not_allowed",
            "Pages of this origin may not open sessions without a key; see [server] cors_origins.",
        )


def _only_provider(config: Config) -> list[Candidate]:
    """The credentials of the one provider there is. A session names its models in messages, after it was
    opened: with several providers it could not be routed.

    Raises:
        Refused: 426, there are several, or it does not speak Responses.
    """
    found = [
        Candidate(provider=name, options=options, credential=credential, model="")
        for name, options, credential in providers.entries(config, None)
        if not (options.disabled or config.providers[name].disabled)
    ]
    is_one = len({one.provider for one in found}) == 1
    if not is_one or Dialect.OPENAI_RESPONSES not in found[0].dialects:
        raise Refused(426, "no_sessions", f"Sessions are not routed here; {_BY_POST}")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """The ways to whoever answers."""

    trip: Trip
    socket: Socket | None
    """None: of no known API."""
    session: Session

    async def by_model(self) -> Steps:
        """An endpoint of kind gateway.

        Raises:
            Refused: nobody who speaks the API may be asked for the model; else as `Tries.steps`.
        """
        trip, world, socket = self.trip, self.trip.world, self.socket
        assert socket is not None
        models: Sequence[str] = [""]
        if socket.model is not None:
            models = await chain([socket.model], trip.config.routing, world.store, trip.is_allowed)
        strategy = trip.config.routing.strategy
        facts = Facts(
            in_flight=world.health.in_flight,
            latency_s=world.health.latency_s,
            usd_per_mtok=lambda choice: world.prices.usd_per_mtok(choice.provider, choice.model),
            conversation=f"made by {trip.kept.auth_key or ''}",
        )
        search = Search(
            models=models,
            find=self._serving,
            order=lambda found: ordered(found, facts, strategy, world.store),
            keep=partial(world.pins.only, socket.ids) if socket.ids else None,
            health=world.health,
        )
        return self._tried(search, self._by_candidate)

    def _serving(self, model: str) -> list[Choice[Candidate]]:
        socket, trip = self.socket, self.trip
        assert socket is not None
        only, sibling = trip.endpoint.provider or socket.provider, socket.as_sibling()
        if model:
            found = siblings.serving(sibling, model, trip.config, only)
        elif only is None and socket.api == "responses":
            found = _only_provider(trip.config)
        else:
            found = siblings.one_provider(sibling, trip.config, only)
        return [
            Choice(
                provider=one.provider,
                credential=one.credential.name if one.credential else None,
                model=one.model,
                weight=one.options.weight,
                value=one,
                has_credential=one.credential is not None,
            )
            for one in found
        ]

    def _by_candidate(self, found: Found[Candidate], number: int) -> Steps:
        chosen, socket = found.choice.value, self.socket
        assert socket is not None
        refuse_live(self.trip.config, chosen.options, chosen.provider)
        if chosen.credential is not None:
            socket = replace(socket, query=sockets.without_keys(socket.query))
        dialect = siblings.dialect_at(socket.as_sibling(), chosen)
        asked = replace(self.trip.asked, dialect=socket.dialect)
        call = Call(dialect=dialect, task="other", path=socket.path, query=socket.query)
        planned = plan.towards(asked, chosen, call, self.trip.config, number, url=socket.url(chosen))
        planned = replace(planned, attempt=replace(planned.attempt, model=chosen.model or None))
        told = (translated.model_header(chosen.model),) if chosen.model else ()
        return self._attempt(planned, socket.dialect, told, spelling(self.trip.config, chosen, socket.model))

    def to_provider(self, provider: str) -> Steps:
        """An endpoint of kind forward that has a provider."""
        trip, world = self.trip, self.trip.world
        search: Search[Credential] = Search(
            models=[""],
            find=lambda model: plan.of_provider(provider, model, trip.config),
            order=lambda found: ordered(found, Facts(), "round-robin", world.store),
            health=world.health,
        )
        path, mark, query = trip.asked.rest.partition(b"?")
        asked = replace(trip.asked, rest=path + mark + sockets.without_keys(query))

        def make(found: Found[Credential], number: int) -> Steps:
            refuse_live(trip.config, found.choice.value, provider)
            planned = plan.forward(asked, found.choice.value, trip.config, number)
            return self._attempt(planned, asked.dialect)

        return self._tried(search, make)

    def forwarded(self) -> Steps:
        """An endpoint of kind forward: one attempt, and every refusal is passed on."""
        planned = plan.forward(self.trip.asked, None, self.trip.config)
        return self._sent(planned)

    def through_cloudflare(self) -> Steps:
        """An endpoint of kind cloudflare: gateways and the provider's credentials in their turn."""
        trip, world = self.trip, self.trip.world
        asked = replace(trip.asked, model=trip.kept.model)
        search: Search[plan.Way] = Search(
            models=[asked.model or ""],
            find=lambda model: sockets.through_cloudflare(asked, self.socket, trip.config),
            order=lambda found: plan.in_turn(found, world.store),
            health=world.health,
        )

        def make(found: Found[plan.Way], number: int) -> Steps:
            refuse_live(trip.config, found.choice.value.credential, found.choice.provider)
            planned = sockets.by_way(asked, self.socket, found.choice.value, trip.config, number)
            return self._attempt(planned, asked.dialect, (), self._without_segment(planned))

        return self._tried(search, make)

    def _tried[T](self, search: Search[T], make: Make[T]) -> Steps:
        trip, world = self.trip, self.trip.world
        tries = Tries(
            exchange_id=trip.request.id,
            search=search,
            make=make,
            retry=trip.config.retry,
            health=world.health,
            clock=world.clock,
            deadline_s=trip.asked.deadline_s or float("inf"),
        )
        return tries.steps()

    def _without_segment(self, planned: plan.Planned) -> Spell | None:
        """Cloudflare's names of models, which begin with their provider's."""
        asked, model = self.trip.kept.model, planned.attempt.model
        if not asked or not model or asked == model:
            return None
        return lambda name: model if name == asked else name

    def _attempt(
        self, planned: plan.Planned, dialect: Dialect, told: Headers = (), spell: Spell | None = None
    ) -> Steps:
        back = Untouched(
            dialect=dialect,
            attempt=planned.attempt,
            request_id=self.trip.request.id,
            kept=self.trip.kept,
            clock=self.trip.world.clock,
            is_read=False,
            headers=told,
        )
        return back.steps(self._sent(planned, spell))

    def _sent(self, planned: plan.Planned, spell: Spell | None = None) -> Steps:
        trip, session = self.trip, self.session
        dropped = planned.attempt.drop_headers | _NOT_SENT
        if trip.endpoint.injects:
            dropped |= translated.NEVER_SENT | {PROVIDER}
        chosen = replace(planned.attempt, drop_headers=dropped)
        session.begin(chosen, spell)
        request = replace(trip.request, body=session)
        sending = outgoing(request, replace(planned, attempt=chosen))
        sending = replace(
            sending,
            headers=(*sending.headers, *self._subprotocols(is_replaced=chosen.credential is not None)),
            is_upgrade=True,
        )
        return attempt(chosen, sending, trip.world, trip.watch, trip.kept)

    def _subprotocols(self, *, is_replaced: bool) -> Headers:
        offered = subprotocols.offered(self.trip.request.headers)
        if not offered:
            return ()
        found = {key for one in offered if (key := subprotocols.key_of(one)) is not None}
        ours = {key for key in found if keys.is_ours(key, self.trip.config)}
        left = subprotocols.passed(offered, ours=ours, is_replaced=is_replaced)
        return ((b"Sec-WebSocket-Protocol", b", ".join(left)),) if left else ()
