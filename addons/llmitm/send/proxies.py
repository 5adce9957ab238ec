"""An endpoint's outbound proxy: a connection pool of its own."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import yarl
from aiohttp_socks import ProxyConnector, ProxyType

from llmitm.secret import Secret

KEEPALIVE_S = 15.0
"""How long an idle connection is kept: shorter than what providers' edges allow."""
DNS_CACHE_S = 10


@dataclass(frozen=True, slots=True)
class Route:
    """A connector, and what each request over it must be told of the proxy."""

    connector: aiohttp.BaseConnector
    request: dict[str, Any]
    plain_headers: tuple[tuple[str, str], ...] = ()
    """For requests that the proxy itself reads, since there is no tunnel: those to http:// targets."""


def route(proxy_url: Secret | None, *, ssl: Any = True) -> Route:
    """The way out: direct for None, else through the proxy (http, https, socks5, socks5h)."""
    common: dict[str, Any] = {"limit": 0, "keepalive_timeout": KEEPALIVE_S}
    if proxy_url is None:
        direct = aiohttp.TCPConnector(ssl=ssl, ttl_dns_cache=DNS_CACHE_S, **common)
        return Route(direct, {})
    parts = urlsplit(proxy_url.reveal())
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password or "") if user is not None else None
    host = parts.hostname or ""
    if parts.scheme in ("socks5", "socks5h"):
        connector = ProxyConnector(
            proxy_type=ProxyType.SOCKS5,
            host=host,
            port=parts.port or 1080,
            username=user,
            password=password,
            rdns=parts.scheme == "socks5h",
            ssl=ssl,
            **common,
        )
        return Route(connector, {})
    port = parts.port or (443 if parts.scheme == "https" else 80)
    plain: tuple[tuple[str, str], ...] = ()
    told: dict[str, Any] = {"proxy": yarl.URL.build(scheme=parts.scheme, host=host, port=port)}
    if user is not None:
        pair = base64.b64encode(f"{user}:{password or ''}".encode()).decode()
        plain = (("Proxy-Authorization", f"Basic {pair}"),)
        told["proxy_headers"] = dict(plain)
    return Route(aiohttp.TCPConnector(ssl=ssl, ttl_dns_cache=DNS_CACHE_S, **common), told, plain)
