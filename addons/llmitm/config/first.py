"""A first configuration, from what the environment has or somebody said. Pure.

Keys are never written into it: it refers to the variables, or files, that hold them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from llmitm.route.known import KNOWN, family_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """A provider that people have keys of, and how those are usually named."""

    provider: str
    variables: tuple[str, ...]
    """Of the environment, the first that is set counts."""
    model: str
    """A small one, to try it with."""
    base_variable: str | None = None
    """Names another address."""
    is_listed: bool = True
    """Whether it is offered by name to who is asked."""


def _usual(provider: str, variables: str, model: str, **more: object) -> Usual:
    return Usual(provider=provider, variables=tuple(variables.split()), model=model, **more)  # type: ignore[arg-type]


USUAL: Final[tuple[Usual, ...]] = (
    _usual("openai", "OPENAI_API_KEY", "gpt-6-luna", base_variable="OPENAI_BASE_URL"),
    _usual("anthropic", "ANTHROPIC_API_KEY", "claude-haiku-5-5", base_variable="ANTHROPIC_BASE_URL"),
    _usual("google", "GEMINI_API_KEY GOOGLE_API_KEY GOOGLE_GENERATIVE_AI_API_KEY", "gemini-3.5-flash-lite"),
    _usual("openrouter", "OPENROUTER_API_KEY", "openai/gpt-oss-20b"),
    _usual("groq", "GROQ_API_KEY", "openai/gpt-oss-20b"),
    _usual("mistral", "MISTRAL_API_KEY", "mistral-small-latest"),
    _usual("deepseek", "DEEPSEEK_API_KEY", "deepseek-v4-flash"),
    _usual("xai", "XAI_API_KEY GROK_API_KEY", "grok-4.7"),
    _usual("together", "TOGETHER_API_KEY TOGETHERAI_API_KEY TOGETHER_AI_API_KEY", "openai/gpt-oss-120b"),
    _usual("fireworks", "FIREWORKS_API_KEY FIREWORKS_AI_API_KEY", "accounts/fireworks/models/gpt-oss-120b"),
    _usual("cerebras", "CEREBRAS_API_KEY", "gpt-oss-120b"),
    _usual("cohere", "COHERE_API_KEY CO_API_KEY", "command-a-03-2025"),
    _usual("perplexity", "PERPLEXITY_API_KEY PERPLEXITYAI_API_KEY", "sonar"),
    _usual("moonshot", "MOONSHOT_API_KEY", "kimi-k2.6"),
    _usual("zai", "ZAI_API_KEY Z_AI_API_KEY", "glm-5.3-flash"),
    _usual("dashscope", "DASHSCOPE_API_KEY", "qwen-flash"),
    _usual("minimax", "MINIMAX_API_KEY", "MiniMax-M3"),
    _usual("sambanova", "SAMBANOVA_API_KEY", "gpt-oss-120b", is_listed=False),
    _usual("nvidia", "NVIDIA_API_KEY NVIDIA_NIM_API_KEY", "openai/gpt-oss-20b", is_listed=False),
    _usual("huggingface", "HF_TOKEN HUGGINGFACE_API_KEY", "openai/gpt-oss-20b", is_listed=False),
)
CLOUDFLARE: Final[Mapping[str, tuple[str, ...]]] = {
    "account_id": ("CLOUDFLARE_ACCOUNT_ID", "CF_ACCOUNT_ID", "ACCOUNT_ID"),
    "gateway_id": ("CLOUDFLARE_GATEWAY_ID", "CLOUDFLARE_AI_GATEWAY_ID", "CF_GATEWAY_ID", "GATEWAY_ID"),
    "token": ("CF_AIG_TOKEN", "CLOUDFLARE_AI_GATEWAY_TOKEN"),
}
AZURE: Final = ("AZURE_OPENAI_API_KEY", "AZURE_API_KEY")
AZURE_BASE: Final = ("AZURE_OPENAI_ENDPOINT", "AZURE_API_BASE")
AZURE_MODEL: Final = ("AZURE_OPENAI_DEPLOYMENT", "AZURE_OPENAI_DEPLOYMENT_NAME")
WORKERS: Final = ("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_KEY")
PORT: Final = 8811
"""That gateways listen on where nothing else is said."""
PASSED: Final = ("openai", "anthropic", "google")
"""Those that clients may bring their own keys for where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A provider that can be asked."""

    provider: str
    reference: str | None
    """To its key, such as `env:OPENAI_API_KEY`; None: it needs none."""
    model: str | None
    """To try it with; None: only its owner knows one."""
    base_url: str | None = None

    @property
    def asked_as(self) -> str:
        """How a client spells the model."""
        model = self.model or "MODEL"
        known = KNOWN.get(self.provider)
        is_own = known is not None and bool(known.vendor) and family_of(model) == known.vendor
        is_own = is_own and self.base_url is None
        return model if is_own else f"{self.provider}/{model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """One of Cloudflare's."""

    account_id: str
    gateway_id: str
    token: str | None
    """A reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    sources: tuple[Source, ...] = ()
    gateway: Gateway | None = None
    notes: tuple[str, ...] = ()
    """What was seen and left out, and why."""

    @property
    def is_empty(self) -> bool:
        return not self.sources and self.gateway is None


def look(env: Mapping[str, str]) -> Found:
    """What the environment names. Variables that are empty count as not set."""
    notes: list[str] = []
    sources = [made for usual in USUAL if (made := _of(usual, env, notes)) is not None]
    for made in (_azure(env, notes), _workers(env)):
        if made is not None:
            sources.append(made)
    account, gateway = (_first(env, CLOUDFLARE[name]) for name in ("account_id", "gateway_id"))
    found = None
    if account is not None and gateway is not None:
        token = _first(env, CLOUDFLARE["token"])
        found = Gateway(
            account_id=env[account], gateway_id=env[gateway], token=None if token is None else f"env:{token}"
        )
    return Found(sources=tuple(sources), gateway=found, notes=tuple(notes))


def _first(env: Mapping[str, str], variables: Sequence[str]) -> str | None:
    return next((name for name in variables if env.get(name, "").strip()), None)


def _of(usual: Usual, env: Mapping[str, str], notes: list[str]) -> Source | None:
    variable = _first(env, usual.variables)
    if variable is None:
        return None
    if variable == "OPENAI_API_KEY" and env[variable].startswith("sk-or-"):
        notes.append("OPENAI_API_KEY holds a key of OpenRouter's (sk-or-...), and is left out")
        return None
    base = env.get(usual.base_variable, "").strip() if usual.base_variable else ""
    if base and not _is_address(base):
        notes.append(f"{usual.base_variable} is no http address, and is left out")
        base = ""
    if base and _is_ours(base):
        notes.append(f"{usual.base_variable} is left out: it is where this gateway will be")
        base = ""
    return Source(
        provider=usual.provider,
        reference=f"env:{variable}",
        model=usual.model,
        base_url=base.rstrip("/") or None,
    )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_ours(url: str) -> bool:
    """Whether clients were told to ask a gateway here: it must not be told to ask itself."""
    parts = urlsplit(url)
    return parts.port == PORT and parts.hostname in ("localhost", "127.0.0.1", "::1", "0.0.0.0")


def _azure(env: Mapping[str, str], notes: list[str]) -> Source | None:
    key, base, model = (_first(env, one) for one in (AZURE, AZURE_BASE, AZURE_MODEL))
    if key is None:
        return None
    if base is None or not _is_address(env[base]):
        notes.append(f"{key} is left out: Azure needs AZURE_OPENAI_ENDPOINT, too")
        return None
    url = env[base].strip().rstrip("/")
    if "/openai" not in url:
        url += "/openai/v1"
    return Source(
        provider="azure", reference=f"env:{key}", model=None if model is None else env[model], base_url=url
    )


def _workers(env: Mapping[str, str]) -> Source | None:
    token, account = _first(env, WORKERS[:1]), _first(env, CLOUDFLARE["account_id"])
    if token is None or account is None:
        return None
    return Source(
        provider="workers-ai",
        reference=f"env:{token}",
        model="@cf/openai/gpt-oss-20b",
        base_url=f"https://api.cloudflare.com/client/v4/accounts/{env[account].strip()}/ai/v1",
    )


_HEAD: Final = """\
# Written by `llmitm init`. config.toml.example shows every key; `llmitm config check` says what would run.
# A running gateway takes changes of this file by itself.

[server]
host = "127.0.0.1"   # this machine only; for others: [[auth_keys]] below, and "0.0.0.0"
port = {port}
"""
_DASHBOARD: Final = """
# [dashboard]          # pages for people, at http://127.0.0.1:8812; its first start prints a link
# enabled = true
"""
_CLIENT: Final = """
# Clients need one of these keys. `llmitm keys new --name NAME` makes more.
[[auth_keys]]
name = "first"
key_hash = "{digest}"
"""
_NO_CLIENT: Final = """
# Nobody is asked for a key: only this machine is served. `llmitm keys new --name NAME` makes the first.
"""


def written(found: Found, *, port: int, key_hash: str | None) -> str:
    """The file. `key_hash`: of a client's key, as `[[auth_keys]]` has it; None: clients need none."""
    parts = [_HEAD.format(port=port)]
    if found.gateway is not None:
        parts.append(f'default_endpoint = "{"all" if found.sources else "cf"}"   # where /v1/... goes\n')
        parts.append(_gateway(found.gateway, has_providers=bool(found.sources)))
    if found.sources:
        parts.append(
            "\n# Providers. Several keys of one take turns: api_keys = [..., ...]\n"
            + "\n".join(_provider(one) for one in found.sources)
        )
    if found.is_empty:
        parts.append(_passed())
    parts.append(_NO_CLIENT if key_hash is None else _CLIENT.format(digest=key_hash))
    parts.append(_DASHBOARD)
    return "".join(parts)


def _provider(source: Source) -> str:
    lines = [f"[providers.{source.provider}]"]
    if source.base_url is not None:
        lines.append(f"base_url = {_quoted(source.base_url)}")
    if source.reference is not None:
        lines.append(f"api_keys = [{_quoted(source.reference)}]")
    if source.model is not None:
        lines.append(f"test_model = {_quoted(source.model)}   # what the key is tried with")
    return "\n".join(lines) + "\n"


def _gateway(gateway: Gateway, *, has_providers: bool) -> str:
    token = f"token = {_quoted(gateway.token)}\n" if gateway.token else ""
    every = (
        '[endpoints.all]\nkind = "gateway"   # by model, directly to [providers]\n\n' if has_providers else ""
    )
    return (
        f'\n{every}[endpoints.cf]\nkind = "cloudflare"   # /cf/v1/..., through Cloudflare AI Gateway\n\n'
        f"[[gateways]]\naccount_id = {_quoted(gateway.account_id)}\n"
        f"gateway_id = {_quoted(gateway.gateway_id)}\n{token}"
    )


def _passed() -> str:
    """Doors that need no key of ours."""
    doors = [
        f'[endpoints.{name}]   # /{name}/...\ntarget_base = "{KNOWN[name].base_url}"\n' for name in PASSED
    ]
    return (
        "\n# No key was found: clients bring their own, and everything is passed on as it is.\n"
        + "\n".join(doors)
        + '\n# With a key of yours:\n# [providers.openai]\n# api_keys = ["env:OPENAI_API_KEY"]\n'
    )


def _quoted(text: str) -> str:
    """As a basic string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(sign if sign >= " " else f"\\u{ord(sign):04x}" for sign in escaped) + '"'
