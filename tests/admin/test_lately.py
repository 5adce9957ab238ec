"""The last five minutes: what counts in them, what leaves them, and that their points add up."""

from __future__ import annotations

import pytest

from llmitm.admin.lately import Lately
from llmitm.exchange import Usage
from llmitm.record.entry import Outcome
from support.clocks import HandClock
from support.ledgers import entry_of, noted_of


def test_what_is_told_of_the_last_minutes() -> None:
    clock = HandClock()
    lately = Lately(clock)
    used = Usage(input_tokens=100, cache_read_tokens=25, output_tokens=60)
    rescued = [noted_of(1, ending="rate_limit", usage=None, cost_usd_nano=None), noted_of(2)]
    bad = [noted_of(provider="down", ending="server")]
    lately(entry_of(1, usage=used))
    lately(entry_of(2, attempts=rescued))
    clock.at_s += 100
    lately(entry_of(3, attempts=bad, outcome=Outcome.UPSTREAM_ERROR))
    lately(entry_of(4, attempts=[], outcome=Outcome.REFUSED, code="invalid_api_key"))
    lately(entry_of(5, attempts=bad, outcome=Outcome.CLIENT_GONE))
    too_long = [noted_of(ending="context")]
    lately(entry_of(6, attempts=too_long, outcome=Outcome.REFUSED, auth_key="team"))
    told = lately.read()
    assert (told["requests"], told["failed"], told["rescued"], told["success_rate"]) == (6, 1, 1, 0.75)
    assert told["refused"] == 2
    assert told["requests_per_second"] == round(4 / 60, 3)
    assert told["top_failures"] == [
        {"provider": "down", "reason": "server", "count": 1},
    ]
    assert told["top_refusals"] == [
        {"auth_key": None, "reason": "invalid_api_key", "count": 1},
        {"auth_key": "team", "reason": "context", "count": 1},
    ]
    points = lately.history()
    assert sum(one["requests"] for one in points) == 6 and sum(one["failed"] for one in points) == 1
    assert [one["requests"] for one in points if one["requests"]] == [2, 4]
    clock.at_s += 250
    assert lately.read()["requests"] == 4, "the first ones are older than the window"
    clock.at_s += 1_000
    assert lately.read()["success_rate"] is None and lately.usd_nano == 7_500


def test_one_that_was_only_hedged_was_not_rescued() -> None:
    lately = Lately(HandClock())
    lately(entry_of(1, attempts=[noted_of(1, ending="dropped"), noted_of(2)]))
    assert lately.read()["rescued"] == 0


@pytest.mark.parametrize(
    ("ending", "is_failure"),
    [
        (None, False),
        ("answered", False),
        ("client", False),
        ("context", False),
        ("rate_limit", True),
        ("billing", True),
        ("permission", True),
    ],
)
def test_what_a_client_did_wrong_is_no_failure(ending: str | None, is_failure: bool) -> None:
    lately = Lately(HandClock())
    attempts = [] if ending is None else [noted_of(ending=ending)]
    lately(entry_of(1, attempts=attempts, outcome=Outcome.REFUSED, status=429))
    told = lately.read()
    assert (told["failed"], told["refused"]) == (int(is_failure), int(not is_failure))
    assert told["success_rate"] == (0 if is_failure else None), "nothing was to be answered"
