"""A whole chat completion as a stream, and a stream as a whole completion. Pure.

Simulated streams are faithful: the deltas of a text join to exactly the text, every choice, tool call and
unknown field is there, and only the last chunk before `[DONE]` may carry usage, where it was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

# A run of blanks with the word after it; scripts without blanks in runs of up to 8 signs. Marks that
# belong to the sign before them (accents, joiners, variation selectors) stay with it.
_WORD: Final = re.compile(r"\s*[^\s\u2e80-\uffff\U00010000-\U0010ffff]+|\s*[^\s]{1,8}|\s+")
_CLINGS: Final = re.compile(r"[\u0300-\u036f\u200d\ufe00-\ufe0f\u20d0-\u20ff\U0001f3fb-\U0001f3ff]")
ARGUMENTS_RUN: Final = 24
"""Signs of tool arguments in one delta."""
DONE: Final = b"data: [DONE]\n\n"

_TEXTS: Final = ("reasoning_content", "reasoning", "content", "refusal")
"""Fields of a message that are streamed as text, in the order in which models make them."""
_COPIED: Final = ("id", "created", "model", "system_fingerprint", "service_tier")


class NotACompletion(ValueError):
    """The reply cannot be streamed as a chat completion: it is to be passed on as it is."""


def words(text: str) -> list[str]:
    """The text in small runs that join to exactly the text."""
    runs: list[str] = []
    for run in _WORD.findall(text):
        if runs and (_CLINGS.match(run) or runs[-1].endswith("\u200d")):
            runs[-1] += run
        else:
            runs.append(run)
    return runs


def simulate_chat(reply: bytes, *, include_usage: bool) -> list[bytes]:
    """The events, `[DONE]` last, with which a stream of this completion would have come.

    Raises:
        NotACompletion: the reply is not a chat completion (an error, another kind of object, no JSON).
    """
    try:
        whole: Any = orjson.loads(reply)
    except orjson.JSONDecodeError as error:
        raise NotACompletion(str(error)) from None
    if not isinstance(whole, dict) or not isinstance(whole.get("choices"), list) or not whole["choices"]:
        raise NotACompletion("no choices")
    if any(not isinstance(one, dict) or not isinstance(one.get("message"), dict) for one in whole["choices"]):
        raise NotACompletion("a choice without a message")
    head = {name: whole[name] for name in _COPIED if name in whole}
    head["object"] = "chat.completion.chunk"
    extra = {
        name: value
        for name, value in whole.items()
        if name not in _COPIED and name not in ("object", "choices", "usage")
    }
    usage = {"usage": None} if include_usage else {}

    def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
        return b"data: " + orjson.dumps({**head, "choices": choices, **usage, **more}) + b"\n\n"

    events: list[bytes] = []
    for at, choice in enumerate(whole["choices"]):
        index = choice.get("index", at)
        deltas = list(_deltas(choice["message"]))
        logprobs = choice.get("logprobs")
        first_text = next((i for i, delta in enumerate(deltas) if i and "content" in delta), 0)
        for number, delta in enumerate(deltas):
            made = {"index": index, "delta": delta, "finish_reason": None}
            if logprobs is not None and number == first_text:
                made["logprobs"] = logprobs
            events.append(chunk([made], **(extra if at == 0 and number == 0 else {})))
        rest = {
            name: value
            for name, value in choice.items()
            if name not in ("index", "message", "logprobs", "finish_reason", "delta")
        }
        finish = choice.get("finish_reason") or "stop"
        events.append(chunk([{"index": index, "delta": {}, "finish_reason": finish, **rest}]))
    if include_usage and whole.get("usage") is not None:
        events.append(chunk([], usage=whole["usage"]))
    events.append(DONE)
    return events


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The deltas of one message: its role and what is not text, then text, then calls."""
    first: dict[str, Any] = {"role": message.get("role") or "assistant"}
    if message.get("content") is None or message.get("content") == "":
        first["content"] = message.get("content")
    for name, value in message.items():
        if name in ("role", "content", "tool_calls", "function_call"):
            continue
        if name in _TEXTS and isinstance(value, str) and value:
            continue
        first[name] = value
    if message.get("content") is not None and not isinstance(message["content"], str):
        first["content"] = message["content"]
    yield first
    for name in _TEXTS:
        value = message.get(name)
        if isinstance(value, str):
            for run in words(value):
                yield {name: run}
    for at, call in enumerate(message.get("tool_calls") or ()):
        yield from _call_deltas(at, call)
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        arguments = str(legacy.get("arguments", ""))
        yield {"function_call": {**legacy, "arguments": ""}}
        for run in _runs(arguments):
            yield {"function_call": {"arguments": run}}


def _call_deltas(at: int, call: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(call, dict):
        return
    kind = "custom" if isinstance(call.get("custom"), dict) else "function"
    body = call.get(kind)
    text_field = "input" if kind == "custom" else "arguments"
    if not isinstance(body, dict) or not isinstance(body.get(text_field), str):
        yield {"tool_calls": [{"index": at, **call}]}
        return
    yield {"tool_calls": [{**call, "index": at, kind: {**body, text_field: ""}}]}
    for run in _runs(body[text_field]):
        yield {"tool_calls": [{"index": at, kind: {text_field: run}}]}


def _runs(text: str) -> Iterator[str]:
    for start in range(0, len(text), ARGUMENTS_RUN):
        yield text[start : start + ARGUMENTS_RUN]


def collect_chat(events: Iterable[bytes]) -> dict[str, Any]:
    """The whole completion that a stream's events (`data: ...` blocks) add up to."""
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for block in events:
        data = block.strip().removeprefix(b"data:").strip()
        if not data or data == b"[DONE]":
            continue
        chunk = orjson.loads(data)
        for name, value in chunk.items():
            if name == "object":
                whole["object"] = "chat.completion"
            elif name not in ("choices", "usage") or (name == "usage" and value is not None):
                whole[name] = value
        for made in chunk.get("choices", ()):
            choice = choices.setdefault(made["index"], {"index": made["index"], "message": {}})
            _add(choice["message"], made.get("delta", {}))
            for name, value in made.items():
                if name not in ("index", "delta") and (value is not None or name not in choice):
                    choice[name] = value
    whole["choices"] = [choices[index] for index in sorted(choices)]
    for choice in whole["choices"]:
        for call in choice["message"].get("tool_calls") or ():
            call.pop("index", None)
    return whole


def _add(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        there = message.get(name)
        if name == "tool_calls" and isinstance(value, list):
            calls = message.setdefault("tool_calls", [])
            for call in value:
                known = next((one for one in calls if one.get("index") == call.get("index")), None)
                if known is None:
                    calls.append(dict(call))
                else:
                    _add_call(known, call)
        elif name == "function_call" and isinstance(there, dict):
            _add_call({"function_call": there}, {"function_call": value})
        elif isinstance(there, str) and isinstance(value, str) and name in _TEXTS:
            message[name] = there + value
        else:
            message[name] = dict(value) if isinstance(value, dict) else value


def _add_call(known: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(known.get(name), dict):
            part = known[name] = dict(known[name])
            for field, text in value.items():
                old = part.get(field)
                part[field] = old + text if isinstance(old, str) and isinstance(text, str) else text
        elif name != "index":
            known[name] = value
