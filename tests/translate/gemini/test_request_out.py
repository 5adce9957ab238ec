"""Requests to Gemini are spelled as its API wants them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types

from llmitm.exchange import Dialect
from llmitm.translate.gemini.request_out import write_request
from llmitm.translate.neutral import (
    Base64,
    FileId,
    HostedTool,
    Identity,
    Media,
    Output,
    Part,
    Parts,
    PlainText,
    Reasoning,
    Refusal,
    Request,
    Role,
    Sealed,
    Settings,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Url,
)
from llmitm.translate.target import Target

GOOGLE = Target(dialect=Dialect.GEMINI, model="gemini-x", vendor="google")
VERTEX = Target(dialect=Dialect.GEMINI, model="gemini-x", vendor="google", is_vertex=True)
OWN = Sealed(vendor="google", kind="part", data="c2lnbmVk")


def write(request: Request, target: Target = GOOGLE) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(write_request(request, target))
    return body


def parts(*given: Part, target: Target = GOOGLE) -> Any:
    turn = Turn(role=Role.ASSISTANT, parts=given)
    return write(Request(model="m", turns=(turn,)), target)["contents"][0]["parts"]


def test_a_whole_request() -> None:
    request = Request(
        model="m",
        turns=(
            Turn(role=Role.SYSTEM, parts=(Text(text="Be brief."),)),
            Turn(role=Role.DEVELOPER, parts=(Text(text="Be kind."),)),
            Turn(role=Role.USER, parts=(Text(text="Hello"),)),
            Turn(role=Role.ASSISTANT, parts=(Text(text="Hi"),)),
        ),
        tools=(
            Tool(name="f", description="d", schema={"type": "object"}),
            HostedTool(vendor="google", type="googleSearch", raw='{"googleSearch":{}}'),
            Tool(name="g"),
        ),
        tool_choice=ToolChoice(mode="auto"),
        settings=Settings(temperature=1, max_tokens=10, stop=("x",), n=1),
        thinking=Thinking(effort="low", show="summary"),
        output=Output(form="json"),
        identity=Identity(service_tier="flex"),
        stream=True,
    )
    assert write_request(request, GOOGLE) == (
        b'{"contents":[{"role":"user","parts":[{"text":"Hello"}]},{"role":"model","parts":[{"text":"Hi"}]}],'
        b'"systemInstruction":{"parts":[{"text":"Be brief."},{"text":"Be kind."}]},'
        b'"tools":[{"functionDeclarations":[{"name":"f","description":"d",'
        b'"parametersJsonSchema":{"type":"object"}},{"name":"g"}]},{"googleSearch":{}}],'
        b'"toolConfig":{"functionCallingConfig":{"mode":"AUTO"}},"serviceTier":"flex",'
        b'"generationConfig":{"temperature":1,"maxOutputTokens":10,"stopSequences":["x"],'
        b'"responseMimeType":"application/json",'
        b'"thinkingConfig":{"includeThoughts":true,"thinkingLevel":"LOW"}}}'
    )


PARTS: dict[str, tuple[Part, dict[str, Any]]] = {
    "a document of parts": (
        Media(kind="document", source=Parts((Text(text="a"), Refusal(text="no"), Text(text="b")))),
        {"text": "a\nb"},
    ),
    "text": (Text(text="a"), {"text": "a"}),
    "signed empty text": (Text(text="", sealed=OWN), {"text": "", "thoughtSignature": "c2lnbmVk"}),
    "thought": (
        Reasoning(summary=("a", "b"), sealed=OWN),
        {"text": "a\n\nb", "thought": True, "thoughtSignature": "c2lnbmVk"},
    ),
    "call": (
        ToolCall(id="k1", name="f", args='{"a":1}', sealed=OWN),
        {"functionCall": {"id": "k1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "c2lnbmVk"},
    ),
    "call without an id": (
        ToolCall(id="", name="f", args=" "),
        {"functionCall": {"name": "f", "args": {}}},
    ),
    "broken arguments": (
        ToolCall(id="k1", name="f", args='{"a":'),
        {"functionCall": {"id": "k1", "name": "f", "args": {"_invalid_json": '{"a":'}}},
    ),
    "arguments that are no object": (
        ToolCall(id="k1", name="f", args="[1]"),
        {"functionCall": {"id": "k1", "name": "f", "args": {"_invalid_json": "[1]"}}},
    ),
    "result": (
        ToolResult(call_id="k1", name="f", parts=(Text(text="a"), Text(text="b"))),
        {"functionResponse": {"id": "k1", "name": "f", "response": {"output": "a\nb"}}},
    ),
    "empty result": (
        ToolResult(call_id="k1", name="f"),
        {"functionResponse": {"id": "k1", "name": "f", "response": {"output": ""}}},
    ),
    "failed result": (
        ToolResult(call_id="k1", name="f", parts=(Text(text="no"),), is_error=True),
        {"functionResponse": {"id": "k1", "name": "f", "response": {"error": "no"}}},
    ),
    "result as an object": (
        ToolResult(call_id="k1", name="f", raw='{"a":1}'),
        {"functionResponse": {"id": "k1", "name": "f", "response": {"a": 1}}},
    ),
    "result with an image": (
        ToolResult(
            call_id="k1", name="f", parts=(Media(kind="image", source=Base64("AAAA"), mime="image/png"),)
        ),
        {
            "functionResponse": {
                "id": "k1",
                "name": "f",
                "response": {"output": ""},
                "parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}],
            }
        },
    ),
    "image by its address": (
        Media(kind="image", source=Url("https://example.com/a.webp"), detail="high"),
        {
            "fileData": {"fileUri": "https://example.com/a.webp", "mimeType": "image/webp"},
            "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"},
        },
    ),
    "image of unknown kind": (
        Media(kind="image", source=Url("https://example.com/a"), detail="auto"),
        {"fileData": {"fileUri": "https://example.com/a", "mimeType": "image/jpeg"}},
    ),
    "uploaded file": (
        Media(kind="document", source=FileId("google", "files/x"), mime="text/csv"),
        {"fileData": {"fileUri": "files/x", "mimeType": "text/csv"}},
    ),
    "plain text": (
        Media(kind="document", source=PlainText("notes")),
        {"inlineData": {"mimeType": "text/plain", "data": "bm90ZXM="}},
    ),
    "film": (
        Media(
            kind="video",
            source=Base64("AAAA"),
            mime="video/mp4",
            extra='{"videoMetadata":{"fps":2},"cache_control":{}}',
        ),
        {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}, "videoMetadata": {"fps": 2}},
    ),
}


@pytest.mark.parametrize(("part", "expected"), PARTS.values(), ids=PARTS)
def test_parts(part: Part, expected: dict[str, Any]) -> None:
    assert parts(part) == [expected]
    types.Part.model_validate(expected)


def test_vertex_takes_no_ids() -> None:
    call, result = parts(
        ToolCall(id="k1", name="f", args="{}"), ToolResult(call_id="k1", name="f"), target=VERTEX
    )
    assert "id" not in call["functionCall"] and "id" not in result["functionResponse"]


def test_arguments_and_results_are_put_in_as_they_are() -> None:
    turn = Turn(
        role=Role.USER,
        parts=(
            ToolCall(id="", name="f", args='{"n":18446744073709551615,"x":1.50}'),
            ToolResult(call_id="", name="f", raw='{"r":1e3}'),
        ),
    )
    body = write_request(Request(model="m", turns=(turn,)), GOOGLE)
    assert b'"args":{"n":18446744073709551615,"x":1.50}' in body
    assert b'"response":{"r":1e3}' in body


CHOICES: list[tuple[ToolChoice, dict[str, Any] | None]] = [
    (ToolChoice(mode="auto"), {"mode": "AUTO"}),
    (ToolChoice(mode="auto", is_validated=True), {"mode": "VALIDATED"}),
    (ToolChoice(mode="auto", allowed=("f",)), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    (ToolChoice(mode="none"), {"mode": "NONE"}),
    (ToolChoice(mode="any"), {"mode": "ANY"}),
    (ToolChoice(mode="any", allowed=("f", "g")), {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}),
    (ToolChoice(mode="one", name="f"), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    (ToolChoice(parallel=True), None),
]


@pytest.mark.parametrize(("choice", "expected"), CHOICES)
def test_tool_choice(choice: ToolChoice, expected: dict[str, Any] | None) -> None:
    config = write(Request(model="m", turns=(), tool_choice=choice)).get("toolConfig")
    assert config == (None if expected is None else {"functionCallingConfig": expected})


THINKING: list[tuple[Thinking, dict[str, Any] | None]] = [
    (Thinking(budget_tokens=1024), {"thinkingBudget": 1024}),
    (Thinking(budget_tokens=0), {"thinkingBudget": 0}),
    (Thinking(budget_tokens="dynamic"), {"thinkingBudget": -1}),
    (Thinking(effort="xhigh"), {"thinkingLevel": "XHIGH"}),
    (Thinking(mode="off"), {"thinkingBudget": 0}),
    (Thinking(show="full"), {"includeThoughts": True}),
    (Thinking(show="none"), None),
]


@pytest.mark.parametrize(("thinking", "expected"), THINKING)
def test_thinking(thinking: Thinking, expected: dict[str, Any] | None) -> None:
    config = write(Request(model="m", turns=(), thinking=thinking)).get("generationConfig", {})
    assert config.get("thinkingConfig") == expected


OUTPUTS: list[tuple[Output, dict[str, Any]]] = [
    (Output(form="text"), {}),
    (Output(form="json"), {"responseMimeType": "application/json"}),
    (
        Output(form="schema", schema={"type": "object"}, name="n"),
        {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
    ),
]


@pytest.mark.parametrize(("output", "expected"), OUTPUTS)
def test_output(output: Output, expected: dict[str, Any]) -> None:
    assert write(Request(model="m", turns=(), output=output)).get("generationConfig", {}) == expected


def test_numbers_of_settings() -> None:
    settings = Settings(top_k=40.7, n=2, seed=7, logprobs=True, top_logprobs=2, presence=0.5)
    assert write(Request(model="m", turns=(), settings=settings))["generationConfig"] == {
        "topK": 40,
        "candidateCount": 2,
        "responseLogprobs": True,
        "logprobs": 2,
        "presencePenalty": 0.5,
        "seed": 7,
    }
