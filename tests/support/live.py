"""A provider of live sessions in a thread of its own: OpenAI's two kinds, Gemini's, and an echo."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

REALTIME_USAGE: Final = {
    "total_tokens": 30,
    "input_tokens": 10,
    "output_tokens": 20,
    "input_token_details": {"text_tokens": 4, "audio_tokens": 6, "cached_tokens": 2},
    "output_token_details": {"text_tokens": 5, "audio_tokens": 15},
}
GEMINI_USAGE: Final = {"promptTokenCount": 11, "responseTokenCount": 7, "totalTokenCount": 18}


@dataclass(slots=True)
class Asked:
    """One handshake, and what came of it."""

    path: str
    headers: dict[str, str]
    """By lower-case name."""
    messages: list[str | bytes] = field(default_factory=list)
    close: tuple[int | None, str | None] | None = None
    """None: it is open, or was refused."""
    closed_s: float = 0.0
    is_over: threading.Event = field(default_factory=threading.Event)


class LiveProvider:
    """`refused` maps keys to the status that they are refused with. Use it as a context manager."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.refused: dict[str, int] = {}
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(self._serve())
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(server.wait_closed())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _serve(self) -> Server:
        return await serve(
            self._session,
            "127.0.0.1",
            0,
            process_request=self._handshake,
            select_subprotocol=lambda _, offered: offered[0] if offered else None,
            max_size=None,
            ping_interval=None,
            close_timeout=2,
        )

    def _handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        self.asked.append(Asked(request.path, headers))
        key = headers.get("authorization", "").removeprefix("Bearer ") or headers.get("x-goog-api-key", "")
        status = self.refused.get(key)
        if status is None:
            return None
        error = {
            "error": {"message": f"refused with {status}", "type": "invalid_request_error", "code": None}
        }
        response = connection.respond(HTTPStatus(status), json.dumps(error))
        response.headers["x-request-id"] = "req_live"
        return response

    async def _session(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        asked = next(one for one in reversed(self.asked) if one.path == connection.request.path)
        try:
            if "realtime" in asked.path or "/openai?" in asked.path:
                model = asked.path.partition("model=")[2].partition("&")[0]
                await _say(connection, {"type": "session.created", "session": {"model": model}})
            async for message in connection:
                asked.messages.append(message)
                await self._answer(connection, message)
        except ConnectionClosed:
            pass
        finally:
            asked.close, asked.closed_s = (connection.close_code, connection.close_reason), time.monotonic()
            asked.is_over.set()

    async def _answer(self, connection: ServerConnection, message: str | bytes) -> None:
        match message.split(":") if isinstance(message, str) else [""]:
            case ["close", code, reason]:
                await connection.close(int(code), reason)
            case ["die"]:
                connection.transport.abort()
            case ["hang"]:
                await asyncio.sleep(3600)
            case _:
                try:
                    said = json.loads(message)
                except ValueError:
                    said = None
                if isinstance(said, dict):
                    for one in _answers(said):
                        await _say(connection, one)
                else:
                    await connection.send(message)

    def forget(self) -> None:
        self.asked.clear()
        self.refused.clear()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def __enter__(self) -> LiveProvider:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _answers(said: dict[str, Any]) -> list[dict[str, Any]]:
    match said:
        case {"setup": _}:
            return [{"setupComplete": {}}]
        case {"clientContent": _} | {"client_content": _}:
            turn = {"modelTurn": {"parts": [{"text": "aye"}]}}
            return [
                {"serverContent": turn},
                {"serverContent": {"turnComplete": True}, "usageMetadata": GEMINI_USAGE},
            ]
        case {"type": "response.create", "model": str(model)}:
            usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
            response = {
                "id": "resp_1",
                "object": "response",
                "model": model,
                "status": "completed",
                "usage": usage,
            }
            return [{"type": "response.completed", "response": response}]
        case {"type": "response.create"}:
            done = {
                "id": "resp_1",
                "object": "realtime.response",
                "status": "completed",
                "usage": REALTIME_USAGE,
            }
            return [
                {"type": "response.output_text.delta", "delta": "aye", "response_id": "resp_1"},
                {"type": "response.done", "response": done},
            ]
        case {"type": str(kind)}:
            return [{"type": kind.replace("update", "updated"), "session": said.get("session", {})}]
    return []


async def _say(connection: ServerConnection, message: dict[str, Any]) -> None:
    await connection.send(json.dumps(message))
