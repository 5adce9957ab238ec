"""A login that is over ends the reading, too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from llmitm.admin import socket as sockets
from support.clocks import HandClock


class Passing(HandClock):
    """Nobody waits: time goes on by as much."""

    async def sleep(self, duration_s: float) -> None:  # type: ignore[override]
        self.at_s += duration_s


class Closing:
    code: int | None = None

    async def close(self, *, code: int, message: bytes) -> None:
        self.code = code


async def test_a_login_that_is_over_ends_the_reading() -> None:
    clock, socket, standing = Passing(), Closing(), [True, True, False]

    async def is_still_in() -> bool:
        return standing.pop(0)

    asked = SimpleNamespace(is_still_in=is_still_in, world=SimpleNamespace(clock=clock))
    began_s = clock.tick_s()
    await sockets._watch(cast(Any, socket), cast(Any, asked))
    assert socket.code == sockets.LOGGED_OUT
    assert clock.tick_s() - began_s == 2 * sockets.CHECK_S
