"""What a client is told: the head and the body with what is ours in them, and failures in its dialect."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from llmitm.accept import endpoints
from llmitm.accept.origins import Crossing
from llmitm.errors import Failure, Refused, UpstreamFailed
from llmitm.exchange import EXCHANGE_ID, ClientRequest, Dialect, Headers, Killed, ResponseHead
from llmitm.record.entry import Entry, Outcome
from llmitm.route.search import NEVER_AGAIN
from llmitm.secret import Redactor
from llmitm.translate.failures import apart, reason, write_error, write_error_event
from llmitm.trip.missed import Missed
from llmitm.world import World

type Steps = AsyncGenerator[ResponseHead | bytes]

_USUAL: Final = frozenset({b"", b"OK"})
"""Reason phrases that hold nothing."""
HEARD_S: Final = 0.25
"""After an error event: many clients throw away what they have not read when the connection is cut."""


@dataclass(slots=True)
class Told:
    """What the client has been told so far, and how it is told of a failure."""

    request: ClientRequest
    kept: Entry
    world: World
    head: ResponseHead | None = None
    has_said: bool = False
    """Anything but blanks."""
    tail: bytes = b"\n\n"
    """The last bytes of the body: an error event must not join a line that broke off."""
    crossing: Crossing | None = None
    """What the browser of a page is to know; None: nothing."""
    change: Callable[[ResponseHead, Exception], Awaitable[ResponseHead]] | None = None
    """Who may change an error before the client is told; None: nobody. Raises nothing."""

    def step(self, step: ResponseHead | bytes) -> ResponseHead | bytes:
        kept = self.kept
        if isinstance(step, ResponseHead):
            if self.world.is_draining:
                step = replace(step, headers=(*step.headers, (b"connection", b"close")))
            if self.request.header(b"x-debug") in (b"true", b"1"):
                step = replace(step, headers=(*step.headers, *self._debug()))
            if kept.trace is not None:
                named = (b"x-llmitm-trace-id", kept.trace.trace_id.encode())
                step = replace(step, headers=(*step.headers, named))
            if step.status >= 300 and self._is_injecting():
                step = _without_secrets(step, self.world.redact)
            elif step.reason not in _USUAL and self._is_injecting():
                step = replace(step, reason=self.world.redact.of_bytes(step.reason))
            if not kept.is_quiet:
                named = (EXCHANGE_ID, kept.id.encode())
                step = replace(step, headers=(*step.headers, named))
            if self.crossing is not None:
                step = self.crossing.told(step, is_ours=self._is_injecting())
            self.head = step
            kept.status = step.status
            if kept.legs is not None:
                kept.answered = step.headers
            kept.is_stream = (step.header(b"content-type") or b"").startswith(b"text/event-stream")
            if step.whole is not None:
                kept.gave(step.whole, self.world.clock)
        else:
            kept.gave(step, self.world.clock)
            self.has_said = self.has_said or not step.isspace()
            self.tail = step[-4:]
        return step

    async def failure(self, error: Exception) -> Steps:
        """The error as an answer; as an error event and a cut where the answer had begun."""
        status, code, message, headers = _words(error)
        message = self.world.redact(message)
        kept = self.kept
        kept.code = kept.code or code
        kept.error = kept.error or str(error) or message
        if isinstance(error, Missed) and self.head is None:
            yield self.step(await self._changed(error.told, error))
            return
        param = error.param if isinstance(error, Refused) else None
        if isinstance(error, Killed):
            kept.outcome = Outcome.KILLED
        elif isinstance(error, UpstreamFailed):
            kept.is_cut = self.head is not None
        dialect = endpoints.dialect_of(self.request.path, self.request.headers)
        if self.head is None:
            head = refusal(dialect, status, code, message, self.request.id, headers, param)
            yield self.step(await self._changed(head, error))
            return
        kind = self.head.header(b"content-type") or b""
        has_blanks = self.kept.response_bytes > 0 and not self.has_said
        if has_blanks and kind.startswith(b"application/json"):  # they have spent the status line
            yield self.step(write_error(dialect, status, code, message, self.request.id))
            return
        is_events = kind.startswith(b"text/event-stream")
        if is_events and self.head.header(b"content-encoding") is None:
            seam = b"" if self.tail.endswith((b"\n\n", b"\r\n\r\n")) else b"\n\n"
            event = seam + write_error_event(dialect, status, code, message, self.request.id)
            for piece in apart(event):
                yield self.step(piece)
                if isinstance(error, UpstreamFailed):
                    await self.world.clock.sleep(HEARD_S)
            if isinstance(error, Missed):  # only heartbeats came before it: nothing is cut
                return
        raise UpstreamFailed(Failure.TRUNCATED, message) from error

    async def _changed(self, head: ResponseHead, error: Exception) -> ResponseHead:
        if self.change is None:
            return head
        if self._is_injecting():
            head = _without_secrets(head, self.world.redact)
        return await self.change(head, error)

    def _is_injecting(self) -> bool:
        """Whether the upstream was sent secrets that the client must not learn, or may have been."""
        endpoint = self.world.config.endpoints.get(self.kept.endpoint or "")
        return endpoint is None or endpoint.injects

    def _debug(self) -> Headers:
        last = self.kept.answering
        if last is None:
            return ()
        named = {
            b"x-debug-provider": last.provider,
            b"x-debug-model": last.model or self.kept.model,
            b"x-debug-credential": last.credential,
            b"x-debug-gateway": last.gateway,
            b"x-debug-attempts": str(len(self.kept.attempts)),
            b"x-debug-path": ">".join(
                (self.kept.endpoint or "", *(one.provider for one in self.kept.attempts))
            ),
        }
        return tuple((name, _header_value(value)) for name, value in named.items() if value)


def _without_secrets(head: ResponseHead, redact: Redactor) -> ResponseHead:
    """Errors and redirects like to say back what they were sent: our keys are not for the client."""
    headers = tuple((name, redact.of_bytes(value)) for name, value in head.headers)
    whole = None if head.whole is None else redact.of_bytes(head.whole)
    if whole is not head.whole:
        headers = tuple(pair for pair in headers if pair[0].lower() != b"content-length")
    return replace(head, reason=redact.of_bytes(head.reason), headers=headers, whole=whole)


def _header_value(text: str) -> bytes:
    """Names come from people: what a header cannot carry is percent-encoded."""
    return "".join(sign if " " <= sign <= "~" else f"%{ord(sign):X}" for sign in text).encode()


def _words(error: Exception) -> tuple[int, str, str, Headers]:
    match error:
        case Refused():
            return error.status, error.code, error.message, error.headers
        case UpstreamFailed():
            return error.status, error.failure.value, error.message, ()
        case Missed():
            failure = error.failure
            return failure.status, failure.code or failure.kind, failure.message, ()
        case _:
            return 502, "stopped", "The request was stopped by an operator.", NEVER_AGAIN


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
