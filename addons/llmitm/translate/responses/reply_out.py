"""A reply of OpenAI's responses, written. Pure.

A response repeats what its request asked for, in the client's own words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from llmitm.translate import ids, jsontext
from llmitm.translate.neutral import Choice, Part, Reason, Reply, Request, Stop, Text
from llmitm.translate.responses import facts
from llmitm.translate.responses.items import Output
from llmitm.translate.responses.packed import packed

_INCOMPLETE: Final = {
    Reason.LENGTH: "max_output_tokens",
    Reason.CONTEXT: "max_output_tokens",
    Reason.REFUSAL: "content_filter",
    Reason.FILTER: "content_filter",
    Reason.RECITATION: "content_filter",
    Reason.OTHER: None,
}
"""Every other reason is `completed`."""
_REPEATED: Final = (
    "max_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "safety_identifier",
    "top_logprobs",
    "user",
)
_TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})


def write_reply(reply: Reply, asked: Request) -> bytes:
    """The response object; of several choices the first."""
    reply = identified(packed(reply) if asked.is_packing else reply, asked)
    choice = reply.choices[0] if reply.choices else Choice()
    output = Output(reply.id or "")
    for part, tokens in _with_logprobs(choice):
        output.start(part)
        if tokens:
            output.logprobs(tokens)
        output.stop()
    output.finish(choice.stop)
    return jsontext.dumps(response(reply, asked, choice.stop, output.items))


def identified(reply: Reply, asked: Request) -> Reply:
    """The reply with an id, where it has none one of its request: ids of items depend on it."""
    return reply if reply.id else replace(reply, id="resp_" + ids.hashed(asked.model, 32))


def _with_logprobs(choice: Choice) -> Iterator[tuple[Part, tuple[Any, ...]]]:
    """Each part, and each text with the tokens that spell it; the last one takes what is left."""
    last = max((n for n, part in enumerate(choice.parts) if isinstance(part, Text)), default=-1)
    left = list(choice.logprobs)
    for number, part in enumerate(choice.parts):
        if not isinstance(part, Text):
            yield part, ()
            continue
        taken = len(left) if number == last else _spelling(part.text, left)
        yield part, tuple(left[:taken])
        del left[:taken]


def _spelling(text: str, tokens: list[Any]) -> int:
    """How many of the tokens spell this text."""
    length = 0
    for number, token in enumerate(tokens):
        if length >= len(text):
            return number
        length += len(str(token.get("token", "")))
    return len(tokens)


def response(reply: Reply, asked: Request, stop: Stop | None, items: list[Any]) -> dict[str, Any]:
    """The object of a reply that is over."""
    status, details = _ended(stop)
    made = shell(reply, asked, status, items)
    made["incomplete_details"] = details
    made["usage"] = facts.write_usage(reply.usage)
    if reply.extras:
        made["extras"] = {"google": dict(reply.extras)}
    return made


def _ended(stop: Stop | None) -> tuple[str, dict[str, str] | None]:
    if stop is None or stop.reason not in _INCOMPLETE:
        return "completed", None
    word = _INCOMPLETE[stop.reason]
    return "incomplete", {} if word is None else {"reason": word}


def shell(reply: Reply, asked: Request, status: str, items: list[Any]) -> dict[str, Any]:
    """The object in any state: all that is known from the start, and the items so far."""
    echo = asked.echo
    made: dict[str, Any] = {
        "id": reply.id or "",
        "object": "response",
        "created_at": reply.created or 0,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": echo.get("instructions"),
        "max_output_tokens": echo.get("max_output_tokens"),
        "model": reply.model or asked.model,
        "output": items,
        "parallel_tool_calls": echo.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None, **_object(echo.get("reasoning"))},
        "store": False,
        "temperature": echo.get("temperature"),
        "text": {"format": {"type": "text"}, **_object(echo.get("text"))},
        "tool_choice": echo.get("tool_choice", "auto"),
        "tools": echo.get("tools", []),
        "top_p": echo.get("top_p"),
        "truncation": "disabled",
        "usage": None,
        "metadata": _object(echo.get("metadata")),
    }
    made |= {name: echo[name] for name in _REPEATED if name in echo}
    if reply.service_tier in _TIERS:
        made["service_tier"] = reply.service_tier
    return made


def _object(value: Any) -> dict[str, Any]:
    return {key: one for key, one in value.items() if one is not None} if isinstance(value, dict) else {}
