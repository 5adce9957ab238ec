"""One attempt, watched: what is sent, and the answer as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Final

from llmitm.errors import ClientGone, Failure, Refused, UpstreamFailed
from llmitm.exchange import (
    Attempt,
    ClientRequest,
    HeldBody,
    Killed,
    Noted,
    ResponseHead,
    UpstreamRequest,
    Watch,
)
from llmitm.record.bodies import Leg
from llmitm.record.entry import Entry
from llmitm.route import plan
from llmitm.route.verdict import Ending, of_failure, of_kind
from llmitm.send.headers import forwardable_request
from llmitm.translate.failures import kind_of_status
from llmitm.trip.missed import Missed
from llmitm.world import World

type Steps = AsyncGenerator[ResponseHead | bytes]

_IDS: Final = frozenset({b"x-request-id", b"request-id"})


def outgoing(
    request: ClientRequest, planned: plan.Planned, body: bytes | None = None, *, decodable: bool = False
) -> UpstreamRequest:
    """The request as it goes on. `body` is the edited one; `decodable` asks for an answer uncompressed."""
    headers = forwardable_request(request.headers, planned.attempt.drop_headers)
    added = {name.lower() for name, _ in planned.add_headers}
    if decodable:
        added.add(b"accept-encoding")
    headers = tuple(pair for pair in headers if pair[0].lower() not in added) + planned.add_headers
    if body is not None:
        headers = tuple(
            (name, b"%d" % len(body)) if name.lower() == b"content-length" else (name, value)
            for name, value in headers
        )
    return UpstreamRequest(
        method=request.method,
        url=planned.attempt.url,
        headers=headers,
        body=request.body if body is None else HeldBody(body),
    )


async def attempt(
    chosen: Attempt, sending: UpstreamRequest, world: World, watch: Watch, kept: Entry
) -> Steps:
    """Makes one attempt and hands its answer on as it comes; an empty piece says that nothing does, see
    `Attempt.silence_s`.

    Raises:
        UpstreamFailed, Killed: no answer, or a broken one.
    """
    noted = kept.note(chosen, world.clock)
    if kept.trace is not None and kept.trace.is_told and noted.span_id is not None:
        sending = replace(sending, headers=kept.trace.onto(sending.headers, noted.span_id))
    error: str | None = None
    try:
        sent = await watch.before_send(chosen, sending)
        if isinstance(sent, ResponseHead):
            noted.status = sent.status
            _over(noted, chosen)
            yield sent
            return
        held = sent.body.held
        noted.request_bytes = sent.body.length if held is None else len(held)
        leg = None
        if kept.legs is not None:
            leg, sent = Leg.of(sent)
            kept.legs[chosen.number] = leg
        reply = await world.sender.send(chosen, sent)
        noted.first_byte_s = world.clock.tick_s()
        if leg is not None:
            leg.came(reply.head)
        try:
            head, wants_whole = await watch.on_head(chosen, reply.head)
            noted.status = head.status
            noted.upstream_id = _id_of(head)
            if wants_whole and head.whole is None:
                body = await _read_all(reply.read, world.config.server.body_limit_bytes)
                noted.response_bytes = len(body)
                if leg is not None:
                    leg.said.add(body)
                head = await watch.on_whole(chosen, head, body)
            elif head.whole is not None:
                noted.response_bytes = len(head.whole)
            if head.whole is not None:
                _over(noted, chosen)  # who has it whole does not ask for more
            yield head
            if head.whole is None:
                while (piece := await reply.read()) != b"":
                    if piece is None:
                        yield b""
                        continue
                    noted.response_bytes += len(piece)
                    if leg is not None:
                        leg.said.add(piece)
                    watch.on_piece(chosen, piece)
                    yield piece
                _over(noted, chosen)
        finally:
            await reply.close()
    except (GeneratorExit, asyncio.CancelledError):
        error = "The client left."
        noted.ending = noted.ending or "dropped"
        raise
    except BaseException as problem:
        error = noted.error = str(problem) or type(problem).__name__
        noted.ending = _ending_of(problem, noted)
        raise
    finally:
        noted.ended_s = world.clock.tick_s()
        await watch.on_end(chosen, error)


def _over(noted: Noted, chosen: Attempt) -> None:
    """The whole answer came, whatever it says."""
    status = noted.status or 200
    if status < 400:
        noted.ending = "answered"
    else:
        has_key = chosen.credential is not None
        noted.ending = of_kind(kind_of_status(status), status, has_credential=has_key)


def _ending_of(problem: BaseException, noted: Noted) -> str | None:
    match problem:
        case UpstreamFailed():
            return "truncated" if noted.status is not None else of_failure(problem.failure)
        case Missed():
            return problem.ending
        case Killed():
            return Ending.KILLED
        case ClientGone():
            return "dropped"
        case Refused():
            return Ending.CLIENT
        case _:
            return None


def _id_of(head: ResponseHead) -> str | None:
    for name, value in head.headers:
        if len(name) in (10, 12) and name.lower() in _IDS:
            return value.decode("ascii", "replace")
    return None


async def _read_all(read, limit_bytes: int) -> bytes:  # type: ignore[no-untyped-def]
    collected = bytearray()
    while (piece := await read()) != b"":
        collected += piece or b""
        if len(collected) > limit_bytes:
            raise UpstreamFailed(Failure.MALFORMED, "the answer is larger than body_limit_mb")
    return bytes(collected)
