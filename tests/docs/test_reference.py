"""docs/configuration.md is what the schema says: `just reference` makes it."""

from __future__ import annotations

import dataclasses

import pytest

from llmitm.translate.target import Model
from support.meanings import CAPABILITIES, MEANINGS
from support.reference import PAGE, ROOT, page, sections


def test_the_page_is_what_is_made_of_the_schema() -> None:
    made = page((ROOT / "config.toml.example").read_text("utf-8"))
    assert PAGE.read_text("utf-8") == made, "run `just reference`"


@pytest.mark.parametrize("table", MEANINGS, ids=lambda table: table.__name__)
def test_nothing_is_said_of_a_key_that_is_not_there(table: type) -> None:
    assert set(MEANINGS[table]) <= set(table.__annotations__)


def test_every_table_has_its_section_once() -> None:
    headings = [path for section in sections() for path in section.paths]
    assert len(headings) == len(set(headings))
    assert {"[server]", "[[auth_keys]]", "[[providers.NAME.credentials]]", "[rate_limit.models.NAME]"} <= {
        *headings
    }


def test_every_cell_of_a_models_row_is_told() -> None:
    assert set(CAPABILITIES) == {cell.name for cell in dataclasses.fields(Model)} - {"family"}
