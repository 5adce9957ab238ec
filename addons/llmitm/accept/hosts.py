"""By which names the gateway may be asked where it asks for no key: `[server] hosts`. Pure.

Whoever owns a name can point it at this machine, and then have the browser of a visitor ask here as if it
asked the page's own site (DNS rebinding): no rule about origins holds it back. An address cannot be pointed
elsewhere, and neither can names that only the own machine or network has. With TLS the certificate tells.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from llmitm.accept import origins
from llmitm.config.server import Server
from llmitm.errors import Refused
from llmitm.exchange import ClientRequest

_OWN: Final = (".localhost", ".local", ".internal", ".home.arpa", ".lan", ".test")
"""Ends of names that nobody can register; containers reach their machine by host.docker.internal. Sources:
RFC 6761, RFC 6762, RFC 8375; .lan is what home routers say."""


def check(request: ClientRequest, server: Server) -> None:
    """For what spends without a key. Where anyone who reaches an address may do that, only browsers are asked
    about names: they tell of an origin whenever they send anything.

    Raises:
        Refused: 421, the request came under a name that may be anybody's.
    """
    if request.scheme == "https":
        return
    host = request.header(b"host")
    if host is None or _is_known(host, server.hosts, server.host):  # browsers always send one
        return
    if not server.is_loopback and request.header(b"origin") is None:
        return
    if any(origins.has(server.cors_origins, scheme + host.lower()) for scheme in (b"http://", b"https://")):
        return
    name = hostname(host.decode("latin-1"))
    raise Refused(
        421,
        "unknown_host",
        "No key is asked for here, so a name could be one that a web page has pointed at this machine: "
        f"{f'add "{name}" to [server] hosts' if name else 'the Host header makes no sense; name it'}, "
        "or use the address.",
    )


@lru_cache(maxsize=64)
def _is_known(host: bytes, names: tuple[str, ...], own: str) -> bool:
    name = hostname(host.decode("latin-1"))
    if name is None:
        return False
    is_own = "." not in name or name.endswith(_OWN)
    return is_own or is_address(name) or name in names or name == own.lower()


def hostname(host: str) -> str | None:
    """The name in a Host header, lower case and without port; None where it makes no sense."""
    if not host or any(sign in host for sign in "/?#@\\ \t,"):
        return None
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    return (parts.hostname or "").rstrip(".") or None


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
