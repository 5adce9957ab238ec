"""What units cost, exactly: cells of a price list, and the integers that sums are made with. Pure.

A cell is a `Decimal`: USD per million tokens, or per thousand calls for kinds of `CALLS`. A rate is an
integer: 1e-24 USD per token or call, so that every price that is ever published is exact.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cached_property
from typing import Final

type Cells = Mapping[str, Decimal]
"""Kind to price; a kind that is absent has no price of its own."""
type Rates = Mapping[str, int]
"""Kind to rate, with what `FALLS_BACK` says for kinds without a price of their own."""

TOKENS: Final = (
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "audio_input",
    "cache_read_audio",
    "image_input",
    "cache_read_image",
    "output",
    "reasoning",
    "audio_output",
    "image_output",
)
CALLS: Final = ("web_search", "x_search", "file_search", "code_execution", "request")

FALLS_BACK: Final[Mapping[str, tuple[str, ...]]] = {
    "cache_read": ("input",),
    "cache_write": ("input",),
    "cache_write_1h": ("cache_write", "input"),
    "audio_input": ("input",),
    "image_input": ("input",),
    "cache_read_audio": ("audio_input", "cache_read", "input"),
    "cache_read_image": ("image_input", "cache_read", "input"),
    "audio_output": ("output",),
    "image_output": ("output",),
}
"""Whose price a kind has where it has none: that of the first that has one."""

_PER_USD: Final = 10**24
NANO: Final = 10**15
"""A nano-dollar in the unit of rates."""
_PER_TOKEN: Final = Decimal(_PER_USD // 10**6)
_PER_CALL: Final = Decimal(_PER_USD // 10**3)


def rate_of(kind: str, price: Decimal) -> int:
    """Exact down to 1e-18 USD a million tokens."""
    scale = _PER_CALL if kind in CALLS else _PER_TOKEN
    return int((price * scale).to_integral_value(ROUND_HALF_EVEN))


def price_of(kind: str, rate: int) -> Decimal:
    """The cell that a rate was made of."""
    return (Decimal(rate) / (_PER_CALL if kind in CALLS else _PER_TOKEN)).normalize()


def multiplied(cells: Cells, factor: Decimal) -> dict[str, Decimal]:
    """Prices of tokens times `factor`; calls cost what they cost."""
    return {kind: price if kind in CALLS else price * factor for kind, price in cells.items()}


def _compiled(cells: Cells) -> Rates:
    rates = {kind: rate_of(kind, price) for kind, price in cells.items()}
    for kind, others in FALLS_BACK.items():
        if kind not in cells:
            for other in others:
                if other in cells:
                    rates[kind] = rate_of(other, cells[other])
                    break
    return rates


@dataclass(frozen=True)
class PriceList:
    """What a model costs, by how long the prompt is: past a start, every token costs what its band says."""

    bands: tuple[Cells, ...]
    starts: tuple[int, ...] = ()
    """Rising; one fewer than bands. A prompt of exactly so many tokens still belongs to the band before."""

    @cached_property
    def rates(self) -> tuple[Rates, ...]:
        return tuple(_compiled(cells) for cells in self.bands)

    def at(self, input_tokens: int) -> Rates:
        return self.rates[bisect_left(self.starts, input_tokens)]

    def band(self, start: int) -> Cells:
        """The cells for prompts longer than `start`."""
        return self.bands[bisect_left(self.starts, start + 1)]

    def laid_over(
        self, cells: Cells, longer: Mapping[int, Cells] | None = None, factor: Decimal = Decimal(1)
    ) -> PriceList:
        """This list times `factor`, then with `cells` in place of its own, and those of `longer` past its
        starts."""
        longer = longer or {}
        starts = tuple(sorted({*self.starts, *longer}))
        bands = []
        for start in (0, *starts):
            band = {**multiplied(self.band(start), factor), **cells}
            for over in sorted(longer):
                if over <= start:
                    band.update(longer[over])
            bands.append(band)
        return PriceList(bands=tuple(bands), starts=starts)
