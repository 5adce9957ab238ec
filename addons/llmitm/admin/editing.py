"""The configuration's file as the admin API changes it: nothing is lost, and everything is written down.

A change is made to what the file says at that moment, while nobody else edits it; it is put in place only
if the gateway could run with it, kept in the history with who made it, and in force when the answer comes.
"""

from __future__ import annotations

import asyncio
import difflib
import errno
import logging
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import tomlkit

from llmitm.config.history import History, Version, etag_of
from llmitm.config.masked import masked, unmasked
from llmitm.config.schema import Config
from llmitm.config.watch import Source
from llmitm.config.write import edited, rewrite
from llmitm.control import Control
from llmitm.errors import ConfigError, LlmitmError, Problem, Refused
from llmitm.reload import compare
from llmitm.world import World

log = logging.getLogger("llmitm")

MOST_BYTES: Final = 4 * 1_048_576
_READ_ONLY: Final = (errno.EROFS, errno.EACCES, errno.EPERM, errno.EBUSY)

type Make = Callable[[bytes, Callable[[], Config]], bytes]
"""What the file is to say, from what it says: as text, and as it is read (which raises ConfigError)."""


class Stale(Refused):
    """The file says something else than what a change was made from."""

    def __init__(self, etag: str, difference: str) -> None:
        super().__init__(
            409,
            "config_stale",
            "The configuration was changed in the meantime: look at the difference, then try anew.",
        )
        self.details = {"etag": etag, "difference": difference}
        """Of what the file says; and from that to what it was to say, empty where that cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    etag: str
    changed: tuple[str, ...]
    """Names of what is different now; empty where nothing is."""
    needs_restart: tuple[str, ...]
    """Names of what was changed and stays as it was until a restart."""
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stands:
    """What the file says now."""

    path: str
    text: str
    """Masked."""
    etag: str
    read_only: str | None
    """Why it cannot be changed from here; None: it can."""
    problems: tuple[Problem, ...]
    """Why it cannot be used as it stands; the gateway runs with what it read before."""


class Editor:
    """Holds nothing: there may be many at once."""

    def __init__(self, world: World, control: Control) -> None:
        self._world = world
        self._control = control

    # -- reading

    async def stands(self) -> Stands:
        return await asyncio.to_thread(self._stands)

    def _stands(self) -> Stands:
        source = self._source()
        content = _content(source.path)
        return Stands(
            path=str(source.path),
            text=masked(content.decode("utf-8", "replace")),
            etag=etag_of(content),
            read_only=why_read_only(source.path),
            problems=self._problems(content),
        )

    async def check(self, text: str) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
        """Problems of a text that may stand in the file's place, and warnings."""
        return await asyncio.to_thread(self._check, text)

    def _check(self, text: str) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
        try:
            config = self._checked(self._plain(text, _content(self._source().path)))
        except ConfigError as error:
            return error.problems, ()
        return (), config.warnings

    async def difference(self, text: str, number: int | None = None) -> str:
        """From what the file says to `text`, or to that version where there is a number; both masked.

        Raises:
            LookupError: there is no such version.
        """
        return await asyncio.to_thread(self._difference, text, number)

    def _difference(self, text: str, number: int | None) -> str:
        now = _content(self._source().path)
        if number is not None:
            return difference(now, self._history().content(number))
        return difference(now, self._plain(text, now))

    async def versions(self) -> list[Version]:
        return await asyncio.to_thread(self._history().versions)

    async def version(self, number: int) -> tuple[Version, str]:
        """With its text, masked.

        Raises:
            LookupError
        """

        def read() -> tuple[Version, str]:
            history = self._history()
            content = history.content(number)
            found = next(one for one in history.versions() if one.number == number)
            return found, masked(content.decode("utf-8", "replace"))

        return await asyncio.to_thread(read)

    # -- writing

    async def edit(self, make: Make, *, who: str, what: str, etag: str | None = None) -> Written:
        """Makes a change; with `etag`, only where the file still says that.

        Raises:
            Stale: it does not.
            ConfigError: the gateway could not run with the outcome, or cannot with what stands there.
            Refused: the file cannot be changed from here.
            LookupError: as `make`.
        """
        source = self._source()
        if (why := await asyncio.to_thread(why_read_only, source.path)) is not None:
            raise _read_only(why)
        try:
            written = await asyncio.to_thread(self._write, make, who, what, etag)
        except OSError as error:
            if error.errno in _READ_ONLY:
                raise _read_only(f"{source.path} cannot be written: {error.strerror}") from None
            raise
        log.info("configuration changed by %s: %s", who, what)
        # it was checked just now; where another change came in between, that one is followed
        await self._control.reload()
        return written

    async def apply(self, text: str, *, who: str, what: str, etag: str) -> Written:
        """Puts a whole text in the file's place."""

        def make(before: bytes, read: Callable[[], Config]) -> bytes:
            return self._plain(text, before)

        return await self.edit(make, who=who, what=what, etag=etag)

    async def roll_back(self, number: int, *, who: str, etag: str | None) -> Written:
        """Puts a version in the file's place, as a new one.

        Raises:
            LookupError: there is no such version.
        """
        content = await asyncio.to_thread(self._history().content, number)
        return await self.edit(lambda *_: content, who=who, what=f"back to version {number}", etag=etag)

    def _write(self, make: Make, who: str, what: str, etag: str | None) -> Written:
        source, history, world = self._source(), self._history(), self._world
        outcome: list[tuple[bytes, Config]] = []
        noted: tuple[int, ...] = ()

        def made(before: bytes) -> bytes:
            nonlocal noted
            if etag is not None and etag_of(before) != etag:
                raise Stale(etag_of(before), self._wanted_difference(make, before))
            after = make(before, partial(self._checked, before))
            config = self._checked(after)
            outcome.append((after, config))
            if after != before:
                noted = history.keep(before, after, who=who, what=what, at_s=world.clock.now_s())
            return after

        try:
            rewrite(source.path, made)
        except BaseException:
            history.forget(noted)
            raise
        history.tidy()
        after, config = outcome[0]
        change = compare(world.config, config)
        return Written(
            etag=etag_of(after),
            changed=change.changed,
            needs_restart=change.fixed,
            warnings=config.warnings,
        )

    def _wanted_difference(self, make: Make, before: bytes) -> str:
        try:
            return difference(before, make(before, partial(self._checked, before)))
        except (LlmitmError, LookupError, ValueError):
            return ""

    def _checked(self, content: bytes) -> Config:
        source, host = self._source(), self._world.config.server.host
        if len(content) > MOST_BYTES:
            raise ConfigError(str(source.path), [Problem("", f"is longer than {MOST_BYTES} bytes")])
        config = source.checked(content)
        if config.server.host != host:
            source.checked(content, host=host)  # it must be usable at the address that is open
        return config

    def _problems(self, content: bytes) -> tuple[Problem, ...]:
        try:
            self._checked(content)
        except ConfigError as error:
            return error.problems
        return ()

    def _plain(self, text: str, now: bytes) -> bytes:
        """What a shown text means, in the bytes of the file."""
        try:
            return unmasked(text, now.decode("utf-8", "replace")).encode()
        except UnicodeEncodeError:
            raise ConfigError("the text", [Problem("", "is not valid Unicode")]) from None

    def _source(self) -> Source:
        source = self._world.source
        if source is None:
            raise Refused(409, "config_no_file", "This gateway was not started from a file.")
        return source

    def _history(self) -> History:
        return History(self._source().path)


def lines(change: Callable[[str, Config], str]) -> Make:
    """A change of the text, which is without a byte order mark."""

    def make(before: bytes, read: Callable[[], Config]) -> bytes:
        text = before.decode()
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        return (mark + change(text.removeprefix(mark), read())).encode()

    return make


def documented(change: Callable[[tomlkit.TOMLDocument, Config], None]) -> Make:
    """A change of the document, which keeps all else in the file as it is."""

    def make(before: bytes, read: Callable[[], Config]) -> bytes:
        config = read()
        return edited(before, lambda document: change(document, config), "the configuration")

    return make


def difference(before: bytes, after: bytes) -> str:
    """As `diff -u` shows it, with keys masked."""
    ours, theirs = (masked(one.decode("utf-8", "replace")).splitlines() for one in (before, after))
    return "\n".join(difflib.unified_diff(ours, theirs, "now", "then", lineterm=""))


def why_read_only(path: Path) -> str | None:
    """Why the file cannot be replaced, in words; None: it can."""
    place = Path(os.path.realpath(path))
    if not place.exists():
        return f"{path} does not exist: the gateway was started without a file"
    if not place.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        return f"{path} is marked as read-only"
    if not os.access(place, os.W_OK):
        return f"{path} may not be written by the gateway"
    if not os.access(place.parent, os.W_OK | os.X_OK):
        return f"the folder of {path} may not be written by the gateway"
    if os.path.ismount(place):
        return f"{path} is mounted by itself: mount its folder to change it from here"
    return None


def _read_only(why: str) -> Refused:
    return Refused(409, "config_read_only", f"The configuration is read-only here: {why}.")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
