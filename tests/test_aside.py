"""What is long is done beside the event loop, and pieces of streams are taken in portions."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.aside import LONG_BYTES, PORTION_BYTES, aside, portions


def test_only_what_is_long_has_a_thread_of_its_own() -> None:
    async def where(size_bytes: int) -> bool:
        return await aside(size_bytes, threading.get_ident) == threading.get_ident()

    assert asyncio.run(where(LONG_BYTES - 1))
    assert not asyncio.run(where(LONG_BYTES))


def test_others_have_their_turn_meanwhile() -> None:
    async def both() -> list[str]:
        done: list[str] = []
        begun, may_end = threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            assert may_end.wait(10)
            done.append("work")

        working = asyncio.create_task(aside(LONG_BYTES, work))
        while not begun.is_set():
            await asyncio.sleep(0)
        done.append("other")
        may_end.set()
        await working
        return done

    assert asyncio.run(both()) == ["other", "work"]


@pytest.mark.parametrize("size_bytes", [0, LONG_BYTES])
def test_what_it_raises_is_raised(size_bytes: int) -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(aside(size_bytes, divmod, 1, 0))


@given(st.lists(st.sampled_from([b"data: x\n\n", b"x" * 3_000, b"\r", b"\r\n\r\n", b"\n", b": c\n\n" * 900])))
def test_portions_are_the_piece(parts: list[bytes]) -> None:
    piece = b"".join(parts)
    found = list(portions(piece))
    assert b"".join(found) == piece
    assert all(found)
    assert all(len(one) <= PORTION_BYTES or not (set(one[:-1]) & set(b"\r\n")) for one in found[:-1])


def test_portions_end_with_an_event_where_one_ends() -> None:
    event = b"data: " + b"x" * 90 + b"\n\n"
    assert all(one.endswith(b"\n\n") for one in portions(event * 1_000))
    assert list(portions(b"x" * 100_000)) == [b"x" * 100_000]
