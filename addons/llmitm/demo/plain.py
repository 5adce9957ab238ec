"""The demonstration provider's paths that are no LLM API: what arrived, so many bytes, so many events."""

from __future__ import annotations

from collections.abc import Iterator

from llmitm.demo.answers import Reply, sse, stream, whole
from llmitm.demo.received import Received

_CYCLE = bytes(range(251))
_PATTERN = _CYCLE * 512


def pattern(offset: int, count: int) -> bytes:
    """`count` bytes of an endless text, from `offset` on: what /bytes sends."""
    start = offset % len(_CYCLE)
    if start + count > len(_PATTERN):
        return (_CYCLE * (count // len(_CYCLE) + 2))[start : start + count]
    return _PATTERN[start : start + count]


def plain_reply(received: Received) -> Reply | None:
    """The answer, or None where the path is none of these.

    Raises:
        ValueError: a number in the query is none.
    """
    path, query = received.path, received.query
    if is_echo(path):
        return _echo(received)
    if path == "/bytes":
        count, chunk = int(query.get("n", 1024)), max(1, int(query.get("chunk", 65_536)))
        length = None if query.get("chunked") else count
        headers = (("content-type", "application/octet-stream"),)
        return Reply(headers=headers, pieces=_pieces(count, chunk), length=length)
    if path == "/sse":
        return stream(sse({"index": index}) for index in range(int(query.get("n", 10))))
    return None


def is_echo(path: str) -> bool:
    return path == "/echo" or path.startswith("/echo/")


def pause_s(received: Received) -> float:
    """The wait before each event of /sse."""
    return float(received.query.get("interval_ms", 0)) / 1000 if received.path == "/sse" else 0.0


def _pieces(count: int, chunk: int) -> Iterator[bytes]:
    for offset in range(0, count, chunk):
        yield pattern(offset, min(chunk, count - offset))


def _echo(received: Received) -> Reply:
    return whole(
        {
            "method": received.method,
            "target": received.target.encode("utf-8", "surrogateescape").decode("latin-1"),
            "headers": [
                [name.decode("latin-1"), value.decode("latin-1")] for name, value in received.headers
            ],
            "body_bytes": received.body_bytes,
            "body_sha256": received.body_sha256,
        }
    )
