"""What clients are told of their limits, each in the words of its dialect."""

from __future__ import annotations

import pytest

from llmitm.accept.limit_headers import Room, duration, merged, retry_after, write
from llmitm.exchange import Dialect, Headers
from llmitm.translate.retry_times import duration_s

NOW_S = 1_790_000_000.25
ROOMS = {
    "requests": Room(limit=60, remaining=7, reset_s=1.2),
    "tokens": Room(limit=100_000, remaining=0, reset_s=59.75),
}
OPENAI = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-remaining-requests": "7",
    "x-ratelimit-reset-requests": "1.2s",
    "x-ratelimit-limit-tokens": "100000",
    "x-ratelimit-remaining-tokens": "0",
    "x-ratelimit-reset-tokens": "59.75s",
}
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "60",
    "anthropic-ratelimit-requests-remaining": "7",
    "anthropic-ratelimit-requests-reset": "2026-09-21T14:13:22Z",
    "anthropic-ratelimit-tokens-limit": "100000",
    "anthropic-ratelimit-tokens-remaining": "0",
    "anthropic-ratelimit-tokens-reset": "2026-09-21T14:14:20Z",
}


def plain(headers: Headers) -> dict[str, str]:
    assert len(dict(headers)) == len(headers)
    return {name.decode(): value.decode() for name, value in headers}


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (Dialect.OPENAI_CHAT, OPENAI),
        (Dialect.OPENAI_RESPONSES, OPENAI),
        (Dialect.GEMINI, OPENAI),
        (Dialect.ANTHROPIC_MESSAGES, ANTHROPIC),
    ],
)
def test_each_dialect_has_its_own_words(dialect: Dialect, expected: dict[str, str]) -> None:
    assert plain(write(dialect, ROOMS, NOW_S)) == expected


@pytest.mark.parametrize("dialect", list(Dialect))
def test_what_is_not_limited_is_not_told(dialect: Dialect) -> None:
    names = plain(write(dialect, {"tokens": ROOMS["tokens"]}, NOW_S))
    assert len(names) == 3
    assert not any("requests" in name for name in names)
    assert write(dialect, {}, NOW_S) == ()


@pytest.mark.parametrize(
    ("length_s", "text"),
    [
        (0, "0s"),
        (0.0004, "1ms"),
        (0.012, "12ms"),
        (1, "1s"),
        (1.1, "1.1s"),
        (1.2, "1.2s"),
        (59.9991, "1m0s"),
        (60, "1m0s"),
        (60.5, "1m0.5s"),
        (360, "6m0s"),
    ],
)
def test_durations_are_written_as_go_does_and_never_too_short(length_s: float, text: str) -> None:
    assert duration(length_s) == text
    read_s = duration_s(text)
    assert read_s is not None and length_s <= read_s + 1e-9 < length_s + 0.0011


@pytest.mark.parametrize(
    ("wait_s", "seconds", "milliseconds"),
    [
        (0.0, b"1", b"1"),
        (0.2, b"1", b"200"),
        (1.0, b"1", b"1000"),
        (1.0001, b"2", b"1001"),
        (61, b"61", b"61000"),
    ],
)
def test_a_time_to_wait_is_rounded_up(wait_s: float, seconds: bytes, milliseconds: bytes) -> None:
    assert retry_after(wait_s) == ((b"retry-after", seconds), (b"retry-after-ms", milliseconds))


def test_an_upstreams_own_limits_give_way_to_the_clients() -> None:
    upstream = (
        (b"X-RateLimit-Limit-Requests", b"5000"),
        (b"content-type", b"text/plain"),
        (b"x-ratelimit-limit-tokens", b"9"),
    )
    own = ((b"x-ratelimit-limit-requests", b"60"),)
    assert merged(upstream, own) == (*upstream[1:], *own)
    assert merged(upstream, ()) == upstream
