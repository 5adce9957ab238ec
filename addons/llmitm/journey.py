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
from dataclasses import replace
from functools import partial
from typing import Final

from llmitm import (
    answered,
    calls_beside,
    carried,
    glanced,
    hooked,
    listed,
    measured,
    paced,
    passed,
    realtime,
    routed,
    shaped,
    translated,
)
from llmitm.accept import endpoints, hosts, keys, origins, subprotocols
from llmitm.aside import aside
from llmitm.attempt import attempt, outgoing
from llmitm.config.endpoints import Endpoint
from llmitm.errors import ClientGone, Refused, UpstreamFailed
from llmitm.exchange import ClientRequest, Killed, ResponseHead, Watch
from llmitm.limited import under_limits
from llmitm.missed import Missed
from llmitm.record.entry import Outcome, entry, watched
from llmitm.route import calls, plan, providers
from llmitm.told import Told
from llmitm.translate import peek
from llmitm.world import World

log = logging.getLogger("llmitm")

type Steps = AsyncGenerator[ResponseHead | bytes]

PROMPT_BYTES: Final = 65_536
"""Announced bodies up to this size are read whole before they are sent: one write instead of several."""
HELD_BYTES: Final = 1_048_576
"""The same where credentials rotate: what is held can be sent again."""
MOST_BYTES: Final = 2**53
"""What may be announced: more is no length that all who write it down could count."""


_STOPPED: Final = Refused(503, "shutting_down", "The gateway is shutting down.")


async def carry(request: ClientRequest, world: World, watch: Watch) -> Steps:
    """Carries one client request to an upstream and its answer back.

    Yields one `ResponseHead`, then pieces of the body unless the head holds it whole.

    Raises:
        UpstreamFailed: the answer broke off after its head had been yielded.
    """
    with entry(request, world.clock, world.sinks, world.price) as kept:
        world.in_flight += 1
        world.exchanges += 1
        request = watched(request, kept, keeps_bodies=world.keeps_bodies)
        crossing = origins.crossing(request.headers, world.config.server.cors_origins)
        told = Told(request, kept, world, crossing=crossing)
        running = asyncio.current_task()
        if running is not None and not _is_upgrade(request):
            world.running.add(running)
        try:
            if crossing is not None and crossing.is_preflight(request):
                kept.is_quiet = True
                steps = _told(crossing.preflight(request))
                told.crossing = None
            elif request.path in (b"/health", b"/ready") or _is_knock(request):
                kept.is_quiet = True
                steps = measured.health(world, request, is_ready=request.path == b"/ready")
            elif request.path == b"/metrics":
                kept.is_quiet = True
                steps = measured.answer(world, request)
            else:
                kept.number = world.next_number()
                if world.onlooker is not None:
                    world.onlooker.begun(kept)
                if world.tracing is not None:
                    world.tracing.begin(kept, request.headers)
                steps = _trip(request, world, watch, told)
            async with aclosing(steps):  # attempts are over before they are written down
                async for step in steps:
                    yield told.step(step)
        except ClientGone:
            raise
        except asyncio.CancelledError:
            if not world.is_cut or running is None or running.uncancel():
                raise
            kept.is_cut = told.head is not None
            kept.outcome = None if kept.is_cut else Outcome.GATEWAY_ERROR
            async for step in told.failure(_STOPPED):
                yield step
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
            if running is not None:
                world.running.discard(running)


async def _told(head: ResponseHead) -> Steps:
    yield head


async def _trip(request: ClientRequest, world: World, watch: Watch, told: Told) -> Steps:
    config, kept = world.config, told.kept
    match = endpoints.find(request.target, config)
    kept.endpoint = match.name
    if world.tracing is not None:
        world.tracing.routed(kept, injects=match.endpoint.injects)
    _check(request, match.endpoint)
    is_upgrade = _is_upgrade(request)
    if request.is_operators:
        admission = keys.operators(request.query)
    else:
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
    dropped = admission.drop_headers
    if match.endpoint.injects and admission.name is None and not request.is_operators:
        hosts.check(request, config.server)
        origins.check(told.crossing, request)
    if told.crossing is not None and match.endpoint.injects:
        dropped |= origins.OF_PAGES if told.crossing.is_allowed else frozenset()
    kept.dialect = endpoints.dialect_of(match.rest.partition(b"?")[0], request.headers)
    asked = plan.Asked(
        id=request.id,
        endpoint=match.name,
        rest=_with_query(match.rest, admission.query),
        dialect=kept.dialect,
        drop_headers=dropped,
        deadline_s=kept.started_s + config.timeouts.exchange_s,
    )
    hooks = hooked.Hooked.of(request, asked, match.endpoint, kept.auth_key, config, world)
    if hooks is not None:
        if hooks.call is not None and hooks.modules.on_reply:
            told.change = partial(answered.failed, hooks)
        made = await hooks.request(request)
        if isinstance(made, ResponseHead):
            yield made
            return
        request, asked, watch = made, hooks.asked, hooks.watching(watch)
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
    if hooks is not None and hooks.answers:
        steps = answered.answered(hooks, steps)
    async with aclosing(steps):
        async for step in steps:
            yield step


def _check(request: ClientRequest, endpoint: Endpoint) -> None:
    """Raises `Refused` for what no upstream of an endpoint's shall see."""
    if request.method == "TRACE" and endpoint.injects:
        raise Refused(405, "method_not_allowed", "TRACE is not sent on: its answers say keys back.")
    if (request.body.length or 0) > MOST_BYTES:
        raise Refused(413, "request_too_large", "The request's Content-Length is larger than anything is.")


async def _live(trip: routed.Trip) -> Steps:
    """A WebSocket, to whoever the endpoint's other requests would go to."""
    opening = await realtime.begin(trip)
    async with aclosing(under_limits(opening.steps, trip, models=opening.models)) as limited:
        async for step in limited:
            yield step


async def _forwarded(trip: routed.Trip) -> Steps:
    """To the endpoint's target; the body streams unless it is short, or is there already."""
    request, kept = trip.request, trip.kept
    await carried.check_passing(trip)
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
    async with aclosing(under_limits(steps, trip, sample, (), most)) as limited:
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
    await carried.check_passing(trip)
    body = await request.body.whole(config.server.body_limit_bytes)
    kept.took(body, trip.world.clock)
    seen = await aside(len(body), peek.peek, body) if body else None
    kept.model = seen.model if seen else None
    trip = replace(trip, asked=replace(trip.asked, model=kept.model))
    is_chat = trip.asked.rest.partition(b"?")[0].endswith(b"/chat/completions")
    is_simulated = bool(trip.endpoint.simulate_stream and is_chat and seen and seen.stream)
    if is_simulated:
        body = await aside(len(body), peek.unstream, body)
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
    async with aclosing(under_limits(steps, trip, body, models, most)) as limited:
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
    wanted = await aside(len(body), translated.wanted, call, request, body)
    kept.model = wanted.models[0]
    is_beside = call.task in calls_beside.TASKS
    steps = (calls_beside.steps if is_beside else routed.Trip.gateway)(trip, call, body, wanted)
    most = wanted.max_output_tokens if call.task in ("generate", "complete", "compact") else 0
    async with aclosing(under_limits(steps, trip, body, wanted.models, most)) as limited:
        async for step in limited:
            yield step


def _passed(passing: passed.Passing, trip: routed.Trip) -> Steps:
    return under_limits(passing.steps, trip, passing.sample, passing.models, passing.max_output_tokens)


def _with_query(rest: bytes, query: bytes) -> bytes:
    """`rest` with the query that goes on: where our own key stood in it, it was taken out."""
    path, mark, _ = rest.partition(b"?")
    return path + b"?" + query if query or mark else path


def _is_knock(request: ClientRequest) -> bool:
    """Claude Code looks so whether anybody is there, each time it starts."""
    return request.path in (b"/", b"/api/hello") and request.method == "HEAD"


def _is_upgrade(request: ClientRequest) -> bool:
    return (request.header(b"upgrade") or b"").lower() == b"websocket"


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
