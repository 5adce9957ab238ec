"""Rules that set, overwrite or take out fields of requests. Pure.

Defaults come first, then overrides, then filters, each in the order in which they are written; every rule
that matches is applied, and sees what those before it left.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import cached_property
from typing import Final, Literal, NamedTuple

from llmitm.exchange import Dialect, Headers
from llmitm.shape.splice import Edit, Edits

type When = Literal["before", "after"]

_MOST_KNOWN: Final = 1_000


class Call(NamedTuple):
    """What rules are chosen by, the client's headers aside."""

    when: When
    dialect: Dialect
    """That the body is written in."""
    model: str
    """As the provider spells it; empty where that is not known."""
    asked: str
    """As the client named it; empty where that is not known."""
    provider: str
    endpoint: str
    path: str
    """Without a version: `/chat/completions`; for Gemini its verb, `/generateContent`."""
    is_answer: bool
    """Whether it asks a model for an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One condition, of which a rule has one or more: globs all of which must match. None matches all."""

    name: str | None = None
    asked: str | None = None
    dialect: Dialect | None = None
    provider: str | None = None
    endpoint: str | None = None
    path: str | None = None
    """None: only calls that ask a model for an answer."""
    headers: tuple[tuple[str, str], ...] = ()
    """Of the client: names, and globs of their values."""

    def fits(self, call: Call) -> bool:
        """Whether it matches, its headers aside."""
        if self.dialect is not None and self.dialect is not call.dialect:
            return False
        if self.path is None and not call.is_answer:
            return False
        globs = (
            (self.name, call.model),
            (self.asked, call.asked),
            (self.provider, call.provider),
            (self.endpoint, call.endpoint),
            (self.path, call.path),
        )
        return all(glob is None or _is_like(value, glob) for glob, value in globs)

    def left(self, call: Call, spoken: Sequence[Dialect]) -> str | None:
        """What must be true of a client's request beside this call's names, in words: empty where nothing;
        None where it cannot match. `spoken` are the dialects that the body may be in."""
        if self.dialect is not None and self.dialect not in spoken:
            return None
        named = replace(self, dialect=None, path=None)
        if not named.fits(call._replace(is_answer=True)):
            return None
        words = [] if self.dialect is None or len(spoken) == 1 else [f"in {self.dialect}"]
        words += [] if self.path is None else [f"on {self.path}"]
        return ", ".join([*words, *(f"with {name}: {glob}" for name, glob in self.headers)])

    def fits_headers(self, headers: Headers) -> bool:
        return all(
            any(
                key.lower() == name.lower().encode() and _is_like(value.decode("latin-1"), glob)
                for key, value in headers
            )
            for name, glob in self.headers
        )


def _is_like(value: str, glob: str) -> bool:
    return re.match(translate(glob), value) is not None  # the compiled pattern is kept by `re`


@dataclass(frozen=True, slots=True)
class Rule:
    place: str
    """Where it is written: `payload.override[0]`."""
    when: When
    matches: tuple[Match, ...]
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a call brings into question."""

    rules: tuple[tuple[Rule, tuple[Match, ...]], ...]
    """Each with the conditions one of whose headers must match yet; none where nothing more is asked."""
    edits: Edits | None
    """Of all of them; None where it depends on headers."""

    def of(self, headers: Headers) -> Edits:
        """What is changed for a client with these headers."""
        if self.edits is not None:
            return self.edits
        return Edits(
            [
                edit
                for rule, matches in self.rules
                if not matches or any(match.fits_headers(headers) for match in matches)
                for edit in rule.edits
            ]
        )


@dataclass(frozen=True)
class Rules:
    """All rules of a configuration, in the order in which they are applied."""

    rules: tuple[Rule, ...]
    told: set[tuple[str, str]] = field(default_factory=set, compare=False, repr=False)
    """Places and paths of those that were found not to fit."""
    _known: dict[Call, Chosen] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def moments(self) -> frozenset[When]:
        """When any of them is applied."""
        return frozenset(rule.when for rule in self.rules)

    def chosen(self, call: Call) -> Chosen:
        found = self._known.get(call)
        if found is None:
            found = self._choose(call)
            if len(self._known) < _MOST_KNOWN:  # names of models may come from clients
                self._known[call] = found
        return found

    def explained(self, call: Call, spoken: Mapping[When, Sequence[Dialect]]) -> list[tuple[Rule, str]]:
        """Those that a request may bring into question, in the order in which they are applied, each with
        what must be true of it, in words: empty where nothing."""
        found: list[tuple[Rule, str]] = []
        for rule in sorted(self.rules, key=lambda one: one.when == "after"):
            left = [one.left(call, spoken[rule.when]) for one in rule.matches]
            words = [one for one in left if one is not None]
            if words:
                found.append((rule, "" if "" in words else "; or ".join(words)))
        return found

    def _choose(self, call: Call) -> Chosen:
        found: list[tuple[Rule, tuple[Match, ...]]] = []
        for rule in self.rules:
            fitting = tuple(one for one in rule.matches if one.fits(call))
            if rule.when == call.when and fitting:
                found.append((rule, () if any(not one.headers for one in fitting) else fitting))
        is_sure = not any(matches for _, matches in found)
        edits = Edits([edit for rule, _ in found for edit in rule.edits])
        return Chosen(tuple(found), edits if is_sure else None)
