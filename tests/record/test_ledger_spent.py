"""What keys have spent since some moment, as both kinds of ledger tell it."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmitm.exchange import Usage
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.spent import Sum, Untold, spent
from support.ledgers import AT_S, entry_of, keep, names_in, noted_of, place_of


def by_key(found: list[Sum]) -> dict[str | None, tuple[int, int]]:
    return {one.auth_key: (one.tokens, one.usd_nano) for one in found}


async def test_all_attempts_of_a_span_count_by_key(place: Place) -> None:
    free = {"usage": None, "cost_usd_nano": None, "price_version": None, "is_cost_whole": None}
    half = Usage(input_tokens=7)
    await keep(
        place,
        [
            entry_of(1, auth_key="a", at_s=AT_S - 0.001),
            entry_of(2, auth_key="a", at_s=AT_S),
            entry_of(
                3, auth_key="a", at_s=AT_S + 5, attempts=[noted_of(1), noted_of(2, **free), noted_of(3)]
            ),
            entry_of(4, auth_key="b", at_s=AT_S + 6, attempts=[noted_of(usage=half, cost_usd_nano=10**15)]),
            entry_of(5, auth_key="b", at_s=AT_S + 7, attempts=[]),
            entry_of(6, at_s=AT_S + 8),
            entry_of(7, auth_key="late", at_s=AT_S + 60),
        ],
    )
    found = by_key((await spent(place, AT_S, AT_S + 60))[0])
    assert found == {"a": (45, 4_500), "b": (7, 10**15), None: (15, 1_500)}
    assert by_key((await spent(place, AT_S + 60, AT_S + 61))[0]) == {"late": (15, 1_500)}
    assert await spent(place, 0, AT_S - 1) == ([], [])


async def test_streams_that_told_of_no_tokens_are_told_apart(place: Place) -> None:
    """Whole answers without tokens are of other kinds, and failures cost nothing."""
    silent = {"usage": None, "cost_usd_nano": None, "request_bytes": 400}
    attempts = [
        {"ending": "answered"},
        {"ending": "truncated"},
        {"ending": "dropped", "request_bytes": None},
        {"ending": "server", "status": 500},
        {"ending": "network", "status": None},
        {"ending": "dropped", "model": "another"},
        {"ending": "truncated", "usage": Usage(input_tokens=3)},
    ]
    made = [noted_of(number, **{**silent, **one}) for number, one in enumerate(attempts, 1)]
    await keep(
        place,
        [
            entry_of(1, auth_key="a", is_stream=True, attempts=made),
            entry_of(2, auth_key="a", is_stream=False, attempts=[noted_of(**silent)]),
            entry_of(3, auth_key="a", is_stream=True),
        ],
    )
    _, untold = await spent(place, AT_S, AT_S + 60)
    common = {"auth_key": "a", "provider": "main", "host": "127.0.0.1"}
    assert sorted(untold, key=lambda one: one.model or "") == [
        Untold(**common, model="another", count=1, request_bytes=400),
        Untold(**common, model="gpt-known", count=3, request_bytes=800),
    ]


async def test_where_there_is_no_ledger_nothing_was_spent(place: Place, tmp_path: Path) -> None:
    assert await spent(place, 0, AT_S) == ([], [])
    assert names_in(tmp_path) == []


async def test_what_is_no_ledger_cannot_be_read(tmp_path: Path) -> None:
    place = place_of(tmp_path)
    assert place.path is not None
    place.path.write_bytes(b"this is no database" * 100)
    with pytest.raises(Exception, match="not a database"):
        await spent(place, 0, AT_S)
