"""How an exchange is shown: its time line, its bill line by line, and every field that is promised."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llmitm.admin import shown
from llmitm.exchange import Noted, ResponseHead, Usage
from llmitm.record.bodies import Leg
from llmitm.record.cost import Cost
from llmitm.record.entry import Entry
from llmitm.record.ledger.rows import Writing
from llmitm.record.prices import Prices
from llmitm.route.verdict import Ending
from support.clocks import HandClock
from support.ledgers import AT_S, config_of, entry_of, noted_of

WRITING = Writing("run", str)
USAGE = Usage(
    input_tokens=100, output_tokens=10, cache_read_tokens=20, server_tools=(("web_search_requests", 2),)
)


def price(noted: Noted) -> Cost | None:
    if noted.usage is None or noted.model is None:
        return None
    prices = Prices(config_of(), HandClock())
    return prices.cost(provider=noted.provider, model=noted.model, usage=noted.usage, at_s=noted.at_s)


def whole(entry: Entry, so_far_ms: float | None = None) -> shown.Exchange:
    rows = shown.named_attempts(WRITING, entry)
    legs = shown.named_legs(WRITING, entry)
    return shown.exchange(shown.named(WRITING, entry), rows, None, legs, price, so_far_ms)


def openai(number: int, **known: object) -> Noted:
    return noted_of(number, provider="openai", model="gpt-4o", at_s=AT_S + 1 + number / 10, **known)


def test_the_time_line_is_in_order_and_tells_each_attempt() -> None:
    failed = openai(1, status=429, ending="rate_limit", usage=None, ended_s=100.15)
    found = whole(entry_of(1, attempts=[failed, openai(2)], body_s=100.01, admitted_s=100.02, ended_s=101.0))
    assert [(one.what, one.attempt) for one in found.timeline] == [
        ("accepted", None),
        ("body_read", None),
        ("admitted", None),
        ("attempt_begun", 1),
        ("attempt_ended", 1),
        ("attempt_answered", 1),
        ("attempt_begun", 2),
        ("first_byte", None),
        ("attempt_answered", 2),
        ("attempt_ended", 2),
        ("ended", None),
    ]
    assert [(one.verdict, one.rests) for one in found.attempt_list] == [
        ("credential", "model"),
        ("delivered", None),
    ]


def test_a_bill_adds_up_and_says_whether_it_is_as_recorded() -> None:
    cost = price(openai(1, usage=USAGE))
    assert cost is not None
    noted = openai(1, usage=USAGE, cost_usd_nano=cost.usd_nano, price_version=cost.version)
    bill = whole(entry_of(1, attempts=[noted])).attempt_list[0].bill
    assert bill is not None and bill.is_as_recorded
    assert [(one.kind, one.count, one.unit) for one in bill.lines] == [
        ("input", 80, "token"),
        ("cache_read", 20, "token"),
        ("output", 10, "token"),
        ("web_search", 2, "call"),
    ]
    assert sum(one.cost_usd_nano for one in bill.lines) == bill.total_usd_nano == cost.usd_nano
    noted.cost_usd_nano = 1
    changed = whole(entry_of(1, attempts=[noted])).attempt_list[0].bill
    assert changed is not None and not changed.is_as_recorded


def test_usage_is_read_back_as_it_was_written() -> None:
    for usage in (USAGE, replace(USAGE, is_final=False, tier="flex"), Usage(input_tokens=1)):
        (row,) = shown.named_attempts(WRITING, entry_of(1, attempts=[noted_of(usage=usage)]))
        assert shown.usage_of(row) == usage
    (row,) = shown.named_attempts(WRITING, entry_of(1, attempts=[noted_of(usage=None)]))
    assert shown.usage_of(row) is None


def test_what_runs_has_no_end_yet() -> None:
    found = whole(entry_of(1, ended_s=None, attempts=[openai(1, ended_s=None, ending=None)]), 1234.56)
    assert (found.state, found.outcome, found.total_ms, found.ended_at) == ("running", None, 1234.6, None)
    assert found.attempt_list[0].verdict is None and "ended" not in {one.what for one in found.timeline}


@pytest.mark.parametrize("so_far_ms", [None, 5.0])
def test_every_field_that_is_promised_is_there(so_far_ms: float | None) -> None:
    """Models are put together without being checked, for speed: here they are."""
    found = whole(entry_of(1, attempts=[openai(1, usage=USAGE)]), so_far_ms)
    shown.Exchange.model_validate(found.model_dump())
    shown.Item.model_validate(shown.item(shown.named(WRITING, entry_of(2))).model_dump())


def test_every_end_of_an_attempt_has_a_reason_in_words() -> None:
    assert not {*Ending, "answered", "truncated", "dropped"} - set(shown.REASONS)


@pytest.mark.parametrize(
    ("usd_nano", "text"),
    [
        (None, None),
        (0, "0"),
        (1, "0.000000001"),
        (1_500_000_000, "1.5"),
        (-20, "-0.00000002"),
        (10**10, "10"),
    ],
)
def test_dollars(usd_nano: int | None, text: str | None) -> None:
    assert shown.usd(usd_nano) == text


def test_each_attempt_tells_what_was_sent_and_said() -> None:
    silent = Leg("POST", "https://one.test/v1", ((b"x-a", b"1"),))
    silent.sent.add(b"{}")
    spoken = Leg("POST", "https://two.test/v1", ())
    spoken.came(ResponseHead(status=200, headers=((b"Content-Type", b"text/event-stream"),)))
    spoken.said.add(b"data: {}\n\n")
    attempts = [openai(1), openai(2), openai(3)]
    found = whole(entry_of(1, attempts=attempts, legs={1: silent, 2: spoken})).attempt_list
    assert found[0].sent is not None and found[0].said is None
    assert (found[0].sent.url, found[0].sent.headers, found[0].sent.body) == (
        "https://one.test/v1", [("x-a", "1")], "{}",
    )  # fmt: skip
    assert found[1].said is not None and not found[1].said.truncated
    assert (found[1].said.status, found[1].said.body) == (200, "data: {}\n\n")
    assert found[1].said.headers == [("Content-Type", "text/event-stream")]
    assert (found[2].sent, found[2].said) == (None, None)  # an operator answered it: nothing was sent
