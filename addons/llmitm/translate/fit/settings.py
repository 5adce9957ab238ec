"""Sampling, limits, structured output, caching and identity, as a target takes them. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, Final

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate.fit.schemas import NotOfObjects, fit_schema
from llmitm.translate.fit.tools import column
from llmitm.translate.neutral import (
    Cache,
    CacheConfig,
    Identity,
    Media,
    Output,
    Part,
    Request,
    Settings,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from llmitm.translate.neutral import HostedTool as Hosted
from llmitm.translate.notes import Notes
from llmitm.translate.target import Target

_CHAT: Final = Dialect.OPENAI_CHAT
_RESPONSES: Final = Dialect.OPENAI_RESPONSES
_MESSAGES: Final = Dialect.ANTHROPIC_MESSAGES
_GEMINI: Final = Dialect.GEMINI
_OPENAI: Final = frozenset({_CHAT, _RESPONSES})
_TAKEN: Final[dict[str, frozenset[Dialect]]] = {
    "temperature": frozenset(Dialect),
    "top_p": frozenset(Dialect),
    "top_k": frozenset({_CHAT, _MESSAGES, _GEMINI}),
    "seed": frozenset({_CHAT, _GEMINI}),
    "presence": frozenset({_CHAT, _GEMINI}),
    "frequency": frozenset({_CHAT, _GEMINI}),
    "logprobs": frozenset({_CHAT, _RESPONSES, _GEMINI}),
    "top_logprobs": frozenset({_CHAT, _RESPONSES, _GEMINI}),
    "verbosity": _OPENAI,
}
_MAKES_SEVERAL: Final = frozenset({_CHAT, _GEMINI})
_MOST_STOPS: Final = {_CHAT: 4, _GEMINI: 5}
_LEAST_RESPONSES_TOKENS: Final = 16
_MOST_CACHE_MARKS: Final = 4
_MOST_USER_SIGNS: Final = {_MESSAGES: 256, _RESPONSES: 128, _CHAT: 128}
_INT32: Final = range(-(2**31), 2**31)


def fit_settings(asked: Request, target: Target, notes: Notes, *, effort: str | None) -> Settings:
    """`effort`: the one that will be in force, None where unknown.

    Raises:
        Refused: 400, several choices of an API that makes one.
    """
    told, paths = asked.settings, asked.paths
    changes: dict[str, Any] = {}
    _fit_n(told, asked, target, changes)
    for name in _TAKEN:
        if getattr(told, name) is not None and _is_lost(name, told, target, effort):
            changes[name] = None
            if not name.endswith("logprobs"):
                notes.lost(name, paths.get(name, name))
            elif told.logprobs:
                notes.lost("logprobs", paths.get("logprobs", "logprobs"))
    _fit_range(replace(told, **changes), target, changes, notes, paths)
    changes["stop"] = _stops(asked, target, notes)
    changes["max_tokens"] = _max_tokens(asked, target, notes)
    return replace(told, **changes)


def _fit_n(told: Settings, asked: Request, target: Target, changes: dict[str, Any]) -> None:
    is_several = isinstance(told.n, int | float) and told.n > 1
    if is_several and (target.dialect not in _MAKES_SEVERAL or not target.row.takes_n):
        at = asked.paths.get("n", "n")
        raise Refused(
            400, "unsupported_by_target", f"{at}: this model's provider makes one choice.", param=at
        )
    if not is_several:
        changes["n"] = None


def _is_lost(name: str, told: Settings, target: Target, effort: str | None) -> bool:
    """Whether the target has no such setting, or this model refuses it."""
    row, dialect = target.row, target.dialect
    if dialect not in _TAKEN[name]:
        return True
    match name:
        case "temperature" | "top_p":
            return _is_rejected(target, effort)
        case "top_k":
            return _is_rejected(target, effort) or (dialect is _CHAT and not row.takes_top_k)
        case "presence" | "frequency":
            return _is_rejected(target, effort) or not row.takes_penalties
        case "logprobs" | "top_logprobs":
            return dialect in _OPENAI and _is_rejected(target, effort)
        case "seed":
            # what is no integer would be looked for among all of the range, one by one
            return dialect is _GEMINI and not (isinstance(told.seed, int) and told.seed in _INT32)
        case _:  # verbosity
            return not target.is_openai


def _is_rejected(target: Target, effort: str | None) -> bool:
    """Whether the model refuses sampling parameters as it will be asked."""
    match target.row.sampling:
        case "never":
            return True
        case "noneff" | "default1":
            return effort != "none"
        case _:
            return False


def _fit_range(told: Settings, target: Target, changes: dict[str, Any], notes: Notes, paths: Any) -> None:
    heat = told.temperature
    most = target.row.temperature_max
    if isinstance(heat, int | float) and not isinstance(heat, bool) and heat > most:
        notes.adjusted("temperature", paths.get("temperature", "temperature"), float(heat), most)
        changes["temperature"] = int(most) if most == int(most) else most
    if heat is not None and told.top_p is not None and not target.row.has_temperature_and_top_p:
        notes.lost("top_p", paths.get("top_p", "top_p"))
        changes["top_p"] = None
    # beyond, it goes on as it was spelled, and the upstream says no
    if not isinstance(told.top_k, float) or abs(told.top_k) >= 2**53:
        return
    if target.dialect in (_MESSAGES, _GEMINI):
        changes["top_k"] = whole = int(told.top_k)
        if whole != told.top_k:
            notes.adjusted("top_k", paths.get("top_k", "top_k"), float(told.top_k), whole)


def _stops(asked: Request, target: Target, notes: Notes) -> tuple[str, ...]:
    stops, at = asked.settings.stop, asked.paths.get("stop", "stop")
    if not stops:
        return ()
    if target.dialect is _RESPONSES or not target.row.takes_stop:
        notes.lost("stop", at)
        return ()
    if target.dialect is _MESSAGES and any(not one.strip() for one in stops):
        notes.adjusted("stop-blank", at)
        stops = tuple(one for one in stops if one.strip())
    most = _MOST_STOPS.get(target.dialect, len(stops))
    if len(stops) > most:
        notes.adjusted("stop-truncated", at, len(stops), most)
    return stops[:most]


def _max_tokens(asked: Request, target: Target, notes: Notes) -> Any:
    most = asked.settings.max_tokens
    if most is None:
        return target.row.limit_unasked if target.dialect is _MESSAGES else None
    is_number = isinstance(most, int) and not isinstance(most, bool)
    if target.dialect is _RESPONSES and is_number and most < _LEAST_RESPONSES_TOKENS:
        at = asked.paths.get("max_tokens", "max_tokens")
        notes.adjusted("max-tokens", at, most, _LEAST_RESPONSES_TOKENS)
        return _LEAST_RESPONSES_TOKENS
    return most


# ---- structured output


def fit_output(asked: Request, target: Target, notes: Notes, *, has_tools: bool) -> Output | None:
    """The form of the answer; None where the target cannot be held to it."""
    output = asked.output
    if output is None:
        return None
    match output.form:
        case "text":
            return output if target.dialect in _OPENAI and asked.dialect in _OPENAI else None
        case "json":
            if target.dialect is _MESSAGES:
                notes.lost("json-mode", output.at)
                return None
            return output
    if output.strict is not None:
        wants_strict = output.strict is True and target.dialect is not _GEMINI
    else:  # clients of OpenAI's dialects say it themselves, to others it goes without saying
        wants_strict = target.dialect in _OPENAI and asked.dialect not in _OPENAI
    wants_strict = wants_strict or target.dialect is _MESSAGES
    at = output.at if asked.dialect is _GEMINI else f"{output.at}.schema"
    return _schema(output, target, notes, at=at, has_tools=has_tools, wants_strict=wants_strict)


def _schema(
    output: Output, target: Target, notes: Notes, *, at: str, has_tools: bool, wants_strict: bool
) -> Output | None:
    if not target.row.has_schema_output or (has_tools and not target.row.has_schema_with_tools):
        notes.lost("schema", output.at)
        return None
    if output.is_enum and target.dialect is not _GEMINI:
        notes.lost("schema-root", output.at)
        return None
    try:
        fitted = fit_schema(
            {} if output.schema is None else output.schema,
            column(target.dialect, is_strict=wants_strict),
            at=at,
            is_tool=False,
            root_must_be_object=target.dialect is not _GEMINI,
            description=output.description,
        )
    except NotOfObjects:
        notes.lost("schema-root", output.at)
        return None
    for what, place in fitted.changes:
        notes.adjusted(what, place)
    for place in fitted.notes:
        notes.note("tool-schema", place)
    strict = fitted.is_strict if wants_strict else output.strict
    return replace(
        output,
        schema=fitted.schema,
        description=fitted.description,
        name=output.name or "response",
        strict=strict if target.dialect in _OPENAI else None,
    )


# ---- caching


def fit_cache(asked: Request, target: Target, notes: Notes) -> CacheConfig:
    told = asked.cache
    if target.dialect in _OPENAI and asked.dialect in _OPENAI:
        return replace(told, auto=None)
    for name, at in (
        ("key", "prompt_cache_key"),
        ("options", "prompt_cache_options"),
        ("retention", "prompt_cache_retention"),
    ):
        if getattr(told, name) is not None:
            notes.note("cache", at)
    if target.dialect is _MESSAGES:
        return CacheConfig(auto=Cache() if target.auto_cache else None)
    if told.auto is not None:
        notes.note("cache", "cache_control")
    key = None
    if asked.dialect is _MESSAGES and target.dialect is _RESPONSES and asked.identity.user:
        # multi-account hosts scatter the turns of a conversation that has no stable key
        key = hashlib.sha256(asked.identity.user.encode("utf-8", "replace")).hexdigest()[:32]
        notes.note("cache", "metadata.user_id")
    return CacheConfig(key=key)


def fit_marks(
    turns: list[Turn], tools: tuple[Tool | Hosted, ...], target: Target, notes: Notes
) -> tuple[list[Turn], tuple[Tool | Hosted, ...]]:
    """Cache marks on parts and tools: none where the target has none, the last four where it has."""
    takes = target.dialect is _MESSAGES or (target.dialect in _OPENAI and target.row.takes_cache_marks)
    left = _MOST_CACHE_MARKS if takes else 0

    def marked(cache: Cache, at: str, *, is_taken: bool = True) -> Cache | None:
        nonlocal left
        if not left or not is_taken:
            notes.note("cache", at)
            return None
        left -= 1
        return _ttl(cache, target, notes, at)

    made: list[Turn] = []
    for turn in reversed(turns):
        parts: list[Part] = []
        for part in reversed(turn.parts):
            if isinstance(part, Text | Media | ToolCall | ToolResult) and part.cache is not None:
                part = replace(part, cache=marked(part.cache, part.at))
            parts.append(part)
        made.append(replace(turn, parts=tuple(reversed(parts))))
    kept: list[Tool | Hosted] = []
    for tool in reversed(tools):
        if isinstance(tool, Tool) and tool.cache is not None:
            tool = replace(tool, cache=marked(tool.cache, tool.at, is_taken=target.dialect is _MESSAGES))
        kept.append(tool)
    return made[::-1], tuple(reversed(kept))


def _ttl(cache: Cache, target: Target, notes: Notes, at: str) -> Cache:
    """A lifetime in the target's words; the default where it has no such one."""
    words = {"12h": "1h", "1h": "1h", "5m": "5m"} if target.dialect is _MESSAGES else {"30m": "30m"}
    if target.dialect is _RESPONSES:
        words["12h"] = "12h"
    ttl = words.get(cache.ttl or "")
    if ttl != cache.ttl:
        notes.note("cache", at)
    return Cache(ttl=ttl)


# ---- identity

_TIERS: Final[dict[Dialect, dict[str, str | None]]] = {
    _CHAT: {"ultrafast": None, "batch": None},
    _RESPONSES: {"batch": None},
    _MESSAGES: {
        "auto": "auto",
        "default": "standard_only",
        "flex": None,
        "priority": "auto",
        "fast": "auto",
        "scale": None,
        "ultrafast": None,
    },
    _GEMINI: {
        "auto": "",
        "default": "standard",
        "flex": "flex",
        "priority": "priority",
        "fast": "priority",
        "scale": None,
        "ultrafast": None,
    },
}
"""The target's word; empty is its default, None is lost. Words that are not here go on as they are."""


def fit_identity(asked: Request, target: Target, notes: Notes) -> Identity:
    told = asked.identity
    made = Identity(service_tier=_tier(asked, target, notes))
    if target.dialect is _GEMINI:
        for name, at in (("user", "user"), ("user", "safety_identifier"), ("metadata", "metadata")):
            if getattr(told, "safety_id" if at == "safety_identifier" else name) is not None:
                notes.note(name, asked.paths.get(name, at) if at != "safety_identifier" else at)
        return made
    if target.dialect in _OPENAI and asked.dialect in _OPENAI:
        metadata = told.metadata
        if metadata is not None and not (target.is_openai and target.dialect is _RESPONSES):
            notes.note("metadata", "metadata")
            metadata = None
        return replace(made, user=told.user, safety_id=told.safety_id, metadata=metadata)
    user = told.safety_id or told.user
    if target.dialect is _MESSAGES and told.metadata is not None:
        named = told.metadata.get("user_id") if isinstance(told.metadata, dict) else None
        if user is None and isinstance(named, str):
            user = named
        else:
            notes.lost("metadata", "metadata")
    if user is not None and len(user) > _MOST_USER_SIGNS[target.dialect]:
        notes.note("user", asked.paths.get("user", "user"))
        user = hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()
    if target.dialect is _MESSAGES:
        return replace(made, user=user)
    if target.is_openai:
        return replace(made, safety_id=user)
    return replace(made, user=user)


def _tier(asked: Request, target: Target, notes: Notes) -> str | None:
    tier = asked.identity.service_tier
    if tier is None:
        return None
    at = asked.paths.get("service_tier", "serviceTier" if asked.dialect is _GEMINI else "service_tier")
    word = _TIERS[target.dialect].get(tier, tier)
    if word is None:
        notes.lost("service-tier", at)
    elif tier in ("priority", "fast") and target.dialect is _MESSAGES:
        notes.adjusted("service-tier", at, tier, word)
    return word or None
