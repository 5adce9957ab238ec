"""Names of models that stand deep in what clients send: which change, and that every other byte stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, Event, Ping, TextMessage

from llmitm.send.frames import KEPT_BYTES
from llmitm.trip import respelled
from llmitm.trip.live import Session

NAMES = {"voice": "gpt-realtime", "fast": "gpt-mini"}


def spell(name: str) -> str:
    return NAMES.get(name, name)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('{"type": "session.update", "session": {"model":"voice"}}', None),
        ('{"type":"response.create" , "model" : "voice", "n":1.50}', None),
        ('{"setup":{"model":"models/voice"}}', None),
        ('{"session":{"audio":{"input":{"transcription":{"model":"voice"}}}}}', None),
        ('{"session":{"model":"voice","model":"voice"}}', None),
        ('{"session":{"model":"gpt-realtime"}}', "same"),
        ('{"item":{"model":"voice"}}', "same"),  # the user's own
        ('{"session":{"instructions":"\\"model\\":\\"voice\\""}}', "same"),
        ('{"session":{"model":7}}', "same"),
        ('["model", "voice"]', "same"),
        ('{"model": voice', "same"),
        ("no JSON", "same"),
        ("", "same"),
    ],
)
def test_models_in_messages_of_sessions(said: str, expected: str | None) -> None:
    made = respelled.message(said.encode(), spell).decode()
    assert made == (said if expected == "same" else said.replace("voice", "gpt-realtime"))


def test_models_in_the_requests_of_a_batch() -> None:
    body = (
        b'{ "requests" : [ {"custom_id":"voice","params":{"model": "voice","max_tokens":1e1}},'
        b'{"params":{"model":"other","metadata":{"model":"fast"}}}, {"params":{"model":"fast"}} , 7 ] }'
    )
    expected = body.replace(b'"model": "voice"', b'"model": "gpt-realtime"').replace(
        b'{"params":{"model":"fast"}}', b'{"params":{"model":"gpt-mini"}}'
    )
    assert respelled.requests(body, spell) == expected


@pytest.mark.parametrize(
    "body", [b"{}", b'{"requests":{}}', b'{"requests":[{"params":[]}]}', b"[]", b"x", b""]
)
def test_what_is_no_batch_stays(body: bytes) -> None:
    assert respelled.requests(body, spell) == body


def form(purpose: str, file: bytes) -> bytes:
    return (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n' + purpose.encode() + b"\r\n"
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + file + b"\r\n--b--\r\n"
    )


def test_models_in_the_lines_of_a_file_for_a_batch() -> None:
    file = (
        b'{"custom_id":"1","url":"/v1/chat/completions","body":{"model":"fast","messages":[]}}\n'
        b'{"custom_id":"2", "body": {"messages":[{"content":"\\"model\\":\\"fast\\""}], "model": "fast"}}\r\n'
        b'{"model":"fast"}\nnot "model" at all\n{"body":{"model":"else"}}'
    )
    expected = file.replace(b'"body":{"model":"fast"', b'"body":{"model":"gpt-mini"').replace(
        b', "model": "fast"', b', "model": "gpt-mini"'
    )
    assert respelled.lines(form("batch", file), spell) == form("batch", expected)
    assert respelled.lines(form("assistants", file), spell) == form("assistants", file)


SAID = '{"session":{"model":"voice"}}'
SPELLED = '{"session":{"model":"gpt-realtime"}}'
LONG = '{"model":"voice","x":"' + "x" * (KEPT_BYTES + 70_000) + '"}'
SENT: list[Event] = [
    TextMessage(SAID),
    Ping(b"1"),
    TextMessage("plain"),
    TextMessage(SAID[:9], message_finished=False),
    Ping(b"2"),
    TextMessage(SAID[9:]),
    BytesMessage(SAID.encode()),
    TextMessage(LONG[: KEPT_BYTES // 2], message_finished=False),
    TextMessage(LONG[KEPT_BYTES // 2 :]),
    TextMessage(SAID),
    Ping(b"3"),
]


class Cut:
    """A client's bytes, cut at these places."""

    def __init__(self, data: bytes, places: list[int]) -> None:
        self._data, self._places = data, [0, *sorted(places), len(data)]

    async def pieces(self) -> AsyncIterator[bytes]:
        for start, end in zip(self._places, self._places[1:], strict=False):
            if end > start:
                yield self._data[start:end]


@settings(deadline=None, max_examples=25)
@given(
    places=some.lists(some.integers(0, 1_250_000), max_size=12),
    few=some.lists(some.integers(0, 220), max_size=9),
)
async def test_messages_are_respelled_wherever_the_stream_is_cut(places: list[int], few: list[int]) -> None:
    """Those that are too long to be looked into pass as they are; what stands between messages stays."""
    client, server = Connection(ConnectionType.CLIENT), Connection(ConnectionType.SERVER)
    data = b"".join(bytes(client.send(event)) for event in SENT)
    trip: Any = SimpleNamespace(
        request=SimpleNamespace(body=Cut(data, [*(one for one in places if one < len(data)), *few])),
        watch=SimpleNamespace(sees_messages=False),
        kept=SimpleNamespace(model="voice"),
        config=SimpleNamespace(server=SimpleNamespace(body_limit_bytes=0)),
    )
    session = Session(trip=trip, is_read=True)
    session.begin(cast(Any, None), spell)
    async for piece in session.pieces():
        server.receive_data(piece)
    texts, pings, begun = [], [], ""
    for event in server.events():
        match event:
            case Ping():
                pings.append(bytes(event.payload))
            case TextMessage() | BytesMessage():
                begun += event.data if isinstance(event.data, str) else bytes(event.data).decode()
                if event.message_finished:
                    texts.append(begun)
                    begun = ""
    assert texts == [SPELLED, "plain", SPELLED, SAID, LONG, SPELLED]
    assert pings == [b"1", b"2", b"3"]
