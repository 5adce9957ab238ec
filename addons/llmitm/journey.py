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
from functools import partial
from typing import Final

from llmitm import measured
from llmitm.accept import endpoints, hosts, keys, origins, subprotocols
from llmitm.config.endpoints import Endpoint
from llmitm.config.schema import Config
from llmitm.errors import ClientGone, Refused, UpstreamFailed
from llmitm.exchange import ClientRequest, Killed, ResponseHead, Watch
from llmitm.record.entry import Outcome, entry, watched
from llmitm.route import plan
from llmitm.trip import (
    answered,
    hooked,
    routed,
    ways,
)
from llmitm.trip.missed import Missed
from llmitm.trip.told import Told
from llmitm.world import World

log = logging.getLogger("llmitm")

type Steps = AsyncGenerator[ResponseHead | bytes]

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
    endpoint, asked = _let_in(request, config, world, told)
    is_upgrade = _is_upgrade(request)
    hooks = hooked.Hooked.of(request, asked, endpoint, kept.auth_key, config, world)
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
        endpoint=endpoint,
        config=config,
        world=world,
        watch=watch,
        kept=kept,
    )
    match endpoint.kind:
        case _ if is_upgrade:
            steps = ways.live(trip)
        case "gateway":
            steps = ways.by_model(trip)
        case "cloudflare":
            steps = ways.through_cloudflare(trip)
        case _:
            steps = ways.forwarded(trip)
    if hooks is not None and hooks.answers:
        steps = answered.answered(hooks, steps)
    async with aclosing(steps):
        async for step in steps:
            yield step


def _let_in(request: ClientRequest, config: Config, world: World, told: Told) -> tuple[Endpoint, plan.Asked]:
    """Whose request it is, and what of it goes on to which endpoint.

    Raises:
        Refused: nobody here answers that, or not to this client.
    """
    kept, match = told.kept, endpoints.find(request.target, config)
    endpoint = match.endpoint
    kept.endpoint = match.name
    if world.tracing is not None:
        world.tracing.routed(kept, injects=endpoint.injects)
    _check(request, endpoint)
    if request.is_operators:
        admission = keys.operators(request.query)
    else:
        admission = keys.admit(
            request.headers,
            request.query,
            endpoint,
            match.name,
            config,
            world.clock.now_s(),
            match.rest,
            subprotocols.offered(request.headers) if _is_upgrade(request) else (),
        )
    kept.auth_key = admission.name
    dropped = admission.drop_headers
    if endpoint.injects and admission.name is None and not request.is_operators:
        hosts.check(request, config.server)
        origins.check(told.crossing, request)
    if told.crossing is not None and endpoint.injects:
        dropped |= origins.OF_PAGES if told.crossing.is_allowed else frozenset()
    kept.dialect = endpoints.dialect_of(match.rest.partition(b"?")[0], request.headers)
    return endpoint, plan.Asked(
        id=request.id,
        endpoint=match.name,
        rest=_with_query(match.rest, admission.query),
        dialect=kept.dialect,
        drop_headers=dropped,
        deadline_s=kept.started_s + config.timeouts.exchange_s,
    )


def _check(request: ClientRequest, endpoint: Endpoint) -> None:
    """Raises `Refused` for what no upstream of an endpoint's shall see."""
    if request.method == "TRACE" and endpoint.injects:
        raise Refused(405, "method_not_allowed", "TRACE is not sent on: its answers say keys back.")
    if (request.body.length or 0) > MOST_BYTES:
        raise Refused(413, "request_too_large", "The request's Content-Length is larger than anything is.")


def _with_query(rest: bytes, query: bytes) -> bytes:
    """`rest` with the query that goes on: where our own key stood in it, it was taken out."""
    path, mark, _ = rest.partition(b"?")
    return path + b"?" + query if query or mark else path


def _is_knock(request: ClientRequest) -> bool:
    """Claude Code looks so whether anybody is there, each time it starts."""
    return request.path in (b"/", b"/api/hello") and request.method == "HEAD"


def _is_upgrade(request: ClientRequest) -> bool:
    return (request.header(b"upgrade") or b"").lower() == b"websocket"
