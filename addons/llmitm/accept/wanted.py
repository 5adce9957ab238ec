"""Which limits one exchange comes under, from the configuration: as steps of one batch. Pure.

Names of counters come from the configuration alone, never from what a client sent, so nothing grows with
what clients send: those without a key share the limits of all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from llmitm.accept.estimate import Estimate, estimate_tokens
from llmitm.config.auth_keys import AuthKey
from llmitm.config.schema import Config
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
    """Name of the client's key in the configuration; None: it has none."""
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
    """One limit of the configuration."""

    counted: Counted
    most: int
    key: str
    """Name of its counter."""
    whose: str
    """As a sentence begins: `All clients together`, `The key laptop`."""
    place: str
    """Where an operator may raise it."""

    @property
    def name(self) -> str:
        """Whose it is, for who counts: `all`, `key:NAME`, `model:GLOB`."""
        return self.key.split(":", 2)[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    limits: tuple[Limit, ...] = ()
    """Those that apply; empty where none does."""
    steps: tuple[Window | Lease, ...] = ()
    """One a limit."""
    estimate: Estimate = _NOTHING
    """Only made where tokens are limited."""


_FREE: Final = Wanted()


def wanted(asked: Asked, config: Config) -> Wanted:
    """Every limit that this exchange comes under: of all clients, of its key, of its models."""
    rules = _rules_of(config)
    if rules.is_free:
        return _FREE
    limits = rules.of_all
    if asked.auth_key is not None:
        limits += rules.of_key(asked.auth_key)
    names = [model.lower() for model in asked.models]  # upstreams may not mind the case
    for glob, own in rules.of_models:
        if any(fnmatchcase(name, glob.lower()) for name in names):
            limits += own
    if not limits:
        return _FREE
    is_counted = any(limit.counted is Counted.TOKENS for limit in limits)
    estimate = estimate_tokens(asked.body, asked.max_output_tokens) if is_counted else _NOTHING
    lease_s = config.timeouts.exchange_s
    steps = tuple(_step(limit, estimate, asked.exchange_id, lease_s) for limit in limits)
    return Wanted(limits=limits, steps=steps, estimate=estimate)


def find_key(name: str, config: Config) -> AuthKey:
    """Names come from the configuration that admitted the client."""
    return config.auth_keys_by_name[name]


def _step(limit: Limit, estimate: Estimate, holder: str, lease_s: float) -> Window | Lease:
    match limit.counted:
        case Counted.REQUESTS:
            return Window(key=limit.key, limit=limit.most, window_s=WINDOW_S)
        case Counted.TOKENS:
            # the answer is a mere guess, so it gives way where both together could never pass
            by = min(estimate.total, max(estimate.prompt, limit.most))
            return Window(key=limit.key, by=by, limit=limit.most, window_s=WINDOW_S)
        case Counted.CONCURRENCY:
            return Lease(key=limit.key, holder=holder, limit=limit.most, ttl_s=lease_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """The limits of one configuration, by whom they hold for."""

    config: Config
    of_all: tuple[Limit, ...]
    of_models: tuple[tuple[str, tuple[Limit, ...]], ...]
    is_free: bool
    of_keys: dict[str, tuple[Limit, ...]] = field(default_factory=dict)
    """Those that were asked for: there may be thousands."""

    def of_key(self, name: str) -> tuple[Limit, ...]:
        found = self.of_keys.get(name)
        if found is None:
            key, whole = self.config.auth_keys_by_name[name], self.config.rate_limit
            found = self.of_keys[name] = _limits(
                f"key:{name}",
                f"The key {name}",
                "[[auth_keys]]",
                key.rpm or whole.per_key_rpm,
                key.tpm or whole.per_key_tpm,
                key.concurrency,
            )
        return found


def _read(config: Config) -> _Rules:
    whole = config.rate_limit
    of_all = _limits("all", "All clients together", "[rate_limit]", whole.rpm, whole.tpm, whole.concurrency)
    of_any_key = whole.per_key_rpm or whole.per_key_tpm
    of_models = tuple(
        (
            glob,
            _limits(
                f"model:{glob}",
                f"The models {glob}",
                f'[rate_limit.models."{glob}"]',
                one.rpm,
                one.tpm,
                one.concurrency,
            ),
        )
        for glob, one in whole.models.items()
    )
    return _Rules(
        config=config,
        of_all=of_all,
        of_models=of_models,
        is_free=not (
            of_all
            or (of_any_key and config.auth_keys)
            or any(key.rpm or key.tpm or key.concurrency for key in config.auth_keys or ())
            or any(limits for _, limits in of_models)
        ),
    )


def _limits(
    name: str, whose: str, place: str, rpm: int | None, tpm: int | None, concurrency: int | None
) -> tuple[Limit, ...]:
    """Places held at once come last: they are the ones that have to be given back."""

    def each() -> Iterator[Limit]:
        for counted, most in (
            (Counted.REQUESTS, rpm),
            (Counted.TOKENS, tpm),
            (Counted.CONCURRENCY, concurrency),
        ):
            if most is not None:
                key = f"limits:{counted}:{name}"
                yield Limit(counted=counted, most=most, key=key, whose=whose, place=place)

    return tuple(each())


_latest: _Rules = _read(Config())


def _rules_of(config: Config) -> _Rules:
    """Read once a configuration, not once an exchange: all but a few exchanges come under the latest."""
    global _latest
    if _latest.config is not config:
        _latest = _read(config)
    return _latest
