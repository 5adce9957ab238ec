"""Operations on providers and their credentials: who is asked, with which keys, and how these are."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import unquote

from pydantic import Field

from llmitm import measured
from llmitm.admin import trial
from llmitm.admin.changes import (
    add_credential,
    add_provider,
    delete_credential,
    delete_provider,
    edit_credential,
    edit_provider,
)
from llmitm.admin.changing import CHANGE_ERRORS, IF_MATCH, Changed, Taken, change, shown_secret
from llmitm.admin.editing import documented, lines
from llmitm.admin.route import BASE, Asked, Role, Route
from llmitm.admin.shown import Shown
from llmitm.config.providers import Credential, ProviderOptions
from llmitm.errors import Refused
from llmitm.route.choice import Choice
from llmitm.route.health import Rest
from llmitm.route.verdict import Why

log = logging.getLogger("llmitm")

LONGEST_REST_S: Final = 90 * 86_400
_FILE_NAMES: Final = {"provider_type": "format"}
"""Fields that have another name in the configuration; all others have the same."""
_TYPES: Final = {"openai-compat": "openai"}


class ModelEntry(Taken):
    id: str
    alias: str | None = None


class Options(Taken):
    """What a provider and each of its credentials may say."""

    format: str | None = None
    """What it speaks; null: what is known of its name."""
    provider_type: str | None = None
    """The same."""
    wire_api: Literal["chat", "responses"] | None = None
    base_url: str | None = None
    models: list[str | ModelEntry] | None = None
    """Globs, or models with an alias; null: any."""
    excluded_models: list[str] | None = None
    prefix: str | None = None
    headers: dict[str, str] | None = None
    """Values may be env:NAME or file:PATH; the mark of one that was shown leaves it as it is."""
    proxy_url: str | None = None
    """Empty: none."""
    test_model: str | None = None
    weight: int | None = Field(default=None, ge=1, le=10_000)
    disabled: bool | None = None
    strict: bool | None = None
    api_version: str | None = None
    refused_betas: list[str] | None = None
    map_hosted: list[Literal["web_search", "web_fetch", "code"]] | None = None
    auto_cache: bool | None = None
    completions: list[str] | None = None
    extract_think: bool | None = None
    """null: as [streaming] says."""
    tls_ca: str | None = None
    tls_client_cert: str | None = None

    def named(self) -> dict[str, Any]:
        told = {_FILE_NAMES.get(name, name): value for name, value in super().named().items()}
        if told.get("models"):
            told["models"] = [
                {"id": one["id"], "alias": one["alias"]}
                if isinstance(one, dict) and one.get("alias")
                else one["id"]
                if isinstance(one, dict)
                else one
                for one in told["models"]
            ]
        if "format" in told:
            told["format"] = _TYPES.get(told["format"], told["format"])
        return told


class NewCredential(Options):
    api_key: str = Field(min_length=1)
    """As it is, or env:NAME or file:PATH."""
    name: str | None = Field(default=None, min_length=1, max_length=200)
    """null: made of the key's hash."""


class EditedCredential(Options):
    api_key: str | None = Field(default=None, min_length=1)
    name: str | None = Field(default=None, min_length=1, max_length=200)


class NewProvider(Options):
    name: str | None = Field(default=None, min_length=1, max_length=200)
    """null: its type."""
    api_key: str | None = Field(default=None, min_length=1)
    credentials: list[NewCredential] = []


class Resting(Taken):
    duration_s: float = Field(default=3600, gt=0, le=LONGEST_REST_S)
    reason: str | None = Field(default=None, max_length=200)


class Trial(Taken):
    model: str | None = Field(default=None, max_length=200)
    """null: its test_model, else the first model that it names."""


class ShownOptions(Shown):
    format: str | None
    provider_type: str
    """What it is spoken to in."""
    wire_api: str
    base_url: str | None
    models: list[str | dict[str, str]]
    excluded_models: list[str]
    prefix: str | None
    headers: dict[str, str]
    proxy_url: str | None
    test_model: str | None
    weight: int
    disabled: bool
    strict: bool
    api_version: str | None
    refused_betas: list[str]
    map_hosted: list[str]
    auto_cache: bool
    completions: list[str] | None
    """null: what is known of it."""
    extract_think: bool | None
    """null: as [streaming] says."""
    tls_ca: str | None
    tls_client_cert: str | None
    has_cloak: bool
    """Whether it has a table `cloak`, which is written in the file."""


class ShownCredential(ShownOptions):
    """Options that it does not set itself are its provider's."""

    id: str
    name: str
    key_set: bool
    key_reference: str | None
    """env:NAME or file:PATH; null: it is written out."""
    state: str
    """One of ok, cooling, exhausted, dead, stopped, disabled."""
    why: str | None
    left_s: float | None
    """Until it is used again; null: until it is revived, or it does not rest."""
    resting_models: int
    """For how many models alone it rests, such as after a 429."""


class ShownProvider(ShownOptions):
    id: str
    name: str
    models_count: int
    credentials: list[ShownCredential]


class Providers(Shown):
    providers: list[ShownProvider]


class Rested(Shown):
    message: str


# -- reading


async def every(asked: Asked) -> Providers:
    config = asked.world.config
    rests = await _rests(asked)
    return Providers(providers=[_provider(asked, name, rests) for name in config.providers])


async def one(asked: Asked) -> ShownProvider:
    name = _named(asked)
    return _provider(asked, name, await _rests(asked))


def _named(asked: Asked) -> str:
    name = unquote(asked.path["id"])
    if name not in asked.world.config.providers:
        raise LookupError(f"there is no provider {name}")
    return name


def _credential(asked: Asked) -> tuple[str, Credential]:
    provider, name = _named(asked), unquote(asked.path["cid"])
    for found in asked.world.config.providers[provider].credentials:
        if found.name == name:
            return provider, found
    raise LookupError(f"there is no credential {name} of the provider {provider}")


type _Rests = Mapping[tuple[str, str | None], tuple[Rest | None, int]]
"""By provider and name: the rest, and for how many models alone it rests."""


async def _rests(asked: Asked) -> _Rests:
    some: list[Choice[None]] = list(measured.every_choice(asked.world))
    rests = await asked.world.health.rests(some)
    names = [(one.provider, one.credential) for one in some]
    models = await measured.resting_models(asked.world, some)
    return {name: (rest, models[name]) for name, rest in zip(names, rests, strict=True)}


def _provider(asked: Asked, name: str, rests: _Rests) -> ShownProvider:
    provider = asked.world.config.providers[name]
    return ShownProvider(
        id=name,
        name=name,
        models_count=len(provider.models),
        credentials=[
            _shown_credential(name, one, provider.disabled, *rests.get((name, one.name), (None, 0)))
            for one in provider.credentials
        ],
        **_options(name, provider),
    )


def _shown_credential(
    provider: str, one: Credential, is_off: bool, rest: Rest | None, resting_models: int
) -> ShownCredential:
    state = "ok" if rest is None else measured.STATE_OF.get(rest.why, "cooling")
    return ShownCredential(
        id=one.name,
        name=one.name,
        key_set=bool(one.api_key),
        key_reference=one.api_key.reference,
        state="disabled" if is_off or one.disabled else state,
        why=None if rest is None else Why(rest.why).name.lower(),
        left_s=None if rest is None or rest.left_s is None else round(rest.left_s, 1),
        resting_models=resting_models,
        **_options(provider, one),
    )


def _options(name: str, one: ProviderOptions) -> dict[str, Any]:
    return {
        "format": one.format,
        "provider_type": one.format or str(one.dialect(name)),
        "wire_api": one.wire_api,
        "base_url": one.base(name),
        "models": [
            {"id": model.id, "alias": model.alias} if model.alias else model.id for model in one.models
        ],
        "excluded_models": list(one.excluded_models),
        "prefix": one.prefix,
        "headers": {header: shown_secret(value) or "" for header, value in one.headers.items()},
        "proxy_url": shown_secret(one.proxy_url, is_url=True),
        "test_model": one.test_model,
        "weight": one.weight,
        "disabled": one.disabled,
        "strict": one.strict,
        "api_version": one.api_version,
        "refused_betas": list(one.refused_betas or ()),
        "map_hosted": list(one.map_hosted),
        "auto_cache": one.auto_cache,
        "completions": None if one.completions is None else list(one.completions),
        "extract_think": one.extract_think,
        "tls_ca": one.tls_ca and str(one.tls_ca),
        "tls_client_cert": one.tls_client_cert and str(one.tls_client_cert),
        "has_cloak": one.cloak is not None,
    }


# -- changing


async def create(asked: Asked) -> Changed:
    told = asked.body.named()
    name = told.pop("name", None) or told.get("format")
    if not name:
        raise Refused(422, "validation_failed", "name: a provider needs one, or a provider_type.")
    key = told.pop("api_key", None)
    credentials = [one.named() for one in asked.body.credentials]
    told.pop("credentials", None)
    if key is not None:
        told["api_keys"] = [key]
    if credentials:
        told["credentials"] = [_without_null(one) for one in credentials]
    fields = _without_null(told)
    return await change(
        asked,
        documented(lambda document, config: add_provider(document, name, fields)),
        f"provider {name}: added",
        message=f"The provider {name} is in force.",
        id=name,
    )


def _without_null(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


async def edit(asked: Asked) -> Changed:
    name, told = _named(asked), asked.body.named()
    return await change(
        asked,
        documented(lambda document, config: edit_provider(document, name, told)),
        f"provider {name}: {', '.join(told) or 'nothing'}",
        message=f"The provider {name} was changed.",
        id=name,
    )


async def delete(asked: Asked) -> Changed:
    name = _named(asked)
    return await change(
        asked,
        lines(lambda text, config: delete_provider(text, config, name)),
        f"provider {name}: deleted",
        message=f"The provider {name} is gone.",
        id=name,
    )


async def create_credential(asked: Asked) -> Changed:
    provider, fields = _named(asked), _without_null(asked.body.named())
    before = {one.name for one in asked.world.config.providers[provider].credentials}
    done = await change(
        asked,
        documented(lambda document, config: add_credential(document, config, provider, fields)),
        f"provider {provider}: credential {fields.get('name', '')} added".replace("  ", " "),
        message="The credential is in use.",
    )
    now = [one.name for one in asked.world.config.providers[provider].credentials]
    made = fields.get("name") or next((one for one in now if one not in before), None)
    return done.model_copy(update={"id": made})


async def change_credential(asked: Asked) -> Changed:
    (provider, one), told = _credential(asked), asked.body.named()
    if told.get("api_key", "") is None:
        raise Refused(422, "validation_failed", "api_key: a credential needs one; delete it instead.")
    return await change(
        asked,
        documented(lambda document, config: edit_credential(document, config, provider, one.name, told)),
        f"provider {provider}: credential {one.name}: {', '.join(told) or 'nothing'}",
        message=f"The credential {one.name} was changed.",
        id=told.get("name") or one.name,
    )


async def remove_credential(asked: Asked) -> Changed:
    provider, one = _credential(asked)
    return await change(
        asked,
        lines(lambda text, config: delete_credential(text, config, provider, one.name)),
        f"provider {provider}: credential {one.name} deleted",
        message=f"The credential {one.name} is gone.",
        id=one.name,
    )


# -- operating


async def rest(asked: Asked) -> Rested:
    provider, one = _credential(asked)
    duration_s, reason = asked.body.duration_s, asked.body.reason
    await asked.control.rest(f"{provider}/{one.name}", duration_s)
    log.info(
        "%s/%s rests for %g s, by %s: %s",
        provider,
        one.name,
        duration_s,
        asked.by,
        reason or "no reason told",
    )
    return Rested(message=f"The credential {one.name} rests for {duration_s:g} s.")


async def revive(asked: Asked) -> Rested:
    provider, one = _credential(asked)
    await asked.control.revive(f"{provider}/{one.name}")
    log.info("%s/%s is revived, by %s", provider, one.name, asked.by)
    return Rested(message=f"The credential {one.name} is asked again.")


async def test(asked: Asked) -> trial.Tried:
    provider, one = _credential(asked)
    return await trial.run(asked.world, provider, one, asked.body.model)


_AT: Final = f"{BASE}/providers"
_ONE: Final = f"{_AT}/{{id}}"
_KEYS: Final = f"{_ONE}/credentials"
_KEY: Final = f"{_KEYS}/{{cid}}"
_A, _O, _V = Role.ADMIN, Role.OPERATOR, Role.VIEWER
ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", _AT, every, _V, gives=Providers),
    Route("POST", _AT, create, _A, NewProvider, Changed, CHANGE_ERRORS, status=201, headers=IF_MATCH),
    Route("GET", _ONE, one, _V, gives=ShownProvider, errors=(404,)),
    Route("PATCH", _ONE, edit, _A, Options, Changed, CHANGE_ERRORS, headers=IF_MATCH),
    Route("DELETE", _ONE, delete, _A, gives=Changed, errors=CHANGE_ERRORS, headers=IF_MATCH),
    Route(
        "POST",
        _KEYS,
        create_credential,
        _A,
        NewCredential,
        Changed,
        CHANGE_ERRORS,
        status=201,
        headers=IF_MATCH,
    ),
    Route("PATCH", _KEY, change_credential, _A, EditedCredential, Changed, CHANGE_ERRORS, headers=IF_MATCH),
    Route("DELETE", _KEY, remove_credential, _A, gives=Changed, errors=CHANGE_ERRORS, headers=IF_MATCH),
    Route("POST", f"{_KEY}/rest", rest, _O, Resting, Rested, (404, 422)),
    Route("POST", f"{_KEY}/revive", revive, _O, gives=Rested, errors=(404,)),
    Route("POST", f"{_KEY}/test", test, _O, Trial, trial.Tried, (404, 422)),
)
