"""Days, weeks and months of the calendar: where each begins, ends, and what it is called."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from llmitm.accept.periods import rfc3339, span_at
from llmitm.config.budget import Period


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


SPANS: list[tuple[str, Period, str, str, str, str]] = [
    # a moment, and the name, beginning and end of its span
    ("2026-11-21T11:43:05Z", "daily", "UTC", "2026-11-21", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"),
    ("2026-11-21T00:00:00Z", "daily", "UTC", "2026-11-21", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"),
    (
        "2026-11-20T23:59:59.999Z",
        "daily",
        "UTC",
        "2026-11-20",
        "2026-11-20T00:00:00Z",
        "2026-11-21T00:00:00Z",
    ),
    ("2026-12-31T12:00:00Z", "daily", "UTC", "2026-12-31", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"),
    ("2028-02-28T12:00:00Z", "daily", "UTC", "2028-02-28", "2028-02-28T00:00:00Z", "2028-02-29T00:00:00Z"),
    # weeks begin on Monday, also where the year does not
    ("2026-11-16T00:00:00Z", "weekly", "UTC", "2026-W47", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
    ("2026-11-15T23:59:59Z", "weekly", "UTC", "2026-W46", "2026-11-09T00:00:00Z", "2026-11-16T00:00:00Z"),
    ("2026-11-22T23:59:59Z", "weekly", "UTC", "2026-W47", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
    ("2026-12-31T12:00:00Z", "weekly", "UTC", "2026-W53", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"),
    ("2027-01-03T12:00:00Z", "weekly", "UTC", "2026-W53", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"),
    ("2024-12-30T12:00:00Z", "weekly", "UTC", "2025-W01", "2024-12-30T00:00:00Z", "2025-01-06T00:00:00Z"),
    ("2026-11-01T00:00:00Z", "monthly", "UTC", "2026-11", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
    ("2026-10-31T23:59:59Z", "monthly", "UTC", "2026-10", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"),
    ("2026-12-15T00:00:00Z", "monthly", "UTC", "2026-12", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
    ("2027-02-28T23:59:59Z", "monthly", "UTC", "2027-02", "2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z"),
    ("2028-02-29T12:00:00Z", "monthly", "UTC", "2028-02", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
    # no hour is lost or doubled in UTC on the days when clocks elsewhere are put forward and back
    ("2026-03-29T01:30:00Z", "daily", "UTC", "2026-03-29", "2026-03-29T00:00:00Z", "2026-03-30T00:00:00Z"),
    (
        "2026-03-29T01:30:00Z",
        "daily",
        "Europe/Berlin",
        "2026-03-29",
        "2026-03-28T23:00:00Z",
        "2026-03-29T22:00:00Z",
    ),
    (
        "2026-10-25T12:00:00Z",
        "daily",
        "Europe/Berlin",
        "2026-10-25",
        "2026-10-24T22:00:00Z",
        "2026-10-25T23:00:00Z",
    ),
    (
        "2026-11-30T23:30:00Z",
        "monthly",
        "Europe/Berlin",
        "2026-12",
        "2026-11-30T23:00:00Z",
        "2026-12-31T23:00:00Z",
    ),
    (
        "2026-11-21T18:29:59Z",
        "daily",
        "Asia/Kolkata",
        "2026-11-21",
        "2026-11-20T18:30:00Z",
        "2026-11-21T18:30:00Z",
    ),
    # a day whose midnight does not exist begins an hour later
    (
        "2018-11-04T12:00:00Z",
        "daily",
        "America/Sao_Paulo",
        "2018-11-04",
        "2018-11-04T03:00:00Z",
        "2018-11-05T02:00:00Z",
    ),
]


@pytest.mark.parametrize(("moment", "period", "zone", "name", "begins", "ends"), SPANS)
def test_a_span(moment: str, period: Period, zone: str, name: str, begins: str, ends: str) -> None:
    span = span_at(period, at(moment), zone)
    assert span.ends_s is not None
    assert (span.name, rfc3339(span.begins_s), rfc3339(span.ends_s)) == (name, begins, ends)


def test_what_never_ends_has_one_span() -> None:
    spans = {
        span_at("total", at(moment), "UTC") for moment in ("1999-12-31T00:00:00Z", "2026-11-21T00:00:00Z")
    }
    assert [(one.name, one.begins_s, one.ends_s) for one in spans] == [("total", 0, None)]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Auckland", "America/Havana"])
@pytest.mark.parametrize("period", ["daily", "weekly", "monthly"])
def test_one_span_follows_another_without_a_gap(period: Period, zone: str) -> None:
    moment = at("2027-12-28T05:00:00Z")
    until = moment + timedelta(days=400).total_seconds()
    names = []
    while moment < until:
        span = span_at(period, moment, zone)
        assert span.ends_s is not None and span.begins_s <= moment < span.ends_s
        assert span_at(period, span.begins_s, zone) == span
        assert span_at(period, span.ends_s - 0.001, zone) == span
        names.append(span.name)
        moment = span.ends_s
    assert len(set(names)) == len(names)
