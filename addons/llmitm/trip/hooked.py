"""The operator's own functions joined to a trip: what they are given, and what becomes of what they return.

They see what a client asks once it is admitted, what each provider is sent, and what the client is about to
be told. What holds keys is not shown to them. Where no module is configured nothing of this is made.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import orjson

from llmitm.config.endpoints import Endpoint
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import (
    Attempt,
    ClientRequest,
    Headers,
    HeldBody,
    ResponseHead,
    UpstreamRequest,
    Watch,
)
from llmitm.hooks import Attempt as Shown
from llmitm.hooks import Reply, Request, Skip
from llmitm.route import calls
from llmitm.route.calls import Call
from llmitm.route.plan import Asked
from llmitm.route.verdict import Ending
from llmitm.shape.hooks import wire
from llmitm.shape.hooks.calling import call
from llmitm.shape.hooks.modules import Hook, Modules
from llmitm.translate import peek
from llmitm.translate.failures import reason, write_failure
from llmitm.translate.neutral import Failure
from llmitm.trip.canned import as_asked
from llmitm.trip.missed import Missed
from llmitm.world import World

log = logging.getLogger("llmitm")

type Steps = AsyncGenerator[ResponseHead | bytes]


@dataclass(slots=True, kw_only=True)
class Hooked:
    """One exchange that functions of the operator's may look at."""

    modules: Modules
    world: World
    id: str
    asked: Asked
    call: Call | None
    """None: it is no call of a model, and only its attempts are shown."""
    key: str | None
    limit_bytes: int
    has_attempts: bool
    """Whether attempts are shown: they are where the endpoint puts credentials on."""
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        request: ClientRequest,
        asked: Asked,
        endpoint: Endpoint,
        key: str | None,
        config: Config,
        world: World,
    ) -> Hooked | None:
        """None: no module is configured."""
        modules = config.hooks.loaded
        if modules is None:
            return None
        return cls(
            modules=modules,
            world=world,
            id=request.id,
            asked=asked,
            call=calls.find(asked.rest) if request.method == "POST" else None,
            key=key,
            limit_bytes=config.server.body_limit_bytes,
            has_attempts=bool(modules.on_attempt) and endpoint.injects,
        )

    @property
    def answers(self) -> bool:
        """Whether functions are to see what the client is told."""
        return self.call is not None and bool(self.modules.on_reply or self.modules.on_delta)

    async def request(self, request: ClientRequest) -> ClientRequest | ResponseHead:
        """The request as the functions leave it, or the answer that one of them gives in its place. What
        they make of its path is in `asked` from then on.

        Raises:
            Refused: a function refuses it, or failed; 413, it is too long to be held whole.
        """
        if self.answers:  # what is compressed could not be shown
            headers = (pair for pair in request.headers if pair[0].lower() != b"accept-encoding")
            request = replace(request, headers=(*headers, (b"accept-encoding", b"identity")))
        if self.call is None or not self.modules.on_request:
            return request
        return await self._requested(self.call, self.modules.on_request, request)

    async def _requested(
        self, asked: Call, hooks: tuple[Hook, ...], request: ClientRequest
    ) -> ClientRequest | ResponseHead:
        body = await request.body.whole(self.limit_bytes)
        read = _object(body)
        if read is None:
            if any(hook.is_closed for hook in hooks):
                raise Refused(400, "invalid_json", "The request body is no JSON object.")
            return request
        named = asked.model or read.get("model")
        shown = first = Request(
            id=self.id,
            endpoint=self.asked.endpoint,
            dialect=self.asked.dialect.value,
            path=self.asked.rest.partition(b"?")[0].decode("latin-1").lstrip("/"),
            key=self.key,
            model=named if isinstance(named, str) else None,
            headers=wire.shown(request.headers),
            body=read,
            notes=self.notes,
        )
        is_changed = False
        for hook in hooks:
            match await call(hook, shown, (Request, Reply), self.world.clock):
                case Reply() as reply:
                    return as_asked(answer(reply), asked, body)
                case Request() as changed:
                    shown, is_changed = changed, True
        return self._changed(request, body, first, shown) if is_changed else request

    def _changed(self, request: ClientRequest, body: bytes, first: Request, shown: Request) -> ClientRequest:
        members = wire.changes(orjson.loads(body), shown.body)
        if shown.model != first.model:
            if not isinstance(shown.model, str) or not shown.model or self.call is None:
                raise wire.nonsense()
            if self.call.model is None:
                members["model"] = orjson.dumps(shown.model)
            else:
                self._rename(self.call.model, shown.model)
        sent = peek.edit(body, members) if members else body
        headers = wire.merged(request.headers, first.headers, shown.headers)
        if sent is not body:
            headers = (*(pair for pair in headers if pair[0].lower() != b"content-length"), _length(sent))
        return replace(request, headers=headers, body=HeldBody(sent))

    def _rename(self, old: str, new: str) -> None:
        """The model that the path names."""
        path, mark, query = self.asked.rest.partition(b"?")
        before, _, verb = path.rpartition(b":")
        path = before[: before.rindex(b"/models/") + 8] + quote(new, safe="").encode() + b":" + verb
        self.asked = replace(self.asked, rest=path + mark + query)
        self.call = calls.find(self.asked.rest)

    def watching(self, watch: Watch) -> Watch:
        """The same watch, with functions that see each attempt before it does."""
        return Attended(watch, self) if self.has_attempts else watch

    async def attempt(self, chosen: Attempt, sending: UpstreamRequest) -> UpstreamRequest:
        """What is sent, as the functions leave it.

        Raises:
            Missed: one of them passes this credential over.
            Refused: one of them refuses the exchange, or failed.
        """
        held = sending.body.held
        redact = self.world.redact
        values = b"\n".join([value for _, value in sending.headers])
        has_secret = redact.of_bytes(values) is not values
        shown = first = Shown(
            id=self.id,
            endpoint=self.asked.endpoint,
            key=self.key,
            number=chosen.number,
            provider=chosen.provider,
            credential=chosen.credential,
            model=chosen.model,
            dialect=chosen.dialect.value,
            method=sending.method,
            url=redact(sending.url.partition("?")[0]),
            headers=wire.shown(
                sending.headers, (lambda value: redact.of_bytes(value) is not value) if has_secret else None
            ),
            body=_object(held) if held else None,
            notes=self.notes,
        )
        is_changed = False
        for hook in self.modules.on_attempt:
            try:
                made = await call(hook, shown, (Shown,), self.world.clock)
            except Skip as skip:
                raise self._skipped(hook, str(skip.reason)) from None
            if made is not None:
                shown, is_changed = made, True
        if not is_changed:
            return sending
        headers = wire.merged(sending.headers, first.headers, shown.headers)
        if first.body is None or held is None:
            if shown.body is not None:
                raise wire.nonsense()
            return sending if headers is sending.headers else replace(sending, headers=headers)
        members = wire.changes(orjson.loads(held), shown.body)
        if not members:
            return replace(sending, headers=headers)
        sent = peek.edit(held, members)
        return replace(sending, headers=wire.with_length(headers, sent), body=HeldBody(sent))

    def _skipped(self, hook: Hook, why: str) -> Missed:
        failure = Failure(
            status=503,
            kind="unavailable",
            code="skipped_by_hook",
            message="No provider is left that this gateway's own rules let be asked.",
        )
        status, body, more = write_failure(self.asked.dialect, failure, self.id)
        told = ResponseHead(
            status=status,
            reason=reason(status),
            headers=((b"content-type", b"application/json"), (b"x-request-id", self.id.encode()), *more),
            whole=body,
        )
        return Missed(Ending.SKIPPED, failure, told, said=f"{hook.shown} skips it: {why}".rstrip(": "))


class Attended:
    """A watch before which functions see each attempt. What they skip or refuse it learns nothing of."""

    __slots__ = ("_begun", "_hooked", "_watch")

    def __init__(self, watch: Watch, hooked: Hooked) -> None:
        self._watch = watch
        self._hooked = hooked
        self._begun: set[int] = set()

    async def before_send(self, attempt: Attempt, request: UpstreamRequest) -> UpstreamRequest | ResponseHead:
        request = await self._hooked.attempt(attempt, request)
        self._begun.add(attempt.number)
        return await self._watch.before_send(attempt, request)

    async def on_head(self, attempt: Attempt, head: ResponseHead) -> tuple[ResponseHead, bool]:
        return await self._watch.on_head(attempt, head)

    def on_piece(self, attempt: Attempt, piece: bytes) -> None:
        self._watch.on_piece(attempt, piece)

    @property
    def sees_messages(self) -> bool:
        return self._watch.sees_messages

    def on_message(self, attempt: Attempt, content: bytes, *, is_text: bool, is_clients: bool) -> None:
        self._watch.on_message(attempt, content, is_text=is_text, is_clients=is_clients)

    def on_close(self, attempt: Attempt, code: int, reason: str, *, is_clients: bool) -> None:
        self._watch.on_close(attempt, code, reason, is_clients=is_clients)

    async def on_whole(self, attempt: Attempt, head: ResponseHead, body: bytes) -> ResponseHead:
        return await self._watch.on_whole(attempt, head, body)

    async def on_end(self, attempt: Attempt, error: str | None) -> None:
        if attempt.number in self._begun:
            await self._watch.on_end(attempt, error)


def answer(reply: Reply) -> ResponseHead:
    """A reply that a function made, as a whole answer.

    Raises:
        Refused: 500, it cannot be sent.
    """
    return head_of(reply, wire.merged((), {}, reply.headers), wire.written(reply.body))


def head_of(reply: Reply, headers: Headers, body: bytes) -> ResponseHead:
    """Raises `Refused`, 500, where there is no such status."""
    if not isinstance(reply.status, int) or not 200 <= reply.status <= 599:
        raise wire.nonsense()
    gone = (b"content-length", b"content-type", b"content-encoding")
    kept = (pair for pair in headers if pair[0].lower() not in gone)
    return ResponseHead(
        status=reply.status,
        reason=reason(reply.status),
        headers=((b"content-type", b"application/json"), *kept),
        whole=body,
    )


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return read if isinstance(read, dict) else None


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % len(body)
