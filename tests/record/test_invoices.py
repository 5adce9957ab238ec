"""Golden invoices: what vendors charge for answers, worked out by hand in `invoices/`."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from llmitm.config.schema import Config
from llmitm.record.prices import Prices
from support.clocks import HandClock
from support.invoices import Invoice, invoices, worked_out

PRICES = Prices(Config(), HandClock())
FAMILIES = {name: list(invoices(name)) for name in ("openai", "anthropic", "google", "others")}
ALL: Sequence[Invoice] = [one for family in FAMILIES.values() for one in family]


@pytest.mark.parametrize("invoice", ALL, ids=lambda one: one.place)
def test_an_answer_costs_what_its_vendor_charges(invoice: Invoice) -> None:
    assert worked_out(invoice.sum) * 1000 == invoice.usd_nano, "the sum itself"
    cost = PRICES.cost(
        provider=invoice.provider,
        model=invoice.model,
        usage=invoice.usage,
        at_s=invoice.at_s,
        host=invoice.host,
        is_batch=invoice.is_batch,
    )
    assert cost.usd_nano == round(invoice.usd_nano), cost
    assert cost.is_whole, cost
    if cost.parts:
        assert sum(part.usd_nano for part in cost.parts) == cost.usd_nano


@pytest.mark.parametrize("family", FAMILIES)
def test_there_are_enough_of_each_family(family: str) -> None:
    assert len(FAMILIES[family]) >= 60


def test_a_dozen_others_are_among_them() -> None:
    assert len({one.provider for one in FAMILIES["others"]}) >= 12
