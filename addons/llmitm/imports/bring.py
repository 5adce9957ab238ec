"""One import on one screen: text in, configuration and what is to be known of it out. Pure, but that files
which the result names are looked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

from llmitm.config.load import load
from llmitm.errors import ConfigError, Problem
from llmitm.imports import kinds, to_env, twins, writing
from llmitm.imports.found import Found, Note
from llmitm.imports.parse import parse
from llmitm.imports.plan import Plan
from llmitm.imports.table import Table
from llmitm.secret import Secret

_WAITING: Final = re.compile(r"the (?:environment variable|file) ")
_FILE: Final = re.compile(r"(?:the file )?(.+) cannot be read: ")


@dataclass(frozen=True, slots=True)
class Brought:
    text: str
    kind: str
    """Whose it was, in words."""
    notes: tuple[Note, ...]
    variables: dict[str, str]
    """To be set before the start: each with where its value, or its name, stands in the source."""
    files: tuple[str, ...]
    """To be there before the start, which are not."""
    problems: tuple[Problem, ...]
    """What else `config check` would say."""
    secrets: tuple[Secret, ...]
    """Those that stand in the text."""
    known: tuple[Secret, ...]
    """Those that stand in the source."""


def bring(
    text: bytes,
    source: str,
    *,
    kind: str | None = None,
    env: Mapping[str, str] | None = None,
    secrets_to_env: bool = False,
    folder: Path = Path(),
    moved_from: Path | None = None,
) -> Brought:
    """Says a configuration of another gateway as one of ours.

    `kind` is one of `kinds.NAMES`; None recognises it. `folder` is where the result will lie, and
    `moved_from` that of the source where it is another: relative paths of files are told from it.

    Raises:
        ConfigError: it cannot be read, is of no kind that is known, or says what cannot be.
    """
    parsed = parse(text, source)
    chosen = kinds.NAMES[kind] if kind is not None else kinds.find(parsed, source)
    if parsed.format not in chosen.formats:
        wanted = " or ".join(chosen.formats)
        raise ConfigError(source, [Problem("", f"is {parsed.format}; {chosen.title} has {wanted}")])
    found = Found(parsed.lines, env or {})
    plan = chosen.read(Table(parsed.values, found))
    twins.tell_apart(plan, found)
    if found.problems:
        raise ConfigError(source, found.problems)
    if moved_from is not None:
        _move_paths(plan, moved_from)
    variables = to_env.needed(plan)
    known = _secrets(plan)
    if secrets_to_env:
        variables |= to_env.move(plan)
    left = _secrets(plan)
    notes = tuple(dict.fromkeys(found.notes))
    name = source.rpartition("/")[2]
    made = writing.text_of(plan, notes, name, chosen.title)
    files, problems = _checked(made, folder)
    return Brought(made, chosen.title, notes, variables, files, problems, left, known)


def _secrets(plan: Plan) -> tuple[Secret, ...]:
    """Those that stand in it as text, each once."""
    return tuple(dict.fromkeys(one.secret for one in to_env.literals(plan) if one.secret is not None))


def _checked(text: str, folder: Path) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    """Files that the result names and are not there, and what else is wrong with it. Variables that are not
    set are neither."""
    try:
        load(folder / "config.toml", env={}, text=text.encode())
    except ConfigError as error:
        waiting = {one.path for one in error.problems if _WAITING.match(one.message)}
        missing = {one.path: found[1] for one in error.problems if (found := _FILE.match(one.message))}
        left = [one for one in error.problems if one.path not in waiting and one.path not in missing]
        return tuple(missing.values()), tuple(left)
    return (), ()


def _move_paths(plan: Plan, folder: Path) -> None:
    for table in plan.settings.values():
        for key, value in table.items():
            if isinstance(value, PurePath) and not value.is_absolute() and value.parts[:1] != ("~",):
                table[key] = folder / value
