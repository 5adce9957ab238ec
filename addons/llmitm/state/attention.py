"""Time in which this process could have heard an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

STEP_S: Final = 0.01


class Timer(Protocol):
    def cancel(self) -> None: ...


class Loop(Protocol):
    """What is needed of an event loop."""

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer: ...


class Attention:
    """Counts `STEP_S` at the most for each turn of the event loop.

    A process that stands still, or whose loop is full of work, hears nothing whatever the other side does:
    answers lie there unread until its next turn, and a call takes several turns. So whoever waits for T
    seconds of this time was given T / `STEP_S` turns at least; and as each turn counts for something, the
    wait ends however busy the loop is.
    """

    def __init__(
        self, look: Callable[[float], bool], loop: Callable[[], Loop] = asyncio.get_running_loop
    ) -> None:
        """`look` is told after each step what was paid by then, and says whether to go on."""
        self.paid_s = 0.0
        """Grows by `STEP_S` at a time; only differences tell anything."""
        self._look = look
        self._loop = loop
        self._timer: Timer | None = None

    def pay(self) -> None:
        """Begins, where it has not; costs nothing while it goes on."""
        if self._timer is None:
            self._timer = self._loop().call_later(STEP_S, self._step)

    def _step(self) -> None:
        self._timer = None
        self.paid_s += STEP_S
        if self._look(self.paid_s):
            self.pay()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
