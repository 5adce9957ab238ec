"""Requests of Gemini clients are read into turns, in any of their spellings; losses are named by place."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate import ids, seals
from llmitm.translate.gemini.request_in import read_request
from llmitm.translate.neutral import (
    Base64,
    FileId,
    Hosted,
    HostedTool,
    Media,
    Opaque,
    Output,
    Part,
    PlainText,
    Reasoning,
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
    Url,
)

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n pixel").decode()
OWN = Sealed(vendor="google", kind="part", data="c2lnbmVk")
CLAUDE = Sealed(vendor="anthropic", kind="thinking", data="seal")
REDACTED = Sealed(vendor="anthropic", kind="redacted", data="hidden")
OPENAI = Sealed(vendor="openai", kind="encrypted", data="closed", item_id="rs_1")
HOST = Sealed(vendor="somehost", kind="part")


def read(body: dict[str, Any]) -> Request:
    return read_request(json.dumps(body).encode(), model="models/asked")


def hello(**more: Any) -> Request:
    return read({"contents": [{"role": "user", "parts": [{"text": "Hello"}]}], **more})


def model_parts(*parts: dict[str, Any]) -> tuple[Part, ...]:
    return read({"contents": [{"role": "model", "parts": list(parts)}]}).turns[0].parts


def envelope(sealed: Sealed) -> str:
    return seals.envelope_base64(sealed)


def test_model_and_stream_are_told_beside_the_body() -> None:
    body = b'{"contents":[]}'
    asked = read_request(body, model="models/gemini-x", is_stream=True, is_json_array=True)
    assert (asked.model, asked.stream, asked.is_json_array) == ("gemini-x", True, True)
    assert asked.dialect is Dialect.GEMINI


SPELLINGS = {
    "as it is usual": {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
    "one object for a list": {"contents": {"role": "USER", "parts": {"text": "Hello"}}},
    "no role": {"contents": [{"parts": [{"text": "Hello"}]}]},
    "strings": {"contents": ["Hello"]},
    "nulls": {"contents": [{"role": None, "parts": [{"text": "Hello", "thought": None}]}], "tools": None},
}


@pytest.mark.parametrize("body", SPELLINGS.values(), ids=SPELLINGS)
def test_one_turn_has_many_spellings(body: dict[str, Any]) -> None:
    assert [(turn.role, turn.parts) for turn in read(body).turns] == [(Role.USER, (Text(text="Hello"),))]


SYSTEMS: list[Any] = [
    "Be brief.",
    {"text": "Be brief."},
    ["Be brief."],
    [{"text": "Be brief."}],
    {"parts": [{"text": "Be brief."}], "role": "user"},
    {"parts": {"text": "Be brief."}},
    [{"parts": [{"text": "Be brief."}]}],
]


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", ["systemInstruction", "system_instruction"])
def test_the_system_instruction_has_many_forms(name: str, system: Any) -> None:
    turn = hello(**{name: system}).turns[0]
    assert (turn.role, turn.parts, turn.at) == (Role.SYSTEM, (Text(text="Be brief."),), name)


def test_places_are_the_clients_own() -> None:
    asked = read(
        {
            "contents": [{"parts": [{"text": "a"}, {"text": "b"}]}],
            "tools": [{"function_declarations": [{"name": "f"}]}],
            "generation_config": {"top_k": 3, "stop_sequences": ["x"]},
        }
    )
    assert asked.turns[0].parts[1].at == "contents[0].parts[1]"
    assert asked.tools[0].at == "tools[0].function_declarations[0]"
    assert asked.paths == {"top_k": "generation_config.top_k", "stop": "generation_config.stop_sequences"}


PARTS: dict[str, tuple[dict[str, Any], list[Part]]] = {
    "text": ({"text": "a"}, [Text(text="a")]),
    "signed text": ({"text": "a", "thoughtSignature": "c2lnbmVk"}, [Text(text="a", sealed=OWN)]),
    "signed empty text": ({"text": "", "thoughtSignature": "c2lnbmVk"}, [Text(text="", sealed=OWN)]),
    "signature alone": ({"thought_signature": "c2lnbmVk"}, [Text(text="", sealed=OWN)]),
    "nothing": ({}, [Text(text="")]),
    "thought": ({"text": "a", "thought": True}, [Reasoning(summary=("a",))]),
    "no thought": ({"text": "a", "thought": False}, [Text(text="a")]),
    "empty thought": ({"text": "", "thought": True}, []),
    "sealed thought": (
        {"text": "a", "thought": True, "thoughtSignature": envelope(CLAUDE)},
        [Reasoning(summary=("a",), sealed=CLAUDE)],
    ),
    "redacted thought": (
        {"text": "", "thought": True, "thoughtSignature": envelope(REDACTED)},
        [Reasoning(sealed=REDACTED)],
    ),
    "what was run, without an envelope of ours": (
        {"executableCode": {"code": "1"}, "thoughtSignature": envelope(CLAUDE)},
        [
            Reasoning(sealed=CLAUDE),
            Hosted(
                vendor="google",
                type="executableCode",
                raw='{"executableCode":{"code":"1"}}',
                phase="call",
                text="\n```\n1\n```\n",
            ),
        ],
    ),
    "text that is no text": (
        {"inlineData": {"mimeType": "text/plain", "data": "/w=="}},
        [Media(kind="document", source=Base64("/w=="), mime="text/plain")],
    ),
    "a host's thought": (
        {"text": "a", "thought": True, "thoughtSignature": envelope(HOST)},
        [Reasoning(text="a", sealed=HOST)],
    ),
    "damaged envelope": (
        {"text": "a", "thought": True, "thoughtSignature": "Z3dzMSBicm9rZW4"},
        [Reasoning(summary=("a",))],
    ),
    "foreign seal on a text": (
        {"text": "a", "thoughtSignature": envelope(OPENAI)},
        [Reasoning(sealed=OPENAI), Text(text="a")],
    ),
    "foreign seal on an empty text": (
        {"text": "", "thoughtSignature": envelope(OPENAI)},
        [Reasoning(sealed=OPENAI)],
    ),
    "call": (
        {"functionCall": {"id": "k1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "c2lnbmVk"},
        [ToolCall(id="k1", name="f", args='{"a":1}', sealed=OWN)],
    ),
    "call in snake case": (
        {"function_call": {"id": "k1", "name": "f"}, "thought_signature": "c2lnbmVk"},
        [ToolCall(id="k1", name="f", args="{}", sealed=OWN)],
    ),
    "call with a foreign seal": (
        {"functionCall": {"id": "k1", "name": "f"}, "thoughtSignature": envelope(REDACTED)},
        [Reasoning(sealed=REDACTED), ToolCall(id="k1", name="f", args="{}")],
    ),
    "call with its own seal in an envelope": (
        {"functionCall": {"id": "k1", "name": "f"}, "thoughtSignature": envelope(OWN)},
        [ToolCall(id="k1", name="f", args="{}", sealed=OWN)],
    ),
    "call with a stand-in for a signature": (
        {
            "functionCall": {"id": "k1", "name": "f"},
            "thoughtSignature": "skip_thought_signature_validator",
        },
        [ToolCall(id="k1", name="f", args="{}")],
    ),
    "arguments that were no JSON": (
        {"functionCall": {"id": "k1", "name": "f", "args": {"_invalid_json": '{"a":'}}},
        [ToolCall(id="k1", name="f", args='{"a":')],
    ),
    "image": (
        {"inlineData": {"mimeType": "image/jpg", "data": PIXEL}},
        [Media(kind="image", source=Base64(PIXEL), mime="image/jpeg")],
    ),
    "image in snake case, no mime": (
        {"inline_data": {"data": PIXEL.rstrip("=")}},
        [Media(kind="image", source=Base64(PIXEL), mime="image/png")],
    ),
    "image of low resolution": (
        {
            "inlineData": {"mimeType": "image/png", "data": PIXEL},
            "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"},
        },
        [Media(kind="image", source=Base64(PIXEL), mime="image/png", detail="low")],
    ),
    "plain text": (
        {"inlineData": {"mimeType": "text/plain", "data": base64.b64encode(b"notes").decode()}},
        [Media(kind="document", source=PlainText("notes"), mime="text/plain")],
    ),
    "film": (
        {"fileData": {"fileUri": "https://youtu.be/x"}, "videoMetadata": {"startOffset": "1.50s"}},
        [
            Media(
                kind="video",
                source=Url("https://youtu.be/x"),
                extra='{"videoMetadata":{"startOffset":"1.50s"}}',
            )
        ],
    ),
    "uploaded file": (
        {
            "file_data": {
                "file_uri": "https://generativelanguage.googleapis.com/v1beta/files/x",
                "mime_type": "application/pdf",
            }
        },
        [
            Media(
                kind="document",
                source=FileId("google", "https://generativelanguage.googleapis.com/v1beta/files/x"),
                mime="application/pdf",
            )
        ],
    ),
    "code": (
        {"executableCode": {"language": "PYTHON", "code": "1+1"}},
        [
            Hosted(
                vendor="google",
                type="executableCode",
                raw='{"executableCode":{"language":"PYTHON","code":"1+1"}}',
                phase="call",
                text="\n```python\n1+1\n```\n",
            )
        ],
    ),
    "unknown": (
        {"audioTranscription": {"text": "x"}},
        [
            Opaque(
                dialect=Dialect.GEMINI,
                type="audioTranscription",
                raw='{"audioTranscription":{"text":"x"}}',
            )
        ],
    ),
}


@pytest.mark.parametrize(("part", "expected"), PARTS.values(), ids=PARTS)
def test_parts_of_history(part: dict[str, Any], expected: list[Part]) -> None:
    assert list(model_parts(part)) == expected


def test_arguments_and_results_keep_their_spelling() -> None:
    body = (
        b'{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":'
        b'{ "n": 18446744073709551615, "x": 1.50 }}}]},'
        b'{"parts":[{"functionResponse":{"name":"f","response":{ "r": [1e3, 2.0] }}}]}]}'
    )
    call, result = (turn.parts[0] for turn in read_request(body, model="m").turns)
    assert isinstance(call, ToolCall) and call.args == '{"n":18446744073709551615,"x":1.50}'
    assert isinstance(result, ToolResult) and result.raw == '{"r":[1e3,2.0]}'
    assert result.call_id == call.id == ids.gemini_call_id(0, 0, "f")


RESULTS: list[tuple[Any, tuple[str | None, bool, str | None]]] = [
    ({"output": "sun"}, ("sun", False, None)),
    ({"error": "no such city"}, ("no such city", True, None)),
    ({"output": "sun", "more": 1}, (None, False, '{"output":"sun","more":1}')),
    ({"output": {"sky": "blue"}}, (None, False, '{"output":{"sky":"blue"}}')),
    ("sun", ("sun", False, None)),
    (None, (None, False, None)),
]


@pytest.mark.parametrize(("response", "expected"), RESULTS)
def test_results_that_are_but_text(response: Any, expected: tuple[str | None, bool, str | None]) -> None:
    told = {"functionResponse": {"id": "k1", "name": "f", "response": response}}
    (result,) = model_parts(told)
    assert isinstance(result, ToolResult)
    text, is_error, raw = expected
    assert result.parts == (() if text is None else (Text(text=text),))
    assert (result.is_error, result.raw, result.call_id, result.name) == (is_error, raw, "k1", "f")


def test_results_are_the_users_in_whosever_content_they_stand() -> None:
    told = {"functionResponse": {"id": "k1", "name": "f", "response": {}}}
    parts = [{"text": "before"}, told, told, {"text": "after"}]
    body = json.dumps(
        {"contents": [{"role": "model", "parts": parts}, {"role": "user", "parts": [told]}]}
    ).encode()
    turns = read_request(body, model="m").turns
    assert [(turn.role, len(turn.parts)) for turn in turns] == [
        (Role.ASSISTANT, 1),
        (Role.USER, 2),
        (Role.ASSISTANT, 1),
        (Role.USER, 1),
    ]


def test_media_of_results() -> None:
    told = {
        "functionResponse": {
            "name": "f",
            "response": {"a": 1},
            "parts": [{"inlineData": {"mimeType": "image/png", "data": PIXEL}}, {"text": "x"}],
        }
    }
    (result,) = model_parts(told)
    assert isinstance(result, ToolResult)
    assert result.parts == (Media(kind="image", source=Base64(PIXEL), mime="image/png"),)


def test_results_without_ids_answer_open_calls_of_their_name_in_order() -> None:
    def call(name: str, **more: str) -> dict[str, Any]:
        return {"functionCall": {"name": name, **more}}

    def result(name: str, **more: str) -> dict[str, Any]:
        return {"functionResponse": {"name": name, "response": {}, **more}}

    asked = read(
        {
            "contents": [
                {"role": "model", "parts": [call("f"), call("g"), call("f"), call("h", id="own")]},
                {"parts": [result("g"), result("f"), result("f"), result("h", id="own")]},
                {"role": "model", "parts": [call("f")]},
                {"parts": [result("f"), result("f")]},
            ]
        }
    )
    made = [
        [getattr(part, "call_id", getattr(part, "id", "")) for part in turn.parts] for turn in asked.turns
    ]
    f, g, again, h = made[0]
    assert len({f, g, again, h}) == 4 and h == "own"
    assert made[1] == [g, f, again, h]
    assert made[2] == [ids.gemini_call_id(1, 0, "f")]
    assert made[3] == [*made[2], ""]


def test_turns_of_the_model_in_a_row_leave_their_calls_open_and_a_new_id_may_answer() -> None:
    call = {"functionCall": {"name": "f"}}
    answer = {"functionResponse": {"name": "f", "id": "new", "response": {}}}
    contents = [{"role": "model", "parts": [call]}, {"role": "model", "parts": []}, {"parts": [answer]}]
    called, _, answered = read({"contents": contents}).turns
    (part,), (result,) = called.parts, answered.parts
    assert isinstance(part, ToolCall) and isinstance(result, ToolResult) and part.id == result.call_id


def test_pieces_of_a_hosts_own_reasoning_are_one() -> None:
    assert model_parts(
        {"text": "I ", "thought": True},
        {"text": "think", "thought": True, "thoughtSignature": envelope(HOST)},
    ) == (Reasoning(text="I think", sealed=HOST),)


def test_pieces_of_a_stream_in_history_are_one_part() -> None:
    assert model_parts(
        {"text": "I ", "thought": True},
        {"text": "think", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": envelope(CLAUDE)},
        {"text": "Hel"},
        {"text": "lo"},
        {"text": "", "thoughtSignature": "c2lnbmVk"},
        {"text": "!"},
    ) == (
        Reasoning(summary=("I think",), sealed=CLAUDE),
        Text(text="Hello", sealed=OWN),
        Text(text="!"),
    )


def test_redacted_thoughts_stand_alone() -> None:
    parts = model_parts(
        {"text": "I think", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": envelope(REDACTED)},
    )
    assert parts == (Reasoning(summary=("I think",)), Reasoning(sealed=REDACTED))


def test_parts_of_a_users_turn_stay_apart() -> None:
    asked = read({"contents": [{"parts": [{"text": "a"}, {"text": "b"}]}]})
    assert asked.turns[0].parts == (Text(text="a"), Text(text="b"))


def test_settings() -> None:
    config = {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "candidateCount": 2,
        "maxOutputTokens": 100,
        "stopSequences": ["a", "b"],
        "responseLogprobs": True,
        "logprobs": 3,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "seed": 7,
    }
    assert hello(generationConfig=config).settings == Settings(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        n=2,
        max_tokens=100,
        stop=("a", "b"),
        logprobs=True,
        top_logprobs=3,
        presence=0.1,
        frequency=0.2,
        seed=7,
    )


THINKING: list[tuple[dict[str, Any], Thinking]] = [
    ({"thinkingBudget": 0}, Thinking(budget_tokens=0)),
    ({"thinkingBudget": -1}, Thinking(budget_tokens="dynamic")),
    ({"thinking_budget": "512"}, Thinking(budget_tokens=512)),
    ({"thinkingLevel": "high"}, Thinking(effort="high")),
    ({"thinkingLevel": "XHIGH", "includeThoughts": True}, Thinking(effort="xhigh", show="summary")),
    ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED", "include_thoughts": False}, Thinking(show="none")),
]


@pytest.mark.parametrize(("config", "expected"), THINKING)
def test_thinking(config: dict[str, Any], expected: Thinking) -> None:
    assert hello(generationConfig={"thinkingConfig": config}).thinking == expected


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
OLDER = {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}, "propertyOrdering": ["n"]}
OUTPUTS: list[tuple[dict[str, Any], Output | None]] = [
    ({"responseMimeType": "text/plain"}, None),
    ({"responseMimeType": "application/json"}, Output(form="json")),
    (
        {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
        Output(form="schema", schema=SCHEMA),
    ),
    (
        {"response_mime_type": "application/json", "response_schema": OLDER},
        Output(form="schema", schema=SCHEMA),
    ),
    ({"_responseJsonSchema": SCHEMA}, Output(form="schema", schema=SCHEMA)),
    (
        {"responseFormat": {"text": {"mimeType": "application/json", "jsonSchema": SCHEMA}}},
        Output(form="schema", schema=SCHEMA),
    ),
    ({"responseFormat": [{"text": {"mimeType": "application/json"}}, {"image": {}}]}, Output(form="json")),
    (
        {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a"]}},
        Output(form="schema", schema={"type": "string", "enum": ["a"]}, is_enum=True),
    ),
]


@pytest.mark.parametrize(("config", "expected"), OUTPUTS)
def test_output(config: dict[str, Any], expected: Output | None) -> None:
    assert hello(generationConfig=config).output == expected


def test_tools() -> None:
    tools = [
        {
            "functionDeclarations": [
                {"name": "f", "description": "d", "parameters": OLDER},
                {"name": "g", "parametersJsonSchema": SCHEMA, "behavior": "BLOCKING"},
                {"name": "h"},
            ],
            "google_search": {},
        },
        {"fileSearch": {"fileSearchStoreNames": ["s"]}},
    ]
    assert hello(tools=tools).tools == (
        Tool(name="f", description="d", schema=SCHEMA),
        Tool(name="g", schema=SCHEMA, extra={"behavior": "BLOCKING"}),
        Tool(name="h"),
        HostedTool(vendor="google", type="googleSearch", raw='{"googleSearch":{}}', generic="web_search"),
        HostedTool(
            vendor="google",
            type="fileSearch",
            raw='{"fileSearch":{"fileSearchStoreNames":["s"]}}',
            generic="file_search",
        ),
    )


CHOICES: list[tuple[dict[str, Any], ToolChoice | None]] = [
    ({"mode": "AUTO"}, ToolChoice(mode="auto")),
    ({"mode": "none"}, ToolChoice(mode="none")),
    ({"mode": "ANY"}, ToolChoice(mode="any")),
    ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ToolChoice(mode="one", name="f")),
    ({"mode": "ANY", "allowed_function_names": ["f", "g"]}, ToolChoice(mode="any", allowed=("f", "g"))),
    ({"mode": "VALIDATED"}, ToolChoice(mode="auto", is_validated=True)),
    ({"mode": 1}, ToolChoice(mode="auto")),
    ({"mode": 2}, ToolChoice(mode="any")),
    ({"mode": 3}, ToolChoice(mode="none")),
    ({"mode": 9}, None),
    (
        {"mode": "VALIDATED", "allowedFunctionNames": ["f"]},
        ToolChoice(mode="auto", is_validated=True, allowed=("f",)),
    ),
    ({"mode": "MODE_UNSPECIFIED"}, None),
]


@pytest.mark.parametrize(("calling", "expected"), CHOICES)
def test_tool_choice(calling: dict[str, Any], expected: ToolChoice | None) -> None:
    assert hello(toolConfig={"functionCallingConfig": calling}).tool_choice == expected


def test_what_no_other_dialect_can_say() -> None:
    asked = hello(
        safetySettings=[{"category": "x"}],
        labels={"a": "b"},
        store=True,
        novelty=1,
        serviceTier="standard",
        generationConfig={"mediaResolution": "MEDIA_RESOLUTION_LOW", "somethingNew": 1},
        toolConfig={"includeServerSideToolInvocations": True, "retrievalConfig": {"languageCode": "en"}},
    )
    assert sorted(asked.lost) == [
        ("media-resolution", "generationConfig.mediaResolution"),
        ("metadata", "labels"),
        ("retrieval-config", "toolConfig.retrievalConfig"),
        ("safety-settings", "safetySettings"),
        ("unknown-field", "generationConfig.somethingNew"),
        ("unknown-field", "novelty"),
    ]
    assert {what for what, _ in asked.noted} == {"store", "server-side-tool-invocations"}
    assert (asked.refused, asked.identity.service_tier) == ((), "default")


REFUSED: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"cachedContent": "cachedContents/x"}, ("cached_content_not_portable", "cachedContent")),
    ({"continuationToken": "x"}, ("stateful_not_supported", "continuationToken")),
    (
        {"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}},
        ("unsupported_by_target", "generationConfig.responseModalities"),
    ),
    ({"generationConfig": {"speechConfig": {}}}, ("unsupported_by_target", "generationConfig.speechConfig")),
    ({"tools": [{"timeMachine": {}}]}, ("unsupported_by_target", "tools[0].timeMachine")),
]


@pytest.mark.parametrize(("more", "expected"), REFUSED)
def test_what_may_not_be_left_out(more: dict[str, Any], expected: tuple[str, str]) -> None:
    assert [(code, at) for code, at, _ in hello(**more).refused] == [expected]


def test_text_alone_is_no_other_output() -> None:
    assert hello(generationConfig={"responseModalities": ["TEXT"]}).refused == ()


UNREADABLE: list[tuple[bytes, str | None]] = [
    (b"{", None),
    (b"[]", None),
    (b"{}", "contents"),
    (b'{"contents":[1]}', "contents[0]"),
    (b'{"contents":[{"role":"wizard","parts":[]}]}', "contents[0].role"),
    (b'{"contents":[{"parts":[{"text":5}]}]}', "contents[0].parts[0].text"),
    (b'{"contents":[{"parts":[{"functionCall":{}}]}]}', "contents[0].parts[0].functionCall.name"),
    (b'{"contents":[],"tools":[{"functionDeclarations":[{}]}]}', "tools[0].functionDeclarations[0].name"),
    (
        b'{"contents":[],"generationConfig":{"thinkingConfig":{"thinkingBudget":"x"}}}',
        "generationConfig.thinkingConfig.thinkingBudget",
    ),
]


@pytest.mark.parametrize(("body", "at"), UNREADABLE)
def test_what_cannot_be_read_is_refused_at_its_place(body: bytes, at: str | None) -> None:
    with pytest.raises(Refused) as caught:
        read_request(body, model="m")
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_request", at)


def test_a_model_is_named_beside_the_body_or_within_it() -> None:
    assert read_request(b'{"contents":"a","model":"models/m"}').model == "m"
    with pytest.raises(Refused) as caught:
        read_request(b'{"contents":"a"}')
    assert caught.value.param == "model"


def test_broken_base64_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        model_parts({"inlineData": {"mimeType": "image/png", "data": "%%%"}})
    assert caught.value.code == "invalid_base64"


def test_depth_is_no_danger() -> None:
    deep = b"[" * 3_000 + b"]" * 3_000
    asked = read_request(
        b'{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{"a":%b}}}]}]}' % deep,
        model="m",
    )
    (call,) = asked.turns[0].parts
    assert isinstance(call, ToolCall) and len(call.args) == len(deep) + len('{"a":}')


JUNK: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["text", "parts", "role", "functionCall", "functionResponse", "inlineData", "name", "thought"]
            )
            | st.sampled_from(["thoughtSignature", "args", "response", "mode", "functionDeclarations"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.fixed_dictionaries(
        {"contents": JUNK}, optional={"systemInstruction": JUNK, "tools": JUNK, "toolConfig": JUNK}
    )
)
def test_whatever_comes_is_read_or_refused(body: dict[str, Any]) -> None:
    try:
        read(body)
    except Refused as refused:
        assert refused.status == 400
