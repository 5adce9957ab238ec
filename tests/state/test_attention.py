"""How long a process waits that is kept from listening: always an end, never before it could have heard."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from llmitm.state.attention import STEP_S, Attention

WAIT_S = 0.25


class Due:
    def cancel(self) -> None:
        raise AssertionError("nobody closes it here")


class SlowLoop:
    """Looks at its timers, and at its sockets, once in `turn_s`."""

    def __init__(self, turn_s: float) -> None:
        self.turn_s = turn_s
        self.at_s = 0.0
        self.turns = 0
        self._due: list[tuple[float, Callable[[], object]]] = []

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Due:
        self._due.append((self.at_s + delay, callback))
        return Due()

    def turn(self) -> None:
        self.at_s += self.turn_s
        self.turns += 1
        due = [one for one in self._due if one[0] <= self.at_s + 1e-9]
        self._due = [one for one in self._due if one not in due]
        for _, callback in due:
            callback()


@pytest.mark.parametrize("turn_s", [0.0005, 0.003, 0.0101, 0.042, 0.0501, 0.051, 0.2, 3.0])
def test_who_waits_was_given_turns_enough_to_hear_and_does_not_wait_for_ever(turn_s: float) -> None:
    loop = SlowLoop(turn_s)
    attention = Attention(lambda paid_s: paid_s < WAIT_S - 1e-9, lambda: loop)
    attention.pay()
    least_turns = round(WAIT_S / STEP_S)
    while attention.paid_s < WAIT_S - 1e-9:
        loop.turn()
        assert loop.turns <= least_turns * math.ceil(1 + STEP_S / turn_s)
    assert loop.turns >= least_turns
    assert loop.at_s >= WAIT_S - 1e-9


def test_it_costs_nothing_while_nobody_waits() -> None:
    loop = SlowLoop(STEP_S)
    attention = Attention(lambda _: False, lambda: loop)
    attention.pay()
    attention.pay()
    for _ in range(5):
        loop.turn()
    assert (attention.paid_s, loop._due) == (STEP_S, [])
