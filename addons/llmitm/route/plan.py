"""What an exchange may be tried with, and from a choice to its attempt: URL, key, proxy as a unit. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from llmitm.config.endpoints import Gateway
from llmitm.config.providers import Credential, ProviderOptions
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import Attempt, Dialect, Headers
from llmitm.identity import Identity
from llmitm.route import cloudflare, providers
from llmitm.route.calls import Call, url_of
from llmitm.route.choice import Choice
from llmitm.route.join import join
from llmitm.route.providers import Candidate, auth_of, key_headers
from llmitm.route.strategy import turns
from llmitm.secret import Secret
from llmitm.state.store import Store

CLIENT_KEYS: Final = cloudflare.KEY_HEADERS
"""Headers in which a client's key for the provider travels; all give way to a credential of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the plan needs of an accepted request."""

    id: str
    endpoint: str
    rest: bytes
    """Path after the endpoint's name, with its query, our own key taken out."""
    dialect: Dialect
    drop_headers: frozenset[bytes]
    model: str | None = None
    """Only asked for where the endpoint routes by it."""
    deadline_s: float | None = None
    """When the exchange is to be over, on the clock's ticks."""
    silence_s: float | None = None
    """As of an `Attempt`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    attempt: Attempt
    add_headers: Headers = ()
    model: str | None = None
    """The model's name as the upstream spells it; None: as the client spelled it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Through Cloudflare: a gateway, and the provider's credential that goes with it."""

    gateway: Gateway
    segment: str | None
    """The provider that the model's name begins with."""
    credential: Credential | None
    """None: the client's own key, or one that Cloudflare keeps."""


def of_model(model: str, endpoint: str, config: Config) -> Sequence[Choice[Candidate]]:
    """Those that may be asked for this model on an endpoint of kind gateway.

    Raises:
        Refused: 404 where no provider serves the model, 503 where those that do are out of service.
    """
    only = config.endpoints[endpoint].provider
    known = _known_of(config)
    found = known.get((model, only))
    if found is None:
        found = [
            Choice(
                provider=one.provider,
                credential=one.credential.name if one.credential else None,
                model=one.model,
                weight=one.options.weight,
                value=one,
                has_credential=one.credential is not None,
            )
            for one in providers.find(model, config, only=only)
        ]
        if len(known) < _MOST_KNOWN:  # names of models may come from clients
            known[model, only] = found
    return found


type _Known = dict[tuple[str, str | None], list[Choice[Candidate]]]

_MOST_KNOWN: Final = 1_000
_latest: tuple[Config | None, _Known] = (None, {})


def _known_of(config: Config) -> _Known:
    """What was found in this configuration before: all but a few exchanges have the latest."""
    global _latest
    if _latest[0] is not config:
        _latest = (config, {})
    return _latest[1]


def of_provider(provider: str, model: str, config: Config) -> list[Choice[Credential]]:
    """A provider's credentials in use.

    Raises:
        Refused: 503, it has none.
    """
    known = config.providers[provider]
    usable = [one for one in known.credentials if not one.disabled]
    if not usable or known.disabled:
        raise Refused(503, "no_credential", f"Provider {provider} has no credential in use.")
    return [
        Choice(provider=provider, credential=one.name, model=model, weight=one.weight, value=one)
        for one in usable
    ]


def through_cloudflare(asked: Asked, config: Config) -> list[Choice[Way]]:
    """Every gateway with every credential that goes through it."""
    found: list[Choice[Way]] = []
    for gateway in config.gateways:
        segment = cloudflare.segment_of(asked.model, asked.dialect, gateway.form)
        credentials: list[Credential | None] = [None]
        if segment is not None and segment in config.providers and gateway.form != "rest":
            provider = config.providers[segment]
            usable = [] if provider.disabled else [one for one in provider.credentials if not one.disabled]
            credentials = [*usable] or credentials
        found += (
            Choice(
                provider=segment or "cloudflare",
                credential=credential.name if credential else None,
                model=asked.model or "",
                weight=credential.weight if credential else 1,
                value=Way(gateway=gateway, segment=segment, credential=credential),
                gateway=f"{gateway.account_id}/{gateway.gateway_id}",
                has_credential=credential is not None,
            )
            for credential in credentials
        )
    return found


async def in_turn(choices: Sequence[Choice[Way]], store: Store) -> list[Choice[Way]]:
    """Gateways in their turn, each with credentials in theirs."""
    gateways = {one.gateway: one.value.gateway.weight for one in choices}
    accounts = {one.name: one.weight for one in choices}
    gateway_at = await _places("gateways", gateways, store)
    account_at = await _places(f"credentials:{choices[0].provider}" if choices else "", accounts, store)
    return sorted(choices, key=lambda one: (gateway_at[one.gateway], account_at[one.name]))


async def _places[K](name: str, weights: Mapping[K, int], store: Store) -> dict[K, int]:
    turn = await turns(name, list(weights.values()), store)
    names = list(weights)
    return {names[at]: place for place, at in enumerate(turn)}


def towards(
    asked: Asked, chosen: Candidate, call: Call, config: Config, number: int = 1, *, url: str | None = None
) -> Planned:
    """The attempt that makes `call`, which is in a dialect of the provider's own; at `url` where it is
    none of a model.

    Raises:
        Refused: 400 for a model whose name makes no path, 503 where a key is needed and there is none.
    """
    options, credential = chosen.options, chosen.credential
    auth = chosen.auth(call.dialect)
    has_own_address = options.base_url is not None or auth == "optional"
    if credential is None and call.dialect is not asked.dialect and not has_own_address:
        raise Refused(503, "no_credential", f"Provider {chosen.provider} has no credential in use.")
    version = options.api_version if call.dialect is not Dialect.ANTHROPIC_MESSAGES else None
    to = url or url_of(call, chosen.base, chosen.model, version)
    attempt = Attempt(
        exchange_id=asked.id,
        number=number,
        endpoint=asked.endpoint,
        provider=chosen.provider,
        url=to,
        dialect=call.dialect,
        credential=credential.name if credential else None,
        credential_headers=key_headers(auth, credential.api_key) if credential else (),
        drop_headers=_dropped(asked, config) if credential else asked.drop_headers,
        model=chosen.model,
        proxy_url=proxy_of(config, asked.endpoint, credential or options, to),
        identity=identity_of(config, asked.endpoint, credential or options),
        deadline_s=asked.deadline_s,
        silence_s=asked.silence_s,
    )
    return Planned(attempt=attempt, add_headers=extra(options), model=chosen.model)


def forward(asked: Asked, credential: Credential | None, config: Config, number: int = 1) -> Planned:
    """The attempt of an endpoint of kind forward, with a credential of its provider where it has one."""
    endpoint = config.endpoints[asked.endpoint]
    url = join(config.target_of(asked.endpoint), asked.rest)
    attempt = Attempt(
        exchange_id=asked.id,
        number=number,
        endpoint=asked.endpoint,
        provider=endpoint.provider or urlsplit(url).hostname or "",
        url=url,
        dialect=asked.dialect,
        credential=credential.name if credential else None,
        credential_headers=_key_of(endpoint.provider, credential, asked.dialect),
        drop_headers=_dropped(asked, config) if credential else asked.drop_headers,
        proxy_url=proxy_of(config, asked.endpoint, credential, url),
        identity=identity_of(config, asked.endpoint, credential),
        deadline_s=asked.deadline_s,
    )
    return Planned(attempt=attempt, add_headers=extra(credential))


def by_way(asked: Asked, way: Way, config: Config, number: int = 1) -> Planned:
    """The attempt of an endpoint of kind cloudflare.

    Raises:
        Refused: 400 for a path or a model that makes no address, 404 for a path that this form does not have.
    """
    gateway, credential = way.gateway, way.credential
    aim = cloudflare.aim(
        target_of(gateway, config),
        asked.rest,
        asked.dialect,
        asked.model,
        credential.api_key if credential else None,
    )
    attempt = Attempt(
        exchange_id=asked.id,
        number=number,
        endpoint=asked.endpoint,
        provider=way.segment or "cloudflare",
        url=aim.url,
        dialect=asked.dialect,
        credential=credential.name if credential else None,
        credential_headers=aim.credential_headers,
        drop_headers=(_dropped(asked, config) if credential else asked.drop_headers) | aim.drop_headers,
        gateway=f"{gateway.account_id}/{gateway.gateway_id}",
        model=asked.model,
        proxy_url=proxy_of(config, asked.endpoint, credential, aim.url),
        identity=identity_of(config, asked.endpoint, None),
        deadline_s=asked.deadline_s,
    )
    return Planned(attempt=attempt, add_headers=(*aim.add_headers, *extra(credential)), model=aim.model)


def target_of(gateway: Gateway, config: Config) -> cloudflare.Target:
    return cloudflare.Target(
        account_id=gateway.account_id,
        gateway_id=gateway.gateway_id,
        token=gateway.token,
        form=gateway.form,
        unified_billing=gateway.unified_billing,
        base_url=config.cloudflare.base_url,
        rest_base_url=config.cloudflare.rest_base_url,
    )


def extra(options: ProviderOptions | None) -> Headers:
    """The operator's own headers of a credential."""
    if options is None:
        return ()
    return tuple((name.encode(), value.reveal().encode()) for name, value in options.headers.items())


def _dropped(asked: Asked, config: Config) -> frozenset[bytes]:
    """What of a client's headers goes with its own key alone."""
    return asked.drop_headers | CLIENT_KEYS | config.passing.kept_back


def _key_of(
    provider: str | None, credential: Credential | None, dialect: Dialect
) -> tuple[tuple[bytes, Secret], ...]:
    if provider is None or credential is None:
        return ()
    return key_headers(auth_of(provider, credential, dialect), credential.api_key)


def proxy_of(config: Config, endpoint: str, credential: ProviderOptions | None, url: str) -> Secret | None:
    """Credential, then endpoint, then server, then the environment; an empty one is a direct connection."""
    for proxy in (
        credential.proxy_url if credential else None,
        config.endpoints[endpoint].proxy_url,
    ):
        if proxy is not None:
            return proxy or None
    return config.server.proxy_to(url) or None


def identity_of(config: Config, endpoint: str, options: ProviderOptions | None) -> Identity | None:
    """Credential (and so provider), then endpoint. None for `options`: the provider is not asked itself."""
    own = options.identity if options is not None else None
    return own or config.endpoints[endpoint].identity


def again(
    exchange_id: str,
    url: str,
    endpoint: str,
    provider: str,
    credential: str | None,
    gateway: str | None,
    dialect: Dialect,
    config: Config,
) -> Attempt:
    """The attempt that plays an upstream leg again: the same URL, with the credential and token it had.

    Raises:
        Refused: its endpoint, credential or gateway is no longer configured.
    """
    if endpoint not in config.endpoints:
        raise Refused(404, "unknown_endpoint", f"Endpoint {endpoint} is no longer configured.")
    put: tuple[tuple[bytes, Secret], ...] = ()
    found: Credential | None = None
    if credential is not None:
        # names are unique within a provider only: another's key must not go to this one's host
        known_provider = config.providers.get(provider)
        every = known_provider.credentials if known_provider is not None else ()
        found = next((one for one in every if one.name == credential), None)
        if found is None:
            raise Refused(409, "no_credential", f"Credential {credential} is no longer configured.")
        put = _key_of(provider, found, dialect)
    if gateway is not None:
        named = (one for one in config.gateways if f"{one.account_id}/{one.gateway_id}" == gateway)
        known = next(named, None)
        if known is None:
            raise Refused(409, "no_gateway", "This leg's gateway is no longer configured.")
        if known.token is not None:
            bearer = Secret(f"Bearer {known.token.reveal()}", known.token.reference)
            name = b"authorization" if known.form == "rest" else cloudflare.AUTHORIZATION
            put = (*(() if known.form == "rest" else put), (name, bearer))
    return Attempt(
        exchange_id=exchange_id,
        number=1,
        endpoint=endpoint,
        provider=urlsplit(url).hostname or "",
        url=url,
        dialect=dialect,
        credential=credential,
        credential_headers=put,
        gateway=gateway,
        proxy_url=proxy_of(config, endpoint, found, url),
        identity=identity_of(config, endpoint, None if gateway else found),
    )
