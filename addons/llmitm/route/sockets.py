"""What the path of a WebSocket asks for, and where the same is asked of a provider. Pure.

Three live APIs are known: OpenAI's Realtime (`/v1/realtime`), its Responses (`/v1/responses`) and Gemini's
Live (`/ws/google.ai.generativelanguage…`). On endpoints that pass all paths, any other does too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote, unquote_plus, urlsplit

from llmitm.config.providers import Credential
from llmitm.config.schema import Config
from llmitm.exchange import Attempt, Dialect
from llmitm.route import cloudflare
from llmitm.route.choice import Choice
from llmitm.route.join import join
from llmitm.route.plan import Asked, Planned, Way, extra, identity_of, proxy_of, target_of
from llmitm.route.providers import Candidate, auth_of, key_headers
from llmitm.route.siblings import GEMINI, OPENAI, Sibling
from llmitm.secret import Secret

type Api = Literal["realtime", "responses", "live"]

_PATHS: Final[Mapping[bytes, Api]] = {
    b"/v1/realtime": "realtime",
    b"/realtime": "realtime",
    b"/v1/responses": "responses",
    b"/responses": "responses",
}
_LIVE: Final = re.compile(
    rb"/ws/google\.(?:ai\.generativelanguage|cloud\.aiplatform)\.v1(?:beta\d*|alpha)?\.[A-Za-z]+/?[./][A-Za-z]+\Z"
)
_OWN: Final = frozenset({b"key", b"provider"})
"""Parameters for the gateway."""
_KEYS: Final = frozenset({b"access_token", b"api_key", b"api-key"})
"""Parameters in which a client's key for the provider travels."""
_PROVIDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "google": ("google", "google-ai-studio", "gemini"),
    "google-ai-studio": ("google-ai-studio", "google", "gemini"),
}
"""Under which names a provider's credentials may be configured; all others under Cloudflare's own."""
_VERSION_AT_END: Final = re.compile(r"/v\d+(?:beta|alpha)?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """One WebSocket for a live session."""

    api: Api
    path: bytes
    query: bytes
    """Without what is meant for the gateway."""
    model: str | None
    """Where the query names it; None: it comes in a message, or is the session's own."""
    provider: str | None
    """That the client asks for by name."""
    ids: tuple[str, ...]
    """Of a call that is under way in one account."""

    @property
    def dialect(self) -> Dialect:
        match self.api:
            case "live":
                return Dialect.GEMINI
            case "responses":
                return Dialect.OPENAI_RESPONSES
            case _:
                return Dialect.OPENAI_CHAT

    def as_sibling(self) -> Sibling:
        """For who looks up which providers speak the API."""
        api = GEMINI if self.api == "live" else OPENAI
        return Sibling(
            kind=f"{self.api} sessions",
            path=self.path.decode("latin-1"),
            version="v1",
            is_upload=False,
            form="none",
            apis=(api,),
            api=api,
            is_kept=False,
            is_making=False,
            query=self.query,
            ids=self.ids,
            provider=self.provider,
        )

    def url(self, chosen: Candidate) -> str:
        """Where a provider is asked.

        Raises:
            Refused: 400 for a path that could leave the provider's base URL.
        """
        base = chosen.base
        if self.api == "live":
            return join(_VERSION_AT_END.sub("", base), _with(self.path, self.query))
        query = self.query
        if self.model is not None and chosen.model:
            query = with_model(query, chosen.model)
        if chosen.options.api_version:
            added = b"api-version=" + quote(chosen.options.api_version, safe="").encode()
            query = query + b"&" + added if query else added
        path = b"/responses" if self.api == "responses" else b"/realtime"
        return join(base, _with(path if urlsplit(base).path.strip("/") else b"/v1" + path, query))


def read(rest: bytes, header: bytes | None = None) -> Socket | None:
    """The session that `rest` (path and query below the endpoint) asks for; None where it is none of a known
    API. `header`: of `x-llmitm-provider`.
    """
    path, _, query = rest.partition(b"?")
    api: Api | None = "live" if _LIVE.match(path) else _PATHS.get(path)
    if api is None:
        return None
    named = dict(_pairs(query))
    call = named.get("call_id")
    provider = header.decode("latin-1") if header else named.get("provider")
    return Socket(
        api=api,
        path=path,
        query=without(query, _OWN),
        model=named.get("model") or None,
        provider=provider or None,
        ids=(call,) if call else (),
    )


def through_cloudflare(asked: Asked, socket: Socket | None, config: Config) -> list[Choice[Way]]:
    """Every gateway with every credential that goes through it."""
    slug = _slug(asked, socket)
    name = next((one for one in _PROVIDERS.get(slug, (slug,)) if one in config.providers), None)
    credentials: list[Credential | None] = [None]
    if name is not None and not config.providers[name].disabled:
        credentials = [one for one in config.providers[name].credentials if not one.disabled] or [None]
    return [
        Choice(
            provider=name or slug or "cloudflare",
            credential=credential.name if credential else None,
            model=asked.model or "",
            weight=credential.weight if credential else 1,
            value=Way(gateway=gateway, segment=name or slug or None, credential=credential),
            gateway=f"{gateway.account_id}/{gateway.gateway_id}",
            has_credential=credential is not None,
        )
        for gateway in config.gateways
        for credential in credentials
    ]


def by_way(asked: Asked, socket: Socket | None, way: Way, config: Config, number: int = 1) -> Planned:
    """The attempt of an endpoint of kind cloudflare: at the gateway host, whatever form other requests take.

    Raises:
        Refused: 400 for a path that makes no address.
    """
    gateway, credential = way.gateway, way.credential
    target = target_of(gateway, config)
    slug = _slug(asked, socket)
    path, _, query = asked.rest.partition(b"?")
    model = asked.model
    if socket is not None:
        query = socket.query
        path = f"/{slug}".encode() + (b"/responses" if socket.api == "responses" else b"")
        if model is not None and "/" in model:
            model = model.partition("/")[2]
            query = with_model(query, model)
    aim = cloudflare.at_host(target, _with(path, without_keys(query) if credential else query))
    in_query: tuple[tuple[bytes, Secret], ...] = ()
    headers = aim.credential_headers
    drop = aim.drop_headers
    if credential is not None:
        drop |= cloudflare.KEY_HEADERS
        if slug == "google":
            in_query = ((b"api_key", credential.api_key),)
        else:
            auth = auth_of(way.segment or slug, credential, asked.dialect)
            headers += key_headers(auth, credential.api_key)
    attempt = Attempt(
        exchange_id=asked.id,
        number=number,
        endpoint=asked.endpoint,
        provider=way.segment or "cloudflare",
        url=aim.url,
        dialect=asked.dialect,
        credential=credential.name if credential else None,
        credential_headers=headers,
        credential_query=in_query,
        drop_headers=asked.drop_headers | drop,
        gateway=f"{gateway.account_id}/{gateway.gateway_id}",
        model=model,
        proxy_url=proxy_of(config, asked.endpoint, credential, aim.url),
        identity=identity_of(config, asked.endpoint, None),
        deadline_s=asked.deadline_s,
    )
    return Planned(attempt=attempt, add_headers=(*aim.add_headers, *extra(credential)))


def _slug(asked: Asked, socket: Socket | None) -> str:
    """The provider as Cloudflare's paths name it; empty where none is named."""
    if socket is None:
        return asked.rest.partition(b"?")[0].strip(b"/").partition(b"/")[0].decode("latin-1")
    if socket.api == "live":
        return "google"
    model = asked.model or ""
    return model.partition("/")[0] if "/" in model else "openai"


def without(query: bytes, names: frozenset[bytes]) -> bytes:
    """The query without some parameters; the others stay as they were spelled."""
    parts = (part for part in query.split(b"&") if part)
    return b"&".join(one for one in parts if one.partition(b"=")[0].lower() not in names)


def without_keys(query: bytes) -> bytes:
    """The query of a client whose key gives way to one of ours."""
    return without(query, _KEYS | {b"key"})


def with_model(query: bytes, model: str) -> bytes:
    """The query with the model's name replaced."""
    spelled = b"model=" + quote(model, safe="").encode()
    return b"&".join(
        spelled if part.partition(b"=")[0] == b"model" else part for part in query.split(b"&") if part
    )


def _pairs(query: bytes) -> list[tuple[str, str]]:
    """Of a parameter that stands twice, the last one counts, here and with `dict`."""
    split = (part.decode("latin-1").partition("=") for part in query.split(b"&") if part)
    return [(unquote_plus(name), unquote_plus(value)) for name, _, value in split]


def _with(path: bytes, query: bytes) -> bytes:
    return path + b"?" + query if query else path
