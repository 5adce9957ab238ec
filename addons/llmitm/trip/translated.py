"""A client of one dialect and an upstream of another: what is sent, and what the answer becomes.

The translation itself is pure and knows neither heads nor connections; here it is joined to the steps of
an attempt. A client of the upstream's own dialect needs none of it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from llmitm import __version__
from llmitm.aside import aside, in_portions, is_short
from llmitm.clock import Clock
from llmitm.config.schema import Config
from llmitm.errors import Failure as Broken
from llmitm.errors import Refused, UpstreamFailed
from llmitm.exchange import (
    Attempt,
    ClientRequest,
    Dialect,
    Headers,
    HeldBody,
    ResponseHead,
    UpstreamRequest,
    Usage,
)
from llmitm.record.entry import Entry
from llmitm.route.calls import Call, generate
from llmitm.route.plan import Planned
from llmitm.route.providers import Candidate
from llmitm.shape.headers import Passing
from llmitm.translate import failures, models, peek
from llmitm.translate.embeddings import Embedding
from llmitm.translate.inflate import PORTION_BYTES, inflater
from llmitm.translate.inflate import Broken as NotPacked
from llmitm.translate.neutral import Request, UpstreamError
from llmitm.translate.pair import Translation, read_request
from llmitm.translate.target import Model, Target
from llmitm.trip import mapped
from llmitm.trip.missed import Missed

type Steps = AsyncGenerator[ResponseHead | bytes]
type Made = Translation | Embedding
"""A request that was translated, and its way back."""

NEVER_SENT: Final = frozenset({b"cookie", b"x-llmitm-strict", b"x-llmitm-provider"})
"""What no provider gets of a client's headers, whatever the dialects."""
_TRACES: Final = frozenset({b"traceparent", b"tracestate"})
ANTHROPIC_VERSION: Final = b"2023-06-01"
"""Every model and every host knows this one, and it takes all that is written here."""

_VENDORS: Final[Mapping[Dialect, str]] = {
    Dialect.OPENAI_CHAT: "openai",
    Dialect.OPENAI_RESPONSES: "openai",
    Dialect.ANTHROPIC_MESSAGES: "anthropic",
    Dialect.GEMINI: "google",
}
_OF_VENDORS: Final[Mapping[str, str]] = {
    "openai": "openai",
    "azure": "openai",
    "azure-openai": "openai",
    "azure_ai": "openai",
    "anthropic": "anthropic",
    "claude": "anthropic",
    "azure-anthropic": "anthropic",
    "foundry": "anthropic",
    "google": "google",
    "gemini": "google",
    "google-ai-studio": "google",
}
"""Names of providers whose vendor's seals they can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What routing needs of a request."""

    models: tuple[str, ...]
    """Those that will do, the best first; at least one."""
    is_stream: bool
    has_list: bool = False
    """The body names `models`, which no provider is sent."""
    max_output_tokens: int | None = None


def wanted(call: Call, request: ClientRequest, body: bytes) -> Wanted:
    """Reads the models' names, and whether a stream is asked for, from path or body.

    Raises:
        Refused: 400, the body is no JSON object or names no model; 415, it is compressed.
    """
    if request.header(b"content-encoding") not in (None, b"", b"identity"):
        raise Refused(415, "unsupported_encoding", "Send the request's body uncompressed to this endpoint.")
    seen = peek.peek(body)
    if call.model is not None:
        most = seen.max_output_tokens if seen is not None else None
        return Wanted(models=(call.model,), is_stream=bool(call.is_stream), max_output_tokens=most)
    if seen is None:
        raise Refused(400, "invalid_json", "The request's body is not a JSON object.")
    models = tuple(dict.fromkeys(one for one in (seen.model, *seen.models) if one))
    if not models:
        raise Refused(400, "missing_model", "The request names no model.", param="model")
    return Wanted(
        models=models,
        is_stream=seen.stream,
        has_list=bool(seen.models),
        max_output_tokens=seen.max_output_tokens,
    )


def prepare(
    call: Call,
    body: bytes,
    model: str,
    chosen: Candidate,
    *,
    config: Config,
    is_strict: bool,
    request_id: str = "",
    now_s: float = 0,
) -> Translation | None:
    """The request as the provider takes it; None where that is as the client wrote it.

    `request_id` and `now_s` stand in for what the upstream may not tell: the reply's id, and when it was.

    Raises:
        Refused: 400, the request cannot be said in the provider's dialect; 501, it is of a kind that is
            not translated.
    """
    dialect = chosen.dialect_for(call.dialect)
    if call.task == "other":
        if dialect is not call.dialect:
            raise Refused(
                501,
                "not_supported",
                f"Provider {chosen.provider} does not speak {call.dialect}, and calls of this kind are not "
                "translated.",
            )
        return None
    asked: Request | None = None
    row = row_of(chosen, dialect, config)
    if _may_need_responses(chosen, dialect, row):
        asked = _read(call, body, model)
        if row.is_responses_only or (asked.tools and _effort(asked, row) != "none"):
            dialect = Dialect.OPENAI_RESPONSES
    if dialect is call.dialect:
        return None
    made = Translation(
        asked or _read(call, body, model),
        target_of(chosen, dialect, config, is_strict=is_strict),
        now_s=int(now_s),
        reply_id=hashlib.sha256(request_id.encode()).hexdigest()[:32],
    )
    if call.dialect in chosen.dialects:
        made.notes.adjusted("upstream-dialect", "", call.dialect.value, dialect.value)
    return made


def _read(call: Call, body: bytes, model: str) -> Request:
    if call.dialect is Dialect.GEMINI:
        return read_request(
            call.dialect, body, model=model, is_stream=call.is_stream, is_json_array=call.is_json_array
        )
    return read_request(call.dialect, body)


def _may_need_responses(chosen: Candidate, dialect: Dialect, row: Model) -> bool:
    """OpenAI's chat API refuses tools while a newer model reasons, and some models altogether."""
    return (
        dialect is Dialect.OPENAI_CHAT
        and Dialect.OPENAI_RESPONSES in chosen.dialects
        and _is_openai(chosen)
        and (row.tools_need_responses or row.is_responses_only)
    )


def _effort(asked: Request, row: Model) -> str | None:
    thinking = asked.thinking
    if thinking is None:
        return row.default_effort
    if thinking.mode == "off" or thinking.budget_tokens == 0:
        return "none"
    return thinking.effort or row.default_effort


def _is_openai(chosen: Candidate) -> bool:
    known = chosen.options.known(chosen.provider)
    return known is not None and known.name in ("openai", "azure")


def row_of(chosen: Candidate, dialect: Dialect, config: Config) -> Model:
    """What the model accepts: the table, what is known of the host over it, and over that the operator's."""
    known = chosen.options.known(chosen.provider)
    row = models.find(chosen.model, dialect)
    if known is not None:
        row = replace(
            row,
            max_tokens_field=known.max_tokens_field or row.max_tokens_field,
            sends_back_reasoning=known.sends_back_reasoning or row.sends_back_reasoning,
        )
    return models.overridden(row, chosen.model, config.model_capabilities)


def target_of(chosen: Candidate, dialect: Dialect, config: Config, *, is_strict: bool = False) -> Target:
    """The upstream, as writers need to know it."""
    known = chosen.options.known(chosen.provider)
    vendor = _OF_VENDORS.get(chosen.provider)
    key = chosen.credential.api_key.reveal() if chosen.credential else None
    return Target(
        dialect=dialect,
        model=chosen.model,
        row=row_of(chosen, dialect, config),
        vendor=vendor if vendor == _VENDORS[dialect] else chosen.provider,
        is_openai=_is_openai(chosen),
        is_mistral=known is not None and known.vendor == "mistral",
        is_openrouter=known is not None and known.name.startswith("openrouter"),
        scope=hashlib.sha256(key.encode()).hexdigest()[:8] if key else None,
        has_stream_options=chosen.has_stream_options,
        map_hosted=frozenset(chosen.options.map_hosted),
        auto_cache=chosen.options.auto_cache,
        is_strict=is_strict,
    )


def call_of(made: Translation) -> Call:
    """What the upstream is asked."""
    return generate(made.target.dialect, is_stream=made.asked.stream)


def outgoing(
    request: ClientRequest, planned: Planned, made: Made, config: Config, api_version: str | None
) -> UpstreamRequest:
    """The translated request. Of the client's headers only those travel that mean the same anywhere."""
    is_stream = made.asked.stream
    headers: dict[bytes, bytes] = {
        b"content-type": b"application/json",
        b"accept": b"text/event-stream" if is_stream else b"application/json",
        b"accept-encoding": b"identity",
        b"user-agent": f"llmitm/{__version__}".encode(),
    }
    if made.target.dialect is Dialect.ANTHROPIC_MESSAGES:
        headers[b"anthropic-version"] = api_version.encode() if api_version else ANTHROPIC_VERSION
    headers |= _passed(request.headers, planned.attempt.drop_headers | NEVER_SENT, config)
    headers |= {name.lower(): value for name, value in planned.add_headers}
    return UpstreamRequest(
        method="POST", url=planned.attempt.url, headers=tuple(headers.items()), body=HeldBody(made.body)
    )


def _passed(headers: Headers, dropped: frozenset[bytes], config: Config) -> dict[bytes, bytes]:
    """What of a client's headers any provider gets, those of one name as one."""
    passing = config.passing if config.passthrough_headers else None
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        low = name.lower()
        if low in dropped or not (low in _TRACES or (passing is not None and passing.passes(low))):
            continue
        found[low] = found[low] + b", " + value if low in found else value
    return found


@dataclass(slots=True, kw_only=True)
class Back:
    """The way back of one attempt: its steps become those that the client waits for."""

    made: Made
    attempt: Attempt
    request_id: str
    kept: Entry
    clock: Clock
    limit_bytes: int
    passing: Passing | None = None
    """Which headers of the answer the client gets; None: none."""
    upstream_id: bytes | None = None
    _passed: Headers = ()

    @property
    def client(self) -> Dialect:
        return self.made.asked.dialect

    async def steps(self, steps: Steps) -> Steps:
        """What the client is told, in the form that it asked for.

        Raises:
            Missed: nothing meaningful came, so nothing was yielded.
        """
        made = self._stream(steps) if self.made.asked.stream else self._whole(steps)
        try:
            async for step in made:
                yield step
        except (UpstreamError, UpstreamFailed) as error:
            raise self._missed(error) from error
        finally:
            if (noted := self.kept.of(self.attempt)) is not None:
                noted.warnings = self.made.notes.codes()
            await made.aclose()
            await steps.aclose()

    async def _whole(self, steps: Steps) -> Steps:
        """For a client that waits for the whole answer."""
        head, pieces = await self._begin(steps)
        if is_events(head):
            collected, is_whole, size_bytes = self.made.collector(), False, 0
            try:
                async for piece in pieces:
                    size_bytes += len(piece)
                    if is_short(piece, collected.held_bytes):
                        collected.feed(piece)
                        continue
                    async for portion in in_portions(piece):
                        await aside(collected.held_bytes + len(portion), collected.feed, portion)
                body = await aside(size_bytes, collected.finish)
                is_whole = True
            finally:
                self._note(_as_told(collected.usage, is_whole=is_whole))
        else:
            answer = await _joined(pieces, self.limit_bytes)
            try:
                body = await aside(len(answer), self.made.reply, answer)
            finally:
                self._note(self.made.usage)
        yield ResponseHead(status=200, reason=b"OK", headers=self._headers(b"application/json"), whole=body)

    async def _stream(self, steps: Steps) -> Steps:
        """For a client that asked for a stream. Its head waits for the first thing that is said."""
        has_begun = False
        async with aclosing(self._pieces(steps)) as pieces:
            async for piece in pieces:
                if not has_begun:
                    yield self._stream_head()
                    has_begun = True
                yield piece
        if not has_begun:
            yield self._stream_head()

    async def _pieces(self, steps: Steps) -> AsyncGenerator[bytes]:
        """The client's bytes; pieces may be empty once it has begun.

        Raises:
            UpstreamError, UpstreamFailed: nothing meaningful came, so nothing was yielded.
        """
        head, pieces = await self._begin(steps)
        if not is_events(head):
            answer = await _joined(pieces, self.limit_bytes)
            try:
                simulated = await aside(len(answer), self.made.simulated, answer)
            finally:
                self._note(self.made.usage)
            yield simulated
            return
        going = self.made.stream()
        held, is_whole = b"", False
        try:
            try:
                async for piece in pieces:
                    if is_short(piece, going.held_bytes):
                        held += going.feed(piece)
                    else:
                        async for portion in in_portions(piece):
                            held += await aside(going.held_bytes + len(portion), going.feed, portion)
                    if going.has_begun:
                        yield held  # empty where there is nothing to say to what came
                        held = b""
                    if going.failure is not None:
                        break
                else:
                    held += going.finish()
                is_whole = True
            except UpstreamFailed as error:
                if not going.has_begun:
                    raise
                held += going.fail(mapped.failure_of(error))
                self.kept.error, self.kept.is_cut = str(error), True
            if going.failure is not None:
                if not going.has_begun:
                    raise UpstreamError(going.failure)
                mapped.told_within(going.failure, self.kept, self.attempt)
            if held:
                yield held
        finally:
            self._note(_as_told(going.usage, is_whole=is_whole))

    async def _begin(self, steps: Steps) -> tuple[ResponseHead, AsyncIterator[bytes]]:
        """Head and body of a good answer, the body uncompressed.

        Raises:
            UpstreamError: it is an error.
        """
        head = await anext(steps)
        assert isinstance(head, ResponseHead)
        self.upstream_id = head.header(b"x-request-id") or head.header(b"request-id")
        if self.passing is not None:
            self._passed = tuple(pair for pair in head.headers if self.passing.passes(pair[0].lower()))
        pieces = decoded(body_of(head, steps), head.header(b"content-encoding"))
        if 200 <= head.status < 300:
            return head, pieces
        body = await _joined(pieces, self.limit_bytes)
        now_s = self.clock.now_s()
        failure = await aside(len(body), failures.read_failure, head.status, head.headers, body, now_s=now_s)
        raise UpstreamError(failure)

    def _note(self, usage: Usage | None) -> None:
        if usage is not None:
            self.kept.used(self.attempt, usage)
        if (noted := self.kept.of(self.attempt)) is not None:
            noted.answered, noted.finishes = self.made.answered, self.made.finishes
            noted.reply_id = self.made.answer_id

    def _missed(self, error: UpstreamError | UpstreamFailed) -> Missed:
        headers = tuple(pair for pair in self._headers(b"") if pair[0] != b"content-type")
        if isinstance(error, UpstreamFailed):
            missed = mapped.broken(error, self.client, self.request_id, headers)
        else:
            failure = self.made.blamed(error.failure)
            missed = mapped.failed(failure, self.attempt, self.client, self.request_id, headers)
        if (noted := self.kept.of(self.attempt)) is not None:
            noted.ending, noted.error = missed.ending, noted.error or str(missed)
        return missed

    def _stream_head(self) -> ResponseHead:
        is_array = self.made.asked.is_json_array
        headers = self._headers(b"application/json" if is_array else b"text/event-stream; charset=utf-8")
        more = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
        return ResponseHead(status=200, reason=b"OK", headers=(*headers, *more))

    def _headers(self, content_type: bytes) -> Headers:
        headers = [
            (b"content-type", content_type),
            (id_header(self.client), self.upstream_id or self.request_id.encode()),
            model_header(self.made.target.model),
        ]
        warnings = self.made.notes.header()
        if warnings is not None:
            headers.append((b"x-llmitm-warnings", warnings))
        told = {name for name, _ in headers}
        return (*headers, *(pair for pair in self._passed if pair[0].lower() not in told))


def with_version(request: ClientRequest, planned: Planned, dialect: Dialect) -> Planned:
    """Anthropic's API asks for a version: the oldest, where neither client nor operator names one."""
    named = {name.lower() for name, _ in (*request.headers, *planned.add_headers)}
    if dialect is not Dialect.ANTHROPIC_MESSAGES or b"anthropic-version" in named:
        return planned
    return replace(planned, add_headers=(*planned.add_headers, (b"anthropic-version", ANTHROPIC_VERSION)))


def id_header(client: Dialect) -> bytes:
    """Where a client of this dialect looks for the request's id."""
    return b"request-id" if client is Dialect.ANTHROPIC_MESSAGES else b"x-request-id"


def model_header(model: str) -> tuple[bytes, bytes]:
    """The model that was really asked; what a header cannot carry of its name is percent-encoded."""
    shown = "".join(sign if " " < sign <= "~" else f"%{ord(sign):X}" for sign in model)
    return b"x-llmitm-model", shown.encode()


def is_events(head: ResponseHead) -> bool:
    return (head.header(b"content-type") or b"").lower().startswith(b"text/event-stream")


async def body_of(head: ResponseHead, steps: Steps) -> AsyncIterator[bytes]:
    if head.whole:
        yield head.whole
    async for piece in steps:
        assert isinstance(piece, bytes)
        yield piece


async def decoded(pieces: AsyncIterator[bytes], encoding: bytes | None) -> AsyncIterator[bytes]:
    """The pieces, empty ones among them, without the compression that some answer with unasked."""
    try:
        inflate = inflater(encoding)
    except LookupError:
        raise UpstreamFailed(Broken.MALFORMED, "the answer is compressed in a way nobody knows") from None
    if inflate is None:
        async for piece in pieces:
            yield piece
        return
    try:
        async for piece in pieces:
            size_bytes = 0
            for portion in inflate(piece):
                if (size_bytes := size_bytes + len(portion)) > PORTION_BYTES:
                    await asyncio.sleep(0)  # others wait for their turn meanwhile
                yield portion
    except NotPacked:
        raise UpstreamFailed(Broken.MALFORMED, "the answer's compression is broken") from None


def _as_told(usage: Usage | None, *, is_whole: bool) -> Usage | None:
    """What was counted of a stream; not all, where it was left before its end."""
    return usage if is_whole or usage is None else replace(usage, is_final=False)


async def _joined(pieces: AsyncIterator[bytes], limit_bytes: int) -> bytes:
    collected = bytearray()
    async for piece in pieces:
        collected += piece
        if len(collected) > limit_bytes:
            collected.clear()  # whoever holds the error does not hold this
            raise UpstreamFailed(Broken.MALFORMED, "the answer is larger than body_limit_mb")
    return bytes(collected)
