"""Takes a table out of a TOML text; every other line stays as it is, also what heads the next table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import tomli
import tomlkit

_HEADER: Final = re.compile(r"\s*(\[\[?)(?!\[)(.+?)\]\]?\s*(?:#.*)?\Z")


def cut(text: str, path: Sequence[str], at: int | None = None) -> str:
    """`text` without the table at `path` (as it is spelled there) and all below it; where an array of tables
    stands there, without its entry number `at`, counted from 0.

    Raises:
        LookupError: there is no such table.
        ValueError: it is laid out in a way that cannot be cut.
    """
    expected = [_without(tomli.loads(text), path, at)]
    if at is None and len(path) > 1 and not _holder(expected[0], path):  # it was the last one there
        expected.append(_without(tomli.loads(text), path[:-1], None))
    for way in (_by_lines, _by_document):
        made = way(text, path, at)
        try:
            if tomli.loads(made) in expected:
                return made
        except tomli.TOMLDecodeError:
            continue
    raise ValueError(f"{'.'.join(path)} is laid out in a way that cannot be cut; do it by hand")


def _without(raw: dict[str, Any], path: Sequence[str], at: int | None) -> dict[str, Any]:
    holder = _holder(raw, path)
    if at is None:
        del holder[path[-1]]
    else:
        del holder[path[-1]][at]
        if not holder[path[-1]] and isinstance(holder[path[-1]], list):
            del holder[path[-1]]
    return raw


def _holder(raw: Any, path: Sequence[str]) -> Any:
    for name in path[:-1]:
        raw = raw[name]
    return raw


def _by_lines(text: str, path: Sequence[str], at: int | None) -> str:
    kept: list[str] = []
    block: list[str] = []
    count, is_in = -1, False
    for line in text.splitlines(keepends=True):
        if (found := _header(line)) is not None:
            is_array, parts = found
            if at is not None and parts == tuple(path) and is_array:
                count += 1
            was_in, is_in = is_in, parts[: len(path)] == tuple(path) and (at is None or count == at)
            if was_in and not is_in:
                kept += _heading(block)
            block = []
        (block if is_in else kept).append(line)
    if is_in:
        kept += _heading(block)
    return "".join(kept)


def _heading(block: list[str]) -> list[str]:
    """The comments at the end that an empty line parts from the rest: they are of what follows."""
    start = len(block)
    while start and (not block[start - 1].strip() or block[start - 1].lstrip().startswith("#")):
        start -= 1
    tail = block[start:]
    first = next((at for at, line in enumerate(tail) if not line.strip()), len(tail))
    found = tail[first + 1 :]
    return found if any(line.strip() for line in found) else []


def _header(line: str) -> tuple[bool, tuple[str, ...]] | None:
    found = _HEADER.match(line)
    if found is None:
        return None
    try:
        value: Any = tomli.loads(f"{found[2].strip()} = 0")
    except tomli.TOMLDecodeError:
        return None
    parts = []
    while isinstance(value, dict):
        name, value = next(iter(value.items()))
        parts.append(name)
    return found[1] == "[[", tuple(parts)


def _by_document(text: str, path: Sequence[str], at: int | None) -> str:
    document = tomlkit.parse(text)
    holder = _holder(document, path)
    if at is None:
        del holder[path[-1]]
    else:
        del holder[path[-1]][at]
        if not len(holder[path[-1]]):
            del holder[path[-1]]
    return tomlkit.dumps(document)
