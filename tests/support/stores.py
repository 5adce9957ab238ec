"""Stores of counters, as tests want them."""

from __future__ import annotations

from llmitm.secret import Secret
from llmitm.state.kinds import in_us
from llmitm.state.place import Place
from llmitm.state.redis import RedisStore
from support.clocks import HandClock
from support.redis_server import RedisServer


def redis_store(server: RedisServer, clock: HandClock | None = None, timeout_s: float = 5) -> RedisStore:
    """On the server's own time without a clock. The patience is for slow machines."""
    now_us = None if clock is None else (lambda: in_us(clock.tick_s()))
    return RedisStore(Place.of(Secret(server.url)), timeout_s=timeout_s, now_us=now_us)
