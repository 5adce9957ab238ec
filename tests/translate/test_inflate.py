"""Compressed answers are read in small portions, however much they stand for."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard

from llmitm.exchange import Dialect
from llmitm.translate.beside import WHOLE_LIMIT_BYTES
from llmitm.translate.glance import Glance
from llmitm.translate.inflate import Broken, inflater


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


BOMB_BYTES = 64 * 1024 * 1024
PACKED: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "gzip": (b"gzip", gzip.compress),
    "x-gzip": (b"x-gzip", gzip.compress),
    "deflate": (b"deflate", zlib.compress),
    "deflate without its header": (b"deflate", raw_deflate),
    "br": (b"br", lambda content: brotli.compress(content, quality=3)),
    "zstd": (b"ZSTD ", zstandard.compress),
}


@pytest.fixture(scope="module")
def bombs() -> dict[str, bytes]:
    content = bytes(BOMB_BYTES)
    return {name: pack(content) for name, (_, pack) in PACKED.items()}


@pytest.mark.parametrize("content", [b"", b"{}", random.Random(1).randbytes(3_000), bytes(1_000_000)])
@pytest.mark.parametrize("piece_bytes", [1, 1_000, 10_000_000])
@pytest.mark.parametrize("name", PACKED)
def test_what_was_packed_comes_back(name: str, piece_bytes: int, content: bytes) -> None:
    encoding, pack = PACKED[name]
    packed, inflate = pack(content), inflater(encoding)
    assert inflate is not None
    found = b""
    for at in range(0, len(packed), piece_bytes):
        found += b"".join(inflate(packed[at : at + piece_bytes]))
    assert found == content


@pytest.mark.parametrize("name", PACKED)
def test_a_bomb_goes_off_in_small_portions(name: str, bombs: dict[str, bytes]) -> None:
    inflate = inflater(PACKED[name][0])
    assert inflate is not None
    tracemalloc.start()
    try:
        whole_bytes = sum(len(portion) for portion in inflate(bombs[name]))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert whole_bytes == BOMB_BYTES


@pytest.mark.parametrize("is_events", [True, False])
@pytest.mark.parametrize("name", PACKED)
def test_a_bomb_is_not_counted(name: str, is_events: bool, bombs: dict[str, bytes]) -> None:
    glance = Glance(Dialect.OPENAI_CHAT, is_events=is_events, encoding=PACKED[name][0])
    tracemalloc.start()
    try:
        for at in range(0, len(bombs[name]), 65_536):
            glance.feed(bombs[name][at : at + 65_536])
        glance.finish()
        assert tracemalloc.get_traced_memory()[1] < 4 * WHOLE_LIMIT_BYTES
    finally:
        tracemalloc.stop()
    assert glance.usage is None


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate", b"br", b"zstd"])
def test_what_is_not_packed_so_is_broken(encoding: bytes) -> None:
    inflate = inflater(encoding)
    assert inflate is not None
    with pytest.raises(Broken):
        b"".join(inflate(b"<html>no such coding at all</html>"))


def test_what_breaks_in_the_middle_is_broken() -> None:
    packed, inflate = gzip.compress(b"0123456789" * 900), inflater(b"gzip")
    assert inflate is not None
    b"".join(inflate(packed[:20]))
    with pytest.raises(Broken):
        b"".join(inflate(b"\xff" * 1_000))


@pytest.mark.parametrize("encoding", [None, b"", b" Identity"])
def test_nothing_need_be_undone(encoding: bytes | None) -> None:
    assert inflater(encoding) is None


def test_a_coding_that_nobody_knows() -> None:
    with pytest.raises(LookupError):
        inflater(b"snappy")
