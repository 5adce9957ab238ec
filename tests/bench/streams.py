"""What `peers` asks: an upstream that streams at a steady pace, and many clients at once.

As a program it is the upstream: `streams.py PORT`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

PIECES = 20
PACE_S = 0.05
WORDS = "a few words "
KEY = "sk-bench-key-1234"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%b\r\n\r\n"
_LAST = b"0\r\n\r\n"
_KNOWN = {"id": "chatcmpl-1", "created": 1, "model": "gpt-demo"}
_USAGE = {"prompt_tokens": 100, "completion_tokens": 100, "total_tokens": 200}


def body(words: int, *, is_stream: bool) -> bytes:
    """A question of about so many tokens."""
    asked = {
        "model": "gpt-demo",
        "max_tokens": 99,
        "messages": [{"role": "user", "content": "word " * words}],
    }
    return orjson.dumps({**asked, "stream": True} if is_stream else asked)


def _whole() -> bytes:
    message = {"role": "assistant", "content": WORDS * PIECES}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    content = orjson.dumps({**_KNOWN, "object": "chat.completion", "choices": [choice], "usage": _USAGE})
    return _HEAD % (b"application/json", b"content-length: %d" % len(content)) + content


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: %b\n\n" % orjson.dumps({**_KNOWN, "object": "chat.completion.chunk", "choices": [choice]})


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


WHOLE = _whole()
BEGIN = _HEAD % (b"text/event-stream", b"transfer-encoding: chunked")
PIECE = _chunk(_event({"role": "assistant", "content": WORDS}))
END = _chunk(_event({}, "stop") + b"data: [DONE]\n\n") + _LAST


async def upstream(port: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                asked = await _content(reader, head)
                if b'"stream":true' not in asked[-400:] + asked[:400] and b'"stream": true' not in asked:
                    writer.write(WHOLE)
                    continue
                writer.write(BEGIN)
                for _ in range(PIECES):
                    writer.write(PIECE)
                    await asyncio.sleep(PACE_S)
                writer.write(END)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=2**24, backlog=1024)
    async with server:
        await server.serve_forever()


async def _content(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if b"transfer-encoding: chunked" not in head:
        return await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
    pieces = []
    while size := int(await reader.readline(), 16):
        pieces.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(pieces)


class Asked(NamedTuple):
    """Where and how one of those that are measured is asked."""

    port: int
    path: str
    headers: tuple[str, ...] = ()

    def request(self, content: bytes) -> bytes:
        lines = (
            f"POST {self.path} HTTP/1.1",
            f"host: 127.0.0.1:{self.port}",
            f"authorization: Bearer {KEY}",
            "content-type: application/json",
            f"content-length: {len(content)}",
            *self.headers,
        )
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


@dataclass(slots=True)
class Done:
    """What came of a load."""

    took_s: list[float] = field(default_factory=list)
    """To the end of each answer."""
    first_s: list[float] = field(default_factory=list)
    """To the first byte of its body."""
    failed: int = 0
    """Answers that were wrong, or not there in time."""
    why: str = ""
    lasted_s: float = 0.0


async def load(asked: Asked, content: bytes, *, at_once: int, duration_s: float, limit_s: float) -> Done:
    """So many clients, each asking again until the time is up, and reading its last answer to the end."""
    done, request, ready = Done(), asked.request(content), asyncio.Barrier(at_once)
    is_stream = b'"stream":true' in content[-400:]
    began_s = 0.0

    async def client() -> None:
        nonlocal began_s
        reader, writer = await asyncio.open_connection("127.0.0.1", asked.port, limit=2**20)
        await ready.wait()
        began_s = began_s or time.perf_counter()
        try:
            while (started_s := time.perf_counter()) < began_s + duration_s:
                writer.write(request)
                first_s = await _answer(reader, is_stream)
                done.first_s.append(first_s - started_s)
                done.took_s.append(time.perf_counter() - started_s)
        finally:
            writer.close()

    tasks = [asyncio.create_task(client()) for _ in range(at_once)]
    ended, late = await asyncio.wait(tasks, timeout=limit_s + duration_s)
    done.lasted_s = time.perf_counter() - began_s
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    problems = [error for task in ended if (error := task.exception()) is not None]
    done.failed = len(late) + len(problems)
    done.why = f"{problems[0]!r}" if problems else "not there in time" if late else ""
    return done


async def _answer(reader: asyncio.StreamReader, is_stream: bool) -> float:
    """Reads one, and tells when its first byte came.

    Raises:
        ValueError: it is not what was sent.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise ValueError(f"{head[:60]!r}: {(await reader.read(200))!r}")
    if b"content-length:" in head:
        content = await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        first_s = time.perf_counter()
    else:
        first = await reader.readexactly(1)
        first_s = time.perf_counter()
        content = first + await reader.readuntil(b"\r\n" + _LAST)
    if content.count(WORDS.encode()) != PIECES or (is_stream and b"[DONE]" not in content):
        raise ValueError(f"{content.count(WORDS.encode())} pieces of {PIECES}")
    return first_s


if __name__ == "__main__":
    try:
        asyncio.run(upstream(int(sys.argv[1])))
    except KeyboardInterrupt:
        pass
