"""Whose configuration it is, by what it says. Data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from llmitm.errors import ConfigError, Problem
from llmitm.imports import ai_proxy, cliproxyapi, cloudflare_env, forwards, litellm, portkey, snake
from llmitm.imports.parse import Format, Parsed
from llmitm.imports.plan import Plan
from llmitm.imports.table import Table


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    """As `--from` has it."""
    title: str
    formats: tuple[Format, ...]
    keys: frozenset[str]
    """At the top; each is a sign of it."""
    read: Callable[[Table], Plan]


def _kind(name: str, title: str, formats: Sequence[Format], keys: str, read: Callable[[Table], Plan]) -> Kind:
    return Kind(name, title, tuple(formats), frozenset(keys.split()), read)


KINDS: Final = (
    _kind(
        "snake",
        "snake",
        ("toml",),
        "host_port https_port https_server tls_cert_path tls_key_path gateways providers github_token",
        snake.read,
    ),
    _kind("llm-api-proxy", "llm-api-proxy", ("toml",), "server endpoints", forwards.read),
    _kind(
        "cloudflare-proxy",
        "the Cloudflare proxy",
        ("env",),
        "ACCOUNT_ID GATEWAY_ID HOST_PORT",
        cloudflare_env.read,
    ),
    _kind(
        "litellm",
        "LiteLLM",
        ("yaml", "json"),
        "model_list litellm_settings general_settings router_settings environment_variables credential_list "
        "guardrails mcp_servers include",
        litellm.read,
    ),
    _kind(
        "portkey",
        "Portkey",
        ("json", "yaml"),
        "config data strategy targets virtual_key virtualKey override_params overrideParams provider "
        "api_key apiKey "
        "custom_host customHost retry cache request_timeout",
        portkey.read,
    ),
    _kind(
        "ai-proxy",
        "ai-proxy",
        ("yaml", "json"),
        "auth-keys providers openai-api-key "
        "model-prices rate-limit dashboard retry daemon body-limit-mb max-retry-interval "
        "connect-timeout request-timeout non-stream-keepalive-secs log-dir claude-api-key gemini-api-key "
        "openai-compatibility api-keys claude-header-defaults",
        ai_proxy.read,
    ),
    _kind(
        "cliproxyapi",
        "CLIProxyAPI",
        ("yaml", "json"),
        "auth-dir remote-management codex-api-key xai-api-key vertex-api-key ws-auth quota-exceeded "
        "generative-language-api-key commercial-mode usage-statistics-enabled oauth-model-alias "
        "oauth-excluded-models nonstream-keepalive-interval disable-cooling max-retry-credentials "
        "claude-api-key gemini-api-key openai-compatibility api-keys claude-header-defaults",
        cliproxyapi.read,
    ),
)
NAMES: Final[Mapping[str, Kind]] = {one.name: one for one in KINDS}
_OURS: Final = frozenset(
    {"auth_keys", "routing", "timeouts", "rate_limit", "ledger", "model_prices", "streaming", "cloudflare"}
)


def find(parsed: Parsed, source: str) -> Kind:
    """The one that it is.

    Raises:
        ConfigError: it is none, or may be two.
    """
    names = set(parsed.values)
    if parsed.format == "toml" and _is_ours(parsed):
        raise ConfigError(source, [Problem("", "is a configuration of llmitm's own already")])
    scores = {one: len(one.keys & names) for one in KINDS if parsed.format in one.formats}
    best = max(scores.values(), default=0)
    found = [one for one, score in scores.items() if score == best]
    if best == 0 or len(found) > 1:
        why = "may be of several kinds" if best else "is of no kind that is known"
        choice = found if best else KINDS
        raise ConfigError(
            source, [Problem("", f"{why}; say --from {' or '.join(one.name for one in choice)}")]
        )
    if found[0].name == "ai-proxy" and _has_names(parsed):
        return NAMES["cliproxyapi"]
    return found[0]


def _is_ours(parsed: Parsed) -> bool:
    endpoints = parsed.values.get("endpoints")
    kinds = isinstance(endpoints, dict) and any(
        isinstance(one, dict) and "kind" in one for one in endpoints.values()
    )
    return kinds or bool(_OURS & set(parsed.values))


def _has_names(parsed: Parsed) -> bool:
    """CLIProxyAPI's entries call a model's own name `name`, or hold their keys in `api-key-entries`."""
    for value in parsed.values.values():
        for entry in value if isinstance(value, list) else ():
            if isinstance(entry, dict):
                models = entry.get("models")
                inner = models if isinstance(models, list) else []
                if "api-key-entries" in entry or any(
                    isinstance(one, dict) and "name" in one for one in inner
                ):
                    return True
    return False
