"""A script in a prompt: the provider calls the client's tools, one step after another."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmitm.demo.answers import Answer, answer_to
from llmitm.demo.ask import read_ask
from llmitm.demo.script import Step, Wanted, next_step
from llmitm.errors import Refused
from llmitm.exchange import Dialect
from support.provider import chat

SCRIPT = [
    {"call": "read", "arguments": {"path": "a"}},
    [{"call": "read", "arguments": {"path": "b"}}, {"call": "read", "arguments": {"path": "c"}}],
    {"say": "Both are read."},
]
SAID = f"Please do this. demo-script: {json.dumps(SCRIPT)} Thank you, with any tool."


def _turns(results: int) -> list[tuple[str, str]]:
    return [("system", "be brief"), ("user", SAID), *[("assistant", ""), ("tool", "read")] * results]


@pytest.mark.parametrize(
    ("results", "paths", "text"),
    [(0, ["a"], ""), (1, ["b", "c"], ""), (2, ["b", "c"], ""), (3, [], "Both are read."), (4, [], "")],
)
def test_the_results_that_came_back_tell_the_step(results: int, paths: list[str], text: str) -> None:
    step = next_step(_turns(results))
    assert step is not None
    assert [one.arguments for one in step.calls] == [{"path": path} for path in paths]
    assert step.text == text


def test_the_last_script_counts_and_only_a_users() -> None:
    again = ("user", 'demo-script: [{"call": "x"}]')
    assert next_step([*_turns(4), again]) == Step(calls=(Wanted("x", {}),))
    assert next_step([("system", SAID), ("user", "hello"), ("tool", SAID)]) is None


@pytest.mark.parametrize("broken", ["[", '{"call": 1}', "[1]", '[{"tool": "x"}]'])
def test_a_script_that_cannot_be_read_is_400(broken: str) -> None:
    with pytest.raises(Refused, match="demo-script") as refused:
        read_ask(Dialect.OPENAI_CHAT, {"model": "m", **chat(f"demo-script: {broken}")})
    assert refused.value.status == 400


def _answer(tools: list[dict[str, Any]], script: list[Any], **more: Any) -> Answer:
    said = f"demo-script: {json.dumps(script)}, no other tool"
    asked = {"model": "m", "input": said, "tools": tools, **more}
    return answer_to(read_ask(Dialect.OPENAI_RESPONSES, asked))


READ = {
    "type": "function",
    "name": "read",
    "parameters": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "lines": {"type": "integer"}, "why": {"type": "string"}},
        "required": ["path", "lines"],
    },
}
PATCH = {"type": "custom", "name": "patch"}


@pytest.mark.parametrize(
    ("tool", "given", "arguments"),
    [
        (READ, {"path": "a", "lines": 2}, {"path": "a", "lines": 2}),
        (READ, {"path": "a"}, {"lines": 7, "path": "a"}),
        (READ, "a", {"path": "a"}),
        (PATCH, "*** Begin", "*** Begin"),
    ],
)
def test_arguments_fit_the_tool(tool: dict[str, Any], given: Any, arguments: Any) -> None:
    answer = _answer([PATCH, READ], [{"call": tool["name"], "arguments": given}])
    assert [call.arguments for call in answer.calls] == [arguments]


def test_tools_in_a_namespace_and_among_the_input_are_called_too() -> None:
    script = [[{"call": "files__read", "arguments": {"path": "a", "lines": 1}}, {"call": "files__patch"}]]
    namespace = {"type": "namespace", "name": "files", "tools": [READ, PATCH]}
    said = {"role": "user", "content": f"demo-script: {json.dumps(script)}"}
    asked = {"model": "m", "input": [{"type": "additional_tools", "tools": [namespace]}, said]}
    calls = answer_to(read_ask(Dialect.OPENAI_RESPONSES, asked)).calls
    assert [(call.namespace, call.name, call.is_custom) for call in calls] == [
        ("files", "read", False),
        ("files", "patch", True),
    ]


def test_a_tool_that_is_not_offered_is_not_called() -> None:
    """Nor is another, although the prompt speaks of one: clients ask for titles beside."""
    script = [{"call": "write"}]
    assert _answer([READ], script).calls == ()
    assert _answer([READ], script).text.startswith("The demo provider heard you say: demo-script:")
    forced = _answer([READ], script, tool_choice="required")
    assert [call.name for call in forced.calls] == ["read"]
