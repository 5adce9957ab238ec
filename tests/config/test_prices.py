"""`[model_prices]`: what an entry may say, and what it may not."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from llmitm.config.load import load
from llmitm.config.prices import ModelPrice, UnitPrices
from llmitm.errors import ConfigError
from llmitm.record.rates import CALLS, TOKENS


def loaded(folder: Path, entry: str) -> ModelPrice:
    path = folder / "config.toml"
    path.write_text(
        f'[endpoints.dev]\ntarget_base = "https://api.example.com"\n[model_prices."m/*"]\n{entry}'
    )
    return load(path, env={}).model_prices["m/*"]


def test_prices_are_the_decimals_that_were_written(tmp_path: Path) -> None:
    entry = loaded(tmp_path, "input = 0.1\noutput = 3\ncache-read = 0.0275")
    assert entry.cells() == {"input": Decimal("0.1"), "output": Decimal(3), "cache_read": Decimal("0.0275")}
    assert entry.is_whole


def test_every_kind_that_is_counted_can_be_priced() -> None:
    assert set(UnitPrices.model_fields) == {*TOKENS, *CALLS}


def test_an_entry_is_whole_with_input_and_laid_over_another_without(tmp_path: Path) -> None:
    assert not loaded(tmp_path, "multiplier = 1.1").is_whole
    assert not loaded(tmp_path, 'like = "openai/gpt-4o"\ninput = 1').is_whole
    assert not loaded(tmp_path, "tiers = {batch = {multiplier = 0.5}}").is_whole
    long = loaded(tmp_path, "long = [{over = 200000, input = 2}]").long[0]
    assert (long.over, long.cells()) == (200_000, {"input": Decimal(2)})


WRONG: dict[str, tuple[str, str, str]] = {
    "input alone": ("input = 1", "", "output is expected beside input"),
    "nothing": ("", "", "prices are expected"),
    "a factor of what is written out": ("input = 1\noutput = 1\nmultiplier = 2", "", "all are written out"),
    "less than nothing": ("input = -1\noutput = 1", ".input", "0"),
    "no number": ('input = "much"\noutput = 1', ".input", "valid decimal"),
    "endless": ("input = inf\noutput = 1", ".input", "finite"),
    "a kind that is not": ("inputs = 1\noutput = 1", ".inputs", "input"),
    "a factor of nothing": ("multiplier = 0", ".multiplier", "0"),
    "a length without its start": ("long = [{input = 1}]", ".long[0].over", "missing"),
    "a tier that is not": ("tiers = {flexible = {input = 1}}", ".tiers.flexible", "flex"),
    "a vendor that has no list": ('like = "nobody/m"', ".like", "nobody"),
}


@pytest.mark.parametrize(("entry", "place", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_meant_is_told_with_its_place(
    tmp_path: Path, entry: str, place: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, entry)
    (problem,) = caught.value.problems
    assert problem.path.startswith("model_prices.") and problem.path.endswith(place)
    assert words in problem.message
