"""The table of models: each row by a name of its own, each rule by which a row is found."""

from __future__ import annotations

from dataclasses import fields
from fnmatch import fnmatchcase
from typing import Any

import pytest

from llmitm.exchange import Dialect
from llmitm.translate.models import ROWS, UNKNOWN, bare, checked, find, overridden
from llmitm.translate.target import Model

CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI
LOW_HIGH = ("low", "medium", "high")
LOW_XHIGH = (*LOW_HIGH, "xhigh")
LOW_MAX = (*LOW_XHIGH, "max")

# model, samp, reasoning, efforts, off, default effort, force, seals, prefill
OPENAI = [
    ("gpt-6-astra", "never", LOW_MAX, "cannot", "medium"),
    ("gpt-6.1-sol", "never", LOW_MAX, "cannot", "medium"),
    ("gpt-6-sol", "noneff", ("none", *LOW_MAX), "none", "medium"),
    ("gpt-6-luna", "noneff", ("none", *LOW_MAX), "none", "medium"),
    ("gpt-6.1-terra", "noneff", ("none", *LOW_MAX), "none", "medium"),
    ("gpt-5.6-sol", "noneff", ("none", *LOW_MAX), "none", "medium"),
    ("gpt-5.5", "noneff", ("none", *LOW_XHIGH), "none", "medium"),
    ("gpt-5.4", "noneff", ("none", *LOW_XHIGH), "none", "none"),
    ("gpt-5.4-mini", "noneff", ("none", *LOW_XHIGH), "none", "none"),
    ("gpt-5.2", "noneff", ("none", *LOW_XHIGH), "none", "none"),
    ("gpt-5.3-x", "noneff", ("none", *LOW_XHIGH), "none", "none"),
    ("gpt-5.1", "noneff", ("none", *LOW_HIGH), "none", "none"),
    ("gpt-5", "never", ("minimal", *LOW_HIGH), "cannot", "medium"),
    ("gpt-5-mini", "never", ("minimal", *LOW_HIGH), "cannot", "medium"),
    ("gpt-5-nano-2025-08-07", "never", ("minimal", *LOW_HIGH), "cannot", "medium"),
    ("gpt-5-pro", "never", ("high",), "cannot", "high"),
    ("gpt-5.5-pro", "never", ("medium", "high", "xhigh"), "cannot", "high"),
    ("gpt-5-codex", "never", LOW_HIGH, "cannot", "medium"),
    ("gpt-5.1-codex-mini", "never", LOW_HIGH, "cannot", "medium"),
    ("gpt-5.1-codex-max", "never", LOW_XHIGH, "cannot", "medium"),
    ("gpt-5.3-codex", "never", LOW_XHIGH, "cannot", "medium"),
    ("o4-mini-deep-research", "never", ("medium",), "cannot", "medium"),
    ("o3", "never", LOW_HIGH, "cannot", "medium"),
    ("o4-mini", "never", LOW_HIGH, "cannot", "medium"),
    ("o1", "never", LOW_HIGH, "cannot", "medium"),
    ("o3-pro", "never", LOW_HIGH, "cannot", "medium"),
]


@pytest.mark.parametrize(("model", "sampling", "efforts", "off", "default"), OPENAI)
def test_reasoning_models_of_openai(
    model: str, sampling: str, efforts: tuple[str, ...], off: str, default: str
) -> None:
    row = find(model, RESPONSES)
    assert (row.sampling, row.efforts, row.off, row.default_effort) == (sampling, efforts, off, default)
    assert (row.reasoning, row.seals, row.forces_tools, row.takes_developer) == (
        "effort",
        "should",
        "yes",
        True,
    )


@pytest.mark.parametrize("model", ["gpt-4.1-mini", "gpt-4o", "gpt-audio", "gpt-4o-audio-preview"])
def test_openai_models_that_do_not_reason(model: str) -> None:
    row = find(model, CHAT)
    assert (row.sampling, row.reasoning, row.max_tokens_field) == ("range", "none", "max_completion_tokens")
    assert row.takes_audio == ("audio" in model)
    assert not row.takes_developer


CLAUDE = [
    ("claude-fable-5", "never", "adaptive", LOW_MAX, "cannot", "high", "no", "no", True),
    ("claude-mythos-5-1", "never", "adaptive", LOW_MAX, "cannot", "high", "no", "no", True),
    ("claude-opus-5-5", "never", "adaptive", LOW_MAX, "cannot", "medium", "no", "no", True),
    ("claude-sonnet-5-5", "never", "adaptive", LOW_MAX, "between_tools", "high", "no", "no", True),
    ("claude-haiku-5-5", "never", "adaptive", LOW_MAX, "disabled", "medium", "no", "no", True),
    ("claude-opus-5", "never", "adaptive", LOW_MAX, "disabled", "high", "yes", "no", True),
    ("claude-sonnet-5", "never", "adaptive", LOW_MAX, "disabled", "high", "yes", "no", True),
    ("claude-opus-4-8", "never", "adaptive", LOW_MAX, "disabled", "none", "yes", "no", False),
    ("claude-opus-4-7", "never", "adaptive", LOW_MAX, "disabled", "none", "yes", "no", False),
    (
        "claude-sonnet-4-6",
        "range",
        "adaptive",
        (*LOW_HIGH, "max"),
        "disabled",
        "none",
        "not_thinking",
        "no",
        False,
    ),
    (
        "claude-opus-4-5",
        "range",
        "budget",
        LOW_HIGH,
        "disabled",
        "none",
        "not_thinking",
        "not_thinking",
        False,
    ),
    ("claude-sonnet-4-5", "range", "budget", (), "disabled", "none", "not_thinking", "not_thinking", False),
    ("claude-haiku-4-5", "range", "budget", (), "disabled", "none", "not_thinking", "not_thinking", False),
]


@pytest.mark.parametrize(
    ("model", "sampling", "reasoning", "efforts", "off", "default", "force", "prefill", "system"), CLAUDE
)
def test_models_of_anthropic(
    model: str,
    sampling: str,
    reasoning: str,
    efforts: tuple[str, ...],
    off: str,
    default: str,
    force: str,
    prefill: str,
    system: bool,
) -> None:
    row = find(model, MESSAGES)
    assert (row.sampling, row.reasoning, row.efforts, row.off) == (sampling, reasoning, efforts, off)
    assert (row.default_effort, row.forces_tools, row.prefill) == (default, force, prefill)
    assert (row.temperature_max, row.has_temperature_and_top_p, row.seals) == (1.0, False, "must")
    assert row.takes_system_turns == system
    assert row.default_max_tokens == 32_000


GOOGLE = [
    ("gemini-4-carbon", "never", "level", LOW_HIGH, "cannot", None, "must", "no"),
    ("gemini-4-argon", "never", "level", LOW_HIGH, "cannot", "medium", "must", "no"),
    ("gemini-4-neon", "never", "level", LOW_HIGH, "cannot", "high", "must", "no"),
    ("gemini-4-hydrogen", "never", "level", LOW_XHIGH, "cannot", None, "must", "no"),
    ("gemini-3.7-flash", "range", "level", LOW_HIGH, "cannot", "medium", "must", "no"),
    ("gemini-3.8-flash", "range", "level", LOW_HIGH, "cannot", "medium", "must", "no"),
    ("gemini-3.9-flash", "range", "level", LOW_HIGH, "cannot", "medium", "must", "no"),
    ("gemini-3.1-pro-preview", "range", "level", LOW_HIGH, "cannot", "high", "must", "yes"),
    ("gemini-3-flash-preview", "range", "level", ("minimal", *LOW_HIGH), "minimal", None, "must", "yes"),
    ("gemini-3.1-flash-lite", "range", "level", ("minimal", *LOW_HIGH), "minimal", "minimal", "must", "yes"),
    ("gemini-3.5-flash", "range", "level", ("minimal", *LOW_HIGH), "minimal", "medium", "must", "yes"),
    ("gemini-3.5-flash-lite", "range", "level", ("minimal", *LOW_HIGH), "minimal", "minimal", "must", "no"),
    ("gemini-3.6-flash", "range", "level", ("minimal", *LOW_HIGH), "minimal", "medium", "must", "no"),
    ("gemini-2.5-pro", "range", "budget", (), "cannot", None, "should", "yes"),
    ("gemini-2.5-flash", "range", "budget", (), "budget0", None, "should", "yes"),
    ("gemini-2.5-flash-lite", "range", "budget", (), "budget0", "none", "should", "yes"),
]


@pytest.mark.parametrize(
    ("model", "sampling", "reasoning", "efforts", "off", "default", "seals", "prefill"), GOOGLE
)
def test_models_of_google(
    model: str,
    sampling: str,
    reasoning: str,
    efforts: tuple[str, ...],
    off: str,
    default: str | None,
    seals: str,
    prefill: str,
) -> None:
    row = find(model, GEMINI)
    assert (row.sampling, row.reasoning, row.efforts, row.off) == (sampling, reasoning, efforts, off)
    assert (row.default_effort, row.seals, row.prefill) == (default, seals, prefill)
    is_old = model.startswith("gemini-2")
    assert row.needs_signatures is row.takes_media_in_results is row.has_schema_with_tools is not is_old
    assert row.takes_n == row.takes_penalties != model.startswith("gemini-4")


BUDGETS = [
    ("gemini-2.5-pro", 128, 32_768),
    ("gemini-2.5-flash", 0, 24_576),
    ("gemini-2.5-flash-lite", 512, 24_576),
]


@pytest.mark.parametrize(("model", "least", "most"), BUDGETS)
def test_budgets_of_google(model: str, least: int, most: int) -> None:
    row = find(model, GEMINI)
    assert (row.budget_min, row.budget_max) == (least, most)


OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("deepseek-v4-pro", {"reasoning": "toggle", "off": "disabled", "forces_tools": "not_thinking"}),
    ("deepseek-v4-pro", {"efforts": ("high", "max"), "prefill": "yes", "sends_back_reasoning": True}),
    ("kimi-k2.5", {"sampling": "default1", "max_tokens_field": "max_completion_tokens"}),
    ("kimi-k3", {"reasoning": "toggle", "forces_tools": "auto_only", "sends_back_reasoning": True}),
    ("glm-5", {"reasoning": "toggle", "off": "disabled", "sends_back_reasoning": True}),
    ("glm-5.3", {"reasoning": "effort", "efforts": ("low", "high", "max"), "off": "cannot"}),
    ("qwen3-max", {"reasoning": "toggle", "off": "toggle", "sends_back_reasoning": True}),
    ("minimax-m3", {"reasoning": "toggle", "sends_back_reasoning": True}),
    ("grok-4.3", {"efforts": ("none", *LOW_HIGH), "takes_stop": False, "takes_penalties": False}),
    ("magistral-medium", {"efforts": ("none", "high"), "forces_tools": "any_only", "prefill": "prefix"}),
    ("mistral-large-2512", {"reasoning": "effort", "max_tokens_field": "max_tokens"}),
    ("ministral-8b", {"reasoning": "effort"}),
    ("gpt-oss-120b", {"efforts": LOW_HIGH, "off": "cannot", "max_tokens_field": "max_tokens"}),
    ("claude-opus-4-1", {"reasoning": "budget", "max_output_tokens": 32_000, "default_max_tokens": 8_192}),
    ("claude-3-5-haiku", {"reasoning": "none", "max_output_tokens": 8_192}),
    ("claude-3-haiku-20240307", {"max_output_tokens": 4_096, "default_max_tokens": 4_096}),
    ("claude-sonnet-5", {"max_output_tokens": 128_000, "off_max_effort": None}),
    ("claude-opus-5", {"off_max_effort": "high"}),
    ("claude-sonnet-5-5", {"off_max_effort": "high"}),
    ("claude-haiku-4-5", {"max_output_tokens": 64_000}),
    ("o3-mini", {"takes_stop": False, "takes_parallel": False, "max_tokens_field": "max_completion_tokens"}),
    ("gpt-5.6", {"takes_cache_marks": True, "tools_need_responses": True}),
    ("gpt-5.5", {"takes_cache_marks": False, "tools_need_responses": True}),
    ("gpt-5.2", {"tools_need_responses": False}),
    ("gpt-5.3-codex", {"is_responses_only": True, "max_tokens_field": "max_output_tokens"}),
    ("gpt-4-turbo", {"has_schema_output": False}),
    ("gemini-2.0-flash", {"reasoning": "none", "takes_media_in_results": False}),
]


@pytest.mark.parametrize(("model", "cells"), OTHERS)
def test_cells(model: str, cells: dict[str, Any]) -> None:
    row = find(model, CHAT)
    assert {name: getattr(row, name) for name in cells} == cells


def test_every_glob_finds_a_row_and_every_row_can_be_found() -> None:
    for row in ROWS:
        name = row.globs[0].replace("[1-9]", "3").replace("[6-9]", "7").replace("*", "")
        assert fnmatchcase(name, row.globs[0])
        assert find(name, RESPONSES).family == row.globs[0].rstrip("*-")


NAMES = [
    ("GPT-5.6-Sol", "gpt-5.6-sol"),
    ("openrouter/anthropic/claude-opus-4.5", "claude-opus-4-5"),
    ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
    ("eu.anthropic.claude-opus-5-v1:0", "claude-opus-5"),
    ("global.anthropic.claude-haiku-4-5", "claude-haiku-4-5"),
    ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
    ("models/gemini-3.8-flash", "gemini-3.8-flash"),
    ("models.gemini-3.8-flash", "gemini-3.8-flash"),
    ("deepseek/deepseek-v4:free", "deepseek-v4"),
    ("claude-opus-4-8-v1", "claude-opus-4-8"),
    ("gpt-5-mini-2025-08-07", "gpt-5-mini"),
    ("gpt-5-chat-latest", "gpt-5-chat-latest"),
    ("", ""),
    (":free", ":free"),
    ("@", "@"),
]


@pytest.mark.parametrize(("model", "name"), NAMES)
def test_what_a_route_or_a_cloud_adds_is_no_part_of_the_name(model: str, name: str) -> None:
    assert bare(model) == name


NEWER = [
    ("claude-opus-6", "claude-opus-5-5"),
    ("claude-opus-5-10", "claude-opus-5-5"),
    ("claude-sonnet-6-1-20271101", "claude-sonnet-5-5"),
    ("claude-haiku-6", "claude-haiku-5-5"),
    ("claude-fable-7", "claude-fable-5"),
    ("gpt-7-sol", "gpt-6"),
    ("gpt-10", "gpt-6"),
    ("gpt-6.2", "gpt-6"),
    ("gpt-6.2-sol", "gpt-6.1-sol"),
    ("gemini-5-krypton", "gemini-4"),
    ("gemini-4.5-flash", "gemini-4"),
    ("kimi-k4", "kimi-k2"),
]


@pytest.mark.parametrize(("model", "family"), NEWER)
def test_a_newer_number_takes_the_newest_row_of_its_line(model: str, family: str) -> None:
    assert find(model, CHAT).family == family


def test_the_longest_row_wins() -> None:
    row = find("gpt-5-chat-latest", CHAT)
    assert (row.sampling, row.reasoning) == ("range", "none")
    assert find("gpt-5.2-chat-latest", CHAT).sampling == "range"


def test_temperature_is_never_for_the_newer_claudes() -> None:
    assert {find(f"claude-{name}", MESSAGES).sampling for name in ("opus-4-7", "sonnet-5", "opus-6")} == {
        "never"
    }


def test_the_newer_gpts_have_no_minimal() -> None:
    assert "minimal" not in find("gpt-5.6", RESPONSES).efforts


def test_some_cells_depend_on_the_api() -> None:
    assert "max" in find("gpt-6.1-sol", RESPONSES).efforts
    assert "max" not in find("gpt-6.1-sol", CHAT).efforts
    assert find("deepseek-v4", CHAT).temperature_max == 2.0
    assert find("deepseek-v4", MESSAGES).temperature_max == 1.0


@pytest.mark.parametrize("model", ["llama-4", "", "gpt", "claude-next", "gpt-2", "claude-instant-1"])
def test_unknown_models(model: str) -> None:
    for dialect in Dialect:
        assert find(model, dialect) == UNKNOWN[dialect]
        assert find(model, dialect).reasoning == "unknown"
    assert find(model, MESSAGES).temperature_max == 1.0
    assert find(model, MESSAGES).default_max_tokens == 8_192
    assert find(model, GEMINI).max_tokens_field == "maxOutputTokens"


def test_overrides_replace_cells_the_longest_glob_last() -> None:
    overrides: dict[str, dict[str, Any]] = {
        "llama-4-*": {"takes_top_k": False, "efforts": ["low"]},
        "llama*": {"takes_top_k": True, "temperature_max": 1, "max_output_tokens": 4_096},
        "Groq/*": {"takes_audio": True},
    }
    row = overridden(find("groq/llama-4-scout", CHAT), "groq/llama-4-scout", overrides)
    assert (row.takes_top_k, row.efforts, row.temperature_max) == (False, ("low",), 1.0)
    assert (row.max_output_tokens, row.takes_audio) == (4_096, True)
    assert overridden(find("gpt-5", CHAT), "gpt-5", overrides) == find("gpt-5", CHAT)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"smapling": "never"}, "smapling"),
    ({"family": "mine"}, "family"),
    ({"sampling": "sometimes"}, "sampling"),
    ({"sampling": 1}, "sampling"),
    ({"takes_stop": 1}, "takes_stop"),
    ({"budget_min": True}, "budget_min"),
    ({"budget_min": "7"}, "budget_min"),
    ({"temperature_max": "1"}, "temperature_max"),
    ({"efforts": "low"}, "efforts"),
    ({"efforts": [1]}, "efforts"),
    ({"default_effort": 1}, "default_effort"),
    ({"max_output_tokens": 1.5}, "max_output_tokens"),
]


@pytest.mark.parametrize(("cells", "named"), WRONG)
def test_wrong_overrides_are_named_whichever_model_is_asked_for(cells: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=rf"'x\*': .*{named}"):
        overridden(Model(), "gpt-5", {"x*": cells})


def test_every_cell_can_be_overridden_by_its_own_value() -> None:
    cells = {one.name: getattr(Model(), one.name) for one in fields(Model) if one.name != "family"}
    assert checked(cells) == cells
