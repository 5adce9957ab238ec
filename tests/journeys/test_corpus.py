"""Recorded traffic through a forward endpoint of a real mitmdump: what arrives is what was sent, both ways.

The recordings are no part of the project: they are looked for at ../shared/corpus or $LLMITM_CORPUS.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson
import pytest

from support.gateway import ROOT, Gateway

CORPUS = Path(os.environ.get("LLMITM_CORPUS", ROOT.parent / "shared" / "corpus"))
WIRES = ("openai-chat", "openai-responses", "anthropic-messages", "gemini")
EVERY = 1 if "LLMITM_EVERY_RECORDING" in os.environ else 15
"""One recording of so many is sent, always the same ones; all of them where that is set."""
PIECE_BYTES = 997  # prime: no event's border falls on a piece's

pytestmark = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="no recordings: neither ../shared/corpus nor $LLMITM_CORPUS"
)


@dataclass(slots=True)
class Arrived:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes


class Player:
    """An upstream that answers each request with the recording whose id it names."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, list[tuple[str, str]], bytes, bool]] = {}
        self.arrived: dict[str, Arrived] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.rstrip("\r\n").split("\r\n")
                method, target, _ = first.split(" ")
                headers = [(line.split(": ", 1)[0], line.split(": ", 1)[1]) for line in lines]
                known = {name.lower(): value for name, value in headers}
                body = await reader.readexactly(int(known.get("content-length", "0")))
                name = known["x-recording"]
                self.arrived[name] = Arrived(method, target, headers, body)
                status, answer_headers, content, is_stream = self.answers[name]
                out = [f"HTTP/1.1 {status} Recorded", *(f"{k}: {v}" for k, v in answer_headers)]
                if is_stream:
                    out.append("Transfer-Encoding: chunked")
                else:
                    out.append(f"Content-Length: {len(content)}")
                writer.write(("\r\n".join(out) + "\r\n\r\n").encode("latin-1"))
                if is_stream:
                    for start in range(0, len(content), PIECE_BYTES):
                        piece = content[start : start + PIECE_BYTES]
                        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                        await writer.drain()
                    writer.write(b"0\r\n\r\n")
                else:
                    writer.write(content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    made = Player()
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(player: Player, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = (
        f'[server]\nport = 0\n[endpoints.play]\ntarget_base = "http://127.0.0.1:{player.port}"\n'
        '[log]\nlevel = "error"\n'
    )
    with Gateway(
        config.replace('level = "error"', 'level = "info"'), tmp_path_factory.mktemp("c")
    ) as running:
        yield running


def records(wire: str) -> Iterator[dict[str, Any]]:
    with (CORPUS / f"{wire}.jsonl").open("rb") as file:
        for line in file:
            yield orjson.loads(line)


@pytest.mark.parametrize("wire", WIRES)
def test_recordings_pass_unchanged_both_ways(wire: str, gateway: Gateway, player: Player) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    count = 0
    for record in records(wire):
        name = record["id"]
        if crc32(name.encode()) % EVERY:
            continue
        body = b"" if record.get("request") is None else orjson.dumps(record.get("request"))
        path = record.get("path") or "/v1/unknown"
        path = path if path.startswith("/") else f"/{path}"
        if not path.isascii() or any(sign in path for sign in ' "<>{}|\\^`'):
            path = "/v1/placeholder"  # a project's name was replaced by one that no URL can hold
        if record.get("sse") is not None:
            content, is_stream = record.get("sse").encode("utf-8", "surrogatepass"), True
        elif isinstance(record.get("response"), str):
            content, is_stream = record.get("response").encode("utf-8", "surrogatepass"), False
        else:
            content, is_stream = orjson.dumps(record.get("response")), False
        answer_headers = [(key, str(value)) for key, value in (record.get("response_headers") or {}).items()]
        answer_headers = [pair for pair in answer_headers if pair[1].isascii()]
        player.answers[name] = (record["status"], answer_headers, content, is_stream)
        headers = {"x-recording": name, **(record.get("request_headers") or {})}

        connection.request(record.get("method") or "POST", f"/play{path}", body=body, headers=headers)
        answer = connection.getresponse()
        got = answer.read()

        assert answer.status == record["status"], name
        assert answer.reason == "Recorded"
        assert got == content, name
        told = [(key, value) for key, value in answer.getheaders() if key in dict(answer_headers)]
        assert told == answer_headers, name
        arrived = player.arrived[name]
        assert arrived.method == (record.get("method") or "POST")
        assert arrived.target == path, name
        assert arrived.body == body, name
        sent = {key.lower(): value for key, value in headers.items()}
        assert {k.lower(): v for k, v in arrived.headers if k.lower() in sent} == sent, name
        count += 1
    connection.close()
    print(f"{wire}: {count} recordings, each unchanged both ways")
    assert count > 500 / EVERY
