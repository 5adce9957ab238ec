"""Warnings: their grades, the header that tells them, and strictness."""

from __future__ import annotations

import pytest

from llmitm.errors import Refused
from llmitm.translate.notes import Notes


def test_the_header_is_a_list_of_strings_with_parameters() -> None:
    notes = Notes()
    assert notes.header() is None
    notes.note("name", "messages[0].name")
    assert notes.header() is None
    notes.lost("top_k", "generationConfig.topK")
    notes.adjusted("temperature", "temperature", 1.5, 1.0)
    notes.adjusted("effort", "reasoning_effort", "minimal", "low")
    notes.adjusted("stop-truncated", "stop", 6, 4)
    notes.lost("hosted-activity")
    assert notes.header() == (
        b'"lost:top_k";at="generationConfig.topK", '
        b'"adjusted:temperature";at="temperature";from=1.5;to=1.0, '
        b'"adjusted:effort";at="reasoning_effort";from="minimal";to="low", '
        b'"adjusted:stop-truncated";at="stop";from=6;to=4, '
        b'"lost:hosted-activity"'
    )


def test_the_same_is_told_once_and_a_flood_is_counted() -> None:
    notes = Notes()
    for _ in range(3):
        notes.lost("media", "x")
    assert [one.code for one in notes.told] == ["lost:media"]
    for n in range(30):
        notes.lost("media", f"messages[{n}]")
    header = notes.header() or b""
    assert header.count(b"lost:media") == 20
    assert header.endswith(b'"more";n=11')


def test_the_header_has_a_limit_and_only_plain_signs() -> None:
    notes = Notes()
    for n in range(19):
        notes.lost("media", f'{"p" * 200}"\\\u00fc{n}')
    header = notes.header() or b""
    assert len(header) <= 2_048
    assert b"???" in header
    assert b'"more";n=' in header


def test_strictness_refuses_adjustments_and_losses_with_every_place() -> None:
    notes = Notes()
    notes.note("name", "messages[0].name")
    notes.refuse_strictly()
    notes.lost("top_k", "top_k")
    notes.adjusted("effort", "reasoning_effort")
    with pytest.raises(Refused) as caught:
        notes.refuse_strictly()
    assert (caught.value.status, caught.value.code, caught.value.param) == (
        400,
        "unsupported_by_target",
        "top_k",
    )
    assert "top_k (lost:top_k); reasoning_effort (adjusted:effort)" in caught.value.message
