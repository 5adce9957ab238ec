"""Recorded answers that a client of another dialect keeps go back to their upstream as they were said."""

from __future__ import annotations

import pytest

pytest.importorskip("google.genai", reason="its pydantic and mitmproxy's differ on this Python")

from llmitm.exchange import Dialect
from support.corpus import ABSENT, CORPUS
from support.keeping import judge_kept
from support.pairs import PAIRS
from support.scoreboard import score

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=ABSENT)
SAMPLE = 16


@pytest.mark.parametrize(("wire", "client"), PAIRS)
def test_an_upstream_gets_back_what_it_said(wire: Dialect, client: Dialect) -> None:
    made = score(judge_kept, wire, client, SAMPLE)
    assert [f"{one.id}: {one.why}" for one in made.failures] == []
    assert made.is_worth
