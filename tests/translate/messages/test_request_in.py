"""Requests of Anthropic's clients are read into turns; arguments keep their spelling."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate import seals
from llmitm.translate.messages.request_in import read_request
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
    Part,
    Parts,
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
    Turn,
    Url,
)

PNG = "iVBORw0KGgo="
PDF = "application/pdf"
MARK = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
HOUR = Cache(ttl="1h")
OPENAI = Sealed(vendor="openai", kind="encrypted", data="x", item_id="rs_1")


def asked(**members: Any) -> Request:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **members}
    return read_request(json.dumps(body).encode())


def parts(*blocks: Any, role: str = "user") -> tuple[Part, ...]:
    (turn,) = asked(messages=[{"role": role, "content": list(blocks)}]).turns
    return turn.parts


def document(source: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "document", "source": source, **more}


BLOCKS: dict[str, tuple[dict[str, Any], Part]] = {
    "text with a mark": ({"type": "text", "text": "a", **MARK}, Text(text="a", cache=HOUR)),
    "a call without input": (
        {"type": "tool_use", "id": "a", "name": "f"},
        ToolCall(id="a", name="f", args="{}"),
    ),
    "a call whose arguments were no object": (
        {"type": "tool_use", "id": "a", "name": "f", "input": {"_invalid_json": "{"}},
        ToolCall(id="a", name="f", args="{"),
    ),
    "a result of nothing": ({"type": "tool_result", "tool_use_id": "a"}, ToolResult(call_id="a")),
    "a result with a picture": (
        {
            "type": "tool_result",
            "tool_use_id": "a",
            "content": [{"type": "image", "source": {"type": "url", "url": "u"}}],
            "is_error": True,
            **MARK,
        },
        ToolResult(call_id="a", parts=(Media(kind="image", source=Url("u")),), is_error=True, cache=HOUR),
    ),
    "thinking": (
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        Reasoning(summary=("hm",), sealed=Sealed(vendor="anthropic", kind="thinking", data="s")),
    ),
    "redacted thinking": (
        {"type": "redacted_thinking", "data": "s"},
        Reasoning(sealed=Sealed(vendor="anthropic", kind="redacted", data="s")),
    ),
    "thinking of another vendor": (
        {"type": "redacted_thinking", "data": seals.envelope(OPENAI)},
        Reasoning(sealed=OPENAI),
    ),
    "a picture": (
        {"type": "image", "source": {"type": "base64", "data": PNG, "media_type": "image/jpg"}},
        Media(kind="image", source=Base64(PNG), mime="image/jpeg"),
    ),
    "a picture whose kind is seen": (
        {"type": "image", "source": {"type": "base64", "data": PNG}},
        Media(kind="image", source=Base64(PNG), mime="image/png"),
    ),
    "a document by its URL": (
        document({"type": "url", "url": "u"}, title="t", context="c", citations={"enabled": True}),
        Media(
            kind="document",
            source=Url("u"),
            mime=PDF,
            filename="t",
            title="t",
            context="c",
            has_citations=True,
        ),
    ),
    "a document by its id": (
        document({"type": "file", "file_id": "f"}),
        Media(kind="document", source=FileId("anthropic", "f")),
    ),
    "a document of text": (
        document({"type": "text", "data": "a", "media_type": "text/plain"}, citations={}),
        Media(kind="document", source=PlainText("a"), mime="text/plain", has_citations=False),
    ),
    "a document of one part": (
        document({"type": "content", "content": "a"}),
        Media(kind="document", source=Parts((Text(text="a"),))),
    ),
    "a document of parts": (
        document({"type": "content", "content": [{"type": "text", "text": "a"}, {"type": "image"}, 1]}),
        Media(kind="document", source=Parts((Text(text="a"),))),
    ),
    "a document of nothing": (
        document({"type": "content", "content": None}),
        Media(kind="document", source=Parts(())),
    ),
    "a search result": (
        {
            "type": "search_result",
            "source": "u",
            "title": "t",
            "content": [{"type": "text", "text": "a"}],
        },
        Media(
            kind="search_result",
            source=Parts((Text(text="a"),)),
            title="t",
            context="u",
            extra='{"type":"search_result","source":"u","title":"t","content":[{"type":"text","text":"a"}]}',
        ),
    ),
    "a call of a hosted tool": (
        {"type": "server_tool_use", "id": "a"},
        Hosted(
            vendor="anthropic",
            type="server_tool_use",
            raw='{"type":"server_tool_use","id":"a"}',
            phase="call",
        ),
    ),
    "what it found": (
        {"type": "web_search_tool_result"},
        Hosted(
            vendor="anthropic",
            type="web_search_tool_result",
            raw='{"type":"web_search_tool_result"}',
            phase="result",
        ),
    ),
    "an unknown block": (
        {"type": "hologram"},
        Opaque(dialect=Dialect.ANTHROPIC_MESSAGES, type="hologram", raw='{"type":"hologram"}'),
    ),
}


@pytest.mark.parametrize(("block", "part"), BLOCKS.values(), ids=BLOCKS)
def test_a_block_is_read(block: dict[str, Any], part: Part) -> None:
    assert parts(block) == (part,)


def test_arguments_keep_their_spelling() -> None:
    body = b'{"messages":[{"role":"user","content":[{"type":"tool_use","input":{"x": 1.50}}]}]}'
    (part,) = read_request(body, model="m").turns[0].parts
    assert isinstance(part, ToolCall) and part.args == '{"x":1.50}'


def test_half_a_surrogate_pair_is_replaced_in_arguments_too() -> None:
    body = rb'{"messages":[{"role":"user","content":[{"type":"tool_use","input":{"x":"\ud800"}}]}]}'
    (part,) = read_request(body, model="m").turns[0].parts
    assert isinstance(part, ToolCall) and part.args == '{"x":"\ufffd"}'


TURNS: dict[str, tuple[dict[str, Any], tuple[Turn, ...]]] = {
    "no system": ({"system": []}, ()),
    "a system of text": (
        {"system": "a"},
        (Turn(role=Role.SYSTEM, parts=(Text(text="a"),)),),
    ),
    "a system of blocks": (
        {"system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b", **MARK}]},
        (Turn(role=Role.SYSTEM, parts=(Text(text="a"), Text(text="b", cache=HOUR))),),
    ),
    "bookkeeping alone is no system": (
        {"system": [{"type": "text", "text": "x-anthropic-billing-header: a"}]},
        (),
    ),
}


@pytest.mark.parametrize(("members", "before"), TURNS.values(), ids=TURNS)
def test_the_system_comes_first(members: dict[str, Any], before: tuple[Turn, ...]) -> None:
    assert asked(**members).turns == (*before, Turn(role=Role.USER, parts=(Text(text="hi"),)))


def test_results_come_before_the_words_of_their_turn() -> None:
    said = parts({"type": "text", "text": "a"}, {"type": "tool_result", "tool_use_id": "b"})
    assert said == (ToolResult(call_id="b"), Text(text="a"))


def test_a_system_turn_among_the_messages_and_an_empty_one() -> None:
    messages = [{"role": "system", "content": "a"}, {"role": "assistant"}]
    assert asked(messages=messages).turns == (
        Turn(role=Role.SYSTEM, parts=(Text(text="a"),)),
        Turn(role=Role.ASSISTANT, parts=()),
    )


TOOLS: dict[str, tuple[dict[str, Any], Tool | HostedTool]] = {
    "a tool": (
        {"name": "f", "description": "d", "input_schema": {}, "strict": True, "x": 1, "y": None, **MARK},
        Tool(name="f", description="d", schema={}, strict=True, extra={"x": 1}, cache=HOUR),
    ),
    "a search": (
        {"type": "web_search_20250305", "name": "web_search"},
        HostedTool(
            vendor="anthropic",
            type="web_search_20250305",
            raw='{"type":"web_search_20250305","name":"web_search"}',
            generic="web_search",
        ),
    ),
    "an advisor": (
        {"type": "advisor_20260301"},
        HostedTool(vendor="anthropic", type="advisor_20260301", raw='{"type":"advisor_20260301"}'),
    ),
}


@pytest.mark.parametrize(("entry", "tool"), TOOLS.values(), ids=TOOLS)
def test_a_tool_is_read(entry: dict[str, Any], tool: Tool | HostedTool) -> None:
    assert asked(tools=[entry]).tools == (tool,)


CHOICES: dict[str, tuple[Any, ToolChoice | None]] = {
    "none is said": (None, None),
    "any, one at a time": (
        {"type": "any", "disable_parallel_tool_use": True},
        ToolChoice(mode="any", parallel=False),
    ),
    "one": ({"type": "tool", "name": "f"}, ToolChoice(mode="one", name="f")),
}


@pytest.mark.parametrize(("value", "choice"), CHOICES.values(), ids=CHOICES)
def test_the_choice_of_a_tool(value: Any, choice: ToolChoice | None) -> None:
    assert asked(tool_choice=value).tool_choice == choice


THINKING: dict[str, tuple[dict[str, Any], Thinking | None]] = {
    "nothing is said": ({"output_config": {}}, None),
    "effort alone": ({"output_config": {"effort": "low"}}, Thinking(effort="low")),
    "off": ({"thinking": {"type": "disabled"}}, Thinking(mode="off")),
    "on": (
        {"thinking": {"type": "enabled", "budget_tokens": 5, "display": "omitted"}},
        Thinking(mode="on", budget_tokens=5, show="none"),
    ),
    "adaptive": (
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
        Thinking(mode="adaptive", effort="max", show="summary"),
    ),
    "between tools": ({"thinking": {"type": "between_tools"}}, Thinking(mode="between_tools")),
}


@pytest.mark.parametrize(("members", "thinking"), THINKING.values(), ids=THINKING)
def test_how_much_to_think(members: dict[str, Any], thinking: Thinking | None) -> None:
    assert asked(**members).thinking == thinking


@pytest.mark.parametrize("member", ["output_config", "output_format"])
def test_a_schema_of_the_answer(member: str) -> None:
    form: dict[str, Any] = {"type": "json_schema", "schema": {}}
    value = {"format": form} if member == "output_config" else form
    assert asked(**{member: value}).output == Output(form="schema", schema={})


def test_settings() -> None:
    read = asked(
        stop_sequences=["a"],
        top_k=3,
        metadata={"user_id": "u"},
        service_tier="standard_only",
        stream=True,
        **MARK,
    )
    assert read.settings == Settings(max_tokens=9, top_k=3, stop=("a",))
    assert (read.identity.user, read.identity.service_tier, read.stream) == ("u", "default", True)
    assert read.cache == CacheConfig(auto=HOUR)


LOSSES: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    "what only this API has": ({"container": "c"}, {("container", "container")}),
    "what nobody knows": ({"wish": 1}, {("unknown-field", "wish")}),
    "bookkeeping": (
        {"system": [{"text": "a"}, {"text": "x-anthropic-billing-header: b"}]},
        {("billing-header", "system[1]")},
    ),
    "servers": ({"mcp_servers": [{}]}, {("hosted_tool_not_portable", "mcp_servers")}),
    "a conversation that is kept": ({"thread": "t"}, {("thread_unsupported_request", "thread")}),
    "a request that only warms the cache": ({"max_tokens": 0}, {("unsupported_by_target", "max_tokens")}),
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
    "a role of no kind": ({"messages": [{"role": "tool"}]}, "messages[0].role"),
    "content of no kind": ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
    "a block of no kind": ({"messages": [{"role": "user", "content": ["a"]}]}, "messages[0].content[0]"),
    "a source of no kind": (
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
        "messages[0].content[0].source",
    ),
    "a tool of an unknown type": ({"tools": [{"type": "x"}]}, "tools[0]"),
    "a tool without a name": ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
    "a choice of no kind": ({"tool_choice": {"type": "x"}}, "tool_choice"),
    "a form of no kind": ({"output_format": {"type": "x"}}, "output_format"),
}


@pytest.mark.parametrize(("members", "place"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_read_is_refused_with_its_place(members: dict[str, Any], place: str) -> None:
    with pytest.raises(Refused) as caught:
        asked(**members)
    assert (caught.value.status, caught.value.param) == (400, place)
