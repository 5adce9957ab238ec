"""Recorded requests ask the same in every other dialect, and once more when they are translated back."""

from __future__ import annotations

import pytest

pytest.importorskip("google.genai", reason="its pydantic and mitmproxy's differ on this Python")

from llmitm.exchange import Dialect
from support.asking import judge_request, judge_return
from support.corpus import ABSENT, CORPUS
from support.pairs import PAIRS
from support.scoreboard import score

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=ABSENT)
SAMPLE = 8


@pytest.mark.parametrize(("wire", "target"), PAIRS)
def test_a_recorded_request_asks_an_upstream_of_another_dialect_the_same(
    wire: Dialect, target: Dialect
) -> None:
    made = score(judge_request, wire, target, SAMPLE)
    assert [f"{one.id}: {one.why}" for one in made.failures] == []
    assert made.is_worth


@pytest.mark.parametrize(("wire", "target"), PAIRS)
def test_a_recorded_request_is_the_same_when_it_comes_back(wire: Dialect, target: Dialect) -> None:
    made = score(judge_return, wire, target, SAMPLE)
    assert [f"{one.id}: {one.why}" for one in made.failures] == []
    assert made.is_worth
