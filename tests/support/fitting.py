"""Requests in neutral words, fitted to one upstream: what comes out, and what is told of it."""

from __future__ import annotations

from typing import Any

from llmitm.exchange import Dialect
from llmitm.translate import models
from llmitm.translate.fit.request import fit
from llmitm.translate.neutral import Part, Request, Role, Text, ToolCall, Turn
from llmitm.translate.notes import Notes, Warned
from llmitm.translate.target import Model, Target

CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI
VENDORS = {CHAT: "openai", RESPONSES: "openai", MESSAGES: "anthropic", GEMINI: "google"}


def target(dialect: Dialect, model: str = "", **facts: Any) -> Target:
    """The vendor's own API, a model of its table or an unknown one; `row` has further cells of it."""
    known: dict[str, Any] = {
        "vendor": VENDORS[dialect],
        "is_openai": dialect in (CHAT, RESPONSES) and "vendor" not in facts,
    }
    row = models.overridden(models.find(model, dialect), model, {"*": facts.pop("row", {})})
    return Target(dialect=dialect, model=model or "m", row=row, **known | facts)


def of_row(dialect: Dialect, row: Model, **facts: Any) -> Target:
    return Target(dialect=dialect, model="m", row=row, vendor=VENDORS[dialect], **facts)


def user(*parts: Part | str, **more: Any) -> Turn:
    return _turn(Role.USER, parts, more)


def assistant(*parts: Part | str, **more: Any) -> Turn:
    return _turn(Role.ASSISTANT, parts, more)


def system(*parts: Part | str, **more: Any) -> Turn:
    return _turn(Role.SYSTEM, parts, more)


def _turn(role: Role, parts: tuple[Part | str, ...], more: dict[str, Any]) -> Turn:
    made = tuple(Text(text=part, at="text") if isinstance(part, str) else part for part in parts)
    return Turn(role=role, parts=made, **{"at": role.value} | more)


def call(call_id: str = "call_1", name: str = "f", args: str = "{}", **more: Any) -> ToolCall:
    return ToolCall(id=call_id, name=name, args=args, **{"at": "call"} | more)


def asked(*turns: Turn, **more: Any) -> Request:
    return Request(model="asked-for", turns=turns or (user("hi"),), **more)


def fitted(request: Request, to: Target) -> tuple[Request, list[str]]:
    """What the writer gets, and all that was told: `lost:seed at seed`."""
    notes = Notes()
    made, _ = fit(request, to, notes)
    return made, told(notes.told)


def told(warned: list[Warned]) -> list[str]:
    return [_words(one) for one in warned]


def _words(one: Warned) -> str:
    change = " ".join(f"{name} {value}" for name, value in one.change)
    return " ".join(filter(None, (one.code, one.at and f"at {one.at}", change)))
