"""A conversation stays with one account: its prompt cache is there, and nobody else can read its seals.

Rendezvous hashing: where an account comes or goes, only its own conversations move. Weights are shares.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from llmitm.route.choice import Choice
from llmitm.route.strategy.facts import Facts


def score(choice: Choice[Any], at: int, facts: Facts) -> float:
    if not facts.conversation:
        return 0
    digest = hashlib.blake2b(f"{facts.conversation}\0{choice.name}".encode(), digest_size=8).digest()
    drawn = (int.from_bytes(digest) + 0.5) / 2**64
    return -math.log(drawn) / choice.weight
