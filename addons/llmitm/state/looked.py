"""One look at a Redis server, past the store: what it is, and whether it can be written to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import ResponseError

from llmitm.clock import Clock
from llmitm.state.place import Place
from llmitm.state.redis import connected, reason

KEY: Final = "llmitm:{state}:look"
WAIT_S: Final = 10.0
"""Of the driver alone, for a connection."""
_SCRIPT: Final = "return redis.call('SET', KEYS[1], '1', 'PX', 1000)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    version: tuple[int, ...]
    policy: str | None
    """maxmemory-policy; None: it is not told."""
    most_bytes: int
    """0: as much as there is."""
    used_bytes: int
    is_replica: bool
    is_cluster: bool
    refusal: str | None
    """Why a script of ours could not write; None: it could."""
    answer_ms: float


async def look(place: Place, clock: Clock) -> Looked:
    """Raises what the driver raises; `why` makes a sentence of it."""
    asked = connected(place)
    try:
        told: dict[str, Any] = await asked.info()
        began_s = clock.tick_s()
        await asked.ping()
        answer_ms = (clock.tick_s() - began_s) * 1000
        refusal = None
        try:
            await asked.eval(_SCRIPT, 1, KEY)
        except ResponseError as error:
            refusal = " ".join(str(error).split())[:200]
    finally:
        await asked.aclose(close_connection_pool=True)
    return Looked(
        version=tuple(
            int(part) for part in str(told.get("redis_version", "0")).split(".")[:3] if part.isdecimal()
        ),
        policy=told.get("maxmemory_policy"),
        most_bytes=int(told.get("maxmemory", 0)),
        used_bytes=int(told.get("used_memory", 0)),
        is_replica=told.get("role") == "slave",
        is_cluster=bool(told.get("cluster_enabled", 0)),
        refusal=refusal,
        answer_ms=answer_ms,
    )


def why(place: Place, error: Exception) -> str:
    return reason(error, place.password, WAIT_S)
