"""Cloudflare AI Gateway: where a request goes, and with which token and key. Pure.

Three forms of address. `compat` is the gateway host's OpenAI-compatible path; `native` keeps each
provider's own path; `rest` is the API host, which authenticates with Cloudflare's token and takes no
provider key. URL and token are one unit and never chosen apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal
from urllib.parse import quote

from llmitm.errors import Refused
from llmitm.exchange import Dialect, Headers
from llmitm.route.join import join
from llmitm.secret import Secret

AUTHORIZATION: Final = b"cf-aig-authorization"
NO_WHOLESALE: Final = b"cf-aig-no-wholesale"
GATEWAY_ID: Final = b"cf-aig-gateway-id"
KEY_HEADERS: Final = frozenset({b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key"})
"""Headers in which a client's key for the provider travels; all give way to a key of ours."""

_SLUG_OF_DIALECT: Final[Mapping[Dialect, str]] = {
    Dialect.OPENAI_CHAT: "openai",
    Dialect.OPENAI_RESPONSES: "openai",
    Dialect.ANTHROPIC_MESSAGES: "anthropic",
    Dialect.GEMINI: "google-ai-studio",
}
_SLUG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_WITHOUT_V1: Final = frozenset({"openai", "groq", "deepseek", "cerebras", "perplexity-ai", "azure-openai"})
"""Slugs after which Cloudflare's pages write the native path without its /v1."""
_KEY_HEADER: Final[Mapping[str, bytes]] = {
    "anthropic": b"x-api-key",
    "google-ai-studio": b"x-goog-api-key",
    "azure-openai": b"api-key",
}
"""Where a provider looks for its key on its native path; others, and all on compat, in Authorization."""
_REST_AUTHOR: Final[Mapping[str, str]] = {
    "google-ai-studio": "google",
    "google-vertex-ai": "google",
    "grok": "xai",
}
"""First segments of model names that are spelled otherwise on the API host. A table, never a rule: the
rest of a name is spelled as Cloudflare's catalogue has it, which only the operator knows."""
_REST_PATHS: Final = frozenset({b"/chat/completions", b"/responses", b"/messages"})

Form = Literal["compat", "native", "rest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One gateway: its address and token."""

    account_id: str
    gateway_id: str
    token: Secret | None
    form: Form
    unified_billing: bool
    base_url: str
    rest_base_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Where a request goes and what it takes with it."""

    url: str
    credential_headers: tuple[tuple[bytes, Secret], ...]
    drop_headers: frozenset[bytes]
    """Lower-case names of client headers that do not travel on."""
    add_headers: Headers
    model: str | None
    """The model's name as this form spells it; None: as it stands."""


def segment_of(model: str | None, dialect: Dialect, form: Form) -> str | None:
    """The provider that a model's name begins with, None for a name without a slash; on native paths, the
    dialect's own then."""
    if model is not None and "/" in model:
        return model.partition("/")[0]
    return _SLUG_OF_DIALECT[dialect] if form == "native" else None


def aim(target: Target, rest: bytes, dialect: Dialect, model: str | None, key: Secret | None) -> Aim:
    """The address of a request (`rest` is its path and query) at one gateway.

    `key` is ours for the provider; None leaves the client's own in place.

    Raises:
        Refused: 400 for a path or a model that makes no address, 404 for a path that this form does not
            have.
    """
    match target.form:
        case "rest":
            return _rest(target, rest, model)
        case "native":
            url, header, renamed = _native(target, rest, dialect, model)
        case _:
            url, header, renamed = join(f"{_host(target)}/compat", _without_v1(rest)), b"authorization", None
    found = _aim(target, url, renamed)
    if key is None:
        return found
    put = (header, _bearer(key) if header == b"authorization" else key)
    return replace(
        found,
        credential_headers=(*found.credential_headers, put),
        drop_headers=found.drop_headers | KEY_HEADERS,
    )


def at_host(target: Target, rest: bytes) -> Aim:
    """The address of `rest` (path and query) at the gateway host, without a provider's key.

    Raises:
        Refused: 400 for a path that makes no address.
    """
    return _aim(target, join(_host(target), rest), None)


def _aim(target: Target, url: str, model: str | None) -> Aim:
    drop: set[bytes] = set()
    put: list[tuple[bytes, Secret]] = []
    add: list[tuple[bytes, bytes]] = []
    if target.token is not None:
        drop.add(AUTHORIZATION)
        put.append((AUTHORIZATION, _bearer(target.token)))
    if not target.unified_billing:
        # else a missing or deleted key silently moves the request to Cloudflare's own bill
        drop.add(NO_WHOLESALE)
        add.append((NO_WHOLESALE, b"true"))
    return Aim(
        url=url,
        credential_headers=tuple(put),
        drop_headers=frozenset(drop),
        add_headers=tuple(add),
        model=model,
    )


def _host(target: Target) -> str:
    account, gateway = quote(target.account_id, safe=""), quote(target.gateway_id, safe="")
    return f"{target.base_url}/v1/{account}/{gateway}"


def _native(
    target: Target, rest: bytes, dialect: Dialect, model: str | None
) -> tuple[str, bytes, str | None]:
    """URL, header of the provider's key, and the model without its first segment (None: as it stands)."""
    slug = segment_of(model, dialect, "native") or ""
    if not _SLUG.match(slug):
        raise Refused(400, "invalid_model", "The model's first segment names no provider.")
    renamed = model.partition("/")[2] if model is not None and "/" in model else None
    base = f"{_host(target)}/{slug}"
    if slug == "azure-openai":
        base += _azure(renamed)
        renamed = None if renamed is None else renamed.partition("/")[2]
    url = join(base, _without_v1(rest) if slug in _WITHOUT_V1 else rest)
    return url, _KEY_HEADER.get(slug, b"authorization"), renamed


def _azure(model: str | None) -> str:
    """Azure's paths name resource and deployment, here as the model `azure-openai/{resource}/{deployment}`.

    Both come from the client: percent-encoded, they stay one segment each.
    """
    resource, slash, deployment = (model or "").partition("/")
    if not slash or not _SLUG.match(resource) or deployment in ("", ".", ".."):
        raise Refused(
            400, "invalid_model", "Models of Azure are named azure-openai/{resource}/{deployment} here."
        )
    return f"/{resource}/{quote(deployment, safe='')}"


def _rest(target: Target, rest: bytes, model: str | None) -> Aim:
    if _without_v1(rest).partition(b"?")[0] not in _REST_PATHS:
        raise Refused(
            404,
            "unknown_path",
            "Cloudflare's API host serves chat completions, responses and messages only.",
        )
    assert target.token is not None, "checked when the configuration was loaded"
    account = quote(target.account_id, safe="")
    return Aim(
        url=join(f"{target.rest_base_url}/client/v4/accounts/{account}/ai/v1", rest),
        credential_headers=((b"authorization", _bearer(target.token)),),
        drop_headers=KEY_HEADERS | {AUTHORIZATION, GATEWAY_ID},
        add_headers=((GATEWAY_ID, target.gateway_id.encode()),),
        model=_rest_model(model),
    )


def _rest_model(model: str | None) -> str | None:
    if model is None or "/" not in model:
        return None
    segment, _, name = model.partition("/")
    if segment == "workers-ai" and name.startswith("@cf/"):
        return name
    author = _REST_AUTHOR.get(segment)
    return f"{author}/{name}" if author is not None else None


def _without_v1(rest: bytes) -> bytes:
    path, mark, query = rest.partition(b"?")
    if path == b"/v1" or path.startswith(b"/v1/"):
        path = path[3:]
    return path + mark + query


def _bearer(secret: Secret) -> Secret:
    return Secret(f"Bearer {secret.reveal()}", secret.reference)
