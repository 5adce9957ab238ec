"""Events are read the same however their bytes are cut, and written whole."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.translate.sse import EVENT_LIMIT_LINES, Event, EventTooLong, SseReader, write


def read(pieces: list[bytes], limit_bytes: int = 1_000_000) -> list[Event]:
    reader = SseReader(limit_bytes)
    return [event for piece in pieces for event in reader.feed(piece)] + reader.finish()


LINES = st.sampled_from(
    [b"", b"data: {}", b"data:a", b"data", b": ping", b"event: \xc3\xbc", b"data: \xf0\x9f\x98\x80", b"id: 7"]
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r", b"\r\r\n"])
STREAMS = st.builds(
    lambda bom, lines, tail: bom + b"".join(line + end for line, end in lines) + tail,
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.lists(st.tuples(LINES, ENDS), max_size=12),
    st.sampled_from([b"", b"data: [DO", b"\r", b"\xf0\x9f"]),
)


@given(STREAMS, st.data())
def test_any_split_gives_the_same_events(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = read([stream])
    assert read(pieces) == whole
    assert read([stream[at : at + 1] for at in range(len(stream))]) == whole


@given(STREAMS)
def test_raw_bytes_join_to_the_stream(stream: bytes) -> None:
    assert b"".join(event.raw for event in read([stream])) == stream


@given(STREAMS)
def test_events_are_those_of_the_standard(stream: bytes) -> None:
    """Against the standard's algorithm, told line by line over the whole stream."""
    expected: list[tuple[str | None, bytes]] = []
    name: str | None = None
    data: list[bytes] = []
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for line in [*text.split(b"\n")[:-1]]:
        if not line:
            if data:
                expected.append((name, b"\n".join(data)))
            name, data = None, []
        elif line == b"data" or line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif line.startswith(b"event:"):
            name = line[6:].removeprefix(b" ").decode()
    got = [event for event in read([stream]) if event.is_complete and event.data is not None]
    assert [(event.name, event.data) for event in got] == expected


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", Event(data=b"a", raw=b"data: a\n\n")),
        (b"data:  a\ndata:b\n\n", Event(data=b" a\nb", raw=b"data:  a\ndata:b\n\n")),
        (b": x\n\n", Event(comment=b"x", raw=b": x\n\n")),
        (b"event: ping\n\n", Event(name="ping", raw=b"event: ping\n\n")),
        (b"\r\n\r\ndata: a\r\n\r\n", Event(data=b"a", raw=b"\r\n\r\ndata: a\r\n\r\n")),
        (b"data: a", Event(data=b"a", raw=b"data: a", is_complete=False)),
        (b"data: a\n", Event(data=b"a", raw=b"data: a\n", is_complete=False)),
        (b"data:\n\n", Event(data=b"", raw=b"data:\n\n")),
    ],
)
def test_blocks(stream: bytes, expected: Event) -> None:
    assert read([stream]) == [expected]


@pytest.mark.parametrize("end", [b"\n", b"\r"])
def test_an_event_is_handed_on_with_its_last_byte(end: bytes) -> None:
    """Nothing waits for the next event: a slow stream is not an event late."""
    assert [event.data for event in SseReader().feed(b"data: a" + end * 2)] == [b"a"]
    assert [event.data for event in SseReader().feed(b"data: a\r\n\r\n")] == [b"a"]


def test_an_event_over_the_limit_is_a_typed_error_and_those_before_it_are_kept() -> None:
    reader = SseReader(20)
    assert [event.data for event in reader.feed(b"data: a\n\ndata: " + b"x" * 30)] == [b"a"]
    with pytest.raises(EventTooLong) as raised:
        reader.feed(b"x")
    assert raised.value.status == 502
    with pytest.raises(EventTooLong):
        reader.finish()


@pytest.mark.parametrize("piece", [b"x", b"data: x\n", b"\n"])
def test_no_stream_grows_without_bound(piece: bytes) -> None:
    reader = SseReader(1_000)
    with pytest.raises(EventTooLong):
        for _ in range(1_001):
            reader.feed(piece)


@given(STREAMS, st.data())
def test_the_limit_holds_however_the_bytes_are_cut(stream: bytes, data: st.DataObject) -> None:
    def outcome(pieces: list[bytes]) -> tuple[list[Event], bool]:
        reader = SseReader(12)
        events: list[Event] = []
        try:
            for piece in pieces:
                events += reader.feed(piece)
            while more := reader.finish():
                events += more
        except EventTooLong:
            return events, True
        return events, False

    cut = data.draw(st.integers(0, len(stream)))
    assert outcome([stream[:cut], stream[cut:]]) == outcome([stream])


def test_time_is_linear_in_the_stream() -> None:
    """Twice the bytes in one line, byte by byte, take about twice the time, never four times."""

    def spent_s(length: int) -> float:
        reader = SseReader()
        started_s = time.process_time()
        for _ in range(length):
            reader.feed(b"x")
        reader.feed(b"\n\n")
        return time.process_time() - started_s

    spent_s(1_000)
    short_s = min(spent_s(20_000) for _ in range(3))
    assert min(spent_s(160_000) for _ in range(3)) < short_s * 30  # 8 if linear, 64 if quadratic


@given(
    st.none() | st.binary(max_size=20).filter(lambda data: b"\r" not in data),
    st.none() | st.text("aü ", max_size=5),
)
def test_what_is_written_is_read_back(data: bytes | None, name: str | None) -> None:
    if data is None and name is None:
        return
    (read_back,) = read([write(Event(data=data, name=name))])
    assert (read_back.data, read_back.name, read_back.is_complete) == (data, name, True)


def test_comments_are_written_line_by_line() -> None:
    assert write(Event(comment=b"ping\npong", data=b"{}")) == b": ping\n: pong\ndata: {}\n\n"


def test_a_name_with_a_line_end_is_not_written() -> None:
    with pytest.raises(ValueError):
        write(Event(name="a\nevent: b"))


def test_an_event_has_no_end_of_lines() -> None:
    reader = SseReader()
    lines = b"data\n" * (EVENT_LIMIT_LINES + 1)
    assert [event.data for event in reader.feed(b"data: before\n\n" + lines)] == [b"before"]
    with pytest.raises(EventTooLong):
        reader.feed(b"\n")
