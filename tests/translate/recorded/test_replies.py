"""Recorded whole replies say the same in every other dialect, there and back, to the official clients."""

from __future__ import annotations

import pytest

pytest.importorskip("google.genai", reason="its pydantic and mitmproxy's differ on this Python")

from llmitm.exchange import Dialect
from support.corpus import ABSENT, CORPUS
from support.pairs import PAIRS, judge_reply
from support.scoreboard import score

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=ABSENT)
SAMPLE = 16


@pytest.mark.parametrize(("wire", "client"), PAIRS)
def test_a_client_of_another_dialect_learns_the_same_of_a_recorded_reply(
    wire: Dialect, client: Dialect
) -> None:
    made = score(judge_reply, wire, client, SAMPLE)
    assert [f"{one.id}: {one.why}" for one in made.failures] == []
    assert made.is_worth
