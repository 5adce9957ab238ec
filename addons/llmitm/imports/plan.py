"""What a gateway is to do, whoever said it.

Fields are called as the keys of our configuration; None, and what is empty, is not said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from llmitm.secret import Secret


@dataclass(slots=True, kw_only=True)
class Model:
    id: str
    """As the upstream spells it; a glob without an alias."""
    alias: str | None = None
    """As clients ask for it."""


@dataclass(slots=True, kw_only=True)
class Cloak:
    mode: str | None = None
    strict_mode: bool | None = None
    system_prompt: str | None = None
    sensitive_words: list[str] = field(default_factory=list)
    cache_user_id: bool | None = None
    headers: dict[str, Secret] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Account:
    """A key of a provider with all that goes with it. Without a key it is the provider itself."""

    source: str
    """Its path in the source."""
    api_key: Secret | None = None
    name: str | None = None
    format: str | None = None
    wire_api: str | None = None
    base_url: str | None = None
    models: list[Model] = field(default_factory=list)
    """None: any."""
    excluded_models: list[str] = field(default_factory=list)
    prefix: str | None = None
    headers: dict[str, Secret] = field(default_factory=dict)
    proxy_url: Secret | None = None
    """An empty one is a direct connection."""
    test_model: str | None = None
    weight: int | None = None
    disabled: bool | None = None
    api_version: str | None = None
    completions: list[str] = field(default_factory=list)
    cloak: Cloak | None = None


@dataclass(slots=True, kw_only=True)
class Provider:
    accounts: list[Account] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Endpoint:
    source: str
    kind: str = "forward"
    target_base: str | None = None
    proxy_url: Secret | None = None
    provider: str | None = None
    simulate_stream: bool | None = None


@dataclass(slots=True, kw_only=True)
class Gateway:
    source: str
    account_id: str
    gateway_id: str
    token: Secret | None = None
    weight: int | None = None


@dataclass(slots=True, kw_only=True)
class AuthKey:
    source: str
    name: str
    key: Secret
    allowed_models: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Rule:
    """Of `[payload]`; `params` of a filter is a list of paths."""

    source: str
    models: list[dict[str, Any]] = field(default_factory=list)
    params: dict[str, Any] | list[str]
    params_json: dict[str, str] = field(default_factory=dict)
    when: str | None = None


@dataclass(slots=True, kw_only=True)
class Payload:
    default: list[Rule] = field(default_factory=list)
    override: list[Rule] = field(default_factory=list)
    filter: list[Rule] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Plan:
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By table and key, those that are plain values."""
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    gateways: list[Gateway] = field(default_factory=list)
    providers: dict[str, Provider] = field(default_factory=dict)
    auth_keys: list[AuthKey] = field(default_factory=list)
    aliases: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    """Name to models with their weights."""
    fallbacks: dict[str, list[str]] = field(default_factory=dict)
    context_fallbacks: dict[str, list[str]] = field(default_factory=dict)
    payload: Payload = field(default_factory=Payload)
    model_prices: dict[str, dict[str, Any]] = field(default_factory=dict)
    model_limits: dict[str, dict[str, int]] = field(default_factory=dict)
    """`[rate_limit.models]`."""
    passthrough_headers: list[str] = field(default_factory=list)

    def put(self, place: str, value: Any) -> None:
        """Sets a plain value at `table.key`, unless it is None."""
        if value is not None:
            table, _, key = place.partition(".")
            self.settings.setdefault(table, {})[key] = value

    def get(self, place: str) -> Any:
        table, _, key = place.partition(".")
        return self.settings.get(table, {}).get(key)

    def add(self, provider: str, account: Account) -> None:
        """Who has no key is a provider of its own."""
        name, number = provider, 2
        while (known := self.providers.get(name)) is not None and (
            account.api_key is None or known.accounts[0].api_key is None
        ):
            name, number = f"{provider}-{number}", number + 1
        self.providers.setdefault(name, Provider()).accounts.append(account)

    def accounts(self) -> Iterator[tuple[str, Account]]:
        for name, provider in self.providers.items():
            for one in provider.accounts:
                yield name, one

    def path(self, place: str, value: str | None) -> None:
        """Sets a file's path, which may be relative to the source's folder."""
        self.put(place, None if value is None else PurePath(value))
