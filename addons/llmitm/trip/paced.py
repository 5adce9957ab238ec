"""A chat completion that comes whole, told to the client as a stream.

For gateways that cannot stream, and for the one that answers a stream's request with one JSON body. While
the answer is awaited, heartbeats keep the client's connection alive; the text then comes at a pace.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from llmitm.clock import Clock
from llmitm.errors import Failure, UpstreamFailed
from llmitm.exchange import ResponseHead
from llmitm.translate.reshape import NotACompletion, simulate_chat

type Steps = AsyncGenerator[ResponseHead | bytes]

HEARTBEAT: Final = b": heartbeat\n\n"
_STREAM_HEADERS: Final = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache"))
_BODY_HEADERS: Final = frozenset({b"content-type", b"content-length", b"content-encoding", b"cache-control"})


async def streamed(
    steps: Steps,
    clock: Clock,
    *,
    include_usage: bool,
    pace_s: float,
    heartbeat_s: float,
    heartbeat_after_s: float,
    limit_bytes: int,
) -> Steps:
    """Turns the steps of a whole completion into those of a stream of it.

    What is no completion (an error, another status, a stream after all) goes on as it is, unless a
    heartbeat has spent the status line; then it is raised.

    Raises:
        UpstreamFailed: the answer is no completion, and the client was told 200 already.
    """
    waiting = asyncio.ensure_future(_whole(steps, limit_bytes))
    has_begun = False
    try:
        wait_s = heartbeat_after_s if heartbeat_s else None
        while not (await asyncio.wait({waiting}, timeout=wait_s))[0]:
            if not has_begun:
                yield ResponseHead(status=200, reason=b"OK", headers=_STREAM_HEADERS)
                has_begun = True
            yield HEARTBEAT
            wait_s = heartbeat_s
        head, body, rest = waiting.result()
    finally:
        if not waiting.done():
            waiting.cancel()
            await asyncio.wait({waiting})
    try:
        if rest is not None or head.status != 200:
            raise NotACompletion("not a whole answer with status 200")
        events = simulate_chat(body, include_usage=include_usage)
    except NotACompletion:
        if has_begun:
            raise UpstreamFailed(Failure.MALFORMED, f"status {head.status} after heartbeats") from None
        if rest is None:
            yield replace(head, whole=body)
            return
        yield head
        async with aclosing(rest):
            async for step in rest:
                yield step
        return
    if not has_begun:
        kept = tuple(pair for pair in head.headers if pair[0].lower() not in _BODY_HEADERS)
        yield ResponseHead(status=200, reason=head.reason, headers=(*_STREAM_HEADERS, *kept))
    for at, event in enumerate(events):
        if at and pace_s:
            await clock.sleep(pace_s)
        yield event


type _Taken = tuple[ResponseHead, bytes, Steps | None]


async def _whole(steps: Steps, limit_bytes: int) -> _Taken:
    """The head and whole body of a JSON answer; for any other, the head and the steps that follow."""
    head = await anext(steps)
    assert isinstance(head, ResponseHead)
    if head.whole is not None:
        async for _ in steps:
            pass
        return head, head.whole, None
    kind = (head.header(b"content-type") or b"").lower()
    if head.status != 200 or b"json" not in kind or head.header(b"content-encoding") is not None:
        return head, b"", steps
    collected = bytearray()
    async for piece in steps:
        assert isinstance(piece, bytes)
        collected += piece
        if len(collected) > limit_bytes:
            raise UpstreamFailed(Failure.MALFORMED, "the answer is larger than body_limit_mb")
    return head, bytes(collected), None
