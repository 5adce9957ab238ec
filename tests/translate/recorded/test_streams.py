"""Recorded streams say the same in every other dialect, however they are cut, lawfully and at once."""

from __future__ import annotations

import pytest

pytest.importorskip("google.genai", reason="its pydantic and mitmproxy's differ on this Python")

from llmitm.exchange import Dialect
from support.corpus import ABSENT, CORPUS
from support.pairs import PAIRS, judge_stream
from support.scoreboard import score

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=ABSENT)
SAMPLE = 32


@pytest.mark.parametrize(("wire", "client"), PAIRS)
def test_a_client_of_another_dialect_learns_the_same_of_a_recorded_stream(
    wire: Dialect, client: Dialect
) -> None:
    made = score(judge_stream, wire, client, SAMPLE)
    assert [f"{one.id}: {one.why}" for one in made.failures] == []
    assert made.is_worth
