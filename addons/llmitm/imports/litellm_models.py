"""LiteLLM's `model_list`: deployments, each a model at a provider with a key, called by a public name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from llmitm.exchange import Dialect
from llmitm.imports import addresses, references, rules
from llmitm.imports.found import Value
from llmitm.imports.plan import Account, Model, Plan, Rule
from llmitm.imports.references import to_variable
from llmitm.imports.table import Table
from llmitm.imports.weights import whole
from llmitm.record import vendors
from llmitm.route.known import KNOWN, family_of
from llmitm.secret import Secret


@dataclass(frozen=True, slots=True)
class Vendor:
    """What LiteLLM calls a provider, and what it is here."""

    name: str
    dialect: Dialect = Dialect.OPENAI_CHAT
    key_variable: str | None = None
    """Where LiteLLM looked for the key when none was said."""


_CHAT, _RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
VENDORS: Final[Mapping[str, Vendor]] = {
    "openai": Vendor("openai", _CHAT, "OPENAI_API_KEY"),
    "text-completion-openai": Vendor("openai", _CHAT, "OPENAI_API_KEY"),
    "anthropic": Vendor("anthropic", Dialect.ANTHROPIC_MESSAGES, "ANTHROPIC_API_KEY"),
    "gemini": Vendor("gemini", Dialect.GEMINI, "GEMINI_API_KEY"),
    "azure": Vendor("azure", _CHAT, "AZURE_API_KEY"),
    "azure_ai": Vendor("azure", _CHAT, "AZURE_AI_API_KEY"),
    "groq": Vendor("groq", _CHAT, "GROQ_API_KEY"),
    "mistral": Vendor("mistral", _CHAT, "MISTRAL_API_KEY"),
    "codestral": Vendor("codestral", _CHAT, "CODESTRAL_API_KEY"),
    "cohere": Vendor("cohere", _CHAT, "COHERE_API_KEY"),
    "cohere_chat": Vendor("cohere", _CHAT, "COHERE_API_KEY"),
    "xai": Vendor("xai", _CHAT, "XAI_API_KEY"),
    "deepseek": Vendor("deepseek", _CHAT, "DEEPSEEK_API_KEY"),
    "openrouter": Vendor("openrouter", _CHAT, "OPENROUTER_API_KEY"),
    "together_ai": Vendor("together", _CHAT, "TOGETHERAI_API_KEY"),
    "fireworks_ai": Vendor("fireworks", _CHAT, "FIREWORKS_AI_API_KEY"),
    "cerebras": Vendor("cerebras", _CHAT, "CEREBRAS_API_KEY"),
    "perplexity": Vendor("perplexity", _RESPONSES, "PERPLEXITYAI_API_KEY"),
    "moonshot": Vendor("moonshot", _CHAT, "MOONSHOT_API_KEY"),
    "zai": Vendor("zai", _CHAT, "ZAI_API_KEY"),
    "dashscope": Vendor("dashscope", _CHAT, "DASHSCOPE_API_KEY"),
    "minimax": Vendor("minimax", _CHAT, "MINIMAX_API_KEY"),
    "sambanova": Vendor("sambanova", _CHAT, "SAMBANOVA_API_KEY"),
    "nvidia_nim": Vendor("nvidia", _CHAT, "NVIDIA_NIM_API_KEY"),
    "huggingface": Vendor("huggingface", _CHAT, "HF_TOKEN"),
    "ollama": Vendor("ollama"),
    "ollama_chat": Vendor("ollama"),
    "lm_studio": Vendor("lmstudio"),
    "hosted_vllm": Vendor("vllm"),
    "vllm": Vendor("vllm"),
}
_COMPATIBLE: Final = ("openai_like", "custom_openai", "litellm_proxy", "xinference", "llamafile", "infinity")
"""They speak OpenAI's API at an address of their own."""
_SIGNED: Final = ("vertex_ai", "vertex_ai_beta", "bedrock", "bedrock_converse", "sagemaker", "sagemaker_chat")
_FAMILIES: Final = {"google": "gemini"}

_PARAMS: Final = (
    *(
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "n",
        "stop",
        "seed",
        "user",
        "logit_bias",
    ),
    *("presence_penalty", "frequency_penalty", "reasoning_effort", "response_format", "tools", "tool_choice"),
    *("parallel_tool_calls", "metadata", "service_tier", "verbosity", "dimensions", "encoding_format"),
    *("extra_body", "thinking", "top_k", "stream_options"),
)
"""Fields of requests: they stood in where a client said nothing."""

_PRICES: Final = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
}
_SIGNING: Final = "requests that are signed are not built yet"
_LOST: Final[Mapping[str, str]] = {
    "timeout": "[timeouts] are those of all models",
    "stream_timeout": "[timeouts] are those of all models",
    "max_retries": "[retry] max_attempts is that of all models",
    "order": '[routing] strategy = "fill-first" asks in the order of this file',
    "tags": "requests are not routed by tags",
    "max_budget": "[budget] is of all clients, and a key has its own; a deployment has none",
    "budget_duration": "[budget] is of all clients, and a key has its own; a deployment has none",
    "max_parallel_requests": "[rate_limit.models] and keys of clients have a concurrency; a deployment "
    "has none",
    "drop_params": "what a provider does not know is left out here, and named in x-llmitm-warnings",
    "additional_drop_params": "[[payload.filter]] takes fields out",
    "allowed_openai_params": "fields that a provider knows are passed on",
    "mock_response": "a hook can answer in place of a provider (docs/hooks.md)",
    "mock_timeout": "is for tests",
    "region_name": "the address says where a request goes",
    "configurable_clientside_auth_params": "clients' own keys pass beside x-llmitm-key",
    "use_in_pass_through": "[endpoints.NAME] of kind forward with a provider pass other paths on with "
    "its keys",
    "azure_ad_token": _SIGNING,
    "tenant_id": _SIGNING,
    "client_id": _SIGNING,
    "client_secret": _SIGNING,
    "input_cost_per_second": "prices are those of tokens, calls and images",
    "output_cost_per_second": "prices are those of tokens, calls and images",
    "output_cost_per_image": "prices are those of tokens, calls and images",
    "litellm_trace_id": "every exchange has an id of its own",
    "max_file_size_mb": "[server] body_limit_mb is that of all models",
    "merge_reasoning_content_in_choices": "reasoning stays where the dialect has it",
    "cache_control_injection_points": "auto_cache of a provider has Anthropic's API cache prompts",
    "keepalive_seconds": "[streaming] heartbeat_s is that of all models",
}
_BRIDGED: Final = "responses/"
"""Before a model that is asked as a response."""
_AZURE_LOGINS: Final = ("azure_ad_token", "tenant_id", "client_id", "client_secret")
_DESCRIBES: Final = "describes the model; nothing here depends on it"
_OF_INFO: Final[Mapping[str, str]] = dict.fromkeys(
    ("id", "mode", "description", "version", "tier", "max_tokens", "max_input_tokens", "max_output_tokens"),
    _DESCRIBES,
) | {
    "access_groups": "models that a key may use are its allowed_models",
    "team_id": "there are no teams: keys have models, limits and budgets of their own",
    "health_check_timeout": "nobody is asked without a request of a client",
    "health_check_model": "nobody is asked without a request of a client; test_model is for `llmitm test`",
    "disable_background_health_check": "nobody is asked without a request of a client",
}


@dataclass(slots=True, kw_only=True)
class Deployment:
    public: str
    provider: str
    account: Account
    weight: float | None = None
    rpm: int | None = None
    tpm: int | None = None


@dataclass(slots=True)
class Models:
    """What a `model_list` comes to."""

    deployments: list[Deployment] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(one.public for one in self.deployments))


def read(table: Table, credentials: Mapping[str, Table], plan: Plan) -> Models:
    models = Models()
    for one in table.tables("model_list"):
        public = one.text("model_name")
        params, info = one.table("litellm_params"), one.table("model_info")
        for key in ("rpm", "tpm"):  # older files have them here
            if one.has(key) and key not in params.values:
                params.values = {**params.values, key: one.take(key)}
        if public is None or not params.has("model"):
            one.found.wrong(one.path, "model_name and litellm_params.model are expected")
            continue
        found = _deployment(public, params, info, credentials, plan)
        info.lose({name: why for name, why in _OF_INFO.items() if why != _DESCRIBES})
        for name in _OF_INFO:
            info.take(name)
        for name in info.values:
            if name.startswith("supports_"):
                info.take(name)
        params.done()
        info.done()
        one.done()
        if found is not None:
            models.deployments.append(found)
    return models


def place(models: Models, plan: Plan) -> None:
    """Puts the deployments into the plan: those that share provider, address and key are one account."""
    weights = _weights(models.deployments)
    merged: dict[tuple[Any, ...], list[tuple[int | None, Account]]] = {}
    for one in models.deployments:
        account, weight = one.account, weights.get(id(one))
        alike = merged.setdefault(_same(one), [])
        fits = (held for turn, held in alike if weight in (None, turn) or turn is None)
        known = next((held for held in fits if not _clash(held.models, account.models)), None)
        if known is None:
            alike.append((weight, account))
            plan.add(one.provider, account)
            known = account
        else:
            known.models += [model for model in account.models if model not in known.models]
            known.completions += account.completions
            if weight is not None:
                alike[:] = [(weight if held is known else turn, held) for turn, held in alike]
        if weight is not None:
            known.weight = weight if weight != 1 else None
    if any(account.prefix is not None for _, account in plan.accounts()):
        plan.put("routing.force_model_prefix", True)


def _clash(models: list[Model], more: list[Model]) -> bool:
    """Whether one name would stand for two models of one account, which knows the first alone."""
    names = {one.alias or one.id: one.id for one in models}
    return any(names.get(one.alias or one.id, one.id) != one.id for one in more)


def _same(one: Deployment) -> tuple[Any, ...]:
    account = one.account
    headers = tuple((name, references.written(value)) for name, value in account.headers.items())
    key = references.written(account.api_key) if account.api_key is not None else None
    address = (account.base_url, account.api_version, account.format, account.wire_api, account.prefix)
    return (one.provider, key, *address, headers)


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a deployment is asked, and with what; its own words go before those of its credential."""

    base: str | None
    version: str | None
    key: Secret | None

    @classmethod
    def of(cls, params: Table, credentials: Mapping[str, Table]) -> Reach:
        name = params.text("litellm_credential_name")
        held = credentials.get(name, Table({}, params.found)) if name is not None else Table({}, params.found)
        if name is not None and name not in credentials:
            params.found.lost(params.at("litellm_credential_name"), "names no credential of credential_list")
        bases = [table.text(key) for table in (params, held) for key in ("api_base", "base_url")]
        versions = [table.text("api_version") for table in (params, held)]
        keys = [table.secret("api_key") for table in (params, held)]
        base = next((one for one in bases if one is not None), None)
        return cls(
            base.rstrip("/") if base is not None else None,
            next((one for one in versions if one is not None), None),
            next((one for one in keys if one is not None), None),
        )


def _deployment(
    public: str, params: Table, info: Table, credentials: Mapping[str, Table], plan: Plan
) -> Deployment | None:
    """None, with a note, where it cannot be asked here."""
    reach = Reach.of(params, credentials)
    account = Account(
        source=params.path.removesuffix(".litellm_params"), api_key=reach.key, headers=_headers(params)
    )
    made = Deployment(
        public=public,
        provider="",
        account=account,
        weight=params.number("weight"),
        rpm=params.count("rpm"),
        tpm=params.count("tpm"),
    )
    fields = _request_fields(params)
    vendor, model = _whose(params, reach)
    params.lose(_LOST)
    _lose_signed(params)
    if vendor is None:
        return None
    _prices(model, params, info, plan)
    made.provider = _address(account, vendor, reach, model, params)
    account.models = _named(public, model, account, params)
    is_own_server = vendor.name == "openai" and account.base_url is not None
    if reach.key is None and vendor.key_variable is not None and not is_own_server:
        account.api_key = to_variable(vendor.key_variable)
        params.found.changed(params.path, f"says no api_key: {vendor.key_variable} is read, as it was there")
    if not account.models:
        return None
    _set_fields(public, fields, params, plan)
    return made


def _whose(params: Table, reach: Reach) -> tuple[Vendor | None, str]:
    """Who is asked for which model; nobody, with a note, where nobody is known."""
    said, custom = params.text("model") or "", params.text("custom_llm_provider")
    prefix, _, rest = said.partition("/")
    vendor = _vendor(params, said, custom, reach.base)
    model = rest if prefix == custom or (custom is None and prefix in (*VENDORS, *_COMPATIBLE)) else said
    if vendor is None:
        return None, model
    if not model:
        params.found.lost(params.path, "names no model; it was left out")
        return None, model
    if reach.key is None and vendor.name == "azure" and any(params.has(name) for name in _AZURE_LOGINS):
        params.found.lost(params.path, f"{_SIGNING}: Azure is asked with an api_key; it was left out")
        return None, model
    return vendor, model


def _vendor(params: Table, said: str, custom: str | None, base: str | None) -> Vendor | None:
    """Whose API is spoken; None, with a note, where nobody's that is known here."""
    prefix, slash, _ = said.partition("/")
    name = custom or (prefix if slash else "")
    if name in _SIGNED:
        params.found.lost(
            params.path, f"{name} needs signed requests, which are not built yet; it was left out"
        )
        return None
    if name in VENDORS:
        return VENDORS[name]
    if name in _COMPATIBLE or base is not None:
        return Vendor("openai", _CHAT)
    if not slash and (family := family_of(said)) is not None:
        known = _FAMILIES.get(family, family)
        if known in VENDORS:
            return VENDORS[known]
    if name in KNOWN:
        known_provider = KNOWN[name]
        return Vendor(known_provider.name, known_provider.formats[0], f"{name.upper()}_API_KEY")
    if said == "*":
        params.found.lost(
            params.path, "every model of every provider: name each provider with a key in [providers.NAME]"
        )
    else:
        why = f"the provider {name} is not known here" if name else "the provider of this model is not known"
        params.found.lost(params.path, f"{why}, and no api_base says where it is; it was left out")
    return None


def _address(account: Account, vendor: Vendor, reach: Reach, model: str, params: Table) -> str:
    """Sets address and format. Returns the name of the provider."""
    base, version = reach.base, reach.version
    account.wire_api = "responses" if model.startswith(_BRIDGED) else None
    model = model.removeprefix(_BRIDGED)
    if (params.text("model") or "").startswith("text-completion-openai/"):
        account.completions = [model]
    if vendor.name == "azure":
        return _azure(account, base, version, model, params)
    if version is not None and vendor.dialect is Dialect.ANTHROPIC_MESSAGES:
        account.api_version = version
    name = vendor.name
    if base is not None and vendor.dialect is _CHAT:
        known = addresses.named(base, _CHAT)
        is_local = vendor.key_variable is None and vendor.name != "openai"
        if name == "ollama":
            base = base if addresses.has_path(base) else f"{base}/v1"
        name = known or (vendor.name if is_local else addresses.name_of(base))
        if not addresses.has_path(base):
            params.changed(
                "api_base", "behind a bare host /v1 is added here; a path of its own is kept as it is"
            )
    account.base_url = addresses.own(name, base, vendor.dialect)
    account.format = addresses.format_of(name, account.base_url, vendor.dialect)
    return name


def _azure(account: Account, base: str | None, version: str | None, model: str, params: Table) -> str:
    """Dated addresses hold the deployment's name; the API without dates is at /openai/v1."""
    account.format = "openai-chat"
    if base is None:
        params.found.lost(
            params.path,
            "Azure needs api_base: write the provider's base_url, such as "
            "https://NAME.openai.azure.com/openai/v1",
        )
        account.format = None
        return "azure"
    if "/openai/" in base or base.endswith("/models"):
        account.base_url = base
        account.api_version = version if version not in (None, "v1", "preview", "latest") else None
    elif version is None or version in ("v1", "preview", "latest"):
        account.base_url = f"{base}/openai/v1"
    else:
        account.base_url = f"{base}/openai/deployments/{model}"
        account.api_version = version
    if account.wire_api == "responses":
        account.format = None
        account.base_url = f"{base}/openai/v1"
        account.api_version = None
    return "azure"


def _named(public: str, model: str, account: Account, params: Table) -> list[Model]:
    """The models of a deployment as ours are written; none, with a note, where they cannot be."""
    model = model.removeprefix(_BRIDGED)
    if not _is_glob(public) and not _is_glob(model):
        return [Model(id=model, alias=public if public != model else None)]
    start = public.removesuffix("*")
    if public == "*":
        return [Model(id=model)]
    if model == "*" and start.endswith("/") and not _is_glob(start):
        account.prefix = start  # with force_model_prefix: nothing else is asked of it
        return [Model(id="*")]
    if public == model:
        return [Model(id=model)]
    if start.endswith("/") and public.endswith(model):
        account.prefix = public.removesuffix(model)
        return [Model(id=model)]
    params.found.lost(
        params.path, "names are not rewritten by globs: list the models, each with its alias; it was left out"
    )
    return []


def _is_glob(name: str) -> bool:
    return "*" in name


def _headers(params: Table) -> dict[str, Secret]:
    made: dict[str, Secret] = {}
    for key in ("extra_headers", "headers"):
        inner = params.table(key)
        for name in inner.values:
            value = inner.take(name)
            if isinstance(value, str) and references.refers_inside(value):
                inner.found.lost(inner.at(name), "only a whole value may be a reference")
            elif isinstance(value, str | int | float):
                made[name] = references.secret(str(value))
    if (organization := params.values.get("organization")) is not None:
        params.take("organization")
        if isinstance(organization, str):
            made["OpenAI-Organization"] = references.secret(organization)
        else:
            params.found.lost(params.at("organization"), "one organization is expected, as a header of a key")
    return made


def _request_fields(params: Table) -> dict[str, Value]:
    """Fields of requests that stood in for what clients did not say."""
    fields: dict[str, Value] = {}
    for name in _PARAMS:
        if params.has(name):
            value = params.take(name)
            fields |= value if name == "extra_body" and isinstance(value, dict) else {name: value}
    return fields


def _set_fields(public: str, fields: Mapping[str, Value], params: Table, plan: Plan) -> None:
    if not fields:
        return
    match = {"asked": public, "protocol": "openai-chat"}
    rule = Rule(source=params.path, models=[match], params={}, when="before")
    for name, value in fields.items():
        rules.put(rule, name.replace("\\", "\\\\").replace(".", "\\."), value)
    plan.payload.default.append(rule)
    params.found.changed(
        params.path,
        "fields of requests are set in [[payload.default]], for requests in OpenAI's chat dialect",
    )


def _prices(model: str, params: Table, info: Table, plan: Plan) -> None:
    prices: dict[str, Any] = {}
    for table in (info, params):
        for key, name in _PRICES.items():
            if (usd := table.number(key)) is not None:
                prices[name] = _per_million(usd)
    base_model = info.text("base_model")
    if "input" in prices and "output" not in prices:
        prices["output"] = 0.0
    if not prices and base_model is not None:
        listed = base_model if "/" in base_model else f"{family_of(base_model) or 'openai'}/{base_model}"
        vendor, _, rest = listed.partition("/")
        listed = f"openai/{rest}" if vendor == "azure" else listed
        if vendors.named(listed.partition("/")[0]) is not None and base_model != model:
            prices["like"] = listed
    if prices and not _is_glob(model):
        plan.model_prices[model] = prices


def _per_million(usd: float) -> float:
    return float(f"{usd * 1_000_000:.10g}")


def _weights(deployments: list[Deployment]) -> dict[int, int]:
    """How often each has its turn among those of its public name, by `id`: its `weight`, else its rpm or
    tpm, as LiteLLM did. Those without any of them, and those that are alone, are not in it.
    """
    by_name: dict[str, list[Deployment]] = {}
    for one in deployments:
        by_name.setdefault(one.public, []).append(one)
    made: dict[int, int] = {}
    for group in by_name.values():
        for measure in ("weight", "rpm", "tpm"):
            amounts = [getattr(one, measure) for one in group]
            if len(group) > 1 and all(amounts):
                made |= {id(one): turn for one, turn in zip(group, whole(amounts), strict=True)}
                break
    return made


def _lose_signed(params: Table) -> None:
    for name in params.values:
        if name.startswith(("aws_", "vertex_", "s3_", "gcs_", "watsonx_")):
            params.take(name)


def credentials(table: Table) -> dict[str, Table]:
    """`credential_list` by name."""
    made: dict[str, Table] = {}
    for one in table.tables("credential_list"):
        name = one.text("credential_name")
        values = one.table("credential_values")
        one.lost("credential_info", "describes the credential; nothing here depends on it")
        one.done()
        if name is None:
            one.found.wrong(one.path, "credential_name is expected")
        else:
            made[name] = values
    return made
