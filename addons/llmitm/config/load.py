"""From a file and the environment to a `Config`, or to every problem at once.

The only place that reads the environment, secret files and the configuration file. What was read is
checked in three steps, and the problems of all that can be checked are told together: the file's syntax,
the shape of each table (schema.py), and what tables ask of one another (here).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import tomli
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from pydantic import BaseModel, ValidationError

from llmitm.config import dashboard
from llmitm.config.budget import forgotten
from llmitm.config.cloak import doubts
from llmitm.config.schema import (
    SIGNED,
    Config,
    Credential,
    Endpoint,
    Hooks,
    Provider,
    ProviderOptions,
)
from llmitm.config.telemetry import fill_in
from llmitm.errors import ConfigError, Problem
from llmitm.record.ledger.place import Place as LedgerPlace
from llmitm.route.known import RETIRED
from llmitm.secret import Secret
from llmitm.shape.headers import refused_by
from llmitm.shape.hooks import modules
from llmitm.state.place import Place
from llmitm.translate import models

DEFAULT_PATH: Final = Path("config.toml")

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

_ASKED: Final = {"server", "endpoints", "gateways", "providers", "auth_keys"}
"""Tables that other tables depend on."""

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


def find(option: Path | None, env: Mapping[str, str]) -> Path:
    """The file to read: the option, else CONFIG_PATH, else config.toml here."""
    if option is not None:
        return option
    return Path(env["CONFIG_PATH"]) if env.get("CONFIG_PATH") else DEFAULT_PATH


def load(
    path: Path,
    *,
    env: Mapping[str, str],
    host: str | None = None,
    port: int | None = None,
    text: bytes | None = None,
) -> Config:
    """Reads and checks a configuration.

    `text` stands in for what the file says. `host` and `port` come from the command line and win over PORT,
    which wins over the file. Where there is no file, ACCOUNT_ID and GATEWAY_ID in the environment (or in
    `.env` here) make a Cloudflare endpoint.

    Raises:
        ConfigError: with every problem found.
    """
    source = str(path)
    places: dict[str, str] = {}  # where values stand that were moved, for the problems' paths
    try:
        text = path.read_bytes() if text is None else text
    except FileNotFoundError:
        environment = {**_dotenv(path.parent / ".env"), **env}
        raw = _from_environment(environment, places)
        if raw is None:
            raise ConfigError(source, _no_file(environment)) from None
        source = "environment (ACCOUNT_ID, GATEWAY_ID)"
    except OSError as error:
        raise ConfigError(source, [Problem("", f"cannot be read: {error.strerror}")]) from None
    else:
        raw = _parse(text, source)

    problems: list[Problem] = []
    raw = _underscored(raw, (), "", problems)
    _move_seed_keys(raw, places, problems)
    _apply_overrides(raw, env, host, port, places, problems)
    raw = _resolve(raw, "", None, env, path.parent, problems)
    config, dropped = _validated(raw, problems)
    if config is not None:
        crossed: list[Problem] = []
        config = _completed(config, source, path.parent, crossed)
        problems += [problem for problem in crossed if _is_sure(problem, dropped)]
    if problems or config is None:
        moved = [Problem(places.get(problem.path, problem.path), problem.message) for problem in problems]
        raise ConfigError(source, moved)
    return config


def _no_file(env: Mapping[str, str]) -> list[Problem]:
    problems = [
        Problem(
            "",
            "no such file; copy config.toml.example to config.toml and edit it, or name another "
            "with --config or CONFIG_PATH",
        )
    ]
    for there, missing in (("ACCOUNT_ID", "GATEWAY_ID"), ("GATEWAY_ID", "ACCOUNT_ID")):
        if env.get(there) and not env.get(missing):
            problems.append(Problem(missing, f"is not set, while {there} is; without a file both are needed"))
    return problems


def _parse(text: bytes, source: str) -> dict[str, Any]:
    try:
        return tomli.loads(text.decode("utf-8").removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise ConfigError(source, [Problem(f"line {line}", "not valid UTF-8")]) from None
    except tomli.TOMLDecodeError as error:
        message = error.msg[:1].lower() + error.msg[1:]
        place = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(source, [Problem(place, f"not valid TOML: {message}")]) from None


def _underscored(value: Any, path: tuple[str, ...], place: str, problems: list[Problem]) -> Any:
    """Keys of the schema with underscores for hyphens; names that people chose as they are."""
    if isinstance(value, list):
        return [_underscored(one, path, f"{place}[{at}]", problems) for at, one in enumerate(value)]
    if not isinstance(value, dict) or (path and path[-1] in _FREE):
        return value
    is_named = path in _NAMED
    found: dict[str, Any] = {}
    for name, one in value.items():
        key = name if is_named else name.replace("-", "_")
        where = f"{place}.{key}" if place else key
        if key in found:
            problems.append(Problem(where, "is there twice, with a hyphen and with an underscore"))
        found[key] = _underscored(one, ("*",) if is_named else (*path, key), where, problems)
    return found


def _move_seed_keys(raw: dict[str, Any], places: dict[str, str], problems: list[Problem]) -> None:
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


def _apply_overrides(
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


def _dotenv(path: Path) -> dict[str, str]:
    """`NAME=value` lines of a .env file; quotes round a value are taken off."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found: dict[str, str] = {}
    for line in lines:
        match = re.match(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*\Z", line)
        if match:
            value = match[2]
            if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            else:
                value = re.sub(r"\s+#.*\Z", "", value)
            found[match[1]] = value
    return found


def _from_environment(env: Mapping[str, str], places: dict[str, str]) -> dict[str, Any] | None:
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


def _resolve(
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
                name: _resolve(
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
                _resolve(one, f"{path}[{at}]", key, env, folder, problems) for at, one in enumerate(value)
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


def _validated(raw: Any, problems: list[Problem]) -> tuple[Config | None, list[Sequence[int | str]]]:
    """The shape of every table.

    What is wrong is left out and told, so that what tables ask of one another can be checked too. Returns
    None where nothing is left to check, and where that stood which the other checks would miss.
    """
    try:
        return Config.model_validate(raw), []
    except ValidationError as error:
        told = {problem.path for problem in problems}
        problems += [problem for problem in _problems(error) if problem.path not in told]
        wrong = [(one["type"], one["loc"]) for one in error.errors(include_url=False, include_input=False)]
    dropped: list[Sequence[int | str]] = []
    holes: set[tuple[int | str, ...]] = set()
    for kind, loc in wrong:
        hole = loc[:-1] if kind == "missing" or loc[-1:] == ("[key]",) else loc
        holes.add(hole)
        if kind != "extra_forbidden":
            dropped.append(hole)
    try:
        return Config.model_validate(_without(raw, holes)), dropped
    except ValidationError:
        return None, dropped


def _without(value: Any, holes: set[tuple[int | str, ...]], at: tuple[int | str, ...] = ()) -> Any:
    """`value` without what stands at `holes`; where one points into a plain value, without that."""

    def is_hole(place: tuple[int | str, ...], one: Any) -> bool:
        if place in holes:
            return True
        return not isinstance(one, (dict, list)) and any(hole[: len(place)] == place for hole in holes)

    if isinstance(value, dict):
        return {
            name: _without(one, holes, (*at, name))
            for name, one in value.items()
            if not is_hole((*at, name), one)
        }
    if isinstance(value, list):
        return [
            _without(one, holes, (*at, index))
            for index, one in enumerate(value)
            if not is_hole((*at, index), one)
        ]
    return value


def _is_sure(problem: Problem, dropped: Sequence[Sequence[int | str]]) -> bool:
    """Whether a problem between tables would also be one if what was left out had been right."""
    for loc in dropped:
        if not loc or loc[0] not in _ASKED:
            continue
        table = loc[:1] if loc[0] == "server" else loc[:2]
        place = _placed(table)[0]
        if problem.path == place or problem.path.startswith((f"{place}.", f"{place}[")):
            return False
        if len(loc) == len(table) or loc[-1] in ("target_base", "base_url"):
            return False  # a whole table is missing, or an address that others fall back to
    return True


_SENTENCES: Final = {
    "missing": "is missing",
    "int_parsing": "a whole number is expected",
    "int_type": "a whole number is expected",
    "int_from_float": "a whole number is expected",
    "float_parsing": "a number is expected",
    "float_type": "a number is expected",
    "bool_parsing": "true or false is expected",
    "bool_type": "true or false is expected",
    "string_type": "a string is expected",
    "tuple_type": "an array is expected",
    "model_type": "a table is expected",
    "model_attributes_type": "a table is expected",
    "mapping_type": "a table is expected",
    "dict_type": "a table is expected",
    "path_type": "a path is expected",
    "string_too_short": "must not be empty",
}


def _problems(error: ValidationError) -> list[Problem]:
    found = []
    for one in error.errors(include_url=False, include_input=False):
        place, model = _placed(one["loc"])
        kind = one["type"]
        if kind == "extra_forbidden":
            message = _unknown(str(one["loc"][-1]), model)
        else:
            message = _SENTENCES.get(kind) or _lowered(one["msg"])
        found.append(Problem(place, message))
    return found


def _lowered(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _placed(loc: Sequence[int | str]) -> tuple[str, type[BaseModel]]:
    """The place as it reads in the file, and the table that it stands in."""
    place = ""
    model: type[BaseModel] = Config
    for at, part in enumerate(loc):
        if isinstance(part, int):
            place += f"[{part}]"
            continue
        if part == "[key]":
            continue  # the name itself is wrong
        place += f".{part}" if place else part
        if at < len(loc) - 1:
            model = _inner(model, part) or model
    return place, model


def _inner(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The table type behind a key, through tuples, mappings and options."""
    field = model.model_fields.get(name)
    if field is None:
        return None
    waiting = [field.annotation]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
        waiting += getattr(kind, "__args__", ())
    return None


def _unknown(name: str, model: type[BaseModel]) -> str:
    known = [
        field for field in model.model_fields if not (model is Config and field in ("source", "warnings"))
    ]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    return f"unknown key; possible are {', '.join(sorted(known))}"


def _completed(config: Config, source: str, folder: Path, problems: list[Problem]) -> Config:
    """Fills in what follows from the rest, and checks what tables ask of one another."""
    server = config.server
    providers = {
        name: _with_credentials(name, provider, problems) for name, provider in config.providers.items()
    }
    endpoints = dict(config.endpoints)
    if server.default_endpoint in (None, "default") and "default" not in endpoints:
        if config.gateways:
            endpoints["default"] = Endpoint(kind="cloudflare")
        elif providers:
            endpoints["default"] = Endpoint(kind="gateway")
    places: dict[str, Any] = {}
    for name in ("tls_cert", "tls_key"):
        if (given := getattr(server, name)) is not None:
            places[name] = folder / given.expanduser()
    completed = config.model_copy(
        update={
            "providers": providers,
            "endpoints": endpoints,
            "server": server.model_copy(update=places),
            "hooks": _with_modules(config.hooks, folder, problems),
            "source": source,
        }
    )
    _check_endpoints(completed, problems)
    _check_tls(completed, problems)
    _check_capabilities(completed, problems)
    _check_state(completed, problems)
    warnings = [*_check_auth(completed, problems), *forgotten(completed), *doubts(completed)]
    has_tls = server.tls_cert is not None
    warnings += dashboard.check(completed.dashboard, server.port, has_tls, problems)
    return completed.model_copy(update={"warnings": tuple(warnings)})


def _with_credentials(name: str, provider: Provider, problems: list[Problem]) -> Provider:
    place = f"providers.{name}"
    if name in SIGNED and provider.base_url is None:
        problems.append(Problem(place, f"{name} needs signed requests, which are not built yet"))
    inherited = {
        field: getattr(provider, field)
        for field in ProviderOptions.model_fields
        if field in provider.model_fields_set
    }
    if inherited.get("refused_betas") is None:
        inherited["refused_betas"] = refused_by(name)
    made: list[Credential] = []
    for key in provider.api_keys:
        made.append(Credential(**inherited, api_key=key, name=Credential.name_of(name, key)))
    for one in provider.credentials:
        own = {field: getattr(one, field) for field in one.model_fields_set}
        own["name"] = own.get("name") or Credential.name_of(name, one.api_key)
        made.append(Credential(**{**inherited, **own}))
    seen: set[str] = set()
    for one in made:
        if one.name in seen:
            problems.append(Problem(place, f"two credentials are called {one.name}; give one another name"))
        seen.add(one.name)
    completed = {"credentials": tuple(made), "refused_betas": inherited["refused_betas"]}
    return provider.model_copy(update=completed)


def _with_modules(hooks: Hooks, folder: Path, problems: list[Problem]) -> Hooks:
    loaded = []
    for at, path in enumerate(hooks.modules):
        try:
            loaded.append(modules.load(folder / path.expanduser()))
        except modules.Broken as error:
            problems.append(Problem(f"hooks.modules[{at}]", str(error)))
    return hooks.having(modules.joined(loaded)) if loaded else hooks


def _check_endpoints(config: Config, problems: list[Problem]) -> None:
    for name, endpoint in config.endpoints.items():
        place = f"endpoints.{name}"
        if endpoint.provider is not None and endpoint.provider not in config.providers:
            near = difflib.get_close_matches(endpoint.provider, config.providers, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(
                Problem(f"{place}.provider", f"there is no [providers.{endpoint.provider}]{hint}")
            )
        elif endpoint.kind == "forward":
            base = endpoint.target_base or config.server.target_base
            if base is None and endpoint.provider is not None:
                base = config.providers[endpoint.provider].base(endpoint.provider)
            if base is None:
                problems.append(
                    Problem(f"{place}.target_base", "is missing, and [server] target_base is not set either")
                )
        if endpoint.kind == "cloudflare" and not config.gateways:
            problems.append(Problem(place, "kind cloudflare needs at least one [[gateways]]"))
        if endpoint.kind == "gateway" and not config.providers:
            problems.append(Problem(place, "kind gateway needs at least one [providers.NAME]"))
    default = config.server.default_endpoint
    if default is not None and default not in config.endpoints:
        problems.append(Problem("server.default_endpoint", f"there is no [endpoints.{default}]"))
    for at, gateway in enumerate(config.gateways):
        if gateway.form == "rest" and gateway.token is None:
            problems.append(Problem(f"gateways[{at}].token", "is missing: form rest authenticates with it"))
    names: set[str] = set()
    owners: dict[bytes, str] = {}
    for at, key in enumerate(config.auth_keys or ()):
        if key.name in names:
            problems.append(Problem(f"auth_keys[{at}].name", f"another key is called {key.name} too"))
        names.add(key.name)
        owner = owners.setdefault(key.digest, key.name)
        if owner != key.name:
            problems.append(Problem(f"auth_keys[{at}]", f"has the same key as {owner}"))


def _check_tls(config: Config, problems: list[Problem]) -> None:
    cert, key = config.server.tls_cert, config.server.tls_key
    if cert is None and key is None:
        return
    if cert is None or key is None:
        missing, there = ("tls_cert", "tls_key") if cert is None else ("tls_key", "tls_cert")
        problems.append(Problem(f"server.{missing}", f"is missing, while {there} is set"))
        return
    certificate = private = None
    try:
        certificate = x509.load_pem_x509_certificates(cert.read_bytes())[0]
    except OSError as error:
        problems.append(
            Problem(
                "server.tls_cert",
                f"{cert} cannot be read: {error.strerror}; `llmitm certs new` makes one for trying out",
            )
        )
    except (ValueError, IndexError):
        problems.append(Problem("server.tls_cert", f"{cert} holds no PEM certificate"))
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except OSError as error:
        problems.append(Problem("server.tls_key", f"{key} cannot be read: {error.strerror}"))
    except (ValueError, TypeError):
        problems.append(Problem("server.tls_key", f"{key} holds no PEM key without a passphrase"))
    if certificate is not None and private is not None:
        form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        if certificate.public_key().public_bytes(*form) != private.public_key().public_bytes(*form):
            problems.append(Problem("server.tls_key", f"{key} does not belong to the certificate {cert}"))


def _check_capabilities(config: Config, problems: list[Problem]) -> None:
    for glob, cells in config.model_capabilities.items():
        for name, value in cells.items():
            try:
                models.checked({name: value})
            except ValueError as error:
                problems.append(Problem(f"model_capabilities.{glob}.{name}", str(error)))


def _check_state(config: Config, problems: list[Problem]) -> None:
    try:
        LedgerPlace.of(config.ledger.url, Path())
    except ValueError as error:
        problems.append(Problem("ledger.url", str(error)))
    try:
        place = Place.of(config.state.url)
    except ValueError as error:
        problems.append(Problem("state.url", str(error)))
        return
    for name, path in place.files:
        if not Path(path).is_file():
            problems.append(Problem("state.url", f"{name} names {path}, where there is no file"))


def _check_auth(config: Config, problems: list[Problem]) -> list[str]:
    """Fail closed: what spends our credentials is not offered to a network without keys.

    Returns what the operator should know although it is possible.
    """
    warnings = []
    server = config.server
    if config.auth_keys is None and not server.is_loopback:
        spending = [name for name, one in config.endpoints.items() if one.injects]
        if spending and not server.allow_anonymous:
            problems.append(
                Problem(
                    "server.host",
                    f"{server.host} is not a loopback address, and endpoints with credentials "
                    f"({', '.join(spending)}) would be open to everyone; add [[auth_keys]], or set "
                    "allow_anonymous = true",
                )
            )
        elif spending:
            warnings.append(
                f"anyone who reaches {server.host}:{server.port} can spend the credentials of: "
                + ", ".join(spending)
            )
        else:
            warnings.append(
                f"anyone who reaches {server.host}:{server.port} can send requests through this machine; "
                "they need keys of their own"
            )
    if config.auth_keys is not None and not config.auth_keys:
        warnings.append("auth_keys is empty: nobody is admitted")
    for name, one in config.endpoints.items():
        provider = config.providers.get(one.provider) if one.provider is not None else None
        if one.kind == "forward" and provider is not None:
            if provider.disabled or all(credential.disabled for credential in provider.credentials):
                warnings.append(
                    f"endpoint {name} has nothing to send: provider {one.provider} has no credential in use"
                )
    if any(one.kind == "gateway" for one in config.endpoints.values()):
        for name, provider in config.providers.items():
            if all(one.base(name) is None for one in (provider, *provider.credentials)):
                why = f" ({RETIRED[name]})" if name in RETIRED else ""
                warnings.append(f"provider {name} has no base_url{why}: endpoints of kind gateway skip it")
    return warnings
