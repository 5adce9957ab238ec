"""How traces and metrics get to a collector: in portions, again where it was away, and counted where lost."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from llmitm.config.telemetry import Telemetry
from llmitm.record.entry import Entry
from llmitm.record.traces import tracing
from llmitm.record.traces.collector import Posted
from llmitm.record.traces.spans import NOTHING, Extras
from llmitm.record.traces.tracing import Read, Tracing
from llmitm.secret import Redactor
from support.clocks import HandClock
from support.collecting import metrics_in, resource_of, spans_in
from support.ledgers import entry_of, noted_of

AWAY = Posted(False, True, "no route")


class FakeCollector:
    """Keeps what it takes. `answers` are given in turn, then that it was taken."""

    def __init__(self, *answers: Posted) -> None:
        self.answers = [*answers]
        self.taken: list[tuple[str, bytes]] = []
        self.asked = 0
        self.is_closed = False

    async def post(self, url: str, body: bytes) -> Posted:
        self.asked += 1
        posted = self.answers.pop(0) if self.answers else Posted(True)
        if posted.is_taken:
            self.taken.append((url, body))
        return posted

    async def close(self) -> None:
        self.is_closed = True

    def ids(self) -> list[Any]:
        """Of the exchanges whose spans it has."""
        bodies = [body for url, body in self.taken if url.endswith("/v1/traces")]
        spans = [one for body in bodies for one in spans_in(body)]
        return [one["llmitm.request.id"] for one in spans if one.kind == "server"]


def tracing_of(
    collector: FakeCollector, clock: HandClock | None = None, *, read: Read | None = None, **settings: Any
) -> Tracing:
    return Tracing(
        Telemetry(**settings),
        clock or HandClock(),
        Redactor(),
        collector,
        labels=lambda noted, entry: (noted.provider, noted.model or "none"),
        instance="one",
        read=read,
    )


def over(made: Tracing, number: int, **known: Any) -> Entry:
    """An exchange that begins and ends."""
    entry = entry_of(number, attempts=[noted_of()], **known)
    made.begin(entry, ())
    entry.attempts[0].span_id = f"{number + 1:016x}"
    made(entry)
    return entry


async def test_what_waits_is_sent_in_portions() -> None:
    collector = FakeCollector()
    made = tracing_of(collector, service_name="edge", resource={"team": "a"})
    count = tracing.PORTION + 10
    for number in range(count):
        over(made, number)
    assert made.waiting == count
    await made.flush()
    assert (made.waiting, made.lost, len(collector.taken)) == (0, 0, 2)
    assert collector.ids() == [f"llmitm-test-{number:x}" for number in range(count)]
    resource = resource_of(collector.taken[0][1])
    assert (resource["service.name"], resource["team"], resource["service.instance.id"]) == (
        "edge",
        "a",
        "one",
    )


async def test_a_collector_that_was_away_gets_everything_once() -> None:
    clock = HandClock()
    collector = FakeCollector(AWAY, AWAY)
    made = tracing_of(collector, clock)
    over(made, 1)
    await made.flush()
    over(made, 2)
    await made.flush()  # the pause is not over
    assert (collector.asked, made.waiting) == (1, 2)
    clock.at_s += tracing.RETRY_S[0]
    await made.flush()
    clock.at_s += tracing.RETRY_S[1]
    await made.flush()
    assert (collector.ids(), made.waiting, made.lost) == (["llmitm-test-1", "llmitm-test-2"], 0, 0)


async def test_a_collector_says_when_to_come_again() -> None:
    clock = HandClock()
    collector = FakeCollector(Posted(False, True, "status 429", after_s=7))
    made = tracing_of(collector, clock)
    over(made, 1)
    for wait_s, asked in ((0, 1), (6, 1), (1, 2)):
        clock.at_s += wait_s
        await made.flush()
        assert collector.asked == asked


async def test_what_is_refused_for_good_is_lost_and_what_follows_is_not() -> None:
    collector = FakeCollector(Posted(False, False, "status 400"))
    made = tracing_of(collector)
    over(made, 1)
    await made.flush()
    over(made, 2)
    await made.flush()
    assert (made.lost, collector.ids()) == (1, ["llmitm-test-2"])


async def test_there_is_an_end_to_what_waits() -> None:
    collector = FakeCollector(AWAY)
    made = tracing_of(collector)
    entry = over(made, 1)
    for _ in range(tracing.MOST_WAITING + 4):
        made(entry)
    assert (made.waiting, made.lost) == (tracing.MOST_WAITING, 5)


async def test_bodies_that_wait_are_bounded() -> None:
    made = tracing_of(FakeCollector())
    size_bytes = tracing.MOST_BYTES // 2 + 1
    first = over(made, 1, asked=b"x" * size_bytes)
    second = over(made, 2, asked=b"x" * size_bytes)
    assert (first.asked is None, second.asked is None) == (False, True)
    await made.flush()
    assert over(made, 3, asked=b"x" * size_bytes).asked is not None


async def test_failures_are_told_once_in_half_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = HandClock()
    made = tracing_of(FakeCollector(*[AWAY] * 4), clock)
    over(made, 1)
    with caplog.at_level(logging.INFO, "llmitm"):
        for _ in range(4):
            await made.flush()
            clock.at_s += 10
        url = "http://localhost:4318/v1/traces"
        away = f"traces cannot be sent to {url}: no route; 1 exchanges wait, 0 were lost"
        assert caplog.messages == [away, away]
        await made.flush()
    assert caplog.messages[2:] == [f"traces can be sent to {url} again"]


async def test_what_a_collector_rejects_is_told(caplog: pytest.LogCaptureFixture) -> None:
    partial = ExportTracePartialSuccess(rejected_spans=2, error_message="too old")
    answer = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    made = tracing_of(FakeCollector(Posted(True, answer=answer)))
    over(made, 1)
    await made.flush()
    assert "the collector refused 2 spans: too old" in caplog.text


async def test_the_end_sends_what_is_left() -> None:
    collector = FakeCollector()
    made = tracing_of(collector)
    over(made, 1)
    await made.close()
    await made.close()
    assert (collector.ids(), collector.is_closed, made.lost) == (["llmitm-test-1"], True, 0)
    assert [url.rpartition("/")[2] for url, _ in collector.taken] == ["traces", "metrics"]
    over(made, 2)
    assert made.lost == 1


async def test_the_end_does_not_wait_for_who_is_away() -> None:
    collector = FakeCollector(*[AWAY] * 9)
    made = tracing_of(collector)
    over(made, 1)
    await made.close()
    assert (made.waiting, made.lost, collector.is_closed) == (0, 1, True)


@pytest.mark.parametrize(
    ("settings", "waiting", "measured"),
    [
        ({}, 1, True),
        ({"sample_ratio": 0}, 0, True),
        ({"traces": False}, 0, True),
        ({"metrics": False}, 1, False),
    ],
)
async def test_what_is_not_wanted_is_not_kept(settings: dict[str, Any], waiting: int, measured: bool) -> None:
    collector = FakeCollector()
    made = tracing_of(collector, **settings)
    over(made, 1)
    assert made.waiting == waiting
    await made.tell_metrics()
    assert bool(collector.taken) is measured


@pytest.mark.parametrize(
    ("propagate", "injects", "told"),
    [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
)
async def test_which_upstreams_are_told(propagate: bool | None, injects: bool, told: bool) -> None:
    made = tracing_of(FakeCollector(), propagate=propagate)
    entry = entry_of(1)
    made.begin(entry, ())
    made.routed(entry, injects=injects)
    assert entry.trace is not None and entry.trace.is_told is told


OLD = {
    "gen_ai.client.operation.duration",
    "gen_ai.client.operation.time_to_first_chunk",
    "gen_ai.client.token.usage",
}
NEW = {
    "gen_ai.client.inference.duration",
    "gen_ai.client.inference.time_to_first_chunk",
    "gen_ai.client.inference.operation.input_tokens",
    "gen_ai.client.inference.operation.output_tokens",
    "gen_ai.client.inference.usage.input_tokens",
    "gen_ai.client.inference.usage.output_tokens",
}


@pytest.mark.parametrize(("names", "expected"), [("v1.41", OLD), ("new", NEW), ("both", OLD | NEW)])
async def test_metrics_by_their_names(names: str, expected: set[str]) -> None:
    collector = FakeCollector()
    made = tracing_of(collector, genai_metrics=names)
    for number in range(3):
        over(made, number, is_stream=True)
    over(made, 4, path="/all/v1/files")  # no call of a model
    await made.tell_metrics()
    ((url, body),) = collector.taken
    found = metrics_in(body)
    assert url.endswith("/v1/metrics") and set(found) == expected
    for name, points in found.items():
        for labels, point in points:
            assert labels["gen_ai.operation.name"] == "chat" and labels["gen_ai.provider.name"] == "main"
            if "duration" in name:
                assert point.count == 3 and point.sum == pytest.approx(0.9)
                assert (
                    sum(point.bucket_counts) == 3
                    and len(point.bucket_counts) == len(point.explicit_bounds) + 1
                )
            if name == "gen_ai.client.inference.usage.input_tokens":
                assert point.as_int == 30


async def test_an_exchange_that_cannot_be_told_costs_only_itself() -> None:
    def read(entry: Entry) -> Extras:
        if entry.id.endswith("1"):
            raise ValueError("unreadable")
        return NOTHING

    collector = FakeCollector()
    made = tracing_of(collector, read=read)
    over(made, 1)
    over(made, 2)
    await made.flush()
    assert (made.lost, collector.ids()) == (1, ["llmitm-test-2"])
