"""From a request to the attempt that is made: URL, credential, proxy and body, chosen as a unit.

Knows endpoints of kind forward and cloudflare. One attempt an exchange: what is chosen here is tried once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from llmitm.config.schema import Config, Credential, Endpoint, Provider
from llmitm.errors import Refused
from llmitm.exchange import Attempt, Body, Dialect, Headers
from llmitm.route.join import join
from llmitm.route.rotation import cycle
from llmitm.secret import Secret
from llmitm.state.store import Step, Store

CLIENT_KEYS: Final = frozenset({b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key"})
"""Headers in which a client's key for the provider travels; all give way to a credential of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the plan needs of an accepted request."""

    id: str
    endpoint: str
    rest: bytes
    """Path after the endpoint's name, with its query, our own key taken out."""
    dialect: Dialect
    headers: Headers
    drop_headers: frozenset[bytes]
    body: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    attempt: Attempt
    headers: Headers
    body: Body


def forward_attempt(
    asked: Asked, endpoint: Endpoint, config: Config, credential: Credential | None
) -> Attempt:
    """The attempt of a forward endpoint, with a credential of ours where its provider has one."""
    url = join(config.target_of(asked.endpoint), asked.rest)
    drop = asked.drop_headers
    put: tuple[tuple[bytes, Secret], ...] = ()
    if credential is not None:
        drop |= CLIENT_KEYS
        put = key_headers(asked.dialect, credential.api_key)
    return Attempt(
        exchange_id=asked.id,
        number=1,
        endpoint=asked.endpoint,
        provider=endpoint.provider or urlsplit(url).hostname or "",
        url=url,
        dialect=asked.dialect,
        credential=credential.name if credential else None,
        credential_headers=put,
        drop_headers=drop,
        proxy_url=proxy_of(config, asked.endpoint, credential),
    )


def key_headers(dialect: Dialect, key: Secret) -> tuple[tuple[bytes, Secret], ...]:
    """Where a provider of this dialect looks for its key."""
    match dialect:
        case Dialect.ANTHROPIC_MESSAGES:
            return ((b"x-api-key", key),)
        case Dialect.GEMINI:
            return ((b"x-goog-api-key", key),)
        case _:
            return ((b"authorization", Secret(f"Bearer {key.reveal()}", key.reference)),)


def proxy_of(config: Config, endpoint: str, credential: Credential | None) -> Secret | None:
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
    outcome = await store.apply((Step(key=f"rotation:{name}"),))
    return order[(outcome.values[0] - 1) % len(order)]


async def pick_credential(provider_name: str, provider: Provider, store: Store) -> Credential | None:
    """The provider's next credential; None where it has none in use."""
    usable = tuple(one for one in provider.credentials if not one.disabled)
    if not usable or provider.disabled:
        return None
    return usable[await rotate(store, f"credentials:{provider_name}", tuple(one.weight for one in usable))]


async def plan(asked: Asked, config: Config, store: Store) -> Planned:
    """Chooses the attempt.

    Raises:
        Refused: 501 where the endpoint's kind is not served, 503 where its provider has no key in use.
    """
    endpoint = config.endpoints[asked.endpoint]
    if endpoint.kind != "forward":
        raise Refused(501, "not_supported", f"Endpoints of kind {endpoint.kind} are not served yet.")
    credential = None
    if endpoint.provider is not None:
        credential = await pick_credential(endpoint.provider, config.providers[endpoint.provider], store)
        if credential is None:
            raise Refused(503, "no_credential", f"Provider {endpoint.provider} has no credential in use.")
    attempt = forward_attempt(asked, endpoint, config, credential)
    return Planned(attempt=attempt, headers=asked.headers, body=asked.body)


def again(exchange_id: str, url: str, endpoint: str, credential: str | None, config: Config) -> Attempt:
    """The attempt that plays an upstream leg again, with the credential it had.

    Raises:
        Refused: the endpoint or credential is no longer configured.
    """
    if endpoint not in config.endpoints:
        raise Refused(404, "unknown_endpoint", f"Endpoint {endpoint} is no longer configured.")
    raise Refused(501, "not_supported", "not yet")
