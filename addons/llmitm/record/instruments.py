"""What is counted, metric by metric: names, help and labels as Prometheus shows them. Nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from llmitm.record.series import Counter, Family, Histogram

DURATION_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0)
FIRST_S: Final = (
    *(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0),
    *(5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 120.0),
)
OVERHEAD_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
NANO: Final = 1e-9
SPEEDS: Final = (5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000, 2000)


class Instruments:
    """All that is added to while exchanges end. Read in the order in which they stand here."""

    def __init__(self) -> None:
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
        self.errors = Counter(
            "llmitm_errors",
            "Exchanges that ended neither well nor because the client left, by why.",
            ("endpoint", "error_class"),
        )
        self.overhead = Histogram(
            "llmitm_overhead_seconds",
            "What the gateway took before the first attempt of an exchange and after the last one.",
            ("endpoint",),
            bounds=OVERHEAD_S,
        )
        self.first = Histogram(
            "llmitm_time_to_first_token_seconds",
            "From the head of a client request to the first piece of an answer that streams.",
            ("provider", "model"),
            bounds=FIRST_S,
        )
        self.attempts = Counter(
            "llmitm_attempts",
            "Upstream calls, by how they ended.",
            ("provider", "model", "status_class", "error_class"),
        )
        self.retries = Counter(
            "llmitm_retries",
            "Attempts after which another one was made, by how they ended.",
            ("endpoint", "error_class"),
        )
        self.attempt_durations = Histogram(
            "llmitm_attempt_duration_seconds",
            "From the beginning of an upstream call to the end of its answer.",
            ("provider",),
            bounds=DURATION_S,
        )
        self.speeds = Histogram(
            "llmitm_output_tokens_per_second",
            "How quickly good answers streamed, once they had begun.",
            ("provider", "model"),
            bounds=SPEEDS,
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
        self.cost = Counter(
            "llmitm_cost_usd",
            "What answers cost in US dollars, as far as it is known.",
            ("endpoint", "provider", "model"),
            scale=NANO,
        )
        self.unpriced = Counter(
            "llmitm_unpriced_attempts",
            "Attempts whose cost is unknown, in whole or in part, which is not zero.",
            ("provider", "reason"),
        )
        self.key_requests = Counter(
            "llmitm_key_requests",
            "Exchanges by the name of the client's key.",
            ("auth_key", "outcome"),
        )
        self.key_cost = Counter(
            "llmitm_key_cost_usd",
            "What the answers to each client's key cost in US dollars, as far as it is known.",
            ("auth_key",),
            scale=NANO,
        )
        self.warnings = Counter(
            "llmitm_translation_warnings",
            "What of requests was adjusted or lost on the way to another dialect.",
            ("from_dialect", "to_dialect", "warning"),
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
        self.guessed = Counter(
            "llmitm_budget_estimates",
            "Exchanges of which budgets count an estimate, since nobody told what they used or cost.",
        )

    def read(self) -> Iterator[Family]:
        for one in vars(self).values():
            yield one.read()
