"""Gemini's older form of schemas, a subset of OpenAPI's, as JSON Schema. Pure.

{"type":"OBJECT","properties":{"n":{"type":"INTEGER","nullable":true,"minItems":"1"}}}
{"type":6,"properties":{"n":{"ref":"#/defs/N"}},"defs":{"N":{"type":3}}}
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
_TYPES: Final = ("", "string", "number", "integer", "boolean", "array", "object", "null")
"""By their numbers in protobuf; the first is none."""


def from_openapi(schema: JSON) -> JSON:
    """The same schema with the words of JSON Schema."""
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    for spelling, value in schema.items():
        name = str(_RENAMED.get(spelling, spelling))
        match name, value:
            case (("nullable" | "propertyOrdering" | "property_ordering"), _):
                pass
            case "format", "enum":
                pass
            case "type", _ if (word := _type(value)) is not None:
                if word:
                    made["type"] = word
            case "$ref", str() if value.startswith("#/defs/"):
                made["$ref"] = "#/$defs/" + value.removeprefix("#/defs/")
            case "example", _:
                made["examples"] = [value]
            case _, str() if name in _COUNTS and value.isascii() and value.isdigit():
                made[name] = int(value)
            case _, dict() if name in _BY_NAME:
                made[name] = {key: from_openapi(one) for key, one in value.items()}
            case _, list() if name in _LISTS:
                made[name] = [from_openapi(one) for one in value]
            case (("items" | "additionalProperties"), dict()):
                made[name] = from_openapi(value)
            case _:
                made[name] = value
    return _nullable(made) if schema.get("nullable") is True else made


def _type(value: JSON) -> str | None:
    """A type by its word or its number; empty where it says that there is none, None where it is neither."""
    match value:
        case str():
            return "" if value.upper() == "TYPE_UNSPECIFIED" else value.lower()
        case bool():
            return None
        case int() if 0 <= value < len(_TYPES):
            return _TYPES[value]
        case _:
            return None


def _nullable(made: dict[str, Any]) -> dict[str, Any]:
    if isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
        if isinstance(made.get("enum"), list) and None not in made["enum"]:
            made["enum"] = [*made["enum"], None]
    elif isinstance(made.get("anyOf"), list):
        made["anyOf"] = [*made["anyOf"], {"type": "null"}]
    return made
