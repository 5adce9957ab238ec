"""Who says what a model costs: the configuration by exact name, by glob, else the library's price lists."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from llmitm.clock import Clock
from llmitm.config.prices import ModelPrice
from llmitm.config.schema import Config
from llmitm.exchange import Usage
from llmitm.record import vendors
from llmitm.record.cost import Cost, priced
from llmitm.record.library import PLAIN, Listed, Terms, completed_version, listed, warm
from llmitm.record.rates import PriceList
from llmitm.record.vendors import Vendor

_GRAIN_S: Final = 60
"""Prices change at full minutes, where they change by the hour of the day."""
_KEPT: Final = 1024
"""Price lists that are remembered. Names of models come from clients: there is no end of them."""
_LONGEST: Final = 256
"""Of names of models that answers may give."""


class Prices:
    """What answers cost. Follows the configuration."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._clock = clock
        self._book = _Book(config)

    def follow(self, config: Config) -> None:
        self._book = _Book(config)

    def warm(self) -> None:
        """Reads the price lists, so that no request waits for it. Takes 0.2 s; any thread may do it."""
        warm()

    def cost(
        self,
        *,
        provider: str,
        model: str,
        usage: Usage,
        at_s: float,
        answered: str | None = None,
        host: str | None = None,
        is_batch: bool = False,
    ) -> Cost:
        """What one attempt cost.

        `provider` is an attempt's, `model` as it was sent, `answered` as the answer spells it, `host` the one
        that was asked, `at_s` when it was asked (seconds since the epoch). What the answer itself says that
        it cost counts where the vendor is one whose word that is, and the configuration says nothing.
        """
        book, terms = self._book, PLAIN
        if answered is not None and len(answered) > _LONGEST:
            answered = None
        if is_batch or usage.tier is not None or usage.geo is not None:
            terms = Terms(tier=usage.tier, is_batch=is_batch, geo=usage.geo)
        found = book.found(provider, model, answered, host, int(at_s // _GRAIN_S), terms)
        if found is None:
            cost = Cost(usd_nano=None, version="none", why=f"no price is known of {model} at {provider}")
        else:
            cost = priced(
                usage, found.prices, found.version, model=found.model, lacks=found.lacks, once=found.once
            )
        is_ours = found is not None and found.is_ours
        if usage.reported_usd_nano is None or is_ours or not book.reports(provider, host):
            return cost
        return replace(
            cost,
            usd_nano=usage.reported_usd_nano,
            version="reported",
            parts=(),
            lacks=(),
            why=None,
            listed_usd_nano=cost.usd_nano,
        )

    def listed(self, provider: str, model: str) -> Listed | None:
        """What a model costs now, and who says so; None: nobody does."""
        return self._book.found(provider, model, None, None, int(self._clock.now_s() // _GRAIN_S), PLAIN)

    def usd_per_mtok(self, provider: str, model: str) -> float | None:
        """What a million tokens cost about, three of the prompt to one of the answer; None: nobody knows."""
        return self._book.blended(provider, model, int(self._clock.now_s() // _GRAIN_S))


class _Book:
    """One configuration's view; nothing in it changes."""

    def __init__(self, config: Config) -> None:
        self._entries = config.model_prices
        self._globs = [name for name in config.model_prices if any(sign in name for sign in "*?[")]
        self._vendors = {
            name: vendors.at_host(_host_of(provider.base(name))) or vendors.named(name)
            for name, provider in config.providers.items()
        }
        self.found = lru_cache(maxsize=_KEPT)(self._found)
        self.blended = lru_cache(maxsize=_KEPT)(self._blended)

    def reports(self, provider: str, host: str | None) -> bool:
        vendor = self._vendor(provider, host)
        return vendor is not None and vendor.list in vendors.REPORTS

    def _vendor(self, provider: str, host: str | None) -> Vendor | None:
        if (found := vendors.at_host(host)) is not None:
            return found
        return self._vendors[provider] if provider in self._vendors else vendors.named(provider)

    def _blended(self, provider: str, model: str, minute: int) -> float | None:
        found = self._found(provider, model, None, None, minute, PLAIN)
        if found is None:
            return None
        cells = found.prices.bands[0]
        if "input" not in cells or "output" not in cells:
            return None
        return float((cells["input"] * 3 + cells["output"]) / 4)

    def _found(
        self, provider: str, model: str, answered: str | None, host: str | None, minute: int, terms: Terms
    ) -> Listed | None:
        vendor = self._vendor(provider, host)
        at_s = float(minute * _GRAIN_S)
        names = [name for name in (model, answered) if name]
        name = self._entry(provider, names)
        if name is None:
            return _from_lists(vendor, names[::-1], at_s, terms)
        entry = self._entries[name]
        if entry.is_whole:
            base: Listed | None = None
        else:
            under = terms if entry.tier(terms.special) is None else Terms(geo=terms.geo)
            base = _from_lists(*_like(entry.like, vendor, names[::-1]), at_s, under)
        return _entered(entry, name, base, terms.special)

    def _entry(self, provider: str, names: list[str]) -> str | None:
        """Exact names come before globs, the model as it was sent before the model that answered."""
        spelled = [form for name in names for form in (f"{provider}/{name}", name)]
        for form in spelled:
            if form in self._entries:
                return form
        for glob in self._globs:
            if any(fnmatchcase(form, glob) for form in spelled):
                return glob
        return None


def _host_of(base_url: str | None) -> str | None:
    return urlsplit(base_url).hostname if base_url is not None else None


def _from_lists(vendor: Vendor | None, names: list[str], at_s: float, terms: Terms) -> Listed | None:
    """The first of `names` that the vendor's list knows."""
    if vendor is None:
        return None
    for name in names:
        for other, model in _spellings(vendor, name):
            found = listed(other, model, at_s, terms)
            if found is not None:
                factor = vendor.factor_for(model)
                if factor == 1:
                    return found
                return replace(
                    found, prices=found.prices.laid_over({}, factor=factor), version=completed_version()
                )
    return None


def _spellings(vendor: Vendor, name: str) -> Iterator[tuple[str, str]]:
    """Lists and names that a model may stand under: Cloudflare's, for one, carry the vendor in front."""
    yield vendor.list, name
    first, slash, rest = name.partition("/")
    if not slash:
        return
    if first == "models":
        yield vendor.list, rest
    elif (other := vendors.named(first)) is not None and vendor.list in (other.list, "cloudflare"):
        yield other.list, rest


def _like(like: str | None, vendor: Vendor | None, names: list[str]) -> tuple[Vendor | None, list[str]]:
    """Whose list, and which names: as an entry says it, else as they were."""
    if like is None:
        return vendor, names
    other, _, model = like.partition("/")
    return vendors.named(other), [model] if model else names


def _entered(entry: ModelPrice, name: str, base: Listed | None, special: str | None) -> Listed | None:
    """What an entry says, laid over what the lists say where it is not a whole price list itself."""
    version = f"config/{hashlib.sha256(f'{name}:{entry.model_dump_json()}'.encode()).hexdigest()[:8]}"
    if entry.is_whole:
        base = Listed(prices=PriceList(bands=({},)), version=version, model=name, is_ours=True)
    elif base is None:
        return None
    else:
        base = replace(base, version=f"{version}+{base.version}", is_ours=True)
    longer = {one.over: one.cells() for one in entry.long}
    prices, lacks = base.prices.laid_over(entry.cells(), longer, entry.multiplier or Decimal(1)), base.lacks
    if (tier := entry.tier(special)) is not None:
        prices = prices.laid_over(tier.cells(), factor=tier.multiplier or Decimal(1))
    elif special is not None and entry.cells():
        lacks = (f"the price of tier {special}",)
    return replace(base, prices=prices, lacks=lacks)
