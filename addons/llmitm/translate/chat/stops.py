"""Why a chat completion ended. Pure."""

from __future__ import annotations

from typing import Final

from llmitm.translate.neutral import Reason, Stop

_READ: Final = {
    "stop": Reason.STOP,
    "eos": Reason.STOP,
    "eos_token": Reason.STOP,
    "end_turn": Reason.STOP,
    "COMPLETE": Reason.STOP,
    "length": Reason.LENGTH,
    "max_tokens": Reason.LENGTH,
    "model_length": Reason.LENGTH,
    "MAX_TOKENS": Reason.LENGTH,
    "tool_calls": Reason.TOOL_CALLS,
    "function_call": Reason.TOOL_CALLS,
    "content_filter": Reason.FILTER,
    "sensitive": Reason.FILTER,
    "safety": Reason.FILTER,
    "error": Reason.OTHER,
    "insufficient_system_resource": Reason.OTHER,
    "network_error": Reason.OTHER,
    "abort": Reason.OTHER,
}
"""Unknown words are a stop."""
_WRITTEN: Final = {
    Reason.LENGTH: "length",
    Reason.CONTEXT: "length",
    Reason.TOOL_CALLS: "tool_calls",
    Reason.REFUSAL: "content_filter",
    Reason.FILTER: "content_filter",
    Reason.RECITATION: "content_filter",
}
"""Others are `stop`."""


def read_stop(word: str, *, has_calls: bool, sequence: str | None = None) -> Stop:
    """`has_calls`: hosts that say `stop` where there are tool calls. `sequence`: the stop that matched."""
    reason = _READ.get(word, Reason.STOP)
    if reason is Reason.STOP and has_calls:
        reason = Reason.TOOL_CALLS
    elif reason is Reason.STOP and sequence:
        reason = Reason.STOP_SEQUENCE
    return Stop(reason=reason, sequence=sequence, raw=word)


def write_stop(stop: Stop | None, *, is_legacy: bool = False) -> str:
    if stop is None:
        return "stop"
    if stop.reason is Reason.TOOL_CALLS and is_legacy:
        return "function_call"
    return _WRITTEN.get(stop.reason, "stop")
