"""Who is asked, and how often: `[routing]` and `[retry]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from llmitm.config.table import Table
from llmitm.config.values import Count, Glob, Seconds, SecondsOrOff, wrong
from llmitm.route.verdict import WHY


class PoolMember(Table):
    model: Glob
    weight: Count = 1


def _pools(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: [{"model": one}] if isinstance(one, str) else one for name, one in value.items()}
    return value


class Routing(Table):
    strategy: Literal["round-robin", "fill-first", "least-in-flight", "latency", "cost", "sticky"] = (
        "round-robin"
    )
    force_model_prefix: bool = False
    aliases: Annotated[Mapping[str, tuple[PoolMember, ...]], BeforeValidator(_pools)] = {}
    """Name to a weighted pool of models; a single model is a pool of one."""
    fallbacks: Mapping[str, tuple[Glob, ...]] = {}
    context_fallbacks: Mapping[str, tuple[Glob, ...]] = {}
    hedge_after_ms: Count | None = None


def _ending(value: str) -> str:
    if value not in WHY:
        raise wrong(f"nothing rests after {value!r}; one of {', '.join(WHY)} is expected")
    return value


class Breaker(Table):
    failures: Count = 5
    window_s: Seconds = 60
    open_s: Seconds = 30


class Retry(Table):
    max_attempts: Count | None = None
    budget_ratio: Annotated[float, Field(ge=0, le=1)] = 0.25
    base_ms: SecondsOrOff = 200
    cap_s: Seconds = 5
    cooldowns: bool = True
    rest_s: Mapping[Annotated[str, AfterValidator(_ending)], SecondsOrOff] = {}
    breaker: Breaker = Breaker()
