"""Which provider serves a model, how it spells it, and in which dialect it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmitm.config.load import load
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.route.known import KNOWN, PROVIDERS, Known, family_of
from llmitm.route.providers import find, key_headers, names
from llmitm.secret import Secret

CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI

VENDORS = """
[providers.openai]
api_keys = ["k1"]
[providers.anthropic]
api_keys = ["k2"]
[providers.google]
api_keys = ["k3"]
[providers.groq]
api_keys = ["k4"]
models = ["llama-4", "qwen-*", {id = "openai/gpt-oss-120b", alias = "oss"}]
excluded_models = ["*-preview"]
[providers.team]
api_keys = ["k5"]
base_url = "http://team.example/v1"
prefix = "team-a"
models = ["gpt-6-sol", "shared"]
"""
ROUTER = '[providers.openrouter]\napi_keys = ["k6"]\n'


def loaded(folder: Path, text: str) -> Config:
    path = folder / "config.toml"
    path.write_text("[endpoints.all]\nkind = 'gateway'\n" + text)
    return load(path, env={})


@pytest.mark.parametrize(
    ("model", "served"),
    [
        ("llama-4", [("groq", "llama-4")]),
        ("oss", [("groq", "openai/gpt-oss-120b")]),
        ("openai/gpt-oss-120b", [("groq", "openai/gpt-oss-120b")]),  # an entry before a prefix
        ("qwen-3", [("groq", "qwen-3")]),
        ("groq/llama-4", [("groq", "llama-4")]),
        ("groq/oss", [("groq", "openai/gpt-oss-120b")]),
        ("openai/gpt-6", [("openai", "gpt-6")]),
        ("anthropic/gpt-6", [("anthropic", "gpt-6")]),  # a prefix before a family
        ("claude-opus-5", [("anthropic", "claude-opus-5")]),
        ("gemini-4-argon", [("google", "gemini-4-argon")]),
        ("gpt-6-luna", [("openai", "gpt-6-luna")]),
        ("gpt-6-sol", [("team", "gpt-6-sol")]),  # an entry before a family
        ("team-a/gpt-6-sol", [("team", "gpt-6-sol")]),
        ("o3", [("openai", "o3")]),
        ("unheard-of", [("openai", "unheard-of"), ("anthropic", "unheard-of"), ("google", "unheard-of")]),
    ],
)
def test_who_serves_a_model(tmp_path: Path, model: str, served: list[tuple[str, str]]) -> None:
    found = find(model, loaded(tmp_path, VENDORS))
    assert [(one.provider, one.model) for one in found] == served


@pytest.mark.parametrize(
    ("model", "served"),
    [
        ("mistral-large", [("openrouter", "mistral-large")]),  # no vendor is asked for another's model
        ("mistralai/mistral-large", [("openrouter", "mistralai/mistral-large")]),
        ("claude-opus-5", [("anthropic", "claude-opus-5")]),
        ("openrouter/anthropic/claude-opus-5", [("openrouter", "anthropic/claude-opus-5")]),
    ],
)
def test_a_host_of_many_vendors_takes_what_is_nobodys(
    tmp_path: Path, model: str, served: list[tuple[str, str]]
) -> None:
    found = find(model, loaded(tmp_path, VENDORS + ROUTER))
    assert [(one.provider, one.model) for one in found] == served


@pytest.mark.parametrize(
    ("model", "status"),
    [
        ("mistral-large", 404),
        ("groq/qwen-3-preview", 404),
        ("qwen-3-preview", 404),
        ("groq/unlisted", 404),
        ("team-a/unlisted", 404),
        ("openai/", 404),
    ],
)
def test_what_nobody_serves(tmp_path: Path, model: str, status: int) -> None:
    text = VENDORS.replace("[providers.google]", "[providers.google]\nmodels = ['gemini-*']")
    text = text.replace("[providers.openai]", "[providers.openai]\nmodels = ['gpt-*']")
    text = text.replace("[providers.anthropic]", "[providers.anthropic]\nmodels = ['claude-*']")
    with pytest.raises(Refused) as caught:
        find(model, loaded(tmp_path, text))
    assert caught.value.status == status
    for name in ("llama-4", "oss", "gpt-*", "claude-*"):
        assert name in caught.value.message


def test_disabled_providers_are_out_of_service_and_unknown_ones_without_an_address(tmp_path: Path) -> None:
    config = loaded(tmp_path, '[providers.openai]\napi_keys = ["k"]\ndisabled = true\n[providers.mine]\n')
    assert config.warnings == ("provider mine has no base_url: endpoints of kind gateway skip it",)
    with pytest.raises(Refused) as caught:
        find("gpt-6", config)
    assert (caught.value.status, caught.value.code) == (503, "no_credential")


def test_credentials_have_options_of_their_own(tmp_path: Path) -> None:
    text = """
    [providers.mine]
    base_url = "http://one.example"
    models = ["a"]
    [[providers.mine.credentials]]
    api_key = "k1"
    [[providers.mine.credentials]]
    api_key = "k2"
    base_url = "http://two.example"
    models = ["a", "b"]
    format = "claude"
    [[providers.mine.credentials]]
    api_key = "k3"
    disabled = true
    """
    config = loaded(tmp_path, text)
    assert [one.base for one in find("a", config)] == ["http://one.example", "http://two.example"]
    (found,) = find("b", config)
    assert (found.base, found.dialects) == ("http://two.example", (MESSAGES,))


def test_a_prefix_can_be_forced(tmp_path: Path) -> None:
    text = VENDORS + "[routing]\nforce_model_prefix = true\n"
    (found,) = find("gpt-6-sol", loaded(tmp_path, text))
    assert found.provider == "openai"
    (found,) = find("team-a/gpt-6-sol", loaded(tmp_path, text))
    assert (found.provider, found.model) == ("team", "gpt-6-sol")


def test_an_endpoint_may_have_one_provider_only(tmp_path: Path) -> None:
    config = loaded(tmp_path, VENDORS)
    assert {one.provider for one in find("unheard-of", config, only="google")} == {"google"}
    with pytest.raises(Refused):
        find("claude-opus-5", config, only="groq")


def test_models_by_name(tmp_path: Path) -> None:
    assert names(loaded(tmp_path, VENDORS)) == ["llama-4", "oss", "gpt-6-sol", "shared"]


@pytest.mark.parametrize(
    ("text", "client", "asked_in", "header"),
    [
        ("[providers.openai]", CHAT, CHAT, b"authorization"),
        ("[providers.openai]", RESPONSES, RESPONSES, b"authorization"),
        ("[providers.openai]", MESSAGES, CHAT, b"authorization"),
        ("[providers.anthropic]", GEMINI, MESSAGES, b"x-api-key"),
        ("[providers.gemini]", CHAT, GEMINI, b"x-goog-api-key"),
        ("[providers.perplexity]", CHAT, RESPONSES, b"authorization"),
        ("[providers.groq]\nwire_api = 'responses'", CHAT, RESPONSES, b"authorization"),
        ("[providers.azure]\nbase_url = 'http://a'", RESPONSES, RESPONSES, b"api-key"),
        ("[providers.deepseek-anthropic]", CHAT, MESSAGES, b"x-api-key"),
        ("[providers.mine]\nbase_url = 'http://a'", MESSAGES, CHAT, b"authorization"),
        ("[providers.openai]\nbase_url = 'http://a'", RESPONSES, CHAT, b"authorization"),
        ("[providers.anthropic]\nbase_url = 'http://a'", CHAT, MESSAGES, b"x-api-key"),
        ("[providers.mine]\nbase_url = 'http://a'\nformat = 'gemini'", CHAT, GEMINI, b"x-goog-api-key"),
    ],
)
def test_the_dialect_of_the_upstream_and_the_header_of_its_key(
    tmp_path: Path, text: str, client: Dialect, asked_in: Dialect, header: bytes
) -> None:
    (found,) = find("any", loaded(tmp_path, text + '\napi_keys = ["k"]\n'))
    assert found.dialect_for(client) is asked_in
    ((name, _),) = key_headers(found.auth(asked_in), Secret("k"))
    assert name == header


@pytest.mark.parametrize("one", PROVIDERS, ids=lambda one: one.name)
def test_well_known_providers_are_complete(one: Known) -> None:
    assert one.formats and one.base_url.startswith(("https://", "http://localhost:"))
    assert not one.base_url.endswith("/")
    assert all(KNOWN[name] is one for name in (one.name, *one.aliases))


@pytest.mark.parametrize(
    ("model", "vendor"),
    [
        ("gpt-6-sol", "openai"),
        ("GPT-6", "openai"),
        ("gpt-oss-120b", None),
        ("o4-mini", "openai"),
        ("claude-opus-5-5", "anthropic"),
        ("gemini-4-argon", "google"),
        ("grok-4", "xai"),
        ("ft:gpt-4o-mini-2024-07-18:acme::abc", "openai"),
        ("ft:open-mistral-7b:acme:20260430:abc", "mistral"),
        ("ft:llama-4", None),
        ("llama-4", None),
        ("omni", None),
    ],
)
def test_families(model: str, vendor: str | None) -> None:
    assert family_of(model) == vendor
