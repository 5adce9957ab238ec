"""Whose fault is an error that came through Cloudflare AI Gateway, and what does it mean? Pure.

Cloudflare's own errors have a shape of their own and a code, whatever their HTTP status; everything else
is the provider's. Codes are data: what is not in the table is told by its status, and nothing is made up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

import orjson

from llmitm.exchange import Headers


class Kind(StrEnum):
    """What an error asks for."""

    CONFIG = "config"
    """The operator: the gateway, or what is stored in it, is not set up for this."""
    TOKEN = "token"
    """The operator: Cloudflare does not accept the gateway's token."""
    KEY = "key"
    """The operator, or the client whose key it is: the provider does not accept it."""
    RATE_LIMIT = "rate_limit"
    QUOTA = "quota"
    """Money, not pace: waiting a minute does not help."""
    BLOCKED = "blocked"
    """A guardrail or a data loss rule stopped the prompt or the answer."""
    UPSTREAM = "upstream"
    """The provider, or the network, failed."""
    CLIENT = "client"
    UNKNOWN = "unknown"


type Rests = Literal["gateway", "key"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Whose error an answer is, and what it means."""

    is_cloudflares: bool
    code: int | None
    """Cloudflare's own; None for a provider's error."""
    kind: Kind
    message: str
    """Cloudflare's words; empty for a provider's error, whose body speaks for itself."""
    may_retry: bool
    """Whether another try may do, though never with what `rests` names."""
    rests: Rests
    """What had better not be used for a while: the gateway with its token, or the provider's key."""


_CODES: Final[Mapping[int, tuple[Kind, bool, Rests]]] = {
    2001: (Kind.CONFIG, False, None),
    2002: (Kind.UPSTREAM, True, None),
    2003: (Kind.RATE_LIMIT, True, "gateway"),
    2005: (Kind.UPSTREAM, True, None),  # a provider's failure, dressed as a 400
    2008: (Kind.CLIENT, False, None),
    2009: (Kind.TOKEN, True, "gateway"),
    2016: (Kind.BLOCKED, False, None),
    2017: (Kind.BLOCKED, False, None),
    2019: (Kind.CLIENT, False, None),
    2021: (Kind.QUOTA, True, "gateway"),
    2029: (Kind.BLOCKED, False, None),
    2030: (Kind.BLOCKED, False, None),
    2040: (Kind.CONFIG, False, None),
    2041: (Kind.QUOTA, True, "gateway"),  # a spend limit: HTTP 429, but no rate limit
    2047: (Kind.CONFIG, False, None),
    2049: (Kind.QUOTA, True, "gateway"),
    7003: (Kind.CLIENT, False, None),
    7013: (Kind.UPSTREAM, True, None),
    10000: (Kind.TOKEN, True, "gateway"),
}

_EDGE_CODE: Final = re.compile(rb"\berror code:?\s*(1\d{3})\b", re.IGNORECASE)
"""In the pages that Cloudflare's edge answers with before any gateway is asked."""
_EDGE_STATUSES: Final = range(520, 531)


def fault_of(
    status: int, body: bytes, headers: Headers = (), *, is_run: bool = False, has_key: bool = True
) -> Fault:
    """Tells Cloudflare's errors from the provider's, by the body's shape, and classes them by code.

    `is_run`: the request went to `/ai/run`, where a provider's refused key comes as code 2009, too.
    `has_key`: the request carried a key for the provider, ours or the client's.
    """
    try:
        told: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _page(status, body)
    code, message = _cloudflares_code(told)
    if code is None:
        return _providers(status, headers, has_key)
    kind, may_retry, rests = _CODES.get(code) or _by_status_of_cloudflare(status)
    if is_run and code == 2009:
        kind, rests = Kind.KEY, "key"
    return Fault(is_cloudflares=True, code=code, kind=kind, message=message, may_retry=may_retry, rests=rests)


def _page(status: int, body: bytes) -> Fault:
    """No JSON: a page of Cloudflare's edge, or of something before the provider. Never about a key."""
    edge = _EDGE_CODE.search(body)
    code = int(edge[1]) if edge else status if status in _EDGE_STATUSES else None
    is_network = status >= 500 or status in (401, 403) or edge is not None
    kind, may_retry, rests = (Kind.UPSTREAM, True, None) if is_network else _by_status(status)
    return Fault(
        is_cloudflares=code is not None,
        code=code,
        kind=kind,
        message="the edge answered with a page" if code is not None else "",
        may_retry=may_retry,
        rests=rests,
    )


def _providers(status: int, headers: Headers, has_key: bool) -> Fault:
    kind, may_retry, rests = _by_status(status)
    if kind is Kind.KEY and not has_key:
        # forwarded without any key: nothing is stored in the gateway, and it does not bill this model
        kind, may_retry, rests = Kind.CONFIG, False, None
    elif status == 402 and any(name.lower() == b"payment-required" for name, _ in headers):
        # an offer to the client to pay for this request, not an account without money
        kind, may_retry, rests = Kind.CLIENT, False, None
    return Fault(is_cloudflares=False, code=None, kind=kind, message="", may_retry=may_retry, rests=rests)


def _by_status(status: int) -> tuple[Kind, bool, Rests]:
    if status in (401, 403):
        return Kind.KEY, True, "key"
    if status == 402:
        return Kind.QUOTA, True, "key"
    if status == 429:
        return Kind.RATE_LIMIT, True, "key"
    if status >= 500:
        return Kind.UPSTREAM, True, None
    return Kind.CLIENT, False, None


def _by_status_of_cloudflare(status: int) -> tuple[Kind, bool, Rests]:
    return Kind.UNKNOWN, status == 429 or status >= 500, "gateway" if status == 429 else None


def _cloudflares_code(told: Any) -> tuple[int | None, str]:
    """Code and message of an error of Cloudflare's, code 0 where it has none; None for a provider's."""
    if not isinstance(told, dict):
        return None, ""
    lists = [told[name] for name in ("error", "errors") if isinstance(told.get(name), list)]
    is_ours = (
        told.get("name") == "AiGatewayError"
        or "internalCode" in told
        or (told.get("success") is False and bool(lists))
    )
    if not is_ours:
        return None, ""
    firsts = [one[0] for one in lists if one and isinstance(one[0], dict)]
    codes = [_number(one) for one in (told.get("internalCode"), *(first.get("code") for first in firsts))]
    words = (*(first.get("message") for first in firsts), told.get("message"), told.get("description"))
    message = next((word for word in words if isinstance(word, str) and word), "")
    return next((code for code in codes if code is not None), 0), message


def _number(code: Any) -> int | None:
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) < 10:
        return int(code)
    return code if type(code) is int else None
