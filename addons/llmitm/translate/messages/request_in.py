"""An Anthropic request, read. Pure."""

from __future__ import annotations

from typing import Any, Final

from llmitm.exchange import Dialect
from llmitm.translate import jsontext
from llmitm.translate.failures import NO_THREADS
from llmitm.translate.messages.blocks import cache_of, read_blocks
from llmitm.translate.neutral import (
    CacheConfig,
    HostedTool,
    Identity,
    Output,
    Request,
    Role,
    Settings,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    Turn,
)
from llmitm.translate.reading import (
    a_text,
    bool_if,
    count_if,
    invalid,
    objects,
    text_if,
    texts,
    top_object,
)

BILLING: Final = "x-anthropic-billing-header:"
"""Begins a system block that is bookkeeping of one client, with a value that changes each time."""
_SETTINGS: Final = ("max_tokens", "temperature", "top_p", "top_k")
_LOST: Final = ("container", "diagnostics", "inference_geo", "speed", "context_management", "fallbacks")
_READ: Final = frozenset(
    {
        *_SETTINGS,
        *_LOST,
        "model",
        "messages",
        "system",
        "stop_sequences",
        "stream",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "output_format",
        "cache_control",
        "metadata",
        "service_tier",
        "mcp_servers",
        "thread",
        "compaction",
    }
)
_GENERIC: Final = (
    ("web_search_", "web_search"),
    ("web_fetch_", "web_fetch"),
    ("code_execution_", "code"),
    ("tool_search_tool_", "tool_search"),
    ("bash_", "shell"),
    ("text_editor_", "shell"),
    ("computer_toolset_", "toolset"),
    ("browser_toolset_", "toolset"),
    ("computer_", "computer"),
    ("memory_", "memory"),
    ("mcp_toolset", "mcp"),
)
_TIERS: Final = {"standard_only": "default"}


def read_request(
    body: bytes,
    *,
    model: str | None = None,
    is_stream: bool | None = None,
    is_json_array: bool = False,
) -> Request:
    """The request; `model` and `is_stream` stand in the body here, so they are not given.

    Raises:
        Refused: 400, with the place of what is wrong.
    """
    told = top_object(body)
    slices = jsontext.Slices(body)
    noted: list[tuple[str, str]] = []
    settings = {name: told[name] for name in _SETTINGS if told.get(name) is not None}
    metadata = told.get("metadata")
    tier = text_if(told.get("service_tier"))
    mark = told.get("cache_control")
    return Request(
        model=a_text(told.get("model"), "model") if model is None else model,
        turns=(*_system(told.get("system"), noted), *_turns(told, slices)),
        tools=tuple(
            _tool(entry, at, slices, n) for n, (at, entry) in enumerate(objects(told.get("tools"), "tools"))
        ),
        tool_choice=_tool_choice(told.get("tool_choice")),
        settings=Settings(**settings, stop=texts(told.get("stop_sequences"), "stop_sequences")),
        thinking=_thinking(told),
        output=_output(told),
        cache=CacheConfig(auto=cache_of(told) if isinstance(mark, dict) else None),
        identity=Identity(
            user=text_if(metadata.get("user_id")) if isinstance(metadata, dict) else None,
            service_tier=_TIERS.get(tier, tier) if tier else None,
        ),
        stream=told.get("stream") is True,
        want_usage=True,
        dialect=Dialect.ANTHROPIC_MESSAGES,
        paths={
            **{name: name for name in settings},
            "stop": "stop_sequences",
            "thinking": "thinking" if told.get("thinking") else "output_config.effort",
            "effort": "output_config.effort",
            "user": "metadata.user_id",
            "parallel": "tool_choice.disable_parallel_tool_use",
        },
        lost=_lost(told),
        noted=tuple(noted),
        refused=_refused(told),
    )


def _lost(told: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    lost = [(name, name) for name in _LOST if told.get(name)]
    return (*lost, *(("unknown-field", name) for name in told if name not in _READ))


def _refused(told: dict[str, Any]) -> tuple[tuple[str, str, str], ...]:
    refused: list[tuple[str, str, str]] = []
    if told.get("mcp_servers"):
        sentence = "This model's provider cannot reach MCP servers of the request"
        refused.append(("hosted_tool_not_portable", "mcp_servers", sentence))
    if told.get("thread"):
        sentence = "This model's provider keeps no threads; send the whole conversation"
        refused.append((NO_THREADS, "thread", sentence))
    if told.get("compaction"):
        sentence = "The conversation is kept by another provider than this model's"
        refused.append(("stateful_not_supported", "compaction", sentence))
    if told.get("max_tokens") == 0 and told.get("max_tokens") is not False:
        sentence = "This model's provider has no request that only warms the cache"
        refused.append(("unsupported_by_target", "max_tokens", sentence))
    return tuple(refused)


# ---- turns


def _system(value: Any, noted: list[tuple[str, str]]) -> tuple[Turn, ...]:
    if value is None or value == "" or value == []:
        return ()
    if isinstance(value, str):
        return (Turn(role=Role.SYSTEM, parts=(Text(text=value, at="system"),), at="system"),)
    parts: list[Text] = []
    for at, block in objects(value, "system"):
        text = a_text(block.get("text"), f"{at}.text")
        if text.startswith(BILLING):
            noted.append(("billing-header", at))
        else:
            parts.append(Text(text=text, cache=cache_of(block), at=at))
    return (Turn(role=Role.SYSTEM, parts=tuple(parts), at="system"),) if parts else ()


def _turns(told: dict[str, Any], slices: jsontext.Slices) -> list[Turn]:
    messages = told.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("messages", "expected a list with at least one message")
    turns: list[Turn] = []
    for n, (at, message) in enumerate(objects(messages, "messages")):
        role = message.get("role")
        if role not in ("user", "assistant", "system"):
            raise invalid(f"{at}.role", "expected user, assistant or system")
        parts = read_blocks(message.get("content"), f"{at}.content", slices, "messages", n, "content")
        if role == "user":
            parts.sort(key=lambda part: not isinstance(part, ToolResult))
        turns.append(Turn(role=Role(role), parts=tuple(parts), at=at))
    return turns


# ---- tools


def _tool(entry: dict[str, Any], at: str, slices: jsontext.Slices, n: int) -> Tool | HostedTool:
    kind = entry.get("type")
    if kind not in (None, "custom"):
        word = text_if(kind) or ""
        generic = next((name for prefix, name in _GENERIC if word.startswith(prefix)), None)
        raw = slices.at("tools", n)
        if generic is None and not word.startswith("advisor_"):
            raise invalid(at, f"tools of type {word!r} are not known")
        return HostedTool(vendor="anthropic", type=word, raw=raw, generic=generic, at=at)
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise invalid(f"{at}.name", "the tool has no name")
    known = ("type", "name", "description", "input_schema", "strict", "cache_control")
    return Tool(
        name=name,
        description=text_if(entry.get("description")),
        schema=entry.get("input_schema"),
        strict=bool_if(entry.get("strict")),
        cache=cache_of(entry),
        extra={key: value for key, value in entry.items() if key not in known and value is not None},
        at=at,
        schema_at=f"{at}.input_schema",
    )


def _tool_choice(choice: Any) -> ToolChoice | None:
    at = "tool_choice"
    if choice is None:
        return None
    parallel: bool | None = None
    if isinstance(choice, dict) and isinstance(choice.get("disable_parallel_tool_use"), bool):
        parallel = not choice["disable_parallel_tool_use"]
    match choice:
        case {"type": "auto" | "any" | "none" as mode}:
            return ToolChoice(mode=mode, parallel=parallel, at=at)
        case {"type": "tool", "name": str(name)}:
            return ToolChoice(mode="one", name=name, parallel=parallel, at=at)
        case _:
            raise invalid(at, "expected auto, any, none, or a tool by its name")


# ---- settings


def _thinking(told: dict[str, Any]) -> Thinking | None:
    config = told.get("output_config")
    effort = text_if(config.get("effort")) if isinstance(config, dict) else None
    match told.get("thinking"):
        case {"type": "disabled"}:
            return Thinking(mode="off", effort=effort)
        case {"type": "enabled" | "adaptive" as kind, **rest}:
            display = text_if(rest.get("display"))
            return Thinking(
                mode="on" if kind == "enabled" else "adaptive",
                budget_tokens=count_if(rest.get("budget_tokens")),
                effort=effort,
                show="none" if display == "omitted" else "summary",
            )
        case {"type": "between_tools"}:
            return Thinking(mode="between_tools", effort=effort)
        case _:
            return Thinking(effort=effort) if effort else None


def _output(told: dict[str, Any]) -> Output | None:
    config = told.get("output_config")
    form, at = (config.get("format"), "output_config.format") if isinstance(config, dict) else (None, "")
    if form is None:
        form, at = told.get("output_format"), "output_format"
    match form:
        case None:
            return None
        case {"type": "json_schema", "schema": schema}:
            return Output(form="schema", schema=schema, at=at)
        case _:
            raise invalid(at, "expected a json_schema")
