"""What becomes of an exchange, and of what was used for it, when an attempt brought no answer. Data. Pure.

An attempt ends in one of a few ways. The table says what is done next, and what rests for how long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, Literal

from llmitm.errors import Failure


class Ending(StrEnum):
    """How an attempt ended that brought no answer. Those that let something rest are the keys of
    `[retry] rest_s`."""

    CLIENT = "client"
    """The request is to blame, or the client: nobody else would answer it better."""
    CONTEXT = "context"
    """The prompt is longer than the model can read."""
    CONFLICT = "conflict"
    """Try again, says the provider, and blames nobody (408, 409, 425)."""
    AUTH = "auth"
    """The key is not known."""
    PERMISSION = "permission"
    """The key is known, and may not do this: this model, this file, this prompt."""
    BILLING = "billing"
    """Money, not pace: waiting a minute does not help."""
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    SERVER = "server"
    NETWORK = "network"
    TIMEOUT = "timeout"
    LATE = "late"
    """The whole exchange has taken as long as it may."""
    KILLED = "killed"
    """An operator stopped it."""
    SKIPPED = "skipped"
    """A rule of the operator's passed it over: nothing was sent."""


class Next(StrEnum):
    """What the exchange does."""

    DELIVER = "deliver"
    """The client is told, at once."""
    CREDENTIAL = "credential"
    """The next candidate is asked."""
    LARGER_MODEL = "larger_model"
    """A model with more context is asked where one is named for it; else the client is told."""


type Again = Literal["as_told", "when_back", "alone", "never"]
"""Whether the client's own retries make sense once it has been given up: the upstream decides; as soon as
somebody is back; the same, but only where no second try was made here, since tries at two layers multiply;
never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One row."""

    next: Next
    rests: Literal["nothing", "credential", "model"] = "nothing"
    """`model`: the credential rests for this model only."""
    rest_s: float | None = 0
    """Where the upstream does not say how long; None: until it is revived."""
    doubles: bool = False
    """Twice as long each time in a row, up to `LONGEST_GUESS_S`."""
    is_alert: bool = False
    """An operator has to do something."""
    backs_off: bool = False
    """The next try waits a little where it goes to the same provider."""
    again: Again = "alone"


LONGEST_GUESS_S: Final = 60.0
LONGEST_REST_S: Final = 86_400.0
"""No upstream is believed that asks for more than a day."""

VERDICTS: Final[Mapping[Ending, Verdict]] = {
    Ending.CLIENT: Verdict(next=Next.DELIVER, again="as_told"),
    Ending.CONTEXT: Verdict(next=Next.LARGER_MODEL, again="as_told"),
    Ending.CONFLICT: Verdict(next=Next.CREDENTIAL, backs_off=True),
    Ending.AUTH: Verdict(next=Next.CREDENTIAL, rests="credential", rest_s=None, is_alert=True),
    # a client's file or prompt can bring this about, and must not take every key out of service for good
    Ending.PERMISSION: Verdict(next=Next.CREDENTIAL, rests="model", rest_s=600, is_alert=True),
    Ending.BILLING: Verdict(next=Next.CREDENTIAL, rests="credential", rest_s=3_600, is_alert=True),
    Ending.RATE_LIMIT: Verdict(
        next=Next.CREDENTIAL, rests="model", rest_s=2, doubles=True, again="when_back"
    ),
    Ending.OVERLOADED: Verdict(
        next=Next.CREDENTIAL, rests="credential", rest_s=2, doubles=True, backs_off=True
    ),
    Ending.SERVER: Verdict(next=Next.CREDENTIAL, rests="credential", rest_s=2, doubles=True, backs_off=True),
    Ending.NETWORK: Verdict(next=Next.CREDENTIAL, rests="credential", rest_s=2, doubles=True, backs_off=True),
    Ending.TIMEOUT: Verdict(next=Next.CREDENTIAL, rests="credential", rest_s=2, doubles=True),
    Ending.LATE: Verdict(next=Next.DELIVER, again="never"),
    Ending.KILLED: Verdict(next=Next.DELIVER, again="never"),
    Ending.SKIPPED: Verdict(next=Next.CREDENTIAL, again="never"),
}


class Why(IntEnum):
    """Why something rests, as the shared store keeps it."""

    OPERATOR = 1
    AUTH = 2
    BILLING = 3
    RATE_LIMIT = 4
    OVERLOADED = 5
    SERVER = 6
    NETWORK = 7
    TIMEOUT = 8
    PERMISSION = 9


WHY: Final[Mapping[Ending, Why]] = {
    Ending.AUTH: Why.AUTH,
    Ending.PERMISSION: Why.PERMISSION,
    Ending.BILLING: Why.BILLING,
    Ending.RATE_LIMIT: Why.RATE_LIMIT,
    Ending.OVERLOADED: Why.OVERLOADED,
    Ending.SERVER: Why.SERVER,
    Ending.NETWORK: Why.NETWORK,
    Ending.TIMEOUT: Why.TIMEOUT,
}

_OF_KIND: Final[Mapping[str, Ending]] = {
    "context_too_long": Ending.CONTEXT,
    "auth": Ending.AUTH,
    "permission": Ending.PERMISSION,
    "billing": Ending.BILLING,
    "timeout_request": Ending.CONFLICT,
    "conflict": Ending.CONFLICT,
    "rate_limit": Ending.RATE_LIMIT,
    "server": Ending.SERVER,
    "bad_gateway": Ending.SERVER,
    "unavailable": Ending.OVERLOADED,
    "overloaded": Ending.OVERLOADED,
    "timeout": Ending.TIMEOUT,
}
"""Kinds of error bodies. All others are the client's."""

_OF_THE_KEY: Final = frozenset({Ending.AUTH, Ending.PERMISSION, Ending.BILLING, Ending.RATE_LIMIT})

_OF_FAILURE: Final[Mapping[Failure, Ending]] = {
    Failure.FIRST_BYTE_TIMEOUT: Ending.TIMEOUT,
    Failure.IDLE_TIMEOUT: Ending.TIMEOUT,
    Failure.EXCHANGE_TIMEOUT: Ending.LATE,
    Failure.KILLED: Ending.KILLED,
}


def of_kind(kind: str, status: int, *, has_credential: bool) -> Ending:
    """How an attempt ended whose answer was an error of this kind.

    `has_credential`: it was sent with a key of ours. What is said of a client's own key is the client's.
    """
    found = Ending.CONFLICT if status == 425 else _OF_KIND.get(kind, Ending.CLIENT)
    if not has_credential and found in _OF_THE_KEY:
        return Ending.CLIENT
    return found


def of_failure(failure: Failure) -> Ending:
    """How an attempt ended that brought no answer at all, or one that broke off."""
    return _OF_FAILURE.get(failure, Ending.NETWORK)
