"""What is counted of the exchanges of this process, for Prometheus and as a snapshot in JSON.

A sink: it is handed each entry once, when it is over. An exchange is one client request, however many
attempts it took; attempts are counted apart. Nothing outlives the process, and each of several processes
answers for itself alone: whoever reads them adds them up.

Values of labels come from closed sets: see `names`. Keys, addresses, prompts and texts of errors are no
labels.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

from llmitm.clock import Clock
from llmitm.config.schema import Config
from llmitm.errors import Limited
from llmitm.exchange import Noted, Usage
from llmitm.record.entry import Entry, Outcome, outcome_of
from llmitm.record.instruments import Instruments
from llmitm.record.names import NONE, Names
from llmitm.record.process import LoopLag
from llmitm.record.recent import Durations, Rate
from llmitm.record.series import Counter, Family, Point, gauge, gauge_of

_STEPS_S: Final = (0.1, 0.5, 1, 5, 30)
_STEPS: Final = ("<100", "100-499", "500-999", "1000-4999", "5000-29999", ">=30000")
"""How many milliseconds an exchange took, roughly: what is below each step, and what is not."""
_CLASSES: Final = {first: f"{first}xx" for first in range(1, 10)}
NO_ERRORS: Final = frozenset({Outcome.OK, Outcome.CLIENT_GONE})
ANSWERED: Final = "answered"
READ: Final = frozenset({ANSWERED, "truncated"})
"""Ends of attempts whose answers had begun."""
LEAST_STREAM_S: Final = 0.05
"""What streamed for less time came in one piece: that says nothing of how quick it is."""


class Metrics:
    """One for a process."""

    def __init__(self, config: Config, clock: Clock, redact: Callable[[str], str]) -> None:
        self.clock = clock
        self.started_s = clock.tick_s()
        self.counted = Instruments()
        self.loop = LoopLag(clock)
        self.turn = asyncio.Lock()
        """Held while they are read: one reader at a time."""
        self.recent = Durations()
        """Of whole exchanges."""
        self.recent_first = Durations()
        self.rate = Rate()
        self._steps = [0] * len(_STEPS)
        self.answered = Counter("answered", "", ("provider", "model"))
        """Exchanges by who was asked last."""
        self._endpoints = Names(redact)
        self._providers = Names(redact)
        self._models = Names(redact)
        self._auth_keys = Names(redact)
        self._codes = Names(redact)
        self._limits = Names(redact)
        self._warnings = Names(redact)
        self._queues: dict[str, tuple[Callable[[], int], Callable[[], int]]] = {}
        self.follow(config)

    def follow(self, config: Config) -> None:
        """Takes the names of a new configuration. What was counted stays."""
        self._endpoints.know(config.endpoints)
        self._providers.know({*config.providers, *_hosts(config), "cloudflare"})
        self._models.know(_models(config))
        self._auth_keys.know(key.name for key in config.auth_keys or ())

    # -- counting

    def __call__(self, entry: Entry) -> None:
        counted, outcome = self.counted, entry.outcome or outcome_of(entry)
        endpoint = self._endpoints.of(entry.endpoint)
        total_s = (entry.ended_s or entry.started_s) - entry.started_s
        now_s = self.clock.tick_s()
        counted.requests.add(endpoint, entry.dialect or NONE, status_class(entry.status), outcome)
        counted.durations.add(endpoint, outcome, value=total_s)
        counted.received.add(endpoint, by=entry.request_bytes)
        counted.sent.add(endpoint, by=entry.response_bytes)
        if (own_s := entry.own_s) is not None:
            counted.overhead.add(endpoint, value=own_s)
        self.rate.add(now_s)
        self.recent.add(total_s, now_s)
        self._steps[bisect_right(_STEPS_S, total_s)] += 1
        if entry.auth_key is not None:
            self._key(entry, outcome)
        if outcome not in NO_ERRORS:
            counted.errors.add(endpoint, self._why(entry, outcome))
        answering, labels = entry.answering, None
        for noted in entry.attempts:
            told = self._attempt(noted, entry, endpoint, is_further=noted is not answering)
            labels = told if noted is answering else labels
        if labels is not None:
            self.answered.add(*labels)
            if outcome is Outcome.OK and entry.is_stream and entry.first_byte_s is not None:
                self._streamed(entry, entry.first_byte_s, now_s, *labels)

    def hit(self, hit: Limited) -> None:
        """A limit was hit. Its names are the configuration's."""
        self.counted.limited.add(self._limits.of(hit.limit, is_proven=True), hit.kind)

    def guessed(self) -> None:
        """Budgets count an estimate of what an exchange took."""
        self.counted.guessed.add()

    def _key(self, entry: Entry, outcome: Outcome) -> None:
        name = self._auth_keys.of(entry.auth_key)
        self.counted.key_requests.add(name, outcome)
        if (cost := entry.cost_usd_nano) is not None:
            self.counted.key_cost.add(name, by=cost)

    def _why(self, entry: Entry, outcome: Outcome) -> str:
        """Why an exchange failed: how its last attempt ended; without one, the code of our error."""
        if (last := entry.answering) is None:
            return self._codes.of(entry.code or outcome, is_proven=True)
        ending = last.ending
        return outcome if ending is None or ending == ANSWERED else ending

    def _streamed(self, entry: Entry, begun_s: float, now_s: float, provider: str, model: str) -> None:
        """How quickly a good stream began, and went on."""
        counted, first_s = self.counted, begun_s - entry.started_s
        counted.first.add(provider, model, value=first_s)
        self.recent_first.add(first_s, now_s)
        took_s = (entry.ended_s or begun_s) - begun_s
        made = (entry.usage.output_tokens or 0) - (entry.usage.reasoning_tokens or 0)
        if made > 0 and took_s >= LEAST_STREAM_S:
            counted.speeds.add(provider, model, value=made / took_s)

    def _attempt(self, noted: Noted, entry: Entry, endpoint: str, *, is_further: bool) -> tuple[str, str]:
        """The labels of its provider and model."""
        counted = self.counted
        provider, model = self.labels(noted, entry)
        why = NONE if noted.ending == ANSWERED else noted.ending or "unknown"
        counted.attempts.add(provider, model, status_class(noted.status), why)
        if noted.ended_s is not None:
            counted.attempt_durations.add(provider, value=noted.ended_s - noted.started_s)
        if is_further:
            counted.retries.add(endpoint, why)
        for warning in noted.warnings:
            what = self._warnings.of(warning.partition(" ")[0], is_proven=True)
            counted.warnings.add(entry.dialect or NONE, noted.dialect or NONE, what)
        if noted.usage is not None:
            self._used(noted, noted.usage, endpoint, provider, model)
        elif entry.is_stream and noted.ending in READ and noted.model is not None:
            counted.unpriced.add(provider, "no_usage")
        return provider, model

    def _used(self, noted: Noted, usage: Usage, endpoint: str, provider: str, model: str) -> None:
        counted = self.counted
        for kind, count in _tokens(usage):
            counted.tokens.add(provider, model, kind, by=count)
        if usage.reasoning_tokens:
            counted.reasoning.add(provider, model, by=usage.reasoning_tokens)
        if noted.cost_usd_nano is None:
            counted.unpriced.add(provider, "no_price")
            return
        counted.cost.add(endpoint, provider, model, by=noted.cost_usd_nano)
        if noted.is_cost_whole is False:
            counted.unpriced.add(provider, "in_part")

    def labels(self, noted: Noted, entry: Entry) -> tuple[str, str]:
        """The labels of the provider and the model of an attempt."""
        is_proven = noted.ending == ANSWERED
        model = noted.model or noted.answered or entry.model
        return self._providers.of(noted.provider, is_proven=is_proven), self._models.of(
            model, is_proven=is_proven
        )

    # -- telling

    def watch_queue(self, sink: str, length: Callable[[], int], dropped: Callable[[], int]) -> None:
        """Tells from now on how many records wait for `sink`, and how many it has lost since the start."""
        self._queues[sink] = (length, dropped)

    def steps(self) -> dict[str, int]:
        """Exchanges by how many milliseconds they took."""
        return dict(zip(_STEPS, self._steps, strict=True))

    def upstream(self, name: str) -> str:
        """The label of a provider; where it is asked by way of Cloudflare, `name` begins with that."""
        way, slash, provider = name.partition("/")
        return f"{way}/{self._providers.of(provider)}" if slash else self._providers.of(name)

    def read(self) -> Iterator[Family]:
        """All that was counted."""
        yield from self.counted.read()
        yield from self.loop.read()
        lengths: list[Point] = [((sink,), length()) for sink, (length, _) in self._queues.items()]
        yield gauge("llmitm_record_queue_length", "Records that are not written yet.", ("sink",), lengths)
        lost: list[Point] = [((sink,), dropped()) for sink, (_, dropped) in self._queues.items()]
        yield Family("llmitm_records_dropped", "Records that were lost.", "counter", ("sink",), lost)
        yield gauge_of("llmitm_uptime_seconds", "Since the start.", self.clock.tick_s() - self.started_s)


def status_class(status: int | None) -> str:
    """`2xx` and the like."""
    return NONE if status is None else _CLASSES.get(status // 100, NONE)


def _tokens(usage: Usage) -> Iterator[tuple[str, int]]:
    """Kinds that have nothing in common, and how many of each; what is unknown is left out."""
    if usage.input_tokens is not None:
        read, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
        audio = max(0, (usage.audio_in_tokens or 0) - (usage.cached_audio_tokens or 0))
        yield "input", max(0, usage.input_tokens - read - written - audio)
        if read:
            yield "cache_read", read
        if written:
            yield "cache_write", written
        if audio:
            yield "audio_in", audio
    if usage.output_tokens is not None:
        audio = usage.audio_out_tokens or 0
        yield "output", max(0, usage.output_tokens - audio)
        if audio:
            yield "audio_out", audio


def _hosts(config: Config) -> Iterator[str]:
    """What attempts of forward endpoints without a provider call theirs."""
    for name, endpoint in config.endpoints.items():
        if endpoint.kind == "forward" and endpoint.provider is None:
            if host := urlsplit(config.target_of(name)).hostname:
                yield host


def _models(config: Config) -> Iterator[str]:
    """Every model that the configuration names. Patterns among them do no harm: nobody is called so."""
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
