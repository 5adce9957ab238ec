"""What a client is about to be told, past the operator's functions: whole answers, errors, and streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

import orjson

from llmitm.deltas import Array, Events, Going, Seen, Shown
from llmitm.errors import Refused, UpstreamFailed
from llmitm.exchange import Headers, ResponseHead
from llmitm.hooked import Hooked, head_of
from llmitm.hooks import Reply
from llmitm.shape.hooks import wire
from llmitm.shape.hooks.calling import RefusedByHook, call
from llmitm.told import refusal
from llmitm.translate import peek
from llmitm.translated import body_of, decoded, is_events

type Steps = AsyncGenerator[ResponseHead | bytes]

_INFLATED: Final = (b"gzip", b"x-gzip", b"deflate")
_FRAMING: Final = (b"content-length", b"content-encoding")


async def answered(hooked: Hooked, steps: Steps) -> Steps:
    """The steps as the functions leave them. What is neither JSON nor a stream of it passes as it is.

    Raises:
        Refused: a function refuses the answer, or failed; 502, it is too long to be checked.
    """
    async with aclosing(steps):
        head = await anext(steps)
        assert isinstance(head, ResponseHead)
        made = _way(hooked, head, steps)
        if made is None:
            yield head
            async for step in steps:
                yield step
            return
        async with aclosing(made):
            async for step in made:
                yield step


def _way(hooked: Hooked, head: ResponseHead, steps: Steps) -> Steps | None:
    """None: there is nothing in it that functions could be shown."""
    modules, call = hooked.modules, hooked.call
    assert call is not None
    is_json = b"json" in (head.header(b"content-type") or b"").lower()
    is_good = 200 <= head.status < 300
    is_array = is_json and is_good and call.is_json_array
    is_stream = is_array or is_events(head)
    if not is_stream and not (is_json and modules.on_reply):
        return None
    encoding = (head.header(b"content-encoding") or b"").strip().lower()
    if encoding not in (b"", b"identity", *_INFLATED):  # although no compression was asked for
        hooks = modules.on_delta if is_stream else modules.on_reply
        if not any(hook.is_closed for hook in hooks):
            return None
    pieces = decoded(body_of(head, steps), encoding)
    if encoding:
        head = replace(head, headers=tuple(pair for pair in head.headers if pair[0].lower() not in _FRAMING))
    if not is_stream:
        return _whole(hooked, head, pieces)
    seen = Seen(call.dialect) if modules.on_reply and call.task == "generate" else None
    if not modules.on_delta and seen is None:
        return None
    shown = Shown(hooked, modules.on_delta, call.dialect, seen)
    return _streamed(hooked, head, pieces, Array(shown) if is_array else Events(shown), seen)


async def _whole(hooked: Hooked, head: ResponseHead, pieces: AsyncIterator[bytes]) -> Steps:
    held = bytearray()
    has_begun = False
    async for piece in pieces:
        if not held and head.whole is None and piece.isspace():  # a sign of life: the status is spent
            if not has_begun:
                yield _unframed(head)
                has_begun = True
            yield piece
            continue
        held += piece
        if len(held) > hooked.limit_bytes:
            raise Refused(502, "hook_failed", "The answer is too long for the rules of this gateway.")
    made = await changed(hooked, replace(head, whole=bytes(held)))
    if not has_begun:
        yield made
    elif made.whole:
        yield made.whole


async def _streamed(
    hooked: Hooked, head: ResponseHead, pieces: AsyncIterator[bytes], going: Going, seen: Seen | None
) -> Steps:
    """The head waits for the first thing that is told, so that what is refused at once has a status."""
    is_whole, out = head.whole is not None, []
    head, has_begun = _unframed(head), False
    broken: UpstreamFailed | None = None
    try:
        async for piece in pieces:
            if not (told := await going.feed(piece)):
                continue
            if is_whole:
                out.append(told)
                continue
            if not has_begun:
                yield head
                has_begun = True
            yield told
    except UpstreamFailed as error:
        broken = error
    told = await going.finish()
    if is_whole and broken is None:
        yield replace(head, whole=b"".join((*out, told)))
    elif has_begun or broken is None:
        if not has_begun:
            yield head
        if told:
            yield told
    if seen is not None:
        seen.is_cut = seen.is_cut or broken is not None
        await _over(hooked, head, seen)
    if broken is not None:
        raise broken


async def _over(hooked: Hooked, head: ResponseHead, seen: Seen) -> None:
    """Shows what a stream has told, now that it is over. Nothing can be changed of it any more."""
    body = seen.reply()
    if body is None:
        return
    shown = _shown(hooked, head.status, head.headers, body, is_stream=True, is_cut=seen.is_cut)
    for hook in hooked.modules.on_reply:
        try:
            await call(hook, shown, (Reply,), hooked.world.clock)
        except RefusedByHook:
            pass  # the client has been told


async def changed(hooked: Hooked, head: ResponseHead) -> ResponseHead:
    """A whole answer as the functions leave it.

    Raises:
        Refused: as `answered`.
    """
    whole = head.whole or b""
    try:
        read = orjson.loads(whole)
    except orjson.JSONDecodeError:
        read = None
    if not isinstance(read, dict):
        if head.status < 400 and any(hook.is_closed for hook in hooked.modules.on_reply):
            raise Refused(502, "hook_failed", "The answer is no JSON object, so it cannot be checked.")
        return head
    shown = first = _shown(hooked, head.status, head.headers, read)
    is_changed = False
    for hook in hooked.modules.on_reply:
        made = await call(hook, shown, (Reply,), hooked.world.clock)
        if made is not None:
            shown, is_changed = made, True
    if not is_changed:
        return head
    members = wire.changes(orjson.loads(whole), shown.body)
    headers = wire.merged(head.headers, first.headers, shown.headers)
    return head_of(shown, headers, peek.edit(whole, members) if members else whole)


async def failed(hooked: Hooked, head: ResponseHead, error: Exception) -> ResponseHead:
    """An error that the client is about to be told, as the functions leave it. What they refused themselves
    they are not shown."""
    if isinstance(error, RefusedByHook):
        return head
    try:
        return await changed(hooked, head)
    except Refused as refused:
        return refusal(hooked.asked.dialect, refused.status, refused.code, refused.message, hooked.id)


def _shown(
    hooked: Hooked,
    status: int,
    headers: Headers,
    body: dict[str, Any],
    *,
    is_stream: bool = False,
    is_cut: bool = False,
) -> Reply:
    return Reply(
        status=status,
        headers=wire.shown(headers),
        body=body,
        is_stream=is_stream,
        is_cut=is_cut,
        id=hooked.id,
        endpoint=hooked.asked.endpoint,
        key=hooked.key,
        dialect=hooked.asked.dialect.value,
        notes=hooked.notes,
    )


def _unframed(head: ResponseHead) -> ResponseHead:
    headers = tuple(pair for pair in head.headers if pair[0].lower() != b"content-length")
    return replace(head, headers=headers, whole=None)
