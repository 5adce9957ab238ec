"""A neutral request made fit for one upstream, so that its writer only has to spell it. Pure.

Every field has one fate: carried, adjusted, lost, or refused. What is adjusted or lost is told in `Notes`.
"""

from __future__ import annotations

from dataclasses import replace

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate.fit import amounts
from llmitm.translate.fit.seals import lacks_signature
from llmitm.translate.fit.settings import (
    fit_cache,
    fit_identity,
    fit_marks,
    fit_output,
    fit_settings,
)
from llmitm.translate.fit.tools import Names, fit_choice, fit_tools, names_for
from llmitm.translate.fit.turns import fit_turns
from llmitm.translate.neutral import Request, Thinking, Tool, Turn
from llmitm.translate.notes import Notes
from llmitm.translate.target import Target


def fit(asked: Request, target: Target, notes: Notes) -> tuple[Request, Names]:
    """The request for this upstream, and what its tools are called there.

    Raises:
        Refused: 400, it cannot be said to this upstream, or not without becoming another request.
    """
    for code, at, sentence in asked.refused:
        raise Refused(400, code, f"{at}: {sentence}.", param=at)
    for what, at in asked.lost:
        notes.lost(what, at)
    for what, at in asked.adjusted:
        notes.adjusted(what, at)
    for what, at in asked.noted:
        notes.note(what, at)
    asked = _without_reasoning(asked, target, notes)
    names = names_for(target)
    tools, lost = fit_tools(asked, target, names, notes)
    thinking = _thinking(asked, target, notes)
    choice, tools, gives_way = fit_choice(
        asked,
        tools,
        lost,
        target,
        names,
        notes,
        is_thinking=amounts.is_thinking(thinking, target.row),
    )
    if gives_way:
        thinking = _off(target)
    is_thinking = amounts.is_thinking(thinking, target.row)
    turns = fit_turns(asked, target, names, notes, is_thinking=is_thinking)
    thinking = _possible(thinking, turns, asked, target, notes)
    turns, tools = fit_marks(turns, tools, target, notes)
    has_tools = any(isinstance(tool, Tool) for tool in tools)
    effort = amounts.resolved_effort(asked.thinking, target.row)
    fitted = replace(
        asked,
        model=target.model,
        turns=tuple(turns),
        tools=tools,
        tool_choice=choice,
        settings=fit_settings(asked, target, notes, effort=effort),
        thinking=thinking,
        output=fit_output(asked, target, notes, has_tools=has_tools),
        cache=fit_cache(asked, target, notes),
        identity=fit_identity(asked, target, notes),
    )
    return fitted, names


def _without_reasoning(asked: Request, target: Target, notes: Notes) -> Request:
    """OpenAI's chat API takes no functions while a newer model reasons, and it does so unasked.

    Raises:
        Refused: 400, the client asked for reasoning, or the model cannot do without.
    """
    row = target.row
    needs_none = target.dialect is Dialect.OPENAI_CHAT and target.is_openai and row.tools_need_responses
    if not needs_none or not any(isinstance(tool, Tool) for tool in asked.tools):
        return asked
    if amounts.resolved_effort(asked.thinking, row) == "none":
        return asked
    is_wish = asked.thinking is not None and amounts.word_of(asked.thinking) is not None
    if is_wish or "none" not in row.efforts:
        at = asked.paths.get("effort", asked.paths.get("thinking", "thinking")) if is_wish else "tools"
        sentence = f"{at}: over this API the model takes no tools while it reasons."
        raise Refused(400, "unsupported_by_target", sentence, param=at)
    notes.adjusted("reasoning", "tools", row.default_effort, "none")
    return replace(asked, thinking=Thinking(effort="none"))


def _thinking(asked: Request, target: Target, notes: Notes) -> Thinking | None:
    if asked.thinking is None:
        return None
    most = asked.settings.max_tokens
    return amounts.resolve(
        asked.thinking,
        target.row,
        target.dialect,
        max_tokens=most if isinstance(most, int) and not isinstance(most, bool) else None,
        at=asked.paths.get("thinking", "thinking"),
        effort_at=asked.paths.get("effort"),
        notes=notes,
    )


def _off(target: Target) -> Thinking | None:
    """Nothing said is off, but for models that think by themselves."""
    if amounts.default_effort_is_none(target.row) or target.row.reasoning == "budget":
        return None
    return Thinking(mode="off") if target.row.off == "disabled" else None


def _possible(
    thinking: Thinking | None, turns: list[Turn], asked: Request, target: Target, notes: Notes
) -> Thinking | None:
    """Models with a budget do not think in a tool loop whose thinking was lost on the way."""
    is_budget = thinking is not None and thinking.mode == "on" and thinking.budget_tokens is not None
    if target.dialect is not Dialect.ANTHROPIC_MESSAGES or not is_budget or not lacks_signature(turns):
        return thinking
    notes.adjusted("reasoning-off-missing-signature", asked.paths.get("thinking", "thinking"))
    return None
