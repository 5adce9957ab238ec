"""Counters that may be shared."""

from __future__ import annotations

from llmitm.clock import Clock
from llmitm.secret import Secret
from llmitm.state.alone import WhileAway
from llmitm.state.memory import MemoryStore
from llmitm.state.place import Place
from llmitm.state.shared import SharedStore


def open_store(url: Secret, clock: Clock, while_away: WhileAway | None = None) -> MemoryStore | SharedStore:
    """The store that a `[state] url` names. Connects to nothing yet.

    Raises ValueError where the URL is none; the configuration has been checked for that.
    """
    place = Place.of(url)
    if place.is_memory:
        return MemoryStore(clock)
    from llmitm.state.redis import RedisStore  # costs a while, and memory, where it is not wanted

    return SharedStore(RedisStore(place), clock, name=place.name, while_away=while_away)
