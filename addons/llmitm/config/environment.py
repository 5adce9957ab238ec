"""The proxies that the environment names, and for which targets: `[server] proxy_env`.

As curl and most libraries read it: HTTPS_PROXY and HTTP_PROXY by the target's scheme, else ALL_PROXY; in
small letters they go before. NO_PROXY lists, with commas or blanks between, what is asked directly: names
with all that lies below them (`corp.example`, `.corp.example` and `*.corp.example` say the same), addresses,
networks, each with a port where only that is meant, and `*` for everything.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from llmitm.config.values import PROXY_SCHEMES, proxy_url
from llmitm.errors import Problem
from llmitm.secret import Secret

if TYPE_CHECKING:
    from llmitm.config.schema import Config

type _Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Unproxied:
    """One entry of NO_PROXY."""

    name: str = ""
    """Without dots at its ends, in small letters; empty where it is a network."""
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    port: int | None = None
    """None: any."""

    def has(self, name: str, address: _Address | None, port: int) -> bool:
        if self.port not in (None, port):
            return False
        if self.network is not None:
            return address is not None and address in self.network
        return name == self.name or (address is None and name.endswith("." + self.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentProxies:
    http: Secret | None
    """For targets of that scheme; None: they are asked directly. So is the next."""
    https: Secret | None
    unproxied: tuple[Unproxied, ...] = ()
    is_off: bool = False
    """Whether NO_PROXY is `*`."""

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return tuple(one for one in (self.http, self.https) if one is not None)

    def proxy_to(self, url: str) -> Secret | None:
        """The proxy that this URL is asked through; None: none."""
        parts = urlsplit(url)
        proxy = self.http if parts.scheme == "http" else self.https
        if proxy is None or self.is_off:
            return None
        if self.unproxied:
            name = (parts.hostname or "").rstrip(".")
            address = _address(name)
            port = parts.port or _PORTS.get(parts.scheme, 443)
            if any(one.has(name, address, port) for one in self.unproxied):
                return None
        return proxy


def read(env: Mapping[str, str], problems: list[Problem]) -> EnvironmentProxies:
    """What the variables say. A value that makes no proxy is a problem that names its variable."""
    excluded = [one for one in _value(env, "NO_PROXY")[1].replace(",", " ").split() if one]
    return EnvironmentProxies(
        http=_proxy(env, "HTTP_PROXY", problems),
        https=_proxy(env, "HTTPS_PROXY", problems),
        unproxied=tuple(_unproxied(one) for one in excluded if one != "*"),
        is_off="*" in excluded,
    )


def doubts(config: Config) -> Iterator[str]:
    """What is possible with `proxy_env` but hardly meant."""
    server = config.server
    found = server.environment
    if found is None:
        return
    if server.proxy_url is not None:
        yield "server.proxy_url is set: the proxies of the environment (proxy_env) are not used"
    elif not found.secrets:
        yield "server.proxy_env is set, and the environment names no proxy, such as HTTPS_PROXY"
    else:
        for name, provider in config.providers.items():
            base = provider.base(name)
            if base and provider.proxy_url is None and _is_here(base) and server.proxy_to(base):
                yield f"provider {name} is here and asked through a proxy: NO_PROXY may name its host"
        for name, endpoint in config.endpoints.items():
            base = endpoint.target_base
            if base and endpoint.proxy_url is None and _is_here(base) and server.proxy_to(base):
                yield f"endpoint {name} leads here through a proxy: NO_PROXY may name its host"


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _value(env: Mapping[str, str], name: str) -> tuple[str, str]:
    """The variable as it is spelled there, and its value; empty where there is none."""
    spelled = name.lower() if name.lower() in env else name
    return spelled, env.get(spelled, "").strip()


def _proxy(env: Mapping[str, str], name: str, problems: list[Problem]) -> Secret | None:
    spelled, value = _value(env, name)
    if not value:
        spelled, value = _value(env, "ALL_PROXY")
    if not value:
        return None
    try:
        return proxy_url(Secret(value if "://" in value else f"http://{value}", f"env:{spelled}"))
    except ValueError:
        if all(problem.path != spelled for problem in problems):
            expected = f"{', '.join(PROXY_SCHEMES)}://[user:password@]host:port is expected"
            problems.append(Problem(spelled, f"a proxy URL is expected, since proxy_env is set: {expected}"))
        return None


def _unproxied(entry: str) -> Unproxied:
    text, port = entry.lower(), None
    bare, mark, last = text.rpartition(":")
    if mark and last.isdecimal() and (":" not in bare or bare.endswith("]")):
        text, port = bare, int(last)
    text = text.removeprefix("[").removesuffix("]")
    try:
        return Unproxied(network=ipaddress.ip_network(text, strict=False), port=port)
    except ValueError:
        return Unproxied(name=text.removeprefix("*").strip("."), port=port)


def _address(host: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


__all__ = ["EnvironmentProxies", "Unproxied", "doubts", "read"]
