"""The text of a file as plain values, each with its line where the format tells. Pure.

Files come from anywhere: their size, their depth and what aliases make of them are bounded, and nothing in
them is ever called or built.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import tomli
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from llmitm.errors import ConfigError, Problem
from llmitm.imports.found import Value

type Format = Literal["toml", "yaml", "json", "env"]

MOST_BYTES: Final = 1_048_576
MOST_VALUES: Final = 100_000
"""With every alias written out."""
MOST_DEPTH: Final = 60

_TAG: Final = "tag:yaml.org,2002:"
_QUOTED: Final = re.compile(r"([\"'])(.*?)\1\s*(?:#.*)?\Z")
_ASSIGNMENT: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*\Z")


@dataclass(frozen=True, slots=True)
class Parsed:
    format: Format
    values: dict[str, Value]
    lines: dict[str, int] = field(default_factory=dict)


def parse(text: bytes, source: str) -> Parsed:
    """Reads whichever of the formats it is.

    Raises:
        ConfigError: none of them, or too large; with the line.
    """
    if len(text) > MOST_BYTES:
        raise ConfigError(source, [Problem("", f"is larger than {MOST_BYTES // 1024} KiB")])
    try:
        words = text.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _at(source, text.count(b"\n", 0, error.start) + 1, "not valid UTF-8") from None
    if not words.strip():
        raise ConfigError(source, [Problem("", "is empty")])
    read, format = _READERS[_format(words, source)]
    try:
        values, lines = read(words, source)
        has_half = _has_half(values)
    except RecursionError:
        raise ConfigError(source, [Problem("", "is nested too deeply")]) from None
    if has_half:
        raise ConfigError(
            source, [Problem("", "half of a sign stands there: an escape that is no character")]
        )
    if not isinstance(values, dict):
        raise ConfigError(source, [Problem("", "a table is expected at the top, not a list or a text")])
    return Parsed(format, values, lines)


def _format(words: str, source: str) -> Format:
    """By the file's name, else by how it begins."""
    name = source.rpartition("/")[2].lower()
    for ending, format in _ENDINGS.items():
        if name.endswith(ending):
            return format
    lines = [line for line in words.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    first = lines[0].lstrip() if lines else ""
    if first.startswith("{"):
        return "json"
    if all(_ASSIGNMENT.match(line) and not re.search(r"=\s*[\[{]|=\s*\Z", line) for line in lines):
        # strings of TOML are quoted, and numbers and words are not enough to tell
        is_toml = any(re.match(r"[a-z_]+\s+=\s", line) for line in lines)
        return "toml" if is_toml else "env"
    if first.startswith("[") or re.match(r"[\w.\"-]+\s*=", first):
        return "toml"
    return "yaml"


def _has_half(value: Value) -> bool:
    """Whether a text in it cannot be written: JSON and YAML can escape half of a pair."""
    match value:
        case str():
            return not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value)
        case list():
            return any(map(_has_half, value))
        case dict():
            return any(_has_half(name) or _has_half(one) for name, one in value.items())
        case _:
            return False


def _at(source: str, line: int | None, why: str) -> ConfigError:
    return ConfigError(source, [Problem(f"line {line}" if line is not None else "", why)])


# -- TOML, JSON, .env


def _toml(words: str, source: str) -> tuple[Value, dict[str, int]]:
    try:
        return _plain(tomli.loads(words)), {}
    except tomli.TOMLDecodeError as error:
        raise _at(source, error.lineno, f"not valid TOML: {_lowered(error.msg)}") from None


def _plain(value: object) -> Value:
    """Dates as they are written."""
    match value:
        case dict():
            return {name: _plain(one) for name, one in value.items()}
        case list():
            return [_plain(one) for one in value]
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)


def _json(words: str, source: str) -> tuple[Value, dict[str, int]]:
    def once(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(source, [Problem(twice, "is there twice in one object")])
        return made

    try:
        return json.loads(words, object_pairs_hook=once), {}
    except json.JSONDecodeError as error:
        raise _at(source, error.lineno, f"not valid JSON: {_lowered(error.msg)}") from None
    except ValueError:
        raise ConfigError(source, [Problem("", "holds an endless number")]) from None


def _env(words: str, source: str) -> tuple[Value, dict[str, int]]:
    values: dict[str, Value] = {}
    lines: dict[str, int] = {}
    for at, line in enumerate(words.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _ASSIGNMENT.match(line)
        if match is None:
            raise _at(source, at, "NAME=value is expected")
        name, value = match[1], match[2]
        quoted = _QUOTED.match(value)
        values[name] = quoted[2] if quoted else re.sub(r"(?:\A|\s+)#.*\Z", "", value)
        lines[name] = at
    return values, lines


def _lowered(words: str) -> str:
    return words[:1].lower() + words[1:]


# -- YAML


def _yaml(words: str, source: str) -> tuple[Value, dict[str, int]]:
    try:
        reader = YAML(typ="safe", pure=True)
        reader.Composer = _Shallow
        node = reader.compose(words)
        building = _Building(source)
        return (None if node is None else building.value(node, "", 0)), building.lines
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = error.problem or error.context or "cannot be read"
        raise _at(source, mark.line + 1 if mark else None, f"not valid YAML: {why}") from None
    except YAMLError as error:
        line = words.count("\n", 0, getattr(error, "position", 0)) + 1
        raise _at(source, line, "not valid YAML: a sign stands there that YAML does not allow") from None


class _Shallow(Composer):
    """Gives up early: what is nested thousands deep takes the recursion to its end, and seconds.

    Raises:
        RecursionError
    """

    _depth = 0

    def compose_node(self, parent: object, index: object) -> Any:
        if self._depth > 2 * MOST_DEPTH:
            raise RecursionError
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Building:
    """Values from YAML's nodes. Only plain values are made, and each alias counts with all that it stands
    for."""

    def __init__(self, source: str) -> None:
        self.lines: dict[str, int] = {}
        self._source = source
        self._count = 0

    def value(self, node: Node, path: str, depth: int) -> Value:
        line = node.start_mark.line + 1
        self._count += 1
        if self._count > MOST_VALUES:
            raise _at(self._source, line, "aliases make it larger than any configuration is")
        if depth > MOST_DEPTH:
            raise _at(self._source, line, "is nested too deeply, or an alias stands for itself")
        self.lines.setdefault(path, line)
        match node:
            case MappingNode():
                return self._mapping(node, path, depth)
            case SequenceNode() if node.tag == f"{_TAG}seq":
                return [self.value(one, f"{path}[{at}]", depth + 1) for at, one in enumerate(node.value)]
            case ScalarNode():
                return self._scalar(node, line)
            case _:
                raise _at(self._source, line, f"the tag {node.tag} is not understood")

    def _mapping(self, node: MappingNode, path: str, depth: int) -> dict[str, Value]:
        if node.tag != f"{_TAG}map":
            raise _at(self._source, node.start_mark.line + 1, f"the tag {node.tag} is not understood")
        made: dict[str, Value] = {}
        merged: dict[str, Value] = {}
        for key, one in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                raise _at(self._source, line, "a key is expected to be text")
            if key.tag == f"{_TAG}merge":
                for value in self._merged(one, path, depth):
                    merged = {**value, **merged}
                continue
            name = str(key.value)
            if name in made:
                raise _at(self._source, line, f"{name} is there twice in one table")
            where = f"{path}.{name}" if path else name
            self.lines[where] = line
            made[name] = self.value(one, where, depth + 1)
        return {**merged, **made}

    def _merged(self, node: Node, path: str, depth: int) -> list[dict[str, Value]]:
        nodes = node.value if isinstance(node, SequenceNode) else [node]
        found = [self.value(one, path, depth + 1) for one in nodes]
        tables = [one for one in found if isinstance(one, dict)]
        if len(tables) < len(found):
            raise _at(self._source, node.start_mark.line + 1, "<< is expected to name tables")
        return tables

    def _scalar(self, node: ScalarNode, line: int) -> Value:
        text = str(node.value)
        try:
            match str(node.tag).removeprefix(_TAG):
                case "null":
                    return None
                case "bool":
                    return text.lower() in ("true", "yes", "on", "y")
                case "int":
                    return _whole(text)
                case "float":
                    return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
                case "str" | "timestamp":
                    return text
        except (ValueError, OverflowError):
            raise _at(self._source, line, "a number stands there that is none") from None
        raise _at(self._source, line, f"the tag {node.tag} is not understood")


def _whole(text: str) -> int:
    digits = text.replace("_", "").lower()
    if re.fullmatch(r"[-+]?0[box][0-9a-f]+", digits):
        return int(digits, 0)
    return int(digits)


_READERS: Final[dict[Format, tuple[Callable[[str, str], tuple[Value, dict[str, int]]], Format]]] = {
    "toml": (_toml, "toml"),
    "yaml": (_yaml, "yaml"),
    "json": (_json, "json"),
    "env": (_env, "env"),
}
_ENDINGS: Final[dict[str, Format]] = {
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".json": "json",
    ".env": "env",
}
