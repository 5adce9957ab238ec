"""Tools and the choice among them, as a target takes them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate import ids, jsontext
from llmitm.translate.fit.schemas import Column, fit_schema
from llmitm.translate.neutral import HostedTool, Request, Tool, ToolChoice
from llmitm.translate.notes import Notes
from llmitm.translate.target import Target

_REACHING: Final = frozenset({"mcp", "file_search", "computer", "shell", "toolset"})
"""They reach the user's own data or machine: without them the answer is wrong, not poorer."""
_MAPPED: Final[dict[tuple[str, Dialect], dict[str, Any]]] = {
    ("web_search", Dialect.OPENAI_CHAT): {"web_search_options": {}},
    ("web_search", Dialect.OPENAI_RESPONSES): {"type": "web_search"},
    ("web_search", Dialect.ANTHROPIC_MESSAGES): {"type": "web_search_20250305", "name": "web_search"},
    ("web_search", Dialect.GEMINI): {"googleSearch": {}},
    ("web_fetch", Dialect.ANTHROPIC_MESSAGES): {"type": "web_fetch_20250910", "name": "web_fetch"},
    ("web_fetch", Dialect.GEMINI): {"urlContext": {}},
    ("code", Dialect.OPENAI_RESPONSES): {"type": "code_interpreter", "container": {"type": "auto"}},
    ("code", Dialect.ANTHROPIC_MESSAGES): {"type": "code_execution_20250825", "name": "code_execution"},
    ("code", Dialect.GEMINI): {"codeExecution": {}},
}
_NAMING: Final = ("type", "name")
_SEARCH_OPTIONS: Final[dict[Dialect, tuple[str, ...]]] = {
    Dialect.OPENAI_CHAT: ("search_context_size", "user_location"),
    Dialect.OPENAI_RESPONSES: ("allowed_domains", "search_context_size", "user_location"),
    Dialect.ANTHROPIC_MESSAGES: ("allowed_domains", "user_location"),
    Dialect.GEMINI: (),
}
_WRAPPED_SCHEMA: Final = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}
_COLUMN: Final = {
    (Dialect.OPENAI_CHAT, False): Column.OPENAI,
    (Dialect.OPENAI_CHAT, True): Column.OPENAI_STRICT,
    (Dialect.OPENAI_RESPONSES, False): Column.OPENAI,
    (Dialect.OPENAI_RESPONSES, True): Column.OPENAI_STRICT,
    (Dialect.ANTHROPIC_MESSAGES, False): Column.ANTHROPIC,
    (Dialect.ANTHROPIC_MESSAGES, True): Column.ANTHROPIC_STRICT,
    (Dialect.GEMINI, False): Column.GEMINI,
    (Dialect.GEMINI, True): Column.GEMINI,
}


def column(dialect: Dialect, *, is_strict: bool) -> Column:
    return _COLUMN[dialect, is_strict]


def takes_custom(target: Target) -> bool:
    """Whether tools with free text exist there."""
    return target.dialect is Dialect.OPENAI_RESPONSES or (
        target.dialect is Dialect.OPENAI_CHAT and target.is_openai
    )


@dataclass(slots=True)
class Names:
    """What tools are called at the upstream, and by the client."""

    dialect: Dialect
    has_namespaces: bool
    is_wrapping: bool
    """Free-text tools are functions with one string there."""
    tools: dict[str, Tool] = field(default_factory=dict)
    """The client's tools by their name at the upstream."""

    def wire(self, name: str, namespace: str | None) -> str:
        if namespace and not self.has_namespaces:
            name = f"{namespace}__{name}"
        return ids.tool_name(self.dialect, name) if name else name


def names_for(target: Target) -> Names:
    return Names(
        dialect=target.dialect,
        has_namespaces=target.dialect is Dialect.OPENAI_RESPONSES,
        is_wrapping=not takes_custom(target),
    )


def fit_tools(
    asked: Request, target: Target, names: Names, notes: Notes
) -> tuple[tuple[Tool | HostedTool, ...], frozenset[str]]:
    """The tools in their order, and the types of hosted ones that were lost. Fills `names`.

    Raises:
        Refused: 400, a tool whose loss would make the answer wrong, or two of one name.
    """
    made: list[Tool | HostedTool] = []
    lost: set[str] = set()
    for tool in asked.tools:
        if isinstance(tool, HostedTool):
            kept = _hosted(tool, target, notes)
            if kept is None:
                lost.add(tool.type)
            else:
                made.append(kept)
            continue
        wire = names.wire(tool.name, tool.namespace)
        key = wire if names.dialect is not Dialect.OPENAI_RESPONSES else f"{tool.namespace or ''}.{wire}"
        if key in names.tools:
            raise Refused(
                400, "invalid_request", f"{tool.at}: two tools have the name {tool.name}.", param=tool.at
            )
        names.tools[key] = tool
        made.append(_function(tool, wire, target, names, notes))
    return tuple(made), frozenset(lost)


def _hosted(tool: HostedTool, target: Target, notes: Notes) -> HostedTool | None:
    generic = tool.generic or ""
    is_own = tool.vendor == target.vendor == "openai" and target.dialect is Dialect.OPENAI_RESPONSES
    if is_own:
        return tool
    mapped = _MAPPED.get((generic, target.dialect))
    if generic in target.map_hosted and mapped is not None:
        return replace(tool, raw=jsontext.text_of(mapped | _options(tool, target, notes)))
    if generic in _REACHING:
        raise Refused(
            400,
            "hosted_tool_not_portable",
            f"{tool.at}: the tool {tool.type} is run by another provider than this model's.",
            param=tool.at,
        )
    notes.lost("hosted-tool", tool.at)
    return None


def _options(tool: HostedTool, target: Target, notes: Notes) -> dict[str, Any]:
    """Domains and the user's place, which several APIs have; other options are lost."""
    told = jsontext.loads(tool.raw)
    told = told.get(tool.type, told) if isinstance(told, dict) else {}
    left = {name: value for name, value in told.items() if name not in _NAMING and value}
    if left.get("container") == {"type": "auto"}:
        del left["container"]
    made: dict[str, Any] = {}
    if tool.generic == "web_search":
        if isinstance(filters := left.get("filters"), dict) and set(filters) == {"allowed_domains"}:
            left["allowed_domains"] = left.pop("filters")["allowed_domains"]
        for name in _SEARCH_OPTIONS[target.dialect]:
            if name in left:
                made |= _option(name, left.pop(name), target)
    if left:
        notes.lost("hosted-tool-options", tool.at)
    return {"web_search_options": made} if made and target.dialect is Dialect.OPENAI_CHAT else made


def _option(name: str, value: Any, target: Target) -> dict[str, Any]:
    match name, target.dialect:
        case "allowed_domains", Dialect.OPENAI_RESPONSES:
            return {"filters": {name: value}}
        case "user_location", Dialect.OPENAI_CHAT if isinstance(value, dict):
            place = {key: one for key, one in value.items() if key != "type"}
            return {name: {"type": "approximate", "approximate": place}}
        case _:
            return {name: value}


def _function(tool: Tool, wire: str, target: Target, names: Names, notes: Notes) -> Tool:
    if wire != tool.name and not (tool.namespace and wire == f"{tool.namespace}__{tool.name}"):
        notes.adjusted("tool-name", tool.at)
    if tool.extra:
        notes.note("tool-options", tool.at)
    namespace = tool.namespace if names.has_namespaces else None
    plain = replace(tool, name=wire, namespace=namespace, extra={})
    if tool.kind == "custom":
        return _custom(plain, names, notes)
    return _with_schema(plain, target, notes)


def _custom(tool: Tool, names: Names, notes: Notes) -> Tool:
    if not names.is_wrapping:
        return tool
    notes.adjusted("custom-tool-wrapped", tool.at)
    description = tool.description
    form = tool.format
    if isinstance(form, dict) and form.get("type") == "grammar":
        grammar = f"The input must follow this {form.get('syntax')} grammar:\n{form.get('definition')}"
        description = f"{description}\n\n{grammar}" if description else grammar
    return replace(tool, kind="function", format=None, description=description, schema=_WRAPPED_SCHEMA)


def _with_schema(tool: Tool, target: Target, notes: Notes) -> Tool:
    """The schema by the target's table, and whether it stays strict."""
    is_strict = tool.strict is True and target.dialect is not Dialect.GEMINI
    if tool.strict and target.dialect is Dialect.GEMINI:
        notes.note("tool-strict", tool.at)
    schema, description = tool.schema, tool.description
    if schema is not None:
        fitted = fit_schema(
            schema, column(target.dialect, is_strict=is_strict), at=tool.schema_at, description=description
        )
        for what, at in fitted.changes:
            notes.adjusted(what, at)
        for at in fitted.notes:
            notes.note("tool-schema", at)
        schema, description = fitted.schema, fitted.description
        is_strict = is_strict and fitted.is_strict
    strict: bool | None = is_strict if tool.strict is not None else None
    if target.dialect is Dialect.OPENAI_RESPONSES:
        strict = is_strict  # its default is true: what is not strict must say so
    elif target.dialect in (Dialect.GEMINI, Dialect.ANTHROPIC_MESSAGES):
        strict = True if is_strict else None
    return replace(tool, schema=schema, description=description, strict=strict)


# ---- the choice


def fit_choice(
    asked: Request,
    tools: tuple[Tool | HostedTool, ...],
    lost: frozenset[str],
    target: Target,
    names: Names,
    notes: Notes,
    *,
    is_thinking: bool,
) -> tuple[ToolChoice | None, tuple[Tool | HostedTool, ...], bool]:
    """The choice, the tools that are left by it, and whether thinking must give way to it.

    Raises:
        Refused: 400, it names a tool that is not there.
    """
    choice = asked.tool_choice
    if choice is None:
        return None, tools, False
    if choice.mode == "hosted":
        if choice.name in lost or not any(isinstance(tool, HostedTool) for tool in tools):
            raise Refused(
                400,
                "hosted_tool_not_portable",
                f"{choice.at}: this model's provider has no tool {choice.name}.",
                param=choice.at,
            )
        notes.adjusted("tool-choice", choice.at)
        choice = replace(choice, mode="any", name=None)
    parallel = _parallel(choice, asked, target, notes)
    if not tools:
        notes.note("tool-choice", choice.at)
        return None, tools, False
    if choice.mode == "one":
        choice = _named(choice, tools, names)
    if choice.is_validated and target.dialect is not Dialect.GEMINI:
        notes.note("tool-choice", choice.at)
        choice = replace(choice, is_validated=False)
    choice = replace(choice, parallel=parallel)
    if choice.allowed is not None:
        allowed = frozenset(names.wire(name, None) for name in choice.allowed)
        choice = replace(choice, allowed=tuple(names.wire(name, None) for name in choice.allowed))
        if target.dialect is Dialect.ANTHROPIC_MESSAGES or (
            target.dialect is Dialect.OPENAI_CHAT and not target.is_openai
        ):
            notes.adjusted("tool-choice", choice.at)
            tools = _only(tools, allowed)
            choice = replace(choice, allowed=None)
    return _forced(choice, tools, target, notes, is_thinking=is_thinking)


def _only(tools: tuple[Tool | HostedTool, ...], names: frozenset[str]) -> tuple[Tool | HostedTool, ...]:
    return tuple(tool for tool in tools if isinstance(tool, Tool) and tool.name in names)


def _named(choice: ToolChoice, tools: tuple[Tool | HostedTool, ...], names: Names) -> ToolChoice:
    wire = names.wire(choice.name or "", choice.namespace)
    found = next((tool for tool in tools if isinstance(tool, Tool) and tool.name == wire), None)
    if found is None:
        raise Refused(
            400,
            "invalid_request",
            f"{choice.at}: there is no tool called {choice.name}.",
            param=choice.at,
        )
    return replace(choice, name=wire, kind=found.kind)


def _parallel(choice: ToolChoice, asked: Request, target: Target, notes: Notes) -> bool | None:
    openai = (Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES)
    if choice.parallel is None:
        return None
    if choice.parallel:
        return True if target.dialect in openai and asked.dialect in openai else None
    if choice.mode == "none":  # a ban of all calls bans parallel ones
        return False if target.dialect in openai and target.row.takes_parallel else None
    if target.dialect is Dialect.GEMINI or (target.dialect in openai and not target.row.takes_parallel):
        notes.lost("parallel-off", asked.paths.get("parallel", choice.at))
        return None
    return False


def _forced(
    choice: ToolChoice,
    tools: tuple[Tool | HostedTool, ...],
    target: Target,
    notes: Notes,
    *,
    is_thinking: bool,
) -> tuple[ToolChoice, tuple[Tool | HostedTool, ...], bool]:
    if choice.mode not in ("any", "one"):
        return choice, tools, False
    forces = target.row.forces_tools
    if forces == "yes" or (forces == "not_thinking" and not is_thinking):
        return choice, tools, False
    if forces == "not_thinking":
        notes.adjusted("reasoning-off-by-forced-tool", choice.at)
        return choice, tools, True
    mode: Literal["any", "auto"] = "any" if forces == "any_only" else "auto"
    if choice.mode == mode:
        return choice, tools, False
    notes.adjusted("tool-choice", choice.at, choice.mode, mode)
    if choice.mode == "one":
        tools = _only(tools, frozenset({choice.name or ""}))
    return replace(choice, mode=mode, name=None), tools, False
