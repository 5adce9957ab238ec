"""One target of Portkey's: a provider, a key, and what it makes of requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from llmitm.exchange import Dialect
from llmitm.imports import addresses, references, rules
from llmitm.imports.found import Value
from llmitm.imports.plan import Account, Plan, Rule
from llmitm.imports.references import to_variable
from llmitm.imports.table import Table
from llmitm.route.known import KNOWN, family_of
from llmitm.secret import Secret
from llmitm.shape.headers import wrong

_NAMES: Final[Mapping[str, str]] = {
    "azure-openai": "azure",
    "azure-ai": "azure",
    "google": "gemini",
    "palm": "gemini",
    "mistral-ai": "mistral",
    "together-ai": "together",
    "perplexity-ai": "perplexity",
    "fireworks-ai": "fireworks",
    "x-ai": "xai",
    "z-ai": "zai",
    "zhipu": "zai",
}
"""What Portkey calls providers, where it is not what they are called here."""
_SIGNED: Final = ("bedrock", "vertex-ai", "sagemaker")
_FAMILIES: Final = {"google": "gemini"}
_OF_SIGNED: Final = ("aws_", "vertex_", "amzn_", "azure_entra", "azure_managed", "azure_auth", "azure_ad")
INHERITED: Final = ("override_params", "custom_host")
_LOST: Final[Mapping[str, str]] = {
    "url_to_fetch": "paths that are not known are opened by allowed_paths",
    "transform_to_form_data": "bodies are sent in the form that the provider takes",
    "index": "is Portkey's own",
    "mistral_fim_completion": "completions names the models that complete plain prompts",
    "model_pricing_config": "[model_prices] says what models cost",
}
_OF_THE_SERVICE: Final = (
    *("success", "object", "id", "name", "slug", "status", "type", "format", "is_default", "version_id"),
    *("created_at", "last_updated_at", "owner_id", "updated_by", "organisation_id", "workspace_id"),
)
"""What the service tells of an object beside it."""
_HEADERS: Final[Mapping[str, str]] = {
    "openai_organization": "OpenAI-Organization",
    "openai_project": "OpenAI-Project",
    "openai_beta": "OpenAI-Beta",
    "anthropic_beta": "anthropic-beta",
}


@dataclass(slots=True, kw_only=True)
class Leaf:
    provider: str
    account: Account
    model: str | None = None
    """That stood in for whatever was asked for."""
    name: str | None = None

    @property
    def route(self) -> str:
        return f"{self.provider}/{self.model}"


def spelled(table: Table) -> Table:
    """The same with names in snake_case, whichever way they were written."""
    names = {name: _snake(name) for name in table.values}
    values = {new: table.values[name] for name, new in names.items()}
    return Table(values, table.found, table.path, spelling={new: name for name, new in names.items()})


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: f"_{match[1].lower()}", name)


def inheriting(table: Table, above: Table) -> Table:
    """A target with what stands above it, which its own goes before."""
    for name in INHERITED:
        upper, own = above.values.get(name), table.values.get(name)
        if isinstance(upper, dict) and isinstance(own, dict):
            table.values = {**table.values, name: {**upper, **own}}
        elif own is None and upper is not None:
            table.values = {**table.values, name: upper}
    return table


def unwrapped(table: Table) -> Table:
    """Objects come as they are, or as the service gives them out: in `config`, in `data`."""
    for name in ("data", "config"):
        if isinstance(table.values.get(name), dict) and "targets" not in table.values:
            inner = table.table(name)
            for described in _OF_THE_SERVICE:
                table.take(described)
            table.done()
            table = inner
    return spelled(table)


def same(one: Account, other: Account) -> bool:
    """Whether both are one key at one address."""
    keys = [account.api_key and references.written(account.api_key) for account in (one, other)]
    address = [(account.base_url, account.api_version, account.format) for account in (one, other)]
    return keys[0] == keys[1] and address[0] == address[1] and one.headers == other.headers


def read(table: Table, plan: Plan) -> Leaf | None:
    """None, with a note, where nobody is known who could be asked."""
    params = table.table("override_params")
    model, slug = _model(params)
    said = table.text("provider")
    virtual = table.text("virtual_key")
    key = table.secret("api_key")
    base = table.text("custom_host")
    account = Account(source=table.path or "the whole", api_key=key, headers=_headers(table))
    name = _provider(said, slug, virtual, model, base, table)
    address = _azure(table) if name == "azure" else _others(table, base)
    version = table.text("anthropic_version")
    fields = {one: params.take(one) for one in params.values}
    table.lose(_LOST)
    for one in table.values:
        if one.startswith(_OF_SIGNED):
            table.take(one)
    if name is None:
        return None
    account.api_version = version if name == "anthropic" else None
    provider = _address(account, name, base or address, table)
    if key is None:
        _without_key(account, provider, slug or _at(said) or virtual, table)
    if fields:
        match = {"provider": provider, "protocol": "openai-chat"} | ({"name": model} if model else {})
        rule = Rule(
            source=f"{table.path or 'the whole'}, override_params", models=[match], params={}, when="before"
        )
        _fields(rule, fields, params)
        if rule.params or rule.params_json:
            plan.payload.override.append(rule)
    return Leaf(provider=provider, account=account, model=model, name=table.text("name"))


def _at(said: str | None) -> str | None:
    return said.removeprefix("@") if said is not None and said.startswith("@") else None


def _model(params: Table) -> tuple[str | None, str | None]:
    """The model of `override_params`, and the name of an integration before it: `@openai-prod/gpt-4o`."""
    text = params.text("model")
    if text is None or not text.startswith("@"):
        return text, None
    slug, _, model = text.removeprefix("@").partition("/")
    return model or None, slug


def _provider(
    said: str | None, slug: str | None, virtual: str | None, model: str | None, base: str | None, table: Table
) -> str | None:
    if said is not None and not said.startswith("@"):
        if said in _SIGNED:
            table.found.lost(
                table.path, f"{said} needs signed requests, which are not built yet; it was left out"
            )
            return None
        name = _NAMES.get(said, said)
        if name in KNOWN or base is not None:
            return name
        table.found.lost(
            table.path, f"the provider {said} is not known here, and no custom_host says where it is"
        )
        return None
    hint = _at(said) or slug or virtual
    guessed = _guessed(hint, model)
    if guessed is None and base is None:
        table.found.lost(
            table.path, "whose key it is only Portkey's service knows: name the provider; it was left out"
        )
    return guessed or ("openai" if base is not None else None)


def _guessed(hint: str | None, model: str | None) -> str | None:
    """From the name of an integration or virtual key that holds a provider's, or from the model."""
    words = re.split(r"[^a-z0-9]+", (hint or "").lower())
    for word in words:
        name = _NAMES.get(word, word)
        if word and name in KNOWN:
            return name
    family = family_of(model) if model is not None else None
    known = _FAMILIES.get(family, family) if family is not None else None
    return known if known in KNOWN else None


def _address(account: Account, name: str, base: str | None, table: Table) -> str:
    """Sets address and format. Returns the provider's name."""
    known = KNOWN.get(name)
    if name == "azure":
        account.format, account.base_url = "openai-chat" if base else None, base
        return name
    dialect = known.formats[0] if known is not None else Dialect.OPENAI_CHAT
    if dialect is Dialect.OPENAI_RESPONSES and known is not None and Dialect.OPENAI_CHAT in known.formats:
        dialect = Dialect.OPENAI_CHAT
    if base is not None and dialect is Dialect.ANTHROPIC_MESSAGES:
        base = base.rstrip("/").removesuffix("/v1")
    account.base_url = addresses.own(name, base, dialect)
    if account.base_url is not None and dialect is Dialect.OPENAI_CHAT:
        name = addresses.named(account.base_url, dialect) or addresses.name_of(account.base_url)
    account.format = addresses.format_of(name, account.base_url, dialect)
    return name


def _azure(table: Table) -> str | None:
    resource = table.text("resource_name") or table.text("azure_resource_name")
    deployment = table.text("deployment_id") or table.text("azure_deployment_id")
    table.lost("api_version", "Azure's API without dates is used")
    table.lost("azure_api_version", "Azure's API without dates is used")
    foundry = table.text("azure_foundry_url")
    table.take("azure_model_name")
    table.take("azure_deployment_name")
    if resource is None and foundry is None:
        table.found.lost(table.path, "Azure's address is not said: write the provider's base_url")
        return None
    if deployment is not None:
        table.found.changed(table.path, "the name of the deployment is the model that is asked for here")
    return foundry or f"https://{resource}.openai.azure.com/openai/v1"


def _others(table: Table, base: str | None) -> str | None:
    account = table.text("workers_ai_account_id")
    if account is not None:
        return f"https://api.cloudflare.com/client/v4/accounts/{account}/ai/v1"
    return table.text("huggingface_base_url") if base is None else None


def _headers(table: Table) -> dict[str, Secret]:
    made: dict[str, Secret] = {}
    for key, name in _HEADERS.items():
        if (value := table.secret(key)) is not None:
            made[name] = value
    return made


def passing(table: Table, plan: Plan) -> None:
    for at, name in enumerate(table.texts("forward_headers")):
        if (why := wrong(name)) is not None:
            table.found.lost(f"{table.at('forward_headers')}[{at}]", why)
        elif name not in plan.passthrough_headers:
            plan.passthrough_headers.append(name)


def _without_key(account: Account, provider: str, slug: str | None, table: Table) -> None:
    if slug is None and account.base_url is not None:
        return
    words = re.sub(r"[^A-Z0-9]+", "_", (slug or provider).upper()).strip("_")
    variable = f"{words}_API_KEY" if words[:1].isalpha() else f"KEY_{words}"
    account.api_key = to_variable(variable)
    why = (
        f"the key lies in Portkey's service: set {variable} to the provider's own"
        if slug is not None
        else f"clients sent the provider's key; here {variable} is read"
    )
    table.found.changed(table.path, why)


def _fields(rule: Rule, fields: Mapping[str, Value], params: Table) -> None:
    for name, value in fields.items():
        if name == "model" or value is None:
            continue
        if name == "stream":
            params.found.lost(params.at(name), "clients decide whether their answer is a stream")
            continue
        rules.put(rule, name.replace("\\", "\\\\").replace(".", "\\."), value)
