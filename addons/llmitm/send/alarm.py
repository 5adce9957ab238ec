"""How long an upstream is waited for, on one timer for each exchange."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from llmitm.clock import Clock
from llmitm.errors import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """In seconds. While the client is waited for, only `exchange_s` runs."""

    connect_s: float = 5
    """Name resolution, proxy and TLS included; a connection from the pool needs none of it."""
    first_byte_s: float = 120
    """From the last byte sent to the head of the answer; also how long the upstream may refuse to read."""
    idle_s: float = 120
    """Between two pieces of the answer."""
    exchange_s: float = 600
    """From `send` to the end of the answer."""


class Alarm:
    """The timeouts of one exchange, on one timer.

    On the data path only a number is written; the timer looks at it when it goes off, and sleeps on.
    """

    __slots__ = (
        "_clock",
        "_deadline_s",
        "_due_s",
        "_failure",
        "_heard_s",
        "_piece_due",
        "_handle",
        "_limits_s",
        "_loop",
        "_on_ring",
        "_on_silence",
        "_silence_s",
        "_wakes_s",
        "host",
        "rung",
    )

    def __init__(
        self,
        clock: Clock,
        timeouts: Timeouts,
        host: str,
        deadline_s: float | None = None,
        silence_s: float = math.inf,
    ) -> None:
        self._clock = clock
        self._silence_s = silence_s
        self._heard_s = math.inf
        """Since when the next piece is waited for."""
        self._piece_due = math.inf, Failure.IDLE_TIMEOUT
        self._on_silence: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._limits_s = {
            Failure.CONNECT_TIMEOUT: timeouts.connect_s,
            Failure.FIRST_BYTE_TIMEOUT: timeouts.first_byte_s,
            Failure.IDLE_TIMEOUT: timeouts.idle_s,
        }
        self._deadline_s = self._due_s = (
            clock.tick_s() + timeouts.exchange_s if deadline_s is None else deadline_s
        )
        self._failure = Failure.EXCHANGE_TIMEOUT
        self._wakes_s = math.inf
        self._handle: asyncio.TimerHandle | None = None
        self._on_ring: Callable[[], None] | None = None
        self.rung: Failure | None = None
        self.host = host

    def watch(self, on_ring: Callable[[], None]) -> None:
        """Who is told from now on; at once, where the alarm has gone off and nobody took notice."""
        self._on_ring = on_ring
        if self.rung is not None:
            on_ring()

    def expect(self, failure: Failure) -> None:
        """From now on the upstream's next move is waited for; `failure` is what it is if none comes."""
        due_s = self._clock.tick_s() + self._limits_s[failure]
        if due_s < self._deadline_s:
            self._due_s, self._failure = due_s, failure
        else:
            self._due_s, self._failure = self._deadline_s, Failure.EXCHANGE_TIMEOUT
        if self._due_s < self._wakes_s:
            self._sleep(self._due_s)

    def listen(self, on_silence: Callable[[], None]) -> None:
        """Who is told whenever a piece has been waited for so long."""
        if self._silence_s < math.inf:
            self._on_silence = on_silence

    def expect_piece(self, *, is_still: bool) -> None:
        """As `expect`, of a body. `is_still`: it has been told of silence, which goes on."""
        if self._on_silence is not None:
            self._heard_s = self._clock.tick_s()
            silent_s = self._heard_s + self._silence_s
            if silent_s < self._wakes_s:
                self._sleep(silent_s)
        if is_still:
            self._due_s, self._failure = self._piece_due
            if self._due_s < self._wakes_s:
                self._sleep(self._due_s)
        else:
            self.expect(Failure.IDLE_TIMEOUT)
            self._piece_due = self._due_s, self._failure

    def rest(self) -> None:
        """The upstream is not waited for: only the deadline counts."""
        self._due_s, self._failure = self._deadline_s, Failure.EXCHANGE_TIMEOUT
        self._heard_s = math.inf

    def _sleep(self, until_s: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._wakes_s = until_s
        self._handle = self._loop.call_later(until_s - self._clock.tick_s(), self._wake)

    def _wake(self) -> None:
        now_s = self._clock.tick_s()
        if now_s < self._due_s:
            if self._on_silence is not None and now_s >= self._heard_s + self._silence_s:
                self._heard_s = now_s
                self._on_silence()
            self._sleep(min(self._due_s, self._heard_s + self._silence_s))
            return
        self._handle = None
        self.rung = self._failure
        if self._on_ring is not None:
            self._on_ring()

    def stop(self) -> None:
        self._on_ring = self._on_silence = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
