"""Spans of the calendar: days, weeks that begin on Monday, months, or all time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from llmitm.config.budget import Period

_GRAIN_S: Final = 60
"""Every day of every time zone begins at a full minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One period. It begins at its first moment and ends just before the first moment of the next one."""

    name: str
    """`2026-11-21`, `2026-W47`, `2026-11`, `total`."""
    begins_s: float
    """Seconds since the epoch; so is the end."""
    ends_s: float | None
    """None: never."""


def span_at(period: Period, now_s: float, timezone: str) -> Span:
    """The span that a moment lies in. `timezone` is a name of the time zone database."""
    return _span(period, int(now_s // _GRAIN_S), timezone)


@lru_cache(maxsize=256)
def _span(period: Period, minute: int, timezone: str) -> Span:
    zone = UTC if timezone == "UTC" else ZoneInfo(timezone)
    today = datetime.fromtimestamp(minute * _GRAIN_S, zone).date()
    match period:
        case "daily":
            name, first, after = today.isoformat(), today, today + timedelta(days=1)
        case "weekly":
            year, week, day = today.isocalendar()
            first = today - timedelta(days=day - 1)
            name, after = f"{year}-W{week:02}", first + timedelta(days=7)
        case "monthly":
            first = today.replace(day=1)
            name, after = today.isoformat()[:7], (first + timedelta(days=31)).replace(day=1)
        case "total":
            return Span(name="total", begins_s=0, ends_s=None)
    return Span(name=name, begins_s=_midnight_s(first, zone), ends_s=_midnight_s(after, zone))


def _midnight_s(day: date, zone: tzinfo) -> float:
    """The first moment of a day: where clocks are put forward at midnight, it has another name."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()


def rfc3339(moment_s: float) -> str:
    """UTC, to the second."""
    return datetime.fromtimestamp(moment_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
