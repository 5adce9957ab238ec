"""A client's request to Gemini, read. Pure.

The model and whether a stream is wanted stand in the path. Members may be spelled in camelCase or
snake_case, roles and words of enumerations in any case, and one object stands for a list of one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from llmitm.exchange import Dialect
from llmitm.translate import jsontext
from llmitm.translate.gemini.contents import Contents
from llmitm.translate.gemini.members import Node, items_of, text_of, word_of
from llmitm.translate.gemini.openapi import from_openapi
from llmitm.translate.gemini.parts import VENDOR
from llmitm.translate.gemini.usage import TIERS
from llmitm.translate.neutral import (
    HostedTool,
    Identity,
    Output,
    Request,
    Settings,
    Thinking,
    Tool,
    ToolChoice,
)
from llmitm.translate.reading import invalid, top_object

_SETTINGS: Final = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "candidateCount": "n",
    "maxOutputTokens": "max_tokens",
    "responseLogprobs": "logprobs",
    "logprobs": "top_logprobs",
    "presencePenalty": "presence",
    "frequencyPenalty": "frequency",
    "seed": "seed",
}
_GENERIC: Final = {
    "googleSearch": "web_search",
    "googleSearchRetrieval": "web_search",
    "enterpriseWebSearch": "web_search",
    "parallelAiSearch": "web_search",
    "exaAiSearch": "web_search",
    "urlContext": "web_fetch",
    "codeExecution": "code",
    "fileSearch": "file_search",
    "retrieval": "file_search",
    "computerUse": "computer",
    "mcpServers": "mcp",
    "googleMaps": None,
}
"""Tools that Google runs, by what others call them."""
_LOST: Final = {
    "safetySettings": "safety-settings",
    "modelArmorConfig": "safety-settings",
    "labels": "metadata",
}
_NOTED: Final = {"store": "store", "stream": "stream"}
_REFUSED: Final = {
    "cachedContent": (
        "cached_content_not_portable",
        "The cached content is held by Google, so this model's provider cannot read it",
    ),
    "continuationToken": (
        "stateful_not_supported",
        "The answer to go on with is held by Google",
    ),
}
_TOP: Final = frozenset(
    {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "serviceTier", "model"}
)
_CONFIG_LOST: Final = {
    "mediaResolution": "media-resolution",
    "audioTimestamp": "audio-timestamp",
    "routingConfig": "routing-config",
    "modelSelectionConfig": "routing-config",
}
_CONFIG_REFUSED: Final = frozenset({"speechConfig", "imageConfig"})
_CONFIG: Final = frozenset(
    {
        *_SETTINGS,
        "stopSequences",
        "thinkingConfig",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "responseFormat",
        "responseModalities",
    }
)
_ONLY_TEXT: Final = "This model's provider cannot answer in other than text"
_FUNCTION: Final = frozenset({"name", "description", "parameters", "parametersJsonSchema"})


@dataclass(slots=True)
class _Found:
    """What the rest of the request cannot hold, and where settings stood."""

    paths: dict[str, str] = field(default_factory=dict)
    lost: list[tuple[str, str]] = field(default_factory=list)
    noted: list[tuple[str, str]] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)


def read_request(
    body: bytes,
    *,
    model: str | None = None,
    is_stream: bool | None = None,
    is_json_array: bool = False,
) -> Request:
    """What the client asks for.

    Raises:
        Refused: 400, it cannot be read as a request of this dialect.
    """
    told = Node(top_object(body))
    slices = jsontext.Slices(body)
    found = _Found()
    config = told.get("generationConfig")
    contents = Contents(slices)
    turns = contents.system(told.get("systemInstruction")) + contents.turns(told.get("contents"))
    settings = _settings(config, found)
    tools = tuple(tool for one in items_of(told.get("tools")) for tool in _entry(one, slices, found))
    choice = _choice(told.get("toolConfig"), found)
    _top(told, found)
    return Request(
        model=_model(model, told),
        turns=turns,
        tools=tools,
        tool_choice=choice,
        settings=settings,
        thinking=_thinking(config, found),
        output=_output(config, found),
        identity=Identity(service_tier=_tier(told.get("serviceTier"), found)),
        stream=bool(is_stream),
        dialect=Dialect.GEMINI,
        is_json_array=is_json_array,
        paths=found.paths,
        lost=tuple(found.lost),
        noted=tuple(found.noted),
        refused=tuple(found.refused),
    )


def _model(model: str | None, told: Node) -> str:
    named = model or text_of(told.get("model"))
    if not named:
        raise invalid("model", "expected the name of a model")
    return named.removeprefix("models/")


def _tier(node: Node | None, found: _Found) -> str | None:
    if node is None:
        return None
    found.paths["service_tier"] = node.at
    return TIERS.get(word_of(node))


def _top(told: Node, found: _Found) -> None:
    for name, node in told.members():
        if name in _REFUSED:
            code, sentence = _REFUSED[name]
            found.refused.append((code, node.at, sentence))
        elif name in _NOTED:
            found.noted.append((_NOTED[name], node.at))
        elif name not in _TOP and node.value not in ([], {}):
            found.lost.append((_LOST.get(name, "unknown-field"), node.at))


# ---- generationConfig


def _settings(config: Node | None, found: _Found) -> Settings:
    if config is None:
        return Settings()
    values: dict[str, Any] = {}
    for name, node in config.members():
        if name in _SETTINGS:
            values[_SETTINGS[name]] = node.value
            found.paths[_SETTINGS[name]] = node.at
        elif name == "stopSequences":
            values["stop"] = tuple(one.text() for one in node.items())
            found.paths["stop"] = node.at
        elif name == "responseModalities":
            if any(word_of(one) not in ("TEXT", "MODALITY_UNSPECIFIED") for one in node.items()):
                found.refused.append(("unsupported_by_target", node.at, _ONLY_TEXT))
        elif name in _CONFIG_REFUSED:
            found.refused.append(("unsupported_by_target", node.at, _ONLY_TEXT))
        elif name not in _CONFIG:
            found.lost.append((_CONFIG_LOST.get(name, "unknown-field"), node.at))
    return Settings(**values)


def _thinking(config: Node | None, found: _Found) -> Thinking | None:
    node = config.get("thinkingConfig") if config is not None else None
    if node is None:
        return None
    node.object()
    shown, budget, level = (node.get(name) for name in ("includeThoughts", "thinkingBudget", "thinkingLevel"))
    for name, one in (("show", shown), ("budget_tokens", budget), ("effort", level)):
        if one is not None:
            found.paths[name] = one.at
    found.paths["thinking"] = (level or budget or shown or node).at
    word = word_of(level).removeprefix("THINKING_LEVEL_")
    tokens = budget.value if budget is not None else None
    if isinstance(tokens, str) and tokens.removeprefix("-").isdecimal() and len(tokens) < 19:
        tokens = int(tokens)
    if tokens is not None and (not isinstance(tokens, int) or isinstance(tokens, bool)):
        raise invalid(found.paths["budget_tokens"], "expected an integer")
    return Thinking(
        effort=word.lower() if word and word != "UNSPECIFIED" else None,
        budget_tokens="dynamic" if tokens is not None and tokens < 0 else tokens,
        show=None if shown is None else "summary" if shown.value is True else "none",
    )


def _output(config: Node | None, found: _Found) -> Output | None:
    if config is None:
        return None
    mime = config.get("responseMimeType")
    schema, is_older = config.get("responseSchema"), True
    for spelling in ("responseJsonSchema", "_responseJsonSchema"):
        if (node := config.get(spelling)) is not None:
            schema, is_older = node, False
    for one in items_of(config.get("responseFormat")):
        if (text := one.get("text")) is not None:
            mime = text.get("mimeType") or mime
            if (node := text.get("jsonSchema") or text.get("schema")) is not None:
                schema, is_older = node, False
    kind = word_of(mime)
    if schema is not None:
        found.paths["output"] = schema.at
        is_enum = kind == "TEXT/X.ENUM"
        value = from_openapi(schema.value) if is_older else schema.value
        return Output(form="schema", schema=value, is_enum=is_enum, at=schema.at)
    if mime is None or kind in ("", "TEXT/PLAIN"):
        return None
    found.paths["output"] = mime.at
    return Output(form="json", is_enum=kind == "TEXT/X.ENUM", at=mime.at)


# ---- tools


def _entry(node: Node, slices: jsontext.Slices, found: _Found) -> list[Tool | HostedTool]:
    """An entry holds functions, tools of Google's, or several of both."""
    node.object()
    tools: list[Tool | HostedTool] = []
    for name, one in node.members():
        if name == "functionDeclarations":
            tools += (_function(declared) for declared in one.items())
        elif name in _GENERIC:
            raw = f'{{"{name}":{slices.at(*one.path)}}}'
            tools.append(HostedTool(vendor=VENDOR, type=name, raw=raw, generic=_GENERIC[name], at=one.at))
        else:
            found.refused.append(("unsupported_by_target", one.at, f"The tool {name} is not known"))
    return tools


def _function(node: Node) -> Tool:
    node.object()
    name = text_of(node.get("name"))
    if not name:
        raise invalid(f"{node.at}.name", "expected the name of a function")
    whole, older = node.get("parametersJsonSchema"), node.get("parameters")
    found = whole or older
    schema = whole.value if whole is not None else from_openapi(older.value) if older is not None else None
    return Tool(
        name=name,
        description=text_of(node.get("description")),
        schema=schema,
        extra={name: one.value for name, one in node.members() if name not in _FUNCTION},
        at=node.at,
        schema_at=found.at if found is not None else "",
    )


def _choice(config: Node | None, found: _Found) -> ToolChoice | None:
    if config is None:
        return None
    for name, node in config.members():
        if name == "includeServerSideToolInvocations":
            found.noted.append(("server-side-tool-invocations", node.at))
        elif name != "functionCallingConfig":
            found.lost.append(("unknown-field" if name != "retrievalConfig" else "retrieval-config", node.at))
    calling = config.get("functionCallingConfig")
    if calling is None:
        return None
    names = tuple(one.text() for one in items_of(calling.get("allowedFunctionNames")))
    make = _MODES.get(_mode_word(calling.get("mode")))
    return None if make is None else make(names, calling.at)


def _mode_word(node: Node | None) -> str:
    """The word, also where a client numbers it as the protocol does."""
    if node is not None and type(node.value) is int and 0 < node.value <= len(_MODES):
        return list(_MODES)[node.value - 1]
    return word_of(node)


def _any_of(names: tuple[str, ...], at: str) -> ToolChoice:
    if len(names) == 1:
        return ToolChoice(mode="one", name=names[0], at=at)
    return ToolChoice(mode="any", allowed=names or None, at=at)


_MODES: Final[dict[str, Callable[[tuple[str, ...], str], ToolChoice]]] = {
    "AUTO": lambda _, at: ToolChoice(mode="auto", at=at),
    "ANY": _any_of,
    "NONE": lambda _, at: ToolChoice(mode="none", at=at),
    "VALIDATED": lambda names, at: ToolChoice(mode="auto", allowed=names or None, is_validated=True, at=at),
}
"""In the order of their numbers, which begin with 1."""
