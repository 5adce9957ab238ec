"""One entry per exchange: opened when the request is accepted, written whatever happens.

Every attempt notes itself in the entry. Writing is a recorder's work, so it fails open: a sink that
raises loses its line, says so, and disturbs nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from llmitm.clock import Clock
from llmitm.errors import ClientGone
from llmitm.exchange import Attempt, ClientRequest, Noted, Usage

log = logging.getLogger("llmitm")


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
    endpoint: str | None = None
    """None where no endpoint was found."""
    auth_key: str | None = None
    """Name of the client's key, never the key."""
    model: str | None = None
    status: int | None = None
    """What the client was told; 499 where it left first; None where nothing was said."""
    error: str | None = None
    first_byte_s: float | None = None
    """When the first piece of the answer was handed over."""
    ended_s: float | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    attempts: list[Noted] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    is_quiet: bool = False
    """Health checks and the like leave no line."""

    def note(self, attempt: Attempt) -> Noted:
        noted = Noted(
            number=attempt.number,
            provider=attempt.provider,
            credential=attempt.credential,
            gateway=attempt.gateway,
            model=attempt.model,
        )
        self.attempts.append(noted)
        return noted


type Sink = Callable[[Entry], None]


@contextmanager
def entry(request: ClientRequest, clock: Clock, sinks: Sequence[Sink]) -> Iterator[Entry]:
    """Opens an entry and writes it to `sinks` at the end, also when the exchange breaks or is cancelled."""
    kept = Entry(
        id=request.id,
        method=request.method,
        path=request.path.decode("ascii", "backslashreplace"),
        client=request.client,
        at_s=clock.now_s(),
        started_s=clock.tick_s(),
    )
    try:
        yield kept
    except (asyncio.CancelledError, ClientGone, GeneratorExit):
        kept.status = 499
        kept.error = kept.error or "The client left before its answer was complete."
        raise
    except BaseException as error:
        kept.error = kept.error or f"{type(error).__name__}: {error}"
        raise
    finally:
        kept.ended_s = clock.tick_s()
        if not kept.is_quiet:
            for sink in sinks:
                try:
                    sink(kept)
                except Exception as error:  # a recorder fails open, loudly
                    log.error("an entry was lost: %s: %s", type(error).__name__, error)
