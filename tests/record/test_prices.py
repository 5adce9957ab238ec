"""Whose price counts: the configuration's by exact name, by glob, then the published lists."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from llmitm.config.schema import Config
from llmitm.exchange import Usage
from llmitm.record.cost import Cost
from llmitm.record.library import completed_version, library_version
from llmitm.record.prices import Prices
from support.clocks import HandClock

NOON_S = datetime(2026, 11, 15, 12, 30, tzinfo=UTC).timestamp()
PEAK_S = datetime(2026, 11, 15, 2, 30, tzinfo=UTC).timestamp()
MILLION = Usage(input_tokens=1_000_000, output_tokens=0)
"""Of models whose price does not depend on the length, this costs what the list says."""


def prices(now_s: float = NOON_S, /, **config: Any) -> Prices:
    return Prices(Config.model_validate(config), HandClock(now_s=now_s))


def usd(cost: Cost) -> float | None:
    return None if cost.usd_nano is None else cost.usd_nano / 10**9


def of(
    found: Prices, model: str = "gpt-4o", provider: str = "openai", usage: Usage = MILLION, **more: Any
) -> Cost:
    return found.cost(provider=provider, model=model, usage=usage, at_s=NOON_S, **more)


WINS: dict[str, tuple[dict[str, Any], float]] = {
    "nothing written: the list": ({}, 2.5),
    "the model": ({"gpt-4o": {"input": 7, "output": 0}}, 7),
    "the provider's model before the model": (
        {"gpt-4o": {"input": 7, "output": 0}, "openai/gpt-4o": {"input": 8, "output": 0}},
        8,
    ),
    "another provider's model": ({"azure/gpt-4o": {"input": 7, "output": 0}}, 2.5),
    "a glob": ({"gpt-*": {"input": 7, "output": 0}}, 7),
    "a glob of the provider": ({"openai/*": {"input": 7, "output": 0}}, 7),
    "the first glob": ({"gpt-*": {"input": 7, "output": 0}, "*": {"input": 8, "output": 0}}, 7),
    "an exact name before an earlier glob": (
        {"*": {"input": 7, "output": 0}, "gpt-4o": {"input": 8, "output": 0}},
        8,
    ),
    "a name that is only a part": ({"gpt-4": {"input": 7, "output": 0}}, 2.5),
    "nothing to pay": ({"gpt-4o": {"input": 0, "output": 0}}, 0),
}


@pytest.mark.parametrize(("entries", "price"), WINS.values(), ids=WINS)
def test_exact_names_come_before_globs_and_both_before_the_lists(
    entries: dict[str, Any], price: float
) -> None:
    assert usd(of(prices(model_prices=entries))) == price


CACHED = Usage(input_tokens=1_000_000, cache_read_tokens=1_000_000, output_tokens=0)
SEARCHED = Usage(input_tokens=0, output_tokens=0, server_tools=(("web_search_requests", 1000),))
LONG = Usage(input_tokens=2_000_000, output_tokens=0)

ENTRIES: dict[str, tuple[dict[str, Any], Usage, float]] = {
    "a whole list keeps nothing of the published one": ({"input": 7, "output": 1}, CACHED, 7),
    "and has prices of its own": ({"input": 7, "output": 1, "cache_read": 0.7}, CACHED, 0.7),
    "cents that no binary fraction holds": ({"input": 0.1, "output": 0.7}, MILLION, 0.1),
    "without input it is laid over the published one": ({"cache_read": 0.5}, CACHED, 0.5),
    "whose other prices stay": ({"cache_read": 0.5}, MILLION, 2.5),
    "searches": ({"web_search": 3}, SEARCHED, 3),
    "a factor is of tokens": ({"multiplier": 1.1}, MILLION, 2.75),
    "and not of calls": ({"multiplier": 1.1}, SEARCHED, 10),
    "another model's": ({"like": "openai/gpt-4o-mini"}, MILLION, 0.15),
    "another model's with a difference": (
        {"like": "openai/gpt-4o-mini", "input": 9, "cache_read": 1},
        CACHED,
        1,
    ),
    "another vendor's of that name": ({"like": "azure", "multiplier": 2}, MILLION, 5),
    "longer prompts pay more for all": (
        {"input": 1, "output": 1, "long": [{"over": 1_000_000, "input": 3}]},
        LONG,
        6,
    ),
    "up to there they do not": (
        {"input": 1, "output": 1, "long": [{"over": 1_000_000, "input": 3}]},
        MILLION,
        1,
    ),
    "the longest counts": (
        {
            "input": 1,
            "output": 1,
            "long": [{"over": 1_500_000, "input": 4}, {"over": 1_000_000, "input": 3}],
        },
        LONG,
        8,
    ),
}


@pytest.mark.parametrize(("entry", "usage", "price"), ENTRIES.values(), ids=ENTRIES)
def test_what_an_entry_says(entry: dict[str, Any], usage: Usage, price: float) -> None:
    cost = of(prices(model_prices={"gpt-4o": entry}), usage=usage)
    assert (usd(cost), cost.is_whole) == (price, True)


TIERED: dict[str, tuple[dict[str, Any], float, bool]] = {
    "a tier that is priced": (
        {"input": 4, "output": 4, "tiers": {"flex": {"input": 1}}},
        1,
        True,
    ),
    "a tier with a factor": ({"input": 4, "output": 4, "tiers": {"flex": {"multiplier": 0.25}}}, 1, True),
    "another tier": ({"input": 4, "output": 4, "tiers": {"batch": {"input": 1}}}, 4, False),
    "a tier of the published list": ({"multiplier": 2}, 2.5, True),
    "a tier in place of the published one": ({"tiers": {"flex": {"multiplier": 0.8}}}, 2, True),
    "prices that say nothing of the tier": ({"cache_read": 1}, 1.25, False),
}


@pytest.mark.parametrize(("entry", "price", "is_whole"), TIERED.values(), ids=TIERED)
def test_tiers_of_an_entry(entry: dict[str, Any], price: float, is_whole: bool) -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=0, tier="flex")
    cost = of(prices(model_prices={"gpt-4o": entry}), usage=usage)
    assert (usd(cost), cost.is_whole) == (price, is_whole)


def test_a_tier_that_nobody_prices_is_named() -> None:
    cost = of(prices(), usage=Usage(input_tokens=1, output_tokens=1, tier="provisioned"))
    assert cost.lacks == ("the price of tier provisioned",)


UNKNOWN: dict[str, tuple[str, str]] = {
    "a model that is on no list": ("openai", "my-own"),
    "a provider that has no list": ("ollama", "gpt-4o"),
    "a model that is listed without a price": ("google", "gemma-3-27b-it"),
    "a model that is sold by the hour": ("openai", "whisper-1"),
}


@pytest.mark.parametrize(("provider", "model"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_price_is_not_zero(provider: str, model: str) -> None:
    cost = of(prices(), model, provider)
    assert cost.usd_nano is None and cost.version == "none"
    assert cost.why == f"no price is known of {model} at {provider}"


def test_prices_for_a_model_that_is_on_no_list_must_be_whole() -> None:
    found = prices(model_prices={"my-*": {"cache_read": 1}, "mine": {"input": 1, "output": 2}})
    assert of(found, "my-own").usd_nano is None
    assert usd(of(found, "mine", "ollama")) == 1


def test_the_version_of_the_price_is_kept() -> None:
    assert of(prices()).version == library_version()
    assert of(prices(), "gpt-6-sol", host="eu.api.openai.com").version == completed_version()
    one = of(prices(model_prices={"gpt-4o": {"input": 1, "output": 1}})).version
    other = of(prices(model_prices={"gpt-4o": {"input": 1, "output": 2}})).version
    assert one.startswith("config/") and len(one) == len("config/12345678") and one != other
    over = of(prices(model_prices={"gpt-4o": {"multiplier": 2}})).version
    assert over.startswith("config/") and over.endswith(f"+{library_version()}")


def test_the_model_that_answered_is_priced_the_one_that_was_sent_is_found_in_the_configuration() -> None:
    assert usd(of(prices(), "my-deployment", "azure", answered="gpt-4o-mini-2024-07-18")) == 0.15
    assert usd(of(prices(), "gpt-4o", answered="a-name-of-nobody")) == 2.5
    assert usd(of(prices(), "gpt-4o", answered="gpt-4o-mini" + "-" * 300)) == 2.5
    entries = {"my-deployment": {"input": 1, "output": 1}, "gpt-4o": {"input": 2, "output": 2}}
    found = prices(model_prices=entries)
    assert usd(of(found, "my-deployment", "azure", answered="gpt-4o")) == 1
    assert usd(of(found, "other-deployment", "azure", answered="gpt-4o")) == 2


WHERE: dict[str, tuple[dict[str, Any], str, str, float | None]] = {
    "an address of OpenAI's under another name": (
        {"work": {"base_url": "https://api.openai.com/v1", "api_keys": ["k"]}},
        "work",
        "gpt-4o",
        2.5,
    ),
    "a name of OpenAI's at another address": (
        {"openai": {"base_url": "http://127.0.0.1:9/v1", "api_keys": ["k"]}},
        "openai",
        "gpt-4o",
        2.5,
    ),
    "a name of OpenAI's at Groq's address": (
        {"openai": {"base_url": "https://api.groq.com/openai/v1", "api_keys": ["k"]}},
        "openai",
        "llama-3.1-8b-instant",
        0.05,
    ),
    "nobody's name at nobody's address": (
        {"work": {"base_url": "https://llm.example.com/v1", "api_keys": ["k"]}},
        "work",
        "gpt-4o",
        None,
    ),
    "an address that only begins like OpenAI's": (
        {"work": {"base_url": "https://api.openai.com.example.com/v1", "api_keys": ["k"]}},
        "work",
        "gpt-4o",
        None,
    ),
    "a known name": ({"groq": {"api_keys": ["k"]}}, "groq", "llama-3.1-8b-instant", 0.05),
    "an alias of a known name": ({"grok": {"api_keys": ["k"]}}, "grok", "grok-3", 3),
    "a resource of Azure's": (
        {"work": {"base_url": "https://mine.openai.azure.com/openai/v1", "api_keys": ["k"]}},
        "work",
        "gpt-4o",
        2.5,
    ),
    "a host without a provider": ({}, "api.anthropic.com", "claude-opus-5", 5),
}


@pytest.mark.parametrize(("providers", "provider", "model", "price"), WHERE.values(), ids=WHERE)
def test_the_address_says_whose_list_it_is_then_the_name(
    providers: dict[str, Any], provider: str, model: str, price: float | None
) -> None:
    assert usd(of(prices(providers=providers), model, provider)) == price


def test_the_host_that_was_asked_comes_before_the_provider() -> None:
    assert usd(of(prices(), "gpt-6-luna", host="us.api.openai.com")) == pytest.approx(0.22)
    assert usd(of(prices(), "gpt-4o", host="llm.example.com")) == 2.5


def test_the_word_of_a_vendor_counts_where_it_is_one_whose_word_that_is() -> None:
    told = Usage(input_tokens=1_000_000, output_tokens=0, reported_usd_nano=42)
    cost = of(prices(), "openai/gpt-4o", "openrouter", told)
    assert (cost.usd_nano, cost.version, cost.listed_usd_nano) == (42, "reported", 2_500_000_000)
    assert (of(prices(), "no-such", "openrouter", told).usd_nano, cost.is_whole) == (42, True)
    assert usd(of(prices(), usage=told)) == 2.5
    entries = {"openrouter/*": {"input": 3, "output": 3}}
    assert usd(of(prices(model_prices=entries), "openai/gpt-4o", "openrouter", told)) == 3
    assert of(prices(), "m", "ollama", told).usd_nano is None


BLENDED: dict[str, tuple[str, str, float | None]] = {
    "three of the prompt to one of the answer": ("openai", "gpt-4o", 4.375),
    "nobody knows": ("ollama", "llama3", None),
    "no answer is sold": ("openai", "text-embedding-3-small", None),
}


@pytest.mark.parametrize(("provider", "model", "price"), BLENDED.values(), ids=BLENDED)
def test_a_million_tokens_cost_about(provider: str, model: str, price: float | None) -> None:
    assert prices().usd_per_mtok(provider, model) == price


def test_what_a_million_cost_follows_the_hour_of_the_day() -> None:
    assert prices(NOON_S).usd_per_mtok("deepseek", "deepseek-flash") == pytest.approx(0.2625)
    assert prices(PEAK_S).usd_per_mtok("deepseek", "deepseek-flash") == pytest.approx(0.525)


def test_a_new_configuration_is_followed_whole() -> None:
    found = prices(model_prices={"gpt-4o": {"input": 1, "output": 1}})
    assert (usd(of(found)), found.usd_per_mtok("openai", "gpt-4o")) == (1, 1)
    found.follow(Config.model_validate({"model_prices": {"gpt-4o": {"input": 2, "output": 2}}}))
    assert (usd(of(found)), found.usd_per_mtok("openai", "gpt-4o")) == (2, 2)
    found.follow(Config())
    assert usd(of(found)) == 2.5
