"""Counts of tokens: a request as each upstream's counting call, and the count in the client's form."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate import counting
from llmitm.translate.counting import FREE, Counting, read_counted
from llmitm.translate.neutral import UpstreamError
from llmitm.translate.notes import Notes
from llmitm.translate.target import Target

CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI
VENDORS = {RESPONSES: "openai", MESSAGES: "anthropic", GEMINI: "google"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}

OF_MESSAGES = {
    "model": "m",
    "system": "Be brief.",
    "messages": [{"role": "user", "content": "Hello"}],
    "tools": [{"name": "weather", "description": "Tells it", "input_schema": SCHEMA}],
}
OF_RESPONSES = {
    "model": "m",
    "instructions": "Be brief.",
    "input": "Hello",
    "tools": [{"type": "function", "name": "weather", "description": "Tells it", "parameters": SCHEMA}],
}
OF_GEMINI = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
    "tools": [
        {"functionDeclarations": [{"name": "weather", "description": "Tells it", "parameters": SCHEMA}]}
    ],
}
ASKED = {MESSAGES: OF_MESSAGES, RESPONSES: OF_RESPONSES, GEMINI: {"generateContentRequest": OF_GEMINI}}


def made_of(client: Dialect, target: Dialect, asked: Any = None, *, is_strict: bool = False) -> Counting:
    body = orjson.dumps(ASKED[client] if asked is None else asked)
    counted = read_counted(client, body, "m" if client is GEMINI else None)
    return Counting(counted, Target(dialect=target, model="up", vendor=VENDORS[target], is_strict=is_strict))


@pytest.mark.parametrize("client", [RESPONSES, GEMINI])
def test_as_anthropic_counts(client: Dialect) -> None:
    sent = orjson.loads(made_of(client, MESSAGES).body)
    assert sent.keys() <= {"model", "system", "messages", "tools", "tool_choice"}
    assert sent["model"] == "up"
    assert "Be brief." in str(sent["system"]) and "Hello" in str(sent["messages"])
    assert sent["tools"][0]["name"] == "weather"


@pytest.mark.parametrize("client", [RESPONSES, MESSAGES])
def test_as_gemini_counts(client: Dialect) -> None:
    envelope = orjson.loads(made_of(client, GEMINI).body)
    assert envelope.keys() == {"generateContentRequest"}
    sent = envelope["generateContentRequest"]
    assert sent["model"] == "models/up"
    assert sent["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert sent["contents"] == [{"role": "user", "parts": [{"text": "Hello"}]}]
    assert sent["tools"][0]["functionDeclarations"][0]["name"] == "weather"


@pytest.mark.parametrize("client", [MESSAGES, GEMINI])
def test_as_openai_counts(client: Dialect) -> None:
    sent = orjson.loads(made_of(client, RESPONSES).body)
    assert sent.keys() <= {"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls"}
    assert (sent["model"], sent["instructions"]) == ("up", "Be brief.")
    assert "Hello" in str(sent["input"])
    assert sent["tools"][0]["name"] == "weather"


@pytest.mark.parametrize("target", [RESPONSES, MESSAGES, GEMINI])
@pytest.mark.parametrize("client", [RESPONSES, MESSAGES, GEMINI])
def test_a_strict_client_is_counted_where_nothing_is_lost(client: Dialect, target: Dialect) -> None:
    asked = {
        MESSAGES: {"model": "m", "messages": OF_MESSAGES["messages"]},
        RESPONSES: {"model": "m", "input": "Hello"},
        GEMINI: {"contents": OF_GEMINI["contents"]},
    }
    if client is not target:
        assert made_of(client, target, asked[client], is_strict=True).notes.warnings == []


RESULTS = {
    GEMINI: {
        "contents": [
            {"parts": [{"functionResponse": {"id": "r1", "name": "read", "response": {"output": "rain"}}}]}
        ]
    },
    RESPONSES: {
        "model": "m",
        "input": [{"type": "function_call_output", "call_id": "call_1", "output": "rain"}],
    },
    MESSAGES: {
        "model": "m",
        "messages": [
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "rain"}]}
        ],
    },
}


@pytest.mark.parametrize("target", [RESPONSES, MESSAGES, GEMINI])
@pytest.mark.parametrize("client", [RESPONSES, MESSAGES, GEMINI])
def test_a_result_alone_is_counted_as_what_it_says(client: Dialect, target: Dialect) -> None:
    """For an answer it would be refused: there is no call that it could answer."""
    if client is target:
        return
    sent = orjson.dumps(orjson.loads(made_of(client, target, RESULTS[client]).body))
    assert b"rain" in sent
    assert not any(word in sent for word in (b"tool_result", b"function_call_output", b"functionResponse"))


def test_gemini_counts_contents_or_a_whole_request() -> None:
    bare = read_counted(GEMINI, orjson.dumps({"contents": OF_GEMINI["contents"]}), "m")
    snake = read_counted(GEMINI, orjson.dumps({"generate_content_request": OF_GEMINI}), "m")
    camel = read_counted(GEMINI, orjson.dumps({"generateContentRequest": OF_GEMINI}), "m")
    assert (len(bare.tools), len(snake.tools)) == (0, 1)
    assert snake == camel
    assert bare.turns == camel.turns[1:]


@pytest.mark.parametrize(
    ("client", "told"),
    [
        (MESSAGES, {"input_tokens": 12}),
        (RESPONSES, {"object": "response.input_tokens", "input_tokens": 12}),
        (GEMINI, {"totalTokens": 12}),
    ],
)
@pytest.mark.parametrize(
    "answer", [{"input_tokens": 12}, {"totalTokens": 12, "promptTokensDetails": [{"modality": "TEXT"}]}]
)
def test_the_count_in_the_clients_form(client: Dialect, told: Any, answer: Any) -> None:
    target = MESSAGES if client is not MESSAGES else GEMINI
    made = made_of(client, target)
    assert orjson.loads(made.reply(orjson.dumps(answer))) == told
    assert made.usage == FREE


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"<html>", "malformed_reply"),
        (b"[]", "malformed_reply"),
        (b'{"input_tokens":"12"}', "malformed_reply"),
        (b'{"error":{"message":"no","code":"server_error"}}', "server_error"),
    ],
)
def test_what_is_no_count(answer: bytes, code: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        made_of(MESSAGES, GEMINI).reply(answer)
    assert caught.value.failure.code == code


@pytest.mark.parametrize("client", [RESPONSES, MESSAGES, GEMINI])
def test_a_guess_says_that_it_is_one(client: Dialect) -> None:
    asked = read_counted(client, orjson.dumps(ASKED[client]), "m" if client is GEMINI else None)
    notes = Notes()
    told = orjson.loads(counting.guessed(asked, "up", notes, is_strict=False))
    assert told["estimated"] is True
    assert notes.codes() == ("adjusted:token-count-estimated",)
    with pytest.raises(Refused, match="token-count-estimated"):
        counting.guessed(asked, "up", Notes(), is_strict=True)
