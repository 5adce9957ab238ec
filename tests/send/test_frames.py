"""Frames are read as they go by, however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage

from llmitm.send.frames import (
    BINARY,
    CLOSE,
    TEXT,
    Frames,
    Message,
    close_frame,
    controls,
    masked,
    message_frame,
)

EVENTS: list[Event] = [
    TextMessage("hello"),
    Ping(b"x"),
    BytesMessage(b"\x00" * 70_000),
    TextMessage("in ", message_finished=False),
    Ping(b"between"),
    TextMessage("parts \u00e4"),
    TextMessage(""),
    BytesMessage(b"y" * 130),
    CloseConnection(4001, "bye"),
]
READ = [
    (TEXT, b"hello"),
    (BINARY, b"\x00" * 70_000),
    (TEXT, "in parts \u00e4".encode()),
    (TEXT, b""),
    (BINARY, b"y" * 130),
    (CLOSE, b"\x0f\xa1bye"),
]


def written(side: ConnectionType) -> bytes:
    connection = Connection(side)
    return b"".join(bytes(connection.send(event)) for event in EVENTS)


@pytest.mark.parametrize("side", list(ConnectionType))
@given(cuts=some.lists(some.integers(min_value=1, max_value=70_400), max_size=12))
def test_messages_are_the_same_however_the_bytes_are_cut(side: ConnectionType, cuts: list[int]) -> None:
    data, frames, read = written(side), Frames(), list[Message]()
    edges = [0, *sorted(cuts), len(data)]
    for start, end in zip(edges, edges[1:], strict=False):
        read += frames.feed(data[start:end])
    assert [(one.kind, one.content) for one in read] == READ
    assert frames.messages == len(READ) - 1
    assert frames.is_between and frames.is_whole
    assert frames.close is not None and (frames.close.code, frames.close.reason) == (4001, "bye")


def test_a_message_that_is_too_long_to_keep_is_counted_only() -> None:
    connection, frames = Connection(ConnectionType.CLIENT), Frames(kept_bytes=5)
    first = bytes(connection.send(TextMessage("abc", message_finished=False)))
    assert frames.feed(first) == []
    assert (frames.is_between, frames.is_whole) == (True, False)
    last = bytes(connection.send(TextMessage("def")))
    assert frames.feed(last[:4]) == []
    assert (frames.is_between, frames.is_whole) == (False, False)
    assert frames.feed(last[4:]) == [Message(TEXT, None)]
    assert frames.feed(bytes(connection.send(TextMessage("short")))) == [Message(TEXT, b"short")]
    assert frames.messages == 2


@pytest.mark.parametrize("is_clients", [False, True])
def test_a_close_is_understood_by_others(is_clients: bool) -> None:
    reader = Connection(ConnectionType.SERVER if is_clients else ConnectionType.CLIENT)
    reader.receive_data(close_frame(1008, "not \u00e4llowed", is_clients=is_clients))
    assert list(reader.events()) == [CloseConnection(1008, "not \u00e4llowed")]
    (read,) = Frames().feed(close_frame(1001, "", is_clients=is_clients))
    assert (read.code, read.reason) == (1001, "")


def test_a_close_without_a_code_has_none() -> None:
    (read,) = Frames().feed(b"\x88\x00")
    assert (read.kind, read.code, read.reason) == (CLOSE, 1005, "")


def test_a_mask_taken_off_twice_is_none() -> None:
    assert masked(masked(b"hello", b"\x01\x02\x03\x04"), b"\x01\x02\x03\x04") == b"hello"
    assert masked(b"hello", b"") == b"hello"


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_message_of_our_own_is_read_as_a_clients(size: int) -> None:
    server = Connection(ConnectionType.SERVER)
    server.receive_data(message_frame(TEXT, b"x" * size))
    assert "".join(event.data for event in server.events() if isinstance(event, TextMessage)) == "x" * size
    assert [one.content for one in Frames().feed(message_frame(BINARY, b"y" * size))] == [b"y" * size]


def test_what_stands_between_messages_is_found() -> None:
    server = Connection(ConnectionType.SERVER)
    server.receive_data(controls(written(ConnectionType.CLIENT)))
    assert [type(event) for event in server.events()] == [Ping, Ping, CloseConnection]
