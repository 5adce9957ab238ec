"""What the known families of models accept: the capability table, and how a model's row is found. Pure data.

A row says what an upstream refuses or ignores, so that a request can be fitted before it is sent. Globs are
matched against the bare name (see `bare`); of all that match the one wins that fixes most signs. A number
newer than any row of a known line takes the newest row of that line. Whatever is unknown is trusted to
complain for itself.

How a `toggle` is spelled follows from `off`: `disabled` is `thinking:{"type":...}`, `toggle` is
`enable_thinking` with `thinking_budget`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import translate as regex_of_glob
from functools import cache, lru_cache
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from llmitm.exchange import Dialect
from llmitm.translate.target import Model


@dataclass(frozen=True, slots=True)
class Row:
    globs: tuple[str, ...]
    model: Model
    over: Mapping[Dialect, Mapping[str, Any]] = field(default_factory=dict)
    """Cells that are otherwise over one API."""


_LOW_TO_HIGH: Final = ("low", "medium", "high")
_LOW_TO_XHIGH: Final = (*_LOW_TO_HIGH, "xhigh")
_LOW_TO_MAX: Final = (*_LOW_TO_XHIGH, "max")

# ---- OpenAI

_GPT_5: Final = Model(
    sampling="never",
    max_tokens_field="max_completion_tokens",
    reasoning="effort",
    efforts=("minimal", *_LOW_TO_HIGH),
    off="cannot",
    default_effort="medium",
    seals="should",
    takes_penalties=False,
    takes_developer=True,
)
_GPT_5_1: Final = replace(
    _GPT_5,
    sampling="noneff",
    efforts=("none", *_LOW_TO_HIGH),
    off="none",
    default_effort="none",
    takes_penalties=True,
)
_GPT_5_2: Final = replace(_GPT_5_1, efforts=("none", *_LOW_TO_XHIGH))
_GPT_5_4: Final = replace(_GPT_5_2, tools_need_responses=True)
_GPT_5_5: Final = replace(_GPT_5_4, default_effort="medium")
_GPT_6: Final = replace(_GPT_5_5, efforts=("none", *_LOW_TO_MAX), takes_cache_marks=True)
_GPT_6_ASTRA: Final = replace(
    _GPT_6, sampling="never", efforts=_LOW_TO_MAX, off="cannot", takes_penalties=False
)
_GPT_4_1: Final = Model(max_tokens_field="max_completion_tokens", reasoning="none")
_O_SERIES: Final = replace(_GPT_5, efforts=_LOW_TO_HIGH, takes_stop=False, takes_parallel=False)
_RESPONSES_ONLY: Final = replace(_GPT_5, max_tokens_field="max_output_tokens", is_responses_only=True)

_OPENAI: Final = (
    Row(("gpt-6-astra*",), _GPT_6_ASTRA),
    Row(
        ("gpt-6.1-sol*", "gpt-6.[2-9]*-sol*"),
        _GPT_6_ASTRA,
        {Dialect.OPENAI_CHAT: {"efforts": _LOW_TO_XHIGH}},
    ),
    Row(("gpt-6", "gpt-6-*", "gpt-6.*"), _GPT_6),
    Row(("gpt-5.6", "gpt-5.6-*", "gpt-5.[7-9]*"), _GPT_6),
    Row(("gpt-5.5", "gpt-5.5-*"), _GPT_5_5),
    Row(("gpt-5.4", "gpt-5.4-*"), _GPT_5_4),
    Row(("gpt-5.2", "gpt-5.2-*"), _GPT_5_2),
    Row(("gpt-5.3", "gpt-5.3-*"), _GPT_5_2),
    Row(("gpt-5.1", "gpt-5.1-*"), _GPT_5_1),
    Row(("gpt-5", "gpt-5-*"), _GPT_5),
    Row(("gpt-5-pro*",), replace(_RESPONSES_ONLY, efforts=("high",), default_effort="high")),
    Row(
        ("gpt-5.*-pro*", "gpt-[6-9]*-pro*"),
        replace(_RESPONSES_ONLY, efforts=("medium", "high", "xhigh"), default_effort="high"),
    ),
    Row(("gpt-5-codex*",), replace(_RESPONSES_ONLY, efforts=_LOW_TO_HIGH)),
    Row(("gpt-5.1-codex*",), replace(_RESPONSES_ONLY, efforts=_LOW_TO_HIGH)),
    Row(("gpt-5.1-codex-max*",), replace(_RESPONSES_ONLY, efforts=_LOW_TO_XHIGH)),
    Row(("gpt-5.*-codex*", "gpt-[6-9]*-codex*"), replace(_RESPONSES_ONLY, efforts=_LOW_TO_XHIGH)),
    Row(("o[1-9]*-pro*",), replace(_O_SERIES, max_tokens_field="max_output_tokens", is_responses_only=True)),
    Row(
        ("o[1-9]*-deep-research*", "*-deep-research*"),
        replace(_RESPONSES_ONLY, efforts=("medium",), default_effort="medium"),
    ),
    Row(("o3", "o1", "o4-mini", "o[1-9]", "o[1-9]-*"), _O_SERIES),
    Row(("gpt-5*-chat-latest", "gpt-5*-chat"), replace(_GPT_4_1, takes_developer=True)),
    Row(("gpt-4.1*", "gpt-4o*", "chatgpt-4o*", "gpt-4.[5-9]*"), _GPT_4_1),
    Row(("gpt-audio*", "gpt-4o-audio*", "gpt-4o-mini-audio*"), replace(_GPT_4_1, takes_audio=True)),
    Row(
        ("gpt-4", "gpt-4-*", "gpt-3.5*"),
        replace(_GPT_4_1, max_tokens_field="max_tokens", has_schema_output=False),
    ),
)

# ---- Anthropic

_FABLE_5: Final = Model(
    sampling="never",
    max_output_tokens=128_000,
    default_max_tokens=32_000,
    reasoning="adaptive",
    efforts=_LOW_TO_MAX,
    off="cannot",
    default_effort="high",
    forces_tools="no",
    seals="must",
    prefill="no",
    has_temperature_and_top_p=False,
    temperature_max=1.0,
    takes_top_k=True,
    takes_penalties=False,
    takes_n=False,
    takes_system_turns=True,
)
_OPUS_5_5: Final = replace(_FABLE_5, default_effort="medium")
_SONNET_5_5: Final = replace(_FABLE_5, off="between_tools", off_max_effort="high")
_HAIKU_5_5: Final = replace(_FABLE_5, off="disabled", default_effort="medium")
_OPUS_5: Final = replace(_FABLE_5, off="disabled", off_max_effort="high", forces_tools="yes")
_SONNET_5: Final = replace(_OPUS_5, off_max_effort=None)
_OPUS_4_8: Final = replace(_SONNET_5, default_effort="none", takes_system_turns=False)
_OPUS_4_6: Final = replace(
    _OPUS_4_8, sampling="range", efforts=("low", "medium", "high", "max"), forces_tools="not_thinking"
)
_SONNET_4_5: Final = replace(
    _OPUS_4_6,
    max_output_tokens=64_000,
    reasoning="budget",
    efforts=(),
    budget_max=63_999,
    prefill="not_thinking",
)
_OPUS_4_5: Final = replace(_SONNET_4_5, efforts=_LOW_TO_HIGH)
_SONNET_4: Final = replace(
    _SONNET_4_5, default_max_tokens=8_192, has_schema_output=False, has_temperature_and_top_p=True
)
_OPUS_4: Final = replace(_SONNET_4, max_output_tokens=32_000, budget_max=31_999)
_CLAUDE_3_5: Final = replace(
    _SONNET_4, max_output_tokens=8_192, reasoning="none", forces_tools="yes", seals="no", prefill="yes"
)
_CLAUDE_3: Final = replace(_CLAUDE_3_5, max_output_tokens=4_096, default_max_tokens=4_096)

_ANTHROPIC: Final = (
    Row(("claude-fable-5*", "claude-mythos-5*"), _FABLE_5),
    Row(("claude-opus-5-5*",), _OPUS_5_5),
    Row(("claude-sonnet-5-5*",), _SONNET_5_5),
    Row(("claude-haiku-5-5*",), _HAIKU_5_5),
    Row(("claude-opus-5", "claude-opus-5-[!0-9]*"), _OPUS_5),
    Row(("claude-sonnet-5", "claude-sonnet-5-[!0-9]*"), _SONNET_5),
    Row(("claude-opus-4-8*", "claude-opus-4-7*"), _OPUS_4_8),
    Row(("claude-opus-4-6*", "claude-sonnet-4-6*"), _OPUS_4_6),
    Row(("claude-opus-4-5*",), _OPUS_4_5),
    Row(("claude-sonnet-4-5*", "claude-haiku-4-5*"), _SONNET_4_5),
    Row(("claude-sonnet-4", "claude-sonnet-4-0*", "claude-sonnet-4-[!0-9]*", "claude-3-7-*"), _SONNET_4),
    Row(
        (
            "claude-opus-4",
            "claude-opus-4-0*",
            "claude-opus-4-1",
            "claude-opus-4-1-*",
            "claude-opus-4-[!0-9]*",
        ),
        _OPUS_4,
    ),
    Row(("claude-3-5-*",), _CLAUDE_3_5),
    Row(("claude-3-*",), _CLAUDE_3),
)

# ---- Google

_GEMINI_4: Final = Model(
    sampling="never",
    max_tokens_field="maxOutputTokens",
    max_output_tokens=65_536,
    reasoning="level",
    efforts=_LOW_TO_HIGH,
    off="cannot",
    seals="must",
    prefill="no",
    takes_top_k=True,
    takes_penalties=False,
    takes_n=False,
    takes_audio=True,
    needs_signatures=True,
)
_GEMINI_3_8: Final = replace(
    _GEMINI_4,
    sampling="range",
    default_effort="medium",
    takes_penalties=True,
    takes_n=True,
)
_GEMINI_3_6: Final = replace(_GEMINI_3_8, efforts=("minimal", *_LOW_TO_HIGH), off="minimal")
_GEMINI_2_5_PRO: Final = replace(
    _GEMINI_3_8,
    reasoning="budget",
    efforts=(),
    default_effort=None,
    budget_min=128,
    seals="should",
    prefill="yes",
    has_schema_with_tools=False,
    takes_media_in_results=False,
    needs_signatures=False,
)
_GEMINI_2_5_FLASH: Final = replace(_GEMINI_2_5_PRO, off="budget0", budget_min=0, budget_max=24_576)

_GOOGLE: Final = (
    Row(("gemini-4*",), _GEMINI_4),
    Row(("gemini-4-argon*",), replace(_GEMINI_4, default_effort="medium")),
    Row(("gemini-4-neon*",), replace(_GEMINI_4, default_effort="high")),
    Row(("gemini-4-hydrogen*",), replace(_GEMINI_4, efforts=_LOW_TO_XHIGH)),
    Row(("gemini-3.8-flash*", "gemini-3.7-flash*", "gemini-3.[7-9]*"), _GEMINI_3_8),
    Row(("gemini-3.1-pro*", "gemini-3-pro*"), replace(_GEMINI_3_8, default_effort="high", prefill="yes")),
    Row(("gemini-3.6-*", "gemini-3.6"), _GEMINI_3_6),
    Row(("gemini-3.5-*", "gemini-3.5"), replace(_GEMINI_3_6, prefill="yes")),
    Row(("gemini-3.5-flash-lite*",), replace(_GEMINI_3_6, default_effort="minimal")),
    Row(("gemini-3.1-flash-lite*",), replace(_GEMINI_3_6, default_effort="minimal", prefill="yes")),
    Row(
        ("gemini-3", "gemini-3-*", "gemini-3.*"),
        replace(_GEMINI_3_6, default_effort=None, prefill="yes"),
    ),
    Row(("gemini-2.5-pro*", "gemini-2.5*"), _GEMINI_2_5_PRO),
    Row(("gemini-2.5-flash*",), _GEMINI_2_5_FLASH),
    Row(("gemini-2.5-flash-lite*",), replace(_GEMINI_2_5_FLASH, budget_min=512, default_effort="none")),
    Row(
        ("gemini-2.0*", "gemini-1.5*"),
        replace(_GEMINI_2_5_PRO, reasoning="none", seals="no", max_output_tokens=8_192),
    ),
)

# ---- others, over chat

_GLM: Final = Model(
    reasoning="toggle",
    off="disabled",
    forces_tools="auto_only",
    has_schema_output=False,
    sends_back_reasoning=True,
)

_OTHERS: Final = (
    Row(
        ("deepseek*",),
        Model(
            reasoning="toggle",
            efforts=("high", "max"),
            off="disabled",
            forces_tools="not_thinking",
            prefill="yes",
            sends_back_reasoning=True,
        ),
    ),
    Row(
        ("kimi-k2*", "kimi-k3*", "kimi-*"),
        Model(
            sampling="default1",
            max_tokens_field="max_completion_tokens",
            reasoning="toggle",
            off="disabled",
            forces_tools="auto_only",
            sends_back_reasoning=True,
        ),
    ),
    Row(("glm-*",), _GLM),
    Row(("glm-5.3*",), replace(_GLM, reasoning="effort", efforts=("low", "high", "max"), off="cannot")),
    Row(("qwen3*", "qwen-*"), replace(_GLM, off="toggle", has_schema_output=True)),
    Row(("minimax-*",), replace(_GLM, has_schema_output=True)),
    Row(
        ("grok-4*", "grok-[5-9]*"),
        Model(
            max_tokens_field="max_completion_tokens",
            reasoning="effort",
            efforts=("none", *_LOW_TO_HIGH),
            seals="should",
            takes_stop=False,
            takes_penalties=False,
        ),
    ),
    Row(
        ("mistral-*", "magistral-*", "ministral-*"),
        Model(reasoning="effort", efforts=("none", "high"), forces_tools="any_only", prefill="prefix"),
    ),
    Row(("gpt-oss*",), Model(reasoning="effort", efforts=_LOW_TO_HIGH, off="cannot")),
)

ROWS: Final = (*_OPENAI, *_ANTHROPIC, *_GOOGLE, *_OTHERS)

_UNKNOWN_CHAT: Final = Model()
UNKNOWN: Final[Mapping[Dialect, Model]] = {
    Dialect.OPENAI_CHAT: _UNKNOWN_CHAT,
    Dialect.OPENAI_RESPONSES: replace(_UNKNOWN_CHAT, seals="should"),
    Dialect.ANTHROPIC_MESSAGES: Model(
        off="disabled",
        seals="must",
        prefill="no",
        has_temperature_and_top_p=False,
        temperature_max=1.0,
        takes_top_k=True,
    ),
    Dialect.GEMINI: Model(
        max_tokens_field="maxOutputTokens",
        off="minimal",
        seals="should",
        prefill="no",
        takes_top_k=True,
        takes_audio=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Line:
    """Models that are numbered on: beyond `newest` all are taken for `like`."""

    pattern: re.Pattern[str]
    newest: tuple[int, ...]
    like: str


def _line(pattern: str, newest: tuple[int, ...], like: str) -> Line:
    return Line(re.compile(pattern), newest, like)


_NUMBERS: Final = r"(\d{1,4})(?:[.-](\d{1,4}))?(?![0-9])"
LINES: Final = (
    _line(r"gpt-" + _NUMBERS, (6, 1), "gpt-6"),
    _line(r"claude-opus-" + _NUMBERS, (5, 5), "claude-opus-5-5"),
    _line(r"claude-sonnet-" + _NUMBERS, (5, 5), "claude-sonnet-5-5"),
    _line(r"claude-haiku-" + _NUMBERS, (5, 5), "claude-haiku-5-5"),
    _line(r"claude-fable-" + _NUMBERS, (5, 2), "claude-fable-5-2"),
    _line(r"claude-mythos-" + _NUMBERS, (5, 2), "claude-mythos-5-2"),
    _line(r"gemini-" + _NUMBERS, (4,), "gemini-4"),
    _line(r"kimi-k" + _NUMBERS, (3,), "kimi-k3"),
    _line(r"qwen" + _NUMBERS, (3,), "qwen3"),
)

_PREFIX: Final = re.compile(r"(?:us|us-gov|eu|apac|jp|au|ca|global|anthropic|models)\.")
_SUFFIX: Final = re.compile(r"(?:-v\d+:\d+(?::\w+)?|-v1|@[^@]*|:[^:]*|-\d{8}|-20\d\d-[01]\d-[0-3]\d)$")


def bare(model: str) -> str:
    """A model's name as the table spells it: no route, cloud, version of the service, or date."""
    name = model.lower().rpartition("/")[2]
    while cloud := _PREFIX.match(name):
        name = name[cloud.end() :]
    while (end := _SUFFIX.search(name)) and end.start():
        name = name[: end.start()]
    return name.replace(".", "-") if name.startswith("claude-") else name


def find(model: str, dialect: Dialect) -> Model:
    """What this model accepts over this API."""
    return _row(bare(model), dialect)


def overridden(row: Model, model: str, overrides: Mapping[str, Mapping[str, Any]]) -> Model:
    """The row with the operator's cells in it. `overrides`: a glob to cells that replace the row's.

    Where several globs match, each cell is that of the longest of them.

    Raises:
        ValueError: an override names a cell that there is not, or gives it a value that it cannot have.
    """
    names = (model.lower(), bare(model))
    for glob in sorted(overrides, key=lambda one: (len(one), one)):
        cells = checked(overrides[glob], glob)
        if any(_matcher(glob.lower()).match(name) for name in names):
            row = replace(row, **cells)
    return row


@lru_cache(maxsize=4096)
def _row(name: str, dialect: Dialect) -> Model:
    found = _longest(name) or _newest(name)
    if found is None:
        return UNKNOWN[dialect]
    made = replace(found.model, family=found.globs[0].rstrip("*-"), **found.over.get(dialect, {}))
    if dialect is Dialect.ANTHROPIC_MESSAGES:
        made = replace(made, temperature_max=min(made.temperature_max, 1.0))
    return made


def _longest(name: str) -> Row | None:
    matching = ((_weight(glob), row) for glob, row in _globs() if _matcher(glob).match(name))
    return max(matching, key=lambda one: one[0], default=(0, None))[1]


def _newest(name: str) -> Row | None:
    for line in LINES:
        numbers = line.pattern.match(name)
        if numbers and tuple(int(one) for one in numbers.groups() if one) > line.newest:
            return _longest(line.like)
    return None


def _weight(glob: str) -> int:
    """How many signs of a name a glob fixes."""
    return len(re.sub(r"\[.*?\]", "?", glob).replace("*", ""))


def _globs() -> Iterator[tuple[str, Row]]:
    return ((glob, row) for row in ROWS for glob in row.globs)


@cache
def _matcher(glob: str) -> re.Pattern[str]:
    return re.compile(regex_of_glob(glob))


# ---- an operator's cells


def checked(cells: Mapping[str, Any], glob: str = "") -> dict[str, Any]:
    """Cells as a row takes them: arrays as tuples, all else as it is.

    Raises:
        ValueError: an unknown cell, or a value that it cannot have.
    """
    types = _types()
    where = f"{glob!r}: " if glob else ""
    made: dict[str, Any] = {}
    for name, value in cells.items():
        if name not in types or name == "family":
            raise ValueError(f"{where}there is no cell {name!r}; there are {', '.join(sorted(types))}")
        made[name] = _cell(types[name], value)
        if made[name] is _WRONG:
            raise ValueError(f"{where}{name} cannot be {value!r}; it is {_told(types[name])}")
    return made


_WRONG: Final = object()


@cache
def _types() -> dict[str, Any]:
    return {name: kind for name, kind in get_type_hints(Model).items() if name != "family"}


def _cell(kind: Any, value: Any) -> Any:
    if get_origin(kind) is Literal:
        return value if isinstance(value, str) and value in get_args(kind) else _WRONG
    if get_origin(kind) in (UnionType, Union):
        return next((made for one in get_args(kind) if (made := _cell(one, value)) is not _WRONG), _WRONG)
    if get_origin(kind) is tuple:
        is_words = isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
        return tuple(value) if is_words else _WRONG
    if kind is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if is_number else _WRONG
    return value if type(value) is kind else _WRONG


def _told(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if get_origin(kind) is tuple:
        return "a list of words"
    if get_origin(kind) in (UnionType, Union):
        return " or ".join(_told(one) for one in get_args(kind) if one is not type(None))
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}[kind]
