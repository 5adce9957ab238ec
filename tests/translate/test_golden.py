"""Each case of the golden corpus comes out as it is written down, byte for byte."""

from __future__ import annotations

import pytest

from llmitm.exchange import Dialect
from llmitm.translate import jsontext
from support import golden

CASES = golden.load()
ASKED = [
    pytest.param(case, other, id=f"{case.kind}/{case.name}>{other}")
    for case in CASES
    for other in case.others
    if other in case.expected
]


@pytest.mark.parametrize(("case", "other"), ASKED)
def test_comes_out_as_written_down(case: golden.Case, other: Dialect) -> None:
    made, expected = golden.outcome(case, other), case.expected[other]
    if jsontext.dumps(made) != jsontext.dumps(expected):
        assert golden.pretty(made) == golden.pretty(expected)


@pytest.mark.parametrize("kind", golden.KINDS)
def test_is_told_in_full(kind: str) -> None:
    for case in (case for case in CASES if case.kind == kind):
        assert case.data["about"].endswith("."), case.name
        assert set(case.expected) == set(case.others), case.name
        assert case.path.read_text(encoding="utf-8") == golden.pretty(case.data) + "\n", case.name
