"""Why an Anthropic message ended. Pure."""

from __future__ import annotations

from typing import Any, Final

from llmitm.translate.neutral import Reason, Stop
from llmitm.translate.reading import text_if

_READ: Final = {
    "end_turn": Reason.STOP,
    "stop_sequence": Reason.STOP_SEQUENCE,
    "max_tokens": Reason.LENGTH,
    "model_context_window_exceeded": Reason.CONTEXT,
    "tool_use": Reason.TOOL_CALLS,
    "refusal": Reason.REFUSAL,
    "pause_turn": Reason.PAUSE,
}
"""Unknown words are a stop."""
_WRITTEN: Final = {
    Reason.STOP_SEQUENCE: "stop_sequence",
    Reason.LENGTH: "max_tokens",
    Reason.CONTEXT: "model_context_window_exceeded",
    Reason.TOOL_CALLS: "tool_use",
    Reason.REFUSAL: "refusal",
    Reason.FILTER: "refusal",
    Reason.RECITATION: "refusal",
    Reason.PAUSE: "pause_turn",
}
"""Others are `end_turn`."""


def read_stop(told: dict[str, Any], *, has_calls: bool) -> Stop:
    """From a message, or the `delta` of a `message_delta`."""
    word = text_if(told.get("stop_reason")) or ""
    reason = _READ.get(word, Reason.STOP)
    if reason is Reason.STOP and has_calls:
        reason = Reason.TOOL_CALLS
    details = told.get("stop_details")
    details = details if isinstance(details, dict) else {}
    return Stop(
        reason=reason,
        sequence=text_if(told.get("stop_sequence")),
        category=text_if(details.get("category")),
        explanation=text_if(details.get("explanation")),
        raw=word,
    )


def write_stop(stop: Stop | None, *, has_refusal: bool) -> dict[str, Any]:
    """`stop_reason`, `stop_sequence` and, where it refused, `stop_details`."""
    word = "end_turn" if stop is None else _WRITTEN.get(stop.reason, "end_turn")
    if has_refusal and word == "end_turn":
        word = "refusal"
    sequence = stop.sequence if stop is not None and word == "stop_sequence" else None
    told: dict[str, Any] = {"stop_reason": word, "stop_sequence": sequence}
    if word == "refusal":
        category = stop.category if stop is not None else None
        explanation = stop.explanation if stop is not None else None
        told["stop_details"] = {"type": "refusal", "category": category, "explanation": explanation}
    return told
