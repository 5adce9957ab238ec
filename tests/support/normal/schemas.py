"""What of a JSON Schema must survive in any dialect: its properties, which are required, and enumerations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

_DEEPEST: Final = 7
"""Levels of properties: below them recursive schemas may be cut off at other places."""
_MOST_REFERENCES: Final = 20
_BRANCHES: Final = ("anyOf", "any_of", "oneOf", "allOf", "prefixItems")


@dataclass(slots=True)
class Shape:
    properties: set[str] = field(default_factory=set)
    required: set[str] = field(default_factory=set)
    enums: dict[str, set[str]] = field(default_factory=dict)
    """Of words only: some targets take no other."""

    def difference(self, other: Shape) -> str:
        if self.properties != other.properties:
            return f"properties {sorted(self.properties ^ other.properties)!r:.200}"
        if self.required != other.required:
            return f"required {sorted(self.required ^ other.required)!r:.200}"
        if self.enums != other.enums:
            return f"enums {self.enums!r:.150} is {other.enums!r:.150}"
        return ""


def shape_of(schema: Any) -> Shape:
    made = Shape()
    if isinstance(schema, dict):
        _visit(schema, schema, "", 0, made)
    made.required &= made.properties
    return made


def _visit(node: Any, root: dict[str, Any], path: str, depth: int, made: Shape, followed: int = 0) -> None:
    if not isinstance(node, dict) or depth > _DEEPEST or followed > _MOST_REFERENCES:
        return
    if isinstance(reference := node.get("$ref") or node.get("ref"), str):
        _visit(_at(root, reference), root, path, depth, made, followed + 1)
    for name in _BRANCHES:
        for branch in node.get(name) or []:
            _visit(branch, root, path, depth, made, followed + 1)
    if isinstance(node.get("items"), dict):
        _visit(node["items"], root, path + "[]", depth, made, followed + 1)
    words = {one for one in node.get("enum") or [] if isinstance(one, str)}
    if isinstance(node.get("const"), str):
        words.add(node["const"])
    if words:
        made.enums.setdefault(path, set()).update(words)
    properties = node.get("properties")
    if not isinstance(properties, dict):
        return
    for name, one in properties.items():
        if one is not False:
            made.properties.add(f"{path}.{name}")
            _visit(one, root, f"{path}.{name}", depth + 1, made)
    made.required |= {f"{path}.{name}" for name in node.get("required") or [] if isinstance(name, str)}


def _at(root: dict[str, Any], reference: str) -> Any:
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        if not isinstance(found, dict):
            return None
        found = found.get(step.replace("~1", "/").replace("~0", "~"))
    return found
