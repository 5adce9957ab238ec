"""How long a gateway keeps everybody waiting while one client or upstream sends something large or strange.

For each kind of input it prints the longest stretch that the event loop was busy with one callback, by the
CPU and by the wall, the longest wait of another client, and where the stretch was: `just waits`. `--only
WORDS` runs the kinds whose names hold one of them, `--more TOML` adds to the configuration.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import brotli
import orjson
import zstandard

from support.gateway import Gateway
from support.storm import PROVIDERS

BODY_BYTES: Final = 31_000_000
"""Just within `body_limit_mb` as it is by default."""
_TESTS: Final = Path(__file__).parents[1]
_PAIRS: Final = (
    ("chat", "chat"),
    ("chat", "messages"),
    ("messages", "gemini"),
    ("gemini", "responses"),
    ("responses", "chat"),
)


def config(url: str, more: str = "") -> str:
    lines = [
        "[server]\nport = 0",
        '[endpoints.all]\nkind = "gateway"',
        f'[endpoints.bare]\ntarget_base = "{url}"',
        "[retry]\nmax_attempts = 1\ncooldowns = false",
    ]
    for name, (dialect, _, path) in PROVIDERS.items():
        lines += [f"[providers.{name}]", f'format = "{dialect}"', f'base_url = "{url}{path}"']
        lines += [f'models = ["{name}-*"]', 'api_keys = ["sk-first"]']
    return "\n".join([*lines, more])


# -- what clients ask


def asked(dialect: str, model: str, *, is_stream: bool = False, **what: Any) -> tuple[str, bytes]:
    """Path and body. `what`: `texts` of messages, `schema` of a tool, `tools`, `calls`, `image`, `more`."""
    return _ASKED[dialect](model, is_stream, **what)


def _tools(tools: int, schema: Any) -> list[tuple[str, Any]]:
    return [(f"tool_{number}", schema or {"type": "object"}) for number in range(tools)]


def _chat(
    model: str, is_stream: bool, texts: list[str], schema: Any = None, tools: int = 0, more: Any = None
) -> tuple[str, bytes]:
    body: dict[str, Any] = {"model": model, "stream": is_stream}
    roles = ("user", "assistant")
    body["messages"] = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    if tools:
        body["tools"] = [
            {"type": "function", "function": {"name": name, "parameters": one}}
            for name, one in _tools(tools, schema)
        ]
    return "/v1/chat/completions", orjson.dumps(body | (more or {}))


def _messages(
    model: str, is_stream: bool, texts: list[str], schema: Any = None, tools: int = 0, more: Any = None
) -> tuple[str, bytes]:
    body: dict[str, Any] = {"model": model, "stream": is_stream, "max_tokens": 100}
    roles = ("user", "assistant")
    body["messages"] = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    if tools:
        body["tools"] = [{"name": name, "input_schema": one} for name, one in _tools(tools, schema)]
    return "/v1/messages", orjson.dumps(body | (more or {}))


def _responses(
    model: str, is_stream: bool, texts: list[str], schema: Any = None, tools: int = 0, more: Any = None
) -> tuple[str, bytes]:
    body: dict[str, Any] = {"model": model, "stream": is_stream}
    roles = ("user", "assistant")
    body["input"] = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    if tools:
        body["tools"] = [
            {"type": "function", "name": name, "parameters": one} for name, one in _tools(tools, schema)
        ]
    return "/v1/responses", orjson.dumps(body | (more or {}))


def _gemini(
    model: str, is_stream: bool, texts: list[str], schema: Any = None, tools: int = 0, more: Any = None
) -> tuple[str, bytes]:
    roles = ("user", "model")
    body: dict[str, Any] = {
        "contents": [{"role": roles[n % 2], "parts": [{"text": text}]} for n, text in enumerate(texts)]
    }
    if tools:
        body["tools"] = [
            {
                "functionDeclarations": [
                    {"name": name, "parametersJsonSchema": one} for name, one in _tools(tools, schema)
                ]
            }
        ]
    verb = "streamGenerateContent?alt=sse" if is_stream else "generateContent"
    return f"/v1beta/models/{model}:{verb}", orjson.dumps(body | (more or {}))


_ASKED: Final[Mapping[str, Callable[..., tuple[str, bytes]]]] = {
    "chat": _chat,
    "messages": _messages,
    "responses": _responses,
    "gemini": _gemini,
}


# -- what upstreams answer


def whole(dialect: str, text: str) -> bytes:
    """An answer that says this."""
    match dialect:
        case "chat":
            told: Any = {
                "id": "a",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                ],
            }
        case "messages":
            told = {
                "id": "a",
                "type": "message",
                "role": "assistant",
                "model": "m",
                "content": [{"type": "text", "text": text}],
                "stop_reason": "end_turn",
                "usage": {"input_tokens": 1, "output_tokens": 1},
            }
        case "responses":
            told = {
                "id": "a",
                "object": "response",
                "status": "completed",
                "model": "m",
                "created_at": 1,
                "output": [
                    {
                        "type": "message",
                        "id": "b",
                        "role": "assistant",
                        "status": "completed",
                        "content": [{"type": "output_text", "text": text, "annotations": []}],
                    }
                ],
            }
        case _:
            told = {
                "candidates": [
                    {
                        "index": 0,
                        "content": {"role": "model", "parts": [{"text": text}]},
                        "finishReason": "STOP",
                    }
                ]
            }
    return orjson.dumps(told)


def stream(dialect: str, texts: Iterator[str] | list[str]) -> bytes:
    """The same as a stream with a delta for each text."""
    return b"".join(_events(dialect, texts))


def _events(dialect: str, texts: Any) -> Iterator[bytes]:
    def event(told: Any) -> bytes:
        name = b"event: %b\n" % told["type"].encode() if "type" in told else b""
        return name + b"data: " + orjson.dumps(told) + b"\n\n"

    match dialect:
        case "chat":
            for text in texts:
                yield event({"choices": [{"index": 0, "delta": {"content": text}}]})
            yield event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            yield b"data: [DONE]\n\n"
        case "messages":
            yield event(
                {
                    "type": "message_start",
                    "message": {
                        "id": "a",
                        "type": "message",
                        "role": "assistant",
                        "model": "m",
                        "content": [],
                        "usage": {"input_tokens": 1, "output_tokens": 1},
                    },
                }
            )
            yield event(
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
            )
            for text in texts:
                yield event(
                    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
                )
            yield event({"type": "content_block_stop", "index": 0})
            yield event(
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}
            )
            yield event({"type": "message_stop"})
        case "responses":
            begun = {
                "id": "a",
                "object": "response",
                "status": "in_progress",
                "model": "m",
                "created_at": 1,
                "output": [],
            }
            item = {"type": "message", "id": "b", "role": "assistant", "status": "in_progress", "content": []}
            place = {"item_id": "b", "output_index": 0, "content_index": 0}
            said = []
            yield event({"type": "response.created", "response": begun})
            yield event({"type": "response.output_item.added", "output_index": 0, "item": item})
            yield event(
                {
                    "type": "response.content_part.added",
                    **place,
                    "part": {"type": "output_text", "text": "", "annotations": []},
                }
            )
            for text in texts:
                said.append(text)
                yield event({"type": "response.output_text.delta", **place, "delta": text})
            part = {"type": "output_text", "text": "".join(said), "annotations": []}
            yield event({"type": "response.output_text.done", **place, "text": part["text"]})
            yield event({"type": "response.content_part.done", **place, "part": part})
            done = item | {"status": "completed", "content": [part]}
            yield event({"type": "response.output_item.done", "output_index": 0, "item": done})
            yield event(
                {"type": "response.completed", "response": begun | {"status": "completed", "output": [done]}}
            )
        case _:
            for text in texts:
                yield event(
                    {"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}]}
                )
            yield event(
                {
                    "candidates": [
                        {"index": 0, "content": {"role": "model", "parts": []}, "finishReason": "STOP"}
                    ]
                }
            )


@dataclass(slots=True)
class Answer:
    body: bytes
    kind: str = "application/json"
    coding: str = ""


@dataclass(slots=True)
class Upstream:
    """Answers every request with `answer`, in chunks as large as the system takes."""

    url: str = ""
    answer: Answer = field(default_factory=lambda: Answer(b"{}"))
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *raised: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                while length > 0:
                    length -= len(await reader.read(min(length, 262_144)))
                answer = self.answer
                coding = f"content-encoding: {answer.coding}\r\n" if answer.coding else ""
                fields = f"content-type: {answer.kind}\r\n{coding}content-length: {len(answer.body)}\r\n"
                writer.write(f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode())
                writer.write(answer.body)
                await writer.drain()
        writer.close()


# -- kinds of input


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    client: str
    provider: str
    request: Callable[[], tuple[str, bytes]]
    answer: Callable[[], Answer]
    endpoint: str
    is_of_answers: bool
    """What is large or strange is the answer."""


def _hello(client: str, provider: str, *, is_stream: bool = False) -> tuple[str, bytes]:
    return asked(client, f"{provider}-m", is_stream=is_stream, texts=["hello"])


def _said(provider: str, text: str = "hello") -> Answer:
    return Answer(whole(provider, text))


def _streamed(name: str, provider: str) -> Answer:
    return Answer(_STREAMS[name](provider), "text/event-stream")


def _schema(count: int) -> dict[str, Any]:
    properties = {f"property_{n}": {"type": "string", "description": "What it is."} for n in range(count)}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _deep(depth: int) -> Any:
    made: Any = {"type": "string"}
    for _ in range(depth):
        made = {"type": "object", "properties": {"a": made}}
    return made


_REQUESTS: Final[Mapping[str, Callable[[], dict[str, Any]]]] = {
    "a text of 31 MB": lambda: {"texts": ["hello there " * (BODY_BYTES // 12)]},
    "a text of 31 MB not in ASCII": lambda: {"texts": ["é漢字 " * (BODY_BYTES // 9)]},
    "10,000 messages": lambda: {"texts": ["hello there how are you? " * 10] * 10_000},
    "300,000 messages": lambda: {"texts": ["hello there how are you?"] * 300_000},
    "1,000 tools": lambda: {"texts": ["hi"], "tools": 1_000, "schema": _schema(10)},
    "a schema of 5,000 properties": lambda: {"texts": ["hi"], "tools": 1, "schema": _schema(5_000)},
    "a schema 100 deep": lambda: {"texts": ["hi"], "tools": 1, "schema": _deep(50)},
    "a member of 31 MB of empty objects": lambda: {
        "texts": ["hi"],
        "more": {"x": orjson.Fragment(b"[" + b"{}," * (BODY_BYTES // 3) + b"{}]")},
    },
    "a member of 31 MB of numbers": lambda: {
        "texts": ["hi"],
        "more": {"x": orjson.Fragment(b"[" + b"12," * (BODY_BYTES // 3) + b"1]")},
    },
}
_STREAMS: Final[Mapping[str, Callable[[str], bytes]]] = {
    "100,000 tiny deltas": lambda provider: stream(provider, ["x"] * 100_000),
    "a delta of 10 MB": lambda provider: stream(provider, ["hello there " * 833_333]),
    "a comment of 10 MB": lambda provider: b": " + b"x" * 10_000_000 + b"\n\n" + stream(provider, ["x"]),
    "comments of 10 MB": lambda provider: b": x\n\n" * 2_000_000 + stream(provider, ["x"]),
    "an event of 5,000,000 lines": lambda provider: b"data\n" * 5_000_000 + b"\n" + stream(provider, ["x"]),
}
_BOMBS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "gzip": lambda body: gzip.compress(body, 9),
    "br": lambda body: brotli.compress(body, quality=5),
    "zstd": lambda body: zstandard.compress(body, 3),
}


def kinds() -> Iterator[Kind]:
    for client, provider in _PAIRS:
        yield from _kinds_of(client, provider, f"{client} to {provider}", "all")
    yield from (one for one in _kinds_of("chat", "chat", "bare", "bare") if one.is_of_answers)


def _kinds_of(client: str, provider: str, way: str, endpoint: str) -> Iterator[Kind]:
    plain = partial(_hello, client, provider)
    streaming = partial(_hello, client, provider, is_stream=True)

    def kind(
        name: str,
        request: Callable[[], tuple[str, bytes]],
        answer: Callable[[], Answer],
        is_of_answers: bool = True,
    ) -> Kind:
        return Kind(f"{way}: {name}", client, provider, request, answer, endpoint, is_of_answers)

    for name, what in _REQUESTS.items():
        request = partial(_asked_for, client, provider, what)
        yield kind(name, request, partial(_said, provider), is_of_answers=False)
    yield kind("answer of 31 MB", plain, partial(_said, provider, "hello there " * (BODY_BYTES // 12)))
    for name in _STREAMS:
        yield kind(name, streaming, partial(_streamed, name, provider))
        if client != provider:
            yield kind(f"{name}, collected", plain, partial(_streamed, name, provider))
    for coding in _BOMBS:
        yield kind(f"bomb {coding}", plain, partial(_bomb, coding))


def _asked_for(client: str, provider: str, what: Callable[[], dict[str, Any]]) -> tuple[str, bytes]:
    return asked(client, f"{provider}-m", **what())


_made_bombs: dict[str, bytes] = {}


def _bomb(coding: str) -> Answer:
    if coding not in _made_bombs:
        _made_bombs[coding] = _BOMBS[coding](bytes(1_000_000_000))
    return Answer(_made_bombs[coding], coding=coding)


# -- the measure


@dataclass(frozen=True, slots=True)
class Stretch:
    wall_s: float
    cpu_s: float
    where: str


@contextmanager
def watching(folder: Path) -> Iterator[tuple[dict[str, str], Callable[[], list[Stretch]]]]:
    """Environment of a gateway whose stretches are written down, and what reads those that are new."""
    path = folder / "stretches"
    start = folder / "start"
    start.mkdir()
    (start / "sitecustomize.py").write_text("import support.stretches\n")
    environment = {"PYTHONPATH": f"{start}:{_TESTS}", "STRETCHES": str(path)}
    at = 0

    def read() -> list[Stretch]:
        nonlocal at
        lines = path.read_text().splitlines()[at:] if path.exists() else []
        at += len(lines)
        cells = [line.split("\t") for line in lines]
        return [Stretch(float(wall), float(cpu), where) for wall, cpu, where in cells]

    yield environment, read


async def _longest_wait_s(url: str, over: asyncio.Event) -> float:
    longest_s = 0.0
    async with aiohttp.ClientSession() as session:
        while not over.is_set():
            began_s = time.monotonic()
            async with session.get(f"{url}/health") as answer:
                await answer.read()
            longest_s = max(longest_s, time.monotonic() - began_s)
            await asyncio.sleep(0.005)
    return longest_s


async def _ask(url: str, kind: Kind, path: str, body: bytes) -> int:
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
        try:
            async with session.post(
                f"{url}/{kind.endpoint}{path}", data=body, headers={"content-type": "application/json"}
            ) as answer:
                async for _ in answer.content.iter_any():
                    pass
                return answer.status
        except (aiohttp.ClientError, OSError):
            return 0


async def run(only: list[str], more: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with Upstream() as upstream:
            with watching(folder) as (environment, read):
                gateway = Gateway(
                    config(upstream.url, more), folder, host="serve", env=environment, is_warm=False
                )
                await asyncio.to_thread(gateway.start)
                print("| kind | status | seconds | CPU ms | wall ms | wait ms | MB | where |")
                print("|---|---|---|---|---|---|---|---|")
                try:
                    for kind in kinds():
                        if only and not any(word in kind.name for word in only):
                            continue
                        await _measure(kind, gateway, upstream, read)
                finally:
                    await asyncio.to_thread(gateway.stop)


async def _measure(
    kind: Kind, gateway: Gateway, upstream: Upstream, read: Callable[[], list[Stretch]]
) -> None:
    path, body = kind.request()
    upstream.answer = await asyncio.to_thread(kind.answer)
    read()
    over = asyncio.Event()
    waiting = asyncio.create_task(_longest_wait_s(gateway.url, over))
    began_s = time.monotonic()
    status = await _ask(gateway.url, kind, path, body)
    took_s = time.monotonic() - began_s
    over.set()
    wait_s = await waiting
    found = read()
    worst = max(found, key=lambda one: one.cpu_s, default=Stretch(0, 0, ""))
    wall_s = max((one.wall_s for one in found), default=0)
    ms = [f"{1000 * one:.0f}" for one in (worst.cpu_s, wall_s, wait_s)]
    cells = [kind.name, str(status), f"{took_s:.1f}", *ms, f"{gateway.rss_bytes() / 1e6:.0f}", worst.where]
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--more", default="")
    told = parser.parse_args()
    asyncio.run(run(told.only, told.more))
