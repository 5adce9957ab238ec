"""What only one account knows goes back to that account."""

from __future__ import annotations

import pytest

from llmitm.clock import SystemClock
from llmitm.exchange import Dialect
from llmitm.route.choice import Choice
from llmitm.route.pins import MOST_PINS, Pins, is_kept, made_in, named_in
from llmitm.state.memory import MemoryStore

CHOICES = [
    Choice(provider="openai", credential=name, model="m", weight=1, value=name) for name in ("a", "b", "c")
]

NAMED: dict[str, tuple[bytes, list[str]]] = {
    "an earlier response": (b'{"previous_response_id":"resp_1","input":"x"}', ["resp_1"]),
    "a conversation by its id": (b'{"conversation":"conv_1"}', ["conv_1"]),
    "a conversation as an object": (b'{"conversation":{"id":"conv_1"}}', ["conv_1"]),
    "a thread that goes on": (
        b'{"thread":{"type":"continue","previous_message_id":"msg_1"}}',
        ["msg_1"],
    ),
    "a file deep inside": (b'{"input":[{"content":[{"type":"input_file","file_id":"file-1"}]}]}', ["file-1"]),
    "words are no names": (b'{"input":"previous_response_id"}', []),
    "nothing there": (b'{"previous_response_id":null,"file_id":7}', []),
    "Gemini's file by its address": (b'{"fileData":{"fileUri":"https://h/v1beta/files/abc"}}', ["abc"]),
    "a cache": (b'{"cachedContent":"cachedContents/c1"}', ["c1"]),
    "no JSON": (b'{"file_id":', []),
    "a list": (b'[{"file_id":"file-1"}]', ["file-1"]),
}


@pytest.mark.parametrize(("body", "names"), NAMED.values(), ids=NAMED)
def test_names_are_found_where_they_stand(body: bytes, names: list[str]) -> None:
    assert named_in(body) == names
    marked = any(named_in(body, dialect) for dialect in Dialect)
    assert marked == bool(names)


@pytest.mark.parametrize(
    ("dialect", "body", "is_sure"),
    [
        (Dialect.OPENAI_RESPONSES, b"{}", True),
        (Dialect.ANTHROPIC_MESSAGES, b'{"thread":{"type":"create"}}', True),
        (Dialect.ANTHROPIC_MESSAGES, b"{}", False),
        (Dialect.OPENAI_CHAT, b'{"thread":1}', False),
    ],
)
def test_answers_that_an_account_keeps(dialect: Dialect, body: bytes, is_sure: bool) -> None:
    assert is_kept(body, dialect) == is_sure


def test_other_calls_name_more() -> None:
    body = b'{"input_file_id":"file-1","file_ids":["file-2",7],"x":{"training_file":"file-3"}}'
    assert sorted(named_in(body)) == ["file-1", "file-2", "file-3"]
    assert not any(named_in(body, dialect) for dialect in Dialect)


MADE: dict[str, tuple[bytes, list[str]]] = {
    "a file": (b'{"id":"file-1","object":"file"}', ["file-1"]),
    "a batch and its results": (b'{"id":"b","output_file_id":"o","error_file_id":null}', ["b", "o"]),
    "a list": (b'{"data":[{"id":"a"},{"id":"b"}],"first_id":"a"}', ["a", "b"]),
    "Gemini's file": (b'{"file":{"name":"files/abc"}}', ["abc"]),
    "Gemini's list": (b'{"files":[{"name":"files/a"}]}', ["a"]),
    "Gemini's operation": (b'{"name":"batches/b1","done":false}', ["b1"]),
    "no object": (b"[1]", []),
    "no JSON": (b"{", []),
}


@pytest.mark.parametrize(("body", "names"), MADE.values(), ids=MADE)
def test_what_an_answer_names(body: bytes, names: list[str]) -> None:
    assert made_in(body) == names


async def test_only_the_first_is_the_first_in_all_processes() -> None:
    store = MemoryStore(SystemClock())
    one, other = Pins(store), Pins(store)
    assert [await one.is_first("b1"), await one.is_first("b1"), await other.is_first("b1")] == [
        True,
        False,
        False,
    ]
    assert await Pins().is_first("b1")


async def test_what_is_pinned_goes_to_its_account_alone() -> None:
    pins = Pins()
    assert await pins.only(["resp_1"], CHOICES) == CHOICES
    await pins.pin("resp_1", CHOICES[1])
    assert await pins.only(["resp_0", "resp_1"], CHOICES) == [CHOICES[1]]
    assert await pins.only(["resp_1"], CHOICES[2:]) == CHOICES[2:]  # its account is no longer there
    await pins.pin("resp_1", CHOICES[2])
    assert await pins.only(["resp_1"], CHOICES) == [CHOICES[2]]


async def test_processes_that_share_a_store_know_each_others_pins() -> None:
    store = MemoryStore(SystemClock())
    one, other = Pins(store), Pins(store)
    await one.pin("resp_1", CHOICES[0])
    assert await other.only(["resp_1"], CHOICES) == [CHOICES[0]]


async def test_the_oldest_go_first() -> None:
    pins = Pins()
    for number in range(MOST_PINS + 1):
        await pins.pin(f"resp_{number}", CHOICES[0])
    assert await pins.only(["resp_0"], CHOICES) == CHOICES
    assert await pins.only(["resp_1"], CHOICES) == [CHOICES[0]]
