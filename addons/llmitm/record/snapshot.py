"""The metrics in short, as JSON. Durations are milliseconds unless they say otherwise.

Requests are exchanges, whatever it took to answer them. Percentiles and rates are of the last minutes, all
other numbers of this process since it began.
"""

from __future__ import annotations

from typing import Any, Final

from llmitm.record.metrics import NO_ERRORS, Metrics
from llmitm.record.process import memory_bytes
from llmitm.record.recent import Durations

_READ: Final = ("input", "cache_read", "cache_write", "audio_in")
_MADE: Final = ("output", "audio_out")


def snapshot(metrics: Metrics) -> dict[str, Any]:
    counted, now_s = metrics.counted, metrics.clock.tick_s()
    total = int(counted.requests.total())
    outcomes = _whole(counted.requests.by("outcome"))
    errors = total - sum(outcomes.get(outcome, 0) for outcome in NO_ERRORS)
    kinds = _whole(counted.tokens.by("kind"))
    read, made = (sum(kinds.get(kind, 0) for kind in some) for some in (_READ, _MADE))
    providers = _whole(metrics.answered.by("provider"))
    uptime_s = now_s - metrics.started_s
    worst_s = metrics.loop.worst_s()
    return {
        "total_requests": total,
        "total_errors": errors,
        "total_input_tokens": read,
        "total_output_tokens": made,
        "total_tokens": read + made,
        "total_cost_usd": round(counted.cost.total(), 9),
        "latency_ms": metrics.steps(),
        "by_model": _whole(metrics.answered.by("model")),
        "by_provider": providers,
        "cost_by_model": {name: round(usd, 9) for name, usd in counted.cost.by("model").items()},
        "active_providers": len(providers),
        "requests_per_minute": metrics.rate.read(now_s),
        "avg_latency_ms": round(counted.durations.sum() / total * 1000, 1) if total else 0.0,
        "error_rate": round(errors / total, 4) if total else 0.0,
        "uptime_seconds": round(uptime_s, 1),
        "latency_percentiles_ms": _percentiles(metrics.recent, now_s),
        "time_to_first_token_percentiles_ms": _percentiles(metrics.recent_first, now_s),
        "by_outcome": outcomes,
        "total_attempts": int(counted.attempts.total()),
        "limited_requests": int(counted.limited.total()),
        "unpriced_attempts": int(counted.unpriced.total()),
        "tokens_by_kind": kinds,
        "event_loop_lag_worst_ms": None if worst_s is None else round(worst_s * 1000, 1),
        "memory_bytes": memory_bytes(),
    }


def _percentiles(durations: Durations, now_s: float) -> dict[str, float | int | None]:
    spread = durations.read(now_s)
    shown = (None if one is None else round(one * 1000, 1) for one in spread.at_s)
    return {**dict(zip(("p50", "p90", "p99"), shown, strict=True)), "count": spread.count}


def _whole(sums: dict[str, float]) -> dict[str, int]:
    return {name: int(count) for name, count in sums.items()}
