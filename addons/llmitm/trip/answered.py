"""What a client is about to be told, past the operator's functions: whole answers, errors, and streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, cast

import orjson

from llmitm.aside import in_portions
from llmitm.errors import Refused, UpstreamFailed
from llmitm.exchange import Headers, ResponseHead
from llmitm.hooks import Reply
from llmitm.shape.hooks import wire
from llmitm.shape.hooks.calling import RefusedByHook, call
from llmitm.translate import peek
from llmitm.trip.deltas import Array, Events, Going, Seen, Shown
from llmitm.trip.hooked import Hooked, head_of
from llmitm.trip.told import refusal
from llmitm.trip.translated import body_of, decoded, is_events

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
        way = _way_of(hooked, head)
        if way is None:
            yield head
            async for step in steps:
                yield step
            return
        head, pieces = _plain(head, steps)
        if way == "whole":
            async for step in _whole(hooked, head, pieces):
                yield step
            return
        going = _Stream.of(hooked, way)
        if head.whole is not None:
            yield await going.at_once(head, pieces)
            return
        # no generator of its own for what every piece of a stream comes by
        head, has_begun = _unframed(head), False
        try:
            async for piece in pieces:
                if not (told := await going.read(piece)):
                    continue
                if not has_begun:  # so that what is refused at once has a status
                    yield head
                    has_begun = True
                yield told
        except UpstreamFailed:
            if (told := await going.finish()) and has_begun:
                yield told
            await going.over(head, is_cut=True)
            raise
        told = await going.finish()
        if not has_begun:
            yield head
        if told:
            yield told
        await going.over(head, is_cut=False)


type _Way = Literal["whole", "events", "array"]


def _way_of(hooked: Hooked, head: ResponseHead) -> _Way | None:
    """How functions are shown the answer; None: there is nothing in it for them."""
    modules, call = hooked.modules, hooked.call
    assert call is not None
    is_json = b"json" in (head.header(b"content-type") or b"").lower()
    way: _Way = "whole"
    if is_json and 200 <= head.status < 300 and call.is_json_array:
        way = "array"
    elif is_events(head):
        way = "events"
    elif not is_json:
        return None
    hooks = modules.on_reply
    if way != "whole":
        hooks = modules.on_delta + (modules.on_reply if call.task == "generate" else ())
    encoding = _encoding(head)
    if encoding not in (b"", b"identity", *_INFLATED):  # although no compression was asked for
        hooks = tuple(hook for hook in hooks if hook.is_closed)
    return way if hooks else None


def _encoding(head: ResponseHead) -> bytes:
    return (head.header(b"content-encoding") or b"").strip().lower()


def _plain(head: ResponseHead, steps: Steps) -> tuple[ResponseHead, AsyncIterator[bytes]]:
    """Head and body without compression."""
    encoding = _encoding(head)
    if not encoding:
        return head, body_of(head, steps) if head.whole else cast(AsyncIterator[bytes], steps)
    headers = tuple(pair for pair in head.headers if pair[0].lower() not in _FRAMING)
    return replace(head, headers=headers), decoded(body_of(head, steps), encoding)


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


@dataclass(slots=True)
class _Stream:
    """A stream that functions are shown, and what they are shown once it is over."""

    hooked: Hooked
    seen: Seen | None
    """None: nobody wants to know then."""
    feed: Callable[[bytes], Awaitable[bytes]]
    finish: Callable[[], Awaitable[bytes]]

    @classmethod
    def of(cls, hooked: Hooked, way: _Way) -> _Stream:
        modules, call = hooked.modules, hooked.call
        assert call is not None
        seen = Seen(call.dialect) if modules.on_reply and call.task == "generate" else None
        shown = Shown(hooked, modules.on_delta, call.dialect, seen)
        going: Going = Array(shown) if way == "array" else Events(shown)
        return cls(hooked, seen, going.feed, going.finish)

    async def read(self, piece: bytes) -> bytes:
        return b"".join([await self.feed(portion) async for portion in in_portions(piece)])

    async def at_once(self, head: ResponseHead, pieces: AsyncIterator[bytes]) -> ResponseHead:
        """Of a stream that is there whole already."""
        out = [await self.read(piece) async for piece in pieces]
        out.append(await self.finish())
        await self.over(head, is_cut=False)
        headers = tuple(pair for pair in head.headers if pair[0].lower() != b"content-length")
        return replace(head, headers=headers, whole=b"".join(out))

    async def over(self, head: ResponseHead, *, is_cut: bool) -> None:
        """Shows what it has told. Nothing can be changed of it any more."""
        hooked, seen = self.hooked, self.seen
        body = seen.reply() if seen is not None else None
        if seen is None or body is None:
            return
        is_cut = is_cut or seen.is_cut
        shown = _shown(hooked, head.status, head.headers, body, is_stream=True, is_cut=is_cut)
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
