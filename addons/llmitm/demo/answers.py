"""What the demonstration provider says, and the shape in which an answer goes on the wire.

Everything is made from the request alone: the same request gets the same bytes. Words are what it
counts as tokens.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from llmitm.demo.ask import Ask, Tool

CREATED_S = 1_767_225_600
"""When every answer was made, in seconds since the epoch: 2026-01-01."""
DONE = b"data: [DONE]\n\n"
_MOST_PIECES = 256
_CALL_PIECES = 4

type Fields = tuple[tuple[str, str], ...]
"""Names and values of headers, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer as it goes on the wire, unless a fault changes it."""

    status: int = 200
    headers: Fields = ()
    pieces: Iterable[bytes] = ()
    """The body. In an event stream every piece is one whole event."""
    length: int | None = None
    """Of the body in bytes; None where it is sent in chunks."""
    is_stream: bool = False
    """Each piece is an event: faults count in events then, else in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of a tool."""

    number: int
    name: str
    arguments: dict[str, Any] | str
    """A text for a tool that is custom."""
    namespace: str | None = None

    @property
    def is_custom(self) -> bool:
        return isinstance(self.arguments, str)

    @property
    def text(self) -> str:
        if isinstance(self.arguments, str):
            return self.arguments
        return orjson.dumps(self.arguments).decode()

    @property
    def pieces(self) -> list[str]:
        """The arguments' JSON in several deltas: what must be joined is then seen to be."""
        text = self.text
        size = -(-len(text) // _CALL_PIECES)
        return [text[at : at + size] for at in range(0, len(text), size)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is said: a text, or calls of tools."""

    text: str
    calls: tuple[Call, ...]
    output_words: int
    thought: str = ""
    """What is shown of its reasoning; empty where none was asked for."""

    @property
    def thought_words(self) -> int:
        return len(self.thought.split())

    @property
    def said_words(self) -> int:
        return self.output_words - self.thought_words

    def choice_text(self, index: int) -> str:
        """The text of one of several choices; they differ, so that mixing them up shows."""
        return self.text if index == 0 else f"{self.text} (choice {index + 1})"


def answer_to(ask: Ask) -> Answer:
    """What a script in the prompt says; else a call of the first tool if the user's text speaks of a "tool",
    of every tool if of "every tool".
    """
    about = ask.said if ask.step is None else "its script"
    thought = f"The demo provider thinks about: {about}" if ask.thinks else ""
    thought_words = len(thought.split())
    if calls := _calls(ask):
        words = sum(len(call.text.split()) for call in calls)
        return Answer(text="", calls=calls, output_words=words + thought_words, thought=thought)
    if ask.step is not None and ask.step.text:
        text = ask.step.text
    elif ask.tool_result is not None:
        text = f"The demo provider read this result: {ask.tool_result}"
    else:
        text = f"The demo provider heard you say: {ask.said}"
    return Answer(text=text, calls=(), output_words=len(text.split()) + thought_words, thought=thought)


def _calls(ask: Ask) -> tuple[Call, ...]:
    """Tools that a script names are called where they are offered: clients ask for titles beside."""
    known = {tool.full_name: tool for tool in ask.tools}
    if ask.step is not None:
        wanted = [(known[one.name], one.arguments) for one in ask.step.calls if one.name in known]
        if wanted or not ask.must_call:
            return tuple(
                Call(
                    number=number,
                    name=tool.name,
                    arguments=_given(tool, arguments),
                    namespace=tool.namespace,
                )
                for number, (tool, arguments) in enumerate(wanted)
            )
    wants = ask.step is None and ask.tool_result is None and "tool" in ask.said.lower()
    if not ask.tools or not (ask.must_call or wants):
        return ()
    return tuple(
        Call(
            number=number,
            name=tool.name,
            arguments=ask.said if tool.is_custom else _arguments(tool, ask.said),
        )
        for number, tool in enumerate(ask.tools if "every tool" in ask.said.lower() else ask.tools[:1])
    )


def _given(tool: Tool, arguments: dict[str, Any] | str) -> dict[str, Any] | str:
    """A script's arguments in the tool's form, with those that the schema asks for beside."""
    if tool.is_custom:
        return arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    required = tool.schema.get("required") or ()
    if isinstance(arguments, str):
        return {next(iter(required), "input"): arguments}
    return {name: _arguments(tool, "demo")[name] for name in required if name not in arguments} | arguments


def _arguments(tool: Tool, said: str) -> dict[str, Any]:
    """Arguments that fit the tool's schema; its strings hold what the user said."""
    properties = tool.schema.get("properties")
    if not isinstance(properties, dict) or not properties:
        return {"text": said}
    return {name: _example(schema, said) for name, schema in properties.items()}


def _example(schema: object, said: str) -> object:
    if not isinstance(schema, dict):
        return said
    if isinstance(options := schema.get("enum"), list) and options:
        return options[0]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    match str(kind).lower():
        case "integer" | "number":
            return 7
        case "boolean":
            return True
        case "array":
            return [_example(schema.get("items"), said)]
        case "object":
            return {name: _example(inner, said) for name, inner in (schema.get("properties") or {}).items()}
        case "null":
            return None
        case _:
            return said


SEAL: Final = "sealed by the demo provider, "


def seal(ask: Ask) -> str:
    """What stands for a signature, or for encrypted reasoning: only who made it can tell it is one."""
    return base64.b64encode(f"{SEAL}{ask.seed}".encode()).decode()


def split_words(text: str) -> list[str]:
    """The text in word-sized pieces, 256 at most; joined they are the text again."""
    words = re.findall(r"\S+\s*|^\s+", text) or [text]
    per_piece = -(-len(words) // _MOST_PIECES)
    if per_piece == 1:
        return words
    return ["".join(words[at : at + per_piece]) for at in range(0, len(words), per_piece)]


def sse(data: object, event: str | None = None) -> bytes:
    """One server-sent event."""
    head = b"" if event is None else b"event: " + event.encode() + b"\n"
    return head + b"data: " + orjson.dumps(data) + b"\n\n"


def whole(data: object, *, status: int = 200, headers: Fields = ()) -> Reply:
    """A JSON answer in one piece."""
    body = orjson.dumps(data)
    return Reply(
        status=status,
        headers=(("content-type", "application/json"), *headers),
        pieces=(body,),
        length=len(body),
    )


def stream(events: Iterable[bytes], *, headers: Fields = ()) -> Reply:
    """An event stream."""
    return Reply(
        headers=(
            ("content-type", "text/event-stream; charset=utf-8"),
            ("cache-control", "no-cache"),
            *headers,
        ),
        pieces=events,
        is_stream=True,
    )
