"""Leafing through the ledger: pages join without a gap; one that is hard to find says where to go on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from llmitm.record.bodies import Seen
from llmitm.record.entry import Outcome
from llmitm.record.ledger import paging
from llmitm.record.ledger.paging import facets, page, stats, whole
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.reading import Wanted, reading
from support.ledgers import AT_S, entry_of, keep, noted_of, place_of

FAILED = {4, 9}
ENTRIES = tuple(
    entry_of(
        number,
        auth_key="ci" if number % 3 == 0 else "laptop",
        outcome=Outcome.UPSTREAM_ERROR if number in FAILED else Outcome.OK,
        status=502 if number in FAILED else 200,
    )
    for number in range(1, 11)
)


def still() -> Callable[[], float]:
    return lambda: 0.0


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ({"key": "ci"}, [9, 6, 3]),
        ({"outcome": "failed"}, [9, 4]),
        ({"outcome": "upstream_error", "key": "laptop"}, [4]),
        ({"credential": "one", "since": "2026-09-21T14:13:28.000Z"}, [10, 9, 8]),
        ({"until": "2026-09-21T14:13:23.000Z"}, [2, 1]),
        ({"since": "2030-01-01T00:00:00.000Z"}, []),
    ],
)
async def test_pages_join_without_a_gap(tmp_path: Path, wanted: dict[str, str], expected: list[int]) -> None:
    await keep(place_of(tmp_path), ENTRIES)
    async with reading(place_of(tmp_path)) as connection:
        for limit in (1, 2, 3, 10):
            found: list[int] = []
            before: int | None = None
            for _ in range(12):
                one = await page(connection, Wanted(**wanted), limit, before=before, tick_s=still())  # type: ignore[arg-type]
                assert len(one.rows) <= limit and one.is_full_search
                found += [row["number"] for row in one.rows]
                before = one.before
                if before is None:
                    break
            assert found == expected, limit


async def test_a_page_that_is_hard_to_find_says_where_to_go_on(place: Place) -> None:
    """Whatever is looked for, a page takes one stretch longer than its time at most."""
    many = paging.STRETCHES[0] + 5
    await keep(place, [entry_of(number, path="/rare" if number == 2 else "/x") for number in range(1, many)])
    async with reading(place) as connection:
        ticks = count(0.0, 10.0)
        first = await page(connection, Wanted(text="/rare"), 5, tick_s=lambda: next(ticks), within_s=1.0)
        assert first.rows == [] and not first.is_full_search and first.before is not None
        second = await page(connection, Wanted(text="/rare"), 5, before=first.before, tick_s=still())
        assert [row["number"] for row in second.rows] == [2] and second.before is None
        for wanted, expected in (
            (Wanted(text="llmitm-test-2"), [2]),
            (Wanted(text="llmitm-test-2", key="x"), []),
        ):
            one = await page(connection, wanted, 5, tick_s=count(0.0, 10.0).__next__, within_s=1.0)
            assert [row["number"] for row in one.rows] == expected, "an id is found however old it is"


async def test_words_of_bodies_are_found_where_that_is_wanted(place: Place) -> None:
    sent, given = Seen(), Seen()
    sent.add(b'{"prompt": "Where is the Lighthouse?"}')
    await keep(place, [entry_of(1, sent=sent, given=given), entry_of(2)])
    async with reading(place) as connection:
        for in_bodies, expected in ((False, []), (True, [1])):
            wanted = Wanted(text="lighthouse", in_bodies=in_bodies)
            found = await page(connection, wanted, 5, tick_s=still())
            assert [row["number"] for row in found.rows] == expected
        one = await whole(connection, "llmitm-test-1")
        assert one is not None and one.bodies is not None and "Lighthouse" in one.bodies["request"]


async def test_one_exchange_with_its_attempts(place: Place) -> None:
    tries = [noted_of(1, status=429, ending="rate_limit"), noted_of(2)]
    await keep(place, [entry_of(1, attempts=tries), entry_of(2)])
    async with reading(place) as connection:
        one = await whole(connection, "llmitm-test-1")
        assert one is not None and one.bodies is None
        assert [(row["number"], row["ending"]) for row in one.attempts] == [
            (1, "rate_limit"),
            (2, "answered"),
        ]
        assert await whole(connection, "llmitm-test-3") is None


async def test_numbers_and_names_of_what_is_there(place: Place) -> None:
    await keep(place, ENTRIES)
    async with reading(place) as connection:
        told = await stats(connection, Wanted())
        assert (told["count"], told["mean_ms"], told["outcomes"]["upstream_error"]) == (10, 500.0, 2)
        assert (await stats(connection, Wanted(key="nobody")))["count"] == 0
        names = await facets(connection)
        assert names["auth_key"] == ["laptop", "ci"] and names["code"] == []


async def test_a_status_that_is_none_is_refused(tmp_path: Path) -> None:
    await keep(place_of(tmp_path), [entry_of(1, at_s=AT_S)])
    async with reading(place_of(tmp_path)) as connection:
        for wanted in (Wanted(status="fine"), Wanted(outcome="fine")):
            with pytest.raises(ValueError, match="fine is no"):
                await page(connection, wanted, 5, tick_s=still())
