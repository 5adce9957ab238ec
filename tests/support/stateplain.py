"""Counters as plainly as they can be told: everything is remembered, and looked through each time."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

from llmitm.state.store import Count, Lease, Mark, Outcome, Step, Window

NEVER_US = 10**30


def us(duration_s: float | None) -> int:
    return NEVER_US if duration_s is None else round(duration_s * 1_000_000)


@dataclass
class _State:
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Value and end."""
    marks: dict[str, tuple[int, int]] = field(default_factory=dict)
    leases: dict[tuple[str, str], int] = field(default_factory=dict)
    """End of each place, by key and holder."""
    windows: dict[tuple[str, float], list[int]] = field(default_factory=dict)
    """The slice that each single unit was added in."""


class Plain:
    def __init__(self) -> None:
        self.state = _State()
        self.now_us = 0

    def apply(self, steps: Sequence[Step], now_us: int) -> Outcome:
        self.now_us = now_us
        self.forget()
        before = copy.deepcopy(self.state)
        looks = []
        for at, step in enumerate(steps):
            if not self.take(step):
                tried, self.state = self.state, before
                looks = [self.look(one) for one in steps]
                return self.outcome(looks, at, self.wait_s(step, tried))
            looks.append(self.look(step))
        counts = self.state.counts
        self.state.counts = {k: one for k, one in counts.items() if one[0] or one[1] < NEVER_US}
        return self.outcome(looks, None, None)

    def outcome(self, looks: list[tuple[int, int]], refused: int | None, wait_s: float | None) -> Outcome:
        return Outcome(
            values=tuple(value for value, _ in looks),
            refused=refused,
            ends_s=tuple(None if end >= NEVER_US else (end - self.now_us) / 1e6 for _, end in looks),
            wait_s=wait_s,
        )

    def slice_us(self, window_s: float) -> int:
        return us(window_s) // 60

    def over(self, window_s: float) -> int:
        """The newest slice that has left the window."""
        return self.now_us // self.slice_us(window_s) - 61

    def forget(self) -> None:
        state, now_us = self.state, self.now_us
        state.counts = {key: one for key, one in state.counts.items() if one[1] > now_us}
        state.marks = {key: one for key, one in state.marks.items() if one[1] > now_us}
        state.leases = {key: end for key, end in state.leases.items() if end > now_us}
        for key, units in state.windows.items():
            state.windows[key] = [at for at in units if at > self.over(key[1])]

    def take(self, step: Step) -> bool:
        match step:
            case Count():
                return self.count(step)
            case Window():
                return self.window(step)
            case Lease():
                return self.lease(step)
            case Mark():
                return self.mark(step)

    def count(self, step: Count) -> bool:
        value, end = self.state.counts.get(step.key, (0, self.now_us + us(step.ttl_s)))
        if step.limit is not None and step.by >= 0 and value + step.by > step.limit:
            return False
        value += step.by
        if step.is_lasting and value < 0:
            value = 0
        if step.by and (value or step.key in self.state.counts or not step.is_lasting):
            self.state.counts[step.key] = (value, end)
        return True

    def window(self, step: Window) -> bool:
        units = self.state.windows.setdefault((step.key, step.window_s), [])
        since = None
        if step.age_s is not None:
            since = (self.now_us - us(step.age_s)) // self.slice_us(step.window_s)
            if since <= self.over(step.window_s):
                return True
        if step.limit is not None and step.by >= 0 and len(units) + step.by > step.limit:
            return False
        added = self.now_us // self.slice_us(step.window_s) if since is None else since
        units += [added] * step.by
        since = -1 if since is None else since
        for _ in range(-step.by):
            known = [at for at in units if at >= since]
            if known:
                units.remove(min(known))
        return True

    def lease(self, step: Lease) -> bool:
        place = (step.key, step.holder)
        if step.is_over:
            self.state.leases.pop(place, None)
            return True
        held = sum(key == step.key for key, _ in self.state.leases)
        if place not in self.state.leases and step.limit is not None and held + 1 > step.limit:
            return False
        self.state.leases[place] = self.now_us + us(step.ttl_s)
        return True

    def mark(self, step: Mark) -> bool:
        if step.is_over:
            self.state.marks.pop(step.key, None)
        elif step.value:
            end = self.now_us + us(step.ttl_s) if step.ttl_s is not None else NEVER_US
            if self.state.marks.get(step.key, (0, 0))[1] <= end:
                self.state.marks[step.key] = (step.value, end)
        return True

    def look(self, step: Step) -> tuple[int, int]:
        nothing = (0, NEVER_US)
        match step:
            case Count():
                return self.state.counts.get(step.key, nothing)
            case Mark():
                return self.state.marks.get(step.key, nothing)
            case Lease():
                ends = [end for (key, _), end in self.state.leases.items() if key == step.key]
                return len(ends), min(ends, default=NEVER_US)
            case Window():
                units = self.state.windows.get((step.key, step.window_s), [])
                end = (max(units) + 61) * self.slice_us(step.window_s) if units else NEVER_US
                return len(units), end

    def wait_s(self, step: Step, tried: _State) -> float | None:
        if not isinstance(step, Window) or step.limit is None:
            return None
        key = (step.key, step.window_s)
        units = sorted(self.state.windows.get(key, []))
        wanted = len(tried.windows[key]) - len(units) + step.by
        if wanted > step.limit:
            return None
        end = self.now_us
        while len(units) + wanted > step.limit:
            end = (units.pop(0) + 61) * self.slice_us(step.window_s)
            units = [at for at in units if (at + 61) * self.slice_us(step.window_s) > end]
        return (end - self.now_us) / 1e6
