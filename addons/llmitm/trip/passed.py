"""Calls beside those of models on an endpoint that routes: passed to the one provider that speaks them.

What is made there (files, batches) is kept by one account, and goes back to it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from llmitm.errors import Refused
from llmitm.exchange import HeldBody, ResponseHead
from llmitm.route import calls, plan, siblings
from llmitm.route.calls import Call
from llmitm.route.choice import Choice
from llmitm.route.providers import Candidate
from llmitm.route.search import Found, Search, chain
from llmitm.route.siblings import Sibling
from llmitm.route.strategy import ordered
from llmitm.route.strategy.facts import Facts
from llmitm.trip import carried, shaped, translated
from llmitm.trip.attempt import attempt, outgoing
from llmitm.trip.carried import Carried
from llmitm.trip.cloaked import unread
from llmitm.trip.respelled import spelling
from llmitm.trip.returned import Back
from llmitm.trip.routed import Trip
from llmitm.trip.tries import Tries
from llmitm.trip.untouched import Untouched

type Steps = AsyncGenerator[ResponseHead | bytes]

PROVIDER: Final = b"x-llmitm-provider"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """A call that is about to be passed."""

    steps: Steps
    models: tuple[str, ...]
    sample: bytes
    """What limits of tokens guess from."""
    max_output_tokens: int | None


async def begin(trip: Trip) -> Passing | None:
    """None where the path is no such call.

    Raises:
        Refused: the request names nobody who could answer, or cannot be understood.
    """
    request, endpoint = trip.request, trip.endpoint
    allowed = carried.allowed_paths(trip)
    sibling = siblings.find(
        request.method, trip.asked.rest, trip.asked.dialect, header=request.header(PROVIDER), allowed=allowed
    )
    if sibling is None:
        return None
    if endpoint.provider and sibling.provider and endpoint.provider != sibling.provider:
        raise Refused(400, "unknown_provider", f"This endpoint's provider is {endpoint.provider}.")
    sent = await carried.read(sibling, trip)
    carried.check(sent.models, trip, is_named=siblings.is_named(trip.asked.rest, allowed))
    trip.kept.model = sent.model
    passed = _Passed(trip=trip, sibling=sibling, carried=sent)
    is_free = sibling.is_kept or not carried.has_body(sent.body)
    return Passing(
        steps=passed.steps(),
        models=sent.models,
        sample=b"" if is_free else sent.sample,
        max_output_tokens=0 if is_free else None,
    )


async def through_cloudflare(trip: Trip) -> Passing | None:
    """A body that is no JSON, such as a form, through one of Cloudflare's gateways; None where it is none."""
    request = trip.request
    kind = (request.header(b"content-type") or b"").strip()
    is_form = kind.lower().startswith(b"multipart/form-data")
    is_binary = kind.lower().startswith((b"audio/", b"image/", b"video/", b"application/octet-stream"))
    if not (is_form or is_binary) or calls.find(trip.asked.rest) is not None:
        return None
    if not carried.has_body(request.body):
        return None
    if is_form:
        sent = await carried.read_form(kind, trip)
    else:
        sent = Carried(body=await carried.held_if_short(trip))
    named = siblings.is_named(trip.asked.rest, carried.allowed_paths(trip))
    carried.check(sent.models, trip, is_named=named)
    trip.kept.model = sent.model
    asked = replace(trip.asked, model=sent.model)
    trip = replace(trip, request=replace(request, body=sent.body), asked=asked)
    return Passing(
        steps=trip.cloudflare(b"", is_chat=False, named=lambda model: sent.named(model or "")),
        models=sent.models,
        sample=sent.sample,
        max_output_tokens=None,
    )


@dataclass(slots=True, kw_only=True)
class _Passed:
    """One call on its way."""

    trip: Trip
    sibling: Sibling
    carried: Carried
    only: str | None = field(init=False)
    is_anybodys: bool = False
    """Ids are named that no account is known to know."""

    def __post_init__(self) -> None:
        self.only = self.trip.endpoint.provider or self.sibling.provider

    async def steps(self) -> Steps:
        trip, world = self.trip, self.trip.world
        retry = trip.config.retry
        if self.carried.body.held is None:
            retry = retry.model_copy(update={"max_attempts": 1})
        tries = Tries(
            exchange_id=trip.request.id,
            search=await self._search(),
            make=self._make,
            retry=retry,
            health=world.health,
            clock=world.clock,
            deadline_s=trip.asked.deadline_s or float("inf"),
            size_bytes=len(self.carried.body.held or b""),
        )
        async with aclosing(tries.steps()) as steps:
            async for step in steps:
                yield step

    async def _search(self) -> Search[Candidate]:
        trip, world, sibling = self.trip, self.trip.world, self.sibling
        names = (*sibling.ids, *self.carried.ids)
        models: Sequence[str] = [""]
        if self.carried.model is not None:
            models = await chain([self.carried.model], trip.config.routing, world.store, trip.is_allowed)
        # all that one client makes lies in one account, where it can be listed and put together
        strategy = "sticky" if sibling.is_kept else trip.config.routing.strategy
        facts = Facts(
            in_flight=world.health.in_flight,
            latency_s=world.health.latency_s,
            usd_per_mtok=lambda choice: world.prices.usd_per_mtok(choice.provider, choice.model),
            conversation=f"made by {trip.kept.auth_key or ''}",
        )
        pinned = await self._pinned(names) if names else None
        self.is_anybodys = bool(sibling.ids) and pinned is None
        return Search(
            models=models,
            find=partial(self._find, pinned=pinned),
            order=lambda found: ordered(found, facts, strategy, world.store),
            keep=partial(world.pins.only, names) if names else None,
            health=world.health,
        )

    async def _pinned(self, names: Sequence[str]) -> list[Choice[Candidate]] | None:
        """The account that knows one of the names; None where nobody is known to."""
        every = [
            _choice(one, self.sibling.kind)
            for one in siblings.speakers(self.sibling, self.trip.config, self.only)
        ]
        found = await self.trip.world.pins.only(names, every)
        return found if len(found) < len(every) else None

    def _find(self, model: str, *, pinned: list[Choice[Candidate]] | None) -> list[Choice[Candidate]]:
        config = self.trip.config
        if model:
            found = siblings.serving(self.sibling, model, config, self.only)
        elif pinned is not None:
            return pinned
        else:
            found = siblings.one_provider(self.sibling, config, self.only)
        return [_choice(one, self.sibling.kind) for one in found]

    def _make(self, found: Found[Candidate], number: int) -> Steps:
        trip, sibling, chosen = self.trip, self.sibling, found.choice.value
        dialect = siblings.dialect_at(sibling, chosen)
        client = sibling.dialect
        asked = replace(
            trip.asked,
            dialect=client,
            drop_headers=trip.asked.drop_headers | translated.NEVER_SENT | {PROVIDER},
        )
        call = Call(dialect=dialect, task="other", path=sibling.path.encode("latin-1"), query=sibling.query)
        planned = plan.towards(
            asked, chosen, call, trip.config, number, url=siblings.url_of(sibling, chosen, dialect)
        )
        planned = translated.with_version(trip.request, planned, dialect)
        planned = replace(planned, attempt=replace(planned.attempt, model=chosen.model or None))
        is_told = self.carried.is_json or not carried.has_body(self.carried.body)
        shaping = self._shaping(call, chosen) if is_told else None
        spell = spelling(trip.config, chosen, self.carried.model) if self.carried.is_batch else None
        body = self.carried.named(chosen.model) if spell is None else self.carried.respelled(spell)
        if shaping is not None and body.held:
            body = HeldBody(shaping.before(body.held))
        is_read = not sibling.path.endswith(("/content", ":download", "/audio/speech"))
        sending = outgoing(replace(trip.request, body=body), planned, decodable=is_read)
        if shaping is not None:
            sending = shaping.after(sending, planned.attempt)
            notes = shaping.notes
        else:
            notes = unread(trip.config, chosen.options, chosen.provider, sending)
            if spell is not None and body.held is None:  # names of models in it stay as the client wrote them
                notes.lost("batch-models")
            if trip.is_strict(chosen.options):
                notes.refuse_strictly()
        model = (translated.model_header(chosen.model),) if chosen.model else ()
        untouched = Untouched(
            dialect=client,
            attempt=planned.attempt,
            request_id=trip.request.id,
            kept=trip.kept,
            clock=trip.world.clock,
            is_read=False,
            headers=(*model, *shaped.warned(notes)),
            warnings=notes.codes(),
        )
        steps = attempt(planned.attempt, sending, trip.world, trip.watch, trip.kept)
        steps = untouched.steps(steps if shaping is None else shaping.back(steps))
        back = Back(
            trip=trip,
            sibling=sibling,
            attempt=planned.attempt,
            choice=found.choice,
            is_anybodys=self.is_anybodys,
        )
        return back.steps(steps)

    def _shaping(self, call: Call, chosen: Candidate) -> shaped.Shaping | None:
        trip = self.trip
        asked = self.carried.model
        return trip.shaping(
            call,
            chosen.provider,
            chosen.options,
            asked,
            chosen.model or None,
            is_strict=trip.is_strict(chosen.options),
        )


def _choice(one: Candidate, kind: str) -> Choice[Candidate]:
    return Choice(
        provider=one.provider,
        credential=one.credential.name if one.credential else None,
        # a key that is refused for files, or has asked for too many, still serves models
        model=one.model or f"[{kind}]",
        weight=one.options.weight,
        value=one,
        has_credential=one.credential is not None,
    )
