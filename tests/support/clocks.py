"""Time that stands still until a test moves it."""

from __future__ import annotations

from llmitm.clock import SystemClock


class HandClock(SystemClock):
    def __init__(self, tick_s: float = 1_000.0, now_s: float = 1_790_000_000.0) -> None:
        self.at_s = tick_s
        self._since_s = now_s - tick_s

    def tick_s(self) -> float:
        return self.at_s

    def now_s(self) -> float:
        return self._since_s + self.at_s
