"""A chat request, read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from llmitm.exchange import Dialect
from llmitm.translate import ids, jsontext, openai_parts
from llmitm.translate.chat import details
from llmitm.translate.chat.parts import cache_of, read_call, read_parts
from llmitm.translate.messages.blocks import read_block, read_thinking
from llmitm.translate.neutral import (
    CacheConfig,
    HostedTool,
    Identity,
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
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from llmitm.translate.reading import (
    a_text,
    an_object,
    bool_if,
    count_if,
    invalid,
    objects,
    text_if,
    texts,
    top_object,
)

_SETTINGS: Final = {
    "max_completion_tokens": "max_tokens",
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "random_seed": "seed",
    "presence_penalty": "presence",
    "frequency_penalty": "frequency",
    "n": "n",
    "logprobs": "logprobs",
    "top_logprobs": "top_logprobs",
    "verbosity": "verbosity",
}
"""Members by the neutral setting that they are; of two for one setting the first counts."""
_LOST: Final = {
    "logit_bias": "logit_bias",
    "prediction": "prediction",
    "audio": "output-media",
}
_READ: Final = frozenset(
    {
        *_SETTINGS,
        *_LOST,
        "model",
        "messages",
        "stream",
        "stream_options",
        "stop",
        "tools",
        "functions",
        "tool_choice",
        "function_call",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "reasoning",
        "include_reasoning",
        "thinking",
        "enable_thinking",
        "thinking_budget",
        "extra_body",
        "google",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "user",
        "safety_identifier",
        "metadata",
        "service_tier",
        "store",
        "web_search_options",
        "modalities",
        "moderation",
    }
)
_FOREIGN: Final = frozenset({"tool_use", "tool_result", "thinking", "redacted_thinking", "image", "document"})
"""Types of parts in Anthropic's shape, which clients of Claude mix into chat."""


def read_request(
    body: bytes,
    *,
    model: str | None = None,
    is_stream: bool | None = None,
    is_json_array: bool = False,
) -> Request:
    """The request; `model` and `is_stream` stand in the body here, so they are not given.

    Raises:
        Refused: 400, with the place of what is wrong.
    """
    told = top_object(body)
    options = told.get("stream_options")
    paths = {"stop": "stop", "thinking": _thinking_at(told), "parallel": "parallel_tool_calls"}
    if isinstance(told.get("reasoning_effort"), str):
        paths["effort"] = "reasoning_effort"
    settings: dict[str, Any] = {}
    for name, setting in _SETTINGS.items():
        if told.get(name) is not None and setting not in settings:
            settings[setting] = told[name]
            paths[setting] = name
    lost, noted, refused = _without_home(told)
    return Request(
        model=a_text(told.get("model"), "model") if model is None else model,
        turns=_Turns(body).read(objects(_messages(told), "messages")),
        tools=_tools(told),
        tool_choice=_tool_choice(told),
        settings=Settings(**settings, stop=texts(told.get("stop"), "stop")),
        thinking=_thinking(told),
        output=_output(told.get("response_format")),
        cache=CacheConfig(
            key=text_if(told.get("prompt_cache_key")),
            options=told.get("prompt_cache_options"),
            retention=told.get("prompt_cache_retention"),
        ),
        identity=Identity(
            user=text_if(told.get("user")),
            safety_id=text_if(told.get("safety_identifier")),
            metadata=told.get("metadata") or None,
            service_tier=text_if(told.get("service_tier")),
            store=bool_if(told.get("store")),
        ),
        stream=told.get("stream") is True,
        want_usage=isinstance(options, dict) and options.get("include_usage") is True,
        dialect=Dialect.OPENAI_CHAT,
        is_legacy_functions="functions" in told and "tools" not in told,
        paths=paths,
        lost=lost,
        noted=noted,
        refused=refused,
    )


def _messages(told: dict[str, Any]) -> Any:
    messages = told.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("messages", "expected a list with at least one message")
    return messages


type _Pairs = tuple[tuple[str, str], ...]


def _without_home(told: dict[str, Any]) -> tuple[_Pairs, _Pairs, tuple[tuple[str, str, str], ...]]:
    lost = [(word, name) for name, word in _LOST.items() if told.get(name)]
    noted: list[tuple[str, str]] = []
    refused: list[tuple[str, str, str]] = []
    modalities = told.get("modalities")
    if isinstance(modalities, list) and any(one != "text" for one in modalities):
        sentence = "This model's provider cannot answer in other than text"
        refused.append(("unsupported_by_target", "modalities", sentence))
        lost = [pair for pair in lost if pair[1] != "audio"]
    match told.get("moderation"):
        case {"policy": dict() as policy} if any(
            isinstance(one, dict) and one.get("mode") == "block" for one in policy.values()
        ):
            sentence = "This model's provider has no moderation that blocks"
            refused.append(("unsupported_by_target", "moderation", sentence))
        case dict():
            lost.append(("moderation", "moderation"))
    if told.get("store") is True:
        lost.append(("store", "store"))
    if told.get("max_tokens") is not None and told.get("max_completion_tokens") is not None:
        noted.append(("max_tokens", "max_tokens"))
    match told.get("stream_options"):
        case {"include_obfuscation": _}:
            noted.append(("include_obfuscation", "stream_options.include_obfuscation"))
    lost += (("unknown-field", name) for name in told if name not in _READ)
    return tuple(lost), tuple(noted), tuple(refused)


# ---- messages


class _Turns:
    """Reads messages in order; tool messages and a user message right after them make one turn."""

    def __init__(self, body: bytes) -> None:
        self._slices = jsontext.Slices(body)
        self._turns: list[Turn] = []
        self._are_results = False
        """The last turn is one of results, which a user message joins."""
        self._legacy: list[str] = []
        """Ids of old function calls that have no result yet."""
        self._legacy_count = 0
        self._kinds: dict[str, str] = {}

    def read(self, messages: list[tuple[str, dict[str, Any]]]) -> tuple[Turn, ...]:
        for index, (at, message) in enumerate(messages):
            match message.get("role"):
                case "system" | "developer" as role:
                    self._add(Role(role), message, at, self._content(message, at, index))
                case "user":
                    self._user(message, at, index)
                case "assistant":
                    self._assistant(message, at, index)
                case "tool" | "function":
                    self._result(message, at)
                case _:
                    raise invalid(
                        f"{at}.role", "expected system, developer, user, assistant, tool or function"
                    )
        return tuple(self._turns)

    def _content(self, message: dict[str, Any], at: str, index: int) -> list[Part]:
        parts = read_parts(message.get("content"), f"{at}.content")
        if any(isinstance(part, Opaque) for part in parts):
            parts = [self._foreign(part, message, index, n) for n, part in enumerate(parts)]
        if cache_of(message) is not None and parts and isinstance(parts[-1], Text | Media):
            parts[-1] = replace(parts[-1], cache=cache_of(message))
        return parts

    def _foreign(self, part: Part, message: dict[str, Any], index: int, place: int) -> Part:
        if not isinstance(part, Opaque) or part.type not in _FOREIGN:
            return part
        path = ("messages", index, "content", place)
        return read_block(message["content"][place], part.at, self._slices, *path)

    def _add(self, role: Role, message: dict[str, Any], at: str, parts: list[Part]) -> None:
        self._are_results = False
        turn = Turn(role=role, parts=tuple(parts), name=text_if(message.get("name")), at=at)
        self._turns.append(turn)

    def _user(self, message: dict[str, Any], at: str, index: int) -> None:
        parts = self._content(message, at, index)
        if not self._are_results:
            self._add(Role.USER, message, at, parts)
            self._are_results = bool(parts) and all(isinstance(part, ToolResult) for part in parts)
            return
        last = self._turns[-1]
        self._turns[-1] = replace(last, parts=last.parts + tuple(parts))
        self._are_results = False

    def _assistant(self, message: dict[str, Any], at: str, index: int) -> None:
        calls = [
            read_call(call, place) for place, call in objects(message.get("tool_calls"), f"{at}.tool_calls")
        ]
        match message.get("function_call"):
            case {"name": str(name), **legacy} if name:
                made = ids.legacy_call_id(self._legacy_count, name)
                self._legacy_count += 1
                self._legacy.append(made)
                args = text_if(legacy.get("arguments")) or ""
                calls.append(ToolCall(id=made, name=name, args=args, at=f"{at}.function_call"))
        self._kinds.update((call.id, call.kind) for call in calls)
        content = self._content(message, at, index)
        refusal = text_if(message.get("refusal"))
        if refusal:
            content.append(Refusal(text=refusal, at=f"{at}.refusal"))
        parts, calls = _with_reasoning(message, content, calls, at)
        self._add(Role.ASSISTANT, message, at, [*parts, *calls])

    def _result(self, message: dict[str, Any], at: str) -> None:
        call_id = text_if(message.get("tool_call_id")) or ""
        if message.get("role") == "function":
            call_id = self._legacy.pop(0) if self._legacy else ids.legacy_call_id(0, "")
        elif not call_id:
            raise invalid(f"{at}.tool_call_id", "expected the id of the call that this answers")
        parts = read_parts(message.get("content"), f"{at}.content")
        cache = cache_of(message)
        if cache is None:
            cache = next((part.cache for part in parts if isinstance(part, Text) and part.cache), None)
        parts = [replace(part, cache=None) if isinstance(part, Text) else part for part in parts]
        result = ToolResult(
            call_id=call_id,
            name=text_if(message.get("name")),
            parts=tuple(parts),
            kind="custom" if self._kinds.get(call_id) == "custom" else "function",
            cache=cache,
            at=at,
        )
        if self._are_results:
            last = self._turns[-1]
            self._turns[-1] = replace(last, parts=(*last.parts, result))
        else:
            self._turns.append(Turn(role=Role.USER, parts=(result,), at=at))
            self._are_results = True


def _with_reasoning(
    message: dict[str, Any], content: list[Part], calls: list[ToolCall], at: str
) -> tuple[list[Part], list[ToolCall]]:
    """Reasoning before the text, and seals on the calls and texts that they are of."""
    found = details.read(message.get("reasoning_details"), (call.id for call in calls))
    parts: list[Part] = [replace(part, at=f"{at}.reasoning_details") for part in found.parts]
    for place, block in objects(message.get("thinking_blocks"), f"{at}.thinking_blocks"):
        if not found.parts or block.get("type") == "redacted_thinking":
            parts.append(read_thinking(block, place))
    if not any(isinstance(part, Reasoning) and part.readable for part in parts):
        text = text_if(message.get("reasoning_content")) or text_if(message.get("reasoning"))
        if text:
            parts.insert(0, Reasoning(text=text, at=f"{at}.reasoning_content"))
    calls = [
        replace(call, sealed=found.calls[call.id]) if call.id in found.calls and not call.sealed else call
        for call in calls
    ]
    if found.loose is not None:
        last = next((n for n in reversed(range(len(content))) if isinstance(content[n], Text)), -1)
        signed = content[last] if last >= 0 else None
        if isinstance(signed, Text):
            content[last] = replace(signed, sealed=found.loose)
        elif calls and calls[0].sealed is None:
            calls[0] = replace(calls[0], sealed=found.loose)
    return [*parts, *content], calls


# ---- tools


def _tools(told: dict[str, Any]) -> tuple[Tool | HostedTool, ...]:
    made: list[Tool | HostedTool] = []
    for at, entry in objects(told.get("tools"), "tools"):
        made.append(_tool(entry, at))
    if "tools" not in told:
        for at, entry in objects(told.get("functions"), "functions"):
            made.append(_function(entry, entry, at, ""))
    if isinstance(told.get("web_search_options"), dict):
        options = told["web_search_options"]
        match options.get("user_location"):
            case {"approximate": dict() as place}:  # nested in chat alone
                options = {**options, "user_location": {"type": "approximate", **place}}
        raw = jsontext.text_of({"type": "web_search", **options})
        made.append(
            HostedTool(
                vendor="openai",
                type="web_search",
                raw=raw,
                generic="web_search",
                at="web_search_options",
            )
        )
    return tuple(made)


def _tool(entry: dict[str, Any], at: str) -> Tool | HostedTool:
    kind = entry.get("type")
    if kind is None and isinstance(entry.get("function"), dict):
        kind = "function"  # hosts do not ask for it
    match kind:
        case "function":
            return _function(an_object(entry.get("function"), f"{at}.function"), entry, at, ".function")
        case "custom":
            body = an_object(entry.get("custom"), f"{at}.custom")
            form = body.get("format")
            if isinstance(form, dict) and isinstance(form.get("grammar"), dict):
                form = {"type": "grammar", **form["grammar"]}
            return Tool(
                name=_tool_name(body, f"{at}.custom"),
                description=text_if(body.get("description")),
                kind="custom",
                format=form,
                cache=cache_of(entry),
                at=at,
            )
        case str() if ":" in kind:
            generic = "web_search" if kind.endswith(":web_search") else None
            vendor = kind.partition(":")[0]
            return HostedTool(vendor=vendor, type=kind, raw=jsontext.text_of(entry), generic=generic, at=at)
        case _:
            raise invalid(at, f"tools of type {kind!r} are not known" if kind else "the tool has no type")


def _function(body: dict[str, Any], entry: dict[str, Any], at: str, under: str) -> Tool:
    schema = body.get("parameters")
    if schema is not None and not isinstance(schema, dict | bool):
        raise invalid(f"{at}{under}.parameters", "expected a JSON Schema")
    known = ("name", "description", "parameters", "strict")
    return Tool(
        name=_tool_name(body, f"{at}{under}"),
        description=text_if(body.get("description")),
        schema=schema,
        strict=bool_if(body.get("strict")),
        cache=cache_of(entry) or cache_of(body),
        extra={
            name: value
            for name, value in body.items()
            if name not in (*known, "cache_control") and value is not None
        },
        at=at + under,
        schema_at=f"{at}{under}.parameters",
    )


def _tool_name(body: Mapping[str, Any], at: str) -> str:
    name = body.get("name")
    if not isinstance(name, str) or not name:
        raise invalid(f"{at}.name", "the tool has no name")
    return name


def _tool_choice(told: dict[str, Any]) -> ToolChoice | None:
    parallel = bool_if(told.get("parallel_tool_calls"))
    choice = told.get("tool_choice")
    at = "tool_choice"
    if choice is None and "function_call" in told:
        choice, at = told["function_call"], "function_call"
        if isinstance(choice, dict):
            choice = {"type": "function", "function": choice}
    if choice is None:
        return None if parallel is None else ToolChoice(parallel=parallel, at="parallel_tool_calls")
    made = _choice(choice, at)
    return replace(made, parallel=parallel)


_WORDS: Final[Mapping[str, Callable[[str], ToolChoice]]] = {
    "auto": lambda at: ToolChoice(mode="auto", at=at),
    "none": lambda at: ToolChoice(mode="none", at=at),
    "required": lambda at: ToolChoice(mode="any", at=at),
    "any": lambda at: ToolChoice(mode="any", at=at),
}


def _choice(choice: Any, at: str) -> ToolChoice:
    match choice:
        case str() if choice in _WORDS:
            return _WORDS[choice](at)
        case {"function": {"name": str(name)}} if choice.get("type", "function") == "function":
            return ToolChoice(mode="one", name=name, at=at)
        case {"type": "custom", "custom": {"name": str(name)}}:
            return ToolChoice(mode="one", name=name, kind="custom", at=at)
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}:
            names = [
                body["name"]
                for tool in tools
                if isinstance(tool, dict)
                for body in (tool.get("function") or tool.get("custom"),)
                if isinstance(body, dict) and isinstance(body.get("name"), str)
            ]
            return ToolChoice(mode="any" if mode == "required" else "auto", allowed=tuple(names), at=at)
        case {"type": str(word)} if word in _WORDS:
            return _WORDS[word](at)
        case {"type": "tool", "name": str(name)}:
            return ToolChoice(mode="one", name=name, at=at)
        case _:
            raise invalid(at, "expected none, auto, required, or a tool by its type and name")


# ---- settings


def _thinking(told: dict[str, Any]) -> Thinking | None:
    """However the client said it: each host has words of its own."""
    made: dict[str, Any] = {}
    match told.get("reasoning"):
        case dict() as reasoning:
            made["effort"] = text_if(reasoning.get("effort"))
            made["budget_tokens"] = count_if(reasoning.get("max_tokens"))
            if reasoning.get("enabled") is False:
                made["mode"] = "off"
            made["show"] = "none" if reasoning.get("exclude") is True else "summary"
    if told.get("include_reasoning") is True:
        made["show"] = "summary"
    match told.get("thinking"):
        case {"type": "disabled"}:
            made["mode"] = "off"
        case {"type": "enabled" | "adaptive" as kind, **rest}:
            made["mode"] = "adaptive" if kind == "adaptive" else "on"
            made["budget_tokens"] = count_if(rest.get("budget_tokens"))
    match told.get("enable_thinking"):
        case bool() as is_on:
            made["mode"] = "on" if is_on else "off"
    if count_if(told.get("thinking_budget")) is not None:
        made["budget_tokens"] = told["thinking_budget"]
    google = told.get("google")
    match told.get("extra_body"):
        case {"google": dict() as under}:
            google = under
    match google:
        case {"thinking_config": dict() as config}:
            made |= _google(config)
    if isinstance(told.get("reasoning_effort"), str):
        made["effort"] = told["reasoning_effort"]
    made = {name: value for name, value in made.items() if value is not None}
    return Thinking(**made) if made else None


def _thinking_at(told: dict[str, Any]) -> str:
    """Where the client said how much reasoning it wants; of several places the one that counts most."""
    places = ("thinking_budget", "enable_thinking", "thinking", "reasoning", "extra_body", "google")
    return next((name for name in places if told.get(name) is not None), "reasoning_effort")


def _google(config: dict[str, Any]) -> dict[str, Any]:
    level = config.get("thinking_level", config.get("thinkingLevel"))
    budget = count_if(config.get("thinking_budget", config.get("thinkingBudget")))
    shows = config.get("include_thoughts", config.get("includeThoughts"))
    return {
        "effort": level.lower() if isinstance(level, str) else None,
        "budget_tokens": "dynamic" if budget == -1 else budget,
        "show": "summary" if shows is True else None,
    }


def _output(value: Any) -> Output | None:
    at = "response_format"
    match value:
        case None:
            return None
        case {"type": "json_schema", "json_schema": dict() as schema}:
            return openai_parts.read_output({**schema, "type": "json_schema"}, f"{at}.json_schema")
        case _:
            return openai_parts.read_output(an_object(value, at), at)


__all__ = ["read_request"]
