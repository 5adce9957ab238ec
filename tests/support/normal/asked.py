"""The normal form of a request, and in what two of them differ."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import orjson

from support.normal.form import bare
from support.normal.schemas import Shape

_LABEL: Final = re.compile(r"\[mediaoftoolresult[^\]]*\]")
_CODE: Final = re.compile(r"```.*?```")
type Side = Literal["client", "model"]


@dataclass(slots=True, kw_only=True)
class Turn:
    side: Side
    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    results: list[tuple[int, Any]] = field(default_factory=list)
    """Which call of the conversation it answers, counted from 0, -1 for none; and what it says."""
    media: list[str] = field(default_factory=list)
    """Of results as well: some APIs take none there."""

    @property
    def is_empty(self) -> bool:
        return not (self.text or self.calls or self.results or self.media)


@dataclass(slots=True, kw_only=True)
class ToolForm:
    name: str
    description: str
    shape: Shape


@dataclass(slots=True, kw_only=True)
class Asked:
    system: str = ""
    turns: list[Turn] = field(default_factory=list)
    tools: list[ToolForm] = field(default_factory=list)
    choice: str = "auto"
    """auto, none, any, `one:<name>`, hosted."""
    is_serial: bool = False
    """No parallel calls."""
    settings: dict[str, Any] = field(default_factory=dict)
    """max, temperature, top_p, stop: those that were said."""
    output: str | Shape = "text"
    """text, json, or a schema."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a target did openly, and what is therefore read alike on both sides."""

    system_as_user: bool = False
    documents_as_text: bool = False
    without_media: bool = False


def value(said: Any) -> Any:
    """What a result says: JSON where it is JSON, wrappers taken off, text without white space."""
    if isinstance(said, str):
        try:
            said = orjson.loads(said)
        except orjson.JSONDecodeError:
            return bare(said)
        if isinstance(said, str):
            return bare(said)
    if isinstance(said, dict) and len(said) == 1:
        ((name, only),) = said.items()
        if name in ("output", "error") and isinstance(only, str):
            return value(only)
    return said


class Conversation:
    """Adds up turns as they are read: neighbours of one side are one, results find their calls."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.asked = Asked()
        self._calls: list[tuple[str, str, int]] = []
        """Id, name and number of the model's turn."""
        self._answered: set[int] = set()
        self._system: list[str] = []

    def system(self, text: str, *, is_later: bool = False) -> None:
        if is_later and self.reading.system_as_user and self.asked.turns:
            self.turn("client").text += bare(text)
        else:
            self.asked.system += bare(text)

    def turn(self, side: Side) -> Turn:
        turns = self.asked.turns
        if turns and turns[-1].is_empty:
            turns.pop()
        if not turns or turns[-1].side != side:
            turns.append(Turn(side=side))
        return turns[-1]

    def text(self, side: Side, text: str) -> None:
        if bare(text):
            turn = self.turn(side)
            turn.text = _LABEL.sub("", turn.text + bare(text))

    def media(self, side: Side, what: str) -> None:
        if not self.reading.without_media:
            self.turn(side).media.append(what)

    def document(self, side: Side, text: str, what: str) -> None:
        """A document that is text."""
        if self.reading.documents_as_text:
            self.text(side, text)
        else:
            self.media(side, what)

    def call(self, id: str, name: str, arguments: Any) -> None:
        turn = self.turn("model")
        turn.calls.append((name, arguments))
        self._calls.append((id, name, len(self.asked.turns)))

    def result(self, id: str, name: str, said: Any, *, by_name: bool = False) -> None:
        turn = self.turn("client")
        at = self._by_name(name) if by_name else self._by_id(id)
        self._answered.add(at)
        turn.results.append((at, value(said)))

    def _by_id(self, id: str) -> int:
        places = [at for at, call in enumerate(self._calls) if call[0] == id]
        return places[-1] if places else -1

    def _by_name(self, name: str) -> int:
        """The first call of that name without an answer, in the latest turn that has one."""
        free = [
            (turn, at)
            for at, (_, one, turn) in enumerate(self._calls)
            if one == name and at not in self._answered
        ]
        latest = max((turn for turn, _ in free), default=0)
        return next((at for turn, at in free if turn == latest), -1)

    def done(self) -> Asked:
        self.asked.turns = [turn for turn in self.asked.turns if not turn.is_empty]
        for turn in self.asked.turns:
            turn.results.sort(key=lambda one: one[0])
            turn.media.sort()
        return self.asked


# ---- differences

_EXCUSES: Final = {
    "max": ("max_tokens", "max-tokens"),
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "stop": ("stop", "stop-truncated", "stop-blank"),
}


def request_difference(mine: Asked, theirs: Asked, told: set[str]) -> str:
    """The first thing that the second says otherwise; empty where there is none. `told`: all codes."""
    return (
        _turns_difference(mine, theirs, told)
        or _tools_difference(mine, theirs, told)
        or _settings_difference(mine, theirs, told)
    )


def _turns_difference(mine: Asked, theirs: Asked, told: set[str]) -> str:
    if "system-as-user" in told:
        one, other = (side.system + "".join(turn.text for turn in side.turns) for side in (mine, theirs))
        return "" if one == other else f"texts: {one!r:.200} is {other!r:.200}"
    if "tool-result-repeated" in told:
        mine = _last_results(mine)
    if mine.system != theirs.system:
        return f"system: {mine.system!r:.200} is {theirs.system!r:.200}"
    if [turn.side for turn in mine.turns] != [turn.side for turn in theirs.turns]:
        sides = "".join(turn.side[0] for turn in mine.turns), "".join(turn.side[0] for turn in theirs.turns)
        return f"turns: {sides[0]} is {sides[1]}"
    for at, (one, other) in enumerate(zip(mine.turns, theirs.turns, strict=True)):
        for name in ("text", "calls", "results", "media"):
            said, heard = getattr(one, name), getattr(other, name)
            if name == "text" and "hosted-as-text" in told:
                said, heard = _CODE.sub("", said), _CODE.sub("", heard)
            if said != heard:
                return f"turn {at} {name}: {said!r:.250} is {heard!r:.250}"
    return ""


def _last_results(asked: Asked) -> Asked:
    """Of the results of one call the last one, in the place of the first."""
    last = {at: said for turn in asked.turns for at, said in turn.results if at >= 0}
    seen: set[int] = set()
    turns: list[Turn] = []
    for turn in asked.turns:
        results = [(at, last.get(at, said)) for at, said in turn.results if at not in seen]
        seen.update(at for at, _ in results if at >= 0)
        kept = replace(turn, results=results)
        if turns and turns[-1].side == kept.side and not kept.is_empty:
            kept = _one_turn(turns.pop(), kept)
        turns += [] if kept.is_empty else [kept]
    return replace(asked, turns=turns)


def _one_turn(one: Turn, other: Turn) -> Turn:
    return Turn(
        side=one.side,
        text=one.text + other.text,
        calls=one.calls + other.calls,
        results=one.results + other.results,
        media=one.media + other.media,
    )


def _tools_difference(mine: Asked, theirs: Asked, told: set[str]) -> str:
    names = [tool.name for tool in mine.tools], [tool.name for tool in theirs.tools]
    if names[0] != names[1] and not {"tool-name", "tool-choice"} & told:
        return f"tools: {names[0]} is {names[1]}"
    for one, other in zip(mine.tools, theirs.tools, strict=False):
        if one.name != other.name:
            continue
        if not other.description.startswith(one.description):
            return f"tool {one.name} description: {one.description!r:.100} is {other.description!r:.100}"
        if fault := one.shape.difference(other.shape):
            return f"tool {one.name}: {fault}"
    if not mine.tools:
        return ""
    if mine.choice != theirs.choice and not {"tool-choice", "tool-name"} & told and mine.choice != "hosted":
        return f"tool choice: {mine.choice} is {theirs.choice}"
    if mine.is_serial != theirs.is_serial and not any("parallel" in one for one in told):
        return f"parallel calls off: {mine.is_serial} is {theirs.is_serial}"
    return ""


def _settings_difference(mine: Asked, theirs: Asked, told: set[str]) -> str:
    for name, excuses in _EXCUSES.items():
        said, heard = mine.settings.get(name), theirs.settings.get(name)
        if said != heard and not told & set(excuses) and not (name == "max" and said is None):
            return f"{name}: {said!r} is {heard!r}"
    if {"schema", "schema-root", "json-mode"} & told:
        return ""
    if isinstance(mine.output, Shape) and isinstance(theirs.output, Shape):
        fault = mine.output.difference(theirs.output)
        return f"output: {fault}" if fault else ""
    return "" if mine.output == theirs.output else f"output: {mine.output!r:.100} is {theirs.output!r:.100}"
