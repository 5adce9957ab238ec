"""Secrets as others refer to them: names of environment variables and files. Pure."""

from __future__ import annotations

import re
from typing import Final

from llmitm.secret import Secret

_VARIABLE: Final = re.compile(
    r"(?:os\.environ/|env://|env:)(?P<plain>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\$\{(?:env:)?(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?::?-[^}]*)?\}"
)
_FILE: Final = re.compile(r"file:(?://)?(?P<path>.+)")
_INSIDE: Final = re.compile(r"os\.environ/[A-Za-z_]|\$\{[A-Za-z_][A-Za-z0-9_]*")


def variable(text: str) -> str | None:
    """The name of the variable that the whole text refers to; None where it is no such reference."""
    found = _VARIABLE.fullmatch(text.strip())
    return None if found is None else found["plain"] or found["braced"]


def refers_inside(text: str) -> bool:
    """Whether a part of it is a reference, which ours cannot be."""
    return variable(text) is None and _INSIDE.search(text) is not None


def secret(text: str) -> Secret:
    """With the reference as we write it; without one where the text is the secret itself."""
    if (name := variable(text)) is not None:
        return to_variable(name)
    if (file := _FILE.fullmatch(text)) is not None:
        return Secret("", f"file:{file['path']}")
    return Secret(text)


def to_variable(name: str) -> Secret:
    """A secret that stands in the environment; its value is not looked at."""
    return Secret("", f"env:{name}")


def written(one: Secret) -> str:
    """As it stands in our configuration."""
    return one.reference or one.reveal()
