"""Time in which this process could have heard an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

STEP_S: Final = 0.05


class Attention:
    """Counts time only while the event loop is free to look at its sockets.

    A process that stands still, or whose loop is full of work, hears nothing whatever the other side does:
    answers lie there unread. So a step that ended late counts for less, and one that ended half its length
    late for nothing.
    """

    def __init__(self, look: Callable[[float], bool]) -> None:
        """`look` is told after each step what was paid by then, and says whether to go on."""
        self.paid_s = 0.0
        """Grows by `STEP_S` at a time; only differences tell anything."""
        self._look = look
        self._timer: asyncio.TimerHandle | None = None

    def pay(self) -> None:
        """Begins, where it has not; costs nothing while it goes on."""
        if self._timer is None:
            self._again()

    def _again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(STEP_S, self._step)

    def _step(self) -> None:
        assert self._timer is not None
        late_s = asyncio.get_running_loop().time() - self._timer.when()
        self.paid_s += max(STEP_S - 2 * late_s, 0)
        if self._look(self.paid_s):
            self._again()
        else:
            self._timer = None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
