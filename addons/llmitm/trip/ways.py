"""Which way an exchange takes through each kind of endpoint: what is read of its body, who is asked, and for
what its client's limits hold."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from llmitm.aside import aside
from llmitm.exchange import ResponseHead
from llmitm.route import calls, plan, providers
from llmitm.translate import peek
from llmitm.trip import (
    calls_beside,
    carried,
    glanced,
    listed,
    paced,
    passed,
    realtime,
    routed,
    shaped,
    translated,
)
from llmitm.trip.attempt import attempt, outgoing
from llmitm.trip.limited import under_limits

type Steps = AsyncGenerator[ResponseHead | bytes]

PROMPT_BYTES: Final = 65_536
"""Announced bodies up to this size are read whole before they are sent: one write instead of several."""
HELD_BYTES: Final = 1_048_576
"""The same where credentials rotate: what is held can be sent again."""


async def live(trip: routed.Trip) -> Steps:
    """A WebSocket, to whoever the endpoint's other requests would go to."""
    opening = await realtime.begin(trip)
    async with aclosing(under_limits(opening.steps, trip, models=opening.models)) as limited:
        async for step in limited:
            yield step


async def forwarded(trip: routed.Trip) -> Steps:
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


async def through_cloudflare(trip: routed.Trip) -> Steps:
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


async def by_model(trip: routed.Trip) -> Steps:
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
