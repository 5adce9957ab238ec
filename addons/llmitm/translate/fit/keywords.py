"""JSON Schema's keywords, and what each target does with them. Data, and where sub-schemas stand. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final

from llmitm.translate.neutral import JSON


class Column(StrEnum):
    """A reader of schemas."""

    OPENAI = "openai"
    OPENAI_STRICT = "openai-strict"
    ANTHROPIC = "anthropic"
    ANTHROPIC_STRICT = "anthropic-strict"
    """Strict tools, and every schema of an output."""
    GEMINI = "gemini"


class Fate(StrEnum):
    KEEP = "k"
    FOLD = "d"
    """Dropped, and told in the description."""
    OMIT = "o"
    """Dropped: it constrains nothing."""
    LEAVE = "l"
    """The schema cannot be strict."""
    RULE = "x"
    """A rule of its own."""


# one letter a column, in the order of Column
_TABLE: Final = {
    "type enum const": "kkkkx",
    "properties required items description title anyOf": "kkkkk",
    "additionalProperties": "kxkxk",
    "$ref": "kkkxx",
    "$defs definitions": "kkkoo",
    "oneOf allOf": "kxkxx",
    "not if then else dependentRequired dependentSchemas dependencies": "klkdd",
    "unevaluatedItems unevaluatedProperties propertyNames patternProperties": "klkdd",
    "contains minContains maxContains additionalItems": "klkdd",
    "format": "kxkxk",
    "pattern": "kxkxd",
    "minLength maxLength minProperties maxProperties uniqueItems": "kdkdd",
    "multipleOf exclusiveMinimum exclusiveMaximum": "kkkdd",
    "minimum maximum": "kkkdk",
    "minItems": "kkkxk",
    "maxItems": "kkkdk",
    "prefixItems": "kxkdk",
    "default": "kokko",
    "propertyOrdering": "kokok",
}
_UNKNOWN: Final = "kokoo"
"""Annotations, names of the schema itself, and whatever is not a keyword."""

_FATES: Final = {
    column: {
        keyword: Fate(letters[index]) for keywords, letters in _TABLE.items() for keyword in keywords.split()
    }
    for index, column in enumerate(Column)
}
_FATE_OF_UNKNOWN: Final = {column: Fate(_UNKNOWN[index]) for index, column in enumerate(Column)}


def fate(column: Column, keyword: str) -> Fate:
    return _FATES[column].get(keyword, _FATE_OF_UNKNOWN[column])


_OPENAI_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
FORMATS: Final = {
    Column.OPENAI_STRICT: _OPENAI_FORMATS,
    Column.ANTHROPIC_STRICT: _OPENAI_FORMATS | {"uri"},
}
_LOOK_AROUND: Final = r"\(\?<?[=!]"
UNFIT_PATTERNS: Final = {
    Column.OPENAI_STRICT: re.compile(_LOOK_AROUND),
    Column.ANTHROPIC_STRICT: re.compile(_LOOK_AROUND + r"|\\[1-9]|\\k<|\(\?P="),
}

# ---- where schemas stand within a schema

MAPS: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
SINGLE: Final = frozenset(
    {
        "items",
        "additionalProperties",
        "additionalItems",
        "not",
        "if",
        "then",
        "else",
        "contains",
        "propertyNames",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
OF_TYPE: Final = {
    "object": frozenset({"properties", "required", "additionalProperties", "propertyOrdering"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems"}),
    "number": frozenset({"minimum", "maximum"}),
    "integer": frozenset({"minimum", "maximum"}),
}
"""Keywords that speak of one type only."""

_VALUES: Final[dict[str, tuple[type, ...]]] = {
    **dict.fromkeys(("description", "title", "format", "pattern", "$ref"), (str,)),
    **dict.fromkeys(("required", "enum", "propertyOrdering", *LISTS), (list,)),
    **dict.fromkeys(("minimum", "maximum", "minItems", "maxItems", "multipleOf"), (int, float)),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), (int, float)),
    **dict.fromkeys(MAPS, (dict,)),
    **dict.fromkeys(SINGLE, (dict, bool)),
    "type": (str, list),
}


def is_sound(keyword: str, value: JSON) -> bool:
    """Whether a keyword has a value of its kind."""
    kinds = _VALUES.get(keyword)
    if kinds is None:
        return True
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def subschemas(schema: dict[str, Any]) -> Iterator[JSON]:
    """Whatever stands where a schema stands, one level down."""
    for key, value in schema.items():
        if key in MAPS and isinstance(value, dict):
            yield from value.values()
        elif isinstance(value, list) and (key in LISTS or key == "items"):
            yield from value
        elif key in SINGLE:
            yield value
