"""What is counted of the exchanges of this process, for Prometheus and as a snapshot in JSON.

A sink: it is handed each entry once, when it is over. An exchange is one client request, however many
attempts it took; attempts are counted apart. Nothing outlives the process, and each of several processes
answers for itself alone: whoever reads them adds them up.

Values of labels come from closed sets: see `names`. Keys, addresses, prompts and texts of errors are no
labels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from llmitm.clock import Clock
from llmitm.config.schema import Config
from llmitm.errors import Limited
from llmitm.exchange import Noted, Usage
from llmitm.record.entry import Entry
from llmitm.record.names import NONE, Names
from llmitm.record.process import LoopLag, memory_bytes
from llmitm.record.recent import Durations, Rate
from llmitm.record.series import Counter, Family, Histogram, gauge_of

DURATION_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0)
FIRST_S: Final = (
    *(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0),
    *(5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 120.0),
)
OVERHEAD_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
NANO: Final = 1e-9
_STEPS: Final = ((0.1, "<100"), (0.5, "100-499"), (1, "500-999"), (5, "1000-4999"), (30, "5000-29999"))
"""Seconds below which an exchange falls into each part of the snapshot's `latency_ms`."""
_LONGEST: Final = ">=30000"


class Metrics:
    """One for a process."""

    def __init__(self, config: Config, clock: Clock, redact: Callable[[str], str]) -> None:
        self._clock = clock
        self._started_s = clock.tick_s()
        self.loop = LoopLag(clock)
        self.turn = asyncio.Lock()
        """Held while they are read: one reader at a time."""
        self._endpoints = Names(redact)
        self._providers = Names(redact)
        self._models = Names(redact)
        self._auth_keys = Names(redact)
        self.requests = Counter(
            "llmitm_requests",
            "Exchanges that are over: one for each client request, however many attempts it took.",
            ("endpoint", "dialect", "status_class", "outcome"),
        )
        self.durations = Histogram(
            "llmitm_request_duration_seconds",
            "From the head of a client request to the end of its answer.",
            ("endpoint", "outcome"),
            bounds=DURATION_S,
        )
        self.first = Histogram(
            "llmitm_time_to_first_token_seconds",
            "From the head of a client request to the first piece of a good answer.",
            ("provider", "model"),
            bounds=FIRST_S,
        )
        self.attempts = Counter(
            "llmitm_attempts",
            "Upstream calls, by how they ended.",
            ("provider", "model", "status_class", "error_class"),
        )
        self.tokens = Counter(
            "llmitm_tokens",
            "Tokens that upstreams told of. The kinds have nothing in common, so that they may be added up.",
            ("provider", "model", "kind"),
        )
        self.reasoning = Counter(
            "llmitm_reasoning_tokens",
            "The part of the output tokens that was reasoning.",
            ("provider", "model"),
        )
        self.received = Counter(
            "llmitm_request_body_bytes", "Bytes of the bodies that clients sent.", ("endpoint",)
        )
        self.sent = Counter(
            "llmitm_response_body_bytes", "Bytes of the bodies that clients were sent.", ("endpoint",)
        )
        self.limited = Counter(
            "llmitm_limit_rejections",
            "Exchanges that were refused because of a limit: whose it is, and what it counts.",
            ("limit", "kind"),
        )
        self._recent = Durations()
        self._recent_first = Durations()
        self._rate = Rate()
        self._steps = dict.fromkeys((*(name for _, name in _STEPS), _LONGEST), 0)
        self._by_model = Counter("by_model", "", ("model",))
        self._by_provider = Counter("by_provider", "", ("provider",))
        self.follow(config)

    def follow(self, config: Config) -> None:
        """Takes the names of a new configuration. What was counted stays."""
        self._endpoints.know(config.endpoints)
        self._providers.know({*config.providers, *_hosts(config), "cloudflare"})
        self._models.know(_models(config))
        self._auth_keys.know(key.name for key in config.auth_keys or ())

    # -- counting

    def __call__(self, entry: Entry) -> None:
        outcome = outcome_of(entry)
        endpoint = self._endpoints.of(entry.endpoint)
        total_s = (entry.ended_s or entry.started_s) - entry.started_s
        self.requests.add(endpoint, NONE, status_class(entry.status), outcome)
        self.durations.add(endpoint, outcome, value=total_s)
        self.received.add(endpoint, by=entry.request_bytes)
        self.sent.add(endpoint, by=entry.response_bytes)
        now_s = self._clock.tick_s()
        self._rate.add(now_s)
        self._recent.add(total_s, now_s)
        self._steps[_step(total_s)] += 1
        for noted in entry.attempts:
            self._attempt(noted)
        last = entry.attempts[-1] if entry.attempts else None
        if last is None:
            return
        is_ok = outcome == "ok"
        provider = self._providers.of(last.provider, is_proven=is_ok)
        model = self._models.of(last.model or entry.model, is_proven=is_ok)
        self._by_provider.add(provider)
        self._by_model.add(model)
        if is_ok and entry.first_byte_s is not None:
            first_s = entry.first_byte_s - entry.started_s
            self.first.add(provider, model, value=first_s)
            self._recent_first.add(first_s, now_s)
        for kind, count in _tokens(entry.usage):
            self.tokens.add(provider, model, kind, by=count)
        if entry.usage.reasoning_tokens:
            self.reasoning.add(provider, model, by=entry.usage.reasoning_tokens)

    def hit(self, hit: Limited) -> None:
        """A limit was hit. Its names are the configuration's."""
        self.limited.add(hit.limit, hit.kind)

    def _attempt(self, noted: Noted) -> None:
        status = status_class(noted.status)
        is_ok = status == "2xx" and noted.error is None
        self.attempts.add(
            self._providers.of(noted.provider, is_proven=is_ok),
            self._models.of(noted.model, is_proven=is_ok),
            status,
            NONE if is_ok else "failed",
        )

    # -- telling

    def upstream(self, name: str) -> str:
        """The label of a provider; where it is asked by way of Cloudflare, `name` begins with that."""
        way, slash, provider = name.partition("/")
        return f"{way}/{self._providers.of(provider)}" if slash else self._providers.of(name)

    def read(self) -> Iterator[Family]:
        """All that was counted."""
        for one in (self.requests, self.durations, self.first, self.attempts, self.tokens, self.reasoning):
            yield one.read()
        yield self.limited.read()
        yield self.received.read()
        yield self.sent.read()
        yield from self.loop.read()
        yield gauge_of("llmitm_uptime_seconds", "Since the start.", self._clock.tick_s() - self._started_s)

    def snapshot(self) -> dict[str, Any]:
        """The same in short, as JSON has it. Durations are milliseconds unless they say otherwise."""
        now_s = self._clock.tick_s()
        total = int(self.requests.total())
        outcomes = {name: int(count) for name, count in self.requests.by("outcome").items()}
        errors = total - outcomes.get("ok", 0) - outcomes.get("client_gone", 0)
        kinds = {name: int(count) for name, count in self.tokens.by("kind").items()}
        made = kinds.get("output", 0) + kinds.get("audio_out", 0)
        read = sum(kinds.values()) - made
        worst_s = self.loop.worst_s()
        return {
            "total_requests": total,
            "total_errors": errors,
            "total_attempts": int(self.attempts.total()),
            "total_input_tokens": read,
            "total_output_tokens": made,
            "total_tokens": read + made,
            "tokens_by_kind": kinds,
            "latency_ms": dict(self._steps),
            "latency_percentiles_ms": _percentiles(self._recent, now_s),
            "time_to_first_token_percentiles_ms": _percentiles(self._recent_first, now_s),
            "avg_latency_ms": round(self.durations.sum() / total * 1000, 1) if total else 0.0,
            "by_outcome": outcomes,
            "limited_requests": int(self.limited.total()),
            "by_model": _whole(self._by_model, "model"),
            "by_provider": _whole(self._by_provider, "provider"),
            "active_providers": len(self._by_provider.by("provider")),
            "requests_per_minute": self._rate.read(now_s),
            "error_rate": round(errors / total, 4) if total else 0.0,
            "uptime_seconds": round(now_s - self._started_s, 1),
            "event_loop_lag_worst_ms": None if worst_s is None else round(worst_s * 1000, 1),
            "memory_bytes": memory_bytes(),
        }


def outcome_of(entry: Entry) -> str:
    if entry.status == 499:
        return "client_gone"
    if entry.error is None and entry.status is not None and entry.status < 400:
        return "ok"
    return "refused" if entry.status is not None and entry.status < 500 else "upstream_error"


def status_class(status: int | None) -> str:
    """`2xx` and the like."""
    return NONE if status is None else f"{status // 100}xx"


def _step(total_s: float) -> str:
    for below_s, name in _STEPS:
        if total_s < below_s:
            return name
    return _LONGEST


def _tokens(usage: Usage) -> Iterator[tuple[str, int]]:
    """Kinds that have nothing in common, and how many of each; what is unknown is left out."""
    if usage.input_tokens is not None:
        read, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
        audio = usage.audio_in_tokens or 0
        yield "input", max(0, usage.input_tokens - read - written - audio)
        yield from (
            pair for pair in (("cache_read", read), ("cache_write", written), ("audio_in", audio)) if pair[1]
        )
    if usage.output_tokens is not None:
        audio = usage.audio_out_tokens or 0
        yield "output", max(0, usage.output_tokens - audio)
        if audio:
            yield "audio_out", audio


def _percentiles(durations: Durations, now_s: float) -> dict[str, float | int | None]:
    spread = durations.read(now_s)
    shown = (None if one is None else round(one * 1000, 1) for one in spread.at_s)
    return {**dict(zip(("p50", "p90", "p99"), shown, strict=True)), "count": spread.count}


def _whole(counter: Counter, label: str) -> dict[str, int]:
    return {name: int(count) for name, count in counter.by(label).items()}


def _hosts(config: Config) -> Iterator[str]:
    """What attempts of forward endpoints without a provider call theirs."""
    for name, endpoint in config.endpoints.items():
        if endpoint.kind == "forward" and endpoint.provider is None:
            host = urlsplit(config.target_of(name)).hostname
            if host:
                yield host


def _models(config: Config) -> Iterator[str]:
    """Every model that the configuration names, patterns aside."""
    for provider in config.providers.values():
        for options in (provider, *provider.credentials):
            for model in options.models:
                yield from (name for name in (model.id, model.alias) if name)
    routing = config.routing
    for name, pool in routing.aliases.items():
        yield from (name, *(one.model for one in pool))
    for chain in (*routing.fallbacks.values(), *routing.context_fallbacks.values()):
        yield from chain
    for name in config.model_prices:
        yield from (name, name.partition("/")[2] or name)
