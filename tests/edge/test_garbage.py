"""What the garbage collector looks at once the gateway runs, and what becomes of memory that is free."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress

import pytest

from llmitm.edge import garbage
from support.clocks import HandClock

SHOWN = """
import gc
from llmitm.edge.garbage import leave_alone_what_is_here
leave_alone_what_is_here()
print(gc.get_freeze_count() > 1_000, gc.get_count()[0] < 2_000, gc.isenabled(), gc.get_threshold()[0])
loop = []
loop.append(loop)
del loop
print(gc.collect())
"""


def test_what_is_here_is_left_alone_and_what_comes_is_not() -> None:
    done = subprocess.run([sys.executable, "-c", SHOWN], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True", str(garbage.YOUNG), "1"]


RUSH = """
import asyncio
from pathlib import Path
from llmitm.edge import garbage
from llmitm.clock import SystemClock

def held_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

class Once(SystemClock):
    turns = 0
    async def sleep(self, duration_s):
        self.turns += 1
        if self.turns > 1:
            raise EOFError

many = [bytes(2_000) for _ in range(20_000)]
left = many[::1_000]
del many
before = held_mb()
try:
    asyncio.run(garbage.give_back(Once()))
except EOFError:
    print(before - held_mb() > 20)
"""


@pytest.mark.skipif(garbage.trimming() is None, reason="the C library is another one")
def test_memory_of_a_rush_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", RUSH], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]


class Told(HandClock):
    def __init__(self) -> None:
        super().__init__()
        self.slept_s: list[float] = []

    async def sleep(self, duration_s: float) -> None:
        self.slept_s.append(duration_s)
        if len(self.slept_s) > 2:
            raise EOFError


@pytest.mark.skipif(garbage.trimming() is None, reason="the C library is another one")
def test_it_is_given_back_once_a_minute() -> None:
    clock = Told()
    with suppress(EOFError):
        asyncio.run(garbage.give_back(clock))
    assert clock.slept_s == [60, 60, 60]
