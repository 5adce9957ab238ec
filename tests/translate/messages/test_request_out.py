"""A request to Anthropic's API is spelled as that API wants it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmitm.exchange import Dialect
from llmitm.translate.messages.request_out import write_request
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
from llmitm.translate.target import Target

TARGET = Target(dialect=Dialect.ANTHROPIC_MESSAGES, model="claude-x", vendor="anthropic")
LIMIT = Settings(max_tokens=9)
MARK = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
HOUR = Cache(ttl="1h")
OWN = Sealed(vendor="anthropic", kind="thinking", data="s")
OPENAI = Sealed(vendor="openai", kind="encrypted", data="x", item_id="rs_1")


def written(*turns: Turn, **members: Any) -> dict[str, Any]:
    request = Request(model="m", turns=turns, **{"settings": LIMIT, **members})
    made = json.loads(write_request(request, TARGET))
    assert isinstance(made, dict)
    return made


def test_the_least_request() -> None:
    turn = Turn(role=Role.USER, parts=(Text(text="hé"),))
    made = write_request(Request(model="m", turns=(turn,), settings=LIMIT), TARGET)
    content = '[{"type":"text","text":"hé"}]'
    body = f'{{"model":"claude-x","max_tokens":9,"messages":[{{"role":"user","content":{content}}}]}}'
    assert made == body.encode()


BLOCKS: dict[str, tuple[Part, dict[str, Any] | None]] = {
    "text with a mark": (Text(text="a", cache=HOUR), {"type": "text", "text": "a", **MARK}),
    "a mark of another vendor's length": (
        Text(text="a", cache=Cache(ttl="12h")),
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
    ),
    "a refusal is text": (Refusal(text="no"), {"type": "text", "text": "no"}),
    "a picture": (
        Media(kind="image", source=Base64("AAAA"), mime="image/png", title="t"),
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
    ),
    "a picture of no kind": (
        Media(kind="image", source=Base64("AAAA")),
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "application/octet-stream", "data": "AAAA"},
        },
    ),
    "a document by its URL": (
        Media(kind="document", source=Url("u"), filename="f", context="c", has_citations=True, cache=HOUR),
        {
            "type": "document",
            "source": {"type": "url", "url": "u"},
            "title": "f",
            "context": "c",
            "citations": {"enabled": True},
            **MARK,
        },
    ),
    "a document by its id": (
        Media(kind="document", source=FileId("anthropic", "f")),
        {"type": "document", "source": {"type": "file", "file_id": "f"}},
    ),
    "a document of text": (
        Media(kind="document", source=PlainText("a")),
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}},
    ),
    "a document of parts": (
        Media(kind="document", source=Parts((Text(text="a"), Refusal(text="b")))),
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "a"}]}},
    ),
    "a search result": (
        Media(kind="search_result", source=Parts(()), extra='{"type":"search_result"}'),
        {"type": "search_result"},
    ),
    "own thinking": (
        Reasoning(summary=("hm",), sealed=OWN),
        {"type": "thinking", "thinking": "hm", "signature": "s"},
    ),
    "own redacted thinking": (
        Reasoning(sealed=Sealed(vendor="anthropic", kind="redacted", data="s")),
        {"type": "redacted_thinking", "data": "s"},
    ),
    "reasoning that nobody sealed": (Reasoning(text="hm"), None),
    "a call": (
        ToolCall(id="a", name="f", args='{"x":1}', cache=HOUR),
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}, **MARK},
    ),
    "a result": (
        ToolResult(call_id="a", parts=(Text(text="1"),), is_error=True, cache=HOUR),
        {
            "type": "tool_result",
            "tool_use_id": "a",
            "content": [{"type": "text", "text": "1"}],
            "is_error": True,
            **MARK,
        },
    ),
    "a result of nothing": (ToolResult(call_id="a"), {"type": "tool_result", "tool_use_id": "a"}),
    "a result that is an object": (
        ToolResult(call_id="a", raw='{"x":1}'),
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": '{"x":1}'}]},
    ),
    "what a hosted tool did": (
        Hosted(vendor="anthropic", type="server_tool_use", raw='{"type":"server_tool_use"}', phase="call"),
        {"type": "server_tool_use"},
    ),
    "what only this API knows": (
        Opaque(dialect=Dialect.ANTHROPIC_MESSAGES, type="hologram", raw='{"type":"hologram"}'),
        {"type": "hologram"},
    ),
}


@pytest.mark.parametrize(("part", "block"), BLOCKS.values(), ids=BLOCKS)
def test_a_part_is_a_block(part: Part, block: dict[str, Any] | None) -> None:
    (message,) = written(Turn(role=Role.USER, parts=(part,)))["messages"]
    assert message["content"] == ([] if block is None else [block])


def test_system_turns_lead_and_later_ones_stay_where_they_are() -> None:
    said = (Text(text="a"),)
    made = written(*(Turn(role=role, parts=said) for role in (Role.DEVELOPER, Role.USER, Role.DEVELOPER)))
    assert made["system"] == [{"type": "text", "text": "a"}]
    assert [message["role"] for message in made["messages"]] == ["user", "system"]


SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a cache of its own accord": ({"cache": CacheConfig(auto=HOUR)}, MARK),
    "a user": ({"identity": Identity(user="u")}, {"metadata": {"user_id": "u"}}),
    "a tool": (
        {
            "tools": (
                Tool(name="f", description="d", schema={"type": "object"}, strict=True, extra={"x": 1}),
                Tool(name="g", strict=False),
                HostedTool(vendor="anthropic", type="t", raw='{"type":"t"}'),
            )
        },
        {
            "tools": [
                {
                    "name": "f",
                    "description": "d",
                    "input_schema": {"type": "object"},
                    "strict": True,
                    "x": 1,
                },
                {"name": "g", "input_schema": {"type": "object", "properties": {}}},
                {"type": "t"},
            ]
        },
    ),
    "one tool": (
        {"tool_choice": ToolChoice(mode="one", name="f", parallel=False)},
        {"tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True}},
    ),
    "one tool at a time": (
        {"tool_choice": ToolChoice(parallel=False)},
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    ),
    "several at a time is usual": ({"tool_choice": ToolChoice(parallel=True)}, {}),
    "none at a time": (
        {"tool_choice": ToolChoice(mode="none", parallel=False)},
        {"tool_choice": {"type": "none"}},
    ),
    "thinking off": ({"thinking": Thinking(mode="off")}, {"thinking": {"type": "disabled"}}),
    "thinking between tools": (
        {"thinking": Thinking(mode="between_tools")},
        {"thinking": {"type": "between_tools"}},
    ),
    "thinking as it likes": (
        {"thinking": Thinking(mode="adaptive", effort="low", show="summary")},
        {
            "thinking": {"type": "adaptive", "display": "summarized"},
            "output_config": {"effort": "low"},
        },
    ),
    "thinking within a budget": (
        {"thinking": Thinking(mode="on", budget_tokens=5)},
        {"thinking": {"type": "enabled", "budget_tokens": 5}},
    ),
    "effort alone": ({"thinking": Thinking(effort="max")}, {"output_config": {"effort": "max"}}),
    "a schema": (
        {"output": Output(form="schema", schema={})},
        {"output_config": {"format": {"type": "json_schema", "schema": {}}}},
    ),
    "text": ({"output": Output(form="text")}, {}),
}


@pytest.mark.parametrize(("members", "expected"), SETTINGS.values(), ids=SETTINGS)
def test_settings_are_spelled(members: dict[str, Any], expected: dict[str, Any]) -> None:
    assert written(**members) == {"model": "claude-x", "max_tokens": 9, "messages": [], **expected}
