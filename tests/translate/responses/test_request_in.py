"""Requests of responses clients are read into turns; what cannot be carried is named by its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate import seals
from llmitm.translate.neutral import (
    Base64,
    Cache,
    CacheConfig,
    FileId,
    Hosted,
    HostedTool,
    Media,
    Opaque,
    Output,
    Reasoning,
    Refusal,
    Request,
    Role,
    Sealed,
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

GOOGLE = Sealed(vendor="google", kind="part", data="c2ln", ref="call_1")


def asked(**members: Any) -> Request:
    return read_request(json.dumps({"model": "m", "input": "hi", **members}).encode())


def turns(*items: Any) -> tuple[Turn, ...]:
    return asked(input=list(items)).turns


def call(call_id: str, name: str = "f", **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": "{}", **more}


def output(call_id: str, said: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": said}


def test_a_message_without_content_and_strings_within_one() -> None:
    assert turns({"role": "user"}, {"role": "user", "content": ["a"]}) == (
        Turn(role=Role.USER, parts=()),
        Turn(role=Role.USER, parts=(Text(text="a"),)),
    )


def test_a_string_is_a_user_turn_after_the_instructions() -> None:
    assert asked(instructions="Be brief.").turns == (
        Turn(role=Role.SYSTEM, parts=(Text(text="Be brief."),)),
        Turn(role=Role.USER, parts=(Text(text="hi"),)),
    )


def test_items_of_the_model_are_one_turn_and_results_begin_the_next() -> None:
    made = turns(
        {"role": "user", "content": "go"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "why"}],
            "encrypted_content": "xyz",
        },
        {"role": "assistant", "content": [{"type": "output_text", "text": "ok"}], "phase": "commentary"},
        {"type": "custom_tool_call", "call_id": "b", "name": "patch", "input": "*** x"},
        call("a"),
        output("a", "1"),
        {"type": "custom_tool_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "2"}]},
        {"role": "user", "content": "and?"},
        {"role": "user", "content": "now"},
    )
    sealed = Sealed(vendor="openai", kind="encrypted", data="xyz", item_id="rs_1")
    assert made == (
        Turn(role=Role.USER, parts=(Text(text="go"),)),
        Turn(
            role=Role.ASSISTANT,
            phase="commentary",
            parts=(
                Reasoning(summary=("why",), sealed=sealed),
                Text(text="ok"),
                ToolCall(id="b", name="patch", args="*** x", kind="custom"),
                ToolCall(id="a", name="f", args="{}"),
            ),
        ),
        Turn(
            role=Role.USER,
            parts=(
                ToolResult(call_id="a", parts=(Text(text="1"),)),
                ToolResult(call_id="b", parts=(Text(text="2"),), kind="custom"),
                Text(text="and?"),
            ),
        ),
        Turn(role=Role.USER, parts=(Text(text="now"),)),
    )


def test_a_result_that_is_an_object_is_its_text() -> None:
    assert turns(output("a", {"x": 1})) == (
        Turn(role=Role.USER, parts=(ToolResult(call_id="a", parts=(Text(text='{"x":1}'),)),)),
    )


def test_a_developer_item_after_results_is_a_turn_of_its_own() -> None:
    made = turns(
        call("a"), output("a", ""), {"role": "developer", "content": "x"}, {"role": "user", "content": "y"}
    )
    assert [turn.role for turn in made] == [Role.ASSISTANT, Role.USER, Role.DEVELOPER, Role.USER]
    assert made[1].parts == (ToolResult(call_id="a"),)


def test_places_are_those_of_the_client() -> None:
    made = turns({"role": "user", "content": [{"type": "input_text", "text": "x"}]}, call("a"))
    assert (made[0].at, made[0].parts[0].at, made[1].parts[0].at) == (
        "input[0]",
        "input[0].content[0]",
        "input[1]",
    )


@pytest.mark.parametrize(
    ("part", "read"),
    [
        (
            {
                "type": "input_text",
                "text": "x",
                "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"},
            },
            Text(text="x", cache=Cache(ttl="12h")),
        ),
        ({"type": "refusal", "refusal": "no"}, Refusal(text="no")),
        (
            {"type": "input_image", "detail": "low", "image_url": "data:image/png;base64,aGk="},
            Media(kind="image", source=Base64("aGk="), mime="image/png", detail="low"),
        ),
        ({"type": "input_image", "image_url": "https://h/a"}, Media(kind="image", source=Url("https://h/a"))),
        (
            {"type": "input_image", "image_url": {"url": "https://h/a"}},
            Media(kind="image", source=Url("https://h/a")),
        ),
        ({"type": "input_file", "file_id": "f1"}, Media(kind="document", source=FileId("openai", "f1"))),
        ({"type": "x"}, Opaque(dialect=Dialect.OPENAI_RESPONSES, type="x", raw='{"type":"x"}')),
        ({"type": "input_image", "file_id": "f1"}, Media(kind="image", source=FileId("openai", "f1"))),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "JVBERi0="},
            Media(kind="document", source=Base64("JVBERi0="), mime="application/pdf", filename="a.pdf"),
        ),
        (
            {"type": "input_file", "file_url": "https://h/a.pdf"},
            Media(kind="document", source=Url("https://h/a.pdf"), mime="application/pdf"),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "mp3"}},
            Media(kind="audio", source=Base64("aGk="), mime="audio/mp3"),
        ),
    ],
)
def test_content_parts(part: dict[str, Any], read: object) -> None:
    assert turns({"role": "user", "content": [part]})[0].parts == (read,)


def test_reasoning_comes_back_with_the_seal_of_its_maker() -> None:
    def item(data: str | None, **more: Any) -> dict[str, Any]:
        return {"type": "reasoning", "id": "rs_x", "summary": [], "encrypted_content": data, **more}

    foreign = Sealed(vendor="anthropic", kind="thinking", data="sig", model="c")
    content = [{"type": "reasoning_text", "text": "a"}, {"type": "reasoning_text", "text": "b"}]
    made = turns(
        item(seals.envelope(foreign)),
        item(seals.envelope(GOOGLE)),
        item("gws1.broken"),
        item(None),
        item(None, content=content),
    )
    assert made == (
        Turn(
            role=Role.ASSISTANT,
            parts=(Reasoning(sealed=foreign), Reasoning(sealed=GOOGLE), Reasoning(text="a\n\nb")),
        ),
    )


@pytest.mark.parametrize(
    "item",
    [call("call_1__thought__c2ln"), call("call_1", id="fc_call_1__thought__c2ln")],
)
def test_a_signature_in_an_id_is_the_seal_of_the_call(item: dict[str, Any]) -> None:
    (part,) = turns(item)[0].parts
    assert isinstance(part, ToolCall)
    assert (part.id, part.sealed) == (
        item["call_id"],
        Sealed(vendor="google", kind="part", data="c2ln", ref=item["call_id"]),
    )


def test_work_of_hosted_tools_and_unknown_items_are_kept_as_they_are() -> None:
    made = turns(
        {"type": "web_search_call", "id": "w", "n": 1.50},
        {"type": "shell_call_output", "call_id": "s"},
        {"type": "agent_message"},
    )
    assert made[0].parts == (
        Hosted(
            vendor="openai",
            type="web_search_call",
            raw='{"type":"web_search_call","id":"w","n":1.5}',
            phase="call",
        ),
        Hosted(
            vendor="openai",
            type="shell_call_output",
            raw='{"type":"shell_call_output","call_id":"s"}',
            phase="result",
        ),
        Opaque(dialect=made_dialect(), type="agent_message", raw='{"type":"agent_message"}'),
    )


def made_dialect() -> Any:
    return asked().dialect


def test_tools_of_every_kind() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: X"}
    request = asked(
        tools=[
            {
                "type": "function",
                "name": "f",
                "parameters": {"type": "object"},
                "strict": True,
                "defer_loading": True,
            },
            {"type": "custom", "name": "patch", "description": "d", "format": grammar},
            {
                "type": "namespace",
                "name": "ns",
                "description": "all",
                "tools": [{"type": "function", "name": "g"}],
            },
            {"type": "web_search_2025_08_26"},
            {"type": "mcp", "server_label": "s"},
        ]
    )
    assert request.tools == (
        Tool(name="f", schema={"type": "object"}, strict=True, extra={"defer_loading": True}),
        Tool(name="patch", description="d", kind="custom", format=grammar),
        Tool(name="g", namespace="ns", extra={"namespace_description": "all"}),
        HostedTool(
            vendor="openai",
            type="web_search_2025_08_26",
            raw='{"type":"web_search_2025_08_26"}',
            generic="web_search",
        ),
        HostedTool(vendor="openai", type="mcp", raw='{"type":"mcp","server_label":"s"}', generic="mcp"),
    )
    assert request.tools[2].at == "tools[2].tools[0]"


def test_tools_that_come_with_the_input_follow_those_declared_and_repeat_none() -> None:
    def tool(name: str) -> dict[str, Any]:
        return {"type": "function", "name": name}

    request = asked(
        tools=[tool("a")],
        input=[
            {"type": "additional_tools", "role": "developer", "tools": [tool("b")]},
            {"type": "tool_search_output", "tools": [tool("a"), tool("c"), tool("b")]},
        ],
    )
    assert [tool.name for tool in request.tools if isinstance(tool, Tool)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("choice", "read"),
    [
        ("auto", ToolChoice(mode="auto")),
        ("required", ToolChoice(mode="any")),
        ({"type": "function", "name": "f"}, ToolChoice(mode="one", name="f")),
        ({"type": "custom", "name": "p"}, ToolChoice(mode="one", name="p", kind="custom")),
        ({"type": "file_search"}, ToolChoice(mode="hosted", name="file_search")),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
            ToolChoice(mode="any", allowed=("f",)),
        ),
    ],
)
def test_tool_choices(choice: object, read: ToolChoice) -> None:
    assert asked(tool_choice=choice).tool_choice == read


def test_the_ban_on_parallel_calls_needs_no_choice() -> None:
    assert asked(parallel_tool_calls=False).tool_choice == ToolChoice(parallel=False)
    assert asked(tool_choice="none", parallel_tool_calls=True).tool_choice == ToolChoice(
        mode="none", parallel=True
    )


def test_settings_reasoning_and_form() -> None:
    schema = {"type": "object", "properties": {"b": {"type": "string"}, "a": {}}}
    request = asked(
        max_output_tokens=100,
        temperature=0.5,
        top_p=1,
        top_logprobs=3,
        include=["message.output_text.logprobs"],
        reasoning={"effort": "high", "summary": "detailed"},
        service_tier="flex",
        user="u",
        store=False,
        text={
            "verbosity": "low",
            "format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True},
        },
        prompt_cache_key="k",
        prompt_cache_retention="24h",
        safety_identifier="s",
        metadata={"a": "b"},
        stream=True,
    )
    settings = request.settings
    assert (settings.max_tokens, settings.temperature, settings.top_p) == (100, 0.5, 1)
    assert (settings.logprobs, settings.top_logprobs, settings.verbosity) == (True, 3, "low")
    assert request.thinking == Thinking(effort="high", show="summary", show_word="detailed")
    assert request.output == Output(form="schema", name="n", schema=schema, strict=True)
    assert request.cache == CacheConfig(key="k", retention="24h")
    identity = request.identity
    assert (identity.user, identity.safety_id, identity.metadata) == ("u", "s", {"a": "b"})
    assert (identity.service_tier, identity.store, request.stream) == ("flex", False, True)
    assert request.paths["max_tokens"] == "max_output_tokens"
    assert (request.lost, request.noted, request.refused) == ((), (), ())


@pytest.mark.parametrize(
    ("form", "output"),
    [
        ({"type": "text"}, Output(form="text")),
        ({"type": "json_object"}, Output(form="json")),
        (None, None),
    ],
)
def test_forms_without_a_schema(form: object, output: Output | None) -> None:
    assert asked(text={"format": form}).output == output


def test_an_update_within_the_conversation_is_in_force() -> None:
    update = {"type": "configuration_update", "reasoning": {"effort": "low"}}
    assert asked(input=[update], reasoning={"effort": "high"}).thinking == Thinking(effort="low")


@pytest.mark.parametrize(
    ("members", "lost"),
    [
        ({"truncation": "auto"}, ("truncation", "truncation")),
        ({"max_tool_calls": 3}, ("max_tool_calls", "max_tool_calls")),
        ({"reasoning": {"mode": "pro"}}, ("reasoning-mode", "reasoning.mode")),
        ({"moderation": {"input": {"mode": "score"}}}, ("moderation", "moderation")),
        ({"seed": 1}, ("unknown-field", "seed")),
    ],
)
def test_what_no_other_dialect_can_say(members: dict[str, Any], lost: tuple[str, str]) -> None:
    assert asked(**members).lost == (lost,)


@pytest.mark.parametrize(
    "members",
    [
        {"truncation": "disabled"},
        {"background": False},
        {"store": False},
        {"stream_options": {}},
        {"reasoning": {"mode": "standard", "context": "auto"}},
        {"conversation": None},
        {"include": ["reasoning.encrypted_content"]},
    ],
)
def test_what_is_usual_anyway_is_no_loss(members: dict[str, Any]) -> None:
    request = asked(**members)
    assert (request.lost, request.noted, request.refused) == ((), (), ())


def test_notes() -> None:
    request = asked(store=True, include=["reasoning.encrypted_content", "file_search_call.results"])
    assert request.noted == (("store", "store"), ("include", "include[1]"))


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": {"id": "c"}}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "p"}, "model": None}, "prompt"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0]"),
        ({"moderation": {"input": {"mode": "block"}}}, "moderation"),
        ({"prompt_cache_options": {"prewarm": True}}, "prompt_cache_options.prewarm"),
    ],
)
def test_what_must_not_be_left_out(members: dict[str, Any], place: str) -> None:
    assert [at for _, at, _ in asked(**members).refused] == [place]


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"tools": [{"type": "function", "name": "a"}, {"type": "x_search"}]}, "tools[1]"),
        ({"tools": [{"type": "function", "function": {"name": "a"}}]}, "tools[0]"),
        ({"tools": [{"name": "a"}]}, "tools[0]"),
        ({"input": 3}, "input"),
        ({"input": [{"role": "tool", "content": ""}]}, "input[0].role"),
        ({"input": [{"content": "x"}]}, "input[0].type"),
        ({"input": [{"type": "function_call", "call_id": "a"}]}, "input[0].name"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input[0].content[0].image_url",
        ),
        ({"model": None}, "model"),
        ({"instructions": 1}, "instructions"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "mcp"}]}]}, "tools[0].tools[0]"),
        ({"input": [{"role": "user", "content": 1}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [1]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0]"),
    ],
)
def test_what_is_no_request_is_refused_by_its_place(members: dict[str, Any], place: str) -> None:
    with pytest.raises(Refused) as caught:
        asked(**members)
    assert (caught.value.status, caught.value.param) == (400, place)


def test_the_reply_repeats_the_clients_own_members() -> None:
    tools = [{"type": "function", "name": "f", "parameters": {}}]
    assert asked(tools=tools, temperature=1.0, metadata=None, seed=1).echo == {
        "tools": tools,
        "temperature": 1.0,
    }


def test_numbers_keep_their_spelling() -> None:
    request = read_request(b'{"model":"m","input":"x","temperature":1.50,"max_output_tokens":1e3}')
    assert (request.settings.temperature.text, request.settings.max_tokens.text) == ("1.50", "1e3")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ITEMS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["message", "reasoning", "function_call", "function_call_output", "program", "x"]
        )
    },
    optional={
        name: JSON
        for name in (
            "role",
            "content",
            "summary",
            "call_id",
            "name",
            "arguments",
            "output",
            "encrypted_content",
        )
    },
)


@given(
    st.fixed_dictionaries(
        {"model": st.just("m")},
        optional={
            "input": st.lists(ITEMS | JSON, max_size=3) | JSON,
            **{
                name: JSON
                for name in (
                    "tools",
                    "tool_choice",
                    "text",
                    "reasoning",
                    "include",
                    "moderation",
                    "prompt_cache_options",
                )
            },
        },
    )
)
def test_anything_else_is_read_or_refused(body: dict[str, Any]) -> None:
    try:
        read_request(json.dumps(body).encode())
    except Refused as refused:
        assert refused.status == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"{"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        read_request(body)
