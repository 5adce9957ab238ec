"""What a trace tells of a request's parameters and, where they are wanted, of its words."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import orjson
import pytest

from llmitm.exchange import Dialect
from llmitm.record.bodies import Seen
from llmitm.record.entry import Entry
from llmitm.record.traces.asked import parameters
from llmitm.secret import Redactor, Secret
from llmitm.trip.spoken import ATTRIBUTE_BYTES, TEXT_CHARACTERS, Spoken
from support.ledgers import entry_of

REQUEST = "gen_ai.request."
CHAT, RESPONSES, MESSAGES, GEMINI = Dialect
PIXEL = "iVBORw0KGgo="


@pytest.mark.parametrize(
    ("dialect", "body", "expected"),
    [
        (
            CHAT,
            {"max_tokens": 9, "temperature": 1, "stop": "a", "n": 1},
            {"max_tokens": 9, "temperature": 1.0, "stop_sequences": ("a",)},
        ),
        (
            CHAT,
            {"max_tokens": 9, "max_completion_tokens": 7, "n": 3, "seed": -1},
            {"max_tokens": 7, "choice.count": 3, "seed": -1},
        ),
        (CHAT, {"reasoning_effort": "low", "stream": True}, {"reasoning.level": "low", "stream": True}),
        (
            CHAT,
            {"max_tokens": "9", "seed": 2**70, "stop": [1, "b"], "temperature": True},
            {"stop_sequences": ("b",)},
        ),
        (
            RESPONSES,
            {"max_output_tokens": 5, "reasoning": {"effort": "high"}},
            {"max_tokens": 5, "reasoning.level": "high"},
        ),
        (RESPONSES, {"reasoning": "high"}, {}),
        (
            MESSAGES,
            {"max_tokens": 5, "top_k": 4, "stop_sequences": ["x"]},
            {"max_tokens": 5, "top_k": 4, "stop_sequences": ("x",)},
        ),
        (
            GEMINI,
            {"generationConfig": {"topK": 40.0, "topP": 0.5, "candidateCount": 2}},
            {"top_k": 40, "top_p": 0.5, "choice.count": 2},
        ),
    ],
)
def test_parameters(dialect: Dialect, body: dict[str, Any], expected: dict[str, Any]) -> None:
    assert parameters(json.dumps(body).encode(), dialect) == {
        REQUEST + name: value for name, value in expected.items()
    }


def test_what_is_no_json_has_no_parameters() -> None:
    assert parameters(b"{", CHAT) == parameters(b"[1]", CHAT) == parameters(b"", GEMINI) == {}


def spoken(
    path: str,
    dialect: Dialect,
    asked: Any,
    said: bytes = b"",
    *,
    redact: Redactor | None = None,
    **known: Any,
) -> dict[str, Any]:
    """The words by the end of their attribute's name."""
    entry: Entry = entry_of(1, path=path, dialect=dialect, **known)
    entry.asked = orjson.dumps(asked)
    entry.said = Seen()
    entry.said.add(said)
    found = Spoken(redact or Redactor(), has_content=True)(entry).content
    return {name.removeprefix("gen_ai."): orjson.loads(value) for name, value in found.items()}


def text(words: str) -> dict[str, str]:
    return {"type": "text", "content": words}


def user(words: str) -> dict[str, Any]:
    return {"role": "user", "parts": [text(words)]}


def assistant(words: str, finish: str) -> dict[str, Any]:
    return {"role": "assistant", "parts": [text(words)], "finish_reason": finish}


WHOLE = {
    "/all/v1/chat/completions": (
        CHAT,
        {"model": "m", "messages": [{"role": "system", "content": "Be."}, {"role": "user", "content": "Hi"}]},
        {
            "id": "1",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "Yo"}, "finish_reason": "stop"}
            ],
        },
    ),
    "/all/v1/messages": (
        MESSAGES,
        {"model": "m", "max_tokens": 9, "system": "Be.", "messages": [{"role": "user", "content": "Hi"}]},
        {
            "id": "1",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "text", "text": "Yo"}],
            "stop_reason": "end_turn",
        },
    ),
    "/all/v1/responses": (
        RESPONSES,
        {"model": "m", "instructions": "Be.", "input": "Hi"},
        {
            "id": "1",
            "status": "completed",
            "output": [
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yo"}]}
            ],
        },
    ),
    "/all/v1beta/models/m:generateContent": (
        GEMINI,
        {
            "systemInstruction": {"parts": [{"text": "Be."}]},
            "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        },
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "Yo"}]}, "finishReason": "STOP"}]},
    ),
}


@pytest.mark.parametrize("path", WHOLE)
def test_words_of_every_dialect(path: str) -> None:
    dialect, asked, said = WHOLE[path]
    found = spoken(path, dialect, asked, orjson.dumps(said))
    assert found["system_instructions"] == [text("Be.")]
    assert found["input.messages"] == [user("Hi")]
    ((answer),) = found["output.messages"]
    assert answer["parts"] == [text("Yo")] and answer["finish_reason"]


def test_words_of_a_stream_as_far_as_they_came() -> None:
    stream = b"".join(
        b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % one for one in (b"Y", b"o")
    )
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    found = spoken("/all/v1/chat/completions", CHAT, asked, stream, is_stream=True)
    assert found["output.messages"] == [assistant("Yo", "unknown")]


def test_tools_and_media() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Ulm"}'}}
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    link = {"type": "image_url", "image_url": {"url": "https://pictures.example/a.png?signature=secret"}}
    asked = {
        "model": "m",
        "messages": [
            {"role": "user", "content": [image, link]},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "weather", "description": "It.", "parameters": {}}}
        ],
    }
    found = spoken("/all/v1/chat/completions", CHAT, asked, b"{}", status=500)
    seen, called, told = found["input.messages"]
    digest = hashlib.sha256(base64.b64decode(PIXEL)).hexdigest()
    assert [part["uri"] for part in seen["parts"]] == [f"sha256:{digest}", "https://pictures.example/a.png"]
    assert called["parts"] == [
        {"type": "tool_call", "id": "c1", "name": "weather", "arguments": '{"city":"Ulm"}'}
    ]
    assert told == {
        "role": "tool",
        "parts": [{"type": "tool_call_response", "id": "c1", "response": "sunny"}],
    }
    assert found["tool.definitions"] == [{"type": "function", "name": "weather", "description": "It."}]
    assert "output.messages" not in found


def test_no_word_holds_a_secret() -> None:
    redact = Redactor()
    redact.learn(Secret("hunter22-hunter22"))
    asked = {
        "model": "m",
        "stop": "hunter22-hunter22",
        "messages": [{"role": "user", "content": 'use hunter22-hunter22 or "sk-live-0123456789abcdef"'}],
    }
    entry = entry_of(1, asked=orjson.dumps(asked), said=Seen())
    told = Spoken(redact, has_content=True)(entry)
    assert told.asked == {"gen_ai.request.stop_sequences": ("***",)}
    assert orjson.loads(told.content["gen_ai.input.messages"]) == [user('use *** or "***"')]


def test_what_is_too_long_is_cut_texts_first_then_the_oldest() -> None:
    words = ["a" * (TEXT_CHARACTERS + 7), *(str(number) * TEXT_CHARACTERS for number in range(6))]
    asked = {"model": "m", "messages": [{"role": "user", "content": one} for one in words]}
    entry = entry_of(1, asked=orjson.dumps(asked), said=Seen())
    told = Spoken(Redactor(), has_content=True)(entry).content["gen_ai.input.messages"]
    kept = [one["parts"][0]["content"][0] for one in orjson.loads(told)]
    assert len(told) <= ATTRIBUTE_BYTES and kept == ["3", "4", "5"]
    asked["messages"] = asked["messages"][:1]
    entry.asked = orjson.dumps(asked)
    (only,) = orjson.loads(Spoken(Redactor(), has_content=True)(entry).content["gen_ai.input.messages"])
    assert only["parts"][0]["content"].endswith("a [7 more characters]")


def test_words_are_told_only_where_they_are_wanted_and_can_be_read() -> None:
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "seed": 1}
    entry = entry_of(1, asked=orjson.dumps(asked), said=Seen())
    told = Spoken(Redactor(), has_content=False)(entry)
    assert told.content == {} and told.asked == {"gen_ai.request.seed": 1}
    assert spoken("/all/v1/chat/completions", CHAT, {"messages": 7}) == {}
    assert spoken("/all/v1/embeddings", CHAT, asked) == {}
    nothing = Spoken(Redactor(), has_content=True)(entry_of(1))
    assert (nothing.content, nothing.asked) == ({}, {})
