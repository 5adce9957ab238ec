"""What a client sends with a call that is passed: its body, as far as it is known before it goes on.

JSON is read whole, forms as they go by, all else not at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from llmitm.aside import aside
from llmitm.errors import Refused, too_large
from llmitm.exchange import Body, HeldBody
from llmitm.route import calls, siblings
from llmitm.route.multipart import Field, FormReader, boundary_of
from llmitm.route.pins import named_in
from llmitm.route.siblings import Sibling
from llmitm.translate import jsontext, peek
from llmitm.trip import respelled
from llmitm.trip.routed import Trip

HELD_BYTES: Final = 1_048_576
"""Bodies up to this size are held, so that they can be sent again; of longer forms, so much is read for the
model's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
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
    before_model: str = ""
    """What Gemini's names begin with there."""
    is_batch: bool = False
    """It is an object with requests of their own, or a form with a file of such."""

    @property
    def sample(self) -> bytes:
        held = self.body.held
        return b"form" if held is None or not self.is_json else held

    def respelled(self, spell: respelled.Spell) -> Body:
        """A batch, with the models of its requests as a provider spells them; as it is if it is not held."""
        held = self.body.held
        if held is None:
            return self.body
        made = (respelled.requests if self.is_json else respelled.lines)(held, spell)
        return self.body if made == held else HeldBody(made)

    def named(self, model: str) -> Body:
        """The body, with the model as a provider spells it."""
        if not model or model == self.model or self.model is None:
            return self.body
        if isinstance(self.body, _Form):
            return self.body.renamed(model)
        held = self.body.held or b""
        if self.field is not None:
            return HeldBody(held[: self.field.start] + model.encode() + held[self.field.end :])
        if not (self.is_json and self.has_model):
            return self.body
        return HeldBody(peek.replace_member(held, "model", self.before_model + model))


async def read(sibling: Sibling, trip: Trip) -> Carried:
    body, form = trip.request.body, sibling.form
    kind = (trip.request.header(b"content-type") or b"").strip()
    is_form = kind.lower().startswith(b"multipart/form-data")
    model = sibling.model
    models = (model,) if model else ()
    if form == "none" or (form == "any" and not has_body(body)):
        return Carried(body=body, model=model, models=models)
    if form == "bytes":
        return Carried(body=await held_if_short(trip))
    if form == "multipart" and not is_form:
        raise Refused(400, "invalid_multipart", "This path takes a form: Content-Type: multipart/form-data.")
    is_json = form == "json" or (not is_form and (form == "either" or b"json" in kind.lower()))
    if (is_form or is_json) and trip.request.header(b"content-encoding") not in (None, b"", b"identity"):
        raise Refused(415, "unsupported_encoding", "Send the request's body uncompressed to this endpoint.")
    if is_form and form != "json":
        return await read_form(kind, trip)
    if is_json:
        return await _read_json(sibling, trip)
    return Carried(body=await held_if_short(trip), model=model, models=models)


async def held_if_short(trip: Trip) -> Body:
    length = trip.request.body.length
    if length is not None and length <= HELD_BYTES:
        await _whole(trip, HELD_BYTES)
    else:
        trip.kept.request_bytes = length or 0
    return trip.request.body


async def _whole(trip: Trip, limit_bytes: int) -> bytes:
    body = await trip.request.body.whole(limit_bytes)
    trip.kept.took(body, trip.world.clock)
    return body


async def _read_json(sibling: Sibling, trip: Trip) -> Carried:
    body = await _whole(trip, trip.config.server.body_limit_bytes)
    return await aside(len(body), _read_object, sibling, trip, body)


def _read_object(sibling: Sibling, trip: Trip, body: bytes) -> Carried:
    seen = peek.peek(body)
    if seen is None:
        raise Refused(400, "invalid_json", "The request's body is not a JSON object.")
    prefix = "models/" if seen.model and seen.model.startswith("models/") else ""
    model = sibling.model or (seen.model.removeprefix(prefix) if seen.model else None)
    models = (model,) if model else _models_of_batch(sibling, body)
    return Carried(
        body=trip.request.body,
        model=model or (models[0] if models else None),
        models=models,
        ids=tuple(named_in(body)),
        is_json=True,
        has_model=seen.model is not None and sibling.model is None,
        before_model=prefix,
        is_batch=sibling.kind == "batches",
    )


def _models_of_batch(sibling: Sibling, body: bytes) -> tuple[str, ...]:
    """Those of Anthropic's batches, whose requests name one each."""
    if sibling.kind != "batches":
        return ()
    try:
        told = jsontext.loads_fast(body)
    except ValueError:
        raise Refused(400, "invalid_json", "The request's body cannot be read.") from None
    match told:
        case {"requests": list() as requests}:
            named = (one.get("params") for one in requests if isinstance(one, dict))
            models = (one.get("model") for one in named if isinstance(one, dict))
            return tuple(dict.fromkeys(one for one in models if isinstance(one, str)))
        case _:
            return ()


async def read_form(kind: bytes, trip: Trip) -> Carried:
    body = trip.request.body
    reader = FormReader(boundary_of(kind))
    if body.held is not None or (body.length is not None and body.length <= HELD_BYTES):
        reader.feed(await _whole(trip, max(HELD_BYTES, body.length or 0)))
        reader.finish()
        found: Body = body
    else:
        found = _Form(body, reader, check=lambda late: check((late,), trip, is_named=True))
        await found.begin()
        trip.kept.request_bytes = body.length or 0
    model = reader.model.value if reader.model else None
    return Carried(
        body=found,
        model=model,
        models=(model,) if model else (),
        field=reader.model,
        is_batch=respelled.is_batch(found.begun if isinstance(found, _Form) else body.held or b""),
    )


class _Form:
    """A long form on its way: an `exchange.Body` that is checked as it goes by. It is read once."""

    def __init__(self, body: Body, reader: FormReader, check: Callable[[str], None]) -> None:
        """`check` refuses a model whose name comes too late to be routed by."""
        self._body = body
        self._reader = reader
        self._check: Callable[[str], None] | None = check
        self._rest = body.pieces()
        self._begun = b""
        self._change: tuple[Field, bytes] | None = None
        self.held: bytes | None = None

    @property
    def length(self) -> int | None:
        if self.held is not None:
            return len(self.held)
        if self._body.length is None or self._change is None:
            return self._body.length
        was, now = self._change
        return self._body.length + len(now) - (was.end - was.start)

    @property
    def begun(self) -> bytes:
        """What was read of it by `begin`."""
        return self._begun

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
        if self._reader.model is not None:
            self._check = None

    def renamed(self, model: str) -> Body:
        if self._reader.model is not None:
            self._change = self._reader.model, model.encode()
        return self

    async def pieces(self) -> AsyncIterator[bytes]:
        """The last piece is only given out once the form has come to its proper end."""
        if self.held is not None:
            yield self.held
            return
        if self._change is None:
            last = self._begun
        else:
            was, now = self._change
            last = self._begun[: was.start] + now + self._begun[was.end :]
        self._begun = b""
        async for piece in self._rest:
            self._reader.feed(piece)
            if self._check is not None and (late := self._reader.model) is not None:
                self._check(late.value)
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


def check(models: Sequence[str], trip: Trip, *, is_named: bool) -> None:
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


async def check_passing(trip: Trip) -> None:
    """The same on endpoints that pass what comes: its JSON is read for the models that it names.

    Raises:
        Refused: 403; 413, it is too large to be read.
    """
    if trip.is_allowed(""):
        return
    request, rest = trip.request, trip.asked.rest
    models: tuple[str, ...] = ()
    call = calls.find(rest)
    if call is not None and call.model is not None:
        models = (call.model,)
    kind = (request.header(b"content-type") or b"").strip().lower()
    if has_body(request.body) and not kind.startswith(b"multipart/"):
        body = await request.body.whole(trip.config.server.body_limit_bytes)
        models += await aside(len(body), peek.named_models, body)
    is_list = calls.read_models(request.method, rest) is not None
    check(models, trip, is_named=is_list or siblings.is_named(rest, allowed_paths(trip)))


def allowed_paths(trip: Trip) -> tuple[str, ...]:
    """Globs of paths that the endpoint or the client's key lets pass."""
    name = trip.kept.auth_key
    key = None if name is None else trip.config.auth_keys_by_name.get(name)
    return (*trip.endpoint.allowed_paths, *(key.allowed_paths if key else ()))


def has_body(body: Body) -> bool:
    return body.held != b"" and body.length != 0
