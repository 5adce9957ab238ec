"""How much reasoning, in the words of the model that is to do it. Pure.

Clients say an amount as an effort, a budget of tokens or a switch; each family of models takes one of
these. Within one style a wish is carried and held to the row: the highest allowed value not above it, else
the lowest. Whoever wants some reasoning is never given `none`. What comes out is, by style of the target:

    chat, responses    effort
    toggle             mode on or off, effort where the row has any, budget_tokens where it counts them
    adaptive           mode adaptive, off or between_tools, and effort
    budget (messages)  mode on with budget_tokens, or mode off
    level (gemini)     effort
    budget (gemini)    budget_tokens, a number or `dynamic`

`show` stays as it was asked, unless there is nothing to be shown. None: nothing is said about reasoning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from llmitm.exchange import Dialect
from llmitm.translate.neutral import Thinking
from llmitm.translate.notes import Notes
from llmitm.translate.target import Model

ORDER: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
BUDGETS: Final = {"minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576, "xhigh": 32_768}
"""`max` is the row's own maximum."""
_WORDS: Final = ((2_048, "low"), (16_384, "medium"), (32_768, "high"))
"""Budgets below the number; all others are `xhigh`."""
LEAST_LIMIT: Final = 1_280
"""A reply's limit below it leaves no room for thinking."""


def word_of(asked: Thinking) -> str | None:
    """The amount as an effort; None: the model's own default."""
    match asked:
        case Thinking(mode="off" | "between_tools"):
            return "none"
        case Thinking(effort=str() as effort):
            return effort
        case Thinking(budget_tokens=int() as budget) if budget >= 0:
            return _word(budget)
        case _:
            return None


def _word(budget: int) -> str:
    if not budget:
        return "none"
    return next((word for most, word in _WORDS if budget < most), "xhigh")


def clamped(word: str, allowed: Sequence[str]) -> str:
    """The highest allowed word not above this one, else the lowest. Unknown words are the upstream's."""
    if not allowed or word in allowed or word not in ORDER:
        return word
    some = sorted((one for one in allowed if one in ORDER and one != "none"), key=ORDER.index)
    below = [one for one in some if ORDER.index(one) <= ORDER.index(word)]
    return below[-1] if below else next(iter(some), word)


def resolved_effort(asked: Thinking | None, row: Model) -> str | None:
    """The effort that will be in force, also where nothing is said; None: unknown."""
    word = word_of(asked) if asked else None
    if word is None:
        return row.default_effort
    if word == "none" and row.off not in ("cannot", "minimal"):
        return word
    return clamped(word, row.efforts)


def default_effort_is_none(row: Model) -> bool:
    return row.default_effort == "none"


def is_thinking(resolved: Thinking | None, row: Model) -> bool:
    """Whether the model reasons, given what `resolve` made."""
    if row.reasoning == "none":
        return False
    match resolved:
        case Thinking(mode="off") | Thinking(budget_tokens=0) | Thinking(effort="none"):
            return False
        case Thinking(mode=None, effort=None, budget_tokens=None) | None:
            return row.reasoning != "unknown" and not default_effort_is_none(row)
        case _:
            return True


def resolve(
    asked: Thinking,
    row: Model,
    dialect: Dialect,
    *,
    max_tokens: int | None,
    at: str,
    effort_at: str | None = None,
    notes: Notes,
) -> Thinking | None:
    """What was asked, as this model is told. `max_tokens`: the limit of the reply, None where none is set.

    `effort_at`: where the client said an effort, if not at the place of all that it said.
    """
    if asked.budget_tokens is not None and asked.budget_tokens != "dynamic" and asked.budget_tokens < 0:
        asked = replace(asked, budget_tokens="dynamic")
    if dialect is Dialect.ANTHROPIC_MESSAGES and max_tokens is None:
        max_tokens = row.limit_unasked
    wish = _Wish(asked, row, max_tokens, at, effort_at or at, notes)
    return _style(dialect, row)(wish)


@dataclass(frozen=True, slots=True)
class _Wish:
    asked: Thinking
    row: Model
    limit: int | None
    at: str
    effort_at: str
    notes: Notes

    @property
    def word(self) -> str | None:
        return word_of(self.asked)

    @property
    def has_amount(self) -> bool:
        asked = self.asked
        return not (asked.effort is None and asked.budget_tokens is None and asked.mode is None)

    def shown(self, thinking: Thinking | None = None) -> Thinking | None:
        """With what the client wants to see of it; None where that says nothing at all."""
        show = None if self.asked.show == "none" else self.asked.show
        made = replace(thinking or Thinking(), show=show, show_word=self.asked.show_word if show else None)
        return made if made != Thinking() else None

    def effort(self, word: str, allowed: Sequence[str]) -> str:
        """The word held to these, and told where it is another."""
        made = clamped(word, allowed)
        self.tell(word, made)
        return made

    def tell(self, was: str, now: str) -> None:
        if was != now:
            at = self.effort_at if was == self.asked.effort else self.at
            self.notes.adjusted("effort", at, was, now)

    def is_known(self, word: str) -> bool:
        """Whether this word is an amount; else it is lost."""
        if word not in ORDER:
            self.notes.lost("effort", self.effort_at)
        return word in ORDER


type _Style = Callable[[_Wish], Thinking | None]


def _style(dialect: Dialect, row: Model) -> _Style:
    match dialect, row.reasoning:
        case _, "none":
            return _unheard
        case Dialect.OPENAI_CHAT, "toggle":
            return _toggle
        case Dialect.OPENAI_CHAT | Dialect.OPENAI_RESPONSES, _:
            return _effort
        case Dialect.ANTHROPIC_MESSAGES, "adaptive":
            return _adaptive
        case Dialect.ANTHROPIC_MESSAGES, _:
            return _budget
        case _, "budget":
            return _gemini_budget
        case _:
            return _level


def _unheard(wish: _Wish) -> Thinking | None:
    if wish.has_amount and wish.word != "none":
        wish.notes.lost("reasoning", wish.at)
    elif wish.has_amount or wish.asked.show not in (None, "none"):
        wish.notes.note("reasoning", wish.at)
    return None


# ---- over chat and responses


def _effort(wish: _Wish) -> Thinking | None:
    word = wish.word
    if word is None:
        return wish.shown()
    made = wish.effort(word, wish.row.efforts if wish.row.reasoning == "effort" else ())
    return Thinking(effort=made) if made == "none" else wish.shown(Thinking(effort=made))


def _toggle(wish: _Wish) -> Thinking | None:
    word, row = wish.word, wish.row
    if not wish.has_amount:
        return None
    if word == "none" and row.off != "cannot":
        return Thinking(mode="off")
    effort = None
    if row.efforts and word is not None and wish.is_known(word):
        effort = wish.effort(word, row.efforts)
    asked = wish.asked.budget_tokens
    budget = asked if row.off == "toggle" and isinstance(asked, int) and asked > 0 else None
    return wish.shown(Thinking(mode="on", effort=effort, budget_tokens=budget))


# ---- over messages


def _adaptive(wish: _Wish) -> Thinking | None:
    word, row = wish.word, wish.row
    if not wish.has_amount:
        return _only_shown(wish, Thinking(mode="adaptive"))
    if word == "none":
        return _adaptive_off(wish)
    if word is None or not wish.is_known(word):
        return wish.shown(Thinking(mode="adaptive"))
    return wish.shown(Thinking(mode="adaptive", effort=wish.effort(word, row.efforts)))


def _only_shown(wish: _Wish, thinking: Thinking) -> Thinking | None:
    """To show thinking, thinking must be named: only where the model thinks anyway."""
    if wish.asked.show in (None, "none"):
        return None
    if not default_effort_is_none(wish.row) and wish.row.reasoning == "adaptive":
        return wish.shown(thinking)
    wish.notes.note("reasoning", wish.at)
    return None


def _adaptive_off(wish: _Wish) -> Thinking | None:
    row = wish.row
    match row.off:
        case "cannot":
            return wish.shown(Thinking(mode="adaptive", effort=wish.effort("none", row.efforts or ("low",))))
        case "between_tools":
            if wish.asked.mode != "between_tools":
                wish.notes.note("reasoning", wish.at)
            return wish.shown(Thinking(mode="between_tools", effort=_effort_beside_off(wish)))
        case _:
            return Thinking(mode="off", effort=_effort_beside_off(wish))


def _effort_beside_off(wish: _Wish) -> str | None:
    """An effort that a client said beside switching thinking off: it rules the answer too."""
    effort = wish.asked.effort
    if effort is None or effort == "none" or effort not in ORDER:
        return None
    most = wish.row.off_max_effort
    words = wish.row.efforts or ORDER[1:]
    return wish.effort(effort, [one for one in words if most is None or _is_up_to(one, most)])


def _is_up_to(word: str, most: str) -> bool:
    return word in ORDER and ORDER.index(word) <= ORDER.index(most)


def _budget(wish: _Wish) -> Thinking | None:
    if not wish.has_amount:
        return _only_shown(wish, Thinking(mode="on"))
    if _is_off(wish.asked):
        return Thinking(mode="off")
    if wish.asked.mode == "adaptive" and wish.row.reasoning != "budget" and wish.asked.budget_tokens is None:
        return wish.shown(Thinking(mode="adaptive"))
    tokens = _tokens(wish, max(wish.row.budget_min, 1_024))
    if tokens == "dynamic":  # it has no such form, and is silent about thinking by default
        tokens = BUDGETS["medium"]
        wish.notes.adjusted("reasoning", wish.at, "dynamic", tokens)
    made = _within_limit(wish, tokens) if tokens else None
    return wish.shown(Thinking(mode="on", budget_tokens=made)) if made else None


# ---- over gemini


def _level(wish: _Wish) -> Thinking | None:
    word, row = wish.word, wish.row
    if word is None or not wish.is_known(word):
        return wish.shown()
    words = row.efforts or ("minimal", "low", "medium", "high")
    if word == "none" and "minimal" in words:
        return Thinking(effort="minimal")
    return wish.shown(Thinking(effort=wish.effort(word, words)))


def _gemini_budget(wish: _Wish) -> Thinking | None:
    row = wish.row
    if not wish.has_amount:
        return wish.shown()
    if _is_off(wish.asked):
        if row.off != "cannot":
            return Thinking(budget_tokens=0)
        wish.notes.adjusted("reasoning", wish.at, 0, row.budget_min)
        return wish.shown(Thinking(budget_tokens=row.budget_min))
    tokens = _tokens(wish, row.budget_min)
    if tokens is None or tokens == "dynamic":
        return wish.shown(Thinking(budget_tokens=tokens))
    made = _within_limit(wish, tokens)
    return wish.shown(Thinking(budget_tokens=made)) if made else None


# ---- budgets


def _is_off(asked: Thinking) -> bool:
    """For targets that count tokens: a budget wins over an effort."""
    if asked.mode in ("off", "between_tools"):
        return True
    return asked.budget_tokens == 0 if asked.budget_tokens is not None else asked.effort == "none"


def _tokens(wish: _Wish, least: int) -> int | Literal["dynamic"] | None:
    """The budget that the row allows; None: the wish is no amount."""
    asked, row = wish.asked, wish.row
    most = row.budget_max if row.reasoning == "budget" else None
    match asked:
        case Thinking(budget_tokens=int() as tokens):
            pass
        case Thinking(budget_tokens="dynamic"):
            return "dynamic"
        case Thinking(effort=str() as effort):
            if not wish.is_known(effort):
                return None
            tokens = BUDGETS.get(effort, row.budget_max)
        case _:
            return "dynamic"
    made = max(tokens, least)
    made = min(made, most) if most else made
    if made != tokens:
        wish.notes.adjusted("reasoning", wish.at, tokens, made)
    return made


def _within_limit(wish: _Wish, tokens: int) -> int | None:
    """The budget within the client's limit, which is hard; None where that leaves no room."""
    if wish.limit is None:
        return tokens
    if wish.limit < LEAST_LIMIT:
        wish.notes.adjusted("reasoning", wish.at, tokens, 0)
        return None
    room = max(wish.limit * 80 // 100, 1_024)
    if room >= tokens:
        return tokens
    if isinstance(wish.asked.budget_tokens, int):
        wish.notes.adjusted("reasoning", wish.at, tokens, room)
    else:
        wish.notes.note("reasoning", wish.at)
    return room
