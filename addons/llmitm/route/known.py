"""Providers that are known by name: what they speak, where they are, how they want their key. Data.

What the operator writes wins over this. A name stands for one address; a provider that speaks Anthropic's
API at another address stands here twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

from llmitm.exchange import Dialect

type Auth = Literal["bearer", "x-api-key", "x-goog-api-key", "api-key", "optional"]
"""The header in which the key travels; `optional`: Bearer, where there is a key at all."""

_CHAT: Final = (Dialect.OPENAI_CHAT,)
_RESPONSES: Final = (Dialect.OPENAI_RESPONSES,)
_BOTH: Final = (Dialect.OPENAI_RESPONSES, Dialect.OPENAI_CHAT)
_MESSAGES: Final = (Dialect.ANTHROPIC_MESSAGES,)
_GEMINI: Final = (Dialect.GEMINI,)
_ALL: Final = ("*",)
_OLD: Final = ("gpt-3.5-turbo-instruct*", "davinci-*", "babbage-*", "ft:davinci-*", "ft:babbage-*")
"""OpenAI's models that are no chat models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One provider."""

    name: str
    formats: tuple[Dialect, ...]
    """What it speaks, the best first."""
    base_url: str
    """With `{...}` where every account has an address of its own."""
    aliases: tuple[str, ...] = ()
    auth: Auth = "bearer"
    vendor: str = ""
    """Whose models it serves, where they are one vendor's; empty: anybody's."""
    has_stream_options: bool = True
    max_tokens_field: str | None = None
    """What chat calls the limit here, whatever the model."""
    sends_back_reasoning: bool = False
    """Wants `reasoning_content` back within a tool loop."""
    completes: tuple[str, ...] = ()
    """Globs of the models that it completes plain prompts with."""
    counts: tuple[Dialect, ...] = ()
    """In which of its formats it counts tokens, for certain."""
    counts_nothing: bool = False
    """For certain, in no format."""
    most_embedded: int | None = None
    """Texts that it embeds at once; None: as many as anybody sends."""

    @property
    def is_template(self) -> bool:
        return "{" in self.base_url


def _known(name: str, formats: tuple[Dialect, ...], base_url: str, *aliases: str, **more: object) -> Known:
    return Known(name=name, formats=formats, base_url=base_url, aliases=aliases, **more)  # type: ignore[arg-type]


PROVIDERS: Final[tuple[Known, ...]] = (
    _known(
        "openai",
        _BOTH,
        "https://api.openai.com/v1",
        vendor="openai",
        completes=_OLD,
        counts=_RESPONSES,
    ),
    _known(
        "anthropic",
        _MESSAGES,
        "https://api.anthropic.com",
        "claude",
        auth="x-api-key",
        vendor="anthropic",
        counts=_MESSAGES,
    ),
    _known(
        "google",
        _GEMINI,
        "https://generativelanguage.googleapis.com",
        "gemini",
        "google-ai-studio",
        auth="x-goog-api-key",
        vendor="google",
        counts=_GEMINI,
        most_embedded=100,
    ),
    _known(
        "google-openai",
        _CHAT,
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "gemini-openai",
        vendor="google",
        most_embedded=100,
    ),
    _known("groq", _BOTH[::-1], "https://api.groq.com/openai/v1"),
    _known(
        "mistral",
        _CHAT,
        "https://api.mistral.ai/v1",
        "mistralai",
        vendor="mistral",
        has_stream_options=False,
        max_tokens_field="max_tokens",
    ),
    _known(
        "codestral",
        _CHAT,
        "https://codestral.mistral.ai/v1",
        vendor="mistral",
        has_stream_options=False,
        max_tokens_field="max_tokens",
    ),
    _known("cohere", _CHAT, "https://api.cohere.ai/compatibility/v1", vendor="cohere"),
    _known("xai", _BOTH, "https://api.x.ai/v1", "grok", "x-ai", vendor="xai"),
    _known("deepseek", _CHAT, "https://api.deepseek.com", vendor="deepseek", sends_back_reasoning=True),
    _known(
        "deepseek-anthropic",
        _MESSAGES,
        "https://api.deepseek.com/anthropic",
        auth="x-api-key",
        vendor="deepseek",
    ),
    _known(
        "openrouter",
        _BOTH[::-1],
        "https://openrouter.ai/api/v1",
        max_tokens_field="max_tokens",
        completes=_ALL,
    ),
    _known("openrouter-anthropic", _MESSAGES, "https://openrouter.ai/api"),
    _known(
        "together",
        _BOTH[::-1],
        "https://api.together.ai/v1",
        "together_ai",
        "togetherai",
        completes=_ALL,
    ),
    _known(
        "fireworks",
        _BOTH[::-1],
        "https://api.fireworks.ai/inference/v1",
        "fireworks_ai",
        "fireworks-ai",
        completes=_ALL,
    ),
    _known("fireworks-anthropic", _MESSAGES, "https://api.fireworks.ai/inference"),
    _known("cerebras", _CHAT, "https://api.cerebras.ai/v1", completes=_ALL),
    _known(
        "perplexity",
        _RESPONSES,
        "https://api.perplexity.ai/v1",
        "perplexity-ai",
        "pplx",
        vendor="perplexity",
    ),
    _known("ollama", _BOTH[::-1], "http://localhost:11434/v1", auth="optional", completes=_ALL),
    _known(
        "ollama-anthropic",
        _MESSAGES,
        "http://localhost:11434",
        auth="optional",
        counts_nothing=True,
    ),
    _known("ollama-cloud", _CHAT, "https://ollama.com/v1"),
    _known(
        "vllm",
        _BOTH[::-1],
        "http://localhost:8000/v1",
        "hosted_vllm",
        auth="optional",
        completes=_ALL,
    ),
    _known("vllm-anthropic", _MESSAGES, "http://localhost:8000", auth="optional"),
    _known(
        "llamacpp",
        _CHAT,
        "http://localhost:8080/v1",
        "llama.cpp",
        "llama-server",
        auth="optional",
        completes=_ALL,
    ),
    _known("llamacpp-anthropic", _MESSAGES, "http://localhost:8080", auth="optional"),
    _known(
        "lmstudio",
        _BOTH[::-1],
        "http://localhost:1234/v1",
        "lm_studio",
        "lm-studio",
        auth="optional",
        completes=_ALL,
    ),
    _known("lmstudio-anthropic", _MESSAGES, "http://localhost:1234", auth="optional"),
    _known(
        "azure",
        _BOTH,
        "https://{resource}.openai.azure.com/openai/v1",
        "azure-openai",
        "azure_ai",
        auth="api-key",
        completes=_OLD,
    ),
    _known(
        "azure-anthropic",
        _MESSAGES,
        "https://{resource}.services.ai.azure.com/anthropic",
        "foundry",
        auth="x-api-key",
    ),
    _known(
        "moonshot",
        _CHAT,
        "https://api.moonshot.ai/v1",
        "kimi",
        "moonshotai",
        vendor="moonshot",
        sends_back_reasoning=True,
    ),
    _known("moonshot-anthropic", _MESSAGES, "https://api.moonshot.ai/anthropic", vendor="moonshot"),
    _known("zai", _CHAT, "https://api.z.ai/api/paas/v4", "z.ai", "zhipu", "glm", vendor="zai"),
    _known("bigmodel", _CHAT, "https://open.bigmodel.cn/api/paas/v4", "zhipuai", vendor="zai"),
    _known("zai-anthropic", _MESSAGES, "https://api.z.ai/api/anthropic", vendor="zai"),
    _known(
        "dashscope",
        _BOTH[::-1],
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "qwen",
        "alibaba",
        vendor="qwen",
    ),
    _known("dashscope-cn", _BOTH[::-1], "https://dashscope.aliyuncs.com/compatible-mode/v1", vendor="qwen"),
    _known(
        "minimax",
        _BOTH[::-1],
        "https://api.minimax.io/v1",
        vendor="minimax",
        max_tokens_field="max_completion_tokens",
    ),
    _known("minimax-anthropic", _MESSAGES, "https://api.minimax.io/anthropic", vendor="minimax"),
    _known("sambanova", _CHAT, "https://api.sambanova.ai/v1", max_tokens_field="max_tokens"),
    _known("nvidia", _CHAT, "https://integrate.api.nvidia.com/v1", "nvidia_nim", "nim"),
    _known("huggingface", _BOTH[::-1], "https://router.huggingface.co/v1", "hf"),
    _known(
        "workers-ai",
        _BOTH[::-1],
        "https://api.cloudflare.com/client/v4/accounts/{account}/ai/v1",
        "cloudflare",
    ),
)

RETIRED: Final[Mapping[str, str]] = {
    "github": "GitHub Models ended on 2026-07-30",
    "github-models": "GitHub Models ended on 2026-07-30",
}

_FAMILIES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("openai", ("gpt-[0-9]*", "chatgpt-*", "o[1-9]", "o[1-9]-*", "codex-*", "text-embedding-*")),
    (
        "openai",
        (
            "davinci-*",
            "babbage-*",
            "gpt-image-*",
            "gpt-audio*",
            "gpt-realtime*",
            "dall-e-*",
            "whisper-1",
            "tts-1*",
            "omni-moderation-*",
            "text-moderation-*",
            "sora-*",
        ),
    ),
    ("anthropic", ("claude-*",)),
    ("google", ("gemini-*", "gemma-*", "models/gemini-*", "imagen-*", "veo-*")),
    (
        "mistral",
        ("mistral-*", "magistral-*", "ministral-*", "codestral-*", "devstral-*", "pixtral-*", "open-mi*"),
    ),
    ("deepseek", ("deepseek-*",)),
    ("xai", ("grok-*",)),
    ("cohere", ("command-*", "command", "rerank-*")),
    ("moonshot", ("kimi-*", "moonshot-*")),
    ("zai", ("glm-*",)),
    ("qwen", ("qwen*", "qwq-*")),
    ("minimax", ("minimax-*",)),
    ("perplexity", ("sonar", "sonar-*")),
)
"""Whose a model is, by its name. Open weights that many hosts serve (gpt-oss, llama) are nobody's."""


def _by_name() -> Mapping[str, Known]:
    found: dict[str, Known] = {}
    for one in PROVIDERS:
        for name in (one.name, *one.aliases):
            if name in found:
                raise ValueError(f"two providers are called {name}")
            found[name] = one
    return found


KNOWN: Final[Mapping[str, Known]] = _by_name()
"""By name and alias."""


def family_of(model: str) -> str | None:
    """The vendor that models of this name are known to be of; None: nobody's in particular."""
    low = model.lower().removeprefix("ft:")  # tuned ones begin with the name of what they were made of
    for vendor, globs in _FAMILIES:
        if any(fnmatchcase(low, glob) for glob in globs):
            return vendor
    return None
