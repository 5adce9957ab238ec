"""Signs of life for a client whose answer is slow to come.

Proxies and clients give up on a connection that is silent. A comment of an event stream, or a blank
before a JSON body, keeps it open and says nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final

from llmitm.clock import Clock

_SEAMS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")


async def with_heartbeat(
    pieces: AsyncIterator[bytes],
    *,
    interval_s: float,
    after_s: float,
    beat: Callable[[], bytes],
    clock: Clock,
) -> AsyncGenerator[bytes, None]:
    """The pieces as they come, and what `beat` says where they do not.

    The first beat of a stream that has not begun comes after `after_s` seconds, later ones after
    `interval_s` of silence. None comes within an event: only before the first piece, and after a piece that
    ends with a blank line. `interval_s` 0 turns beats off. One beat at most waits for a client that is slow
    to read; no piece is read ahead of it but one.

    Whatever `pieces` raises is raised here. Once it was begun, closing this closes `pieces`, which is read
    in one task of its own from its first piece to its end.
    """
    if interval_s <= 0:
        try:
            async for piece in pieces:
                yield piece
        finally:
            await _close(pieces)
        return

    wake, taken = asyncio.Event(), asyncio.Event()
    slot: list[bytes] = []
    last_s = clock.tick_s()
    wait_s = after_s
    is_due = False

    async def pump() -> None:
        try:
            async for piece in pieces:
                slot.append(piece)
                wake.set()
                await taken.wait()
                taken.clear()
        finally:
            wake.set()
            await _close(pieces)

    async def tick() -> None:
        nonlocal is_due
        while True:
            left_s = last_s + wait_s - clock.tick_s()
            if left_s <= 0:
                is_due = True
                wake.set()
                left_s = wait_s
            await clock.sleep(min(left_s, interval_s))  # what is waited for may become shorter meanwhile

    source = asyncio.create_task(pump())
    ticker = asyncio.create_task(tick())
    source.add_done_callback(lambda _: wake.set())
    tail = _SEAMS[0]
    try:
        while True:
            await wake.wait()
            wake.clear()
            if slot:
                piece = slot.pop()
                taken.set()
                tail = (tail + piece)[-4:]
                wait_s = interval_s
                yield piece
            elif source.done():
                source.result()
                return
            elif is_due and tail.endswith(_SEAMS):
                wait_s = interval_s
                yield beat()
            is_due = False
            last_s = clock.tick_s()
    finally:
        source.cancel()
        ticker.cancel()
        await asyncio.gather(source, ticker, return_exceptions=True)


async def _close(pieces: AsyncIterator[bytes]) -> None:
    close = getattr(pieces, "aclose", None)
    if close is not None:
        await close()
