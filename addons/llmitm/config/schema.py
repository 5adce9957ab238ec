"""Every key of the configuration, with its default. Values are frozen once they are loaded.

Hyphens in keys are read as underscores; names that people choose (endpoints, providers, models, header
names, environment variables) stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, Field

from llmitm.config.auth_keys import AuthKey
from llmitm.config.budget import Budget
from llmitm.config.dashboard import Dashboard
from llmitm.config.endpoints import Cloudflare, Endpoint, EndpointName, Gateway
from llmitm.config.hooks import Hooks
from llmitm.config.keeping import Ledger, Log, State
from llmitm.config.limits import RateLimit
from llmitm.config.payload import Payload
from llmitm.config.prices import ModelPrice
from llmitm.config.providers import Provider
from llmitm.config.routing import Retry, Routing
from llmitm.config.server import Server
from llmitm.config.table import Table
from llmitm.config.telemetry import Telemetry
from llmitm.config.times import Streaming, Timeouts
from llmitm.config.values import Glob, wrong
from llmitm.secret import Secret
from llmitm.shape.headers import Passing
from llmitm.shape.headers import wrong as wrong_header


def _passable(value: str) -> str:
    if (why := wrong_header(value)) is not None:
        raise wrong(why)
    return value


class Config(Table):
    """The whole configuration: one frozen snapshot."""

    server: Server = Server()
    endpoints: Mapping[EndpointName, Endpoint] = {}
    gateways: tuple[Gateway, ...] = ()
    cloudflare: Cloudflare = Cloudflare()
    providers: Mapping[str, Provider] = {}
    auth_keys: tuple[AuthKey, ...] | None = None
    """None: nobody is asked for a key. Empty: nobody is admitted."""
    routing: Routing = Routing()
    retry: Retry = Retry()
    timeouts: Timeouts = Timeouts()
    streaming: Streaming = Streaming()
    rate_limit: RateLimit = RateLimit()
    budget: Budget = Budget()
    payload: Payload = Payload()
    passthrough_headers: tuple[Annotated[str, AfterValidator(_passable)], ...] = ()
    hooks: Hooks = Hooks()
    model_prices: Mapping[Glob, ModelPrice] = {}
    """By model, or `PROVIDER/MODEL`, exact or as a glob."""
    model_capabilities: Mapping[Glob, Mapping[str, Any]] = {}
    """A glob of models to cells of their rows in `translate.models`."""
    ledger: Ledger = Ledger()
    state: State = State()
    dashboard: Dashboard = Dashboard()
    log: Log = Log()
    telemetry: Telemetry = Telemetry()

    source: Annotated[str, Field(exclude=True)] = "defaults"
    """The file it came from, or what stood in for one."""
    warnings: Annotated[tuple[str, ...], Field(exclude=True)] = ()

    @cached_property
    def auth_keys_by_digest(self) -> Mapping[bytes, AuthKey]:
        """By SHA-256: how long a look takes never tells how much of a key is right."""
        return {key.digest: key for key in self.auth_keys or ()}

    @cached_property
    def auth_keys_by_name(self) -> Mapping[str, AuthKey]:
        return {key.name: key for key in self.auth_keys or ()}

    @cached_property
    def auth_keys_by_mask(self) -> Mapping[str, Sequence[AuthKey]]:
        found: dict[str, list[AuthKey]] = {}
        for key in self.auth_keys or ():
            found.setdefault(key.mask, []).append(key)
        return found

    @cached_property
    def passing(self) -> Passing:
        """What is passed on whatever the dialects."""
        return Passing(self.passthrough_headers)

    @property
    def default_endpoint(self) -> str | None:
        """Where unprefixed /v1 and /v1beta paths go; None: nowhere."""
        return self.server.default_endpoint or ("default" if "default" in self.endpoints else None)

    def target_of(self, name: str) -> str:
        """Base URL of a forward endpoint: its own, its provider's, or the server's."""
        endpoint = self.endpoints[name]
        if endpoint.target_base is not None:
            return endpoint.target_base
        if endpoint.provider is not None:
            base = self.providers[endpoint.provider].base(endpoint.provider)
            if base is not None:
                return base
        assert self.server.target_base is not None, "checked when it was loaded"
        return self.server.target_base

    def secrets(self) -> tuple[Secret, ...]:
        """Every secret in it, for the redaction filter. Proxy URLs count with their passwords too."""
        found: list[Secret] = []
        _collect(self, found)
        if self.server.environment is not None:
            found += self.server.environment.secrets
        for secret in tuple(found):
            if "://" in secret.reveal():
                try:
                    password = urlsplit(secret.reveal()).password
                except ValueError:
                    password = None
                found.remove(secret)  # the URL itself is wanted in messages; its password is not
                if password:
                    # as it stands in the URL, and as the proxy or database gets it
                    found += [Secret(form) for form in {password, unquote(password)}]
        return tuple(found)


def _collect(value: Any, found: list[Secret]) -> None:
    match value:
        case Secret():
            found.append(value)
        case BaseModel():
            for name in type(value).model_fields:
                _collect(getattr(value, name), found)
        case Mapping():
            for one in value.values():
                _collect(one, found)
        case tuple() | list():
            for one in value:
                _collect(one, found)
