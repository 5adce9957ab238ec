"""The way out: directly or through an outbound proxy, with a pool of connections of its own."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import aiohttp
import yarl
from aiohttp_socks import ProxyConnector, ProxyType

from llmitm.secret import Secret

KEEPALIVE_S: Final = 15.0
"""How long an idle connection is kept: shorter than what providers' edges allow."""
DNS_CACHE_S: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A pool of connections, and what a request over it must be told of the proxy."""

    connector: aiohttp.TCPConnector
    is_proxied: bool = False
    proxy: yarl.URL | None = None
    """An HTTP proxy, without its user information. None where the connector itself knows the way."""
    credentials: tuple[tuple[str, str], ...] = ()
    """The Proxy-Authorization header, if any: on CONNECT for https:// targets, else on the request."""

    async def close(self) -> None:
        await self.connector.close()


def route(proxy_url: Secret | None, *, tls: ssl.SSLContext | None = None) -> Route:
    """The way out: direct for None, else through the proxy (http, https, socks5, socks5h).

    `tls` replaces the system's authorities, for targets and for an https:// proxy. Must be called while the
    event loop runs.
    """
    common: dict[str, Any] = {
        "limit": 0,
        "keepalive_timeout": KEEPALIVE_S,
        "ttl_dns_cache": DNS_CACHE_S,
        "ssl": tls or True,
    }
    if not proxy_url:
        return Route(connector=aiohttp.TCPConnector(**common))
    parts = urlsplit(proxy_url.reveal())
    host = parts.hostname or ""
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password or "") if user is not None else None
    if parts.scheme in ("socks5", "socks5h"):
        connector = ProxyConnector(
            proxy_type=ProxyType.SOCKS5,
            host=host,
            port=parts.port or 1080,
            username=user,
            password=password,
            rdns=parts.scheme == "socks5h",
            **common,
        )
        return Route(connector=connector, is_proxied=True)
    credentials: tuple[tuple[str, str], ...] = ()
    if user is not None:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        credentials = (("Proxy-Authorization", f"Basic {pair}"),)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Route(
        connector=aiohttp.TCPConnector(**common),
        is_proxied=True,
        proxy=yarl.URL.build(scheme=parts.scheme, host=host, port=port),
        credentials=credentials,
    )
