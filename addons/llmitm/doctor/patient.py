"""What is examined, and the world that it is examined in: all that checks touch is handed to them here."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from threading import Thread

from llmitm.clock import Clock
from llmitm.config.schema import Config
from llmitm.errors import Problem
from llmitm.exchange import Sender

type Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""A host name to its addresses. Raises OSError where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What time a server said it was."""

    host: str
    date: str
    at_s: float
    """When we heard it, in seconds since the epoch by our own clock."""
    late_s: float
    """How long it may have been under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A gateway that runs with this configuration."""

    pid: int
    url: str | None
    """Where it listens; None: not yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """What is installed."""

    version: Callable[[str], str | None]
    """Of a package; None: it is not there."""
    required: Sequence[str]
    """What this package asks for, as its metadata has it, such as `aiohttp<4,>=3.14`."""

    @classmethod
    def here(cls) -> Packages:
        try:
            required = requires("llmitm") or []
        except PackageNotFoundError:
            required = []
        return cls(version=_installed, required=required)


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    config: Config | None
    """None: it cannot be used, for these `problems`."""
    problems: Sequence[Problem] = ()
    path: Path
    """Of the configuration's file, whether or not it is there."""
    env: Mapping[str, str]
    clock: Clock
    sender: Sender
    """Waits for nobody long."""
    resolve: Resolve
    running: Running | None = None
    own_ports: frozenset[int] = frozenset()
    """That this very process listens on."""
    packages: Packages
    is_offline: bool = False
    """Nobody beyond this machine is asked."""
    told: list[Told] = field(default_factory=list)
    """By the servers that were asked."""

    @property
    def folder(self) -> Path:
        """That paths in the configuration are relative to."""
        return self.path.absolute().parent


async def aside[T](work: Callable[[], T]) -> T:
    """Runs what blocks in a thread that nobody has to wait for: where it hangs, it is left behind."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        failed: BaseException | None = None
        try:
            result = work()
        except BaseException as error:
            failed = error
        try:
            loop.call_soon_threadsafe(tell, result, failed)
        except RuntimeError:
            pass  # the loop is gone, and so is whoever asked

    Thread(target=run, daemon=True, name="llmitm-doctor").start()
    return await done


async def resolve(host: str) -> Sequence[str]:
    """By the system's resolver. Raises OSError where the name has no address."""
    found = await aside(lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
    return list(dict.fromkeys(str(one[4][0]) for one in found))
