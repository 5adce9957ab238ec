"""Recorded errors are raised by the official clients of every dialect as their own API's would be."""

from __future__ import annotations

import pytest

pytest.importorskip("google.genai", reason="its pydantic and mitmproxy's differ on this Python")

from llmitm.exchange import Dialect
from support.corpus import ABSENT, CORPUS
from support.failing import judge_error
from support.pairs import PAIRS
from support.scoreboard import score

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=ABSENT)


@pytest.mark.parametrize(("wire", "client"), PAIRS)
def test_a_recorded_error_is_raised_in_a_client_of_another_dialect(wire: Dialect, client: Dialect) -> None:
    made = score(judge_error, wire, client)
    assert [f"{one.id}: {one.why}" for one in made.failures] == []
    assert made.is_worth
