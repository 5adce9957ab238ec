"""JSON Schema as a target takes it: an allow-list per target, and what falls off told in words. Pure.

A keyword that a target has not is folded into the description of its schema, so that the model still reads
it: `[constraints: {"pattern":"^a+$","minLength":3}]`. Keys and numbers stay as the client spelled them.
Columns without strictness keep nearly everything; the others are walked keyword by keyword.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from llmitm.errors import Refused
from llmitm.translate.fit.keywords import (
    FORMATS,
    LISTS,
    MAPS,
    SINGLE,
    UNFIT_PATTERNS,
    Column,
    Fate,
    fate,
    is_sound,
    subschemas,
)
from llmitm.translate.fit.references import NotOfObjects, References, name_of, refused, too_large
from llmitm.translate.fit.rewrites import (
    both_maps,
    both_types,
    is_word,
    names_of,
    types_of,
    with_alternatives,
    with_items,
    with_key,
    with_line,
    with_null_apart,
    with_one_type,
    without_nullable,
)
from llmitm.translate.neutral import JSON

__all__ = ["Column", "Fitted", "NotOfObjects", "fit_schema"]

MOST_DEPTH: Final = 64
MOST_NESTED: Final = 180
"""Levels of JSON: those of schemas, and of values within them. What writes JSON takes 250."""
MOST_COPIES: Final = 10_000
MOST_COPIED: Final = 4_000_000
"""Characters and values that references may add."""

_STRICT: Final = frozenset({Column.OPENAI_STRICT, Column.ANTHROPIC_STRICT})
_LOOSE: Final = {Column.OPENAI_STRICT: Column.OPENAI, Column.ANTHROPIC_STRICT: Column.ANTHROPIC}
_LENIENT: Final = frozenset({Column.OPENAI, Column.ANTHROPIC})
_OPENAI: Final = frozenset({Column.OPENAI, Column.OPENAI_STRICT})
_INLINED: Final = frozenset({Column.ANTHROPIC_STRICT, Column.GEMINI})
_RENAMED: Final = frozenset({Column.OPENAI_STRICT, Column.ANTHROPIC})
"""They know `definitions` as `$defs`."""

_BELOW: Final = MAPS | SINGLE | LISTS

# what OpenAI's strict schemas may hold
_MOST_PROPERTIES: Final = 5_000
_MOST_LEVELS: Final = 10
_MOST_CHARACTERS: Final = 120_000
_MOST_VALUES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Fitted:
    schema: JSON
    is_strict: bool
    """Whether strictness survived; False where none was asked for."""
    changes: tuple[tuple[str, str], ...] = ()
    """(`tool-schema` or `tool-strict`, place): what is no longer the same."""
    notes: tuple[str, ...] = ()
    """Places that are only said otherwise."""
    description: str | None = None
    """Of the tool: alternatives at a root are told there."""


def fit_schema(
    schema: JSON,
    column: Column,
    *,
    at: str,
    is_tool: bool = True,
    root_must_be_object: bool = True,
    description: str | None = None,
) -> Fitted:
    """The schema that this target takes, nearest to the client's.

    Raises:
        Refused: 400, `schema_too_large` or `unsupported_by_target`; NotOfObjects: the root is at fault.
    """
    _check_nesting(schema, at)
    fitting = _Fitting(column, schema, is_tool=is_tool)
    try:
        made, told = fitting.root(at, description, must_be_object=root_must_be_object)
        if column is Column.OPENAI_STRICT:
            _check_limits(made, at)
    except _NotStrict as reason:
        loose = fit_schema(
            schema,
            _LOOSE[column],
            at=at,
            is_tool=is_tool,
            root_must_be_object=root_must_be_object,
            description=description,
        )
        return replace(loose, changes=(("tool-strict", reason.at), *loose.changes))
    _check_nesting(made, at)
    return Fitted(
        schema=made,
        is_strict=column in _STRICT,
        changes=tuple(("tool-schema", one) for one in fitting.changed),
        notes=tuple(one for one in fitting.noted if one not in fitting.changed),
        description=told,
    )


class _NotStrict(Exception):
    def __init__(self, at: str) -> None:
        super().__init__(at)
        self.at = at


@dataclass(frozen=True, slots=True)
class _Place:
    at: str
    depth: int = 0
    is_copy: bool = False

    def under(self, step: str) -> _Place:
        return _Place(self.at + step, self.depth + 1, self.is_copy)


class _Fitting:
    """One schema on its way into one column."""

    def __init__(self, column: Column, schema: JSON, *, is_tool: bool) -> None:
        self.column = column
        self.schema = schema
        self.is_tool = is_tool
        self.references = References(schema)
        self.is_renamed = False
        self.changed: dict[str, None] = {}
        self.noted: dict[str, None] = {}
        self.copies = 0
        self.copied = 0
        self.kept: dict[int, tuple[str, dict[str, Any]]] = {}
        """Recursive definitions by their identity: the name under which they stand, and they themselves."""
        self.names: set[str] = set()

    # ---- the root

    def root(self, at: str, description: str | None, *, must_be_object: bool) -> tuple[JSON, str | None]:
        place = _Place(at)
        if not must_be_object:
            return self._with_definitions(self._one(self.schema, place), at), description
        if not isinstance(self.schema, dict):
            raise _not_of_objects(at)
        flat, told = self._flat(self._renamed(self.schema, at), place)
        flat = self._renamed(flat, at)  # a branch may have brought some
        if told and self.is_tool:
            description = with_line(description, told)
        elif told:
            flat["description"] = with_line(flat.get("description"), told)
        return self._with_definitions(self._one(self._as_object(flat, at), place), at), description

    def _as_object(self, flat: dict[str, Any], at: str) -> dict[str, Any]:
        if flat.get("type") != "object" or "nullable" in flat:
            is_same = str(flat.get("type", "object")).lower() == "object" and "nullable" not in flat
            self._tell(at, is_change=not is_same)
            flat = {"type": "object"} | flat | {"type": "object"}
            flat.pop("nullable", None)
        if self.column in _OPENAI and "properties" not in flat:
            self._tell(at)
            flat = flat | {"properties": {}}
        return flat

    def _renamed(self, schema: dict[str, Any], at: str) -> dict[str, Any]:
        """`definitions` of a root by their newer name."""
        old, new = schema.get("definitions"), schema.get("$defs", {})
        if self.column not in _RENAMED or not isinstance(old, dict) or not isinstance(new, dict):
            return schema
        if new.keys() & old.keys():
            return schema
        self._tell(at)
        self.is_renamed = True
        made = {key: value for key, value in schema.items() if key != "$defs"}
        return {("$defs" if key == "definitions" else key): value for key, value in made.items()} | {
            "$defs": {**new, **old}
        }

    def _flat(self, schema: dict[str, Any], place: _Place) -> tuple[dict[str, Any], dict[str, Any]]:
        """An object without alternatives at its top, and the alternatives that it had."""
        self._count(schema, place)
        flat = dict(self._merged(self._followed(schema, place), place, always=True))
        if not _is_of_objects(flat):
            raise _not_of_objects(place.at)
        told: dict[str, Any] = {}
        for key in ("anyOf", "oneOf"):
            branches = flat.get(key)
            if not isinstance(branches, list):
                continue
            under = [
                self._flat(branch, place.under(f".{key}[{index}]"))[0]
                for index, branch in enumerate(branches)
                if isinstance(branch, dict)
            ]
            if self.column is not Column.GEMINI:
                told[key] = flat.pop(key)
                flat = with_alternatives(flat, under)
                self._tell(place.at, is_change=True)
        return flat, told

    def _followed(self, schema: dict[str, Any], place: _Place) -> dict[str, Any]:
        if "$ref" in schema:
            self._tell(place.at, is_change=self.references.target(schema["$ref"], place.at) is None)
        return self.references.followed(schema, place.at)

    def _with_definitions(self, schema: JSON, at: str) -> JSON:
        """With those definitions that recursion needs."""
        if not self.kept or not isinstance(schema, dict):
            return schema
        made: dict[str, Any] = {}
        while len(made) < len(self.kept):
            for name, definition in [*self.kept.values()][len(made) :]:
                made[name] = self._one(definition, _Place(f"{at}.$defs.{name}", 1, is_copy=True))
        return {**schema, "$defs": made}

    # ---- any schema

    def _one(self, schema: JSON, place: _Place) -> Any:
        if place.depth > MOST_DEPTH:
            raise too_large(place.at)
        if self.column in _LENIENT:
            return self._lenient(schema, place)
        if schema is True:
            return {}
        if not isinstance(schema, dict):
            self._tell(place.at, is_change=True)
            return {}
        if self.column in _INLINED and "$ref" in schema:
            target = self.references.target(schema["$ref"], place.at)
            if target is not None and self.references.is_recursive(target):
                return self._reference(target, schema, place)
            place = replace(place, is_copy=True)
            schema = self._followed(schema, place)
        schema = self._merged(schema, place)
        if place.is_copy:
            self._count(schema, place)
        return self._filtered(self._respelled(schema, place), place)

    def _lenient(self, schema: JSON, place: _Place) -> JSON:
        if not isinstance(schema, dict):
            return {} if schema is True else schema
        schema = self._without_old_words(schema, place)
        made = {key: self._below(key, value, place) for key, value in schema.items()}
        return self._with_known_required(made, place)

    def _reference(self, target: dict[str, Any], schema: dict[str, Any], place: _Place) -> dict[str, Any]:
        """A reference that stays, alone in its object."""
        if self.column is Column.ANTHROPIC_STRICT:
            if self.is_tool:
                raise _NotStrict(place.at)
            raise refused("must not be recursive", place.at)
        if id(target) not in self.kept:
            self._count({}, place)
            self.kept[id(target)] = (name_of(schema["$ref"], self.names), target)
            self.names.add(self.kept[id(target)][0])
        self._tell(place.at, is_change=len(schema) > 1)
        return {"$ref": f"#/$defs/{self.kept[id(target)][0]}"}

    # ---- allOf

    def _merged(self, schema: dict[str, Any], place: _Place, *, always: bool = False) -> dict[str, Any]:
        """Without `allOf`, where the column has none."""
        if "allOf" not in schema or not (always or fate(self.column, "allOf") is Fate.RULE):
            return schema
        branches = schema["allOf"] if isinstance(schema["allOf"], list) else []
        self._tell(place.at, is_change=not isinstance(schema["allOf"], list))
        made: dict[str, Any] = {}
        for index, branch in enumerate(branches):
            if not isinstance(branch, dict):
                self._tell(place.at, is_change=branch is not True)
                continue
            below = place.under(f".allOf[{index}]")
            self._count(branch, below)
            whole = self._merged(self._followed(branch, below), below, always=always)
            made = self._united(made, whole, place)
        return self._united(made, {key: one for key, one in schema.items() if key != "allOf"}, place)

    def _united(self, first: dict[str, Any], second: dict[str, Any], place: _Place) -> dict[str, Any]:
        """Both at once; the later one where only one can be."""
        made = dict(first)
        for key, value in second.items():
            match key, made.get(key), value:
                case _, before, _ if key not in made or before == value:
                    made[key] = value
                case "properties", dict() as one, dict() as other:
                    made[key] = both_maps(one, other, "allOf")
                case "required", list(), list():
                    made[key] = list(dict.fromkeys(names_of(made) + names_of(second)))
                case "type", one, other:
                    made[key] = both_types(one, other, place.at)
                case "items", dict() as one, dict() as other:
                    made[key] = {"allOf": [one, other]}
                case (("description" | "title" | "$defs" | "definitions"), _, _):
                    made[key] = value
                case _:
                    self._tell(place.at, is_change=True)
                    made[key] = value
        return made

    # ---- other words for the same

    def _respelled(self, schema: dict[str, Any], place: _Place) -> dict[str, Any]:
        schema = self._without_old_words(schema, place)
        if isinstance(schema.get("items"), list) and "prefixItems" not in schema:
            schema = with_key(schema, "items", "prefixItems")
            self._tell(place.at)
        if "oneOf" in schema and "anyOf" not in schema:
            schema = with_key(schema, "oneOf", "anyOf")
            self._tell(place.at, is_change=True)
        if self.column is Column.OPENAI_STRICT and isinstance(schema.get("prefixItems"), list):
            schema = with_items(schema)
            self._tell(place.at, is_change=True)
        return self._for_gemini(schema, place) if self.column is Column.GEMINI else schema

    def _without_old_words(self, schema: dict[str, Any], place: _Place) -> dict[str, Any]:
        """Without OpenAPI's `nullable` and the boolean limits of older drafts."""
        made = without_nullable(schema)
        for key, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if isinstance(made.get(key), bool):
                made = dict(made)
                if made.pop(key) and limit in made:
                    made = with_key(made, limit, key)
        if made is not schema:
            self._tell(place.at)
        return made

    def _for_gemini(self, schema: dict[str, Any], place: _Place) -> dict[str, Any]:
        """A constant as an enumeration, null apart from words, one type at a time."""
        made = schema
        if is_word(made.get("const")):
            made = {key: value for key, value in made.items() if key != "enum"}
            made = with_key({**made, "const": [made["const"]]}, "const", "enum")
        if "anyOf" not in made and made.get("type") != "object":
            made = with_null_apart(made)
        if "anyOf" not in made:
            made = with_one_type(made)
        if made is not schema:
            self._tell(place.at)
        return made

    # ---- keyword by keyword

    def _filtered(self, schema: dict[str, Any], place: _Place) -> dict[str, Any]:
        made: dict[str, Any] = {}
        folded: dict[str, Any] = {}
        for key, value in schema.items():
            match self._fate(key, value):
                case Fate.KEEP:
                    made[key] = self._below(key, value, place)
                case Fate.FOLD:
                    folded[key] = value
                case Fate.LEAVE:
                    raise _NotStrict(place.at)
                case _:
                    self._tell(place.at)
        if made.get("anyOf") == []:
            folded["anyOf"] = schema.get("anyOf")
            del made["anyOf"]
        made = self._with_known_required(made, place, folded)
        if self.column in _STRICT:
            made = self._closed(made, schema, place)
        if folded:
            self._tell(place.at, is_change=True)
            made["description"] = with_line(made.get("description"), folded)
        return made

    def _fate(self, key: str, value: JSON) -> Fate:
        general = fate(self.column, key)
        if general in (Fate.KEEP, Fate.RULE) and (
            not is_sound(key, value) or (key, value) == ("items", False)
        ):
            return Fate.FOLD
        return general if general is not Fate.RULE else _ruled(self.column, key, value)

    def _below(self, key: str, value: JSON, place: _Place) -> JSON:
        """What stands under a keyword, each schema of it fitted."""
        match value:
            case dict() if key in MAPS:
                return {
                    name: self._one(one, place.under(f".{key}.{name}"))
                    for name, one in value.items()
                    if not self._is_never(one, key, place)
                }
            case list() if key in LISTS or key == "items":
                return [
                    self._one(one, place.under(f".{key}[{index}]"))
                    for index, one in enumerate(value)
                    if not self._is_never(one, key, place)
                ]
            case dict() if key in SINGLE:
                return self._one(value, place.under(f".{key}"))
            case True if key == "items":
                return {}
            case str() if key == "$ref":
                return self._kept_reference(value, place)
            case _:
                return value

    def _kept_reference(self, ref: str, place: _Place) -> str:
        if self.is_renamed and ref.startswith("#/definitions/"):
            ref = "#/$defs/" + ref.removeprefix("#/definitions/")
        if self.column is Column.OPENAI_STRICT and ref != "#" and not ref.startswith("#/$defs/"):
            raise _NotStrict(place.at)
        return ref

    def _is_never(self, schema: JSON, key: str, place: _Place) -> bool:
        """Whether this is a property or a branch that nothing can be."""
        is_never = schema is False and (key == "properties" or self.column not in _LENIENT)
        if is_never:
            self._tell(place.at, is_change=True)
        return is_never

    def _with_known_required(
        self, schema: dict[str, Any], place: _Place, folded: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Without names in `required` that no property has."""
        names, properties = schema.get("required"), schema.get("properties")
        if not isinstance(names, list) or (
            not isinstance(properties, dict) and self.column is not Column.GEMINI
        ):
            return schema
        known = [name for name in names if isinstance(name, str) and name in (properties or ())]
        if known == names and properties is not None:
            return schema
        if properties is None and names and folded is not None:
            folded["required"] = names
        self._tell(place.at)
        return {
            key: known if key == "required" else value
            for key, value in schema.items()
            if key != "required" or known
        }

    def _closed(self, made: dict[str, Any], schema: dict[str, Any], place: _Place) -> dict[str, Any]:
        """An object that has no property but its own. Optional ones are never made required for it."""
        properties = made.get("properties")
        if properties is None and "object" not in types_of(made.get("type")):
            return made
        is_open = schema.get("additionalProperties", False) is not False or (
            properties is None and place.depth > 0
        )
        is_optional = not set(properties or ()) <= set(names_of(made))
        if self.column is Column.OPENAI_STRICT and (is_open or is_optional):
            raise _NotStrict(place.at)
        if is_open and self.is_tool:
            raise _NotStrict(place.at)
        if schema.get("additionalProperties") is not False:
            self._tell(place.at, is_change=is_open)
        return {**made, "additionalProperties": False}

    # ---- bookkeeping

    def _tell(self, at: str, *, is_change: bool = False) -> None:
        (self.changed if is_change else self.noted)[at] = None

    def _count(self, schema: dict[str, Any], place: _Place) -> None:
        """Adds a copy: itself and its values, but for the schemas below it."""
        self.copies += 1
        self.copied += len(schema)
        waiting = [one for key, one in schema.items() if key not in _BELOW]
        while waiting and self.copied <= MOST_COPIED:
            value = waiting.pop()
            self.copied += 1 + (len(value) if isinstance(value, str | list | dict) else 0)
            if isinstance(value, list | dict):
                waiting.extend(value.values() if isinstance(value, dict) else value)
        if self.copies > MOST_COPIES or self.copied > MOST_COPIED or place.depth > MOST_DEPTH:
            raise too_large(place.at)


def _ruled(column: Column, key: str, value: JSON) -> Fate:
    """The fate of a sound value of a keyword with a rule of its own."""
    match key:
        case "additionalProperties":
            return Fate.KEEP if value is False else Fate.OMIT if value is True else Fate.FOLD
        case "format":
            is_kept = value in FORMATS[column]
        case "pattern":
            is_kept = not UNFIT_PATTERNS[column].search(value)
        case "minItems":
            is_kept = value in (0, 1)
        case "type":
            is_kept = isinstance(value, str) or (
                len(value) == 2 and "null" in value and len(types_of(value)) == 2
            )
        case "enum":
            is_kept = bool(value) and all(map(is_word, value))
        case _:
            is_kept = False
    return Fate.KEEP if is_kept else Fate.FOLD


def _is_of_objects(schema: dict[str, Any]) -> bool:
    if "type" in schema:
        return any(kind.lower() == "object" for kind in types_of(schema["type"]))
    return "properties" in schema or not schema.keys() & {"items", "prefixItems", "enum", "const"}


def _not_of_objects(at: str) -> Refused:
    return refused("must be of type object at its root", at, NotOfObjects)


def _check_nesting(value: JSON, at: str) -> None:
    """Raises `Refused` where the JSON nests deeper than what writes it can go."""
    level = [value]
    for _ in range(MOST_NESTED):
        level = [
            below
            for one in level
            if isinstance(one, list | dict)
            for below in (one.values() if isinstance(one, dict) else one)
            if isinstance(below, list | dict)
        ]
        if not level:
            return
    raise too_large(at)


def _check_limits(schema: JSON, at: str) -> None:
    """Raises `_NotStrict` beyond what OpenAI's strict schemas may hold."""
    properties = characters = values = 0
    waiting = [(schema, 0)]
    while waiting:
        one, level = waiting.pop()
        if not isinstance(one, dict):
            continue
        names = list(one["properties"]) if isinstance(one.get("properties"), dict) else []
        words = one["enum"] if isinstance(one.get("enum"), list) else []
        level += bool(names)
        properties += len(names)
        values += len(words)
        characters += sum(len(word) for word in (*names, *words) if isinstance(word, str))
        waiting.extend((below, level) for below in subschemas(one))
        if level > _MOST_LEVELS or properties > _MOST_PROPERTIES:
            raise _NotStrict(at)
    if characters > _MOST_CHARACTERS or values > _MOST_VALUES:
        raise _NotStrict(at)
