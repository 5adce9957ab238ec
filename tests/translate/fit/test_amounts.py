"""Amounts of reasoning: each wish in each style, held to the row."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from llmitm.exchange import Dialect
from llmitm.translate.fit.amounts import ORDER, default_effort_is_none, is_thinking, resolve, resolved_effort
from llmitm.translate.models import ROWS, find
from llmitm.translate.neutral import Thinking
from llmitm.translate.notes import Notes
from llmitm.translate.target import Model

CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI
AT = "reasoning_effort"


def resolved(
    asked: Thinking, model: str | Model, dialect: Dialect, max_tokens: int | None = None
) -> tuple[Thinking | None, list[str]]:
    """What comes out, and the codes of the warnings."""
    notes = Notes()
    row = find(model, dialect) if isinstance(model, str) else model
    made = resolve(asked, row, dialect, max_tokens=max_tokens, at=AT, notes=notes)
    assert all(warned.at == AT for warned in notes.told)
    return made, [warned.code for warned in notes.warnings]


def effort(word: str) -> Thinking:
    return Thinking(effort=word)


def budget(tokens: int) -> Thinking:
    return Thinking(budget_tokens=tokens)


def on(tokens: int) -> Thinking:
    return Thinking(mode="on", budget_tokens=tokens)


def adaptive(word: str | None = None) -> Thinking:
    return Thinking(mode="adaptive", effort=word)


OFF, ON = Thinking(mode="off"), Thinking(mode="on")
DYNAMIC = Thinking(budget_tokens="dynamic")
BETWEEN = Thinking(mode="between_tools")
SAME: list[str] = []
OTHER = ["adjusted:effort"]
TOKENS = ["adjusted:reasoning"]

EFFORTS = [
    # to a model that takes all words
    *[(effort(word), "claude-sonnet-5", MESSAGES, adaptive(word), SAME) for word in ORDER[2:]],
    (effort("none"), "claude-sonnet-5", MESSAGES, OFF, SAME),
    (effort("minimal"), "claude-sonnet-5", MESSAGES, adaptive("low"), OTHER),
    (effort("none"), "claude-sonnet-5-5", MESSAGES, BETWEEN, SAME),
    (effort("none"), "claude-opus-5-5", MESSAGES, adaptive("low"), OTHER),
    (effort("xhigh"), "claude-opus-4-6", MESSAGES, adaptive("high"), OTHER),
    (effort("max"), "claude-opus-4-6", MESSAGES, adaptive("max"), SAME),
    # budgets, with room for them
    (effort("none"), "claude-sonnet-4-5", MESSAGES, OFF, SAME),
    (effort("minimal"), "claude-sonnet-4-5", MESSAGES, on(1_024), SAME),
    (effort("low"), "claude-sonnet-4-5", MESSAGES, on(1_024), SAME),
    (effort("medium"), "claude-sonnet-4-5", MESSAGES, on(8_192), SAME),
    (effort("high"), "claude-sonnet-4-5", MESSAGES, on(24_576), SAME),
    (effort("xhigh"), "claude-sonnet-4-5", MESSAGES, on(32_768), SAME),
    (effort("max"), "claude-sonnet-4-5", MESSAGES, on(63_999), SAME),
    (effort("none"), "gemini-2.5-flash", GEMINI, budget(0), SAME),
    (effort("none"), "gemini-2.5-pro", GEMINI, budget(128), TOKENS),
    (effort("low"), "gemini-2.5-pro", GEMINI, budget(1_024), SAME),
    (effort("xhigh"), "gemini-2.5-pro", GEMINI, budget(32_768), SAME),
    (effort("xhigh"), "gemini-2.5-flash", GEMINI, budget(24_576), TOKENS),
    (effort("max"), "gemini-2.5-flash", GEMINI, budget(24_576), SAME),
    # levels
    (effort("none"), "gemini-3.6-flash", GEMINI, effort("minimal"), SAME),
    (effort("none"), "gemini-3.8-flash", GEMINI, effort("low"), OTHER),
    (effort("minimal"), "gemini-3.6-flash", GEMINI, effort("minimal"), SAME),
    (effort("minimal"), "gemini-3.8-flash", GEMINI, effort("low"), OTHER),
    (effort("medium"), "gemini-3.8-flash", GEMINI, effort("medium"), SAME),
    (effort("xhigh"), "gemini-3.8-flash", GEMINI, effort("high"), OTHER),
    (effort("max"), "gemini-4-argon", GEMINI, effort("high"), OTHER),
    (effort("max"), "gemini-4-hydrogen", GEMINI, effort("xhigh"), OTHER),
    # toggles
    (effort("none"), "kimi-k3", CHAT, OFF, SAME),
    (effort("minimal"), "kimi-k3", CHAT, ON, SAME),
    (effort("max"), "glm-5", CHAT, ON, SAME),
    (effort("max"), "deepseek-v4", CHAT, Thinking(mode="on", effort="max"), SAME),
    (effort("low"), "deepseek-v4", CHAT, Thinking(mode="on", effort="high"), OTHER),
    # efforts
    (effort("minimal"), "gpt-5.6", RESPONSES, effort("low"), OTHER),
    (effort("minimal"), "gpt-5", CHAT, effort("minimal"), SAME),
    (effort("none"), "gpt-5", CHAT, effort("minimal"), OTHER),
    (effort("none"), "gpt-5.6", CHAT, effort("none"), SAME),
    (effort("max"), "gpt-5.5", CHAT, effort("xhigh"), OTHER),
    (effort("low"), "gpt-5.5-pro", RESPONSES, effort("medium"), OTHER),
    (effort("low"), "mistral-large", CHAT, effort("high"), OTHER),
    # nothing known of the model
    (effort("minimal"), "llama", CHAT, effort("minimal"), SAME),
    (effort("high"), "anthropic/claude-sonnet-5", CHAT, effort("high"), SAME),
    (effort("none"), "anthropic/claude-sonnet-5", CHAT, effort("none"), SAME),
    (effort("low"), "llama", MESSAGES, on(1_024), SAME),
    (effort("none"), "llama", MESSAGES, OFF, SAME),
    (effort("medium"), "gemini-flash-latest", GEMINI, effort("medium"), SAME),
    # no amount that anybody knows
    (effort("furious"), "gpt-5", CHAT, effort("furious"), SAME),
    (effort("furious"), "claude-sonnet-5", MESSAGES, adaptive(), ["lost:effort"]),
    (effort("furious"), "claude-sonnet-4-5", MESSAGES, None, ["lost:effort"]),
    (effort("furious"), "gemini-3.8-flash", GEMINI, None, ["lost:effort"]),
    (effort("furious"), "gemini-2.5-pro", GEMINI, None, ["lost:effort"]),
    # models that do not reason
    (effort("high"), "gpt-4o", CHAT, None, ["lost:reasoning"]),
    (effort("none"), "gpt-4o", CHAT, None, SAME),
    (OFF, "claude-3-5-haiku", MESSAGES, None, SAME),
]

BUDGETS = [
    (budget(0), "gpt-5.6", CHAT, effort("none"), SAME),
    (OFF, "gpt-5", CHAT, effort("minimal"), OTHER),
    *[
        (budget(tokens), "gpt-5.6", RESPONSES, effort(word), SAME)
        for tokens, word in [
            (1, "low"),
            (2_047, "low"),
            (2_048, "medium"),
            (16_383, "medium"),
            (16_384, "high"),
            (32_767, "high"),
            (32_768, "xhigh"),
        ]
    ],
    (DYNAMIC, "gpt-5.6", CHAT, None, SAME),
    (budget(-1), "gpt-5.6", CHAT, None, SAME),
    (adaptive(), "gpt-5.6", CHAT, None, SAME),
    (adaptive("xhigh"), "gpt-5.6", CHAT, effort("xhigh"), SAME),
    (Thinking(mode="off", effort="high"), "gpt-5.6", CHAT, effort("none"), SAME),
    (BETWEEN, "gpt-5.6", CHAT, effort("none"), SAME),
    (BETWEEN, "gpt-6-astra", CHAT, effort("low"), OTHER),
    (effort("minimal"), "gpt-6-astra", CHAT, effort("low"), OTHER),
    # both: an effort rules where words are told, a budget where tokens are
    (Thinking(effort="low", budget_tokens=20_000), "gpt-5.6", CHAT, effort("low"), SAME),
    (Thinking(effort="low", budget_tokens=20_000), "claude-opus-5", MESSAGES, adaptive("low"), SAME),
    (Thinking(effort="low", budget_tokens=20_000), "claude-opus-4-5", MESSAGES, on(20_000), SAME),
    (Thinking(effort="none", budget_tokens=2_000), "gemini-2.5-pro", GEMINI, budget(2_000), SAME),
    (Thinking(effort="high", budget_tokens=0), "gemini-2.5-flash", GEMINI, budget(0), SAME),
    # tokens to tokens
    (budget(500), "claude-sonnet-4-5", MESSAGES, on(1_024), TOKENS),
    (budget(90_000), "claude-sonnet-4-5", MESSAGES, on(63_999), TOKENS),
    (budget(90_000), "llama", MESSAGES, on(90_000), SAME),
    (DYNAMIC, "claude-sonnet-4-5", MESSAGES, on(8_192), TOKENS),
    (DYNAMIC, "gemini-2.5-pro", GEMINI, DYNAMIC, SAME),
    (adaptive(), "gemini-2.5-pro", GEMINI, DYNAMIC, SAME),
    (budget(100), "gemini-2.5-pro", GEMINI, budget(128), TOKENS),
    (budget(100), "gemini-2.5-flash-lite", GEMINI, budget(512), TOKENS),
    (budget(100), "gemini-2.5-flash", GEMINI, budget(100), SAME),
    # tokens to levels and to adaptive models
    (budget(20_000), "gemini-3.8-flash", GEMINI, effort("high"), SAME),
    (DYNAMIC, "gemini-3.8-flash", GEMINI, None, SAME),
    (on(4_000), "claude-opus-5", MESSAGES, adaptive("medium"), SAME),
    (DYNAMIC, "claude-opus-5", MESSAGES, adaptive(), SAME),
    (ON, "claude-opus-5", MESSAGES, adaptive(), SAME),
    (OFF, "claude-opus-5", MESSAGES, OFF, SAME),
    (OFF, "claude-fable-5", MESSAGES, adaptive("low"), OTHER),
    (Thinking(mode="off", effort="max"), "claude-opus-5", MESSAGES, replace(OFF, effort="high"), OTHER),
    (Thinking(mode="off", effort="max"), "claude-sonnet-5", MESSAGES, replace(OFF, effort="max"), SAME),
    (
        Thinking(mode="off", effort="max"),
        "claude-sonnet-5-5",
        MESSAGES,
        replace(BETWEEN, effort="high"),
        OTHER,
    ),
    # tokens to toggles
    (budget(500), "qwen3-max", CHAT, on(500), SAME),
    (budget(500), "kimi-k3", CHAT, ON, SAME),
    (DYNAMIC, "deepseek-v4", CHAT, ON, SAME),
    (BETWEEN, "glm-5", CHAT, OFF, SAME),
]


@pytest.mark.parametrize(("asked", "model", "dialect", "expected", "warnings"), [*EFFORTS, *BUDGETS])
def test_amounts(
    asked: Thinking, model: str, dialect: Dialect, expected: Thinking | None, warnings: list[str]
) -> None:
    assert resolved(asked, model, dialect, max_tokens=200_000) == (expected, warnings)


LIMITS = [
    (effort("high"), "claude-sonnet-4-5", MESSAGES, None, on(24_576), SAME),
    (effort("xhigh"), "claude-sonnet-4-5", MESSAGES, None, on(25_600), SAME),
    (effort("high"), "claude-sonnet-4-5", MESSAGES, 10_001, on(8_000), SAME),
    (budget(9_000), "claude-sonnet-4-5", MESSAGES, 10_000, on(8_000), TOKENS),
    (effort("high"), "claude-sonnet-4-5", MESSAGES, 1_280, on(1_024), SAME),
    (effort("high"), "claude-sonnet-4-5", MESSAGES, 1_279, None, TOKENS),
    (effort("none"), "claude-sonnet-4-5", MESSAGES, 10, OFF, SAME),
    (effort("high"), "llama", MESSAGES, None, on(6_553), SAME),
    (effort("high"), "gemini-2.5-pro", GEMINI, None, budget(24_576), SAME),
    (effort("high"), "gemini-2.5-pro", GEMINI, 10_000, budget(8_000), SAME),
    (effort("high"), "gemini-2.5-pro", GEMINI, 1_000, None, TOKENS),
    (DYNAMIC, "gemini-2.5-pro", GEMINI, 1_000, DYNAMIC, SAME),
    (effort("high"), "claude-opus-5", MESSAGES, 10, adaptive("high"), SAME),
]


@pytest.mark.parametrize(("asked", "model", "dialect", "limit", "expected", "warnings"), LIMITS)
def test_thinking_fits_inside_the_limit(
    asked: Thinking,
    model: str,
    dialect: Dialect,
    limit: int | None,
    expected: Thinking | None,
    warnings: list[str],
) -> None:
    assert resolved(asked, model, dialect, limit) == (expected, warnings)


SHOWN = Thinking(show="summary", show_word="detailed")
SHOWS = [
    (replace(SHOWN, effort="low"), "gpt-5.6", RESPONSES, replace(SHOWN, effort="low")),
    (replace(SHOWN, effort="none"), "gpt-5.6", RESPONSES, effort("none")),
    (replace(SHOWN, budget_tokens="dynamic"), "gpt-5.6", RESPONSES, SHOWN),
    (SHOWN, "gpt-5.6", RESPONSES, SHOWN),
    (SHOWN, "claude-opus-5", MESSAGES, replace(SHOWN, mode="adaptive")),
    (SHOWN, "claude-opus-4-8", MESSAGES, None),
    (SHOWN, "claude-sonnet-4-5", MESSAGES, None),
    (SHOWN, "kimi-k3", CHAT, None),
    (SHOWN, "gpt-4o", RESPONSES, None),
    (
        replace(SHOWN, effort="low"),
        "claude-sonnet-4-5",
        MESSAGES,
        replace(SHOWN, mode="on", budget_tokens=1_024),
    ),
    (replace(SHOWN, effort="none"), "claude-sonnet-4-5", MESSAGES, OFF),
    (SHOWN, "gemini-3.8-flash", GEMINI, SHOWN),
    (SHOWN, "gemini-2.5-pro", GEMINI, SHOWN),
    (Thinking(show="none"), "gemini-2.5-pro", GEMINI, None),
    (Thinking(show="none", effort="low"), "gpt-5.6", RESPONSES, effort("low")),
    (Thinking(), "claude-opus-5", MESSAGES, None),
]


@pytest.mark.parametrize(("asked", "model", "dialect", "expected"), SHOWS)
def test_what_is_shown_stays_as_it_was_asked(
    asked: Thinking, model: str, dialect: Dialect, expected: Thinking | None
) -> None:
    assert resolved(asked, model, dialect) == (expected, SAME)


def test_the_warning_tells_from_what_to_what() -> None:
    notes = Notes()
    resolve(effort("minimal"), find("gpt-5.6", CHAT), CHAT, max_tokens=None, at=AT, notes=notes)
    assert notes.header() == b'"adjusted:effort";at="reasoning_effort";from="minimal";to="low"'


IN_FORCE = [
    (None, "gpt-5", "medium"),
    (None, "gpt-5.4", "none"),
    (None, "llama", None),
    (Thinking(show="summary"), "gpt-5.1", "none"),
    (effort("minimal"), "gpt-5.6", "low"),
    (OFF, "gpt-5.6", "none"),
    (OFF, "gpt-5", "minimal"),
    (OFF, "claude-sonnet-5", "none"),
    (OFF, "claude-opus-5-5", "low"),
    (OFF, "gemini-3.6-flash", "minimal"),
    (budget(20_000), "gpt-5.6", "high"),
    (DYNAMIC, "gpt-5.6", "medium"),
]


@pytest.mark.parametrize(("asked", "model", "expected"), IN_FORCE)
def test_the_effort_in_force(asked: Thinking | None, model: str, expected: str | None) -> None:
    assert resolved_effort(asked, find(model, RESPONSES)) == expected


def test_the_default_effort_decides_where_nothing_is_said() -> None:
    assert default_effort_is_none(find("gpt-5.4", CHAT))
    assert not default_effort_is_none(find("gpt-5.5", CHAT))
    assert not default_effort_is_none(find("llama", CHAT))


THINKS = [
    (None, "gpt-4o", CHAT, False),
    (None, "gpt-5", CHAT, True),
    (None, "gpt-5.1", CHAT, False),
    (None, "kimi-k3", CHAT, True),
    (None, "llama", CHAT, False),
    (None, "claude-opus-5", MESSAGES, True),
    (None, "claude-opus-4-6", MESSAGES, False),
    (OFF, "kimi-k3", CHAT, False),
    (effort("none"), "gpt-5.6", CHAT, False),
    (effort("low"), "gpt-5.1", CHAT, True),
    (budget(0), "gemini-2.5-flash", GEMINI, False),
    (on(1_024), "claude-opus-4-5", MESSAGES, True),
    (on(1_024), "llama", MESSAGES, True),
    (Thinking(show="summary"), "gpt-5.1", RESPONSES, False),
]


@pytest.mark.parametrize(("thinking", "model", "dialect", "expected"), THINKS)
def test_whether_it_thinks(thinking: Thinking | None, model: str, dialect: Dialect, expected: bool) -> None:
    assert is_thinking(thinking, find(model, dialect)) is expected


WISHES = [
    Thinking(effort=word, budget_tokens=tokens, mode=mode, show=show)
    for word, tokens, mode, show in product(
        (None, *ORDER, "furious"),
        (None, "dynamic", -5, 0, 1, 10_000, 10**9),
        (None, "off", "on", "adaptive", "between_tools"),
        (None, "summary"),
    )
]


@pytest.mark.parametrize("dialect", list(Dialect))
def test_every_wish_comes_out_in_the_style_of_its_target(dialect: Dialect) -> None:
    for row in (*(one.model for one in ROWS), find("llama", dialect)):
        for asked in WISHES:
            made, _ = resolved(asked, row, dialect, 9_999)
            if made is None:
                continue
            if dialect is MESSAGES:
                assert made.mode is not None
                assert (made.budget_tokens is not None) == (made.mode == "on")
                assert made.budget_tokens is None or 1_024 <= int(made.budget_tokens) < 9_999
            elif dialect is GEMINI:
                assert made.mode is None
                assert None in (made.effort, made.budget_tokens)
                assert made.budget_tokens is None or row.reasoning == "budget"
            else:
                assert (made.mode is None) or (dialect is CHAT and row.reasoning == "toggle")
            assert made.effort in (None, "furious", *(row.efforts or ORDER), *ORDER)
