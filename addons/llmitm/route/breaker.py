"""A provider that fails again and again is left alone for a while, then tried with one request."""

from __future__ import annotations

from collections import deque
from typing import Literal

from llmitm.clock import Clock

type Standing = Literal["closed", "open", "half-open"]
type Pass = Literal["plain", "probe", "no"]


class Breaker:
    """Closed: all pass. Open, after `failures` within `window_s`: none pass for `open_s`. Then half open:
    one passes, and its end decides.
    """

    __slots__ = ("_clock", "_failed_s", "_failures", "_is_probed", "_open_s", "_until_s", "_window_s")

    def __init__(self, clock: Clock, *, failures: int, window_s: float, open_s: float) -> None:
        self._clock = clock
        self._failed_s: deque[float] = deque()
        self.keep_to(failures=failures, window_s=window_s, open_s=open_s)
        self._until_s: float | None = None
        """When it is half open; None: it is closed."""
        self._is_probed = False

    def keep_to(self, *, failures: int, window_s: float, open_s: float) -> None:
        """From now on. What is open stays so for as long as it was said when it opened."""
        self._failures = failures
        self._window_s = window_s
        self._open_s = open_s
        self._failed_s = deque(self._failed_s, maxlen=failures)

    @property
    def standing(self) -> Standing:
        if self._until_s is None:
            return "closed"
        return "open" if self._clock.tick_s() < self._until_s else "half-open"

    def waits_s(self) -> float:
        """Seconds until one may pass; 0 where it may now."""
        if self._until_s is None:
            return 0
        return max(self._until_s - self._clock.tick_s(), 0.001 if self._is_probed else 0)

    def passes(self) -> Pass:
        """Whether this request may go. After `probe` one of `succeeded`, `failed` and `let_go` has to follow
        with `is_probe`, since no other request passes before."""
        match self.standing:
            case "closed":
                return "plain"
            case "half-open" if not self._is_probed:
                self._is_probed = True
                return "probe"
            case _:
                return "no"

    def succeeded(self, *, is_probe: bool) -> None:
        if is_probe or self._until_s is None:
            self._until_s = None
            self._failed_s.clear()
        if is_probe:
            self._is_probed = False

    def failed(self, *, is_probe: bool) -> bool:
        """Whether this opened it. What was under way when it opened says nothing new."""
        now_s = self._clock.tick_s()
        if self._until_s is None:
            self._failed_s.append(now_s)
            if len(self._failed_s) < self._failures or now_s - self._failed_s[0] > self._window_s:
                return False
        elif not is_probe:
            return False
        self._is_probed = False
        self._until_s = now_s + self._open_s
        self._failed_s.clear()
        return True

    def let_go(self, *, is_probe: bool) -> None:
        """The request came to no end that says anything of the provider."""
        if is_probe:
            self._is_probed = False
