"""Reasoning between tags in the text of a host's answer, as clients of every dialect are told of it."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmitm.config.load import load
from llmitm.exchange import (
    Attempt,
    ClientRequest,
    HeldBody,
    ResponseHead,
    Unwatched,
    UpstreamReply,
    UpstreamRequest,
)
from llmitm.journey import carry
from llmitm.world import World, build

TEXT = "<think>\nFirst this.</think>\n\nThen <think>that</think>."
USER = [{"role": "user", "content": "hello"}]


class Piece:
    """An `UpstreamReply` that comes in pieces."""

    def __init__(self, kind: bytes, pieces: list[bytes], *headers: tuple[bytes, bytes]) -> None:
        self.head = ResponseHead(status=200, headers=((b"content-type", kind), *headers))
        self._pieces = iter(pieces)

    async def read(self) -> bytes | None:
        return next(self._pieces, b"")

    async def close(self) -> None:
        pass


class Host:
    """A `Sender` of a host that leaves reasoning in the text."""

    def __init__(self) -> None:
        self.asked: list[UpstreamRequest] = []
        self.is_packed = False

    async def send(self, attempt: Attempt, request: UpstreamRequest) -> UpstreamReply:
        self.asked.append(request)
        if orjson.loads(request.body.held or b"{}").get("stream"):
            return Piece(b"text/event-stream", events())
        body = orjson.dumps(completion({"role": "assistant", "content": TEXT}, "message", "stop"))
        if self.is_packed:
            return Piece(b"application/json", [gzip.compress(body)], (b"content-encoding", b"gzip"))
        return Piece(b"application/json", [body[:40], body[40:]])

    async def close(self) -> None:
        pass


def completion(said: Any, member: str, end: str | None) -> dict[str, Any]:
    choice = {"index": 0, member: said, "finish_reason": end}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def events() -> list[bytes]:
    chunks = [completion({"content": sign}, "delta", None) for sign in TEXT]
    chunks.append(completion({}, "delta", "stop"))
    raw = b"".join(b"data: " + orjson.dumps(one) + b"\n\n" for one in chunks) + b"data: [DONE]\n\n"
    return [raw[at : at + 501] for at in range(0, len(raw), 501)]


def world_of(folder: Path, more: str) -> tuple[World, Host]:
    path = folder / "config.toml"
    path.write_text(
        f"[streaming]\n{more}\n[endpoints.all]\nkind = 'gateway'\n"
        "[providers.host]\nbase_url = 'http://host.test/v1'\napi_keys = ['sk-host']\n"
        "[providers.other]\nbase_url = 'http://other.test/v1'\napi_keys = ['sk-o']\nextract_think = false\n"
        "[providers.yes]\nbase_url = 'http://yes.test/v1'\napi_keys = ['sk-yes']\nextract_think = true\n"
    )
    world, host = build(load(path, env={})), Host()
    world.sinks = ()
    world.sender = host
    return world, host


async def ask(world: World, target: str, body: dict[str, Any]) -> bytes:
    request = ClientRequest(
        id="id-1",
        method="POST",
        target=target.encode(),
        headers=((b"accept-encoding", b"br, zstd"),),
        body=HeldBody(orjson.dumps(body)),
        client="127.0.0.1",
    )
    collected, told = b"", 0
    async for step in carry(request, world, Unwatched()):
        if isinstance(step, ResponseHead):
            assert step.status == 200, step
            assert step.header(b"content-encoding") is None
            length = step.header(b"content-length")
            told += int(length) if length else 0
            collected += step.whole or b""
        else:
            collected += step
    assert told in (0, len(collected))
    return collected


def said_in(stream: bytes) -> list[dict[str, Any]]:
    lines = (line[6:] for line in stream.splitlines() if line.startswith(b"data: {"))
    return [orjson.loads(line) for line in lines]


async def test_a_chat_client(tmp_path: Path) -> None:
    world, host = world_of(tmp_path, "extract_think = true")
    chat = {"model": "host/m", "messages": USER}
    for host.is_packed in (False, True):
        (choice,) = orjson.loads(await ask(world, "/all/v1/chat/completions", chat))["choices"]
        assert choice["message"]["content"] == "Then <think>that</think>."
        assert choice["message"]["reasoning_content"] == "First this."
    chunks = said_in(await ask(world, "/all/v1/chat/completions", chat | {"stream": True}))
    deltas = [one["choices"][0]["delta"] for one in chunks if one["choices"]]
    assert "".join(one.get("reasoning_content", "") for one in deltas) == "First this."
    assert "".join(one.get("content") or "" for one in deltas) == "Then <think>that</think>."
    assert all(dict(one.headers)[b"accept-encoding"] == b"identity" for one in host.asked)


async def test_clients_of_other_dialects(tmp_path: Path) -> None:
    world, _ = world_of(tmp_path, "extract_think = true")
    messages = {"model": "host/m", "messages": USER, "max_tokens": 99}
    blocks = orjson.loads(await ask(world, "/all/v1/messages", messages))["content"]
    assert [one["type"] for one in blocks] == ["thinking", "text"]
    assert (blocks[0]["thinking"], blocks[1]["text"]) == ("First this.", "Then <think>that</think>.")
    stream = said_in(await ask(world, "/all/v1/messages", messages | {"stream": True}))
    deltas = [one["delta"] for one in stream if one["type"] == "content_block_delta"]
    assert "".join(one.get("thinking", "") for one in deltas) == "First this."
    assert "".join(one.get("text", "") for one in deltas) == "Then <think>that</think>."
    answer = orjson.loads(await ask(world, "/all/v1/responses", {"model": "host/m", "input": "hello"}))
    assert [one["type"] for one in answer["output"]] == ["reasoning", "message"]
    asked = {"contents": [{"parts": [{"text": "hello"}]}]}
    gemini = orjson.loads(await ask(world, "/all/v1beta/models/host%2Fm:generateContent", asked))
    parts = gemini["candidates"][0]["content"]["parts"]
    assert [(one.get("thought", False), one["text"]) for one in parts] == [
        (True, "First this."),
        (False, "Then <think>that</think>."),
    ]


@pytest.mark.parametrize(
    ("more", "provider", "is_told"),
    [
        ("", "host", False),
        ("extract_think = false", "host", False),
        ("extract_think = true", "host", True),
        ("extract_think = true", "other", False),
        ("", "yes", True),
    ],
)
async def test_who_is_looked_at(tmp_path: Path, more: str, provider: str, is_told: bool) -> None:
    world, host = world_of(tmp_path, more)
    chat = {"model": f"{provider}/m", "messages": USER, "stream": True}
    stream = await ask(world, "/all/v1/chat/completions", chat)
    assert (b"reasoning_content" in stream) is is_told
    if not is_told:
        assert stream == b"".join(events())
