"""Every key of the configuration, with its default. Values are frozen once they are loaded.

Hyphens in keys are read as underscores; names that people choose (endpoints, providers, models, header
names, environment variables) stay as they are. Keys of later work are validated here and used there.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    field_validator,
    model_validator,
)

from llmitm.accept import origins
from llmitm.config.budget import Budget, Period, Tokens, Usd
from llmitm.config.cloak import SensitiveWord, as_words
from llmitm.config.dashboard import Dashboard
from llmitm.config.environment import EnvironmentProxies
from llmitm.config.formats import FORMATS as FORMATS
from llmitm.config.identified import Identified
from llmitm.config.payload import Payload
from llmitm.config.prices import ModelPrice
from llmitm.config.table import Table
from llmitm.config.telemetry import Telemetry
from llmitm.config.values import (
    BaseUrl,
    Count,
    Glob,
    Key,
    PathGlob,
    Port,
    ProxyUrl,
    Seconds,
    SecondsOrOff,
    SecretText,
    matching,
    wrong,
)
from llmitm.exchange import Dialect
from llmitm.record.log_file import Rotation
from llmitm.route.known import KNOWN, Known
from llmitm.route.verdict import WHY
from llmitm.secret import Secret
from llmitm.shape.headers import Flags, Passing, flags
from llmitm.shape.headers import wrong as wrong_header
from llmitm.shape.hooks.modules import Modules

RESERVED: Final = frozenset({"v1", "v1beta", "health", "ready", "metrics", "admin", "api", "ws"})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}\Z")

SIGNED: Final = (
    "vertex",
    "vertex-ai",
    "vertex_ai",
    "google-vertex",
    "google-vertex-ai",
    "vertex-anthropic",
    "bedrock",
    "aws-bedrock",
    "amazon-bedrock",
    "bedrock-openai",
    "bedrock-mantle",
    "bedrock_mantle",
    "bedrock-anthropic",
)


def _endpoint_name(value: str) -> str:
    if value in RESERVED:
        raise wrong(f"{value} is a reserved name; choose another")
    if not _NAME.match(value):
        raise wrong(
            f"{value!r} cannot be a path segment: up to 64 letters, digits and . _ ~ -, "
            "a letter or a digit first"
        )
    return value


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


class Endpoint(Identified):
    kind: Literal["forward", "cloudflare", "gateway"] = "forward"
    target_base: BaseUrl | None = None
    proxy_url: ProxyUrl | None = None
    provider: str | None = None
    simulate_stream: bool = False
    strict: bool = False
    allowed_models: tuple[Glob, ...] = ()
    allowed_paths: tuple[PathGlob, ...] = ()
    """Paths that may be asked for beside those that are known, such as `/v1/skills*`; where only certain
    models are allowed, paths whose requests name no model too."""

    @model_validator(mode="after")
    def _has_paths_to_allow(self) -> Self:
        if self.allowed_paths and self.kind != "gateway":
            raise wrong("allowed_paths is for kind gateway: the other kinds pass any path")
        return self

    @property
    def injects(self) -> bool:
        """Whether requests are sent with credentials of ours."""
        return self.kind != "forward" or self.provider is not None


class Gateway(Table):
    account_id: Annotated[str, matching(r"[A-Za-z0-9_-]+", "letters, digits, _ and - are")]
    gateway_id: Annotated[str, matching(r"[A-Za-z0-9_.-]{1,64}", "up to 64 letters, digits, _ . and - are")]
    token: Key | None = None
    weight: Count = 1
    form: Literal["compat", "native", "rest"] = "compat"
    unified_billing: bool = False


class Cloudflare(Table):
    base_url: BaseUrl = "https://gateway.ai.cloudflare.com"
    rest_base_url: BaseUrl = "https://api.cloudflare.com"


class Model(Table):
    id: Glob
    alias: Glob | None = None


def _long(value: Secret) -> Secret:
    if len(value.reveal()) < 16:
        raise wrong("at least 16 characters are expected")
    return value


class Cloak(Table):
    mode: Literal["always", "never", "auto"] = "always"
    strict_mode: bool = False
    system_prompt: str | None = None
    sensitive_words: Annotated[tuple[SensitiveWord, ...], BeforeValidator(as_words)] = ()
    cache_user_id: bool = False
    headers: Mapping[str, SecretText] = {}
    secret: Annotated[SecretText, AfterValidator(_long)] | None = None
    """That marks and pseudonyms are made with; None: one that is made and kept beside this file."""


def _models(value: Any) -> Any:
    if isinstance(value, list):
        return [{"id": one} if isinstance(one, str) else one for one in value]
    return value


class ProviderOptions(Identified):
    """What a provider and each of its credentials may say."""

    format: str | None = None
    wire_api: Literal["chat", "responses"] = "chat"
    base_url: BaseUrl | None = None
    models: Annotated[tuple[Model, ...], BeforeValidator(_models)] = ()
    excluded_models: tuple[Glob, ...] = ()
    prefix: str | None = None
    headers: Mapping[str, SecretText] = {}
    refused_betas: tuple[Glob, ...] | None = None
    """Flags of anthropic-beta and openai-beta that it refuses; None: what is known of it. Once loaded, not
    None."""
    proxy_url: ProxyUrl | None = None
    test_model: str | None = None
    weight: Annotated[int, Field(ge=1, le=10_000)] = 1
    disabled: bool = False
    strict: bool = False
    map_hosted: tuple[Literal["web_search", "web_fetch", "code"], ...] = ()
    auto_cache: bool = False
    completions: tuple[Glob, ...] | None = None
    """Globs of models that it completes plain prompts with; None: what is known of it."""
    api_version: str | None = None
    extract_think: bool | None = None
    """None: as [streaming] says."""
    cloak: Cloak | None = None

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str | None) -> str | None:
        if value is not None and value not in FORMATS:
            if value in SIGNED:
                raise wrong(f"{value} needs signed requests, which are not built yet")
            raise wrong(f"one of {', '.join(FORMATS)} is expected")
        return value

    @field_validator("test_model")
    @classmethod
    def _no_empty_model(cls, value: str | None) -> str | None:
        return value or None

    @cached_property
    def flags(self) -> Flags | None:
        """What becomes of clients' lists of features; None: they stay as they are."""
        own = {name: value.reveal() for name, value in self.headers.items()}
        return flags(self.refused_betas or (), own)

    def known(self, name: str) -> Known | None:
        """What is known of a provider of that name, where this is that one and not another's address."""
        found = KNOWN.get(name)
        return None if found is None or (self.base_url is not None and not found.is_template) else found

    def dialects(self, name: str) -> tuple[Dialect, ...]:
        """What it speaks, the best first: its format, else what is known of its name, else openai-chat."""
        named = KNOWN.get(name)
        if self.format is not None:
            found: tuple[Dialect, ...] = (FORMATS[self.format],)
        elif known := self.known(name):
            found = known.formats
        elif named is not None and named.formats[0] in (Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI):
            found = named.formats
        else:
            found = (Dialect.OPENAI_CHAT,)
        if Dialect.OPENAI_CHAT in found and self.wire_api == "responses":
            return (Dialect.OPENAI_RESPONSES,)
        return found

    def dialect(self, name: str) -> Dialect:
        """The one of them that is used for clients of any other."""
        found = self.dialects(name)
        return Dialect.OPENAI_CHAT if Dialect.OPENAI_CHAT in found else found[0]

    def base(self, name: str) -> str | None:
        """Its base URL, or that of the well-known provider of its name; None where neither is known."""
        found = KNOWN.get(name)
        return self.base_url or (found.base_url if found is not None and not found.is_template else None)


class Credential(ProviderOptions):
    """One upstream key. Once loaded, options that it does not set are its provider's."""

    api_key: Key
    name: str = ""

    @staticmethod
    def name_of(provider: str, key: Secret) -> str:
        return f"{provider}-{hashlib.sha256(key.reveal().encode()).hexdigest()[:8]}"


class Provider(ProviderOptions):
    api_keys: tuple[Key, ...] = ()
    credentials: tuple[Credential, ...] = ()
    """Once loaded, those of `api_keys` stand in it too, each with a name."""


class AuthKey(Table):
    name: Annotated[str, Field(min_length=1)]
    key: Key | None = None
    key_hash: Annotated[str, matching(r"sha256:[0-9a-f]{64}", "sha256: and 64 hex digits are")] | None = None
    expires_at: datetime | None = None
    """From this moment on it is refused. A date without a time is its first moment in UTC."""
    allowed_models: tuple[Glob, ...] = ()
    allowed_endpoints: tuple[Glob, ...] = ()
    allowed_paths: tuple[PathGlob, ...] = ()
    """As of an endpoint; either may allow a path."""
    rpm: Count | None = None
    tpm: Count | None = None
    concurrency: Count | None = None
    budget_usd: Usd | None = None
    """A number is for `budget_period`; a table has numbers by period."""
    budget_tokens: Tokens | None = None
    budget_period: Period = "monthly"
    disabled: bool = False

    @field_validator("expires_at", mode="before")
    @classmethod
    def _moment(cls, value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
            except ValueError:
                raise wrong("a date or an RFC 3339 time is expected") from None
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day, tzinfo=UTC)
        if isinstance(value, datetime) and value.tzinfo is None:
            raise wrong("a time needs its offset, such as 2027-01-01T00:00:00Z")
        if not isinstance(value, datetime):
            raise wrong("a date or an RFC 3339 time is expected")
        return value

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.key is None) == (self.key_hash is None):
            raise wrong("exactly one of key and key_hash is expected")
        return self

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the key. Worked out once: every request is compared with every key."""
        if self.key is not None:
            return hashlib.sha256(self.key.reveal().encode()).digest()
        assert self.key_hash is not None
        return bytes.fromhex(self.key_hash.removeprefix("sha256:"))


class PoolMember(Table):
    model: Glob
    weight: Count = 1


def _pools(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: [{"model": one}] if isinstance(one, str) else one for name, one in value.items()}
    return value


class Routing(Table):
    strategy: Literal["round-robin", "fill-first", "least-in-flight", "latency", "cost", "sticky"] = (
        "round-robin"
    )
    force_model_prefix: bool = False
    aliases: Annotated[Mapping[str, tuple[PoolMember, ...]], BeforeValidator(_pools)] = {}
    """Name to a weighted pool of models; a single model is a pool of one."""
    fallbacks: Mapping[str, tuple[Glob, ...]] = {}
    context_fallbacks: Mapping[str, tuple[Glob, ...]] = {}
    hedge_after_ms: Count | None = None


def _ending(value: str) -> str:
    if value not in WHY:
        raise wrong(f"nothing rests after {value!r}; one of {', '.join(WHY)} is expected")
    return value


class Breaker(Table):
    failures: Count = 5
    window_s: Seconds = 60
    open_s: Seconds = 30


class Retry(Table):
    max_attempts: Count | None = None
    budget_ratio: Annotated[float, Field(ge=0, le=1)] = 0.25
    base_ms: SecondsOrOff = 200
    cap_s: Seconds = 5
    cooldowns: bool = True
    rest_s: Mapping[Annotated[str, AfterValidator(_ending)], SecondsOrOff] = {}
    breaker: Breaker = Breaker()


class Timeouts(Table):
    connect_s: Seconds = 5
    first_byte_s: Seconds = 120
    idle_s: Seconds = 120
    exchange_s: Seconds = 600
    session_s: SecondsOrOff = 0
    """Of an open WebSocket, which none of the others ends; 0: as long as both sides like."""
    header_s: Seconds = 15


class Streaming(Table):
    heartbeat_s: SecondsOrOff = 15
    heartbeat_after_s: SecondsOrOff = 30
    non_stream_keepalive_s: SecondsOrOff = 0
    bootstrap: bool = True
    ask_usage: bool = True
    extract_think: bool = False
    pace_ms: SecondsOrOff = 20


class Limits(Table):
    """Requests and tokens within any minute, and requests at once. None: no limit."""

    rpm: Count | None = None
    tpm: Count | None = None
    concurrency: Count | None = None


class RateLimit(Limits):
    """Of all clients together; `per_key_*` of each key that says nothing itself."""

    per_key_rpm: Count | None = None
    per_key_tpm: Count | None = None
    models: Mapping[Glob, Limits] = {}
    """A glob of models to what all that match it may be asked together."""


class Hooks(Table):
    modules: tuple[Path, ...] = ()
    """Relative to the configuration."""
    _loaded: Modules | None = PrivateAttr(None)

    @cached_property  # asked for by every request, and a private attribute takes 2 us
    def loaded(self) -> Modules | None:
        """What they define; None: there are none."""
        return self._loaded

    def having(self, loaded: Modules) -> Self:
        made = self.model_copy()
        made._loaded = loaded
        made.__dict__.pop("loaded", None)
        return made


class Ledger(Table):
    enabled: bool = True
    url: SecretText | None = None
    bodies: bool = False
    retention_days: Count | None = None
    max_mb: Count | None = None
    flush_ms: Count = 500


class State(Table):
    url: SecretText = Secret("memory://")
    while_away: Literal["share", "count", "refuse"] = "share"
    gateways: Count = 1


class Log(Table):
    level: Literal["trace", "debug", "info", "warn", "warning", "error"] = "info"
    format: Literal["auto", "human", "json"] = "auto"
    file: Path | None = None
    rotate: str | None = None
    keep: Count = 14

    @field_validator("rotate")
    @classmethod
    def _known_rotation(cls, value: str | None) -> str | None:
        try:
            return value if value is None or Rotation.of(value) else None
        except ValueError as error:
            raise wrong(str(error)) from None

    @property
    def rotation(self) -> Rotation | None:
        return None if self.rotate is None else Rotation.of(self.rotate)


def _passable(value: str) -> str:
    if (why := wrong_header(value)) is not None:
        raise wrong(why)
    return value


class Config(Table):
    """The whole configuration: one frozen snapshot."""

    server: Server = Server()
    endpoints: Mapping[Annotated[str, AfterValidator(_endpoint_name)], Endpoint] = {}
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
