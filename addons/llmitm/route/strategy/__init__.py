"""In which order those that could answer are asked. One interface: a score, the lowest first.

Who is equal by score keeps the order of the smooth weighted rotation, so that a strategy without anything
to tell its candidates apart still shares the load by weight.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from llmitm.route.choice import Choice
from llmitm.route.rotation import cycle
from llmitm.route.strategy import cost, fill_first, latency, least_in_flight, round_robin, sticky
from llmitm.route.strategy.facts import Facts
from llmitm.state.store import Count, Store

TURNS_KEPT_S: Final = 86_400.0
"""Names of models come from clients, and who rests makes other sets: counters of old ones go."""

type Score = Callable[[Choice[Any], int, Facts], float]
"""Of a choice, and where it stands in the configuration."""

SCORES: Final[Mapping[str, Score]] = {
    "round-robin": round_robin.score,
    "fill-first": fill_first.score,
    "least-in-flight": least_in_flight.score,
    "latency": latency.score,
    "cost": cost.score,
    "sticky": sticky.score,
}


async def ordered[T](
    choices: Sequence[Choice[T]], facts: Facts, strategy: str, store: Store
) -> list[Choice[T]]:
    """All of them, the one to ask first in front."""
    if len(choices) < 2:
        return list(choices)
    # each model has a turn of its own: clients that ask for two in turn would else split them by account
    name = ",".join([f"{one.name}:{one.model}" for one in choices])
    # and each set of those that do not rest; where many sets come and go, they must not all begin alike
    turn = await turns(name, [one.weight for one in choices], store, zlib.crc32(name.encode()))
    score = SCORES[strategy]
    if score is round_robin.score:
        return [choices[at] for at in turn]
    scores = [score(one, at, facts) for at, one in enumerate(choices)]
    return [choices[at] for at in sorted(turn, key=lambda at: scores[at])]


async def turns(name: str, weights: Sequence[int], store: Store, first: int = 0) -> list[int]:
    """All indexes, in the order in which their turns come next in the smooth weighted rotation `name`, whose
    round begins with turn number `first`.
    """
    if len(weights) < 2:
        return list(range(len(weights)))
    order = cycle(tuple(weights))
    outcome = await store.apply((Count(key=f"rotation:{name}", ttl_s=TURNS_KEPT_S),))
    at = (outcome.values[0] - 1 + first) % len(order)
    return list(dict.fromkeys((*order[at:], *order[:at])))
