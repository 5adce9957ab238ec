"""What `llmitm config check` prints: what would run. Pure; no secret is in it."""

from __future__ import annotations

from urllib.parse import urlsplit

from llmitm.config.endpoints import Endpoint
from llmitm.config.environment import EnvironmentProxies
from llmitm.config.schema import Config
from llmitm.secret import MASK, Secret


def describe(config: Config) -> str:
    server = config.server
    scheme = "https" if server.tls_cert else "http"
    host = f"[{server.host}]" if ":" in server.host else server.host
    lines = [
        f"{config.source} is fine.",
        "",
        f"listens    {scheme}://{host}:{server.port}"
        + (f"  certificate {server.tls_cert}" if server.tls_cert else "")
        + ("  HTTP/2" if server.http2 and server.tls_cert else ""),
        f"clients    {_auth(config)}",
    ]
    if server.proxy_url:
        lines.append(f"proxy      {masked_url(server.proxy_url)}")
    elif server.environment is not None:
        lines.append(f"proxy      {_of_environment(server.environment)}")
    if (telemetry := config.telemetry).enabled:
        words = ", with what is asked and said" if telemetry.content else ""
        lines.append(f"traces     {telemetry.traces_url}{words}")
    lines += ["", "endpoints"]
    width = max((len(name) for name in config.endpoints), default=0) + 1
    for name, endpoint in config.endpoints.items():
        lines.append(f"  /{name:<{width}} {_endpoint(config, name, endpoint)}")
    if not config.endpoints:
        lines.append("  none: only /health is answered")
    if config.default_endpoint:
        lines.append(f"  {'/v1, /v1beta':<{width + 1}} same as /{config.default_endpoint}")
    if config.gateways:
        lines += ["", "gateways"]
        for gateway in config.gateways:
            token = "" if gateway.token else ", no token"
            lines.append(
                f"  {masked_id(gateway.account_id)}/{gateway.gateway_id}  form {gateway.form}, "
                f"weight {gateway.weight}{token}"
            )
    if config.providers:
        lines += ["", "providers"]
        for name, provider in config.providers.items():
            count = len(provider.credentials)
            keys = f"{count} credential{'' if count == 1 else 's'}"
            names = ", ".join(
                one.name + (" (disabled)" if one.disabled else "") for one in provider.credentials
            )
            off = "  disabled" if provider.disabled else ""
            proxy = f"  through {masked_url(provider.proxy_url)}" if provider.proxy_url else ""
            spoken = ", ".join(provider.dialects(name))
            lines.append(f"  {name}  {spoken}  {keys}{f': {names}' if names else ''}{proxy}{off}")
    if config.warnings:
        lines.append("")
        lines += [f"warning: {warning}" for warning in config.warnings]
    return "\n".join(lines)


def _of_environment(found: EnvironmentProxies) -> str:
    if found.is_off or not found.secrets:
        return "none: the environment names none"
    named = {one.reference or "": masked_url(one) for one in found.secrets}
    text = ", ".join(f"{url} ({name.removeprefix('env:')})" for name, url in named.items())
    return text + (", not for what NO_PROXY names" if found.unproxied else "")


def _auth(config: Config) -> str:
    if config.auth_keys is None:
        return "need no key of ours"
    usable = sum(not key.disabled for key in config.auth_keys)
    if not usable:
        return "nobody is admitted: there is no auth key in use"
    return f"need one of {usable} auth key{'' if usable == 1 else 's'}"


def _endpoint(config: Config, name: str, endpoint: Endpoint) -> str:
    match endpoint.kind:
        case "forward":
            text = f"forward to {config.target_of(name)}"
            text += f" with the credentials of {endpoint.provider}" if endpoint.provider else ""
        case "cloudflare":
            text = "Cloudflare AI Gateway" + (", streams simulated" if endpoint.simulate_stream else "")
        case _:
            text = "gateway, by model over " + (endpoint.provider or ", ".join(config.providers))
    proxy = endpoint.proxy_url
    if proxy is None and endpoint.kind == "forward":
        proxy = config.server.proxy_to(config.target_of(name))
    elif proxy is None:
        proxy = config.server.proxy_url
    if proxy:
        return f"{text} through {masked_url(proxy)}"
    return text + (" directly" if config.server.proxy_url else "")


def masked_url(url: Secret) -> str:
    """A URL without its user information."""
    parts = urlsplit(url.reveal())
    host = parts.netloc.rpartition("@")[2]
    user = f"{MASK}@" if "@" in parts.netloc else ""
    return f"{parts.scheme}://{user}{host}"


def masked_id(text: str) -> str:
    return f"{text[:4]}...{text[-4:]}" if len(text) > 8 else MASK
