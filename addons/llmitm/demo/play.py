"""Puts an answer on the wire, with the faults that were asked for."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator

from llmitm.clock import Clock
from llmitm.demo.answers import Reply
from llmitm.demo.faults import Faults, Kind
from llmitm.demo.wire import Wire

_BEFORE_RESET_S = 0.02
"""An RST overtakes bytes that the peer has not read yet; a moment lets it read them."""
_TRAILERS = (("x-demo-trailer", "the end"),)


async def play(
    reply: Reply,
    faults: Faults,
    wire: Wire,
    clock: Clock,
    *,
    error_event: Callable[[bool], bytes],
    pace_s: float = 0.0,
) -> None:
    """Writes `reply` until it is complete or a fault ends it. A stall lasts until it is cancelled.

    `error_event` makes an error in the stream's dialect, given whether it is the first event; `pace_s`
    is the wait before each piece unless a fault says another.
    """
    if Kind.SLOW in faults:
        await clock.sleep(faults.number(Kind.SLOW) / 1000)
    if await _fails_before_head(faults, wire):
        return
    if Kind.EARLY_HINTS in faults:
        await wire.raw(b"HTTP/1.1 103 Early Hints\r\nlink: </demo.css>; rel=preload\r\n\r\n")
    pieces, length = _body(reply, faults, error_event)
    head = wire.head_bytes(
        reply.status,
        _headers(reply, faults),
        length,
        close_delimited=Kind.CLOSE_DELIMITED in faults,
    )
    if await _fails_in_head(head, faults, wire, clock):
        return
    await wire.raw(head)
    await _write_body(pieces, faults, wire, clock, pace_s)


async def _fails_before_head(faults: Faults, wire: Wire) -> bool:
    if Kind.STALL in faults:
        await _stall()
    if Kind.RESET in faults:
        wire.reset()
    elif Kind.CLOSE in faults:
        wire.cut()
    elif Kind.MALFORMED_HTTP in faults:
        await wire.raw(b"THIS IS NOT HTTP\r\ncontent-length: 2\r\n\r\n{}")
        wire.cut()
    return wire.is_over


async def _fails_in_head(head: bytes, faults: Faults, wire: Wire, clock: Clock) -> bool:
    if Kind.STALL_HEADERS in faults or Kind.RESET_HEADERS in faults:
        # within a header's name, so that no parser may take the head for complete
        await wire.raw(head[: head.index(b"\r\n") + 6])
        if Kind.STALL_HEADERS in faults:
            await _stall()
        await clock.sleep(_BEFORE_RESET_S)
        wire.reset()
    return wire.is_over


async def _stall() -> None:
    await asyncio.Event().wait()


def _headers(reply: Reply, faults: Faults) -> list[tuple[str, str]]:
    headers = faults.onto(reply.headers)
    if Kind.GZIP in faults:
        headers.append(("content-encoding", "gzip"))
    if Kind.TRAILERS in faults:
        headers.append(("trailer", _TRAILERS[0][0]))
    if Kind.BIG_HEADERS in faults:
        headers.append(("x-demo-big", "b" * faults.number(Kind.BIG_HEADERS)))
    return headers


def _body(
    reply: Reply, faults: Faults, error_event: Callable[[bool], bytes]
) -> tuple[Iterable[bytes], int | None]:
    """The body's pieces as they are to be sent, and its length where that is announced."""
    pieces, length = reply.pieces, reply.length
    if reply.is_stream:
        if Kind.ERROR_EVENT in faults:
            count = faults.number(Kind.ERROR_EVENT)
            pieces = [*list(pieces)[:count], error_event(count == 0)]
        if Kind.MALFORMED_SSE in faults:
            pieces = _changed(pieces, faults.number(Kind.MALFORMED_SSE, 1), _break_json)
        if Kind.INVALID_UTF8 in faults:
            pieces = _changed(pieces, faults.number(Kind.INVALID_UTF8, 1), _break_utf8)
    if Kind.GZIP in faults:
        if length is not None:
            # held whole: JSON answers are short
            packed = gzip.compress(b"".join(pieces), mtime=0)
            pieces, length = [packed], len(packed)
        else:
            pieces = _gzip_pieces(pieces)
    if Kind.TRAILERS in faults or Kind.CLOSE_DELIMITED in faults:
        length = None
    for kind in _ENDINGS:
        if kind in faults:
            pieces = _first(pieces, faults.number(kind, -1), by_event=reply.is_stream)
            if kind is Kind.EARLY_END and length is not None:
                # a body that HTTP finds complete
                pieces = list(pieces)
                length = sum(map(len, pieces))
            break
    return pieces, length


def _changed(pieces: Iterable[bytes], place: int, change: Callable[[bytes], bytes]) -> Iterator[bytes]:
    for number, piece in enumerate(pieces):
        yield change(piece) if number == place else piece


def _break_json(event: bytes) -> bytes:
    text = event.rstrip(b"\r\n")
    return text[: -max(1, len(text) // 3)] + event[len(text) :]


def _break_utf8(event: bytes) -> bytes:
    """Puts two bytes that no UTF-8 text can hold into a string of the event's JSON."""
    return event.replace(b"{", b'{"demo":"\xff\xfe",', 1)


def _gzip_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Compressed piece by piece, each flushed so that it can be read when it arrives."""
    packer = zlib.compressobj(wbits=31)
    for piece in pieces:
        yield packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()


async def _write_body(
    pieces: Iterable[bytes], faults: Faults, wire: Wire, clock: Clock, pace_s: float
) -> None:
    pace_s = faults.number(Kind.PACE) / 1000 if Kind.PACE in faults else pace_s
    for piece in pieces:
        if pace_s:
            await clock.sleep(pace_s)
        await wire.piece(piece)
    end = next((end for kind, end in _ENDINGS.items() if kind in faults), _end_properly)
    await end(faults, wire, clock)


def _first(pieces: Iterable[bytes], count: int, *, by_event: bool) -> Iterator[bytes]:
    """The first `count` events or bytes; all but the last one for -1."""
    if count == -1:
        held: bytes | None = None
        for piece in pieces:
            if held is not None:
                yield held
            held = piece
        if held is not None and not by_event:
            yield held[:-1]
        return
    if count == 0:
        return
    for number, piece in enumerate(pieces, 1):
        if by_event:
            yield piece
            if number == count:
                return
        else:
            yield piece[:count]
            count -= len(piece)
            if count <= 0:
                return


async def _end_properly(faults: Faults, wire: Wire, clock: Clock) -> None:
    await wire.end(_TRAILERS if Kind.TRAILERS in faults else ())
    if not wire.keep_alive:
        wire.cut()


async def _end_by_reset(faults: Faults, wire: Wire, clock: Clock) -> None:
    await clock.sleep(_BEFORE_RESET_S)
    wire.reset()


async def _end_by_stall(faults: Faults, wire: Wire, clock: Clock) -> None:
    await _stall()


async def _end_by_fin(faults: Faults, wire: Wire, clock: Clock) -> None:
    wire.cut()


type _Ending = Callable[[Faults, Wire, Clock], Awaitable[None]]

_ENDINGS: dict[Kind, _Ending] = {
    Kind.RESET_BODY: _end_by_reset,
    Kind.STALL_STREAM: _end_by_stall,
    Kind.TRUNCATE: _end_by_fin,
    Kind.EARLY_END: _end_properly,
}
