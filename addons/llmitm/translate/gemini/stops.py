"""Why a candidate of Gemini's ended. Pure."""

from __future__ import annotations

from typing import Any, Final, TypeGuard

from llmitm.translate.neutral import Reason, Stop

_READ: Final = {
    "STOP": Reason.STOP,
    "MAX_TOKENS": Reason.LENGTH,
    "CONTINUATION": Reason.LENGTH,
    "SAFETY": Reason.FILTER,
    "BLOCKLIST": Reason.FILTER,
    "PROHIBITED_CONTENT": Reason.FILTER,
    "SPII": Reason.FILTER,
    "LANGUAGE": Reason.FILTER,
    "MODEL_ARMOR": Reason.FILTER,
    "IMAGE_SAFETY": Reason.FILTER,
    "IMAGE_PROHIBITED_CONTENT": Reason.FILTER,
    "RECITATION": Reason.RECITATION,
    "IMAGE_RECITATION": Reason.RECITATION,
    "MALFORMED_FUNCTION_CALL": Reason.MALFORMED_CALL,
    "UNEXPECTED_TOOL_CALL": Reason.MALFORMED_CALL,
    "TOO_MANY_TOOL_CALLS": Reason.MALFORMED_CALL,
    "MALFORMED_RESPONSE": Reason.MALFORMED_CALL,
    "MISSING_THOUGHT_SIGNATURE": Reason.MALFORMED_CALL,
}
"""Unknown words are `other`: never a success."""
_BLOCK_REASONS: Final = frozenset(
    {"SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "MODEL_ARMOR", "JAILBREAK"}
)
_NUMBERS: Final = (
    "FINISH_REASON_UNSPECIFIED",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "IMAGE_SAFETY",
)
"""Some proxies write enumerations as the numbers that they have in the protocol."""
_WRITTEN: Final = {
    Reason.LENGTH: "MAX_TOKENS",
    Reason.CONTEXT: "MAX_TOKENS",
    Reason.REFUSAL: "SAFETY",
    Reason.FILTER: "SAFETY",
    Reason.RECITATION: "RECITATION",
    Reason.MALFORMED_CALL: "MALFORMED_FUNCTION_CALL",
    Reason.OTHER: "OTHER",
}
"""Others are `STOP`."""


def finish_word(value: Any) -> str | None:
    """The word that a candidate gives, also where it is a number; None where there is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _NUMBERS[value] if 0 <= value < len(_NUMBERS) else str(value)
    return value.upper() if isinstance(value, str) and value else None


def read_stop(word: str | None, *, has_calls: bool, message: Any = None) -> Stop:
    """`word` None: a whole reply that does not say. Calls are told by the parts alone."""
    reason = Reason.STOP if word is None else _READ.get(word, Reason.OTHER)
    if reason is Reason.STOP and has_calls:
        reason = Reason.TOOL_CALLS
    is_blocked = reason in (Reason.FILTER, Reason.RECITATION)
    explanation = message if is_blocked and isinstance(message, str) and message else None
    return Stop(reason=reason, explanation=explanation, raw=word)


def write_stop(stop: Stop | None, *, has_refusal: bool = False) -> str:
    """Gemini's own word where it was one, with the same meaning. `has_refusal`: the model said no in words,
    which other dialects tell apart from text."""
    word = "STOP" if stop is None else _WRITTEN.get(stop.reason, "STOP")
    if word == "STOP" and has_refusal:
        return "SAFETY"
    if stop is None or stop.raw not in _READ:
        return word
    return stop.raw if _READ[stop.raw] is _READ.get(word) else word


def blocked_prompt(stop: Stop) -> dict[str, str]:
    """`promptFeedback` of a prompt that was answered with nothing."""
    return {"blockReason": stop.raw if stop.raw in _BLOCK_REASONS else "OTHER"}


def is_block(stop: Stop | None) -> TypeGuard[Stop]:
    """Whether an answer that ended so, and holds nothing, is told as a prompt that was blocked."""
    return stop is not None and stop.reason in (Reason.REFUSAL, Reason.FILTER)
