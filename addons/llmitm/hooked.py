"""The operator's own functions joined to a trip: what they are given, and what becomes of what they return.

They see what a client asked once it is admitted, and what it is about to be told. Only calls of models in
JSON are shown to them; what holds keys is not.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

import orjson

from llmitm.clock import Clock
from llmitm.errors import Refused
from llmitm.exchange import ClientRequest, Headers, HeldBody, ResponseHead
from llmitm.hooks import Reply, Request
from llmitm.route import calls
from llmitm.route.plan import Asked
from llmitm.shape.hooks.calling import call
from llmitm.shape.hooks.modules import Hook

type Steps = AsyncGenerator[ResponseHead | bytes]

_HIDDEN: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "x-goog-api-key",
        "api-key",
        "x-llmitm-key",
        "cookie",
        "set-cookie",
        "cf-aig-authorization",
        "content-length",
        "transfer-encoding",
        "connection",
        "host",
    }
)
"""Headers that hold keys, or say how a message is framed."""


async def asked(
    hooks: tuple[Hook, ...],
    request: ClientRequest,
    asked: Asked,
    key: str | None,
    limit_bytes: int,
    clock: Clock,
) -> ClientRequest | ResponseHead:
    """The request as the hooks leave it, or the answer that one of them gives in its place.

    Raises:
        Refused: a hook refuses it, or failed; 413, it is too long to be held whole.
    """
    if request.method != "POST" or calls.find(asked.rest) is None:
        return request
    body = await request.body.whole(limit_bytes)
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError:
        read = None
    if not isinstance(read, dict):
        if any(hook.is_closed for hook in hooks):
            raise Refused(400, "invalid_json", "The request body is no JSON object.")
        return request
    shown = first = Request(
        endpoint=asked.endpoint,
        dialect=asked.dialect.value,
        path=asked.rest.partition(b"?")[0].decode("latin-1").lstrip("/"),
        key=key,
        headers=_shown(request.headers),
        body=read,
    )
    for hook in hooks:
        match await call(hook, shown, (Request, Reply), clock):
            case Reply() as reply:
                return _head(reply, ())
            case Request() as changed:
                shown = changed
    if shown is first:
        return request
    sent = _written(shown.body)
    headers = _merged(request.headers, first.headers, shown.headers)
    headers = (*(pair for pair in headers if pair[0].lower() != b"content-length"), _length(sent))
    return replace(request, headers=headers, body=HeldBody(sent))


async def replied(hooks: tuple[Hook, ...], steps: Steps, limit_bytes: int, clock: Clock) -> Steps:
    """The steps, with a whole answer in JSON as the hooks leave it. Streams and errors pass as they are."""
    async with aclosing(steps):
        head = await anext(steps)
        assert isinstance(head, ResponseHead)
        kind = (head.header(b"content-type") or b"").lower()
        is_plain = head.header(b"content-encoding") in (None, b"", b"identity")
        if head.status != 200 or not kind.startswith(b"application/json") or not is_plain:
            yield head
            async for step in steps:
                yield step
            return
        held = bytearray(head.whole or b"")
        async for step in steps:
            assert isinstance(step, bytes)
            held += step
            if len(held) > limit_bytes:
                raise Refused(502, "hook_failed", "The answer is too long for a rule of this gateway.")
        yield await _reply(hooks, replace(head, whole=bytes(held)), clock)


async def _reply(hooks: tuple[Hook, ...], head: ResponseHead, clock: Clock) -> ResponseHead:
    try:
        read = orjson.loads(head.whole or b"")
    except orjson.JSONDecodeError:
        return head
    if not isinstance(read, dict):
        return head
    shown = first = Reply(status=head.status, headers=_shown(head.headers), body=read)
    for hook in hooks:
        changed = await call(hook, shown, (Reply,), clock)
        shown = shown if changed is None else changed
    if shown is first:
        return head
    return _head(shown, _merged(head.headers, first.headers, shown.headers))


def _head(reply: Reply, headers: Headers) -> ResponseHead:
    if not isinstance(reply.status, int) or not 200 <= reply.status <= 599:
        raise _nonsense()
    whole = _written(reply.body)
    gone = (b"content-length", b"content-type")
    headers = tuple(pair for pair in headers or _merged((), {}, reply.headers) if pair[0].lower() not in gone)
    return ResponseHead(
        status=reply.status, headers=((b"content-type", b"application/json"), *headers), whole=whole
    )


def _shown(headers: Headers) -> Mapping[str, str]:
    pairs = ((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers)
    return {name: value for name, value in pairs if name not in _HIDDEN}


def _merged(headers: Headers, before: Mapping[str, str], after: Mapping[str, str]) -> Headers:
    """`headers` with what differs between `before` and `after`."""
    if before == after:
        return headers
    changed = {name.lower(): value for name, value in after.items() if before.get(name) != value}
    gone = set(before).difference(after) | set(changed)
    try:
        added = [
            (name.encode("ascii"), value.encode("latin-1"))
            for name, value in changed.items()
            if name not in _HIDDEN
        ]
    except (AttributeError, UnicodeEncodeError):
        raise _nonsense() from None
    if any(sign in b"".join(pair) for pair in added for sign in (b"\r", b"\n", b"\0")):
        raise _nonsense()
    return (*(pair for pair in headers if pair[0].decode("latin-1").lower() not in gone), *added)


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % len(body)


def _written(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:
        raise _nonsense() from None


def _nonsense() -> Refused:
    return Refused(500, "hook_failed", "A rule of this gateway's operator gave back what cannot be sent.")
