"""What nobody knows is told, wherever in a file it stands; what is known and has no counterpart, too."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from llmitm.imports import kinds, writing
from llmitm.imports.found import Found
from llmitm.imports.parse import parse
from llmitm.imports.table import Table
from support import imported
from support.imported import Sample

UNKNOWN = "zz_unheard_of"


def tables(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all tables in it."""
    if isinstance(value, dict):
        yield path
        for name, one in value.items():
            yield from tables(one, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from tables(one, f"{path}[{at}]")


def at(value: Any, path: str, wanted: str) -> Any:
    """The table at a path, found by walking alike."""
    if path == wanted:
        return value
    inner: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        inner = [(f"{path}.{name}" if path else name, one) for name, one in value.items()]
    elif isinstance(value, list):
        inner = [(f"{path}[{number}]", one) for number, one in enumerate(value)]
    for place, one in inner:
        if wanted == place or wanted.startswith((f"{place}.", f"{place}[")):
            if (found := at(one, place, wanted)) is not None:
                return found
    return None


@pytest.mark.parametrize("sample", imported.load(), ids=lambda sample: sample.name)
def test_a_key_that_is_not_known_is_told_wherever_it_stands(sample: Sample) -> None:
    values = parse(sample.path.read_bytes(), sample.path.name).values
    for place in tables(values):
        changed = copy.deepcopy(values)
        at(changed, "", place)[UNKNOWN] = "zz value"
        found = Found()
        plan = kinds.NAMES[sample.kind].read(Table(changed, found))
        text = writing.text_of(plan, found.notes, sample.path.name, sample.kind)
        lost = [note.path for note in found.notes if note.kind == "lost"]
        is_told = any(place == path or place.startswith((f"{path}.", f"{path}[")) for path in lost if path)
        problems = " ".join(map(str, found.problems))
        assert UNKNOWN in text + problems or is_told, f"nobody tells of {place}.{UNKNOWN}"


@pytest.mark.parametrize("sample", imported.load(), ids=lambda sample: sample.name)
def test_a_note_names_its_place_and_a_reason(sample: Sample) -> None:
    for note in sample.brought().notes:
        assert len(note.message) > 10
        assert note.kind == "changed" or note.path
