"""Keys and endpoints for certain models only, where requests pass as they are: nothing else gets through."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

import pytest

from llmitm.config.load import load
from llmitm.exchange import Attempt, ClientRequest, HeldBody, ResponseHead, Unwatched, UpstreamRequest
from llmitm.journey import carry
from llmitm.world import build

CONFIG = """
retry = { cooldowns = false }
[cloudflare]
base_url = "http://127.0.0.1:1"
[endpoints.plain]
target_base = "http://127.0.0.1:1"
[endpoints.keyed]
target_base = "http://127.0.0.1:1"
provider = "openai"
[endpoints.few]
target_base = "http://127.0.0.1:1"
allowed_models = ["gpt-small"]
[endpoints.cf]
kind = "cloudflare"
[[gateways]]
account_id = "account"
gateway_id = "one"
token = "cf-token-one"
[providers.openai]
api_keys = ["sk-of-ours"]
[[auth_keys]]
name = "small"
key = "sk-proxy-small"
allowed_models = ["gpt-small", "openai/gpt-small", "gemini-small"]
[[auth_keys]]
name = "paths"
key = "sk-proxy-paths"
allowed_models = ["gpt-small"]
allowed_paths = ["/v1/images/*", "/v1/files"]
[[auth_keys]]
name = "any"
key = "sk-proxy-any"
"""
CHAT = "/v1/chat/completions"
JSON = b"application/json"
ANSWER = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}'
SESSION = (
    (b"upgrade", b"websocket"),
    (b"connection", b"upgrade"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
)


class Row(NamedTuple):
    endpoint: str
    key: str
    path: str
    body: bytes
    status: int
    code: str = ""
    kind: bytes = JSON
    method: str = "POST"
    is_session: bool = False


SMALL, BIG = b'{"model":"gpt-small","messages":[]}', b'{"model":"gpt-big","messages":[]}'
GEMINI = "/v1beta/models/gemini-{}:generateContent"
ROWS = {
    "allowed": Row("plain", "small", CHAT, SMALL, 200),
    "not allowed": Row("plain", "small", CHAT, BIG, 403, "model_not_allowed"),
    "not allowed, with our key": Row("keyed", "small", CHAT, BIG, 403, "model_not_allowed"),
    "allowed, with our key": Row("keyed", "small", CHAT, SMALL, 200),
    "of the endpoint": Row("few", "any", CHAT, BIG, 403, "model_not_allowed"),
    "of the endpoint, allowed": Row("few", "any", CHAT, SMALL, 200),
    "any": Row("plain", "any", CHAT, BIG, 200),
    "doubled": Row(
        "plain", "small", CHAT, b'{"model":"gpt-big","model":"gpt-small"}', 403, "model_not_allowed"
    ),
    "listed": Row(
        "plain", "small", CHAT, b'{"model":"gpt-small","models":["gpt-big"]}', 403, "model_not_allowed"
    ),
    "escaped": Row("plain", "small", CHAT, b'{"m\\u006fdel":"gpt-big"}', 403, "model_not_allowed"),
    "in the path": Row("plain", "small", GEMINI.format("big"), b"{}", 403, "PERMISSION_DENIED"),
    "in the path, allowed": Row("plain", "small", GEMINI.format("small"), b"{}", 200),
    "none": Row("plain", "small", "/v1/images/generations", b'{"prompt":"a"}', 403, "path_not_allowed"),
    "none, by path": Row("plain", "paths", "/v1/images/generations", b'{"prompt":"a"}', 200),
    "none, without a body": Row("plain", "small", "/v1/files", b"", 403, "path_not_allowed", method="GET"),
    "none, without a body, by path": Row("plain", "paths", "/v1/files", b"", 200, method="GET"),
    "the list of models": Row("plain", "small", "/v1/models", b"", 200, method="GET"),
    "compressed": Row("plain", "small", CHAT, gzip.compress(SMALL, mtime=0), 403, "path_not_allowed"),
    "a form": Row(
        "plain",
        "small",
        "/v1/audio/speech",
        b"--x--",
        403,
        "path_not_allowed",
        b"multipart/form-data; boundary=x",
    ),
    "cloudflare": Row("cf", "small", CHAT, b'{"model":"openai/gpt-big"}', 403, "model_not_allowed"),
    "cloudflare, allowed": Row("cf", "small", CHAT, b'{"model":"openai/gpt-small"}', 200),
    "a session": Row(
        "keyed", "small", "/v1/realtime?model=gpt-big", b"", 403, "model_not_allowed", is_session=True
    ),
    "a session of cloudflare's": Row(
        "cf", "small", "/v1/realtime?model=gpt-big", b"", 403, "model_not_allowed", is_session=True
    ),
    "a session that nobody can read": Row(
        "plain", "small", "/ws/x", b"", 403, "path_not_allowed", is_session=True
    ),
    "cloudflare, sound": Row("cf", "small", "/v1/audio", b"abc", 403, "path_not_allowed", b"audio/wav"),
}


class Answering:
    """A sender whose answers are there at once."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def send(self, attempt: Attempt, request: UpstreamRequest) -> Answered:
        self.sent.append(await request.body.whole(10_000))
        return Answered()

    async def close(self) -> None: ...


class Answered:
    head = ResponseHead(status=200, headers=((b"content-type", JSON),))

    def __init__(self) -> None:
        self._pieces = [ANSWER, b""]

    async def read(self) -> bytes:
        return self._pieces.pop(0)

    async def close(self) -> None: ...


@pytest.mark.parametrize("name", ROWS)
async def test_only_what_is_allowed_gets_through(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    (tmp_path / "config.toml").write_text(CONFIG)
    world = build(load(tmp_path / "config.toml", env={}))
    sender = Answering()
    world.sinks, world.sender = (), sender
    request = ClientRequest(
        id="id-1",
        method="GET" if row.is_session else row.method,
        target=f"/{row.endpoint}{row.path}".encode(),
        headers=(
            (b"x-llmitm-key", b"sk-proxy-" + row.key.encode()),
            (b"content-type", row.kind),
            (b"content-length", b"%d" % len(row.body)),
            *(((b"content-encoding", b"gzip"),) if row.body.startswith(b"\x1f") else ()),
            *(SESSION if row.is_session else ()),
        ),
        body=HeldBody(row.body),
        client="127.0.0.1",
    )
    head, *pieces = [step async for step in carry(request, world, Unwatched())]
    await world.close()
    assert isinstance(head, ResponseHead)
    assert head.status == row.status, head
    assert sender.sent == ([row.body] if row.status == 200 else [])
    told = b"".join([head.whole or b"", *[one for one in pieces if isinstance(one, bytes)]])
    assert row.code.encode() in told
