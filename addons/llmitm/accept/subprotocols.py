"""Keys among the subprotocols of a WebSocket request, where browsers must put them. Pure.

`Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.<key>, openai-beta.realtime-v1`
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from llmitm.exchange import Headers

HEADER: Final = b"sec-websocket-protocol"
OWN: Final = b"llmitm-key."
"""Before a key of the gateway's: the same as the header `x-llmitm-key`."""
CLOUDFLARES: Final = b"cf-aig-authorization."
PLACES: Final = (b"openai-insecure-api-key.", b"xi-api-key.", b"x-goog-api-key.", b"api-key.")
"""Before the key of the provider that a client thinks it talks to."""
_SECRET: Final = (OWN, CLOUDFLARES, *PLACES)
_SCHEMES: Final = frozenset({b"token", b"bearer"})
"""Some clients name such a scheme first, and the key by itself next."""


def offered(headers: Headers) -> tuple[bytes, ...]:
    """The subprotocols that a client offers, in order."""
    return tuple(
        one
        for name, value in headers
        if name.lower() == HEADER
        for item in value.split(b",")
        if (one := item.strip())
    )


def own_keys(protocols: Iterable[bytes]) -> set[bytes]:
    """Keys that are meant for the gateway and nobody else."""
    return {one[len(OWN) :] for one in protocols if one.startswith(OWN)}


def key_of(protocol: bytes) -> bytes | None:
    """The provider's key in a subprotocol; None where it holds none."""
    return next((protocol[len(place) :] for place in PLACES if protocol.startswith(place)), None)


def passed(protocols: Iterable[bytes], *, ours: Collection[bytes], is_replaced: bool) -> tuple[bytes, ...]:
    """Those that travel on: without keys of the gateway's (`ours` are such keys), and without any provider's
    where one of ours takes its place."""
    kept = []
    for one in protocols:
        key = key_of(one)
        is_gone = one.startswith(OWN) or (key is not None and (is_replaced or key in ours))
        if not is_gone:
            kept.append(one)
    return tuple(kept)


def shown(value: bytes) -> bytes:
    """The header's value with `***` where it holds a key; the very same where it holds none."""
    items = value.split(b",")
    is_scheme = items[0].strip().lower() in _SCHEMES
    masked = [_masked(item, is_key=is_scheme and at == 1) for at, item in enumerate(items)]
    return value if masked == items else b",".join(masked)


def _masked(item: bytes, *, is_key: bool) -> bytes:
    bare = item.lstrip()
    blank = item[: len(item) - len(bare)]
    if is_key:
        return blank + b"***"
    place = next((place for place in _SECRET if bare.startswith(place)), None)
    return item if place is None else blank + place + b"***"
