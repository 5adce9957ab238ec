"""Gemini's older form of schemas: each of its words in those of JSON Schema."""

from __future__ import annotations

from typing import Any

import pytest

from llmitm.translate.fit.schemas import Column, fit_schema
from llmitm.translate.gemini.openapi import from_openapi

STRING = {"type": "STRING"}
TEXT = {"type": "string"}

WORDS = [
    ("types are written small", {"type": "OBJECT"}, {"type": "object"}),
    ("a type that is none is left out", {"type": "TYPE_UNSPECIFIED"}, {}),
    ("a type's number in protobuf: none", {"type": 0}, {}),
    ("string", {"type": 1}, {"type": "string"}),
    ("number", {"type": 2}, {"type": "number"}),
    ("integer", {"type": 3}, {"type": "integer"}),
    ("boolean", {"type": 4}, {"type": "boolean"}),
    ("array", {"type": 5}, {"type": "array"}),
    ("object", {"type": 6}, {"type": "object"}),
    ("null", {"type": 7}, {"type": "null"}),
    ("a number of no type stays", {"type": 8}, {"type": 8}),
    ("truth is no number", {"type": True}, {"type": True}),
    ("a list of types is none of its words", {"type": ["string"]}, {"type": ["string"]}),
    ("nullable is a type", {"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
    ("not nullable is nothing", {"type": "STRING", "nullable": False}, TEXT),
    (
        "a nullable enumeration may be null",
        {"type": "STRING", "format": "enum", "enum": ["a"], "nullable": True},
        {"type": ["string", "null"], "enum": ["a", None]},
    ),
    (
        "and is so only once",
        {"type": "STRING", "enum": ["a", None], "nullable": True},
        {"type": ["string", "null"], "enum": ["a", None]},
    ),
    (
        "nullable alternatives have one more",
        {"anyOf": [STRING], "nullable": True},
        {"anyOf": [TEXT, {"type": "null"}]},
    ),
    ("nullable alone says nothing", {"nullable": True, "title": "t"}, {"title": "t"}),
    ("the order of properties is that of the text", {"propertyOrdering": ["a"]}, {}),
    ("also with underscores", {"property_ordering": ["a"]}, {}),
    ("counts are numbers", {"minItems": "2", "maxLength": 3}, {"minItems": 2, "maxLength": 3}),
    ("counts that are none stay", {"minItems": "-2"}, {"minItems": "-2"}),
    ("an example is one of several", {"example": 3}, {"examples": [3]}),
    ("formats stay", {"type": "STRING", "format": "date-time"}, {"type": "string", "format": "date-time"}),
    ("unknown words stay", {"x-unit": {"type": "STRING"}}, {"x-unit": {"type": "STRING"}}),
    ("schemas that are no objects stay", {"properties": {"a": True}}, {"properties": {"a": True}}),
    (
        "schemas within are translated wherever they stand",
        {
            "properties": {"type": STRING},
            "items": STRING,
            "any_of": [STRING],
            "additional_properties": STRING,
            "min_items": "1",
        },
        {
            "properties": {"type": TEXT},
            "items": TEXT,
            "anyOf": [TEXT],
            "additionalProperties": TEXT,
            "minItems": 1,
        },
    ),
    (
        "definitions and what refers to them",
        {"properties": {"a": {"ref": "#/defs/A"}, "b": {"$ref": "#/$defs/A"}}, "defs": {"A": STRING}},
        {"properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/$defs/A"}}, "$defs": {"A": TEXT}},
    ),
]


@pytest.mark.parametrize(("schema", "expected"), [row[1:] for row in WORDS], ids=[row[0] for row in WORDS])
def test_each_word(schema: Any, expected: Any) -> None:
    assert from_openapi(schema) == expected


def test_a_definition_is_found_again() -> None:
    given = {
        "type": 6,
        "properties": {"a": {"ref": "#/defs/A"}},
        "defs": {"A": {"type": 5, "items": {"ref": "#/defs/B"}}, "B": {"type": 4}},
    }
    made = fit_schema(from_openapi(given), Column.GEMINI, at="").schema
    assert made == {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "boolean"}}},
    }
