"""When an upstream wants to be asked again, in every way in which one says it. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from llmitm.exchange import Headers
from llmitm.translate.neutral import JSON

_LONGEST_S: Final = 31_536_000.0
"""Longer waits than a year are mistakes."""
_EPOCH_S: Final = 1e9
"""Numbers beyond are dates: seconds since 1970, or milliseconds where they are a hundred times that."""
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d*)?(?:h|ms|m|us|\u00b5s|ns|s))+")
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d*)?)(h|ms|m|us|\u00b5s|ns|s)")
_UNITS_S: Final[Mapping[str, float]] = {
    "h": 3_600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "\u00b5s": 1e-6,
    "ns": 1e-9,
}
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")
_WINDOW: Final = re.compile(
    r"(?P<front>x-ratelimit)-reset(?P<window>(?:-.+)?)|(?P<of>anthropic-(?:ratelimit|priority)-.+)-reset"
)


def retry_after_s(
    status: int, headers: Headers, body_json: JSON, *, now_s: float | None = None
) -> float | None:
    """Seconds until another try is welcome; 0 where that is now or was before; None: not said.

    The first of `retry-after-ms`, `retry-after`, Google's `retryDelay`, and with 429 the end of the limit
    that was hit. `now_s` is the time since 1970: without it dates say nothing.
    """
    told = {name.decode("latin-1").lower(): value.decode("latin-1").strip() for name, value in headers}
    waits = (
        _number(told.get("retry-after-ms", ""), 1e-3),
        _wait(told.get("retry-after", ""), now_s),
        _google_delay(body_json),
        _window_end(told, now_s) if status == 429 else None,
    )
    return next((wait for wait in waits if wait is not None), None)


def _sane(seconds: float) -> float | None:
    return max(seconds, 0.0) if math.isfinite(seconds) and seconds <= _LONGEST_S else None


def _number(text: str, unit_s: float) -> float | None:
    return _sane(float(text) * unit_s) if _NUMBER.fullmatch(text) else None


def _wait(text: str, now_s: float | None) -> float | None:
    """A number of seconds, a duration, or a date of any usual form."""
    if not text:
        return None
    if _NUMBER.fullmatch(text):
        value = float(text)
        if value <= _EPOCH_S:
            return _sane(value)
        return _until(value / 1e3 if value > _EPOCH_S * 100 else value, now_s)
    return duration_s(text) if _DURATION.fullmatch(text) else _until(_date(text), now_s)


def _until(then_s: float | None, now_s: float | None) -> float | None:
    return None if then_s is None or now_s is None else _sane(then_s - now_s)


def _date(text: str) -> float | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            at = read(text)
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None


def duration_s(text: str) -> float | None:
    """`1h2m3.5s`, `310ms`, and protobuf's `34.07s`; None where it is none."""
    if not _DURATION.fullmatch(text):
        return None
    return _sane(sum(float(part[1]) * _UNITS_S[part[2]] for part in _DURATION_PART.finditer(text)))


def _google_delay(body: JSON) -> float | None:
    for detail in _details(body):
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and (wait := duration_s(delay)) is not None:
            return wait
    return None


def _details(body: JSON) -> Iterator[Mapping[str, Any]]:
    whole = body[0] if isinstance(body, list) and body else body
    error = whole.get("error") if isinstance(whole, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    if isinstance(details, list):
        yield from (detail for detail in details if isinstance(detail, dict))


def _window_end(told: Mapping[str, str], now_s: float | None) -> float | None:
    """The latest end of the windows that are used up; where none is said to be, of OpenAI's windows."""
    exhausted: list[float] = []
    others: list[float] = []
    for name, value in told.items():
        match = _WINDOW.fullmatch(name)
        wait = _wait(value, now_s) if match else None
        if match is None or wait is None:
            continue
        left = told.get(f"{match['of'] or match['front']}-remaining{match['window'] or ''}", "")
        if _NUMBER.fullmatch(left) and float(left) <= 0:
            exhausted.append(wait)
        elif match["front"]:
            others.append(wait)
    return max(exhausted or others, default=None)
