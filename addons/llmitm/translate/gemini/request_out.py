"""A request to Gemini, written. Pure.

The model and whether the answer is a stream stand in the URL.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmitm.translate import jsontext
from llmitm.translate.gemini.parts import write_media, write_part
from llmitm.translate.neutral import (
    HostedTool,
    Media,
    Output,
    Part,
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
from llmitm.translate.target import Target


def write_request(request: Request, target: Target) -> bytes:
    """The body for a request that fits the target."""
    lead = request.lead
    body: dict[str, Any] = {
        "contents": [_content(turn, not target.is_vertex) for turn in request.turns[len(lead) :]]
    }
    if system := [{"text": part.text} for turn in lead for part in turn.parts if isinstance(part, Text)]:
        body["systemInstruction"] = {"parts": system}
    if tools := _tools(request.tools):
        body["tools"] = tools
    if request.tool_choice is not None and (calling := _calling(request.tool_choice)):
        body["toolConfig"] = {"functionCallingConfig": calling}
    if request.identity.service_tier is not None:
        body["serviceTier"] = request.identity.service_tier
    if config := _config(request):
        body["generationConfig"] = config
    return jsontext.dumps(body)


# ---- contents


def _content(turn: Turn, has_ids: bool) -> dict[str, Any]:
    written = (_part(part, has_ids) for part in turn.parts)
    return {
        "role": "model" if turn.role is Role.ASSISTANT else "user",
        "parts": [part for part in written if part is not None],
    }


def _part(part: Part, has_ids: bool) -> Any:
    if isinstance(part, ToolResult):
        return {"functionResponse": _result(part, has_ids)}
    return write_part(part, has_ids=has_ids)


def _result(result: ToolResult, has_ids: bool) -> dict[str, Any]:
    """The name of the call that is answered is what the model goes by; fitting has set it."""
    told: dict[str, Any] = {"id": result.call_id} if has_ids and result.call_id else {}
    told["name"] = result.name or ""
    if result.raw is not None:
        told["response"] = jsontext.Raw(result.raw)
    else:
        text = "\n".join(part.text for part in result.parts if isinstance(part, Text))
        told["response"] = {"error" if result.is_error else "output": text}
    if held := [write_media(part) for part in result.parts if isinstance(part, Media)]:
        told["parts"] = held
    return told


# ---- tools


def _tools(tools: Iterable[Tool | HostedTool]) -> list[Any]:
    """All functions in one entry, at the place of the first."""
    entries: list[Any] = []
    functions: list[dict[str, Any]] = []
    for tool in tools:
        if isinstance(tool, HostedTool):
            entries.append(jsontext.Raw(tool.raw))
            continue
        if not functions:
            entries.append({"functionDeclarations": functions})
        functions.append(_function(tool))
    return entries


def _function(tool: Tool) -> dict[str, Any]:
    told: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        told["description"] = tool.description
    if tool.schema is not None:
        told["parametersJsonSchema"] = tool.schema
    return told


def _calling(choice: ToolChoice) -> dict[str, Any] | None:
    names = {"allowedFunctionNames": list(choice.allowed)} if choice.allowed else {}
    match choice.mode:
        case "auto" if choice.allowed or choice.is_validated:
            return {"mode": "VALIDATED"} | names
        case "auto":
            return {"mode": "AUTO"}
        case "none":
            return {"mode": "NONE"}
        case "any":
            return {"mode": "ANY"} | names
        case "one":
            return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
        case _:
            return None


# ---- generationConfig


def _config(request: Request) -> dict[str, Any]:
    config = _sampling(request.settings)
    if request.output is not None:
        config |= _output(request.output)
    if request.thinking is not None and (thinking := _thinking(request.thinking)):
        config["thinkingConfig"] = thinking
    return config


def _sampling(settings: Settings) -> dict[str, Any]:
    top_k = settings.top_k
    told = {
        "temperature": settings.temperature,
        "topP": settings.top_p,
        "topK": int(top_k) if isinstance(top_k, float) and abs(top_k) < 2**31 else top_k,
        "candidateCount": None if settings.n == 1 else settings.n,
        "maxOutputTokens": settings.max_tokens,
        "stopSequences": list(settings.stop) or None,
        "responseLogprobs": settings.logprobs,
        "logprobs": settings.top_logprobs,
        "presencePenalty": settings.presence,
        "frequencyPenalty": settings.frequency,
        "seed": settings.seed,
    }
    return {name: value for name, value in told.items() if value is not None}


def _output(output: Output) -> dict[str, Any]:
    if output.form == "text":
        return {}
    told: dict[str, Any] = {"responseMimeType": "text/x.enum" if output.is_enum else "application/json"}
    if output.form == "schema" and output.schema is not None:
        told["responseJsonSchema"] = output.schema
    return told


def _thinking(thinking: Thinking) -> dict[str, Any]:
    """A budget or a level, never both: Gemini refuses the two together."""
    told: dict[str, Any] = {}
    if thinking.show in ("summary", "full"):
        told["includeThoughts"] = True
    if thinking.budget_tokens is not None:
        told["thinkingBudget"] = -1 if thinking.budget_tokens == "dynamic" else thinking.budget_tokens
    elif thinking.effort is not None and thinking.effort != "none":
        told["thinkingLevel"] = thinking.effort.upper()
    elif thinking.mode == "off" or thinking.effort == "none":
        told["thinkingBudget"] = 0
    return told
