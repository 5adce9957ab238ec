"""Where traces and metrics are sent, as the configuration says it, and OpenTelemetry's own variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from llmitm.config.table import Table
from llmitm.config.values import wrong
from llmitm.secret import Secret

LIBRARY: Final = "opentelemetry.proto"
INSTALL: Final = "pip install 'llmitm[otel]'"
DEFAULT_ENDPOINT: Final = "http://localhost:4318"
_SIGNALS: Final = ("/v1/traces", "/v1/metrics")


def _address(value: Any) -> Any:
    if not isinstance(value, str):
        raise wrong("a string is expected")
    try:
        parts = urlsplit(value)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or not value.isascii() or any(sign <= " " for sign in value):
        raise wrong(f"the URL of a collector is expected, such as {DEFAULT_ENDPOINT}")
    if "?" in value or "#" in value or "@" in parts.netloc:
        raise wrong("must not hold a query, a fragment or user information; keys go into headers")
    return value.rstrip("/")


def _base(value: Any) -> Any:
    address = _address(value)
    for signal in _SIGNALS:
        address = address.removesuffix(signal)
    return address


def _secret(value: Any) -> Any:
    if isinstance(value, str):
        value = Secret(value)
    if not isinstance(value, Secret):
        raise wrong("a string is expected")
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in value.reveal()):
        raise wrong("must not hold control characters")
    return value


def _protocol(value: Any) -> Any:
    if value != "http/protobuf":
        raise wrong(f"{value} is not spoken, only http/protobuf; collectors take that on port 4318")
    return value


def missing(module: str, find: Callable[[str], object | None] = find_spec) -> bool:
    """Whether a module is not installed."""
    try:
        return find(module) is None
    except ModuleNotFoundError:
        return True


class Telemetry(Table):
    enabled: bool = False
    endpoint: Annotated[str, BeforeValidator(_base)] = DEFAULT_ENDPOINT
    """Of the collector; `/v1/traces` and `/v1/metrics` are added."""
    traces_endpoint: Annotated[str, BeforeValidator(_address)] | None = None
    """The whole URL, in place of what follows from `endpoint`; so is the next."""
    metrics_endpoint: Annotated[str, BeforeValidator(_address)] | None = None
    protocol: Annotated[Literal["http/protobuf"], BeforeValidator(_protocol)] = "http/protobuf"
    compression: Literal["none", "gzip"] = "none"
    headers: Mapping[str, Annotated[Secret, BeforeValidator(_secret)]] = {}
    tls_ca: Path | None = None
    """PEM, of those who may have signed the collector's certificate; None: those that the system trusts."""
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 10
    service_name: Annotated[str, Field(min_length=1)] = "llmitm"
    resource: Mapping[str, str] = {}
    """Further attributes of this gateway, such as `deployment.environment.name`."""
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1
    """Of the traces that begin here."""
    follow_parent: bool = True
    """Whether a client's trace is kept where the client keeps it; else `sample_ratio` is for it too."""
    propagate: bool | None = None
    """Whether upstreams are told of the trace. None: where keys of ours are sent; True: also where requests
    pass untouched; False: nowhere."""
    traces: bool = True
    metrics: bool = True
    genai_metrics: Literal["v1.41", "new", "both"] = "v1.41"
    content: bool = False
    flush_ms: Annotated[int, Field(ge=10, le=60_000)] = 1000
    metrics_every_s: Annotated[float, Field(ge=1, le=3600)] = 60

    @property
    def traces_url(self) -> str:
        return self.traces_endpoint or self.endpoint + "/v1/traces"

    @property
    def metrics_url(self) -> str:
        return self.metrics_endpoint or self.endpoint + "/v1/metrics"

    @field_validator("headers")
    @classmethod
    def _names(cls, value: Mapping[str, Secret]) -> Mapping[str, Secret]:
        for name in value:
            if not name or not name.isascii() or any(sign <= " " or sign in ':"(),/' for sign in name):
                raise wrong(f"{name!r} is no name of a header")
        return value

    @model_validator(mode="after")
    def _installed(self) -> Self:
        if self.enabled and missing(LIBRARY):
            raise wrong(f"needs libraries that are not installed: {INSTALL}; or set enabled = false")
        return self


# -- the environment

_SAMPLERS: Final[Mapping[str, tuple[float | None, bool]]] = {
    "always_on": (1.0, False),
    "always_off": (0.0, False),
    "traceidratio": (None, False),
    "parentbased_always_on": (1.0, True),
    "parentbased_always_off": (0.0, True),
    "parentbased_traceidratio": (None, True),
}
"""Which share of traces is kept (None: the argument says it), and whether parents decide first."""
_PLAIN: Final[Mapping[str, str]] = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "endpoint",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "traces_endpoint",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "metrics_endpoint",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "protocol",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "compression",
    "OTEL_SERVICE_NAME": "service_name",
}
_NO_CONTENT: Final = frozenset({"no_content", "false"})


def fill_in(table: dict[str, Any], env: Mapping[str, str], places: dict[str, str]) -> None:
    """What `[telemetry]` leaves out, from OpenTelemetry's variables. Of no effect where it is not enabled.

    `places` learns which variable stands behind a key.
    """
    if table.get("enabled") is not True:
        return

    def put(key: str, value: Any, name: str) -> None:
        if key not in table:
            table[key] = value
            places[f"telemetry.{key}"] = name

    known = {name: env[name].strip() for name in env if name.startswith("OTEL_") and env[name].strip()}
    for name, key in _PLAIN.items():
        if name in known:
            put(key, known[name], name)
    if "OTEL_EXPORTER_OTLP_CERTIFICATE" in known:
        name = "OTEL_EXPORTER_OTLP_CERTIFICATE"
        put("tls_ca", str(Path(known[name]).absolute()), name)  # ours are relative to the file
    if "OTEL_EXPORTER_OTLP_HEADERS" in known:
        name = "OTEL_EXPORTER_OTLP_HEADERS"
        found = _pairs(known[name])
        put("headers", {key: Secret(value, f"env:{name}") for key, value in found.items()}, name)
    if "OTEL_RESOURCE_ATTRIBUTES" in known:
        found = _pairs(known["OTEL_RESOURCE_ATTRIBUTES"])
        if service := found.pop("service.name", None):
            put("service_name", service, "OTEL_RESOURCE_ATTRIBUTES")
        put("resource", found, "OTEL_RESOURCE_ATTRIBUTES")
    if "OTEL_TRACES_SAMPLER" in known:
        _sampler(known, put)
    for name, key in (("OTEL_TRACES_EXPORTER", "traces"), ("OTEL_METRICS_EXPORTER", "metrics")):
        if known.get(name) == "none":
            put(key, False, name)
    if known.get("OTEL_SDK_DISABLED", "").lower() == "true":
        table["enabled"] = False
    if known.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "").lower() in _NO_CONTENT:
        table["content"] = False


def _sampler(known: Mapping[str, str], put: Callable[[str, Any, str], None]) -> None:
    name = "OTEL_TRACES_SAMPLER"
    if (sampler := _SAMPLERS.get(known[name].lower())) is None:
        put("sample_ratio", known[name], name)  # refused with the variable's name
        return
    ratio, is_by_parent = sampler
    put("follow_parent", is_by_parent, name)
    put("sample_ratio", known.get(f"{name}_ARG", 1.0) if ratio is None else ratio, name)


def _pairs(text: str) -> dict[str, str]:
    """`name=value,name=value`, percent-encoded."""
    found = (one.partition("=") for one in text.split(","))
    return {unquote(name.strip()): unquote(value.strip()) for name, mark, value in found if mark}


__all__ = ["INSTALL", "LIBRARY", "Telemetry", "fill_in", "missing"]
