"""From a request to the attempt that is made: URL, credential, proxy, chosen as a unit.

One attempt an exchange: what is chosen here is tried once. For endpoints of kind gateway `choose` comes
first; where the request then goes depends on the dialect that the provider is asked in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from llmitm.config.schema import Config, Credential, Endpoint, Gateway, ProviderOptions
from llmitm.errors import Refused
from llmitm.exchange import Attempt, Dialect, Headers
from llmitm.route import cloudflare, providers
from llmitm.route.calls import Call, url_of
from llmitm.route.join import join
from llmitm.route.providers import Candidate, auth_of, key_headers
from llmitm.route.rotation import cycle
from llmitm.secret import Secret
from llmitm.state.store import Count, Store

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    attempt: Attempt
    add_headers: Headers = ()
    model: str | None = None
    """The model's name as the upstream spells it; None: as the client spelled it."""


async def plan(asked: Asked, config: Config, store: Store) -> Planned:
    """Chooses the attempt of an endpoint of kind forward or cloudflare.

    Raises:
        Refused: 503 where the endpoint's provider has no key in use.
    """
    endpoint = config.endpoints[asked.endpoint]
    if endpoint.kind == "forward":
        return await _forward(asked, endpoint, config, store)
    return await _cloudflare(asked, config, store)


async def choose(model: str, endpoint: str, config: Config, store: Store) -> Candidate:
    """Who is asked for this model: each credential that serves it in its turn, as often as its weight says.

    Raises:
        Refused: 404 where no provider serves the model, 503 where those that do are out of service.
    """
    if pool := config.routing.aliases.get(model):
        weights = tuple(one.weight for one in pool)
        model = pool[await rotate(store, f"alias:{model}", weights)].model
    found = providers.find(model, config, only=config.endpoints[endpoint].provider)
    weights = tuple(one.options.weight for one in found)
    # one turn for all that have the same choice
    named = ",".join(f"{one.provider}/{one.credential.name if one.credential else ''}" for one in found)
    return found[await rotate(store, f"candidates:{named}", weights)]


def towards(asked: Asked, chosen: Candidate, call: Call, config: Config) -> Planned:
    """The attempt that makes `call`, which is in a dialect of the provider's own.

    Raises:
        Refused: 400 for a model whose name makes no path, 503 where a key is needed and there is none.
    """
    options, credential = chosen.options, chosen.credential
    auth = chosen.auth(call.dialect)
    has_own_address = options.base_url is not None or auth == "optional"
    if credential is None and call.dialect is not asked.dialect and not has_own_address:
        raise Refused(503, "no_credential", f"Provider {chosen.provider} has no credential in use.")
    version = options.api_version if call.dialect is not Dialect.ANTHROPIC_MESSAGES else None
    attempt = Attempt(
        exchange_id=asked.id,
        number=1,
        endpoint=asked.endpoint,
        provider=chosen.provider,
        url=url_of(call, chosen.base, chosen.model, version),
        dialect=call.dialect,
        credential=credential.name if credential else None,
        credential_headers=key_headers(auth, credential.api_key) if credential else (),
        drop_headers=asked.drop_headers | CLIENT_KEYS if credential else asked.drop_headers,
        model=chosen.model,
        proxy_url=proxy_of(config, asked.endpoint, credential or options),
    )
    return Planned(attempt=attempt, add_headers=_extra(options), model=chosen.model)


async def _forward(asked: Asked, endpoint: Endpoint, config: Config, store: Store) -> Planned:
    credential = None
    if endpoint.provider is not None:
        credential = await pick_credential(endpoint.provider, config, store)
        if credential is None:
            raise Refused(503, "no_credential", f"Provider {endpoint.provider} has no credential in use.")
    url = join(config.target_of(asked.endpoint), asked.rest)
    attempt = Attempt(
        exchange_id=asked.id,
        number=1,
        endpoint=asked.endpoint,
        provider=endpoint.provider or urlsplit(url).hostname or "",
        url=url,
        dialect=asked.dialect,
        credential=credential.name if credential else None,
        credential_headers=_key_of(endpoint.provider, credential, asked.dialect),
        drop_headers=asked.drop_headers | CLIENT_KEYS if credential else asked.drop_headers,
        proxy_url=proxy_of(config, asked.endpoint, credential),
    )
    return Planned(attempt=attempt, add_headers=_extra(credential))


async def _cloudflare(asked: Asked, config: Config, store: Store) -> Planned:
    gateways = config.gateways
    gateway = gateways[await rotate(store, "gateways", tuple(one.weight for one in gateways))]
    segment = cloudflare.segment_of(asked.model, asked.dialect, gateway.form)
    credential = None
    if segment is not None and segment in config.providers and gateway.form != "rest":
        credential = await pick_credential(segment, config, store)
    aim = cloudflare.aim(
        target_of(gateway, config),
        asked.rest,
        asked.dialect,
        asked.model,
        credential.api_key if credential else None,
    )
    attempt = Attempt(
        exchange_id=asked.id,
        number=1,
        endpoint=asked.endpoint,
        provider=segment or "cloudflare",
        url=aim.url,
        dialect=asked.dialect,
        credential=credential.name if credential else None,
        credential_headers=aim.credential_headers,
        drop_headers=asked.drop_headers | aim.drop_headers,
        gateway=f"{gateway.account_id}/{gateway.gateway_id}",
        model=asked.model,
        proxy_url=proxy_of(config, asked.endpoint, credential),
    )
    return Planned(attempt=attempt, add_headers=(*aim.add_headers, *_extra(credential)), model=aim.model)


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


def _extra(options: ProviderOptions | None) -> Headers:
    """The operator's own headers of a credential."""
    if options is None:
        return ()
    return tuple((name.encode(), value.reveal().encode()) for name, value in options.headers.items())


def _key_of(
    provider: str | None, credential: Credential | None, dialect: Dialect
) -> tuple[tuple[bytes, Secret], ...]:
    if provider is None or credential is None:
        return ()
    return key_headers(auth_of(provider, credential, dialect), credential.api_key)


def proxy_of(config: Config, endpoint: str, credential: ProviderOptions | None) -> Secret | None:
    """Credential, then endpoint, then server; an empty one is a direct connection."""
    for proxy in (
        credential.proxy_url if credential else None,
        config.endpoints[endpoint].proxy_url,
        config.server.proxy_url,
    ):
        if proxy is not None:
            return proxy if proxy else None
    return None


async def rotate(store: Store, name: str, weights: tuple[int, ...]) -> int:
    """The index that is next in the smooth weighted rotation called `name`."""
    if len(weights) == 1:
        return 0
    order = cycle(weights)
    outcome = await store.apply((Count(key=f"rotation:{name}"),))
    return order[(outcome.values[0] - 1) % len(order)]


async def pick_credential(provider: str, config: Config, store: Store) -> Credential | None:
    """The provider's next credential; None where it has none in use."""
    known = config.providers[provider]
    usable = tuple(one for one in known.credentials if not one.disabled)
    if not usable or known.disabled:
        return None
    weights = tuple(one.weight for one in usable)
    return usable[await rotate(store, f"credentials:{provider}", weights)]


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
        proxy_url=proxy_of(config, endpoint, found),
    )
