"""W3C's trace context: what is read of a client's headers, and what an upstream is told."""

from __future__ import annotations

import pytest

from llmitm.exchange import Headers
from llmitm.record.traces.context import Parent, begin, new_span_id, new_trace_id, read_parent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01".encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (GOOD, Parent(TRACE, SPAN, True)),
        (GOOD[:-1] + b"0", Parent(TRACE, SPAN, False)),
        (GOOD[:-2] + b"03", Parent(TRACE, SPAN, True)),
        (b" " + GOOD + b" ", Parent(TRACE, SPAN, True)),
        (b"cc" + GOOD[2:], Parent(TRACE, SPAN, True)),
        (b"cc" + GOOD[2:] + b"-what-will-be", Parent(TRACE, SPAN, True)),
        (b"cc" + GOOD[2:] + b".what-will-be", None),
        (GOOD + b"-more", None),
        (b"ff" + GOOD[2:], None),
        (GOOD.upper(), None),
        (GOOD.replace(TRACE.encode(), b"0" * 32), None),
        (GOOD.replace(SPAN.encode(), b"0" * 16), None),
        (GOOD[:-1], None),
        (GOOD.replace(b"-", b"_"), None),
        (GOOD.replace(b"7", b"g"), None),
        (b"", None),
    ],
)
def test_a_parent(value: bytes, expected: Parent | None) -> None:
    assert read_parent(value) == expected


@pytest.mark.parametrize(
    ("headers", "parent", "state"),
    [
        (((b"Traceparent", GOOD), (b"TraceState", b"a=1")), SPAN, b"a=1"),
        (((b"traceparent", GOOD), (b"tracestate", b"a=1"), (b"tracestate", b"b=2")), SPAN, b"a=1,b=2"),
        (((b"traceparent", GOOD), (b"tracestate", b"a" * 513)), SPAN, b""),
        (((b"traceparent", GOOD), (b"traceparent", GOOD), (b"tracestate", b"a=1")), None, b""),
        (((b"traceparent", b"00-nonsense"), (b"tracestate", b"a=1")), None, b""),
        (((b"tracestate", b"a=1"),), None, b""),
    ],
)
def test_what_a_trace_begins_with(headers: Headers, parent: str | None, state: bytes) -> None:
    trace = begin(headers)
    assert (trace.parent_id, trace.state) == (parent, state)
    assert (trace.trace_id == TRACE) is (parent is not None)
    assert len(trace.trace_id) == 32 and len(trace.span_id) == 16 and trace.span_id != SPAN


@pytest.mark.parametrize(
    ("flag", "ratio", "follows", "sampled"),
    [
        (b"1", 0.0, True, True),  # the client decides
        (b"0", 1.0, True, False),
        (b"1", 0.0, False, False),  # the operator does
        (b"0", 1.0, False, True),
    ],
)
def test_whose_traces_are_kept(flag: bytes, ratio: float, follows: bool, sampled: bool) -> None:
    headers = ((b"traceparent", GOOD[:-1] + flag),)
    assert begin(headers, ratio=ratio, follows_parent=follows).is_sampled is sampled


def test_a_share_of_traces_is_chosen_by_their_ids() -> None:
    def kept(trace_id: str, ratio: float) -> bool:
        headers = ((b"traceparent", f"00-{trace_id}-{SPAN}-00".encode()),)
        return begin(headers, ratio=ratio, follows_parent=False).is_sampled

    assert kept("f" * 16 + "3" + "f" * 15, 0.25) and not kept("0" * 16 + "4" + "0" * 15, 0.25)
    share = sum(begin((), ratio=0.25).is_sampled for _ in range(4000)) / 4000
    assert 0.2 < share < 0.3


def test_an_upstream_is_told_in_place_of_what_the_client_said() -> None:
    trace = begin(((b"traceparent", GOOD), (b"tracestate", b"a=1")))
    sent = trace.onto(((b"Traceparent", GOOD), (b"x", b"y"), (b"TRACESTATE", b"a=1")), "00000000000000ab")
    assert sent == (
        (b"x", b"y"),
        (b"traceparent", f"00-{TRACE}-00000000000000ab-01".encode()),
        (b"tracestate", b"a=1"),
    )


def test_ids_are_new_each_time() -> None:
    assert len({new_trace_id() for _ in range(1000)}) == len({new_span_id() for _ in range(1000)}) == 1000
