"""An upstream leg that is played again, as it was."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from llmitm.accept import endpoints
from llmitm.errors import Refused, UpstreamFailed
from llmitm.exchange import ClientRequest, Killed, ResponseHead, Watch
from llmitm.record.entry import entry, watched
from llmitm.route import plan
from llmitm.trip.attempt import attempt, outgoing
from llmitm.trip.missed import Missed
from llmitm.trip.told import Told
from llmitm.world import World

type Steps = AsyncGenerator[ResponseHead | bytes]


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
        if world.onlooker is not None:
            world.onlooker.begun(kept)
        if world.tracing is not None:
            world.tracing.begin(kept, request.headers)
            known = world.config.endpoints.get(endpoint)
            world.tracing.routed(kept, injects=known is not None and known.injects)
        request = watched(request, kept, keeps_bodies=world.keeps_bodies)
        told = Told(request, kept, world)
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
