"""What numbers are kept in: sums and histograms by label, recent percentiles, names of labels."""

from __future__ import annotations

import asyncio
import random

import pytest

from llmitm.record.names import MOST_CHARACTERS, NONE, Names
from llmitm.record.process import LoopLag, memory_bytes
from llmitm.record.recent import Durations, Rate
from llmitm.record.series import OTHER, Counter, Distribution, Histogram
from llmitm.secret import Redactor, Secret
from support.clocks import HandClock


def test_a_counter_adds_up_by_its_labels() -> None:
    counter = Counter("tokens", "", ("model", "kind"), scale=0.5)
    counter.add("a", "in", by=10)
    counter.add("a", "in", by=4)
    counter.add("a", "out", by=2)
    counter.add("b", "in", by=6)
    assert counter.read().points == [(("a", "in"), 7), (("a", "out"), 1), (("b", "in"), 3)]
    assert counter.total() == 11
    assert counter.by("model") == {"a": 8, "b": 3}


def test_a_counter_never_holds_more_series_than_it_may_and_loses_nothing() -> None:
    counter = Counter("requests", "", ("model",), most=10)
    for number in range(10_000):
        counter.add(f"model-{number}")
    counter.add("model-3")
    points = dict(counter.read().points)
    assert len(points) == 11
    assert points["model-3",] == 2
    assert points[OTHER,] == 9_990
    assert counter.total() == 10_001


def test_a_histogram_counts_what_is_not_above_each_bound() -> None:
    histogram = Histogram("seconds", "", bounds=(1, 2, 5))
    for value in (0.5, 1, 1.5, 5, 7):
        histogram.add(value=value)
    assert histogram.read().points == [((), Distribution((2, 3, 4, 5), 15))]
    assert histogram.count() == 5
    assert histogram.sum() == 15


def test_a_histogram_never_holds_more_series_than_it_may() -> None:
    histogram = Histogram("seconds", "", ("model",), bounds=(1,), most=3)
    for number in range(1_000):
        histogram.add(f"model-{number}", value=1)
    assert len(histogram.read().points) == 4
    assert histogram.count() == 1_000


@pytest.mark.parametrize("scale_s", [0.000_1, 0.05, 1.0, 900.0])
def test_percentiles_are_within_one_percent(scale_s: float) -> None:
    rng = random.Random(7)
    values = sorted(rng.lognormvariate(0, 1) * scale_s for _ in range(2_000))
    durations = Durations()
    for value in rng.sample(values, len(values)):
        durations.add(value, 100)
    spread = durations.read(100)
    assert spread.count == 2_000
    assert spread.most_s == values[-1]
    for share, found in zip((0.5, 0.9, 0.99), spread.at_s, strict=True):
        assert found == pytest.approx(values[int(share * 2_000) - 1], rel=0.01)


@pytest.mark.parametrize("value_s", [0, -1, 1e-12, 1e12])
def test_a_duration_that_cannot_be_is_counted_all_the_same(value_s: float) -> None:
    durations = Durations()
    durations.add(value_s, 0)
    spread = durations.read(0)
    assert spread.count == 1
    assert all(found is not None and 0 < found < 101_100 for found in spread.at_s)


def test_percentiles_forget_what_is_older_than_the_window() -> None:
    durations = Durations(window_s=300, slices=5)
    for _ in range(100):
        durations.add(9, 30)
    durations.add(1, 200)
    assert durations.read(329).count == 101
    later = durations.read(361)
    assert later.count == 1
    assert later.most_s == 1
    assert later.at_s[0] == pytest.approx(1, rel=0.01)
    assert durations.read(10_000).at_s == (None, None, None)


def test_durations_take_no_more_room_with_time() -> None:
    durations = Durations(window_s=300, slices=5)
    for second in range(0, 100_000, 7):
        durations.add(second % 1_000 / 10, second)
    assert len(durations._slices) == 6


def test_a_rate_is_of_the_last_minute() -> None:
    rate = Rate()
    for second in range(100):
        rate.add(second)
        rate.add(second + 0.5)
    assert rate.read(99.9) == 120
    assert rate.read(129) == 60
    assert rate.read(159) == 0


def names(most: int = 3) -> Names:
    redact = Redactor()
    redact.learn(Secret("canary-of-the-config"))
    made = Names(redact, most=most)
    made.know(["gpt-known"])
    return made


@pytest.mark.parametrize(
    ("name", "is_proven", "shown"),
    [
        ("gpt-known", False, "gpt-known"),
        ("made-up", False, OTHER),
        ("real", True, "real"),
        (None, True, NONE),
        ("", True, NONE),
        ("sk-ant-api03-abcdefghijklmnop", True, "***"),
        ("x/canary-of-the-config", True, "x/***"),
        ("half \ud800", True, "half ?"),
        ("x" * (MOST_CHARACTERS + 1), True, OTHER),
    ],
)
def test_a_label_is_a_known_name_or_one_that_proved_itself(
    name: str | None, is_proven: bool, shown: str
) -> None:
    assert names().of(name, is_proven=is_proven) == shown


def test_there_is_room_for_so_many_names() -> None:
    some = names(most=3)
    shown = {some.of(f"model-{number}", is_proven=True) for number in range(10_000)}
    assert shown == {"model-0", "model-1", "model-2", OTHER}
    assert some.of("model-1") == "model-1", "one that was let in stays"


def test_names_of_a_new_configuration_take_the_place_of_the_old_ones() -> None:
    some = names(most=0)
    some.know(["gpt-new"])
    assert some.of("gpt-new") == "gpt-new"
    assert some.of("gpt-known") == OTHER


class LateClock(HandClock):
    """Wakes sleepers as late as a script says, and nobody any more when it is over."""

    def __init__(self, *late_s: float) -> None:
        super().__init__()
        self._late_s = list(late_s)
        self.slept_s: list[float] = []

    async def sleep(self, duration_s: float) -> None:
        self.slept_s.append(duration_s)
        if not self._late_s:
            raise asyncio.CancelledError
        self.at_s += duration_s + self._late_s.pop(0)


async def test_the_event_loop_is_as_late_as_who_sleeps_a_second() -> None:
    clock = LateClock(0, 0.003, -0.01, 1.5)
    lag = LoopLag(clock)
    with pytest.raises(asyncio.CancelledError):
        await lag.watch()
    assert set(clock.slept_s) == {1.0}, "a gateway that does nothing wakes once a second"
    histogram, worst = lag.read()
    (_, late), (_, worst_s) = histogram.points[0], worst.points[0]
    assert isinstance(late, Distribution)
    assert late.up_to[-1] == 4
    assert late.sum == pytest.approx(1.503)
    assert worst_s == pytest.approx(1.5)
    clock.at_s += 71
    assert lag.worst_s() is None


def test_memory_is_what_the_system_says() -> None:
    found = memory_bytes()
    assert found is None or 5_000_000 < found < 10_000_000_000
