"""The table of models works as data: each cell alone changes what an upstream is sent."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate.neutral import (
    Base64,
    Cache,
    Media,
    Output,
    Reasoning,
    Request,
    Settings,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
)
from llmitm.translate.pair import Translation
from llmitm.translate.target import Model
from support.fitting import (
    CHAT,
    GEMINI,
    MESSAGES,
    RESPONSES,
    VENDORS,
    asked,
    assistant,
    call,
    of_row,
    system,
    user,
)

OBJECT = {"type": "object", "properties": {}, "additionalProperties": False}
PNG = Media(kind="image", source=Base64("AAAA"), mime="image/png")
TOOL = Tool(name="f")
FORCED = ToolChoice(mode="one", name="f")
LOOP = (user("q"), assistant(call()), user(ToolResult(call_id="call_1", parts=(Text(text="ok"), PNG))))
SCHEMA = Output(form="schema", name="s", schema=OBJECT)


def settings(**told: Any) -> Request:
    return asked(settings=Settings(**told))


def thinking(**told: Any) -> Request:
    return asked(thinking=Thinking(**told))


EFFORT, BUDGET, LEVEL = Model(reasoning="effort"), Model(reasoning="budget"), Model(reasoning="level")
ADAPTIVE, TOGGLE = Model(reasoning="adaptive"), Model(reasoning="toggle")

# the cell, its row but for the cell, one value and another, the upstream, what is asked
CASES: list[tuple[str, Model, Any, Any, Dialect, Request]] = [
    ("sampling", Model(), "range", "never", CHAT, settings(temperature=1)),
    ("sampling", Model(default_effort="low"), "range", "noneff", RESPONSES, settings(top_p=1)),
    ("sampling", Model(default_effort="low"), "range", "default1", CHAT, settings(frequency=1)),
    ("max_tokens_field", Model(), "max_tokens", "max_completion_tokens", CHAT, settings(max_tokens=9)),
    ("max_output_tokens", Model(), None, 1_000, MESSAGES, asked()),
    ("default_max_tokens", Model(), 8_192, 1_000, MESSAGES, asked()),
    ("reasoning", Model(), "none", "effort", CHAT, thinking(effort="low")),
    ("reasoning", Model(), "effort", "toggle", CHAT, thinking(effort="low")),
    ("reasoning", Model(), "unknown", "adaptive", MESSAGES, thinking(effort="low")),
    ("reasoning", Model(), "budget", "level", GEMINI, thinking(effort="low")),
    ("efforts", EFFORT, ("low",), ("high",), CHAT, thinking(effort="medium")),
    ("efforts", ADAPTIVE, ("low",), ("high",), MESSAGES, thinking(effort="medium")),
    ("efforts", LEVEL, ("low",), ("high",), GEMINI, thinking(effort="medium")),
    ("off", ADAPTIVE, "disabled", "between_tools", MESSAGES, thinking(mode="off")),
    ("off", ADAPTIVE, "disabled", "cannot", MESSAGES, thinking(mode="off")),
    ("off", BUDGET, "budget0", "cannot", GEMINI, thinking(mode="off")),
    ("off", TOGGLE, "disabled", "toggle", CHAT, thinking(mode="on", budget_tokens=2_000)),
    (
        "off",
        Model(sampling="noneff", efforts=("low",)),
        "none",
        "cannot",
        CHAT,
        asked(thinking=Thinking(effort="none"), settings=Settings(temperature=1)),
    ),
    ("off_max_effort", ADAPTIVE, None, "low", MESSAGES, thinking(mode="off", effort="max")),
    ("default_effort", Model(sampling="noneff"), "none", "low", CHAT, settings(temperature=1)),
    ("default_effort", ADAPTIVE, "none", "low", MESSAGES, thinking(show="summary")),
    (
        "budget_min",
        BUDGET,
        1_024,
        4_000,
        MESSAGES,
        asked(thinking=Thinking(budget_tokens=1_024), settings=Settings(max_tokens=9_000)),
    ),
    ("budget_max", BUDGET, 32_768, 2_048, GEMINI, thinking(effort="max")),
    ("forces_tools", EFFORT, "yes", "no", MESSAGES, asked(tools=(TOOL,), tool_choice=FORCED)),
    (
        "forces_tools",
        BUDGET,
        "yes",
        "not_thinking",
        MESSAGES,
        asked(tools=(TOOL,), tool_choice=FORCED, thinking=Thinking(budget_tokens=1_024)),
    ),
    ("forces_tools", Model(), "any_only", "auto_only", CHAT, asked(tools=(TOOL,), tool_choice=FORCED)),
    ("seals", Model(), "should", "no", RESPONSES, asked()),
    ("prefill", Model(), "yes", "no", MESSAGES, asked(user("q"), assistant("so"))),
    ("has_schema_output", Model(), True, False, CHAT, asked(output=SCHEMA)),
    ("has_schema_with_tools", Model(), True, False, GEMINI, asked(output=SCHEMA, tools=(TOOL,))),
    ("has_temperature_and_top_p", Model(), True, False, MESSAGES, settings(temperature=1, top_p=1)),
    ("temperature_max", Model(), 2.0, 1.0, CHAT, settings(temperature=1.5)),
    ("takes_top_k", Model(), False, True, CHAT, settings(top_k=3)),
    ("takes_stop", Model(), True, False, CHAT, settings(stop=("a",))),
    ("takes_penalties", Model(), True, False, GEMINI, settings(presence=1)),
    (
        "takes_parallel",
        Model(),
        True,
        False,
        CHAT,
        asked(tools=(TOOL,), tool_choice=ToolChoice(parallel=False)),
    ),
    (
        "tools_need_responses",
        Model(efforts=("none", "low"), default_effort="low"),
        True,
        False,
        CHAT,
        asked(tools=(TOOL,)),
    ),
    ("takes_n", Model(), True, False, GEMINI, settings(n=2)),
    (
        "takes_developer",
        Model(),
        True,
        False,
        RESPONSES,
        asked(user("q"), system("s", at="system"), user("r")),
    ),
    ("takes_system_turns", Model(), True, False, MESSAGES, asked(user("q"), system("s"))),
    ("takes_cache_marks", Model(), True, False, CHAT, asked(user(Text(text="q", cache=Cache())))),
    (
        "takes_audio",
        Model(),
        True,
        False,
        RESPONSES,
        asked(user("q", Media(kind="audio", source=Base64("AAAA"), mime="audio/wav"))),
    ),
    ("takes_media_in_results", Model(), True, False, GEMINI, asked(*LOOP)),
    ("needs_signatures", Model(), True, False, GEMINI, asked(*LOOP)),
    (
        "sends_back_reasoning",
        Model(),
        True,
        False,
        CHAT,
        asked(user("q"), assistant(Reasoning(text="why"), call()), *LOOP[2:]),
    ),
]
WHERE_IT_GOES = {"is_responses_only"}
"""It chooses the dialect, before anything is translated."""
NO_CELL = {"family"}


def sent(request: Request, dialect: Dialect, row: Model) -> tuple[bytes | None, list[str]]:
    to = of_row(dialect, row, is_openai=VENDORS[dialect] == "openai")
    try:
        made = Translation(request, to)
    except Refused as refused:
        return None, [refused.code]
    return made.body, [warned.code for warned in made.notes.warnings]


@pytest.mark.parametrize(("cell", "row", "one", "other", "dialect", "request_"), CASES)
def test_a_cell_alone_changes_what_is_sent(
    cell: str, row: Model, one: Any, other: Any, dialect: Dialect, request_: Request
) -> None:
    bodies = [sent(request_, dialect, replace(row, **{cell: value}))[0] for value in (one, other)]
    assert bodies[0] != bodies[1]


def test_there_is_a_case_for_each_cell() -> None:
    cells = {one.name for one in fields(Model)} - NO_CELL
    assert cells - WHERE_IT_GOES == {row[0] for row in CASES}
