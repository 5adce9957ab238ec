"""Where an upstream says that a fault lies, as the place in the client's own request. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from llmitm.exchange import Dialect
from llmitm.translate.neutral import Request, Tool

_CHAT: Final = {
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "presence_penalty": "presence",
    "frequency_penalty": "frequency",
    "stop": "stop",
    "n": "n",
    "logprobs": "logprobs",
    "top_logprobs": "top_logprobs",
    "verbosity": "verbosity",
    "reasoning_effort": "effort",
    "parallel_tool_calls": "parallel",
}
_RESPONSES: Final = {
    "max_output_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_logprobs": "top_logprobs",
    "text.verbosity": "verbosity",
    "reasoning.effort": "effort",
    "reasoning.summary": "show",
    "parallel_tool_calls": "parallel",
}
_SETTINGS: Final[Mapping[Dialect, Mapping[str, str]]] = {
    Dialect.OPENAI_CHAT: _CHAT,
    Dialect.OPENAI_RESPONSES: _RESPONSES,
}
"""Members by the neutral setting that they are. Other dialects' errors name no member."""
_TURNS: Final = {Dialect.OPENAI_CHAT: "messages", Dialect.OPENAI_RESPONSES: "input"}
_OUTPUT: Final = ("response_format", "text.format")
_SAME: Final = frozenset(
    {
        "metadata",
        "model",
        "prompt_cache_key",
        "safety_identifier",
        "service_tier",
        "stream",
        "tool_choice",
        "tools",
        "user",
    }
)
"""OpenAI's two dialects have them by the same name."""
_TOOL: Final = re.compile(r"tools\[(\d{1,4})\](?:\.(?:function|custom))?(\.parameters)?(?![^.\[])")


def place_of(param: str | None, upstream: Dialect, asked: Request) -> str | None:
    """The client's path for an upstream's `param`; None where the translator does not know it."""
    if param is None or upstream not in _SETTINGS or asked.dialect not in _TURNS:
        return None
    if param in _SAME:
        return param
    if param == _TURNS[upstream]:
        return _TURNS[asked.dialect]
    if param.startswith(_OUTPUT):
        return asked.output.at if asked.output is not None else None
    if found := _TOOL.match(param):
        return _of_tool(int(found[1]), asked, is_schema=found[2] is not None)
    setting = _SETTINGS[upstream].get(param, "")
    return asked.paths.get(setting) or (asked.paths.get("thinking") if setting == "effort" else None)


def _of_tool(index: int, asked: Request, *, is_schema: bool) -> str | None:
    """Known while all tools are functions: of others some are left out."""
    tools = [tool for tool in asked.tools if isinstance(tool, Tool)]
    if len(tools) != len(asked.tools) or index >= len(tools):
        return None
    return (tools[index].schema_at if is_schema else "") or tools[index].at
