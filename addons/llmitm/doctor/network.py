"""The way to each upstream: its name, the proxies in between, and whether anybody answers."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from llmitm.clock import Clock
from llmitm.config.describe import masked_url
from llmitm.config.providers import Provider, ProviderOptions
from llmitm.config.schema import Config
from llmitm.doctor.finding import Notes
from llmitm.doctor.patient import Patient, Told
from llmitm.doctor.ports import is_here
from llmitm.errors import Failure, LlmitmError, UpstreamFailed
from llmitm.exchange import Attempt, Dialect, HeldBody, UpstreamReply, UpstreamRequest
from llmitm.identity import Identity
from llmitm.secret import Secret

NAME_S: Final = 4.0
"""So long a name may take."""
ANSWER_S: Final = 6.0
MOST_AT_ONCE: Final = 16
"""Requests: who has a hundred keys of one provider does not run into its limits for that."""
PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How an upstream is reached."""

    origin: str
    """Scheme, host and port of the upstream."""
    proxy: Secret | None = None
    """None: directly."""
    identity: Identity | None = None
    """For TLS; None: as the system has it."""

    @property
    def host(self) -> str:
        return urlsplit(self.origin).hostname or ""

    @property
    def name(self) -> str:
        return f"{self.origin} through {masked_url(self.proxy)}" if self.proxy else self.origin

    @property
    def is_resolved_here(self) -> bool:
        """Else the proxy looks the name up."""
        return self.proxy is None or urlsplit(self.proxy.reveal()).scheme == "socks5"


class Network:
    """What is found out about it once, and asked for by several checks."""

    def __init__(self, patient: Patient, *, name_s: float = NAME_S) -> None:
        """`name_s`: so long a name may take, and a connection to a proxy."""
        self._patient = patient
        self.name_s = name_s
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        self._names: dict[str, asyncio.Task[str | None]] = {}
        self._ways: dict[Way, asyncio.Task[str | None]] = {}
        self.reached_ms: dict[Way, float] = {}
        self.failures: dict[Way, UpstreamFailed] = {}

    def is_asked(self, way: Way) -> bool:
        """Whether it is to be asked at all."""
        if not self._patient.is_offline:
            return True
        return is_here(way.host) and (way.proxy is None or is_here(host_of(way.proxy)))

    async def named(self, host: str) -> str | None:
        """Why a name has no address; None: it has one."""
        if host not in self._names:
            self._names[host] = asyncio.create_task(self._resolved(host))
        return await asyncio.shield(self._names[host])

    async def _resolved(self, host: str) -> str | None:
        try:
            async with asyncio.timeout(self.name_s):
                await self._patient.resolve(host)
        except TimeoutError:
            return f"the resolver gives no answer within {self.name_s:g} s"
        except (OSError, UnicodeError) as error:
            return f"the name is not known here ({reason(error)})"
        return None

    async def reached(self, way: Way) -> str | None:
        """Why nobody answers there; None: somebody does."""
        if way not in self._ways:
            self._ways[way] = asyncio.create_task(self._reached(way))
        return await asyncio.shield(self._ways[way])

    async def _reached(self, way: Way) -> str | None:
        if way.is_resolved_here and await self.named(way.host) is not None:
            return f"{way.host} has no address"
        if way.proxy is not None and await self.named(host_of(way.proxy)) is not None:
            return f"its proxy {host_of(way.proxy)} has no address"
        clock = self._patient.clock
        began_s = clock.tick_s()
        try:
            reply = await self.ask(way, "HEAD", way.origin + "/")
        except UpstreamFailed as failed:
            self.failures[way] = failed
            why = await self._distrust(way) if failed.failure is Failure.TLS else ""
            return failed.message.rstrip(".") + why
        except LlmitmError as error:
            return str(error)
        await reply.close()
        self.reached_ms[way] = (clock.tick_s() - began_s) * 1000
        return None

    async def _distrust(self, way: Way) -> str:
        """What is wrong with the upstream's TLS, told after a colon; empty where that cannot be seen."""
        if way.proxy is not None:
            return ""
        port = urlsplit(way.origin).port
        trusting = way.identity.context() if way.identity is not None else ssl.create_default_context()
        try:
            async with asyncio.timeout(self.name_s):
                _, writer = await asyncio.open_connection(way.host, port, ssl=trusting)
        except ssl.SSLCertVerificationError as error:
            return f": {error.verify_message}"
        except ssl.SSLError as error:
            return f": {(error.reason or type(error).__name__).replace('_', ' ').lower()}"
        except (OSError, ValueError):
            return ""
        writer.transport.abort()
        return ""

    async def ask(self, way: Way, method: str, url: str) -> UpstreamReply:
        """Without any key. Raises LlmitmError."""
        attempt = Attempt(
            exchange_id="doctor",
            number=1,
            endpoint="",
            provider=way.host,
            url=url,
            dialect=Dialect.OPENAI_CHAT,
            proxy_url=way.proxy,
            identity=way.identity,
        )
        return await self.send(attempt, UpstreamRequest(method=method, url=url, headers=(), body=HeldBody()))

    async def send(self, attempt: Attempt, request: UpstreamRequest) -> UpstreamReply:
        """Sends it, and keeps what time the other side says it is. Raises LlmitmError."""
        clock = self._patient.clock
        began_s = clock.now_s()
        async with self._turns:
            reply = await self._patient.sender.send(attempt, request)
        if (date := reply.head.header(b"date")) is not None:
            self._patient.told.append(_told(attempt.url, date, began_s, clock))
        return reply


def _told(url: str, date: bytes, began_s: float, clock: Clock) -> Told:
    ended_s = clock.now_s()
    return Told(
        host=urlsplit(url).hostname or "",
        date=date.decode("latin-1"),
        at_s=(began_s + ended_s) / 2,
        late_s=max(0.0, (ended_s - began_s) / 2),
    )


def host_of(proxy: Secret) -> str:
    return urlsplit(proxy.reveal()).hostname or ""


def reason(error: Exception) -> str:
    """What the system says, in its own words."""
    number = getattr(error, "errno", None)
    if isinstance(error, socket.gaierror):
        return str(error.strerror or error).lower()
    return (os.strerror(number) if number else str(error) or type(error).__name__).lower()


def _where(proxy: Secret) -> str:
    """What says which proxy it is."""
    reference = proxy.reference or ""
    return reference.removeprefix("env:") if reference.startswith("env:") else "proxy_url"


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}:{parts.port or PORTS.get(parts.scheme, 443)}"


def way_to(url: str, *proxies: Secret | None, identity: Identity | None = None) -> Way:
    """The first of the proxies that says anything counts; an empty one is no proxy."""
    proxy = next((one for one in proxies if one is not None), None)
    is_tls = urlsplit(url).scheme == "https"
    return Way(origin=origin_of(url), proxy=proxy or None, identity=identity if is_tls else None)


def ways(config: Config) -> Mapping[Way, list[str]]:
    """Every upstream that may be asked, with what asks it."""
    found: dict[Way, list[str]] = {}

    def add(who: str, url: str, *proxies: Secret | None, identity: Identity | None = None) -> None:
        asking = found.setdefault(way_to(url, *proxies, identity=identity), [])
        if who not in asking:
            asking.append(who)

    server = config.server
    for name, provider in config.providers.items():
        if provider.disabled or not _is_asked_itself(config, name, provider):
            continue
        usable: list[ProviderOptions] = [one for one in provider.credentials if not one.disabled]
        for one in usable or [provider]:
            if (base := one.base(name)) is not None:
                add(f"provider {name}", base, one.proxy_url, server.proxy_to(base), identity=one.identity)
    for name, endpoint in config.endpoints.items():
        if endpoint.kind == "forward":
            asked = config.providers.get(endpoint.provider or "")
            own = (asked and asked.identity) or endpoint.identity
            url = config.target_of(name)
            add(f"endpoint {name}", url, endpoint.proxy_url, server.proxy_to(url), identity=own)
        elif endpoint.kind == "cloudflare":
            rest = any(gateway.form == "rest" for gateway in config.gateways)
            hosts = [config.cloudflare.base_url] if any(one.form != "rest" for one in config.gateways) else []
            for url in hosts + ([config.cloudflare.rest_base_url] if rest else []):
                proxies = endpoint.proxy_url, server.proxy_to(url)
                add(f"endpoint {name}", url, *proxies, identity=endpoint.identity)
    if config.telemetry.enabled:
        add("telemetry", config.telemetry.endpoint)
    return found


def _is_asked_itself(config: Config, name: str, provider: Provider) -> bool:
    """Providers that are only there to give Cloudflare's gateways their keys are not."""
    kinds = {one.kind for one in config.endpoints.values()}
    return "gateway" in kinds or any(one.provider == name for one in config.endpoints.values())


async def names(patient: Patient, network: Network, notes: Notes) -> None:
    """Every name that is looked up here."""
    config = patient.config
    if config is None:
        return
    hosts: dict[str, str] = {}
    for way, asking in ways(config).items():
        if way.is_resolved_here and network.is_asked(way):
            hosts.setdefault(way.host, asking[0])
        if way.proxy is not None and network.is_asked(way):
            hosts.setdefault(host_of(way.proxy), "proxy_url")
    hosts = {host: who for host, who in hosts.items() if not _is_address(host)}
    found = await asyncio.gather(*(network.named(host) for host in hosts))
    for (host, who), why in zip(hosts.items(), found, strict=True):
        if why is None:
            notes.ok("has an address", subject=host)
        else:
            fix = f"check how {who} spells it, and the machine's resolver (/etc/resolv.conf)"
            notes.error(why, (who != "proxy_url" and _unused_proxy(patient)) or fix, subject=host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _unused_proxy(patient: Patient) -> str | None:
    """What to do where the environment names a proxy which the configuration does not use; None: it names
    none."""
    config = patient.config
    if config is None or config.server.proxy_url is not None or config.server.proxy_env:
        return None
    variables = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
    found = next((one for one in variables if patient.env.get(one)), None)
    return found and f"{found} is set here and not used: set [server] proxy_env = true"


async def proxies(patient: Patient, network: Network, notes: Notes) -> None:
    """Every proxy: whether it is there, and lets us through."""
    config = patient.config
    if config is None:
        return
    asked: dict[Secret, list[Way]] = {}
    for way in ways(config):
        if way.proxy is not None and network.is_asked(way):
            asked.setdefault(way.proxy, []).append(way)
    await asyncio.gather(*(_proxy(network, proxy, mine, notes) for proxy, mine in asked.items()))


async def _proxy(network: Network, proxy: Secret, mine: list[Way], notes: Notes) -> None:
    parts = urlsplit(proxy.reveal())
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    subject, where = masked_url(proxy), _where(proxy)
    if (why := await network.named(host)) is not None:
        notes.error(f"{host} has no address: {why}", f"check {where}", subject=subject)
        return
    try:
        async with asyncio.timeout(network.name_s):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except TimeoutError:
        notes.error(
            f"gives no answer within {network.name_s:g} s",
            f"check {where}, and the way there",
            subject=subject,
        )
        return
    except OSError as error:
        notes.error(f"cannot be reached: {reason(error)}", f"start it, or mend {where}", subject=subject)
        return
    why = await network.reached(mine[0])
    failed = network.failures.get(mine[0])
    if failed is not None and failed.failure is Failure.PROXY:
        fix = f"check user and password in {where}, and what the proxy allows"
        notes.error(
            f"lets nothing through to {mine[0].origin}: {failed.detail or failed}", fix, subject=subject
        )
    elif why is not None:
        fix = "does it let connections to that host through? else see reach"
        notes.warning(f"is there; {mine[0].origin} does not answer through it", fix, subject=subject)
    else:
        notes.ok(f"lets us through to {mine[0].origin}", subject=subject)


_FIXES: Final[Mapping[Failure, str]] = {
    Failure.REFUSED: "start it, or mend its base_url",
    Failure.DNS: "mend its base_url, or the machine's resolver",
    Failure.TLS: "a proxy that opens TLS? add its authority to the system's; else mend base_url",
    Failure.PROXY: "see the proxy",
    Failure.CONNECT_TIMEOUT: "a firewall? set proxy_url where only a proxy leads out",
}


_WITHOUT_PROXY: Final = (Failure.CONNECT_TIMEOUT, Failure.DNS, Failure.REFUSED)
"""What it looks like where only a proxy leads out."""


async def reach(patient: Patient, network: Network, notes: Notes) -> None:
    """Every upstream: whether anybody answers. No key is sent."""
    config = patient.config
    if config is None:
        return
    every = ways(config)
    asked = {way: who for way, who in every.items() if network.is_asked(way)}
    await asyncio.gather(*(_reach(patient, network, way, who, notes) for way, who in asked.items()))
    if left := len(every) - len(asked):
        notes.ok(f"{left} not asked (--offline)")


async def _reach(patient: Patient, network: Network, way: Way, who: list[str], notes: Notes) -> None:
    why = await network.reached(way)
    asking = ", ".join(who)
    if why is None:
        notes.ok(f"answers in {network.reached_ms[way]:.0f} ms ({asking})", subject=way.name)
        return
    failed = network.failures.get(way)
    fix = _FIXES.get(failed.failure, "try again later, or ask who runs it") if failed else "see dns"
    if failed is not None and failed.failure in _WITHOUT_PROXY and not is_here(way.host):
        fix = _unused_proxy(patient) or fix
    notes.error(f"{why} ({asking})", fix, subject=way.name)
