"""Reasoning in history: what goes back to its maker, and what is left out. Pure.

A seal goes to the vendor that made it, byte-equal, and to nobody else; what can be read goes only to hosts
that want it back. Readable reasoning never becomes text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from llmitm.exchange import Dialect
from llmitm.translate.neutral import (
    Part,
    Reasoning,
    Role,
    Sealed,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from llmitm.translate.notes import Notes
from llmitm.translate.target import Target

SKIP_SIGNATURE: Final = "skip_thought_signature_validator"
"""Google documents it for function calls of histories that were made elsewhere."""


def is_own(sealed: Sealed | None, target: Target) -> bool:
    """Whether this upstream made the seal, and with this account as far as is known."""
    if sealed is None or sealed.data is None or sealed.vendor != target.vendor:
        return False
    return sealed.scope is None or target.scope is None or sealed.scope == target.scope


def running_from(turns: Sequence[Turn]) -> int:
    """The index of the first turn of the running tool loop: the one after the last that a user wrote."""
    for index in reversed(range(len(turns))):
        turn = turns[index]
        if turn.role is Role.USER and any(not isinstance(part, ToolResult) for part in turn.parts):
            return index + 1
    return 0


def fit_reasoning(turn: Turn, target: Target, notes: Notes, *, is_running: bool) -> Turn:
    """An assistant turn with the reasoning that this upstream may see.

    `is_running`: the turn belongs to the running tool loop, where a loss matters.
    """
    parts: list[Part] = []
    waiting: Sealed | None = None
    """A seal of Google's that belongs to the part after it."""
    loose = _by_call(turn, target)
    if _is_torn(turn, target):
        turn = replace(turn, parts=tuple(map(_unsealed, turn.parts)))
    for part in turn.parts:
        match part:
            case Reasoning():
                kept, seal = _reasoning(part, target, notes, is_running=is_running)
                if kept is not None:
                    parts.append(kept)
                waiting = seal or waiting
            case ToolCall():
                seal = part.sealed if is_own(part.sealed, target) else loose.get(part.id)
                if part.sealed is not None and seal is None:
                    _tell(notes, part.at, is_running=is_running)
                if seal is None and waiting is not None:
                    seal, waiting = waiting, None
                parts.append(replace(part, sealed=seal))
            case Text():
                seal = part.sealed if is_own(part.sealed, target) else None
                if seal is None and waiting is not None:
                    seal, waiting = waiting, None
                parts.append(replace(part, sealed=seal))
            case _:
                parts.append(part)
    if waiting is not None:
        _attach_back(parts, waiting)
    if target.dialect is Dialect.OPENAI_RESPONSES:
        parts = _followed(parts, target)
    return replace(turn, parts=tuple(parts))


def _followed(parts: list[Part], target: Target) -> list[Part]:
    """Without reasoning that the item is gone which it belongs to: OpenAI refuses it. What stands directly
    before other reasoning belonged to the work of a hosted tool. Openrouter's may come last."""
    if target.is_openrouter:
        return parts
    while parts and isinstance(parts[-1], Reasoning):
        parts = parts[:-1]
    if target.vendor != "openai":
        return parts
    return [
        part for n, part in enumerate(parts) if not all(map(_is_reasoning, (part, *parts[n + 1 : n + 2])))
    ]


def _is_reasoning(part: Part) -> bool:
    return isinstance(part, Reasoning)


def _is_torn(turn: Turn, target: Target) -> bool:
    """Whether some of Anthropic's thinking lost its signature: its blocks go back all or none."""
    if target.dialect is not Dialect.ANTHROPIC_MESSAGES:
        return False
    thoughts = [part for part in turn.parts if isinstance(part, Reasoning)]
    has_own = any(is_own(part.sealed, target) for part in thoughts)
    return has_own and any(part.sealed is None and part.readable for part in thoughts)


def _unsealed(part: Part) -> Part:
    return replace(part, sealed=None) if isinstance(part, Reasoning) else part


def _by_call(turn: Turn, target: Target) -> dict[str, Sealed]:
    """Google's seals that came in other parts, by the call that they belong to."""
    return {
        part.sealed.ref: part.sealed
        for part in turn.parts
        if isinstance(part, Reasoning)
        and part.sealed is not None
        and part.sealed.ref
        and is_own(part.sealed, target)
    }


def _attach_back(parts: list[Part], sealed: Sealed) -> None:
    """A seal with nothing after it is that of the text before it."""
    for index in reversed(range(len(parts))):
        part = parts[index]
        if isinstance(part, Text) and part.sealed is None:
            parts[index] = replace(part, sealed=sealed)
            return
    parts.append(Text(text="", sealed=sealed))


def _reasoning(
    part: Reasoning, target: Target, notes: Notes, *, is_running: bool
) -> tuple[Reasoning | None, Sealed | None]:
    """The part as it goes on, or None; and a seal of Google's for the part that follows."""
    sealed = part.sealed
    if sealed is not None and is_own(sealed, target):
        if target.dialect is Dialect.GEMINI:
            if sealed.ref:
                return None, None  # the call takes it
            return (part, None) if part.readable else (None, sealed)
        if target.dialect is not Dialect.OPENAI_CHAT or target.is_openrouter:
            return part, None
    if target.row.sends_back_reasoning and part.readable and is_running:
        return replace(part, sealed=None), None
    if sealed is None or sealed.data is not None or is_running:
        _tell(notes, part.at, is_running=is_running)
    return None, None


def _tell(notes: Notes, at: str, *, is_running: bool) -> None:
    if is_running:
        notes.lost("foreign-reasoning", at)
    else:
        notes.note("foreign-reasoning", at)


def with_needed_signatures(turns: list[Turn], target: Target, notes: Notes) -> list[Turn]:
    """Gemini 3 and later refuse a step of the running loop whose first call has no signature."""
    if not target.row.needs_signatures:
        return turns
    first = running_from(turns)
    made = list(turns)
    for index in range(first, len(turns)):
        turn = turns[index]
        if turn.role is not Role.ASSISTANT:
            continue
        place = next((n for n, part in enumerate(turn.parts) if isinstance(part, ToolCall)), None)
        if place is None:
            continue
        call = turn.parts[place]
        assert isinstance(call, ToolCall)
        if call.sealed is None:
            notes.adjusted("gemini-dummy-signature", call.at)
            dummy = Sealed(vendor="google", kind="part", data=SKIP_SIGNATURE)
            signed = replace(call, sealed=dummy)
            made[index] = replace(turn, parts=(*turn.parts[:place], signed, *turn.parts[place + 1 :]))
    return made


def lacks_signature(turns: Sequence[Turn]) -> bool:
    """Whether the last turn answers calls of a turn that has no signed thinking: models with a budget
    refuse to think then."""
    if len(turns) < 2 or not any(isinstance(part, ToolResult) for part in turns[-1].parts):
        return False
    return not any(isinstance(part, Reasoning) for part in turns[-2].parts)
