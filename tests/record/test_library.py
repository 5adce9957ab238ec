"""Our sums beside the library's own: two ways to the same amount. Its data, and what we add to it."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices.data import providers
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

from llmitm.exchange import Usage
from llmitm.record.cost import priced
from llmitm.record.library import KEYS, PLAIN, Terms, library_version, listed
from llmitm.record.rates import CALLS, TOKENS, price_of, rate_of
from llmitm.record.vendors import HOSTS, NAMES, at_host, named

AT = datetime(2026, 11, 15, 12, 30, tzinfo=UTC)
IDS = {one.id for one in providers}
MODELS = [(provider, model) for provider in providers for model in provider.models]


def price_of_theirs(model: ModelInfo, provider: Provider, terms: dict[str, str], **counts: Any) -> Decimal:
    told = model.calc_price(
        TheirUsage(**counts), provider, genai_request_timestamp=AT, price_context=terms or None
    )
    return told.total_price


def counts_drawn(draw: random.Random) -> dict[str, int]:
    total = draw.choice([0, 1, 999, 100_001, 128_001, 200_000, 272_001, draw.randrange(10**6)])
    read = draw.randrange(total + 1)
    written = draw.randrange(total - read + 1)
    return {
        "input_tokens": total,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": draw.randrange(written + 1),
        "output_tokens": draw.randrange(10**5),
    }


TERMS: dict[str, tuple[Terms, dict[str, str]]] = {
    "plain": (PLAIN, {}),
    "flex": (Terms(tier="flex"), {"service_tier": "flex"}),
    "priority": (Terms(tier="priority"), {"service_tier": "priority"}),
    "batch": (Terms(is_batch=True), {"processing": "batch"}),
    "fast": (Terms(tier="fast"), {"speed": "fast", "service_tier": "fast"}),
}


@pytest.mark.parametrize(("terms", "context"), TERMS.values(), ids=TERMS)
def test_our_sums_are_the_library_s(terms: Terms, context: dict[str, str]) -> None:
    draw, compared = random.Random(7), 0
    for provider, model in MODELS[::3] if terms is PLAIN else MODELS:
        if terms is not PLAIN and not model.price_variants:
            continue
        if provider.find_model(model.id) is not model:
            continue  # its own name means another model
        found = listed(provider.id, model.id, AT.timestamp(), terms)
        if found is None or found.version != library_version() or found.lacks:
            continue
        counts = counts_drawn(draw)
        cost = priced(Usage(**counts), found.prices, found.version)
        theirs = price_of_theirs(model, provider, context, **counts)
        assert cost.usd_nano == round(theirs * 10**9), f"{provider.id} {model.id} {counts}"
        compared += 1
    assert compared > (500 if terms is PLAIN else 2)


def test_every_price_of_the_library_is_exact_with_us() -> None:
    for _, model in MODELS:
        told = (
            [model.prices] if isinstance(model.prices, ModelPrice) else [one.prices for one in model.prices]
        )
        told += [one.prices for one in model.price_variants or ()]
        for one in told:
            for key, price in vars(one).items():
                kind = KEYS.get(key)
                if kind is None or price is None:
                    continue
                known = (
                    [price] if isinstance(price, Decimal) else [price.base, *(t.price for t in price.tiers)]
                )
                assert all(price_of(kind, rate_of(kind, cell)) == cell for cell in known), (model.id, key)


def test_our_kinds_are_those_that_the_library_sells_by_token_and_call() -> None:
    assert set(KEYS.values()) == {*TOKENS, *CALLS}


def test_lists_that_we_name_are_there() -> None:
    assert {*NAMES.values(), *(vendor.list for _, vendor in HOSTS)} <= IDS
    assert set(NAMES.values()) <= set(NAMES), "each is known by its own name too"


def test_models_that_change_with_the_length_of_the_prompt_change_for_all_tokens() -> None:
    tiers = [model for _, model in MODELS if isinstance(_first(model), TieredPrices)]
    assert len(tiers) > 100


def _first(model: ModelInfo) -> Any:
    told = model.prices if isinstance(model.prices, ModelPrice) else model.prices[-1].prices
    return told.input_mtok


HOSTED: dict[str, tuple[str, str | None]] = {
    "openai": ("api.openai.com", "openai"),
    "openai in a region": ("EU.api.openai.com", "openai"),
    "vertex": ("us-central1-aiplatform.googleapis.com", "google"),
    "vertex everywhere": ("aiplatform.googleapis.com", "google"),
    "gemini": ("generativelanguage.googleapis.com", "google"),
    "bedrock": ("bedrock-runtime.us-east-1.amazonaws.com", "aws"),
    "foundry": ("mine.services.ai.azure.com", "azure"),
    "a look-alike": ("api.openai.com.example.com", None),
    "another look-alike": ("xapi.openai.com", None),
    "this machine": ("localhost", None),
    "nobody": ("", None),
}


@pytest.mark.parametrize(("host", "expected"), HOSTED.values(), ids=HOSTED)
def test_hosts(host: str, expected: str | None) -> None:
    found = at_host(host)
    assert (found.list if found else None) == expected
    assert named(host) == found


QUIET = """
import sys
asked = []
sys.addaudithook(lambda name, args: asked.append(name) if name.startswith("socket.") else None)
import llmitm.world
assert "genai_prices" not in sys.modules, "it waits for the first question"
asked.clear()
from llmitm.record.library import listed
assert listed("openai", "gpt-4o", 1_794_745_800) is not None
assert not asked, asked
"""


def test_prices_are_read_at_the_first_question_and_without_any_network() -> None:
    root = Path(__file__).parents[2] / "addons"
    done = subprocess.run(
        [sys.executable, "-c", QUIET], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_names_of_models_from_clients_leave_nothing_behind() -> None:
    from genai_prices.data_snapshot import get_snapshot

    for number in range(50):
        listed("openai", f"gpt-4o-{number}", AT.timestamp())
    assert not get_snapshot()._lookup_cache
