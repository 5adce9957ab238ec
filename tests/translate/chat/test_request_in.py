"""Requests of chat clients are read into turns; each host's words for one thing mean that thing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate import ids
from llmitm.translate.chat.request_in import read_request
from llmitm.translate.neutral import (
    Base64,
    Cache,
    FileId,
    HostedTool,
    Media,
    Opaque,
    Output,
    Part,
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

PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjQ="
CLAUDE = Sealed(vendor="anthropic", kind="thinking", data="seal")
REDACTED = Sealed(vendor="anthropic", kind="redacted", data="blob")


def google(ref: str | None = None) -> Sealed:
    return Sealed(vendor="google", kind="part", data="c2ln", ref=ref)


def asked(**members: Any) -> Request:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **members}
    return read_request(json.dumps(body).encode())


def turns(*messages: Any) -> tuple[Turn, ...]:
    return asked(messages=list(messages)).turns


def user(*parts: Part) -> Turn:
    return Turn(role=Role.USER, parts=parts)


def model(*parts: Part) -> Turn:
    return Turn(role=Role.ASSISTANT, parts=parts)


def call(call_id: str = "a", **more: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}, **more}


CALL = ToolCall(id="a", name="f", args="{}")
MARK = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
HOUR = Cache(ttl="1h")

PARTS: dict[str, tuple[Any, Part]] = {
    "a bare string": ("a", Text(text="a")),
    "words of the other dialect": ({"type": "input_text", "text": "a"}, Text(text="a")),
    "a refusal": ({"type": "refusal", "refusal": "no"}, Refusal(text="no")),
    "Anthropic's mark": ({"type": "text", "text": "a", **MARK}, Text(text="a", cache=HOUR)),
    "OpenAI's mark": (
        {"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
        Text(text="a", cache=Cache()),
    ),
    "a picture's URL, bare": (
        {"type": "image_url", "image_url": "https://h/a.png"},
        Media(kind="image", source=Url("https://h/a.png")),
    ),
    "a picture whose kind is seen": (
        {"type": "image_url", "image_url": {"url": f"data:;base64,{PNG}", "detail": "low"}},
        Media(kind="image", source=Base64(PNG), mime="image/png", detail="low"),
    ),
    "sound": (
        {"type": "input_audio", "input_audio": {"data": "AAAA"}},
        Media(kind="audio", source=Base64("AAAA"), mime="audio/wav"),
    ),
    "a file by its id": (
        {"type": "file", "file": {"file_id": "file-1"}},
        Media(kind="document", source=FileId("openai", "file-1")),
    ),
    "a file by its data": (
        {"type": "file", "file": {"file_data": f"data:text/csv;base64,{PDF}", "filename": "a.csv"}},
        Media(kind="document", source=Base64(PDF), mime="text/csv", filename="a.csv"),
    ),
    "a file whose kind is seen": (
        {"type": "file", "file": {"file_data": PDF}},
        Media(kind="document", source=Base64(PDF), mime="application/pdf"),
    ),
    "a film's URL": (
        {"type": "video_url", "video_url": {"url": "https://h/a"}},
        Media(kind="video", source=Url("https://h/a"), mime="video/mp4"),
    ),
    "a document's URL, bare": (
        {"type": "document_url", "document_url": "https://h/a.csv", "document_name": "a"},
        Media(kind="document", source=Url("https://h/a.csv"), mime="text/csv", filename="a"),
    ),
    "a film as data": (
        {"type": "video_url", "video_url": {"url": "data:video/webm;base64,AAAA"}},
        Media(kind="video", source=Base64("AAAA"), mime="video/webm"),
    ),
    "an unknown part": ({"type": "hologram"}, Opaque(dialect=Dialect.OPENAI_CHAT, type="hologram", raw="")),
    "Anthropic's picture": (
        {"type": "image", "source": {"type": "base64", "data": PNG}},
        Media(kind="image", source=Base64(PNG), mime="image/png"),
    ),
    "Anthropic's call": (
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1.50}},
        ToolCall(id="a", name="f", args='{"x":1.5}'),
    ),
    "Anthropic's result": (
        {"type": "tool_result", "tool_use_id": "a", "content": "1", "is_error": True},
        ToolResult(call_id="a", parts=(Text(text="1"),), is_error=True),
    ),
    "Anthropic's thinking": (
        {"type": "thinking", "thinking": "hm", "signature": "seal"},
        Reasoning(summary=("hm",), sealed=CLAUDE),
    ),
    "Anthropic's redacted thinking": (
        {"type": "redacted_thinking", "data": "blob"},
        Reasoning(sealed=REDACTED),
    ),
}


@pytest.mark.parametrize(("content", "part"), PARTS.values(), ids=PARTS)
def test_a_part_is_read(content: Any, part: Part) -> None:
    (turn,) = turns({"role": "user", "content": [content]})
    if isinstance(part, Opaque):
        (read,) = turn.parts
        assert isinstance(read, Opaque) and (read.type, json.loads(read.raw)) == (part.type, content)
    else:
        assert turn.parts == (part,)


TURNS: dict[str, tuple[list[Any], tuple[Turn, ...]]] = {
    "no content": ([{"role": "user"}], (user(),)),
    "a mark on the message is on its last part": (
        [{"role": "user", "content": ["a", "b"], **MARK}],
        (user(Text(text="a"), Text(text="b", cache=HOUR)),),
    ),
    "a mark on a message without parts is on none": (
        [{"role": "assistant", "tool_calls": [call()], **MARK}],
        (model(CALL),),
    ),
    "results and the words after them are one turn": (
        [
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "tool", "tool_call_id": "b", "name": "f", "content": [{"type": "text", "text": "2"}]},
            {"role": "user", "content": "so?"},
            {"role": "user", "content": "well?"},
        ],
        (
            user(
                ToolResult(call_id="a", parts=(Text(text="1"),)),
                ToolResult(call_id="b", name="f", parts=(Text(text="2"),)),
                Text(text="so?"),
            ),
            user(Text(text="well?")),
        ),
    ),
    "a mark within a result is the result's": (
        [{"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "1", **MARK}]}],
        (user(ToolResult(call_id="a", parts=(Text(text="1"),), cache=HOUR)),),
    ),
    "a result's own mark": (
        [
            {
                "role": "tool",
                "tool_call_id": "a",
                "content": ["1", {"type": "image_url", "image_url": "u"}],
                **MARK,
            }
        ],
        (
            user(
                ToolResult(
                    call_id="a",
                    parts=(Text(text="1"), Media(kind="image", source=Url("u"))),
                    cache=HOUR,
                )
            ),
        ),
    ),
    "a result is of the kind of its call": (
        [
            {
                "role": "assistant",
                "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "p", "input": "x"}}],
            },
            {"role": "tool", "tool_call_id": "a", "content": None},
        ],
        (
            model(ToolCall(id="a", name="p", args="x", kind="custom")),
            user(ToolResult(call_id="a", kind="custom")),
        ),
    ),
    "old function calls are answered in order": (
        [
            {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "1"},
            {"role": "function", "name": "g", "content": "2"},
        ],
        (
            model(ToolCall(id=ids.legacy_call_id(0, "f"), name="f", args="{}")),
            user(
                ToolResult(call_id=ids.legacy_call_id(0, "f"), name="f", parts=(Text(text="1"),)),
                ToolResult(call_id=ids.legacy_call_id(0, ""), name="g", parts=(Text(text="2"),)),
            ),
        ),
    ),
    "an old function call without a name is none": (
        [{"role": "assistant", "content": "a", "function_call": {"name": "", "arguments": ""}}],
        (model(Text(text="a")),),
    ),
    "system and developer": (
        [{"role": "developer", "content": "a", "name": "n"}, {"role": "system", "content": "b"}],
        (
            Turn(role=Role.DEVELOPER, parts=(Text(text="a"),), name="n"),
            Turn(role=Role.SYSTEM, parts=(Text(text="b"),)),
        ),
    ),
    "arguments as an object": (
        [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {}}}]}],
        (model(CALL),),
    ),
    "a refusal beside the content": (
        [{"role": "assistant", "content": "a", "refusal": "no"}],
        (model(Text(text="a"), Refusal(text="no")),),
    ),
    "reasoning as text": (
        [{"role": "assistant", "content": "a", "reasoning": "hm"}],
        (model(Reasoning(text="hm"), Text(text="a")),),
    ),
    "thinking blocks": (
        [
            {
                "role": "assistant",
                "reasoning_content": "hm",
                "thinking_blocks": [
                    {"type": "thinking", "thinking": "hm", "signature": "seal"},
                    {"type": "redacted_thinking", "data": "blob"},
                ],
            }
        ],
        (model(Reasoning(summary=("hm",), sealed=CLAUDE), Reasoning(sealed=REDACTED)),),
    ),
    "thinking blocks and the same in details": (
        [
            {
                "role": "assistant",
                "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "seal"}],
                "reasoning_details": [
                    {
                        "type": "reasoning.text",
                        "text": "hm",
                        "signature": "seal",
                        "format": "anthropic-claude-v1",
                    }
                ],
            }
        ],
        (model(Reasoning(summary=("hm",), sealed=CLAUDE)),),
    ),
}

ENCRYPTED = {"type": "reasoning.encrypted", "data": "c2ln", "format": "google-gemini-v1"}
SEALS: dict[str, tuple[dict[str, Any], tuple[Part, ...]]] = {
    "Google's, in extra content": (
        {"tool_calls": [call(extra_content={"google": {"thought_signature": "c2ln"}})]},
        (ToolCall(id="a", name="f", args="{}", sealed=google("a")),),
    ),
    "Google's, in a gateway's fields": (
        {"tool_calls": [call(provider_specific_fields={"thought_signature": "c2ln"})]},
        (ToolCall(id="a", name="f", args="{}", sealed=google("a")),),
    ),
    "Google's, in the call's id": (
        {"tool_calls": [call("a__thought__c2ln")]},
        (ToolCall(id="a__thought__c2ln", name="f", args="{}", sealed=google("a__thought__c2ln")),),
    ),
    "Google's, in details of the call": (
        {"tool_calls": [call()], "reasoning_details": [{**ENCRYPTED, "id": "a"}]},
        (ToolCall(id="a", name="f", args="{}", sealed=google("a")),),
    ),
    "Google's, of no call: the last text's": (
        {"content": ["a", "b"], "tool_calls": [call()], "reasoning_details": [ENCRYPTED]},
        (Text(text="a"), Text(text="b", sealed=google()), CALL),
    ),
    "Google's, of no call and no text: the first call's": (
        {"tool_calls": [call(), call("b")], "reasoning_details": [ENCRYPTED]},
        (ToolCall(id="a", name="f", args="{}", sealed=google()), ToolCall(id="b", name="f", args="{}")),
    ),
    "Google's, of nothing": ({"reasoning_details": [ENCRYPTED]}, ()),
    "OpenAI's, with its summaries": (
        {
            "reasoning_details": [
                {"type": "reasoning.summary", "summary": "a", "id": "rs_1", "format": "openai-responses-v1"},
                {"type": "reasoning.summary", "summary": "b", "id": "rs_1", "format": "openai-responses-v1"},
                {"type": "reasoning.encrypted", "data": "x", "id": "rs_1", "format": "openai-responses-v1"},
            ]
        },
        (
            Reasoning(
                summary=("a", "b"),
                sealed=Sealed(vendor="openai", kind="encrypted", data="x", item_id="rs_1"),
            ),
        ),
    ),
    "OpenAI's, before its summary": (
        {
            "reasoning_details": [
                {"type": "reasoning.encrypted", "data": "x", "id": "rs_1", "format": "openai-responses-v1"},
                {"type": "reasoning.summary", "summary": "a", "id": "rs_1", "format": "openai-responses-v1"},
            ]
        },
        (
            Reasoning(
                summary=("a",), sealed=Sealed(vendor="openai", kind="encrypted", data="x", item_id="rs_1")
            ),
        ),
    ),
    "a seal without an id, then its summary": (
        {
            "reasoning_details": [
                {"type": "reasoning.encrypted", "data": "x", "format": "xai-responses-v1"},
                {"type": "reasoning.summary", "summary": "a"},
            ]
        },
        (Reasoning(sealed=Sealed(vendor="xai", kind="encrypted", data="x")), Reasoning(summary=("a",))),
    ),
    "what says nothing": (
        {"reasoning_details": [{"type": "reasoning.text"}, {"type": "reasoning.summary"}, {"type": "x"}, 1]},
        (),
    ),
}


@pytest.mark.parametrize(("messages", "expected"), TURNS.values(), ids=TURNS)
def test_messages_are_turns(messages: list[Any], expected: tuple[Turn, ...]) -> None:
    assert turns(*messages) == expected


@pytest.mark.parametrize(("message", "parts"), SEALS.values(), ids=SEALS)
def test_seals_are_found_wherever_clients_keep_them(message: dict[str, Any], parts: tuple[Part, ...]) -> None:
    assert turns({"role": "assistant", **message}) == (model(*parts),)


TOOLS: dict[str, tuple[dict[str, Any], tuple[Tool | HostedTool, ...]]] = {
    "a function without a type": (
        {"tools": [{"function": {"name": "f", "parameters": {}, "x": 1, "y": None}, **MARK}]},
        (Tool(name="f", schema={}, extra={"x": 1}, cache=HOUR),),
    ),
    "old functions": ({"functions": [{"name": "f", "strict": True}]}, (Tool(name="f", strict=True),)),
    "old functions beside tools": ({"functions": [{"name": "f"}], "tools": []}, ()),
    "a custom tool": (
        {"tools": [{"type": "custom", "custom": {"name": "p", "format": {"type": "text"}}}]},
        (Tool(name="p", kind="custom", format={"type": "text"}),),
    ),
    "a custom tool's grammar lies flat": (
        {
            "tools": [
                {
                    "type": "custom",
                    "custom": {"name": "p", "format": {"type": "grammar", "grammar": {"syntax": "lark"}}},
                }
            ]
        },
        (Tool(name="p", kind="custom", format={"type": "grammar", "syntax": "lark"}),),
    ),
    "a host's search": (
        {"tools": [{"type": "openrouter:web_search"}]},
        (
            HostedTool(
                vendor="openrouter",
                type="openrouter:web_search",
                raw='{"type":"openrouter:web_search"}',
                generic="web_search",
            ),
        ),
    ),
    "a host's other tool": (
        {"tools": [{"type": "openrouter:dice"}]},
        (HostedTool(vendor="openrouter", type="openrouter:dice", raw='{"type":"openrouter:dice"}'),),
    ),
    "OpenAI's search, somewhere": (
        {"web_search_options": {"user_location": {"type": "approximate", "approximate": {"city": "Oslo"}}}},
        (
            HostedTool(
                vendor="openai",
                type="web_search",
                raw='{"type":"web_search","user_location":{"type":"approximate","city":"Oslo"}}',
                generic="web_search",
            ),
        ),
    ),
    "OpenAI's search": (
        {"web_search_options": {"search_context_size": "low"}},
        (
            HostedTool(
                vendor="openai",
                type="web_search",
                raw='{"type":"web_search","search_context_size":"low"}',
                generic="web_search",
            ),
        ),
    ),
}


@pytest.mark.parametrize(("members", "tools"), TOOLS.values(), ids=TOOLS)
def test_tools_are_read(members: dict[str, Any], tools: tuple[Tool | HostedTool, ...]) -> None:
    assert asked(**members).tools == tools


CHOICES: dict[str, tuple[dict[str, Any], ToolChoice | None]] = {
    "none is said": ({}, None),
    "parallel alone": ({"parallel_tool_calls": False}, ToolChoice(parallel=False)),
    "a word": ({"tool_choice": "required"}, ToolChoice(mode="any")),
    "a word as an object": ({"tool_choice": {"type": "any"}}, ToolChoice(mode="any")),
    "a function": (
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        ToolChoice(mode="one", name="f"),
    ),
    "a function without a type": (
        {"tool_choice": {"function": {"name": "f"}}},
        ToolChoice(mode="one", name="f"),
    ),
    "a custom tool": (
        {"tool_choice": {"type": "custom", "custom": {"name": "p"}}},
        ToolChoice(mode="one", name="p", kind="custom"),
    ),
    "Anthropic's words": ({"tool_choice": {"type": "tool", "name": "f"}}, ToolChoice(mode="one", name="f")),
    "some of the tools": (
        {
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"function": {"name": "f"}}, {"custom": {"name": "p"}}, {"function": 1}, 2],
                },
            }
        },
        ToolChoice(mode="any", allowed=("f", "p")),
    ),
    "the old word": ({"function_call": "none"}, ToolChoice(mode="none")),
    "the old choice": ({"function_call": {"name": "f"}}, ToolChoice(mode="one", name="f")),
}


@pytest.mark.parametrize(("members", "choice"), CHOICES.values(), ids=CHOICES)
def test_the_choice_of_a_tool(members: dict[str, Any], choice: ToolChoice | None) -> None:
    assert asked(**members).tool_choice == choice


THINKING: dict[str, tuple[dict[str, Any], Thinking | None]] = {
    "nothing is said": ({"reasoning": None}, None),
    "OpenAI's effort": ({"reasoning_effort": "low"}, Thinking(effort="low")),
    "OpenRouter's": (
        {"reasoning": {"effort": "high", "max_tokens": 9}},
        Thinking(effort="high", budget_tokens=9, show="summary"),
    ),
    "OpenRouter's, off": ({"reasoning": {"enabled": False}}, Thinking(mode="off", show="summary")),
    "OpenRouter's, hidden": ({"reasoning": {"exclude": True}}, Thinking(show="none")),
    "the older wish to see it": ({"include_reasoning": True}, Thinking(show="summary")),
    "Anthropic's": (
        {"thinking": {"type": "enabled", "budget_tokens": 5}},
        Thinking(mode="on", budget_tokens=5),
    ),
    "Anthropic's, adaptive": ({"thinking": {"type": "adaptive"}}, Thinking(mode="adaptive")),
    "Anthropic's, off": ({"thinking": {"type": "disabled"}}, Thinking(mode="off")),
    "Qwen's": ({"enable_thinking": True, "thinking_budget": 7}, Thinking(mode="on", budget_tokens=7)),
    "Qwen's, off": ({"enable_thinking": False}, Thinking(mode="off")),
    "Google's": (
        {"google": {"thinking_config": {"thinking_level": "LOW", "include_thoughts": True}}},
        Thinking(effort="low", show="summary"),
    ),
    "Google's, as the official client sends it": (
        {"extra_body": {"google": {"thinking_config": {"thinkingBudget": -1}}}},
        Thinking(budget_tokens="dynamic"),
    ),
    "a budget that is none": ({"thinking_budget": True}, None),
}


@pytest.mark.parametrize(("members", "thinking"), THINKING.values(), ids=THINKING)
def test_how_much_to_think(members: dict[str, Any], thinking: Thinking | None) -> None:
    assert asked(**members).thinking == thinking


OUTPUTS: dict[str, tuple[Any, Output | None]] = {
    "nothing is said": (None, None),
    "text": ({"type": "text"}, Output(form="text")),
    "JSON": ({"type": "json_object"}, Output(form="json")),
    "a schema": (
        {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}},
        Output(form="schema", name="n", schema={}, strict=True),
    ),
}


@pytest.mark.parametrize(("value", "output"), OUTPUTS.values(), ids=OUTPUTS)
def test_the_form_of_the_answer(value: Any, output: Output | None) -> None:
    assert asked(response_format=value).output == output


@pytest.mark.parametrize(("stop", "read"), [(None, ()), ("a", ("a",)), (["a", "b"], ("a", "b"))])
def test_one_stop_stands_for_a_list_of_one(stop: Any, read: tuple[str, ...]) -> None:
    assert asked(stop=stop).settings.stop == read


def test_of_two_limits_the_newer_counts_and_the_other_is_noted() -> None:
    read = asked(max_tokens=1, max_completion_tokens=2, random_seed=3)
    assert read.settings == Settings(max_tokens=2, seed=3)
    assert read.noted == (("max_tokens", "max_tokens"),)
    assert read.paths["seed"] == "random_seed"


UNSUPPORTED = "unsupported_by_target"
LOSSES: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    "what only chat has": ({"logit_bias": {"1": 1}}, {("logit_bias", "logit_bias")}),
    "what nobody knows": ({"wish": 1}, {("unknown-field", "wish")}),
    "storing": ({"store": True}, {("store", "store")}),
    "sound beside text": (
        {"modalities": ["text", "audio"], "audio": {"voice": "v"}},
        {(UNSUPPORTED, "modalities")},
    ),
    "text alone": ({"modalities": ["text"]}, set()),
    "moderation that tells": ({"moderation": {"policy": {}}}, {("moderation", "moderation")}),
    "moderation that blocks": (
        {"moderation": {"policy": {"a": {"mode": "block"}}}},
        {(UNSUPPORTED, "moderation")},
    ),
    "the stream's padding": (
        {"stream_options": {"include_obfuscation": False}},
        {("include_obfuscation", "stream_options.include_obfuscation")},
    ),
}


@pytest.mark.parametrize(("members", "losses"), LOSSES.values(), ids=LOSSES)
def test_what_no_other_dialect_can_say_is_named(
    members: dict[str, Any], losses: set[tuple[str, str]]
) -> None:
    read = asked(**members)
    named = (*read.lost, *read.noted, *((code, place) for code, place, _ in read.refused))
    assert set(named) == losses


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no messages": ({"messages": []}, "messages"),
    "no role": ({"messages": [{"content": "a"}]}, "messages[0].role"),
    "content of no kind": ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
    "a result of no call": ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].tool_call_id"),
    "a picture of no kind": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": "data:;base64,AAAA"}]}
            ]
        },
        "messages[0].content[0].image_url.url",
    ),
    "no tools": ({"tools": {}}, "tools"),
    "a tool of no type": ({"tools": [{}]}, "tools[0]"),
    "a tool of an unknown type": ({"tools": [{"type": "x"}]}, "tools[0]"),
    "a tool without a name": ({"tools": [{"function": {"name": ""}}]}, "tools[0].function.name"),
    "parameters that are no schema": (
        {"tools": [{"function": {"name": "f", "parameters": []}}]},
        "tools[0].function.parameters",
    ),
    "a choice of no kind": ({"tool_choice": 1}, "tool_choice"),
    "an old choice of no kind": ({"function_call": {"name": 1}}, "function_call"),
    "a form that is no object": ({"response_format": "text"}, "response_format"),
    "a form of no kind": ({"response_format": {"type": "x"}}, "response_format.type"),
    "stops of no kind": ({"stop": 1}, "stop"),
}


@pytest.mark.parametrize(("members", "place"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_read_is_refused_with_its_place(members: dict[str, Any], place: str) -> None:
    with pytest.raises(Refused) as caught:
        asked(**members)
    assert (caught.value.status, caught.value.param) == (400, place)
