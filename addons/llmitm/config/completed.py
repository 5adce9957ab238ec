"""Fills in what follows from the rest of a configuration, and checks what its tables ask of one another."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from llmitm.config import cloak, dashboard, environment, payload
from llmitm.config.budget import forgotten
from llmitm.config.endpoints import Endpoint
from llmitm.config.hooks import Hooks
from llmitm.config.identified import Identities
from llmitm.config.keeping import Log
from llmitm.config.providers import SIGNED, Credential, Provider, ProviderOptions
from llmitm.config.schema import Config
from llmitm.errors import Problem
from llmitm.record.ledger.place import Place as LedgerPlace
from llmitm.route.known import RETIRED
from llmitm.shape.headers import refused_by
from llmitm.shape.hooks import modules
from llmitm.state.place import Place
from llmitm.translate import models


class Implied(Endpoint):
    """Stands in no file: it follows from the rest."""


def completed(config: Config, source: str, folder: Path, problems: list[Problem]) -> Config:
    """Fills in what follows from the rest, and checks what tables ask of one another."""
    server = config.server
    identities = Identities(folder, problems)
    providers = {
        name: _with_credentials(name, provider, identities, problems)
        for name, provider in config.providers.items()
    }
    endpoints = {name: identities.given(one, f"endpoints.{name}") for name, one in config.endpoints.items()}
    if server.default_endpoint in (None, "default") and "default" not in endpoints:
        if config.gateways:
            endpoints["default"] = Implied(kind="cloudflare")
        elif providers:
            endpoints["default"] = Implied(kind="gateway")
    places: dict[str, Any] = {}
    for name in ("tls_cert", "tls_key"):
        if (given := getattr(server, name)) is not None:
            places[name] = folder / given.expanduser()
    whole = config.model_copy(
        update={
            "providers": providers,
            "endpoints": endpoints,
            "server": server.model_copy(update=places),
            "hooks": _with_modules(config.hooks, folder, problems),
            "log": _with_place(config.log, folder, problems),
            "source": source,
        }
    )
    _check_endpoints(whole, problems)
    _check_tls(whole, problems)
    _check_capabilities(whole, problems)
    _check_state(whole, problems)
    warnings = [*_check_auth(whole, problems), *forgotten(whole)]
    warnings += [*cloak.doubts(whole), *payload.doubts(whole), *environment.doubts(whole)]
    has_tls = server.tls_cert is not None
    warnings += dashboard.check(whole.dashboard, server.port, has_tls, problems)
    return whole.model_copy(update={"warnings": tuple(warnings)})


def _with_credentials(
    name: str, provider: Provider, identities: Identities, problems: list[Problem]
) -> Provider:
    place = f"providers.{name}"
    provider = identities.given(provider, place)
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
    for at, one in enumerate(provider.credentials):
        identities.given(one, f"{place}.credentials[{at}]")  # for its problems
        own = {field: getattr(one, field) for field in one.model_fields_set}
        own["name"] = own.get("name") or Credential.name_of(name, one.api_key)
        made.append(Credential(**{**inherited, **own}))
    seen: set[str] = set()
    for one in made:
        if one.name in seen:
            problems.append(Problem(place, f"two credentials are called {one.name}; give one another name"))
        seen.add(one.name)
    made = [identities.given(one, place) for one in made]
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


def _with_place(log: Log, folder: Path, problems: list[Problem]) -> Log:
    """Its file lies beside the configuration, as all do that are named there."""
    if log.file is None:
        if log.rotate is not None:
            problems.append(Problem("log.rotate", "needs log.file"))
        return log
    file = folder / log.file.expanduser()
    if not file.parent.is_dir():
        problems.append(Problem("log.file", f"there is no folder {file.parent}"))
    return log.model_copy(update={"file": file})


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
    # takes long to load, which a configuration without TLS need not wait for
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

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
