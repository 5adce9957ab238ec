"""Whose price list applies: by the address that is asked, else by the provider's name. Data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

_ONE: Final = Decimal(1)


@dataclass(frozen=True, slots=True)
class Vendor:
    """A price list, and what the place that is asked makes of it."""

    list: str
    """As the library calls it."""
    factor: Decimal = _ONE
    """Of prices of tokens."""
    models: str = ""
    """Which models the factor is for, as a pattern; empty: all."""

    def factor_for(self, model: str) -> Decimal:
        return self.factor if not self.models or re.match(self.models, model) else _ONE


NAMES: Final[Mapping[str, str]] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "claude": "anthropic",
    "google": "google",
    "gemini": "google",
    "google-ai-studio": "google",
    "google-openai": "google",
    "gemini-openai": "google",
    "google-vertex-ai": "google",
    "groq": "groq",
    "mistral": "mistral",
    "mistralai": "mistral",
    "codestral": "mistral",
    "cohere": "cohere",
    "xai": "x-ai",
    "x-ai": "x-ai",
    "grok": "x-ai",
    "deepseek": "deepseek",
    "deepseek-anthropic": "deepseek",
    "openrouter": "openrouter",
    "openrouter-anthropic": "openrouter",
    "together": "together",
    "together_ai": "together",
    "togetherai": "together",
    "fireworks": "fireworks",
    "fireworks_ai": "fireworks",
    "fireworks-ai": "fireworks",
    "fireworks-anthropic": "fireworks",
    "cerebras": "cerebras",
    "perplexity": "perplexity",
    "perplexity-ai": "perplexity",
    "pplx": "perplexity",
    "azure": "azure",
    "azure-openai": "azure",
    "azure_ai": "azure",
    "azure-anthropic": "azure",
    "foundry": "azure",
    "moonshot": "moonshotai",
    "moonshotai": "moonshotai",
    "moonshot-anthropic": "moonshotai",
    "kimi": "moonshotai",
    "zai": "zai",
    "z.ai": "zai",
    "glm": "zai",
    "zai-anthropic": "zai",
    "bigmodel": "zhipuai",
    "zhipuai": "zhipuai",
    "minimax": "minimax",
    "minimax-anthropic": "minimax",
    "workers-ai": "cloudflare",
    "cloudflare": "cloudflare",
    "aws": "aws",
    "aws-bedrock": "aws",
    "arcee": "arcee",
    "avian": "avian",
    "baseten": "baseten",
    "databricks": "databricks",
    "doubleword": "doubleword",
    "meta": "meta",
    "novita": "novita",
    "ovhcloud": "ovhcloud",
    "voyageai": "voyageai",
}
"""Names of providers to price lists. Local servers are in none: nobody knows what they cost."""

_FROM_5_4: Final = r"gpt-(5\.([4-9]|\d\d)|[6-9]|\d\d)"
"""OpenAI's models since March 2026."""

HOSTS: Final[tuple[tuple[str, Vendor], ...]] = (
    (r"api\.openai\.com", Vendor("openai")),
    (r"[a-z]{2}\.api\.openai\.com", Vendor("openai", Decimal("1.1"), _FROM_5_4)),
    (r"api\.anthropic\.com", Vendor("anthropic")),
    (r"([a-z0-9-]+\.)*googleapis\.com", Vendor("google")),
    (r"api\.groq\.com", Vendor("groq")),
    (r"(api|codestral)\.mistral\.ai", Vendor("mistral")),
    (r"api\.(eu|us)\.mistral\.ai", Vendor("mistral", Decimal("1.1"))),
    (r"api\.cohere\.(ai|com)", Vendor("cohere")),
    (r"api\.x\.ai", Vendor("x-ai")),
    (r"us\.api\.x\.ai", Vendor("x-ai", Decimal("1.1"))),
    (r"api\.deepseek\.com", Vendor("deepseek")),
    (r"(api\.)?openrouter\.ai", Vendor("openrouter")),
    (r"api\.together\.(ai|xyz)", Vendor("together")),
    (r"(us|ca)-api\.together\.ai", Vendor("together", Decimal("1.25"))),
    (r"api\.fireworks\.ai", Vendor("fireworks")),
    (r"api\.cerebras\.ai", Vendor("cerebras")),
    (r"api\.perplexity\.ai", Vendor("perplexity")),
    (r"[a-z0-9-]+\.(openai|services\.ai|cognitiveservices)\.azure\.com", Vendor("azure")),
    (r"api\.moonshot\.(ai|cn)", Vendor("moonshotai")),
    (r"api\.z\.ai", Vendor("zai")),
    (r"open\.bigmodel\.cn", Vendor("zhipuai")),
    (r"api\.minimaxi?\.(io|com)", Vendor("minimax")),
    (r"api\.cloudflare\.com", Vendor("cloudflare")),
    (r"bedrock-runtime\.[a-z0-9-]+\.amazonaws\.com", Vendor("aws")),
    (r"api\.novita\.ai", Vendor("novita")),
    (r"api\.avian\.io", Vendor("avian")),
    (r"inference\.baseten\.co", Vendor("baseten")),
    (r"api\.doubleword\.ai", Vendor("doubleword")),
    (r"api\.voyageai\.com", Vendor("voyageai")),
)
"""Whole host names to price lists. A place that processes in one region only may cost more."""

REPORTS: Final = frozenset({"openrouter", "x-ai", "perplexity", "avian"})
"""Lists of vendors that say in the answer what it costs the account, in US dollars."""


def at_host(host: str | None) -> Vendor | None:
    """Of a host name; None: nobody's that is known."""
    if not host:
        return None
    low = host.lower()
    return next((vendor for pattern, vendor in HOSTS if re.fullmatch(pattern, low)), None)


def named(name: str) -> Vendor | None:
    """Of a provider's name, or of a host where endpoints without a provider are called by theirs."""
    found = NAMES.get(name.lower())
    return Vendor(found) if found is not None else at_host(name)
