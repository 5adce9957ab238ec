"""The operator's modules: loaded once for a configuration.

What they are is compared by what stands in their files, so that a reload tells whether one has changed.
"""

from __future__ import annotations

import hashlib
import inspect
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final, Literal

type Fail = Literal["closed", "open"]

FAILS: Final[dict[str, Fail]] = {
    "on_request": "closed",
    "on_attempt": "closed",
    "on_delta": "open",
    "on_reply": "open",
}
"""Functions by name, each with what becomes of an exchange where it fails and nothing is said."""
_TIME_LIMIT_S: Final = 5.0


class Broken(Exception):
    """A module cannot be used. Tells the line where there is one."""


@dataclass(frozen=True, slots=True)
class Hook:
    function: Callable[[Any], Any]
    file: str
    name: str
    is_async: bool
    is_closed: bool
    """Whether an exchange is refused where it fails."""
    time_limit_s: float

    @property
    def shown(self) -> str:
        """As clients are told of it."""
        return f"{self.name} in {Path(self.file).name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Modules:
    digests: tuple[bytes, ...]
    """Of the files, in their order."""
    on_request: tuple[Hook, ...] = field(compare=False)
    on_attempt: tuple[Hook, ...] = field(compare=False)
    on_delta: tuple[Hook, ...] = field(compare=False)
    on_reply: tuple[Hook, ...] = field(compare=False)


def load(path: Path) -> tuple[bytes, list[Hook]]:
    """The digest of a file and the hooks that it defines.

    Raises:
        Broken: it cannot be read or run, or what it defines is no hook.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise Broken(f"{path} cannot be read: {error.strerror}") from None
    found = ModuleType(path.stem)
    found.__file__ = str(path)
    try:
        exec(_compiled(source, path), found.__dict__)
    except Broken:
        raise
    except (Exception, SystemExit) as error:
        raise Broken(f"{path}, line {line_of(error, str(path))}: {type(error).__name__}") from None
    return hashlib.sha256(source).digest(), _hooks(found, path)


def joined(loaded: Sequence[tuple[bytes, list[Hook]]]) -> Modules:
    """Hooks of all files, in the order of the files."""
    every = [hook for _, hooks in loaded for hook in hooks]
    named = {name: tuple(hook for hook in every if hook.name == name) for name in FAILS}
    return Modules(digests=tuple(digest for digest, _ in loaded), **named)


def line_of(error: BaseException, file: str) -> int:
    """The last line of `file` that an error passed through; 0 where it passed through none."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return (lines[-1] or 0) if lines else 0


def _compiled(source: bytes, path: Path) -> CodeType:
    try:
        return compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise Broken(f"{path}, line {error.lineno}: {error.msg}") from None
    except ValueError as error:
        raise Broken(f"{path}: {error}") from None


def _hooks(found: ModuleType, path: Path) -> list[Hook]:
    fail = getattr(found, "FAIL", None)
    if fail not in (None, "closed", "open"):
        raise Broken(f'{path}: FAIL is "closed" or "open"')
    limit_s = getattr(found, "TIME_LIMIT_S", _TIME_LIMIT_S)
    if isinstance(limit_s, bool) or not isinstance(limit_s, int | float) or not 0 < limit_s <= 600:
        raise Broken(f"{path}: TIME_LIMIT_S is a number of seconds above 0, of 600 at most")
    hooks = []
    for name, default in FAILS.items():
        function = getattr(found, name, None)
        if function is None:
            continue
        line = function.__code__.co_firstlineno if inspect.isfunction(function) else 0
        is_generator = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
        if not inspect.isfunction(function) or is_generator:
            raise Broken(f"{path}, line {line}: {name} is no plain or async function")
        try:
            inspect.signature(function).bind(None)
        except TypeError:
            raise Broken(f"{path}, line {line}: {name} takes one argument") from None
        is_async = inspect.iscoroutinefunction(function)
        is_closed = (fail or default) == "closed"
        hooks.append(Hook(function, str(path), name, is_async, is_closed, float(limit_s)))
    if not hooks:
        raise Broken(f"{path} defines none of {', '.join(FAILS)}")
    return hooks
