"""Undoes the compression of an answer, in portions that stay small however well it was packed. Pure.

A few kilobytes may stand for a gigabyte: who reads them can stop between two portions, or let others have a
turn.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

import brotli
import zstandard

PORTION_BYTES: Final = 262_144
"""Of gzip and brotli; of zstd, which has no bound of its own, a portion may have thirty times as much."""
_SLICE_BYTES: Final = 64
"""Of zstd's bytes, four make 128 KB at most."""

type Inflate = Callable[[bytes], Iterator[bytes]]
"""The portions that a piece makes. Raises `Broken`."""


class Broken(Exception):
    """The bytes are not of the coding that was named."""


def inflater(encoding: bytes | None) -> Inflate | None:
    """What undoes it; None where nothing need be undone.

    Raises:
        LookupError: nobody here can.
    """
    name = (encoding or b"").strip().lower()
    if name in (b"", b"identity"):
        return None
    return _MADE[name]()


class _Zlib:
    """gzip, and deflate with the header that belongs to it or without, as many send it."""

    __slots__ = ("_begun", "_inflater")

    def __init__(self, *, may_lack_header: bool = False) -> None:
        self._begun: bytes | None = b"" if may_lack_header else None
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def __call__(self, piece: bytes) -> Iterator[bytes]:
        if self._begun is not None:
            piece = self._begun + piece
            if len(piece) < 2:
                self._begun = piece
                return
            self._begun = None
            if not _has_header(piece):
                self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            while piece and not self._inflater.eof:
                portion = self._inflater.decompress(piece, PORTION_BYTES)
                piece = self._inflater.unconsumed_tail
                yield portion
        except zlib.error as error:
            raise Broken from error


def _has_header(begun: bytes) -> bool:
    return begun[:2] == b"\x1f\x8b" or (begun[0] & 15 == 8 and int.from_bytes(begun[:2]) % 31 == 0)


class _Brotli:
    __slots__ = ("_inflater",)

    def __init__(self) -> None:
        self._inflater = brotli.Decompressor()

    def __call__(self, piece: bytes) -> Iterator[bytes]:
        try:
            while portion := self._inflater.process(piece, output_buffer_limit=PORTION_BYTES):
                yield portion
                piece = b""
        except brotli.error as error:
            raise Broken from error


class _Zstandard:
    __slots__ = ("_inflater",)

    def __init__(self) -> None:
        self._inflater = zstandard.ZstdDecompressor(max_window_size=8_388_608).decompressobj()

    def __call__(self, piece: bytes) -> Iterator[bytes]:
        try:
            for at in range(0, len(piece), _SLICE_BYTES):
                if self._inflater.eof:
                    return
                yield self._inflater.decompress(piece[at : at + _SLICE_BYTES])
        except zstandard.ZstdError as error:
            raise Broken from error


_MADE: Final[Mapping[bytes, Callable[[], Inflate]]] = {
    b"gzip": _Zlib,
    b"x-gzip": _Zlib,
    b"deflate": partial(_Zlib, may_lack_header=True),
    b"br": _Brotli,
    b"zstd": _Zstandard,
}
