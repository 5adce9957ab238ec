"""Whether a stream is one that its API could have sent: types, order and counts of its events."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, get_args, get_origin

import orjson
from anthropic.types import Message, RawMessageStreamEvent
from google.genai import types as google_types
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, ValidationError

from llmitm.exchange import Dialect

type Named = tuple[str | None, Any]
"""The name of its `event` line, and its data: an object, or the text `[DONE]`."""


class Unlawful(Exception):
    """What is wrong with it."""


def demand(holds: Any, what: str, *about: Any) -> None:
    if not holds:
        raise Unlawful(what + "".join(f" {one!r:.200}" for one in about))


def events_of(body: bytes) -> list[Named]:
    """The blocks of a stream as our writers spell them: LF, one `event` line at most, one `data` line."""
    made: list[Named] = []
    blocks = body.split(b"\n\n")
    demand(blocks[-1] == b"", "the last event does not end with a blank line")
    for block in blocks[:-1]:
        name, data = None, None
        for line in block.split(b"\n"):
            field, _, value = line.partition(b": ")
            match field:
                case b"event":
                    name = value.decode()
                case b"data":
                    demand(data is None, "two data lines")
                    data = value
                case b"":
                    pass  # a comment
                case _:
                    raise Unlawful(f"a line of no event: {line!r:.100}")
        if data is not None:
            made.append((name, "[DONE]" if data == b"[DONE]" else orjson.loads(data)))
    return made


@cache
def _models(dialect: Dialect) -> dict[str, type[BaseModel]]:
    """The client's types of events by the word in `type`; under the empty word where there is but one."""
    kinds: dict[Dialect, Any] = {
        Dialect.OPENAI_CHAT: ChatCompletionChunk,
        Dialect.OPENAI_RESPONSES: ResponseStreamEvent,
        Dialect.ANTHROPIC_MESSAGES: RawMessageStreamEvent,
        Dialect.GEMINI: google_types.GenerateContentResponse,
    }
    kind = kinds[dialect]
    if isinstance(kind, type):
        return {"": kind}
    union = getattr(kind, "__value__", kind)
    members = get_args(get_args(union)[0]) if get_origin(union) is Annotated else get_args(union)
    return {word: one for one in members for word in get_args(one.model_fields["type"].annotation)}


def check_reply(dialect: Dialect, body: bytes) -> None:
    """Raises `Unlawful` where a whole reply is none of its API's."""
    kinds: dict[Dialect, type[BaseModel]] = {
        Dialect.OPENAI_CHAT: ChatCompletion,
        Dialect.OPENAI_RESPONSES: Response,
        Dialect.ANTHROPIC_MESSAGES: Message,
        Dialect.GEMINI: google_types.GenerateContentResponse,
    }
    _validated(kinds[dialect], orjson.loads(body))


def check_stream(dialect: Dialect, body: bytes, *, wants_usage: bool = True) -> None:
    """Raises `Unlawful` with the first law that a whole, successful stream breaks."""
    laws: dict[Dialect, Callable[[list[Named]], None]] = {
        Dialect.OPENAI_CHAT: lambda events: _chat(events, wants_usage=wants_usage),
        Dialect.OPENAI_RESPONSES: _responses,
        Dialect.ANTHROPIC_MESSAGES: _messages,
        Dialect.GEMINI: _gemini,
    }
    events = events_of(body)
    demand(events, "no event at all")
    laws[dialect](events)
    known = _models(dialect)
    for _, data in events:
        if isinstance(data, dict) and data.get("type") != "ping":
            word = "" if "" in known else data.get("type", "")
            demand(word in known, "an event that the client does not know", word)
            _validated(known[word], _without_custom(data) if dialect is Dialect.OPENAI_CHAT else data)


def _without_custom(chunk: dict[str, Any]) -> dict[str, Any]:
    """The chunk but for pieces of custom calls, for which the client has no type."""
    choices = [
        choice
        if all("custom" not in call for call in choice["delta"].get("tool_calls") or [])
        else {**choice, "delta": {}}
        for choice in chunk["choices"]
    ]
    return {**chunk, "choices": choices}


def _validated(kind: type[BaseModel], data: Any) -> None:
    try:
        kind.model_validate(data)
    except ValidationError as failure:
        first = failure.errors(include_url=False)[0]
        raise Unlawful(f"{first['loc']} {first['msg']}: {first['input']!r:.120}") from None


# ---- chat


def _chat(events: list[Named], *, wants_usage: bool) -> None:
    demand(events[-1][1] == "[DONE]", "[DONE] is not last", events[-1])
    chunks = [data for _, data in events[:-1]]
    demand(all(name is None for name, _ in events), "an event line in a chat stream")
    demand("[DONE]" not in chunks, "[DONE] twice")
    for name in ("id", "created", "model", "object"):
        demand(len({chunk.get(name) for chunk in chunks}) == 1, f"more than one {name}")
    with_usage = [n for n, chunk in enumerate(chunks) if chunk.get("usage")]
    demand(with_usage in ([], [len(chunks) - 1] if wants_usage else []), "usage elsewhere", with_usage)
    if with_usage:
        demand(chunks[-1]["choices"] == [], "the usage chunk has choices")
    told: dict[int, list[dict[str, Any]]] = {}
    for chunk in chunks[: len(chunks) - len(with_usage)]:
        demand(len(chunk["choices"]) == 1, "a chunk without its one choice", chunk)
        for choice in chunk["choices"]:
            told.setdefault(choice["index"], []).append(choice)
    demand(sorted(told) == list(range(len(told))), "choices are not counted from 0", sorted(told))
    for choices in told.values():
        _chat_choice(choices)


def _chat_choice(choices: list[dict[str, Any]]) -> None:
    demand(choices[0]["delta"].get("role") == "assistant", "no role in the first delta", choices[0])
    reasons = [n for n, choice in enumerate(choices) if choice.get("finish_reason")]
    demand(reasons == [len(choices) - 1], "finish_reason not exactly once, at the end", reasons, len(choices))
    known: list[int] = []
    for choice in choices:
        for call in choice["delta"].get("tool_calls") or []:
            index = call["index"]
            if index not in known:
                demand(index == len(known), "tool indexes have a gap", index, known)
                named = call.get("function") or call.get("custom") or {}
                demand(
                    call.get("id") and named.get("name"), "the first delta of a call has no id or name", call
                )
                known.append(index)
            else:
                demand(index == known[-1], "calls are mixed", index, known)


# ---- responses

_ADDED = "response.output_item.added"
_DONE = "response.output_item.done"
_TERMINAL = ("response.completed", "response.incomplete", "response.failed")
_TEXTS = {
    "response.output_text": ("text", "content_index"),
    "response.refusal": ("refusal", "content_index"),
    "response.reasoning_text": ("text", "content_index"),
    "response.reasoning_summary_text": ("text", "summary_index"),
    "response.function_call_arguments": ("arguments", ""),
    "response.custom_tool_call_input": ("input", ""),
}


def _responses(events: list[Named]) -> None:
    for number, (name, data) in enumerate(events):
        demand(isinstance(data, dict) and name == data.get("type"), "event is not type", name, data)
        demand(data.get("sequence_number") == number, "sequence_number", number, data)
    told = [data for _, data in events]
    demand(told[0]["type"] == "response.created", "created is not first")
    demand(told[-1]["type"] in _TERMINAL, "no terminal event at the end", told[-1]["type"])
    demand(sum(one["type"] in _TERMINAL for one in told) == 1, "two terminal events")
    demand(len({one["response"]["id"] for one in told if "response" in one}) == 1, "two response ids")
    items = _responses_items(told)
    final = told[-1]["response"]["output"]
    demand(final == items, "the final output is not the items that were done", final, items)


def _responses_items(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items as they were done, after a look at all that was said of each."""
    open_at: dict[int, dict[str, Any]] = {}
    done: list[dict[str, Any]] = []
    texts: dict[tuple[Any, ...], str] = {}
    closed: set[tuple[Any, ...]] = set()
    for one in told:
        kind, index = one["type"], one.get("output_index")
        if kind == _ADDED:
            demand(index == len(done) + len(open_at), "output_index has a gap", index)
            open_at[one["output_index"]] = one["item"]
        elif kind == _DONE:
            demand(index in open_at, "done before added", one)
            added = open_at.pop(one["output_index"])
            demand(added.get("id") == one["item"].get("id"), "an item changes its id", added, one["item"])
            demand(added["type"] == one["item"]["type"], "an item changes its type")
            done.append(one["item"])
        elif index is not None:
            demand(index in open_at, "a delta outside its item", one)
            demand(one.get("item_id") == open_at[index].get("id"), "item_id is not the item's", one)
            _responses_text(one, texts, closed)
    demand(not open_at, "items are left open", sorted(open_at))
    demand(set(texts) == closed, "texts are not done", set(texts) ^ closed)
    return done


def _responses_text(
    one: dict[str, Any], texts: dict[tuple[Any, ...], str], closed: set[tuple[Any, ...]]
) -> None:
    stem, _, end = one["type"].rpartition(".")
    if stem not in _TEXTS:
        return
    member, sub = _TEXTS[stem]
    key = (one["output_index"], stem, one.get(sub))
    if end == "delta":
        demand(key not in closed, "a delta after its done", one)
        texts[key] = texts.get(key, "") + one["delta"]
    elif end == "done":
        demand(texts.setdefault(key, "") == one[member], "done is not the deltas", texts[key], one[member])
        closed.add(key)


# ---- messages


def _messages(events: list[Named]) -> None:
    for name, data in events:
        demand(isinstance(data, dict) and name == data.get("type"), "event is not type", name, data)
    told = [data for name, data in events if name != "ping"]
    kinds = [one["type"] for one in told]
    demand(kinds[0] == "message_start" and kinds.count("message_start") == 1, "message_start", kinds[:3])
    demand(kinds[-2:] == ["message_delta", "message_stop"], "the end", kinds[-3:])
    demand(kinds.count("message_delta") == 1 and kinds.count("message_stop") == 1, "ends twice")
    demand(told[0]["message"]["content"] == [], "message_start has content")
    demand(told[-2]["delta"].get("stop_reason"), "no stop_reason", told[-2])
    for name in ("input_tokens", "output_tokens"):
        demand(name in told[-2]["usage"], f"no {name} at the end", told[-2])
    count, is_open = 0, False
    kind, is_signed = "", False
    for one in told[1:-2]:
        match one["type"]:
            case "content_block_start":
                demand(not is_open and one["index"] == count, "blocks overlap or skip", one)
                is_open, kind, is_signed = True, one["content_block"]["type"], False
            case "content_block_delta":
                demand(is_open and one["index"] == count, "a delta outside its block", one)
                _messages_delta(kind, one["delta"], is_signed=is_signed)
                is_signed = is_signed or one["delta"]["type"] == "signature_delta"
            case "content_block_stop":
                demand(is_open and one["index"] == count, "a stop outside its block", one)
                is_open, count = False, count + 1
            case other:
                raise Unlawful(f"{other} among the blocks")
    demand(not is_open, "a block is left open")


_DELTAS = {
    "text": ("text_delta", "citations_delta"),
    "thinking": ("thinking_delta", "signature_delta"),
    "tool_use": ("input_json_delta",),
}


def _messages_delta(kind: str, delta: dict[str, Any], *, is_signed: bool) -> None:
    demand(delta["type"] in _DELTAS.get(kind, ()), "a delta of another kind", kind, delta)
    demand(not is_signed, "a delta after the signature", delta)


# ---- gemini


def _gemini(events: list[Named]) -> None:
    demand(all(name is None for name, _ in events), "an event line in a gemini stream")
    told = [data for _, data in events]
    demand(all(isinstance(one, dict) for one in told), "data that is no object")
    last = told[-1]
    demand(last.get("candidates") or "promptFeedback" in last, "no candidates in the last chunk", last)
    reasons: dict[int, Any] = {}
    for one in told:
        for candidate in one.get("candidates") or []:
            index = candidate.get("index", 0)
            demand(not reasons.get(index), "a candidate goes on after its finishReason", one)
            reasons[index] = candidate.get("finishReason")
    demand(all(reasons.values()), "no finishReason in the last chunk", last)
    with_usage = any("usageMetadata" in one for one in told)
    demand(not with_usage or "usageMetadata" in last, "no usageMetadata in the last chunk", last)
    for one in told:
        for candidate in one.get("candidates") or []:
            for part in (candidate.get("content") or {}).get("parts") or []:
                if "functionCall" in part:
                    demand(isinstance(part["functionCall"].get("args", {}), dict), "a call in pieces", part)
