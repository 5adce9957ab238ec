"""Moments as people write them, made into those of the ledger. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_SPANS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str, now: datetime | None = None) -> str:
    """RFC 3339 of a date, a time, or a span before now such as 90m, 12h, 7d, 2w. Raises ValueError."""
    try:
        if span := re.fullmatch(r"(\d{1,6})([mhdw])", text):
            at = (now or datetime.now(UTC)) - timedelta(**{_SPANS[span[2]]: int(span[1])})
        else:
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=at.tzinfo or UTC)
        return f"{at.astimezone(UTC).isoformat(timespec='milliseconds')[:-6]}Z"
    except (ValueError, OverflowError):
        raise ValueError(f"{text} is no time: a date, an RFC 3339 time, or 90m, 12h, 7d, 2w") from None
