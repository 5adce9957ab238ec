"""A client's JSON, walked with its place: Gemini's servers take many spellings of one thing. Pure.

generationConfig or generation_config        one object where a list of them is expected
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from llmitm.translate.reading import invalid

type Path = tuple[str | int, ...]


@cache
def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda match: "_" + match[0].lower(), name)


@cache
def camel(name: str) -> str:
    """The member's usual spelling."""
    head, *rest = name.lstrip("_").split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


def place(path: Path) -> str:
    """`contents[3].parts[0]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


@dataclass(frozen=True, slots=True)
class Node:
    """A value in the client's request."""

    value: Any
    path: Path = ()

    @property
    def at(self) -> str:
        return place(self.path)

    def get(self, name: str) -> Node | None:
        """The object's member in either spelling; None where it is absent or null, or this is no object."""
        if not isinstance(self.value, dict):
            return None
        for spelling in (name, _snake(name)):
            value = self.value.get(spelling)
            if value is not None:
                return Node(value, (*self.path, spelling))
        return None

    def members(self) -> list[tuple[str, Node]]:
        """Usual spelling and value of each member that is not null."""
        return [
            (camel(name), Node(value, (*self.path, name)))
            for name, value in self.object().items()
            if value is not None
        ]

    def items(self) -> list[Node]:
        """The entries of a list; what is no list counts as its only entry."""
        if not isinstance(self.value, list):
            return [self]
        return [Node(value, (*self.path, n)) for n, value in enumerate(self.value)]

    def object(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            raise invalid(self.at, "expected an object")
        return self.value

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise invalid(self.at, "expected a string")
        return self.value


def items_of(node: Node | None) -> list[Node]:
    return [] if node is None else node.items()


def text_of(node: Node | None) -> str | None:
    """The string; None where there is none. What is no string is refused."""
    return None if node is None else node.text()


def word_of(node: Node | None) -> str:
    """A word of an enumeration, in upper case; empty where there is none."""
    return node.value.upper() if node is not None and isinstance(node.value, str) else ""
