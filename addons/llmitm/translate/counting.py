"""How many tokens a request has: asked in one dialect, counted by an upstream of another, or guessed. Pure.

The request is translated as for an answer, and of that goes to the upstream what its counting call takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from llmitm.errors import Refused
from llmitm.exchange import Dialect, Usage
from llmitm.translate import jsontext, peek
from llmitm.translate.beside import Beside
from llmitm.translate.failures import failure_of
from llmitm.translate.guess import guess
from llmitm.translate.neutral import (
    Failure,
    Part,
    Request,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    UpstreamError,
)
from llmitm.translate.notes import Notes
from llmitm.translate.pair import Translation, read_request
from llmitm.translate.reading import count_if
from llmitm.translate.target import Target

_TAKEN: Final[Mapping[Dialect, frozenset[str]]] = {
    Dialect.ANTHROPIC_MESSAGES: frozenset(
        {
            *("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"),
            *("cache_control", "context_management", "mcp_servers", "speed"),
        }
    ),
    Dialect.OPENAI_RESPONSES: frozenset(
        {
            *("model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "truncation"),
            *("parallel_tool_calls", "conversation", "previous_response_id", "personality"),
        }
    ),
}
"""Members of a request that counting takes too; all others are refused there."""
FREE: Final = Usage(input_tokens=0, output_tokens=0)
"""Vendors count for nothing, and no model reads anything."""


def read_counted(dialect: Dialect, body: bytes, model: str | None = None) -> Request:
    """What a client wants counted. `model` is what a Gemini client's path says.

    Raises:
        Refused: 400, it cannot be read.
    """
    if dialect is Dialect.GEMINI:
        return read_request(dialect, _unwrapped(body), model=model, is_stream=False)
    return read_request(dialect, body)


def _unwrapped(body: bytes) -> bytes:
    """Gemini counts mere contents, or a whole request in an envelope."""
    try:
        places = peek.top_level(body)
    except peek.NotAnObject:
        return body  # its reader says what is wrong with it
    for name in ("generateContentRequest", "generate_content_request"):
        if name in places:
            start, end = places[name]
            return body[start:end]
    return body


def renamed(body: bytes, model: str) -> bytes:
    """A Gemini client's request whose envelope names the model too, with this name in it."""
    try:
        places = peek.top_level(body)
        for name in ("generateContentRequest", "generate_content_request"):
            if name in places:
                start, end = places[name]
                inner = peek.replace_member(body[start:end], "model", f"models/{model}")
                return body[:start] + inner + body[end:]
    except peek.NotAnObject:
        pass  # the provider says what is wrong with it
    return body


class Counting(Translation):
    """A request that is counted by an upstream of another dialect."""

    def __init__(self, asked: Request, target: Target) -> None:
        """Raises as `Translation`."""
        super().__init__(replace(asked, turns=tuple(_without_orphans(asked.turns))), target)
        self.body = _counted(self.body, target)

    def reply(self, body: bytes) -> bytes:
        """The count in the client's form.

        Raises:
            UpstreamError: the upstream told none.
        """
        count = read_count(body)
        self.usage = FREE
        return write_count(self.asked.dialect, count)


def _without_orphans(turns: Iterable[Turn]) -> Iterator[Turn]:
    """Clients have parts of a conversation counted: a result whose call is not among them, which no upstream
    would take, is what it says."""
    called: set[str] = set()
    for turn in turns:
        parts: list[Part] = []
        for part in turn.parts:
            if isinstance(part, ToolCall):
                called.add(part.id)
            if isinstance(part, ToolResult) and part.call_id not in called:
                parts += [Text(text=part.raw, at=part.at)] if part.raw else []
                parts += part.parts
            else:
                parts.append(part)
        yield replace(turn, parts=tuple(parts))


def _counted(body: bytes, target: Target) -> bytes:
    told = jsontext.loads(body)
    if target.dialect is Dialect.GEMINI:
        named = {"model": f"models/{target.model.removeprefix('models/')}"}
        return jsontext.dumps({"generateContentRequest": named | told})
    taken = _TAKEN[target.dialect]
    return jsontext.dumps({name: value for name, value in told.items() if name in taken})


def read_count(body: bytes) -> int:
    """Raises `UpstreamError` where the answer holds none."""
    try:
        told: Any = jsontext.loads_fast(body)
    except ValueError:
        told = None
    if isinstance(told, dict):
        for name in ("input_tokens", "totalTokens"):
            if (count := count_if(told.get(name))) is not None:
                return count
    failure = failure_of(told, 200)
    raise UpstreamError(
        failure
        or Failure(
            status=502,
            kind="bad_gateway",
            code="malformed_reply",
            message="The provider's answer holds no count of tokens.",
        )
    )


def write_count(dialect: Dialect, count: int, *, is_guess: bool = False) -> bytes:
    """The answer in a client's form. That it is a guess is told in a member that its API has not."""
    marked = {"estimated": True} if is_guess else {}
    match dialect:
        case Dialect.GEMINI:
            return orjson.dumps({"totalTokens": count} | marked)
        case Dialect.ANTHROPIC_MESSAGES:
            return orjson.dumps({"input_tokens": count} | marked)
        case _:
            return orjson.dumps({"object": "response.input_tokens", "input_tokens": count} | marked)


def guessed(asked: Request, model: str, notes: Notes, *, is_strict: bool) -> bytes:
    """The same for a model whose provider counts nothing.

    Raises:
        Refused: 400, strict was asked for.
    """
    notes.adjusted("token-count-estimated")
    if is_strict:
        notes.refuse_strictly()
    try:
        count = guess(asked, model)
    except RecursionError:
        raise Refused(400, "invalid_request", "The request body is nested too deep.") from None
    return write_count(asked.dialect, count, is_guess=True)


class OfCounts(Beside):
    """Looks at an answer that holds a count: nothing was used."""

    __slots__ = ()

    def finish(self) -> bool:
        self.usage = FREE
        return False

    def feed(self, piece: bytes) -> None:
        pass
