"""An upstream that streams an answer as fast as it is read, and says how far it has come."""

from __future__ import annotations

import socketserver
import threading
from types import TracebackType
from typing import Final

import orjson

_TEXT: Final = "word " * 800
_END: Final = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def _chunk() -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", "content": _TEXT}, "finish_reason": None}
    whole = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + orjson.dumps(whole) + b"\n\n"


class Flood:
    """A chat stream of about `size_bytes` for each request, whatever it asks."""

    def __init__(self, size_bytes: int) -> None:
        self.sent_bytes = 0
        """Of the latest request: what the system took off us."""
        self.gone = threading.Event()
        """Of the latest request: whether its client left before the end."""
        chunk = _chunk()
        self.chunks = size_bytes // len(chunk)
        flood = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                length = 0
                while (line := self.rfile.readline()) not in (b"\r\n", b""):
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                self.rfile.read(length)
                flood.sent_bytes = 0
                gone = flood.gone = threading.Event()
                head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
                try:
                    for piece in (head, *[chunk] * flood.chunks, _END):
                        self.wfile.write(piece)
                        flood.sent_bytes += len(piece)
                except ConnectionError:
                    gone.set()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
