"""Where an upstream's complaint lies in the client's own request; nothing where that is not known."""

from __future__ import annotations

from typing import Any

import pytest

from llmitm.exchange import Dialect
from llmitm.translate.blame import place_of
from llmitm.translate.neutral import HostedTool, Output, Tool
from support.fitting import CHAT, GEMINI, MESSAGES, RESPONSES, asked

TOOLS = (Tool(name="f", at="tools[0]", schema_at="tools[0].parameters"), Tool(name="g", at="tools[1]"))
HOSTED = HostedTool(vendor="openai", type="web_search", raw="{}", at="tools[0]")
SPELLED: dict[str, Any] = {"paths": {"max_tokens": "max_output_tokens", "thinking": "reasoning"}}

# the rule, the upstream's word, its dialect, the client's, what the client had asked, the client's place
PLACES: list[tuple[str, str | None, Dialect, Dialect, dict[str, Any], str | None]] = [
    ("no complaint", None, CHAT, RESPONSES, {}, None),
    ("a member of both", "model", CHAT, RESPONSES, {}, "model"),
    ("a setting by its other name", "max_completion_tokens", CHAT, RESPONSES, SPELLED, "max_output_tokens"),
    ("one that the client did not say", "temperature", CHAT, RESPONSES, SPELLED, None),
    ("an effort where it was said otherwise", "reasoning_effort", CHAT, RESPONSES, SPELLED, "reasoning"),
    ("the turns", "messages", CHAT, RESPONSES, {}, "input"),
    ("and back", "input", RESPONSES, CHAT, {}, "messages"),
    ("but not one of them", "messages[1].content", CHAT, RESPONSES, {}, None),
    (
        "an output",
        "text.format.schema",
        RESPONSES,
        CHAT,
        {"output": Output(form="json", at="response_format")},
        "response_format",
    ),
    ("that nobody wanted", "response_format", CHAT, RESPONSES, {}, None),
    ("a tool", "tools[1].function.name", CHAT, RESPONSES, {"tools": TOOLS}, "tools[1]"),
    ("its schema", "tools[0].function.parameters", CHAT, RESPONSES, {"tools": TOOLS}, "tools[0].parameters"),
    (
        "or the tool where that has no place",
        "tools[1].parameters",
        RESPONSES,
        CHAT,
        {"tools": TOOLS},
        "tools[1]",
    ),
    ("a tool too many", "tools[2]", RESPONSES, CHAT, {"tools": TOOLS}, None),
    ("tools among which some were left out", "tools[0]", CHAT, RESPONSES, {"tools": (HOSTED, *TOOLS)}, None),
    ("an unknown member", "odd.one", CHAT, RESPONSES, {}, None),
    (
        "what others complain of has no place",
        "temperature",
        GEMINI,
        CHAT,
        {"paths": {"temperature": "temperature"}},
        None,
    ),
    ("nor have others' clients", "model", CHAT, MESSAGES, {}, None),
]


@pytest.mark.parametrize(
    ("param", "upstream", "client", "more", "place"),
    [row[1:] for row in PLACES],
    ids=[row[0] for row in PLACES],
)
def test_each_place(
    param: str | None, upstream: Dialect, client: Dialect, more: dict[str, Any], place: str | None
) -> None:
    assert place_of(param, upstream, asked(dialect=client, **more)) == place
