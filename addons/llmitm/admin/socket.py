"""`/ws/dashboard`: the feed for who has logged in, for as long as that stands."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from llmitm.admin import feed as feeds
from llmitm.admin.feed import Over, Reader, message, wanted_channels
from llmitm.admin.guard import check_origin
from llmitm.admin.route import Asked, Role, Route
from llmitm.errors import Refused

CHECK_S: Final = 5.0
"""How often it is looked whether the login still stands."""
SEND_S: Final = 30.0
"""Who takes nothing for so long is let go."""
PING_S: Final = 30.0
MOST_BYTES: Final = 16_384
"""Of what a reader says."""
LOGGED_OUT: Final = 4401
"""Close code: the login is over."""


async def serve(asked: Asked) -> web.StreamResponse:
    """The feed, over a WebSocket: metrics every second, exchanges as they begin and end, lines of the log.

    Raises Refused: there are as many readers as there may be; a page of another site asks.
    """
    http = asked.http
    check_origin(http.headers, http.host, asked.desk.scheme(http))
    if http.headers.get("Upgrade", "").lower() != "websocket":
        raise Refused(426, "websocket_wanted", "This path speaks WebSocket only.")
    feed = asked.desk.watching.feed
    try:
        reader = await feed.join()
    except feeds.TooMany as error:
        raise Refused(503, "too_many_readers", f"Too many look on: {error}.") from None
    socket = web.WebSocketResponse(heartbeat=PING_S, max_msg_size=MOST_BYTES, compress=False)
    try:
        await socket.prepare(http)
        await _both(socket, reader, asked)
    finally:
        feed.leave(reader)
    return socket


async def _both(socket: web.WebSocketResponse, reader: Reader, asked: Asked) -> None:
    tasks = {
        asyncio.create_task(_tell(socket, reader), name="llmitm-ws-tell"),
        asyncio.create_task(_hear(socket, reader), name="llmitm-ws-hear"),
        asyncio.create_task(_watch(socket, asked), name="llmitm-ws-watch"),
    }
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if not socket.closed:
        await socket.close()


async def _tell(socket: web.WebSocketResponse, reader: Reader) -> None:
    while True:
        try:
            waiting = await reader.take()
        except Over:
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"The gateway stops.")
            return
        for one in waiting:
            async with asyncio.timeout(SEND_S):
                await socket.send_frame(one, _TEXT)


async def _hear(socket: web.WebSocketResponse, reader: Reader) -> None:
    async for said in socket:
        if said.type is not WSMsgType.TEXT:
            return
        reader.give(_answer(said.data, reader))


def _answer(text: str, reader: Reader) -> bytes:
    """Does what a reader asks for, and says that it is done."""
    try:
        asked: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return message("error", {"error": "wrong_message", "message": "This is no JSON."})
    kind = asked.get("type") if isinstance(asked, dict) else None
    match kind:
        case "subscribe" if isinstance(asked.get("channels"), list):
            reader.channels, strange = wanted_channels(asked["channels"][:32])
            return message("subscribed", {"channels": sorted(reader.channels), "unknown": strange})
        case "ping":
            return message("pong", None)
        case _:
            told = 'Known are {"type": "subscribe", "channels": [...]} and {"type": "ping"}.'
            return message("error", {"error": "wrong_message", "message": told})


async def _watch(socket: web.WebSocketResponse, asked: Asked) -> None:
    """Ends where the login is over."""
    while await asked.is_still_in():
        await asked.world.clock.sleep(CHECK_S)
    await socket.close(code=LOGGED_OUT, message=b"The login is over.")


_TEXT: Final = WSMsgType.TEXT

ROUTES: Final = (Route("GET", "/ws/dashboard", serve, Role.VIEWER, errors=(403, 426, 503), status=101),)
