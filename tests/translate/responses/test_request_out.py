"""A request to a responses upstream is spelled as the API wants it, byte for byte the same each time."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest

from llmitm.exchange import Dialect
from llmitm.translate.neutral import (
    Base64,
    Cache,
    CacheConfig,
    FileId,
    Hosted,
    HostedTool,
    Identity,
    Media,
    Opaque,
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
from llmitm.translate.responses.request_in import read_request
from llmitm.translate.responses.request_out import write_request
from llmitm.translate.target import Model, Target

TARGET = Target(dialect=Dialect.OPENAI_RESPONSES, model="gpt-x", row=Model(seals="must"), is_openai=True)
SILENT = Target(dialect=Dialect.OPENAI_RESPONSES, model="gpt-x")


def user(*parts: Part) -> Turn:
    return Turn(role=Role.USER, parts=parts)


def model(*parts: Part, phase: str | None = None) -> Turn:
    return Turn(role=Role.ASSISTANT, parts=parts, phase=phase)


def system(*texts: str) -> Turn:
    return Turn(role=Role.SYSTEM, parts=tuple(Text(text=text) for text in texts))


def written(request: Request, target: Target = TARGET) -> dict[str, Any]:
    made = json.loads(write_request(request, target))
    assert isinstance(made, dict)
    return made


def items(*turns: Turn) -> Any:
    return written(Request(model="m", turns=turns))["input"]


def test_the_least_request() -> None:
    assert (
        write_request(Request(model="m", turns=(user(Text(text="hé")),)), SILENT)
        == '{"model":"gpt-x","input":[{"role":"user","content":"hé"}],"store":false}'.encode()
    )


def test_encrypted_reasoning_is_asked_for_where_the_model_makes_it() -> None:
    request = Request(model="m", turns=(), settings=Settings(logprobs=True, top_logprobs=2), stream=True)
    made = written(request)
    assert made["include"] == ["reasoning.encrypted_content", "message.output_text.logprobs"]
    assert (made["top_logprobs"], made["stream"], made["store"]) == (2, True, False)


def test_leading_system_turns_are_the_instructions_and_later_ones_items() -> None:
    made = written(
        Request(model="m", turns=(system("a", "b"), system("c"), user(Text(text="x")), system("d")))
    )
    assert made["instructions"] == "a\n\nb\n\nc"
    assert made["input"] == [{"role": "user", "content": "x"}, {"role": "system", "content": "d"}]


def test_a_mark_among_the_instructions_makes_them_an_item() -> None:
    turn = Turn(role=Role.SYSTEM, parts=(Text(text="a", cache=Cache(ttl="1h")), Text(text="b")))
    asked = Turn(role=Role.USER, parts=(Text(text="c"),))
    made = written(Request(model="m", turns=(turn, asked)))
    assert "instructions" not in made
    mark = {"prompt_cache_breakpoint": {"mode": "explicit"}}
    content = [{"type": "input_text", "text": "a", **mark}, {"type": "input_text", "text": "b"}]
    assert made["input"] == [{"role": "developer", "content": content}, {"role": "user", "content": "c"}]


def test_a_turn_of_the_model_is_one_item_a_part() -> None:
    sealed = Sealed(vendor="openai", kind="encrypted", data="enc", item_id="rs_1")
    turn = model(
        Reasoning(summary=("why",), sealed=sealed),
        Reasoning(summary=("unsealed",)),
        Text(text="ok"),
        ToolCall(id="c1", name="f", args='{"a": 1.50'),
        ToolCall(id="c2", name="p", args="raw", kind="custom", namespace="ns"),
        ToolCall(id="c3", name="g", args=" "),
        Refusal(text="no"),
        phase="commentary",
    )
    assert items(turn) == [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "why"}],
            "encrypted_content": "enc",
        },
        {"role": "assistant", "content": [{"type": "output_text", "text": "ok"}], "phase": "commentary"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1.50'},
        {"type": "custom_tool_call", "call_id": "c2", "name": "p", "input": "raw", "namespace": "ns"},
        {"type": "function_call", "call_id": "c3", "name": "g", "arguments": "{}"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "phase": "commentary"},
    ]


def test_results_are_items_and_what_follows_them_a_message() -> None:
    image = Media(kind="image", source=Url("https://h/i.png"))
    turn = user(
        ToolResult(call_id="a", parts=(Text(text="1"),)),
        ToolResult(call_id="b", kind="custom"),
        ToolResult(call_id="c", parts=(Text(text="2"), image)),
        ToolResult(call_id="d", raw='{"x":1}'),
        Text(text="so?"),
    )
    assert items(turn) == [
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"type": "custom_tool_call_output", "call_id": "b", "output": ""},
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [
                {"type": "input_text", "text": "2"},
                {"type": "input_image", "detail": "auto", "image_url": "https://h/i.png"},
            ],
        },
        {"type": "function_call_output", "call_id": "d", "output": '{"x":1}'},
        {"role": "user", "content": "so?"},
    ]


@pytest.mark.parametrize(
    ("part", "spelled"),
    [
        (
            Media(kind="image", source=Base64("aGk="), mime="image/webp", detail="low"),
            {"type": "input_image", "detail": "low", "image_url": "data:image/webp;base64,aGk="},
        ),
        (
            Media(kind="image", source=FileId("openai", "f")),
            {"type": "input_image", "detail": "auto", "file_id": "f"},
        ),
        (
            Media(kind="document", source=Base64("aGk="), mime="application/pdf", title="T"),
            {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "T"},
        ),
        (
            Media(kind="document", source=Base64("aGk="), mime="application/pdf"),
            {
                "type": "input_file",
                "file_data": "data:application/pdf;base64,aGk=",
                "filename": "document.pdf",
            },
        ),
        (
            Media(kind="document", source=PlainText("hi"), filename="a.txt"),
            {"type": "input_file", "file_data": "data:text/plain;base64,aGk=", "filename": "a.txt"},
        ),
        (
            Media(kind="document", source=Url("https://h/a")),
            {"type": "input_file", "file_url": "https://h/a"},
        ),
        (Media(kind="document", source=FileId("openai", "f")), {"type": "input_file", "file_id": "f"}),
        (
            Media(kind="audio", source=Base64("aGk="), mime="audio/mpeg"),
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "mp3"}},
        ),
        (
            Text(text="x", cache=Cache(ttl="30m")),
            {
                "type": "input_text",
                "text": "x",
                "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"},
            },
        ),
    ],
)
def test_parts(part: Part, spelled: dict[str, Any]) -> None:
    assert items(user(part)) == [{"role": "user", "content": [spelled]}]


@pytest.mark.parametrize("kind", ["image", "document"])
def test_what_fitting_leaves_to_no_writer_is_our_own_fault(kind: Literal["image", "document"]) -> None:
    with pytest.raises(AssertionError):
        items(user(Media(kind=kind, source=Parts(()))))
    with pytest.raises(AssertionError):
        items(model(Media(kind=kind, source=Url("u"))))


def test_items_of_this_api_go_as_they_are() -> None:
    hosted = Hosted(vendor="openai", type="mcp_call", raw='{"type":"mcp_call","n":1.50}', phase="call")
    opaque = Opaque(dialect=Dialect.OPENAI_RESPONSES, type="x", raw='{"type":"x"}')
    turns = (user(Text(text="a"), opaque), model(hosted, opaque))
    body = write_request(Request(model="m", turns=turns), TARGET)
    assert b'[{"role":"user","content":"a"},{"type":"x"},{"type":"mcp_call","n":1.50},{"type":"x"}]' in body


def test_reasoning_in_full_goes_back_with_its_seal() -> None:
    sealed = Sealed(vendor="openai", kind="encrypted", data="enc")
    assert items(model(Reasoning(text="why", sealed=sealed))) == [
        {
            "type": "reasoning",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "why"}],
            "encrypted_content": "enc",
        }
    ]


@pytest.mark.parametrize(
    ("output", "form"), [(Output(form="text"), "text"), (Output(form="json"), "json_object")]
)
def test_forms_without_a_schema(output: Output, form: str) -> None:
    assert written(Request(model="m", turns=(), output=output))["text"] == {"format": {"type": form}}


def test_tools_are_flat_and_say_whether_they_are_strict() -> None:
    tools = (
        Tool(
            name="f", description="d", schema={"type": "object"}, strict=True, extra={"defer_loading": True}
        ),
        Tool(name="n1", namespace="ns", extra={"namespace_description": "all"}),
        HostedTool(
            vendor="openai", type="web_search", raw='{"type":"web_search","n":1.50}', generic="web_search"
        ),
        Tool(name="p", kind="custom", format={"type": "text"}),
        Tool(name="n2", namespace="ns"),
    )
    body = write_request(Request(model="m", turns=(), tools=tools), TARGET)
    assert b'{"type":"web_search","n":1.50}' in body
    empty = {"type": "object", "properties": {}}
    assert json.loads(body)["tools"] == [
        {
            "type": "function",
            "name": "f",
            "description": "d",
            "parameters": {"type": "object"},
            "strict": True,
            "defer_loading": True,
        },
        {
            "type": "namespace",
            "name": "ns",
            "description": "all",
            "tools": [
                {"type": "function", "name": "n1", "parameters": empty, "strict": False},
                {"type": "function", "name": "n2", "parameters": empty, "strict": False},
            ],
        },
        {"type": "web_search", "n": 1.5},
        {"type": "custom", "name": "p", "format": {"type": "text"}},
    ]


@pytest.mark.parametrize(
    ("choice", "spelled"),
    [
        (ToolChoice(parallel=False), None),
        (ToolChoice(mode="any"), "required"),
        (ToolChoice(mode="none", allowed=("f",)), "none"),
        (ToolChoice(mode="one", name="p", kind="custom"), {"type": "custom", "name": "p"}),
        (ToolChoice(mode="hosted", name="web_search"), {"type": "web_search"}),
        (
            ToolChoice(mode="auto", allowed=("f", "file_search")),
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "f"}, {"type": "file_search"}],
            },
        ),
    ],
)
def test_tool_choices(choice: ToolChoice, spelled: object) -> None:
    made = written(Request(model="m", turns=(), tools=(Tool(name="f"),), tool_choice=choice))
    assert made.get("tool_choice") == spelled
    assert made.get("parallel_tool_calls") == choice.parallel


@pytest.mark.parametrize(
    ("thinking", "spelled"),
    [
        (None, None),
        (Thinking(effort="high"), {"effort": "high"}),
        (Thinking(effort="low", show="full"), {"effort": "low", "summary": "auto"}),
        (Thinking(show="summary", show_word="concise"), {"summary": "concise"}),
        (Thinking(show="none"), None),
    ],
)
def test_reasoning(thinking: Thinking | None, spelled: object) -> None:
    assert written(Request(model="m", turns=(), thinking=thinking)).get("reasoning") == spelled


def test_everything_else_comes_back_when_read_again() -> None:
    request = Request(
        model="gpt-x",
        turns=(system("s"), user(Text(text="x"))),
        settings=Settings(max_tokens=50, temperature=0.1, top_p=0.5, verbosity="low"),
        thinking=Thinking(effort="low"),
        output=Output(form="schema", name="n", schema={"type": "object"}, strict=False, description="d"),
        cache=CacheConfig(key="k", options={"mode": "explicit"}, retention="24h"),
        identity=Identity(
            user="u", safety_id="s", metadata={"b": "1", "a": "2"}, service_tier="flex", store=False
        ),
        tool_choice=ToolChoice(mode="auto", parallel=False),
        stream=True,
        dialect=Dialect.OPENAI_RESPONSES,
    )
    again = read_request(write_request(request, SILENT))
    assert again.echo["metadata"] == {"b": "1", "a": "2"}
    assert (again.lost, again.noted, again.refused) == ((), (), ())
    for name in ("turns", "settings", "thinking", "output", "cache", "identity", "tool_choice", "stream"):
        assert getattr(again, name) == getattr(request, name), name


def test_a_schema_without_a_name_gets_one() -> None:
    output = Output(form="schema", schema={"type": "object"}, strict=True)
    assert written(Request(model="m", turns=(), output=output))["text"]["format"] == {
        "type": "json_schema",
        "name": "response",
        "schema": {"type": "object"},
        "strict": True,
    }
