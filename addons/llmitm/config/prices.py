"""What models cost, as the operator says it: `[model_prices]`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from llmitm.config.table import Table
from llmitm.config.values import wrong
from llmitm.record import vendors

Price = Annotated[Decimal, Field(ge=0, le=10**9, allow_inf_nan=False)]
Factor = Annotated[Decimal, Field(gt=0, le=1000, allow_inf_nan=False)]


def _listed(value: str) -> str:
    vendor = value.partition("/")[0]
    if vendors.named(vendor) is None:
        near = difflib.get_close_matches(vendor, vendors.NAMES, 1)
        hint = f"; did you mean {near[0]}?" if near else ", such as openai/gpt-4o"
        raise wrong(f"{vendor or 'nobody'} has no price list that is known: VENDOR/MODEL is expected{hint}")
    return value


class UnitPrices(Table):
    """USD per million tokens; per thousand calls for the last five. None: as the nearest other price."""

    input: Price | None = None
    cache_read: Price | None = None
    cache_write: Price | None = None
    cache_write_1h: Price | None = None
    audio_input: Price | None = None
    cache_read_audio: Price | None = None
    image_input: Price | None = None
    cache_read_image: Price | None = None
    output: Price | None = None
    reasoning: Price | None = None
    audio_output: Price | None = None
    image_output: Price | None = None
    web_search: Price | None = None
    x_search: Price | None = None
    file_search: Price | None = None
    code_execution: Price | None = None
    request: Price | None = None

    def cells(self) -> dict[str, Decimal]:
        """Those that are given."""
        return {
            name: price
            for name in UnitPrices.model_fields
            if isinstance(price := getattr(self, name), Decimal)
        }


class LongPrices(UnitPrices):
    """What changes for prompts longer than `over` tokens; it holds for every token of the exchange."""

    over: Annotated[int, Field(ge=1)]


class TierPrices(UnitPrices):
    """What changes for a tier: all prices of tokens times `multiplier`, then those that are given."""

    multiplier: Factor | None = None


class ModelPrice(UnitPrices):
    """With `input` and without `like` it is the whole price list of a model. Else it is laid over what the
    price lists say of the model, or of `like`, times `multiplier`."""

    like: Annotated[str, AfterValidator(_listed)] | None = None
    """`VENDOR/MODEL`, or a vendor alone for its model of the same name."""
    multiplier: Factor | None = None
    """Of prices of tokens that are taken over: a region's, a contract's."""
    long: tuple[LongPrices, ...] = ()
    tiers: Mapping[Literal["batch", "flex", "priority", "fast"], TierPrices] = {}

    @property
    def is_whole(self) -> bool:
        return self.input is not None and self.like is None

    def tier(self, name: str | None) -> TierPrices | None:
        return next((tier for known, tier in self.tiers.items() if known == name), None)

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if self.is_whole and self.output is None:
            raise wrong("output is expected beside input; 0 where the model makes no text")
        if self.is_whole and self.multiplier is not None:
            raise wrong("multiplier is for prices that are taken over; here all are written out")
        if not self.is_whole and self.like is None and self.multiplier is None:
            if not self.cells() and not self.long and not self.tiers:
                raise wrong("prices are expected, such as input = 1.0 and output = 2.0")
        return self
