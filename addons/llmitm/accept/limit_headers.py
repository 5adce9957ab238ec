"""What a client is told of its limits, in the words of its dialect. Pure.

OpenAI's names hold for all dialects but Anthropic's. Of Anthropic's, those of input and output tokens are
left out: there is one limit for both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from llmitm.exchange import Dialect, Headers

UNKNOWN_WAIT_S: Final = 2.0
"""Until a store that is away has been asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a limit leaves."""

    limit: int
    remaining: int
    reset_s: float
    """Until nothing of it is used any more, if nothing is added."""


def write(dialect: Dialect, rooms: dict[str, Room], now_s: float) -> Headers:
    """`rooms` by what is counted: `requests`, `tokens`. `now_s` is the time since 1970."""
    is_anthropic = dialect is Dialect.ANTHROPIC_MESSAGES
    headers: list[tuple[bytes, bytes]] = []
    for counted, room in rooms.items():
        limit, remaining, reset = _names(counted, is_anthropic=is_anthropic)
        when = _moment(now_s + room.reset_s) if is_anthropic else duration(room.reset_s)
        headers += (
            (limit, b"%d" % room.limit),
            (remaining, b"%d" % room.remaining),
            (reset, when.encode()),
        )
    return tuple(headers)


def merged(headers: Headers, own: Headers) -> Headers:
    """An upstream's headers with ours in place of those of the same name: its limits are not the client's."""
    if not own:
        return headers
    names = {name for name, _ in own}
    return tuple(pair for pair in headers if pair[0].lower() not in names) + own


def retry_after(wait_s: float) -> Headers:
    """When another try may pass: whole seconds for all, milliseconds for the SDKs that look there first."""
    wait_ms = max(milliseconds(wait_s), 1)
    return (
        (b"retry-after", b"%d" % max(math.ceil(wait_ms / 1000), 1)),
        (b"retry-after-ms", b"%d" % wait_ms),
    )


def milliseconds(length_s: float) -> int:
    """Rounded up, so that nobody comes too early."""
    return math.ceil(round(length_s * 1000, 6))


def duration(length_s: float) -> str:
    """As Go writes it: `12ms`, `1.2s`, `6m0s`."""
    whole_ms = milliseconds(length_s)
    if 0 < whole_ms < 1000:
        return f"{whole_ms}ms"
    minutes, rest_ms = divmod(whole_ms, 60_000)
    return (f"{minutes}m" if minutes else "") + f"{rest_ms / 1000:g}s"


@lru_cache(maxsize=16)
def _names(counted: str, *, is_anthropic: bool) -> tuple[bytes, bytes, bytes]:
    form = f"anthropic-ratelimit-{counted}-{{}}" if is_anthropic else f"x-ratelimit-{{}}-{counted}"
    limit, remaining, reset = (form.format(name).encode() for name in ("limit", "remaining", "reset"))
    return limit, remaining, reset


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(math.ceil(at_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
