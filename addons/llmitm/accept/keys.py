"""May this client come in? Finds its key wherever an SDK puts it, and says what must not travel on. Pure.

Fails closed: what cannot be understood is refused. Keys are looked up by their digests, so that neither
their number nor how much of one is right tells in the time that it takes.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import unquote_to_bytes

from llmitm.accept import subprotocols, tickets
from llmitm.config.auth_keys import AuthKey
from llmitm.config.endpoints import Endpoint
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import Headers

OWN: Final = b"x-llmitm-key"
PLACES: Final = frozenset({b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key"})
"""Where SDKs put the key of the provider that they think they talk to."""
OURS: Final = b"sk-proxy-"
"""Keys that begin so are ours: one that is not known is refused, never passed on."""
_NEVER_AGAIN: Final = ((b"x-should-retry", b"false"),)
"""Clients try again after a 401, some for minutes; ours stands until somebody mends a configuration."""

_QUERY_KEY: Final = re.compile(rb"(?:\A|(?<=&))(?:k|%6[bB])(?:e|%65)(?:y|%79)=([^&]*)(?:&|\Z)")
"""However its name is spelled: who reads it upstream decodes percent signs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A client that may come in."""

    name: str | None
    """Name of its auth key; None where none is asked for."""
    drop_headers: frozenset[bytes]
    """Lower-case names of headers that do not travel on."""
    query: bytes
    """The query without a key of ours."""


def admit(
    headers: Headers,
    query: bytes,
    endpoint: Endpoint,
    endpoint_name: str,
    config: Config,
    now_s: float,
    path: bytes = b"",
    protocols: tuple[bytes, ...] = (),
) -> Admission:
    """Decides from the head alone. `path` is what stands below the endpoint, `protocols` are the subprotocols
    of a WebSocket's handshake.

    Raises:
        Refused: 400 for keys that contradict each other, 401 for one that is missing, unknown or expired,
            403 for one that may not use this endpoint.
    """
    own = {value.strip() for name, value in headers if name.lower() == OWN} - {b""}
    others = [(name.lower(), _bare(value)) for name, value in headers if name.lower() in PLACES]
    if protocols:
        own |= subprotocols.own_keys(protocols)
        others += [(b"", inner) for one in protocols if (inner := subprotocols.key_of(one)) is not None]
    in_query = {unquote_to_bytes(found[1]) for found in _QUERY_KEY.finditer(query)}
    # SDKs without a key send an empty one
    presented = ({value for _, value in others} | in_query) - {b""}
    ours = {value for value in presented | own if _known(value, config) is not None}
    if any(value.startswith(OURS) and value not in ours for value in presented | own):
        raise _unknown()
    if endpoint.kind == "forward" and endpoint.provider is not None:
        # our credential goes where the client's was; headers are replaced, a query must be cleared
        passed_query = _without_key(query)
    else:
        passed_query = query

    if config.auth_keys is None:
        return Admission(name=None, drop_headers=frozenset({OWN}), query=passed_query)

    if own:
        if len(own) > 1:
            raise _contradicting()
        key = _checked(_known(next(iter(own)), config), endpoint_name, now_s)
        # the other keys belong to the upstream, but any that is ours, this one or another, stays here
        return Admission(
            name=key.name,
            drop_headers=frozenset({OWN} | {name for name, value in others if value in ours}),
            query=_without_key(query) if in_query & ours else passed_query,
        )
    if not endpoint.injects:
        raise Refused(
            401,
            "missing_key",
            "This endpoint passes your provider key on, so the gateway's key must come in x-llmitm-key.",
            headers=_NEVER_AGAIN,
        )
    if not presented and path.startswith(tickets.PATH):
        if (held := tickets.holder(query, config)) is not None:
            key = _checked(held, endpoint_name, now_s)
            return Admission(name=key.name, drop_headers=PLACES | {OWN}, query=tickets.without(query))
    if not presented:
        raise Refused(
            401,
            "missing_key",
            "No key was sent; send one in Authorization (Bearer) or in x-api-key.",
            headers=_NEVER_AGAIN,
        )
    if len(presented) > 1:
        raise _contradicting()
    key = _checked(_known(next(iter(presented)), config), endpoint_name, now_s)
    return Admission(name=key.name, drop_headers=PLACES | {OWN}, query=_without_key(query))


def operators(query: bytes) -> Admission:
    """Of a request of whoever has logged in as an operator."""
    return Admission(name=None, drop_headers=PLACES | {OWN}, query=_without_key(query))


def _bare(value: bytes) -> bytes:
    """The key without `Bearer`; empty where nothing follows it."""
    words = value.split(None, 1)
    if words and words[0].lower() == b"bearer":
        words = words[1:]
    return b" ".join(words).strip()


def _without_key(query: bytes) -> bytes:
    return _QUERY_KEY.sub(b"", query).rstrip(b"&")


def _known(value: bytes, config: Config) -> AuthKey | None:
    return config.auth_keys_by_digest.get(hashlib.sha256(value).digest())


def _checked(key: AuthKey | None, endpoint_name: str, now_s: float) -> AuthKey:
    if key is None or key.disabled:
        raise _unknown()
    if key.expires_at is not None and key.expires_at <= datetime.fromtimestamp(now_s, UTC):
        raise Refused(401, "expired_key", "This key has expired.", headers=_NEVER_AGAIN)
    if key.allowed_endpoints and not any(fnmatchcase(endpoint_name, glob) for glob in key.allowed_endpoints):
        raise Refused(403, "endpoint_not_allowed", "This key may not use this endpoint.")
    return key


def is_ours(value: bytes, config: Config) -> bool:
    """Whether it is a key of the gateway's, or looks like one."""
    return value.startswith(OURS) or _known(value, config) is not None


def _unknown() -> Refused:
    return Refused(401, "invalid_api_key", "This key is not known to the gateway.", headers=_NEVER_AGAIN)


def _contradicting() -> Refused:
    return Refused(400, "contradicting_keys", "Several different keys were sent; send one.")
