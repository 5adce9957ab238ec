"""Reasoning in history: to its maker byte-equal, to hosts that want it as text, to nobody else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmitm.translate.fit.seals import SKIP_SIGNATURE, is_own, lacks_signature
from llmitm.translate.neutral import Part, Reasoning, Refusal, Sealed, Text, Thinking, ToolResult, Turn
from llmitm.translate.target import Target
from support.fitting import CHAT, GEMINI, MESSAGES, RESPONSES, asked, assistant, call, fitted, target, user

RESULT = ToolResult(call_id="call_1", at="result")
GOOGLE = Sealed(vendor="google", kind="part", data="sig")
ANTHROPIC = Sealed(vendor="anthropic", kind="thinking", data="sig")
OPENAI = Sealed(vendor="openai", kind="encrypted", data="enc")
XAI = replace(OPENAI, vendor="xai")
UNSEALED = Sealed(vendor="anthropic", kind="thinking")
DUMMY = Sealed(vendor="google", kind="part", data=SKIP_SIGNATURE)
LOST = ["lost:foreign-reasoning at r"]
NOTED = ["note:foreign-reasoning at r"]
HOST: dict[str, Any] = {"vendor": "moonshot", "is_openai": False}
OPENROUTER: dict[str, Any] = {"vendor": "anthropic", "is_openai": False, "is_openrouter": True}


def thought(sealed: Sealed | None = None, text: str | None = "why") -> Reasoning:
    return Reasoning(text=text, sealed=sealed, at="r")


CALL, SAID = call(), Text(text="a", at="text")

# the rule, the upstream, the parts of a turn in the running loop, those that come out, what is told
RUNNING: list[tuple[str, Target, list[Part], list[Part], list[str]]] = [
    ("its maker gets it back", target(MESSAGES), [thought(ANTHROPIC), CALL], [thought(ANTHROPIC), CALL], []),
    ("nobody else", target(MESSAGES), [thought(GOOGLE), CALL], [CALL], LOST),
    (
        "nor another account",
        target(MESSAGES, scope="b"),
        [thought(replace(ANTHROPIC, scope="a")), CALL],
        [CALL],
        LOST,
    ),
    (
        "the same account",
        target(MESSAGES, scope="a"),
        [thought(replace(ANTHROPIC, scope="a")), CALL],
        [thought(replace(ANTHROPIC, scope="a")), CALL],
        [],
    ),
    (
        "what nobody signed is no thinking of theirs",
        target(MESSAGES),
        [thought(UNSEALED), CALL],
        [CALL],
        LOST,
    ),
    ("chat holds no seals", target(CHAT), [thought(OPENAI), CALL], [CALL], LOST),
    (
        "but openrouter's",
        target(CHAT, **OPENROUTER),
        [thought(ANTHROPIC), CALL],
        [thought(ANTHROPIC), CALL],
        [],
    ),
    (
        "hosts that want it read it",
        target(CHAT, "kimi-k3", **HOST),
        [thought(ANTHROPIC), CALL],
        [thought(), CALL],
        [],
    ),
    (
        "where there is something to read",
        target(CHAT, "kimi-k3", **HOST),
        [thought(ANTHROPIC, None), CALL],
        [CALL],
        LOST,
    ),
    (
        "responses refuses reasoning that nothing follows",
        target(RESPONSES),
        [CALL, thought(OPENAI), thought(OPENAI)],
        [CALL],
        [],
    ),
    (
        "nor that whose own item is gone",
        target(RESPONSES),
        [thought(OPENAI), thought(OPENAI, None), CALL],
        [thought(OPENAI, None), CALL],
        [],
    ),
    (
        "openrouter takes it last",
        target(RESPONSES, vendor="openai", is_openai=False, is_openrouter=True),
        [CALL, thought(OPENAI)],
        [CALL, thought(OPENAI)],
        [],
    ),
    (
        "another maker's may follow one another",
        target(RESPONSES, vendor="xai"),
        [thought(XAI), thought(XAI), CALL],
        [thought(XAI), thought(XAI), CALL],
        [],
    ),
    (
        "Google's seal is the next part's: a call's",
        target(GEMINI, "gemini-3.6-flash"),
        [thought(GOOGLE, None), CALL],
        [replace(CALL, sealed=GOOGLE)],
        [],
    ),
    (
        "a text's",
        target(GEMINI),
        [thought(GOOGLE, None), SAID, CALL],
        [replace(SAID, sealed=GOOGLE), CALL],
        [],
    ),
    (
        "with words it is a thought's own",
        target(GEMINI),
        [thought(GOOGLE), SAID],
        [thought(GOOGLE), SAID],
        [],
    ),
    (
        "with nothing after it, it is the text's before it",
        target(GEMINI),
        [SAID, CALL, thought(GOOGLE, None)],
        [replace(SAID, sealed=GOOGLE), CALL],
        [],
    ),
    (
        "that has none yet",
        target(GEMINI),
        [replace(SAID, sealed=GOOGLE), thought(GOOGLE, None)],
        [replace(SAID, sealed=GOOGLE), Text(text="", sealed=GOOGLE)],
        [],
    ),
    (
        "a part keeps its own",
        target(GEMINI),
        [replace(CALL, sealed=GOOGLE)],
        [replace(CALL, sealed=GOOGLE)],
        [],
    ),
    (
        "loses another's",
        target(MESSAGES),
        [replace(CALL, sealed=GOOGLE)],
        [CALL],
        ["lost:foreign-reasoning at call"],
    ),
    (
        "a seal with the name of its call is that call's",
        target(GEMINI),
        [thought(replace(GOOGLE, ref="call_1")), CALL],
        [replace(CALL, sealed=replace(GOOGLE, ref="call_1"))],
        [],
    ),
    (
        "a call without one gets Google's word for it",
        target(GEMINI, "gemini-3.6-flash"),
        [CALL, call("call_2")],
        [replace(CALL, sealed=DUMMY), call("call_2")],
        ["adjusted:gemini-dummy-signature at call"],
    ),
    ("older ones need none", target(GEMINI, "gemini-2.5-pro"), [CALL], [CALL], []),
]


@pytest.mark.parametrize(
    ("to", "parts", "expected", "warned"), [row[1:] for row in RUNNING], ids=[row[0] for row in RUNNING]
)
def test_the_running_loop(to: Target, parts: list[Part], expected: list[Part], warned: list[str]) -> None:
    answered = [part for part in parts if part in (CALL, replace(CALL, sealed=GOOGLE))]
    turns = [user("q"), assistant(*parts), user(RESULT) if answered else user(SAID)]
    turns = turns if answered else turns[:2]
    made, said = fitted(asked(*turns), replace(to, row=replace(to.row, prefill="yes")))
    assert list(made.turns[1].parts) == expected
    assert said == warned


EARLIER: list[tuple[str, Target, list[Part], list[Part], list[str]]] = [
    ("its maker gets it back", target(MESSAGES), [thought(ANTHROPIC), SAID], [thought(ANTHROPIC), SAID], []),
    ("a loss is a note", target(MESSAGES), [thought(GOOGLE), SAID], [SAID], NOTED),
    (
        "of a call's seal too",
        target(CHAT),
        [replace(CALL, sealed=GOOGLE)],
        [CALL],
        ["note:foreign-reasoning at call"],
    ),
    ("also where it could be read", target(CHAT, "kimi-k3", **HOST), [thought(), SAID], [SAID], NOTED),
    ("what its host marked as its own is none", target(MESSAGES), [thought(UNSEALED), SAID], [SAID], []),
    ("a call needs no signature", target(GEMINI, "gemini-3.6-flash"), [CALL], [CALL], []),
]


@pytest.mark.parametrize(
    ("to", "parts", "expected", "warned"), [row[1:] for row in EARLIER], ids=[row[0] for row in EARLIER]
)
def test_loops_that_are_over(to: Target, parts: list[Part], expected: list[Part], warned: list[str]) -> None:
    made, said = fitted(asked(user("q"), assistant(*parts), user("and?")), to)
    assert list(made.turns[1].parts) == expected
    assert said == warned


def test_a_loop_that_nobody_began_is_running() -> None:
    made, said = fitted(asked(assistant(CALL), user(RESULT)), target(GEMINI, "gemini-3.6-flash"))
    assert made.turns[0].parts == (replace(CALL, sealed=DUMMY),)
    assert said == ["adjusted:gemini-dummy-signature at call"]


def test_a_step_without_calls_needs_no_signature() -> None:
    going_on = asked(user("q"), assistant("one"))
    made, said = fitted(going_on, target(GEMINI, "gemini-3.5-flash"))
    assert (made.turns[1].parts, said) == ((Text(text="one"),), [])


def test_other_parts_pass() -> None:
    made, said = fitted(asked(user("q"), assistant(Refusal(text="no")), user("and?")), target(CHAT))
    assert (made.turns[1].parts, said) == ((Refusal(text="no"),), [])


def test_whose_a_seal_is() -> None:
    assert not is_own(None, target(MESSAGES))
    assert is_own(replace(ANTHROPIC, scope="a"), target(MESSAGES))
    assert is_own(ANTHROPIC, target(MESSAGES, scope="a"))


BUDGET = Thinking(budget_tokens=2_000)
LACKING = "adjusted:reasoning-off-missing-signature at thinking"
LOOPS: list[tuple[str, list[Turn], bool]] = [
    ("no turn before it", [user(RESULT)], False),
    ("no results", [assistant(CALL), user("q")], False),
    ("results of signed thinking", [assistant(thought(ANTHROPIC), CALL), user(RESULT)], False),
    ("results of lost thinking", [assistant(CALL), user(RESULT)], True),
]


@pytest.mark.parametrize(("turns", "lacks"), [row[1:] for row in LOOPS], ids=[row[0] for row in LOOPS])
def test_models_with_a_budget_do_not_think_on_in_a_loop_without_signature(
    turns: list[Turn], lacks: bool
) -> None:
    assert lacks_signature(turns) == lacks
    if len(turns) > 1:
        request = asked(user("q"), *turns, thinking=BUDGET)
        made, said = fitted(request, target(MESSAGES, "claude-haiku-4-5"))
        assert (made.thinking is None, LACKING in said) == (lacks, lacks)
        made, said = fitted(request, target(MESSAGES, "claude-opus-4-6"))
        assert (made.thinking is None, LACKING in said) == (False, False)
