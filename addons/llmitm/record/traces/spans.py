"""What an exchange becomes in a trace: a span of its own, and below it one of each attempt. Pure.

Names and values follow OpenTelemetry's conventions; what they have no name for begins with `llmitm.`. Texts
that came from outside pass the redaction filter here. What was said to the model, and by it, is no part of a
span unless it was asked for; nor are texts of errors, which may repeat it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from llmitm.exchange import Dialect, Noted, Usage
from llmitm.record.entry import Entry, Outcome, outcome_of
from llmitm.record.traces import naming
from llmitm.record.traces.context import Trace

type Value = str | bool | int | float | tuple[str, ...]
type Attributes = dict[str, Value]

TEXT_LIMIT: Final = 300
"""Characters of a name that comes from outside."""
ANSWERED: Final = "answered"
DROPPED: Final = "dropped"
LEFT: Final = "client_disconnected"
_FAULTLESS: Final = frozenset({Outcome.OK, Outcome.REFUSED, Outcome.CLIENT_GONE})
"""What is no error of a server."""

_USAGE: Final = (
    ("input_tokens", ("gen_ai.usage.input_tokens",)),
    ("output_tokens", ("gen_ai.usage.output_tokens",)),
    ("cache_read_tokens", ("gen_ai.usage.cache_read.input_tokens",)),
    # the second is how the first is called since
    (
        "cache_write_tokens",
        ("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens"),
    ),
    ("reasoning_tokens", ("gen_ai.usage.reasoning.output_tokens",)),
    ("audio_in_tokens", ("gen_ai.usage.audio.input_tokens",)),
    ("audio_out_tokens", ("gen_ai.usage.audio.output_tokens",)),
    ("image_in_tokens", ("gen_ai.usage.image.input_tokens",)),
    ("image_out_tokens", ("gen_ai.usage.image.output_tokens",)),
    ("cached_audio_tokens", ("gen_ai.usage.audio.cache_read.input_tokens",)),
    ("cached_image_tokens", ("gen_ai.usage.image.cache_read.input_tokens",)),
)
_COUNTS: Final = attrgetter(*(ours for ours, _ in _USAGE))
_NAMES: Final = tuple(names for _, names in _USAGE)
_MOST: Final = 2**63 - 1


@dataclass(slots=True, kw_only=True)
class Span:
    """Times are seconds since the epoch."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str | None
    is_client: bool
    """Of a call that the gateway makes; else of one that it answers."""
    began_s: float
    ended_s: float
    attributes: Attributes
    state: str = ""
    error: str | None = None
    """What made it fail, in a word; None: it did not."""
    has_remote_parent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What is known of an exchange beside its entry."""

    asked: Mapping[str, Value] = field(default_factory=dict)
    """`gen_ai.request.*`."""
    content: Mapping[str, str] = field(default_factory=dict)
    """What was said, as JSON, by attribute."""


NOTHING: Final = Extras()


class Spans:
    """Makes the spans of one gateway."""

    def __init__(self, redact: Callable[[str], str], *, scheme: str = "http") -> None:
        self._redact = redact
        self._scheme = scheme
        self._clean: dict[str, str] = {}

    def forget(self) -> None:
        """There are new secrets to look for."""
        self._clean.clear()

    def of(self, entry: Entry, extras: Extras = NOTHING) -> Iterator[Span]:
        """None of them where the exchange is not traced."""
        trace = entry.trace
        if trace is None:
            return
        ended_s = entry.started_s if entry.ended_s is None else entry.ended_s
        moment = entry.at_s - entry.started_s
        route = naming.route(entry.path, entry.endpoint)
        method = entry.method if entry.method in naming.METHODS else "HTTP"
        outcome, state = entry.outcome or outcome_of(entry), self._state(trace)
        yield Span(
            name=method if route is None else f"{method} {route}",
            trace_id=trace.trace_id,
            span_id=trace.span_id,
            parent_id=trace.parent_id,
            is_client=False,
            began_s=entry.at_s,
            ended_s=moment + ended_s,
            attributes=self._of_exchange(entry, route, outcome),
            state=state,
            error=None if outcome in _FAULTLESS else self._why(entry, outcome),
            has_remote_parent=trace.parent_id is not None,
        )
        last = entry.answering
        for noted in entry.attempts:
            if noted.span_id is None:
                continue
            doing = naming.operation(entry.path, noted.dialect)
            yield Span(
                name=self._name(doing, noted, method),
                trace_id=trace.trace_id,
                span_id=noted.span_id,
                parent_id=trace.span_id,
                is_client=True,
                began_s=moment + noted.started_s,
                ended_s=moment + (ended_s if noted.ended_s is None else noted.ended_s),
                attributes=self._of_attempt(entry, noted, doing, extras, is_last=noted is last),
                state=state,
                error=None
                if noted.ending in (ANSWERED, DROPPED)
                else self._text(str(noted.ending or "unknown")),
            )

    def _state(self, trace: Trace) -> str:
        """As it came; none of it where it holds a secret."""
        state = trace.state.decode("latin-1")
        return state if not state or self._redact(state) == state else ""

    def _name(self, doing: str | None, noted: Noted, method: str) -> str:
        if doing is None:
            return method
        return f"{doing} {self._text(noted.model)}" if noted.model else doing

    def _of_exchange(self, entry: Entry, route: str | None, outcome: Outcome) -> Attributes:
        last = entry.answering
        found: dict[str, Value | None] = {
            "http.request.method": entry.method if entry.method in naming.METHODS else "_OTHER",
            "url.scheme": self._scheme,
            "url.path": self._text(entry.path),
            "http.route": route,
            "http.response.status_code": entry.status,
            "client.address": entry.client,
            "http.request.body.size": entry.request_bytes,
            "http.response.body.size": entry.response_bytes,
            "error.type": self._error_type(entry, outcome),
            "llmitm.request.id": entry.id,
            "llmitm.endpoint": entry.endpoint,
            "llmitm.key.name": entry.auth_key,
            "llmitm.dialect": entry.dialect and entry.dialect.value,
            "llmitm.alias": self._text(entry.model),
            "llmitm.stream": entry.is_stream,
            "llmitm.outcome": outcome.value,
            "llmitm.code": self._text(entry.code),
            "llmitm.attempts": len(entry.attempts),
            "llmitm.provider": self._text(last.provider) if last is not None else None,
            "llmitm.overhead_s": entry.own_s,
            "llmitm.cost.usd_nano": entry.cost_usd_nano,
        }
        return {name: value for name, value in found.items() if value is not None}

    def _error_type(self, entry: Entry, outcome: Outcome) -> str | None:
        if outcome is Outcome.CLIENT_GONE:
            return LEFT
        return None if outcome in _FAULTLESS else self._why(entry, outcome)

    def _why(self, entry: Entry, outcome: Outcome) -> str:
        """How the last attempt ended; without one, the code of our error."""
        ending = entry.code if (last := entry.answering) is None else last.ending
        known = outcome.value if ending is None or ending in (ANSWERED, DROPPED) else str(ending)
        return self._text(known) or outcome.value

    def _of_attempt(
        self, entry: Entry, noted: Noted, doing: str | None, extras: Extras, *, is_last: bool
    ) -> Attributes:
        is_talk = doing in ("chat", "generate_content")
        found: dict[str, Value | None] = {
            "gen_ai.operation.name": doing,
            "gen_ai.provider.name": self._text(naming.provider(noted.provider, noted.host)),
            "gen_ai.request.model": self._text(noted.model),
            "gen_ai.response.model": self._text(noted.answered),
            "gen_ai.response.id": self._text(noted.reply_id),
            "gen_ai.response.finish_reasons": tuple(self._text(one) or "" for one in noted.finishes) or None,
            "gen_ai.response.time_to_first_chunk": _first_s(entry, noted) if is_last else None,
            "openai.api.type": naming.API_TYPES.get(noted.dialect) if is_talk and noted.dialect else None,
            "server.address": self._text(noted.host),
            "http.response.status_code": noted.status,
            "http.request.resend_count": noted.number - 1 or None,
            "error.type": None if noted.ending == ANSWERED else self._text(str(noted.ending or "unknown")),
            "llmitm.request.id": entry.id,
            "llmitm.endpoint": entry.endpoint,
            "llmitm.provider": self._text(noted.provider),
            "llmitm.credential": noted.credential,
            "llmitm.gateway": noted.gateway,
            "llmitm.attempt": noted.number,
            "llmitm.verdict": self._text(str(noted.ending or "unknown")),
            "llmitm.upstream.request_id": self._text(noted.upstream_id),
            "llmitm.cost.usd_nano": noted.cost_usd_nano,
            "llmitm.price.source": noted.price_version,
            "llmitm.warnings": tuple(self._text(one) or "" for one in noted.warnings) or None,
        }
        made = {name: value for name, value in found.items() if value is not None}
        if doing is not None:
            made |= extras.asked
            if is_last:
                made |= extras.content
        if noted.usage is not None:
            _add_usage(noted.usage, noted.dialect, made)
        return made

    def _text(self, text: str | None) -> str | None:
        """Without secrets, and not too long. What was seen before is quick: most names come again."""
        if not text:
            return None
        if (known := self._clean.get(text)) is None:
            if len(self._clean) > 4096:
                self._clean.clear()
            plain = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
            known = self._clean[text] = self._redact(plain)[:TEXT_LIMIT]
        return known or None


def _first_s(entry: Entry, noted: Noted) -> float | None:
    if not entry.is_stream or entry.first_byte_s is None:
        return None
    return max(0.0, entry.first_byte_s - noted.started_s)


def _add_usage(usage: Usage, dialect: Dialect | None, made: Attributes) -> None:
    for count, names in zip(_COUNTS(usage), _NAMES, strict=True):
        if count is not None:
            for name in names:
                made[name] = count if count < _MOST else _MOST
    if not usage.is_final:
        made["llmitm.usage.is_final"] = False
    if usage.tier is not None and dialect in naming.API_TYPES:
        made["openai.response.service_tier"] = usage.tier
