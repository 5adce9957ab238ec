"""User turns in a row are one: what is left of them decides whether there is anything to ask."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate import models
from llmitm.translate.pair import Translation, read_request
from llmitm.translate.target import Target

AUDIO = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
LOST: dict[str, Any] = {"role": "user", "content": [AUDIO]}
ASKED = {"role": "user", "content": "a"}
CALL = {
    "role": "assistant",
    "tool_calls": [{"id": "k", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "k", "content": "b"}


def to_messages(*messages: dict[str, Any]) -> Translation:
    asked = read_request(Dialect.OPENAI_CHAT, orjson.dumps({"model": "m", "messages": messages}))
    row = models.find("claude-opus-5", Dialect.ANTHROPIC_MESSAGES)
    return Translation(
        asked, Target(dialect=Dialect.ANTHROPIC_MESSAGES, model="claude-opus-5", row=row, vendor="anthropic")
    )


@pytest.mark.parametrize(
    "messages", [[ASKED, LOST], [ASKED, CALL, RESULT, LOST]], ids=["after a question", "after results"]
)
def test_a_last_turn_of_which_nothing_is_left_leaves_those_before_it(messages: list[dict[str, Any]]) -> None:
    made = to_messages(*messages)
    assert orjson.loads(made.body)["messages"][-1]["role"] == "user"
    assert [one.what for one in made.notes.told] == ["media"]


@pytest.mark.parametrize(
    "messages",
    [[LOST], [ASKED, {"role": "assistant", "content": "b"}, LOST]],
    ids=["alone", "after an answer"],
)
def test_a_row_of_which_nothing_is_left_is_refused(messages: list[dict[str, Any]]) -> None:
    with pytest.raises(Refused) as refused:
        to_messages(*messages)
    assert refused.value.code == "empty_user_turn"


def test_of_two_results_the_later_one_counts_wherever_it_stands() -> None:
    said = {"role": "assistant", "content": "c"}
    made = to_messages(ASKED, CALL, RESULT, said, {**RESULT, "content": "d"}, ASKED)
    user, call, result, answer, again = orjson.loads(made.body)["messages"]
    assert [block["content"][0]["text"] for block in result["content"]] == ["d"]
    assert {one.what for one in made.notes.told} == {"tool-result-moved", "tool-result-repeated"}


@pytest.mark.parametrize(
    "dialect", [Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES, Dialect.ANTHROPIC_MESSAGES]
)
def test_a_turn_of_the_model_without_parts_is_left_out(dialect: Dialect) -> None:
    word = {"role": "user", "parts": [{"text": "a"}]}
    body = orjson.dumps({"contents": [word, {"role": "model"}, word]})
    asked = read_request(Dialect.GEMINI, body, model="m", is_stream=False)
    vendor = "anthropic" if dialect is Dialect.ANTHROPIC_MESSAGES else "openai"
    target = Target(dialect=dialect, model="m", row=models.find("m", dialect), vendor=vendor, is_openai=True)
    assert b"assistant" not in Translation(asked, target).body


@pytest.mark.parametrize("target", [Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI, Dialect.OPENAI_RESPONSES])
def test_turns_in_a_row_take_time_in_proportion(target: Dialect) -> None:
    """Four times as many take some four times as long, not sixteen times."""
    took_s = []
    for count in (1_500, 6_000):
        messages = [{"role": "user", "content": "x"}] * count
        asked = read_request(Dialect.OPENAI_CHAT, orjson.dumps({"model": "m", "messages": messages}))
        began_s = time.process_time()
        Translation(
            asked, Target(dialect=target, model="m", row=models.find("m", target), vendor="v"), reply_id="x"
        )
        took_s.append(time.process_time() - began_s)
    assert took_s[1] < 9 * took_s[0] + 0.2
