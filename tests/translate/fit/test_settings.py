"""Sampling, limits, structured output, cache marks and identity, for each upstream."""

from __future__ import annotations

from typing import Any

import pytest

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate.ids import hashed
from llmitm.translate.jsontext import Spelled
from llmitm.translate.neutral import (
    Cache,
    CacheConfig,
    HostedTool,
    Identity,
    Output,
    Settings,
    Text,
    Thinking,
    Tool,
    ToolResult,
)
from llmitm.translate.notes import Notes
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
    of_row,
    target,
    user,
)

HOST: dict[str, Any] = {"vendor": "groq", "is_openai": False}
SAME: Any = object()

# the rule, the setting, its value, the upstream, what comes out, what is told
SETTINGS: list[tuple[str, str, Any, Target, Any, list[str]]] = [
    (
        "temperature is cut, never scaled",
        "temperature",
        1.5,
        target(MESSAGES),
        1,
        ["adjusted:temperature at temperature from 1.5 to 1.0"],
    ),
    ("temperature keeps its spelling", "temperature", Spelled("1.50"), target(CHAT), SAME, []),
    (
        "a temperature beyond all numbers is cut",
        "temperature",
        Spelled("1e999"),
        target(CHAT),
        2,
        ["adjusted:temperature at temperature from inf to 2.0"],
    ),
    (
        "a temperature of the wrong type is the upstream's matter",
        "temperature",
        "hot",
        target(MESSAGES),
        SAME,
        [],
    ),
    (
        "truth is no temperature",
        "temperature",
        True,
        target(MESSAGES, row={"temperature_max": 0.5}),
        SAME,
        [],
    ),
    (
        "an odd bound stays odd",
        "temperature",
        2,
        target(CHAT, row={"temperature_max": 1.5}),
        1.5,
        ["adjusted:temperature at temperature from 2.0 to 1.5"],
    ),
    (
        "never: no sampling",
        "temperature",
        1,
        target(CHAT, "gpt-5"),
        None,
        ["lost:temperature at temperature"],
    ),
    (
        "noneff: none while it reasons by default",
        "top_p",
        1,
        target(CHAT, "gpt-5.5"),
        None,
        ["lost:top_p at top_p"],
    ),
    ("noneff: some while its default is no reasoning", "top_p", 0.5, target(CHAT, "gpt-5.1"), SAME, []),
    ("top_k exists where the API has it", "top_k", 40, target(MESSAGES), SAME, []),
    ("top_k is not known to OpenAI", "top_k", 40, target(CHAT, "gpt-4o"), None, ["lost:top_k at top_k"]),
    (
        "top_k passes to hosts that take it",
        "top_k",
        40,
        target(CHAT, **HOST, row={"takes_top_k": True}),
        SAME,
        [],
    ),
    ("top_k is not known to responses", "top_k", 40, target(RESPONSES), None, ["lost:top_k at top_k"]),
    ("a whole top_k is an integer", "top_k", 40.0, target(MESSAGES), 40, []),
    ("another is cut", "top_k", 40.7, target(GEMINI), 40, ["adjusted:top_k at top_k from 40.7 to 40"]),
    ("but one without end", "top_k", Spelled("1e999"), target(GEMINI), SAME, []),
    ("or one that no integer of a computer holds", "top_k", Spelled("9" * 40), target(MESSAGES), SAME, []),
    (
        "a host gets its top_k as it is",
        "top_k",
        40.7,
        target(CHAT, **HOST, row={"takes_top_k": True}),
        SAME,
        [],
    ),
    ("seeds of 32 bits", "seed", -(2**31), target(GEMINI), SAME, []),
    ("and no longer ones", "seed", 2**31, target(GEMINI), None, ["lost:seed at seed"]),
    ("nor what is no integer, at once", "seed", 1.5, target(GEMINI), None, ["lost:seed at seed"]),
    ("nor a word", "seed", "seven", target(GEMINI), None, ["lost:seed at seed"]),
    ("chat takes any seed", "seed", 2**31, target(CHAT), SAME, []),
    ("messages has no seed", "seed", 3, target(MESSAGES), None, ["lost:seed at seed"]),
    ("penalties of chat", "presence", 1, target(CHAT, "gpt-4o"), SAME, []),
    ("none to messages", "presence", 1, target(MESSAGES), None, ["lost:presence at presence"]),
    (
        "none to rows that refuse them",
        "frequency",
        1,
        target(GEMINI, "gemini-4"),
        None,
        ["lost:frequency at frequency"],
    ),
    (
        "a penalty that goes with sampling is lost with it",
        "frequency",
        1,
        target(CHAT, "gpt-5.5"),
        None,
        ["lost:frequency at frequency"],
    ),
    ("verbosity is OpenAI's", "verbosity", "low", target(CHAT), SAME, []),
    ("and no other host's", "verbosity", "low", target(CHAT, **HOST), None, ["lost:verbosity at verbosity"]),
    ("nor another API's", "verbosity", "low", target(GEMINI), None, ["lost:verbosity at verbosity"]),
    ("logprobs are told once", "logprobs", True, target(MESSAGES), None, ["lost:logprobs at logprobs"]),
    ("a count of them alone is nothing", "top_logprobs", 3, target(MESSAGES), None, []),
    ("nor is a no", "logprobs", False, target(MESSAGES), None, []),
    (
        "reasoning models have none",
        "logprobs",
        True,
        target(RESPONSES, "gpt-5"),
        None,
        ["lost:logprobs at logprobs"],
    ),
    ("Gemini has some", "logprobs", True, target(GEMINI, "gemini-4"), SAME, []),
    ("one choice needs no word", "n", 1, target(CHAT), None, []),
    ("a choice of no number is none", "n", "2", target(CHAT), None, []),
    ("several choices", "n", 2, target(GEMINI, "gemini-3.6-flash"), SAME, []),
    ("responses never stops at words", "stop", ("a",), target(RESPONSES), (), ["lost:stop at stop"]),
    ("nor do some models", "stop", ("a",), target(CHAT, "o3"), (), ["lost:stop at stop"]),
    (
        "four at most",
        "stop",
        tuple("abcde"),
        target(CHAT, "gpt-4o"),
        tuple("abcd"),
        ["adjusted:stop-truncated at stop from 5 to 4"],
    ),
    (
        "five at most",
        "stop",
        tuple("abcdef"),
        target(GEMINI),
        tuple("abcde"),
        ["adjusted:stop-truncated at stop from 6 to 5"],
    ),
    (
        "any number, but none blank",
        "stop",
        ("\n", *"abcdefg"),
        target(MESSAGES),
        tuple("abcdefg"),
        ["adjusted:stop-blank at stop"],
    ),
    ("a blank one elsewhere", "stop", ("\n",), target(CHAT, "gpt-4o"), SAME, []),
    (
        "a limit of responses is 16 at least",
        "max_tokens",
        15,
        target(RESPONSES),
        16,
        ["adjusted:max-tokens at max_tokens from 15 to 16"],
    ),
    ("sixteen is enough", "max_tokens", 16, target(RESPONSES), SAME, []),
    ("no limit is no limit", "max_tokens", None, target(RESPONSES), None, []),
    ("a limit that is no number is the upstream's matter", "max_tokens", "9", target(RESPONSES), SAME, []),
    ("nor is truth one", "max_tokens", True, target(RESPONSES), SAME, []),
    ("messages must have one", "max_tokens", None, target(MESSAGES), 8_192, []),
    ("that of its row", "max_tokens", None, target(MESSAGES, "claude-opus-5"), 32_000, []),
    (
        "which is never more than the model makes",
        "max_tokens",
        None,
        target(MESSAGES, "claude-opus-5", row={"max_output_tokens": 9_000}),
        9_000,
        [],
    ),
    ("a client's own limit is", "max_tokens", 10**6, target(MESSAGES, "claude-opus-5"), SAME, []),
]


@pytest.mark.parametrize(
    ("name", "value", "to", "expected", "warned"),
    [row[1:] for row in SETTINGS],
    ids=[row[0] for row in SETTINGS],
)
def test_each_setting(name: str, value: Any, to: Target, expected: Any, warned: list[str]) -> None:
    made, said = fitted(asked(settings=Settings(**{name: value})), to)
    assert repr(getattr(made.settings, name)) == repr(value if expected is SAME else expected)
    assert said == warned


def test_of_temperature_and_top_p_messages_takes_one() -> None:
    both = asked(settings=Settings(temperature=1, top_p=1), paths={"top_p": "topP"})
    made, said = fitted(both, target(MESSAGES, "claude-haiku-4-5"))
    assert (made.settings.temperature, made.settings.top_p, said) == (1, None, ["lost:top_p at topP"])
    made, said = fitted(both, target(CHAT))
    assert (made.settings.temperature, made.settings.top_p, said) == (1, 1, [])


def test_sampling_comes_back_where_the_client_asks_for_no_reasoning() -> None:
    hot = Settings(temperature=1)
    for model in ("gpt-5.5", "kimi-k3"):
        made, _ = fitted(asked(settings=hot, thinking=Thinking(effort="none")), target(CHAT, model))
        assert made.settings.temperature == 1
        made, _ = fitted(asked(settings=hot, thinking=Thinking(effort="low")), target(CHAT, model))
        assert made.settings.temperature is None


@pytest.mark.parametrize("to", [target(MESSAGES), target(RESPONSES), target(GEMINI, "gemini-4")])
@pytest.mark.parametrize("count", [2, 2.5, Spelled("1e999")])
def test_several_choices_of_an_api_that_makes_one_are_refused(count: Any, to: Target) -> None:
    with pytest.raises(Refused) as caught:
        fitted(asked(settings=Settings(n=count), paths={"n": "candidateCount"}), to)
    assert (caught.value.code, caught.value.param) == ("unsupported_by_target", "candidateCount")


def test_numbers_without_end_are_told_within_what_a_header_can_say() -> None:
    notes = Notes()
    notes.adjusted("temperature", "t", float("1e999"), -(10**40))
    assert notes.header() == b'"adjusted:temperature";at="t";from=999999999999;to=-999999999999'


# ---- structured output

OBJECT = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
CLOSED = OBJECT | {"additionalProperties": False}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}
ARRAY = {"type": "array", "items": {"type": "string"}}
LIST_ROOT = {"$ref": "#/$defs/L", "$defs": {"L": ARRAY}}

# the rule, the client, the output, the upstream, the schema and strictness that come out, what is told
OUTPUTS: list[tuple[str, Dialect, Output, Target, Any, bool | None, list[str]]] = [
    (
        "a guarantee of Gemini's is one of OpenAI's",
        GEMINI,
        Output(form="schema", schema=CLOSED, at="s"),
        target(CHAT),
        CLOSED,
        True,
        [],
    ),
    (
        "a guarantee of Anthropic's too",
        MESSAGES,
        Output(form="schema", schema=OBJECT, at="s"),
        target(RESPONSES),
        CLOSED,
        True,
        ["note:tool-schema at s.schema"],
    ),
    (
        "but not where strictness would change it",
        GEMINI,
        Output(form="schema", schema=OPEN, at="s"),
        target(CHAT),
        OPEN,
        False,
        ["adjusted:tool-strict at s"],
    ),
    (
        "OpenAI's clients say it themselves",
        CHAT,
        Output(form="schema", schema=OBJECT, at="s"),
        target(RESPONSES),
        OBJECT,
        None,
        [],
    ),
    (
        "also that they do not want it",
        CHAT,
        Output(form="schema", schema=OBJECT, strict=False, at="s"),
        target(RESPONSES),
        OBJECT,
        False,
        [],
    ),
    (
        "or do",
        RESPONSES,
        Output(form="schema", schema=CLOSED, strict=True, at="s"),
        target(CHAT),
        CLOSED,
        True,
        [],
    ),
    (
        "to Anthropic every schema is strict",
        CHAT,
        Output(form="schema", schema=OBJECT, strict=False, at="s"),
        target(MESSAGES),
        CLOSED,
        None,
        ["note:tool-schema at s.schema"],
    ),
    (
        "Gemini has no such word",
        CHAT,
        Output(form="schema", schema=CLOSED, strict=True, at="s"),
        target(GEMINI),
        CLOSED,
        None,
        [],
    ),
    (
        "no schema is any object",
        CHAT,
        Output(form="schema", at="s"),
        target(RESPONSES),
        {"type": "object", "properties": {}},
        None,
        ["note:tool-schema at s.schema"],
    ),
    (
        "a list as root stays at Gemini's",
        CHAT,
        Output(form="schema", schema=ARRAY, at="s"),
        target(GEMINI),
        ARRAY,
        None,
        [],
    ),
]


@pytest.mark.parametrize(
    ("client", "output", "to", "schema", "strict", "warned"),
    [row[1:] for row in OUTPUTS],
    ids=[row[0] for row in OUTPUTS],
)
def test_each_schema_of_an_output(
    client: Dialect, output: Output, to: Target, schema: Any, strict: bool | None, warned: list[str]
) -> None:
    made, said = fitted(asked(output=output, dialect=client), to)
    assert made.output is not None
    assert (made.output.schema, made.output.strict, made.output.name) == (schema, strict, "response")
    assert said == warned


ONE_OF_TWO = {"anyOf": [OBJECT, ARRAY]}
NO_OUTPUT = [
    (
        "a list as root is lost elsewhere",
        Output(form="schema", schema=ARRAY, at="s"),
        target(CHAT),
        ["lost:schema-root at s"],
    ),
    (
        "also behind a reference",
        Output(form="schema", schema=LIST_ROOT, at="s"),
        target(MESSAGES),
        ["lost:schema-root at s"],
    ),
    (
        "also among alternatives",
        Output(form="schema", schema=ONE_OF_TWO, at="s"),
        target(RESPONSES),
        ["lost:schema-root at s"],
    ),
    (
        "anything as root too",
        Output(form="schema", schema=True, at="s"),
        target(CHAT),
        ["lost:schema-root at s"],
    ),
    (
        "a bare enumeration is Gemini's",
        Output(form="schema", schema=OBJECT, is_enum=True, at="s"),
        target(CHAT),
        ["lost:schema-root at s"],
    ),
    (
        "a model without schemas",
        Output(form="schema", schema=OBJECT, at="s"),
        target(CHAT, "gpt-4"),
        ["lost:schema at s"],
    ),
    ("messages has no loose JSON", Output(form="json", at="s"), target(MESSAGES), ["lost:json-mode at s"]),
    ("text needs no word elsewhere", Output(form="text", at="s"), target(GEMINI), []),
]


@pytest.mark.parametrize(
    ("output", "to", "warned"), [row[1:] for row in NO_OUTPUT], ids=[row[0] for row in NO_OUTPUT]
)
def test_outputs_that_cannot_be_asked_for(output: Output, to: Target, warned: list[str]) -> None:
    assert fitted(asked(output=output), to)[0].output is None
    assert fitted(asked(output=output), to)[1] == warned


def test_a_schema_beside_tools_where_the_model_takes_not_both() -> None:
    both = asked(tools=(Tool(name="f"),), output=Output(form="schema", schema=CLOSED, at="s"))
    older, newer = target(GEMINI, "gemini-2.5-pro"), target(GEMINI, "gemini-3.6-flash")
    assert (fitted(both, older)[0].output, fitted(both, older)[1]) == (None, ["lost:schema at s"])
    assert fitted(both, newer)[0].output is not None
    hosted = asked(tools=(HostedTool(vendor="openai", type="web_search", raw="{}", generic="web_search"),))
    assert fitted(hosted, older)[0].tools == ()


def test_a_schema_of_another_document_is_refused_and_not_lost() -> None:
    with pytest.raises(Refused):
        fitted(
            asked(output=Output(form="schema", schema={"$ref": "https://x.example/s"}, at="s")), target(CHAT)
        )


# ---- caching

MARKED = Cache(ttl="1h")


def marks(*cached: Cache | None, tools: int = 0) -> Any:
    """Texts of one turn with these marks, and so many marked tools."""
    parts = [Text(text="x", cache=one, at=f"[{n}]") for n, one in enumerate(cached)]
    made = tuple(Tool(name=f"t{n}", cache=Cache(), at=f"tools[{n}]") for n in range(tools))
    return asked(user(*parts), tools=(*made, HostedTool(vendor="x", type="y", raw="{}")))


MARKS = [
    (
        "the last four stay",
        marks(*[Cache()] * 5),
        target(MESSAGES),
        [None, *[Cache()] * 4],
        ["note:cache at [0]"],
    ),
    (
        "lifetimes as messages has them",
        marks(MARKED, Cache(ttl="12h"), Cache(ttl="30m")),
        target(MESSAGES),
        [MARKED, MARKED, Cache()],
        ["note:cache at [2]", "note:cache at [1]"],
    ),
    (
        "as chat has them",
        marks(Cache(ttl="30m"), Cache(ttl="12h")),
        target(CHAT, "gpt-6-sol"),
        [Cache(ttl="30m"), Cache()],
        ["note:cache at [1]"],
    ),
    (
        "as responses has them",
        marks(Cache(ttl="12h"), Cache(ttl="5m")),
        target(RESPONSES, "gpt-6-sol"),
        [Cache(ttl="12h"), Cache()],
        ["note:cache at [1]"],
    ),
    ("older models have none", marks(MARKED), target(CHAT, "gpt-5.5"), [None], ["note:cache at [0]"]),
    ("Gemini has none", marks(MARKED), target(GEMINI), [None], ["note:cache at [0]"]),
]


@pytest.mark.parametrize(
    ("request_", "to", "caches", "warned"), [row[1:] for row in MARKS], ids=[row[0] for row in MARKS]
)
def test_marks_of_caches(request_: Any, to: Target, caches: list[Cache | None], warned: list[str]) -> None:
    made, said = fitted(request_, to)
    assert [part.cache for part in made.turns[0].parts if isinstance(part, Text)] == caches
    assert [one for one in said if one != "lost:hosted-tool"] == warned


TOOL_MARKS = [
    (
        "those of texts come first, they save more",
        target(MESSAGES),
        [None, None, Cache()],
        ["tools[1]", "tools[0]"],
    ),
    ("OpenAI's tools have none", target(CHAT, "gpt-6-sol"), [None] * 3, ["tools[2]", "tools[1]", "tools[0]"]),
]


@pytest.mark.parametrize(
    ("to", "caches", "places"), [row[1:] for row in TOOL_MARKS], ids=[row[0] for row in TOOL_MARKS]
)
def test_marks_of_tools(to: Target, caches: list[Cache | None], places: list[str]) -> None:
    made, said = fitted(marks(*[Cache()] * 3, tools=3), to)
    assert [tool.cache for tool in made.tools if isinstance(tool, Tool)] == caches
    assert [one for one in said if "cache" in one] == [f"note:cache at {place}" for place in places]


def test_marks_of_calls_and_results_are_messages_own() -> None:
    turns = (
        user("x"),
        assistant(call(cache=Cache())),
        user(ToolResult(call_id="call_1", cache=Cache(), at="result")),
    )
    for dialect, cache in ((MESSAGES, Cache()), (CHAT, None)):
        made, _ = fitted(asked(*turns), target(dialect, "gpt-6-sol" if dialect is CHAT else ""))
        held = [part for turn in made.turns[1:] for part in turn.parts]
        assert [getattr(part, "cache", ...) for part in held] == [cache, cache]


WHOLE = CacheConfig(key="k", options={"mode": "explicit"}, retention="24h", auto=Cache())
NOTED = [f"note:cache at prompt_cache_{name}" for name in ("key", "options", "retention")]
USER = Identity(user="u")
CONFIGS = [
    (
        "within OpenAI's dialects",
        asked(cache=WHOLE),
        target(RESPONSES),
        CacheConfig(key="k", options={"mode": "explicit"}, retention="24h"),
        [],
    ),
    (
        "from messages there is a key for each user",
        asked(identity=USER, dialect=MESSAGES),
        target(RESPONSES),
        CacheConfig(key=hashed("u", 32)),
        ["note:cache at metadata.user_id"],
    ),
    ("not over chat", asked(identity=USER, dialect=MESSAGES), target(CHAT), CacheConfig(), []),
    (
        "messages' own wish is the default elsewhere",
        asked(cache=CacheConfig(auto=Cache()), dialect=MESSAGES),
        target(GEMINI),
        CacheConfig(),
        ["note:cache at cache_control"],
    ),
    ("to others nothing of it", asked(cache=WHOLE), target(MESSAGES), CacheConfig(), NOTED),
    (
        "but what the operator wants",
        asked(),
        target(MESSAGES, auto_cache=True),
        CacheConfig(auto=Cache()),
        [],
    ),
]


@pytest.mark.parametrize(
    ("request_", "to", "config", "warned"), [row[1:] for row in CONFIGS], ids=[row[0] for row in CONFIGS]
)
def test_wishes_about_caching(request_: Any, to: Target, config: CacheConfig, warned: list[str]) -> None:
    made, said = fitted(request_, to)
    assert (made.cache, said) == (config, warned)


# ---- identity

LONG = "u" * 300
IDENTITIES = [
    ("a user is OpenAI's safety id", MESSAGES, Identity(user="u"), target(CHAT), Identity(safety_id="u"), []),
    ("a user elsewhere", MESSAGES, Identity(user="u"), target(CHAT, **HOST), Identity(user="u"), []),
    ("nobody is nobody", MESSAGES, Identity(), target(CHAT), Identity(), []),
    (
        "a long one is its hash",
        MESSAGES,
        Identity(user=LONG),
        target(CHAT),
        Identity(safety_id=hashed(LONG, 64)),
        ["note:user at user"],
    ),
    ("a safety id wins", CHAT, Identity(user="u", safety_id="s"), target(MESSAGES), Identity(user="s"), []),
    (
        "else a user of the metadata is one",
        CHAT,
        Identity(metadata={"user_id": "m"}),
        target(MESSAGES),
        Identity(user="m"),
        [],
    ),
    (
        "other metadata is lost",
        CHAT,
        Identity(metadata={"a": "b"}),
        target(MESSAGES),
        Identity(),
        ["lost:metadata at metadata"],
    ),
    (
        "as is what is none",
        CHAT,
        Identity(metadata=["u"]),
        target(MESSAGES),
        Identity(),
        ["lost:metadata at metadata"],
    ),
    (
        "OpenAI keeps all",
        CHAT,
        Identity(user="u", safety_id="s", metadata={"a": "b"}),
        target(RESPONSES),
        Identity(user="u", safety_id="s", metadata={"a": "b"}),
        [],
    ),
    (
        "hosts keep no metadata",
        CHAT,
        Identity(user="u", metadata={"a": "b"}),
        target(RESPONSES, **HOST),
        Identity(user="u"),
        ["note:metadata at metadata"],
    ),
    (
        "chat keeps no metadata of what it does not store",
        RESPONSES,
        Identity(metadata={"a": "b"}),
        target(CHAT),
        Identity(),
        ["note:metadata at metadata"],
    ),
    (
        "Gemini knows nobody",
        CHAT,
        Identity(user="u", safety_id="s", metadata={}),
        target(GEMINI),
        Identity(),
        ["note:user at user", "note:user at safety_identifier", "note:metadata at metadata"],
    ),
    (
        "tiers have other words",
        CHAT,
        Identity(service_tier="default"),
        target(MESSAGES),
        Identity(service_tier="standard_only"),
        [],
    ),
    (
        "some have none",
        CHAT,
        Identity(service_tier="flex"),
        target(MESSAGES),
        Identity(),
        ["lost:service-tier at service_tier"],
    ),
    (
        "the nearest is told",
        CHAT,
        Identity(service_tier="priority"),
        target(MESSAGES),
        Identity(service_tier="auto"),
        ["adjusted:service-tier at service_tier from priority to auto"],
    ),
    ("a default needs no word", CHAT, Identity(service_tier="auto"), target(GEMINI), Identity(), []),
    (
        "unknown ones pass",
        GEMINI,
        Identity(service_tier="new"),
        target(CHAT),
        Identity(service_tier="new"),
        [],
    ),
    (
        "a batch is no wish",
        GEMINI,
        Identity(service_tier="batch"),
        target(CHAT),
        Identity(),
        ["lost:service-tier at serviceTier"],
    ),
]


@pytest.mark.parametrize(
    ("client", "identity", "to", "expected", "warned"),
    [row[1:] for row in IDENTITIES],
    ids=[row[0] for row in IDENTITIES],
)
def test_who_asks(
    client: Dialect, identity: Identity, to: Target, expected: Identity, warned: list[str]
) -> None:
    made, said = fitted(asked(identity=identity, dialect=client), to)
    assert made.identity == expected
    assert [one for one in said if "cache" not in one] == warned


def test_a_row_alone_decides() -> None:
    row = target(CHAT, "gpt-5").row
    made, said = fitted(asked(settings=Settings(temperature=1)), of_row(CHAT, row))
    assert (made.settings.temperature, said) == (None, ["lost:temperature at temperature"])
