"""By model to one of the providers, in the client's dialect where it speaks that, else translated.

What an exchange may be tried with is searched here for the endpoints that hold credentials, and each
attempt is built: the request on its way out, and the answer on its way back.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial

import orjson

from llmitm.aside import aside
from llmitm.config.endpoints import Endpoint
from llmitm.config.providers import Credential, ProviderOptions
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import Body, ClientRequest, Dialect, ResponseHead, UpstreamRequest, Watch
from llmitm.record.entry import Entry
from llmitm.route import calls, plan
from llmitm.route.calls import Call
from llmitm.route.conversation import conversation_of
from llmitm.route.pins import is_kept, named_in
from llmitm.route.plan import Asked, Way
from llmitm.route.providers import Candidate
from llmitm.route.search import Found, Search, chain, larger
from llmitm.route.strategy import ordered
from llmitm.route.strategy.facts import Facts
from llmitm.translate import peek, unasked
from llmitm.translate.beside import Beside
from llmitm.translate.cut import without_envelopes
from llmitm.translate.notes import Notes
from llmitm.trip import glanced, prepared, shaped, translated
from llmitm.trip.attempt import attempt, outgoing
from llmitm.trip.beating import Beating, silence_s
from llmitm.trip.tries import Make, Tries
from llmitm.trip.untouched import Untouched
from llmitm.world import World

type Steps = AsyncGenerator[ResponseHead | bytes]

_YES = (b"1", b"true")
_STRICT = b"x-llmitm-strict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """One exchange on its way through an endpoint. `config` is the snapshot that it began with."""

    request: ClientRequest
    asked: Asked
    endpoint: Endpoint
    config: Config
    world: World
    watch: Watch
    kept: Entry

    def by_model(self, body: bytes, wanted: translated.Wanted, models: Sequence[str]) -> Search[Candidate]:
        """Those that may be asked on an endpoint of kind gateway."""
        world, routing = self.world, self.config.routing
        conversation = ""
        if routing.strategy == "sticky":
            conversation = conversation_of(self.request.headers, body, self.kept.auth_key)
        facts = Facts(
            in_flight=world.health.in_flight,
            latency_s=world.health.latency_s,
            usd_per_mtok=lambda choice: world.prices.usd_per_mtok(choice.provider, choice.model),
            conversation=conversation,
        )
        return Search(
            models=models,
            larger_models=[one for one in larger(wanted.models, routing) if self.is_allowed(one)],
            find=lambda model: plan.of_model(model, self.asked.endpoint, self.config),
            order=lambda found: ordered(found, facts, routing.strategy, world.store),
            keep=partial(world.pins.only, named) if (named := named_in(body, self.asked.dialect)) else None,
            health=world.health,
        )

    async def gateway(self, call: Call, body: bytes, wanted: translated.Wanted) -> Steps:
        """An endpoint of kind gateway.

        Raises:
            Refused: 403, none of the models may be used; else as `Tries.steps`.
            Missed: as `Tries.steps`.
        """
        routing = self.config.routing
        models = await chain(wanted.models, routing, self.world.store, self.is_allowed)
        if not models:
            raise Refused(403, "model_not_allowed", "This model may not be used here.")
        search = await aside(len(body), self.by_model, body, wanted, models)
        if wanted.has_list:
            named = {"models": None, "model": orjson.dumps(wanted.models[0])}
            body = await aside(len(body), peek.edit, body, named)
        is_events = wanted.is_stream and not call.is_json_array
        asked = replace(
            self.asked,
            dialect=call.dialect,
            drop_headers=self.asked.drop_headers | translated.NEVER_SENT,
            silence_s=silence_s(self.config.streaming, call.dialect) if is_events else None,
        )

        def make(found: Found[Candidate], number: int) -> Steps:
            return self.by_candidate(found, number, call, body, wanted, asked)

        steps = self.tried(search, make, call.dialect, is_events=is_events, size_bytes=len(body))
        async with aclosing(steps):
            async for step in steps:
                yield step

    def by_candidate(
        self,
        found: Found[Candidate],
        number: int,
        call: Call,
        body: bytes,
        wanted: translated.Wanted,
        asked: Asked,
    ) -> Steps:
        """The steps of one attempt.

        Raises:
            Refused: the request cannot be said to this one.
        """
        request, config, world, kept = self.request, self.config, self.world, self.kept
        chosen = found.choice.value
        is_strict = self.is_strict(chosen.options)
        shaping = self.shaping(
            call, chosen.provider, chosen.options, wanted.models[0], chosen.model, is_strict=is_strict
        )
        if shaping is not None:
            body = shaping.before(body)
        asking_for, made = prepared.prepare(
            call,
            body,
            found.asked_model,
            chosen,
            config=config,
            is_strict=is_strict,
            request_id=request.id,
            now_s=world.clock.now_s(),
        )
        if made is not None:
            planned = plan.towards(asked, chosen, asking_for, config, number)
            sending = translated.outgoing(request, planned, made, config, chosen.options.api_version)
            if shaping is not None:
                sending = shaping.after(sending, planned.attempt, asking_for)
                made.notes.add(shaping.notes)
            back = translated.Back(
                made=made,
                attempt=planned.attempt,
                request_id=request.id,
                kept=kept,
                clock=world.clock,
                limit_bytes=config.server.body_limit_bytes,
                passing=config.passing if config.passthrough_headers else None,
            )
            steps = attempt(planned.attempt, sending, world, self.watch, kept)
            return back.steps(steps if shaping is None else shaping.back(steps))
        planned = plan.towards(asked, chosen, call, config, number)
        sent = prepared.native(call, without_envelopes(call.dialect, body), chosen)
        if call.model is None and chosen.model != wanted.models[0]:
            sent = peek.replace_member(sent, "model", chosen.model)
        asking = None
        if call.dialect is Dialect.OPENAI_CHAT and wanted.is_stream and config.streaming.ask_usage:
            if chosen.has_stream_options and call.task in ("generate", "complete"):
                asking = unasked.asking(sent)
        planned = translated.with_version(request, planned, call.dialect)
        reader = prepared.READERS.get(call.task)
        sending = outgoing(request, planned, asking or sent, decodable=reader is not None)
        if shaping is not None:
            sending = shaping.after(sending, planned.attempt)
        untouched = Untouched(
            dialect=call.dialect,
            attempt=planned.attempt,
            request_id=request.id,
            kept=kept,
            clock=world.clock,
            is_read=reader is not None,
            reader=reader or Beside,
            is_events_only=call.is_json_array,
            is_held=config.streaming.bootstrap,
            headers=(translated.model_header(chosen.model), *shaped.told(shaping)),
            warnings=shaping.notes.codes() if shaping else (),
            without=unasked.Without() if asking else None,
            learn_id=partial(world.pins.pin, choice=found.choice) if is_kept(body, call.dialect) else None,
        )
        steps = attempt(planned.attempt, sending, world, self.watch, kept)
        steps = untouched.steps(steps if shaping is None else shaping.back(steps))
        return (
            glanced.glanced(steps, kept, planned.attempt, call, is_read=True) if call.is_json_array else steps
        )

    async def cloudflare(
        self, body: bytes, *, is_chat: bool, named: Callable[[str | None], Body] | None = None
    ) -> Steps:
        """An endpoint of kind cloudflare: gateways and the provider's credentials in their turn.

        `named` makes the body that is sent where it is no JSON, from the model's name as this way spells it.
        """
        config, world, asked = self.config, self.world, self._asked_of_others()
        search: Search[Way] = Search(
            models=[asked.model or ""],
            find=lambda model: plan.through_cloudflare(asked, config),
            order=lambda found: plan.in_turn(found, world.store),
            health=world.health,
        )
        call = calls.find(self.asked.rest)

        def make(found: Found[Way], number: int) -> Steps:
            way = found.choice.value
            planned = plan.by_way(asked, way, config, number)
            model = (planned.model or asked.model or "").removeprefix(f"{way.segment}/")
            shaping = self.shaping(
                call,
                found.choice.provider,
                way.credential,
                asked.model,
                model,
                is_strict=self.is_strict(way.credential),
            )
            if named is not None:
                sending = outgoing(replace(self.request, body=named(planned.model)), planned)
                return self._passing(planned, sending, shaping, is_read=False)
            sent = body if shaping is None else shaping.before(body)
            if planned.model is not None:
                sent = peek.replace_member(sent, "model", planned.model)
            sending = outgoing(self.request, planned, sent, decodable=is_chat)
            steps = self._passing(planned, sending, shaping, is_read=is_chat)
            return steps if is_chat else glanced.glanced(steps, self.kept, planned.attempt, call)

        tried = self.tried(search, make, self.asked.dialect, is_events=None, size_bytes=len(body))
        async with aclosing(tried) as steps:
            async for step in steps:
                yield step

    async def provider(self, provider: str) -> Steps:
        """An endpoint of kind forward that has a provider: its credentials in their turn."""
        config, world, asked = self.config, self.world, self._asked_of_others()
        search: Search[Credential] = Search(
            models=[""],
            find=lambda model: plan.of_provider(provider, model, config),
            order=lambda found: ordered(found, Facts(), "round-robin", world.store),
            health=world.health,
        )

        call = calls.find(self.asked.rest) if self.request.method == "POST" else None
        is_read = call is not None and call.task == "generate"

        def make(found: Found[Credential], number: int) -> Steps:
            credential = found.choice.value
            planned = plan.forward(asked, credential, config, number)
            is_strict = self.is_strict(credential)
            shaping = self.shaping(call, provider, credential, None, None, is_strict=is_strict)
            held = self.request.body.held
            sent = held if shaping is None or held is None else shaping.before(held)
            sending = outgoing(self.request, planned, None if sent is held else sent)
            steps = self._passing(planned, sending, shaping, is_read=is_read, is_events_only=True)
            return glanced.glanced(steps, self.kept, planned.attempt, call, is_read=is_read)

        size_bytes = len(self.request.body.held or b"")
        tried = self.tried(search, make, self.asked.dialect, is_events=None, size_bytes=size_bytes)
        async with aclosing(tried) as steps:
            async for step in steps:
                yield step

    def shaping(
        self,
        call: Call | None,
        provider: str,
        options: ProviderOptions | None,
        asked_model: str | None,
        model: str | None,
        *,
        is_strict: bool = False,
    ) -> shaped.Shaping | None:
        if not shaped.is_configured(self.config, options):
            return None
        about = shaped.About(
            request=self.request,
            asked=self.asked,
            call=call,
            provider=provider,
            options=options,
            asked_model=asked_model,
            model=model,
            auth_key=self.kept.auth_key,
            is_strict=is_strict,
        )
        return shaped.Shaping(about=about, config=self.config, notes=Notes())

    def _passing(
        self,
        planned: plan.Planned,
        sending: UpstreamRequest,
        shaping: shaped.Shaping | None,
        *,
        is_read: bool,
        is_events_only: bool = False,
    ) -> Steps:
        if shaping is not None:
            sending = shaping.after(sending, planned.attempt)
        back = Untouched(
            dialect=self.asked.dialect,
            attempt=planned.attempt,
            request_id=self.request.id,
            kept=self.kept,
            clock=self.world.clock,
            is_read=is_read,
            is_events_only=is_events_only,
            is_held=self.config.streaming.bootstrap,
            headers=shaped.told(shaping),
            warnings=shaping.notes.codes() if shaping else (),
        )
        steps = attempt(planned.attempt, sending, self.world, self.watch, self.kept)
        return back.steps(steps if shaping is None else shaping.back(steps))

    async def tried[T](
        self, search: Search[T], make: Make[T], dialect: Dialect, *, is_events: bool | None, size_bytes: int
    ) -> Steps:
        """The steps of the one that answers, with heartbeats where `is_events` says how the client waits.
        `size_bytes`: of what attempts are made of."""
        config, world = self.config, self.world
        hedge_ms = config.routing.hedge_after_ms
        is_held = self.request.body.held is not None
        tries = Tries(
            exchange_id=self.request.id,
            search=search,
            make=make,
            retry=config.retry if is_held else config.retry.model_copy(update={"max_attempts": 1}),
            health=world.health,
            clock=world.clock,
            deadline_s=self.asked.deadline_s or float("inf"),
            hedge_s=hedge_ms / 1000 if hedge_ms and is_held else None,
            size_bytes=size_bytes,
        )
        steps = tries.steps()
        if is_events is not None:
            beating = Beating(
                dialect=dialect, is_events=is_events, streaming=config.streaming, clock=world.clock
            )
            steps = beating.steps(steps)
        async with aclosing(steps):
            async for step in steps:
                yield step

    def is_strict(self, options: ProviderOptions | None) -> bool:
        """Whether what would be told in a warning refuses the request."""
        is_set = self.endpoint.strict or (options is not None and options.strict)
        return is_set or self.request.header(_STRICT) in _YES

    def _asked_of_others(self) -> Asked:
        """As it was asked, without the header that is meant for us."""
        if self.request.header(_STRICT) is None:
            return self.asked
        return replace(self.asked, drop_headers=self.asked.drop_headers | {_STRICT})

    def is_allowed(self, model: str) -> bool:
        """Whether endpoint and client's key let this model be asked for."""
        return is_allowed(model, self.endpoint, self.kept.auth_key, self.config)


def is_allowed(model: str, endpoint: Endpoint, auth_key: str | None, config: Config) -> bool:
    key = None if auth_key is None else config.auth_keys_by_name.get(auth_key)
    return all(
        not globs or any(fnmatchcase(model, glob) for glob in globs)
        for globs in (endpoint.allowed_models, key.allowed_models if key else ())
    )
