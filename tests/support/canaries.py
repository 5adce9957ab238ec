"""Secrets that are planted to be looked for, and an upstream that says them back in every way."""

from __future__ import annotations

import base64
import gzip
import json
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote, quote_plus


def written(value: str) -> set[bytes]:
    """How it may stand in a file: plain, in a URL, in JSON, in base64 wherever it begins."""
    data = value.encode()
    found = {
        data,
        quote(value, safe="").encode(),
        quote_plus(value).encode(),
        json.dumps(value)[1:-1].encode(),
        json.dumps(json.dumps(value))[3:-3].encode(),
    }
    for before, skipped in ((0, 0), (1, 2), (2, 3)):
        whole = (before + len(data)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(bytes(before) + data)[skipped:whole])
    return found


_STEM: Final = "cn4ry"


def canary(name: str, *, has_shape: bool) -> str:
    """A value to be planted. With `has_shape` it looks like a key, else nothing gives it away."""
    if has_shape:
        return f"sk-{_STEM}-{name.replace(' ', '-')}-7f3kQ9z"
    return f"{_STEM}/{name.replace(' ', '+')}=7f3kQ9z"


_STEMS: Final = frozenset(written(_STEM))


def found_in(content: bytes, canaries: dict[str, str]) -> set[str]:
    """Names of those that stand in it, also within what is compressed."""
    layers = [content]
    at = content.find(b"\x1f\x8b\x08")
    while at >= 0:
        try:
            layers.append(zlib.decompressobj(47).decompress(content[at:]))
        except zlib.error:
            pass
        at = content.find(b"\x1f\x8b\x08", at + 1)
    layers = [layer for layer in layers if any(stem in layer for stem in _STEMS)]
    return {
        name
        for name, value in canaries.items()
        if any(form in layer for layer in layers for form in written(value))
    }


OK: Final = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-canary",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}


class Telltale:
    """An upstream on loopback. What it does stands in the request's `x-act` header or in its model's name."""

    def __init__(self, canaries: dict[str, str]) -> None:
        """`canaries` to put in: cookie, location, header, message, event."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                outer._answer(self)

            def log_message(self, format: str, *args: Any) -> None: ...

        self._canaries = canaries
        self.count = 0
        """Of requests."""
        self.exported: list[bytes] = []
        """What came as telemetry."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Telltale:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, asked: BaseHTTPRequestHandler) -> None:
        self.count += 1
        body = asked.rfile.read(int(asked.headers.get("content-length") or 0))
        if asked.path in ("/v1/traces", "/v1/metrics"):
            self.exported.append(body)
            self._send(asked, 200, b"")
            return
        try:
            model = str(json.loads(body).get("model", ""))
        except ValueError:
            model = ""
        act = asked.headers.get("x-act") or model.rpartition("-")[2]
        said = self._canaries["message"]
        names = ("authorization", "x-api-key", "x-goog-api-key", "api-key", "cf-aig-authorization", "x-team")
        keys = [asked.headers[name] for name in names if asked.headers[name]]
        message = f"Incorrect API key provided: {said}; you sent {' and '.join(keys)} to {asked.path}"
        error = json.dumps({"error": {"message": message, "type": "invalid_request_error", "code": "bad"}})
        match act:
            case "reset":
                asked.close_connection = True
                return
            case "garbage":
                self._send(asked, 200, b'{"id": "x", "choices": [' + message.encode())
            case "gzip":
                packed = gzip.compress(error.encode())
                self._send(asked, 400, packed, ("content-encoding", "gzip"))
            case "html":
                self._send(asked, 502, f"<html>{message}".encode(), ("content-type", "text/html"))
            case "redirect":
                self._send(
                    asked,
                    302,
                    b"",
                    ("location", f"http://a:{said}@x.example/?key={self._canaries['location']}"),
                )
            case "event":
                told = json.dumps({"error": {"message": f"{message} {self._canaries['event']}"}})
                self._send(asked, 200, f"data: {told}\n\n".encode(), ("content-type", "text/event-stream"))
            case "stream":
                chunk = {**OK, "object": "chat.completion.chunk"}
                chunk["choices"] = [{"index": 0, "delta": {"content": "fine"}, "finish_reason": "stop"}]
                content = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
                self._send(asked, 200, content, ("content-type", "text/event-stream"))
            case _ if act.isdecimal():
                self._send(asked, int(act), error.encode())
            case _:
                self._send(asked, 200, json.dumps(OK).encode())

    def _send(
        self, asked: BaseHTTPRequestHandler, status: int, content: bytes, *headers: tuple[str, str]
    ) -> None:
        asked.send_response(status)
        for name, value in (
            *headers,
            ("content-length", str(len(content))),
            ("set-cookie", f"session={self._canaries['cookie']}; Path=/"),
            ("x-access-token", self._canaries["header"]),
        ):
            asked.send_header(name, value)
        if not any(name == "content-type" for name, _ in headers):
            asked.send_header("content-type", "application/json")
        asked.end_headers()
        asked.wfile.write(content)
