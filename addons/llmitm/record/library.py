"""The price lists of genai-prices, and what it leaves out.

It is imported at the first question, not at the start (0.2 s, 7 MB), and never asks the network. Its own
caches are passed by: names of models come from clients, and those grow without end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from llmitm.record.rates import Cells, PriceList

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

KEYS: Final[Mapping[str, str]] = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_5m_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "audio_input",
    "cache_audio_read_mtok": "cache_read_audio",
    "input_image_mtok": "image_input",
    "cache_image_read_mtok": "cache_read_image",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "output_audio_mtok": "audio_output",
    "output_image_mtok": "image_output",
    "web_searches_kcount": "web_search",
    "social_searches_kcount": "x_search",
    "storage_searches_kcount": "file_search",
    "code_executions_kcount": "code_execution",
    "requests_kcount": "request",
}
"""Its names of prices to ours. What it sells by the hour, page or letter is not counted here."""

TIERS: Final[Mapping[tuple[str, str], Decimal]] = {
    ("openai", "batch"): Decimal("0.5"),
    ("openai", "flex"): Decimal("0.5"),
    ("openai", "priority"): Decimal(2),
    ("openai", "fast"): Decimal(2),
    ("azure", "batch"): Decimal("0.5"),
    ("anthropic", "batch"): Decimal("0.5"),
    ("anthropic", "priority"): Decimal(1),  # bought beforehand by the month: the list price is its measure
    ("aws", "batch"): Decimal("0.5"),
    ("google", "batch"): Decimal("0.5"),
    ("google", "flex"): Decimal("0.5"),
    ("google", "priority"): Decimal("1.8"),
    ("groq", "batch"): Decimal("0.5"),
    ("groq", "flex"): Decimal(1),
    ("mistral", "batch"): Decimal("0.5"),
    ("x-ai", "batch"): Decimal("0.8"),
    ("together", "batch"): Decimal("0.5"),
    ("fireworks", "batch"): Decimal("0.5"),
}
"""By list and tier: what the vendor says of tiers that the library does not price for a model."""

_CALLS: Final[tuple[tuple[tuple[str, ...], str, Cells], ...]] = (
    (("anthropic", "google", "azure"), "claude", {"web_search": Decimal(10)}),
    (("openai", "azure"), "gpt", {"web_search": Decimal(10), "file_search": Decimal("2.5")}),
    (("google",), "gemini-2", {"web_search": Decimal(35)}),
    (("google",), "gemini", {"web_search": Decimal(14)}),
    (("x-ai",), "grok", {"web_search": Decimal(5)}),
)
"""By lists and a word of the model's name: calls that the vendor bills apart and the library leaves out."""

_MEDIA: Final[Mapping[str, Cells]] = {
    "gpt-4o-audio-preview": {"audio_input": Decimal(40), "audio_output": Decimal(80)},
    "gpt-4o-mini-audio-preview": {"audio_input": Decimal(10), "audio_output": Decimal(20)},
}
"""By model: media that the library would count as text."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is agreed on beside the model. All as the answer tells it: what was asked for may not be given."""

    tier: str | None = None
    """Flex, priority, fast, batch...; None: the standard one."""
    is_batch: bool = False
    geo: str | None = None
    """Where the model ran, where that costs more, as Anthropic says it."""

    @property
    def special(self) -> str | None:
        """The tier's name, where it is not the standard one."""
        return "batch" if self.is_batch else self.tier


PLAIN: Final = Terms()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What the library, completed by us, says of a model."""

    prices: PriceList
    version: str
    model: str
    lacks: tuple[str, ...] = ()
    once: frozenset[str] = frozenset()
    """Kinds of calls that are billed by the answer, not by the call."""
    is_ours: bool = False
    """Whether the configuration has a word in it."""


@cache
def _providers() -> Mapping[str, Provider]:
    from genai_prices.data import providers

    return {one.id: one for one in providers}


def warm() -> None:
    """Imports it; once is enough."""
    _providers()


@cache
def library_version() -> str:
    return f"genai-prices/{version('genai-prices')}"


def completed_version() -> str:
    """Of prices that are not the library's alone."""
    return f"{library_version()}+llmitm"


@lru_cache(maxsize=2048)
def _model(name: str, model: str) -> ModelInfo | None:
    every = _providers()
    provider = every.get(name)
    if provider is None:
        return None
    return provider.find_model(model, all_providers=list(every.values()))


def listed(name: str, model: str, at_s: float, terms: Terms = PLAIN) -> Listed | None:
    """What list `name` says of a model at a moment (seconds since the epoch); None: nothing.

    A model that is free by its name costs zero; one that is listed without any price is unknown.
    """
    found = _model(name, model)
    if found is None:
        return None
    special = terms.special
    at = datetime.fromtimestamp(at_s, UTC)
    told = found.get_prices(at, _context(special))
    prices = _price_list(told)
    if prices is None:
        if not found.id.endswith(":free"):
            return None
        prices = PriceList(bands=({"input": Decimal(0), "output": Decimal(0)},))
    used = library_version()
    lacks: tuple[str, ...] = ()
    added = _left_out(name, found.id, prices)
    if added is not prices:
        prices, used = added, completed_version()
    if special is not None and not _has_tier(found, special, at):
        factor = TIERS.get((name, special))
        prices = prices if factor is None else prices.laid_over({}, factor=factor)
        used = used if factor is None else completed_version()
        lacks = () if factor is not None else (f"the price of tier {special}",)
    if name == "anthropic" and terms.geo == "us":
        prices, used = prices.laid_over({}, factor=Decimal("1.1")), completed_version()
    once = frozenset({"web_search"} if name == "google" and found.id.startswith("gemini-2") else ())
    return Listed(prices=prices, version=used, model=found.id, lacks=lacks, once=once)


def _context(special: str | None) -> dict[str, str]:
    """What the library calls a tier: batches and fast ones have names of their own."""
    match special:
        case None:
            return {}
        case "batch":
            return {"processing": "batch"}
        case "fast":
            return {"speed": "fast", "service_tier": "fast"}
    return {"service_tier": special}


def _has_tier(model: ModelInfo, special: str, at: datetime) -> bool:
    """Whether the library prices that tier at that moment: of most, only since October 2026."""
    context = _context(special)
    return any(
        (variant.constraint is None or variant.constraint.active(at))
        and all(context.get(key) == value for key, value in variant.when.items())
        for variant in model.price_variants or ()
    )


def _price_list(told: ModelPrice) -> PriceList | None:
    """In cells and bands; None: nothing in it is sold by the token or call."""
    known = {KEYS[key]: price for key, price in vars(told).items() if key in KEYS and price is not None}
    if not known:
        return None
    starts = sorted({tier.start for price in known.values() for tier in getattr(price, "tiers", ())})

    def band(start: int) -> Iterator[tuple[str, Decimal]]:
        for kind, price in known.items():
            if isinstance(price, Decimal):
                yield kind, price
            else:
                past = [tier.price for tier in price.tiers if tier.start <= start]
                yield kind, past[-1] if past else price.base

    return PriceList(bands=tuple(dict(band(start)) for start in (-1, *starts)), starts=tuple(starts))


def _left_out(name: str, model: str, prices: PriceList) -> PriceList:
    """With what vendors publish and the library leaves out; the same list where that is nothing."""
    first = prices.bands[0]
    more: dict[str, Decimal] = dict(_MEDIA.get(model, {}))
    for lists, word, cells in _CALLS:
        if name in lists and word in model and "output" in first:
            for kind, price in cells.items():
                more.setdefault(kind, price)
    more = {kind: price for kind, price in more.items() if kind not in first}
    is_short = "claude" in model and "cache_write" in first and "cache_write_1h" not in first
    if not more and not is_short:
        return prices
    bands = (
        {**band, **more, **({"cache_write_1h": band["input"] * 2} if is_short else {})}
        for band in prices.bands
    )
    return PriceList(bands=tuple(bands), starts=prices.starts)
