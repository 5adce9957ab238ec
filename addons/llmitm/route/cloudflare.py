"""Cloudflare AI Gateway: where a request goes, with which token and key, and whose fault an error is. Pure.

Three forms of address. `compat` is the gateway host's OpenAI-compatible path; `native` keeps each
provider's own path; `rest` is the API host, which authenticates with Cloudflare's token and takes no
provider key. URL and token are one unit and never chosen apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal
from urllib.parse import quote

import orjson

from llmitm.errors import Refused
from llmitm.exchange import Dialect, Headers
from llmitm.route.join import join
from llmitm.secret import Secret

AUTHORIZATION: Final = b"cf-aig-authorization"
NO_WHOLESALE: Final = b"cf-aig-no-wholesale"
GATEWAY_ID: Final = b"cf-aig-gateway-id"
KEY_HEADERS: Final = frozenset({b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key"})

_SLUG_OF_DIALECT: Final[Mapping[Dialect, str]] = {
    Dialect.OPENAI_CHAT: "openai",
    Dialect.OPENAI_RESPONSES: "openai",
    Dialect.ANTHROPIC_MESSAGES: "anthropic",
    Dialect.GEMINI: "google-ai-studio",
}
_WITHOUT_V1: Final = frozenset({"openai", "groq", "deepseek", "cerebras", "perplexity-ai", "azure-openai"})
"""Slugs after which Cloudflare's pages write the native path without its /v1."""
_KEY_HEADER: Final[Mapping[str, bytes]] = {
    "anthropic": b"x-api-key",
    "google-ai-studio": b"x-goog-api-key",
    "azure-openai": b"api-key",
}
_AUTHOR: Final[Mapping[str, str]] = {
    "google-ai-studio": "google",
    "google-vertex-ai": "google",
    "grok": "xai",
}
"""First segments of model names that are spelled otherwise on the API host."""
_REST_PATHS: Final = frozenset({b"/v1/chat/completions", b"/v1/responses", b"/v1/messages"})

_SLUG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")

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
    add_headers: Headers
    model: str | None
    """The model's name as this form spells it; None: as it stands."""


def segment_of(model: str | None, dialect: Dialect, form: Form) -> str | None:
    """The provider that a model's name begins with; on native paths the dialect's, where it names none."""
    if model is not None and "/" in model:
        return model.partition("/")[0]
    return _SLUG_OF_DIALECT[dialect] if form == "native" else None


def aim(target: Target, rest: bytes, dialect: Dialect, model: str | None, key: Secret | None) -> Aim:
    """The address of a request (`rest` is its path and query) at one gateway.

    `key` is ours for the provider; None leaves the client's own in place.

    Raises:
        Refused: 400 for a path that makes no address, 404 for one that this form does not have.
    """
    drop: set[bytes] = {NO_WHOLESALE, GATEWAY_ID}
    put: list[tuple[bytes, Secret]] = []
    add: list[tuple[bytes, bytes]] = []
    account, gateway = quote(target.account_id, safe=""), quote(target.gateway_id, safe="")
    if target.form == "rest":
        path = rest.partition(b"?")[0]
        if path not in _REST_PATHS:
            raise Refused(
                404,
                "unknown_path",
                "Cloudflare's API host serves chat completions, responses and messages only.",
            )
        assert target.token is not None, "checked when the configuration was loaded"
        put.append((b"authorization", _bearer(target.token)))
        add.append((GATEWAY_ID, target.gateway_id.encode()))
        url = join(f"{target.rest_base_url}/client/v4/accounts/{account}/ai/v1", rest)
        return Aim(
            url=url,
            credential_headers=tuple(put),
            drop_headers=frozenset(drop | KEY_HEADERS | {AUTHORIZATION}),
            add_headers=tuple(add),
            model=_rest_model(model),
        )
    if target.token is not None:
        drop.add(AUTHORIZATION)
        put.append((AUTHORIZATION, _bearer(target.token)))
    if not target.unified_billing:
        # else a missing or deleted key silently moves the request to Cloudflare's own bill
        add.append((NO_WHOLESALE, b"true"))
    host = f"{target.base_url}/v1/{account}/{gateway}"
    slug = segment_of(model, dialect, target.form)
    if target.form == "native" and slug is not None:
        if not _SLUG.match(slug):
            raise Refused(400, "invalid_model", "The model's first segment names no provider.")
        native = slug
        url = join(f"{host}/{native}/v1" if slug in _WITHOUT_V1 else f"{host}/{native}", rest)
        if slug in _WITHOUT_V1:
            url = url.replace(f"{host}/{native}/v1", f"{host}/{native}", 1)
        model = model.partition("/")[2] if model is not None and "/" in model else None
        header = _KEY_HEADER.get(slug, b"authorization")
    else:
        url = join(f"{host}/compat/v1", rest).replace(f"{host}/compat/v1", f"{host}/compat", 1)
        model, header = None, b"authorization"
    if key is not None:
        drop |= KEY_HEADERS
        put.append((header, _bearer(key) if header == b"authorization" else key))
    return Aim(
        url=url,
        credential_headers=tuple(put),
        drop_headers=frozenset(drop),
        add_headers=tuple(add),
        model=model,
    )


def _bearer(secret: Secret) -> Secret:
    return Secret(f"Bearer {secret.reveal()}", secret.reference)


def _rest_model(model: str | None) -> str | None:
    if model is None or "/" not in model:
        return None
    segment, _, name = model.partition("/")
    if segment == "workers-ai" and name.startswith("@cf/"):
        return name
    author = _AUTHOR.get(segment)
    return f"{author}/{name}" if author is not None else None


class Kind(StrEnum):
    """What an error asks for."""

    CONFIG = "config"
    TOKEN = "token"
    KEY = "key"
    RATE_LIMIT = "rate_limit"
    QUOTA = "quota"
    BLOCKED = "blocked"
    UPSTREAM = "upstream"
    CLIENT = "client"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Whose error an answer is, and what it means."""

    is_cloudflares: bool
    code: int | None
    kind: Kind
    message: str
    may_retry: bool
    rests: Literal["gateway", "key"] | None
    """What had better not be used for a while."""


_CODES: Final[Mapping[int, tuple[Kind, bool, Literal["gateway", "key"] | None]]] = {
    2001: (Kind.CONFIG, False, None),
    2002: (Kind.UPSTREAM, True, None),
    2003: (Kind.RATE_LIMIT, True, "gateway"),
    2005: (Kind.UPSTREAM, True, None),
    2008: (Kind.CONFIG, False, None),
    2009: (Kind.TOKEN, True, "gateway"),
    2016: (Kind.BLOCKED, False, None),
    2017: (Kind.BLOCKED, False, None),
    2019: (Kind.CLIENT, False, None),
    2021: (Kind.QUOTA, True, "gateway"),
    2029: (Kind.BLOCKED, False, None),
    2030: (Kind.BLOCKED, False, None),
    2040: (Kind.CONFIG, False, None),
    2041: (Kind.QUOTA, True, "gateway"),
    2047: (Kind.CONFIG, False, None),
    2049: (Kind.QUOTA, True, "gateway"),
    7003: (Kind.CLIENT, False, None),
    7013: (Kind.UPSTREAM, True, None),
    10000: (Kind.TOKEN, True, "gateway"),
}


def _by_status(status: int) -> tuple[Kind, bool, Literal["gateway", "key"] | None]:
    if status in (401, 403):
        return Kind.KEY, True, "key"
    if status == 402:
        return Kind.QUOTA, True, "key"
    if status == 429:
        return Kind.RATE_LIMIT, True, "key"
    if status >= 500:
        return Kind.UPSTREAM, True, None
    return Kind.CLIENT, False, None


def fault_of(status: int, body: bytes, *, is_run: bool = False) -> Fault:
    """Tells Cloudflare's errors from the provider's, by the body's shape, and classes them by code.

    `is_run`: the request went to `/ai/run`, where a provider's refused key comes as code 2009 too.
    """
    try:
        told: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = None
    code, message = _cloudflares_code(told)
    if code is None:
        kind, may_retry, rests = _by_status(status)
        if not isinstance(told, dict) and status >= 500:
            kind = Kind.UPSTREAM  # a page of the edge itself
        return Fault(is_cloudflares=False, code=None, kind=kind, message="", may_retry=may_retry, rests=rests)
    kind, may_retry, rests = _CODES.get(code, (Kind.UNKNOWN, status >= 500 or status == 429, None))
    if is_run and code == 2009:
        kind, rests = Kind.KEY, "key"
    return Fault(is_cloudflares=True, code=code, kind=kind, message=message, may_retry=may_retry, rests=rests)


def _cloudflares_code(told: Any) -> tuple[int | None, str]:
    if not isinstance(told, dict):
        return None, ""
    lists = [told.get(name) for name in ("error", "errors") if isinstance(told.get(name), list)]
    first = next((one[0] for one in lists if one and isinstance(one[0], dict)), {})
    is_ours = (
        told.get("name") == "AiGatewayError"
        or "internalCode" in told
        or (told.get("success") is False and bool(lists))
    )
    if not is_ours:
        return None, ""
    code = told.get("internalCode", first.get("code"))
    message = first.get("message") or told.get("message") or told.get("description") or ""
    return (code if isinstance(code, int) else 0), str(message)
