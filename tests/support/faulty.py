"""An upstream on loopback that goes wrong in every way there is. What it does stands in the model's name.

A model is called `provider.fault.when.number`: `first` spoils only the first call for that model, `always`
all of them. The answers are the demonstration provider's.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Final, Literal, Self

import brotli
import zstandard

from llmitm.demo import routes
from llmitm.demo.answers import Reply
from llmitm.demo.apis import api_reply
from llmitm.demo.errors import error
from llmitm.demo.received import Received
from llmitm.exchange import Dialect

ECHOED: Final = "canary/of+no=shape/4711"
_NO_LINGER: Final = struct.pack("ii", 1, 0)

type Outcome = Literal["right", "replaced", "told", "cut"]
"""How it is for the client, at worst: the answer is right at the first try; somebody else is asked, and where
nobody is left it is told with a status; it is told at once; it is told in the stream."""


class Line:
    """The way back to the gateway, with a good answer at hand."""

    def __init__(self, writer: asyncio.StreamWriter, reply: Reply, dialect: Dialect, provider: str) -> None:
        self._writer = writer
        self.provider = provider
        self.dialect = dialect
        self.is_stream = reply.is_stream
        self.pieces = list(reply.pieces)
        self.headers = dict(reply.headers)
        self.is_over = False

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(self, status: int = 200, length: int | None = None, **more: str) -> None:
        """`more` with hyphens for underscores. Without a length the body comes in chunks."""
        headers = self.headers | {name.replace("_", "-"): value for name, value in more.items()}
        headers |= {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
        await self.raw(f"HTTP/1.1 {status} x\r\n{lines}\r\n".encode())

    async def chunk(self, data: bytes) -> None:
        if data:
            await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n")

    async def whole(self, body: bytes | None = None, status: int = 200, **more: str) -> None:
        """An answer with a length."""
        body = b"".join(self.pieces) if body is None else body
        await self.head(status, len(body), **more)
        await self.raw(body)

    async def chunks(self, pieces: Sequence[bytes], **more: str) -> None:
        await self.head(**more)
        for piece in pieces:
            await self.chunk(piece)
        await self.end()

    def fin(self) -> None:
        self.is_over = True

    async def rst(self) -> None:
        await asyncio.sleep(0.02)  # an RST overtakes bytes that the peer has not read yet
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._writer.transport.abort()
        self.is_over = True

    async def stall(self) -> None:
        """For good."""
        await asyncio.Event().wait()


type Play = Callable[[Line], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    play: Play
    whole: Outcome | None = "replaced"
    """For clients that wait for the whole answer; None: it is one of streams."""
    stream: Outcome | None = "replaced"
    status: int | None = None
    """What the client is told, where that is certain."""
    may_pass: bool = False
    """A client of the provider's dialect may get it as it is: nobody reads it on the way."""
    is_heavy: bool = False


async def good(line: Line) -> None:
    await (line.chunks(line.pieces) if line.is_stream else line.whole())


# -- before and within the head


async def reset(line: Line) -> None:
    await line.rst()


async def close(line: Line) -> None:
    line.fin()


async def begun(line: Line, *, then: Literal["rst", "fin", "stall"]) -> None:
    await line.raw(b"HTTP/1.1 200 OK\r\ncontent-ty")
    await _then(line, then)


async def _then(line: Line, then: str) -> None:
    match then:
        case "rst":
            await line.rst()
        case "fin":
            line.fin()
        case _:
            await line.stall()


async def no_http(line: Line) -> None:
    await line.raw(b"THIS IS NOT HTTP\r\ncontent-length: 2\r\n\r\n{}")
    line.fin()


async def stall(line: Line) -> None:
    await line.stall()


async def headed(line: Line, *, then: Literal["rst", "fin", "stall"]) -> None:
    """A head, and nothing more."""
    await line.head()
    await _then(line, then)


async def hinted(line: Line) -> None:
    await line.raw(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 5 + b"HTTP/1.1 102 Processing\r\n\r\n")
    await good(line)


async def big_head(line: Line) -> None:
    with suppress(ConnectionError):
        await line.whole(x_big="b" * 1_000_000)
    line.fin()


async def many_fields(line: Line) -> None:
    lines = b"".join(b"x-%d: y\r\n" % number for number in range(10_000))
    with suppress(ConnectionError):
        await line.raw(b"HTTP/1.1 200 OK\r\n" + lines + b"content-length: 2\r\n\r\n{}")
    line.fin()


async def two_lengths(line: Line) -> None:
    await line.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x")
    line.fin()


# -- within the body


async def broken(line: Line, *, after: int, then: Literal["rst", "fin", "stall"]) -> None:
    """After so many events of a stream; of a whole answer after so many bytes."""
    pieces = line.pieces[:after] if line.is_stream else [b"".join(line.pieces)[: 20 * after]]
    await line.head()
    for piece in pieces:
        await line.chunk(piece)
    await _then(line, then)


async def within_event(line: Line, *, then: Literal["rst", "fin", "stall"]) -> None:
    held = b"".join(line.pieces)
    await line.head()
    await line.chunk(held[: -max(40, len(held) // 3)])
    await _then(line, then)


async def no_terminator(line: Line) -> None:
    """All is said, and why it ended; where there is such a word, not that it has."""
    dialects = (Dialect.OPENAI_CHAT, Dialect.ANTHROPIC_MESSAGES)
    await line.chunks(line.pieces[:-1] if line.dialect in dialects else line.pieces)


async def no_finish(line: Line) -> None:
    """An end in HTTP's sense only, in the middle of what is said."""
    await line.chunks(line.pieces[: len(line.pieces) // 2])


async def bad_chunks(line: Line) -> None:
    await line.head()
    await line.chunk(b"".join(line.pieces)[:60])
    await line.raw(b"no size\r\nrest")
    line.fin()


async def short_length(line: Line) -> None:
    """More is announced than comes."""
    held = b"".join(line.pieces)
    await line.head(length=len(held) + 50)
    await line.raw(held)
    line.fin()


async def slow_drip(line: Line) -> None:
    """Byte by byte: no silence, only slow."""
    held = b"".join(line.pieces)
    await line.head(length=len(held))
    for at in range(0, len(held), 40):
        await line.raw(held[at : at + 1])
        await asyncio.sleep(0.001)
        await line.raw(held[at + 1 : at + 40])


async def split_everywhere(line: Line) -> None:
    await line.chunks([bytes((byte,)) for byte in b"".join(line.pieces)])


async def rst_after_all(line: Line) -> None:
    await good(line)
    await line.rst()


# -- answers that say something else


async def status(line: Line, *, code: int, **more: str) -> None:
    reply = error(line.dialect, code)
    line.headers = dict(reply.headers)
    await line.whole(b"".join(reply.pieces), code, **more)


async def echoed_key(line: Line, *, code: int) -> None:
    reply = error(line.dialect, code, f"you sent {ECHOED}-{line.provider}")
    line.headers = dict(reply.headers)
    await line.whole(b"".join(reply.pieces), code)


async def redirect(line: Line, *, code: int) -> None:
    await line.whole(b"", code, location="http://127.0.0.1:1/elsewhere")


async def body(line: Line, *, content: bytes, kind: str = "application/json", **more: str) -> None:
    line.headers = {"content-type": kind}
    await line.whole(content, **more)


async def error_with_200(line: Line) -> None:
    reply = error(line.dialect, 500)
    line.headers = dict(reply.headers)
    await line.whole(b"".join(reply.pieces))


async def other_type(line: Line) -> None:
    line.headers["content-type"] = "text/plain"
    await good(line)


async def packed(line: Line, *, coding: str, pack: Callable[[bytes], bytes], share: float = 1) -> None:
    held = pack(b"".join(line.pieces))
    await line.whole(held[: int(len(held) * share)], content_encoding=coding)


# -- streams that are written oddly


async def written(line: Line, *, change: Callable[[bytes], bytes]) -> None:
    held = change(b"".join(line.pieces))
    await line.chunks([held[at : at + 97] for at in range(0, len(held), 97)])


def _mixed_ends(stream: bytes) -> bytes:
    ends = (b"\r\n\r\n", b"\r\r", b"\n\n", b"\n\r\n")
    parts = stream.replace(b"\r\n", b"\n").split(b"\n\n")
    return b"".join(part + ends[number % 4] for number, part in enumerate(parts[:-1]))


def _between(stream: bytes, more: bytes) -> bytes:
    return stream.replace(b"\n\n", b"\n\n" + more)


async def after_the_end(line: Line) -> None:
    more = [] if line.dialect is Dialect.GEMINI else [line.pieces[1]]  # Gemini's have no last word
    await line.chunks([*line.pieces, *more, b"data: {broken\n\n"])


async def twice_finished(line: Line) -> None:
    last = line.pieces[-1:] if line.dialect is Dialect.GEMINI else line.pieces[-2:]
    await line.chunks([*line.pieces[:-1], *last, line.pieces[-1]])


async def long_line(line: Line) -> None:
    """10 MB in a comment, which nobody needs."""
    await line.chunks([b": " + b"x" * 10_000_000 + b"\n\n", *line.pieces])


async def usage(line: Line, *, told: str) -> None:
    """Counts that are not to be believed."""
    held = b"".join(line.pieces)
    for name in (b"prompt_tokens", b"input_tokens", b"promptTokenCount", b"output_tokens", b"total_tokens"):
        held = _renumbered(held, name, told.encode())
    await (line.chunks([held]) if line.is_stream else line.whole(held))


def _renumbered(held: bytes, name: bytes, value: bytes) -> bytes:
    parts = held.split(b'"%b":' % name)
    return (b'"%b":%b' % (name, value)).join([parts[0], *(part.lstrip(b"0123456789") for part in parts[1:])])


def _raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


_BOMB_BYTES: Final = 1 << 30


def _bomb(coding: str) -> bytes:
    """A gigabyte of blanks."""
    portion, count = b" " * (1 << 20), _BOMB_BYTES >> 20
    match coding:
        case "gzip":
            packer = zlib.compressobj(9, wbits=31)
            return b"".join([packer.compress(portion) for _ in range(count)]) + packer.flush()
        case "br":
            squeezer = brotli.Compressor(quality=1)
            return b"".join([squeezer.process(portion) for _ in range(count)]) + squeezer.finish()
        case _:
            made = zstandard.ZstdCompressor(level=1).compressobj()
            return b"".join([made.compress(portion) for _ in range(count)]) + made.flush()


async def bomb(line: Line, *, coding: str) -> None:
    with suppress(ConnectionError):
        await line.whole(made_bombs()[coding], content_encoding=coding)


@cache
def made_bombs() -> Mapping[str, bytes]:
    """By their coding. It takes seconds to make them."""
    return {coding: _bomb(coding) for coding in ("gzip", "br", "zstd")}


def _ways(play: Callable[..., Awaitable[None]], stream: Outcome, **options: object) -> dict[str, Fault]:
    return {
        then: Fault(play=partial(play, then=then, **options), stream=stream)
        for then in ("rst", "fin", "stall")
    }


_EMPTY: Final = "text/event-stream"
FAULTS: Final[Mapping[str, Fault]] = {
    "none": Fault(play=good, whole="right", stream="right"),
    "reset": Fault(play=reset, status=502),
    "close": Fault(play=close, status=502),
    "stall": Fault(play=stall, status=504),
    **{f"head-{name}": one for name, one in _ways(begun, "replaced").items()},
    **{f"headed-{name}": one for name, one in _ways(headed, "replaced").items()},
    **{f"body-{name}": one for name, one in _ways(broken, "cut", after=5).items()},
    **{f"event-{name}": one for name, one in _ways(within_event, "cut").items()},
    "no-http": Fault(play=no_http, status=502),
    "early-hints": Fault(play=hinted, whole="right", stream="right"),
    "big-head": Fault(play=big_head, status=502),
    "many-fields": Fault(play=many_fields, status=502),
    "two-lengths": Fault(play=two_lengths),
    "no-terminator": Fault(play=no_terminator, whole=None, stream="right"),
    "no-finish": Fault(play=no_finish, whole=None, stream="cut"),
    "bad-chunks": Fault(play=bad_chunks, stream="cut"),
    "short-length": Fault(play=short_length, whole="replaced", stream="cut"),
    "slow-drip": Fault(play=slow_drip, whole="right", stream="right"),
    "split-everywhere": Fault(play=split_everywhere, whole="right", stream="right"),
    "rst-after-all": Fault(play=rst_after_all, whole="right", stream="right"),
    **{
        f"status-{code}": Fault(play=partial(status, code=code), whole="told", stream="told", status=code)
        for code in (400, 404, 413, 422)
    },
    **{
        f"status-{code}": Fault(play=partial(status, code=code))
        for code in (401, 402, 403, 408, 409, 425, 429, 500, 502, 503, 504, 529)
    },
    "echoed-key": Fault(play=partial(echoed_key, code=401)),
    "echoed-key-blamed": Fault(play=partial(echoed_key, code=400), whole="told", stream="told", status=400),
    **{f"redirect-{code}": Fault(play=partial(redirect, code=code)) for code in (301, 302, 303, 307, 308)},
    "garbage-json": Fault(play=partial(body, content=b'{"choices": [{"mess'), stream="replaced"),
    "null": Fault(play=partial(body, content=b"null")),
    "empty": Fault(play=partial(body, content=b"")),
    "html": Fault(play=partial(body, content=b"<html><body>Bad Gateway</body></html>", kind="text/html")),
    "empty-stream": Fault(play=partial(body, content=b"", kind=_EMPTY), whole=None),
    "html-stream": Fault(play=partial(body, content=b"<html></html>", kind=_EMPTY), whole=None),
    "no-content": Fault(play=partial(body, content=b"", status=204)),
    "error-with-200": Fault(play=error_with_200),
    "other-type": Fault(play=other_type, whole="replaced", stream="replaced"),
    "gzip": Fault(play=partial(packed, coding="gzip", pack=gzip.compress), whole="right", stream="right"),
    "br": Fault(play=partial(packed, coding="br", pack=brotli.compress), whole="right", stream="right"),
    "zstd": Fault(
        play=partial(packed, coding="zstd", pack=zstandard.compress), whole="right", stream="right"
    ),
    "deflate": Fault(
        play=partial(packed, coding="deflate", pack=_raw_deflate), whole="right", stream="right"
    ),
    "gzip-cut": Fault(
        play=partial(packed, coding="gzip", pack=gzip.compress, share=0.6), stream="cut", may_pass=True
    ),
    "gzip-lie": Fault(play=partial(packed, coding="gzip", pack=bytes), may_pass=True),
    "coding-unknown": Fault(play=partial(packed, coding="snappy", pack=bytes)),
    "cr": Fault(
        play=partial(written, change=lambda one: one.replace(b"\n", b"\r")), whole=None, stream="right"
    ),
    "crlf": Fault(
        play=partial(written, change=lambda one: one.replace(b"\n", b"\r\n")), whole=None, stream="right"
    ),
    "mixed-ends": Fault(play=partial(written, change=_mixed_ends), whole=None, stream="right"),
    "bom": Fault(play=partial(written, change=lambda one: b"\xef\xbb\xbf" + one), whole=None, stream="right"),
    "no-blank-line": Fault(
        play=partial(written, change=lambda one: one.rstrip() + b"\n"),
        whole=None,
        stream="cut",
        may_pass=True,
    ),
    "no-colon": Fault(
        play=partial(written, change=lambda one: _between(one, b"data\n\nretry: 5\n\nid\n\n")),
        whole=None,
        stream="right",
    ),
    "comments": Fault(
        play=partial(written, change=lambda one: _between(one, b": flood\n" * 2_000 + b"\n")),
        whole=None,
        stream="right",
    ),
    "unknown-events": Fault(
        play=partial(written, change=lambda one: _between(one, b'event: new\ndata: {"type":"new"}\n\n')),
        whole=None,
        stream="right",
    ),
    "after-the-end": Fault(play=after_the_end, whole=None, stream="right", may_pass=True),
    "twice-finished": Fault(play=twice_finished, whole=None, stream="right"),
    "not-utf-8": Fault(
        play=partial(written, change=lambda one: one.replace(b"demo", b"de\xff\xfemo", 1)),
        whole=None,
        stream="cut",
        may_pass=True,
    ),
    **{
        f"usage-{name}": Fault(play=partial(usage, told=told), whole="right", stream="right")
        for name, told in {"negative": "-7", "huge": "9" * 30, "null": "null", "text": '"many"'}.items()
    },
    "long-line": Fault(play=long_line, whole=None, stream="right", is_heavy=True),
    **{
        f"bomb-{coding}": Fault(play=partial(bomb, coding=coding), stream="replaced", is_heavy=True)
        for coding in ("gzip", "br", "zstd")
    },
}


@dataclass(slots=True)
class Faulty:
    """The server. `calls` counts requests by the model's name."""

    url: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    _server: asyncio.Server | None = None
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *raised: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            while await self._goes_on(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._running.discard(task)
            writer.close()

    async def _goes_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request. Whether there may be another on this connection."""
        received = await _read(reader)
        route = routes.find(received.path)
        assert route is not None, received.path
        model = route.model or received.json()["model"]
        provider, fault, when, _ = model.split(".")
        self.calls[model] += 1
        line = Line(writer, api_reply(route, received), route.dialect, provider)
        play = FAULTS[fault].play if when == "always" or self.calls[model] == 1 else good
        await play(line)
        return not line.is_over


async def _read(reader: asyncio.StreamReader) -> Received:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.rstrip().split(b"\r\n")
    method, target, _ = first.decode().split(" ")
    pairs = [line.partition(b":") for line in lines]
    received = Received(
        method=method,
        target=target,
        headers=[(name, value.strip()) for name, _, value in pairs],
        peer="",
        began_s=0,
    )
    received.body = await reader.readexactly(int(received.text(b"content-length") or 0))
    return received
