"""The demonstration provider's OpenAI Responses. Its errors are those of `openai_chat`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from llmitm.demo.answers import (
    CREATED_S,
    Answer,
    Call,
    Reply,
    answer_to,
    seal,
    split_words,
    sse,
    stream,
    whole,
)
from llmitm.demo.ask import Ask, bad
from llmitm.demo.openai_chat import error, headers


def error_event(status: int, message: str) -> bytes:
    """An error in a stream: flat on the event, not nested as in a body."""
    inner = error(status, message)["error"]
    event = {"type": "error", "code": inner["code"], "message": message, "param": None, "sequence_number": 0}
    return sse(event, "error")


def reply(ask: Ask, data: dict[str, Any]) -> Reply:
    answer = answer_to(ask)
    if _packs(data):
        answer = replace(answer, calls=(), thought="")
    if ask.stream:
        return stream(_events(ask, data, answer), headers=headers(ask.seed))
    return whole(_snapshot(ask, data, answer, done=True), headers=headers(ask.seed))


COUNTED = frozenset(
    {
        *("model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "truncation"),
        *("parallel_tool_calls", "conversation", "previous_response_id", "personality"),
    }
)


def count(ask: Ask, data: dict[str, Any]) -> Reply:
    """Members that have nothing to do with the input are refused, as by the API itself."""
    if unknown := sorted(data.keys() - COUNTED):
        raise bad(f"Unknown parameter: '{unknown[0]}'.", "unknown_parameter")
    body = {"object": "response.input_tokens", "input_tokens": ask.input_words}
    return whole(body, headers=headers(ask.seed))


def _packs(data: dict[str, Any]) -> bool:
    """Whether the conversation is to be packed into one item."""
    match data.get("input"):
        case [*_, {"type": "compaction_trigger"}]:
            return True
        case _:
            return False


def _packed_item(ask: Ask) -> dict[str, Any]:
    return {"id": f"cmp_{ask.seed}", "type": "compaction", "encrypted_content": seal(ask)}


def _items(ask: Ask, data: dict[str, Any], answer: Answer) -> list[dict[str, Any]]:
    if _packs(data):
        return [_packed_item(ask)]
    thought = [_thought_item(ask, answer.thought)] if answer.thought else []
    if answer.calls:
        return thought + [_call_item(ask, call, done=True) for call in answer.calls]
    return [*thought, {**_message_item(ask), "status": "completed", "content": [_part(answer.text)]}]


def _message_item(ask: Ask) -> dict[str, Any]:
    return {
        "id": f"msg_{ask.seed}",
        "type": "message",
        "status": "in_progress",
        "role": "assistant",
        "content": [],
        "phase": "final_answer",
    }


def _thought_item(ask: Ask, thought: str) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": thought}] if thought else []
    sealed = {"encrypted_content": seal(ask)} if ask.wants_seal else {}
    return {"id": f"rs_{ask.seed}", "type": "reasoning", "summary": summary, **sealed}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


_FORMS = {
    False: ("fc", "function_call", "arguments", "function_call_arguments"),
    True: ("ctc", "custom_tool_call", "input", "custom_tool_call_input"),
}
"""Of an item: its id's prefix, its type and the member with the text; and the name of its events."""


def _call_item(ask: Ask, call: Call, *, done: bool) -> dict[str, Any]:
    prefix, kind, member, _ = _FORMS[call.is_custom]
    return {
        "id": f"{prefix}_{ask.seed[:38]}{call.number:02}",
        "type": kind,
        "status": "completed" if done else "in_progress",
        "call_id": f"call_{ask.seed[:22]}{call.number:02}",
        "name": call.name,
        **({"namespace": call.namespace} if call.namespace else {}),
        member: call.text if done else "",
    }


def _snapshot(ask: Ask, data: dict[str, Any], answer: Answer, *, done: bool) -> dict[str, Any]:
    usage = {
        "input_tokens": ask.input_words,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": answer.output_words,
        "output_tokens_details": {"reasoning_tokens": answer.thought_words},
        "total_tokens": ask.input_words + answer.output_words,
    }
    return {
        "id": f"resp_{ask.seed}",
        "object": "response",
        "created_at": CREATED_S,
        "completed_at": CREATED_S if done else None,
        "status": "completed" if done else "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": data.get("instructions"),
        "max_output_tokens": data.get("max_output_tokens"),
        "model": ask.model,
        "output": _items(ask, data, answer) if done else [],
        "parallel_tool_calls": data.get("parallel_tool_calls", True),
        "previous_response_id": data.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": data.get("store", True),
        "temperature": data.get("temperature", 1.0),
        "text": data.get("text") or {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": data.get("tool_choice", "auto"),
        "tools": data.get("tools") or [],
        "top_p": data.get("top_p", 1.0),
        "truncation": data.get("truncation", "disabled"),
        "usage": usage if done else None,
        "user": None,
        "metadata": data.get("metadata") or {},
    }


def _events(ask: Ask, data: dict[str, Any], answer: Answer) -> Iterator[bytes]:
    for number, event in enumerate(_plain_events(ask, data, answer)):
        kind = event.pop("type")
        yield sse({"type": kind, "sequence_number": number, **event}, kind)


def _plain_events(ask: Ask, data: dict[str, Any], answer: Answer) -> Iterator[dict[str, Any]]:
    begun = _snapshot(ask, data, answer, done=False)
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    first = 0
    if answer.thought:
        yield from _thought_events(ask, answer.thought)
        first = 1
    if _packs(data):
        for kind in ("added", "done"):
            item = _packed_item(ask)
            yield {"type": f"response.output_item.{kind}", "output_index": 0, "item": item}
    elif answer.calls:
        for call in answer.calls:
            yield from _call_events(ask, call, first + call.number)
    else:
        yield from _text_events(ask, answer.text, first)
    yield {"type": "response.completed", "response": _snapshot(ask, data, answer, done=True)}


def _thought_events(ask: Ask, thought: str) -> Iterator[dict[str, Any]]:
    item = _thought_item(ask, "")
    part = {"item_id": item["id"], "output_index": 0, "summary_index": 0}
    empty = {"type": "summary_text", "text": ""}
    yield {"type": "response.output_item.added", "output_index": 0, "item": item}
    yield {"type": "response.reasoning_summary_part.added", **part, "part": empty}
    for piece in split_words(thought):
        yield {"type": "response.reasoning_summary_text.delta", **part, "delta": piece}
    yield {"type": "response.reasoning_summary_text.done", **part, "text": thought}
    yield {"type": "response.reasoning_summary_part.done", **part, "part": {**empty, "text": thought}}
    yield {"type": "response.output_item.done", "output_index": 0, "item": _thought_item(ask, thought)}


def _text_events(ask: Ask, text: str, index: int) -> Iterator[dict[str, Any]]:
    item = _message_item(ask)
    part = {"item_id": item["id"], "output_index": index, "content_index": 0}
    yield {"type": "response.output_item.added", "output_index": index, "item": item}
    yield {"type": "response.content_part.added", **part, "part": _part("")}
    for piece in split_words(text):
        yield {"type": "response.output_text.delta", **part, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **part, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **part, "part": _part(text)}
    complete = {**item, "status": "completed", "content": [_part(text)]}
    yield {"type": "response.output_item.done", "output_index": index, "item": complete}


def _call_events(ask: Ask, call: Call, index: int) -> Iterator[dict[str, Any]]:
    item = _call_item(ask, call, done=False)
    place = {"item_id": item["id"], "output_index": index}
    yield {"type": "response.output_item.added", "output_index": index, "item": item}
    _, _, member, name = _FORMS[call.is_custom]
    for piece in call.pieces:
        yield {"type": f"response.{name}.delta", **place, "delta": piece}
    yield {"type": f"response.{name}.done", **place, "name": call.name, member: call.text}
    complete = _call_item(ask, call, done=True)
    yield {"type": "response.output_item.done", "output_index": index, "item": complete}
