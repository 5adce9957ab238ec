"""Notices when the configuration, or a file that it names, says something else than when it was read.

What counts is the content: a touch is no change, and neither is a file that is written anew as it was. The
folders are watched and not the files, so that a file may be replaced, be a link to a link that is switched
over, or be gone for a while. Where the system tells nothing of changes (network drives, a single file
mounted into a container), a look every few seconds finds them.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import tomli

from llmitm.clock import Clock
from llmitm.config.load import load
from llmitm.config.schema import Config
from llmitm.errors import ConfigError, Problem

log = logging.getLogger("llmitm")

LOOK_EVERY_S: Final = 2.0
"""How often is looked where nothing was heard."""
SETTLE_S: Final = 0.1
"""So long nothing more must change before a change is told: files are written in pieces."""
_MOST_LINKS: Final = 40
_PATHS: Final = frozenset(
    {"tls_cert", "tls_key", "tls_cert_path", "tls_key_path", "tls_ca", "tls_client_cert"}
)
"""Keys whose values are files."""

type Notices = Callable[[frozenset[Path], Clock], AsyncGenerator[None]]
"""Speaks up when one of these files may have changed, and now and then without a reason."""


class Source:
    """Where a configuration comes from, and what stood there when it was last read."""

    def __init__(
        self, path: Path, *, env: Mapping[str, str], host: str | None = None, port: int | None = None
    ) -> None:
        """`host` and `port` are those of the command line, as of `load`."""
        self.path = Path(os.path.abspath(path))
        self._given = path
        self._env = env
        self._host = host
        self._port = port
        self._is_from_file = False
        self._digest = b""
        self._named: tuple[bytes, frozenset[Path]] = b"", frozenset({self.path})
        """What was last seen to stand there, and the files that it names: looks are many, changes few."""

    def read(self, *, host: str | None = None) -> Config:
        """Reads it anew. `host` wins over all that is said elsewhere.

        A file that has been read once and is now gone or empty is not taken for a configuration without
        anything: it is on its way.

        Raises:
            ConfigError: with every problem found.
        """
        self._digest = self.digest()  # first, so that what changes in between is found later
        text = _content(self._given)
        if self._is_from_file and text is None and not self.path.exists():
            raise ConfigError(str(self._given), [Problem("", "is gone")])
        if self._is_from_file and text is not None and not text.strip():
            raise ConfigError(str(self._given), [Problem("", "is empty")])
        config = load(self._given, env=self._env, host=host or self._host, port=self._port, text=text)
        self._is_from_file = text is not None
        return config

    def checked(self, text: bytes, *, host: str | None = None) -> Config:
        """What this text would be in the file's place. Nothing is remembered of it.

        Raises:
            ConfigError: with every problem found.
        """
        return load(self._given, env=self._env, host=host or self._host, port=self._port, text=text)

    def is_changed(self) -> bool:
        """Whether something else stands there than when it was last read."""
        return self.digest() != self._digest

    def digest(self) -> bytes:
        """Of the content of every file that counts. One that cannot be read counts as well."""
        found = hashlib.sha256()
        for path in sorted(self.files()):
            text = _content(path)
            size = -1 if text is None else len(text)
            found.update(f"{path}\0{size}\0".encode() + (text or b""))
        return found.digest()

    def files(self) -> frozenset[Path]:
        """The file itself and those that it names, as far as it can be read."""
        text = _content(self.path)
        if text is None:
            return frozenset({self.path, self.path.parent / ".env"})
        known = self._named
        if text != known[0]:
            known = self._named = text, self._files_in(text)
        return known[1]

    def _files_in(self, text: bytes) -> frozenset[Path]:
        try:
            raw = tomli.loads(text.decode("utf-8").removeprefix("\ufeff"))
        except ValueError:
            return frozenset({self.path})
        named = (self._given.parent / one.expanduser() for one in (*_named(raw), *_modules(raw)))
        return frozenset({self.path, *(Path(os.path.abspath(one)) for one in named)})


async def changes(source: Source, clock: Clock, *, notices: Notices | None = None) -> AsyncGenerator[None]:
    """Speaks up each time that something else has come to stand there, and has settled."""
    notices = notices or listened
    while True:
        wanted = _marked(source)
        async with aclosing(notices(frozenset(path for path, _ in wanted), clock)) as heard:
            async for _ in heard:
                if source.is_changed():
                    await _settled(source, clock)
                    if source.is_changed():
                        yield
                if _marked(source) != wanted:
                    break  # another folder is to be watched


async def _settled(source: Source, clock: Clock) -> None:
    seen, before = source.digest(), b""
    while seen != before:
        await clock.sleep(SETTLE_S)
        seen, before = source.digest(), seen


async def listened(entries: frozenset[Path], clock: Clock) -> AsyncGenerator[None]:
    """What the system tells of `entries`, and every LOOK_EVERY_S."""
    told, stop = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def tell() -> None:
        try:
            loop.call_soon_threadsafe(told.set)
        except RuntimeError:  # the loop has ended
            stop.set()

    # not asyncio's own threads: the end of a program waits for those for ever
    threading.Thread(target=_listen, args=(entries, stop, tell), name="llmitm-watch").start()
    try:
        while True:
            try:
                await asyncio.wait_for(told.wait(), LOOK_EVERY_S)
            except TimeoutError:
                pass
            told.clear()
            yield
    finally:
        stop.set()


def _listen(entries: frozenset[Path], stop: threading.Event, tell: Callable[[], None]) -> None:
    """Until `stop`, or the end of the program."""
    import watchfiles

    folders = {entry.parent for entry in entries}
    names = {str(path) for path in entries | folders}
    try:
        for changed in watchfiles.watch(
            *folders,
            watch_filter=lambda _, path: path in names,
            debounce=200,
            step=100,
            stop_event=stop,
            rust_timeout=1000,
            yield_on_timeout=True,
            raise_interrupt=False,
            recursive=False,
        ):
            if changed:
                tell()
            if not threading.main_thread().is_alive():
                return
    except (OSError, RuntimeError) as error:
        log.warning(
            "changes of the configuration are looked for every %g s: the system tells of none (%s)",
            LOOK_EVERY_S,
            type(error).__name__,
        )


def entries(path: Path) -> frozenset[Path]:
    """What must stay as it is for `path` to lead to the same file: the file, and each link on the way.

    Where the way ends too early, it is the place at which it does.
    """
    found: list[Path] = []
    here, left = Path(path.anchor), deque(path.parts[1:])
    while left:
        one = here / left.popleft()
        if one.is_symlink() and len(found) < _MOST_LINKS:
            found.append(one)
            target = Path(os.path.normpath(here / one.readlink()))
            here = Path(target.anchor)
            left.extendleft(reversed(target.parts[1:]))
        elif not left or not one.is_dir():
            return frozenset({*found, one})
        else:
            here = one
    return frozenset(found)


def _marked(source: Source) -> frozenset[tuple[Path, int | None]]:
    """Each entry that counts, with the number of its folder: one that was made anew is another."""
    every = {entry for path in source.files() for entry in _entries_or_none(path)}
    return frozenset((entry, _number(entry.parent)) for entry in every)


def _entries_or_none(path: Path) -> frozenset[Path]:
    try:
        return entries(path)
    except OSError:  # no file can have such a name: it is too long
        return frozenset()


def _number(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except OSError:
        return None


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _modules(raw: Mapping[str, Any]) -> Iterator[Path]:
    """Files of functions that it names."""
    hooks = raw.get("hooks")
    modules = hooks.get("modules") if isinstance(hooks, dict) else None
    for one in modules if isinstance(modules, list) else ():
        if isinstance(one, str) and "\0" not in one:
            yield Path(one)


def _named(value: Any, key: str = "") -> Iterator[Path]:
    """Files that a configuration names, wherever they stand in it."""
    match value:
        case dict():
            for name, one in value.items():
                yield from _named(one, name.replace("-", "_"))
        case list():
            for one in value:
                yield from _named(one, key)
        case str() if "\0" in value:
            return  # no file is called so
        case str() if value.startswith("file:"):
            yield Path(value.removeprefix("file:"))
        case str() if key in _PATHS:
            yield Path(value)
