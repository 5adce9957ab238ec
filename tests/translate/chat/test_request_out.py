"""A request to a chat upstream is spelled as that host wants it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmitm.exchange import Dialect
from llmitm.translate.chat.request_out import write_request
from llmitm.translate.neutral import (
    Base64,
    Cache,
    FileId,
    HostedTool,
    Media,
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
from llmitm.translate.target import Model, Target

MARKS = Model(takes_cache_marks=True)
OPENAI = Target(dialect=Dialect.OPENAI_CHAT, model="gpt-x", is_openai=True)
MARKED = Target(dialect=Dialect.OPENAI_CHAT, model="gpt-x", is_openai=True, row=MARKS)
HOST = Target(dialect=Dialect.OPENAI_CHAT, model="host-x")
ROUTER = Target(dialect=Dialect.OPENAI_CHAT, model="or-x", is_openrouter=True)
CALL = ToolCall(id="a", name="f", args='{"x":1.50}')
CLAUDE = Sealed(vendor="anthropic", kind="thinking", data="seal")
OWN = Sealed(vendor="openai", kind="encrypted", data="x", item_id="rs_1")
GOOGLE = Sealed(vendor="google", kind="part", data="c2ln")


def hosts(**row: Any) -> Target:
    return Target(dialect=Dialect.OPENAI_CHAT, model="host-x", row=Model(**row))


def user(*parts: Part, name: str | None = None) -> Turn:
    return Turn(role=Role.USER, parts=parts, name=name)


def model(*parts: Part, name: str | None = None) -> Turn:
    return Turn(role=Role.ASSISTANT, parts=parts, name=name)


def system(*texts: str, cache: Cache | None = None, role: Role = Role.SYSTEM) -> Turn:
    return Turn(role=role, parts=tuple(Text(text=text, cache=cache) for text in texts))


def written(target: Target, *turns: Turn, **members: Any) -> dict[str, Any]:
    made = json.loads(write_request(Request(model="m", turns=turns, **members), target))
    assert isinstance(made, dict)
    return made


def test_the_least_request() -> None:
    request = Request(model="m", turns=(user(Text(text="hé")),))
    assert (
        write_request(request, HOST)
        == '{"model":"host-x","messages":[{"role":"user","content":"hé"}]}'.encode()
    )


PARTS: dict[str, tuple[Part, dict[str, Any]]] = {
    "a picture's URL": (
        Media(kind="image", source=Url("u"), detail="low"),
        {"type": "image_url", "image_url": {"url": "u", "detail": "low"}},
    ),
    "a picture's data": (
        Media(kind="image", source=Base64("AAAA"), mime="image/png", cache=Cache(ttl="5m")),
        {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64,AAAA"},
            "prompt_cache_breakpoint": {"mode": "explicit"},
        },
    ),
    "sound": (
        Media(kind="audio", source=Base64("AAAA"), mime="audio/vnd.wave", cache=Cache(ttl="30m")),
        {
            "type": "input_audio",
            "input_audio": {"data": "AAAA", "format": "wav"},
            "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"},
        },
    ),
    "a file of OpenAI's": (
        Media(kind="document", source=FileId("openai", "file-1")),
        {"type": "file", "file": {"file_id": "file-1"}},
    ),
    "a named document": (
        Media(kind="document", source=Base64("AAAA"), mime="text/csv", filename="a.csv"),
        {"type": "file", "file": {"file_data": "data:text/csv;base64,AAAA", "filename": "a.csv"}},
    ),
    "a document of no kind": (
        Media(kind="document", source=Base64("AAAA")),
        {"type": "file", "file": {"file_data": "data:application/octet-stream;base64,AAAA"}},
    ),
}


@pytest.mark.parametrize(("part", "expected"), PARTS.values(), ids=PARTS)
def test_a_part_of_a_user(part: Part, expected: dict[str, Any]) -> None:
    (message,) = written(MARKED, user(Text(text="a"), part, name="n"))["messages"]
    assert message == {"role": "user", "name": "n", "content": [{"type": "text", "text": "a"}, expected]}


MARKED_TEXT = {"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}
MESSAGES: dict[str, tuple[Target, tuple[Turn, ...], list[dict[str, Any]]]] = {
    "leading system turns are one, for hosts": (
        HOST,
        (system("a", "b"), system("c", role=Role.DEVELOPER)),
        [{"role": "system", "content": "a\n\nb\n\nc"}],
    ),
    "later ones stay, as the system's": (
        HOST,
        (user(Text(text="u")), system("c", role=Role.DEVELOPER)),
        [{"role": "user", "content": "u"}, {"role": "system", "content": "c"}],
    ),
    "OpenAI's keep their roles": (
        OPENAI,
        (
            system("a"),
            Turn(role=Role.DEVELOPER, parts=(Text(text="b", cache=Cache()),), name="n"),
        ),
        [{"role": "system", "content": "a"}, {"role": "developer", "name": "n", "content": "b"}],
    ),
    "a mark within the system's words": (
        MARKED,
        (system("a", cache=Cache()),),
        [{"role": "system", "content": [MARKED_TEXT]}],
    ),
    "a mark on a user's words": (
        MARKED,
        (user(Text(text="a", cache=Cache())),),
        [{"role": "user", "content": [MARKED_TEXT]}],
    ),
    "a mark for a host that takes none": (
        HOST,
        (user(Text(text="a", cache=Cache())),),
        [{"role": "user", "content": "a"}],
    ),
    "results come before the words": (
        OPENAI,
        (
            user(
                ToolResult(call_id="a", parts=(Text(text="1"), Text(text="2"))),
                ToolResult(call_id="b", raw='{"x":1}'),
                Text(text="u"),
            ),
        ),
        [
            {
                "role": "tool",
                "tool_call_id": "a",
                "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}],
            },
            {"role": "tool", "tool_call_id": "b", "content": '{"x":1}'},
            {"role": "user", "content": "u"},
        ],
    ),
    "a result's texts are one, for hosts": (
        HOST,
        (user(ToolResult(call_id="a", parts=(Text(text="1"), Text(text="2")))),),
        [{"role": "tool", "tool_call_id": "a", "content": "1\n2"}],
    ),
    "a model's texts are one": (
        HOST,
        (model(Text(text="a"), Text(text="b"), name="n"),),
        [{"role": "assistant", "name": "n", "content": "a\n\nb"}],
    ),
    "a model's refusals are one": (
        HOST,
        (model(Refusal(text="a"), Refusal(text="b")),),
        [{"role": "assistant", "content": None, "refusal": "a\n\nb"}],
    ),
    "a model that said nothing": (HOST, (model(),), [{"role": "assistant", "content": ""}]),
    "an answer to go on with": (
        hosts(prefill="prefix"),
        (model(Text(text="a")), model(Text(text="b"))),
        [
            {"role": "assistant", "content": "a"},
            {"role": "assistant", "content": "b", "prefix": True},
        ],
    ),
    "a call without arguments": (
        HOST,
        (model(ToolCall(id="a", name="f", args=" ")),),
        [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            }
        ],
    ),
    "Google's seal of a call is for Google": (
        HOST,
        (model(ToolCall(id="a", name="p", args="x", kind="custom", sealed=GOOGLE)),),
        [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "p", "input": "x"}}],
            }
        ],
    ),
    "and is told to it": (
        Target(dialect=Dialect.OPENAI_CHAT, model="g", vendor="google"),
        (model(ToolCall(id="a", name="f", args="{}", sealed=GOOGLE)),),
        [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "a",
                        "type": "function",
                        "function": {"name": "f", "arguments": "{}"},
                        "extra_content": {"google": {"thought_signature": "c2ln"}},
                    }
                ],
            }
        ],
    ),
    "reasoning is no host's that did not ask": (
        HOST,
        (model(Reasoning(text="hm", sealed=CLAUDE), Text(text="a")),),
        [{"role": "assistant", "content": "a"}],
    ),
    "reasoning goes back in words where a host wants it": (
        hosts(sends_back_reasoning=True),
        (model(Reasoning(text="hm"), Reasoning(summary=("so",)), Reasoning(), Text(text="a")),),
        [{"role": "assistant", "content": "a", "reasoning_content": "hm\n\nso"}],
    ),
    "reasoning goes back sealed where a host takes it": (
        ROUTER,
        (model(Reasoning(summary=("hm",), sealed=CLAUDE), Reasoning(sealed=OWN), Reasoning(sealed=GOOGLE)),),
        [
            {
                "role": "assistant",
                "content": "",
                "reasoning_details": [
                    {
                        "type": "reasoning.text",
                        "text": "hm",
                        "signature": "seal",
                        "format": "anthropic-claude-v1",
                        "index": 0,
                    },
                    {
                        "type": "reasoning.encrypted",
                        "data": "x",
                        "id": "rs_1",
                        "format": "openai-responses-v1",
                        "index": 1,
                    },
                    {
                        "type": "reasoning.encrypted",
                        "data": "c2ln",
                        "format": "google-gemini-v1",
                        "index": 2,
                    },
                ],
            }
        ],
    ),
    "without a seal there is nothing to take": (
        ROUTER,
        (model(Reasoning(text="hm"), Text(text="a")),),
        [{"role": "assistant", "content": "a"}],
    ),
}


@pytest.mark.parametrize(("target", "turns", "messages"), MESSAGES.values(), ids=MESSAGES)
def test_turns_are_messages(target: Target, turns: tuple[Turn, ...], messages: list[dict[str, Any]]) -> None:
    assert written(target, *turns)["messages"] == messages


def test_a_client_of_the_old_functions_talks_of_one_call() -> None:
    (message,) = written(HOST, model(CALL), is_legacy_functions=True)["messages"]
    assert message["function_call"] == {"name": "f", "arguments": '{"x":1.50}'}


SETTINGS: dict[str, tuple[Target, dict[str, Any], dict[str, Any]]] = {
    "a limit": (HOST, {"settings": Settings(max_tokens=1)}, {"max_tokens": 1}),
    "a limit for newer models": (
        hosts(max_tokens_field="max_completion_tokens"),
        {"settings": Settings(max_tokens=1)},
        {"max_completion_tokens": 1},
    ),
    "a limit in a row of another API's": (
        hosts(max_tokens_field="max_output_tokens"),
        {"settings": Settings(max_tokens=1)},
        {"max_tokens": 1},
    ),
    "a seed": (HOST, {"settings": Settings(seed=1)}, {"seed": 1}),
    "a seed for Mistral": (
        Target(dialect=Dialect.OPENAI_CHAT, model="host-x", is_mistral=True),
        {"settings": Settings(seed=1)},
        {"random_seed": 1},
    ),
    "one stop": (HOST, {"settings": Settings(stop=("a",))}, {"stop": "a"}),
    "two stops": (HOST, {"settings": Settings(stop=("a", "b"))}, {"stop": ["a", "b"]}),
    "a stream": (HOST, {"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
    "a stream of a host without options": (
        Target(dialect=Dialect.OPENAI_CHAT, model="host-x", has_stream_options=False),
        {"stream": True},
        {"stream": True},
    ),
    "a search": (
        OPENAI,
        {"tools": (HostedTool(vendor="openai", type="web_search", raw='{"web_search_options":{}}'),)},
        {"web_search_options": {}},
    ),
    "text": (HOST, {"output": Output(form="text")}, {"response_format": {"type": "text"}}),
    "JSON": (HOST, {"output": Output(form="json")}, {"response_format": {"type": "json_object"}}),
    "a schema": (
        HOST,
        {"output": Output(form="schema", schema={}, description="d", strict=True)},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "response", "description": "d", "schema": {}, "strict": True},
            }
        },
    ),
    "a schema that is not strict": (
        HOST,
        {"output": Output(form="schema", schema={}, name="n")},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}},
    ),
    "effort": (HOST, {"thinking": Thinking(effort="low")}, {"reasoning_effort": "low"}),
    "thinking without effort": (HOST, {"thinking": Thinking(mode="on")}, {}),
    "a switch": (
        hosts(reasoning="toggle", off="disabled"),
        {"thinking": Thinking(mode="adaptive", effort="high")},
        {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
    ),
    "a switch, off": (
        hosts(reasoning="toggle", off="disabled"),
        {"thinking": Thinking(mode="off")},
        {"thinking": {"type": "disabled"}},
    ),
    "a switch with a budget": (
        hosts(reasoning="toggle", off="toggle"),
        {"thinking": Thinking(mode="on", budget_tokens=9)},
        {"enable_thinking": True, "thinking_budget": 9},
    ),
    "a switch that nobody touched": (hosts(reasoning="toggle"), {"thinking": Thinking(show="summary")}, {}),
    "a function": (
        HOST,
        {"tools": (Tool(name="f", description="d", schema={}, strict=False),)},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "description": "d", "parameters": {}, "strict": False},
                }
            ]
        },
    ),
    "a function without parameters": (
        HOST,
        {"tools": (Tool(name="f"),)},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
    ),
    "a custom tool": (
        HOST,
        {"tools": (Tool(name="p", kind="custom"),)},
        {"tools": [{"type": "custom", "custom": {"name": "p"}}]},
    ),
    "a custom tool's grammar": (
        HOST,
        {"tools": (Tool(name="p", kind="custom", format={"type": "grammar", "syntax": "lark"}),)},
        {
            "tools": [
                {
                    "type": "custom",
                    "custom": {"name": "p", "format": {"type": "grammar", "grammar": {"syntax": "lark"}}},
                }
            ]
        },
    ),
    "a custom tool of plain text": (
        HOST,
        {"tools": (Tool(name="p", kind="custom", format={"type": "text"}),)},
        {"tools": [{"type": "custom", "custom": {"name": "p", "format": {"type": "text"}}}]},
    ),
    "any tool": (HOST, {"tool_choice": ToolChoice(mode="any")}, {"tool_choice": "required"}),
    "one tool at a time": (
        HOST,
        {"tool_choice": ToolChoice(parallel=False)},
        {"parallel_tool_calls": False},
    ),
    "one function": (
        HOST,
        {"tool_choice": ToolChoice(mode="one", name="f")},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
    ),
    "one custom tool": (
        HOST,
        {"tool_choice": ToolChoice(mode="one", name="p", kind="custom")},
        {"tool_choice": {"type": "custom", "custom": {"name": "p"}}},
    ),
    "some of the tools": (
        HOST,
        {"tool_choice": ToolChoice(mode="any", allowed=("f",))},
        {
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            }
        },
    ),
}


@pytest.mark.parametrize(("target", "members", "expected"), SETTINGS.values(), ids=SETTINGS)
def test_settings_are_spelled(target: Target, members: dict[str, Any], expected: dict[str, Any]) -> None:
    made = written(target, **members)
    assert made == {"model": target.model, "messages": [], **expected}
