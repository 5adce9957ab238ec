"""How the gateway listens, and what holds for all of it: `[server]`."""

from __future__ import annotations

import ipaddress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, field_validator

from llmitm.accept import origins
from llmitm.config.environment import EnvironmentProxies
from llmitm.config.table import Table
from llmitm.config.values import BaseUrl, HostName, Port, ProxyUrl, SecondsOrOff, wrong
from llmitm.secret import Secret


class Server(Table):
    host: str = "127.0.0.1"
    port: Port = 8811
    target_base: BaseUrl | None = None
    default_endpoint: str | None = None
    proxy_url: ProxyUrl | None = None
    proxy_env: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    http2: bool = False
    body_limit_mb: Annotated[float, Field(gt=0, le=4096)] = 32
    allow_anonymous: bool = False
    shutdown_timeout_s: SecondsOrOff = 30
    trusted_proxies: tuple[str, ...] = ()
    hosts: tuple[HostName, ...] = ()
    """Names that it may be asked by without a key, beside addresses and what only this network knows."""
    cors_origins: tuple[str, ...] = ()
    _environment: EnvironmentProxies | None = PrivateAttr(None)

    @cached_property  # asked for by every attempt, and a private attribute takes 2 us
    def environment(self) -> EnvironmentProxies | None:
        """Its proxies, once loaded; None: they are not used."""
        return self._environment

    def having(self, environment: EnvironmentProxies) -> Self:
        made = self.model_copy()
        made._environment = environment
        made.__dict__.pop("environment", None)
        return made

    def proxy_to(self, url: str) -> Secret | None:
        """The proxy for who has none of their own; empty or None: none."""
        if self.proxy_url is not None or self.environment is None:
            return self.proxy_url
        return self.environment.proxy_to(url)

    @property
    def body_limit_bytes(self) -> int:
        return int(self.body_limit_mb * 1_048_576)

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @field_validator("host")
    @classmethod
    def _host(cls, value: str) -> str:
        value = value.strip().removeprefix("[").removesuffix("]")
        if not value or any(sign in value for sign in " /@"):
            raise wrong("an address or host name is expected, such as 127.0.0.1 or ::1")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(origins.normal(one) for one in value)
        except ValueError as error:
            raise wrong(str(error)) from None

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            try:
                ipaddress.ip_network(one, strict=False)
            except ValueError:
                raise wrong("addresses or networks are expected, such as 10.0.0.0/8") from None
        return value
