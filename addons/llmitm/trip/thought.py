"""An answer of chat completions whose text begins with reasoning between tags, told as reasoning.

The joint of `translate.think` with the steps of an attempt. What is read here comes uncompressed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from llmitm.aside import aside, in_portions
from llmitm.config.providers import ProviderOptions
from llmitm.config.schema import Config
from llmitm.exchange import Attempt, Dialect, ResponseHead, UpstreamRequest
from llmitm.route.calls import Call
from llmitm.translate import think
from llmitm.trip.cloaked import plain, without_length
from llmitm.trip.translated import is_events

type Steps = AsyncGenerator[ResponseHead | bytes]

_REPLY_BYTES: Final = 33_554_432
"""A whole answer that is longer passes as it is."""
_ENCODING: Final = b"accept-encoding"


def is_wanted(config: Config, options: ProviderOptions | None) -> bool:
    """By provider or credential, else for all."""
    own = options.extract_think if options is not None else None
    return config.streaming.extract_think if own is None else own


def may_hold(attempt: Attempt, call: Call | None) -> bool:
    """Whether the answer can be one in which reasoning is looked for."""
    return attempt.dialect is Dialect.OPENAI_CHAT and call is not None and call.task == "generate"


def readable(sending: UpstreamRequest) -> UpstreamRequest:
    """The request for an answer that is not compressed."""
    headers = tuple(pair for pair in sending.headers if pair[0].lower() != _ENCODING)
    return replace(sending, headers=(*headers, (_ENCODING, b"identity")))


async def told(steps: Steps) -> Steps:
    """The answer with reasoning in its own field."""
    try:
        head = await anext(steps)
        assert isinstance(head, ResponseHead)
        kind = (head.header(b"content-type") or b"").lower()
        if not 200 <= head.status < 300 or not (is_events(head) or b"json" in kind):
            yield head
            async for step in steps:
                yield step
            return
        made = _stream(head, steps) if is_events(head) else _whole(head, steps)
        async with aclosing(made):
            async for step in made:
                yield step
    finally:
        await steps.aclose()


async def _stream(head: ResponseHead, steps: Steps) -> Steps:
    yield ResponseHead(status=head.status, headers=without_length(head), reason=head.reason)
    stream = think.Stream()
    async for piece in plain(head, steps):
        made = b"".join([stream.feed(portion) async for portion in in_portions(piece)])
        if made or not piece:  # an empty one tells that nothing comes
            yield made
    if left := stream.finish():
        yield left


async def _whole(head: ResponseHead, steps: Steps) -> Steps:
    body = bytearray()
    pieces = plain(head, steps)
    async for piece in pieces:
        body += piece
        if len(body) > _REPLY_BYTES:
            yield replace(head, headers=without_length(head), whole=None)
            yield bytes(body)
            async for rest in pieces:
                yield rest
            return
    made = await aside(len(body), think.reply, bytes(body))
    yield head if made == head.whole else replace(head, headers=without_length(head), whole=made)


__all__ = ["is_wanted", "may_hold", "readable", "told"]
