"""Whatever stands where something else was expected: it is told, and never a traceback."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

import pytest

from llmitm.imports import kinds, to_env, writing
from llmitm.imports.found import Found
from llmitm.imports.parse import parse
from llmitm.imports.table import Table
from support import imported
from support.imported import Sample

OTHERS: Final[tuple[Any, ...]] = (
    *(None, True, -1, 3.5, float("inf"), 10**30, "", "x", "https://[", "a\x00b", "os.environ/NOT_SET"),
    *([], [1], [[]], ["a"], {}, {"a": 1}, [{"a": {}}]),
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield (*path, name)
        yield from places(one, (*path, name))


def changed(values: Any, path: tuple[str | int, ...], other: Any) -> Any:
    made = copy.deepcopy(values)
    table = made
    for name in path[:-1]:
        table = table[name]
    table[path[-1]] = other
    return made


@pytest.mark.parametrize("sample", imported.load(), ids=lambda sample: sample.name)
def test_a_value_of_another_type_is_no_reason_to_fail(sample: Sample) -> None:
    values = parse(sample.path.read_bytes(), sample.path.name).values
    for number, place in enumerate(places(values)):
        found = Found()
        other = OTHERS[number % len(OTHERS)]
        plan = kinds.NAMES[sample.kind].read(Table(changed(values, place, other), found))
        if not found.problems and number % 5 == 0:
            to_env.move(plan)
            assert writing.text_of(plan, found.notes, sample.path.name, sample.kind)
