"""Notices when the configuration, or a file that it names, says something else than when it was read.

What counts is the content: a touch is no change, and neither is a file that is written anew as it was. It is
looked for a few times a second, which costs less than to be told by the system of all that happens in the
folder: the ledger lies there too, and is written all the time. It also finds what no system tells of (network
drives, a single file mounted into a container, a link to a link that is switched over).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncGenerator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from llmitm.clock import Clock
from llmitm.config.load import load
from llmitm.config.raw import plain
from llmitm.config.schema import Config
from llmitm.errors import ConfigError, Problem

LOOK_EVERY_S: Final = 0.25
SETTLE_S: Final = 0.1
"""So long nothing more must change before a change is told: files are written in pieces."""
_PATHS: Final = frozenset(
    {"tls_cert", "tls_key", "tls_cert_path", "tls_key_path", "tls_ca", "tls_client_cert"}
)
"""Keys whose values are files."""


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
            raw = plain(text.decode("utf-8"))
        except ValueError:
            return frozenset({self.path})
        named = (self._given.parent / one.expanduser() for one in (*_named(raw), *_modules(raw)))
        return frozenset({self.path, *(Path(os.path.abspath(one)) for one in named)})


async def changes(source: Source, clock: Clock) -> AsyncGenerator[None]:
    """Speaks up each time that something else has come to stand there, and has settled."""
    while True:
        await clock.sleep(LOOK_EVERY_S)
        if source.is_changed():
            await _settled(source, clock)
            if source.is_changed():
                yield


async def _settled(source: Source, clock: Clock) -> None:
    seen, before = source.digest(), b""
    while seen != before:
        await clock.sleep(SETTLE_S)
        seen, before = source.digest(), seen


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
