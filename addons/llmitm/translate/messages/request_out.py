"""An Anthropic request, written. Pure: what this API cannot hold is gone already."""

from __future__ import annotations

from typing import Any

from llmitm.translate import jsontext
from llmitm.translate.messages.blocks import write_cache, write_parts
from llmitm.translate.neutral import HostedTool, Request, Role, Tool, Turn
from llmitm.translate.target import Target


def write_request(request: Request, target: Target) -> bytes:
    """The body for a fitted request, its members in the order in which the API lists them."""
    settings, cache = request.settings, request.cache.auto
    lead = request.lead
    body: dict[str, Any] = {"model": target.model, "max_tokens": settings.max_tokens}
    told: dict[str, Any] = {
        "messages": [_message(turn) for turn in request.turns[len(lead) :]],
        "system": [block for turn in lead for block in write_parts(turn.parts)] or None,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k,
        "stop_sequences": list(settings.stop) or None,
        "stream": True if request.stream else None,
        "tools": [_tool(tool) for tool in request.tools] or None,
        "tool_choice": _choice(request),
        **_thinking(request),
        **({} if cache is None else write_cache(cache)),
        "metadata": {"user_id": request.identity.user} if request.identity.user else None,
        "service_tier": request.identity.service_tier,
    }
    return jsontext.dumps(body | {name: value for name, value in told.items() if value is not None})


def _message(turn: Turn) -> dict[str, Any]:
    role = "system" if turn.role is Role.DEVELOPER else turn.role.value
    return {"role": role, "content": write_parts(turn.parts)}


def _tool(tool: Tool | HostedTool) -> Any:
    if isinstance(tool, HostedTool):
        return jsontext.Raw(tool.raw)
    made: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        made["description"] = tool.description
    schema = tool.schema
    made["input_schema"] = {"type": "object", "properties": {}} if schema is None else schema
    if tool.strict:
        made["strict"] = True
    return made | dict(tool.extra) | write_cache(tool.cache)


def _choice(request: Request) -> dict[str, Any] | None:
    choice = request.tool_choice
    if choice is None:
        return None
    made: dict[str, Any] = {"type": choice.mode or "auto"}
    if choice.mode == "one":
        made = {"type": "tool", "name": choice.name}
    if choice.parallel is False and choice.mode != "none":
        made["disable_parallel_tool_use"] = True
    return made if choice.mode is not None or choice.parallel is False else None


def _thinking(request: Request) -> dict[str, Any]:
    thinking, output = request.thinking, request.output
    made: dict[str, Any] = {}
    config: dict[str, Any] = {}
    if thinking is not None:
        shown = {"display": "summarized"} if thinking.show in ("summary", "full") else {}
        match thinking.mode:
            case "off":
                made["thinking"] = {"type": "disabled"}
            case "between_tools":
                made["thinking"] = {"type": "between_tools"}
            case "adaptive":
                made["thinking"] = {"type": "adaptive", **shown}
            case "on":
                made["thinking"] = {"type": "enabled", "budget_tokens": thinking.budget_tokens, **shown}
        if thinking.effort is not None:
            config["effort"] = thinking.effort
    if output is not None and output.form == "schema":
        config["format"] = {"type": "json_schema", "schema": output.schema}
    return made | ({"output_config": config} if config else {})
