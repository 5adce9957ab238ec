"""The conversation as each upstream takes it: roles, ids, results and their order, what comes last."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate import ids
from llmitm.translate.neutral import (
    Base64,
    Hosted,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Role,
    Sealed,
    Text,
    Thinking,
    Tool,
    ToolResult,
    Turn,
)
from llmitm.translate.target import Target
from support.fitting import (
    CHAT,
    GEMINI,
    MESSAGES,
    RESPONSES,
    asked,
    assistant,
    call,
    fitted,
    system,
    target,
    user,
)

HOST: dict[str, Any] = {"vendor": "groq", "is_openai": False}
OPEN = {"prefill": "yes"}
NEWER = "claude-opus-5-5"
GOOGLE = Sealed(vendor="google", kind="part", data="sig")
PNG = Media(kind="image", source=Base64("AAAA"), mime="image/png", at="media")
GIF = replace(PNG, mime="image/gif")
SAME: Any = object()


def developer(text: str, **more: Any) -> Turn:
    return replace(system(text, **more), role=Role.DEVELOPER)


def result(call_id: str = "call_1", *texts: str, **more: Any) -> ToolResult:
    parts = tuple(Text(text=one) for one in texts)
    return ToolResult(call_id=call_id, at="result", **{"parts": parts, "name": "f"} | more)


RULES = system("rules", at="messages[0]")
LATE = system("later", at="messages[2]")
Q, A = user("q"), assistant("a")

# the rule, the upstream, the turns, those that come out, what is told
ROLES: list[tuple[str, Target, list[Turn], Any, list[str]]] = [
    ("leading instructions stay at the head", target(MESSAGES, NEWER), [RULES, Q], SAME, []),
    ("chat keeps them in place, as they were called", target(CHAT, "gpt-5"), [RULES, Q, LATE], SAME, []),
    (
        "those that have no word get the model's",
        target(CHAT, "gpt-5"),
        [system("s", at="system[0]"), Q],
        [developer("s"), Q],
        [],
    ),
    ("if it has one", target(CHAT, "gpt-4o"), [system("s", at="system[0]"), Q], SAME, []),
    (
        "later ones are a user's at Gemini",
        target(GEMINI),
        [Q, A, LATE],
        [Q, A, user("later")],
        ["adjusted:system-role at messages[2]"],
    ),
    (
        "and at older models of Anthropic",
        target(MESSAGES, "claude-opus-4-8"),
        [Q, LATE],
        [user("q", "later")],
        ["adjusted:system-role at messages[2]"],
    ),
    (
        "newer ones take them between a user and an assistant",
        target(MESSAGES, NEWER),
        [Q, LATE, A, Q],
        SAME,
        [],
    ),
    ("or at the end", target(MESSAGES, NEWER), [Q, A, Q, LATE], SAME, []),
    (
        "not before a user",
        target(MESSAGES, NEWER),
        [Q, LATE, Q],
        [user("q", "later", "q")],
        ["adjusted:system-role at messages[2]"],
    ),
    (
        "not after an assistant",
        target(MESSAGES, NEWER),
        [Q, A, LATE],
        [Q, A, user("later")],
        ["adjusted:system-role at messages[2]"],
    ),
    (
        "where they are all there is, the last is a user's",
        target(GEMINI),
        [RULES, LATE],
        [RULES, user("later")],
        ["adjusted:system-as-user at messages[2]"],
    ),
    ("chat needs no user", target(CHAT), [RULES], SAME, []),
    ("names are chat's", target(CHAT), [replace(Q, name="n")], SAME, []),
    ("and nobody else's", target(RESPONSES), [replace(Q, name="n")], [Q], ["note:name at user.name"]),
    ("phases are those of responses", target(RESPONSES), [Q, replace(A, phase="commentary"), Q], SAME, []),
    (
        "and nobody else's ",
        target(CHAT),
        [Q, replace(A, phase="commentary"), Q],
        [Q, A, Q],
        ["note:phase at assistant.phase"],
    ),
    (
        "turns of one side are one",
        target(GEMINI),
        [Q, user("r"), A, assistant("b"), Q],
        [user("q", "r"), assistant("a", "b"), Q],
        [],
    ),
    ("but where each is a message of its own", target(CHAT), [Q, user("r")], SAME, []),
]


def check(to: Target, turns: list[Turn], expected: Any, warned: list[str]) -> None:
    made, said = fitted(asked(*turns), to)
    assert list(made.turns) == (turns if expected is SAME else expected)
    assert said == warned


@pytest.mark.parametrize(
    ("to", "turns", "expected", "warned"), [row[1:] for row in ROLES], ids=[row[0] for row in ROLES]
)
def test_where_turns_stand(to: Target, turns: list[Turn], expected: Any, warned: list[str]) -> None:
    check(to, turns, expected, warned)


CODE = Hosted(vendor="google", type="code", raw="{}", phase="call", text="1+1", at="hosted")
FETCH = replace(CODE, text=None)
ODD = Opaque(dialect=MESSAGES, type="container_upload", raw="{}", at="odd")
SIGNED = Text(text="", sealed=GOOGLE)

PARTS: list[tuple[str, Target, list[Turn], Any, list[str]]] = [
    (
        "a refusal is text where there is no word for it",
        target(MESSAGES),
        [Q, assistant(Refusal(text="no")), Q],
        [Q, assistant(Text(text="no")), Q],
        [],
    ),
    ("else it stays one", target(RESPONSES), [Q, assistant(Refusal(text="no")), Q], SAME, []),
    (
        "nobody shows a model its own pictures",
        target(CHAT),
        [Q, assistant("a", PNG), Q],
        [Q, A, Q],
        ["lost:assistant-media at media"],
    ),
    (
        "instructions hold no pictures",
        target(GEMINI),
        [system("s", PNG), Q],
        [system("s"), Q],
        ["lost:media at media"],
    ),
    (
        "but at responses",
        target(RESPONSES),
        [system("s", PNG), Q],
        [system("s", replace(PNG, detail="auto")), Q],
        [],
    ),
    (
        "what a vendor's tool did is told where it can be read",
        target(CHAT),
        [Q, assistant(CODE), Q],
        [Q, assistant("1+1"), Q],
        ["adjusted:hosted-as-text at hosted"],
    ),
    (
        "else it is lost",
        target(CHAT),
        [Q, assistant("a", FETCH), Q],
        [Q, A, Q],
        ["lost:hosted-activity at hosted"],
    ),
    ("unknown blocks are lost", target(CHAT), [user("q", ODD)], [Q], ["lost:unknown-field at odd"]),
    ("empty text is chat's alone", target(CHAT), [user("")], SAME, []),
    ("Gemini takes no empty text", target(GEMINI), [user("q", ""), A, Q], [Q, A, Q], []),
    ("but white space", target(GEMINI), [user("q", " "), A, Q], SAME, []),
    ("Anthropic takes neither", target(MESSAGES), [user("q", " "), A, Q], [Q, A, Q], []),
    ("a signature needs no text at Gemini", target(GEMINI), [Q, assistant(SIGNED), Q], SAME, []),
    ("turns of nothing are none", target(MESSAGES), [Q, assistant(" "), Q], [user("q", "q")], []),
]


@pytest.mark.parametrize(
    ("to", "turns", "expected", "warned"), [row[1:] for row in PARTS], ids=[row[0] for row in PARTS]
)
def test_what_turns_hold(to: Target, turns: list[Turn], expected: Any, warned: list[str]) -> None:
    check(to, turns, expected, warned)


# ---- calls and results

LONG = "x" * 65
HASHED = "call_" + ids.hashed(LONG)
SHELL = call(name="sh", args="ls", kind="custom")
SPACED = call(name="f", namespace="n")
TAKEN = result("call_1", "ok", name="f")


def loop(one: Any, *results: Any, **more: Any) -> list[Turn]:
    return [Q, assistant(one), user(*results), *more.get("after", [])]


CALLS: list[tuple[str, Target, list[Turn], Any, list[str]]] = [
    ("ids pass where they are legal", target(CHAT), loop(call(), TAKEN), SAME, []),
    (
        "others become a function of theirs, both times",
        target(CHAT),
        loop(call(LONG), result(LONG, "ok")),
        loop(call(HASHED), result(HASHED, "ok")),
        ["note:call-id at call"],
    ),
    (
        "an id of ours is the upstream's again",
        target(CHAT, **HOST),
        loop(call("gwid-YTpi"), result("gwid-YTpi", "ok")),
        loop(call("a:b"), result("a:b", "ok")),
        [],
    ),
    (
        "what another gateway hid in an id stays behind",
        target(CHAT),
        loop(call("a__thought__b"), result("a__thought__b", "ok")),
        loop(call("a"), result("a", "ok")),
        [],
    ),
    (
        "results have their call's name",
        target(CHAT),
        loop(call(), result("call_1", "ok", name=None)),
        loop(call(), TAKEN),
        [],
    ),
    (
        "and its kind",
        target(RESPONSES),
        loop(SHELL, result("call_1", "ok", name="sh")),
        loop(SHELL, result("call_1", "ok", name="sh", kind="custom")),
        [],
    ),
    (
        "free text is an object where tools are functions",
        target(CHAT, **HOST),
        loop(SHELL, result("call_1", "ok", name="sh", kind="custom")),
        loop(call(name="sh", args='{"input":"ls"}'), result("call_1", "ok", name="sh")),
        [],
    ),
    (
        "arguments that are no object are told where they must be one",
        target(GEMINI, "gemini-2.5-pro"),
        loop(call(args="[1"), TAKEN),
        SAME,
        ["adjusted:invalid-arguments at call"],
    ),
    ("none at all are an empty one", target(MESSAGES), loop(call(args=" "), TAKEN), SAME, []),
    (
        "namespaces begin the name",
        target(MESSAGES),
        loop(SPACED, result("call_1", "ok", name=None)),
        loop(call(name="n__f"), result("call_1", "ok", name="n__f")),
        [],
    ),
    ("but at responses", target(RESPONSES), loop(SPACED, TAKEN), SAME, []),
    ("a result of nothing passes at chat", target(CHAT), [Q, user(result("call_9", "ok"))], SAME, []),
    (
        "an error is a word of its own",
        target(MESSAGES),
        loop(call(), result("call_1", "no", is_error=True)),
        SAME,
        [],
    ),
    (
        "that OpenAI has not",
        target(CHAT),
        loop(call(), result("call_1", "no", is_error=True)),
        SAME,
        ["note:is-error at result"],
    ),
    (
        "an output of Gemini's is its text",
        target(CHAT),
        loop(call(), result(raw='{"output":"ok"}')),
        loop(call(), TAKEN),
        [],
    ),
    (
        "an error too",
        target(MESSAGES),
        loop(call(), result(raw='{"error":"no"}')),
        loop(call(), result("call_1", "no", is_error=True)),
        [],
    ),
    (
        "which is noted where there is no word for it",
        target(CHAT),
        loop(call(), result(raw='{"error":"no"}')),
        loop(call(), result("call_1", "no", is_error=True)),
        ["note:is-error at result"],
    ),
    (
        "other objects are text as they stand",
        target(MESSAGES),
        loop(call(), result(raw='{"output":1}')),
        loop(call(), result("call_1", '{"output":1}')),
        [],
    ),
    ("broken ones too", target(CHAT), loop(call(), result(raw="{")), loop(call(), result("call_1", "{")), []),
    (
        "at Gemini they stay",
        target(GEMINI, "gemini-2.5-pro"),
        loop(call(), result(raw='{"output":1}')),
        SAME,
        [],
    ),
    (
        "results hold text and media alone",
        target(MESSAGES),
        loop(call(), result(parts=(Text(text="ok"), ODD))),
        loop(call(), TAKEN),
        ["lost:unknown-field at odd"],
    ),
    (
        "and no empty text but at chat",
        target(MESSAGES),
        loop(call(), result("call_1", "")),
        loop(call(), result()),
        [],
    ),
]


@pytest.mark.parametrize(
    ("to", "turns", "expected", "warned"), [row[1:] for row in CALLS], ids=[row[0] for row in CALLS]
)
def test_calls_and_their_results(to: Target, turns: list[Turn], expected: Any, warned: list[str]) -> None:
    check(to, turns, expected, warned)


def test_repeated_ids_are_told_apart_where_they_must_be() -> None:
    turns = [*loop(call("f0"), result("f0", "1")), assistant(call("f0")), user(result("f0", "2"))]
    made, _ = fitted(asked(*turns), target(CHAT, **HOST))
    assert list(made.turns) == turns
    second = ids.for_upstream(MESSAGES, "f0#2", is_openai=False, is_mistral=False)
    made, said = fitted(asked(*turns), target(MESSAGES))
    assert list(made.turns[3:]) == [assistant(call(second)), user(result(second, "2"))]
    assert said == ["note:call-id at call"]


ONE, TWO = result("call_1", "1"), result("call_2", "2")
BOTH = assistant(call("call_1"), call("call_2"))
AGAIN = result("call_1", "again")
MOVED = ["adjusted:tool-result-moved at result"]

ORDER: list[tuple[str, Target, list[Turn], Any, list[str]]] = [
    (
        "results stand in the order of their calls, before what else there is",
        target(MESSAGES),
        [Q, BOTH, user("so", TWO, ONE)],
        [Q, BOTH, user(ONE, TWO, "so")],
        [],
    ),
    (
        "the last of two results counts",
        target(CHAT),
        [Q, BOTH, user(ONE, TWO, AGAIN)],
        [Q, BOTH, user(AGAIN, TWO)],
        ["adjusted:tool-result-repeated at result"],
    ),
    (
        "responses takes both",
        target(RESPONSES),
        [Q, BOTH, user(ONE, TWO, AGAIN)],
        [Q, BOTH, user(ONE, AGAIN, TWO)],
        [],
    ),
    (
        "late results move up to their call",
        target(MESSAGES),
        [Q, BOTH, user(ONE), A, user(TWO, "so")],
        [Q, BOTH, user(ONE, TWO), A, user("so")],
        MOVED,
    ),
    (
        "also where nothing else is left",
        target(MESSAGES),
        [Q, BOTH, A, user(ONE, TWO), Q],
        [Q, BOTH, user(ONE, TWO), A, Q],
        MOVED,
    ),
    ("responses has no order", target(RESPONSES), [Q, BOTH, user(ONE), A, user(TWO, "so")], SAME, []),
    (
        "results in several turns are one",
        target(CHAT),
        [Q, BOTH, user(ONE), user("wait"), user(TWO, "so")],
        [Q, BOTH, user(ONE, TWO), user("wait"), user("so")],
        [],
    ),
    (
        "nothing is left of a turn of results alone",
        target(CHAT),
        [Q, BOTH, user(ONE), user(TWO), A, Q],
        [Q, BOTH, user(ONE, TWO), A, Q],
        [],
    ),
]


@pytest.mark.parametrize(
    ("to", "turns", "expected", "warned"), [row[1:] for row in ORDER], ids=[row[0] for row in ORDER]
)
def test_the_order_of_results(to: Target, turns: list[Turn], expected: Any, warned: list[str]) -> None:
    check(to, turns, expected, warned)


SEEN = result(parts=(Text(text="ok"), PNG))
SEEN_TOO = result("call_2", parts=(GIF,))
OUT = ["adjusted:tool-media-moved at result"]
LABELS = [Text(text=f"[media of tool result call_{n}]") for n in (1, 2)]
OLDER, LATER = target(GEMINI, "gemini-2.5-pro"), target(GEMINI, "gemini-3.6-flash")

SIGNED_BOTH = assistant(call("call_1", sealed=GOOGLE), call("call_2"))

MEDIA: list[tuple[str, Target, list[Turn], Any, list[str]]] = [
    ("results of messages hold pictures", target(MESSAGES), loop(call(), SEEN), SAME, []),
    (
        "those of chat do not: they follow",
        target(CHAT),
        loop(call(), SEEN),
        [*loop(call(), TAKEN), user(PNG)],
        OUT,
    ),
    (
        "before what the user says",
        target(CHAT),
        loop(call(), SEEN, "so"),
        [*loop(call(), TAKEN), user(PNG), user("so")],
        OUT,
    ),
    (
        "those of several are labelled",
        target(CHAT),
        [Q, BOTH, user(SEEN, SEEN_TOO)],
        [Q, BOTH, user(TAKEN, result("call_2")), user(LABELS[0], PNG, LABELS[1], GIF)],
        OUT,
    ),
    (
        "older models of Google's hold none",
        OLDER,
        loop(call(), SEEN),
        [Q, assistant(call()), user(TAKEN, PNG)],
        OUT,
    ),
    (
        "newer ones some",
        LATER,
        [Q, SIGNED_BOTH, user(SEEN, SEEN_TOO)],
        [Q, SIGNED_BOTH, user(SEEN, result("call_2"), GIF)],
        OUT,
    ),
]


@pytest.mark.parametrize(
    ("to", "turns", "expected", "warned"), [row[1:] for row in MEDIA], ids=[row[0] for row in MEDIA]
)
def test_media_of_results(to: Target, turns: list[Turn], expected: Any, warned: list[str]) -> None:
    check(to, turns, expected, warned)


# ---- the end

ENDS: list[tuple[str, Target, list[Turn], Any, list[str]]] = [
    ("a model may go on with its own words", target(MESSAGES, row=OPEN), [Q, A], SAME, []),
    (
        "Anthropic's refuses white space after them",
        target(MESSAGES, row=OPEN),
        [Q, assistant("x", "a \n")],
        [Q, assistant("x", "a")],
        ["adjusted:prefill-whitespace at text"],
    ),
    ("OpenAI's starts anew", target(CHAT), [Q, A], SAME, ["adjusted:prefill-not-continued at assistant"]),
    ("others over chat go on", target(CHAT, "mistral-large", **HOST), [Q, A], SAME, []),
    ("a call is nothing to go on with", target(MESSAGES, NEWER), [Q, assistant("a", call())], SAME, []),
    (
        "a refusal is",
        target(CHAT),
        [Q, assistant(Refusal(text="no"))],
        SAME,
        ["adjusted:prefill-not-continued at assistant"],
    ),
    ("a conversation may begin with the model", target(MESSAGES), [A, Q], SAME, []),
]


@pytest.mark.parametrize(
    ("to", "turns", "expected", "warned"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS]
)
def test_the_end(to: Target, turns: list[Turn], expected: Any, warned: list[str]) -> None:
    check(to, turns, expected, warned)


PACKED = Opaque(dialect=RESPONSES, type="compaction", raw="{}", at="packed")
REFUSED: list[tuple[str, Dialect, str, list[Turn], str, str]] = [
    ("a model that does not go on", MESSAGES, NEWER, [Q, A], "prefill_unsupported", "assistant"),
    ("at Gemini too", GEMINI, "gemini-4", [Q, A], "prefill_unsupported", "assistant"),
    ("a result of nothing", MESSAGES, NEWER, [Q, user(ONE)], "orphan_tool_result", "result"),
    (
        "a conversation that another packed",
        CHAT,
        "gpt-5",
        [user(PACKED), Q],
        "stateful_not_supported",
        "packed",
    ),
    ("a last turn of nothing", MESSAGES, NEWER, [Q, A, user("")], "empty_user_turn", "user"),
]


@pytest.mark.parametrize(
    ("dialect", "model", "turns", "code", "param"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_what_cannot_be_asked(dialect: Dialect, model: str, turns: list[Turn], code: str, param: str) -> None:
    with pytest.raises(Refused) as caught:
        fitted(asked(*turns), target(dialect, model))
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)


def test_models_that_go_on_do_not_while_they_think() -> None:
    going_on = asked(Q, A, tools=(Tool(name="f"),), thinking=Thinking(budget_tokens=2_000))
    with pytest.raises(Refused) as caught:
        fitted(going_on, target(MESSAGES, "claude-haiku-4-5"))
    assert (caught.value.code, caught.value.param) == ("prefill_unsupported", "assistant")
    silent = replace(going_on, thinking=None)
    assert fitted(silent, target(MESSAGES, "claude-haiku-4-5"))[0].turns == (Q, A)
    assert fitted(going_on, target(MESSAGES, "claude-3-5-haiku"))[0].turns == (Q, A)


def test_reasoning_before_words_to_go_on_with_is_no_end() -> None:
    unsaid = assistant(
        Reasoning(summary=("why",), sealed=Sealed(vendor="anthropic", kind="thinking", data="s"))
    )
    assert fitted(asked(Q, unsaid), target(MESSAGES, NEWER))[0].turns == (Q, unsaid)
