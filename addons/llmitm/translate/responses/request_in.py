"""A request to OpenAI's responses, read. Pure.

Items of the model's side up to the next item of the client's side are one turn. What lives with the vendor
(stored responses, conversations, templates) is listed in `refused`, for it is no part of what was sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from llmitm.exchange import Dialect
from llmitm.translate import jsontext, openai_parts
from llmitm.translate.neutral import (
    CacheConfig,
    Hosted,
    HostedTool,
    Identity,
    Opaque,
    Output,
    Part,
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
    a_text_or_none,
    an_object,
    bool_if,
    invalid,
    objects,
    text_if,
    top_object,
)
from llmitm.translate.responses import packed, parts, tools

_ROLES: Final = {role.value: role for role in Role}
_ENCRYPTED: Final = "reasoning.encrypted_content"
_LOGPROBS: Final = "message.output_text.logprobs"
_ECHOED: Final = (
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "reasoning",
    "safety_identifier",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
)
_STATEFUL: Final = {
    "previous_response_id": "The response before is kept by the vendor that made it",
    "conversation": "The conversation is kept by the vendor that holds it",
    "prompt": "The template is kept by the vendor that holds it",
    "background": "A response in the background is kept by the vendor that makes it",
}
_LOST: Final = {
    "access_programs": "access-programs",
    "context_management": "context-management",
    "image": "image-compression",
    "max_tool_calls": "max_tool_calls",
}
_CARRIED: Final = frozenset(
    {
        "model", "input", "include", "service_tier", "store", "stream", "stream_options", "moderation",
        *_ECHOED, *_STATEFUL, *_LOST,
    }
)  # fmt: skip
_PATHS: Final = {
    "max_tokens": "max_output_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "logprobs": "include",
    "top_logprobs": "top_logprobs",
    "verbosity": "text.verbosity",
    "thinking": "reasoning",
    "effort": "reasoning.effort",
    "show": "reasoning.summary",
    "parallel": "parallel_tool_calls",
    "key": "prompt_cache_key",
    "options": "prompt_cache_options",
    "retention": "prompt_cache_retention",
    "user": "user",
    "safety_id": "safety_identifier",
    "metadata": "metadata",
    "service_tier": "service_tier",
    "store": "store",
}


def read_request(
    body: bytes, *, model: str | None = None, is_stream: bool | None = None, is_json_array: bool = False
) -> Request:
    """Raises `Refused`, 400, naming the place, where it is no request of this dialect."""
    asked = top_object(body)
    items = _Items()
    if instructions := a_text_or_none(asked.get("instructions"), "instructions"):
        items.turn(Role.SYSTEM, [Text(text=instructions, at="instructions")], "instructions")
    items.read(asked.get("input"))
    is_packing = items.packing_at is not None
    named = [*tools.read_tools(asked.get("tools")), *items.tools]
    losses = _Losses(asked, items)
    said = an_object(asked.get("text") or {}, "text")
    return Request(
        model=model if model is not None else _model(asked),
        turns=items.turns(),
        tools=tuple(_without_repeats(named)),
        tool_choice=ToolChoice(mode="none")
        if is_packing
        else tools.read_choice(asked.get("tool_choice"), asked.get("parallel_tool_calls")),
        settings=_settings(asked, said),
        thinking=_thinking(an_object(asked.get("reasoning") or {}, "reasoning"), items.effort),
        output=None
        if is_packing
        else _output(items.form if items.form is not None else said.get("format"), "text.format"),
        cache=CacheConfig(
            key=text_if(asked.get("prompt_cache_key")),
            options=asked.get("prompt_cache_options"),
            retention=asked.get("prompt_cache_retention"),
        ),
        identity=_identity(asked),
        stream=bool(asked.get("stream")) if is_stream is None else is_stream,
        is_json_array=is_json_array,
        is_packing=is_packing,
        dialect=Dialect.OPENAI_RESPONSES,
        paths=_PATHS,
        lost=tuple(losses.lost),
        adjusted=(("compaction", items.packing_at),) if items.packing_at is not None else (),
        noted=tuple(losses.noted),
        refused=tuple(losses.refused),
        echo={name: asked[name] for name in _ECHOED if asked.get(name) is not None},
    )


def _model(asked: dict[str, Any]) -> str:
    model = asked.get("model")
    return "" if model is None and asked.get("prompt") is not None else a_text(model, "model")


def _without_repeats(found: list[Tool | HostedTool]) -> list[Tool | HostedTool]:
    """Tools that a search found are often declared as well; the declared ones come first."""
    kept: list[Tool | HostedTool] = []
    seen: set[tuple[str | None, str]] = set()
    for tool in found:
        if isinstance(tool, Tool):
            is_found = not tool.at.startswith("tools[")
            if is_found and (tool.namespace, tool.name) in seen:
                continue
            seen.add((tool.namespace, tool.name))
        kept.append(tool)
    return kept


# ---- input


@dataclass(slots=True)
class _Draft:
    role: Role
    at: str
    parts: list[Part] = field(default_factory=list)
    phase: str | None = None
    name: str | None = None
    takes_more: bool = False


@dataclass(slots=True)
class _Items:
    """The items of `input`, gathered to turns."""

    drafts: list[_Draft] = field(default_factory=list)
    tools: list[Tool | HostedTool] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    lost: list[tuple[str, str]] = field(default_factory=list)
    effort: Any = None
    form: Any = None
    packing_at: str | None = None
    """Where the conversation is to be packed: the last item."""

    def turns(self) -> tuple[Turn, ...]:
        return tuple(
            Turn(role=one.role, parts=tuple(one.parts), name=one.name, phase=one.phase, at=one.at)
            for one in self.drafts
        )

    def turn(self, role: Role, found: list[Part], at: str) -> _Draft:
        draft = _Draft(role, at, found)
        self.drafts.append(draft)
        return draft

    def read(self, value: Any) -> None:
        if isinstance(value, str):
            self.turn(Role.USER, [Text(text=value, at="input")], "input")
            return
        for at, item in objects(value, "input"):
            if self.packing_at is not None:
                raise invalid(self.packing_at, "a compaction_trigger must be the last item")
            kind = item.get("type")
            if kind is None and "role" in item:
                kind = "message"
            self._item(a_text(kind, f"{at}.type"), item, at)

    def _item(self, kind: str, item: dict[str, Any], at: str) -> None:
        match kind:
            case "message":
                self._message(item, at)
            case "function_call" | "custom_tool_call":
                self._of_model(at).parts.append(_call(item, kind, at))
            case "function_call_output" | "custom_tool_call_output":
                self._result(item, kind, at)
            case "reasoning":
                draft = self._of_model(at)
                if (made := parts.read_reasoning(item, at)) is not None:
                    draft.parts.append(made)
            case "additional_tools":
                self.tools += tools.read_tools(item.get("tools"), f"{at}.tools")
            case "configuration_update":
                self._update(item, at)
            case "item_reference":
                self._refer(item.get("id"), at)
            case "compaction_trigger":
                self.packing_at = at
                self._message({"role": "user", "content": packed.ASKED}, at)
            case _ if packed.is_kind(kind):
                self._unpack(item, at)
            case _:
                self._other(kind, item, at)

    def _of_model(self, at: str) -> _Draft:
        """The open turn of the model; a new one where the item before was the client's."""
        if self.drafts and self.drafts[-1].role is Role.ASSISTANT:
            return self.drafts[-1]
        return self.turn(Role.ASSISTANT, [], at)

    def _message(self, item: dict[str, Any], at: str) -> None:
        role = _ROLES.get(a_text(item.get("role"), f"{at}.role"))
        found = parts.read_parts(item.get("content"), f"{at}.content")
        match role:
            case None:
                raise invalid(f"{at}.role", "expected user, assistant, system or developer")
            case Role.ASSISTANT:
                draft = self._of_model(at)
                draft.parts += found
                draft.phase = text_if(item.get("phase")) or draft.phase
            case Role.USER if self.drafts and self.drafts[-1].takes_more:
                draft = self.drafts[-1]
                draft.parts += found
                draft.takes_more = False
            case _:
                draft = self.turn(role, found, at)
        draft.name = draft.name or text_if(item.get("name"))

    def _result(self, item: dict[str, Any], kind: str, at: str) -> None:
        if not self.drafts or not self.drafts[-1].takes_more:
            self.turn(Role.USER, [], at).takes_more = True
        output = item.get("output")
        if isinstance(output, dict | int | float | bool):
            output = jsontext.text_of(output)
        self.drafts[-1].parts.append(
            ToolResult(
                call_id=text_if(item.get("call_id")) or "",
                name=text_if(item.get("name")),
                parts=tuple(parts.read_parts(output, f"{at}.output")) if output != "" else (),
                kind="custom" if kind == "custom_tool_call_output" else "function",
                at=at,
            )
        )

    def _update(self, item: dict[str, Any], at: str) -> None:
        reasoning = an_object(item.get("reasoning") or {}, f"{at}.reasoning")
        said = an_object(item.get("text") or {}, f"{at}.text")
        self.effort = reasoning.get("effort") or self.effort
        self.form = said.get("format") or self.form

    def _refer(self, name: Any, at: str) -> None:
        """Reasoning can be done without: the AI SDK refers to it, whoever made it, and sends the rest."""
        if isinstance(name, str) and name.startswith("rs_"):
            self.lost.append(("reasoning-reference", at))
        else:
            self._refuse(at, "The item is kept by the vendor that made it")

    def _unpack(self, item: dict[str, Any], at: str) -> None:
        text = packed.given(item.get("encrypted_content"))
        if text is None:
            self._refuse(at, "A compacted conversation is readable to the vendor that made it only")
        else:
            self._message({"role": "user", "content": text}, at)

    def _refuse(self, at: str, sentence: str) -> None:
        self.refused.append(("stateful_not_supported", at, sentence))

    def _other(self, kind: str, item: dict[str, Any], at: str) -> None:
        raw = jsontext.text_of(item)
        if not parts.is_hosted(kind):
            made: Part = Opaque(dialect=Dialect.OPENAI_RESPONSES, type=kind, raw=raw, at=at)
        else:
            phase: Literal["call", "result"] = "result" if parts.is_result(kind) else "call"
            made = Hosted(vendor="openai", type=kind, raw=raw, phase=phase, at=at)
        self._of_model(at).parts.append(made)
        if kind == "tool_search_output":
            self.tools += tools.read_tools(item.get("tools"), f"{at}.tools")


def _call(item: dict[str, Any], kind: str, at: str) -> ToolCall:
    is_custom = kind == "custom_tool_call"
    call_id = text_if(item.get("call_id")) or ""
    return ToolCall(
        id=call_id,
        name=a_text(item.get("name"), f"{at}.name"),
        args=openai_parts.args_of(item.get("input" if is_custom else "arguments")),
        kind="custom" if is_custom else "function",
        namespace=text_if(item.get("namespace")),
        sealed=openai_parts.seal_in(call_id, call_id)
        or openai_parts.seal_in(text_if(item.get("id")) or "", call_id),
        at=at,
    )


# ---- settings


def _settings(asked: dict[str, Any], said: dict[str, Any]) -> Settings:
    include = asked.get("include")
    return Settings(
        max_tokens=asked.get("max_output_tokens"),
        temperature=asked.get("temperature"),
        top_p=asked.get("top_p"),
        logprobs=True if isinstance(include, list) and _LOGPROBS in include else None,
        top_logprobs=asked.get("top_logprobs"),
        verbosity=said.get("verbosity"),
    )


def _thinking(reasoning: dict[str, Any], update: Any) -> Thinking | None:
    effort = text_if(update) or text_if(reasoning.get("effort"))
    word = text_if(reasoning.get("summary")) or text_if(reasoning.get("generate_summary"))
    if effort is None and word is None:
        return None
    return Thinking(effort=effort, show="summary" if word else None, show_word=word)


def _output(form: Any, at: str) -> Output | None:
    return None if form is None else openai_parts.read_output(an_object(form, at), at)


def _identity(asked: dict[str, Any]) -> Identity:
    return Identity(
        user=text_if(asked.get("user")),
        safety_id=text_if(asked.get("safety_identifier")),
        metadata=asked.get("metadata"),
        service_tier=text_if(asked.get("service_tier")),
        store=bool_if(asked.get("store")),
    )


class _Losses:
    """What of a request has no neutral home."""

    def __init__(self, asked: dict[str, Any], items: _Items) -> None:
        self.lost: list[tuple[str, str]] = []
        self.noted: list[tuple[str, str]] = []
        self.refused: list[tuple[str, str, str]] = []
        for name, value in asked.items():
            if value is not None and value is not False:
                self._member(name, value)
        self.refused += items.refused
        self.lost += items.lost

    def _member(self, name: str, value: Any) -> None:
        match name:
            case _ if name in _STATEFUL:
                self.refused.append(("stateful_not_supported", name, _STATEFUL[name]))
            case _ if name in _LOST:
                self.lost.append((_LOST[name], name))
            case "client_metadata":
                self.noted.append(("client-metadata", name))  # ids of Codex's sessions, in each request
            case _ if name not in _CARRIED:
                self.lost.append(("unknown-field", name))
            case "truncation" if value != "disabled":
                self.lost.append(("truncation", name))
            case "moderation":
                self._moderation(value)
            case "include" if isinstance(value, list):
                carried = (_ENCRYPTED, _LOGPROBS)
                self.noted += (
                    ("include", f"include[{n}]") for n, one in enumerate(value) if one not in carried
                )
            case "store":
                self.noted.append(("store", name))
            case "reasoning" if isinstance(value, dict):
                self._reasoning(value)
            case "prompt_cache_options" if isinstance(value, dict) and value.get("prewarm") is True:
                sentence = "A request that only fills the cache has no counterpart"
                self.refused.append(("unsupported_by_target", f"{name}.prewarm", sentence))

    def _moderation(self, value: Any) -> None:
        if '"mode":"block"' in jsontext.text_of(value):
            sentence = "A moderation that blocks must not be left out"
            self.refused.append(("unsupported_by_target", "moderation", sentence))
        else:
            self.lost.append(("moderation", "moderation"))

    def _reasoning(self, value: dict[str, Any]) -> None:
        for name, usual in (("mode", "standard"), ("context", "auto")):
            if value.get(name) not in (None, usual):
                self.lost.append((f"reasoning-{name}", f"reasoning.{name}"))
