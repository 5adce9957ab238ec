"""A script in a prompt: what the demonstration provider does, step by step, with the client's own tools.

It stands anywhere in what the user says, as `demo-script: [STEP, ...]` in JSON. A step is a call of a tool,
`{"call": NAME, "arguments": {...}}`, a list of calls that are made at once, or `{"say": TEXT}`. A tool whose
input is a text has it as `"arguments": TEXT`. The results that came back since tell which step is next.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

MARK: Final = "demo-script:"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that the script wants. Arguments that it does not give are made to fit the tool's schema."""

    name: str
    arguments: dict[str, Any] | str


@dataclass(frozen=True, slots=True)
class Step:
    """What comes next: calls, or words; neither where the script is over."""

    calls: tuple[Wanted, ...] = ()
    text: str = ""


def next_step(turns: Iterable[tuple[str, str]]) -> Step | None:
    """The step that a conversation has come to, given role and text of its turns; None without a script.

    Of several scripts the last counts.

    Raises:
        ValueError: the script cannot be read.
    """
    script: str | None = None
    results = 0
    for role, text in turns:
        if role == "user" and MARK in text:
            script, results = text.rpartition(MARK)[2], 0
        results += role == "tool"
    if script is None:
        return None
    for step in read(script):
        if results < max(1, len(step.calls)):
            return step
        results -= len(step.calls)
    return Step()


def read(text: str) -> list[Step]:
    """The steps of a script; what follows its last bracket is nothing of it.

    Raises:
        ValueError: it is not written as told above.
    """
    try:
        steps, _ = json.JSONDecoder().raw_decode(text.lstrip())
        return [_step(one) for one in steps]
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"a {MARK.rstrip(':')} is a list of calls and words in JSON") from None


def _step(told: Any) -> Step:
    if isinstance(told, dict) and "say" in told:
        return Step(text=str(told["say"]))
    calls = told if isinstance(told, list) else [told]
    return Step(calls=tuple(Wanted(one["call"], one.get("arguments", {})) for one in calls))
