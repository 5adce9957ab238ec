"""Reads a request of any dialect into what the demonstration provider must know of it.

Deliberately not built on `translate/`: the provider is the other side, so a mistake that both shared
would show in no test.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from llmitm.demo import script
from llmitm.demo.script import Step
from llmitm.errors import Refused
from llmitm.exchange import Dialect


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    name: str
    schema: dict[str, Any]
    """JSON Schema of its arguments; empty where none was given."""
    is_custom: bool = False
    """Its input is a text."""
    namespace: str | None = None

    @property
    def full_name(self) -> str:
        """As scripts name it."""
        return f"{self.namespace}__{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a request asks for."""

    model: str
    said: str
    """Text of the last user message that has any; empty where there is none."""
    tool_result: str | None
    """What a tool answered, where that is the last message."""
    tools: tuple[Tool, ...]
    """Those that may be called: none where the request forbids it, one where it names one."""
    must_call: bool
    input_words: int
    seed: str
    """40 hex digits of the body's hash: equal requests get equal ids."""
    stream: bool = False
    include_usage: bool = False
    choices: int = 1
    thinks: bool = False
    """Reasoning was asked for, and is to be shown."""
    wants_seal: bool = False
    """Reasoning is to be handed out sealed too, for a client that keeps the conversation itself."""
    step: Step | None = None
    """What a script in the prompt wants next; None where there is none."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """One message. `role` is system, user, assistant or tool."""

    role: str
    text: str


def bad(message: str, code: str = "invalid_value") -> Refused:
    return Refused(400, code, message)


def read_object(body: bytes, encoding: str = "") -> dict[str, Any]:
    """A body's JSON object.

    Raises:
        Refused: 400, it is not one.
    """
    try:
        if encoding == "gzip":
            body = gzip.decompress(body)
        elif encoding == "deflate":
            body = zlib.decompress(body)
        data = orjson.loads(body)
    except (orjson.JSONDecodeError, OSError, EOFError, zlib.error):
        raise bad("The body of the request is not valid JSON.", "invalid_json") from None
    if not isinstance(data, dict):
        raise bad("The body of the request is not a JSON object.", "invalid_json")
    return data


def read_ask(
    dialect: Dialect, data: dict[str, Any], *, model: str | None = None, stream: bool = False
) -> Ask:
    """What a generation request asks for. `model` and `stream` are those of the path, where it says them.

    Raises:
        Refused: 400, a field that the API requires is absent or of the wrong type.
    """
    if model is None:
        model = data.get("model")
        if not isinstance(model, str) or not model:
            raise bad("You must provide a model parameter.", "missing_required_parameter")
    turns = list(_TURNS[dialect](data))
    if not any(turn.role != "system" for turn in turns):
        raise bad("The request holds no message.", "missing_required_parameter")
    tools, must_call = _tools(dialect, data)
    options = data.get("stream_options")
    try:
        step = script.next_step((turn.role, turn.text) for turn in turns)
    except ValueError as problem:
        raise bad(str(problem)) from None
    return Ask(
        model=model,
        said=_last(turns, "user") or "",
        tool_result=_last(turns, "tool") if step or turns[-1].role == "tool" else None,
        tools=tools,
        must_call=must_call,
        input_words=sum(len(turn.text.split()) for turn in turns),
        seed=hashlib.sha256(orjson.dumps([dialect, model, data])).hexdigest()[:40],
        stream=stream or data.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        choices=_choices(dialect, data),
        thinks=_thinks(dialect, data),
        wants_seal="reasoning.encrypted_content" in (data.get("include") or ()),
        step=step,
    )


def _last(turns: list[_Turn], role: str) -> str | None:
    """The text of the last turn of `role` that has any; None where there is no such turn."""
    texts = [turn.text for turn in turns if turn.role == role]
    return next((text for text in reversed(texts) if text), "") if texts else None


def _thinks(dialect: Dialect, data: dict[str, Any]) -> bool:
    match dialect:
        case Dialect.OPENAI_CHAT:
            thinking = data.get("thinking")
            is_on = isinstance(thinking, dict) and thinking.get("type") == "enabled"
            return is_on or data.get("reasoning_effort") not in (None, "none")
        case Dialect.OPENAI_RESPONSES:
            reasoning = data.get("reasoning")
            return isinstance(reasoning, dict) and reasoning.get("effort", "medium") not in (None, "none")
        case Dialect.ANTHROPIC_MESSAGES:
            thinking = data.get("thinking")
            return isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")
        case Dialect.GEMINI:
            thinking = _either(_either(data, "generationConfig"), "thinkingConfig")
            return _either(thinking, "includeThoughts") is True


def _either(data: object, name: str) -> Any:
    """A member of Google's, which takes `camelCase` and `snake_case` alike."""
    if not isinstance(data, dict):
        return None
    return data.get(name, data.get(re.sub("[A-Z]", lambda sign: "_" + sign[0].lower(), name)))


def _choices(dialect: Dialect, data: dict[str, Any]) -> int:
    if dialect is Dialect.GEMINI:
        config = data.get("generationConfig") or data.get("generation_config") or {}
        count = config.get("candidateCount", 1)
    elif dialect is Dialect.OPENAI_CHAT:
        count = 1 if data.get("n") is None else data["n"]
    else:
        return 1
    if not isinstance(count, int) or not 1 <= count <= 128:
        raise bad("The number of choices must lie between 1 and 128.")
    return count


def _texts(content: object) -> str:
    """The text in a message's content: a string, or the parts that are text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(
        part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
    )


def _items(data: dict[str, Any], name: str) -> list[dict[str, Any]]:
    items = data.get(name)
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise bad(f"'{name}' must be a list of objects that is not empty.", "missing_required_parameter")
    return items


def _chat_turns(data: dict[str, Any]) -> Iterable[_Turn]:
    for message in _items(data, "messages"):
        role = message.get("role")
        if role not in ("system", "developer", "user", "assistant", "tool", "function"):
            raise bad(f"Invalid value for a message's role: {role!r}.")
        role = {"developer": "system", "function": "tool"}.get(role, role)
        yield _Turn(role, _texts(message.get("content")))


def _responses_turns(data: dict[str, Any]) -> Iterable[_Turn]:
    if isinstance(instructions := data.get("instructions"), str):
        yield _Turn("system", instructions)
    if isinstance(said := data.get("input"), str):
        yield _Turn("user", said)
        return
    for item in _items(data, "input"):
        kind = item.get("type", "message")
        if kind == "message":
            role = str(item.get("role"))
            yield _Turn("system" if role == "developer" else role, _texts(item.get("content")))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            yield _Turn("tool", _texts(item.get("output")))
        elif kind == "additional_tools":
            yield _Turn("system", "")
        else:
            yield _Turn("assistant", "")


def _messages_turns(data: dict[str, Any]) -> Iterable[_Turn]:
    if not isinstance(data.get("max_tokens", 0), int):
        raise bad("max_tokens: Input should be a valid integer")
    if system := _texts(data.get("system")):
        yield _Turn("system", system)
    for message in _items(data, "messages"):
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant", "system"):
            raise bad(f"messages: unexpected role {role!r}")
        results = [
            part
            for part in (content if isinstance(content, list) else ())
            if isinstance(part, dict) and part.get("type") == "tool_result"
        ]
        for part in results:
            yield _Turn("tool", _texts(part.get("content")))
        if (text := _texts(content)) or not results:
            yield _Turn(role, text)


def _gemini_turns(data: dict[str, Any]) -> Iterable[_Turn]:
    system = data.get("systemInstruction") or data.get("system_instruction")
    if isinstance(system, dict):
        yield _Turn("system", _texts(system.get("parts")))
    for content in _items(data, "contents"):
        role = "assistant" if content.get("role") == "model" else "user"
        parts = [part for part in content.get("parts") or () if isinstance(part, dict)]
        results = [
            found
            for part in parts
            if (found := part.get("functionResponse") or part.get("function_response"))
        ]
        for result in results:
            yield _Turn("tool", orjson.dumps(result.get("response")).decode())
        if (text := _texts(parts)) or not results:
            yield _Turn(role, text)


_TURNS: dict[Dialect, Callable[[dict[str, Any]], Iterable[_Turn]]] = {
    Dialect.OPENAI_CHAT: _chat_turns,
    Dialect.OPENAI_RESPONSES: _responses_turns,
    Dialect.ANTHROPIC_MESSAGES: _messages_turns,
    Dialect.GEMINI: _gemini_turns,
}


def _tools(dialect: Dialect, data: dict[str, Any]) -> tuple[tuple[Tool, ...], bool]:
    """The tools that may be called, and whether one must be."""
    entries = [*(data.get("tools") or ())]
    if dialect is Dialect.OPENAI_RESPONSES and isinstance(data.get("input"), list):
        added = (item for item in data["input"] if item.get("type") == "additional_tools")
        entries += [entry for item in added for entry in item["tools"]]
    tools = [tool for entry in entries for tool in _functions(dialect, entry)]
    mode, names = _tool_choice(dialect, data)
    if mode == "none":
        return (), False
    if names:
        tools = [tool for tool in tools if tool.name in names]
    return tuple(tools), mode == "required" and bool(tools)


def _functions(dialect: Dialect, entry: dict[str, Any]) -> Iterable[Tool]:
    """The functions in one entry of a request's `tools`; tools of other kinds are never called."""
    if dialect is Dialect.GEMINI:
        declared = entry.get("functionDeclarations") or entry.get("function_declarations") or ()
        for function in declared:
            schema = _either(function, "parametersJsonSchema") or function.get("parameters") or {}
            yield Tool(name=function["name"], schema=schema)
    elif dialect is Dialect.ANTHROPIC_MESSAGES:
        if entry.get("type", "custom") == "custom":
            yield Tool(name=entry["name"], schema=entry.get("input_schema") or {})
    elif (kind := entry.get("type")) in ("function", "custom"):
        function = entry[kind] if dialect is Dialect.OPENAI_CHAT else entry
        schema = function.get("parameters") or {}
        yield Tool(name=function["name"], schema=schema, is_custom=kind == "custom")
    elif kind == "namespace":
        for inner in entry["tools"]:
            yield from (replace(tool, namespace=entry["name"]) for tool in _functions(dialect, inner))


def _tool_choice(dialect: Dialect, data: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """`auto`, `none` or `required`, and the names to choose from; no names is any."""
    if dialect is Dialect.GEMINI:
        config = (data.get("toolConfig") or {}).get("functionCallingConfig") or {}
        mode = {"NONE": "none", "ANY": "required"}.get(config.get("mode", ""), "auto")
        return mode, tuple(config.get("allowedFunctionNames") or ())
    choice = data.get("tool_choice")
    if not isinstance(choice, dict):
        return (choice if choice in ("none", "required") else "auto"), ()
    kind = choice.get("type")
    if kind == "tool" or kind == "function":
        name = choice.get("name") or (choice.get("function") or {}).get("name")
        return "required", (str(name),)
    return {"any": "required", "none": "none"}.get(str(kind), "auto"), ()
