"""A chat request, written. Pure: what chat cannot hold is gone already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmitm.translate import jsontext
from llmitm.translate.chat import details
from llmitm.translate.chat.parts import write_call, write_part
from llmitm.translate.neutral import (
    HostedTool,
    Media,
    Reasoning,
    Refusal,
    Request,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from llmitm.translate.target import Target


def write_request(request: Request, target: Target) -> bytes:
    """The body for a fitted request, its members in the order in which the API lists them."""
    settings, identity = request.settings, request.identity
    body: dict[str, Any] = {"model": target.model, "messages": list(_messages(request, target))}
    choice = request.tool_choice
    tools = [_tool(tool, target) for tool in request.tools if isinstance(tool, Tool)]
    told: dict[str, Any] = {
        "frequency_penalty": settings.frequency,
        "presence_penalty": settings.presence,
        "logprobs": settings.logprobs,
        "top_logprobs": settings.top_logprobs,
        _limit_field(target): settings.max_tokens,
        "metadata": identity.metadata,
        "n": settings.n,
        "parallel_tool_calls": choice.parallel if choice is not None else None,
        "prompt_cache_key": request.cache.key,
        "prompt_cache_options": request.cache.options,
        "prompt_cache_retention": request.cache.retention,
        **_thinking(request, target),
        "response_format": _output(request),
        "safety_identifier": identity.safety_id,
        "random_seed" if target.is_mistral else "seed": settings.seed,
        "service_tier": identity.service_tier,
        "stop": _stop(settings.stop),
        "stream": True if request.stream else None,
        "stream_options": {"include_usage": True} if request.stream and target.has_stream_options else None,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k,
        "tool_choice": _choice(choice, request) if choice is not None and choice.mode is not None else None,
        "tools": tools or None,
        "user": identity.user,
        "verbosity": settings.verbosity,
    }
    for tool in request.tools:
        if isinstance(tool, HostedTool):  # chat has one: options at the top level
            told |= jsontext.loads(tool.raw)
    body |= {name: value for name, value in told.items() if value is not None}
    return jsontext.dumps(body)


def _limit_field(target: Target) -> str:
    """Rows of models that other APIs serve too may name those APIs' field."""
    field = target.row.max_tokens_field
    return field if field == "max_completion_tokens" else "max_tokens"


def _stop(stop: tuple[str, ...]) -> Any:
    return (stop[0] if len(stop) == 1 else list(stop)) if stop else None


# ---- messages


def _messages(request: Request, target: Target) -> Iterator[dict[str, Any]]:
    turns, lead = request.turns, request.lead
    if lead and not target.is_openai:
        yield {"role": "system", "content": "\n\n".join(_texts(lead))}
        turns = turns[len(lead) :]
    for turn in turns:
        match turn.role:
            case Role.SYSTEM | Role.DEVELOPER:
                yield _system(turn, target)
            case Role.USER:
                yield from _user(turn, target)
            case _:
                yield _assistant(turn, request, target)


def _texts(turns: tuple[Turn, ...]) -> list[str]:
    return [part.text for turn in turns for part in turn.parts if isinstance(part, Text)]


def _system(turn: Turn, target: Target) -> dict[str, Any]:
    role = turn.role.value if target.is_openai else "system"
    named = {"name": turn.name} if turn.name else {}
    marked = [part for part in turn.parts if isinstance(part, Text) and part.cache is not None]
    if marked and target.row.takes_cache_marks:
        return {"role": role, "content": _content(turn.parts, target), **named}
    return {"role": role, "content": "\n\n".join(_texts((turn,))), **named}


def _user(turn: Turn, target: Target) -> Iterator[dict[str, Any]]:
    """Messages of results, then one of what else the turn holds."""
    rest = []
    for part in turn.parts:
        if isinstance(part, ToolResult):
            yield _result(part, target)
        else:
            rest.append(part)
    if rest:
        named = {"name": turn.name} if turn.name else {}
        yield {"role": "user", "content": _content(tuple(rest), target), **named}


def _content(parts: tuple[Any, ...], target: Target) -> Any:
    has_marks = target.row.takes_cache_marks
    match parts:
        case (Text(cache=cache) as only,) if cache is None or not has_marks:
            return only.text
        case _:
            return [write_part(part, has_marks=has_marks) for part in parts if isinstance(part, Text | Media)]


def _result(part: ToolResult, target: Target) -> dict[str, Any]:
    texts = [one.text for one in part.parts if isinstance(one, Text)]
    content: Any
    if part.raw is not None:
        content = part.raw
    elif len(texts) > 1 and target.is_openai:
        content = [{"type": "text", "text": text} for text in texts]
    else:
        content = "\n".join(texts)
    return {"role": "tool", "tool_call_id": part.call_id, "content": content}


def _assistant(turn: Turn, request: Request, target: Target) -> dict[str, Any]:
    texts = [part.text for part in turn.parts if isinstance(part, Text)]
    refusals = [part.text for part in turn.parts if isinstance(part, Refusal)]
    calls = [part for part in turn.parts if isinstance(part, ToolCall)]
    message: dict[str, Any] = {"role": "assistant", "content": "\n\n".join(texts) if texts else None}
    if turn.name:
        message["name"] = turn.name
    if refusals:
        message["refusal"] = "\n\n".join(refusals)
    elif not texts and not calls:
        message["content"] = ""
    message |= _reasoning(turn, target)
    if calls and request.is_legacy_functions:
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].args or "{}"}
    elif calls:
        message["tool_calls"] = [_history_call(call, target) for call in calls]
    if target.row.prefill == "prefix" and request.turns and turn is request.turns[-1]:
        message["prefix"] = True
    return message


def _history_call(call: ToolCall, target: Target) -> dict[str, Any]:
    written = write_call(call)
    if call.kind == "function" and not call.args.strip():
        written["function"]["arguments"] = "{}"
    if target.vendor != "google":
        written.pop("extra_content", None)
    return written


def _reasoning(turn: Turn, target: Target) -> dict[str, Any]:
    """What a host wants back: its own words, its own seals."""
    parts = [part for part in turn.parts if isinstance(part, Reasoning)]
    made: dict[str, Any] = {}
    texts = [part.readable for part in parts if part.readable]
    if texts and target.row.sends_back_reasoning:
        made["reasoning_content"] = "\n\n".join(texts)
    if target.is_openrouter:
        entries = [entry for n, part in enumerate(parts) for entry in details.write(part, n)]
        if entries:
            made["reasoning_details"] = entries
    return made


# ---- tools and settings


def _tool(tool: Tool, target: Target) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description is not None else {}
    if tool.kind == "custom":
        form = tool.format
        if isinstance(form, dict) and form.get("type") == "grammar":
            grammar = {name: value for name, value in form.items() if name != "type"}
            form = {"type": "grammar", "grammar": grammar}
        formed = {"format": form} if form is not None else {}
        return {"type": "custom", "custom": {"name": tool.name, **described, **formed}}
    function: dict[str, Any] = {"name": tool.name, **described}
    if tool.schema is not None:
        function["parameters"] = tool.schema
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice, request: Request) -> Any:
    if choice.mode == "one":
        return {"type": choice.kind, choice.kind: {"name": choice.name}}
    word = "required" if choice.mode == "any" else choice.mode
    if choice.allowed is None:
        return word
    kinds = {tool.name: tool.kind for tool in request.tools if isinstance(tool, Tool)}
    named = ((kinds.get(name, "function"), name) for name in choice.allowed)
    tools = [{"type": kind, kind: {"name": name}} for kind, name in named]
    return {"type": "allowed_tools", "allowed_tools": {"mode": word, "tools": tools}}


def _output(request: Request) -> dict[str, Any] | None:
    output = request.output
    if output is None:
        return None
    match output.form:
        case "text":
            return {"type": "text"}
        case "json":
            return {"type": "json_object"}
    schema: dict[str, Any] = {"name": output.name or "response"}
    if output.description is not None:
        schema["description"] = output.description
    schema["schema"] = output.schema
    if output.strict is not None:
        schema["strict"] = output.strict
    return {"type": "json_schema", "json_schema": schema}


def _thinking(request: Request, target: Target) -> dict[str, Any]:
    thinking = request.thinking
    if thinking is None:
        return {}
    made: dict[str, Any] = {}
    if target.row.reasoning == "toggle" and thinking.mode is not None:
        is_on = thinking.mode != "off"
        if target.row.off == "toggle":
            made = {"enable_thinking": is_on, "thinking_budget": thinking.budget_tokens}
        else:
            made = {"thinking": {"type": "enabled" if is_on else "disabled"}}
    made["reasoning_effort"] = thinking.effort
    return {name: value for name, value in made.items() if value is not None}
