"""The whole trip of an exchange: accept -> route -> translate -> send -> back -> record.

A journey takes a request value and yields a response head and then the pieces of its body. It knows
nothing of who hosts it. Two rules shape it:

- Accept once per exchange, never per attempt.
- Nothing is yielded before an upstream has answered, so that until then a failure has a real status;
  after it a failure is told as an error event where the body is an event stream, and the body is cut.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

import orjson

from llmitm import (
    __version__,
    calls_beside,
    glanced,
    listed,
    measured,
    paced,
    passed,
    realtime,
    routed,
    shaped,
    translated,
)
from llmitm.accept import endpoints, keys, limit_headers, limits, subprotocols
from llmitm.attempt import attempt, outgoing
from llmitm.errors import ClientGone, Failure, Limited, Refused, UpstreamFailed
from llmitm.exchange import ClientRequest, Dialect, Headers, Killed, ResponseHead, Usage, Watch
from llmitm.missed import Missed
from llmitm.record.bodies import Seen, Watched
from llmitm.record.entry import Entry, Outcome, entry
from llmitm.route import calls, plan, providers
from llmitm.route.search import NEVER_AGAIN
from llmitm.secret import Redactor
from llmitm.translate import peek
from llmitm.translate.failures import reason, write_error, write_error_event
from llmitm.world import World

log = logging.getLogger("llmitm")

type Steps = AsyncGenerator[ResponseHead | bytes]

PROMPT_BYTES: Final = 65_536
"""Announced bodies up to this size are read whole before they are sent: one write instead of several."""
_UNKNOWN: Final = Usage()
GO_ON_S: Final = 20.0
"""How often a session under limits counts what it has used, and keeps its places."""
HELD_BYTES: Final = 1_048_576
"""The same where credentials rotate: what is held can be sent again."""


async def carry(request: ClientRequest, world: World, watch: Watch) -> Steps:
    """Carries one client request to an upstream and its answer back.

    Yields one `ResponseHead`, then pieces of the body unless the head holds it whole.

    Raises:
        UpstreamFailed: the answer broke off after its head had been yielded.
    """
    with entry(request, world.clock, world.sinks, world.price) as kept:
        world.in_flight += 1
        world.exchanges += 1
        request = _watched(request, kept, world)
        told = _Told(request, kept, world)
        try:
            if request.path in (b"/health", b"/ready"):
                kept.is_quiet = True
                steps = _health(world, request, is_ready=request.path == b"/ready")
            elif request.path == b"/metrics":
                kept.is_quiet = True
                steps = measured.answer(world, request)
            else:
                kept.number = world.next_number()
                if world.tracing is not None:
                    world.tracing.begin(kept, request.headers)
                steps = _trip(request, world, watch, kept)
            async with aclosing(steps):  # attempts are over before they are written down
                async for step in steps:
                    yield told.step(step)
        except ClientGone:
            raise
        except (Refused, UpstreamFailed, Killed, Missed) as error:
            async for step in told.failure(error):
                yield step
        except Exception as error:
            # Ours. The client learns that, the log learns what; nothing more is sent upstream.
            log.exception("exchange %s broke", request.id)
            kept.error = f"{type(error).__name__}: {error}"
            kept.outcome = Outcome.GATEWAY_ERROR
            async for step in told.failure(Refused(500, "internal_error", "The gateway failed.")):
                yield step
        finally:
            world.in_flight -= 1


async def _trip(request: ClientRequest, world: World, watch: Watch, kept: Entry) -> Steps:
    config = world.config
    match = endpoints.find(request.target, config)
    kept.endpoint = match.name
    if world.tracing is not None:
        world.tracing.routed(kept, injects=match.endpoint.injects)
    is_upgrade = _is_upgrade(request)
    admission = keys.admit(
        request.headers,
        request.query,
        match.endpoint,
        match.name,
        config,
        world.clock.now_s(),
        match.rest,
        subprotocols.offered(request.headers) if is_upgrade else (),
    )
    kept.auth_key = admission.name
    kept.dialect = endpoints.dialect_of(match.rest.partition(b"?")[0], request.headers)
    asked = plan.Asked(
        id=request.id,
        endpoint=match.name,
        rest=_with_query(match.rest, admission.query),
        dialect=kept.dialect,
        drop_headers=admission.drop_headers,
        deadline_s=kept.started_s + config.timeouts.exchange_s,
    )
    trip = routed.Trip(
        request=request,
        asked=asked,
        endpoint=match.endpoint,
        config=config,
        world=world,
        watch=watch,
        kept=kept,
    )
    match match.endpoint.kind:
        case _ if is_upgrade:
            steps = _live(trip)
        case "gateway":
            steps = _by_model(trip)
        case "cloudflare":
            steps = _through_cloudflare(trip)
        case _:
            steps = _forwarded(trip)
    async with aclosing(steps):
        async for step in steps:
            yield step


async def _live(trip: routed.Trip) -> Steps:
    """A WebSocket, to whoever the endpoint's other requests would go to."""
    opening = await realtime.begin(trip)
    async with aclosing(_limited(opening.steps, trip, models=opening.models)) as limited:
        async for step in limited:
            yield step


async def _forwarded(trip: routed.Trip) -> Steps:
    """To the endpoint's target; the body streams unless it is short, or is there already."""
    request, kept = trip.request, trip.kept
    length = request.body.length
    provider = trip.endpoint.provider
    if length is not None and length <= (PROMPT_BYTES if provider is None else HELD_BYTES):
        await request.body.whole(HELD_BYTES)
        kept.body_s = trip.world.clock.tick_s()
        if kept.trace is not None:
            kept.tell_asked(request.body.held or b"")
    elif provider is not None and shaped.needs_whole(trip.config, trip.asked.rest):
        await request.body.whole(trip.config.server.body_limit_bytes)
    kept.request_bytes = length or 0
    sample: bytes = b""
    most: int | None = 0
    if provider is not None:
        steps = trip.provider(provider)
        call = calls.find(trip.asked.rest) if request.method == "POST" else None
        if call is not None:
            sample = request.body.held or b""
            most = 0 if call.task in ("embed", "count", "other") else None
    else:
        planned = plan.forward(trip.asked, None, trip.config)
        steps = attempt(planned.attempt, outgoing(request, planned), trip.world, trip.watch, kept)
        call = calls.find(trip.asked.rest) if request.method == "POST" else None
        steps = glanced.glanced(steps, kept, planned.attempt, call)
    async with aclosing(_limited(steps, trip, sample, (), most)) as limited:
        async for step in limited:
            yield step


async def _through_cloudflare(trip: routed.Trip) -> Steps:
    """By model to one of Cloudflare's gateways; a stream is simulated where they cannot stream."""
    request, kept, config = trip.request, trip.kept, trip.config
    if (passing := await passed.through_cloudflare(trip)) is not None:
        async with aclosing(_passed(passing, trip)) as steps:
            async for step in steps:
                yield step
        return
    body = await request.body.whole(config.server.body_limit_bytes)
    kept.took(body, trip.world.clock)
    seen = peek.peek(body) if body else None
    kept.model = seen.model if seen else None
    trip = replace(trip, asked=replace(trip.asked, model=kept.model))
    is_chat = trip.asked.rest.partition(b"?")[0].endswith(b"/chat/completions")
    is_simulated = bool(trip.endpoint.simulate_stream and is_chat and seen and seen.stream)
    if is_simulated:
        body = peek.unstream(body)
    steps = trip.cloudflare(body, is_chat=is_chat)
    if is_chat and seen and seen.stream:
        # also where a stream was asked for in vain: with guardrails the answer comes as one JSON body
        streaming = config.streaming
        steps = paced.streamed(
            steps,
            trip.world.clock,
            include_usage=seen.include_usage,
            pace_s=streaming.pace_ms / 1000,
            heartbeat_s=streaming.heartbeat_s if is_simulated else 0,
            heartbeat_after_s=streaming.heartbeat_after_s,
            limit_bytes=config.server.body_limit_bytes,
        )
    models = (kept.model,) if kept.model else ()
    most = seen.max_output_tokens if seen else None
    async with aclosing(_limited(steps, trip, body, models, most)) as limited:
        async for step in limited:
            yield step


async def _by_model(trip: routed.Trip) -> Steps:
    """By model to one of the providers."""
    request, kept, config = trip.request, trip.kept, trip.config
    if (name := calls.read_models(request.method, trip.asked.rest)) is not None:
        yield _models(name, trip)
        return
    call = calls.find(trip.asked.rest) if request.method == "POST" else None
    if call is None:
        if (passing := await passed.begin(trip)) is not None:
            async with aclosing(_passed(passing, trip)) as steps:
                async for step in steps:
                    yield step
            return
        call = calls.read(request.method, trip.asked.rest)
    body = await request.body.whole(config.server.body_limit_bytes)
    kept.took(body, trip.world.clock)
    wanted = translated.wanted(call, request, body)
    kept.model = wanted.models[0]
    is_beside = call.task in calls_beside.TASKS
    steps = (calls_beside.steps if is_beside else routed.Trip.gateway)(trip, call, body, wanted)
    most = wanted.max_output_tokens if call.task in ("generate", "complete") else 0
    async with aclosing(_limited(steps, trip, body, wanted.models, most)) as limited:
        async for step in limited:
            yield step


def _passed(passing: passed.Passing, trip: routed.Trip) -> Steps:
    return _limited(passing.steps, trip, passing.sample, passing.models, passing.max_output_tokens)


async def _limited(
    steps: Steps,
    trip: routed.Trip,
    body: bytes = b"",
    models: tuple[str, ...] = (),
    max_output_tokens: int | None = 0,
) -> Steps:
    """The steps, where the client's limits let it in, with what they leave in the head.

    Raises:
        Refused: 429, nothing was begun.
    """
    kept, world = trip.kept, trip.world
    asked = limits.Asked(
        exchange_id=trip.request.id,
        auth_key=kept.auth_key,
        dialect=trip.asked.dialect,
        models=models,
        body=body,
        max_output_tokens=max_output_tokens,
    )
    charge = None
    if (spending := world.spending) is not None and spending.is_on:
        charge = await spending.charge(trip, models, body, max_output_tokens)
    try:
        admitted = await limits.admit(
            asked, trip.config, world.store, world.clock, is_shared=world.is_shared, charge=charge
        )
    except Limited as hit:
        world.metrics.hit(hit)
        raise
    async with admitted as ticket:
        going_on: asyncio.Task[None] | None = None
        try:
            async with aclosing(steps):  # it must have ended before what was used is read
                async for step in steps:
                    if isinstance(step, ResponseHead):
                        if step.status >= 400:
                            ticket.settle(limits.NO_TOKENS)
                        elif step.status == 101 and ticket.has_to_last:
                            going_on = asyncio.create_task(
                                _going_on(ticket, trip), name="limits of a session"
                            )
                        step = replace(step, headers=limit_headers.merged(step.headers, ticket.headers()))
                    yield step
        except (Missed, Refused) as error:
            if not isinstance(error, ClientGone):
                ticket.settle(limits.NO_TOKENS)
            raise
        finally:
            if going_on is not None:
                going_on.cancel()
            if kept.usage != _UNKNOWN:
                ticket.settle(kept.usage)
            if charge is not None and spending is not None:
                ticket.spend(spending.spent(kept, charge))


async def _going_on(ticket: limits.Ticket, trip: routed.Trip) -> None:
    kept, places_s = trip.kept, trip.config.timeouts.exchange_s
    while True:
        await trip.world.clock.sleep(min(GO_ON_S, places_s / 3))
        if kept.usage != _UNKNOWN:
            ticket.settle(kept.usage)
        await ticket.go_on()


def _models(name: str, trip: routed.Trip) -> ResponseHead:
    """The models that this client may ask for by name, or one of them."""
    allowed = [one for one in providers.names(trip.config, trip.endpoint.provider) if trip.is_allowed(one)]
    since_s = int(trip.world.started_s)
    dialect = trip.asked.dialect
    if name:
        body = listed.write_model(dialect, name, allowed, since_s)
    else:
        body = listed.write_models(dialect, allowed, since_s)
    return ResponseHead(
        status=200, reason=b"OK", headers=((b"content-type", b"application/json"),), whole=body
    )


async def resend(
    request: ClientRequest,
    world: World,
    watch: Watch,
    *,
    origin: str,
    endpoint: str,
    provider: str,
    credential: str | None,
    gateway: str | None,
) -> Steps:
    """Plays an upstream leg again: straight to `origin` (scheme and host), through its endpoint's proxy,
    with the credential and gateway token that it had; None where the client's own key went through.
    """
    with entry(request, world.clock, world.sinks, world.price) as kept:
        kept.endpoint = endpoint
        kept.number = world.next_number()
        if world.tracing is not None:
            world.tracing.begin(kept, request.headers)
            known = world.config.endpoints.get(endpoint)
            world.tracing.routed(kept, injects=known is not None and known.injects)
        request = _watched(request, kept, world)
        told = _Told(request, kept, world)
        dialect = kept.dialect = endpoints.dialect_of(request.path, request.headers)
        try:
            url = origin + request.target.decode("latin-1")
            chosen = plan.again(
                request.id, url, endpoint, provider, credential, gateway, dialect, world.config
            )
            planned = plan.Planned(attempt=chosen)
            steps = attempt(chosen, outgoing(request, planned), world, watch, kept)
            async with aclosing(steps):
                async for step in steps:
                    yield told.step(step)
        except (Refused, UpstreamFailed, Killed, Missed) as error:
            async for step in told.failure(error):
                yield step


def _with_query(rest: bytes, query: bytes) -> bytes:
    """`rest` with the query that goes on: where our own key stood in it, it was taken out."""
    path, mark, _ = rest.partition(b"?")
    return path + b"?" + query if query or mark else path


async def _health(world: World, request: ClientRequest, *, is_ready: bool) -> Steps:
    """`/health` says that it lives, `/ready` whether it takes requests: not while it drains. What runs on
    this machine also learns how much is under way."""
    status = 503 if is_ready and world.is_draining else 200
    told: dict[str, object] = {"status": "draining" if world.is_draining else "ok", "version": __version__}
    if request.client.startswith(("127.", "[::1]", "::1")):
        told |= {"in_flight": world.in_flight - 1}  # not counting this one
    body = orjson.dumps(told)
    yield ResponseHead(
        status=status,
        reason=reason(status),
        headers=((b"content-type", b"application/json"), (b"cache-control", b"no-store")),
        whole=body,
    )


def _watched(request: ClientRequest, kept: Entry, world: World) -> ClientRequest:
    """The request, with a body that is counted where its length is not known, and kept where bodies are."""
    if world.config.ledger.bodies and world.ledger is not None:
        kept.sent, kept.given = Seen(), Seen()
    elif request.body.length is None:
        kept.sent = Seen(0)
    return request if kept.sent is None else replace(request, body=Watched(request.body, kept.sent))


def _is_upgrade(request: ClientRequest) -> bool:
    return (request.header(b"upgrade") or b"").lower() == b"websocket"


@dataclass(slots=True)
class _Told:
    """What the client has been told so far, and how it is told of a failure."""

    request: ClientRequest
    kept: Entry
    world: World
    head: ResponseHead | None = None
    has_said: bool = False
    """Anything but blanks."""
    tail: bytes = b"\n\n"
    """The last bytes of the body: an error event must not join a line that broke off."""

    def step(self, step: ResponseHead | bytes) -> ResponseHead | bytes:
        kept = self.kept
        if isinstance(step, ResponseHead):
            if self.world.is_draining:
                step = replace(step, headers=(*step.headers, (b"connection", b"close")))
            if self.request.header(b"x-debug") in (b"true", b"1"):
                step = replace(step, headers=(*step.headers, *self._debug()))
            if kept.trace is not None:
                named = (b"x-llmitm-trace-id", kept.trace.trace_id.encode())
                step = replace(step, headers=(*step.headers, named))
            if step.status >= 300 and self._is_injecting():
                step = _without_secrets(step, self.world.redact)
            self.head = step
            kept.status = step.status
            kept.is_stream = (step.header(b"content-type") or b"").startswith(b"text/event-stream")
            if step.whole is not None:
                kept.gave(step.whole, self.world.clock)
        else:
            kept.gave(step, self.world.clock)
            self.has_said = self.has_said or not step.isspace()
            self.tail = step[-4:]
        return step

    async def failure(self, error: Exception) -> Steps:
        """The error as an answer; as an error event and a cut where the answer had begun."""
        status, code, message, headers = _words(error)
        message = self.world.redact(message)
        kept = self.kept
        kept.code = kept.code or code
        kept.error = kept.error or str(error) or message
        if isinstance(error, Missed) and self.head is None:
            yield self.step(error.told)
            return
        param = error.param if isinstance(error, Refused) else None
        if isinstance(error, Killed):
            kept.outcome = Outcome.KILLED
        elif isinstance(error, UpstreamFailed):
            kept.is_cut = self.head is not None
        dialect = endpoints.dialect_of(self.request.path, self.request.headers)
        if self.head is None:
            yield self.step(
                refusal(dialect, status, code, message, self.request.id, headers, param),
            )
            return
        kind = self.head.header(b"content-type") or b""
        has_blanks = self.kept.response_bytes > 0 and not self.has_said
        if has_blanks and kind.startswith(b"application/json"):  # they have spent the status line
            yield self.step(write_error(dialect, status, code, message, self.request.id))
            return
        is_events = kind.startswith(b"text/event-stream")
        if is_events and self.head.header(b"content-encoding") is None:
            seam = b"" if self.tail.endswith((b"\n\n", b"\r\n\r\n")) else b"\n\n"
            yield self.step(seam + write_error_event(dialect, status, code, message, self.request.id))
            if isinstance(error, Missed):  # only heartbeats came before it: nothing is cut
                return
        raise UpstreamFailed(Failure.TRUNCATED, message) from error

    def _is_injecting(self) -> bool:
        """Whether the upstream was sent secrets that the client must not learn, or may have been."""
        endpoint = self.world.config.endpoints.get(self.kept.endpoint or "")
        return endpoint is None or endpoint.injects

    def _debug(self) -> Headers:
        last = self.kept.attempts[-1] if self.kept.attempts else None
        if last is None:
            return ()
        named = {
            b"x-debug-provider": last.provider,
            b"x-debug-model": last.model or self.kept.model,
            b"x-debug-credential": last.credential,
            b"x-debug-gateway": last.gateway,
            b"x-debug-attempts": str(len(self.kept.attempts)),
            b"x-debug-path": ">".join(
                (self.kept.endpoint or "", *(one.provider for one in self.kept.attempts))
            ),
        }
        return tuple((name, _header_value(value)) for name, value in named.items() if value)


def _without_secrets(head: ResponseHead, redact: Redactor) -> ResponseHead:
    """Errors and redirects like to say back what they were sent: our keys are not for the client."""
    headers = tuple((name, redact.of_bytes(value)) for name, value in head.headers)
    whole = None if head.whole is None else redact.of_bytes(head.whole)
    if whole is not head.whole:
        headers = tuple(pair for pair in headers if pair[0].lower() != b"content-length")
    return replace(head, headers=headers, whole=whole)


def _header_value(text: str) -> bytes:
    """Names come from people: what a header cannot carry is percent-encoded."""
    return "".join(sign if " " <= sign <= "~" else f"%{ord(sign):X}" for sign in text).encode()


def _words(error: Exception) -> tuple[int, str, str, Headers]:
    match error:
        case Refused():
            return error.status, error.code, error.message, error.headers
        case UpstreamFailed():
            return error.status, error.failure.value, error.message, ()
        case Missed():
            failure = error.failure
            return failure.status, failure.code or failure.kind, failure.message, ()
        case _:
            return 502, "stopped", "The request was stopped by an operator.", NEVER_AGAIN


def refusal(
    dialect: Dialect,
    status: int,
    code: str,
    message: str,
    request_id: str,
    headers: Headers = (),
    param: str | None = None,
) -> ResponseHead:
    """An error of ours as a whole answer in the client's dialect."""
    body = write_error(dialect, status, code, message, request_id, param)
    return ResponseHead(
        status=status,
        reason=reason(status),
        headers=(
            (b"content-type", b"application/json"),
            (b"x-request-id", request_id.encode()),
            *headers,
        ),
        whole=body,
    )


__all__ = ["attempt", "carry", "refusal", "resend"]
