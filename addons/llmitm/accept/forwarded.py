"""Who asks, where proxies stand in between: what `X-Forwarded-For` says, as far as it comes from proxies that
are trusted. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

type Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


def client_of(peer: str, told: Sequence[str], trusted: tuple[str, ...]) -> str:
    """The address of the client: the last one on its way that no trusted proxy has.

    `peer` is who is connected, `told` the values of the headers in their order; what stands there before
    something that is no address is not believed.
    """
    networks = _networks(trusted)
    address = _plain(peer)
    if not _is_in(address, networks):
        return peer
    for word in reversed(",".join(told).split(",")):
        found = _plain(word)
        if not _is_address(found):
            break
        address = found
        if not _is_in(address, networks):
            break
    return address


def is_trusted(peer: str | None, trusted: tuple[str, ...]) -> bool:
    return bool(trusted) and _is_in(_plain(peer or ""), _networks(trusted))


@lru_cache(maxsize=8)
def _networks(trusted: tuple[str, ...]) -> Networks:
    return tuple(ipaddress.ip_network(one, strict=False) for one in trusted)


def _plain(word: str) -> str:
    """An address without port, brackets and zone."""
    word = word.strip().strip('"')
    if word.startswith("["):
        word = word[1:].partition("]")[0]
    elif word.count(":") == 1:
        word = word.partition(":")[0]
    return word.partition("%")[0]


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def _is_in(address: str, networks: Networks) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in one for one in networks)
