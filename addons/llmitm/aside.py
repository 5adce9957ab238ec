"""Work that takes long, so that everybody else has a turn meanwhile.

What is done to a long body at one stretch is done beside the event loop, in a thread; what comes in long
pieces is taken in portions, with a pause between two. Either way what is done must be pure.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

LONG_BYTES: Final = 131_072
"""Work on less than this takes a few milliseconds: a thread would cost more than it saves."""
PORTION_BYTES: Final = 4_096
"""Of the shortest events there are, so many bytes are read within some ten milliseconds."""
_AT_ONCE: Final = 1
"""More would take more memory, each for itself, and save no time: one of them runs at a time."""
_TURN_S: Final = 0.001
"""How long such work may go on while the event loop waits for its turn. The interpreter's own 5 ms are due
several times in each request."""
_pool: Final = ThreadPoolExecutor(
    _AT_ONCE, thread_name_prefix="aside", initializer=sys.setswitchinterval, initargs=(_TURN_S,)
)


async def aside[**P, T](size_bytes: int, work: Callable[P, T], *args: P.args, **keywords: P.kwargs) -> T:
    """What `work` returns, or raises. `size_bytes` is how much it has to read. Where whoever waits for it is
    cancelled, it goes on to its end unheard."""
    if size_bytes < LONG_BYTES:
        return work(*args, **keywords)
    return await asyncio.get_running_loop().run_in_executor(_pool, partial(work, *args, **keywords))


def is_short(piece: bytes, held_bytes: int = 0) -> bool:
    """Most are: neither portions nor a thread would be worth it. `held_bytes`: what is read with it."""
    return len(piece) <= PORTION_BYTES and held_bytes + len(piece) < LONG_BYTES


def portions(piece: bytes) -> Iterator[bytes]:
    """A piece of an event stream, cut between events if it can be, else between lines. What has no line's end
    is not cut: nobody does anything with it yet."""
    at = 0
    while len(piece) - at > PORTION_BYTES:
        most = at + PORTION_BYTES
        end = piece.rfind(b"\n\n", at, most) + 2
        if end <= at + 1:
            end = piece.rfind(b"\n", at, most) + 1
        if end <= at:
            end = most if b"\r" in piece[at:most] else _line_end(piece, most)
        yield piece[at:end]
        at = end
    if at < len(piece):
        yield piece[at:]


def _line_end(piece: bytes, start: int) -> int:
    """Behind the first line's end from there on; the piece's end where there is none."""
    lf = piece.find(b"\n", start)
    cr = piece.find(b"\r", start, lf if lf >= 0 else len(piece))
    return (cr if cr >= 0 else lf) + 1 or len(piece)


async def in_portions(piece: bytes) -> AsyncIterator[bytes]:
    """The same, with a turn for others between two."""
    is_later = False
    for portion in portions(piece):
        if is_later:
            await asyncio.sleep(0)
        is_later = True
        yield portion
