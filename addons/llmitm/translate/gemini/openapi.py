"""Gemini's older form of schemas, a subset of OpenAPI's, as JSON Schema. Pure.

{"type":"OBJECT","properties":{"n":{"type":"INTEGER","nullable":true,"minimum":"1"}}}
"""

from __future__ import annotations

from typing import Any, Final

from llmitm.translate.neutral import JSON

_COUNTS: Final = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
)
_RENAMED: Final = {
    "ref": "$ref",
    "defs": "$defs",
    "any_of": "anyOf",
    "min_items": "minItems",
    "max_items": "maxItems",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_properties": "minProperties",
    "max_properties": "maxProperties",
    "additional_properties": "additionalProperties",
}
_BY_NAME: Final = frozenset({"properties", "$defs"})
_LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_DEEPEST: Final = 200


def from_openapi(schema: JSON, depth: int = 0) -> JSON:
    """The same schema with the words of JSON Schema. What nests too deep stays as it is."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return schema
    made: dict[str, Any] = {}
    for spelling, value in schema.items():
        name = str(_RENAMED.get(spelling, spelling))
        match name, value:
            case (("nullable" | "propertyOrdering" | "property_ordering"), _):
                pass
            case "format", "enum":
                pass
            case "type", str():
                if value.upper() != "TYPE_UNSPECIFIED":
                    made["type"] = value.lower()
            case "example", _:
                made["examples"] = [value]
            case _, str() if name in _COUNTS and value.isascii() and value.isdigit():
                made[name] = int(value)
            case _, dict() if name in _BY_NAME:
                made[name] = {key: from_openapi(one, depth + 1) for key, one in value.items()}
            case _, list() if name in _LISTS:
                made[name] = [from_openapi(one, depth + 1) for one in value]
            case (("items" | "additionalProperties"), dict()):
                made[name] = from_openapi(value, depth + 1)
            case _:
                made[name] = value
    return _nullable(made) if schema.get("nullable") is True else made


def _nullable(made: dict[str, Any]) -> dict[str, Any]:
    if isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
        if isinstance(made.get("enum"), list) and None not in made["enum"]:
            made["enum"] = [*made["enum"], None]
    elif isinstance(made.get("anyOf"), list):
        made["anyOf"] = [*made["anyOf"], {"type": "null"}]
    return made
