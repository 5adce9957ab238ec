"""One attempt, watched: what is sent, and the answer as it comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from llmitm.errors import Failure, UpstreamFailed
from llmitm.exchange import Attempt, ClientRequest, HeldBody, ResponseHead, UpstreamRequest, Watch
from llmitm.record.entry import Entry
from llmitm.route import plan
from llmitm.send.headers import forwardable_request
from llmitm.world import World

type Steps = AsyncGenerator[ResponseHead | bytes]


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
    """Makes one attempt and hands its answer on as it comes.

    Raises:
        UpstreamFailed, Killed: no answer, or a broken one.
    """
    noted = kept.note(chosen)
    error: str | None = None
    try:
        sent = await watch.before_send(chosen, sending)
        if isinstance(sent, ResponseHead):
            noted.status = sent.status
            yield sent
            return
        reply = await world.sender.send(chosen, sent)
        try:
            head, wants_whole = await watch.on_head(chosen, reply.head)
            noted.status = head.status
            if wants_whole and head.whole is None:
                body = await _read_all(reply.read, world.config.server.body_limit_bytes)
                head = await watch.on_whole(chosen, head, body)
            yield head
            if head.whole is None:
                while piece := await reply.read():
                    watch.on_piece(chosen, piece)
                    yield piece
        finally:
            await reply.close()
    except GeneratorExit:
        error = "The client left."
        raise
    except BaseException as problem:
        error = noted.error = str(problem) or type(problem).__name__
        raise
    finally:
        await watch.on_end(chosen, error)


async def _read_all(read, limit_bytes: int) -> bytes:  # type: ignore[no-untyped-def]
    collected = bytearray()
    while piece := await read():
        collected += piece
        if len(collected) > limit_bytes:
            raise UpstreamFailed(Failure.MALFORMED, "the answer is larger than body_limit_mb")
    return bytes(collected)
