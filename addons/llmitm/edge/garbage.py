"""How seldom the garbage collector looks, and at what; and memory that is free goes back to the system.

A gateway makes and drops some hundred objects an exchange, nearly all of which go by themselves. As it comes,
the collector looks through the whole program, half a million objects of it mitmproxy's, every few seconds: a
tenth of a second in which nobody is answered.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final

from llmitm.clock import Clock

YOUNG: Final = 20_000
"""So many objects more than were dropped begin a look at the young ones; some 4 MB."""

GIVEN_BACK_EVERY_S: Final = 60.0


def leave_alone_what_is_here() -> None:
    """To be called once, when all that stays has been made: from now on only what comes is looked at."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])


async def give_back(clock: Clock) -> None:
    """For ever: after a rush the C library keeps what was needed then, while a few small pieces of it are
    still in use."""
    trim = trimming()
    while trim is not None:
        await clock.sleep(GIVEN_BACK_EVERY_S)
        await asyncio.to_thread(trim, 0)


def trimming() -> Callable[[int], int] | None:
    """What gives memory back, but for that many bytes; None where the C library is not glibc."""
    import ctypes

    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):  # Windows has no such handle, others no such function
        return None
    return found
