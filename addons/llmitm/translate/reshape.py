"""A whole chat completion as a stream, and a stream as a whole completion. Pure.

Simulated streams are faithful: collecting one gives the completion that it was made of, but for the usage
where the client did not ask for it. The deltas of a text join to exactly the text; every choice, call and
unknown field is there; what a model did not say (a finish reason, say) is not made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

from llmitm.translate.sse import SseReader
from llmitm.translate.words import MOST_RUNS, words

ARGUMENTS_RUN: Final = 24
"""Signs of tool arguments in one delta, at least."""
DONE: Final = b"data: [DONE]\n\n"

_TEXTS: Final = ("reasoning_content", "reasoning", "content", "refusal")
"""Fields of a message that are streamed as text, in the order in which models make them."""
_HEAD: Final = ("id", "created", "model", "system_fingerprint", "service_tier")
"""What every chunk repeats. Other fields of the completion stand in the first chunk."""
_CALL_TEXT: Final = {"function": "arguments", "custom": "input"}


class NotACompletion(ValueError):
    """The reply cannot be streamed as a chat completion: it is to be passed on as it is."""


def simulate_chat(reply: bytes, *, include_usage: bool) -> list[bytes]:
    """The events, `[DONE]` last, with which a stream of this completion would have come.

    Raises:
        NotACompletion: the reply is not a chat completion (an error, another kind of object, no JSON).
    """
    try:
        whole: Any = orjson.loads(reply)
    except orjson.JSONDecodeError as error:
        raise NotACompletion(str(error)) from None
    if not isinstance(whole, dict) or not isinstance(whole.get("choices"), list):
        raise NotACompletion("no choices")
    choices: list[Any] = whole["choices"]
    if whole.get("error") is not None and not choices:
        raise NotACompletion("an error")
    if any(not isinstance(one, dict) or not isinstance(one.get("message"), dict) for one in choices):
        raise NotACompletion("a choice without a message")
    head = {name: whole[name] for name in _HEAD if name in whole}
    head["object"] = "chat.completion.chunk"
    extra = {
        name: value for name, value in whole.items() if name not in (*_HEAD, "object", "choices", "usage")
    }
    usage = {"usage": None} if include_usage else {}

    def chunk(made: list[dict[str, Any]], **more: Any) -> bytes:
        return b"data: " + orjson.dumps({**head, "choices": made, **usage, **more}) + b"\n\n"

    events: list[bytes] = []
    for index, choice in zip(_indexes(choices), choices, strict=True):
        for made in _choice(index, choice):
            events.append(chunk([made], **(extra if not events else {})))
    if not choices:
        events.append(chunk([], **extra))
    if include_usage and whole.get("usage") is not None:
        events.append(chunk([], usage=whole["usage"]))
    events.append(DONE)
    return events


def _indexes(choices: list[Any]) -> list[int]:
    """The choices' own indexes; their places where some have none, or share one."""
    own = [choice.get("index") for choice in choices]
    if all(type(index) is int for index in own) and len(set(own)) == len(own):
        return own
    return list(range(len(own)))


def _choice(index: int, choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The choice's part of each chunk."""
    deltas = list(_deltas(choice["message"]))
    with_logprobs = next((at for at, delta in enumerate(deltas) if at and "content" in delta), 0)
    for at, delta in enumerate(deltas):
        made = {"index": index, "delta": delta, "finish_reason": None}
        if at == with_logprobs and "logprobs" in choice:
            made["logprobs"] = choice["logprobs"]
        yield made
    rest = {
        name: value
        for name, value in choice.items()
        if name not in ("index", "message", "logprobs", "delta", "finish_reason")
    }
    yield {"index": index, "delta": {}, "finish_reason": choice.get("finish_reason"), **rest}


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The deltas of one message: its role and what is not streamed, then its texts, then its calls."""
    calls, legacy = message.get("tool_calls"), message.get("function_call")
    streams_calls = _are_objects(calls)
    streams_legacy = isinstance(legacy, dict) and isinstance(legacy.get("arguments"), str)
    first: dict[str, Any] = {"role": "assistant"}
    for name, value in message.items():
        if name in _TEXTS and isinstance(value, str):
            if name == "content":
                first[name] = ""  # where clients look for it
        elif not (name == "tool_calls" and streams_calls or name == "function_call" and streams_legacy):
            first[name] = value
    yield first
    for name in _TEXTS:
        text = message.get(name)
        if isinstance(text, str):
            for run in words(text) or ([""] if name != "content" else []):
                yield {name: run}
    if streams_calls:
        for at, call in enumerate(calls or ()):
            for part in _call(call):
                yield {"tool_calls": [{**part, "index": at}]}
    if streams_legacy:
        for part in _named(dict(legacy or ()), "arguments"):
            yield {"function_call": part}


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _call(call: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A tool call: first all of it but its text, then its text in runs."""
    for kind, field in _CALL_TEXT.items():
        body = call.get(kind)
        if isinstance(body, dict) and isinstance(body.get(field), str):
            first, *rest = _named(body, field)
            yield {**call, kind: first}
            for part in rest:
                yield {kind: part}
            return
    yield call


def _named(body: dict[str, Any], field: str) -> Iterator[dict[str, Any]]:
    text = body[field]
    yield {**body, field: ""}
    size = max(ARGUMENTS_RUN, -(-len(text) // MOST_RUNS))
    for start in range(0, len(text), size):
        yield {field: text[start : start + size]}


def collect_chat(blocks: Iterable[bytes]) -> dict[str, Any]:
    """The whole completion that a stream's blocks (one or several events each) add up to.

    An error within the stream is the completion's `error`. What is no chunk is left out.
    """
    reader = SseReader()
    whole: dict[str, Any] = {}
    choices: dict[int, _Collected] = {}
    for event in (event for block in blocks for event in reader.feed(block + b"\n\n")):
        if event.data is None or event.data == b"[DONE]":
            continue
        try:
            chunk: Any = orjson.loads(event.data)
        except orjson.JSONDecodeError:
            continue
        if not isinstance(chunk, dict):
            continue
        for name, value in chunk.items():
            if name == "object":
                whole[name] = "chat.completion"
            elif name == "usage":
                if value is not None:
                    whole[name] = value
            elif name not in ("choices", "obfuscation") and (value is not None or name not in whole):
                whole[name] = value
        for made in chunk.get("choices") or ():
            if isinstance(made, dict):
                choices.setdefault(made.get("index") or 0, _Collected()).add(made)
    whole["choices"] = [choices[index].choice(index) for index in sorted(choices)]
    return whole


class _Collected:
    """One choice, as far as it has come. Texts are kept in pieces: joining them one by one is quadratic."""

    __slots__ = ("_calls", "_legacy", "_message", "_more", "_texts")

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._texts: dict[str, list[str]] = {}
        self._calls: list[_Call] = []
        self._legacy: _Call | None = None
        self._more: dict[str, Any] = {}

    def add(self, made: dict[str, Any]) -> None:
        for name, value in made.items():
            if name == "logprobs":
                self._more[name] = _with_logprobs(self._more.get(name), value)
            elif name not in ("index", "delta") and (value is not None or name not in self._more):
                self._more[name] = value
        for name, value in (made.get("delta") or {}).items():
            self._add_field(name, value)

    def _add_field(self, name: str, value: Any) -> None:
        if name in _TEXTS and isinstance(value, str):
            self._message[name] = None  # keeps its place
            self._texts.setdefault(name, []).append(value)
        elif name == "tool_calls" and _are_objects(value):
            self._message[name] = None
            for part in value:
                self._add_call(part)
        elif name == "function_call" and isinstance(value, dict):
            self._message[name] = None
            self._legacy = self._legacy or _Call(None)
            self._legacy.add({"function": value})
        elif isinstance(value, list) and isinstance(self._message.get(name), list):
            self._message[name] = [*self._message[name], *value]
        elif value is not None or name not in self._message:
            self._message[name] = value

    def _add_call(self, part: dict[str, Any]) -> None:
        """Calls are told apart by index; hosts that give all the same one, or none, by a new id."""
        index, new_id = part.get("index"), part.get("id")
        if type(index) is not int or index < 0:
            found = self._calls[-1] if self._calls else None
        else:
            found = next((call for call in reversed(self._calls) if call.index == index), None)
        if found is None or (new_id and found.fields.get("id") and new_id != found.fields["id"]):
            found = _Call(index)
            self._calls.append(found)
        found.add(part)

    def choice(self, index: int) -> dict[str, Any]:
        message = dict(self._message)
        for name, runs in self._texts.items():
            message[name] = "".join(runs)
        if self._calls:
            message["tool_calls"] = [call.whole() for call in self._calls]
        if self._legacy is not None:
            message["function_call"] = self._legacy.whole()["function"]
        return {"index": index, "message": message, **self._more}


class _Call:
    __slots__ = ("_texts", "fields", "index")

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.fields: dict[str, Any] = {}
        self._texts: dict[str, list[str]] = {}

    def add(self, part: dict[str, Any]) -> None:
        for name, value in part.items():
            if name in _CALL_TEXT and isinstance(value, dict):
                body = self.fields.setdefault(name, {})
                for field, text in value.items():
                    if field == _CALL_TEXT[name] and isinstance(text, str):
                        body[field] = ""
                        self._texts.setdefault(name, []).append(text)
                    elif text is not None or field not in body:
                        body[field] = text
            elif name != "index" and (value is not None or name not in self.fields):
                self.fields[name] = value

    def whole(self) -> dict[str, Any]:
        texts = {
            kind: {**self.fields[kind], _CALL_TEXT[kind]: "".join(runs)} for kind, runs in self._texts.items()
        }
        return {**self.fields, **texts}


def _with_logprobs(known: Any, more: Any) -> Any:
    """Lists of tokens follow one another."""
    if not isinstance(known, dict) or not isinstance(more, dict):
        return known if more is None else more
    joined = dict(known)
    for name, tokens in more.items():
        both = isinstance(tokens, list) and isinstance(known.get(name), list)
        joined[name] = [*known[name], *tokens] if both else known.get(name) if tokens is None else tokens
    return joined
