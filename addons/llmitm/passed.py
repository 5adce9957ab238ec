"""Calls beside those of models on an endpoint that routes: passed to the one provider that speaks them.

What is made there (files, batches) is kept by one account, and goes back to it. Bodies are read as far as
routing needs them: JSON whole, forms as they go by, all else not at all.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import orjson

from llmitm import shaped, translated
from llmitm.accept import tickets
from llmitm.attempt import attempt, outgoing
from llmitm.errors import Failure, Refused, too_large
from llmitm.exchange import Attempt, Body, HeldBody, ResponseHead
from llmitm.missed import Missed
from llmitm.route import calls, plan, siblings
from llmitm.route.calls import Call
from llmitm.route.choice import Choice
from llmitm.route.multipart import Field, FormReader, boundary_of
from llmitm.route.pins import bare, made_in, named_in
from llmitm.route.providers import Candidate
from llmitm.route.search import Found, Search, chain
from llmitm.route.siblings import Sibling
from llmitm.route.strategy import ordered
from llmitm.route.strategy.facts import Facts
from llmitm.route.verdict import Ending
from llmitm.routed import Trip
from llmitm.translate import peek
from llmitm.translate.metered import Batch, Lines, Meter, Tail
from llmitm.tries import Tries
from llmitm.untouched import Untouched

type Steps = AsyncGenerator[ResponseHead | bytes]

PROVIDER: Final = b"x-llmitm-provider"
HELD_BYTES: Final = 1_048_576
"""Bodies up to this size are held, so that they can be sent again; of longer forms, so much is read for the
model's name."""
LEARN_BYTES: Final = 1_048_576
"""Of an answer that names what was made."""
_UPLOAD_HEADERS: Final = frozenset({b"x-goog-upload-url", b"x-goog-upload-control-url"})
_METERED: Final = frozenset({"images", "speech", "transcriptions", "rerank", "moderations"})
_UNSENT: Final = frozenset(
    {Failure.REFUSED, Failure.DNS, Failure.TLS, Failure.PROXY, Failure.CONNECT_TIMEOUT}
)


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
    key = next((one for one in trip.config.auth_keys or () if one.name == trip.kept.auth_key), None)
    allowed = (*endpoint.allowed_paths, *(key.allowed_paths if key else ()))
    sibling = siblings.find(
        request.method, trip.asked.rest, trip.asked.dialect, header=request.header(PROVIDER), allowed=allowed
    )
    if sibling is None:
        return None
    if endpoint.provider and sibling.provider and endpoint.provider != sibling.provider:
        raise Refused(400, "unknown_provider", f"This endpoint's provider is {endpoint.provider}.")
    carried = await _read(sibling, trip)
    _check(carried.models, trip, is_named=siblings.is_named(trip.asked.rest, allowed))
    trip.kept.model = carried.model
    passed = _Passed(trip=trip, sibling=sibling, carried=carried)
    is_free = sibling.is_kept or not carried.body.length
    return Passing(
        steps=passed.steps(),
        models=carried.models,
        sample=b"" if is_free else carried.sample,
        max_output_tokens=0 if is_free else None,
    )


async def through_cloudflare(trip: Trip) -> Passing | None:
    """A body that is no JSON, such as a form, through one of Cloudflare's gateways; None where it is none."""
    request = trip.request
    kind = (request.header(b"content-type") or b"").strip()
    is_form = kind.lower().startswith(b"multipart/form-data")
    is_binary = kind.lower().startswith((b"audio/", b"image/", b"video/", b"application/octet-stream"))
    if not (is_form or is_binary) or not _has_body(request.body) or calls.find(trip.asked.rest) is not None:
        return None
    if is_form:
        carried = await _read_form(boundary_of(kind), trip)
    else:
        carried = _Carried(body=await _held_if_short(trip))
    trip.kept.model = carried.model
    asked = replace(trip.asked, model=carried.model)
    trip = replace(trip, request=replace(request, body=carried.body), asked=asked)
    return Passing(
        steps=trip.cloudflare(b"", is_chat=False, named=lambda model: carried.named(model or "")),
        models=carried.models,
        sample=carried.sample,
        max_output_tokens=None,
    )


def _has_body(body: Body) -> bool:
    return body.held != b"" and body.length != 0


def _check(models: Sequence[str], trip: Trip, *, is_named: bool) -> None:
    """Who may ask for certain models only cannot get round that by asking for none."""
    if models and not all(trip.is_allowed(one) for one in models):
        raise Refused(403, "model_not_allowed", "This model may not be used here.")
    if not models and not is_named and not trip.is_allowed(""):
        raise Refused(
            403,
            "path_not_allowed",
            "Only certain models may be used here, and this request names none; allowed_paths of the "
            "endpoint or the key can let this path pass.",
        )


# -- what the client sends


@dataclass(frozen=True, slots=True, kw_only=True)
class _Carried:
    """The client's body, as far as it is known."""

    body: Body
    model: str | None = None
    models: tuple[str, ...] = ()
    """All that are named."""
    ids: tuple[str, ...] = ()
    """That one account may know alone."""
    field: Field | None = None
    """Where a form names the model."""
    is_json: bool = False
    """It is an object, and held."""
    has_model: bool = False
    """The object names the model."""

    @property
    def sample(self) -> bytes:
        held = self.body.held
        return b"form" if held is None or not self.is_json else held

    def named(self, model: str) -> Body:
        """The body, with the model as a provider spells it."""
        if not model or model == self.model or self.model is None:
            return self.body
        if isinstance(self.body, _Form):
            return self.body.renamed(model)
        held = self.body.held or b""
        if self.field is not None:
            return HeldBody(held[: self.field.start] + model.encode() + held[self.field.end :])
        has_model = self.is_json and self.has_model
        return HeldBody(peek.replace_member(held, "model", model)) if has_model else self.body


async def _read(sibling: Sibling, trip: Trip) -> _Carried:
    body, form = trip.request.body, sibling.form
    kind = (trip.request.header(b"content-type") or b"").strip()
    is_form = kind.lower().startswith(b"multipart/form-data")
    model = sibling.model
    models = (model,) if model else ()
    if form == "none" or (form == "any" and not _has_body(body)):
        return _Carried(body=body, model=model, models=models)
    if form == "bytes":
        return _Carried(body=await _held_if_short(trip))
    if form == "multipart" and not is_form:
        raise Refused(400, "invalid_multipart", "This path takes a form: Content-Type: multipart/form-data.")
    is_json = form == "json" or (not is_form and (form == "either" or b"json" in kind.lower()))
    if (is_form or is_json) and trip.request.header(b"content-encoding") not in (None, b"", b"identity"):
        raise Refused(415, "unsupported_encoding", "Send the request's body uncompressed to this endpoint.")
    if is_form and form != "json":
        return await _read_form(boundary_of(kind), trip)
    if is_json:
        return await _read_json(sibling, trip)
    return _Carried(body=await _held_if_short(trip), model=model, models=models)


async def _held_if_short(trip: Trip) -> Body:
    length = trip.request.body.length
    if length is not None and length <= HELD_BYTES:
        await _whole(trip, HELD_BYTES)
    return trip.request.body


async def _whole(trip: Trip, limit_bytes: int) -> bytes:
    body = await trip.request.body.whole(limit_bytes)
    trip.kept.took(body, trip.world.clock)
    return body


async def _read_json(sibling: Sibling, trip: Trip) -> _Carried:
    body = await _whole(trip, trip.config.server.body_limit_bytes)
    seen = peek.peek(body)
    if seen is None:
        raise Refused(400, "invalid_json", "The request's body is not a JSON object.")
    model = sibling.model or (seen.model.removeprefix("models/") if seen.model else None)
    models = (model,) if model else _models_of_batch(sibling, body)
    return _Carried(
        body=trip.request.body,
        model=model or (models[0] if models else None),
        models=models,
        ids=tuple(named_in(body, is_call=False)),
        is_json=True,
        has_model=model is not None and sibling.model is None,
    )


def _models_of_batch(sibling: Sibling, body: bytes) -> tuple[str, ...]:
    """Those of Anthropic's batches, whose requests name one each; they are sent as they are."""
    if sibling.kind != "batches":
        return ()
    match orjson.loads(body):
        case {"requests": list() as requests}:
            named = (one.get("params") for one in requests if isinstance(one, dict))
            models = (one.get("model") for one in named if isinstance(one, dict))
            return tuple(dict.fromkeys(one for one in models if isinstance(one, str)))
        case _:
            return ()


async def _read_form(boundary: bytes, trip: Trip) -> _Carried:
    body = trip.request.body
    reader = FormReader(boundary)
    if body.held is not None or (body.length is not None and body.length <= HELD_BYTES):
        reader.feed(await _whole(trip, max(HELD_BYTES, body.length or 0)))
        reader.finish()
        found: Body = body
    else:
        found = _Form(body, reader)
        await found.begin()
        trip.kept.request_bytes = body.length or 0
    model = reader.model.value if reader.model else None
    return _Carried(body=found, model=model, models=(model,) if model else (), field=reader.model)


class _Form:
    """A long form on its way: an `exchange.Body` that is checked as it goes by. It is read once."""

    def __init__(self, body: Body, reader: FormReader) -> None:
        self._body = body
        self._reader = reader
        self._rest = body.pieces()
        self._begun = b""
        self._change: tuple[Field, bytes] | None = None
        self.held: bytes | None = None

    @property
    def length(self) -> int | None:
        if self._body.length is None or self._change is None:
            return self._body.length
        was, now = self._change
        return self._body.length + len(now) - (was.end - was.start)

    async def begin(self) -> None:
        """Reads as far as the model's name, or as long as it is worth waiting for."""
        begun = bytearray()
        while self._reader.model is None and not self._reader.is_over and len(begun) < HELD_BYTES:
            try:
                piece = await anext(self._rest)
            except StopAsyncIteration:
                self._reader.finish()
                break
            begun += piece
            self._reader.feed(piece)
        self._begun = bytes(begun)

    def renamed(self, model: str) -> Body:
        if self._reader.model is not None:
            self._change = self._reader.model, model.encode()
        return self

    async def pieces(self) -> AsyncIterator[bytes]:
        """The last piece is only given out once the form has come to its proper end."""
        if self._change is None:
            last = self._begun
        else:
            was, now = self._change
            last = self._begun[: was.start] + now + self._begun[was.end :]
        self._begun = b""
        async for piece in self._rest:
            self._reader.feed(piece)
            if last:
                yield last
            last = piece
        self._reader.finish()
        if last:
            yield last

    async def whole(self, limit_bytes: int) -> bytes:
        if self.held is None:
            collected = bytearray()
            async for piece in self.pieces():
                collected += piece
                if len(collected) > limit_bytes:
                    raise too_large(limit_bytes)
            self.held = bytes(collected)
        return self.held


# -- who is asked, and what comes back


@dataclass(slots=True, kw_only=True)
class _Passed:
    """One call on its way."""

    trip: Trip
    sibling: Sibling
    carried: _Carried
    only: str | None = field(init=False)

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
        return Search(
            models=models,
            find=partial(self._find, pinned=await self._pinned(names) if names else None),
            order=lambda found: ordered(found, facts, strategy, world.store),
            keep=partial(world.pins.only, names) if names else None,
            health=world.health,
        )

    async def _pinned(self, names: Sequence[str]) -> list[Choice[Candidate]] | None:
        """The account that knows one of the names; None where nobody is known to."""
        every = [_choice(one) for one in siblings.speakers(self.sibling, self.trip.config, self.only)]
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
        return [_choice(one) for one in found]

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
        shaping = self._shaping(call, chosen) if self.carried.is_json else None
        body = self.carried.named(chosen.model)
        if shaping is not None and body.held:
            body = HeldBody(shaping.before(body.held))
        is_read = not sibling.path.endswith(("/content", ":download", "/audio/speech"))
        sending = outgoing(replace(trip.request, body=body), planned, decodable=is_read)
        if shaping is not None:
            sending = shaping.after(sending, planned.attempt)
        model = (translated.model_header(chosen.model),) if chosen.model else ()
        untouched = Untouched(
            dialect=client,
            attempt=planned.attempt,
            request_id=trip.request.id,
            kept=trip.kept,
            clock=trip.world.clock,
            is_read=False,
            headers=(*model, *shaped.told(shaping)),
            warnings=shaping.notes.codes() if shaping else (),
        )
        steps = attempt(planned.attempt, sending, trip.world, trip.watch, trip.kept)
        steps = untouched.steps(steps if shaping is None else shaping.back(steps))
        back = _Back(passed=self, attempt=planned.attempt, choice=found.choice, base=chosen.base)
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


@dataclass(slots=True, kw_only=True)
class _Back:
    """The way back of one attempt."""

    passed: _Passed
    attempt: Attempt
    choice: Choice[Candidate]
    base: str
    _meter: Meter | None = None

    async def steps(self, steps: Steps) -> Steps:
        """What the client is told.

        Raises:
            Missed: as `Untouched.steps`.
        """
        async with aclosing(steps):
            try:
                head = await anext(steps)
            except Missed as missed:
                self._missed(missed)
                raise
            assert isinstance(head, ResponseHead)
            self._meter = self._meter_of(head)
            head, begun = await self._learned(head, steps)
            self._feed(head.whole or begun)
            yield head
            if begun:
                yield begun
            async for step in steps:
                assert isinstance(step, bytes)
                self._feed(step)
                yield step
            await self._count()

    def _missed(self, missed: Missed) -> None:
        """What may have been made although nobody said so is not made again."""
        is_unsure = missed.ending in (Ending.NETWORK, Ending.TIMEOUT) and missed.failure.code not in _UNSENT
        if self.passed.sibling.is_making and is_unsure:
            missed.ending = Ending.LATE

    async def _learned(self, head: ResponseHead, steps: Steps) -> tuple[ResponseHead, bytes]:
        """The head, and what of the body was read: whose it is that it names is known from now on."""
        sibling = self.passed.sibling
        if not sibling.is_kept or not 200 <= head.status < 300:
            return head, b""
        head = await self._upload_address(head)
        is_plain = head.header(b"content-encoding") in (None, b"", b"identity")
        if b"json" not in (head.header(b"content-type") or b"") or not is_plain or head.status == 204:
            return head, b""
        if sibling.path.endswith(("/content", "/results", ":download")):
            return head, b""
        whole = head.whole
        if whole is None:
            held = bytearray()
            async for step in steps:
                assert isinstance(step, bytes)
                held += step
                if len(held) > LEARN_BYTES:
                    return head, bytes(held)
            whole = bytes(held)
        for name in dict.fromkeys(made_in(whole)):
            await self.passed.trip.world.pins.pin(name, self.choice)
        return self._addressed(head, whole), b""

    def _addressed(self, head: ResponseHead, whole: bytes) -> ResponseHead:
        """Anthropic names the address of a batch's results; its library goes there with the client's key."""
        here = _here(self.passed.trip)
        mark = orjson.dumps(f"{self.base.removesuffix('/v1')}/v1/messages/batches/")[:-1]
        if here is None or mark not in whole:
            return replace(head, whole=whole)
        changed = whole.replace(mark, orjson.dumps(f"{here}/v1/messages/batches/")[:-1])
        headers = tuple(pair for pair in head.headers if pair[0].lower() != b"content-length")
        return replace(head, headers=headers, whole=changed)

    async def _upload_address(self, head: ResponseHead) -> ResponseHead:
        """Gemini names the address to which a file's pieces are sent; they come here, too."""
        if not self.passed.sibling.is_upload:
            return head
        trip = self.passed.trip
        here = _here(trip)
        headers: list[tuple[bytes, bytes]] = []
        for name, value in head.headers:
            if name.lower() in _UPLOAD_HEADERS and here is not None:
                address = urlsplit(value.decode("latin-1"))
                path = address.path[address.path.find("/upload/") :] if "/upload/" in address.path else None
                pairs = dict(parse_qsl(address.query))
                if path is not None and (upload_id := pairs.get("upload_id")):
                    await trip.world.pins.pin(bare(upload_id), self.choice)
                    query = tickets.added(address.query, upload_id, trip.kept.auth_key, trip.config)
                    value = f"{here}{path}?{query}".encode("latin-1")
            headers.append((name, value))
        return replace(head, headers=tuple(headers))

    def _meter_of(self, head: ResponseHead) -> Meter | None:
        sibling = self.passed.sibling
        kind = head.header(b"content-type") or b""
        is_plain = head.header(b"content-encoding") in (None, b"", b"identity")
        if head.status != 200 or not is_plain:
            return None
        if sibling.kind in _METERED and kind.startswith((b"application/json", b"text/event-stream")):
            return Tail(is_image=sibling.kind == "images")
        if sibling.kind != "batches" or sibling.form != "none" or not sibling.ids:
            return None
        return Lines(sibling.ids[0]) if sibling.path.endswith("/results") else Batch()

    def _feed(self, piece: bytes) -> None:
        if self._meter is not None and piece:
            self._meter.feed(piece)

    async def _count(self) -> None:
        """Once the answer has come whole."""
        told = self._meter.finish() if self._meter is not None else None
        kept = self.passed.trip.kept
        if told is None or (told.once and not await self.passed.trip.world.pins.is_first(told.once)):
            return
        kept.used(self.attempt, told.usage)
        if (noted := kept.of(self.attempt)) is not None:
            noted.answered = told.model


def _here(trip: Trip) -> str | None:
    """The address that the client knows this endpoint by; None where it does not say."""
    host = trip.request.header(b"host")
    if host is None:
        return None
    rest = trip.asked.rest.partition(b"?")[0]
    prefix = trip.request.path.removesuffix(rest)
    return f"{trip.request.scheme}://{host.decode('latin-1')}{prefix.decode('latin-1')}"


def _choice(one: Candidate) -> Choice[Candidate]:
    return Choice(
        provider=one.provider,
        credential=one.credential.name if one.credential else None,
        model=one.model,
        weight=one.options.weight,
        value=one,
        has_credential=one.credential is not None,
    )
