"""The ways out: directly or through an outbound proxy, each with a pool of connections of its own."""

from __future__ import annotations

import asyncio
import base64
import ssl
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver
from aiohttp_socks import ProxyConnector, ProxyType

from llmitm.clock import Clock
from llmitm.errors import Failure, UpstreamFailed
from llmitm.identity import Identity, Unusable
from llmitm.secret import Secret

KEEPALIVE_S: Final = 15.0
"""How long an idle connection is kept: shorter than what providers' edges allow."""
AGE_S: Final = 300.0
"""Older connections are not used again, however busy they are: the name may lead elsewhere by now."""
UNUSED_S: Final = 60.0
"""A pool that nobody asked for so long is given up: its proxy or identity may be configured no more."""
DNS_CACHE_S: Final = 10


@dataclass(slots=True, kw_only=True)
class Route:
    """A pool of connections, and what a request over it must be told of the proxy."""

    connector: aiohttp.TCPConnector
    is_proxied: bool = False
    proxy: yarl.URL | None = None
    """An HTTP proxy, without its user information. None where the connector itself knows the way."""
    credentials: tuple[tuple[str, str], ...] = ()
    """The Proxy-Authorization header, if any: on CONNECT for https:// targets, else on the request."""
    used_s: float = 0.0
    """When it was last asked for a connection, on the clock's ticks."""

    @property
    def is_busy(self) -> bool:
        """Whether a connection of it carries something."""
        return bool(self.connector._acquired)

    async def close(self) -> None:
        await self.connector.close()


class Pools:
    """One for each proxy and TLS identity, made when first needed."""

    def __init__(self, clock: Clock, resolver: AbstractResolver | None) -> None:
        self._clock = clock
        self._resolver = resolver
        self._routes: dict[tuple[Secret | None, Identity | None], Route] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def way(self, proxy_url: Secret | None, identity: Identity | None) -> Route:
        """Raises `UpstreamFailed` where files of the identity have become what makes none."""
        key = (proxy_url or None, identity)
        known = self._routes.get(key)
        if known is None:
            self.give_up_unused()
            try:
                tls = identity.context() if identity is not None else None
            except Unusable as error:
                raise UpstreamFailed(Failure.TLS, str(error)) from None
            known = self._routes[key] = route(key[0], tls=tls, resolver=self._resolver)
        known.used_s = self._clock.tick_s()
        return known

    def give_up_unused(self) -> None:
        since_s = self._clock.tick_s() - UNUSED_S
        for key, way in list(self._routes.items()):
            if way.used_s < since_s and not way.is_busy:
                del self._routes[key]
                task = asyncio.ensure_future(way.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        routes = list(self._routes.values())
        self._routes.clear()
        for way in routes:
            await way.close()


def route(
    proxy_url: Secret | None,
    *,
    tls: ssl.SSLContext | None = None,
    resolver: AbstractResolver | None = None,
) -> Route:
    """The way out: direct for None, else through the proxy (http, https, socks5, socks5h).

    `tls` replaces the system's authorities, for targets and for an https:// proxy. `resolver` replaces the
    system's, where names are looked up here. Must be called while the event loop runs.
    """
    common: dict[str, Any] = {
        "limit": 0,
        "keepalive_timeout": KEEPALIVE_S,
        "ttl_dns_cache": DNS_CACHE_S,
        "ssl": tls or True,
    }
    if not proxy_url:
        return Route(connector=aiohttp.TCPConnector(resolver=resolver, **common))
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
        connector=aiohttp.TCPConnector(resolver=resolver, **common),
        is_proxied=True,
        proxy=yarl.URL.build(scheme=parts.scheme, host=host, port=port),
        credentials=credentials,
    )
