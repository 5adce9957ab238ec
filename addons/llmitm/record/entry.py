"""One entry per exchange: opened when the request is accepted, written whatever happens.

Every attempt notes itself in the entry. Writing is a recorder's work, so it fails open: a sink that
raises loses its line, says so, and disturbs nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from llmitm.clock import Clock
from llmitm.errors import ClientGone
from llmitm.exchange import Attempt, ClientRequest, Dialect, Headers, Noted, Usage
from llmitm.record.bodies import Leg, Seen, Watched
from llmitm.record.traces.context import Trace, new_span_id

if TYPE_CHECKING:
    from llmitm.record.cost import Cost

log = logging.getLogger("llmitm")


ASKED_BYTES: Final = 65_536
"""Of a client's body whose parameters a trace tells of; of longer ones it tells nothing."""
SPOKEN_BYTES: Final = 1_048_576
"""The same where it tells the words too."""


WORKED_FOR: Final = frozenset({"answered", "truncated", "dropped"})
"""Ends of attempts that an upstream may have worked for."""


class Outcome(StrEnum):
    """What became of an exchange."""

    OK = "ok"
    REFUSED = "refused"
    """With a status below 500: by the gateway where no attempt was made, else by the upstream."""
    UNAVAILABLE = "unavailable"
    """There was nobody to ask."""
    UPSTREAM_ERROR = "upstream_error"
    """Also one that was told of within a stream that had begun with status 200."""
    TRUNCATED = "truncated"
    """The answer broke off after it had begun."""
    CLIENT_GONE = "client_gone"
    KILLED = "killed"
    """An operator stopped it."""
    GATEWAY_ERROR = "gateway_error"
    """The fault is ours."""


OF_THE_CLIENT: Final = frozenset({"answered", "client", "context", "skipped"})
"""How the last attempt of a refused exchange ended where nobody but the client can do better: it was wrong,
too long, or not allowed. Other ends (a limit or a key of the provider's) were the operator's. Where no
attempt was made, the client was refused for its key, its limits or what it asked."""


@dataclass(slots=True, kw_only=True)
class Entry:
    """What is known of an exchange so far. Times are monotonic seconds, but for `at_s`."""

    id: str
    method: str
    path: str
    """Without the query: it may carry a key."""
    client: str
    at_s: float
    """When it began, in seconds since the epoch."""
    started_s: float
    number: int = 0
    """Of this process's exchanges, counted from 1; 0: not counted."""
    endpoint: str | None = None
    """None where no endpoint was found."""
    auth_key: str | None = None
    """Name of the client's key, never the key."""
    dialect: Dialect | None = None
    """The client's; None where no endpoint was found."""
    model: str | None = None
    """As the client asked for it; None where it was not looked for."""
    is_stream: bool | None = None
    """Whether the answer was an event stream; None where there was none."""
    status: int | None = None
    """What the client was told; 499 where it left first; None where nothing was said."""
    outcome: Outcome | None = None
    """Set at the end at the latest."""
    error: str | None = None
    code: str | None = None
    """The error in one word, as the client's error body has it; None where that is not known."""
    is_cut: bool = False
    """The answer broke off after it had begun."""
    body_s: float | None = None
    """When the client's body was there whole; None where it was not waited for."""
    admitted_s: float | None = None
    """When limits and budgets had let it in; None: it was never asked for, or they refused it."""
    first_byte_s: float | None = None
    """When the first piece of the answer was handed over."""
    ended_s: float | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    messages: tuple[int, int] | None = None
    """Of a WebSocket: how many the client sent, and how many it was sent; None of anything else."""
    attempts: list[Noted] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    sent: Seen | None = None
    """The client's body, where it is kept or has to be counted."""
    given: Seen | None = None
    """The answer's body, where bodies are kept."""
    legs: dict[int, Leg] | None = None
    """By number of the attempt: what was sent and said, where bodies are kept."""
    target: str | None = None
    """Path and query, where bodies are kept; so are the two that follow."""
    headers: Headers = ()
    """The client's."""
    answered: Headers = ()
    """What the client was told."""
    replay_of: str | None = None
    """Id of the exchange that was played again; None: it is no replay."""
    trace: Trace | None = None
    """None: it is in no trace."""
    asked: bytes | None = None
    """The client's body, where a trace tells of it."""
    said: Seen | None = None
    """The answer's body, where a trace tells of it."""
    is_quiet: bool = False
    """Health checks and the like leave no line."""

    def note(self, attempt: Attempt, clock: Clock) -> Noted:
        noted = Noted(
            number=attempt.number,
            provider=attempt.provider,
            credential=attempt.credential,
            gateway=attempt.gateway,
            model=attempt.model,
            dialect=attempt.dialect,
            host=_host_of(attempt.url),
            at_s=clock.now_s(),
            started_s=clock.tick_s(),
            span_id=None if self.trace is None else new_span_id(),
        )
        self.attempts.append(noted)
        return noted

    def took(self, body: bytes, clock: Clock) -> None:
        """The client's body is there whole."""
        self.request_bytes = len(body)
        self.body_s = clock.tick_s()
        if self.trace is not None:
            self.tell_asked(body)

    def tell_asked(self, body: bytes) -> None:
        """A trace is to tell what the client asked for."""
        most_bytes = ASKED_BYTES if self.said is None else SPOKEN_BYTES
        if self.trace is not None and self.trace.is_sampled and len(body) <= most_bytes:
            self.asked = body

    def gave(self, piece: bytes, clock: Clock) -> None:
        """A piece of the answer's body goes to the client."""
        if self.first_byte_s is None:
            self.first_byte_s = clock.tick_s()
        self.response_bytes += len(piece)
        if self.given is not None:
            self.given.add(piece)
        if self.said is not None:
            self.said.add(piece)

    def of(self, attempt: Attempt) -> Noted | None:
        """What was noted of an attempt; None where it was never begun."""
        for noted in reversed(self.attempts):
            if noted.number == attempt.number:
                return noted
        return None

    def used(self, attempt: Attempt, usage: Usage) -> None:
        """Takes down what an attempt used, as far as its answer has told by now."""
        self.usage = usage
        if (noted := self.of(attempt)) is not None:
            noted.usage = usage

    @property
    def answering(self) -> Noted | None:
        """The attempt that stands for the exchange: the last one, but of several that were under way at once
        the one whose word counted. None: there was none."""
        if len(self.attempts) < 2:
            return self.attempts[-1] if self.attempts else None
        last, is_well = self.attempts[-1], self.error is None
        together = [one for one in self.attempts if one.ended_s is None or one.ended_s > last.started_s]

        def weight(one: Noted) -> tuple[bool, bool, int, int]:
            has_answered = one.ending in ("answered", None)
            return has_answered is is_well, one.ending != "dropped", one.response_bytes, one.number

        return max(together or [last], key=weight)

    @property
    def is_cost_whole(self) -> bool | None:
        """Whether it is known what every attempt cost that somebody may have worked for; None: of none."""
        priced = [one.is_cost_whole for one in self.attempts if one.price_version is not None]
        if not priced:
            return None
        return all(priced) and not any(_may_have_cost(one) for one in self.attempts)

    @property
    def cost_usd_nano(self) -> int | None:
        """Of all attempts, as far as they are known; None: of none of them."""
        known = [one.cost_usd_nano for one in self.attempts if one.cost_usd_nano is not None]
        return sum(known) if known else None

    @property
    def own_s(self) -> float | None:
        """What the gateway itself took before the first attempt and after the last one, apart from waiting
        for the client's body, and from the pause in which a client hears that its answer broke off; None
        before the end."""
        if self.ended_s is None:
            return None
        begun_s = max(self.started_s, self.body_s or self.started_s)
        if not self.attempts:
            return self.ended_s - begun_s
        first_s = self.attempts[0].started_s
        last_s = max(one.ended_s or self.ended_s for one in self.attempts)
        after_s = 0.0 if self.is_cut else max(0.0, self.ended_s - last_s)
        return max(0.0, first_s - begun_s) + after_s


def _may_have_cost(noted: Noted) -> bool:
    """Whether an attempt may have cost something, of which it did not tell."""
    has_failed = noted.status is not None and noted.status >= 400
    return noted.usage is None and noted.ending in WORKED_FOR and not has_failed


def _host_of(url: str) -> str:
    """Without port and user information."""
    host = url.partition("://")[2].partition("/")[0].rpartition("@")[2].partition("?")[0]
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


def outcome_of(kept: Entry) -> Outcome:
    """What became of an exchange that is over, where nobody has said so."""
    status = kept.status
    if status is None:
        return Outcome.GATEWAY_ERROR
    if status < 400:
        if kept.error is None:
            return Outcome.OK
        return Outcome.TRUNCATED if kept.is_cut else Outcome.UPSTREAM_ERROR
    if status < 500:
        return Outcome.REFUSED
    return Outcome.UPSTREAM_ERROR if kept.attempts else Outcome.UNAVAILABLE


type Sink = Callable[[Entry], None]


class Recorder(Protocol):
    """A sink that keeps what it is given for good."""

    def __call__(self, entry: Entry) -> None:
        """Quick: it stands on the request path."""

    @property
    def waiting(self) -> int:
        """Exchanges that are not on a disk yet."""

    def start(self) -> None:
        """Begins to write. Needs a running event loop."""

    async def close(self) -> None:
        """Writes what is left. Idempotent."""

    def abandon(self) -> None:
        """Puts what is left aside at once, for the next run to write. Idempotent."""


type Price = Callable[[Noted], Cost | None]
"""What an attempt cost; None where it told of no tokens."""


@contextmanager
def entry(
    request: ClientRequest, clock: Clock, sinks: Sequence[Sink], price: Price | None = None
) -> Iterator[Entry]:
    """Opens an entry and writes it to `sinks` at the end, also when the exchange breaks or is cancelled."""
    kept = Entry(
        id=request.id,
        method=request.method,
        path=request.path.decode("ascii", "backslashreplace"),
        client=request.client,
        at_s=clock.now_s(),
        started_s=clock.tick_s(),
        replay_of=request.replay_of,
    )
    try:
        yield kept
    except (asyncio.CancelledError, ClientGone, GeneratorExit):
        kept.status = 499
        kept.outcome = Outcome.CLIENT_GONE
        kept.error = kept.error or "The client left before its answer was complete."
        raise
    except BaseException as error:
        kept.error = kept.error or f"{type(error).__name__}: {error}"
        raise
    finally:
        kept.ended_s = clock.tick_s()
        if kept.sent is not None:
            kept.request_bytes = kept.sent.size_bytes
        if not kept.is_quiet:
            kept.outcome = kept.outcome or outcome_of(kept)
            _price(kept, price)
            for sink in sinks:
                try:
                    sink(kept)
                except Exception as error:  # a recorder fails open, loudly
                    log.error("an entry was lost: %s: %s", type(error).__name__, error)


def _price(kept: Entry, price: Price | None) -> None:
    if price is None:
        return
    for noted in kept.attempts:
        if noted.usage is None:
            continue
        try:
            cost = price(noted)
        except Exception as error:
            log.error("exchange %s: its cost is not known: %s: %s", kept.id, type(error).__name__, error)
            continue
        if cost is not None:
            noted.cost_usd_nano = cost.usd_nano
            noted.price_version = cost.version
            noted.is_cost_whole = cost.is_whole


def watched(request: ClientRequest, kept: Entry, *, keeps_bodies: bool) -> ClientRequest:
    """The request, with a body that is counted where its length is not known, and kept where bodies are."""
    if keeps_bodies:
        kept.sent, kept.given, kept.legs = Seen(), Seen(), {}
        kept.target, kept.headers = request.target.decode("ascii", "backslashreplace"), request.headers
    elif request.body.length is None:
        kept.sent = Seen(0)
    return request if kept.sent is None else replace(request, body=Watched(request.body, kept.sent))
