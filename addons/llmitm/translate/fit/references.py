"""`$ref` within one JSON Schema: what it stands for, and whether it stands for itself. Pure.

A target is the schema that a reference means in the end, through references to references. Targets that
contain themselves are recursive and cannot be put in their references' places.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import unquote

from llmitm.errors import Refused
from llmitm.translate.fit.keywords import subschemas
from llmitm.translate.neutral import JSON

_MOST_HOPS: Final = 64
_MOST_LOOKED_AT: Final = 250_000
_UNFIT_FOR_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]")


def too_large(at: str) -> Refused:
    return Refused(
        400,
        "schema_too_large",
        f"The schema at {at or 'its root'} is too large or nested too deep for this model's provider.",
        param=at or None,
    )


class NotOfObjects(Refused):
    """A root that stands for something else than objects."""


def refused(what: str, at: str, kind: type[Refused] = Refused) -> Refused:
    place = f"The schema at {at}" if at else "A schema"
    return kind(400, "unsupported_by_target", f"{place} {what} for this model's provider.", param=at or None)


class References:
    """The references of one schema. Targets are the same objects whenever they are asked for."""

    def __init__(self, root: JSON) -> None:
        self._root = root
        self._targets: dict[str, dict[str, Any] | None] = {}
        self._recursive: frozenset[int] | None = None

    def target(self, ref: JSON, at: str) -> dict[str, Any] | None:
        """The schema that is meant, without a reference at its own top; None: there is no such place.

        Raises:
            Refused: 400, the reference leads elsewhere.
        """
        if isinstance(ref, str) and re.match(r"https?:", ref, re.IGNORECASE):
            raise refused("refers to another document, which is not fetched", at)
        return self._target(ref)

    def followed(self, schema: dict[str, Any], at: str) -> dict[str, Any]:
        """A schema without a reference at its top; keys beside the reference win."""
        if "$ref" not in schema:
            return schema
        target = self.target(schema["$ref"], at) or {}
        return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}

    def is_recursive(self, target: dict[str, Any]) -> bool:
        if self._recursive is None:
            self._recursive = _on_cycles(self._edges())
        return id(target) in self._recursive

    def _target(self, ref: JSON) -> dict[str, Any] | None:
        if not isinstance(ref, str):
            return None
        if ref not in self._targets:
            self._targets[ref] = self._end(ref)
        return self._targets[ref]

    def _end(self, ref: str) -> dict[str, Any] | None:
        passed: list[dict[str, Any]] = []
        found = self._at(ref)
        while isinstance(found, dict) and "$ref" in found:
            passed.append({key: value for key, value in found.items() if key != "$ref"})
            if len(passed) > _MOST_HOPS or not isinstance(found["$ref"], str):
                return None
            found = self._at(found["$ref"])
        if found is True:
            found = {}
        if not isinstance(found, dict) or not passed:
            return found if isinstance(found, dict) else None
        for beside in reversed(passed):
            found = {**found, **beside}
        return found

    def _at(self, ref: str) -> JSON:
        """What stands at this place of the document."""
        if not ref.startswith("#"):
            return None
        place: JSON = self._root
        for step in unquote(ref[1:]).split("/")[1:] if ref.startswith("#/") else []:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(place, dict) and step in place:
                place = place[step]
            elif isinstance(place, list) and step.isascii() and step.isdigit() and len(step) < 7:
                place = place[int(step)] if int(step) < len(place) else None
            else:
                return None
        return place if ref == "#" or ref.startswith("#/") else None

    def _edges(self) -> dict[int, set[int]]:
        """From each target to those that it refers to."""
        edges: dict[int, set[int]] = {}
        waiting: list[dict[str, Any]] = list(self._below(self._root, looked_at := [0]))
        while waiting:
            target = waiting.pop()
            if id(target) not in edges:
                below = self._below(target, looked_at)
                edges[id(target)] = {id(one) for one in below}
                waiting.extend(below)
        return edges

    def _below(self, schema: JSON, looked_at: list[int]) -> list[dict[str, Any]]:
        made: dict[int, dict[str, Any]] = {}
        waiting = [schema]
        while waiting:
            one = waiting.pop()
            if not isinstance(one, dict):
                continue
            looked_at[0] += 1 + len(one)
            if looked_at[0] > _MOST_LOOKED_AT:
                raise too_large("")
            target = self._target(one.get("$ref"))
            if target is not None:
                made[id(target)] = target
            waiting.extend(subschemas(one))
        return list(made.values())


def _on_cycles(edges: Mapping[int, Collection[int]]) -> frozenset[int]:
    """Those that lead to themselves, and those between two such."""
    back: dict[int, set[int]] = {one: set() for one in edges}
    for one, others in edges.items():
        for other in others:
            back[other].add(one)
    alive = set(edges)
    for forward, backward in ((edges, back), (back, edges)):
        left = {one: sum(other in alive for other in forward[one]) for one in alive}
        ends = [one for one, count in left.items() if not count]
        while ends:
            end = ends.pop()
            alive.discard(end)
            for one in backward[end]:
                if one in alive:
                    left[one] -= 1
                    if not left[one]:
                        ends.append(one)
    return frozenset(alive)


def name_of(ref: str, taken: Collection[str]) -> str:
    """A name for a definition, after the last step of a reference to it."""
    name = _UNFIT_FOR_NAME.sub("_", unquote(ref).rpartition("/")[2].lstrip("#"))[:60] or "root"
    made, count = name, len(taken) + 1
    while made in taken:
        made, count = f"{name}_{count}", count + 1
    return made
