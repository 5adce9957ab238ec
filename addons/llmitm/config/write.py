"""Edits of the configuration's file that leave all else in it as it was: comments, order, references.

A file is replaced whole and in one step, and only by one that can be used.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import tomli
import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Array, Comment, Table, Whitespace

from llmitm.config.load import load
from llmitm.errors import ConfigError, Problem

_BOM: Final = "\ufeff"
_MODE: Final = 0o600
"""Of a new file: it may hold keys."""


def edit(path: Path, change: Callable[[tomlkit.TOMLDocument], None], *, env: Mapping[str, str]) -> None:
    """Lets `change` work on the document and puts the outcome in the file's place.

    Edits wait for one another. Links are followed, and the file's mode is kept. Problems that were there
    before (such as variables that are not set here) do not stand in the way.

    Raises:
        ConfigError: the file cannot be edited, or could not be used any more; it is as it was.
        OSError: it cannot be written.
    """

    def make(before: bytes) -> bytes:
        after = edited(before, change, str(path))
        known = {str(problem) for problem in _problems(path, before, env)} if before else set()
        fresh = [problem for problem in _problems(path, after, env) if str(problem) not in known]
        if fresh:
            raise ConfigError(str(path), fresh)
        return after

    rewrite(path, make)


def rewrite(path: Path, make: Callable[[bytes], bytes]) -> None:
    """Puts what `make` makes of the content (empty where there is no file) in the file's place. What it
    raises leaves the file as it was. Edits wait for one another.

    Raises:
        OSError: it cannot be written.
    """
    place = Path(os.path.realpath(path))
    with _alone(place.parent):
        _replace(place, make(place.read_bytes() if place.exists() else b""))


def edited(before: bytes, change: Callable[[tomlkit.TOMLDocument], None], source: str) -> bytes:
    """The content with `change` made to it, its byte order mark and ends of lines kept.

    Raises:
        ConfigError: it cannot be edited.
    """
    try:
        text = before.decode("utf-8")
        document = tomlkit.parse(text.removeprefix(_BOM))
        change(document)
        made = tomlkit.dumps(document)
    except (UnicodeDecodeError, TOMLKitError, RecursionError) as error:
        raise ConfigError(source, [Problem("", f"cannot be edited: {error}")]) from None
    if "\r\n" in text and not re.search(r"(?<!\r)\n", text):
        made = re.sub(r"(?<!\r)\n", "\r\n", made)
    after = (_BOM if text.startswith(_BOM) else "") + made
    if not _is_same(made, document.unwrap()):
        raise ConfigError(source, [Problem("", "is laid out in a way that cannot be edited; do it by hand")])
    return after.encode()


def _is_same(text: str, wanted: dict[str, Any]) -> bool:
    try:
        return tomli.loads(text) == wanted
    except tomli.TOMLDecodeError:
        return False


def _problems(path: Path, text: bytes, env: Mapping[str, str]) -> tuple[Problem, ...]:
    try:
        load(path, env=env, text=text)
    except ConfigError as error:
        return error.problems
    return ()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One editor at a time in this folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(place: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    try:
        with open(descriptor, "wb") as file:
            _take_over(place, file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, place)
    except BaseException:
        os.unlink(name)
        raise
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _take_over(place: Path, descriptor: int) -> None:
    """Mode and owner of the file that is there."""
    try:
        there = place.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, _MODE)
        return
    if (there.st_uid, there.st_gid) != (os.geteuid(), os.getegid()):
        try:
            os.fchown(descriptor, there.st_uid, there.st_gid)
        except PermissionError:  # the mode may still say who reads it
            pass
    os.fchmod(descriptor, there.st_mode & 0o7777)


def put(table: Any, name: str, value: Any) -> None:
    """Sets a key of a table; what heads the next table stays there."""
    tail = _cut_tail(table) if isinstance(table, Table) else []
    table[name] = value
    if tail:
        _put_back(table, tail)


def take_out(table: Any, name: str) -> None:
    """Takes out a key; where it is a table, what heads the one that follows stays."""
    last = _last(table[name])
    tail = _cut_tail(last) if last is not None else []
    del table[name]
    if tail and (now := _last(table)) is not None:
        _put_back(now, tail)


def below(known: Any, add: Callable[[], Any]) -> None:
    """Adds a table below all of `known`, and above what heads the one that follows. `add` does it, and
    returns the new table."""
    last = _last(known)
    tail = _cut_tail(last) if last is not None else []
    if last is not None:
        last.add(tomlkit.nl())
    made = add()
    if tail and isinstance(made, Table):
        _put_back(made, tail)


def _last(value: Any) -> Table | None:
    """The table that is written last within it."""
    match value:
        case AoT():
            return _last(value[-1])
        case Table():
            inner = [one for one in value.values() if isinstance(one, AoT | Table)]
            found = _last(inner[-1]) if inner else None
            return found or (None if value.is_super_table() else value)
        case _:
            return None


# -- keys of clients


def add_auth_key(document: tomlkit.TOMLDocument, entry: Mapping[str, Any]) -> None:
    """Adds an entry to `auth_keys`, however it is written: as tables, as an array, or not at all."""
    name = _auth_keys(document)
    if name is None:
        tables = tomlkit.aot()
        tables.append(_table(entry))
        document.append("auth_keys", tables)
        return
    known = document[name]
    if isinstance(known, Array):
        row = tomlkit.inline_table()
        row.update(entry)
        known.append(row)
    elif isinstance(known, AoT):
        last, made = known[-1], _table(entry)
        tail = _cut_tail(last)
        last.add(tomlkit.nl())
        known.append(made)
        _put_back(made, tail)
    else:
        raise ConfigError("auth_keys", [Problem("", "an array is expected")])


def disable_auth_key(document: tomlkit.TOMLDocument, name: str) -> bool:
    """Sets `disabled` where an entry has this name. False where it was set already.

    Raises:
        LookupError: there is none.
    """
    place = _auth_keys(document)
    for entry in document[place] if place is not None else ():
        if entry.get("name") == name:
            was_off = bool(entry.get("disabled"))
            put(entry, "disabled", True)
            return not was_off
    raise LookupError(f"there is no auth key called {name}")


def _auth_keys(document: tomlkit.TOMLDocument) -> str | None:
    return next((name for name in ("auth_keys", "auth-keys") if name in document), None)


def _table(entry: Mapping[str, Any]) -> Table:
    made = tomlkit.table()
    for name, value in entry.items():
        made[name] = value
    return made


def _cut_tail(table: Table) -> list[Comment | Whitespace]:
    """Takes off what stands below `table` after an empty line: it is the heading of what follows."""
    body = table.value.body
    items = [item for _, item in body]
    at = len(items)
    while at and isinstance(items[at - 1], Comment | Whitespace):
        at -= 1
    while at < len(items) and not isinstance(items[at], Whitespace):
        at += 1
    del body[at:]
    return [item for item in items[at:] if isinstance(item, Comment | Whitespace)]


def _put_back(table: Table, tail: list[Comment | Whitespace]) -> None:
    for item in tail:
        table.add(item)
