"""Tools and tool choices of responses, read and written. Pure."""

from __future__ import annotations

from typing import Any, Final

from llmitm.translate import jsontext
from llmitm.translate.neutral import HostedTool, Tool, ToolChoice
from llmitm.translate.reading import a_text, an_object, invalid, objects, text_if

NAMESPACE_DESCRIPTION: Final = "namespace_description"
"""Among a tool's further members: what its namespace says of itself."""
_OWN_MEMBERS: Final = frozenset({"type", "name", "description", "parameters", "strict", "format"})
_GENERIC: Final[dict[str, str | None]] = {
    "web_search": "web_search",
    "web_search_preview": "web_search",
    "file_search": "file_search",
    "code_interpreter": "code",
    "image_generation": "image",
    "mcp": "mcp",
    "computer": "computer",
    "computer_use": "computer",
    "computer_use_preview": "computer",
    "local_shell": "shell",
    "shell": "shell",
    "apply_patch": "shell",
    "tool_search": "tool_search",
    "programmatic_tool_calling": None,
}
_DATED: Final = ("web_search_2", "web_search_preview_2")
_MODES: Final[dict[str, Any]] = {"auto": "auto", "none": "none", "required": "any"}
_WORDS: Final = {"auto": "auto", "none": "none", "any": "required"}


def read_tools(value: Any, at: str = "tools") -> list[Tool | HostedTool]:
    """The tools in order, those of a namespace each by itself."""
    found: list[Tool | HostedTool] = []
    for place, tool in objects(value, at):
        if tool.get("type") == "namespace":
            name = _name(tool, place)
            said = {NAMESPACE_DESCRIPTION: tool["description"]} if tool.get("description") else {}
            for inner_place, inner in objects(tool.get("tools"), f"{place}.tools"):
                found.append(_own(inner, inner_place, name, said))
        elif tool.get("type") in ("function", "custom"):
            found.append(_own(tool, place, None, {}))
        else:
            found.append(_hosted(tool, place))
    return found


def _own(tool: dict[str, Any], at: str, namespace: str | None, said: dict[str, Any]) -> Tool:
    kind = tool.get("type")
    if kind not in ("function", "custom"):
        raise invalid(at, f"there is no tool of type {_shown(kind)} in a namespace")
    extra = {key: one for key, one in tool.items() if key not in _OWN_MEMBERS and one is not None}
    strict = tool.get("strict")
    return Tool(
        name=_name(tool, at),
        description=text_if(tool.get("description")),
        schema=tool.get("parameters"),
        strict=strict if isinstance(strict, bool) else None,
        kind=kind,
        format=tool.get("format"),
        namespace=namespace,
        extra=extra | said,
        at=at,
        schema_at=f"{at}.parameters",
    )


def _name(tool: dict[str, Any], at: str) -> str:
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise invalid(at, "a tool of this type has a name")
    return name


def _hosted(tool: dict[str, Any], at: str) -> HostedTool:
    kind = tool.get("type")
    if not isinstance(kind, str):
        raise invalid(at, "a tool has a type")
    known = next((one.removesuffix("_2") for one in _DATED if kind.startswith(one)), kind)
    if known not in _GENERIC:
        raise invalid(at, f"there is no tool of type {_shown(kind)}")
    return HostedTool(vendor="openai", type=kind, raw=jsontext.text_of(tool), generic=_GENERIC[known], at=at)


def _shown(kind: Any) -> str:
    return repr(kind[:64]) if isinstance(kind, str) else "null" if kind is None else "that"


def read_choice(value: Any, parallel: Any, at: str = "tool_choice") -> ToolChoice | None:
    """None where neither a choice nor `parallel_tool_calls` was said."""
    asked = parallel if isinstance(parallel, bool) else None
    match value:
        case None:
            return None if asked is None else ToolChoice(parallel=asked, at="parallel_tool_calls")
        case str():
            return ToolChoice(mode=_mode(value, at), parallel=asked, at=at)
        case {"type": ("function" | "custom") as kind}:
            name, namespace = a_text(value.get("name"), f"{at}.name"), text_if(value.get("namespace"))
            return ToolChoice(mode="one", name=name, kind=kind, namespace=namespace, parallel=asked, at=at)
        case {"type": "allowed_tools"}:
            mode = _mode(value.get("mode", "auto"), f"{at}.mode")
            named = [
                a_text(one.get("name") or one.get("server_label") or one.get("type"), place)
                for place, one in objects(value.get("tools"), f"{at}.tools")
            ]
            return ToolChoice(mode=mode, allowed=tuple(named), parallel=asked, at=at)
        case {"type": str(kind)}:
            return ToolChoice(mode="hosted", name=kind, parallel=asked, at=at)
        case _:
            an_object(value, at)
            raise invalid(f"{at}.type", "expected a string")


def _mode(word: Any, at: str) -> Any:
    if not isinstance(word, str) or word not in _MODES:
        raise invalid(at, "expected auto, none or required")
    return _MODES[word]


# ---- write


def write_tools(tools: tuple[Tool | HostedTool, ...]) -> list[Any]:
    """Tools of one namespace stand together, where the first of them stood."""
    written: list[Any] = []
    spaces: dict[str, dict[str, Any]] = {}
    for tool in tools:
        if isinstance(tool, HostedTool):
            written.append(jsontext.Raw(tool.raw))
        elif (name := tool.namespace) is None:
            written.append(_written(tool))
        else:
            if name not in spaces:
                said = tool.extra.get(NAMESPACE_DESCRIPTION, "")
                space = {"type": "namespace", "name": name, "description": said, "tools": []}
                written.append(spaces.setdefault(name, space))
            spaces[name]["tools"].append(_written(tool))
    return written


def _written(tool: Tool) -> dict[str, Any]:
    head: dict[str, Any] = {"type": tool.kind, "name": tool.name}
    if tool.description is not None:
        head["description"] = tool.description
    if tool.kind == "custom":
        body = {"format": tool.format} if tool.format is not None else {}
    else:
        schema = {"type": "object", "properties": {}} if tool.schema is None else tool.schema
        body = {"parameters": schema, "strict": bool(tool.strict)}
    extra = {key: one for key, one in tool.extra.items() if key != NAMESPACE_DESCRIPTION}
    return head | body | extra


def write_choice(choice: ToolChoice, tools: tuple[Tool | HostedTool, ...]) -> Any:
    """None where no choice was made."""
    match choice.mode:
        case None:
            return None
        case "hosted":
            return {"type": choice.name}
        case "one":
            space = {"namespace": choice.namespace} if choice.namespace else {}
            return {"type": choice.kind, "name": choice.name, **space}
        case mode if choice.allowed is not None and mode != "none":
            kinds = {tool.name: tool.kind for tool in tools if isinstance(tool, Tool)}
            named = [
                {"type": kinds[name], "name": name} if name in kinds else {"type": name}
                for name in choice.allowed
            ]
            return {"type": "allowed_tools", "mode": _WORDS[mode], "tools": named}
        case mode:
            return _WORDS[mode]
