"""What the messages of live sessions tell of models and tokens."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from llmitm.exchange import Usage
from llmitm.translate.live import Tally, models_in, read_object

REALTIME = {
    "input_tokens": 10,
    "output_tokens": 20,
    "input_token_details": {
        "audio_tokens": 6,
        "cached_tokens": 2,
        "cached_tokens_details": {"audio_tokens": 1},
    },
    "output_token_details": {"text_tokens": 5, "audio_tokens": 15},
}


def turn(prompt: int, response: int, *, is_over: bool = False, **more: Any) -> dict[str, Any]:
    counts = {
        "promptTokenCount": prompt,
        "responseTokenCount": response,
        "totalTokenCount": prompt + response,
    }
    return {"usageMetadata": counts | more} | ({"serverContent": {"turnComplete": True}} if is_over else {})


def tallied(*messages: Any) -> Tally:
    tally = Tally()
    for message in messages:
        tally.read(message if isinstance(message, bytes) else orjson.dumps(message))
    return tally


@pytest.mark.parametrize(
    ("messages", "usage"),
    [
        ([], None),
        (
            [{"type": "response.done", "response": {"usage": REALTIME}}],
            Usage(
                input_tokens=10,
                output_tokens=20,
                cache_read_tokens=2,
                cached_audio_tokens=1,
                audio_in_tokens=6,
                audio_out_tokens=15,
            ),
        ),
        # each response counts
        (
            [{"type": "response.done", "response": {"usage": {"input_tokens": 1, "output_tokens": 2}}}] * 3,
            Usage(input_tokens=3, output_tokens=6),
        ),
        (
            [{"type": "response.incomplete", "response": {"usage": {"input_tokens": 1, "output_tokens": 2}}}],
            Usage(input_tokens=1, output_tokens=2),
        ),
        (
            [
                {
                    "type": "conversation.item.input_audio_transcription.completed",
                    "usage": {"type": "tokens", "input_tokens": 5, "output_tokens": 1},
                }
            ],
            Usage(input_tokens=5, output_tokens=1),
        ),
        # what is no end of a response is not counted
        (
            [{"type": "response.created", "response": {"usage": {"input_tokens": 9, "output_tokens": 9}}}],
            None,
        ),
        # Gemini's counts grow within a turn, and begin anew with the next
        ([turn(11, 2), turn(11, 7, is_over=True)], Usage(input_tokens=11, output_tokens=7)),
        ([turn(11, 7, is_over=True), turn(11, 3, is_over=True)], Usage(input_tokens=22, output_tokens=10)),
        ([turn(11, 7), turn(20, 3)], Usage(input_tokens=31, output_tokens=10)),
        (
            [turn(11, 7, responseTokensDetails=[{"modality": "AUDIO", "tokenCount": 7}])],
            Usage(input_tokens=11, output_tokens=7, audio_out_tokens=7),
        ),
        # what cannot be read is passed over
        ([b'{"usage"', b'["usage"]', b'{"type": "response.done", "response": {"usage": 5}}', b"\xff"], None),
    ],
)
def test_tokens_of_a_session(messages: list[Any], usage: Usage | None) -> None:
    assert tallied(*messages).usage == usage


def test_the_model_is_the_one_that_the_provider_names() -> None:
    assert tallied({"type": "session.created", "session": {"model": "gpt-realtime"}}).model == "gpt-realtime"
    assert tallied({"type": "response.completed", "response": {"model": "gpt-5"}}).model == "gpt-5"


@pytest.mark.parametrize(
    ("message", "models"),
    [
        ({"setup": {"model": "models/gemini-a"}}, ("gemini-a",)),
        ({"type": "response.create", "model": "gpt-5"}, ("gpt-5",)),
        ({"type": "response.create", "response": {"model": "gpt-6"}}, ("gpt-6",)),
        ({"session": {"audio": {"input": {"transcription": {"model": "whisper-1"}}}}}, ("whisper-1",)),
        ({"session": {"model": "a", "input_audio_transcription": {"model": "b"}}}, ("a", "b")),
        # what is said is not what is asked for
        ({"item": {"content": [{"text": '"model": "gpt-5"'}], "model": "x"}}, ()),
    ],
)
def test_models_that_a_client_asks_for(message: dict[str, Any], models: tuple[str, ...]) -> None:
    assert models_in(message) == models


@pytest.mark.parametrize("content", [None, b"", b"no JSON", b"[1]", b"\xff"])
def test_what_is_no_object_is_none(content: bytes | None) -> None:
    assert read_object(content) is None
