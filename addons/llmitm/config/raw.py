"""What the file and the environment say, as plain values, before anybody looks at their shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import tomli

from llmitm.config import dashboard
from llmitm.config.telemetry import fill_in
from llmitm.errors import ConfigError, Problem
from llmitm.secret import Secret

_SEED_SERVER: Final = ("host_port", "https_server", "https_port", "tls_cert_path", "tls_key_path")
"""Top-level keys of snake's configuration files."""

_NAMED: Final = {
    ("endpoints",),
    ("providers",),
    ("routing", "aliases"),
    ("routing", "fallbacks"),
    ("routing", "context_fallbacks"),
    ("model_prices",),
    ("model_capabilities",),
    ("retry", "rest_s"),
    ("rate_limit", "models"),
}
"""Tables whose keys are names that people choose."""

_FREE: Final = {"headers", "params", "params_json", "resource"}
"""Tables that are passed on as they stand."""

SECRETS: Final = {
    "api_key",
    "api_keys",
    "token",
    "key",
    "proxy_url",
    "password_hash",
    "jwt_secret",
    "url",
    "headers",
    "secret",
}


def plain(text: str) -> dict[str, Any]:
    """What a text of TOML says, a byte order mark aside.

    Raises:
        tomli.TOMLDecodeError: it is none, or is nested too deep.
    """
    try:
        return tomli.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        raise tomli.TOMLDecodeError("Nested too deep", text, 0) from None


def parsed(text: bytes, source: str) -> dict[str, Any]:
    try:
        return plain(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise ConfigError(source, [Problem(f"line {line}", "not valid UTF-8")]) from None
    except tomli.TOMLDecodeError as error:
        message = error.msg[:1].lower() + error.msg[1:]
        place = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(source, [Problem(place, f"not valid TOML: {message}")]) from None


def underscored(value: Any, path: tuple[str, ...], place: str, problems: list[Problem]) -> Any:
    """Keys of the schema with underscores for hyphens; names that people chose as they are."""
    if isinstance(value, list):
        return [underscored(one, path, f"{place}[{at}]", problems) for at, one in enumerate(value)]
    if not isinstance(value, dict) or (path and path[-1] in _FREE):
        return value
    is_named = path in _NAMED
    found: dict[str, Any] = {}
    for name, one in value.items():
        key = name if is_named else name.replace("-", "_")
        where = f"{place}.{key}" if place else key
        if key in found:
            problems.append(Problem(where, "is there twice, with a hyphen and with an underscore"))
        found[key] = underscored(one, ("*",) if is_named else (*path, key), where, problems)
    return found


def move_seed_keys(raw: dict[str, Any], places: dict[str, str], problems: list[Problem]) -> None:
    """snake's top-level keys become [server] keys, with the meaning they have there."""
    seed: dict[str, Any] = {name: raw.pop(name) for name in _SEED_SERVER if name in raw}
    if not seed:
        return
    server = raw.setdefault("server", {})
    if not isinstance(server, dict):
        return
    is_https = seed.get("https_server", False)
    if not isinstance(is_https, bool):
        problems.append(Problem("https_server", "true or false is expected"))
        is_https = False
    wanted: list[tuple[str, str, object]] = [("port", "host_port", 3000)]
    if is_https:
        wanted = [
            ("port", "https_port", 443),
            ("tls_cert", "tls_cert_path", "cert.pem"),
            ("tls_key", "tls_key_path", "key.pem"),
        ]
    for name, spelling, default in wanted:
        if name not in server:
            server[name] = seed.get(spelling, default)
            places[f"server.{name}"] = spelling


def apply_overrides(
    raw: dict[str, Any],
    env: Mapping[str, str],
    host: str | None,
    port: int | None,
    places: dict[str, str],
    problems: list[Problem],
) -> None:
    server = raw.setdefault("server", {})
    if not isinstance(server, dict):
        return
    named = env.get("PORT", "").strip()
    if port is None and named:
        if named.isdecimal() and int(named) <= 65535:
            port = int(named)
        else:
            problems.append(Problem("PORT", f"a port is expected, not {named!r}"))
    if port is not None:
        server["port"] = port
        places.pop("server.port", None)
    if host is not None:
        server["host"] = host
    if isinstance(telemetry := raw.get("telemetry"), dict):
        fill_in(telemetry, env, places)
    dashboard.fill_in(raw, env, places)
    level = env.get("LLMITM_LOG", "").strip()
    if level:
        log = raw.setdefault("log", {})
        if isinstance(log, dict):
            log["level"] = level.lower()


_ASSIGNED: Final = re.compile(
    r"""\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?:"([^"]*)"|'([^']*)'|(.*?))(?:\s+\#.*)?\s*\Z"""
)


def dotenv(path: Path) -> dict[str, str]:
    """`NAME=value` lines of a .env file; quotes round a value are taken off, and comments."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found: dict[str, str] = {}
    for line in lines:
        if match := _ASSIGNED.match(line):
            name, in_double, in_single, bare = match.groups()
            found[name] = next(one for one in (in_double, in_single, bare) if one is not None)
    return found


def from_environment(env: Mapping[str, str], places: dict[str, str]) -> dict[str, Any] | None:
    account, gateway = env.get("ACCOUNT_ID"), env.get("GATEWAY_ID")
    if not account or not gateway:
        return None
    one: dict[str, Any] = {"account_id": account, "gateway_id": gateway}
    if env.get("CF_AIG_TOKEN"):
        one["token"] = env["CF_AIG_TOKEN"]
    places |= {
        "server.port": "HOST_PORT",
        "gateways[0].account_id": "ACCOUNT_ID",
        "gateways[0].gateway_id": "GATEWAY_ID",
        "gateways[0].token": "CF_AIG_TOKEN",
    }
    port = env.get("HOST_PORT", "3000")
    return {"server": {"port": int(port) if port.isdecimal() else port}, "gateways": [one]}


def resolved(
    value: Any,
    path: str,
    key: str | None,
    env: Mapping[str, str],
    folder: Path,
    problems: list[Problem],
) -> Any:
    """Replaces `env:NAME` and `file:PATH` where secrets stand by a `Secret` that remembers them."""
    match value:
        case dict():
            return {
                name: resolved(
                    one,
                    f"{path}.{name}" if path else name,
                    key if key == "headers" else name,
                    env,
                    folder,
                    problems,
                )
                for name, one in value.items()
            }
        case list():
            return [
                resolved(one, f"{path}[{at}]", key, env, folder, problems) for at, one in enumerate(value)
            ]
        case str() if key in SECRETS and value.startswith("env:"):
            name = value.removeprefix("env:")
            if name not in env:
                problems.append(Problem(path, f"the environment variable {name} is not set"))
                return _unresolved(path, value)
            return Secret(env[name], value)
        case str() if key in SECRETS and value.startswith("file:"):
            place = Path(value.removeprefix("file:")).expanduser()
            try:
                return Secret((folder / place).read_text("utf-8").strip(), value)
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "not valid UTF-8"
                problems.append(Problem(path, f"the file {place} cannot be read: {why}"))
                return _unresolved(path, value)
    return value


def _unresolved(path: str, reference: str) -> Secret:
    """Stands in for a value that is not there while the rest is checked. No two are the same."""
    return Secret(f"unresolved {path}", reference)
