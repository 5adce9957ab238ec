"""Accounts of one provider have names of their own, whatever stands twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmitm.config.load import load
from llmitm.imports.bring import bring


@pytest.mark.parametrize(
    ("entries", "names"),
    [
        ("{api-key: k}, {api-key: k}", [None]),
        ("{api-key: k}, {api-key: k, prefix: a}, {api-key: k, prefix: b}", [None, "a", "b"]),
        ("{api-key: k}, {api-key: k, weight: 2}, {api-key: k, weight: 3}", [None, "second", "second-2"]),
        ("{api-key: a, name: n}, {api-key: b, name: n}", ["n", "n-2"]),
        ("{api-key: k, name: n}, {api-key: k, prefix: p}", ["n", None]),
        ("{api-key: k}, {api-key: k, models: [{id: 'gpt-*'}]}", [None, "gpt"]),
    ],
)
def test_accounts_that_would_be_called_alike_get_names(entries: str, names: list[str | None]) -> None:
    brought = bring(f"openai-api-key: [{entries}]".encode(), "c.yaml", kind="ai-proxy")
    assert brought.problems == ()
    config = load(Path("config.toml"), env={}, text=brought.text.encode())
    found = [one.name for one in config.providers["openai"].credentials]
    assert [None if one.startswith("openai-") else one for one in found] == names
