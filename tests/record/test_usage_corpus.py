"""Recorded answers through a running gateway: its ledger counts what the vendors' own clients read."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmitm.exchange import Dialect
from support.corpus import ABSENT, CORPUS
from support.counted import WAYS, run

EVERY = 60
"""All of them: `just usage-proof`."""


@pytest.mark.skipif(not CORPUS.exists(), reason=ABSENT)
def test_counts_are_those_that_the_official_clients_read(tmp_path: Path) -> None:
    found = run(tmp_path, EVERY)
    assert not found.faults, "\n".join(found.faults)
    assert set(found.checked) == {(wire.value, way) for wire in Dialect for way in WAYS}
