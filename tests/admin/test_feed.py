"""What readers are told while exchanges run: once made, never waited for, and how many were missed."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from llmitm.admin import feed as feeds
from llmitm.admin.app_log import AppLog
from llmitm.admin.feed import Feed, Reader, TooMany, wanted_channels
from llmitm.admin.onlooker import Onlooker
from llmitm.record.entry import Outcome
from support.clocks import HandClock
from support.ledgers import entry_of


class Stage:
    """A feed whose turns a test takes."""

    def __init__(self) -> None:
        self.made = 0
        self.onlooker = Onlooker(HandClock())
        self.app_log = AppLog(str)
        self.feed = Feed(
            self.onlooker, self.app_log, HandClock(), metrics=self.metrics, shown=lambda one: {"id": one.id}
        )

    async def metrics(self) -> dict[str, Any]:
        self.made += 1
        return {"number": self.made}

    def pass_by(self, number: int, **known: Any) -> None:
        entry = entry_of(number, **known)
        self.onlooker.begun(entry)
        self.onlooker(entry)


async def taken(reader: Reader) -> list[dict[str, Any]]:
    return [orjson.loads(one) for one in await reader.take()]


async def test_a_new_reader_is_told_how_things_stand() -> None:
    stage = Stage()
    stage.onlooker.begun(entry_of(7, ended_s=None))
    reader = await stage.feed.join()
    assert await taken(reader) == [
        {"type": "exchanges.running", "data": [{"id": "llmitm-test-7"}]},
        {"type": "metrics", "data": {"number": 1}},
    ]
    stage.feed.leave(reader)


async def test_exchanges_are_told_as_they_begin_and_end() -> None:
    """One that has ended before it was told of is told of once."""
    stage = Stage()
    reader = await stage.feed.join()
    await reader.take()
    slow = entry_of(1, ended_s=None)
    stage.onlooker.begun(slow)
    stage.pass_by(2)
    await stage.feed.tell()
    assert [(one["type"], one["data"]["id"]) for one in await taken(reader)] == [
        ("exchange.begun", "llmitm-test-1"),
        ("exchange.ended", "llmitm-test-2"),
    ]
    slow.ended_s = 101.0
    stage.onlooker(slow)
    await stage.feed.tell()
    assert [(one["type"], one["data"]["id"]) for one in await taken(reader)] == [
        ("exchange.ended", "llmitm-test-1")
    ]
    stage.feed.leave(reader)


async def test_of_more_than_anybody_reads_the_failed_are_told_and_the_rest_is_counted() -> None:
    stage = Stage()
    reader = await stage.feed.join()
    await reader.take()
    for number in range(1, 101):
        is_bad = number in (3, 50)
        stage.pass_by(number, outcome=Outcome.UPSTREAM_ERROR if is_bad else Outcome.OK)
    await stage.feed.tell()
    *told, missed = await taken(reader)
    names = [one["data"]["id"] for one in told]
    assert len(names) == feeds.MOST_A_TICK
    assert names[:2] == ["llmitm-test-3", "llmitm-test-32"] and names[-1] == "llmitm-test-64"
    assert missed == {"type": "missed", "count": 94, "data": {"count": 94}}
    stage.feed.leave(reader)


async def test_a_slow_reader_is_told_what_it_missed_and_holds_nobody_up() -> None:
    stage = Stage()
    slow, quick = await stage.feed.join(), await stage.feed.join()
    await quick.take()
    turns = feeds.ROOM + 10
    for number in range(1, turns + 1):
        stage.pass_by(number)
        await stage.feed.tell()
        await quick.take()
    told = await taken(slow)
    assert len(told) == feeds.ROOM + 1
    ended = sum(one["type"] == "exchange.ended" for one in told)
    metrics = sum(one["type"] == "metrics" for one in told)
    assert told[-1]["count"] == turns + turns // feeds.METRICS_EVERY + 1 - ended - metrics
    stage.pass_by(1_000)
    await stage.feed.tell()
    assert [one["type"] for one in await taken(slow)] == ["exchange.ended"]
    for one in (slow, quick):
        stage.feed.leave(one)


async def test_readers_are_told_what_they_have_subscribed_to() -> None:
    stage = Stage()
    reader = await stage.feed.join()
    await reader.take()
    reader.channels, strange = wanted_channels(["log", "metrics", "weather", 7])
    assert (reader.channels, strange) == ({"logs", "metrics"}, ["weather", "7"])
    for number in range(1, 5):
        stage.pass_by(number)
        await stage.feed.tell()
    assert [one["type"] for one in await taken(reader)] == ["metrics"]
    stage.feed.leave(reader)


async def test_nothing_is_kept_or_made_while_nobody_reads() -> None:
    stage = Stage()
    reader = await stage.feed.join()
    stage.feed.leave(reader)
    stage.pass_by(1)
    assert stage.onlooker.news() == ([], [], 0) and not stage.onlooker.under_way
    made = stage.made
    await stage.feed.tell()
    assert stage.made == made


async def test_there_is_an_end_of_readers() -> None:
    stage = Stage()
    readers = [await stage.feed.join() for _ in range(feeds.MOST_READERS)]
    with pytest.raises(TooMany):
        await stage.feed.join()
    for one in readers:
        stage.feed.leave(one)
