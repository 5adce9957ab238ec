"""Tools and the choice among them: kinds, names, hosted ones, what is forced."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmitm.errors import Refused
from llmitm.translate import jsontext
from llmitm.translate.ids import hashed
from llmitm.translate.neutral import HostedTool, Thinking, Tool, ToolChoice
from llmitm.translate.target import Target
from support.fitting import CHAT, GEMINI, MESSAGES, RESPONSES, asked, fitted, target

SAME: Any = object()
HOST: dict[str, Any] = {"vendor": "groq", "is_openai": False}
OBJECT = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}
CLOSED = OBJECT | {"additionalProperties": False}
F, G = Tool(name="f", at="tools[0]"), Tool(name="g", at="tools[1]")
SEARCH = HostedTool(vendor="x", type="web_search", raw="{}", generic="web_search", at="tools[2]")
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /a/"}
FOLLOW = "The input must follow this lark grammar:\nstart: /a/"
FREE = Tool(name="sh", kind="custom", at="tools[0]")
ONE_STRING = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
WRAPPED = Tool(name="sh", schema=ONE_STRING)
ODD_NAME = "a.b"
MADE_NAME = "a_b_" + hashed("a.b", 8)

# the rule, the tool, the upstream, what comes out, what is told
TOOLS: list[tuple[str, Tool, Target, Tool, list[str]]] = [
    (
        "strictness where OpenAI is asked for it",
        replace(F, schema=CLOSED, strict=True),
        target(CHAT),
        replace(F, schema=CLOSED, strict=True),
        [],
    ),
    (
        "it is off where it would change the schema",
        replace(F, schema=OPEN, strict=True, schema_at="there"),
        target(CHAT),
        replace(F, schema=OPEN, strict=False),
        ["adjusted:tool-strict at there"],
    ),
    ("responses is told also where there is none", F, target(RESPONSES), replace(F, strict=False), []),
    ("chat is not", F, target(CHAT), F, []),
    ("but where the client said so", replace(F, strict=False), target(CHAT), SAME, []),
    ("messages knows only a yes", replace(F, strict=False), target(MESSAGES), F, []),
    ("and says it", replace(F, schema=CLOSED, strict=True), target(MESSAGES), SAME, []),
    ("Gemini has no such word", replace(F, strict=True), target(GEMINI), F, ["note:tool-strict at tools[0]"]),
    (
        "other members stay behind",
        replace(F, extra={"defer_loading": True}),
        target(CHAT),
        F,
        ["note:tool-options at tools[0]"],
    ),
    (
        "names are made legal",
        replace(F, name=ODD_NAME),
        target(CHAT),
        replace(F, name=MADE_NAME),
        ["adjusted:tool-name at tools[0]"],
    ),
    ("where they are not", replace(F, name=ODD_NAME), target(GEMINI), SAME, []),
    (
        "namespaces are responses' own",
        replace(F, namespace="n"),
        target(RESPONSES),
        replace(F, namespace="n", strict=False),
        [],
    ),
    (
        "elsewhere they begin the name",
        replace(F, namespace="n"),
        target(MESSAGES),
        replace(F, name="n__f"),
        [],
    ),
    ("free text at OpenAI", replace(FREE, format=GRAMMAR), target(CHAT), SAME, []),
    (
        "elsewhere it is one string",
        FREE,
        target(CHAT, **HOST),
        WRAPPED,
        ["adjusted:custom-tool-wrapped at tools[0]"],
    ),
    (
        "its grammar is told in words",
        replace(FREE, format=GRAMMAR),
        target(GEMINI),
        replace(WRAPPED, description=FOLLOW),
        ["adjusted:custom-tool-wrapped at tools[0]"],
    ),
    (
        "after those that it has",
        replace(FREE, format=GRAMMAR, description="d"),
        target(MESSAGES),
        replace(WRAPPED, description=f"d\n\n{FOLLOW}"),
        ["adjusted:custom-tool-wrapped at tools[0]"],
    ),
]


@pytest.mark.parametrize(
    ("tool", "to", "expected", "warned"), [row[1:] for row in TOOLS], ids=[row[0] for row in TOOLS]
)
def test_each_kind_of_tool(tool: Tool, to: Target, expected: Any, warned: list[str]) -> None:
    made, said = fitted(asked(tools=(tool,)), to)
    assert (made.tools, said) == ((tool if expected is SAME else expected,), warned)


def test_two_tools_of_one_name_are_refused() -> None:
    twice = asked(tools=(replace(F, namespace="n"), replace(G, name="n__f")))
    with pytest.raises(Refused) as caught:
        fitted(twice, target(CHAT))
    assert (caught.value.code, caught.value.param) == ("invalid_request", "tools[1]")
    assert len(fitted(twice, target(RESPONSES))[0].tools) == 2


# ---- hosted

HERE = {"city": "Oslo"}


def search(**options: Any) -> HostedTool:
    return replace(SEARCH, raw=jsontext.text_of({"type": "web_search", **options}))


MAPPED: list[tuple[str, HostedTool, Target, dict[str, Any], list[str]]] = [
    (
        "a search of messages",
        search(allowed_domains=["a"], user_location=HERE),
        target(MESSAGES),
        {
            "type": "web_search_20250305",
            "name": "web_search",
            "allowed_domains": ["a"],
            "user_location": HERE,
        },
        [],
    ),
    (
        "without its options",
        search(),
        target(MESSAGES),
        {"type": "web_search_20250305", "name": "web_search"},
        [],
    ),
    (
        "a search of responses",
        search(filters={"allowed_domains": ["a"]}, user_location=HERE),
        target(RESPONSES),
        {"type": "web_search", "filters": {"allowed_domains": ["a"]}, "user_location": HERE},
        [],
    ),
    ("without any", search(filters=None), target(RESPONSES), {"type": "web_search"}, []),
    (
        "Gemini's takes none",
        search(allowed_domains=["a"]),
        target(GEMINI),
        {"googleSearch": {}},
        ["lost:hosted-tool-options at tools[2]"],
    ),
    ("nor need it", search(), target(GEMINI), {"googleSearch": {}}, []),
    (
        "code has no such options",
        replace(SEARCH, type="code", generic="code"),
        target(GEMINI),
        {"codeExecution": {}},
        [],
    ),
    ("nor has what is no object", replace(SEARCH, raw="[]"), target(CHAT), {"web_search_options": {}}, []),
]


@pytest.mark.parametrize(
    ("tool", "to", "raw", "warned"), [row[1:] for row in MAPPED], ids=[row[0] for row in MAPPED]
)
def test_hosted_tools_become_the_targets_own_where_the_operator_wants_it(
    tool: HostedTool, to: Target, raw: dict[str, Any], warned: list[str]
) -> None:
    allowed = replace(to, vendor="elsewhere", map_hosted=frozenset({"web_search", "code"}))
    made, said = fitted(asked(tools=(tool,)), allowed)
    assert [jsontext.loads(one.raw) for one in made.tools if isinstance(one, HostedTool)] == [raw]
    assert said == warned


def test_hosted_tools_are_lost_else() -> None:
    made, said = fitted(asked(tools=(F, SEARCH)), target(CHAT))
    assert (made.tools, said) == ((F,), ["lost:hosted-tool at tools[2]"])


def test_what_reaches_the_users_own_data_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        fitted(asked(tools=(replace(SEARCH, generic="mcp"),)), target(CHAT))
    assert (caught.value.code, caught.value.param) == ("hosted_tool_not_portable", "tools[2]")


def test_openais_own_tools_pass_to_its_own_api() -> None:
    own = replace(SEARCH, vendor="openai", generic="mcp")
    assert fitted(asked(tools=(own,)), target(RESPONSES))[0].tools == (own,)


# ---- the choice


def choice(mode: Any, **more: Any) -> ToolChoice:
    return ToolChoice(mode=mode, at="tool_choice", **more)


ANY, AUTO = choice("any"), choice("auto")
ONE = choice("one", name="f")
MAPPING: dict[str, Any] = {"vendor": "x", "map_hosted": frozenset({"web_search"})}
TOLD = ["adjusted:tool-choice at tool_choice"]
SWAPPED = ["adjusted:tool-choice at tool_choice from one to auto"]
BOTH = ["f", "g"]

# the rule, the choice, the upstream, the choice that comes out, the tools that are left, what is told
CHOICES: list[tuple[str, ToolChoice | None, Target, ToolChoice | None, list[str], list[str]]] = [
    ("none is none", None, target(CHAT), None, BOTH, []),
    ("any where it may be forced", ANY, target(CHAT), ANY, BOTH, []),
    (
        "never where not",
        ANY,
        target(MESSAGES, "claude-opus-5-5"),
        AUTO,
        BOTH,
        ["adjusted:tool-choice at tool_choice from any to auto"],
    ),
    ("one is then that one alone", ONE, target(MESSAGES, "claude-opus-5-5"), AUTO, ["f"], SWAPPED),
    (
        "or any of that one alone",
        ONE,
        target(CHAT, "mistral-large"),
        ANY,
        ["f"],
        ["adjusted:tool-choice at tool_choice from one to any"],
    ),
    ("any is then what it was", ANY, target(CHAT, "mistral-large"), ANY, BOTH, []),
    ("auto forces nothing", AUTO, target(MESSAGES, "claude-opus-5-5"), AUTO, BOTH, []),
    (
        "allowed ones at OpenAI",
        choice("auto", allowed=("g",)),
        target(CHAT),
        choice("auto", allowed=("g",)),
        BOTH,
        [],
    ),
    ("at Gemini", choice("any", allowed=("g",)), target(GEMINI), choice("any", allowed=("g",)), BOTH, []),
    (
        "elsewhere the others are left out",
        choice("auto", allowed=("g",)),
        target(MESSAGES),
        AUTO,
        ["g"],
        TOLD,
    ),
    ("also at other hosts", choice("any", allowed=("g",)), target(CHAT, **HOST), ANY, ["g"], TOLD),
    (
        "validated is Gemini's",
        choice("auto", is_validated=True),
        target(GEMINI),
        choice("auto", is_validated=True),
        BOTH,
        [],
    ),
    (
        "and auto elsewhere",
        choice("auto", is_validated=True),
        target(CHAT),
        AUTO,
        BOTH,
        ["note:tool-choice at tool_choice"],
    ),
    (
        "one call at a time",
        choice(None, parallel=False),
        target(MESSAGES),
        choice(None, parallel=False),
        BOTH,
        [],
    ),
    (
        "cannot be said to Gemini",
        choice("auto", parallel=False),
        target(GEMINI),
        AUTO,
        BOTH,
        ["lost:parallel-off at tool_choice"],
    ),
    (
        "nor to some models",
        choice("auto", parallel=False),
        target(CHAT, "o3"),
        AUTO,
        BOTH,
        ["lost:parallel-off at tool_choice"],
    ),
    ("several at a time is the default", choice("auto", parallel=True), target(MESSAGES), AUTO, BOTH, []),
    (
        "that OpenAI's clients may say to OpenAI",
        choice("auto", parallel=True),
        target(RESPONSES),
        choice("auto", parallel=True),
        BOTH,
        [],
    ),
    (
        "a hosted tool cannot be named elsewhere",
        choice("hosted", name="web_search"),
        target(GEMINI, **MAPPING),
        ANY,
        [*BOTH, "web_search"],
        TOLD,
    ),
]


@pytest.mark.parametrize(
    ("given", "to", "expected", "left", "warned"),
    [row[1:] for row in CHOICES],
    ids=[row[0] for row in CHOICES],
)
def test_each_choice(
    given: ToolChoice | None, to: Target, expected: ToolChoice | None, left: list[str], warned: list[str]
) -> None:
    tools = (F, G, SEARCH) if to.map_hosted else (F, G)
    made, said = fitted(asked(tools=tools, tool_choice=given), to)
    assert (made.tool_choice, said) == (expected, warned)
    assert [tool.name if isinstance(tool, Tool) else tool.type for tool in made.tools] == left


def test_a_choice_without_tools_is_none() -> None:
    made, said = fitted(asked(tool_choice=ANY), target(CHAT))
    assert (made.tool_choice, said) == (None, ["note:tool-choice at tool_choice"])


REFUSED = [
    (ONE, (G,), "invalid_request"),
    (choice("hosted", name="web_search"), (F, SEARCH), "hosted_tool_not_portable"),
    (choice("hosted", name="code"), (F,), "hosted_tool_not_portable"),
]


@pytest.mark.parametrize(("given", "tools", "code"), REFUSED)
def test_a_choice_of_what_is_not_there_is_refused(given: ToolChoice, tools: Any, code: str) -> None:
    with pytest.raises(Refused) as caught:
        fitted(asked(tools=tools, tool_choice=given), target(CHAT))
    assert (caught.value.code, caught.value.param) == (code, "tool_choice")


GIVES_WAY = [
    ("nothing said is off", "claude-opus-4-6", MESSAGES, None),
    ("also for budgets", "claude-haiku-4-5", MESSAGES, None),
    ("others must be told", "deepseek-chat", CHAT, Thinking(mode="off")),
]


@pytest.mark.parametrize(
    ("model", "dialect", "thinking"), [row[1:] for row in GIVES_WAY], ids=[row[0] for row in GIVES_WAY]
)
def test_a_forced_tool_ends_thinking_where_not_both_can_be(
    model: str, dialect: Any, thinking: Thinking | None
) -> None:
    both = asked(tools=(F, G), tool_choice=ONE, thinking=Thinking(effort="high"))
    made, said = fitted(both, target(dialect, model))
    assert (made.thinking, made.tool_choice) == (thinking, ONE)
    assert "adjusted:reasoning-off-by-forced-tool at tool_choice" in said
    made, said = fitted(replace(both, thinking=Thinking(effort="none")), target(dialect, model))
    assert (made.tool_choice, said) == (ONE, [])


UNASKED = [
    (
        "none is said where it would think unasked",
        "gpt-6-sol",
        None,
        Thinking(effort="none"),
        ["adjusted:reasoning at tools from medium to none"],
    ),
    ("not where it does not", "gpt-5.4", None, None, []),
    ("nor where the client said so", "gpt-6-sol", Thinking(effort="none"), Thinking(effort="none"), []),
    ("nor at models that take both", "gpt-5", Thinking(effort="low"), Thinking(effort="low"), []),
]


@pytest.mark.parametrize(
    ("model", "thinking", "expected", "warned"), [row[1:] for row in UNASKED], ids=[row[0] for row in UNASKED]
)
def test_tools_over_chat_of_models_that_take_none_while_they_reason(
    model: str, thinking: Thinking | None, expected: Thinking | None, warned: list[str]
) -> None:
    made, said = fitted(asked(tools=(F,), thinking=thinking), target(CHAT, model))
    assert (made.thinking, said) == (expected, warned)
    without, said = fitted(asked(thinking=thinking), target(CHAT, model))
    assert (without.thinking, said) == (thinking, [])


@pytest.mark.parametrize(
    ("model", "thinking", "param"),
    [("gpt-6-sol", Thinking(effort="low"), "thinking"), ("gpt-6-astra", None, "tools")],
)
def test_such_a_model_is_not_asked_for_both(model: str, thinking: Thinking | None, param: str) -> None:
    with pytest.raises(Refused) as caught:
        fitted(asked(tools=(F,), thinking=thinking), target(CHAT, model))
    assert (caught.value.code, caught.value.param) == ("unsupported_by_target", param)
