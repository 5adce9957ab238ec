"""What was imported asks whom the other gateway would have asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llmitm.config.load import load
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.route import providers
from llmitm.route.search import chain
from llmitm.state.memory import MemoryStore
from support import imported
from support.clocks import HandClock

SAMPLES = {sample.name: sample for sample in imported.load()}


def configured(name: str) -> Config:
    """The configuration made of a sample, all its variables set and its files there."""
    text = SAMPLES[name].brought().text
    text = re.sub(r'"file:[^"]*"', '"key-of-a-file"', text)
    env = {
        one: "redis://127.0.0.1" if one == "REDIS_URL" else f"value-of-{one}"
        for one in re.findall(r"env:(\w+)", text)
    }
    return load(Path("config.toml"), env=env, text=text.encode())


def asked(config: Config, model: str) -> list[str]:
    """Who is asked for a model, by which name, with which weight where it is not 1."""
    found = providers.find(model, config)
    return [
        f"{one.provider} {one.model}" + (f" x{one.options.weight}" * (one.options.weight > 1))
        for one in found
    ]


@pytest.mark.parametrize(
    ("name", "model", "expected"),
    [
        ("ai-proxy/whole", "sonnet", ["anthropic claude-sonnet-4-6 x3"]),
        ("ai-proxy/whole", "claude-opus-4-6", ["anthropic claude-opus-4-6 x3"]),
        ("ai-proxy/whole", "teamA/gpt-4o", ["openai gpt-4o"]),
        ("ai-proxy/whole", "deepseek/deepseek-chat", ["deepseek deepseek-chat"]),
        ("ai-proxy/small", "big", ["openai gpt-4o"]),
        ("ai-proxy/small", "gpt-4o-mini", ["openai gpt-4o-mini"]),
        ("ai-proxy/small", "claude-haiku-4-5", ["anthropic claude-haiku-4-5"]),
        ("ai-proxy/anchors", "gpt-4o", ["openai gpt-4o", "openai gpt-4o x2"]),
        ("ai-proxy/anchors", "gpt-4o-audio-preview", []),
        ("cliproxyapi/whole", "test/gemini-flash", ["gemini gemini-2.5-flash x5"]),
        (
            "cliproxyapi/whole",
            "or/kimi-k2",
            ["openrouter moonshotai/kimi-k2:free x2", "openrouter moonshotai/kimi-k2:free"],
        ),
        ("cliproxyapi/whole", "openrouter/glm-5", ["openrouter glm-5 x2", "openrouter glm-5"]),
        ("cliproxyapi/whole", "grok-4.5", ["xai grok-4.5"]),
        ("cliproxyapi/small", "claude-sonnet-latest", ["anthropic claude-sonnet-4-6"]),
        ("cliproxyapi/of_old", "llama", ["groq llama-3.3-70b-versatile"]),
        ("cliproxyapi/of_old", "gemini-2.5-flash", ["gemini gemini-2.5-flash", "gemini gemini-2.5-flash"]),
        ("litellm/whole", "gpt-4o", ["azure gpt-4o-eu", "openai gpt-4o x2"]),
        ("litellm/whole", "fast", ["openai gpt-4o-mini"]),
        ("litellm/whole", "claude", ["anthropic claude-sonnet-4-6"]),
        ("litellm/whole", "vllm-models", ["10-0-0-5-4000 facebook/opt-125m"]),
        ("litellm/whole", "local", ["ollama llama3.3"]),
        ("litellm/whole", "groq/llama-3.3-70b", ["groq llama-3.3-70b"]),
        ("litellm/whole", "text-embedding-ada-002", ["openai text-embedding-ada-002"]),
        ("litellm/whole", "sonnet-bedrock", []),
        ("litellm/whole", "claude-opus-4-6", []),
        (
            "litellm/balanced",
            "zephyr-beta",
            ["vllm HuggingFaceH4/zephyr-7b-beta", "vllm-2 HuggingFaceH4/zephyr-7b-beta x10"],
        ),
        (
            "litellm/balanced",
            "deepseek",
            ["deepseek deepseek-chat x3", "deepseek deepseek-chat", "deepseek deepseek-chat-v3 x2"],
        ),
        ("litellm/balanced", "reasoner", ["deepseek deepseek-reasoner x3"]),
        ("litellm/wildcards", "gpt-4o", ["openai gpt-4o"]),
        ("litellm/wildcards", "anthropic/claude-opus-4-6", ["anthropic claude-opus-4-6"] * 2),
        ("litellm/wildcards", "claude-opus-4-6", ["anthropic claude-opus-4-6"]),
        ("litellm/wildcards", "house/llama", ["llm-house-example llama"]),
        ("portkey/fallback", "gpt-4o", ["openai gpt-4o"]),
        ("portkey/keys", "gpt-4o", ["openai gpt-4o x7", "openai gpt-4o x3"]),
        ("portkey/single", "whatever", ["models-example-com whatever"]),
    ],
)
def test_a_model_is_asked_of_those_who_had_it(name: str, model: str, expected: list[str]) -> None:
    config = configured(name)
    if expected:
        assert asked(config, model) == expected
    else:
        with pytest.raises(Refused):
            asked(config, model)


@pytest.mark.parametrize(
    ("name", "model", "expected"),
    [
        ("litellm/whole", "gpt-4o", ["gpt-4o", "claude", "fast"]),
        ("litellm/whole", "gpt-4", ["gpt-4o", "claude", "fast"]),
        ("litellm/whole", "claude", ["claude", "fast"]),
        ("cliproxyapi/whole", "or/house-large", ["openrouter/deepseek-v3.1", "openrouter/glm-5"]),
        (
            "portkey/fallback",
            "portkey",
            ["openai/gpt-4o", "anthropic/claude-sonnet-4-6", "mistral/mistral-large-latest"],
        ),
        ("portkey/fallback", "main", ["openai/gpt-4o"]),
        ("litellm/fallbacks", "gpt-5", ["gpt-5", "claude-sonnet-4-6", "gemini-flash"]),
        ("litellm/fallbacks", "small", ["small", "gemini-flash"]),
        ("litellm/fallbacks", "gemini-flash", ["gemini-flash"]),
        ("portkey/of_the_service", "portkey", ["openai/gpt-4o-mini"]),
        ("portkey/of_the_service", "large", ["openai/gpt-4o"]),
    ],
)
async def test_fallbacks_and_pools_come_in_their_order(name: str, model: str, expected: list[str]) -> None:
    routing = configured(name).routing
    found = await chain([model], routing, MemoryStore(HandClock()), lambda _: True)
    assert found == expected


@pytest.mark.parametrize("name", ["litellm/fallbacks", "litellm/whole", "portkey/fallback", "portkey/nested"])
def test_no_count_of_attempts_leaves_fallbacks_unasked(name: str) -> None:
    config = configured(name)
    assert config.routing.fallbacks and config.retry.max_attempts is None


@pytest.mark.parametrize("name", SAMPLES)
async def test_whatever_is_named_is_served_by_somebody(name: str) -> None:
    config = configured(name) if "https" not in name else None
    if config is None or not any(one.kind == "gateway" for one in config.endpoints.values()):
        return
    routing = config.routing
    names = [*routing.aliases, *(one for targets in routing.fallbacks.values() for one in targets)]
    for one in names:
        for model in await chain([one], routing, MemoryStore(HandClock()), lambda _: True):
            assert providers.find(model, config)
