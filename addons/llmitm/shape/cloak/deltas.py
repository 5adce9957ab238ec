"""Where an event of a stream has pieces of texts, and which texts end with it, for each dialect. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from llmitm.exchange import Dialect

type Channel = tuple[object, ...]
"""What tells the pieces of one text from those of others. Those of one answer's choice, item or block
begin alike."""
type Path = tuple[str | int, ...]


class Delta(NamedTuple):
    """A piece of a text within an event."""

    channel: Channel
    path: Path
    """Where it stands."""
    text: str
    is_json: bool = False
    """Whether the text that it is a piece of is JSON itself."""


class Closed(NamedTuple):
    """The texts that begin so are over."""

    channel: Channel


type Seen = Iterator[Delta | Closed]

_CHAT_TEXTS: Final = ("content", "reasoning_content", "reasoning", "refusal")
_JSON_EVENTS: Final = frozenset(
    {"response.function_call_arguments.delta", "response.mcp_call_arguments.delta"}
)
_NO_TEXTS: Final = frozenset({"response.audio.delta"})
_ENDS: Final = frozenset({"response.completed", "response.failed", "response.incomplete"})


def _chat(event: Mapping[str, Any]) -> Seen:
    for at, choice in _each(event.get("choices")):
        index = choice.get("index", at)
        if isinstance(choice.get("text"), str):
            yield Delta((index, "text"), ("choices", at, "text"), choice["text"])
        delta = choice.get("delta")
        if isinstance(delta, dict):
            yield from _chat_delta(delta, index, ("choices", at, "delta"))
        if choice.get("finish_reason") is not None:
            yield Closed((index,))


def _chat_delta(delta: Mapping[str, Any], index: object, path: Path) -> Seen:
    for name in _CHAT_TEXTS:
        if isinstance(text := delta.get(name), str):
            yield Delta((index, name), (*path, name), text)
    for at, part in _each(delta.get("content")):
        kind = part.get("type")
        if isinstance(part.get("text"), str):
            yield Delta((index, "content", kind), (*path, "content", at, "text"), part["text"])
        for inner, thought in _each(part.get("thinking")):
            if isinstance(thought.get("text"), str):
                place = (*path, "content", at, "thinking", inner, "text")
                yield Delta((index, "content", kind), place, thought["text"])
    for at, detail in _each(delta.get("reasoning_details")):
        for name in ("text", "summary"):
            if isinstance(detail.get(name), str):
                place = (*path, "reasoning_details", at, name)
                yield Delta((index, "details", detail.get("index"), name), place, detail[name])
    for at, call in _each(delta.get("tool_calls")):
        place = (*path, "tool_calls", at)
        for kind, name in (("function", "arguments"), ("custom", "input")):
            if isinstance(made := call.get(kind), dict) and isinstance(made.get(name), str):
                channel = (index, "call", call.get("index", at), kind)
                yield Delta(channel, (*place, kind, name), made[name], name == "arguments")
    for kind, name in (("function_call", "arguments"), ("audio", "transcript")):
        if isinstance(made := delta.get(kind), dict) and isinstance(made.get(name), str):
            yield Delta((index, kind), (*path, kind, name), made[name], name == "arguments")


def _responses(event: Mapping[str, Any]) -> Seen:
    kind = event.get("type")
    if not isinstance(kind, str):
        return
    if kind in _ENDS:
        yield Closed(())
    item = event.get("item_id", event.get("output_index"))
    part = event.get("content_index", event.get("summary_index", event.get("command_index")))
    if kind.endswith(".done"):
        yield Closed((item, part, kind.removesuffix(".done")))
    if kind.endswith(".delta") and kind not in _NO_TEXTS and isinstance(event.get("delta"), str):
        channel = (item, part, kind.removesuffix(".delta"))
        yield Delta(channel, ("delta",), event["delta"], kind in _JSON_EVENTS)


def _messages(event: Mapping[str, Any]) -> Seen:
    index = event.get("index")
    match event.get("type"):
        case "content_block_start":
            block = event.get("content_block")
            for name in ("text", "thinking"):
                if isinstance(block, dict) and isinstance(block.get(name), str):
                    yield Delta((index, name), ("content_block", name), block[name])
        case "content_block_delta":
            delta = event.get("delta")
            for name in ("text", "thinking", "partial_json", "content"):
                if isinstance(delta, dict) and isinstance(delta.get(name), str):
                    yield Delta((index, name), ("delta", name), delta[name], name == "partial_json")
        case "content_block_stop":
            yield Closed((index,))
        case "message_delta" | "message_stop":
            yield Closed(())


def _gemini(event: Mapping[str, Any]) -> Seen:
    for at, candidate in _each(event.get("candidates")):
        index = candidate.get("index", 0)
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for inner, part in _each(parts):
            path = ("candidates", at, "content", "parts", inner)
            if isinstance(part.get("text"), str):
                yield Delta((index, "text", bool(part.get("thought"))), (*path, "text"), part["text"])
            call = part.get("functionCall")
            for deepest, one in _each(call.get("partialArgs") if isinstance(call, dict) else None):
                if isinstance(one.get("stringValue"), str):
                    place = (*path, "functionCall", "partialArgs", deepest, "stringValue")
                    yield Delta((index, "args", one.get("jsonPath")), place, one["stringValue"])
        if candidate.get("finishReason") is not None:
            yield Closed((index,))


def _each(value: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The objects of what may be a list."""
    if isinstance(value, list):
        for at, one in enumerate(value):
            if isinstance(one, dict):
                yield at, one


READERS: Final[Mapping[Dialect, Callable[[Mapping[str, Any]], Seen]]] = {
    Dialect.OPENAI_CHAT: _chat,
    Dialect.OPENAI_RESPONSES: _responses,
    Dialect.ANTHROPIC_MESSAGES: _messages,
    Dialect.GEMINI: _gemini,
}
"""What an event holds, in the order in which it stands."""
