"""Configurations of other gateways, each with what becomes of it and what the operator is told."""

from __future__ import annotations

import pytest

from llmitm.imports import kinds
from support import imported
from support.imported import Sample

SAMPLES = imported.load()
named = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


@named
def test_a_sample_becomes_what_is_expected(sample: Sample) -> None:
    brought = sample.brought()
    assert brought.text == sample.expected.read_text("utf-8")
    assert imported.told(sample, brought) == sample.told.read_text("utf-8")


@named
def test_what_it_becomes_can_be_used(sample: Sample) -> None:
    brought = sample.brought()
    assert brought.problems == ()


@named
def test_its_kind_is_recognised(sample: Sample) -> None:
    assert sample.brought().kind == kinds.NAMES[sample.kind].title


def test_there_are_three_of_each_kind() -> None:
    counts = {name: sum(one.kind == name for one in SAMPLES) for name in kinds.NAMES}
    assert min(counts.values()) >= 3, counts
