"""Schemas as each target takes them, keyword by keyword; hostile ones are refused, never carried."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmitm.errors import Refused
from llmitm.translate.fit.keywords import LISTS, MAPS, SINGLE
from llmitm.translate.fit.schemas import Column, Fitted, fit_schema
from llmitm.translate.jsontext import dumps, loads, text_of

OPENAI, OPENAI_STRICT = Column.OPENAI, Column.OPENAI_STRICT
ANTHROPIC, ANTHROPIC_STRICT, GEMINI = Column.ANTHROPIC, Column.ANTHROPIC_STRICT, Column.GEMINI
AT = "tools[0].function.parameters"


def of(schema: Any, **more: Any) -> dict[str, Any]:
    """An object with this schema as its only property, legal in every column."""
    return {
        "type": "object",
        "properties": {"x": schema},
        "required": ["x"],
        "additionalProperties": False,
        **more,
    }


def fitted(schema: Any, column: Column) -> tuple[Any, Fitted]:
    """What became of the property, and all of it."""
    made = fit_schema(of(schema), column, at=AT)
    return made.schema["properties"]["x"], made


def told(**members: Any) -> str:
    return f"[constraints: {text_of(members)}]"


SAME: Any = object()
STRING = {"type": "string"}

# schema, and what it is in each column
EVERYWHERE = [
    {"type": "string", "description": "d", "title": "t"},
    {"type": ["string", "null"]},
    {"type": "string", "enum": ["a", "b"]},
    {"type": "integer", "enum": [1, 2]},
    {"anyOf": [STRING, {"type": "null"}]},
    {"type": "array", "items": {"type": "array", "items": STRING}},
    {"type": "string", "format": "date-time"},
    {},
]


@pytest.mark.parametrize("column", list(Column))
@pytest.mark.parametrize("schema", EVERYWHERE)
def test_what_every_target_takes(schema: Any, column: Column) -> None:
    part, made = fitted(schema, column)
    assert part == schema
    assert (made.changes, made.notes) == ((), ())
    assert made.is_strict == (column in (OPENAI_STRICT, ANTHROPIC_STRICT))


FOLDED = [
    ({"type": "string", "pattern": "^a+$"}, {GEMINI}),
    ({"type": "string", "pattern": "a(?=b)"}, {GEMINI, ANTHROPIC_STRICT, OPENAI_STRICT}),
    ({"type": "string", "pattern": "(a)\\1"}, {GEMINI, ANTHROPIC_STRICT}),
    ({"type": "string", "format": "uri"}, {OPENAI_STRICT}),
    ({"type": "string", "format": "binary"}, {OPENAI_STRICT, ANTHROPIC_STRICT}),
    ({"type": "string", "minLength": 3}, {GEMINI, ANTHROPIC_STRICT, OPENAI_STRICT}),
    ({"type": "array", "items": {}, "uniqueItems": True}, {GEMINI, ANTHROPIC_STRICT, OPENAI_STRICT}),
    ({"type": "number", "multipleOf": 2}, {GEMINI, ANTHROPIC_STRICT}),
    ({"type": "number", "minimum": 2}, {ANTHROPIC_STRICT}),
    ({"type": "number", "exclusiveMinimum": 2}, {GEMINI, ANTHROPIC_STRICT}),
    ({"type": "array", "items": {}, "minItems": 1}, set()),
    ({"type": "array", "items": {}, "minItems": 2}, {ANTHROPIC_STRICT}),
    ({"type": "array", "items": {}, "maxItems": 1}, {ANTHROPIC_STRICT}),
    ({"type": "array", "prefixItems": [STRING]}, {ANTHROPIC_STRICT}),
    ({"type": "boolean", "const": True}, {GEMINI}),
    ({"const": None}, {GEMINI}),
    ({"type": "boolean", "enum": [True]}, {GEMINI}),
    ({"type": "string", "not": {"const": "a"}}, {GEMINI, ANTHROPIC_STRICT}),
    ({"type": "array", "contains": STRING}, {GEMINI, ANTHROPIC_STRICT}),
]


@pytest.mark.parametrize("column", list(Column))
@pytest.mark.parametrize(("schema", "columns"), FOLDED)
def test_what_a_target_has_not_is_told_in_words(schema: Any, columns: set[Column], column: Column) -> None:
    part, made = fitted(schema, column)
    key = next(key for key in schema if key not in ("type", "items"))
    if column in columns:
        assert part["description"] == told(**{key: schema[key]})
        assert key not in part
        assert made.changes == (("tool-schema", f"{AT}.properties.x"),)
    elif column is OPENAI_STRICT and key in ("not", "contains"):
        assert (part, made.is_strict) == (schema, False)
        assert made.changes == (("tool-strict", f"{AT}.properties.x"),)
    elif column is not OPENAI_STRICT or key != "prefixItems":
        assert part == schema
        assert made.changes == ()


OTHERWISE = [
    # a schema, the column, what it is there, whether that is a change
    ({"const": "a"}, GEMINI, {"enum": ["a"]}, False),
    ({"const": 3}, GEMINI, {"enum": [3]}, False),
    ({"const": "a", "enum": ["b"]}, GEMINI, {"enum": ["a"]}, False),
    ({"oneOf": [STRING, {}]}, GEMINI, {"anyOf": [STRING, {}]}, True),
    ({"oneOf": [STRING, {}]}, OPENAI_STRICT, {"anyOf": [STRING, {}]}, True),
    ({"oneOf": [STRING, {}]}, OPENAI, SAME, False),
    ({"oneOf": [STRING, {}]}, ANTHROPIC, SAME, False),
    ({"type": "string", "nullable": True}, OPENAI, {"type": ["string", "null"]}, False),
    ({"type": "string", "nullable": True}, GEMINI, {"type": ["string", "null"]}, False),
    ({"type": "string", "nullable": False}, ANTHROPIC, STRING, False),
    ({"anyOf": [STRING], "nullable": True}, ANTHROPIC, {"anyOf": [STRING, {"type": "null"}]}, False),
    ({"type": ["string"], "nullable": True}, OPENAI, {"type": ["string", "null"]}, False),
    ({"type": "null", "nullable": True}, OPENAI, {"type": "null"}, False),
    ({"nullable": True, "title": "t"}, OPENAI, {"title": "t"}, False),
    (
        {"type": "string", "enum": ["a"], "nullable": True},
        OPENAI,
        {"type": ["string", "null"], "enum": ["a", None]},
        False,
    ),
    (
        {"type": ["string", "number"], "enum": ["a", None]},
        GEMINI,
        {"anyOf": [{"type": "string"}, {"type": "number"}], "description": told(enum=["a", None])},
        True,
    ),
    ({"anyOf": []}, GEMINI, {"description": told(anyOf=[])}, True),
    ({"items": True}, GEMINI, {"items": {}}, False),
    ({"type": ["string"]}, GEMINI, STRING, False),
    (
        {"type": ["array", "number"], "items": STRING, "minimum": 1, "title": "t"},
        GEMINI,
        {"title": "t", "anyOf": [{"type": "array", "items": STRING}, {"type": "number", "minimum": 1}]},
        False,
    ),
    (
        {"type": ["string", "null"], "enum": ["a", None]},
        GEMINI,
        {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
        False,
    ),
    (
        {"type": "number", "minimum": 3, "exclusiveMinimum": True},
        OPENAI,
        {"type": "number", "exclusiveMinimum": 3},
        False,
    ),
    (
        {"type": "number", "minimum": 3, "exclusiveMinimum": False},
        GEMINI,
        {"type": "number", "minimum": 3},
        False,
    ),
    ({"type": "string", "default": "a", "x-y": 1, "$comment": "c"}, GEMINI, STRING, False),
    (
        {"type": "string", "default": "a", "examples": ["b"]},
        ANTHROPIC_STRICT,
        {**STRING, "default": "a"},
        False,
    ),
    ({"type": "string", "default": "a", "x-y": 1}, OPENAI, SAME, False),
    ({"type": "string", "default": "a", "x-y": 1}, ANTHROPIC, SAME, False),
    (of(STRING, propertyOrdering=["x"]), GEMINI, SAME, False),
    ({"allOf": [STRING, {"title": "t"}], "title": "u"}, GEMINI, {**STRING, "title": "u"}, False),
    ({"allOf": [STRING, {"title": "t"}]}, OPENAI, SAME, False),
    ({"allOf": [of({"minimum": 1}), of(STRING)]}, ANTHROPIC_STRICT, None, True),
    ({"allOf": [{"type": "number"}, {"type": "integer"}]}, GEMINI, {"type": "integer"}, False),
    ({"allOf": [{"maximum": 3}, {"maximum": 2}]}, GEMINI, {"maximum": 2}, True),
    ({"allOf": [STRING, True]}, GEMINI, STRING, False),
    ({"allOf": [STRING, False]}, GEMINI, STRING, True),
    (
        {"allOf": [{"items": STRING}, {"items": {"title": "t"}}]},
        GEMINI,
        {"items": {**STRING, "title": "t"}},
        False,
    ),
    (True, GEMINI, {}, False),
    (True, OPENAI, {}, False),
    ({"items": [STRING, {}]}, GEMINI, {"prefixItems": [STRING, {}]}, False),
    (
        {"prefixItems": [STRING], "items": {}},
        OPENAI_STRICT,
        {"items": {"anyOf": [STRING, {}]}, "description": told(prefixItems=[STRING])},
        True,
    ),
    ({"anyOf": [False, STRING]}, GEMINI, {"anyOf": [STRING]}, True),
    ({"required": ["x"]}, GEMINI, {"description": told(required=["x"])}, True),
    ({"required": ["x"]}, OPENAI, SAME, False),
    ({"type": "string", "minLength": 1, "description": "d"}, GEMINI, None, True),
]


@pytest.mark.parametrize(("schema", "column", "expected", "is_change"), OTHERWISE)
def test_what_is_said_otherwise(schema: Any, column: Column, expected: Any, is_change: bool) -> None:
    part, made = fitted(schema, column)
    if expected is not None:
        assert part == (schema if expected is SAME else expected)
    assert bool(made.changes) == is_change
    if expected is SAME:
        assert made.notes == ()


def test_two_types_at_once_are_refused() -> None:
    with pytest.raises(Refused, match="two types at once") as refused:
        fitted({"allOf": [STRING, {"type": "number"}]}, GEMINI)
    assert (refused.value.code, refused.value.param) == ("unsupported_by_target", f"{AT}.properties.x")


def test_a_fold_is_a_line_of_its_own_in_the_order_of_the_client() -> None:
    schema = {"type": "string", "minLength": 3, "description": "d", "pattern": "^a+$"}
    part, _ = fitted(schema, GEMINI)
    assert part["description"] == 'd\n[constraints: {"minLength":3,"pattern":"^a+$"}]'
    assert list(part) == ["type", "description"]


def test_numbers_and_the_order_of_keys_stay_as_they_were_spelled() -> None:
    text = b'{"required":["b"],"properties":{"b":{"maximum":1.50,"multipleOf":1e2}},"type":"object"}'
    assert dumps(fit_schema(loads(text), OPENAI, at=AT).schema) == text
    made = fit_schema(loads(text), GEMINI, at=AT)
    assert dumps(made.schema) == (
        b'{"required":["b"],"properties":{"b":{"maximum":1.50,'
        b'"description":"[constraints: {\\"multipleOf\\":1e2}]"}},"type":"object"}'
    )


# ---- the root

ROOTS = [
    ({"properties": {"a": STRING}}, {"type": "object", "properties": {"a": STRING}}),
    ({}, {"type": "object", "properties": {}}),
    ({"type": "object"}, {"type": "object", "properties": {}}),
    ({"type": ["object", "null"], "properties": {}}, {"type": "object", "properties": {}}),
    (
        {"$ref": "#/$defs/A", "$defs": {"A": of(STRING)}},
        of(STRING) | {"$defs": {"A": of(STRING)}},
    ),
    (
        {"allOf": [of(STRING), {"properties": {"y": {}}, "required": ["y"]}]},
        {
            "type": "object",
            "properties": {"x": STRING, "y": {}},
            "required": ["x", "y"],
            "additionalProperties": False,
        },
    ),
    (
        {"allOf": [{"allOf": [of(STRING)]}]},
        of(STRING),
    ),
]


@pytest.mark.parametrize(("schema", "expected"), ROOTS)
def test_roots_are_objects(schema: Any, expected: Any) -> None:
    made = fit_schema(schema, OPENAI, at=AT)
    assert made.schema == expected


ROOT_WORDS: list[tuple[Any, bool]] = [
    ({}, False),
    ({"type": "OBJECT"}, False),
    ({"type": ["object", "null"]}, True),
    ({"type": "object", "nullable": True}, True),
]


@pytest.mark.parametrize(("schema", "is_change"), ROOT_WORDS)
def test_a_root_that_could_be_null_is_another(schema: Any, is_change: bool) -> None:
    made = fit_schema(schema, ANTHROPIC, at=AT)
    assert made.schema == {"type": "object"}
    assert (made.changes, made.notes) == (((("tool-schema", AT),), ()) if is_change else ((), (AT,)))


NO_OBJECTS = [True, False, [], 3, "x", STRING, {"type": "array", "items": {}}, {"enum": ["a"]}, {"type": 5}]


@pytest.mark.parametrize("column", list(Column))
@pytest.mark.parametrize("schema", [*NO_OBJECTS, {"anyOf": [STRING, of({})]}])
def test_roots_that_are_no_objects_are_refused(schema: Any, column: Column) -> None:
    with pytest.raises(Refused) as refused:
        fit_schema(schema, column, at=AT)
    assert (refused.value.status, refused.value.code) == (400, "unsupported_by_target")
    assert (refused.value.param or "").startswith(AT)


def test_other_roots_may_stand_where_the_target_takes_them() -> None:
    schema = {"type": "array", "items": {"const": "a"}}
    made = fit_schema(schema, GEMINI, at=AT, is_tool=False, root_must_be_object=False)
    assert made.schema == {"type": "array", "items": {"enum": ["a"]}}


ONE = {"type": "object", "properties": {"kind": {"const": "a"}, "n": STRING}, "required": ["kind", "n"]}
TWO = {"type": "object", "properties": {"kind": {"const": "b"}, "m": STRING}, "required": ["kind"]}


@pytest.mark.parametrize("key", ["anyOf", "oneOf"])
@pytest.mark.parametrize("column", [OPENAI, ANTHROPIC, OPENAI_STRICT, ANTHROPIC_STRICT])
def test_alternatives_at_a_root_become_one_object_and_are_told(column: Column, key: str) -> None:
    made = fit_schema({key: [ONE, TWO]}, column, at=AT, description="d")
    assert made.schema["properties"].keys() == {"kind", "n", "m"}
    assert made.schema["properties"]["kind"] == {"anyOf": [{"const": "a"}, {"const": "b"}]}
    assert made.schema["required"] == ["kind"]
    assert key not in made.schema
    assert made.description == "d\n" + told(**{key: [ONE, TWO]})
    assert ("tool-schema", AT) in made.changes
    assert made.is_strict == (column is ANTHROPIC_STRICT)


def test_alternatives_at_a_root_stay_where_the_target_takes_them() -> None:
    made = fit_schema({"anyOf": [ONE, TWO]}, GEMINI, at=AT, description="d")
    assert [one["required"] for one in made.schema["anyOf"]] == [["kind", "n"], ["kind"]]
    assert (made.schema["type"], made.description) == ("object", "d")


def test_alternatives_of_an_output_are_told_in_its_schema() -> None:
    made = fit_schema({"anyOf": [ONE, TWO]}, ANTHROPIC_STRICT, at=AT, is_tool=False)
    assert made.schema["description"] == told(anyOf=[ONE, TWO])
    assert (made.description, made.is_strict) == (None, True)


@pytest.mark.parametrize("column", list(Column))
def test_unknown_and_impossible_properties_are_not_required(column: Column) -> None:
    schema = {
        "type": "object",
        "properties": {"a": STRING, "b": False},
        "required": ["a", "b", "c"],
        "additionalProperties": False,
    }
    made = fit_schema(schema, column, at=AT)
    assert made.schema["properties"] == {"a": STRING}
    assert made.schema["required"] == ["a"]


# ---- references

POINT = {
    "type": "object",
    "properties": {"x": {"type": "number"}},
    "required": ["x"],
    "additionalProperties": False,
}
REFERRED = [
    ("#/$defs/Point", {"$defs": {"Point": POINT}}),
    ("#/definitions/Point", {"definitions": {"Point": POINT}}),
    ("#/$defs/a~1b%20c", {"$defs": {"a/b c": POINT}}),
    ("#/$defs/One", {"$defs": {"One": {"$ref": "#/$defs/Two"}, "Two": POINT}}),
    ("#/$defs/list/anyOf/1", {"$defs": {"list": {"anyOf": [{}, POINT]}}}),
    ("#/$defs/A/properties/b/items", {"$defs": {"A": {"properties": {"b": {"items": POINT}}}}}),
    ("#/deep/b/c/d/value", {"deep": {"b": {"c": {"d": {"value": POINT}}}}}),
    (
        "#/$defs/far",
        {"$defs": {"far": {"$ref": "#/deep/b"}}, "deep": {"b": {"$ref": "#/deep/c"}, "c": POINT}},
    ),
]


@pytest.mark.parametrize("column", [GEMINI, ANTHROPIC_STRICT])
@pytest.mark.parametrize(("ref", "more"), REFERRED)
def test_references_are_put_in(ref: str, more: dict[str, Any], column: Column) -> None:
    made = fit_schema(of({"$ref": ref, "description": "mine"}, **more), column, at=AT)
    assert made.schema == of({**POINT, "description": "mine"})
    assert made.changes == ()


@pytest.mark.parametrize("column", [OPENAI, ANTHROPIC, OPENAI_STRICT])
def test_references_into_the_depth_stay_where_references_do(column: Column) -> None:
    schema = of({"$ref": "#/deep/b/value"}, deep={"b": {"value": POINT}})
    made = fit_schema(schema, column, at=AT)
    assert made.schema == schema
    assert made.changes == ((("tool-strict", f"{AT}.properties.x"),) if column is OPENAI_STRICT else ())


def test_a_definition_that_may_be_anything() -> None:
    made = fit_schema(of({"$ref": "#/$defs/Any"}, **{"$defs": {"Any": True}}), GEMINI, at=AT)
    assert (made.schema, made.changes) == (of({}), ())


@pytest.mark.parametrize("column", [OPENAI_STRICT, ANTHROPIC])
def test_definitions_get_their_newer_name(column: Column) -> None:
    made = fit_schema(of({"$ref": "#/definitions/Point"}, definitions={"Point": POINT}), column, at=AT)
    assert made.schema == of({"$ref": "#/$defs/Point"}, **{"$defs": {"Point": POINT}})
    assert made.changes == ()


def test_definitions_of_one_name_keep_both_of_theirs() -> None:
    schema = of({"$ref": "#/definitions/A"}, **{"$defs": {"A": STRING}}, definitions={"A": POINT})
    assert fit_schema(schema, ANTHROPIC, at=AT).schema == schema


def test_definitions_keep_their_name_where_all_is_kept() -> None:
    schema = of({"$ref": "#/definitions/Point"}, definitions={"Point": POINT})
    assert fit_schema(schema, OPENAI, at=AT).schema == schema


@pytest.mark.parametrize(
    "ref", ["#/$defs/None", "#/properties", "#here", "other.json#/a", 7, "#/$defs/Loop", ""]
)
def test_references_to_nowhere_are_anything(ref: Any) -> None:
    loop = {"$defs": {"Loop": {"$ref": "#/$defs/Pool"}, "Pool": {"$ref": "#/$defs/Loop"}}}
    made = fit_schema(of({"$ref": ref}, **loop), GEMINI, at=AT)
    if ref != "#/properties":
        assert made.schema == of({})
        assert made.changes == (("tool-schema", f"{AT}.properties.x"),)


@pytest.mark.parametrize("column", [GEMINI, ANTHROPIC_STRICT])
def test_references_to_other_documents_are_refused(column: Column) -> None:
    with pytest.raises(Refused, match="another document"):
        fit_schema(of({"$ref": "https://example.com/s.json"}), column, at=AT)


NODE = {
    "type": "object",
    "properties": {"next": {"$ref": "#/$defs/Node"}, "v": {"$ref": "#/$defs/V"}},
    "additionalProperties": False,
}
RECURSIVE = of({"$ref": "#/$defs/Node"}, **{"$defs": {"Node": NODE, "V": STRING}})


def test_recursion_keeps_its_definition_alone() -> None:
    made = fit_schema(RECURSIVE, GEMINI, at=AT)
    node = {**NODE, "properties": {"next": {"$ref": "#/$defs/Node"}, "v": STRING}}
    assert made.schema == of({"$ref": "#/$defs/Node"}, **{"$defs": {"Node": node}})
    assert made.changes == ()


def test_what_leads_to_recursion_is_none_itself() -> None:
    way = {"properties": {"node": {"$ref": "#/$defs/Node"}, "v": {"$ref": "#/$defs/V"}}}
    definitions = {"Way": way, "Node": NODE, "V": STRING}
    made = fit_schema(of({"$ref": "#/$defs/Way"}, **{"$defs": definitions}), GEMINI, at=AT).schema
    assert made["properties"]["x"] == {"properties": {"node": {"$ref": "#/$defs/Node"}, "v": STRING}}
    assert list(made["$defs"]) == ["Node"]


def test_recursion_of_a_root() -> None:
    made = fit_schema(of({"type": "array", "items": {"$ref": "#"}}), GEMINI, at=AT)
    assert made.schema["properties"]["x"]["items"] == {"$ref": "#/$defs/root"}
    assert made.schema["$defs"]["root"] == of({"type": "array", "items": {"$ref": "#/$defs/root"}})


def test_recursion_ends_strictness_of_anthropic_tools_and_refuses_outputs() -> None:
    made = fit_schema(RECURSIVE, ANTHROPIC_STRICT, at=AT)
    assert (made.schema, made.is_strict) == (RECURSIVE, False)
    assert made.changes == (("tool-strict", f"{AT}.properties.x"),)
    with pytest.raises(Refused, match="recursive"):
        fit_schema(RECURSIVE, ANTHROPIC_STRICT, at=AT, is_tool=False)


def test_a_definition_that_is_used_twice_is_not_recursion() -> None:
    base = {"$defs": {"B": POINT}}
    schema = of({"allOf": [{"$ref": "#/$defs/B"}, {"properties": {"y": {"$ref": "#/$defs/B"}}}]}, **base)
    made = fit_schema(schema, GEMINI, at=AT).schema["properties"]["x"]
    assert made == {**POINT, "properties": {**POINT["properties"], "y": POINT}}


# ---- strictness

LOOSE = [
    {"type": "object", "properties": {"a": STRING}, "additionalProperties": False},
    {**POINT, "additionalProperties": True},
    {**POINT, "additionalProperties": STRING},
    {"type": "object"},
    {"if": STRING},
    {"dependentRequired": {}},
    {"patternProperties": {}},
]


@pytest.mark.parametrize("schema", LOOSE)
def test_what_cannot_be_strict_for_openai_is_not(schema: Any) -> None:
    part, made = fitted(schema, OPENAI_STRICT)
    assert (part, made.is_strict) == (schema, False)
    assert made.changes == (("tool-strict", f"{AT}.properties.x"),)


def test_objects_are_closed_where_nothing_was_said() -> None:
    schema = {"type": "object", "properties": {"x": STRING}, "required": ["x"]}
    for column in (OPENAI_STRICT, ANTHROPIC_STRICT):
        made = fit_schema(schema, column, at=AT)
        assert (made.schema, made.is_strict, made.changes) == (of(STRING), True, ())


def test_optional_properties_stay_optional_for_anthropic() -> None:
    part, made = fitted(LOOSE[0], ANTHROPIC_STRICT)
    assert (part, made.is_strict) == (LOOSE[0], True)


@pytest.mark.parametrize("schema", LOOSE[1:4])
def test_outputs_of_anthropic_are_closed_in_any_case(schema: Any) -> None:
    made = fit_schema(of(schema), ANTHROPIC_STRICT, at=AT, is_tool=False)
    assert made.schema["properties"]["x"]["additionalProperties"] is False
    assert made.is_strict
    assert ("tool-schema", f"{AT}.properties.x") in made.changes
    assert not fit_schema(of(schema), ANTHROPIC_STRICT, at=AT).is_strict


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = of(schema)
    return schema


def wide(count: int) -> dict[str, Any]:
    names = [f"p{index}" for index in range(count)]
    return {"type": "object", "properties": dict.fromkeys(names, STRING), "required": names}


@pytest.mark.parametrize(
    ("schema", "is_strict"),
    [
        (nested(10), True),
        (nested(11), False),
        (wide(5_000), True),
        (wide(5_001), False),
        (of({"enum": [str(one) for one in range(1_000)]}), True),
        (of({"enum": [str(one) for one in range(1_001)]}), False),
        (of({"enum": ["a" * 120_000]}), False),
    ],
)
def test_limits_of_strict_schemas(schema: Any, is_strict: bool) -> None:
    assert fit_schema(schema, OPENAI_STRICT, at=AT).is_strict == is_strict


# ---- hostile schemas


def chained(count: int) -> dict[str, Any]:
    """Each definition twice the next: 2^count copies."""
    two = [{"properties": dict.fromkeys("ab", {"$ref": f"#/$defs/d{one + 1}"})} for one in range(count)]
    return of({"$ref": "#/$defs/d0"}, **{"$defs": {f"d{one}": schema for one, schema in enumerate(two)}})


def doubled(key: str) -> dict[str, Any]:
    two: list[Any] = [{key: [{"$ref": f"#/$defs/d{one + 1}"}] * 2} for one in range(40)]
    defs = {f"d{one}": schema for one, schema in enumerate(two)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, "d40": of(STRING)}}


def aliased(count: int) -> dict[str, Any]:
    defs = {f"d{one}": {"$ref": f"#/$defs/d{one + 1}", "title": "t"} for one in range(count)}
    return of({"$ref": "#/$defs/d0"}, **{"$defs": {**defs, f"d{count}": STRING}})


def heavy() -> dict[str, Any]:
    refs = {f"p{one}": {"$ref": "#/$defs/big"} for one in range(2_000)}
    return {"type": "object", "properties": refs, "$defs": {"big": {"description": "a" * 100_000}}}


DEEP: Any = {"type": "object"}
for _ in range(5_000):
    DEEP = {"type": "object", "properties": {"a": DEEP}}
DEEP_VALUE: Any = []
for _ in range(5_000):
    DEEP_VALUE = [DEEP_VALUE]

LONG: Any = {"required": [f"p{one}" for one in range(100_000)]}
RING: dict[str, Any] = {
    f"d{one}": {"x": {"properties": {"p": {"$ref": f"#/$defs/d{one}/x"}}}} for one in range(20_000)
}
RINGS = {name: {"$ref": f"#/$defs/{name}/x"} for name in RING}

LEVELS: dict[str, Any] = {"properties": {f"p{one}": {} for one in range(5_000)}}
for _ in range(60):
    LEVELS = {"properties": {"a": LEVELS}}
LADDER = {f"r{n}": {"$ref": "#/$defs/L" + n * "/properties/a"} for n in range(60)}

TOO_LARGE = [
    ({"type": "object", "properties": LADDER, "$defs": {"L": LEVELS}}, GEMINI),
    ({"type": "object", "properties": RINGS, "$defs": RING}, GEMINI),
    (nested(65), OPENAI),
    (DEEP, OPENAI),
    (DEEP, GEMINI),
    (of({"enum": DEEP_VALUE}), GEMINI),
    (of({"const": DEEP_VALUE}), OPENAI),
    (chained(40), GEMINI),
    (chained(14), ANTHROPIC_STRICT),
    (doubled("allOf"), GEMINI),
    (doubled("allOf"), OPENAI),
    (doubled("anyOf"), ANTHROPIC),
    (heavy(), GEMINI),
    ({"allOf": [{"$ref": "#"}]}, OPENAI),
    (of({"$ref": "#/$defs/A"}, **{"$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}]}}}), GEMINI),
]


@pytest.mark.parametrize(("schema", "column"), TOO_LARGE)
def test_what_grows_without_end_is_refused_soon(schema: Any, column: Column) -> None:
    began = time.perf_counter()
    with pytest.raises(Refused) as refused:
        fit_schema(schema, column, at=AT)
    assert (refused.value.status, refused.value.code) == (400, "schema_too_large")
    assert time.perf_counter() - began < 15


def test_long_lists_are_united_soon() -> None:
    began = time.perf_counter()
    made = fit_schema({"allOf": [LONG, LONG], "anyOf": [LONG, {**LONG, "title": "t"}]}, ANTHROPIC, at=AT)
    assert made.schema["required"] == LONG["required"]
    assert time.perf_counter() - began < 15


@pytest.mark.parametrize("column", list(Column))
def test_names_that_are_none_are_not_required(column: Column) -> None:
    schema = {**of(STRING), "required": ["x", [], 3, None, {}]}
    assert fit_schema(schema, column, at=AT).schema["required"] == ["x"]
    assert fit_schema({"type": "object", "required": [[]]}, column, at=AT).schema["type"] == "object"


def test_a_long_way_through_references_ends() -> None:
    assert fit_schema(aliased(50), GEMINI, at=AT).schema == of({**STRING, "title": "t"})
    assert fit_schema(aliased(20_000), GEMINI, at=AT).schema == of({})


def test_many_recursive_definitions_are_told_once_each() -> None:
    ring = {
        f"d{one}": {"properties": {f"p{other}": {"$ref": f"#/$defs/d{other}"} for other in range(60)}}
        for one in range(60)
    }
    made = fit_schema(of({"$ref": "#/$defs/d0"}, **{"$defs": ring}), GEMINI, at=AT)
    assert len(made.schema["$defs"]) == 60


# ---- whatever comes

GEMINI_KEYWORDS = {
    *("type", "properties", "required", "items", "description", "title", "enum", "additionalProperties"),
    *("$ref", "$defs", "anyOf", "format", "minimum", "maximum", "minItems", "maxItems", "prefixItems"),
    "propertyOrdering",
}
KEYS = st.sampled_from(
    [
        *sorted(GEMINI_KEYWORDS | MAPS | LISTS | SINGLE),
        *("const", "nullable", "pattern", "default", "exclusiveMinimum", "definitions", "multipleOf", "x"),
    ]
)
WORDS = st.sampled_from(
    ["object", "string", "null", "array", "#", "#/$defs/x", "#/$defs/type", "#/properties/x", "x", "date", ""]
)
LEAVES = (
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
)
ANY = st.recursive(
    LEAVES,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=5),
    max_leaves=25,
)
LIKELY = st.recursive(
    st.fixed_dictionaries({"type": WORDS}) | st.fixed_dictionaries({"$ref": WORDS}) | ANY,
    lambda below: st.fixed_dictionaries(
        {},
        optional={
            "type": WORDS | st.lists(WORDS, max_size=3),
            "properties": st.dictionaries(KEYS, below, max_size=3),
            "required": st.lists(KEYS, max_size=3),
            "$defs": st.dictionaries(KEYS, below, max_size=3),
            "items": below | st.lists(below, max_size=2),
            "anyOf": st.lists(below, max_size=3),
            "oneOf": st.lists(below, max_size=3),
            "allOf": st.lists(below, max_size=3),
            "enum": st.lists(LEAVES, max_size=3),
            "const": LEAVES,
            "additionalProperties": below | st.booleans(),
            "not": below,
            "minItems": LEAVES,
            "$ref": WORDS,
            "nullable": st.booleans(),
            "description": LEAVES,
        },
    ),
    max_leaves=20,
)


def check_gemini(schema: Any) -> None:
    assert isinstance(schema, dict)
    assert schema.keys() <= GEMINI_KEYWORDS
    if "$ref" in schema:
        assert schema.keys() <= {"$ref", "$defs"}
    for key, value in schema.items():
        if key in MAPS:
            for one in value.values():
                check_gemini(one)
        elif key in LISTS:
            assert isinstance(value, list)
            for one in value:
                check_gemini(one)
        elif key in SINGLE and not (key == "additionalProperties" and isinstance(value, bool)):
            check_gemini(value)
        elif key == "required":
            assert set(value) <= schema["properties"].keys()
        elif key == "enum":
            assert value
            assert all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in value)
        elif key in ("description", "title", "format", "$ref"):
            assert isinstance(value, str)


@given(ANY | LIKELY, st.booleans())
def test_nothing_but_refusals_comes_of_any_schema(schema: Any, is_tool: bool) -> None:
    for column in Column:
        for must_be_object in (True, False):
            try:
                made = fit_schema(schema, column, at=AT, is_tool=is_tool, root_must_be_object=must_be_object)
            except Refused as refused:
                assert refused.status == 400
                continue
            assert loads(dumps(made.schema)) == made.schema
            if must_be_object:
                assert made.schema["type"] == "object"
            if column is GEMINI:
                check_gemini(made.schema)


@given(LIKELY)
@example({"allOf": [{"definitions": {}}]})
def test_what_fits_once_fits_again_unchanged(schema: Any) -> None:
    for column in (OPENAI, ANTHROPIC):
        try:
            once = fit_schema(schema, column, at=AT).schema
        except Refused:
            continue
        assert fit_schema(once, column, at=AT).schema == once
