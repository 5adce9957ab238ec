"""A schema, or two of them, in other words for the same. Pure."""

from __future__ import annotations

from typing import Any

from llmitm.translate.fit.keywords import OF_TYPE
from llmitm.translate.fit.references import refused
from llmitm.translate.jsontext import text_of
from llmitm.translate.neutral import JSON


def without_nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI's `nullable` as a type, or as an alternative."""
    if not isinstance(schema.get("nullable"), bool):
        return schema
    made = {key: value for key, value in schema.items() if key != "nullable"}
    if not schema["nullable"]:
        return made
    match made.get("type"):
        case str(kind) if kind != "null":
            made["type"] = [kind, "null"]
        case list(kinds) if "null" not in kinds:
            made["type"] = [*kinds, "null"]
        case None if isinstance(made.get("anyOf"), list):
            made["anyOf"] = [*made["anyOf"], {"type": "null"}]
    if isinstance(made.get("enum"), list) and None not in made["enum"]:
        made["enum"] = [*made["enum"], None]
    return made


def with_key(schema: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """A keyword by another name, in its place."""
    return {(new if key == old else key): value for key, value in schema.items() if key != new or key == old}


def with_items(schema: dict[str, Any]) -> dict[str, Any]:
    """A tuple as a list of whatever it holds."""
    made = {key: value for key, value in schema.items() if key not in ("prefixItems", "items")}
    rest = [schema["items"]] if isinstance(schema.get("items"), dict) else []
    made["items"] = {"anyOf": [*schema["prefixItems"], *rest]}
    made["description"] = with_line(made.get("description"), {"prefixItems": schema["prefixItems"]})
    return made


def with_null_apart(schema: dict[str, Any]) -> dict[str, Any]:
    """An enumeration of words and null as words, or null."""
    values = schema.get("enum")
    if not isinstance(values, list) or None not in values:
        return schema
    words = [value for value in values if value is not None]
    kinds = [kind for kind in types_of(schema.get("type")) if kind != "null"]
    if not words or not all(map(is_word, words)) or len(kinds) > 1:
        return schema
    branch = ({"type": kinds[0]} if kinds else {}) | {"enum": words}
    made = {key: value for key, value in schema.items() if key not in ("type", "enum")}
    return made | {"anyOf": [branch, {"type": "null"}]}


def with_one_type(schema: dict[str, Any]) -> dict[str, Any]:
    """A type, or a type and null; of more of them, alternatives."""
    value = schema.get("type")
    kinds = types_of(value)
    if not isinstance(value, list) or not kinds or len(kinds) != len(value):
        return schema
    if len(kinds) == 1:
        return schema | {"type": kinds[0]}
    if len(kinds) == 2 and "null" in kinds:
        return schema
    apart = {key for kind in kinds for key in OF_TYPE.get(kind, ())}
    made = {key: value for key, value in schema.items() if key != "type" and key not in apart}
    made["anyOf"] = [
        {"type": kind} | {key: one for key, one in schema.items() if key in OF_TYPE.get(kind, ())}
        for kind in kinds
    ]
    return made


def with_alternatives(flat: dict[str, Any], branches: list[dict[str, Any]]) -> dict[str, Any]:
    """One object for several: all their properties, required where all require them."""
    union: dict[str, Any] = {}
    for branch in branches:
        if isinstance(branch.get("properties"), dict):
            union = both_maps(union, branch["properties"], "anyOf")
    own = flat.get("properties")
    common = dict.fromkeys(names_of(branches[0]) if branches else ())
    for branch in branches:
        required = set(names_of(branch))
        common = {name: None for name in common if name in required}
    made = dict(flat)
    if union or isinstance(own, dict):
        made["properties"] = union | (own if isinstance(own, dict) else {})
    if common:
        made["required"] = list(dict.fromkeys(names_of(flat)) | common)
    if branches and all(branch.get("additionalProperties") is False for branch in branches):
        made.setdefault("additionalProperties", False)
    return made


def names_of(schema: dict[str, Any]) -> list[str]:
    """The properties that it requires."""
    required = schema.get("required")
    return [name for name in required if isinstance(name, str)] if isinstance(required, list) else []


def both_maps(one: dict[str, Any], other: dict[str, Any], how: str) -> dict[str, Any]:
    """Properties of both; those that differ are both, or either."""
    made = dict(one)
    for name, schema in other.items():
        made[name] = {how: [made[name], schema]} if name in made and made[name] != schema else schema
    return made


def both_types(one: JSON, other: JSON, at: str) -> JSON:
    """What is of both types.

    Raises:
        Refused: 400, nothing is.
    """
    ones, others = types_of(one), types_of(other)
    common = [kind for kind in ones if kind in others]
    if "integer" not in common and ("integer" in ones + others) and "number" in ones + others:
        common = [*(kind for kind in common if kind != "number"), "integer"]
    if not common:
        raise refused("demands two types at once, which cannot be said", at)
    return common[0] if len(common) == 1 else common


def types_of(value: JSON) -> list[str]:
    """The words of a `type`, one or several."""
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def is_word(value: JSON) -> bool:
    """Text or a number."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def with_line(description: JSON, members: dict[str, Any]) -> str:
    """A description, and in a line of its own what the schema cannot say."""
    line = f"[constraints: {text_of(members)}]"
    return f"{description}\n{line}" if isinstance(description, str) and description else line
