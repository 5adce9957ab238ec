"""Upstream accounts: what a provider and each of its credentials say."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, field_validator

from llmitm.config.cloak import Cloak
from llmitm.config.formats import FORMATS
from llmitm.config.identified import Identified
from llmitm.config.table import Table
from llmitm.config.values import BaseUrl, Glob, Key, ProxyUrl, SecretText, wrong
from llmitm.exchange import Dialect
from llmitm.route.known import KNOWN, Known
from llmitm.secret import Secret
from llmitm.shape.headers import Flags, flags

SIGNED: Final = (
    "vertex",
    "vertex-ai",
    "vertex_ai",
    "google-vertex",
    "google-vertex-ai",
    "vertex-anthropic",
    "bedrock",
    "aws-bedrock",
    "amazon-bedrock",
    "bedrock-openai",
    "bedrock-mantle",
    "bedrock_mantle",
    "bedrock-anthropic",
)


class Model(Table):
    id: Glob
    alias: Glob | None = None


def _models(value: Any) -> Any:
    if isinstance(value, list):
        return [{"id": one} if isinstance(one, str) else one for one in value]
    return value


class ProviderOptions(Identified):
    """What a provider and each of its credentials may say."""

    format: str | None = None
    wire_api: Literal["chat", "responses"] = "chat"
    base_url: BaseUrl | None = None
    models: Annotated[tuple[Model, ...], BeforeValidator(_models)] = ()
    excluded_models: tuple[Glob, ...] = ()
    prefix: str | None = None
    headers: Mapping[str, SecretText] = {}
    refused_betas: tuple[Glob, ...] | None = None
    """Flags of anthropic-beta and openai-beta that it refuses; None: what is known of it. Once loaded, not
    None."""
    proxy_url: ProxyUrl | None = None
    test_model: str | None = None
    weight: Annotated[int, Field(ge=1, le=10_000)] = 1
    disabled: bool = False
    strict: bool = False
    map_hosted: tuple[Literal["web_search", "web_fetch", "code"], ...] = ()
    auto_cache: bool = False
    completions: tuple[Glob, ...] | None = None
    """Globs of models that it completes plain prompts with; None: what is known of it."""
    api_version: str | None = None
    extract_think: bool | None = None
    """None: as [streaming] says."""
    cloak: Cloak | None = None

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str | None) -> str | None:
        if value is not None and value not in FORMATS:
            if value in SIGNED:
                raise wrong(f"{value} needs signed requests, which are not built yet")
            raise wrong(f"one of {', '.join(FORMATS)} is expected")
        return value

    @field_validator("test_model")
    @classmethod
    def _no_empty_model(cls, value: str | None) -> str | None:
        return value or None

    @cached_property
    def flags(self) -> Flags | None:
        """What becomes of clients' lists of features; None: they stay as they are."""
        own = {name: value.reveal() for name, value in self.headers.items()}
        return flags(self.refused_betas or (), own)

    def known(self, name: str) -> Known | None:
        """What is known of a provider of that name, where this is that one and not another's address."""
        found = KNOWN.get(name)
        return None if found is None or (self.base_url is not None and not found.is_template) else found

    def dialects(self, name: str) -> tuple[Dialect, ...]:
        """What it speaks, the best first: its format, else what is known of its name, else openai-chat."""
        named = KNOWN.get(name)
        if self.format is not None:
            found: tuple[Dialect, ...] = (FORMATS[self.format],)
        elif known := self.known(name):
            found = known.formats
        elif named is not None and named.formats[0] in (Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI):
            found = named.formats
        else:
            found = (Dialect.OPENAI_CHAT,)
        if Dialect.OPENAI_CHAT in found and self.wire_api == "responses":
            return (Dialect.OPENAI_RESPONSES,)
        return found

    def dialect(self, name: str) -> Dialect:
        """The one of them that is used for clients of any other."""
        found = self.dialects(name)
        return Dialect.OPENAI_CHAT if Dialect.OPENAI_CHAT in found else found[0]

    def base(self, name: str) -> str | None:
        """Its base URL, or that of the well-known provider of its name; None where neither is known."""
        found = KNOWN.get(name)
        return self.base_url or (found.base_url if found is not None and not found.is_template else None)


class Credential(ProviderOptions):
    """One upstream key. Once loaded, options that it does not set are its provider's."""

    api_key: Key
    name: str = ""

    @staticmethod
    def name_of(provider: str, key: Secret) -> str:
        return f"{provider}-{hashlib.sha256(key.reveal().encode()).hexdigest()[:8]}"


class Provider(ProviderOptions):
    api_keys: tuple[Key, ...] = ()
    credentials: tuple[Credential, ...] = ()
    """Once loaded, those of `api_keys` stand in it too, each with a name."""
