"""The normal form of a reply, and in what two of them differ."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

_BLANK: Final = re.compile(r"\s+")
INVALID: Final = "_invalid_json"


@dataclass(slots=True, kw_only=True)
class Call:
    id: str
    name: str
    arguments: Any
    """As a JSON value; what is no object stands under one name of its own."""


@dataclass(slots=True, kw_only=True)
class Form:
    texts: list[str] = field(default_factory=list)
    refusal: str = ""
    explanation: str = ""
    """Why the vendor refused, where it says so beside the text."""
    reasoning: str = ""
    calls: list[Call] = field(default_factory=list)
    finish: str = "none"
    """stop, tool, length, blocked, other; `none`: the reply does not say."""
    usage: dict[str, int] = field(default_factory=dict)
    """in, out, cached, reasoning: those that are known."""
    images: list[str] = field(default_factory=list)
    """Hashes of their bytes."""
    holds: set[str] = field(default_factory=set)
    """What else is in it: `hosted`, `code`, `citations`, `audio`."""
    code: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def arguments(text: str) -> Any:
    """The arguments of a call as a JSON value, in the form in which objects carry what is none."""
    if not text.strip() or text.strip() == "null":
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {INVALID: text}
    return value if isinstance(value, dict) else {INVALID: text}


def image(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def bare(text: str) -> str:
    return _BLANK.sub("", text)


def finish(word: str, form: Form) -> str:
    """The class: a stop with calls is a tool's, one with a refusal is blocked."""
    if word in ("stop", "tool"):
        if form.calls:
            return "tool"
        return "blocked" if form.refusal else "stop"
    return word


def difference(source: Form, target: Form, lost: set[str], target_has: set[str]) -> str:
    """The first thing that the target's reader learns otherwise; empty where there is none.

    `lost`: what was told of losses. `target_has`: what the target's dialect has a home for.
    """
    if text := _text_difference(source, target, lost):
        return text
    mine = [(call.name, call.arguments) for call in source.calls]
    theirs = [(call.name, call.arguments) for call in target.calls]
    if mine != theirs:
        return f"calls: {mine!r:.300} is {theirs!r:.300}"
    if source.finish != target.finish and not _is_other(source.finish, target.finish):
        return f"finish: {source.finish} is {target.finish}"
    if bare(source.reasoning) != bare(target.reasoning) and not any("reasoning" in one for one in lost):
        return f"reasoning: {_parting(bare(source.reasoning), bare(target.reasoning))}"
    if source.usage and target.usage and (fault := _usage_difference(source.usage, target.usage)):
        return fault
    if source.usage and not target.usage:
        return f"usage: {source.usage} is gone"
    return _loss_difference(source, target, lost, target_has)


def _usage_difference(source: dict[str, int], target: dict[str, int]) -> str:
    """Counts are equal. A host that counts more reasoning than output keeps its output everywhere, while the
    reasoning is no more than that where it is a part of it (Gemini's two counts are added up)."""
    for name, count in source.items():
        heard = target.get(name, 0)
        if heard == count or (count == 0 and name not in ("in", "out")):
            continue
        if name == "reasoning" and heard == source.get("out") and count > heard:
            continue
        return f"usage {name}: {source} is {target}"
    return ""


def _text_difference(source: Form, target: Form, lost: set[str]) -> str:
    mine, theirs = source.text + source.refusal, target.text + target.refusal
    if mine == theirs or (source.explanation and mine + source.explanation == theirs):
        return ""
    if source.code and any("code" in one or "hosted" in one for one in lost):
        at = 0
        for piece in (*source.texts, source.refusal):
            found = theirs.find(piece, at)
            if found < 0:
                return f"text beside code: {piece!r:.200} is not in {theirs!r:.300}"
            at = found + len(piece)
        return ""
    return f"text: {_parting(mine, theirs)}"


def _loss_difference(source: Form, target: Form, lost: set[str], target_has: set[str]) -> str:
    if source.images != target.images and not any("media" in one or "hosted" in one for one in lost):
        return f"images: {source.images} is {target.images}"
    for what in ("hosted", "code"):
        if what in source.holds and not any(what in one or "hosted" in one for one in lost):
            return f"{what} activity is lost and not told"
    if "citations" in source.holds - target.holds and not any("citation" in one for one in lost):
        return "citations are lost and not told"
    if "audio" in source.holds - target.holds and not any("media" in one for one in lost):
        return "audio is lost and not told"
    return ""


def _is_other(source: str, target: str) -> bool:
    """Reasons without a name elsewhere become a plain end."""
    return source in ("other", "none") and target in ("stop", "tool", "other", "none")


def _parting(mine: str, theirs: str) -> str:
    """Where two texts part, with a little of both."""
    at = next((n for n, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), None)
    at = min(len(mine), len(theirs)) if at is None else at
    start = max(0, at - 20)
    return f"at {at} of {len(mine)}/{len(theirs)}: {mine[start : at + 60]!r} is {theirs[start : at + 60]!r}"
