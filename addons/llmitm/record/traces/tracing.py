"""Sends what is over to a collector, in portions, off the request path.

What waits is bounded; what is lost because the collector is away, or because there is no room, is counted and
told. An exchange never waits for any of this.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from llmitm import __version__
from llmitm.clock import Clock
from llmitm.config.telemetry import Telemetry
from llmitm.exchange import Headers
from llmitm.record.bodies import Seen
from llmitm.record.entry import Entry
from llmitm.record.traces import context, wire
from llmitm.record.traces.collector import Collector, Posted
from llmitm.record.traces.measures import Labels, Measures
from llmitm.record.traces.spans import NOTHING, Extras, Spans

log = logging.getLogger("llmitm")

MOST_WAITING: Final = 8_192
"""Exchanges in memory."""
MOST_BYTES: Final = 33_554_432
"""Of bodies that wait with them."""
PORTION: Final = 512
"""Exchanges that are sent at once, and although the time to flush has not come."""
RETRY_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses before a collector that is away is asked again; the last one over and over."""
SAY_EVERY_S: Final = 30.0
LAST_S: Final = 5.0
"""So long the end waits for what is left to be sent."""
_SLICE: Final = 8
"""Exchanges that are encoded before others on the event loop have a turn."""

type Read = Callable[[Entry], Extras]
"""What a span tells beside the entry, such as the parameters of the request."""


@dataclass(slots=True)
class _Parcel:
    """What is on its way, until the collector has it."""

    body: bytes
    exchanges: int


class Tracing:
    """The traces and metrics of one gateway process."""

    def __init__(
        self,
        settings: Telemetry,
        clock: Clock,
        redact: Callable[[str], str],
        collector: Collector,
        *,
        labels: Labels,
        instance: str,
        read: Read | None = None,
        scheme: str = "http",
    ) -> None:
        """`labels` names provider and model in metrics, `instance` this process among others."""
        self.settings = settings
        self._clock = clock
        self._collector = collector
        self._read = read
        self._spans = Spans(redact, scheme=scheme)
        self._measures = Measures(labels, names=settings.genai_metrics) if settings.metrics else None
        self._resource: Mapping[str, str] = {
            "service.version": __version__,
            **settings.resource,
            "service.name": settings.service_name,
            "service.instance.id": instance,
            "telemetry.sdk.name": "llmitm",
            "telemetry.sdk.language": "python",
            "telemetry.sdk.version": __version__,
        }
        self._waiting: deque[Entry] = deque()
        self._bytes = 0
        self._parcel: _Parcel | None = None
        self._is_pressing = asyncio.Event()
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False
        """What comes now is lost."""
        self._has_let_go = False
        self._failures = 0
        self._retry_s = 0.0
        self._since_s = clock.now_s()
        self._measured_s = clock.tick_s()
        self._said_s = float("-inf")
        self.lost = 0
        """Exchanges whose spans no collector has."""

    def forget(self) -> None:
        """There are new secrets to look for."""
        self._spans.forget()

    @property
    def waiting(self) -> int:
        """Exchanges whose spans no collector has yet."""
        return len(self._waiting) + (self._parcel.exchanges if self._parcel is not None else 0)

    # -- on the request path

    def begin(self, entry: Entry, headers: Headers) -> None:
        """An exchange begins, and stands in the client's trace or in a new one."""
        settings = self.settings
        entry.trace = trace = context.begin(
            headers, ratio=settings.sample_ratio, follows_parent=settings.follow_parent
        )
        if settings.content and trace.is_sampled and settings.traces:
            entry.said = Seen()

    def routed(self, entry: Entry, *, injects: bool) -> None:
        """Its endpoint is known: one that `injects` credentials of ours, or one that changes nothing."""
        is_told = injects if self.settings.propagate is None else self.settings.propagate
        if entry.trace is not None and not is_told:
            entry.trace = replace(entry.trace, is_told=False)

    def __call__(self, entry: Entry) -> None:
        if self._measures is not None:
            self._measures.add(entry)
        if entry.trace is None or not entry.trace.is_sampled or not self.settings.traces:
            return
        if self._is_closed or len(self._waiting) >= MOST_WAITING:
            self._lose(1, "there is no more room in memory")
            return
        size_bytes = _bytes_of(entry)
        if self._bytes + size_bytes > MOST_BYTES:
            entry.asked = entry.said = None
        else:
            self._bytes += size_bytes
        self._waiting.append(entry)
        if len(self._waiting) == PORTION:
            self._is_pressing.set()

    # -- its task

    def start(self) -> None:
        """Begins to send. Needs a running event loop."""
        if self._task is None and not self._is_closed:
            self._task = asyncio.get_running_loop().create_task(self._keep_on(), name="llmitm-telemetry")

    async def _keep_on(self) -> None:
        while True:
            await self._pause()
            try:
                await self.flush()
                if self._clock.tick_s() - self._measured_s >= self.settings.metrics_every_s:
                    await self.tell_metrics()
            except Exception:
                log.exception("telemetry had a turn that failed")

    async def _pause(self) -> None:
        self._is_pressing.clear()
        if len(self._waiting) >= PORTION and self._failures == 0:
            return
        pressing = asyncio.ensure_future(self._is_pressing.wait())
        passing = asyncio.ensure_future(_sleep(self._clock, self.settings.flush_ms / 1000))
        try:
            await asyncio.wait((pressing, passing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            pressing.cancel()
            passing.cancel()

    async def flush(self) -> None:
        """Sends what waits, as far as the collector takes it."""
        async with self._turn:
            while self._parcel is not None or self._waiting:
                if self._clock.tick_s() < self._retry_s:
                    return
                if self._parcel is None:
                    self._parcel = await self._packed()
                if not await self._send(self._parcel):
                    return
                self._parcel = None

    async def _packed(self) -> _Parcel:
        """The next portion."""
        entries = [self._waiting.popleft() for _ in range(min(PORTION, len(self._waiting)))]
        spans: list[bytes] = []
        try:
            for at in range(0, len(entries), _SLICE):
                if at:
                    await asyncio.sleep(0)
                for entry in entries[at : at + _SLICE]:
                    spans += self._encoded(entry)
        except asyncio.CancelledError:  # the end: it takes what is left
            self._waiting.extendleft(reversed(entries))
            raise
        self._bytes -= sum(map(_bytes_of, entries))
        return _Parcel(wire.traces(spans, self._resource), len(entries))

    def _encoded(self, entry: Entry) -> list[bytes]:
        try:
            extras = self._read(entry) if self._read is not None else NOTHING
            return [wire.span(one) for one in self._spans.of(entry, extras)]
        except Exception as error:
            self._lose(1, f"exchange {entry.id}: {type(error).__name__}: {error}")
            return []

    async def _send(self, parcel: _Parcel) -> bool:
        """Whether there is nothing more to be done for it; where there is, that has been told."""
        posted = await self._collector.post(self.settings.traces_url, parcel.body)
        if posted.is_taken:
            self._back()
            count, why = wire.rejected(posted.answer)
            if count:
                self._say("the collector refused %d spans: %s", count, why)
            return True
        if not posted.may_come_again:
            self._lose(parcel.exchanges, f"{self.settings.traces_url} answered with {posted.why}")
            return True
        self._away(posted)
        return False

    async def tell_metrics(self) -> None:
        """Sends all that was measured since the start. What a collector misses the next time tells again."""
        if self._measures is None:
            return
        self._measured_s = self._clock.tick_s()
        families = list(self._measures.read())
        if not any(family.points for family, _ in families):
            return
        body = wire.metrics(families, self._resource, self._since_s, self._clock.now_s())
        posted = await self._collector.post(self.settings.metrics_url, body)
        if not posted.is_taken:
            self._say("metrics cannot be sent to %s: %s", self.settings.metrics_url, posted.why)

    # -- what goes wrong

    def _away(self, posted: Posted) -> None:
        pause_s = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
        self._retry_s = self._clock.tick_s() + max(pause_s, min(posted.after_s or 0, RETRY_S[-1]))
        self._failures += 1
        self._say(
            "traces cannot be sent to %s: %s; %d exchanges wait, %d were lost",
            self.settings.traces_url,
            posted.why,
            self.waiting,
            self.lost,
        )

    def _back(self) -> None:
        if self._failures:
            log.info("traces can be sent to %s again", self.settings.traces_url)
            self._said_s = float("-inf")
        self._failures, self._retry_s = 0, 0.0

    def _lose(self, count: int, why: str) -> None:
        self.lost += count
        self._say("%d exchanges so far are in no trace: %s", self.lost, why)

    def _say(self, message: str, *values: object) -> None:
        """Loudly, and at most every half minute."""
        now_s = self._clock.tick_s()
        if now_s - self._said_s >= SAY_EVERY_S:
            self._said_s = now_s
            log.error(message, *values)

    # -- the end

    async def close(self) -> None:
        """Sends what is left, for a short while. Idempotent."""
        if self._has_let_go:
            return
        self._has_let_go = self._is_closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        self._retry_s = 0.0
        try:
            async with asyncio.timeout(LAST_S):
                await self.flush()
                await self.tell_metrics()
        except TimeoutError:
            pass  # told with what is lost
        self.abandon()
        await self._collector.close()

    def abandon(self) -> None:
        """Nothing more is sent. Idempotent."""
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
        if left := self.waiting:
            self._waiting.clear()
            self._parcel = None
            self._said_s = float("-inf")
            self._lose(left, "the collector did not take them before the end")


def _bytes_of(entry: Entry) -> int:
    return len(entry.asked or b"") + (entry.said.kept_bytes if entry.said is not None else 0)


async def _sleep(clock: Clock, duration_s: float) -> None:
    await clock.sleep(duration_s)
