"""What the last minutes were like, second by second: what a first page shows. Bounded, whatever comes."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from llmitm.clock import Clock
from llmitm.record.entry import OF_THE_CLIENT, Entry, Outcome
from llmitm.record.metrics import ANSWERED, NO_ERRORS
from llmitm.record.recent import Durations

WINDOW_S: Final = 300
STEP_S: Final = 5
"""What a chart's points are apart."""
MOST_WHY: Final = 20
"""Reasons of failures that are told apart in one second."""


@dataclass(slots=True)
class Second:
    at: int
    """On the clock's ticks."""
    requests: int = 0
    failed: int = 0
    """Those that were not answered though nothing was wrong with them."""
    refused: int = 0
    """For the client's key, its limits or what it asked: that says nothing of how the gateway is."""
    rescued: int = 0
    """Answered well after an attempt that had failed."""
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    usd_nano: int = 0
    why: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Failures by provider and reason."""
    whose: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Refusals by the client's key and reason."""


class Lately:
    """One for a process: a sink."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds: deque[Second] = deque()
        self._own = Durations()
        self.usd_nano = 0
        """What exchanges cost that have ended since the start."""

    def __call__(self, entry: Entry) -> None:
        tick_s = self._clock.tick_s()
        now = self._second(int(tick_s))
        now.requests += 1
        usage = entry.usage
        now.input_tokens += usage.input_tokens or 0
        now.cached_tokens += usage.cache_read_tokens or 0
        now.output_tokens += usage.output_tokens or 0
        if (cost := entry.cost_usd_nano) is not None:
            now.usd_nano += cost
            self.usd_nano += cost
        if (own_s := entry.own_s) is not None:
            self._own.add(own_s, tick_s)
        if _is_clients(entry):
            now.refused += 1
            if len(now.whose) < MOST_WHY:
                now.whose[entry.auth_key or "", _refusal(entry)] += 1
        elif entry.outcome not in NO_ERRORS:
            now.failed += 1
            if len(now.why) < MOST_WHY:
                now.why[_why(entry)] += 1
        elif entry.outcome is Outcome.OK and len(entry.attempts) > 1 and _was_rescued(entry):
            now.rescued += 1

    def read(self) -> dict[str, Any]:
        """Of the last five minutes, but for rates, which are of the last minute."""
        now_s = self._clock.tick_s()
        self._second(int(now_s))
        total = _sum(self._seconds)
        minute = _sum(one for one in self._seconds if one.at > now_s - 61)
        own = self._own.read(now_s)
        why: Counter[tuple[str, str]] = Counter()
        whose: Counter[tuple[str, str]] = Counter()
        for one in self._seconds:
            why.update(one.why)
            whose.update(one.whose)
        tried = total.requests - total.refused
        return {
            "window_s": WINDOW_S,
            "requests": total.requests,
            "failed": total.failed,
            "refused": total.refused,
            "success_rate": _share(tried - total.failed, tried),
            "rescued": total.rescued,
            "requests_per_second": round(minute.requests / 60, 3),
            "output_tokens_per_second": round(minute.output_tokens / 60, 3),
            "cache_hit_rate": _share(total.cached_tokens, total.input_tokens),
            "cost_usd_nano": total.usd_nano,
            "added_latency_percentiles_ms": {
                name: None if at_s is None else round(at_s * 1000, 3)
                for name, at_s in zip(("p50", "p90", "p99"), own.at_s, strict=True)
            },
            "top_failures": [
                {"provider": provider or None, "reason": reason, "count": count}
                for (provider, reason), count in why.most_common(10)
            ],
            "top_refusals": [
                {"auth_key": key or None, "reason": reason, "count": count}
                for (key, reason), count in whose.most_common(10)
            ],
        }

    def history(self) -> list[dict[str, Any]]:
        """The same window as points of a chart, the oldest first; each begins `seconds_ago`."""
        now = int(self._clock.tick_s())
        self._second(now)
        points = []
        for since in range(now - now % STEP_S - WINDOW_S + STEP_S, now + 1, STEP_S):
            one = _sum(second for second in self._seconds if since <= second.at < since + STEP_S)
            points.append(
                {
                    "seconds_ago": now - since,
                    "requests": one.requests,
                    "failed": one.failed,
                    "refused": one.refused,
                    "output_tokens": one.output_tokens,
                    "cost_usd_nano": one.usd_nano,
                }
            )
        return points

    def _second(self, at: int) -> Second:
        while self._seconds and self._seconds[0].at <= at - WINDOW_S:
            self._seconds.popleft()
        if not self._seconds or self._seconds[-1].at != at:
            self._seconds.append(Second(at))
        return self._seconds[-1]


def _sum(seconds: Iterable[Second]) -> Second:
    total = Second(0)
    for one in seconds:
        total.requests += one.requests
        total.failed += one.failed
        total.refused += one.refused
        total.rescued += one.rescued
        total.input_tokens += one.input_tokens
        total.cached_tokens += one.cached_tokens
        total.output_tokens += one.output_tokens
        total.usd_nano += one.usd_nano
    return total


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _was_rescued(entry: Entry) -> bool:
    return any(
        one.ending not in (ANSWERED, "dropped", "skipped")
        for one in entry.attempts
        if one is not entry.answering
    )


def _is_clients(entry: Entry) -> bool:
    """Whether it was refused, and nobody but the client can do better."""
    if entry.outcome is not Outcome.REFUSED:
        return False
    ending = None if (last := entry.answering) is None else last.ending
    return ending is None or ending in OF_THE_CLIENT


def _refusal(entry: Entry) -> str:
    ending = None if (last := entry.answering) is None else last.ending
    return str(ending) if ending in ("client", "context") else entry.code or str(entry.outcome)


def _why(entry: Entry) -> tuple[str, str]:
    last = entry.answering
    if last is None:
        return "", entry.code or str(entry.outcome)
    ending = last.ending
    return last.provider, str(entry.outcome if ending is None or ending == ANSWERED else ending)
