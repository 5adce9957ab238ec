"""Plain values as a `Config`, or what is wrong with their shape, in words that name the place and the fix."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from llmitm.config.schema import Config
from llmitm.errors import Problem

_ASKED: Final = {"server", "endpoints", "gateways", "providers", "auth_keys"}
"""Tables that other tables depend on."""

_ALONE: Final = ("hooks.", "ledger.", "log.", "model_capabilities.", "state.")
"""Where what is wrong follows from no other table."""


def validated(raw: Any, problems: list[Problem]) -> tuple[Config | None, list[Sequence[int | str]]]:
    """The shape of every table.

    What is wrong is left out and told, so that what tables ask of one another can be checked too. Returns
    None where nothing is left to check, and where that stood which the other checks would miss.
    """
    try:
        return Config.model_validate(raw), []
    except ValidationError as error:
        told = {problem.path for problem in problems}
        problems += [problem for problem in _problems(error) if problem.path not in told]
        wrong = [(one["type"], one["loc"]) for one in error.errors(include_url=False, include_input=False)]
    dropped: list[Sequence[int | str]] = []
    holes: set[tuple[int | str, ...]] = set()
    for kind, loc in wrong:
        hole = loc[:-1] if kind == "missing" or loc[-1:] == ("[key]",) else loc
        holes.add(hole)
        if kind != "extra_forbidden":
            dropped.append(hole)
    try:
        return Config.model_validate(_without(raw, holes)), dropped
    except ValidationError:
        return None, dropped


def _without(value: Any, holes: set[tuple[int | str, ...]], at: tuple[int | str, ...] = ()) -> Any:
    """`value` without what stands at `holes`; where one points into a plain value, without that."""

    def is_hole(place: tuple[int | str, ...], one: Any) -> bool:
        if place in holes:
            return True
        return not isinstance(one, (dict, list)) and any(hole[: len(place)] == place for hole in holes)

    if isinstance(value, dict):
        return {
            name: _without(one, holes, (*at, name))
            for name, one in value.items()
            if not is_hole((*at, name), one)
        }
    if isinstance(value, list):
        return [
            _without(one, holes, (*at, index))
            for index, one in enumerate(value)
            if not is_hole((*at, index), one)
        ]
    return value


def is_sure(problem: Problem, dropped: Sequence[Sequence[int | str]]) -> bool:
    """Whether a problem between tables would also be one if what was left out had been right."""
    if problem.path.startswith(_ALONE):
        return True
    for loc in dropped:
        if not loc or loc[0] not in _ASKED:
            continue
        table = loc[:1] if loc[0] == "server" else loc[:2]
        place = _placed(table)[0]
        if problem.path == place or problem.path.startswith((f"{place}.", f"{place}[")):
            return False
        if len(loc) == len(table) or loc[-1] in ("target_base", "base_url"):
            return False  # a whole table is missing, or an address that others fall back to
    return True


_SENTENCES: Final = {
    "missing": "is missing",
    "int_parsing": "a whole number is expected",
    "int_type": "a whole number is expected",
    "int_from_float": "a whole number is expected",
    "float_parsing": "a number is expected",
    "float_type": "a number is expected",
    "bool_parsing": "true or false is expected",
    "bool_type": "true or false is expected",
    "string_type": "a string is expected",
    "tuple_type": "an array is expected",
    "model_type": "a table is expected",
    "model_attributes_type": "a table is expected",
    "mapping_type": "a table is expected",
    "dict_type": "a table is expected",
    "path_type": "a path is expected",
    "string_too_short": "must not be empty",
}


def _problems(error: ValidationError) -> list[Problem]:
    found = []
    for one in error.errors(include_url=False, include_input=False):
        place, model = _placed(one["loc"])
        kind = one["type"]
        if kind == "extra_forbidden":
            message = _unknown(str(one["loc"][-1]), model)
        else:
            message = _SENTENCES.get(kind) or _lowered(one["msg"])
        found.append(Problem(place, message))
    return found


def _lowered(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _placed(loc: Sequence[int | str]) -> tuple[str, type[BaseModel]]:
    """The place as it reads in the file, and the table that it stands in."""
    place = ""
    model: type[BaseModel] = Config
    for at, part in enumerate(loc):
        if isinstance(part, int):
            place += f"[{part}]"
            continue
        if part == "[key]":
            continue  # the name itself is wrong
        place += f".{part}" if place else part
        if at < len(loc) - 1:
            model = _inner(model, part) or model
    return place, model


def _inner(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The table type behind a key, through tuples, mappings and options."""
    field = model.model_fields.get(name)
    if field is None:
        return None
    waiting = [field.annotation]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
        waiting += getattr(kind, "__args__", ())
    return None


def _unknown(name: str, model: type[BaseModel]) -> str:
    known = [
        field for field in model.model_fields if not (model is Config and field in ("source", "warnings"))
    ]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    return f"unknown key; possible are {', '.join(sorted(known))}"
