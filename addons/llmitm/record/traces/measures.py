"""What OpenTelemetry's conventions want measured of calls of models. One for each attempt.

By name under version 1.41, and as they are called since. Values of labels come from closed sets: whoever
makes this hands them in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal

from llmitm.exchange import Noted, Usage
from llmitm.record.entry import Entry
from llmitm.record.series import Counter, Histogram
from llmitm.record.traces import naming
from llmitm.record.traces.spans import ANSWERED
from llmitm.record.traces.wire import Labelled

DURATION_S: Final = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
    *(163.84, 327.68, 655.36),  # beyond the advice: reasoning takes its time
)
TOKENS: Final = tuple(float(4**power) for power in range(14))

type Labels = Callable[[Noted, Entry], tuple[str, str]]
"""Provider and model of an attempt, from closed sets."""

_WHO: Final = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "server.address")
_ERROR: Final = (*_WHO, "error.type")
_TYPE: Final = (*_WHO, "gen_ai.token.type")
_MODALITY: Final = (*_WHO, "gen_ai.token.modality")
_DURATION: Final = "How long calls of models took."
_FIRST: Final = "From the beginning of a call to the first piece of its stream."
_NEW: Final = "gen_ai.client.inference."
_COUNTED: Final = (
    ("input_tokens", "input_tokens"),
    ("output_tokens", "output_tokens"),
    ("cache_read.input_tokens", "cache_read_tokens"),
    ("cache_write.input_tokens", "cache_write_tokens"),
    ("reasoning.output_tokens", "reasoning_tokens"),
)


class Measures:
    def __init__(self, labels: Labels, *, names: Literal["v1.41", "new", "both"] = "v1.41") -> None:
        self._labels = labels
        old, new = names != "new", names != "v1.41"
        prefixes = (*(["gen_ai.client.operation."] if old else ()), *([_NEW] if new else ()))
        self._durations = [
            Histogram(f"{prefix}duration", _DURATION, _ERROR, bounds=DURATION_S) for prefix in prefixes
        ]
        self._firsts = [
            Histogram(f"{prefix}time_to_first_chunk", _FIRST, _WHO, bounds=DURATION_S) for prefix in prefixes
        ]
        self._tokens = None
        if old:
            help = "Tokens of each call."
            self._tokens = Histogram("gen_ai.client.token.usage", help, _TYPE, bounds=TOKENS)
        self._counted: list[tuple[str, Counter]] = []
        self._sizes: list[tuple[str, Histogram]] = []
        if new:
            self._counted = [
                (ours, Counter(f"{_NEW}usage.{name}", "Tokens so far.", _MODALITY)) for name, ours in _COUNTED
            ]
            self._sizes = [
                (
                    ours,
                    Histogram(f"{_NEW}operation.{name}", "Tokens of each call.", _WHO, bounds=TOKENS),
                )
                for name, ours in _COUNTED[:2]
            ]

    def add(self, entry: Entry) -> None:
        for noted in entry.attempts:
            doing = naming.operation(entry.path, noted.dialect)
            if doing is None or noted.ended_s is None:
                continue
            name, model = self._labels(noted, entry)
            # an address is only told where the provider's name is one of the configuration
            host = noted.host or "" if name == noted.provider else ""
            who = (doing, naming.provider(name, host or None), model, host)
            ending = "" if noted.ending == ANSWERED else str(noted.ending or "unknown")
            for one in self._durations:
                one.add(*who, ending, value=noted.ended_s - noted.started_s)
            if noted is entry.answering and entry.is_stream and entry.first_byte_s is not None:
                for one in self._firsts:
                    one.add(*who, value=max(0.0, entry.first_byte_s - noted.started_s))
            if noted.usage is not None:
                self._used(noted.usage, who)

    def _used(self, usage: Usage, who: tuple[str, ...]) -> None:
        if self._tokens is not None:
            if usage.input_tokens is not None:
                self._tokens.add(*who, "input", value=usage.input_tokens)
            if usage.output_tokens is not None:
                self._tokens.add(*who, "output", value=usage.output_tokens)
        for ours, sized in self._sizes:
            if (count := getattr(usage, ours)) is not None:
                sized.add(*who, value=count)
        for ours, counter in self._counted:
            if count := getattr(usage, ours):
                counter.add(*who, "unknown", by=count)

    def read(self) -> Iterator[Labelled]:
        """All that was measured, each with its unit."""
        for one in (*self._durations, *self._firsts):
            yield one.read(), "s"
        for other in (self._tokens, *(one for _, one in self._sizes), *(one for _, one in self._counted)):
            if other is not None:
                yield other.read(), "{token}"
