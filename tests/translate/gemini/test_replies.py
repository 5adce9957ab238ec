"""Gemini's answers are read whole, and written as Google's own client reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types

from llmitm.exchange import Dialect, Usage
from llmitm.translate import seals
from llmitm.translate.gemini.reply_in import read_reply
from llmitm.translate.gemini.reply_out import write_reply
from llmitm.translate.neutral import (
    Base64,
    Choice,
    Citation,
    Hosted,
    Media,
    Opaque,
    Part,
    Reason,
    Reasoning,
    Refusal,
    Reply,
    Request,
    Sealed,
    Stop,
    Text,
    ToolCall,
    UpstreamError,
    Url,
)

ASKED = Request(model="m", turns=(), dialect=Dialect.GEMINI)
OWN = Sealed(vendor="google", kind="part", data="c2lnbmVk")
OPENAI = Sealed(vendor="openai", kind="encrypted", data="closed", item_id="rs_1")
CLAUDE = Sealed(vendor="anthropic", kind="thinking", data="seal")
FINISHED = Stop(reason=Reason.STOP, raw="STOP")


def answer(*parts: dict[str, Any], finish: Any = "STOP", **more: Any) -> dict[str, Any]:
    content = {"role": "model", "parts": list(parts)}
    return {"candidates": [{"content": content, "finishReason": finish, **more}]}


def read(body: Any) -> Reply:
    return read_reply(json.dumps(body).encode())


def parts_of(*parts: dict[str, Any], **more: Any) -> list[Part]:
    return list(read(answer(*parts, **more)).choices[0].parts)


def write(*parts: Part, stop: Stop | None = FINISHED, **more: Any) -> dict[str, Any]:
    reply = Reply(id="r1", model="m", choices=(Choice(parts=parts, stop=stop),), **more)
    body: dict[str, Any] = json.loads(write_reply(reply, ASKED))
    types.GenerateContentResponse.model_validate(body)
    return body


READ: dict[str, tuple[list[dict[str, Any]], list[Part]]] = {
    "texts in a row": ([{"text": "a"}, {"text": "b"}], [Text(text="ab")]),
    "a signature after the text": (
        [{"text": "a"}, {"text": "", "thoughtSignature": "c2lnbmVk"}],
        [Text(text="a", sealed=OWN)],
    ),
    "two signatures": (
        [{"text": "a", "thoughtSignature": "c2lnbmVk"}, {"text": "", "thoughtSignature": "c2lnbmVk"}],
        [Text(text="a", sealed=OWN), Text(text="", sealed=OWN)],
    ),
    "signed text stays apart": (
        [{"text": "a"}, {"text": "b", "thoughtSignature": "c2lnbmVk"}, {"text": "c"}],
        [Text(text="a"), Text(text="b", sealed=OWN), Text(text="c")],
    ),
    "text beside an unknown member": ([{"text": "a", "hologram": 1}], [Text(text="a")]),
    "what nobody knows": (
        [{"hologram": 1}, 1],  # type: ignore[list-item]
        [Opaque(dialect=Dialect.GEMINI, type="hologram", raw='{"hologram":1}')],
    ),
    "an empty call": ([{"functionCall": {}}, {"text": "a"}], [Text(text="a")]),
    "a file": (
        [{"fileData": {"fileUri": "https://a.example/b.png"}}],
        [Media(kind="image", source=Url("https://a.example/b.png"), mime="image/png")],
    ),
    "a file without an address": (
        [{"fileData": {"mimeType": "image/png"}}],
        [Opaque(dialect=Dialect.GEMINI, type="fileData", raw='{"fileData":{"mimeType":"image/png"}}')],
    ),
    "data that is broken": (
        [{"inlineData": {"data": "?"}}],
        [Opaque(dialect=Dialect.GEMINI, type="inlineData", raw='{"inlineData":{"data":"?"}}')],
    ),
    "a signature alone": ([{"thoughtSignature": "c2lnbmVk"}], [Text(text="", sealed=OWN)]),
    "thoughts": (
        [{"text": "a", "thought": True}, {"text": "b", "thought": True}, {"text": "c"}],
        [Reasoning(summary=("ab",)), Text(text="c")],
    ),
    "sealed thoughts": (
        [
            {"text": "a", "thought": True, "thoughtSignature": "c2lnbmVk"},
            {"text": "b", "thought": True},
        ],
        [Reasoning(summary=("a",), sealed=OWN), Reasoning(summary=("b",))],
    ),
    "calls": (
        [
            {"functionCall": {"id": "k1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "c2lnbmVk"},
            {"functionCall": {"name": "g"}},
        ],
        [ToolCall(id="k1", name="f", args='{"a":1}', sealed=OWN), ToolCall(id="", name="g", args="{}")],
    ),
    "a call with members that are null": (
        [
            {
                "functionCall": {
                    "name": "g",
                    "args": {"a": 1},
                    "id": None,
                    "partialArgs": None,
                    "willContinue": None,
                },
                "text": None,
                "thought": None,
                "thoughtSignature": None,
            }
        ],
        [ToolCall(id="", name="g", args='{"a":1}')],
    ),
    "an image": (
        [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}],
        [Media(kind="image", source=Base64("AAAA"), mime="image/png")],
    ),
    "code": (
        [
            {"executableCode": {"language": "PYTHON", "code": "1+1"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2\n"}},
        ],
        [
            Hosted(
                vendor="google",
                type="executableCode",
                raw='{"executableCode":{"language":"PYTHON","code":"1+1"}}',
                phase="call",
                text="\n```python\n1+1\n```\n",
            ),
            Hosted(
                vendor="google",
                type="codeExecutionResult",
                raw='{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"2\\n"}}',
                phase="result",
                text="\n```\n2\n```\n",
            ),
        ],
    ),
    "a server's tool": (
        [{"toolCall": {"toolType": "URL_CONTEXT"}}],
        [
            Hosted(
                vendor="google",
                type="toolCall",
                raw='{"toolCall":{"toolType":"URL_CONTEXT"}}',
                phase="call",
            )
        ],
    ),
    "unknown": (
        [{"novelty": {"a": 1}}],
        [Opaque(dialect=Dialect.GEMINI, type="novelty", raw='{"novelty":{"a":1}}')],
    ),
    "nothing": ([{"text": ""}], []),
}


@pytest.mark.parametrize(("given", "expected"), READ.values(), ids=READ)
def test_parts_are_read(given: list[dict[str, Any]], expected: list[Part]) -> None:
    assert parts_of(*given) == expected


STOPS: list[tuple[Any, Reason]] = [
    ("STOP", Reason.STOP),
    (1, Reason.STOP),
    (2, Reason.LENGTH),
    (3, Reason.FILTER),
    ("MAX_TOKENS", Reason.LENGTH),
    ("CONTINUATION", Reason.LENGTH),
    ("SPII", Reason.FILTER),
    ("RECITATION", Reason.RECITATION),
    ("MALFORMED_FUNCTION_CALL", Reason.MALFORMED_CALL),
    ("NEWEST_REASON", Reason.OTHER),
    (99, Reason.OTHER),
    (None, Reason.STOP),
]


@pytest.mark.parametrize(("finish", "expected"), STOPS)
def test_reasons_to_stop(finish: Any, expected: Reason) -> None:
    stop = read(answer({"text": "a"}, finish=finish)).choices[0].stop
    assert stop is not None and stop.reason is expected


CALLING = [("STOP", Reason.TOOL_CALLS), ("MAX_TOKENS", Reason.LENGTH), ("SAFETY", Reason.FILTER)]


@pytest.mark.parametrize(("finish", "expected"), CALLING)
def test_calls_are_told_by_the_parts_alone(finish: str, expected: Reason) -> None:
    stop = read(answer({"functionCall": {"name": "f"}}, finish=finish)).choices[0].stop
    assert stop is not None and stop.reason is expected


def test_a_blocked_prompt_is_an_answer_without_parts() -> None:
    (choice,) = read({"promptFeedback": {"blockReason": "SAFETY"}}).choices
    assert choice == Choice(stop=Stop(reason=Reason.FILTER, raw="SAFETY"))


NO_ANSWERS: list[tuple[Any, str, int]] = [
    ({"candidates": []}, "empty_reply", 502),
    ({}, "empty_reply", 502),
    ({"candidates": [{"finishReason": "OTHER"}]}, "empty_reply", 502),
    ({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}, "malformed_function_call", 502),
    ([], "malformed_reply", 502),
    ("text", "malformed_reply", 502),
    ({"candidates": [1]}, "empty_reply", 502),
    ([{"candidates": [{"content": {"parts": [{"text": "a"}]}}]}], "upstream_truncated", 502),
]


@pytest.mark.parametrize(("body", "code", "status"), NO_ANSWERS)
def test_what_is_no_answer(body: Any, code: str, status: int) -> None:
    with pytest.raises(UpstreamError) as caught:
        read(body)
    assert (caught.value.failure.code, caught.value.failure.status) == (code, status)


def test_what_is_no_json_is_no_answer() -> None:
    with pytest.raises(UpstreamError) as caught:
        read_reply(b"<html>")
    assert caught.value.failure.code == "malformed_reply"


ERROR = {"error": {"code": 429, "message": "Too much.", "status": "RESOURCE_EXHAUSTED"}}


@pytest.mark.parametrize("body", [ERROR, [ERROR]])
def test_errors_keep_their_status_and_words(body: Any) -> None:
    with pytest.raises(UpstreamError) as caught:
        read(body)
    assert (caught.value.failure.status, caught.value.failure.message) == (429, "Too much.")


def test_arguments_keep_their_spelling_wherever_they_stand() -> None:
    call = b'{"functionCall":{"name":"f","args":{ "n": 18446744073709551615, "x": 1.50 }}}'
    one = b'{"candidates":[{"content":{"parts":[%b]},"finishReason":"STOP"}]}' % call
    for body in (one, b"\n [" + one + b"]"):
        (part,) = read_reply(body).choices[0].parts
        assert isinstance(part, ToolCall) and part.args == '{"n":18446744073709551615,"x":1.50}'


def test_an_array_of_chunks_is_one_answer() -> None:
    first = {**answer({"text": "Hel"}, finish=None), "responseId": "r1", "modelVersion": "m1"}
    reply = read([first, answer({"text": "lo"})])
    assert (reply.id, reply.model, reply.choices[0].parts) == ("r1", "m1", (Text(text="Hello"),))


def test_several_candidates() -> None:
    told = [
        {"index": 1, "content": {"parts": [{"text": "b"}]}, "finishReason": "STOP"},
        {"index": 0, "content": {"parts": [{"text": "a"}]}, "finishReason": "MAX_TOKENS"},
    ]
    first, second = read({"candidates": told}).choices
    assert (first.index, first.parts, second.parts) == (0, (Text(text="a"),), (Text(text="b"),))


USAGES: list[tuple[dict[str, Any], Usage]] = [
    (
        {
            "promptTokenCount": 29,
            "candidatesTokenCount": 15,
            "thoughtsTokenCount": 804,
            "totalTokenCount": 848,
        },
        Usage(input_tokens=29, output_tokens=819, reasoning_tokens=804),
    ),
    (
        {"promptTokenCount": "10", "toolUsePromptTokenCount": 5, "cachedContentTokenCount": 4},
        Usage(input_tokens=15, cache_read_tokens=4, tool_prompt_tokens=5),
    ),
    ({"promptTokenCount": 10, "totalTokenCount": 10}, Usage(input_tokens=10, output_tokens=0)),
    ({"promptTokenCount": 10, "cachedContentTokenCount": 90}, Usage(input_tokens=100, cache_read_tokens=90)),
    (
        {"promptTokenCount": 1, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1}]},
        Usage(input_tokens=1),
    ),
    (
        {
            "promptTokenCount": 10,
            "candidatesTokenCount": 1,
            "promptTokensDetails": [
                {"modality": "AUDIO", "tokenCount": 3},
                {"modality": "IMAGE", "tokenCount": 4},
            ],
        },
        Usage(input_tokens=10, output_tokens=1, audio_in_tokens=3, image_in_tokens=4),
    ),
]


@pytest.mark.parametrize(("told", "expected"), USAGES)
def test_counts(told: dict[str, Any], expected: Usage) -> None:
    assert read({**answer({"text": "a"}), "usageMetadata": told}).usage == expected


def test_counts_are_written_so_that_they_add_up() -> None:
    usage = Usage(
        input_tokens=100, output_tokens=50, cache_read_tokens=40, tool_prompt_tokens=10, reasoning_tokens=20
    )
    assert write(Text(text="a"), usage=usage)["usageMetadata"] == {
        "promptTokenCount": 90,
        "cachedContentTokenCount": 40,
        "candidatesTokenCount": 30,
        "toolUsePromptTokenCount": 10,
        "thoughtsTokenCount": 20,
        "totalTokenCount": 150,
    }


GROUNDING = {
    "searchEntryPoint": {"renderedContent": "<b>"},
    "groundingChunks": [
        {"web": {"uri": "https://a.example", "title": "A"}},
        {"web": {"uri": "https://b.example"}},
        {"retrievedContext": {"title": "no address"}},
    ],
    "groundingSupports": [
        {"segment": {"endIndex": 6, "text": "Søren"}, "groundingChunkIndices": [0, 1, 2, 9]},
        {"segment": {"startIndex": 7, "endIndex": 12, "text": "walks"}, "groundingChunkIndices": [1]},
        {"segment": {"text": "not said"}, "groundingChunkIndices": [1]},
    ],
}


def test_sources_are_citations_of_code_points() -> None:
    reply = read(answer({"text": "Søren walks"}, groundingMetadata=GROUNDING))
    (text,) = reply.choices[0].parts
    assert isinstance(text, Text)
    assert [(one.kind, one.url, one.title, one.start, one.end) for one in text.citations] == [
        ("url", "https://a.example", "A", 0, 5),
        ("url", "https://b.example", None, 0, 5),
        ("document", None, "no address", 0, 5),
        ("url", "https://b.example", None, 6, 11),
        ("url", "https://b.example", None, 0, 0),
    ]
    assert reply.extras == {"search_entry_point": {"renderedContent": "<b>"}}


def test_citation_metadata_has_sources_too() -> None:
    told = {
        "citationSources": [{"startIndex": 1, "endIndex": 3, "uri": "https://a.example"}, {"endIndex": 2}]
    }
    (text,) = parts_of({"text": "abcd"}, citationMetadata=told)
    assert isinstance(text, Text)
    assert [(one.url, one.start, one.end) for one in text.citations] == [
        ("https://a.example", 1, 3),
        (None, 0, 2),
    ]


def test_sources_without_a_place_are_cited_over_nothing() -> None:
    told = {"citationSources": [{"startIndex": 100, "endIndex": 300, "uri": "https://a.example"}]}
    cited = Citation(url="https://a.example", start=0, end=0, vendor="google")
    assert parts_of({"text": "abcd"}, citationMetadata=told) == [Text(text="abcd", citations=(cited,))]
    call = {"functionCall": {"name": "f"}}
    assert parts_of({"text": "abcd"}, call, citationMetadata=told)[2:] == [
        Text(text="", citations=(Citation(kind="document", vendor="google"),))
    ]


def test_citations_over_nothing_come_back() -> None:
    cited = Text(text="abcd", citations=(Citation(url="https://a.example", start=0, end=0),))
    (text,) = read(write(cited)).choices[0].parts
    assert isinstance(text, Text)
    assert [(one.url, one.start, one.end) for one in text.citations] == [("https://a.example", 0, 0)]


def test_citations_are_written_as_grounding_in_bytes() -> None:
    cited = Text(
        text="Søren walks",
        citations=(
            Citation(url="https://a.example", title="A", start=6, end=11),
            Citation(kind="document", title="no address"),
            Citation(url="https://a.example", title="A"),
        ),
    )
    body = write(Text(text="x"), cited, extras={"search_entry_point": {"renderedContent": "<b>"}})
    assert body["candidates"][0]["groundingMetadata"] == {
        "searchEntryPoint": {"renderedContent": "<b>"},
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}],
        "groundingSupports": [
            {
                "segment": {"partIndex": 1, "startIndex": 7, "endIndex": 12, "text": "walks"},
                "groundingChunkIndices": [0],
            },
            {
                "segment": {"partIndex": 1, "endIndex": 12, "text": "Søren walks"},
                "groundingChunkIndices": [0],
            },
        ],
    }


def test_log_probabilities_of_no_token() -> None:
    assert read(answer({"text": "a"}, logprobsResult={"topCandidates": []})).choices[0].logprobs == ()


def test_log_probabilities_there_and_back() -> None:
    told = {
        "topCandidates": [{"candidates": [{"token": "é", "logProbability": -0.1}]}],
        "chosenCandidates": [{"token": "é", "logProbability": -0.1}],
    }
    choice = read(answer({"text": "é"}, logprobsResult=told)).choices[0]
    assert choice.logprobs[0]["bytes"] == [195, 169]
    body = json.loads(write_reply(Reply(id=None, model=None, choices=(choice,)), ASKED))
    assert body["candidates"][0]["logprobsResult"] == told


WRITTEN: dict[str, tuple[list[Part], list[dict[str, Any]]]] = {
    "own seal": ([Text(text="a", sealed=OWN)], [{"text": "a", "thoughtSignature": "c2lnbmVk"}]),
    "foreign seal": (
        [Reasoning(summary=("a",), sealed=CLAUDE)],
        [{"text": "a", "thought": True, "thoughtSignature": seals.envelope_base64(CLAUDE)}],
    ),
    "seal alone": (
        [Reasoning(sealed=CLAUDE)],
        [{"text": "", "thought": True, "thoughtSignature": seals.envelope_base64(CLAUDE)}],
    ),
    "refusal": ([Refusal(text="No.")], [{"text": "No."}]),
    "code": (
        [Hosted(vendor="openai", type="x", raw="{}", phase="call", text="```\n1\n```")],
        [{"text": "```\n1\n```"}],
    ),
    "others' tools": ([Hosted(vendor="openai", type="x", raw="{}", phase="call")], [{"text": ""}]),
    "own tools": (
        [Hosted(vendor="google", type="toolCall", raw='{"toolCall":{}}', phase="call")],
        [{"toolCall": {}}],
    ),
    "nothing": ([], [{"text": ""}]),
    "what only Gemini knows": (
        [Opaque(dialect=Dialect.GEMINI, type="hologram", raw='{"videoMetadata":{}}')],
        [{"videoMetadata": {}}],
    ),
    "a seal that nobody reads, lent to the text after it": (
        [Reasoning(sealed=OPENAI), Text(text="a")],
        [{"text": "a", "thoughtSignature": seals.envelope_base64(OPENAI)}],
    ),
    "a seal that nobody reads, before what has its own": (
        [Reasoning(sealed=OPENAI), Text(text="a", sealed=OWN)],
        [
            {"text": "", "thought": True, "thoughtSignature": seals.envelope_base64(OPENAI)},
            {"text": "a", "thoughtSignature": "c2lnbmVk"},
        ],
    ),
    "a seal that nobody reads, at the end": (
        [Text(text="a"), Reasoning(sealed=OPENAI)],
        [
            {"text": "a"},
            {"text": "", "thought": True, "thoughtSignature": seals.envelope_base64(OPENAI)},
        ],
    ),
    "custom call": (
        [ToolCall(id="k1", name="f", args="a b", kind="custom")],
        [{"functionCall": {"id": "k1", "name": "f", "args": {"input": "a b"}}}],
    ),
}


@pytest.mark.parametrize(("parts", "expected"), WRITTEN.values(), ids=WRITTEN)
def test_parts_are_written(parts: list[Part], expected: list[dict[str, Any]]) -> None:
    body = write(*parts)
    word = "SAFETY" if any(isinstance(part, Refusal) for part in parts) else "STOP"
    assert body["candidates"] == [
        {"index": 0, "content": {"role": "model", "parts": expected}, "finishReason": word}
    ]
    assert (body["modelVersion"], body["responseId"]) == ("m", "r1")


ENDS = [
    (Reason.STOP_SEQUENCE, "stop_sequence", "STOP"),
    (Reason.TOOL_CALLS, "tool_use", "STOP"),
    (Reason.LENGTH, "max_tokens", "MAX_TOKENS"),
    (Reason.CONTEXT, None, "MAX_TOKENS"),
    (Reason.REFUSAL, "refusal", "SAFETY"),
    (Reason.FILTER, "content_filter", "SAFETY"),
    (Reason.FILTER, "LANGUAGE", "LANGUAGE"),
    (Reason.MALFORMED_CALL, None, "MALFORMED_FUNCTION_CALL"),
    (Reason.PAUSE, "pause_turn", "STOP"),
    (Reason.OTHER, "STOP", "OTHER"),
]


@pytest.mark.parametrize(("reason", "raw", "word"), ENDS)
def test_words_for_the_end(reason: Reason, raw: str | None, word: str) -> None:
    body = write(Text(text="a"), stop=Stop(reason=reason, raw=raw))
    assert body["candidates"][0]["finishReason"] == word


@pytest.mark.parametrize(
    ("raw", "word"), [("content_filter", "OTHER"), ("PROHIBITED_CONTENT", "PROHIBITED_CONTENT")]
)
def test_a_filter_that_left_nothing_is_a_blocked_prompt(raw: str, word: str) -> None:
    body = write(stop=Stop(reason=Reason.FILTER, raw=raw))
    assert body["promptFeedback"] == {"blockReason": word} and "candidates" not in body
