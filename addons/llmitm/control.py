"""What admin pages and the command line ask of a running gateway. May be remote."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from llmitm import __version__
from llmitm.config.watch import Source
from llmitm.errors import ConfigError
from llmitm.reload import read_change, shown
from llmitm.state.store import Mark
from llmitm.world import World

log = logging.getLogger("llmitm")

BY_OPERATOR: Final = 1
"""Why a credential rests, in its mark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How the gateway stands now."""

    version: str
    is_draining: bool
    in_flight: int
    """Exchanges whose end has not been seen."""
    exchanges: int
    """Exchanges begun since the start."""
    uptime_s: float
    endpoints: tuple[str, ...]


class Control(Protocol):
    async def state(self) -> State: ...

    async def rest(self, credential: str, duration_s: float) -> None:
        """Takes a credential out of rotation for a while. One that rests for longer goes on so.

        `credential` is its name, or `<provider>/<name>` where several have the same.

        Raises:
            LookupError: there is no credential of that name, or more than one.
        """

    async def revive(self, credential: str) -> None:
        """Puts a resting credential back.

        Raises:
            LookupError: as `rest`.
        """

    async def reload(self) -> None:
        """Reads the configuration anew and swaps it whole.

        Raises:
            ConfigError: it cannot be used; the old one stays in force.
        """

    async def drain(self) -> None:
        """Stops accepting, lets what runs come to its end (at most `shutdown_timeout_s`), and stops.

        Returns when this has begun.
        """


class Board(Protocol):
    """Where it is written what becomes of a gateway, for who does not read its log."""

    def listening(self, url: str) -> None:
        """The port is open. `url` has no path."""

    def reloaded(self, problems: tuple[str, ...]) -> None:
        """The configuration was read anew; with problems the old one stays in force."""


class LocalControl:
    """Control of the gateway in this process."""

    def __init__(self, world: World, *, stop: Callable[[], None], board: Board | None = None) -> None:
        """`stop` begins to drain."""
        self._world = world
        self._stop = stop
        self._board = board
        self._turn = asyncio.Lock()

    async def state(self) -> State:
        world = self._world
        return State(
            version=__version__,
            is_draining=world.is_draining,
            in_flight=world.in_flight,
            exchanges=world.exchanges,
            uptime_s=max(0.0, world.clock.now_s() - world.started_s),
            endpoints=tuple(world.config.endpoints),
        )

    async def rest(self, credential: str, duration_s: float) -> None:
        key = self._marks(credential)[0]
        await self._world.store.apply([Mark(key=key, value=BY_OPERATOR, ttl_s=duration_s)])

    async def revive(self, credential: str) -> None:
        marks = [Mark(key=key, is_over=True) for key in self._marks(credential)]
        await self._world.store.apply(marks)

    def _marks(self, wanted: str) -> tuple[str, ...]:
        """Keys of the marks of a credential: its own, and those of each model that it names."""
        found = [names for names in self._credentials() if wanted in (names[0], names[0].partition("/")[2])]
        if not found:
            raise LookupError(f"there is no credential called {wanted}")
        if len(found) > 1:
            raise LookupError(f"several are called {wanted}: {', '.join(names[0] for names in found)}")
        own = f"rest:{found[0][0]}"
        return (own, *(f"{own}:{model}" for model in found[0][1]))

    def _credentials(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each as `<provider>/<name>`, with the models that it names."""
        config = self._world.config
        for provider, options in config.providers.items():
            for one in options.credentials:
                yield f"{provider}/{one.name}", tuple(model.id for model in one.models)
        for gateway in config.gateways:
            yield f"cloudflare/{gateway.account_id}/{gateway.gateway_id}", ()

    async def reload(self) -> None:
        source = self._world.source
        if source is None:
            raise LookupError("this gateway was not started from a configuration that can be read anew")
        async with self._turn:
            supervisor = self._world.supervisor
            if supervisor is None:
                return await self._read(source)
            supervisor.reloading()
            try:
                await self._read(source)
            finally:
                supervisor.go_on()

    async def _read(self, source: Source) -> None:
        try:
            change = await asyncio.to_thread(read_change, source, self._world.config)
        except ConfigError as error:
            self._keep(error)
            raise
        before = self._world.config.warnings
        self._world.follow(change.config)
        log.info(
            "configuration read from %s: %s",
            change.config.source,
            f"changed {shown(change.changed)}" if change.changed else "nothing changed",
        )
        if change.fixed:
            log.warning("needs a restart, and stays as it was until then: %s", shown(change.fixed))
        for warning in change.config.warnings:
            if warning not in before:
                log.warning("%s", warning)
        self._tell(())

    def _keep(self, error: ConfigError) -> None:
        for problem in error.problems:
            log.error("%s: %s", error.source, problem)
        log.error("the configuration cannot be used; the one in force stays as it is")
        self._tell(tuple(self._world.redact(str(problem)) for problem in error.problems))

    def _tell(self, problems: tuple[str, ...]) -> None:
        if self._board is not None:
            self._board.reloaded(problems)
        if self._world.supervisor is not None:
            self._world.supervisor.reloaded(problems)

    async def drain(self) -> None:
        self._stop()
