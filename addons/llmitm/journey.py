"""The whole trip of an exchange: accept -> route -> translate -> send -> back -> record.

A journey takes a request value and yields a response head and then the pieces of its body. It knows
nothing of who hosts it. Two rules shape it:

- Accept once per exchange, never per attempt.
- Nothing is yielded before an upstream has answered, so that until then a failure has a real status;
  after it a failure is told as an error event where the body is an event stream, and the body is cut.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final

import orjson

from llmitm import __version__, listed, mapped, paced, translated
from llmitm.accept import endpoints, keys
from llmitm.config.schema import Config, Endpoint
from llmitm.errors import ClientGone, Failure, Refused, UpstreamFailed
from llmitm.exchange import (
    Attempt,
    ClientRequest,
    Dialect,
    Headers,
    HeldBody,
    Killed,
    ResponseHead,
    UpstreamRequest,
    Watch,
)
from llmitm.record.entry import Entry, entry
from llmitm.route import calls, plan, providers
from llmitm.send.headers import forwardable_request
from llmitm.translate import peek
from llmitm.translate.cut import without_envelopes
from llmitm.translate.failures import reason, write_error, write_error_event
from llmitm.world import World

log = logging.getLogger("llmitm")

type Steps = AsyncIterator[ResponseHead | bytes]

PROMPT_BYTES: Final = 65_536
"""Announced bodies up to this size are read whole before they are sent: one write instead of several."""
_YES: Final = (b"1", b"true")


async def carry(request: ClientRequest, world: World, watch: Watch) -> Steps:
    """Carries one client request to an upstream and its answer back.

    Yields one `ResponseHead`, then pieces of the body unless the head holds it whole.

    Raises:
        UpstreamFailed: the answer broke off after its head had been yielded.
    """
    with entry(request, world.clock, world.sinks) as kept:
        world.in_flight += 1
        world.exchanges += 1
        told = _Told(request, kept, world)
        try:
            if request.path in (b"/health", b"/ready"):
                kept.is_quiet = True
                steps = _health(world, is_ready=request.path == b"/ready")
            else:
                steps = _trip(request, world, watch, kept)
            async for step in steps:
                yield told.step(step)
        except ClientGone:
            raise
        except (Refused, UpstreamFailed, Killed) as error:
            async for step in told.failure(error):
                yield step
        except Exception as error:
            # Ours. The client learns that, the log learns what; nothing more is sent upstream.
            log.exception("exchange %s broke", request.id)
            kept.error = f"{type(error).__name__}: {error}"
            async for step in told.failure(Refused(500, "internal_error", "The gateway failed.")):
                yield step
        finally:
            world.in_flight -= 1


async def _trip(request: ClientRequest, world: World, watch: Watch, kept: Entry) -> Steps:
    config = world.config
    match = endpoints.find(request.target, config)
    kept.endpoint = match.name
    admission = keys.admit(
        request.headers, request.query, match.endpoint, match.name, config, world.clock.now_s()
    )
    kept.auth_key = admission.name
    if _is_upgrade(request):
        raise Refused(501, "not_supported", "WebSocket upgrades are not served yet.")
    asked = plan.Asked(
        id=request.id,
        endpoint=match.name,
        rest=_with_query(match.rest, admission.query),
        dialect=endpoints.dialect_of(match.rest.partition(b"?")[0], request.headers),
        drop_headers=admission.drop_headers,
    )
    length = request.body.length
    if match.endpoint.kind == "gateway":
        async for step in _routed(request, asked, match.endpoint, config, world, watch, kept):
            yield step
        return
    if match.endpoint.kind == "forward":
        if length is not None and length <= PROMPT_BYTES:
            await request.body.whole(PROMPT_BYTES)
        kept.request_bytes = length or 0
        planned = await plan.plan(asked, config, world.store)
        async for step in attempt(planned.attempt, _outgoing(request, planned), world, watch, kept):
            yield step
        return

    body = await request.body.whole(config.server.body_limit_bytes)
    kept.request_bytes = len(body)
    seen = peek.peek(body) if body else None
    kept.model = seen.model if seen else None
    planned = await plan.plan(replace(asked, model=kept.model), config, world.store)
    if planned.model is not None:
        body = peek.replace_member(body, "model", planned.model)
    is_chat = asked.rest.partition(b"?")[0].endswith(b"/chat/completions")
    is_simulated = bool(match.endpoint.simulate_stream and is_chat and seen and seen.stream)
    if is_simulated:
        body = peek.unstream(body)
    outgoing = _outgoing(request, planned, body, decodable=is_chat)
    steps = mapped.mapped(
        attempt(planned.attempt, outgoing, world, watch, kept), planned.attempt, asked.dialect, request.id
    )
    if is_chat and seen and seen.stream:
        # also where a stream was asked for in vain: with guardrails the answer comes as one JSON body
        streaming = config.streaming
        steps = paced.streamed(
            steps,
            world.clock,
            include_usage=seen.include_usage,
            pace_s=streaming.pace_ms / 1000,
            heartbeat_s=streaming.heartbeat_s if is_simulated else 0,
            heartbeat_after_s=streaming.heartbeat_after_s,
            limit_bytes=config.server.body_limit_bytes,
        )
    async for step in steps:
        yield step


async def _routed(
    request: ClientRequest,
    asked: plan.Asked,
    endpoint: Endpoint,
    config: Config,
    world: World,
    watch: Watch,
    kept: Entry,
) -> Steps:
    """By model to one of the providers, in the client's dialect where it speaks that, else translated."""
    if (name := calls.read_models(request.method, asked.rest)) is not None:
        yield _models(name, asked, endpoint, config, kept, world)
        return
    call = calls.read(request.method, asked.rest)
    body = await request.body.whole(config.server.body_limit_bytes)
    kept.request_bytes = len(body)
    wanted = translated.wanted(call, request, body)
    kept.model = wanted.model
    if not _is_allowed(wanted.model, endpoint, kept.auth_key, config):
        raise Refused(403, "model_not_allowed", "This model may not be used here.")
    chosen = await plan.choose(wanted.model, asked.endpoint, config, world.store)
    is_strict = endpoint.strict or chosen.options.strict or request.header(b"x-llmitm-strict") in _YES
    made = translated.prepare(
        call,
        body,
        wanted.model,
        chosen,
        config=config,
        is_strict=is_strict,
        request_id=request.id,
        now_s=world.clock.now_s(),
    )
    asked = replace(asked, dialect=call.dialect, drop_headers=asked.drop_headers | translated.NEVER_SENT)
    if made is None:
        body = without_envelopes(call.dialect, body)
        planned = plan.towards(asked, chosen, call, config)
        if call.model is None and chosen.model != wanted.model:
            body = peek.replace_member(body, "model", chosen.model)
        outgoing = _outgoing(request, translated.with_version(request, planned, call.dialect), body)
        steps = attempt(planned.attempt, outgoing, world, watch, kept)
        steps = mapped.mapped(steps, planned.attempt, call.dialect, request.id)
        steps = translated.untouched(steps, call, chosen.model, kept)
    else:
        planned = plan.towards(asked, chosen, translated.call_of(made), config)
        outgoing = translated.outgoing(request, planned, made, config, chosen.options.api_version)
        back = translated.Back(
            made=made,
            attempt=planned.attempt,
            request_id=request.id,
            kept=kept,
            clock=world.clock,
            limit_bytes=config.server.body_limit_bytes,
        )
        steps = back.steps(attempt(planned.attempt, outgoing, world, watch, kept), config.streaming)
    async for step in steps:
        yield step


def _models(
    name: str, asked: plan.Asked, endpoint: Endpoint, config: Config, kept: Entry, world: World
) -> ResponseHead:
    """The models that this client may ask for by name, or one of them."""
    every = providers.names(config, endpoint.provider)
    allowed = [one for one in every if _is_allowed(one, endpoint, kept.auth_key, config)]
    since_s = int(world.started_s)
    if name:
        body = listed.write_model(asked.dialect, name, allowed, since_s)
    else:
        body = listed.write_models(asked.dialect, allowed, since_s)
    return ResponseHead(
        status=200, reason=b"OK", headers=((b"content-type", b"application/json"),), whole=body
    )


def _is_allowed(model: str, endpoint: Endpoint, auth_key: str | None, config: Config) -> bool:
    key = next((one for one in config.auth_keys or () if one.name == auth_key), None)
    return all(
        not globs or any(fnmatchcase(model, glob) for glob in globs)
        for globs in (endpoint.allowed_models, key.allowed_models if key else ())
    )


def _outgoing(
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
    chosen: Attempt, outgoing: UpstreamRequest, world: World, watch: Watch, kept: Entry
) -> Steps:
    """Makes one attempt and hands its answer on as it comes.

    Raises:
        UpstreamFailed, Killed: no answer, or a broken one.
    """
    noted = kept.note(chosen)
    error: str | None = None
    try:
        sent = await watch.before_send(chosen, outgoing)
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
    with entry(request, world.clock, world.sinks) as kept:
        kept.endpoint = endpoint
        told = _Told(request, kept, world)
        dialect = endpoints.dialect_of(request.path, request.headers)
        try:
            url = origin + request.target.decode("latin-1")
            chosen = plan.again(
                request.id, url, endpoint, provider, credential, gateway, dialect, world.config
            )
            planned = plan.Planned(attempt=chosen)
            async for step in attempt(chosen, _outgoing(request, planned), world, watch, kept):
                yield told.step(step)
        except (Refused, UpstreamFailed, Killed) as error:
            async for step in told.failure(error):
                yield step


def _with_query(rest: bytes, query: bytes) -> bytes:
    """`rest` with the query that goes on: where our own key stood in it, it was taken out."""
    path, mark, _ = rest.partition(b"?")
    return path + b"?" + query if query or mark else path


async def _health(world: World, *, is_ready: bool) -> Steps:
    """`/health` says that it lives, `/ready` whether it takes requests: not while it drains."""
    status = 503 if is_ready and world.is_draining else 200
    body = orjson.dumps({"status": "draining" if world.is_draining else "ok", "version": __version__})
    yield ResponseHead(
        status=status,
        reason=reason(status),
        headers=((b"content-type", b"application/json"), (b"cache-control", b"no-store")),
        whole=body,
    )


def _is_upgrade(request: ClientRequest) -> bool:
    return (request.header(b"upgrade") or b"").lower() == b"websocket"


@dataclass(slots=True)
class _Told:
    """What the client has been told so far, and how it is told of a failure."""

    request: ClientRequest
    kept: Entry
    world: World
    head: ResponseHead | None = None
    tail: bytes = b"\n\n"
    """The last bytes of the body: an error event must not join a line that broke off."""

    def step(self, step: ResponseHead | bytes) -> ResponseHead | bytes:
        kept = self.kept
        if isinstance(step, ResponseHead):
            if self.world.is_draining:
                step = replace(step, headers=(*step.headers, (b"connection", b"close")))
            if self.request.header(b"x-debug") in (b"true", b"1"):
                step = replace(step, headers=(*step.headers, *self._debug()))
            self.head = step
            kept.status = step.status
            if step.whole is not None:
                kept.first_byte_s = self.world.clock.tick_s()
                kept.response_bytes += len(step.whole)
        else:
            if kept.first_byte_s is None:
                kept.first_byte_s = self.world.clock.tick_s()
            kept.response_bytes += len(step)
            self.tail = step[-4:]
        return step

    async def failure(self, error: Exception) -> Steps:
        """The error as an answer; as an error event and a cut where the answer had begun."""
        status, code, message, headers = _words(error)
        param = error.param if isinstance(error, Refused) else None
        self.kept.error = self.kept.error or str(error) or message
        dialect = endpoints.dialect_of(self.request.path, self.request.headers)
        if self.head is None:
            yield self.step(
                refusal(dialect, status, code, message, self.request.id, headers, param),
            )
            return
        is_events = (self.head.header(b"content-type") or b"").startswith(b"text/event-stream")
        if is_events and self.head.header(b"content-encoding") is None:
            seam = b"" if self.tail.endswith((b"\n\n", b"\r\n\r\n")) else b"\n\n"
            yield self.step(seam + write_error_event(dialect, status, code, message, self.request.id))
        raise UpstreamFailed(Failure.TRUNCATED, message) from error

    def _debug(self) -> Headers:
        last = self.kept.attempts[-1] if self.kept.attempts else None
        if last is None:
            return ()
        named = {
            b"x-debug-provider": last.provider,
            b"x-debug-model": self.kept.model,
            b"x-debug-credential": last.credential,
            b"x-debug-gateway": last.gateway,
            b"x-debug-attempts": str(len(self.kept.attempts)),
            b"x-debug-path": f"{self.kept.endpoint}>{last.provider}",
        }
        return tuple((name, _header_value(value)) for name, value in named.items() if value)


def _header_value(text: str) -> bytes:
    """Names come from people: what a header cannot carry is percent-encoded."""
    return "".join(sign if " " <= sign <= "~" else f"%{ord(sign):X}" for sign in text).encode()


def _words(error: Exception) -> tuple[int, str, str, Headers]:
    match error:
        case Refused():
            return error.status, error.code, error.message, error.headers
        case UpstreamFailed():
            return error.status, error.failure.value, error.message, ()
        case _:
            return 502, "stopped", "The request was stopped by an operator.", ()


def refusal(
    dialect: Dialect,
    status: int,
    code: str,
    message: str,
    request_id: str,
    headers: Headers = (),
    param: str | None = None,
) -> ResponseHead:
    """An error of ours as a whole answer in the client's dialect."""
    body = write_error(dialect, status, code, message, request_id, param)
    return ResponseHead(
        status=status,
        reason=reason(status),
        headers=(
            (b"content-type", b"application/json"),
            (b"x-request-id", request_id.encode()),
            *headers,
        ),
        whole=body,
    )


__all__ = ["attempt", "carry", "refusal", "resend"]
