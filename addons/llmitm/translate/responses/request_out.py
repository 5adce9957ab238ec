"""A request to OpenAI's responses, written. Pure.

`fit` has left only what this API can say; here it is spelled. The state of the conversation is the client's:
nothing is stored, and encrypted reasoning is asked for where the model makes any.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from llmitm.translate import jsontext
from llmitm.translate.neutral import (
    Hosted,
    Media,
    Opaque,
    Output,
    Part,
    Reasoning,
    Refusal,
    Request,
    Role,
    Settings,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from llmitm.translate.responses import parts, tools
from llmitm.translate.target import Target


def write_request(request: Request, target: Target) -> bytes:
    """The body, its members in the order in which the API lists them."""
    # Where there are no other turns the last is an item: no input is refused.
    lead = request.lead[: len(request.turns) - 1]
    instructions, items = _instructed(lead)
    for turn in request.turns[len(lead) :]:
        items += _items(turn)
    identity, settings, choice = request.identity, request.settings, request.tool_choice
    members: dict[str, Any] = {
        "model": target.model,
        "input": items,
        "instructions": instructions,
        "include": _include(settings, target) or None,
        "max_output_tokens": settings.max_tokens,
        "metadata": identity.metadata,
        "parallel_tool_calls": choice.parallel if choice else None,
        "prompt_cache_key": request.cache.key,
        "prompt_cache_retention": request.cache.retention,
        "prompt_cache_options": request.cache.options,
        "reasoning": _reasoning(request.thinking),
        "safety_identifier": identity.safety_id,
        "user": identity.user,
        "service_tier": identity.service_tier,
        "store": False,
        "stream": True if request.stream else None,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_logprobs": settings.top_logprobs,
        "text": _text(request.output, settings) or None,
        "tool_choice": tools.write_choice(choice, request.tools) if choice else None,
        "tools": tools.write_tools(request.tools) or None,
    }
    return jsontext.dumps({name: value for name, value in members.items() if value is not None})


def _instructed(lead: tuple[Turn, ...]) -> tuple[str | None, list[Any]]:
    """Instructions; an item instead where they hold what a string cannot."""
    said = [part for turn in lead for part in turn.parts if isinstance(part, Text | Media)]
    texts = [part.text for part in said if isinstance(part, Text) and part.cache is None]
    if len(texts) == len(said):
        return "\n\n".join(texts) if texts else None, []
    return None, [{"role": "developer", "content": [parts.write_part(part) for part in said]}]


def _include(settings: Settings, target: Target) -> list[str]:
    wanted = [] if target.row.seals == "no" else ["reasoning.encrypted_content"]
    return [*wanted, "message.output_text.logprobs"] if settings.logprobs else wanted


def _reasoning(thinking: Thinking | None) -> dict[str, str] | None:
    if thinking is None:
        return None
    made = {"effort": thinking.effort} if thinking.effort is not None else {}
    if thinking.show in ("summary", "full"):
        made["summary"] = thinking.show_word or "auto"
    return made or None


def _text(output: Output | None, settings: Settings) -> dict[str, Any]:
    made: dict[str, Any] = {}
    match output:
        case Output(form="text"):
            made["format"] = {"type": "text"}
        case Output(form="json"):
            made["format"] = {"type": "json_object"}
        case Output():
            form = {
                "type": "json_schema",
                "name": output.name or "response",
                "schema": output.schema,
                "strict": output.strict,
                "description": output.description,
            }
            made["format"] = {name: value for name, value in form.items() if value is not None}
    if settings.verbosity is not None:
        made["verbosity"] = settings.verbosity
    return made


# ---- items


def _items(turn: Turn) -> Iterator[Any]:
    if turn.role is Role.ASSISTANT:
        phase = {"phase": turn.phase} if turn.phase else {}
        for part in turn.parts:
            yield from _of_model(part, phase)
        return
    for is_item, run in groupby(turn.parts, lambda part: isinstance(part, ToolResult | Opaque | Hosted)):
        if is_item:
            for part in run:
                yield _result(part) if isinstance(part, ToolResult) else _raw(part)
        else:
            yield _message(turn.role, [part for part in run if isinstance(part, Text | Media)])


def _message(role: Role, said: list[Text | Media]) -> dict[str, Any]:
    match said:
        case [Text(cache=None, text=text)]:
            return {"role": role.value, "content": text}
        case _:
            return {"role": role.value, "content": [parts.write_part(part) for part in said]}


def _raw(part: Part) -> jsontext.Raw:
    assert isinstance(part, Opaque | Hosted)
    return jsontext.Raw(part.raw)


def _of_model(part: Part, phase: dict[str, str]) -> Iterator[Any]:
    match part:
        case Text():
            yield {"role": "assistant", "content": [{"type": "output_text", "text": part.text}], **phase}
        case Refusal():
            yield {"role": "assistant", "content": [{"type": "refusal", "refusal": part.text}], **phase}
        case Reasoning():
            yield from _sealed(part)
        case ToolCall():
            yield _call(part)
        case Hosted() | Opaque():
            yield _raw(part)
        case _:
            raise AssertionError(f"fit leaves no {type(part).__name__} in a turn of the model")


def _sealed(part: Reasoning) -> Iterator[dict[str, Any]]:
    """Only what its maker can open; an item without encrypted content is not found by its id."""
    sealed = part.sealed
    if sealed is None or sealed.data is None:
        return
    named = {"id": sealed.item_id} if sealed.item_id else {}
    item: dict[str, Any] = {"type": "reasoning", **named, "summary": parts.summary_parts(part.summary)}
    if part.text:
        item["content"] = [{"type": "reasoning_text", "text": part.text}]
    yield {**item, "encrypted_content": sealed.data}


def _call(call: ToolCall) -> dict[str, Any]:
    space = {"namespace": call.namespace} if call.namespace else {}
    if call.kind == "custom":
        head = {"type": "custom_tool_call", "call_id": call.id, "name": call.name}
        return {**head, "input": call.args, **space}
    args = call.args if call.args.strip() else "{}"
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": args, **space}


def _result(result: ToolResult) -> dict[str, Any]:
    said = [part for part in result.parts if isinstance(part, Text | Media)]
    if result.raw is not None:
        said.insert(0, Text(text=result.raw))
    output: Any
    match said:
        case []:
            output = ""
        case [Text(cache=None, text=text)]:
            output = text
        case _:
            output = [parts.write_part(part) for part in said]
    kind = "custom_tool_call_output" if result.kind == "custom" else "function_call_output"
    return {"type": kind, "call_id": result.call_id, "output": output}
