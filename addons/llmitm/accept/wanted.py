"""Which limits one exchange comes under, from the configuration: as steps of one batch. Pure.

Names of counters come from the configuration alone, never from what a client sent, so nothing grows with
what clients send: those without a key share the limits of all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from llmitm.accept.estimate import Estimate, estimate_tokens
from llmitm.config.schema import AuthKey, Config, Limits
from llmitm.exchange import Dialect
from llmitm.state.store import Lease, Window

WINDOW_S: Final = 60.0
_NOTHING: Final = Estimate(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one exchange asks for."""

    exchange_id: str
    """Holds its places."""
    auth_key: str | None
    """Name of the client's key; None: it has none."""
    dialect: Dialect
    models: tuple[str, ...] = ()
    """The model as it was asked for, and what else it is called, so that no alias gets round a limit."""
    body: bytes = b""
    max_output_tokens: int | None = None
    """As of `estimate_tokens`."""


class Counted(StrEnum):
    REQUESTS = "requests"
    TOKENS = "tokens"
    CONCURRENCY = "concurrency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit that an exchange comes under, and its step of the batch."""

    counted: Counted
    most: int
    whose: str
    """As a sentence begins: `All clients together`, `The key laptop`."""
    place: str
    """Where an operator may raise it."""
    step: Window | Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    limits: tuple[Limit, ...] = ()
    """Empty where none is configured."""
    estimate: Estimate = _NOTHING
    """Only made where tokens are limited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """Who is limited, and by how much."""

    name: str
    """In the names of counters."""
    words: str
    place: str
    limits: Limits


def wanted(asked: Asked, config: Config) -> Wanted:
    """Every limit that this exchange comes under: of all clients, of its key, of its models."""
    bounds = tuple(_bounds(asked, config))
    if not bounds:
        return _FREE
    is_counted = any(bound.limits.tpm for bound in bounds)
    estimate = estimate_tokens(asked.body, asked.max_output_tokens) if is_counted else _NOTHING
    lease_s = config.timeouts.exchange_s
    steps = (limit for bound in bounds for limit in _limits(bound, estimate, asked.exchange_id, lease_s))
    return Wanted(limits=tuple(steps), estimate=estimate)


_FREE: Final = Wanted()


def _bounds(asked: Asked, config: Config) -> Iterator[_Bound]:
    whole = config.rate_limit
    if whole.rpm or whole.tpm or whole.concurrency:
        yield _Bound(name="all", words="All clients together", place="[rate_limit]", limits=whole)
    if asked.auth_key is not None and (own := _of_key(asked.auth_key, config)):
        words = f"The key {asked.auth_key}"
        yield _Bound(name=f"key:{asked.auth_key}", words=words, place="[[auth_keys]]", limits=own)
    for glob, limits in whole.models.items():
        if any(fnmatchcase(model, glob) for model in asked.models):
            place = f'[rate_limit.models."{glob}"]'
            yield _Bound(name=f"model:{glob}", words=f"The models {glob}", place=place, limits=limits)


def _of_key(name: str, config: Config) -> Limits | None:
    """Its own limits, else those of every key. None: it has none."""
    whole = config.rate_limit
    key = find_key(name, config)
    rpm = key.rpm if key is not None and key.rpm else whole.per_key_rpm
    tpm = key.tpm if key is not None and key.tpm else whole.per_key_tpm
    concurrency = key.concurrency if key is not None else None
    if not (rpm or tpm or concurrency):
        return None
    return Limits.model_construct(rpm=rpm, tpm=tpm, concurrency=concurrency)


def find_key(name: str, config: Config) -> AuthKey | None:
    return next((key for key in config.auth_keys or () if key.name == name), None)


def _limits(bound: _Bound, estimate: Estimate, holder: str, lease_s: float) -> Iterator[Limit]:
    """Places held at once come last: they are the ones that have to be given back."""
    limits = bound.limits
    for counted, most in (
        (Counted.REQUESTS, limits.rpm),
        (Counted.TOKENS, limits.tpm),
        (Counted.CONCURRENCY, limits.concurrency),
    ):
        if most is None:
            continue
        step: Window | Lease
        key = f"limits:{counted}:{bound.name}"
        match counted:
            case Counted.REQUESTS:
                step = Window(key=key, limit=most, window_s=WINDOW_S)
            case Counted.TOKENS:
                # the answer is a mere guess, so it gives way where both together could never pass
                by = min(estimate.total, max(estimate.prompt, most))
                step = Window(key=key, by=by, limit=most, window_s=WINDOW_S)
            case Counted.CONCURRENCY:
                step = Lease(key=key, holder=holder, limit=most, ttl_s=lease_s)
        yield Limit(counted=counted, most=most, whose=bound.words, place=bound.place, step=step)
