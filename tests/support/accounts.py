"""A provider of files, batches, images and sound on loopback, where each key is an account of its own."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import orjson
from aiohttp import web

IMAGE_USAGE = {
    "input_tokens": 120,
    "output_tokens": 4160,
    "total_tokens": 4280,
    "input_tokens_details": {"text_tokens": 120, "image_tokens": 0},
}
SOUND = bytes(range(256)) * 400
KEPT_BYTES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request that arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    """Names in lower case."""
    account: str
    """The key that it came with."""
    body: bytes = field(repr=False)
    """Its beginning."""
    body_bytes: int
    body_sha256: str

    def json(self) -> Any:
        return orjson.loads(self.body)


type Answer = tuple[int, str, bytes, dict[str, str]]


class Accounts:
    """A running provider. `asked` are the requests that arrived whole, oldest first."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.broken = 0
        """Requests whose body broke off."""
        self.fails: Callable[[Asked], int | None] = lambda asked: None
        """The status of an error in place of an answer."""
        self.url = ""
        self._kept: dict[tuple[str, str], dict[str, Any]] = {}
        """What each account keeps, by id."""
        self._uploads: dict[str, tuple[str, bytearray]] = {}
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server, listener = self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()
        listener.close()
        self._loop.run_until_complete(server.shutdown(1.0))
        self._loop.run_until_complete(listener.wait_closed())
        self._loop.close()

    async def _start(self) -> tuple[web.Server, asyncio.Server]:
        server = web.Server(self._handle, auto_decompress=False, access_log=None)
        listener = await self._loop.create_server(server, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        return server, listener

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        digest, size, begun = hashlib.sha256(), 0, bytearray()
        try:
            async for piece in request.content.iter_any():
                digest.update(piece)
                size += len(piece)
                begun += piece[: max(0, KEPT_BYTES - len(begun))]
        except Exception:
            self.broken += 1
            raise
        headers = {name.lower(): value for name, value in request.headers.items()}
        account = headers.get("authorization", "").removeprefix("Bearer ")
        asked = Asked(
            method=request.method,
            path=request.rel_url.raw_path,
            query=request.rel_url.raw_query_string,
            headers=headers,
            account=account or headers.get("x-api-key", "") or headers.get("x-goog-api-key", ""),
            body=bytes(begun),
            body_bytes=size,
            body_sha256=digest.hexdigest(),
        )
        self.asked.append(asked)
        status, kind, content, more = self._answer(asked)
        response = web.StreamResponse(status=status, headers={"content-type": kind, **more})
        response.content_length = len(content)
        await response.prepare(request)
        for start in range(0, len(content), 16_384):
            await response.write(content[start : start + 16_384])
        await response.write_eof()
        return response

    def _answer(self, asked: Asked) -> Answer:
        if (status := self.fails(asked)) is not None:
            return status, "application/json", b'{"error":{"message":"told to fail","type":"x"}}', {}
        path = asked.path.replace("/v1beta", "/v1")
        if asked.path.startswith("/upload/"):
            return self._upload(asked)
        names = path.removeprefix("/v1/").removeprefix("account/one/openai/").split("/")
        match names:
            case ["audio", "speech"]:
                return 200, "audio/mpeg", SOUND, {}
            case ["audio", _]:
                usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59}
                return _json(
                    {"text": "spoken", "usage": {**usage, "input_token_details": {"audio_tokens": 14}}}
                )
            case ["images", _]:
                return _json({"created": 1, "data": [{"b64_json": "QUJD" * 50_000}], "usage": IMAGE_USAGE})
            case ["moderations"]:
                return _json({"id": "modr-1", "model": "omni-moderation-latest", "results": []})
            case ["rerank"]:
                ranked = [{"index": 1, "relevance_score": 0.9}]
                return _json({"results": ranked, "model": "r", "usage": {"total_tokens": 7}})
            case ["messages", *rest]:
                return self._kept_things(asked, rest)
            case _:
                return self._kept_things(asked, names)

    def _kept_things(self, asked: Asked, names: list[str]) -> Answer:
        kind = names[0]
        if len(names) == 1:
            if asked.method in ("POST", "PUT"):
                return _json(self._make(asked, kind))
            mine = [one for (account, _), one in self._kept.items() if account == asked.account]
            listed = [one for one in mine if one["kind"] == kind]
            return _json({"object": "list", "data": listed, "has_more": False, kind: listed})
        kept = self._kept.get((asked.account, names[1]))
        if kept is None:
            return 404, "application/json", b'{"error":{"message":"No such thing","type":"x"}}', {}
        if asked.method == "DELETE":
            del self._kept[asked.account, names[1]]
            return _json({"id": names[1], "object": kind, "type": f"{kind}_deleted", "deleted": True})
        if names[2:] == ["content"]:
            return 200, "application/octet-stream", SOUND, {}
        if names[2:] == ["results"]:
            return 200, "application/x-jsonl", _results(), {}
        return _json(kept)

    def _make(self, asked: Asked, kind: str) -> dict[str, Any]:
        number = len(self._kept) + 1
        made: dict[str, Any] = {"id": f"{kind}-{number}", "kind": kind, "created_at": 1}
        if kind == "files":
            made |= {"object": "file", "bytes": asked.body_bytes, "filename": "f", "purpose": "batch"}
            made |= {"status": "processed", "type": "file", "mime_type": "text/plain", "size_bytes": 1}
        elif asked.path.startswith("/v1/messages"):
            url = f"{self.url}/v1/messages/batches/{made['id']}/results"
            counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
            made |= {"type": "message_batch", "processing_status": "ended", "results_url": url}
            made |= {"request_counts": counts, "expires_at": "2026-11-22T00:00:00Z"}
            made |= {"created_at": "2026-11-21T00:00:00Z", "archived_at": None, "cancel_initiated_at": None}
        elif kind == "batches":
            sent = asked.json()
            made |= {"object": "batch", "status": "completed", "output_file_id": f"file-out-{number}"}
            made |= {key: sent.get(key) for key in ("input_file_id", "endpoint", "completion_window")}
            made |= {"model": "gpt-6-sol", "usage": {"input_tokens": 10_000, "output_tokens": 1_000}}
            self._kept[asked.account, f"file-out-{number}"] = {"id": f"file-out-{number}", "kind": "files"}
        self._kept[asked.account, made["id"]] = made
        return made

    def _upload(self, asked: Asked) -> Answer:
        """Gemini's resumable uploads: a start, then pieces at the address that it names."""
        command = asked.headers.get("x-goog-upload-command", "")
        if command == "start":
            number = f"up-{len(self._uploads) + 1}"
            self._uploads[number] = asked.account, bytearray()
            url = f"{self.url}{asked.path}?upload_id={number}&upload_protocol=resumable"
            return 200, "text/plain", b"", {"x-goog-upload-url": url, "x-goog-upload-status": "active"}
        number = asked.query.partition("upload_id=")[2].partition("&")[0]
        account, _ = self._uploads[number]
        if account != asked.account:
            return 403, "application/json", b'{"error":{"code":403,"message":"another account"}}', {}
        if "finalize" not in command:
            return 200, "text/plain", b"", {"x-goog-upload-status": "active"}
        name = f"file{len(self._kept) + 1}"
        made = {"name": f"files/{name}", "kind": "files", "uri": f"{self.url}/v1beta/files/{name}"}
        made |= {"state": "ACTIVE", "mimeType": "text/plain"}
        self._kept[account, name] = made
        return 200, "application/json", orjson.dumps({"file": made}), {"x-goog-upload-status": "final"}

    def keep(self, account: str, name: str) -> None:
        """As if this account had made it before."""
        self._kept[account, name] = {"id": name, "kind": "things"}

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def __enter__(self) -> Accounts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _json(value: Any) -> Answer:
    return 200, "application/json", orjson.dumps(value), {}


def _results() -> bytes:
    def line(number: int) -> bytes:
        message = {
            "id": f"msg_{number}",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-5-5",
            "content": [{"type": "text", "text": "done"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 50_000, "output_tokens": 2_500},
        }
        result = {"type": "succeeded", "message": message}
        return orjson.dumps({"custom_id": f"c{number}", "result": result}) + b"\n"

    return line(1) + line(2)
