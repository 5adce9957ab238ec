"""Budgets as they are written: numbers, or tables by period, checked at their place; what a start forgets."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmitm.config.load import load
from llmitm.config.schema import Config
from llmitm.errors import ConfigError

KEY = '[[auth_keys]]\nname = "a"\nkey = "k"\n'


def loaded(folder: Path, text: str) -> Config:
    path = folder / "config.toml"
    path.write_text(text)
    return load(path, env={})


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("[budget]\nusd = -1", "budget.usd", "a number from 0 to 9,000,000 is expected"),
        ("[budget]\nusd = nan", "budget.usd", "a number from 0"),
        ("[budget]\nusd = true", "budget.usd", "a number from 0"),
        ("[budget]\nusd = 1e7", "budget.usd", "a number from 0"),
        ("[budget]\ntokens = 1.5", "budget.tokens", "a whole number from 0"),
        (
            "[budget]\nusd = {dayly = 1}",
            "budget.usd",
            "dayly is no period; daily, weekly, monthly, total are",
        ),
        ("[budget]\nusd = {daily = 'x'}", "budget.usd", "such as {daily = 1, monthly = 20}"),
        ("[budget]\nperiod = 'hourly'", "budget.period", "'daily', 'weekly', 'monthly' or 'total'"),
        ("[budget]\ntimezone = 'Mars/Olympus'", "budget.timezone", "such as UTC or Europe/Berlin"),
        ("[budget]\nunknown-price = 'x'", "budget.unknown_price", "'allow' or 'refuse'"),
        ("[budget]\nper_key_usd = {}\nuds = 1", "budget.uds", "did you mean usd?"),
        (f"{KEY}budget_tokens = -1", "auth_keys[0].budget_tokens", "a whole number"),
        (f"{KEY}budget_usd = {{weekly = -1}}", "auth_keys[0].budget_usd", "a number from 0"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(tmp_path: Path, text: str, path: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    assert [problem.path for problem in caught.value.problems] == [path]
    assert words in caught.value.problems[0].message


MONTHLY = "[budget]\ntokens = 9\n"


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ("", []),
        (MONTHLY, []),
        (f"{MONTHLY}[ledger]\nretention_days = 31", []),
        (f"{MONTHLY}[ledger]\nretention_days = 30", ["monthly budgets is forgotten", "older than 30 days"]),
        (
            f"{KEY}budget_usd = {{daily = 1, total = 9}}\n[ledger]\nretention_days = 400",
            ["total budgets is forgotten"],
        ),
        (f"{MONTHLY}[ledger]\nenabled = false", ["begin anew with each start"]),
        (f"{MONTHLY}[ledger]\nenabled = false\n[state]\nurl = 'redis://localhost'", []),
        ("[ledger]\nenabled = false", []),
    ],
)
def test_the_operator_is_told_what_a_start_forgets(tmp_path: Path, text: str, warnings: list[str]) -> None:
    found = " ".join(loaded(tmp_path, text).warnings)
    assert bool(found) == bool(warnings)
    assert all(words in found for words in warnings)


def test_a_store_that_is_not_named_yet_is_told_where_it_stands(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, f"{MONTHLY}[state]\nurl = 'env:NOT_SET'")
    assert {problem.path for problem in caught.value.problems} == {"state.url"}
